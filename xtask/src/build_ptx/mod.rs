//! `cargo xtask build-ptx`: device crate → PTX → (where ptxas is found) machine code, and a report.

pub mod assemble;
mod compile;
mod directives;
pub mod rust_cuda;
mod toolchain;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::workspace;

use assemble::Prefer;
use compile::Target;

/// A compiler of the device crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Compiler {
    /// rustc's own nvptx64 backend.
    Rustc,
    /// rust-cuda: libNVVM.
    RustCuda,
}

/// Options of `build-ptx`.
#[derive(clap::Args)]
#[command(after_help = "\
The device compiler is rustc 1.96.0 with its library source. It is looked for in this order:
  1. NVFP4_DEVICE_RUSTC, the path of a rustc
  2. the rustup toolchain 1.96.0 with rust-src
  3. the system's rustc with its library source
  4. fetched: by rustup where that works, else Debian's packages unpacked below target/

ptxas is looked for on PATH, in CUDA_PATH/bin, and else fetched from PyPI below target/.
Without it the PTX is written but not assembled, and the report says so.

--backend rust-cuda compiles Blackwell's kernels through libNVVM instead, to target/rust-cuda/. It
needs a nightly with rustc-dev, LLVM 19, libclang, the CUDA toolkit and rust-cuda's git source, and
says which of them are missing.")]
pub struct Options {
    /// Rebuild and compare with the committed host/ptx/*.ptx and goldens instead of writing them.
    #[arg(long)]
    check: bool,
    /// Do not fetch anything: use only what is installed.
    #[arg(long)]
    offline: bool,
    /// The compiler.
    #[arg(long, value_name = "BACKEND", value_enum, default_value = "rustc")]
    backend: Compiler,
    /// What rust-cuda compiles for: 100a or 100f. The default is 100f.
    #[arg(long, value_name = "ARCH")]
    arch: Option<rust_cuda::Arch>,
}

/// Runs the command.
pub fn run(options: &Options) -> Result<()> {
    match options.backend {
        Compiler::RustCuda => return run_rust_cuda(options),
        Compiler::Rustc if options.arch.is_some() => {
            bail!("--arch is for --backend rust-cuda: the default backend builds all its targets")
        }
        Compiler::Rustc => {}
    }
    let rustc = toolchain::find(options.offline)?;
    println!("device compiler: {} ({})", rustc.version, rustc.origin);
    let mut differing = vec![];
    let mut settle = |path: &Path, ptx: &str| -> Result<()> {
        if !options.check {
            workspace::write_whole(path, ptx.as_bytes())?;
            println!("wrote {}", path.display());
            return Ok(());
        }
        let committed =
            fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        if committed != ptx {
            let line = committed.lines().zip(ptx.lines()).take_while(|(a, b)| a == b).count();
            differing.push(format!("{}, first at line {}", path.display(), line + 1));
        }
        Ok(())
    };
    for target in Target::ALL {
        let kernels = directives::insert(&compile::compile(&rustc, *target, "")?, target.arch)?;
        settle(&target.path(), &kernels)?;
        let probes = compile::compile(&rustc, *target, "probes")?;
        settle(&target.probes_path(), &directives::only_probes(&probes))?;
        let archs = target.assembled_for;
        assemble::assemble(target.arch, archs, &kernels, Prefer::Path, options.offline)?;
    }
    if differing.is_empty() {
        if options.check {
            println!("build-ptx --check: the committed PTX is what the device crate compiles to");
        }
        return Ok(());
    }
    if rustc.version != toolchain::VERSION {
        println!(
            "build-ptx --check: not comparable. The committed PTX comes from rustc {}, this is {}; \
             differing: {}",
            toolchain::VERSION,
            rustc.version,
            differing.join("; ")
        );
        return Ok(());
    }
    bail!(
        "the committed PTX is not what the device crate compiles to: {}. \
         Run `cargo xtask build-ptx` and commit the result",
        differing.join("; ")
    )
}

/// `--backend rust-cuda`.
fn run_rust_cuda(options: &Options) -> Result<()> {
    if options.check {
        bail!("--check compares with the committed PTX, which is the default backend's");
    }
    let arch = options.arch.unwrap_or(rust_cuda::COMPUTE_100F);
    let ptx = rust_cuda_ptx(arch, options.offline)?;
    let archs = arch.assembled_for;
    assemble::assemble(arch.target, archs, &ptx, Prefer::Toolkit, options.offline)
}

/// Somebody's PTX of Blackwell's kernels, with the launch bounds that it may lack.
pub fn with_bounds(ptx: &str) -> Result<String> {
    directives::insert(ptx, rust_cuda::DECLARED)
}

/// What rust-cuda makes of the device crate, with launch bounds; also left below target/.
pub fn rust_cuda_ptx(arch: rust_cuda::Arch, offline: bool) -> Result<String> {
    let compiled = rust_cuda::compile(arch, offline)?;
    let path = rust_cuda::path(arch);
    let ptx =
        with_bounds(&compiled).with_context(|| format!("rust-cuda's PTX for {}", arch.target))?;
    workspace::write_whole(&path, ptx.as_bytes())?;
    println!("wrote {}", path.display());
    Ok(ptx)
}

/// The PTX that `arch`'s kernels compile to now; the committed one, and a line that says so, where
/// no device compiler can be had.
pub fn fresh_ptx(arch: &str) -> Result<String> {
    let target = *Target::ALL
        .iter()
        .find(|target| target.arch == arch)
        .with_context(|| format!("no kernels are compiled for {arch}"))?;
    let path = target.path();
    let committed =
        fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()));
    let rustc = match toolchain::find(false) {
        Ok(rustc) => rustc,
        Err(error) => {
            println!("{error:#}\nno device compiler: verifying the committed PTX instead");
            return committed;
        }
    };
    let ptx = directives::insert(&compile::compile(&rustc, target, "")?, target.arch)?;
    if committed? != ptx {
        println!(
            "note: {} is not what the device crate compiles to; verifying the fresh PTX",
            path.display()
        );
    }
    Ok(ptx)
}
