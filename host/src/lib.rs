//! Fused NVFP4 gate/up GEMM with SwiGLU.

pub mod backend;
pub mod error;
pub mod formats;
pub mod launch;
pub mod plan;
pub mod problem;
pub mod ptx;
pub mod reference;

pub use backend::Backend;
pub use error::{Error, Result};
pub use launch::dual_gemm;
pub use plan::Plan;
pub use problem::{Inputs, OutputType, Problem};
