//! `silu(gate)·up` on registers, in operations that IEEE 754 defines to the last bit.
//!
//! `ex2.approx` would be one instruction, but its bits are the chip's own affair. With a polynomial
//! and a correctly rounded reciprocal, C follows bit for bit from the accumulators on any device
//! and on the CPU.

#[cfg(device_arch = "sm_90a")]
use crate::ptx::math::rcp_approx_ftz_f32;
#[cfg(not(device_arch = "sm_90a"))]
use crate::ptx::math::rcp_rn_f32;
use crate::ptx::math::{fma_rn_f32, max_f32, min_f32};

/// −log₂ e.
const MINUS_LOG2_E: f32 = -core::f32::consts::LOG2_E;

/// 1.5·2²³: adding it leaves the nearest integer in the low mantissa bits.
const ROUND_TO_INTEGER: f32 = 12_582_912.0;

/// Coefficients of the degree-5 polynomial with the least relative error against 2ˣ on
/// [−½, ½], lowest first, rounded to f32: the error stays below 1.6·10⁻⁷.
const EXP2: [f32; 6] = [
    f32::from_bits(0x3f80_0001),
    f32::from_bits(0x3f31_7214),
    f32::from_bits(0x3e75_fc8c),
    f32::from_bits(0x3d63_5b72),
    f32::from_bits(0x3c1e_8629),
    f32::from_bits(0x3aae_0473),
];

/// 2ᵗ for t in [−125, 126].
#[inline(always)]
fn exp2(t: f32) -> f32 {
    let shifted = t + ROUND_TO_INTEGER;
    let fraction = t - (shifted - ROUND_TO_INTEGER);
    let mut p = EXP2[5];
    p = fma_rn_f32(p, fraction, EXP2[4]);
    p = fma_rn_f32(p, fraction, EXP2[3]);
    p = fma_rn_f32(p, fraction, EXP2[2]);
    p = fma_rn_f32(p, fraction, EXP2[1]);
    p = fma_rn_f32(p, fraction, EXP2[0]);
    // The integer part sits in the low bits of `shifted`; the rest of them falls off the top.
    f32::from_bits(p.to_bits().wrapping_add(shifted.to_bits() << 23))
}

/// `1/d`, correctly rounded, for d in [1, 2¹²⁶].
#[cfg(not(device_arch = "sm_90a"))]
#[inline(always)]
fn reciprocal(d: f32) -> f32 {
    rcp_rn_f32(d)
}

/// `1/d`, correctly rounded, for d in [1, 2¹²⁶].
///
/// An approximation and one Newton step: what `rcp.rn` itself is for such d, without its branch for
/// others. The branches would keep the eight columns from overlapping.
#[cfg(device_arch = "sm_90a")]
#[inline(always)]
fn reciprocal(d: f32) -> f32 {
    let r = rcp_approx_ftz_f32(d);
    fma_rn_f32(r, fma_rn_f32(-d, r, 1.0), r)
}

/// `silu(alpha1·gate) · (alpha2·up)`, where silu(x) = x / (1 + e⁻ˣ).
///
/// `alpha1` comes before the SiLU, which is not linear. Beyond |x| ≈ 87 the exponential is clamped:
/// silu is then x, or smaller than any f16 or bf16 can tell from 0.
#[inline(always)]
pub fn silu_mul(gate: f32, up: f32, alpha1: f32, alpha2: f32) -> f32 {
    let x = alpha1 * gate;
    let t = max_f32(min_f32(x * MINUS_LOG2_E, 126.0), -125.0);
    let sigmoid = reciprocal(1.0 + exp2(t));
    (x * sigmoid) * (alpha2 * up)
}

/// [`silu_mul`] on 8 neighbouring columns.
///
/// Written out, not looped: an array indexed by a loop variable lands in local memory wherever the
/// compiler does not unroll the loop.
#[inline(always)]
pub fn silu_mul_8(gate: [f32; 8], up: [f32; 8], alpha1: f32, alpha2: f32) -> [f32; 8] {
    [
        silu_mul(gate[0], up[0], alpha1, alpha2),
        silu_mul(gate[1], up[1], alpha1, alpha2),
        silu_mul(gate[2], up[2], alpha1, alpha2),
        silu_mul(gate[3], up[3], alpha1, alpha2),
        silu_mul(gate[4], up[4], alpha1, alpha2),
        silu_mul(gate[5], up[5], alpha1, alpha2),
        silu_mul(gate[6], up[6], alpha1, alpha2),
        silu_mul(gate[7], up[7], alpha1, alpha2),
    ]
}
