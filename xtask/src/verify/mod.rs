//! `cargo xtask verify`: the shipped PTX, executed and judged.

pub mod cases;
mod checkpoint;
#[cfg(feature = "cuda")]
mod cuda;
mod grouped;
mod hopper;
mod run;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use nvfp4_dual_gemm::grouped::Operation;
use nvfp4_dual_gemm::plan::sm90;
use nvfp4_dual_gemm_tests::data::DataKind;
use nvfp4_dual_gemm_tests::emulated::Module;

use crate::build_ptx::{self, Compiler, rust_cuda};
use cases::{Case, ShapeArgument};
use grouped::{GroupedCase, Op};
use run::Row;

/// Options of `verify`.
#[derive(clap::Args)]
#[command(after_help = "\
Every case compiles to a plan, runs the plan's kernel on the emulator once per schedule seed, and
compares all of C: within rtol = atol = 1e-3 of an f64 reference, and bit for bit with the tensor
core's accumulation model followed by the kernel's own epilogue.

Examples:
  cargo xtask verify                                the standard set: tiles, tails, batches, data
  cargo xtask verify --shape 100,72,96,3            one shape, all data kinds
  cargo xtask verify --shape 256,512,256 --data hostile --seeds 16
  cargo xtask verify --ptx changed.ptx              is this PTX still right?
  cargo xtask verify --ptx-from rust-cuda           the other compiler's PTX of the same source
  cargo xtask verify --arch sm_90a                  Hopper's kernels
  cargo xtask verify --op grouped-dual              experts, and the contest's groups
  cargo xtask verify --op grouped --shape 80,128,256 --shape 40,512,96    two groups
  cargo xtask verify --all                          also the contest's shapes, full size (minutes)
  cargo xtask verify --checkpoint model/ --layer model.layers.0.mlp")]
pub struct Options {
    /// GPU whose kernels are verified.
    #[arg(long, value_name = "ARCH", default_value = "sm_100f", value_parser = ["sm_100f", "sm_90a"])]
    arch: String,
    /// What the kernels run on: the emulator, or a CUDA device (built with the feature `cuda`).
    #[arg(long, value_name = "BACKEND", default_value = "emulator", value_parser = ["emulator", "cuda"])]
    backend: String,
    /// What is computed.
    #[arg(long, value_name = "OP", default_value = "dual")]
    op: Op,
    /// The dual GEMM as two plain products and an element-wise kernel.
    #[arg(long)]
    two_pass: bool,
    /// A shape instead of the standard set; may be repeated. Of a grouped operation: a group.
    #[arg(long, value_name = "M,N,K[,L]")]
    shape: Vec<ShapeArgument>,
    /// Only this kind of data: contest, full-range, quantised or hostile; may be repeated.
    #[arg(long, value_name = "KIND")]
    data: Vec<DataKind>,
    /// Schedule seeds per case.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    seeds: Option<u64>,
    /// Judge this PTX file instead of what the device crate compiles to.
    #[arg(long, value_name = "FILE")]
    ptx: Option<PathBuf>,
    /// The compiler whose PTX of the device crate is judged.
    #[arg(
        long,
        value_name = "BACKEND",
        value_enum,
        default_value = "rustc",
        conflicts_with = "ptx"
    )]
    ptx_from: build_ptx::Compiler,
    /// Also run the contest's test and benchmark shapes at full size.
    #[arg(long)]
    all: bool,
    /// Take the weights from this .safetensors file, index file or model folder.
    #[arg(long, value_name = "FILE", requires = "layer")]
    checkpoint: Option<PathBuf>,
    /// Name of the layer in the checkpoint, up to and without `.gate_proj`.
    #[arg(long, value_name = "PREFIX", requires = "checkpoint")]
    layer: Option<String>,
    /// Rows of activations to multiply a checkpoint's weights with.
    #[arg(long, value_name = "M", default_value_t = 128, requires = "checkpoint")]
    rows: usize,
}

/// Runs the command.
pub fn run(options: &Options) -> Result<()> {
    let start = Instant::now();
    let cases = match (&options.checkpoint, &options.layer) {
        (Some(path), Some(layer)) => checkpoint::cases(path, layer, options.rows)?,
        _ => cases::select(&options.shape, &options.data, options.all)?,
    };
    if options.two_pass && matches!(options.op, Op::Gemm | Op::Grouped) {
        bail!("verify: --two-pass is for the dual operations; a plain GEMM takes one pass");
    }
    if options.backend == "cuda" {
        if options.ptx_from == Compiler::RustCuda {
            bail!("verify: --backend cuda runs the committed PTX, which --ptx-from cannot change");
        }
        #[cfg(feature = "cuda")]
        return match options.op {
            Op::Dual if !options.two_pass => cuda::run(&cases, start),
            _ => cuda::groups(&grouped_cases(options, &cases)?, start),
        };
        #[cfg(not(feature = "cuda"))]
        bail!("verify: this xtask was built without the feature `cuda`: add `--features cuda`");
    }
    let ptx = match &options.ptx {
        Some(path) => {
            let bytes =
                std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
            let text = String::from_utf8(bytes)
                .map_err(|error| anyhow::anyhow!("{}: not PTX: {error}", path.display()))?;
            println!("judging {}", path.display());
            text
        }
        None if options.ptx_from == Compiler::RustCuda => {
            build_ptx::rust_cuda_ptx(rust_cuda::arch_named(&options.arch)?, false)?
        }
        None => build_ptx::fresh_ptx(&options.arch)?,
    };
    let program = run::load(&ptx).with_context(|| match &options.ptx {
        Some(path) => format!("{}", path.display()),
        None => "the built PTX".to_owned(),
    })?;

    if options.op != Op::Dual || options.two_pass {
        return groups(options, &cases, &program, start);
    }
    if options.arch == sm90::ARCH {
        let bar = progress(&cases, Some(1));
        let thorough = !options.shape.is_empty();
        return hopper::emulate(&cases, &program, options.seeds, thorough, &bar);
    }
    println!("{}", Row::HEADER);
    let bar = progress(&cases, options.seeds);
    let mut failed = 0;
    for case in &cases {
        let seeds = options.seeds.unwrap_or(case.default_seeds);
        bar.set_message(case.to_string());
        let row = run::run(case, &program, seeds, &bar)?;
        if !row.passed() {
            failed += 1;
        }
        bar.suspend(|| println!("{row}"));
    }
    bar.finish_and_clear();
    let seconds = start.elapsed().as_secs_f64();
    if failed > 0 {
        bail!("verify: {failed} of {} cases FAILED on the emulator ({seconds:.0} s)", cases.len());
    }
    println!("verify: all {} cases passed on the emulator ({seconds:.0} s)", cases.len());
    Ok(())
}

/// The cases of the grouped kernels.
fn grouped_cases(options: &Options, dense: &[Case]) -> Result<Vec<GroupedCase>> {
    let shapes: Vec<_> = options.shape.iter().map(|shape| shape.0).collect();
    let hopper = options.arch == sm90::ARCH || options.backend == "cuda";
    let how = (hopper, options.two_pass);
    let listed = |operation| grouped::select(operation, &shapes, &options.data, options.all, how);
    Ok(match options.op {
        Op::Dual => grouped::dense(Operation::DualGemm, dense, how)?,
        Op::Gemm => grouped::dense(Operation::Gemm, dense, how)?,
        Op::Grouped => listed(Operation::Gemm)?,
        Op::GroupedDual => listed(Operation::DualGemm)?,
    })
}

/// The operations of the grouped kernels.
fn groups(options: &Options, dense: &[Case], program: &Module, start: Instant) -> Result<()> {
    let cases = grouped_cases(options, dense)?;
    println!("{}", grouped::HEADER);
    let seeds = |default: u64| options.seeds.unwrap_or(default);
    let bar = bar(cases.iter().map(|case| case.work() * seeds(case.default_seeds)).sum());
    let mut failed = 0;
    for case in &cases {
        bar.set_message(case.to_string());
        let row = grouped::run(case, program, seeds(case.default_seeds), &bar)?;
        failed += usize::from(!row.passed());
        bar.suspend(|| println!("{row}"));
    }
    bar.finish_and_clear();
    let seconds = start.elapsed().as_secs_f64();
    if failed > 0 {
        bail!("verify: {failed} of {} cases FAILED on the emulator ({seconds:.0} s)", cases.len());
    }
    println!("verify: all {} cases passed on the emulator ({seconds:.0} s)", cases.len());
    Ok(())
}

/// A bar that counts CTAs' worth of work, so that it moves evenly.
fn progress(cases: &[Case], seeds: Option<u64>) -> ProgressBar {
    bar(cases.iter().map(|case| case.work() * seeds.unwrap_or(case.default_seeds)).sum())
}

fn bar(total: u64) -> ProgressBar {
    let bar = ProgressBar::new(total);
    let style = ProgressStyle::with_template("{bar:30} {percent:>3} %, {eta} left  {msg}");
    bar.set_style(style.expect("the template is legal"));
    bar
}
