//! The 64-bit shared-memory matrix descriptors of `tcgen05` (sm_100) and `wgmma` (sm_90).
//!
//! The two have the same address fields and different swizzle codes; each has its own decoder, and
//! what they decode to can say where every byte of an operand lies.

use super::swizzle::Swizzle;

/// Shared addresses in descriptors have 18 bits.
const ADDRESS_MASK: u32 = 0x3_FFFF;

/// Where a matrix operand lies in shared memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MatrixDescriptor {
    /// Start address in bytes, relative to the CTA's shared window.
    pub start: u32,
    /// Leading-dimension byte offset.
    pub leading: u32,
    /// Stride-dimension byte offset: the distance between groups of eight rows.
    pub stride: u32,
    /// `(pattern start >> 7) & 7` for a swizzle pattern that does not start aligned.
    pub base_offset: u32,
    /// Whether `leading` is an absolute address (sm_103's K = 96 only).
    pub leading_absolute: bool,
    /// The swizzle mode.
    pub swizzle: Swizzle,
}

fn field(bits: u64, low: u32, width: u32) -> u32 {
    ((bits >> low) & ((1 << width) - 1)) as u32
}

fn reserved(bits: u64, low: u32, width: u32) -> Result<(), String> {
    match field(bits, low, width) {
        0 => Ok(()),
        value => Err(format!(
            "matrix descriptor {bits:#018x}: reserved bits {}:{low} hold {value:#x} and must be 0",
            low + width - 1
        )),
    }
}

fn addresses(bits: u64, swizzle: Swizzle) -> MatrixDescriptor {
    MatrixDescriptor {
        start: field(bits, 0, 14) << 4,
        leading: field(bits, 16, 14) << 4,
        stride: field(bits, 32, 14) << 4,
        base_offset: field(bits, 49, 3),
        leading_absolute: false,
        swizzle,
    }
}

/// Decodes a `tcgen05` descriptor.
///
/// # Errors
/// Names the field whose value is illegal.
pub fn decode_sm100(bits: u64) -> Result<MatrixDescriptor, String> {
    let swizzle = match field(bits, 61, 3) {
        0 => Swizzle::None,
        1 => Swizzle::B128Atom32,
        2 => Swizzle::B128,
        4 => Swizzle::B64,
        6 => Swizzle::B32,
        code => {
            return Err(format!(
                "matrix descriptor {bits:#018x}: swizzle code {code} in bits 63:61 is none of \
                 0 (none), 1 (128B, 32-byte atoms), 2 (128B), 4 (64B), 6 (32B)"
            ));
        }
    };
    let version = field(bits, 46, 3);
    if version != 1 {
        return Err(format!(
            "matrix descriptor {bits:#018x}: bits 48:46 hold {version:#05b} and must be 0b001; \
             is this a wgmma descriptor?"
        ));
    }
    reserved(bits, 14, 2)?;
    reserved(bits, 30, 2)?;
    reserved(bits, 53, 8)?;
    let leading_absolute = field(bits, 52, 1) == 1;
    if leading_absolute {
        return Err(format!(
            "matrix descriptor {bits:#018x}: absolute leading-dimension mode (bit 52) belongs to \
             the K = 96 form of sm_103 only"
        ));
    }
    Ok(addresses(bits, swizzle))
}

/// Decodes a `wgmma` descriptor.
///
/// # Errors
/// Names the field whose value is illegal.
pub fn decode_sm90(bits: u64) -> Result<MatrixDescriptor, String> {
    let swizzle = match field(bits, 62, 2) {
        0 => Swizzle::None,
        1 => Swizzle::B128,
        2 => Swizzle::B64,
        _ => Swizzle::B32,
    };
    reserved(bits, 14, 2)?;
    reserved(bits, 30, 2)?;
    reserved(bits, 46, 3)?;
    reserved(bits, 52, 10)?;
    Ok(addresses(bits, swizzle))
}

impl MatrixDescriptor {
    /// The shared address of byte `byte` of row `row` of a K-major operand, `byte` counting along K
    /// from the operand's start.
    ///
    /// The 16 bytes that begin at a multiple of 16 are always contiguous, so a reader can move whole
    /// chunks. Without swizzle, 16-byte columns are `leading` apart; with it, `leading` is ignored
    /// and a row is as long as the pattern's span.
    #[inline]
    pub fn k_major(&self, row: u32, byte: u32) -> u32 {
        let group = (row / 8) * self.stride;
        let within = match self.swizzle {
            Swizzle::None => (row % 8) * 16 + (byte / 16) * self.leading + byte % 16,
            // A start inside a row goes on in it; only the narrowest pattern is shorter than the
            // longest operand (64 bytes), which goes on `leading` bytes further.
            Swizzle::B32 => (row % 8) * 32 + byte / 32 * self.leading + byte % 32,
            swizzle => (row % 8) * swizzle.span() + byte,
        };
        self.place(group + within)
    }

    /// The shared address of one byte of an MN-major operand: `byte` counts along M or N from the
    /// operand's start, `k` is the index along K.
    #[inline]
    pub fn mn_major(&self, byte: u32, k: u32) -> u32 {
        let linear = match self.swizzle {
            Swizzle::None => {
                byte % 16 + (byte / 16) * self.stride + (k % 8) * 16 + (k / 8) * self.leading
            }
            swizzle => {
                let span = swizzle.span();
                // 32-byte atoms repeat every four rows of 128 bytes, the others every eight rows.
                let rows = if swizzle == Swizzle::B128Atom32 { 4 } else { 8 };
                byte % span
                    + (byte / span) * self.leading
                    + (k % rows) * span
                    + (k / rows) * self.stride
            }
        };
        self.place(linear)
    }

    /// Adds the start address, then swizzles the sum: this is what lets a start inside a row select
    /// a K step.
    #[inline]
    fn place(&self, offset: u32) -> u32 {
        let address = (self.start + offset) & ADDRESS_MASK;
        // A pattern that starts `base_offset` rows of 128 bytes late is in phase with its start.
        let phase = address.wrapping_sub(self.base_offset << 7);
        self.swizzle.apply_with_phase(address, phase) & ADDRESS_MASK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_known_descriptors() {
        let a = decode_sm100(0x4000_4040_0000_0844).unwrap();
        assert_eq!((a.start, a.stride, a.leading), (0x8440, 1024, 0));
        assert_eq!((a.swizzle, a.base_offset), (Swizzle::B128, 0));
        let b = decode_sm100(0x8000_4020_0001_0000).unwrap();
        assert_eq!((b.swizzle, b.stride, b.leading), (Swizzle::B64, 512, 16));
        let c = decode_sm100(0xC000_4010_0001_0000).unwrap();
        assert_eq!((c.swizzle, c.stride), (Swizzle::B32, 256));
        let d = decode_sm100(0x0000_4008_0080_0000).unwrap();
        assert_eq!((d.swizzle, d.stride, d.leading), (Swizzle::None, 128, 2048));
        let scales = decode_sm100(0x0000_4008_0000_2040).unwrap();
        assert_eq!((scales.start, scales.stride), (0x20400, 128));
        let wgmma = decode_sm90(1 << 62 | 64 << 32 | 0x40).unwrap();
        assert_eq!((wgmma.swizzle, wgmma.start, wgmma.stride), (Swizzle::B128, 0x400, 1024));
    }

    #[test]
    fn illegal_fields_are_refused_by_name() {
        let good = 0x4000_4040_0000_0840u64;
        for (bits, needle) in [
            (good & !(7 << 61) | 3 << 61, "swizzle code 3"),
            (good & !(7 << 46), "bits 48:46"),
            (good | 1 << 14, "bits 15:14"),
            (good | 1 << 31, "bits 31:30"),
            (good | 1 << 52, "bit 52"),
            (good | 1 << 60, "bits 60:53"),
        ] {
            let message = decode_sm100(bits).unwrap_err();
            assert!(message.contains(needle), "{message}");
        }
        assert!(decode_sm90(1 << 46).unwrap_err().contains("bits 48:46"));
        assert!(decode_sm90(1 << 55).unwrap_err().contains("bits 61:52"));
    }

    #[test]
    fn worked_k_step() {
        // Element (77, 136) of a tile at 0x8400, through the descriptor of K step 2: the 8th
        // element of the step is byte 4 of the row.
        let a = decode_sm100(0x4000_4040_0000_0844).unwrap();
        assert_eq!(a.k_major(77, 4), 0xAA94);
        let tile = decode_sm100(0x4000_4040_0001_0000).unwrap();
        assert_eq!(tile.k_major(77, 100), 0x26B4);
    }

    #[test]
    fn unswizzled_columns_are_leading_apart() {
        let d = decode_sm100(0x0000_4008_0080_0000).unwrap();
        assert_eq!(d.k_major(0, 16), 2048);
        assert_eq!(d.k_major(9, 17), 128 + 16 + 2048 + 1);
    }

    #[test]
    fn mn_major_rows_run_along_mn() {
        // 128B swizzle, 16-bit elements: k = 9 is row 1 of the second group of eight.
        let d = MatrixDescriptor {
            start: 0,
            leading: 4096,
            stride: 1024,
            base_offset: 0,
            leading_absolute: false,
            swizzle: Swizzle::B128,
        };
        assert_eq!(d.mn_major(0, 9), 1024 + 128 + 16);
        assert_eq!(d.mn_major(130, 0), 4096 + 2);
        let plain = MatrixDescriptor { swizzle: Swizzle::None, ..d };
        assert_eq!(plain.mn_major(18, 9), 1024 + 2 + 16 + 4096);
    }

    #[test]
    fn the_address_wraps_at_eighteen_bits() {
        let d = MatrixDescriptor {
            start: 0x3_FFF0,
            leading: 0,
            stride: 128,
            base_offset: 0,
            leading_absolute: false,
            swizzle: Swizzle::None,
        };
        assert_eq!(d.k_major(1, 0), 0);
    }
}
