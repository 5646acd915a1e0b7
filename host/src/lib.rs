//! Fused NVFP4 gate/up GEMM with SwiGLU.

pub mod error;
pub mod formats;

pub use error::{Error, Result};
