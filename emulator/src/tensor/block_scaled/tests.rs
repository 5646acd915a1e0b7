//! The fast loops against the model written out in integers, and the worked examples.

use proptest::prelude::*;

use super::*;
use crate::numeric::{E2M1, E4M3};

/// A term of the model: `significand` · 2^`unit`, aligned by `exponent`.
struct Term {
    significand: i128,
    unit: i32,
    exponent: i32,
}

fn shifted(value: i128, by: i32) -> i128 {
    // Division truncates toward zero, as the model asks.
    if by >= 0 { value << by } else { value / (1i128 << (-by).min(100)) }
}

/// Steps 2 to 4 of the model.
fn sum_of(terms: &[Term]) -> u32 {
    let e = terms.iter().map(|t| t.exponent).max().unwrap();
    let unit = e - 35;
    let sum: i128 = terms
        .iter()
        .map(|t| {
            let (value, by) = (t.significand, t.unit - unit);
            // A term far below the unit vanishes; shifting in two steps keeps i128 wide enough.
            if by < -100 { 0 } else { shifted(value, by) }
        })
        .sum();
    f32_toward_zero(sum, unit)
}

/// sum · 2^unit, truncated toward zero to f32.
fn f32_toward_zero(sum: i128, unit: i32) -> u32 {
    let sign = if sum < 0 { 1 << 31 } else { 0 };
    let (mut m, mut u) = (sum.unsigned_abs(), unit);
    if m == 0 {
        return 0;
    }
    while m >= 1 << 24 || u < -149 {
        m >>= 1;
        u += 1;
    }
    while m < 1 << 23 && u > -149 {
        m <<= 1;
        u -= 1;
    }
    if u > 104 {
        return sign | 0x7F80_0000;
    }
    let biased = if m >= 1 << 23 { (u + 150) as u32 } else { 0 };
    sign | (biased << 23) | (m as u32 & 0x7F_FFFF)
}

/// (significand in eighths, exponent) of a scale that is not NaN.
fn scale_parts(byte: u8) -> (i128, i32) {
    let (e, m) = (i32::from(byte >> 3 & 15), i128::from(byte & 7));
    match (e, m) {
        (0, 0) => (0, -126),
        (0, m) => (m, -6),
        (e, m) => (8 + m, e - 7),
    }
}

fn c_term(bits: u32) -> Term {
    let field = (bits >> 23 & 0xFF) as i32;
    let fraction = i128::from(bits & 0x7F_FFFF);
    let significand = if field == 0 { fraction } else { fraction | 1 << 23 };
    let exponent = field.max(1) - 127;
    Term {
        significand: if bits >> 31 == 1 { -significand } else { significand },
        unit: exponent - 23,
        exponent,
    }
}

fn model(a: &[u8; 32], sa: [u8; 4], b: &[u8; 32], sb: [u8; 4], c: u32) -> u32 {
    let nan = |s: &[u8; 4]| s.iter().any(|x| x & 0x7F == 0x7F);
    if nan(&sa) || nan(&sb) || f32::from_bits(c).is_nan() {
        return 0x7FFF_FFFF;
    }
    if f32::from_bits(c).is_infinite() {
        return c;
    }
    let value =
        |row: &[u8; 32], k: usize| E2M1.decode(u32::from(row[k / 2] >> (4 * (k % 2)) & 15)) as f32;
    let mut terms = vec![c_term(c)];
    for g in 0..4 {
        let dot: f32 = (16 * g..16 * g + 16).map(|k| value(a, k) * value(b, k)).sum();
        terms.push(group((dot * 4.0) as i128, sa[g], sb[g]));
    }
    sum_of(&terms)
}

fn group(dot_in_quarters: i128, sa: u8, sb: u8) -> Term {
    let ((ma, ea), (mb, eb)) = (scale_parts(sa), scale_parts(sb));
    // Quarters of the dot product times eighths of each significand.
    Term { significand: dot_in_quarters * ma * mb, unit: ea + eb - 8, exponent: ea + eb }
}

fn code_of(value: f32) -> u8 {
    (0..16).find(|&c| E2M1.decode(c) == f64::from(value)).unwrap() as u8
}

fn scale_of(value: f64) -> u8 {
    (0..0x7F).find(|&c| E4M3.decode(c) == value).unwrap() as u8
}

/// Two 16-element groups whose dot product is `dot`, built from elements that exist.
fn group_with_dot(dot: f32) -> ([f32; 16], [f32; 16]) {
    let (mut a, mut b) = ([0.0; 16], [0.0; 16]);
    match dot.abs() {
        0.25 => (a[0], b[0]) = (0.5, 0.5),
        1.0 => (a[0], b[0]) = (1.0, 1.0),
        1.5 => (a[0], b[0]) = (1.5, 1.0),
        2.25 => (a[0], b[0]) = (1.5, 1.5),
        512.0 => {
            (a, b) = ([6.0; 16], [6.0; 16]);
            // 576 - 64: one product of 36 less is 540, then 28 less.
            (a[0], b[0]) = (0.0, 0.0);
            (a[1], b[1]) = (4.0, 2.0);
        }
        576.0 => (a, b) = ([6.0; 16], [6.0; 16]),
        0.0 => {}
        other => panic!("no recipe for {other}"),
    }
    if dot < 0.0 {
        a = a.map(|x| -x);
    }
    (a, b)
}

/// c, four groups (dot, scale of A, scale of B), result.
type Example = (f32, [(f32, f64, f64); 4], f32);

const EXAMPLES: [Example; 6] = {
    const Z: (f32, f64, f64) = (0.0, 1.0, 1.0);
    const TINY: f64 = 0.001953125;
    [
        (16777216.0, [(1.5, 1.0, 1.0), Z, Z, Z], 16777216.0),
        (33554432.0, [(-512.0, 256.0, 256.0), (1.0, 0.015625, 0.015625), Z, Z], 0.0),
        (0.0, [(0.25, TINY, TINY), (0.0, 448.0, 448.0), Z, Z], 0.0),
        (0.0, [(0.25, TINY, TINY), Z, Z, Z], 1.0 / 1048576.0),
        (1.0, [(-0.25, 1.0, 1.0), (576.0, TINY, 1.0), (0.0, 0.0, 0.0), (2.25, 0.5, 1.75)], 3.84375),
        (0.0, [(576.0, 448.0, 448.0); 4], 462422016.0),
    ]
};

#[test]
fn worked_examples() {
    for (c, groups, want) in EXAMPLES {
        let (mut a, mut b) = ([0u8; 32], [0u8; 32]);
        let (mut sa, mut sb) = ([0u8; 4], [0u8; 4]);
        for (g, (dot, x, y)) in groups.into_iter().enumerate() {
            let (av, bv) = group_with_dot(dot);
            assert_eq!(av.iter().zip(&bv).map(|(p, q)| p * q).sum::<f32>(), dot);
            for i in 0..16 {
                let k = 16 * g + i;
                a[k / 2] |= code_of(av[i]) << (4 * (k % 2));
                b[k / 2] |= code_of(bv[i]) << (4 * (k % 2));
            }
            (sa[g], sb[g]) = (scale_of(x), scale_of(y));
        }
        assert_eq!(model(&a, sa, &b, sb, c.to_bits()), want.to_bits(), "model, c = {c}");
        let mut panel = Panel::default();
        panel.load(&[a], &[sa], false);
        let mut d = [[c.to_bits(); ROWS]];
        multiply(&panel, &[b], &[sb], false, true, &mut d);
        assert_eq!(d[0][0], want.to_bits(), "c = {c}");
    }
}

fn check(a: &[([u8; 32], [u8; 4])], b: &[([u8; 32], [u8; 4])], c: &[u32], mode: [bool; 3]) {
    let [negate_a, negate_b, accumulate] = mode;
    let (rows, scales): (Vec<_>, Vec<_>) = a.iter().copied().unzip();
    let (cols, col_scales): (Vec<_>, Vec<_>) = b.iter().copied().unzip();
    let mut panel = Panel::default();
    panel.load(&rows, &scales, negate_a);
    let mut d = vec![[0u32; ROWS]; b.len()];
    for (n, column) in d.iter_mut().enumerate() {
        for (m, cell) in column.iter_mut().enumerate() {
            *cell = c[(n * 37 + m) % c.len()];
        }
    }
    let before = d.clone();
    multiply(&panel, &cols, &col_scales, negate_b, accumulate, &mut d);
    for (n, (b, sb)) in b.iter().enumerate() {
        for (m, (a, sa)) in a.iter().enumerate() {
            // Flipping the sign bit of a code flips its value.
            let flip = if negate_a != negate_b { 0x88 } else { 0 };
            let c = if accumulate { before[n][m] } else { 0 };
            let want = model(&a.map(|x| x ^ flip), *sa, b, *sb, c);
            assert_eq!(
                d[n][m], want,
                "row {m}, column {n}: {:#x} for {want:#x}, c {c:#x}",
                d[n][m]
            );
        }
    }
}

/// Scale bytes from tame to wild: subnormals, zeros, the largest, now and then NaN.
fn scale_bytes() -> impl Strategy<Value = [u8; 4]> {
    let byte = prop_oneof![
        4 => 0x20u8..0x50,
        4 => 0u8..0x7F,
        2 => prop::sample::select(vec![0u8, 1, 7, 8, 0x7E, 0x78, 0x80, 0xFE]),
    ];
    let four = prop::array::uniform4(byte);
    prop_oneof![20 => four.clone(), 1 => four.prop_map(|s| [s[0], 0x7F, s[2], s[3]])]
}

fn rows(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<([u8; 32], [u8; 4])>> {
    prop::collection::vec((prop::array::uniform32(any::<u8>()), scale_bytes()), count)
}

fn accumulators() -> impl Strategy<Value = Vec<u32>> {
    let one = prop_oneof![
        6 => (-1e6f32..1e6).prop_map(f32::to_bits),
        2 => any::<u32>(),
        1 => prop::sample::select(vec![
            0, 1 << 31, 1, 0x007F_FFFF, 0x7F7F_FFFF, 0xFF7F_FFFF, 0x7F80_0000, 0x7FC0_0000]),
    ];
    prop::collection::vec(one, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 96 } else { 2000 }))]

    #[test]
    fn fast_equals_model(
        a in rows(1..41), b in rows(1..9), c in accumulators(), mode in any::<[bool; 3]>()
    ) {
        check(&a, &b, &c, mode);
    }

    #[test]
    fn cancellation(a in rows(8..9), sb in scale_bytes(), off in -3i32..4) {
        // c close to minus the product: the truncated tails decide.
        let b = a[0];
        let first = model(&a[0].0, a[0].1, &b.0, sb, 0);
        let c = (first ^ 1 << 31).wrapping_add_signed(off);
        check(&a, &[(b.0, sb)], &[c], [false, false, true]);
    }
}

#[test]
fn nan_scales_poison_their_row_and_column_only() {
    let good = ([0x22u8; 32], [0x38u8; 4]);
    let bad = ([0u8; 32], [0x38, 0x38, 0xFF, 0x38]);
    check(&[good, bad, good], &[good, bad], &[0x3F80_0000], [false, false, true]);
    let mut panel = Panel::default();
    panel.load(&[good.0, bad.0], &[good.1, bad.1], false);
    let mut d = [[0u32; ROWS]; 2];
    multiply(&panel, &[good.0, bad.0], &[good.1, bad.1], false, false, &mut d);
    assert_eq!(d[0][..2], [64f32.to_bits(), 0x7FFF_FFFF]);
    assert_eq!(d[1][..2], [0x7FFF_FFFF; 2]);
}
