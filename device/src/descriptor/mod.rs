//! The bit fields that the tensor core reads, as types that refuse bad values.
//!
//! One type per hardware unit and one enum per field per kind: the same number means different
//! things elsewhere (E2M1 is 1 here and 5 under `kind::mxf8f6f4`; the 128-byte swizzle is 2 here and
//! 3 in a tensor map).

pub mod instr_mxf4;
pub mod smem_sm100;
pub mod smem_sm90;

/// Places `value` in a field of `width` bits starting at bit `low`.
///
/// # Panics
/// If the value does not fit: a field is never masked. In constants that is a compile error.
pub(crate) const fn field(value: u64, low: u32, width: u32) -> u64 {
    assert!(value >> width == 0, "value does not fit its descriptor field");
    value << low
}
