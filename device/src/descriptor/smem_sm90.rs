//! The 64-bit shared-memory matrix descriptor of `wgmma`.

use super::field;

/// How the bytes of a tile are permuted, in this descriptor's numbering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Sm90Swizzle {
    /// Rows of 128 bytes, 16-byte pieces exchanged within 1024 bytes.
    B128 = 1,
}

/// Where a K-major operand lies in shared memory.
///
/// | bits | field |
/// |---|---|
/// | 13:0 | start address / 16, of the 18-bit CTA-relative address |
/// | 29:16 | leading-dimension byte offset / 16: not read for swizzled K-major tiles, 1 |
/// | 45:32 | stride-dimension byte offset / 16: from one group of 8 rows to the next |
/// | 51:49 | base offset: 0, the pattern starts where its alignment says |
/// | 63:62 | swizzle |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sm90SmemDescriptor(u64);

/// The shared window's rank bits and everything else above a CTA's own 256 KiB.
const CTA_ADDRESS: u32 = 0x3_ffff;

/// Bytes from one group of 8 rows to the next: 8 rows of 128 bytes.
const SBO_SWIZZLE_128B: u64 = 1024;

/// Everything but the address.
const K_MAJOR_128B: u64 = field(1, 16, 14)
    | field(SBO_SWIZZLE_128B >> 4, 32, 14)
    | field(Sm90Swizzle::B128 as u64, 62, 2);

impl Sm90SmemDescriptor {
    /// A K-major tile with rows of 128 bytes and the 128B swizzle, at a shared-window address that
    /// is a multiple of 1024.
    #[inline(always)]
    pub const fn k_major_128b(address: u32) -> Self {
        Sm90SmemDescriptor(K_MAJOR_128B | field(((address & CTA_ADDRESS) >> 4) as u64, 0, 14))
    }

    /// The descriptor of the same layout `bytes` further on, a multiple of 16: the next K step
    /// within swizzled rows (32 bytes), or the next tile.
    ///
    /// The tile and the distance must stay below the CTA's 256 KiB, so the 14-bit field cannot
    /// carry into its neighbour.
    #[inline(always)]
    pub const fn advance(self, bytes: u32) -> Self {
        Sm90SmemDescriptor(self.0 + (bytes >> 4) as u64)
    }

    /// The bits as the instruction takes them.
    #[inline(always)]
    pub const fn bits(self) -> u64 {
        self.0
    }
}

const _: () = assert!(Sm90SmemDescriptor::k_major_128b(0x8400).bits() == 0x4000_0040_0001_0840);
const _: () =
    assert!(Sm90SmemDescriptor::k_major_128b(0x8400).advance(32).bits() == 0x4000_0040_0001_0842);
