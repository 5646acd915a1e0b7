//! Runs PTX on the CPU and judges it.
//!
//! ```text
//! PTX text --parse--> ast --decode--> Op --exec/machine/run--> memory, or a Fault
//! ```
//!
//! Asynchronous work (bulk copies, tensor-core instructions, barrier arrivals) is queued when it is
//! issued and completes later, in an order drawn from a seed. Registers, shared memory, tensor
//! memory and global memory that nobody wrote are faults when read.
//!
//! In reading order: [`parse`] and [`decode`] (text to typed instructions), [`machine`] (memories,
//! barriers, warps, and the clocks that find races), [`numeric`] and [`tensor`] (number formats,
//! descriptors and matrix arithmetic, without state), [`exec`] (one instruction for one warp),
//! [`asyncs`] (what is under way), [`run`] (launches and schedules), [`trace`], [`launch_file`].

pub mod asyncs;
pub mod decode;
pub mod error;
pub mod exec;
pub mod launch_file;
pub mod machine;
pub mod numeric;
pub mod parse;
pub mod run;
pub mod tensor;
pub mod trace;

/// The README's Rust is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
