//! From the syntax tree to typed instructions: [`op`] says what an instruction does, [`program`]
//! what a decoded module holds.

pub mod op;
pub mod program;
