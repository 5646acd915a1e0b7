//! The machine: who owns what. Grid > Cluster > CTA > Warp > Lane.

pub mod access;
pub mod bitmap;
pub mod global;
pub mod inflight;
pub mod mbarrier;
pub mod named_barrier;
pub mod registers;
pub mod shared;
pub mod tmem;
