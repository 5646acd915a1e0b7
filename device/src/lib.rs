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
//!
//! # One source, two compilers
//!
//! rustc's nvptx64 backend is the default; rust-cuda (libNVVM, Blackwell only) takes the same source.
//! The code keeps to what means the same to both:
//!
//! * An entry point is `extern "ptx-kernel"` and carries
//!   `#[cfg_attr(target_feature = "compute_100", nvvm_internal::kernel)]`: only rust-cuda sets that
//!   feature, and only it knows that attribute. This and the choice of kernels in [`kernels`] are
//!   all that is conditional.
//! * Parameters are integers and floats. Slices and structs travel differently, and rust-cuda
//!   refuses what has no size.
//! * No statics: rust-cuda's are not visible to the host. Shared memory is a symbol in the PTX.
//! * No `as` from a float to an integer: it saturates in one and not in the other.
//! * Rounding is asked for, not hoped for: `ptx::math` where one instruction is meant. libNVVM would
//!   contract a product and a sum, and is told not to.
//! * `asm!` with registers and constants only. Neither compiler takes `sym`; rust-cuda has no labels.
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

// rust-cuda's standard library brings a panic handler of its own.
#[cfg(all(target_arch = "nvptx64", feature = "cuda_std"))]
extern crate cuda_std as _;

#[cfg(all(target_arch = "nvptx64", not(feature = "cuda_std")))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    ptx::control::trap()
}
