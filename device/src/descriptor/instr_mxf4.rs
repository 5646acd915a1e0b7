//! The 32-bit instruction descriptor of `kind::mxf4` and `kind::mxf4nvf4`.

use super::field;

/// Element types of A and B under this kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Mxf4Element {
    /// 4-bit float: sign, two exponent bits, one mantissa bit.
    E2M1 = 1,
}

/// Types of the block scales under this kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Mxf4Scale {
    /// Unsigned e4m3, one per 16 elements: NVFP4.
    Ue4m3 = 0,
    /// Power of two, one per 32 elements: MXFP4.
    Ue8m0 = 1,
}

/// Shape and types of one block-scaled MMA, dense, K = 64, both operands K-major (the only order
/// that 4-bit operands have).
///
/// | bits | field |
/// |---|---|
/// | 2:0 | sparsity: 0 |
/// | 5:4 | B scale-factor id: 0 |
/// | 9:7 | A type |
/// | 12:10 | B type |
/// | 16:13 | negate and transpose: 0 |
/// | 22:17 | N / 8 |
/// | 23 | scale type |
/// | 28:27 | M / 128 |
/// | 30:29 | A scale-factor id: 0 |
/// | 31 | K: 0 means 64 |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mxf4InstrDescriptor(u32);

impl Mxf4InstrDescriptor {
    /// The descriptor of an M × N × 64 MMA in one CTA.
    ///
    /// # Panics
    /// If `m` is not 128, or `n` is not a multiple of 8 from 8 to 256. In constants that is a
    /// compile error.
    pub const fn new(m: u32, n: u32, element: Mxf4Element, scale: Mxf4Scale) -> Self {
        assert!(m == 128, "4-bit MMAs in one CTA have M = 128");
        assert!(
            n >= 8 && n <= 256 && n.is_multiple_of(8),
            "N must be a multiple of 8 from 8 to 256"
        );
        let bits = field(element as u64, 7, 3)
            | field(element as u64, 10, 3)
            | field((n / 8) as u64, 17, 6)
            | field(scale as u64, 23, 1)
            | field((m / 128) as u64, 27, 2);
        Mxf4InstrDescriptor(bits as u32)
    }

    /// The bits as the instruction takes them.
    #[inline(always)]
    pub const fn bits(self) -> u32 {
        self.0
    }
}

const _: () = assert!(
    Mxf4InstrDescriptor::new(128, 128, Mxf4Element::E2M1, Mxf4Scale::Ue4m3).bits() == 0x0820_0480
);
const _: () = assert!(
    Mxf4InstrDescriptor::new(128, 64, Mxf4Element::E2M1, Mxf4Scale::Ue4m3).bits() == 0x0810_0480
);
