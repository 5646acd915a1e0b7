//! Grouped GEMM and grouped dual GEMM: many products of different sizes in one launch.
//!
//! * [`problem`]: the operation, its groups in one of two forms, and what they must be.
//! * [`plan`]: which kernel, which tile, in which order; data, as [`Plan`](crate::Plan) is.
//! * [`table`]: the groups' table in device memory, written once.
//! * [`sm100`] and [`sm90`]: what Blackwell's kernels need, and Hopper's.
//! * [`addresses`]: where the tensors lie on a device.
//! * [`inputs`]: host memory to run from.
//! * [`launch`]: prepare once, launch any number of times; and a run from host memory to host memory.
//! * [`two_pass`]: the same result by two plain products and an element-wise kernel, to compare with.
//!
//! *Listed* groups differ in M, N, K and L and are known to the host. *Experts* share N and K; the
//! rows of expert `e` are those from `offsets[e]` up to `offsets[e + 1]` of one tensor, and `offsets`
//! lies in device memory, where the host never looks: a launch can be captured in a graph and replayed
//! while the routing changes. Rows are not padded to tiles. The scales of the tokens are in the 128×4
//! blocked layout, **each expert's starting at a block of 128 rows of its own**: expert `e`'s first
//! block is the sum of ⌈rows/128⌉ over the experts before it.

pub mod addresses;
pub mod inputs;
pub mod launch;
pub mod plan;
pub mod problem;
pub mod sm100;
pub mod sm90;
pub mod table;
pub mod two_pass;

pub use addresses::GroupAddresses;
pub use inputs::GroupedInputs;
pub use launch::{Prepared, run};
pub use plan::{GroupedEstimate, GroupedPlan};
pub use problem::{Experts, Group, GroupedProblem, Groups, Operation, check_offsets};
pub use table::Record;
pub use two_pass::TwoPass;
