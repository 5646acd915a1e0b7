//! Where block scales lie in the 128×4 blocked layout that the tensor core reads.
//!
//! The scales of 128 rows × 4 blocks of 16 form one atom of 512 bytes. Atoms of the same 128 rows
//! follow each other along K, so the atoms of one pipeline stage are contiguous.

use super::geometry::{MMA_K, SCALE_ATOM_BYTES, SCALE_ATOM_ROWS};

/// Atoms along K: one per 64 elements, the last one perhaps half used.
pub const fn atoms_along_k(k: u32) -> u32 {
    k.div_ceil(MMA_K)
}

/// Byte offset of the atom that holds rows `row..row + 128` (`row` a multiple of 128) and K blocks
/// `4·atom..4·atom + 4` of batch `batch`, in a tensor of `rows` rows and `k` elements along K.
pub const fn atom_offset(rows: u32, k: u32, batch: u32, row: u32, atom: u32) -> u64 {
    let row_blocks = rows.div_ceil(SCALE_ATOM_ROWS) as u64;
    let row_block = batch as u64 * row_blocks + (row / SCALE_ATOM_ROWS) as u64;
    (row_block * atoms_along_k(k) as u64 + atom as u64) * SCALE_ATOM_BYTES as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_atom_of_a_long_row_block() {
        // Row 200, block 447 of K = 7168 lies in the atom at (112 + 111)·512 = 114176.
        assert_eq!(atom_offset(256, 7168, 0, 128, 111), 114_176);
    }

    #[test]
    fn a_batch_is_a_whole_number_of_row_blocks() {
        // 130 rows are two row blocks; K = 96 is two atoms.
        assert_eq!(atom_offset(130, 96, 1, 0, 0), 2 * 2 * 512);
    }
}
