//! Integer arithmetic and comparison.

use super::{Done, File, extend, half_type};
use crate::{
    decode::op::{CarryUse, CmpOp, Int, IntOp1, IntOp2, MulPart, Src, Width},
    error::Fault,
    machine::registers::Lanes,
};

pub(super) fn binary(file: &mut File<'_>, op: IntOp2, ty: Int, d: u32, a: Src, b: Src) -> Done {
    // The operations that make up address arithmetic, in loops that vectorise.
    match (op, ty) {
        (IntOp2::Add, Int::U32 | Int::S32) => return file.map2(d, a, b, u32::wrapping_add),
        (IntOp2::Sub, Int::U32 | Int::S32) => return file.map2(d, a, b, u32::wrapping_sub),
        (IntOp2::Mul(MulPart::Lo), Int::U32 | Int::S32) => {
            return file.map2(d, a, b, u32::wrapping_mul);
        }
        (IntOp2::And, Int::U32 | Int::S32 | Int::U16 | Int::S16) => {
            return file.map2(d, a, b, |a, b| a & b);
        }
        (IntOp2::Or, Int::U32 | Int::S32 | Int::U16 | Int::S16) => {
            return file.map2(d, a, b, |a, b| a | b);
        }
        (IntOp2::Xor, Int::U32 | Int::S32 | Int::U16 | Int::S16) => {
            return file.map2(d, a, b, |a, b| a ^ b);
        }
        (IntOp2::Shl, Int::U32 | Int::S32) => {
            return file.map2(d, a, b, |a, b| if b < 32 { a << b } else { 0 });
        }
        (IntOp2::Shr, Int::U32) => {
            return file.map2(d, a, b, |a, b| if b < 32 { a >> b } else { 0 });
        }
        (IntOp2::Shr, Int::S32) => {
            return file.map2(d, a, b, |a, b| (a as i32 >> b.min(31)) as u32);
        }
        (IntOp2::Min, Int::S32) => {
            return file.map2(d, a, b, |a, b| (a as i32).min(b as i32) as u32);
        }
        (IntOp2::Max, Int::S32) => {
            return file.map2(d, a, b, |a, b| (a as i32).max(b as i32) as u32);
        }
        (IntOp2::Min, Int::U32) => return file.map2(d, a, b, u32::min),
        (IntOp2::Max, Int::U32) => return file.map2(d, a, b, u32::max),
        (IntOp2::Add, Int::U64 | Int::S64) => {
            return file.map2_wide(Width::B64, d, a, b, u64::wrapping_add);
        }
        (IntOp2::And, Int::U64 | Int::S64) => {
            return file.map2_wide(Width::B64, d, a, b, |a, b| a & b);
        }
        (IntOp2::Or, Int::U64 | Int::S64) => {
            return file.map2_wide(Width::B64, d, a, b, |a, b| a | b);
        }
        (IntOp2::Xor, Int::U64 | Int::S64) => {
            return file.map2_wide(Width::B64, d, a, b, |a, b| a ^ b);
        }
        (IntOp2::Sub, Int::U64 | Int::S64) => {
            return file.map2_wide(Width::B64, d, a, b, u64::wrapping_sub);
        }
        (IntOp2::Mul(MulPart::Lo), Int::U64 | Int::S64) => {
            return file.map2_wide(Width::B64, d, a, b, u64::wrapping_mul);
        }
        (IntOp2::Mul(MulPart::Wide), Int::U32) => {
            return file.widen(d, a, b, |a, b| u64::from(a) * u64::from(b));
        }
        (IntOp2::Mul(MulPart::Wide), Int::S32) => return file.widen(d, a, b, signed_product),
        (IntOp2::Shl, Int::U64 | Int::S64) => {
            return file.shift64(d, a, b, |a, b| if b < 64 { a << b } else { 0 });
        }
        (IntOp2::Shr, Int::U64) => {
            return file.shift64(d, a, b, |a, b| if b < 64 { a >> b } else { 0 });
        }
        (IntOp2::Shr, Int::S64) => {
            return file.shift64(d, a, b, |a, b| (a as i64 >> b.min(63)) as u64);
        }
        _ => {}
    }
    let is_shift = matches!(op, IntOp2::Shl | IntOp2::Shr);
    let b_width = if is_shift { Width::B32 } else { ty.width() };
    let (a, b) = (file.get(a, ty.width())?, file.get(b, b_width)?);
    let d_width = match (op, ty.width()) {
        (IntOp2::Mul(MulPart::Wide), Width::B16) => Width::B32,
        (IntOp2::Mul(MulPart::Wide), _) => Width::B64,
        (_, width) => width,
    };
    if matches!(ty, Int::U16x2 | Int::S16x2) {
        let half = half_type(ty);
        return file.put(
            d,
            d_width,
            &std::array::from_fn(|lane| {
                let low = evaluate(op, half, a[lane] & 0xffff, b[lane] & 0xffff);
                let high = evaluate(op, half, a[lane] >> 16, b[lane] >> 16);
                low & 0xffff | (high & 0xffff) << 16
            }),
        );
    }
    let mask = u64::MAX >> (64 - d_width.bits());
    let value = std::array::from_fn(|lane| evaluate(op, ty, a[lane], b[lane]) & mask);
    file.put(d, d_width, &value)
}

fn signed_product(a: u32, b: u32) -> u64 {
    (i64::from(a as i32) * i64::from(b as i32)) as u64
}

/// Any operation on one pair; the caller cuts the result to its width.
pub(in crate::exec) fn evaluate(op: IntOp2, ty: Int, a: u64, b: u64) -> u64 {
    let (bits, signed) = (ty.width().bits(), ty.signed());
    let raw = b;
    let (a, b) = (extend(a, bits, signed), extend(b, bits, signed));
    let limit = 1i128 << (bits - 1);
    let value = match op {
        IntOp2::Add => a + b,
        IntOp2::Sub => a - b,
        IntOp2::AddSat => (a + b).clamp(-limit, limit - 1),
        IntOp2::SubSat => (a - b).clamp(-limit, limit - 1),
        IntOp2::Mul(part) => return product(part, ty, a, b) as u64,
        // By zero, all ones: seen on an H200 for 32 and 64 bits.
        IntOp2::Div => a.checked_div(b).unwrap_or(-1),
        IntOp2::Rem => a.checked_rem(b).unwrap_or(-1),
        IntOp2::Min => a.min(b),
        IntOp2::Max => a.max(b),
        IntOp2::MinRelu => a.min(b).max(0),
        IntOp2::MaxRelu => a.max(b).max(0),
        IntOp2::And => a & b,
        IntOp2::Or => a | b,
        IntOp2::Xor => a ^ b,
        IntOp2::Shl => a << raw.min(u64::from(bits)),
        IntOp2::Shr => a >> raw.min(u64::from(bits)),
    };
    value as u64
}

/// The part of a product, in its low bits.
fn product(part: MulPart, ty: Int, a: i128, b: i128) -> u128 {
    let bits = ty.width().bits();
    // Modulo 2^128, which holds all bits of a 64 by 64 product of either sign.
    let whole = |a: i128, b: i128| (a as u128).wrapping_mul(b as u128);
    let low24 = |value: i128| extend(value as u64, 24, ty.signed());
    match part {
        MulPart::Lo | MulPart::Wide => whole(a, b),
        MulPart::Hi => whole(a, b) >> bits,
        MulPart::Lo24 => whole(low24(a), low24(b)),
        MulPart::Hi24 => whole(low24(a), low24(b)) >> 16,
    }
}

pub(super) fn unary(file: &mut File<'_>, op: IntOp1, ty: Int, d: u32, a: Src) -> Done {
    let width = ty.width();
    let bits = width.bits();
    let mask = u64::MAX >> (64 - bits);
    let values = file.get(a, width)?;
    let d_width = match op {
        IntOp1::Popc | IntOp1::Clz | IntOp1::Bfind | IntOp1::BfindShift => Width::B32,
        _ => width,
    };
    let find = |a: u64| {
        // For signed types, the first bit that differs from the sign.
        let a = if ty.signed() && a >> (bits - 1) & 1 == 1 { !a & mask } else { a };
        a.checked_ilog2()
    };
    let negate = |a: u64| match ty {
        Int::S16x2 | Int::U16x2 => {
            (a & 0xffff).wrapping_neg() & 0xffff | (a >> 16).wrapping_neg() << 16
        }
        _ => a.wrapping_neg(),
    };
    let f = |a: u64| {
        let a = a & mask;
        match op {
            IntOp1::Neg => negate(a),
            IntOp1::Abs if extend(a, bits, true) < 0 => a.wrapping_neg(),
            IntOp1::Abs => a,
            IntOp1::Not => !a,
            IntOp1::Cnot => u64::from(a == 0),
            IntOp1::Popc => a.count_ones().into(),
            IntOp1::Clz => (a.leading_zeros() - (64 - bits)).into(),
            IntOp1::Brev => a.reverse_bits() >> (64 - bits),
            IntOp1::Bfind => find(a).map_or(u64::from(u32::MAX), u64::from),
            IntOp1::BfindShift => find(a).map_or(u64::from(u32::MAX), |at| (bits - 1 - at).into()),
        }
    };
    let mask = if d_width == Width::B32 { u64::from(u32::MAX) } else { mask };
    file.put(d, d_width, &values.map(|a| f(a) & mask))
}

pub(super) fn mad(
    file: &mut File<'_>,
    (part, ty, sat): (MulPart, Int, bool),
    d: u32,
    a: Src,
    b: Src,
    c: Src,
) -> Done {
    if part == MulPart::Lo && ty.width() == Width::B32 {
        return file.map3(d, a, b, c, |a, b, c| a.wrapping_mul(b).wrapping_add(c));
    }
    if part == MulPart::Wide && matches!(ty, Int::U32 | Int::S32) && !sat {
        let c = file.get(c, Width::B64)?;
        let (a, b) = (file.get32(a)?, file.get32(b)?);
        let f = |lane: usize| {
            let product = match ty {
                Int::S32 => signed_product(a[lane], b[lane]),
                _ => u64::from(a[lane]) * u64::from(b[lane]),
            };
            product.wrapping_add(c[lane])
        };
        return file.put(d, Width::B64, &std::array::from_fn(f));
    }
    let width = ty.width();
    let wide = match (part, width) {
        (MulPart::Wide, Width::B16) => Width::B32,
        (MulPart::Wide, _) => Width::B64,
        _ => width,
    };
    let (bits, signed) = (width.bits(), ty.signed());
    let mask = u64::MAX >> (64 - wide.bits());
    let (a, b, c) = (file.get(a, width)?, file.get(b, width)?, file.get(c, wide)?);
    let f = |lane: usize| {
        let (a, b) = (extend(a[lane], bits, signed), extend(b[lane], bits, signed));
        let part = product(part, ty, a, b) as u64;
        if sat {
            let sum = extend(part, 32, true) + extend(c[lane], 32, true);
            return sum.clamp(i32::MIN.into(), i32::MAX.into()) as u64 & mask;
        }
        part.wrapping_add(c[lane]) & mask
    };
    file.put(d, wide, &std::array::from_fn(f))
}

pub(super) fn carry(
    file: &mut File<'_>,
    subtract: bool,
    ty: Int,
    carry: CarryUse,
    (d, a, b): (u32, Src, Src),
) -> Done {
    let width = ty.width();
    let (a, b) = (file.get(a, width)?, file.get(b, width)?);
    let carry_in = carry_in(file, carry)?;
    let mut out = 0;
    let mut value = [0; 32];
    for lane in 0..32 {
        let (a, b, c) =
            (u128::from(a[lane]), u128::from(b[lane]), u128::from(carry_in >> lane & 1));
        let sum = if subtract { a.wrapping_sub(b).wrapping_sub(c) } else { a + b + c };
        // The bit above the result is the carry, or the borrow.
        out |= ((sum >> width.bits()) as u32 & 1) << lane;
        value[lane] = sum as u64;
    }
    finish_carry(file, carry, width, d, &value, out)
}

fn carry_in(file: &File<'_>, carry: CarryUse) -> Result<Lanes, Box<Fault>> {
    match carry.carry_in {
        Some(pred) => file.pred(crate::decode::op::PredSrc::Reg { pred, negated: false }),
        None => Ok(0),
    }
}

fn finish_carry(
    file: &mut File<'_>,
    carry: CarryUse,
    width: Width,
    d: u32,
    value: &[u64; 32],
    out: Lanes,
) -> Done {
    file.put(d, width, value)?;
    if let Some(pred) = carry.carry_out {
        file.set_pred(pred, out);
    }
    Ok(())
}

pub(super) fn mad_carry(
    file: &mut File<'_>,
    part: MulPart,
    ty: Int,
    carry: CarryUse,
    (d, a, b, c): (u32, Src, Src, Src),
) -> Done {
    let width = ty.width();
    let (bits, signed) = (width.bits(), ty.signed());
    let (a, b, c) = (file.get(a, width)?, file.get(b, width)?, file.get(c, width)?);
    let carry_in = carry_in(file, carry)?;
    let mut out = 0;
    let mut value = [0; 32];
    for lane in 0..32 {
        let (a, b) = (extend(a[lane], bits, signed), extend(b[lane], bits, signed));
        let part = product(part, ty, a, b) & (u128::MAX >> (128 - bits));
        let sum = part + u128::from(c[lane]) + u128::from(carry_in >> lane & 1);
        out |= ((sum >> bits) as u32 & 1) << lane;
        value[lane] = sum as u64;
    }
    finish_carry(file, carry, width, d, &value, out)
}

pub(super) fn sad(file: &mut File<'_>, ty: Int, d: u32, a: Src, b: Src, c: Src) -> Done {
    let width = ty.width();
    let (bits, signed) = (width.bits(), ty.signed());
    let mask = u64::MAX >> (64 - bits);
    let (a, b, c) = (file.get(a, width)?, file.get(b, width)?, file.get(c, width)?);
    let f = |lane: usize| {
        let (a, b) = (extend(a[lane], bits, signed), extend(b[lane], bits, signed));
        ((a - b).unsigned_abs() as u64).wrapping_add(c[lane]) & mask
    };
    file.put(d, width, &std::array::from_fn(f))
}

pub(super) fn dp4a(a_signed: bool, b_signed: bool, a: u32, b: u32, c: u32) -> u32 {
    (0..4).fold(c, |sum, index| {
        let a = extend(u64::from(a >> (8 * index)), 8, a_signed) as i32;
        let b = extend(u64::from(b >> (8 * index)), 8, b_signed) as i32;
        sum.wrapping_add((a * b) as u32)
    })
}

pub(super) fn dp2a(a_signed: bool, b_signed: bool, high: bool, a: u32, b: u32, c: u32) -> u32 {
    let b = if high { b >> 16 } else { b };
    (0..2).fold(c, |sum, index| {
        let a = extend(u64::from(a >> (16 * index)), 16, a_signed) as i32;
        let b = extend(u64::from(b >> (8 * index)), 8, b_signed) as i32;
        sum.wrapping_add(a.wrapping_mul(b) as u32)
    })
}

pub(super) fn compare(
    file: &File<'_>,
    cmp: CmpOp,
    ty: Int,
    a: Src,
    b: Src,
) -> Result<Lanes, Box<Fault>> {
    let width = ty.width();
    // Flipping the top bit orders signed numbers as unsigned ones.
    if width == Width::B32 {
        let flip = u32::from(ty.signed()) << 31;
        let (a, b) = (file.get32(a)?.map(|a| a ^ flip), file.get32(b)?.map(|b| b ^ flip));
        return Ok(unsigned(cmp, &a, &b));
    }
    if width == Width::B64 {
        let flip = u64::from(ty.signed()) << 63;
        let (a, b) = (file.get(a, width)?, file.get(b, width)?);
        return Ok(unsigned(cmp, &a.map(|a| a ^ flip), &b.map(|b| b ^ flip)));
    }
    let (bits, signed) = (width.bits(), ty.signed());
    let (a, b) = (file.get(a, width)?, file.get(b, width)?);
    Ok((0..32).fold(0, |mask, lane| {
        let (a, b) = (extend(a[lane], bits, signed), extend(b[lane], bits, signed));
        let holds = match cmp {
            CmpOp::Eq => a == b,
            CmpOp::Ne => a != b,
            CmpOp::Lt => a < b,
            CmpOp::Le => a <= b,
            CmpOp::Gt => a > b,
            _ => a >= b,
        };
        mask | u32::from(holds) << lane
    }))
}

/// One comparison of all lanes.
fn unsigned<T: Copy + Ord>(cmp: CmpOp, a: &[T; 32], b: &[T; 32]) -> Lanes {
    match cmp {
        CmpOp::Eq => ballot(a, b, |a, b| a == b),
        CmpOp::Ne => ballot(a, b, |a, b| a != b),
        CmpOp::Lt => ballot(a, b, |a, b| a < b),
        CmpOp::Le => ballot(a, b, |a, b| a <= b),
        CmpOp::Gt => ballot(a, b, |a, b| a > b),
        _ => ballot(a, b, |a, b| a >= b),
    }
}

/// The lanes in which a test holds.
#[inline]
pub(super) fn ballot<T: Copy>(a: &[T; 32], b: &[T; 32], test: impl Fn(T, T) -> bool) -> Lanes {
    (0..32).fold(0, |mask, lane| mask | u32::from(test(a[lane], b[lane])) << lane)
}
