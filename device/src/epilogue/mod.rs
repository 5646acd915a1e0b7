//! From accumulators to C.

pub mod silu_mul;
#[cfg(device_arch = "sm_90a")]
pub mod sm90_exchange;
pub mod store;
pub mod store_tokens;
