//! The project's commands. `cargo xtask --help` lists them.

#[cfg(feature = "cuda")]
mod bench;
#[cfg(feature = "cuda")]
mod bench_groups;
mod build_ptx;
mod diff_backends;
mod measurements;
mod mutate;
mod plot;
mod tidy;
mod verify;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The commands of nvfp4-dual-gemm: compile the GPU code, and prove it right.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Compile the device crate to host/ptx/*.ptx and assemble every kernel.
    BuildPtx(build_ptx::Options),
    /// Execute the kernels on the emulator and judge every bit of what they compute.
    Verify(verify::Options),
    /// Time the kernels on a CUDA device, with outputs checked.
    #[cfg(feature = "cuda")]
    Bench(bench::Options),
    /// Draw measured times, and print them as a table.
    Plot(plot::Options),
    /// Make mistakes in a kernel, one at a time, and see whether the emulator notices.
    Mutate(mutate::Options),
    /// Compare what two compilers make of the device crate: counts, registers, and every bit of C.
    DiffBackends(diff_backends::Options),
    /// Check the house rules that no compiler checks.
    Tidy,
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::BuildPtx(options) => build_ptx::run(&options),
        Command::Verify(options) => verify::run(&options),
        #[cfg(feature = "cuda")]
        Command::Bench(options) => bench::run(&options),
        Command::Plot(options) => plot::run(&options),
        Command::Mutate(options) => mutate::run(&options),
        Command::DiffBackends(options) => diff_backends::run(&options),
        Command::Tidy => tidy::run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
