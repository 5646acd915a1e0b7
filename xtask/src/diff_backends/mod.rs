//! `cargo xtask diff-backends`: what two compilers made of the same source, side by side, and whether
//! it computes the same bits.

mod emulate;
mod summary;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use nvfp4_dual_gemm_tests::data::DataKind;
use nvfp4_dual_gemm_tests::emulated::Emulated;

use crate::build_ptx::assemble::{Prefer, Usage, assemble_for, find_ptxas};
use crate::build_ptx::{self, rust_cuda};
use crate::verify::cases::{self, ShapeArgument};

use summary::Summary;

/// Options of `diff-backends`.
#[derive(clap::Args)]
#[command(after_help = "\
Both PTX texts are taken apart kernel by kernel: registers as ptxas assigns them, instructions by
kind, and the forms that only one of the two uses. Then both run on the emulator, every case under
the same schedules: each must pass as in `verify`, and all bits of C must be the same.

Examples:
  cargo xtask diff-backends                           rustc against rust-cuda
  cargo xtask diff-backends --rust-cuda-ptx FILE      against rust-cuda's PTX from elsewhere
  cargo xtask diff-backends --shape 100,72,96,3       one shape, all data kinds")]
pub struct Options {
    /// What rust-cuda compiles for: 100a or 100f. The default is 100f.
    #[arg(long, value_name = "ARCH", conflicts_with = "rust_cuda_ptx")]
    arch: Option<rust_cuda::Arch>,
    /// Take this file for rustc's PTX instead of compiling.
    #[arg(long, value_name = "FILE")]
    rustc_ptx: Option<PathBuf>,
    /// Take this file for rust-cuda's PTX instead of compiling.
    #[arg(long, value_name = "FILE")]
    rust_cuda_ptx: Option<PathBuf>,
    /// A shape instead of the standard set; may be repeated.
    #[arg(long, value_name = "M,N,K[,L]")]
    shape: Vec<ShapeArgument>,
    /// Only this kind of data: contest, full-range, quantised or hostile; may be repeated.
    #[arg(long, value_name = "KIND")]
    data: Vec<DataKind>,
    /// Schedule seeds per case.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    seeds: u64,
    /// Do not fetch anything: use only what is installed.
    #[arg(long)]
    offline: bool,
}

/// One of the two.
struct Side {
    /// Heads its column.
    name: &'static str,
    ptx: String,
    summary: Summary,
}

impl Side {
    fn new(name: &'static str, ptx: String) -> Result<Self> {
        let summary = Summary::of(&ptx).with_context(|| format!("{name}'s PTX"))?;
        Ok(Side { name, ptx, summary })
    }

    /// What ptxas says of each kernel, if there is a ptxas.
    fn usage(&self, prefer: Prefer, offline: bool) -> Result<Option<Vec<Usage>>> {
        let Some(ptxas) = find_ptxas(prefer, offline) else { return Ok(None) };
        let usage = assemble_for(&ptxas, &self.summary.target, &self.ptx);
        usage.with_context(|| format!("{}'s PTX", self.name)).map(Some)
    }
}

/// Runs the command.
pub fn run(options: &Options) -> Result<()> {
    let start = Instant::now();
    let cases = cases::select(&options.shape, &options.data, false)?;
    let arch = options.arch.unwrap_or(rust_cuda::COMPUTE_100F);
    let second = match &options.rust_cuda_ptx {
        Some(path) => read(path)?,
        None => build_ptx::rust_cuda_ptx(arch, options.offline)?,
    };
    let first = match &options.rustc_ptx {
        Some(path) => read(path)?,
        None => build_ptx::fresh_ptx(rust_cuda::DECLARED)?,
    };
    let first = Side::new("rustc", first)?;
    let second = Side::new("rust-cuda", second)?;
    let usage = [
        first.usage(Prefer::Path, options.offline)?,
        second.usage(Prefer::Toolkit, options.offline)?,
    ];
    print!("{}", table(&first, &second, &usage)?);

    let modules = (Emulated::parse(&first.ptx)?, Emulated::parse(&second.ptx)?);
    println!("\n{}", emulate::Row::HEADER);
    let mut failed = 0;
    for case in &cases {
        let row = emulate::run(case, &modules.0, &modules.1, options.seeds)?;
        failed += usize::from(!row.passed());
        println!("{row}");
    }
    let (cases, seconds) = (cases.len(), start.elapsed().as_secs_f64());
    if failed > 0 {
        bail!("diff-backends: {failed} of {cases} cases FAILED on the emulator ({seconds:.0} s)");
    }
    println!(
        "diff-backends: both compilers' kernels pass all {cases} cases on the emulator, with the same bits ({seconds:.0} s)"
    );
    Ok(())
}

/// A file of PTX, with the launch bounds that it may lack.
fn read(path: &Path) -> Result<String> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    build_ptx::with_bounds(&text).with_context(|| path.display().to_string())
}

/// Both sides, kernel by kernel.
fn table(first: &Side, second: &Side, usage: &[Option<Vec<Usage>>; 2]) -> Result<String> {
    let mut out = String::new();
    for Side { name, summary, .. } in [first, second] {
        let ((major, minor), target) = (summary.version, &summary.target);
        writeln!(out, "{name}: .target {target}, .version {major}.{minor}")?;
        if summary.functions > 0 {
            let count = summary.functions;
            writeln!(out, "{name}: {count} functions beside the kernels, not counted below")?;
        }
    }
    if usage.iter().any(Option::is_none) {
        writeln!(out, "ptxas: not found, so there are no registers in this table")?;
    }
    for a in &first.summary.kernels {
        let b = second.summary.kernels.iter().find(|kernel| kernel.name == a.name);
        let b = b.with_context(|| format!("{} lacks the kernel {}", second.name, a.name))?;
        writeln!(
            out,
            "\n{:<44} {:>10} {:>10} {:>10}",
            a.name, first.name, second.name, "difference"
        )?;
        let mut line = |what: &str, a: u32, b: u32| {
            let difference = i64::from(b) - i64::from(a);
            let difference =
                if difference == 0 { String::new() } else { format!("{difference:+}") };
            writeln!(out, "  {what:<42} {a:>10} {b:>10} {difference:>10}")
        };
        if let [Some(of_a), Some(of_b)] = usage {
            let find = |usage: &[Usage]| usage.iter().find(|usage| usage.kernel == a.name).cloned();
            let of_a = find(of_a).context("ptxas left a kernel out")?;
            let of_b = find(of_b).context("ptxas left a kernel out")?;
            line("registers (ptxas)", of_a.registers, of_b.registers)?;
            line(
                "stack and spills, bytes",
                of_a.stack + of_a.spills(),
                of_b.stack + of_b.spills(),
            )?;
        }
        line("registers declared in the PTX", a.registers, b.registers)?;
        line("instructions in the PTX", a.instructions(), b.instructions())?;
        for (kind, count) in &a.kinds {
            line(&format!("  {kind}"), *count, b.kinds[kind])?;
        }
        for (side, own, other) in [(first, a, b), (second, b, a)] {
            let alone = own.forms.keys().filter(|form| !other.forms.contains_key(*form));
            let alone: Vec<_> = alone.map(|form| format!("{form} ({})", own.forms[form])).collect();
            if !alone.is_empty() {
                writeln!(out, "  only in {}: {}", side.name, alone.join(", "))?;
            }
        }
    }
    Ok(out)
}
