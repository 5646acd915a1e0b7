//! From accumulators to C.

pub mod silu_mul;
pub mod store;
pub mod store_tokens;
