//! Block scales in memory: row-major as checkpoints store them, and in 128×4 blocks as the tensor
//! core reads them.
//!
//! The blocked layout pads rows to 128 and blocks along K to 4. The scales of 128 rows × 4 blocks
//! form one atom of 512 bytes, in which rows 0, 32, 64 and 96 come first, 4 scales each, then rows
//! 1, 33, 65, 97, and so on. Atoms follow each other along K, then along the rows, then the batches.

use super::ue4m3;
use crate::error::{Error, Result};

/// Elements along K that share a block scale.
pub const BLOCK: usize = 16;
const ATOM_ROWS: usize = 128;
const ATOM_BLOCKS: usize = 4;
const ATOM_BYTES: usize = ATOM_ROWS * ATOM_BLOCKS;

/// The layouts of the block scales of `batch` matrices of `rows × k` elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScaleLayout {
    rows: usize,
    blocks: usize,
    batch: usize,
}

impl ScaleLayout {
    /// The layouts for `batch` matrices of `rows` rows and `k` elements along K.
    ///
    /// # Errors
    /// A dimension that is 0, a K that is no multiple of 16, a size beyond the address space.
    pub fn new(rows: usize, k: usize, batch: usize) -> Result<Self> {
        let refuse = |dimension, value, rule, remedy| {
            Err(Error::Dimension { dimension, value, rule, remedy })
        };
        if k == 0 || !k.is_multiple_of(BLOCK) {
            return refuse(
                "K",
                k,
                "a multiple of 16, and not 0",
                "16 elements share a block scale",
            );
        }
        if rows == 0 {
            return refuse("rows", rows, "at least 1", "leave out empty matrices");
        }
        if batch == 0 {
            return refuse("L", batch, "at least 1", "a single matrix is a batch of 1");
        }
        let layout = ScaleLayout { rows, blocks: k / BLOCK, batch };
        if layout.checked_blocked_len().is_none() {
            return refuse("rows", rows, "small enough that the scales fit an address", "split it");
        }
        Ok(layout)
    }

    /// Bytes of the row-major form: batch · rows · K/16.
    pub fn row_major_len(&self) -> usize {
        self.batch * self.rows * self.blocks
    }

    /// Bytes of the blocked form: batch · ⌈rows/128⌉·128 · ⌈K/64⌉·4.
    pub fn blocked_len(&self) -> usize {
        self.batch * self.row_atoms() * self.k_atoms() * ATOM_BYTES
    }

    /// Where the blocked form holds the scale of block `block` of row `row` of matrix `batch`.
    /// Rows and blocks of the padding have a place too.
    ///
    /// # Errors
    /// An index beyond the padded matrix.
    pub fn blocked_offset(&self, batch: usize, row: usize, block: usize) -> Result<usize> {
        let refuse = |dimension, value, rule| {
            Err(Error::Dimension { dimension, value, rule, remedy: "indices count from 0" })
        };
        if batch >= self.batch {
            return refuse("batch index", batch, "below L");
        }
        if row >= self.row_atoms() * ATOM_ROWS {
            return refuse("row", row, "below the rows padded to 128");
        }
        if block >= self.k_atoms() * ATOM_BLOCKS {
            return refuse("block", block, "below the blocks along K padded to 4");
        }
        Ok(self.offset(batch, row, block))
    }

    /// Row-major to blocked, with zeros in the padding: a scale of 0 times data of 0.
    ///
    /// # Errors
    /// A slice that is not [`row_major_len`](Self::row_major_len) bytes long.
    pub fn to_blocked(&self, row_major: &[u8]) -> Result<Vec<u8>> {
        self.to_blocked_padded(row_major, 0)
    }

    /// Row-major to blocked, with `padding` in the bytes that scale nothing.
    ///
    /// # Errors
    /// A slice that is not [`row_major_len`](Self::row_major_len) bytes long.
    pub fn to_blocked_padded(&self, row_major: &[u8], padding: u8) -> Result<Vec<u8>> {
        self.check_row_major_len("block scales", row_major)?;
        let mut blocked = vec![padding; self.blocked_len()];
        for (index, row_scales) in row_major.chunks_exact(self.blocks).enumerate() {
            let (batch, row) = (index / self.rows, index % self.rows);
            for (four, scales) in row_scales.chunks(ATOM_BLOCKS).enumerate() {
                let at = self.offset(batch, row, four * ATOM_BLOCKS);
                blocked[at..at + scales.len()].copy_from_slice(scales);
            }
        }
        Ok(blocked)
    }

    /// Blocked to row-major; the padding is dropped, whatever it holds.
    ///
    /// # Errors
    /// A slice that is not [`blocked_len`](Self::blocked_len) bytes long.
    pub fn to_row_major(&self, blocked: &[u8]) -> Result<Vec<u8>> {
        self.check_blocked_len("block scales", blocked)?;
        let mut row_major = vec![0; self.row_major_len()];
        for (index, row_scales) in row_major.chunks_exact_mut(self.blocks).enumerate() {
            let (batch, row) = (index / self.rows, index % self.rows);
            for (four, scales) in row_scales.chunks_mut(ATOM_BLOCKS).enumerate() {
                let at = self.offset(batch, row, four * ATOM_BLOCKS);
                scales.copy_from_slice(&blocked[at..at + scales.len()]);
            }
        }
        Ok(row_major)
    }

    /// Checks length and scales of a row-major tensor, called `tensor` in messages.
    ///
    /// # Errors
    /// A wrong length; a scale that is NaN or negative, by row and block.
    pub fn check_row_major(&self, tensor: &'static str, scales: &[u8]) -> Result<()> {
        self.check_row_major_len(tensor, scales)?;
        self.check_scales(tensor, scales)
    }

    /// Checks length and scales of a blocked tensor, called `tensor` in messages. Its padding may
    /// hold anything.
    ///
    /// # Errors
    /// A wrong length; a scale that is NaN or negative, by row and block.
    pub fn check_blocked(&self, tensor: &'static str, scales: &[u8]) -> Result<()> {
        self.check_blocked_len(tensor, scales)?;
        self.check_scales(tensor, &self.to_row_major(scales)?)
    }

    fn check_row_major_len(&self, tensor: &'static str, scales: &[u8]) -> Result<()> {
        let remedy = if scales.len() == self.blocked_len() {
            "that is the size of the 128×4 blocked layout: convert with `ScaleLayout::to_row_major`"
        } else {
            "pass the row-major scales, one byte for 16 elements"
        };
        let want = self.row_major_len();
        check_length(tensor, "bytes", scales.len(), want, "L · rows · K/16", remedy)
    }

    fn check_blocked_len(&self, tensor: &'static str, scales: &[u8]) -> Result<()> {
        let remedy = if scales.len() == self.row_major_len() {
            "that is the size of the row-major layout: convert with `ScaleLayout::to_blocked`"
        } else {
            "pass the 128×4 blocked scales, padding included"
        };
        let formula = "L · ⌈rows/128⌉·128 · ⌈K/64⌉·4";
        check_length(tensor, "bytes", scales.len(), self.blocked_len(), formula, remedy)
    }

    fn check_scales(&self, tensor: &'static str, row_major: &[u8]) -> Result<()> {
        match first_defect(row_major, self.blocks) {
            None => Ok(()),
            Some(defect) => Err(defect.into_error(tensor.into())),
        }
    }

    fn row_atoms(&self) -> usize {
        self.rows.div_ceil(ATOM_ROWS)
    }

    fn k_atoms(&self) -> usize {
        self.blocks.div_ceil(ATOM_BLOCKS)
    }

    fn checked_blocked_len(&self) -> Option<usize> {
        let rows = self.row_atoms().checked_mul(self.k_atoms())?;
        // The row-major form is never longer.
        rows.checked_mul(self.batch)?
            .checked_mul(ATOM_BYTES)
            .filter(|&len| len <= isize::MAX as usize)
    }

    fn offset(&self, batch: usize, row: usize, block: usize) -> usize {
        let row_atom = batch * self.row_atoms() + row / ATOM_ROWS;
        let atom = row_atom * self.k_atoms() + block / ATOM_BLOCKS;
        // An atom is 32 lines of 16 bytes; a line holds 4 scales of each of 4 rows, 32 rows apart.
        let (line, part) = (row % 32, row % ATOM_ROWS / 32);
        atom * ATOM_BYTES + line * 16 + part * ATOM_BLOCKS + block % ATOM_BLOCKS
    }
}

/// A byte that is no block scale, and where it stands.
pub(crate) struct ScaleDefect {
    what: &'static str,
    byte: u8,
    row: usize,
    block: usize,
}

impl ScaleDefect {
    pub(crate) fn into_error(self, tensor: String) -> Error {
        let ScaleDefect { what, byte, row, block } = self;
        let first = block * BLOCK;
        Error::BlockScale { tensor, what, byte, row, block, first, last: first + BLOCK - 1 }
    }
}

/// The first byte of row-major scales, `blocks` in a row, that is no block scale.
pub(crate) fn first_defect(row_major: &[u8], blocks: usize) -> Option<ScaleDefect> {
    let at = row_major.iter().position(|&byte| byte > 0x7e)?;
    let byte = row_major[at];
    let what = ue4m3::defect(byte)?;
    Some(ScaleDefect { what, byte, row: at / blocks, block: at % blocks })
}

/// Compares a length with what a shape asks for.
pub(crate) fn check_length(
    tensor: &'static str,
    unit: &'static str,
    got: usize,
    want: usize,
    formula: &'static str,
    remedy: &'static str,
) -> Result<()> {
    if got == want {
        return Ok(());
    }
    Err(Error::Length { tensor, unit, got, want, formula, remedy })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_worked_out_by_hand() {
        for (rows, k, row, block, want) in [
            (256, 7168, 77, 6, 730),
            (256, 7168, 200, 447, 114_315),
            (256, 7168, 128, 0, 57_344),
            (300, 448, 299, 27, 10_423),
        ] {
            let layout = ScaleLayout::new(rows, k, 1).unwrap();
            assert_eq!(layout.blocked_offset(0, row, block).unwrap(), want);
        }
    }

    #[test]
    fn sizes() {
        let layout = ScaleLayout::new(300, 448, 3).unwrap();
        assert_eq!(layout.row_major_len(), 3 * 300 * 28);
        assert_eq!(layout.blocked_len(), 3 * 384 * 28);
        // K = 32 uses half an atom; a batch starts at a whole one.
        let layout = ScaleLayout::new(1, 32, 2).unwrap();
        assert_eq!(layout.blocked_len(), 2 * 512);
        assert_eq!(layout.blocked_offset(1, 0, 0).unwrap(), 512);
    }

    #[test]
    fn padding_holds_the_byte_asked_for() {
        let layout = ScaleLayout::new(1, 32, 1).unwrap();
        let blocked = layout.to_blocked_padded(&[0x11, 0x22], 0x7f).unwrap();
        assert_eq!(blocked[..2], [0x11, 0x22]);
        assert!(blocked[2..].iter().all(|&byte| byte == 0x7f));
        layout.check_blocked("sfa", &blocked).unwrap();
        assert_eq!(layout.to_row_major(&blocked).unwrap(), [0x11, 0x22]);
        assert_eq!(layout.to_blocked(&[1, 2]).unwrap()[2..], [0; 510]);
    }

    #[test]
    fn a_nan_inside_is_named_by_row_and_block() {
        let layout = ScaleLayout::new(130, 64, 1).unwrap();
        let mut scales = vec![0x38; layout.row_major_len()];
        scales[129 * 4 + 2] = 0x7f;
        let blocked = layout.to_blocked(&scales).unwrap();
        for error in [
            layout.check_row_major("sfb1", &scales).unwrap_err(),
            layout.check_blocked("sfb1", &blocked).unwrap_err(),
        ] {
            let text = error.to_string();
            for part in ["sfb1", "row 129", "block 2", "32 to 47", "NaN", "0x7f"] {
                assert!(text.contains(part), "{text}");
            }
        }
        scales[129 * 4 + 2] = 0x81;
        let text = layout.check_row_major("sfb1", &scales).unwrap_err().to_string();
        assert!(text.contains("negative"), "{text}");
    }

    #[test]
    fn the_other_layouts_size_is_recognised() {
        let layout = ScaleLayout::new(130, 64, 1).unwrap();
        let text = layout.to_blocked(&[0; 256 * 4]).unwrap_err().to_string();
        assert!(
            text.contains("1024 bytes") && text.contains("520") && text.contains("to_row_major")
        );
        let text = layout.to_row_major(&[0; 130 * 4]).unwrap_err().to_string();
        assert!(text.contains("520 bytes") && text.contains("1024") && text.contains("to_blocked"));
        let text = layout.to_row_major(&[0; 7]).unwrap_err().to_string();
        assert!(text.contains("7 bytes") && text.contains("padding included"), "{text}");
    }

    #[test]
    fn odd_dimensions_are_refused() {
        for (rows, k, batch, name) in
            [(0, 64, 1, "rows = 0"), (1, 0, 1, "K = 0"), (1, 40, 1, "K = 40"), (1, 64, 0, "L = 0")]
        {
            let text = ScaleLayout::new(rows, k, batch).unwrap_err().to_string();
            assert!(text.contains(name), "{text}");
        }
        assert!(ScaleLayout::new(usize::MAX, 1 << 40, 9).is_err());
        let layout = ScaleLayout::new(130, 48, 1).unwrap();
        assert!(layout.blocked_offset(1, 0, 0).is_err());
        assert!(layout.blocked_offset(0, 256, 0).is_err());
        assert!(layout.blocked_offset(0, 0, 4).is_err());
        assert!(layout.blocked_offset(0, 255, 3).is_ok());
    }
}
