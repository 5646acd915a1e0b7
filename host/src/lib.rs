//! Fused NVFP4 gate/up GEMM with SwiGLU.

#![deny(unsafe_code)]

pub mod checkpoint;
pub mod error;
pub mod formats;
pub mod plan;
pub mod problem;
pub mod reference;

pub use checkpoint::{Checkpoint, GateUp};
pub use error::{Error, Result};
pub use formats::nvfp4::{Nvfp4Matrix, TensorScale};
pub use plan::Plan;
pub use problem::{Inputs, OutputType, Problem};
