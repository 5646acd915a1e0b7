//! The machine: who owns what. Grid > Cluster > CTA > Warp > Lane.

pub mod access;
pub mod bitmap;
pub mod clock;
pub mod cluster;
pub mod global;
pub mod inflight;
pub mod lines;
pub mod mbarrier;
pub mod named_barrier;
pub mod races;
pub mod registers;
pub mod shadow;
pub mod shared;
pub mod tmem;
pub mod warp;
pub mod warpgroup;
pub mod window;
