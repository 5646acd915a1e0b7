//! The order in which sm_90 keeps the weights: made once by `sm90_pack_weights`, read by the kernels.
//!
//! ```text
//! packed weights  [L][⌈N/128⌉ blocks][⌈K/256⌉ stages][4 chunks of 32 rows] of one chunk
//! chunk           codes  [B1, B2][2 pieces of 16 rows][4 quarters of 64 along K][32 lanes][4 words]
//!                 scales [B1, B2][2 pieces of 16 rows][4 quarters of 64 along K][8 row pairs][8 bytes]
//! ```
//!
//! So what a tile of 32, 64 or 128 rows wants of a stage is one piece of memory, and one copy.
//!
//! A word is a lane's A fragment of one 16 × 16 MMA, the four words of a lane are four such steps along
//! K: one 16-byte load of a lane feeds four MMAs, and a warp's load is 512 neighbouring bytes. With lane
//! `4g + t`, the word's low half has K positions `2t` and `2t + 8`, its high half `2t + 1` and `2t + 9`,
//! each of rows `g` and `g + 8`:
//!
//! | bits of a half | element |
//! |---|---|
//! | 15, 11:9 | sign and magnitude of row `g`, first position |
//! | 7, 3:1 | of row `g + 8`, first position |
//! | 8, 14:12 | of row `g`, second position |
//! | 0, 6:4 | of row `g + 8`, second position |
//!
//! The first two lie where f16 wants them, after a shift by a byte for the second.
//!
//! A row pair's 8 scale bytes are two words, each of two steps: bytes 0 and 2 are rows `g` and `g + 8` of
//! the first step, bytes 1 and 3 of the second. A scale has five bits of exponent with bias 22 and three
//! of mantissa; all ones are NaN. A block whose scale is zero has magnitudes of zero instead.
//!
//! Rows beyond N and elements beyond K are zero.

/// Rows of each weight in one chunk.
pub const CHUNK_ROWS: u32 = 32;
/// K elements in one chunk: a stage of every kernel's pipeline.
pub const STAGE_K: u32 = 256;
/// Rows of one MMA.
pub const PIECE_ROWS: u32 = 16;
/// K elements of one MMA.
pub const STEP_K: u32 = 16;
/// Quarters of a stage: 64 elements along K, one load of a lane.
pub const QUARTERS: u32 = 4;
/// K elements of a quarter.
pub const QUARTER_K: u32 = STAGE_K / QUARTERS;
/// Bytes of the codes of 16 rows × 64 elements.
pub const CODE_BYTES: u32 = PIECE_ROWS * QUARTER_K / 2;
/// Bytes of their scales.
pub const SCALE_BYTES: u32 = PIECE_ROWS * QUARTER_K / STEP_K;
/// Pieces of 16 rows in a chunk, of one weight.
pub const PIECES: u32 = CHUNK_ROWS / PIECE_ROWS;
/// Bytes from B1's codes to B2's.
pub const CODES_OF_B2: u32 = PIECES * QUARTERS * CODE_BYTES;
/// Bytes from the chunk's start to its scales.
pub const SCALES: u32 = 2 * CODES_OF_B2;
/// Bytes from B1's scales to B2's.
pub const SCALES_OF_B2: u32 = PIECES * QUARTERS * SCALE_BYTES;
/// Bytes of a chunk.
pub const CHUNK_BYTES: u32 = SCALES + 2 * SCALES_OF_B2;
/// Rows that the packed weights are padded to a multiple of: the tallest tile.
pub const PADDED_ROWS: u32 = 128;
/// Chunks of that many rows.
pub const BLOCK_CHUNKS: u32 = PADDED_ROWS / CHUNK_ROWS;
/// Threads of the packing kernel: a warp for each 16 rows × 64 elements of a chunk.
pub const PACK_THREADS: u32 = 32 * 2 * PIECES * QUARTERS;

/// Byte offset of 16 rows' codes within a chunk, of B1.
pub const fn codes_at(piece: u32, quarter: u32) -> u32 {
    (piece * QUARTERS + quarter) * CODE_BYTES
}

/// Byte offset of 16 rows' scales within a chunk, of B1.
pub const fn scales_at(piece: u32, quarter: u32) -> u32 {
    SCALES + (piece * QUARTERS + quarter) * SCALE_BYTES
}

/// Chunks along N.
pub const fn chunks_along_n(n: u32) -> u32 {
    n.div_ceil(PADDED_ROWS) * BLOCK_CHUNKS
}

/// Byte offset of a chunk of batch `batch`.
pub const fn chunk_offset(n: u32, k: u32, batch: u32, chunk: u32, stage: u32) -> u64 {
    let block = batch as u64 * n.div_ceil(PADDED_ROWS) as u64 + (chunk / BLOCK_CHUNKS) as u64;
    let stage = block * k.div_ceil(STAGE_K) as u64 + stage as u64;
    (stage * BLOCK_CHUNKS as u64 + (chunk % BLOCK_CHUNKS) as u64) * CHUNK_BYTES as u64
}

/// Bytes from a chunk's stage to its next.
pub const STAGE_PITCH: u32 = BLOCK_CHUNKS * CHUNK_BYTES;

/// Bytes of all packed weights of `batches` batches.
pub const fn packed_bytes(n: u32, k: u32, batches: u32) -> u64 {
    chunk_offset(n, k, batches, 0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_weights_have_as_many_bytes_as_the_operands() {
        assert_eq!(CHUNK_BYTES, 2 * CHUNK_ROWS * STAGE_K / 16 * 9);
        assert_eq!(packed_bytes(4096, 7168, 1), 2 * 4096 * 7168 / 16 * 9);
    }

    #[test]
    fn edges_are_padded() {
        assert_eq!(packed_bytes(8, 32, 3), 3 * 4 * CHUNK_BYTES as u64);
        assert_eq!(chunk_offset(136, 544, 1, 0, 0), 8 * 3 * CHUNK_BYTES as u64);
        assert_eq!(chunk_offset(136, 544, 0, 5, 1), (4 * (3 + 1) + 1) * CHUNK_BYTES as u64);
        assert_eq!(
            chunk_offset(136, 544, 0, 5, 2),
            chunk_offset(136, 544, 0, 5, 1) + STAGE_PITCH as u64
        );
    }
}
