//! The gate/up half of a SwiGLU layer on NVFP4 weights, as one GPU kernel:
//! `C = silu(alpha1 · A · B1ᵀ) ⊙ (alpha2 · A · B2ᵀ)`.
//!
//! * [`formats`]: e2m1, ue4m3, quantising to NVFP4, the layouts of block scales.
//! * [`checkpoint`]: gate/up pairs out of `.safetensors` files.
//! * [`problem`]: shapes, their rules and the sizes that follow.
//! * [`plan`]: which kernel with which tile, grid and tensor maps; data, not calls.
//! * [`forms`]: the contest's input forms, ten tensors and four lists.
//! * [`grouped`]: the same, and the plain product, for many groups in one launch.
//! * [`backend`], [`mod@ptx`] and [`launch`]: what a device must be able to do, the compiled kernels, and a
//!   run from host memory to host memory.
//! * [`reference`](mod@reference): the same in f64, to judge results by.
//!
//! Nothing here needs a GPU. What is not legal is an [`Error`] that says which dimension, tensor or
//! file, what it is, what it must be, and what to do.
//!
//! ```
//! use nvfp4_dual_gemm::{Inputs, Nvfp4Matrix, Plan, Problem, TensorScale, reference::dual_gemm};
//!
//! // Three tokens of 64 features, and a layer that is 8 features wide inside.
//! let (m, n, k) = (3, 8, 64);
//! let values = |count, step: f32| -> Vec<f32> { (0..count).map(|i| (i as f32 * step).sin()).collect() };
//! let a = Nvfp4Matrix::quantize(&values(m * k, 0.1), m, k, TensorScale::FromData)?;
//! let gate = Nvfp4Matrix::quantize(&values(n * k, 0.2), n, k, TensorScale::FromData)?;
//! let up = Nvfp4Matrix::quantize(&values(n * k, 0.3), n, k, TensorScale::FromData)?;
//!
//! // Tensor scales meet in the epilogue; gate and up keep their own.
//! let alpha1 = a.tensor_scale() * gate.tensor_scale();
//! let alpha2 = a.tensor_scale() * up.tensor_scale();
//! let problem = Problem::new(m, n, k).with_alphas(alpha1, alpha2);
//!
//! let plan = Plan::choose(&problem, 148)?;
//! assert_eq!(plan.grid, [1, 1, 1]);
//! println!("{plan}");
//!
//! let inputs = Inputs {
//!     a: a.packed(),
//!     b1: gate.packed(),
//!     b2: up.packed(),
//!     sfa: &a.blocked_scales(1)?,
//!     sfb1: &gate.blocked_scales(1)?,
//!     sfb2: &up.blocked_scales(1)?,
//! };
//! let result = dual_gemm(&problem, &inputs)?;
//!
//! // The first element, from the values that the matrices stand for.
//! let dot = |x: &[f32], y: &[f32]| -> f64 {
//!     x.iter().zip(y).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum()
//! };
//! let (a, gate, up) = (a.dequantize(), gate.dequantize(), up.dequantize());
//! let (g, u) = (dot(&a[..k], &gate[..k]), dot(&a[..k], &up[..k]));
//! let want = g / (1.0 + (-g).exp()) * u;
//! assert!((result.c[0] - want).abs() <= 1e-5 * want.abs());
//! # Ok::<(), nvfp4_dual_gemm::Error>(())
//! ```

#![deny(unsafe_code)]

pub mod backend;
pub mod checkpoint;
pub mod error;
pub mod formats;
pub mod forms;
pub mod grouped;
pub mod launch;
pub mod plan;
pub mod problem;
pub mod ptx;
pub mod reference;

pub use backend::Backend;
pub use checkpoint::{Checkpoint, GateUp};
pub use error::{Error, Result};
pub use formats::nvfp4::{Nvfp4Matrix, TensorScale};
pub use launch::dual_gemm;
pub use plan::Plan;
pub use problem::{ActivationType, Inputs, OutputType, Problem};

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
