//! ptxas: does it assemble, and what does it cost?

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nvfp4_dual_gemm_device::kernels::KERNELS;

use crate::workspace::{self, on_path, output_within};

/// The PyPI package with ptxas, pinned so that reports compare.
const PACKAGE: &str = "nvidia-cuda-nvcc==13.5.37";
const LIMIT: Duration = Duration::from_secs(300);

/// What ptxas says of one kernel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Usage {
    /// Its name.
    pub kernel: String,
    /// Registers a thread.
    pub registers: u32,
    /// Bytes of stack a thread.
    pub stack: u32,
    spill_stores: u32,
    spill_loads: u32,
}

impl Usage {
    /// Bytes that did not stay in registers.
    pub fn spills(&self) -> u32 {
        self.spill_stores + self.spill_loads
    }
}

/// Where to look for ptxas first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefer {
    /// PATH.
    Path,
    /// CUDA_PATH: the toolkit whose libNVVM wrote the PTX, in a version that an older ptxas refuses.
    Toolkit,
}

/// Assembles `ptx`, compiled for `target`, for each of `archs` and prints a line per kernel. A stack
/// frame or a spill is an error, and so are MMAs that ptxas makes wait for each other.
pub fn assemble(
    target: &str,
    archs: &[&str],
    ptx: &str,
    prefer: Prefer,
    offline: bool,
) -> Result<()> {
    let Some(ptxas) = find_ptxas(prefer, offline) else {
        println!("ptxas: not found, {target} was not assembled");
        return Ok(());
    };
    println!("ptxas: {}", ptxas.display());
    println!(
        "  {:<8} {:<40} {:>9} {:>13} {:>5} {:>6}",
        "target", "kernel", "registers", "shared bytes", "stack", "spills"
    );
    for arch in archs {
        for usage in assemble_for(&ptxas, arch, ptx)? {
            let shared = KERNELS
                .iter()
                .find(|kernel| kernel.name == usage.kernel)
                .map_or(0, |kernel| kernel.dynamic_shared);
            println!(
                "  {:<8} {:<40} {:>9} {:>13} {:>5} {:>6}",
                arch,
                usage.kernel,
                usage.registers,
                shared,
                usage.stack,
                usage.spills()
            );
            if usage.stack != 0 || usage.spills() != 0 {
                bail!(
                    "{} for {arch} has a stack frame of {} bytes and spills {} bytes: an array is \
                     indexed by a run-time value, or registers ran out",
                    usage.kernel,
                    usage.stack,
                    usage.spills()
                );
            }
        }
    }
    Ok(())
}

/// Assembles `ptx` for one architecture; a line per kernel, by name.
pub fn assemble_for(ptxas: &Path, arch: &str, ptx: &str) -> Result<Vec<Usage>> {
    let folder = tempfile::tempdir()?;
    let source = folder.path().join("kernels.ptx");
    std::fs::write(&source, ptx)?;
    let mut command = Command::new(ptxas);
    command.arg("-v").arg(format!("-arch={arch}")).arg(&source);
    command.arg("-o").arg(folder.path().join("kernels.cubin"));
    // ptxas reports on standard error, so the shared helper's standard output would be empty.
    let output = command.output().with_context(|| format!("starting {}", ptxas.display()))?;
    let report = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("ptxas refuses the PTX for {arch}:\n{report}");
    }
    if let Some(line) = serialized(&report) {
        bail!(
            "for {arch}, {line}\nthe registers of an MMA change before a wait for it, as ptxas sees it"
        );
    }
    Ok(parse_report(&report))
}

/// The line of `ptxas -v` that tells of `wgmma`s in a row made to wait for each other, if there is one.
fn serialized(report: &str) -> Option<&str> {
    report.lines().find(|line| line.contains("wgmma.mma_async instructions are serialized"))
}

/// Reads `ptxas -v`: per kernel a line naming it, then one with stack and spills, then registers.
fn parse_report(report: &str) -> Vec<Usage> {
    let mut kernels: Vec<Usage> = vec![];
    for line in report.lines() {
        if let Some((_, name)) = line.split_once("Function properties for ") {
            kernels.push(Usage { kernel: name.trim().to_owned(), ..Usage::default() });
        }
        let Some(usage) = kernels.last_mut() else { continue };
        let number_before = |words: &str| -> Option<u32> {
            line.split_once(words)?.0.rsplit([' ', ',']).find(|word| !word.is_empty())?.parse().ok()
        };
        if let Some(bytes) = number_before(" bytes stack frame") {
            usage.stack = bytes;
        }
        if let Some(bytes) = number_before(" bytes spill stores") {
            usage.spill_stores = bytes;
        }
        if let Some(bytes) = number_before(" bytes spill loads") {
            usage.spill_loads = bytes;
        }
        if let Some(count) = number_before(" registers") {
            usage.registers = count;
        }
    }
    kernels.sort_by(|a, b| a.kernel.cmp(&b.kernel));
    kernels
}

/// On PATH, in CUDA_PATH, already fetched, or fetched now.
pub fn find_ptxas(prefer: Prefer, offline: bool) -> Option<PathBuf> {
    let cuda = std::env::var_os("CUDA_PATH").map(|folder| PathBuf::from(folder).join("bin/ptxas"));
    let cuda = cuda.filter(|file| file.is_file());
    let fetched = workspace::target().join("ptxas/nvidia/cu13/bin/ptxas");
    let installed = match prefer {
        Prefer::Path => on_path("ptxas").or(cuda),
        Prefer::Toolkit => cuda.or_else(|| on_path("ptxas")),
    };
    installed.or_else(|| Some(fetched.clone()).filter(|file| file.is_file())).or_else(|| {
        if offline {
            return None;
        }
        match fetch(&fetched) {
            Ok(()) => Some(fetched),
            Err(error) => {
                println!("ptxas could not be fetched: {error:#}");
                None
            }
        }
    })
}

fn fetch(ptxas: &Path) -> Result<()> {
    println!("fetching ptxas from PyPI ({PACKAGE}) …");
    let folder = workspace::target().join("ptxas");
    std::fs::create_dir_all(&folder)?;
    let mut download = Command::new("python3");
    download.current_dir(&folder).args(["-m", "pip", "download", "--quiet", "--no-deps"]);
    output_within(download.args(["--only-binary=:all:", "-d", ".", PACKAGE]), LIMIT)?;
    // A wheel is a zip archive, and python3 can open one.
    let unpack = "import glob, zipfile\nfor wheel in glob.glob('*.whl'): zipfile.ZipFile(wheel).extract('nvidia/cu13/bin/ptxas')";
    output_within(Command::new("python3").current_dir(&folder).args(["-c", unpack]), LIMIT)?;
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(ptxas, std::fs::Permissions::from_mode(0o755))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serialized_mmas_are_noticed() {
        let line = "ptxas info    : (C7513) Potential Performance Loss: wgmma.mma_async instructions are \
                    serialized due to non wgmma instructions defining input registers";
        let report = format!("ptxas info    : 0 bytes gmem\n{line}\n");
        assert_eq!(serialized(&report), Some(line));
        assert_eq!(serialized("ptxas info    : 0 bytes gmem\n"), None);
    }

    #[test]
    fn a_report_is_read() {
        let report = "\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'k' for 'sm_100f'
ptxas info    : Function properties for k
    128 bytes stack frame, 8 bytes spill stores, 4 bytes spill loads
ptxas info    : Used 42 registers, used 1 barriers, 128 bytes cumulative stack size
";
        let expected = Usage {
            kernel: "k".into(),
            registers: 42,
            stack: 128,
            spill_stores: 8,
            spill_loads: 4,
        };
        assert_eq!(parse_report(report), [expected]);
    }
}
