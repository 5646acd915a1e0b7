//! The machine: who owns what. Grid > Cluster > CTA > Warp > Lane.

pub mod registers;
