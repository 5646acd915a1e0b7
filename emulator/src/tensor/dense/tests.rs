//! Each kind against the scheme written in integers, and NVFP4 against its own fast loops.

use proptest::prelude::*;

use super::*;
use crate::numeric::{BF16, E4M3, E5M2, F16, Format, TF32};
use crate::tensor::block_scaled;
use crate::tensor::instr_descriptor::{Element, ScaleType};

const F32_SUM: Accumulate = Accumulate { fraction_bits: 25, add: true, half: false };

fn operand(element: Element, k: usize) -> Operand {
    Operand { element, packing: Packing::Dense, k, group: 1, scale: None, negate: false }
}

/// (significand, unit exponent, alignment exponent) of a finite code, from its bit fields.
fn parts(format: &Format, code: u32) -> (i128, i32, i32) {
    let m = i128::from(code & ((1 << format.mantissa_bits) - 1));
    let e = (code >> format.mantissa_bits & ((1 << format.exponent_bits) - 1)) as i32;
    let (sig, exponent) = if e == 0 {
        (m, 1 - format.bias)
    } else {
        (m + (1 << format.mantissa_bits), e - format.bias)
    };
    let sig = if code >> (format.bits() - 1) & 1 == 1 { -sig } else { sig };
    let aligned = if sig == 0 { -126 } else { exponent };
    (sig, exponent - format.mantissa_bits as i32, aligned)
}

/// The scheme in integers, for finite numbers.
fn model(format: &Format, a: &[u32], b: &[u32], scales: i32, c: u32) -> u32 {
    let (c_sig, c_unit, _) = parts(&crate::numeric::F32, c);
    let mut terms = vec![(c_sig, c_unit, (c >> 23 & 0xFF).max(1) as i32 - 127)];
    for (&x, &y) in a.iter().zip(b) {
        let ((sx, ux, ex), (sy, uy, ey)) = (parts(format, x), parts(format, y));
        terms.push((sx * sy, ux + uy + scales, ex + ey + scales));
    }
    let unit = terms.iter().map(|t| t.2).max().unwrap() - 25;
    let sum: i128 = terms
        .iter()
        .map(
            |&(sig, u, _)| {
                if u >= unit { sig << (u - unit) } else { sig / (1 << (unit - u).min(100)) }
            },
        )
        .sum();
    let (mut m, mut u) = (sum.unsigned_abs(), unit);
    if m == 0 {
        return 0;
    }
    while m >= 1 << 24 || u < -149 {
        (m, u) = (m >> 1, u + 1);
    }
    while m < 1 << 23 && u > -149 {
        (m, u) = (m << 1, u - 1);
    }
    let sign = u32::from(sum < 0) << 31;
    let field = if m >= 1 << 23 { (u + 150) as u32 } else { 0 };
    if u > 104 { sign | 0x7F80_0000 } else { sign | field << 23 | (m as u32 & 0x7F_FFFF) }
}

fn bytes(codes: &[u32], container: usize) -> Vec<u8> {
    codes.iter().flat_map(|c| c.to_le_bytes()[..container].to_vec()).collect()
}

fn finite(format: Format, spread: u32) -> impl Strategy<Value = u32> {
    // Codes within `spread` binades of one, either sign, and zero.
    let one = (format.bias as u32) << format.mantissa_bits;
    let span = spread << format.mantissa_bits;
    let top = format.max_finite();
    let low = one.saturating_sub(span);
    let high = (one + span).min(top);
    prop_oneof![
        12 => (low..=high, any::<bool>())
            .prop_map(move |(c, negative)| c | u32::from(negative) << (format.bits() - 1)),
        1 => Just(0u32),
        1 => 0..=top,
    ]
}

fn check(element: Element, format: Format, container: usize, k: usize, codes: &[u32], c: u32) {
    let shift = if element == Element::Tf32 { 13 } else { 0 };
    let raw: Vec<u32> = codes.iter().map(|c| c << shift).collect();
    let (a, b) = raw.split_at(k);
    let op = operand(element, k);
    let (mut panel, mut rows) = (Panel::default(), Rows::default());
    panel.load(&op, &bytes(a, container), &[[0; 4]]);
    rows.load(&op, &bytes(b, container), &[[0; 4]]);
    let mut d = [[c; ROWS]];
    multiply(&panel, &rows, F32_SUM, &mut d);
    let want = model(&format, &codes[..k], &codes[k..], 0, c);
    assert_eq!(d[0][0], want, "{element:?}: {:#x}, want {want:#x}, c {c:#x}", d[0][0]);
    assert_eq!(d[0][1], c, "rows beyond the panel stay as they are");
}

fn accumulator() -> impl Strategy<Value = u32> {
    prop_oneof![(-1e5f32..1e5).prop_map(f32::to_bits), 0u32..0x7F80_0000, Just(0)]
}

proptest! {
    #[test]
    fn f16(codes in prop::collection::vec(finite(F16, 9), 32), c in accumulator()) {
        check(Element::F16, F16, 2, 16, &codes, c);
    }

    #[test]
    fn bf16(codes in prop::collection::vec(finite(BF16, 14), 32), c in accumulator()) {
        check(Element::Bf16, BF16, 2, 16, &codes, c);
    }

    #[test]
    fn tf32(codes in prop::collection::vec(finite(TF32, 14), 16), c in accumulator()) {
        check(Element::Tf32, TF32, 4, 8, &codes, c);
    }

    #[test]
    fn e4m3(codes in prop::collection::vec(finite(E4M3, 15), 64), c in accumulator()) {
        check(Element::E4m3, E4M3, 1, 32, &codes, c);
    }

    #[test]
    fn e5m2(codes in prop::collection::vec(finite(E5M2, 15), 64), c in accumulator()) {
        check(Element::E5m2, E5M2, 1, 32, &codes, c);
    }

    #[test]
    fn mxf8_scales_shift_the_terms(
        codes in prop::collection::vec(finite(E4M3, 8), 64), c in accumulator(),
        sa in 100u8..150, sb in 100u8..150,
    ) {
        let op = Operand { scale: Some((ScaleType::Ue8m0, 32)), ..operand(Element::E4m3, 32) };
        let (mut panel, mut rows) = (Panel::default(), Rows::default());
        panel.load(&op, &bytes(&codes[..32], 1), &[[sa, 0, 0, 0]]);
        rows.load(&op, &bytes(&codes[32..], 1), &[[sb, 0, 0, 0]]);
        let mut d = [[c; ROWS]];
        multiply(&panel, &rows, F32_SUM, &mut d);
        let scales = i32::from(sa) + i32::from(sb) - 254;
        prop_assert_eq!(d[0][0], model(&E4M3, &codes[..32], &codes[32..], scales, c));
    }

    #[test]
    fn nvfp4_agrees_with_its_fast_loops(
        a in prop::array::uniform32(any::<u8>()), b in prop::array::uniform32(any::<u8>()),
        sa in prop::array::uniform4(any::<u8>()), sb in prop::array::uniform4(0u8..0x7F),
        c in any::<u32>(), negate in any::<bool>(),
    ) {
        let op = Operand {
            group: 16, scale: Some((ScaleType::Ue4m3, 16)), ..operand(Element::E2m1, 64)
        };
        let (mut panel, mut rows) = (Panel::default(), Rows::default());
        panel.load(&Operand { negate, ..op }, &a, &[sa]);
        rows.load(&op, &b, &[sb]);
        let mut d = [[c; ROWS]];
        multiply(&panel, &rows, Accumulate { fraction_bits: 35, ..F32_SUM }, &mut d);
        let mut fast = block_scaled::Panel::default();
        fast.load(&[a], &[sa], negate);
        let mut want = [[c; ROWS]];
        block_scaled::multiply(&fast, &[b], &[sb], false, true, &mut want);
        prop_assert_eq!(d[0][0], want[0][0]);
    }
}

#[test]
fn mxf4_scales_cover_32_elements_and_terms_16() {
    let op =
        Operand { group: 16, scale: Some((ScaleType::Ue8m0, 32)), ..operand(Element::E2m1, 64) };
    let (mut panel, mut rows) = (Panel::default(), Rows::default());
    // Ones (code 2) everywhere; scales 2 and 4 of A, 1 and 1/2 of B.
    panel.load(&op, &[0x22; 32], &[[128, 129, 0, 0]]);
    rows.load(&op, &[0x22; 32], &[[127, 126, 0, 0]]);
    let mut d = [[0; ROWS]];
    multiply(&panel, &rows, Accumulate { fraction_bits: 35, ..F32_SUM }, &mut d);
    assert_eq!(f32::from_bits(d[0][0]), 32.0 * 2.0 + 32.0 * 2.0);
    rows.load(&op, &[0x22; 32], &[[127, 255, 0, 0]]);
    multiply(&panel, &rows, Accumulate { fraction_bits: 35, ..F32_SUM }, &mut d);
    assert_eq!(d[0][0], 0x7FFF_FFFF);
}

#[test]
fn narrow_types_sit_in_sixteen_byte_groups() {
    // Element i of a group is i-th in the packed part; the rest of the 16 bytes is never read.
    let mut row = [0xFFu8; 32];
    row[..12].fill(0);
    row[16..28].fill(0);
    row[0] = 0x20; // element 0 of group 0: code 0x20 = -0
    row[16] = 0b0000_1000; // element 16: code 8 = 1.0 in e2m3
    row[18] = 0b0010_0000; // bits 21.. : element 19 (bits 18..24) = 0b001000 = 1.0
    let op = Operand { packing: Packing::Sixteen, ..operand(Element::E2m3, 32) };
    assert_eq!(op.row_bytes(), 32);
    let (mut panel, mut rows) = (Panel::default(), Rows::default());
    panel.load(&op, &row, &[[0; 4]]);
    let ones: Vec<u8> = [0x08, 0x82, 0x20].repeat(4).into_iter().chain([0; 4]).collect();
    rows.load(&op, &ones.repeat(2), &[[0; 4]]);
    let mut d = [[0; ROWS]];
    multiply(&panel, &rows, F32_SUM, &mut d);
    assert_eq!(f32::from_bits(d[0][0]), 2.0);
}

#[test]
fn infinities_and_nans() {
    let op = operand(Element::F16, 16);
    let row = |first: u16, second: u16| {
        let mut codes = [0u32; 16];
        (codes[0], codes[1]) = (first.into(), second.into());
        bytes(&codes, 2)
    };
    let run = |a: Vec<u8>, b: Vec<u8>, c: u32| {
        let (mut panel, mut rows) = (Panel::default(), Rows::default());
        panel.load(&op, &a, &[[0; 4]]);
        rows.load(&op, &b, &[[0; 4]]);
        let mut d = [[c; ROWS]];
        multiply(&panel, &rows, F32_SUM, &mut d);
        d[0][0]
    };
    let (one, inf) = (0x3C00, 0x7C00);
    assert_eq!(run(row(inf, one), row(one, one), 0), 0x7F80_0000);
    assert_eq!(run(row(inf, one), row(0x8000 | one, one), 0), 0xFF80_0000);
    assert_eq!(run(row(inf, one), row(0, one), 0), 0x7FFF_FFFF, "infinity times zero");
    assert_eq!(run(row(inf, 0xFC00), row(one, one), 0), 0x7FFF_FFFF, "opposite infinities");
    assert_eq!(run(row(one, one), row(one, one), 0xFF80_0000), 0xFF80_0000);
    assert_eq!(run(row(one, one), row(one, one), 0x7FC0_0000), 0x7FFF_FFFF);
    assert_eq!(run(row(0x8000, 0), row(one, one), 1 << 31), 0, "a zero sum is +0");
}

#[test]
fn f16_accumulators_round_to_nearest_even() {
    let op = operand(Element::F16, 16);
    let mut codes = [0u32; 16];
    codes[0] = 0x3C00;
    let (mut panel, mut rows) = (Panel::default(), Rows::default());
    panel.load(&op, &bytes(&codes, 2), &[[0; 4]]);
    rows.load(&op, &bytes(&codes, 2), &[[0; 4]]);
    let half = Accumulate { half: true, ..F32_SUM };
    for (c, want) in [(0x6800, 0x6800), (0x6801, 0x6802), (0x3C00, 0x4000)] {
        // 2048 + 1 is a tie, 2050 + 1 another; 1 + 1 is exact.
        let mut d = [[c; ROWS]];
        multiply(&panel, &rows, half, &mut d);
        assert_eq!(d[0][0], want, "{c:#x}");
    }
    let mut d = [[0x7BFF; ROWS]];
    multiply(&panel, &rows, Accumulate { add: false, ..half }, &mut d);
    assert_eq!(d[0][0], 0x3C00);
}

#[test]
fn integers_wrap_or_saturate() {
    let (a, b) = ([0x80u8; 32], [0xFFu8; 32]);
    let run = |a_type, b_type, c: i32, add, saturate| {
        let mut d = [[c as u32; ROWS]];
        multiply_integers((&a, a_type), (&b, b_type), 32, add, saturate, &mut d);
        assert_eq!(d[0][1], c as u32, "rows beyond A stay as they are");
        d[0][0] as i32
    };
    assert_eq!(run(Element::S8, Element::S8, 5, true, false), 32 * 128 + 5);
    assert_eq!(run(Element::U8, Element::U8, 5, false, false), 32 * 128 * 255);
    assert_eq!(run(Element::S8, Element::U8, 0, true, false), -32 * 128 * 255);
    assert_eq!(run(Element::S8, Element::S8, i32::MAX, true, true), i32::MAX);
    assert_eq!(run(Element::S8, Element::S8, i32::MAX, true, false), i32::MIN + 4095);
}
