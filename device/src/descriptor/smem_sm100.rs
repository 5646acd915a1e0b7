//! The 64-bit shared-memory matrix descriptor of `tcgen05.mma` and `tcgen05.cp`.

use super::field;

/// How the bytes of a tile are permuted, in this descriptor's numbering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Sm100Swizzle {
    /// Rows of 16 bytes, not permuted.
    None = 0,
    /// Rows of 128 bytes, 16-byte pieces exchanged within 1024 bytes.
    B128 = 2,
}

/// Where a K-major operand, or a block of scale atoms, lies in shared memory.
///
/// | bits | field |
/// |---|---|
/// | 13:0 | start address / 16, of the 18-bit CTA-relative address |
/// | 29:16 | leading-dimension byte offset / 16: not read for the layouts here, 0 |
/// | 45:32 | stride-dimension byte offset / 16: from one group of 8 rows to the next |
/// | 48:46 | constant 1 |
/// | 51:49 | base offset: 0, the pattern starts where its alignment says |
/// | 52 | leading-dimension mode: 0 |
/// | 63:61 | swizzle |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sm100SmemDescriptor(u64);

/// The shared window's rank bits and everything else above a CTA's own 256 KiB.
const CTA_ADDRESS: u32 = 0x3_ffff;

/// Bytes from one group of 8 rows to the next, 128B swizzle: 8 rows of 128 bytes.
const SBO_SWIZZLE_128B: u64 = 1024;
/// Bytes from one group of 8 rows to the next in a scale atom: 8 rows of 16 bytes.
const SBO_SCALE_ATOM: u64 = 128;

/// Everything but the address of a K-major 128B-swizzled tile.
const K_MAJOR_128B: u64 = field(SBO_SWIZZLE_128B >> 4, 32, 14)
    | field(1, 46, 3)
    | field(Sm100Swizzle::B128 as u64, 61, 3);

/// Everything but the address of a scale atom.
const SCALE_ATOM: u64 =
    field(SBO_SCALE_ATOM >> 4, 32, 14) | field(1, 46, 3) | field(Sm100Swizzle::None as u64, 61, 3);

impl Sm100SmemDescriptor {
    /// A K-major tile with rows of 128 bytes and the 128B swizzle, at a shared-window address that
    /// is a multiple of 1024.
    #[inline(always)]
    pub const fn k_major_128b(address: u32) -> Self {
        Sm100SmemDescriptor(K_MAJOR_128B | start_address(address))
    }

    /// A scale atom (32 rows of 16 bytes) for `tcgen05.cp.32x128b.warpx4`, at a shared-window
    /// address that is a multiple of 16.
    #[inline(always)]
    pub const fn scale_atom(address: u32) -> Self {
        Sm100SmemDescriptor(SCALE_ATOM | start_address(address))
    }

    /// The descriptor of the same layout `bytes` further on, a multiple of 16: the next K step
    /// within swizzled rows (32 bytes), or the next atom (512 bytes).
    ///
    /// The tile and the distance must stay below the CTA's 256 KiB, so the 14-bit field cannot
    /// carry into its neighbour.
    #[inline(always)]
    pub const fn advance(self, bytes: u32) -> Self {
        Sm100SmemDescriptor(self.0 + (bytes >> 4) as u64)
    }

    /// The bits as the instruction takes them.
    #[inline(always)]
    pub const fn bits(self) -> u64 {
        self.0
    }
}

/// The address field. The rank bits of a cluster's shared window are dropped on purpose: the tensor
/// core takes CTA-relative addresses, and left in they would land in the leading-dimension field.
const fn start_address(address: u32) -> u64 {
    field(((address & CTA_ADDRESS) >> 4) as u64, 0, 14)
}

const _: () = assert!(Sm100SmemDescriptor::k_major_128b(0x8400).bits() == 0x4000_4040_0000_0840);
const _: () =
    assert!(Sm100SmemDescriptor::k_major_128b(0x8400).advance(64).bits() == 0x4000_4040_0000_0844);
const _: () = assert!(Sm100SmemDescriptor::scale_atom(0x2_0400).bits() == 0x0000_4008_0000_2040);
