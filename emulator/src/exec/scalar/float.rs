//! Floating-point arithmetic and comparison.
//!
//! Every result is that of exact arithmetic rounded once. Types narrower than `f64` are computed in
//! `f64` and rounded to odd there: with more than two spare bits, rounding that again in any
//! direction gives what rounding the exact value would. What PTX calls approximate (`ex2.approx`,
//! `rcp.approx`, `div.full`, `tanh.approx` …) is computed in `f64` and rounded to nearest as well:
//! hardware may differ in the last places, within the bounds that PTX gives.

use super::{Done, File, double, int::ballot};
use crate::{
    decode::op::{CmpOp, Float, FloatMode, FloatOp1, FloatOp2, FloatTest, Rounding, Src, Width},
    error::Fault,
    machine::registers::Lanes,
    numeric::{self, BF16, CANONICAL_NAN_F32, F16},
};

/// The numeric module's name of a rounding; stochastic rounding never gets this far.
pub(super) fn direction(rounding: Rounding) -> numeric::Rounding {
    match rounding {
        Rounding::Rn | Rounding::Rs => numeric::Rounding::Rn,
        Rounding::Rna => numeric::Rounding::Rna,
        Rounding::Rz => numeric::Rounding::Rz,
        Rounding::Rm => numeric::Rounding::Rm,
        Rounding::Rp => numeric::Rounding::Rp,
    }
}

/// Moves an inexact nearest result to the neighbour with an odd last bit, on the side where the
/// exact value lies.
#[inline(always)]
fn to_odd(nearest: f64, error: f64) -> f64 {
    let bits = nearest.to_bits();
    let inexact = error != 0.0 && nearest.is_finite() && error.is_finite();
    if inexact && bits & 1 == 0 {
        let away = (error > 0.0) == (nearest > 0.0);
        return f64::from_bits(if away { bits + 1 } else { bits - 1 });
    }
    nearest
}

/// What `a + b` lost when it was rounded to `sum`: exact.
#[inline(always)]
fn sum_error(a: f64, b: f64, sum: f64) -> f64 {
    let b_part = sum - a;
    (a - (sum - b_part)) + (b - b_part)
}

#[inline(always)]
pub(super) fn add_odd(a: f64, b: f64) -> f64 {
    let sum = a + b;
    to_odd(sum, sum_error(a, b, sum))
}

/// An exact sum that is zero has the sign of its terms, or else that of the direction.
fn sum(rounding: Rounding, a: f64, b: f64) -> f64 {
    let sum = add_odd(a, b);
    if sum == 0.0 && rounding == Rounding::Rm && a.is_sign_negative() != b.is_sign_negative() {
        return -0.0;
    }
    sum
}

fn div_odd(a: f64, b: f64) -> f64 {
    let quotient = a / b;
    // The sign of the remainder, seen from the quotient's side.
    let rest = (-quotient).mul_add(b, a);
    to_odd(quotient, if b < 0.0 { -rest } else { rest })
}

fn sqrt_odd(a: f64) -> f64 {
    let root = a.sqrt();
    to_odd(root, (-root).mul_add(root, a))
}

/// The bits of a result; every NaN has the same ones. Tested on the bits, because the optimiser takes
/// one NaN for another: with `is_nan` it keeps the operand's payload.
fn canonical(x: f32) -> u32 {
    let bits = x.to_bits();
    if bits & 0x7fff_ffff > 0x7f80_0000 { CANONICAL_NAN_F32 } else { bits }
}

/// The one NaN of a type of at most 32 bits.
fn canonical_nan(ty: Float) -> u32 {
    match ty {
        Float::F16 | Float::BF16 => 0x7fff,
        _ => CANONICAL_NAN_F32,
    }
}

/// Flushes subnormals where asked, for a number of that type's `bits`.
fn flush(ty: Float, bits: u32) -> u32 {
    let (exponent, sign) = match ty {
        Float::F16 => (0x7c00, 0x8000),
        Float::BF16 => (0x7f80, 0x8000),
        _ => (0x7f80_0000, 0x8000_0000),
    };
    if bits & exponent == 0 { bits & sign } else { bits }
}

/// A result that is not rounded yet, or rounded to odd: zero where f32 has no normal number.
#[inline(always)]
fn flush_exact(value: f64) -> f64 {
    if value.abs() < f64::from(f32::MIN_POSITIVE) { 0.0f64.copysign(value) } else { value }
}

/// `.ftz` and nothing else.
const FLUSHING: FloatMode = FloatMode {
    rounding: Rounding::Rn,
    ftz: true,
    sat: false,
    relu: false,
    nan: false,
    xorsign_abs: false,
    abs: false,
};

/// [`flush`] for `f32`, without a branch.
#[inline(always)]
fn flush32(bits: u32) -> u32 {
    if bits & 0x7f80_0000 == 0 { bits & 0x8000_0000 } else { bits }
}

#[inline(always)]
pub(super) fn flushed(bits: u32) -> f32 {
    f32::from_bits(flush32(bits))
}

/// [`extreme`] for `f32` without modifiers but `.ftz`, in a form that vectorises.
#[inline(always)]
fn extreme32<const MAX: bool>(ftz: bool, a: u32, b: u32) -> u32 {
    let (a, b) = if ftz { (flush32(a), flush32(b)) } else { (a, b) };
    let nan = |bits: u32| bits & 0x7fff_ffff > 0x7f80_0000;
    // Numbers in the order of integers, -0 below +0.
    let key = |bits: u32| bits as i32 ^ ((bits as i32 >> 31) as u32 >> 1) as i32;
    let picked = if (key(a) < key(b)) != MAX { a } else { b };
    let number = if nan(b) {
        a
    } else if nan(a) {
        b
    } else {
        picked
    };
    if nan(number) { CANONICAL_NAN_F32 } else { number }
}

/// One element of a type of at most 32 bits, as a number.
fn decode(ty: Float, mode: FloatMode, bits: u32) -> f64 {
    let bits = if mode.ftz { flush(ty, bits) } else { bits };
    match ty {
        Float::F16 => F16.decode(bits & 0xffff),
        Float::BF16 => f32::from_bits(bits << 16).into(),
        _ => f32::from_bits(bits).into(),
    }
}

/// Rounds to one element, then saturates, clamps and flushes.
fn encode(ty: Float, mode: FloatMode, value: f64) -> u32 {
    let value = if mode.sat {
        // NaN becomes +0 here.
        if value > 0.0 { value.min(1.0) } else { 0.0 }
    } else if mode.relu && !value.is_nan() && value.is_sign_negative() {
        0.0
    } else {
        value
    };
    let rounding = direction(mode.rounding);
    // What is below the normal numbers is flushed before it is rounded.
    let value = match ty {
        Float::F32 if mode.ftz => flush_exact(value),
        Float::F16 if mode.ftz && value.abs() < 2f64.powi(-14) => 0.0f64.copysign(value),
        _ => value,
    };
    let bits = match ty {
        Float::F16 => F16.encode(value, rounding, false),
        Float::BF16 => BF16.encode(value, rounding, false),
        _ => canonical(numeric::round_f64_to_f32(value, rounding)),
    };
    if mode.ftz { flush(ty, bits) } else { bits }
}

/// The element type of a packed one, and how many elements.
fn split(ty: Float) -> (Float, u32) {
    match ty {
        Float::F16x2 => (Float::F16, 2),
        Float::BF16x2 => (Float::BF16, 2),
        Float::F32x2 => (Float::F32, 2),
        other => (other, 1),
    }
}

/// Applies a function of element bits to every element of a register's value.
fn each<const N: usize>(ty: Float, values: [u64; N], f: impl Fn([u32; N]) -> u32) -> u64 {
    let (element, count) = split(ty);
    let bits = element.width().bits();
    let mask = u64::MAX >> (64 - bits);
    (0..count).fold(0, |all, index| {
        let part = f(values.map(|value| (value >> (index * bits) & mask) as u32));
        all | u64::from(part) << (index * bits)
    })
}

pub(super) fn binary(
    file: &mut File<'_>,
    op: FloatOp2,
    ty: Float,
    mode: FloatMode,
    d: u32,
    a: Src,
    b: Src,
) -> Done {
    // The common case in loops that vectorise.
    if ty == Float::F32 && mode == FloatMode::default() {
        let native = |f: fn(f32, f32) -> f32| {
            move |a: u32, b: u32| canonical(f(f32::from_bits(a), f32::from_bits(b)))
        };
        match op {
            FloatOp2::Add => return file.map2(d, a, b, native(|a, b| a + b)),
            FloatOp2::Sub => return file.map2(d, a, b, native(|a, b| a - b)),
            FloatOp2::Mul => return file.map2(d, a, b, native(|a, b| a * b)),
            FloatOp2::Div => return file.map2(d, a, b, native(|a, b| a / b)),
            _ => {}
        }
    }
    if ty == Float::F32 && mode == FLUSHING {
        let native = |f: fn(f32, f32) -> f32| {
            move |a: u32, b: u32| flush32(canonical(f(flushed(a), flushed(b))))
        };
        match op {
            FloatOp2::Add => return file.map2(d, a, b, native(|a, b| a + b)),
            FloatOp2::Sub => return file.map2(d, a, b, native(|a, b| a - b)),
            FloatOp2::Mul => {
                return file.map2(d, a, b, |a, b| {
                    let product = f64::from(flushed(a)) * f64::from(flushed(b));
                    canonical(flush_exact(product) as f32)
                });
            }
            FloatOp2::Div => return file.map2(d, a, b, native(|a, b| a / b)),
            _ => {}
        }
    }
    if ty == Float::F32 && (mode == FloatMode::default() || mode == FLUSHING) {
        let ftz = mode.ftz;
        match op {
            FloatOp2::Min => return file.map2(d, a, b, |a, b| extreme32::<false>(ftz, a, b)),
            FloatOp2::Max => return file.map2(d, a, b, |a, b| extreme32::<true>(ftz, a, b)),
            _ => {}
        }
    }
    let width = ty.width();
    let (a, b) = (file.get(a, width)?, file.get(b, width)?);
    let value = std::array::from_fn(|lane| {
        if ty == Float::F64 {
            return double::binary(op, mode, f64::from_bits(a[lane]), f64::from_bits(b[lane]))
                .to_bits();
        }
        each(ty, [a[lane], b[lane]], |[a, b]| element_binary(op, split(ty).0, mode, a, b))
    });
    file.put(d, width, &value)
}

fn element_binary(op: FloatOp2, ty: Float, mode: FloatMode, a: u32, b: u32) -> u32 {
    let sign = 1 << (ty.width().bits() - 1);
    if op == FloatOp2::CopySign {
        return a & sign | b & !sign;
    }
    if matches!(op, FloatOp2::Min | FloatOp2::Max) {
        return extreme(op == FloatOp2::Max, ty, mode, a, b);
    }
    let (x, y) = (decode(ty, mode, a), decode(ty, mode, b));
    let value = match op {
        FloatOp2::Add => sum(mode.rounding, x, y),
        FloatOp2::Sub => sum(mode.rounding, x, -y),
        FloatOp2::Mul => x * y,
        // By the reciprocal, which is zero for divisors above 2^126.
        FloatOp2::DivApprox if y.abs() > 2f64.powi(126) => x * 0.0f64.copysign(y),
        _ => div_odd(x, y),
    };
    encode(ty, mode, value)
}

/// `min` or `max` of two elements: a NaN gives way to a number, -0 is below +0.
fn extreme(max: bool, ty: Float, mode: FloatMode, a: u32, b: u32) -> u32 {
    let sign = 1 << (ty.width().bits() - 1);
    let nan = canonical_nan(ty);
    let crossed = (a ^ b) & sign;
    let (a, b) = if mode.xorsign_abs { (a & !sign, b & !sign) } else { (a, b) };
    let (a, b) = if mode.ftz { (flush(ty, a), flush(ty, b)) } else { (a, b) };
    let plain = FloatMode::default();
    let (x, y) = (decode(ty, plain, a), decode(ty, plain, b));
    let picked = match (x.is_nan(), y.is_nan()) {
        (true, true) => return nan,
        (true, false) | (false, true) if mode.nan => return nan,
        (true, false) => b,
        (false, true) => a,
        (false, false) => {
            let a_is_less = x < y || x == y && a & sign != 0;
            if a_is_less != max { a } else { b }
        }
    };
    let picked = if mode.xorsign_abs { picked & !sign | crossed } else { picked };
    if mode.relu && picked & sign != 0 { 0 } else { picked }
}

pub(super) fn extreme3(max: bool, mode: FloatMode, operands: [u32; 3]) -> u32 {
    let [a, b, c] = if mode.abs { operands.map(|x| x & !(1 << 31)) } else { operands };
    let first = extreme(max, Float::F32, mode, a, b);
    extreme(max, Float::F32, mode, first, c)
}

pub(super) fn fma(
    file: &mut File<'_>,
    ty: Float,
    mode: FloatMode,
    d: u32,
    a: Src,
    b: Src,
    c: Src,
) -> Done {
    if ty == Float::F32 && mode == FloatMode::default() {
        return file.map3(d, a, b, c, |a, b, c| {
            let [a, b, c] = [a, b, c].map(|x| f64::from(f32::from_bits(x)));
            // The product of two 24-bit significands is exact.
            canonical(add_odd(a * b, c) as f32)
        });
    }
    if ty == Float::F32 && mode == FLUSHING {
        return file.map3(d, a, b, c, |a, b, c| {
            let [a, b, c] = [a, b, c].map(|x| f64::from(flushed(x)));
            canonical(flush_exact(add_odd(a * b, c)) as f32)
        });
    }
    let width = ty.width();
    let (a, b, c) = (file.get(a, width)?, file.get(b, width)?, file.get(c, width)?);
    let value = std::array::from_fn(|lane| {
        if ty == Float::F64 {
            let [a, b, c] = [a[lane], b[lane], c[lane]].map(f64::from_bits);
            return double::fma(mode.rounding, a, b, c).to_bits();
        }
        let element = split(ty).0;
        each(ty, [a[lane], b[lane], c[lane]], |operands| {
            let [a, b, c] = operands.map(|bits| decode(element, mode, bits));
            encode(element, mode, sum(mode.rounding, a * b, c))
        })
    });
    file.put(d, width, &value)
}

pub(super) fn unary(
    file: &mut File<'_>,
    op: FloatOp1,
    ty: Float,
    mode: FloatMode,
    d: u32,
    a: Src,
) -> Done {
    let width = ty.width();
    let a = file.get(a, width)?;
    let value = a.map(|a| {
        if ty == Float::F64 {
            return double::unary(op, mode, a);
        }
        each(ty, [a], |[a]| element_unary(op, split(ty).0, mode, a))
    });
    file.put(d, width, &value)
}

fn element_unary(op: FloatOp1, ty: Float, mode: FloatMode, a: u32) -> u32 {
    let sign = 1 << (ty.width().bits() - 1);
    let flushed = if mode.ftz { flush(ty, a) } else { a };
    let x = decode(ty, mode, a);
    let value = match op {
        // Arithmetic to the hardware: NaN comes out as its own.
        FloatOp1::Neg | FloatOp1::Abs if x.is_nan() => return canonical_nan(ty),
        FloatOp1::Neg => return flushed ^ sign,
        FloatOp1::Abs => return flushed & !sign,
        FloatOp1::Rcp => div_odd(1.0, x),
        FloatOp1::Sqrt => sqrt_odd(x),
        FloatOp1::Rsqrt => 1.0 / x.sqrt(),
        FloatOp1::Sin => x.sin(),
        FloatOp1::Cos => x.cos(),
        FloatOp1::Lg2 => x.log2(),
        FloatOp1::Ex2 => x.exp2(),
        FloatOp1::Tanh => x.tanh(),
    };
    encode(ty, mode, value)
}

pub(super) fn test(file: &mut File<'_>, test: FloatTest, ty: Float, d: u32, a: Src) -> Done {
    let a = file.get(a, ty.width())?;
    let class = |bits: u64| {
        if ty.width() == Width::B64 {
            f64::from_bits(bits).classify()
        } else {
            f32::from_bits(bits as u32).classify()
        }
    };
    let mut mask = 0;
    for (lane, &bits) in a.iter().enumerate() {
        use std::num::FpCategory::*;
        let holds = match (test, class(bits)) {
            (FloatTest::Finite, class) => !matches!(class, Nan | Infinite),
            (FloatTest::Infinite, class) => class == Infinite,
            (FloatTest::Number, class) => class != Nan,
            (FloatTest::NotANumber, class) => class == Nan,
            // Zero counts as normal.
            (FloatTest::Normal, class) => matches!(class, Normal | Zero),
            (FloatTest::Subnormal, class) => class == Subnormal,
        };
        mask |= u32::from(holds) << lane;
    }
    file.set_pred(d, mask);
    Ok(())
}

fn holds(cmp: CmpOp, a: f64, b: f64) -> bool {
    let unordered = a.is_nan() || b.is_nan();
    match cmp {
        CmpOp::Eq => a == b,
        CmpOp::Ne => !unordered && a != b,
        CmpOp::Lt => a < b,
        CmpOp::Le => a <= b,
        CmpOp::Gt => a > b,
        CmpOp::Ge => a >= b,
        CmpOp::Equ => unordered || a == b,
        CmpOp::Neu => unordered || a != b,
        CmpOp::Ltu => unordered || a < b,
        CmpOp::Leu => unordered || a <= b,
        CmpOp::Gtu => unordered || a > b,
        CmpOp::Geu => unordered || a >= b,
        CmpOp::Num => !unordered,
        CmpOp::Nan => unordered,
    }
}

/// One comparison of all lanes. An unordered comparison is the negation of the opposite ordered one.
fn compare32(cmp: CmpOp, a: &[f32; 32], b: &[f32; 32]) -> Lanes {
    match cmp {
        CmpOp::Eq => ballot(a, b, |a, b| a == b),
        CmpOp::Ne => ballot(a, b, |a, b| (a < b) | (a > b)),
        CmpOp::Lt => ballot(a, b, |a, b| a < b),
        CmpOp::Le => ballot(a, b, |a, b| a <= b),
        CmpOp::Gt => ballot(a, b, |a, b| a > b),
        CmpOp::Ge => ballot(a, b, |a, b| a >= b),
        CmpOp::Equ => !compare32(CmpOp::Ne, a, b),
        CmpOp::Neu => !compare32(CmpOp::Eq, a, b),
        CmpOp::Ltu => !compare32(CmpOp::Ge, a, b),
        CmpOp::Leu => !compare32(CmpOp::Gt, a, b),
        CmpOp::Gtu => !compare32(CmpOp::Le, a, b),
        CmpOp::Geu => !compare32(CmpOp::Lt, a, b),
        CmpOp::Num => !compare32(CmpOp::Nan, a, b),
        CmpOp::Nan => ballot(a, b, |a, b| a.is_nan() || b.is_nan()),
    }
}

/// The comparison, and its counterpart: for a packed type the upper elements', else the negation.
pub(super) fn compare(
    file: &File<'_>,
    cmp: CmpOp,
    ty: Float,
    ftz: bool,
    a: Src,
    b: Src,
) -> Result<(Lanes, Lanes), Box<Fault>> {
    if ty == Float::F32 {
        let number = |bits: u32| if ftz { flushed(bits) } else { f32::from_bits(bits) };
        let (a, b) = (file.get32(a)?.map(number), file.get32(b)?.map(number));
        let mask = compare32(cmp, &a, &b);
        return Ok((mask, !mask));
    }
    let width = ty.width();
    let (a, b) = (file.get(a, width)?, file.get(b, width)?);
    let mode = FloatMode { ftz, ..FloatMode::default() };
    let (element, count) = split(ty);
    let (mut low, mut high) = (0, 0);
    for lane in 0..32 {
        if ty == Float::F64 {
            let yes = holds(cmp, f64::from_bits(a[lane]), f64::from_bits(b[lane]));
            low |= u32::from(yes) << lane;
            continue;
        }
        let at = |value: u64| decode(element, mode, value as u32);
        low |= u32::from(holds(cmp, at(a[lane]), at(b[lane]))) << lane;
        if count == 2 {
            let upper = holds(cmp, at(a[lane] >> 16), at(b[lane] >> 16));
            high |= u32::from(upper) << lane;
        }
    }
    Ok((low, if count == 2 { high } else { !low }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Any bits, and numbers close enough to each other for sums to cancel and round.
    fn number() -> impl Strategy<Value = f32> {
        prop_oneof![
            any::<u32>().prop_map(f32::from_bits),
            (0x3f00_0000u32..0x4100_0000).prop_map(f32::from_bits),
            (0u32..0x0100_0000).prop_map(f32::from_bits),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        /// Rounding to odd in `f64` and then to `f32` is rounding once.
        #[test]
        fn two_roundings_are_one(a in number(), b in number(), c in number()) {
            let [x, y, z] = [a, b, c].map(f64::from);
            let rounded = |value: f64| canonical(value as f32);
            prop_assert_eq!(rounded(add_odd(x * y, z)), canonical(a.mul_add(b, c)));
            prop_assert_eq!(rounded(add_odd(x, y)), canonical(a + b));
            prop_assert_eq!(rounded(div_odd(x, y)), canonical(a / b));
            prop_assert_eq!(rounded(sqrt_odd(x)), canonical(a.sqrt()));
        }

        /// The short forms for `f32` agree with the general ones.
        #[test]
        fn short_forms_are_the_general_ones(a in number(), b in number(), ftz: bool) {
            use CmpOp::*;

            let mode = FloatMode { ftz, ..FloatMode::default() };
            for (a, b) in [(a, b), (a, a), (a, -a), (0.0, -0.0), (f32::NAN, a), (a, f32::NAN)] {
                let (x, y) = (a.to_bits(), b.to_bits());
                let general = |max| extreme(max, Float::F32, mode, x, y);
                prop_assert_eq!(extreme32::<true>(ftz, x, y), general(true));
                prop_assert_eq!(extreme32::<false>(ftz, x, y), general(false));
                for cmp in [Eq, Ne, Lt, Le, Gt, Ge, Equ, Neu, Ltu, Leu, Gtu, Geu, Num, Nan] {
                    let mask = if holds(cmp, a.into(), b.into()) { u32::MAX } else { 0 };
                    prop_assert_eq!(compare32(cmp, &[a; 32], &[b; 32]), mask, "{:?}", cmp);
                }
                if ftz {
                    let (p, q) = (flushed(x), flushed(y));
                    for (op, value) in [(FloatOp2::Add, p + q), (FloatOp2::Mul, p * q)] {
                        let general = element_binary(op, Float::F32, mode, x, y);
                        prop_assert_eq!(flush32(canonical(value)), general);
                    }
                }
            }
        }
    }
}
