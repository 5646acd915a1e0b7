//! The compiled kernels. `cargo xtask build-ptx` writes them; they are committed, so that neither
//! the device compiler nor CUDA is needed to build an application.

/// The kernels of compute capability 10.0 and 10.3, PTX ISA 8.8.
pub const SM_100F: &str = include_str!("../ptx/nvfp4_dual_gemm_sm_100f.ptx");

/// The kernels of compute capability 9.0, PTX ISA 8.6.
pub const SM_90A: &str = include_str!("../ptx/nvfp4_dual_gemm_sm_90a.ptx");

/// The PTX of a target that a [`Plan`](crate::Plan) names in its `arch`.
pub fn for_arch(arch: &str) -> Option<&'static str> {
    match arch {
        "sm_100f" => Some(SM_100F),
        "sm_90a" => Some(SM_90A),
        _ => None,
    }
}
