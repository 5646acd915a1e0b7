//! `wgmma`: a warpgroup's MMA, with A in registers and B in shared memory.
//!
//! Fragments of a 64 × N MMA, of warp `w` and lane `l` (`g = l / 4`, `t = l % 4`): row `16·w + g` in
//! A's registers 0 and 2 and row `16·w + g + 8` in 1 and 3; A's registers 0 and 1 hold K positions
//! `2t, 2t + 1`, registers 2 and 3 positions `2t + 8, 2t + 9`. D's registers `4i .. 4i + 4` hold
//! columns `8i + 2t` and `8i + 2t + 1`, of the first row and then of the second.

use core::arch::asm;

use crate::descriptor::smem_sm90::Sm90SmemDescriptor;

/// Orders earlier accesses to the registers of a `wgmma` before it.
///
/// PTX: `wgmma.fence.sync.aligned;`
/// Runs on: all four warps of a warpgroup, converged. Completes: at once.
///
/// # Safety
/// The whole warpgroup reaches it.
#[inline(always)]
pub unsafe fn wgmma_fence() {
    // SAFETY: the caller's.
    unsafe { asm!("wgmma.fence.sync.aligned;") };
}

/// Closes a group of the `wgmma`s issued since the last one.
///
/// PTX: `wgmma.commit_group.sync.aligned;`
/// Runs on: all four warps of a warpgroup, converged. Completes: at once.
///
/// # Safety
/// The whole warpgroup reaches it.
#[inline(always)]
pub unsafe fn wgmma_commit_group() {
    // SAFETY: the caller's.
    unsafe { asm!("wgmma.commit_group.sync.aligned;") };
}

/// Waits until no more than `PENDING` groups are unfinished; the registers and the shared memory of
/// the finished ones may then be used.
///
/// PTX: `wgmma.wait_group.sync.aligned pending;`
/// Runs on: all four warps of a warpgroup, converged. Completes: when the groups have.
///
/// # Safety
/// The whole warpgroup reaches it.
#[inline(always)]
pub unsafe fn wgmma_wait_group<const PENDING: u32>() {
    // SAFETY: the caller's.
    unsafe { asm!("wgmma.wait_group.sync.aligned {0};", const PENDING) };
}

/// D += A·B for 64 × 8 × 16, f16 operands, f32 accumulators.
///
/// PTX: `wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 {d0, …, d3}, {a0, a1, a2, a3}, b, p, 1, 1, 0;`
/// Runs on: all four warps of a warpgroup, converged. Completes: asynchronously; see
/// [`wgmma_wait_group`].
///
/// # Safety
/// `b` describes a written K-major tile of 8 rows; neither it nor `d` nor `a` is touched until
/// the MMA's group is complete, but for further MMAs of this shape that accumulate to `d`.
#[rustfmt::skip]
#[inline(always)]
pub unsafe fn wgmma_m64n8k16_f16(d: &mut [f32; 4], a: [u32; 4], b: Sm90SmemDescriptor) {
    // SAFETY: the caller's.
    unsafe {
        asm!(
            concat!(
                "{{ .reg .pred p; setp.ne.b32 p, 1, 0; ",
                "wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 ",
                "{{{0}, {1}, {2}, {3}}}, ",
                "{{{4}, {5}, {6}, {7}}}, {8}, p, 1, 1, 0; }}"
            ),
            inout(reg32) d[0], inout(reg32) d[1], inout(reg32) d[2], inout(reg32) d[3],
            in(reg32) a[0], in(reg32) a[1], in(reg32) a[2], in(reg32) a[3],
            in(reg64) b.bits()
        );
    }
}

/// D += A·B for 64 × 16 × 16, f16 operands, f32 accumulators.
///
/// PTX: `wgmma.mma_async.sync.aligned.m64n16k16.f32.f16.f16 {d0, …, d7}, {a0, a1, a2, a3}, b, p, 1, 1, 0;`
/// Runs on: all four warps of a warpgroup, converged. Completes: asynchronously; see
/// [`wgmma_wait_group`].
///
/// # Safety
/// `b` describes a written K-major tile of 16 rows; neither it nor `d` nor `a` is touched until
/// the MMA's group is complete, but for further MMAs of this shape that accumulate to `d`.
#[rustfmt::skip]
#[inline(always)]
pub unsafe fn wgmma_m64n16k16_f16(d: &mut [f32; 8], a: [u32; 4], b: Sm90SmemDescriptor) {
    // SAFETY: the caller's.
    unsafe {
        asm!(
            concat!(
                "{{ .reg .pred p; setp.ne.b32 p, 1, 0; ",
                "wgmma.mma_async.sync.aligned.m64n16k16.f32.f16.f16 ",
                "{{{0}, {1}, {2}, {3}, {4}, {5}, {6}, {7}}}, ",
                "{{{8}, {9}, {10}, {11}}}, {12}, p, 1, 1, 0; }}"
            ),
            inout(reg32) d[0], inout(reg32) d[1], inout(reg32) d[2], inout(reg32) d[3],
            inout(reg32) d[4], inout(reg32) d[5], inout(reg32) d[6], inout(reg32) d[7],
            in(reg32) a[0], in(reg32) a[1], in(reg32) a[2], in(reg32) a[3],
            in(reg64) b.bits()
        );
    }
}

/// D += A·B for 64 × 32 × 16, f16 operands, f32 accumulators.
///
/// PTX: `wgmma.mma_async.sync.aligned.m64n32k16.f32.f16.f16 {d0, …, d15}, {a0, a1, a2, a3}, b, p, 1, 1, 0;`
/// Runs on: all four warps of a warpgroup, converged. Completes: asynchronously; see
/// [`wgmma_wait_group`].
///
/// # Safety
/// `b` describes a written K-major tile of 32 rows; neither it nor `d` nor `a` is touched until
/// the MMA's group is complete, but for further MMAs of this shape that accumulate to `d`.
#[rustfmt::skip]
#[inline(always)]
pub unsafe fn wgmma_m64n32k16_f16(d: &mut [f32; 16], a: [u32; 4], b: Sm90SmemDescriptor) {
    // SAFETY: the caller's.
    unsafe {
        asm!(
            concat!(
                "{{ .reg .pred p; setp.ne.b32 p, 1, 0; ",
                "wgmma.mma_async.sync.aligned.m64n32k16.f32.f16.f16 ",
                "{{{0}, {1}, {2}, {3}, {4}, {5}, {6}, {7}, {8}, {9}, {10}, {11}, {12}, {13}, {14}, {15}}}, ",
                "{{{16}, {17}, {18}, {19}}}, {20}, p, 1, 1, 0; }}"
            ),
            inout(reg32) d[0], inout(reg32) d[1], inout(reg32) d[2], inout(reg32) d[3],
            inout(reg32) d[4], inout(reg32) d[5], inout(reg32) d[6], inout(reg32) d[7],
            inout(reg32) d[8], inout(reg32) d[9], inout(reg32) d[10], inout(reg32) d[11],
            inout(reg32) d[12], inout(reg32) d[13], inout(reg32) d[14], inout(reg32) d[15],
            in(reg32) a[0], in(reg32) a[1], in(reg32) a[2], in(reg32) a[3],
            in(reg64) b.bits()
        );
    }
}

/// D += A·B for 64 × 64 × 16, f16 operands, f32 accumulators.
///
/// PTX: `wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 {d0, …, d31}, {a0, a1, a2, a3}, b, p, 1, 1, 0;`
/// Runs on: all four warps of a warpgroup, converged. Completes: asynchronously; see
/// [`wgmma_wait_group`].
///
/// # Safety
/// `b` describes a written K-major tile of 64 rows; neither it nor `d` nor `a` is touched until
/// the MMA's group is complete, but for further MMAs of this shape that accumulate to `d`.
#[rustfmt::skip]
#[inline(always)]
pub unsafe fn wgmma_m64n64k16_f16(d: &mut [f32; 32], a: [u32; 4], b: Sm90SmemDescriptor) {
    // SAFETY: the caller's.
    unsafe {
        asm!(
            concat!(
                "{{ .reg .pred p; setp.ne.b32 p, 1, 0; ",
                "wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 ",
                "{{{0}, {1}, {2}, {3}, {4}, {5}, {6}, {7}, {8}, {9}, {10}, {11}, {12}, {13}, {14}, {15}, ",
                "{16}, {17}, {18}, {19}, {20}, {21}, {22}, {23}, {24}, {25}, {26}, {27}, {28}, {29}, {30}, {31}}}, ",
                "{{{32}, {33}, {34}, {35}}}, {36}, p, 1, 1, 0; }}"
            ),
            inout(reg32) d[0], inout(reg32) d[1], inout(reg32) d[2], inout(reg32) d[3],
            inout(reg32) d[4], inout(reg32) d[5], inout(reg32) d[6], inout(reg32) d[7],
            inout(reg32) d[8], inout(reg32) d[9], inout(reg32) d[10], inout(reg32) d[11],
            inout(reg32) d[12], inout(reg32) d[13], inout(reg32) d[14], inout(reg32) d[15],
            inout(reg32) d[16], inout(reg32) d[17], inout(reg32) d[18], inout(reg32) d[19],
            inout(reg32) d[20], inout(reg32) d[21], inout(reg32) d[22], inout(reg32) d[23],
            inout(reg32) d[24], inout(reg32) d[25], inout(reg32) d[26], inout(reg32) d[27],
            inout(reg32) d[28], inout(reg32) d[29], inout(reg32) d[30], inout(reg32) d[31],
            in(reg32) a[0], in(reg32) a[1], in(reg32) a[2], in(reg32) a[3],
            in(reg64) b.bits()
        );
    }
}

/// D += A·B for 64 × 128 × 16, f16 operands, f32 accumulators.
///
/// PTX: `wgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16 {d0, …, d63}, {a0, a1, a2, a3}, b, p, 1, 1, 0;`
/// Runs on: all four warps of a warpgroup, converged. Completes: asynchronously; see
/// [`wgmma_wait_group`].
///
/// # Safety
/// `b` describes a written K-major tile of 128 rows; neither it nor `d` nor `a` is touched until
/// the MMA's group is complete, but for further MMAs of this shape that accumulate to `d`.
#[rustfmt::skip]
#[inline(always)]
pub unsafe fn wgmma_m64n128k16_f16(d: &mut [f32; 64], a: [u32; 4], b: Sm90SmemDescriptor) {
    // SAFETY: the caller's.
    unsafe {
        asm!(
            concat!(
                "{{ .reg .pred p; setp.ne.b32 p, 1, 0; ",
                "wgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16 ",
                "{{{0}, {1}, {2}, {3}, {4}, {5}, {6}, {7}, {8}, {9}, {10}, {11}, {12}, {13}, {14}, {15}, ",
                "{16}, {17}, {18}, {19}, {20}, {21}, {22}, {23}, {24}, {25}, {26}, {27}, {28}, {29}, {30}, {31}, ",
                "{32}, {33}, {34}, {35}, {36}, {37}, {38}, {39}, {40}, {41}, {42}, {43}, {44}, {45}, {46}, {47}, ",
                "{48}, {49}, {50}, {51}, {52}, {53}, {54}, {55}, {56}, {57}, {58}, {59}, {60}, {61}, {62}, {63}}}, ",
                "{{{64}, {65}, {66}, {67}}}, {68}, p, 1, 1, 0; }}"
            ),
            inout(reg32) d[0], inout(reg32) d[1], inout(reg32) d[2], inout(reg32) d[3],
            inout(reg32) d[4], inout(reg32) d[5], inout(reg32) d[6], inout(reg32) d[7],
            inout(reg32) d[8], inout(reg32) d[9], inout(reg32) d[10], inout(reg32) d[11],
            inout(reg32) d[12], inout(reg32) d[13], inout(reg32) d[14], inout(reg32) d[15],
            inout(reg32) d[16], inout(reg32) d[17], inout(reg32) d[18], inout(reg32) d[19],
            inout(reg32) d[20], inout(reg32) d[21], inout(reg32) d[22], inout(reg32) d[23],
            inout(reg32) d[24], inout(reg32) d[25], inout(reg32) d[26], inout(reg32) d[27],
            inout(reg32) d[28], inout(reg32) d[29], inout(reg32) d[30], inout(reg32) d[31],
            inout(reg32) d[32], inout(reg32) d[33], inout(reg32) d[34], inout(reg32) d[35],
            inout(reg32) d[36], inout(reg32) d[37], inout(reg32) d[38], inout(reg32) d[39],
            inout(reg32) d[40], inout(reg32) d[41], inout(reg32) d[42], inout(reg32) d[43],
            inout(reg32) d[44], inout(reg32) d[45], inout(reg32) d[46], inout(reg32) d[47],
            inout(reg32) d[48], inout(reg32) d[49], inout(reg32) d[50], inout(reg32) d[51],
            inout(reg32) d[52], inout(reg32) d[53], inout(reg32) d[54], inout(reg32) d[55],
            inout(reg32) d[56], inout(reg32) d[57], inout(reg32) d[58], inout(reg32) d[59],
            inout(reg32) d[60], inout(reg32) d[61], inout(reg32) d[62], inout(reg32) d[63],
            in(reg32) a[0], in(reg32) a[1], in(reg32) a[2], in(reg32) a[3],
            in(reg64) b.bits()
        );
    }
}

/// D += A·B for 64 × 8 × 16, bf16 operands, f32 accumulators.
///
/// PTX: `wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {d0, …, d3}, {a0, a1, a2, a3}, b, p, 1, 1, 0;`
/// Runs on: all four warps of a warpgroup, converged. Completes: asynchronously; see
/// [`wgmma_wait_group`].
///
/// # Safety
/// `b` describes a written K-major tile of 8 rows; neither it nor `d` nor `a` is touched until
/// the MMA's group is complete, but for further MMAs of this shape that accumulate to `d`.
#[rustfmt::skip]
#[inline(always)]
pub unsafe fn wgmma_m64n8k16_bf16(d: &mut [f32; 4], a: [u32; 4], b: Sm90SmemDescriptor) {
    // SAFETY: the caller's.
    unsafe {
        asm!(
            concat!(
                "{{ .reg .pred p; setp.ne.b32 p, 1, 0; ",
                "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 ",
                "{{{0}, {1}, {2}, {3}}}, ",
                "{{{4}, {5}, {6}, {7}}}, {8}, p, 1, 1, 0; }}"
            ),
            inout(reg32) d[0], inout(reg32) d[1], inout(reg32) d[2], inout(reg32) d[3],
            in(reg32) a[0], in(reg32) a[1], in(reg32) a[2], in(reg32) a[3],
            in(reg64) b.bits()
        );
    }
}

/// D += A·B for 64 × 16 × 16, bf16 operands, f32 accumulators.
///
/// PTX: `wgmma.mma_async.sync.aligned.m64n16k16.f32.bf16.bf16 {d0, …, d7}, {a0, a1, a2, a3}, b, p, 1, 1, 0;`
/// Runs on: all four warps of a warpgroup, converged. Completes: asynchronously; see
/// [`wgmma_wait_group`].
///
/// # Safety
/// `b` describes a written K-major tile of 16 rows; neither it nor `d` nor `a` is touched until
/// the MMA's group is complete, but for further MMAs of this shape that accumulate to `d`.
#[rustfmt::skip]
#[inline(always)]
pub unsafe fn wgmma_m64n16k16_bf16(d: &mut [f32; 8], a: [u32; 4], b: Sm90SmemDescriptor) {
    // SAFETY: the caller's.
    unsafe {
        asm!(
            concat!(
                "{{ .reg .pred p; setp.ne.b32 p, 1, 0; ",
                "wgmma.mma_async.sync.aligned.m64n16k16.f32.bf16.bf16 ",
                "{{{0}, {1}, {2}, {3}, {4}, {5}, {6}, {7}}}, ",
                "{{{8}, {9}, {10}, {11}}}, {12}, p, 1, 1, 0; }}"
            ),
            inout(reg32) d[0], inout(reg32) d[1], inout(reg32) d[2], inout(reg32) d[3],
            inout(reg32) d[4], inout(reg32) d[5], inout(reg32) d[6], inout(reg32) d[7],
            in(reg32) a[0], in(reg32) a[1], in(reg32) a[2], in(reg32) a[3],
            in(reg64) b.bits()
        );
    }
}

/// D += A·B for 64 × 32 × 16, bf16 operands, f32 accumulators.
///
/// PTX: `wgmma.mma_async.sync.aligned.m64n32k16.f32.bf16.bf16 {d0, …, d15}, {a0, a1, a2, a3}, b, p, 1, 1, 0;`
/// Runs on: all four warps of a warpgroup, converged. Completes: asynchronously; see
/// [`wgmma_wait_group`].
///
/// # Safety
/// `b` describes a written K-major tile of 32 rows; neither it nor `d` nor `a` is touched until
/// the MMA's group is complete, but for further MMAs of this shape that accumulate to `d`.
#[rustfmt::skip]
#[inline(always)]
pub unsafe fn wgmma_m64n32k16_bf16(d: &mut [f32; 16], a: [u32; 4], b: Sm90SmemDescriptor) {
    // SAFETY: the caller's.
    unsafe {
        asm!(
            concat!(
                "{{ .reg .pred p; setp.ne.b32 p, 1, 0; ",
                "wgmma.mma_async.sync.aligned.m64n32k16.f32.bf16.bf16 ",
                "{{{0}, {1}, {2}, {3}, {4}, {5}, {6}, {7}, {8}, {9}, {10}, {11}, {12}, {13}, {14}, {15}}}, ",
                "{{{16}, {17}, {18}, {19}}}, {20}, p, 1, 1, 0; }}"
            ),
            inout(reg32) d[0], inout(reg32) d[1], inout(reg32) d[2], inout(reg32) d[3],
            inout(reg32) d[4], inout(reg32) d[5], inout(reg32) d[6], inout(reg32) d[7],
            inout(reg32) d[8], inout(reg32) d[9], inout(reg32) d[10], inout(reg32) d[11],
            inout(reg32) d[12], inout(reg32) d[13], inout(reg32) d[14], inout(reg32) d[15],
            in(reg32) a[0], in(reg32) a[1], in(reg32) a[2], in(reg32) a[3],
            in(reg64) b.bits()
        );
    }
}

/// D += A·B for 64 × 64 × 16, bf16 operands, f32 accumulators.
///
/// PTX: `wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {d0, …, d31}, {a0, a1, a2, a3}, b, p, 1, 1, 0;`
/// Runs on: all four warps of a warpgroup, converged. Completes: asynchronously; see
/// [`wgmma_wait_group`].
///
/// # Safety
/// `b` describes a written K-major tile of 64 rows; neither it nor `d` nor `a` is touched until
/// the MMA's group is complete, but for further MMAs of this shape that accumulate to `d`.
#[rustfmt::skip]
#[inline(always)]
pub unsafe fn wgmma_m64n64k16_bf16(d: &mut [f32; 32], a: [u32; 4], b: Sm90SmemDescriptor) {
    // SAFETY: the caller's.
    unsafe {
        asm!(
            concat!(
                "{{ .reg .pred p; setp.ne.b32 p, 1, 0; ",
                "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 ",
                "{{{0}, {1}, {2}, {3}, {4}, {5}, {6}, {7}, {8}, {9}, {10}, {11}, {12}, {13}, {14}, {15}, ",
                "{16}, {17}, {18}, {19}, {20}, {21}, {22}, {23}, {24}, {25}, {26}, {27}, {28}, {29}, {30}, {31}}}, ",
                "{{{32}, {33}, {34}, {35}}}, {36}, p, 1, 1, 0; }}"
            ),
            inout(reg32) d[0], inout(reg32) d[1], inout(reg32) d[2], inout(reg32) d[3],
            inout(reg32) d[4], inout(reg32) d[5], inout(reg32) d[6], inout(reg32) d[7],
            inout(reg32) d[8], inout(reg32) d[9], inout(reg32) d[10], inout(reg32) d[11],
            inout(reg32) d[12], inout(reg32) d[13], inout(reg32) d[14], inout(reg32) d[15],
            inout(reg32) d[16], inout(reg32) d[17], inout(reg32) d[18], inout(reg32) d[19],
            inout(reg32) d[20], inout(reg32) d[21], inout(reg32) d[22], inout(reg32) d[23],
            inout(reg32) d[24], inout(reg32) d[25], inout(reg32) d[26], inout(reg32) d[27],
            inout(reg32) d[28], inout(reg32) d[29], inout(reg32) d[30], inout(reg32) d[31],
            in(reg32) a[0], in(reg32) a[1], in(reg32) a[2], in(reg32) a[3],
            in(reg64) b.bits()
        );
    }
}

/// D += A·B for 64 × 128 × 16, bf16 operands, f32 accumulators.
///
/// PTX: `wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {d0, …, d63}, {a0, a1, a2, a3}, b, p, 1, 1, 0;`
/// Runs on: all four warps of a warpgroup, converged. Completes: asynchronously; see
/// [`wgmma_wait_group`].
///
/// # Safety
/// `b` describes a written K-major tile of 128 rows; neither it nor `d` nor `a` is touched until
/// the MMA's group is complete, but for further MMAs of this shape that accumulate to `d`.
#[rustfmt::skip]
#[inline(always)]
pub unsafe fn wgmma_m64n128k16_bf16(d: &mut [f32; 64], a: [u32; 4], b: Sm90SmemDescriptor) {
    // SAFETY: the caller's.
    unsafe {
        asm!(
            concat!(
                "{{ .reg .pred p; setp.ne.b32 p, 1, 0; ",
                "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 ",
                "{{{0}, {1}, {2}, {3}, {4}, {5}, {6}, {7}, {8}, {9}, {10}, {11}, {12}, {13}, {14}, {15}, ",
                "{16}, {17}, {18}, {19}, {20}, {21}, {22}, {23}, {24}, {25}, {26}, {27}, {28}, {29}, {30}, {31}, ",
                "{32}, {33}, {34}, {35}, {36}, {37}, {38}, {39}, {40}, {41}, {42}, {43}, {44}, {45}, {46}, {47}, ",
                "{48}, {49}, {50}, {51}, {52}, {53}, {54}, {55}, {56}, {57}, {58}, {59}, {60}, {61}, {62}, {63}}}, ",
                "{{{64}, {65}, {66}, {67}}}, {68}, p, 1, 1, 0; }}"
            ),
            inout(reg32) d[0], inout(reg32) d[1], inout(reg32) d[2], inout(reg32) d[3],
            inout(reg32) d[4], inout(reg32) d[5], inout(reg32) d[6], inout(reg32) d[7],
            inout(reg32) d[8], inout(reg32) d[9], inout(reg32) d[10], inout(reg32) d[11],
            inout(reg32) d[12], inout(reg32) d[13], inout(reg32) d[14], inout(reg32) d[15],
            inout(reg32) d[16], inout(reg32) d[17], inout(reg32) d[18], inout(reg32) d[19],
            inout(reg32) d[20], inout(reg32) d[21], inout(reg32) d[22], inout(reg32) d[23],
            inout(reg32) d[24], inout(reg32) d[25], inout(reg32) d[26], inout(reg32) d[27],
            inout(reg32) d[28], inout(reg32) d[29], inout(reg32) d[30], inout(reg32) d[31],
            inout(reg32) d[32], inout(reg32) d[33], inout(reg32) d[34], inout(reg32) d[35],
            inout(reg32) d[36], inout(reg32) d[37], inout(reg32) d[38], inout(reg32) d[39],
            inout(reg32) d[40], inout(reg32) d[41], inout(reg32) d[42], inout(reg32) d[43],
            inout(reg32) d[44], inout(reg32) d[45], inout(reg32) d[46], inout(reg32) d[47],
            inout(reg32) d[48], inout(reg32) d[49], inout(reg32) d[50], inout(reg32) d[51],
            inout(reg32) d[52], inout(reg32) d[53], inout(reg32) d[54], inout(reg32) d[55],
            inout(reg32) d[56], inout(reg32) d[57], inout(reg32) d[58], inout(reg32) d[59],
            inout(reg32) d[60], inout(reg32) d[61], inout(reg32) d[62], inout(reg32) d[63],
            in(reg32) a[0], in(reg32) a[1], in(reg32) a[2], in(reg32) a[3],
            in(reg64) b.bits()
        );
    }
}
