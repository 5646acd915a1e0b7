"""Dense matrix products: plain pointers, TMA descriptors, warp specialisation, fp8, tf32, int8."""

import numpy as np
import triton
import triton.language as tl

from case import Buffer, Case, Const, Descriptor, Exact, Launch, Scalar, case, integers
from formats import E4M3, E5M2, nearest, to_bfloat16

SUMS = "small integers: every product and partial sum is exact in f32 whatever the order"


@triton.jit
def pointers_kernel(a, b, c, M, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    row = tl.program_id(0) * BM + tl.arange(0, BM)
    col = tl.program_id(1) * BN + tl.arange(0, BN)
    k = tl.arange(0, BK)
    acc = tl.zeros((BM, BN), tl.float32)
    for start in range(0, K, BK):
        left = tl.load(a + row[:, None] * K + start + k[None, :],
                       mask=(row[:, None] < M) & (start + k[None, :] < K), other=0.0)
        right = tl.load(b + (start + k[:, None]) * N + col[None, :],
                        mask=(start + k[:, None] < K) & (col[None, :] < N), other=0.0)
        acc = tl.dot(left, right, acc)
    tl.store(c + row[:, None] * N + col[None, :], acc.to(c.dtype.element_ty),
             mask=(row[:, None] < M) & (col[None, :] < N))


def pointers(a, b, kind, m, n, k, blocks, result, **options):
    """A launch of `pointers_kernel` over ready-made buffers of element type `kind`."""
    return Case([Launch(pointers_kernel, (-(-m // blocks[0]), -(-n // blocks[1])), {
        "a": Buffer(kind, a), "b": Buffer(kind, b), "c": result,
        "M": Scalar("i32", m), "N": Scalar("i32", n, n % 16 == 0),
        "K": Scalar("i32", k, k % 16 == 0),
        "BM": Const(blocks[0]), "BN": Const(blocks[1]), "BK": Const(blocks[2]),
    }, **options)])


@case(100, 90)
def gemm_f16_pointers():
    """f16 by cp.async into shared memory, B row-major (MN-major for the tensor core), ragged."""
    m, n, k = 100, 80, 144
    a, b = integers(21, -4, 4, (m, k), np.float16), integers(22, -4, 4, (k, n), np.float16)
    want = a.astype(np.float64) @ b.astype(np.float64)
    result = Buffer("fp32", expected=want.astype(np.float32), judged=Exact(SUMS))
    return pointers(a, b, "fp16", m, n, k, (64, 64, 32), result)


@case(100, 90)
def gemm_tf32():
    """f32 inputs that tf32 holds exactly."""
    m, n, k = 64, 64, 96
    a, b = integers(23, -9, 9, (m, k), np.float32), integers(24, -9, 9, (k, n), np.float32)
    result = Buffer("fp32", expected=(a.astype(np.float64) @ b).astype(np.float32),
                    judged=Exact(SUMS))
    return pointers(a, b, "fp32", m, n, k, (64, 64, 32), result)


@triton.jit
def int8_kernel(a, b, c, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    row, col, k = tl.arange(0, BM), tl.arange(0, BN), tl.arange(0, BK)
    acc = tl.zeros((BM, BN), tl.int32)
    for start in range(0, K, BK):
        left = tl.load(a + row[:, None] * K + start + k[None, :])
        right = tl.load(b + col[None, :] * K + start + k[:, None])
        acc = tl.dot(left, right, acc, out_dtype=tl.int32)
    tl.store(c + row[:, None] * BN + col[None, :], acc)


@case(100, 90)
def gemm_int8():
    """8-bit integers, B stored along K: wgmma on Hopper, mma.sync on Blackwell."""
    a, b = integers(25, -128, 127, (64, 128), np.int8), integers(26, -128, 127, (64, 128), np.int8)
    want = a.astype(np.int32) @ b.astype(np.int32).T
    return Case([Launch(int8_kernel, (1,), {
        "a": Buffer("i8", a), "b": Buffer("i8", b),
        "c": Buffer("i32", expected=want, judged=Exact("integers")),
        "K": Scalar("i32", 128, True), "BM": Const(64), "BN": Const(64), "BK": Const(64),
    })])


@case(100, 90)
def gemm_bf16_small():
    """A tile too small for the big tensor-core instructions: ldmatrix and mma.sync."""
    m, n, k = 32, 32, 64
    a, b = integers(27, -8, 8, (m, k), np.float32), integers(28, -8, 8, (k, n), np.float32)
    result = Buffer("bf16", expected=to_bfloat16(a.astype(np.float64) @ b),
                    judged=Exact(SUMS + "; then one rounding"))
    return pointers(to_bfloat16(a), to_bfloat16(b), "bf16", m, n, k, (32, 32, 32), result,
                    num_warps=2)


@triton.jit
def tma_kernel(a, b, c, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    row, col = tl.program_id(0) * BM, tl.program_id(1) * BN
    acc = tl.zeros((BM, BN), tl.float32)
    for k in range(0, K, BK):
        acc = tl.dot(a.load([row, k]), b.load([col, k]).T, acc)
    c.store([row, col], acc.to(tl.bfloat16))


@case(100, 90)
def gemm_bf16_tma():
    """bf16 through host-side TMA descriptors in and out; the last tiles hang over every edge."""
    m, n, k = 150, 72, 168
    a, b = integers(29, -4, 4, (m, k), np.float32), integers(30, -4, 4, (n, k), np.float32)
    want = to_bfloat16(a.astype(np.float64) @ b.T)
    return Case([Launch(tma_kernel, (2, 2), {
        "a": Descriptor("a_data", [m, k], [128, 64]), "b": Descriptor("b_data", [n, k], [64, 64]),
        "c": Descriptor("c_data", [m, n], [128, 64]),
        "K": Scalar("i32", k), "BM": Const(128), "BN": Const(64), "BK": Const(64),
    })], {
        "a_data": Buffer("bf16", to_bfloat16(a)), "b_data": Buffer("bf16", to_bfloat16(b)),
        "c_data": Buffer("bf16", expected=want, judged=Exact(SUMS + "; then one rounding")),
    })


@triton.jit
def specialised_kernel(a, b, c, M, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
                       PROGRAMS: tl.constexpr):
    tiles_n = tl.cdiv(N, BN)
    tiles = tl.cdiv(M, BM) * tiles_n
    for tile in tl.range(tl.program_id(0), tiles, PROGRAMS, flatten=True, warp_specialize=True):
        row, col = tile // tiles_n * BM, tile % tiles_n * BN
        acc = tl.zeros((BM, BN), tl.float32)
        for k in range(0, K, BK):
            acc = tl.dot(a.load([row, k]), b.load([col, k]).T, acc)
        c.store([row, col], acc.to(tl.float16))


@case(100, 90)
def gemm_f16_warp_specialised():
    """Persistent, TMA in and out; on Blackwell loads, MMA and epilogue in warps of their own."""
    m, n, k = 200, 128, 128
    a, b = integers(31, -3, 3, (m, k), np.float16), integers(32, -3, 3, (n, k), np.float16)
    want = (a.astype(np.float64) @ b.astype(np.float64).T).astype(np.float16)
    return Case([Launch(specialised_kernel, (2,), {
        "a": Descriptor("a_data", [m, k], [128, 64]), "b": Descriptor("b_data", [n, k], [64, 64]),
        "c": Descriptor("c_data", [m, n], [128, 64]),
        "M": Scalar("i32", m), "N": Scalar("i32", n), "K": Scalar("i32", k),
        "BM": Const(128), "BN": Const(64), "BK": Const(64), "PROGRAMS": Const(2),
    })], {
        "a_data": Buffer("fp16", a), "b_data": Buffer("fp16", b),
        "c_data": Buffer("fp16", expected=want, judged=Exact(SUMS)),
    })


@triton.jit
def inner_specialised_kernel(a, b, c, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    row, col = tl.program_id(0) * BM, tl.program_id(1) * BN
    acc = tl.zeros((BM, BN), tl.float32)
    for k in tl.range(0, K, BK, warp_specialize=True):
        acc = tl.dot(a.load([row, k]), b.load([k, col]), acc)
    c.store([row, col], acc)


@case(100, 90)
def gemm_f16_inner_specialised():
    """Warp specialisation of the K loop alone, B with N contiguous, f32 out, 8 warps."""
    m, n, k = 128, 64, 192
    a, b = integers(33, -3, 3, (m, k), np.float16), integers(34, -3, 3, (k, n), np.float16)
    want = (a.astype(np.float64) @ b.astype(np.float64)).astype(np.float32)
    return Case([Launch(inner_specialised_kernel, (1, 1), {
        "a": Descriptor("a_data", [m, k], [128, 64]), "b": Descriptor("b_data", [k, n], [64, 64]),
        "c": Descriptor("c_data", [m, n], [128, 64]),
        "K": Scalar("i32", k), "BM": Const(128), "BN": Const(64), "BK": Const(64),
    }, num_warps=8)], {
        "a_data": Buffer("fp16", a), "b_data": Buffer("fp16", b),
        "c_data": Buffer("fp32", expected=want, judged=Exact(SUMS)),
    })


@triton.jit
def fp8_kernel(a, b, c, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    acc = tl.zeros((BM, BN), tl.float32)
    for k in range(0, K, BK):
        acc = tl.dot(a.load([0, k]), b.load([0, k]).T, acc)
    c.store([0, 0], acc)


def fp8(kind, table, seed):
    """One 128×64 tile of fp8 numbers along K = 256."""
    m, n, k = 128, 64, 256
    a, b = integers(seed, -4, 4, (m, k), float), integers(seed + 1, -4, 4, (n, k), float)
    return Case([Launch(fp8_kernel, (1,), {
        "a": Descriptor("a_data", [m, k], [m, 128]), "b": Descriptor("b_data", [n, k], [n, 128]),
        "c": Descriptor("c_data", [m, n], [m, n]),
        "K": Scalar("i32", k), "BM": Const(m), "BN": Const(n), "BK": Const(128),
    })], {
        "a_data": Buffer(kind, nearest(table, a)), "b_data": Buffer(kind, nearest(table, b)),
        "c_data": Buffer("fp32", expected=(a @ b.T).astype(np.float32), judged=Exact(SUMS)),
    })


@case(100, 90)
def gemm_fp8_e4m3():
    """e4m3 through TMA."""
    return fp8("fp8e4nv", E4M3, 35)


@case(100, 90)
def gemm_fp8_e5m2():
    """e5m2 through TMA."""
    return fp8("fp8e5", E5M2, 37)


@case(100, 90)
def gemm_two_ctas():
    """One 256×64 tile shared by a cluster of two CTAs."""
    m, n, k = 256, 64, 96
    a, b = integers(39, -2, 2, (m, k), np.float32), integers(40, -2, 2, (n, k), np.float32)
    want = to_bfloat16(a.astype(np.float64) @ b.T)
    return Case([Launch(tma_kernel, (1, 1), {
        "a": Descriptor("a_data", [m, k], [256, 64]), "b": Descriptor("b_data", [n, k], [64, 64]),
        "c": Descriptor("c_data", [m, n], [256, 64]),
        "K": Scalar("i32", k), "BM": Const(256), "BN": Const(64), "BK": Const(64),
    }, num_ctas=2)], {
        "a_data": Buffer("bf16", to_bfloat16(a)), "b_data": Buffer("bf16", to_bfloat16(b)),
        "c_data": Buffer("bf16", expected=want, judged=Exact(SUMS + "; then one rounding")),
    })


@triton.jit
def chained_kernel(a, b, c, out, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    first = tl.dot(a.load([0, 0]), b.load([0, 0]).T)
    out.store([0, 0], tl.dot(first.to(tl.float16), c.load([0, 0])))


@case(100, 90)
def gemm_chained():
    """(A·Bᵀ)·C: the second product takes its left side from registers or tensor memory."""
    m, n, k = 128, 64, 64
    a, b = integers(41, -1, 1, (m, k), np.float16), integers(42, -1, 1, (n, k), np.float16)
    c = integers(43, -2, 2, (n, 32), np.float16)
    want = a.astype(np.float64) @ b.astype(np.float64).T @ c.astype(np.float64)
    return Case([Launch(chained_kernel, (1,), {
        "a": Descriptor("a_data", [m, k], [m, k]), "b": Descriptor("b_data", [n, k], [n, k]),
        "c": Descriptor("c_data", [n, 32], [n, 32]), "out": Descriptor("out_data", [m, 32], [m, 32]),
        "BM": Const(m), "BN": Const(n), "BK": Const(k),
    })], {
        "a_data": Buffer("fp16", a), "b_data": Buffer("fp16", b), "c_data": Buffer("fp16", c),
        "out_data": Buffer("fp32", expected=want.astype(np.float32), judged=Exact(SUMS)),
    })
