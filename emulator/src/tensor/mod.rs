//! Tensor hardware as pure functions: tensor maps and box walks, swizzles, matrix and instruction
//! descriptors, tensor-memory layouts, and the arithmetic of the matrix instructions.
//!
//! Nothing here holds machine state; everything is worked out from the ISA text alone.

pub mod block_scaled;
pub mod dense;
pub mod instr_descriptor;
pub mod map;
pub mod smem_descriptor;
pub mod sparse;
pub mod swizzle;
pub mod tmem_layout;
