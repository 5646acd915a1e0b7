//! Runs rust-cuda's compiler on the device crate.

use std::env;
use std::path::Path;

use cuda_builder::{CudaBuilder, NvvmArch};

/// Which Blackwell, as `cargo xtask build-ptx --arch` has it.
const ARCH: &str = "NVFP4_RUST_CUDA_ARCH";

fn main() {
    println!("cargo:rerun-if-env-changed={ARCH}");
    println!("cargo:rerun-if-changed=build.rs");
    let arch = match env::var(ARCH).as_deref() {
        Ok("100a") => NvvmArch::Compute100a,
        Ok("100f") | Err(_) => NvvmArch::Compute100f,
        Ok(other) => {
            eprintln!("{ARCH} is '{other}': 100a and 100f are what there are kernels for");
            std::process::exit(1);
        }
    };
    let here = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let here = Path::new(&here);
    let device =
        here.join("../../device").canonicalize().expect("the device crate lies beside xtask");
    let manifest = here.join("Cargo.toml");
    let out = env::var("OUT_DIR").expect("cargo sets it");
    let built = CudaBuilder::new(&device)
        .arch(arch)
        // Bits of C are promised: a product and a sum are two roundings unless the source asks for one.
        .fma_contraction(false)
        // The device crate as this package's dependency, not as a member of its own workspace.
        .build_args(&[
            "--manifest-path",
            manifest.to_str().expect("the repository's path is text"),
            "--package",
            "nvfp4-dual-gemm-device",
        ])
        .copy_to(Path::new(&out).join("kernels.ptx"))
        .build();
    if let Err(error) = built {
        eprintln!("rust-cuda could not compile the device crate: {error}");
        std::process::exit(1);
    }
}
