//! Video instructions: arithmetic on bytes, halves or whole words, saturated, then merged or summed.

use crate::decode::op::{Video, VideoOp, VideoSecond};

/// Some bits of a word, with their sign.
fn piece(word: u64, first: u32, bits: u32, signed: bool) -> i64 {
    let value = (word >> first) << (64 - bits);
    if signed { value.cast_signed() >> (64 - bits) } else { (value >> (64 - bits)).cast_signed() }
}

fn clamp(value: i64, bits: u32, signed: bool) -> i64 {
    if signed {
        value.clamp(-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
    } else {
        value.clamp(0, (1 << bits) - 1)
    }
}

fn compute(op: VideoOp, a: i64, b: i64) -> i64 {
    match op {
        VideoOp::Add => a + b,
        VideoOp::Sub => a - b,
        VideoOp::Average => (a + b + i64::from(a + b >= 0)) >> 1,
        VideoOp::Difference => (a - b).abs(),
        VideoOp::Min => a.min(b),
        VideoOp::Max => a.max(b),
        VideoOp::Equal => (a == b).into(),
        VideoOp::NotEqual => (a != b).into(),
        VideoOp::Less => (a < b).into(),
        VideoOp::LessEqual => (a <= b).into(),
        VideoOp::Greater => (a > b).into(),
        VideoOp::GreaterEqual => (a >= b).into(),
    }
}

/// One lane of a warp.
pub(super) fn evaluate(v: &Video, a: u32, b: u32, c: u32) -> u32 {
    if v.lanes == 1 { single(v, a, b, c) } else { several(v, a, b, c) }
}

fn single(v: &Video, a: u32, b: u32, c: u32) -> u32 {
    let part = |word: u32, [first, bits, ..]: [u8; 4], signed| {
        piece(word.into(), first.into(), bits.into(), signed)
    };
    let value = compute(v.op, part(a, v.a_part, v.a_signed), part(b, v.b_part, v.b_signed));
    let (first, bits) = (u32::from(v.mask[0]), u32::from(v.mask[1]));
    let value = if v.saturate { clamp(value, bits, v.signed) } else { value };
    let old = piece(c.into(), 0, 32, v.signed);
    let cut = piece(value.cast_unsigned(), 0, 32, v.signed);
    match v.second {
        None => value as u32,
        Some(VideoSecond::Add) => (cut + old) as u32,
        Some(VideoSecond::Min) => cut.min(old) as u32,
        Some(VideoSecond::Max) => cut.max(old) as u32,
        Some(VideoSecond::Merge) => {
            let mask = (u64::from(u32::MAX) >> (32 - bits) << first) as u32;
            c & !mask | ((value as u32) << first) & mask
        }
    }
}

fn several(v: &Video, a: u32, b: u32, c: u32) -> u32 {
    let both = u64::from(a) | u64::from(b) << 32;
    let bits = 32 / v.lanes;
    let mut out = c;
    for lane in 0..v.lanes as usize {
        if v.mask[lane] == 0 {
            continue;
        }
        let part =
            |parts: [u8; 4], signed| piece(both, u32::from(parts[lane]) * bits, bits, signed);
        let value = compute(v.op, part(v.a_part, v.a_signed), part(v.b_part, v.b_signed));
        let value = if v.saturate { clamp(value, bits, v.signed) } else { value };
        if v.second == Some(VideoSecond::Add) {
            let value = piece(value.cast_unsigned(), 0, bits, v.signed);
            out = out.wrapping_add(value as u32);
        } else {
            let first = lane as u32 * bits;
            let mask = (u64::from(u32::MAX) >> (32 - bits) << first) as u32;
            out = out & !mask | ((value as u32) << first) & mask;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn simd(op: VideoOp, lanes: u32, second: VideoSecond) -> Video {
        let from = |first: u8| [0, 1, 2, 3].map(|lane| lane + first);
        Video {
            op,
            lanes,
            signed: false,
            a_signed: false,
            b_signed: false,
            saturate: false,
            second: Some(second),
            a_part: from(0),
            b_part: from(lanes as u8),
            mask: [1; 4],
        }
    }

    #[test]
    fn bytes_and_halves() {
        let v = simd(VideoOp::Difference, 4, VideoSecond::Add);
        assert_eq!(evaluate(&v, 0x10_80_ff_03, 0x20_7f_00_05, 100), 100 + 0x10 + 1 + 0xff + 2);
        let v = simd(VideoOp::Add, 4, VideoSecond::Merge);
        assert_eq!(evaluate(&v, 0xff_01_02_03, 0x02_01_01_01, 0), 0x01_02_03_04);
        let v = Video { saturate: true, ..v };
        assert_eq!(evaluate(&v, 0xff_01_02_03, 0x02_01_01_01, 0), 0xff_02_03_04);
        let v = Video { mask: [0, 1, 0, 0], ..simd(VideoOp::Max, 2, VideoSecond::Merge) };
        assert_eq!(evaluate(&v, 0x1234_0000, 0x4321_ffff, 7), 0x4321_0007);
        let v = simd(VideoOp::Less, 2, VideoSecond::Merge);
        assert_eq!(evaluate(&v, 0x0001_0005, 0x0002_0004, 0), 0x0001_0000);
        let signed = Video {
            signed: true,
            a_signed: true,
            b_signed: true,
            ..simd(VideoOp::Average, 4, VideoSecond::Merge)
        };
        assert_eq!(evaluate(&signed, 0x05_fb_00_7f, 0x02_fe_00_7f, 0), 0x04_fc_00_7f);
    }

    #[test]
    fn whole_words() {
        let v = Video {
            lanes: 1,
            second: None,
            a_part: [8, 8, 0, 0],
            b_part: [16, 16, 0, 0],
            mask: [0, 32, 0, 0],
            ..simd(VideoOp::Sub, 2, VideoSecond::Add)
        };
        assert_eq!(evaluate(&v, 0x0000_4400, 0x0001_9999, 0), 0x43);
        let merged =
            Video { second: Some(VideoSecond::Merge), mask: [24, 8, 0, 0], saturate: true, ..v };
        assert_eq!(evaluate(&merged, 0x0000_0000, 0x0001_9999, 0x1234_5678), 0x0034_5678);
        let least = Video { second: Some(VideoSecond::Min), ..v };
        assert_eq!(evaluate(&least, 0x0000_4400, 0x0001_9999, 5), 5);
    }
}
