//! The device crate through rust-cuda: libNVVM instead of LLVM's own backend. The compiler lives in a
//! package outside the workspace, `xtask/rust-cuda`; here it is checked for, started and listened to.

mod prerequisites;
mod surroundings;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::workspace;

pub use surroundings::Surroundings;

/// A GPU that rust-cuda compiles for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arch {
    /// As on the command line.
    pub name: &'static str,
    /// `.target` of the PTX.
    pub target: &'static str,
    /// What ptxas assembles it for.
    pub assembled_for: &'static [&'static str],
}

/// What the kernels' declarations call the architecture of either.
pub const DECLARED: &str = "sm_100f";

/// What the family shares, as the default backend's PTX has it.
pub const COMPUTE_100F: Arch = Arch {
    name: "100f",
    target: "sm_100f",
    assembled_for: &["sm_100a", "sm_100f", "sm_103a", "sm_103f"],
};

/// Compute capability 10.0 alone.
const COMPUTE_100A: Arch = Arch { name: "100a", target: "sm_100a", assembled_for: &["sm_100a"] };

/// Why there is no Hopper here.
const NO_HOPPER: &str = "rust-cuda cannot build for Hopper: below compute_100 libNVVM takes the \
    bitcode of LLVM 7, and the rust-cuda that compiles this crate writes that of LLVM 19. \
    Hopper's kernels come from the default backend alone";

impl std::str::FromStr for Arch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = ["sm_", "compute_", ""].iter().find_map(|prefix| text.strip_prefix(prefix));
        match number.unwrap_or(text) {
            "100a" => Ok(COMPUTE_100A),
            "100f" => Ok(COMPUTE_100F),
            "90" | "90a" => Err(NO_HOPPER.to_owned()),
            _ => Err(format!("'{text}' is not a GPU that rust-cuda builds for: 100a or 100f")),
        }
    }
}

/// For the commands that say `sm_100f` and `sm_90a`.
pub fn arch_named(declared: &str) -> Result<Arch> {
    declared.parse().map_err(|error: String| anyhow::anyhow!(error))
}

/// The package with the compiler.
fn package() -> PathBuf {
    workspace::root().join("xtask/rust-cuda")
}

/// Where the PTX is left for whoever wants to look at it.
pub fn path(arch: Arch) -> PathBuf {
    workspace::target().join(format!("rust-cuda/nvfp4_dual_gemm_{}.ptx", arch.target))
}

/// Compiles the device crate and returns the PTX as libNVVM prints it. What is missing on this
/// machine is named all at once.
pub fn compile(arch: Arch, offline: bool) -> Result<String> {
    let ready = prerequisites::check(&Surroundings::of_process(), &package(), offline)?;
    println!("compiling the device crate for {} through rust-cuda …", arch.target);
    println!("  the first time this builds the compiler, which takes minutes");
    let mut command = Command::new("rustup");
    command
        .current_dir(package())
        .args(["run", &ready.toolchain, "cargo", "run", "--release"])
        .env("NVFP4_RUST_CUDA_ARCH", arch.name)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    if offline {
        command.arg("--offline");
    }
    // What this process's own cargo and rustup set would send the other one to the wrong compiler.
    for name in ["CARGO", "RUSTUP_TOOLCHAIN", "RUSTC", "RUSTC_WRAPPER", "RUSTC_BOOTSTRAP"] {
        command.env_remove(name);
    }
    for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_TARGET_DIR", "CARGO_MANIFEST_DIR"] {
        command.env_remove(name);
    }
    command.envs(ready.variables);
    let output = command.output().context("starting rustup")?;
    if !output.status.success() {
        bail!(
            "rust-cuda did not compile the device crate ({}); its own words are above. Beside what \
             was checked for, building it takes a C++ compiler, and pkg-config with OpenSSL's \
             headers: `apt-get install g++ pkg-config libssl-dev zlib1g-dev libzstd-dev`",
            output.status
        );
    }
    let ptx = String::from_utf8(output.stdout).context("the PTX is not text")?;
    // libNVVM ends its text as C does.
    let ptx = ptx.trim_end_matches('\0').to_owned();
    let target = format!(".target {}", arch.target);
    if !ptx.lines().any(|line| line.trim_end() == target || line.starts_with(&format!("{target},")))
    {
        bail!("rust-cuda was asked for {}, and its PTX has no line '{target}'", arch.name);
    }
    Ok(ptx)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn architectures_are_read_and_hopper_is_refused_with_the_reason() {
        for text in ["100a", "sm_100a", "compute_100a"] {
            assert_eq!(text.parse(), Ok(COMPUTE_100A));
        }
        assert_eq!("sm_100f".parse(), Ok(COMPUTE_100F));
        for text in ["90a", "sm_90a", "compute_90"] {
            let error = text.parse::<Arch>().unwrap_err();
            assert!(error.contains("LLVM 7") && error.contains("default backend"), "{error}");
        }
        assert!("120a".parse::<Arch>().unwrap_err().contains("100a or 100f"));
        assert!(arch_named("sm_90a").is_err());
    }

    #[test]
    fn the_package_lies_outside_the_workspace_and_agrees_with_the_checks() {
        let read = |path: &str| std::fs::read_to_string(workspace::root().join(path)).unwrap();
        assert!(read("Cargo.toml").contains("exclude = [\"xtask/rust-cuda\"]"));
        let manifest = read("xtask/rust-cuda/Cargo.toml");
        assert!(manifest.contains("\n[workspace]\n"));
        // One revision, for the builder and for the patched library.
        let source = prerequisites::GitSource::of(&manifest).unwrap();
        assert_eq!(manifest.matches(&format!("rev = \"{}\"", source.revision)).count(), 2);
        assert_eq!(manifest.matches(&format!("git = \"{}\"", source.url)).count(), 2);
        // Nothing of it is in the workspace's own lock file.
        let lock = read("Cargo.lock");
        assert!(!lock.contains("git+") && !lock.contains("cuda_builder"), "a git dependency");
    }
}
