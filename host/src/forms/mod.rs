//! The two input forms of the contest that these operations come from, as types.
//!
//! * [`tensors()`]: the dense dual GEMM as ten tensors
//!   `(a, b1, b2, sfa, sfb1, sfb2, sfa_permuted, sfb1_permuted, sfb2_permuted, c)`, or as the seven
//!   without the permuted ones.
//! * [`lists()`]: a grouped problem as four lists
//!   `(abc_tensors, sfasfb_tensors, sfasfb_reordered_tensors, problem_sizes)`, or as the three without
//!   the reordered one. A group of `(a, b, c)` and `(sfa, sfb)` is a GEMM, one of `(a, b1, b2, c)` and
//!   `(sfa, sfb1, sfb2)` a dual GEMM.
//!
//! Packed data are `[mn, K/2, L]`, block scales `[mn, K/16, L]`, permuted scales
//! `[32, 4, ⌈mn/128⌉, 4, ⌈K/64⌉, L]`, C is `[M, N, L]`: shapes, whose strides say how the memory is
//! ordered. Memory that is ordered as the kernels want it (`[L, mn, K/2]`, `[L, ⌈mn/128⌉, ⌈K/64⌉, 32, 4,
//! 4]`, `[L, M, N]`, the last index fastest) is used where it lies; other host memory is copied into
//! that order by the adapters, other device memory by a kernel that [`prepare()`] sets up once: of weights it
//! runs then, of activations and of C with every launch.
//!
//! Both entries take what a caller was handed, as [`Value`]s, and say which element of which tuple does
//! not fit, what it should be and what it is. Handing one form to the other's entry is recognised.

pub mod arrange;
pub mod lists;
pub mod operand;
pub mod rearrange;
pub mod tensors;
pub mod view;

pub use arrange::{Arranged, arrange, prepare};
pub use lists::{GroupedForm, lists};
pub use operand::{Adapted, Operand};
pub use rearrange::Rearrangement;
pub use tensors::{DenseForm, tensors};
pub use view::{Element, Memory, View};

use crate::error::Error;

/// What an element of a tuple can be. Tuples and lists are the same here.
#[derive(Debug, Clone)]
pub enum Value<'a> {
    /// A tensor.
    Tensor(View<'a>),
    /// A list or a tuple.
    List(Vec<Value<'a>>),
    /// A number.
    Integer(i64),
}

impl Value<'_> {
    /// What it is, in words.
    pub fn describe(&self) -> String {
        match self {
            Value::Tensor(view) => view.to_string(),
            Value::Integer(value) => format!("the number {value}"),
            Value::List(values) => match values.first() {
                None => "an empty list".into(),
                Some(first) => {
                    let kind = match first {
                        Value::Tensor(_) => "tensors",
                        Value::List(_) => "lists",
                        Value::Integer(_) => "numbers",
                    };
                    format!("a list of {} {kind}", values.len())
                }
            },
        }
    }
}

/// Whether scales that are given in both forms are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BothScales {
    /// The permuted ones are taken, the others not looked at.
    Trust,
    /// Every scale is compared; both must be in host memory.
    Compare,
}

/// The error of a form that does not fit.
fn misfit(
    place: impl Into<String>,
    expected: impl Into<String>,
    got: impl Into<String>,
    remedy: &'static str,
) -> Error {
    Error::Form { place: place.into(), expected: expected.into(), got: got.into(), remedy }
}
