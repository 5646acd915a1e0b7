//! `f64` in every rounding. Results that are rounded to nearest are the processor's own; the others are
//! worked out in integers, because an error term in `f64` is lost near the ends of the range.
//!
//! NaN as an H200 has it: an operation hands on its last operand that is NaN (a division its first), made
//! quiet, its sign and payload kept; what has no value is [`INVALID`].

use crate::decode::op::{FloatMode, FloatOp1, FloatOp2, Rounding};

/// Infinity less infinity, 0 · infinity, the root of a negative number.
const INVALID: f64 = f64::from_bits(0xfff8_0000_0000_0000);

/// A NaN made quiet.
fn quiet(x: f64) -> f64 {
    f64::from_bits(x.to_bits() | 1 << 51)
}

/// The result of an operation whose arithmetic result is NaN.
fn nan(operands: &[f64]) -> f64 {
    operands.iter().rev().find(|x| x.is_nan()).map_or(INVALID, |&x| quiet(x))
}

/// A finite number other than zero: magnitude · 2^exponent.
fn parts(x: f64) -> (u128, i32) {
    let bits = x.to_bits();
    let field = (bits >> 52 & 0x7ff) as i32;
    let fraction = u128::from(bits & ((1 << 52) - 1));
    if field == 0 { (fraction, -1074) } else { (fraction | 1 << 52, field - 1075) }
}

/// ±magnitude · 2^exponent, and a little more where `more` is set, rounded in a direction.
fn rounded(negative: bool, magnitude: u128, exponent: i32, more: bool, mode: Rounding) -> f64 {
    let top = 127 - magnitude.leading_zeros() as i32;
    // The place of the last bit that is kept.
    let last = (exponent + top - 52).max(-1074);
    let cut = last - exponent;
    let (kept, rest) = match cut {
        ..=0 => (magnitude << -cut, 0),
        1..=127 => (magnitude >> cut, magnitude & ((1 << cut) - 1)),
        _ => (0, magnitude),
    };
    let away = match mode {
        Rounding::Rm => negative,
        Rounding::Rp => !negative,
        _ => false,
    };
    let kept = kept + u128::from(away && (rest != 0 || more));
    let magnitude = if (kept as f64) * 2f64.powi(last.max(-1000)) > f64::MAX {
        if away { f64::INFINITY } else { f64::MAX }
    } else {
        // Two steps, as 2^-1074 is no power that `powi` has.
        kept as f64 * 2f64.powi(last / 2) * 2f64.powi(last - last / 2)
    };
    if negative { -magnitude } else { magnitude }
}

/// a·b + c where no operand is infinite or NaN and the result is not rounded to nearest.
fn fma_directed(mode: Rounding, a: f64, b: f64, c: f64) -> f64 {
    let negative = a.is_sign_negative() != b.is_sign_negative();
    if a == 0.0 || b == 0.0 {
        let zero = if negative { -0.0 } else { 0.0 };
        return if c == 0.0 { exact_zero(mode, zero, c) } else { c };
    }
    let ((x, e), (y, f)) = (parts(a), parts(b));
    let product = (negative, x * y, e + f);
    if c == 0.0 {
        return rounded(product.0, product.1, product.2, false, mode);
    }
    let (z, g) = parts(c);
    // Both with their leading bit at place 120, the larger first.
    let lifted = |(sign, m, e): (bool, u128, i32)| {
        let up = m.leading_zeros() as i32 - 7;
        (sign, m << up, e - up)
    };
    let (p, q) = (lifted(product), lifted((c.is_sign_negative(), z, g)));
    let (big, small) = if (p.2, p.1) >= (q.2, q.1) { (p, q) } else { (q, p) };
    let down = (big.2 - small.2).min(127);
    let (low, lost) = (small.1 >> down, small.1 & ((1 << down) - 1) != 0);
    if big.0 == small.0 {
        return rounded(big.0, big.1 + low, big.2, lost, mode);
    }
    let difference = big.1 - low - u128::from(lost);
    if difference == 0 && !lost {
        return if mode == Rounding::Rm { -0.0 } else { 0.0 };
    }
    rounded(big.0, difference, big.2, lost, mode)
}

/// The sum of two zeros.
fn exact_zero(mode: Rounding, a: f64, b: f64) -> f64 {
    match a.is_sign_negative() == b.is_sign_negative() {
        true => a,
        false if mode == Rounding::Rm => -0.0,
        false => 0.0,
    }
}

pub(super) fn fma(mode: Rounding, a: f64, b: f64, c: f64) -> f64 {
    let nearest = a.mul_add(b, c);
    if nearest.is_nan() {
        return nan(&[a, b, c]);
    }
    let finite = a.is_finite() && b.is_finite() && c.is_finite();
    if mode == Rounding::Rn || !finite { nearest } else { fma_directed(mode, a, b, c) }
}

fn div(mode: Rounding, a: f64, b: f64) -> f64 {
    let nearest = a / b;
    if nearest.is_nan() {
        // A routine, which looks at its dividend first.
        return nan(&[b, a]);
    }
    let exact = a == 0.0 || b == 0.0 || !a.is_finite() || !b.is_finite();
    if mode == Rounding::Rn || exact {
        return nearest;
    }
    let ((x, e), (y, f)) = (parts(a), parts(b));
    let up = x.leading_zeros() as i32;
    let (x, e) = (x << up, e - up);
    rounded(nearest.is_sign_negative(), x / y, e - f, !x.is_multiple_of(y), mode)
}

pub(super) fn binary(op: FloatOp2, mode: FloatMode, a: f64, b: f64) -> f64 {
    let rounding = mode.rounding;
    match op {
        FloatOp2::Add => match a + b {
            sum if sum.is_nan() => nan(&[a, b]),
            sum if rounding == Rounding::Rn => sum,
            _ => fma(rounding, a, 1.0, b),
        },
        FloatOp2::Sub => match a - b {
            sum if sum.is_nan() => nan(&[a, b]),
            sum if rounding == Rounding::Rn => sum,
            _ => fma(rounding, a, 1.0, -b),
        },
        FloatOp2::Mul => match a * b {
            product if product.is_nan() => nan(&[a, b]),
            product if rounding == Rounding::Rn || product == 0.0 && (a == 0.0 || b == 0.0) => {
                product
            }
            product if a.is_infinite() || b.is_infinite() => product,
            _ => fma_directed(rounding, a, b, 0.0),
        },
        FloatOp2::Div | FloatOp2::DivApprox => div(rounding, a, b),
        FloatOp2::CopySign => b.copysign(a),
        FloatOp2::Min | FloatOp2::Max => {
            let max = op == FloatOp2::Max;
            match (a.is_nan(), b.is_nan()) {
                (true, true) => nan(&[a, b]),
                (true, _) => b,
                (_, true) => a,
                _ => {
                    let a_is_less = a < b || a == b && a.is_sign_negative();
                    if a_is_less != max { a } else { b }
                }
            }
        }
    }
}

pub(super) fn unary(op: FloatOp1, mode: FloatMode, bits: u64) -> u64 {
    let x = f64::from_bits(bits);
    let value = match op {
        _ if x.is_nan() && !mode.ftz => quiet(x),
        FloatOp1::Neg => -x,
        FloatOp1::Abs => x.abs(),
        FloatOp1::Sqrt => sqrt(mode.rounding, x),
        // The approximations (`.ftz`) know the upper half of their operand, and give one.
        FloatOp1::Rsqrt => return upper(x, |x| 1.0 / x.sqrt()),
        _ if mode.ftz => return upper(x, |x| 1.0 / x),
        _ => div(mode.rounding, 1.0, x),
    };
    value.to_bits()
}

/// An approximation whose operand and result have 32 bits of an `f64`, subnormals being zero.
fn upper(x: f64, f: impl Fn(f64) -> f64) -> u64 {
    const HIGH: u64 = 0xffff_ffff_0000_0000;
    let flush = |x: f64| if x.is_subnormal() { 0.0f64.copysign(x) } else { x };
    let x = flush(f64::from_bits(x.to_bits() & HIGH));
    let value = flush(f(x));
    if value.is_nan() { 0x7fff_ffff_0000_0000 } else { value.to_bits() & HIGH }
}

fn sqrt(mode: Rounding, x: f64) -> f64 {
    let root = x.sqrt();
    if root.is_nan() {
        return INVALID;
    }
    let error = (-root).mul_add(root, x);
    match mode {
        Rounding::Rm | Rounding::Rz if error < 0.0 => root.next_down(),
        Rounding::Rp if error > 0.0 => root.next_up(),
        _ => root,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        /// Directed results enclose the nearest one, and are a step apart unless exact.
        #[test]
        fn directions_enclose(a: u64, b: u64, c: u64) {
            let [a, b, c] = [a, b, c].map(f64::from_bits);
            prop_assume!(a.is_finite() && b.is_finite() && c.is_finite());
            let every = |f: &dyn Fn(Rounding) -> f64| {
                [Rounding::Rm, Rounding::Rn, Rounding::Rp, Rounding::Rz].map(f)
            };
            for [down, nearest, up, inward] in [
                every(&|mode| fma(mode, a, b, c)),
                every(&|mode| fma(mode, a, 1.0, c)),
                every(&|mode| div(mode, a, b)),
                every(&|mode| binary(FloatOp2::Mul, FloatMode { rounding: mode, ..FloatMode::default() }, a, b)),
            ] {
                if nearest.is_nan() || b == 0.0 {
                    continue;
                }
                prop_assert!(down <= nearest && nearest <= up, "{a:e} {b:e} {c:e}");
                prop_assert!(down == up || down.next_up() == up, "{a:e} {b:e} {c:e}: {down:e} {up:e}");
                prop_assert_eq!(inward, if nearest.is_sign_positive() { down } else { up });
            }
        }
    }
}
