//! The permutation of shared-memory addresses used by tensor copies and by the tensor cores.
//!
//! It is a function of the absolute shared address: a tile whose start is not aligned to the
//! pattern's period sees the pattern shifted, exactly as on hardware.

use serde::Deserialize;

/// A swizzle mode, named as in the driver's tensor-map enumeration (without its prefix).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
pub enum Swizzle {
    /// Addresses as they are.
    #[default]
    #[serde(rename = "NONE")]
    None,
    /// 16-byte chunks within 32 bytes: bit 4 ^= bit 7.
    #[serde(rename = "32B")]
    B32,
    /// 16-byte chunks within 64 bytes: bits 5:4 ^= bits 8:7.
    #[serde(rename = "64B")]
    B64,
    /// 16-byte chunks within 128 bytes: bits 6:4 ^= bits 9:7.
    #[serde(rename = "128B")]
    B128,
    /// 32-byte chunks within 128 bytes: bits 6:5 ^= bits 8:7.
    #[serde(rename = "128B_ATOM_32B")]
    B128Atom32,
    /// As [`Swizzle::B128Atom32`], with the 8-byte halves exchanged in alternate rows.
    #[serde(rename = "128B_ATOM_32B_FLIP_8B")]
    B128Atom32Flip8,
    /// 64-byte chunks within 128 bytes.
    #[serde(rename = "128B_ATOM_64B")]
    B128Atom64,
}

impl Swizzle {
    /// Where the byte with the linear address `address` is kept.
    ///
    /// The two modes whose pattern is not settled by the public text permute nothing here; a tensor
    /// map with one of them is refused as unsupported before it gets this far.
    #[inline]
    pub const fn apply(self, address: u32) -> u32 {
        self.apply_with_phase(address, address)
    }

    /// As [`Swizzle::apply`], with the row bits taken from `phase` instead of the address.
    #[inline]
    pub(crate) const fn apply_with_phase(self, address: u32, phase: u32) -> u32 {
        match self {
            Swizzle::None | Swizzle::B128Atom32Flip8 | Swizzle::B128Atom64 => address,
            Swizzle::B32 => address ^ ((phase >> 3) & 0x10),
            Swizzle::B64 => address ^ ((phase >> 3) & 0x30),
            Swizzle::B128 => address ^ ((phase >> 3) & 0x70),
            Swizzle::B128Atom32 => address ^ ((phase >> 2) & 0x60),
        }
    }

    /// Bytes of one row of the pattern: the largest inner box dimension, and the row pitch of a
    /// K-major operand.
    pub const fn span(self) -> u32 {
        match self {
            Swizzle::None => 16,
            Swizzle::B32 => 32,
            Swizzle::B64 => 64,
            _ => 128,
        }
    }

    /// Whether the pattern is known well enough to be emulated.
    pub const fn is_supported(self) -> bool {
        !matches!(self, Swizzle::B128Atom32Flip8 | Swizzle::B128Atom64)
    }

    /// The driver's name without its prefix.
    pub const fn name(self) -> &'static str {
        match self {
            Swizzle::None => "NONE",
            Swizzle::B32 => "32B",
            Swizzle::B64 => "64B",
            Swizzle::B128 => "128B",
            Swizzle::B128Atom32 => "128B_ATOM_32B",
            Swizzle::B128Atom32Flip8 => "128B_ATOM_32B_FLIP_8B",
            Swizzle::B128Atom64 => "128B_ATOM_64B",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Swizzle::{self, B32, B64, B128, B128Atom32};

    #[test]
    fn check_values() {
        for (address, b128, b64, b32) in [
            (0x080, 0x090, 0x090, 0x090),
            (0x190, 0x1A0, 0x1A0, 0x180),
            (0x3F0, 0x380, 0x3C0, 0x3E0),
        ] {
            assert_eq!(B128.apply(address), b128);
            assert_eq!(B64.apply(address), b64);
            assert_eq!(B32.apply(address), b32);
            assert_eq!(Swizzle::None.apply(address), address);
        }
        assert_eq!(B128.apply(0x26E4), 0x26B4);
        assert_eq!(B128Atom32.apply(0x080), 0x0A0);
        assert_eq!(B128Atom32.apply(0x1FF), 0x19F);
    }

    #[test]
    fn every_mode_is_a_permutation_of_its_period_and_its_own_inverse() {
        for mode in [Swizzle::None, B32, B64, B128, B128Atom32] {
            let mut seen = vec![false; 1024];
            for address in 0..1024 {
                let to = mode.apply(address);
                assert!(!std::mem::replace(&mut seen[to as usize], true));
                assert_eq!(mode.apply(to), address);
                assert_eq!(
                    to & !(mode.span() - 1),
                    address & !(mode.span() - 1),
                    "stays in its row"
                );
            }
        }
    }
}
