//! Properties of the two layouts of block scales.

use nvfp4_dual_gemm::formats::scale_layout::ScaleLayout;
use proptest::prelude::*;

/// The permutation written as tensors are: [batch, row tiles, 4, 32, K tiles, 4] → axes
/// (batch, row tiles, K tiles, 32, 4, 4).
fn permuted(padded: &[u8], batch: usize, row_tiles: usize, k_tiles: usize) -> Vec<u8> {
    let columns = k_tiles * 4;
    let mut out = Vec::with_capacity(padded.len());
    for b in 0..batch {
        for tile in 0..row_tiles {
            for k_tile in 0..k_tiles {
                for inner in 0..32 {
                    for outer in 0..4 {
                        let row = (b * row_tiles + tile) * 128 + outer * 32 + inner;
                        out.extend_from_slice(&padded[row * columns + k_tile * 4..][..4]);
                    }
                }
            }
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn row_major_survives_the_round_trip(
        rows in 1usize..300, blocks in 1usize..20, batch in 1usize..4, padding: u8, seed: u64,
    ) {
        let layout = ScaleLayout::new(rows, blocks * 16, batch).unwrap();
        let scales = noise(layout.row_major_len(), seed);
        let blocked = layout.to_blocked_padded(&scales, padding).unwrap();
        prop_assert_eq!(blocked.len(), layout.blocked_len());
        prop_assert_eq!(blocked.len(), batch * rows.div_ceil(128) * 128 * blocks.div_ceil(4) * 4);
        prop_assert_eq!(layout.to_row_major(&blocked).unwrap(), scales);
    }

    #[test]
    fn offsets_are_a_bijection(rows in 1usize..300, blocks in 1usize..20, batch in 1usize..4) {
        let layout = ScaleLayout::new(rows, blocks * 16, batch).unwrap();
        let mut seen = vec![false; layout.blocked_len()];
        for b in 0..batch {
            for row in 0..rows.next_multiple_of(128) {
                for block in 0..blocks.next_multiple_of(4) {
                    let at = layout.blocked_offset(b, row, block).unwrap();
                    prop_assert!(!seen[at], "two places at {at}");
                    seen[at] = true;
                }
            }
        }
        prop_assert!(seen.iter().all(|&place| place));
    }

    #[test]
    fn blocked_is_the_padded_tensor_permuted(
        rows in 1usize..300, blocks in 1usize..20, batch in 1usize..4, seed: u64,
    ) {
        let layout = ScaleLayout::new(rows, blocks * 16, batch).unwrap();
        let scales = noise(layout.row_major_len(), seed);
        let (row_tiles, k_tiles) = (rows.div_ceil(128), blocks.div_ceil(4));
        let mut padded = vec![0; batch * row_tiles * 128 * k_tiles * 4];
        for b in 0..batch {
            for row in 0..rows {
                let from = (b * rows + row) * blocks;
                let to = (b * row_tiles * 128 + row) * k_tiles * 4;
                padded[to..to + blocks].copy_from_slice(&scales[from..from + blocks]);
            }
        }
        let want = permuted(&padded, batch, row_tiles, k_tiles);
        prop_assert_eq!(layout.to_blocked(&scales).unwrap(), want);
    }

    #[test]
    fn any_dimensions_give_a_layout_or_a_reason(rows: usize, k: usize, batch: usize, len in 0usize..64) {
        if let Ok(layout) = ScaleLayout::new(rows, k, batch) {
            let bytes = vec![0; len];
            prop_assert_eq!(layout.to_blocked(&bytes).is_ok(), len == layout.row_major_len());
            prop_assert_eq!(layout.to_row_major(&bytes).is_ok(), len == layout.blocked_len());
        }
    }
}

fn noise(len: usize, seed: u64) -> Vec<u8> {
    use rand::{Rng, SeedableRng, rngs::SmallRng};
    let mut bytes = vec![0; len];
    SmallRng::seed_from_u64(seed).fill(&mut bytes[..]);
    bytes
}
