//! The sums of the sm_90 kernels → the two products of two neighbouring columns of C.
//!
//! A warpgroup's thread has sums of one product only, in an order that no row of C has, and several
//! warpgroups, or CTAs of a cluster, may have parts of the same sum. So all go through shared memory:
//! `[part][product][token][row]`. Whoever reads adds the parts up in a fixed order, so that the result
//! has the same bits every time.

use crate::ptx::SharedAddr;
use crate::ptx::cluster::{ld_shared_cluster_v2_f32, mapa};
use crate::ptx::memory::{ld_shared_v2_b32, st_shared_f32};
use crate::ptx::sreg::tid_x;
use crate::tile::packed_sm90::{CHUNK_ROWS, PIECE_ROWS, PIECES};
use crate::tile::sm90::Sm90Geometry;

/// Memory for the sums of `TOKENS` tokens at a time, of tiles of `T` tokens and `R` rows.
#[derive(Clone, Copy)]
pub struct Exchange<const T: u32, const R: u32, const TOKENS: u32> {
    /// Where it begins.
    pub at: SharedAddr,
}

/// Two neighbouring columns of one token: the sums of both products.
#[derive(Clone, Copy)]
pub struct Pair {
    /// The token, in the tile.
    pub token: u32,
    /// The first of the columns, in the tile.
    pub column: u32,
    /// Of B1.
    pub gate: [f32; 2],
    /// Of B2.
    pub up: [f32; 2],
}

impl<const T: u32, const R: u32, const TOKENS: u32> Exchange<T, R, TOKENS> {
    const GEOMETRY: Sm90Geometry = Sm90Geometry::new(T, R);
    const PITCH: u32 = Self::GEOMETRY.exchange_pitch();
    const BYTES: u32 = Self::GEOMETRY.exchange_bytes(TOKENS);

    /// Puts those of a thread's sums there that are of round `ROUND`, of warp `warp` of those that
    /// multiply.
    ///
    /// # Safety
    /// All warps that multiply; nobody reads the exchange before the next barrier.
    #[inline(always)]
    pub unsafe fn put<const REGS: usize, const ROUND: u32>(self, warp: u32, d: &[f32; REGS]) {
        let lane = tid_x() % 32;
        let (g, t) = (lane / 4, lane % 4);
        let (warpgroup, warp) = (warp / 4, warp % 4);
        let (chunk, part) =
            (warpgroup / Self::GEOMETRY.parts(), warpgroup % Self::GEOMETRY.parts());
        let (product, piece) = (warp / PIECES, warp % PIECES);
        let row = CHUNK_ROWS * chunk + PIECE_ROWS * piece + g;
        let to = self.at.offset((2 * part + product) * Self::BYTES);
        let to = to.offset(4 * (2 * t * Self::PITCH + row));
        for i in 0..TOKENS / 8 {
            let to = to.offset(4 * 8 * i * Self::PITCH);
            let first = (ROUND * TOKENS / 2 + 4 * i) as usize;
            let d = [d[first], d[first + 1], d[first + 2], d[first + 3]];
            // SAFETY: the words are this thread's alone.
            unsafe {
                st_shared_f32(to, d[0]);
                st_shared_f32(to.offset(4 * Self::PITCH), d[1]);
                st_shared_f32(to.offset(4 * 8), d[2]);
                st_shared_f32(to.offset(4 * (Self::PITCH + 8)), d[3]);
            }
        }
    }

    /// Pairs in the exchange at a time.
    #[inline(always)]
    pub const fn pairs(self) -> u32 {
        TOKENS * (R / 2)
    }

    /// Where a pair's first part lies, and the pair without its sums.
    #[inline(always)]
    fn find(self, round: u32, index: u32) -> (SharedAddr, Pair) {
        let (token, column) = (index / (R / 2), index % (R / 2) * 2);
        let at = self.at.offset(4 * (token * Self::PITCH + column));
        (at, Pair { token: round * TOKENS + token, column, gate: [0.0; 2], up: [0.0; 2] })
    }

    /// Pair number `index` of a round.
    ///
    /// # Safety
    /// The exchange is complete, and nobody writes it before the next barrier.
    #[inline(always)]
    pub unsafe fn pair(self, round: u32, index: u32) -> Pair {
        let (at, mut pair) = self.find(round, index);
        for part in 0..Self::GEOMETRY.parts() {
            let at = at.offset(2 * part * Self::BYTES);
            // SAFETY: the caller's.
            let (gate, up) =
                unsafe { (ld_shared_v2_b32(at), ld_shared_v2_b32(at.offset(Self::BYTES))) };
            pair.add(gate.map(f32::from_bits), up.map(f32::from_bits));
        }
        pair
    }

    /// Pair number `index`, over the exchanges of the cluster's `ranks` CTAs.
    ///
    /// # Safety
    /// The exchanges of all CTAs are complete, and none of them ends before the next cluster barrier.
    #[inline(always)]
    pub unsafe fn pair_of_cluster(self, ranks: u32, index: u32) -> Pair {
        let (at, mut pair) = self.find(0, index);
        for rank in 0..ranks {
            let at = mapa(at, rank);
            for part in 0..Self::GEOMETRY.parts() {
                let at = at.offset(2 * part * Self::BYTES);
                // SAFETY: the caller's.
                unsafe {
                    pair.add(
                        ld_shared_cluster_v2_f32(at),
                        ld_shared_cluster_v2_f32(at.offset(Self::BYTES)),
                    );
                }
            }
        }
        pair
    }
}

impl Pair {
    #[inline(always)]
    fn add(&mut self, gate: [f32; 2], up: [f32; 2]) {
        self.gate = [self.gate[0] + gate[0], self.gate[1] + gate[1]];
        self.up = [self.up[0] + up[0], self.up[1] + up[1]];
    }
}
