//! The device crate through rustc's nvptx64 backend.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::toolchain::DeviceRustc;
use crate::workspace::{self, output_of};

/// A GPU that the device crate is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// `.target` of the PTX.
    pub arch: &'static str,
    /// LLVM's feature that sets `.version`.
    ptx_feature: &'static str,
    /// What ptxas assembles it for.
    pub assembled_for: &'static [&'static str],
}

impl Target {
    /// Every target that is shipped.
    pub const ALL: &'static [Target] = &[
        Target {
            arch: "sm_100f",
            // `.block16` needs PTX 8.8, and LLVM would write the older version that sm_100 appeared in.
            ptx_feature: "ptx88",
            assembled_for: &["sm_100a", "sm_100f", "sm_103a", "sm_103f"],
        },
        Target {
            arch: "sm_90a",
            // Bulk copies to `.shared::cta` need PTX 8.6.
            ptx_feature: "ptx86",
            assembled_for: &["sm_90a"],
        },
    ];

    /// Where the kernels' PTX is committed.
    pub fn path(self) -> PathBuf {
        workspace::root().join(format!("host/ptx/nvfp4_dual_gemm_{}.ptx", self.arch))
    }

    /// Where the PTX of the wrappers' probes is committed, for the tests to compare with.
    pub fn probes_path(self) -> PathBuf {
        workspace::root().join(format!("tests/data/golden/probes_{}.ptx", self.arch))
    }
}

/// Compiles the device crate with `features` and returns the PTX as LLVM prints it.
pub fn compile(rustc: &DeviceRustc, target: Target, features: &str) -> Result<String> {
    println!("compiling the device crate for {} …", target.arch);
    let folder = workspace::target().join("device").join(target.arch);
    let flags = format!(
        "-C target-cpu={} -C target-feature=+{} -C linker=/bin/true --cfg device_arch=\"{}\"",
        target.arch, target.ptx_feature, target.arch
    );
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(workspace::root());
    // What cargo set for xtask itself must not leak into the other compiler's build.
    for (name, _) in std::env::vars_os() {
        let name_text = name.to_string_lossy();
        if name_text.starts_with("CARGO_") && name_text != "CARGO_HOME" || name_text == "RUSTFLAGS"
        {
            command.env_remove(&name);
        }
    }
    command
        .env("RUSTC", &rustc.path)
        // -Z flags and `asm_experimental_arch` on a release compiler.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", flags)
        .args(["rustc", "--release", "--package", "nvfp4-dual-gemm-device", "--lib"])
        .args(["--features", features])
        .args(["--crate-type", "cdylib", "-Zbuild-std=core", "--target", "nvptx64-nvidia-cuda"])
        .args(["--config", "profile.release.panic='abort'"])
        .args(["--config", "profile.release.lto='fat'"])
        .args(["--config", "profile.release.codegen-units=1"])
        .args(["--config", "profile.release.debug=false"])
        .arg("--target-dir")
        .arg(&folder)
        .args(["--", "--emit=asm"]);
    if let Some(libraries) = &rustc.library_path {
        command.env("LD_LIBRARY_PATH", libraries);
    }
    output_of(&mut command).context("compiling the device crate")?;
    let assembly: &Path = &folder.join("nvptx64-nvidia-cuda/release/deps/nvfp4_dual_gemm_device.s");
    std::fs::read_to_string(assembly).with_context(|| format!("reading {}", assembly.display()))
}
