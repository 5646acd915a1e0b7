//! Exhaustive over the codes; against a search for the nearest, and against `half`.

use proptest::prelude::*;

use super::*;

const SMALL: [Format; 5] = [E2M1, E2M3, E3M2, E4M3, E5M2];
const MODES: [Rounding; 5] =
    [Rounding::Rn, Rounding::Rna, Rounding::Rz, Rounding::Rm, Rounding::Rp];

/// Rounding by looking at every finite code: the definition, without any bit arithmetic.
fn encode_by_search(format: &Format, x: f64, mode: Rounding) -> f64 {
    let values = (0..=format.max_finite()).flat_map(|c| {
        let v = format.decode(c);
        [(v, c & 1 == 0), (-v, c & 1 == 0)]
    });
    let below = values.clone().filter(|v| v.0 <= x).max_by(|a, b| a.0.total_cmp(&b.0));
    let above = values.filter(|v| v.0 >= x).min_by(|a, b| a.0.total_cmp(&b.0));
    let (Some(below), Some(above)) = (below, above) else {
        let max = format.decode(format.max_finite());
        return max.copysign(x);
    };
    let nearer = (x - below.0).partial_cmp(&(above.0 - x)).unwrap();
    let away = if x < 0.0 { below.0 } else { above.0 };
    let toward = if x < 0.0 { above.0 } else { below.0 };
    match (mode, nearer) {
        (Rounding::Rm, _) => below.0,
        (Rounding::Rp, _) => above.0,
        (Rounding::Rz, _) => toward,
        (_, std::cmp::Ordering::Less) => below.0,
        (_, std::cmp::Ordering::Greater) => above.0,
        (Rounding::Rna, _) => away,
        (_, _) if below.1 => below.0,
        _ => above.0,
    }
}

#[test]
fn every_small_code_survives_decoding_and_encoding() {
    for format in SMALL {
        for code in 0..1u32 << format.bits() {
            let value = format.decode(code);
            if value.is_nan() {
                assert_eq!(format.encode(value, Rounding::Rn, true), format.canonical_nan());
            } else if value.is_finite() {
                for mode in MODES {
                    assert_eq!(format.encode(value, mode, true), code, "{} {code}", format.name);
                }
            }
        }
    }
}

#[test]
fn values_written_out_in_the_isa_text() {
    assert_eq!((0..8).map(e2m1_to_f32).collect::<Vec<_>>(), [0., 0.5, 1., 1.5, 2., 3., 4., 6.]);
    for code in 0..16u8 {
        assert_eq!(f64::from(e2m1_to_f32(code)).to_bits(), E2M1.decode(code.into()).to_bits());
    }
    let e4m3 = [(0x01, 0.001953125), (0x08, 0.015625), (0x38, 1.0), (0x70, 128.0), (0x7E, 448.0)];
    for (code, value) in e4m3 {
        assert_eq!(e4m3_to_f32(code), value);
        assert_eq!(e4m3_to_f32(code | 0x80), -value);
        assert_eq!(ue4m3_to_f32(code | 0x80), value);
    }
    assert!(e4m3_to_f32(0x7F).is_nan() && e4m3_to_f32(0xFF).is_nan());
    assert_eq!(e5m2_to_f32(0x7B), 57344.0);
    assert_eq!(e5m2_to_f32(0x7C), f32::INFINITY);
    assert_eq!((e2m3_to_f32(0x1F), e3m2_to_f32(0x1F)), (7.5, 28.0));
    assert_eq!(ue8m0_to_f32(127), 1.0);
    assert_eq!(ue8m0_to_f32(0).to_bits(), 0x0040_0000);
    assert!(ue8m0_to_f32(255).is_nan());
}

#[test]
fn e2m1_ties_go_to_even() {
    let ties = [(0.25, 0), (0.75, 2), (1.25, 2), (1.75, 4), (2.5, 4), (3.5, 6), (5.0, 6)];
    for (x, code) in ties {
        assert_eq!(f32_to_e2m1(x, Rounding::Rn), code, "{x}");
        assert_eq!(f32_to_e2m1(-x, Rounding::Rn), code | 8, "-{x}");
    }
}

#[test]
fn saturation_nan_and_infinity() {
    assert_eq!(f32_to_e2m1(f32::NAN, Rounding::Rn), 7);
    assert_eq!(f32_to_e2m1(f32::NEG_INFINITY, Rounding::Rn), 15);
    assert_eq!(f32_to_e4m3(f32::NAN, Rounding::Rn), 0x7F);
    assert_eq!(f32_to_e4m3(1e9, Rounding::Rn), 0x7E);
    assert_eq!(f32_to_e4m3(f32::NEG_INFINITY, Rounding::Rn), 0xFE);
    assert_eq!(f32_to_e5m2(f32::INFINITY, Rounding::Rn), 0x7B);
    assert_eq!(f32_to_f16(70000.0, Rounding::Rn), 0x7C00);
    assert_eq!(f32_to_f16(70000.0, Rounding::Rz), 0x7BFF);
    assert_eq!(f32_to_f16(-70000.0, Rounding::Rm), 0xFC00);
    assert_eq!(f32_to_f16(-70000.0, Rounding::Rp), 0xFBFF);
    assert_eq!(f32_to_f16_satfinite(f32::INFINITY, Rounding::Rn), 0x7BFF);
    assert_eq!(f32_to_f16(f32::NAN, Rounding::Rn), 0x7FFF);
    assert_eq!(f32_to_bf16(f32::NAN, Rounding::Rn), 0x7FFF);
    assert_eq!(f32_to_bf16(f32::MAX, Rounding::Rn), 0x7F80);
    assert_eq!(f32_to_bf16_satfinite(f32::MAX, Rounding::Rn), 0x7F7F);
    assert_eq!(f32_to_tf32(f32::NAN, Rounding::Rna), 0x7FFF_E000);
    assert_eq!(f32_to_tf32(f32::from_bits(0x3F80_1000), Rounding::Rna), 0x3F80_2000);
    assert_eq!(f32_to_tf32(f32::from_bits(0x3F80_1000), Rounding::Rn), 0x3F80_0000);
    assert_eq!(relu(-0.0).to_bits(), 0);
    assert_eq!(flush_subnormal(f32::from_bits(0x8000_0001)).to_bits(), 0x8000_0000);
}

#[test]
fn ue8m0_rounds_up_or_down_to_a_power_of_two() {
    for (x, down, up) in [
        (1.0, 127, 127),
        (1.5, 127, 128),
        (0.0, 0, 0),
        (f32::from_bits(0x0040_0000), 0, 0),
        (f32::from_bits(0x0040_0001), 0, 1),
        (f32::MAX, 0xFE, 0xFE),
        (f32::INFINITY, 0xFE, 0xFE),
        (f32::NAN, 0xFF, 0xFF),
    ] {
        assert_eq!(f32_to_ue8m0(x, Rounding::Rz), down, "{x}");
        assert_eq!(f32_to_ue8m0(x, Rounding::Rp), up, "{x}");
    }
}

#[test]
fn all_sixteen_bit_codes_agree_with_half() {
    for bits in 0..=u16::MAX {
        let (f, b) = (half::f16::from_bits(bits), half::bf16::from_bits(bits));
        if !f.is_nan() {
            assert_eq!(f16_to_f32(bits).to_bits(), f.to_f32().to_bits());
            assert_eq!(f32_to_f16(f.to_f32(), Rounding::Rn), bits);
        }
        if !b.is_nan() {
            assert_eq!(bf16_to_f32(bits).to_bits(), b.to_f32().to_bits());
            assert_eq!(f32_to_bf16(b.to_f32(), Rounding::Rz), bits);
        }
    }
}

proptest! {
    #[test]
    fn small_formats_round_as_the_search_does(x in -500.0f32..500.0, scale in -12i32..1) {
        let x = f64::from(x) * f64::from(scale).exp2();
        for format in SMALL {
            for mode in MODES {
                let got = format.decode(format.encode(x, mode, true));
                prop_assert_eq!(got, encode_by_search(&format, x, mode), "{} {:?}", format.name, mode);
            }
        }
    }

    #[test]
    fn sixteen_bit_formats_agree_with_half(bits in any::<u32>()) {
        let x = f32::from_bits(bits);
        prop_assume!(!x.is_nan());
        prop_assert_eq!(f32_to_f16(x, Rounding::Rn), half::f16::from_f32(x).to_bits());
        prop_assert_eq!(f32_to_bf16(x, Rounding::Rn), half::bf16::from_f32(x).to_bits());
        prop_assert_eq!(BF16.encode(f64::from(x), Rounding::Rn, false) as u16, f32_to_bf16(x, Rounding::Rn));
    }

    #[test]
    fn f64_rounds_to_the_two_neighbours_of_the_nearest(x in any::<f64>()) {
        prop_assume!(x.is_finite());
        prop_assert_eq!(F32.encode(x, Rounding::Rn, false), (x as f32).to_bits());
        let down = round_f64_to_f32(x, Rounding::Rm);
        let up = round_f64_to_f32(x, Rounding::Rp);
        prop_assert!(f64::from(down) <= x && x <= f64::from(up));
        prop_assert!(down == up || down.next_up() == up);
        let zero = round_f64_to_f32(x, Rounding::Rz);
        prop_assert_eq!(zero.to_bits(), if x < 0.0 { up } else { down }.to_bits());
    }

    #[test]
    fn f32_range_directed_rounding(m in any::<i64>(), e in -180i32..140) {
        let x = m as f64 * f64::from(e).exp2() / f64::from(63).exp2();
        let near = round_f64_to_f32(x, Rounding::Rn);
        let (down, up) = (round_f64_to_f32(x, Rounding::Rm), round_f64_to_f32(x, Rounding::Rp));
        prop_assert!(near == down || near == up);
        prop_assert!(f64::from(down) <= x && x <= f64::from(up));
    }
}
