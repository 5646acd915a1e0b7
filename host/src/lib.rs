//! Fused NVFP4 gate/up GEMM with SwiGLU.

pub mod error;
pub mod formats;
pub mod plan;
pub mod problem;
pub mod reference;

pub use error::{Error, Result};
pub use plan::Plan;
pub use problem::{Inputs, OutputType, Problem};
