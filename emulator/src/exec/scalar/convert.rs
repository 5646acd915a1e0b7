//! `cvt`.

use super::{Done, File, extend, float};
use crate::{
    decode::op::{CvtFormat, PackedFormat, Rounding, ScalarOp, Width},
    numeric::{self, BF16, CANONICAL_NAN_F32, F16, Format},
};

/// A conversion of one number.
pub(super) fn single(file: &mut File<'_>, op: &ScalarOp) -> Done {
    let &ScalarOp::Cvt { to, from, reg, d, a, .. } = op else { return Ok(()) };
    let source = match from.width() {
        Width::B64 => Width::B64,
        _ => Width::B32,
    };
    let values = file.get(a, source)?;
    // Widenings and truncations of indices, the bulk of all conversions.
    if to.is_int() && from.is_int() && !matches!(op, ScalarOp::Cvt { sat: true, .. }) {
        let kept = to.width().bits().min(from.width().bits());
        let widens = to.width() > from.width();
        let signed = if widens { from.is_signed() } else { to.is_signed() };
        let cut = |value: u64| {
            let value = extend(value, kept, signed) as u64;
            extend(value, to.width().bits(), to.is_signed()) as u64
        };
        return store(file, reg, d, &values.map(cut));
    }
    store(file, reg, d, &values.map(|value| convert(op, value)))
}

fn store(file: &mut File<'_>, reg: Width, d: u32, values: &[u64; 32]) -> Done {
    let mask = u64::MAX >> (64 - reg.bits());
    file.put(d, reg, &values.map(|value| value & mask))
}

fn convert(op: &ScalarOp, value: u64) -> u64 {
    let &ScalarOp::Cvt { to, from, rounding, integral, ftz, sat, satfinite, relu, .. } = op else {
        return 0;
    };
    let rounding = rounding.unwrap_or(Rounding::Rn);
    if from.is_int() {
        let value = extend(value, from.width().bits(), from.is_signed());
        if to.is_int() {
            let (least, most) = range(to);
            return value.clamp(least, most) as u64;
        }
        return int_to_float(to, rounding, sat, value);
    }
    if let Some(bits) = nan(op, value) {
        return bits;
    }
    let x = match from {
        CvtFormat::F16 => F16.decode(value as u32 & 0xffff),
        CvtFormat::BF16 => f32::from_bits((value as u32) << 16).into(),
        CvtFormat::F64 => f64::from_bits(value),
        _ if ftz => numeric::flush_subnormal(f32::from_bits(value as u32)).into(),
        _ => f32::from_bits(value as u32).into(),
    };
    let direction = float::direction(rounding);
    if to.is_int() {
        return float_to_int(to, from, numeric::round_f64_to_integral(x, direction));
    }
    let x = if integral { numeric::round_f64_to_integral(x, direction) } else { x };
    let x = if sat {
        if x > 0.0 { x.min(1.0) } else { 0.0 }
    } else if relu && !x.is_nan() && x.is_sign_negative() {
        0.0
    } else {
        x
    };
    match to {
        CvtFormat::F64 => x.to_bits(),
        CvtFormat::F16 => F16.encode(x, direction, satfinite).into(),
        CvtFormat::BF16 => BF16.encode(x, direction, satfinite).into(),
        CvtFormat::TF32 if satfinite => numeric::f32_to_tf32_satfinite(x as f32, direction).into(),
        CvtFormat::TF32 => numeric::f32_to_tf32(x as f32, direction).into(),
        _ if x.is_nan() => CANONICAL_NAN_F32.into(),
        _ => {
            let y = numeric::round_f64_to_f32(x, direction);
            let y = if ftz { numeric::flush_subnormal(y) } else { y };
            y.to_bits().into()
        }
    }
}

/// What becomes of a NaN where that is not the destination's own one: its sign and the payload's upper
/// bits are kept between some formats, as an H200 has it.
fn nan(op: &ScalarOp, value: u64) -> Option<u64> {
    let &ScalarOp::Cvt { to, from, ftz, sat, satfinite, rounding, .. } = op else { return None };
    let (exponent, fraction, width) = match from {
        CvtFormat::F16 => (0x1f, 10, 16),
        CvtFormat::BF16 => (0xff, 7, 16),
        CvtFormat::F64 => (0x7ff, 52, 64),
        _ => (0xff, 23, 32),
    };
    let payload = value & ((1 << fraction) - 1);
    if value >> fraction & exponent != exponent || payload == 0 || sat || satfinite {
        return None;
    }
    let sign = value >> (width - 1) & 1;
    // The payload under the exponent of f64, quiet.
    let wide = sign << 63 | 0x7ff8 << 48 | payload << (52 - fraction);
    match (to, from) {
        (CvtFormat::F64, _) if ftz => Some(0x7fff_ffff_e000_0000),
        (CvtFormat::F64, _) => Some(wide),
        (CvtFormat::F32, CvtFormat::F64) => Some(sign << 31 | 0x7f80_0000 | wide >> 29 & 0x7f_ffff),
        (CvtFormat::F16, CvtFormat::F64) => Some(sign << 15 | 0x7c00 | wide >> 42 & 0x3ff),
        (CvtFormat::BF16, CvtFormat::F64) => Some(sign << 15 | 0x7f80 | wide >> 45 & 0x7f),
        // Bits are moved, nothing else.
        (CvtFormat::F32, CvtFormat::BF16) if !ftz => Some(value << 16),
        (CvtFormat::TF32, _) if rounding == Some(Rounding::Rna) => Some(value & 0xffff_e000),
        _ => None,
    }
}

/// The values that an integer type holds.
fn range(ty: CvtFormat) -> (i128, i128) {
    let bits = ty.width().bits();
    if ty.is_signed() { (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) } else { (0, (1 << bits) - 1) }
}

fn float_to_int(to: CvtFormat, from: CvtFormat, x: f64) -> u64 {
    let bits = to.width().bits();
    if x.is_nan() {
        let wide = from == CvtFormat::F64 || to.width() == Width::B64;
        let least = 1u64 << (bits - 1);
        // Bytes of either sign come widened, as other results do.
        return match (wide, to.is_signed()) {
            (false, _) => 0,
            (true, false) => least,
            (true, true) => extend(least, bits, true) as u64,
        };
    }
    let (least, most) = range(to);
    // `as` saturates, and i128 holds every integer type here.
    (x as i128).clamp(least, most) as u64
}

fn int_to_float(to: CvtFormat, rounding: Rounding, sat: bool, value: i128) -> u64 {
    let value = if sat { value.clamp(0, 1) } else { value };
    let nearest = value as f64;
    let direction = float::direction(rounding);
    // The part that the nearest f64 misses is below 2^11, so the second sum is exact.
    let error = (value - nearest as i128) as f64;
    let odd = float::add_odd(nearest, error);
    match to {
        CvtFormat::F64 => directed64(nearest, error, rounding).to_bits(),
        CvtFormat::F16 => F16.encode(odd, direction, false).into(),
        CvtFormat::BF16 => BF16.encode(odd, direction, false).into(),
        _ => numeric::round_f64_to_f32(odd, direction).to_bits().into(),
    }
}

fn directed64(nearest: f64, error: f64, rounding: Rounding) -> f64 {
    match rounding {
        Rounding::Rm if error < 0.0 => nearest.next_down(),
        Rounding::Rp if error > 0.0 => nearest.next_up(),
        Rounding::Rz if nearest > 0.0 && error < 0.0 => nearest.next_down(),
        Rounding::Rz if nearest < 0.0 && error > 0.0 => nearest.next_up(),
        _ => nearest,
    }
}

/// The format as data, for those that are binary floating point.
fn format(packed: PackedFormat) -> Option<&'static Format> {
    Some(match packed {
        PackedFormat::F16 => &F16,
        PackedFormat::BF16 => &BF16,
        PackedFormat::E4M3 => &numeric::E4M3,
        PackedFormat::E5M2 => &numeric::E5M2,
        PackedFormat::E2M1 => &numeric::E2M1,
        PackedFormat::E2M3 => &numeric::E2M3,
        PackedFormat::E3M2 => &numeric::E3M2,
        PackedFormat::F32 | PackedFormat::Ue8m0 => return None,
    })
}

/// Bits that one number takes in a packed register: six-bit floats have a byte each.
fn spacing(packed: PackedFormat) -> u32 {
    match packed {
        PackedFormat::F32 => 32,
        PackedFormat::F16 | PackedFormat::BF16 => 16,
        PackedFormat::E2M1 => 4,
        _ => 8,
    }
}

/// A conversion of two or four numbers.
pub(super) fn packed(file: &mut File<'_>, op: &ScalarOp) -> Done {
    let ScalarOp::CvtPacked { to, from, rounding, ftz, satfinite, relu, count, d, a, random } = op
    else {
        return Ok(());
    };
    let random = match random {
        Some(src) => Some(file.get32(*src)?),
        None => None,
    };
    let count = *count as usize;
    // Numbers from the least significant one on.
    let mut numbers = [[0f64; 32]; 4];
    if *from == PackedFormat::F32 {
        for (number, &src) in numbers.iter_mut().zip(a.iter().rev()) {
            *number = file.get32(src)?.map(|bits| {
                let x = f32::from_bits(bits);
                f64::from(if *ftz { numeric::flush_subnormal(x) } else { x })
            });
        }
    } else {
        let bits = spacing(*from);
        let register =
            file.get(a[0], if bits as usize * count > 32 { Width::B64 } else { Width::B32 })?;
        for (index, number) in numbers.iter_mut().enumerate().take(count) {
            *number = register.map(|value| {
                let code = (value >> (index as u32 * bits)) as u32 & (u32::MAX >> (32 - bits));
                match format(*from) {
                    Some(format) => format.decode(code),
                    None => numeric::ue8m0_to_f32(code as u8).into(),
                }
            });
        }
    }
    let direction = float::direction(*rounding);
    let share = 32 / count.max(2) as u32;
    let one = |index: usize, lane: usize| -> u32 {
        let x = numbers[index][lane];
        let x = if *relu && x.is_sign_negative() && !x.is_nan() { 0.0 } else { x };
        match (format(*to), &random) {
            (Some(format), Some(random)) => {
                let bits = random[lane] >> (index as u32 * share) & (u32::MAX >> (32 - share));
                let part = f64::from(bits) / f64::from(1u32 << share);
                stochastic(format, x, part, *satfinite)
            }
            (Some(format), None) => format.encode(x, direction, *satfinite),
            (None, _) => numeric::f32_to_ue8m0(x as f32, direction).into(),
        }
    };
    let bits = spacing(*to);
    let value = std::array::from_fn(|lane| {
        (0..count).fold(0, |all, index| all | one(index, lane) << (index as u32 * bits))
    });
    file.put32(*d, &value)
}

/// Rounds away from zero when the part that is cut off and the random number (both below 1) add up to
/// 1 or more. Assumed, as nothing says it: each number has an equal share of the random bits, the
/// lowest number the lowest, and all of a share counts.
fn stochastic(format: &Format, x: f64, random: f64, satfinite: bool) -> u32 {
    let low = format.encode(x, numeric::Rounding::Rz, satfinite);
    let high = low + 1;
    let (size, below, above) = (x.abs(), format.decode(low).abs(), format.decode(high).abs());
    // Exact, or out of range: nothing is left to chance.
    if !x.is_finite() || size <= below || !above.is_finite() {
        return format.encode(x, numeric::Rounding::Rn, satfinite);
    }
    if (size - below) / (above - below) + random >= 1.0 { high } else { low }
}

/// `cvt.pack`: `a` above `b`, both saturated, above what fits of `c`.
pub(super) fn pack_saturated(signed: bool, bits: u32, a: u32, b: u32, c: u32) -> u32 {
    let (least, most) =
        if signed { (-(1i64 << (bits - 1)), (1 << (bits - 1)) - 1) } else { (0, (1 << bits) - 1) };
    let mask = (1u64 << bits) - 1;
    let part = |x: u32| i64::from(x as i32).clamp(least, most) as u64 & mask;
    let pair = part(a) << bits | part(b);
    if bits == 16 { pair as u32 } else { (u64::from(c) << (2 * bits) | pair) as u32 }
}
