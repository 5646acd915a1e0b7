//! Where host, device and emulator meet: the accumulation model, test data, the kernels run on the
//! emulator, and mistakes to be made in them. Used by the test files of this folder and by
//! `cargo xtask`.

pub mod data;
pub mod emulated;
pub mod grouped;
pub mod judge;
pub mod model;
pub mod mutants;
pub mod patch;
pub mod strided;
