//! Sparse A: of every four *units* along K two are there, and four bits of metadata say which. A unit
//! has 16 bits for the 16- and 32-bit types (of which a 32-bit element takes two), otherwise 8 (of
//! which a packed pair of 4-bit elements takes one).

use super::instr_descriptor::MmaKind;

/// Bytes of a unit.
pub const fn unit_bytes(element_bits: u32) -> usize {
    if element_bits >= 16 { 2 } else { 1 }
}

/// Spreads a compressed row out, with zeros between. `code(g)` is the metadata of the g-th four
/// units: the places of the two, the first in the low bits.
///
/// # Errors
/// When a code names one place twice, for two numbers that are not zero: the group and the code.
pub fn expand(
    compressed: &[u8],
    unit: usize,
    code: impl Fn(usize) -> u32,
) -> Result<Vec<u8>, (usize, u32)> {
    let mut row = vec![0; compressed.len() * 2];
    for (group, pair) in compressed.chunks_exact(2 * unit).enumerate() {
        let code = code(group) & 15;
        let (first, second) = (code as usize & 3, code as usize >> 2);
        // Undefined; shipped compressors give one place twice where there is one number or none.
        let is_zero = |at: usize| pair[at..at + unit].iter().all(|&byte| byte == 0);
        if first == second && !is_zero(0) && !is_zero(unit) {
            return Err((group, code));
        }
        let to = &mut row[group * 4 * unit..][..4 * unit];
        to[first * unit..][..unit].copy_from_slice(&pair[..unit]);
        if first != second || is_zero(0) {
            to[second * unit..][..unit].copy_from_slice(&pair[unit..]);
        }
    }
    Ok(row)
}

/// Where the metadata of `mma.sp` and `wgmma.sp` lies, for a matrix of sixteen rows with `groups`
/// groups of four units in a row: lane and first bit of the code of `row` and `group`.
///
/// Words of sixteen bits hold four groups. With 16-bit units a lane of each four has one word of row
/// g and one of row g + 8; with 8-bit units two words of one of the rows. The selector says which
/// lane, or pair of lanes, begins.
pub const fn register_code(
    unit: usize,
    groups: u32,
    selector: u32,
    row: u32,
    group: u32,
) -> (u32, u32) {
    let (quad, upper) = (row % 8 * 4, row / 8);
    if unit == 2 {
        let lanes = if groups > 4 { 2 } else { 1 };
        (quad + selector * lanes + group / 4, 16 * upper + 4 * (group % 4))
    } else {
        (quad + selector * 2 + group / 8 * 2 + upper, 4 * (group % 8))
    }
}

/// Columns of tensor memory that the metadata of one `tcgen05.mma.sp` takes, a selected one of two
/// for the kinds with 16-bit units.
pub const fn tensor_columns(kind: MmaKind) -> u32 {
    match kind {
        MmaKind::F16 | MmaKind::Tf32 => 1,
        _ => 2,
    }
}

/// Where the metadata of `tcgen05.mma.sp` lies: lane (for rows that follow each other without
/// gaps), column and first bit of the code of `row` and `group`.
pub const fn tensor_code(kind: MmaKind, row: u32, group: u32) -> (u32, u32, u32) {
    match kind {
        MmaKind::F16 | MmaKind::Tf32 => {
            let lane = row / 16 * 16 + row % 8 + 8 * (group / 4);
            (lane, 0, 16 * (row / 8 % 2) + 4 * (group % 4))
        }
        _ => (row, group / 8, 4 * (group % 8)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn rows_are_spread_out() {
        let row = expand(&[1, 2, 3, 4], 1, |group| [0b1110, 0b0100][group]).unwrap();
        assert_eq!(row, [0, 0, 1, 2, 3, 4, 0, 0]);
        let row = expand(&[1, 2, 3, 4], 2, |_| 0b0111).unwrap();
        assert_eq!(row, [0, 0, 3, 4, 0, 0, 1, 2], "in the order that the metadata says");
        assert_eq!(expand(&[1, 2], 1, |_| 0b1010), Err((0, 0b1010)));
        assert_eq!(expand(&[0, 2], 1, |_| 0b1010).unwrap(), [0, 0, 2, 0]);
        assert_eq!(expand(&[1, 0], 1, |_| 0).unwrap(), [1, 0, 0, 0]);
    }

    #[test]
    fn every_code_has_a_place_of_its_own() {
        for (unit, groups, selectors) in [(2, 4, 4), (2, 8, 2), (1, 8, 2), (1, 16, 1)] {
            let mut seen = HashSet::new();
            for selector in 0..selectors {
                for (row, group) in (0..16).flat_map(|r| (0..groups).map(move |g| (r, g))) {
                    let (lane, bit) = register_code(unit, groups, selector, row, group);
                    assert!(lane < 32 && bit < 32 && seen.insert((lane, bit)));
                }
            }
        }
        for (kind, groups) in [(MmaKind::F16, 8), (MmaKind::I8, 16), (MmaKind::Mxf4, 16)] {
            let mut seen = HashSet::new();
            for (row, group) in (0..128).flat_map(|r| (0..groups).map(move |g| (r, g))) {
                let (lane, column, bit) = tensor_code(kind, row, group);
                assert!(lane < 128 && column < tensor_columns(kind) && bit < 32);
                assert!(seen.insert((lane, column, bit)));
            }
        }
    }
}
