//! A tensor to be copied into another order, as the rearranging kernel and the host agree on it.
//!
//! A task is a loop over six indices, the last fastest, each with a step in bytes at the source and one
//! at the destination. The three outer ones choose what a CTA does, the three inner ones what a thread does.
//!
//! Block scales that lie row by row become 128×4 blocked ones by the indices (batch, block of 128 rows,
//! block of 4 scales, row mod 32, row / 32, scale): where the row or the scale is beyond the tensor, 0 is
//! written and nothing is read.

/// Bytes of a task. Its fields are at the offsets below.
pub const TASK_BYTES: u32 = 160;
/// Address of the first element at the source.
pub const FROM: u32 = 0;
/// Address of the first element at the destination.
pub const TO: u32 = 8;
/// Six sizes, 32 bits each.
pub const SIZES: u32 = 16;
/// Bytes of an element: 1, 2 or 16.
pub const ELEMENT: u32 = 40;
/// Rows that a tensor of scales has; 0 of others, which have every element.
pub const ROWS: u32 = 44;
/// Scales that a row has.
pub const COLUMNS: u32 = 48;
/// Six steps in bytes at the source, 64 bits each.
pub const FROM_STEPS: u32 = 64;
/// Six steps in bytes at the destination, 64 bits each.
pub const TO_STEPS: u32 = 112;

/// Threads per CTA.
pub const REARRANGE_THREADS: u32 = 256;

/// Row and scale within a row, from the last five indices of blocked scales.
pub const fn place_of_scale([block, four, row, quarter, scale]: [u32; 5]) -> (u32, u32) {
    (128 * block + 32 * quarter + row, 4 * four + scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scale_has_one_place() {
        let mut seen = std::collections::BTreeSet::new();
        for block in 0..2 {
            for four in 0..3 {
                for within in 0..512 {
                    let indices = [block, four, within / 16, within / 4 % 4, within % 4];
                    assert!(seen.insert(place_of_scale(indices)));
                }
            }
        }
        assert_eq!(seen.len(), 256 * 12);
        assert_eq!(seen.last(), Some(&(255, 11)));
    }
}
