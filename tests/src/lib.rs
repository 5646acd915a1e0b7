//! Where host, device and emulator meet: the accumulation model, test data, and the kernels run on
//! the emulator. Used by the test files of this folder and by `cargo xtask verify`.

pub mod data;
pub mod emulated;
pub mod judge;
pub mod model;
