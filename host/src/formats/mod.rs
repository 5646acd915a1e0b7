//! The number formats of NVFP4 and the layouts they are stored in.
//!
//! A value is `e2m1 code × block scale × tensor scale`: four bits per element ([`e2m1`]), one
//! unsigned e4m3 byte for every 16 elements along K ([`ue4m3`]), one f32 for the whole tensor
//! ([`nvfp4`]). The kernels want the block scales in 128×4 blocks ([`scale_layout`]).

pub mod e2m1;
pub mod element;
pub mod nvfp4;
pub mod scale_layout;
pub mod ue4m3;
