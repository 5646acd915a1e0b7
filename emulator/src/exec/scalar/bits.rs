//! Operations on bits and bytes.

use super::{Done, File, combine};
use crate::decode::op::{BoolOp, Dst, Int, PredSrc, PrmtMode, ShiftClamp, Src, Width};

pub(super) fn extract(
    file: &mut File<'_>,
    ty: Int,
    d: u32,
    a: Src,
    position: Src,
    length: Src,
) -> Done {
    let width = ty.width();
    let a = file.get(a, width)?;
    let (position, length) = (file.get32(position)?, file.get32(length)?);
    let mask = u64::MAX >> (64 - width.bits());
    let f = |lane| bfe(width.bits(), ty.signed(), a[lane], position[lane], length[lane]) & mask;
    file.put(d, width, &std::array::from_fn(f))
}

/// `length` bits of `a` from `position` on; beyond the end of `a` and of the field, zeros or copies
/// of the field's top bit.
fn bfe(bits: u32, signed: bool, a: u64, position: u32, length: u32) -> u64 {
    let (position, length) = (position & 0xff, length & 0xff);
    if length == 0 {
        return 0;
    }
    let sign_at = (position + length - 1).min(bits - 1);
    let fill = if signed && a >> sign_at & 1 == 1 { u64::MAX } else { 0 };
    if position >= bits {
        return fill;
    }
    let count = length.min(bits - position);
    let field = u64::MAX >> (64 - count);
    a >> position & field | fill & !field
}

pub(super) fn insert(
    file: &mut File<'_>,
    width: Width,
    d: u32,
    (a, b): (Src, Src),
    position: Src,
    length: Src,
) -> Done {
    let (a, b) = (file.get(a, width)?, file.get(b, width)?);
    let (position, length) = (file.get32(position)?, file.get32(length)?);
    let f = |lane| bfi(width.bits(), a[lane], b[lane], position[lane], length[lane]);
    file.put(d, width, &std::array::from_fn(f))
}

fn bfi(bits: u32, a: u64, b: u64, position: u32, length: u32) -> u64 {
    let (position, length) = (position & 0xff, length & 0xff);
    if length == 0 || position >= bits {
        return b;
    }
    let count = length.min(bits - position);
    let field = u64::MAX >> (64 - count) << position;
    a << position & field | b & !field
}

pub(super) fn szext(signed: bool, mode: ShiftClamp, a: u32, b: u32) -> u32 {
    let length = match mode {
        ShiftClamp::Wrap => b & 31,
        ShiftClamp::Clamp => b.min(32),
    };
    match length {
        0 => 0,
        _ if signed => ((a << (32 - length)) as i32 >> (32 - length)) as u32,
        _ => a << (32 - length) >> (32 - length),
    }
}

/// `b` ones from bit `a` on.
pub(super) fn bmsk(mode: ShiftClamp, a: u32, b: u32) -> u32 {
    let (a, b) = match mode {
        ShiftClamp::Wrap => (a & 31, b & 31),
        ShiftClamp::Clamp => (a.min(32), b.min(32)),
    };
    (((1u64 << b) - 1) << a) as u32
}

/// The place of the `offset`-th set bit at or after `base` (negative: at or before), counted from
/// one; 0 asks whether `base` itself is set. All ones when there is none.
pub(super) fn nth_set(mask: u32, base: u32, offset: u32) -> u32 {
    const NONE: u32 = u32::MAX;
    let offset = offset as i32;
    if offset == i32::MIN {
        // Seen on an H200.
        return 0;
    }
    if base > 31 {
        return NONE;
    }
    if offset == 0 {
        return if mask >> base & 1 == 1 { base } else { NONE };
    }
    let skip = offset.unsigned_abs() as usize - 1;
    let is_set = |&at: &u32| mask >> at & 1 == 1;
    let found = if offset > 0 {
        (base..32).filter(is_set).nth(skip)
    } else {
        (0..=base).rev().filter(is_set).nth(skip)
    };
    found.unwrap_or(NONE)
}

pub(super) fn funnel(left: bool, mode: ShiftClamp, a: u32, b: u32, c: u32) -> u32 {
    let shift = match mode {
        ShiftClamp::Wrap => c & 31,
        ShiftClamp::Clamp => c.min(32),
    };
    let value = u64::from(b) << 32 | u64::from(a);
    if left { ((value << shift) >> 32) as u32 } else { (value >> shift) as u32 }
}

pub(super) fn lop3(
    file: &mut File<'_>,
    d: Dst,
    (a, b, c): (Src, Src, Src),
    table: u8,
    test: Option<(u32, BoolOp, PredSrc)>,
) -> Done {
    let (a, b, c) = (file.get32(a)?, file.get32(b)?, file.get32(c)?);
    let mut value = [0u32; 32];
    for row in 0..8 {
        if table >> row & 1 == 1 {
            let (na, nb, nc) = (flip(row & 4), flip(row & 2), flip(row & 1));
            for lane in 0..32 {
                value[lane] |= (a[lane] ^ na) & (b[lane] ^ nb) & (c[lane] ^ nc);
            }
        }
    }
    if let Some((p, op, q)) = test {
        let any = (0..32).fold(0, |mask, lane| mask | u32::from(value[lane] != 0) << lane);
        let result = combine(op, any, file.pred(q)?);
        file.set_pred(p, result);
    }
    match d {
        Some(d) => file.put32(d, &value),
        None => Ok(()),
    }
}

/// What makes an input count where the table's row wants a zero.
fn flip(wanted: u32) -> u32 {
    if wanted == 0 { u32::MAX } else { 0 }
}

pub(super) fn permute(mode: PrmtMode, a: u32, b: u32, c: u32) -> u32 {
    let bytes = (u64::from(b) << 32 | u64::from(a)).to_le_bytes();
    let low = c & 3;
    let pick = |index: u32| -> u8 {
        let selector = match mode {
            PrmtMode::Default => {
                let selector = c >> (4 * index) & 15;
                let byte = bytes[(selector & 7) as usize];
                // The top bit of a selector replicates the byte's sign.
                return if selector & 8 == 0 { byte } else { (byte as i8 >> 7) as u8 };
            }
            PrmtMode::F4e => (low + index) & 7,
            PrmtMode::B4e => low.wrapping_sub(index) & 7,
            PrmtMode::Rc8 => low,
            PrmtMode::Ecl => low.max(index),
            PrmtMode::Ecr => low.min(index),
            PrmtMode::Rc16 => (low & 1) * 2 + (index & 1),
        };
        bytes[selector as usize]
    };
    u32::from_le_bytes([pick(0), pick(1), pick(2), pick(3)])
}
