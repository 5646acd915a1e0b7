//! `cargo xtask build-ptx`: device crate → PTX → (where ptxas is found) machine code, and a report.

mod assemble;
mod compile;
mod directives;
mod toolchain;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::workspace;

use compile::Target;

/// Options of `build-ptx`.
#[derive(clap::Args)]
#[command(after_help = "\
The device compiler is rustc 1.96.0 with its library source. It is looked for in this order:
  1. NVFP4_DEVICE_RUSTC, the path of a rustc
  2. the rustup toolchain 1.96.0 with rust-src
  3. the system's rustc with its library source
  4. fetched: by rustup where that works, else Debian's packages unpacked below target/

ptxas is looked for on PATH, in CUDA_PATH/bin, and else fetched from PyPI below target/.
Without it the PTX is written but not assembled, and the report says so.")]
pub struct Options {
    /// Rebuild and compare with the committed host/ptx/*.ptx and goldens instead of writing them.
    #[arg(long)]
    check: bool,
    /// Do not fetch anything: use only what is installed.
    #[arg(long)]
    offline: bool,
}

/// Runs the command.
pub fn run(options: &Options) -> Result<()> {
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
        assemble::assemble(*target, &kernels, options.offline)?;
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
