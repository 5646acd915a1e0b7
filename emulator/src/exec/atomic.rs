//! What atomics and reductions do to one element.

use half::{bf16, f16};

use crate::decode::op::{AtomKind, AtomType, ReduceKind};
use crate::numeric::{CANONICAL_NAN_F32, flush_subnormal};

/// The new value of an element for `atom` and `red`; `c` is the new value of `cas`.
pub fn apply(kind: AtomKind, ty: AtomType, old: u64, b: u64, c: u64) -> u64 {
    match kind {
        AtomKind::And => old & b,
        AtomKind::Or => old | b,
        AtomKind::Xor => old ^ b,
        AtomKind::Exch => b,
        AtomKind::Cas => {
            if old == b {
                c
            } else {
                old
            }
        }
        AtomKind::Inc => {
            if old >= b {
                0
            } else {
                old + 1
            }
        }
        AtomKind::Dec => {
            if old == 0 || old > b {
                b
            } else {
                old - 1
            }
        }
        AtomKind::Add => add(ty, old, b),
        AtomKind::Min => extreme(ty, old, b, false),
        AtomKind::Max => extreme(ty, old, b, true),
    }
}

/// As [`apply`], in global memory: there `add.f32` takes subnormal numbers for zero, operands and sum.
pub fn apply_global(kind: AtomKind, ty: AtomType, old: u64, b: u64, c: u64) -> u64 {
    if kind != AtomKind::Add || ty != AtomType::F32 {
        return apply(kind, ty, old, b, c);
    }
    let flush = |bits: u64| u64::from(flush_subnormal(f32::from_bits(bits as u32)).to_bits());
    flush(apply(kind, ty, flush(old), flush(b), c))
}

/// The new value of an element for a bulk or asynchronous reduction.
pub fn reduce(kind: ReduceKind, ty: AtomType, old: u64, b: u64) -> u64 {
    let kind = match kind {
        ReduceKind::Add => AtomKind::Add,
        ReduceKind::Min => AtomKind::Min,
        ReduceKind::Max => AtomKind::Max,
        ReduceKind::Inc => AtomKind::Inc,
        ReduceKind::Dec => AtomKind::Dec,
        ReduceKind::And => AtomKind::And,
        ReduceKind::Or => AtomKind::Or,
        ReduceKind::Xor => AtomKind::Xor,
    };
    apply(kind, ty, old, b, 0)
}

/// The NaN of f16 and of bf16.
const HALF_NAN: u64 = 0x7fff;

fn halves(old: u64, b: u64, f: impl Fn(u64, u64) -> u64) -> u64 {
    f(old & 0xffff, b & 0xffff) | f(old >> 16 & 0xffff, b >> 16 & 0xffff) << 16
}

fn add(ty: AtomType, old: u64, b: u64) -> u64 {
    // Sums of two f16 or bf16 are exact in f64, so one rounding happens.
    let f16_add = |x: u64, y: u64| {
        let sum = f16::from_bits(x as u16).to_f64() + f16::from_bits(y as u16).to_f64();
        if sum.is_nan() { HALF_NAN } else { f16::from_f64(sum).to_bits().into() }
    };
    let bf16_add = |x: u64, y: u64| {
        let sum = bf16::from_bits(x as u16).to_f64() + bf16::from_bits(y as u16).to_f64();
        if sum.is_nan() { HALF_NAN } else { bf16::from_f64(sum).to_bits().into() }
    };
    match ty {
        AtomType::F32 => {
            let sum = f32::from_bits(old as u32) + f32::from_bits(b as u32);
            u64::from(if sum.is_nan() { CANONICAL_NAN_F32 } else { sum.to_bits() })
        }
        AtomType::F64 => (f64::from_bits(old) + f64::from_bits(b)).to_bits(),
        AtomType::F16 => f16_add(old, b),
        AtomType::BF16 => bf16_add(old, b),
        AtomType::F16x2 => halves(old, b, f16_add),
        AtomType::BF16x2 => halves(old, b, bf16_add),
        _ => old.wrapping_add(b),
    }
}

fn extreme(ty: AtomType, old: u64, b: u64, max: bool) -> u64 {
    let pick = |b_is_larger: bool| if b_is_larger == max { b } else { old };
    let number = |larger: Option<bool>, nan: (bool, bool), old: u64, b: u64| match larger {
        Some(b_is_larger) => {
            if b_is_larger == max {
                b
            } else {
                old
            }
        }
        None if nan == (true, true) && ty == AtomType::F32 => CANONICAL_NAN_F32.into(),
        None if nan == (true, true) && ty != AtomType::F64 => HALF_NAN,
        None if nan.0 => b,
        None => old,
    };
    let f16_pick = |x: u64, y: u64| {
        let (a, b) = (f16::from_bits(x as u16), f16::from_bits(y as u16));
        number(a.partial_cmp(&b).map(|o| o.is_lt()), (a.is_nan(), b.is_nan()), x, y)
    };
    let bf16_pick = |x: u64, y: u64| {
        let (a, b) = (bf16::from_bits(x as u16), bf16::from_bits(y as u16));
        number(a.partial_cmp(&b).map(|o| o.is_lt()), (a.is_nan(), b.is_nan()), x, y)
    };
    match ty {
        AtomType::S32 => pick((b as i32) > old as i32),
        AtomType::S64 => pick((b as i64) > old as i64),
        AtomType::F32 => {
            let (x, y) = (f32::from_bits(old as u32), f32::from_bits(b as u32));
            number(x.partial_cmp(&y).map(|o| o.is_lt()), (x.is_nan(), y.is_nan()), old, b)
        }
        AtomType::F64 => {
            let (x, y) = (f64::from_bits(old), f64::from_bits(b));
            number(x.partial_cmp(&y).map(|o| o.is_lt()), (x.is_nan(), y.is_nan()), old, b)
        }
        AtomType::F16 => f16_pick(old, b),
        AtomType::BF16 => bf16_pick(old, b),
        AtomType::F16x2 => halves(old, b, f16_pick),
        AtomType::BF16x2 => halves(old, b, bf16_pick),
        _ => pick(b > old),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_each() {
        let f = |x: f32| u64::from(x.to_bits());
        assert_eq!(apply(AtomKind::Add, AtomType::F32, f(1.5), f(2.0), 0), f(3.5));
        assert_eq!(apply(AtomKind::Max, AtomType::S32, 0xffff_ffff, 3, 0), 3);
        assert_eq!(apply(AtomKind::Max, AtomType::U32, 0xffff_ffff, 3, 0), 0xffff_ffff);
        assert_eq!(apply(AtomKind::Min, AtomType::F32, f(f32::NAN), f(2.0), 0), f(2.0));
        assert_eq!(apply(AtomKind::Cas, AtomType::B32, 5, 5, 9), 9);
        assert_eq!(apply(AtomKind::Cas, AtomType::B32, 5, 6, 9), 5);
        assert_eq!(apply(AtomKind::Inc, AtomType::U32, 7, 7, 0), 0);
        assert_eq!(apply(AtomKind::Dec, AtomType::U32, 0, 7, 0), 7);
        // 1 + 2 in the low half, 2 + 2 in the high half.
        let sum = reduce(ReduceKind::Add, AtomType::F16x2, 0x4000_3c00, 0x4000_4000);
        assert_eq!(sum, 0x4400_4200);
    }
}
