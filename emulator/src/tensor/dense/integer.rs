//! `kind::i8`: exact sums of products of bytes.

use super::ROWS;
use crate::tensor::instr_descriptor::Element;

/// D = A·Bᵀ, or D += A·Bᵀ, in s32. `a` and `b` hold rows of `k` bytes; `d[n]` is column n of D by
/// row. Results wrap, or saturate where `saturate` is set.
///
/// # Panics
/// When there are more than 128 rows, or `d` has not one column per row of B.
pub fn multiply_integers(
    (a, a_type): (&[u8], Element),
    (b, b_type): (&[u8], Element),
    k: usize,
    add: bool,
    saturate: bool,
    d: &mut [[u32; ROWS]],
) {
    assert!(a.len() <= ROWS * k && b.len() == d.len() * k, "rows of K bytes");
    let value = |byte: u8, element| match element {
        Element::S8 => i64::from(byte.cast_signed()),
        _ => i64::from(byte),
    };
    for (row_b, column) in b.chunks_exact(k).zip(d) {
        for (row_a, cell) in a.chunks_exact(k).zip(column) {
            let old = if add { i64::from(cell.cast_signed()) } else { 0 };
            let products = row_a.iter().zip(row_b);
            let dot: i64 = products.map(|(&x, &y)| value(x, a_type) * value(y, b_type)).sum();
            let sum = old + dot;
            let bounded = sum.clamp(i32::MIN.into(), i32::MAX.into());
            *cell = (if saturate { bounded } else { sum }) as u32;
        }
    }
}
