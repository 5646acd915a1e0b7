//! The GPU side of `nvfp4-dual-gemm`, in layers; each uses only those above it.
//!
//! * `ptx`: one wrapper per PTX instruction, the only place with inline assembly.
//! * [`descriptor`]: the bit fields that the tensor core reads, as types that refuse bad values.
//! * [`tile`]: block sizes and the maps of shared and tensor memory, all constants.
//! * [`pipeline`]: ring of stages, barriers named after events, roles of the warps.
//! * `decode`: NVFP4 to 16-bit floats in registers.
//! * `epilogue`: accumulators to C.
//! * [`kernels`]: the entry points.
//!
//! Compiled for `nvptx64-nvidia-cuda` this is the device code. Compiled for the host it is what the
//! host shares with it, the layers without instructions: descriptors, tiles, kernel declarations.
#![cfg_attr(target_arch = "nvptx64", no_std)]
#![cfg_attr(target_arch = "nvptx64", feature(abi_ptx, asm_experimental_arch))]

#[cfg(target_arch = "nvptx64")]
pub mod decode;
pub mod descriptor;
#[cfg(target_arch = "nvptx64")]
pub mod epilogue;
pub mod kernels;
pub mod pipeline;
#[cfg(target_arch = "nvptx64")]
pub mod ptx;
pub mod tile;

#[cfg(target_arch = "nvptx64")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    ptx::control::trap()
}
