//! The commands of `ptx-emulator` beside `run`, and how all of them report.

pub(crate) mod check;
pub(crate) mod report;
pub(crate) mod trace;
