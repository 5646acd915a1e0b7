"""`dot_scaled`: block-scaled products in NVFP4, MXFP4, MXFP8 and a mixture."""

import numpy as np
import triton
import triton.language as tl

from case import Buffer, Case, Const, Descriptor, Exact, Launch, Scalar, case, integers
from formats import E4M3, E8M0, TABLES, nearest, pack_nibbles, scaled, to_bfloat16

SUMS = ("few significant bits in elements and scales: every scaled product and partial sum is exact "
        "in f32 whatever the order; then one rounding")
M, K = 128, 256


@triton.jit
def scaled_kernel(a, b, a_scales, b_scales, c, K, A_FORMAT: tl.constexpr, B_FORMAT: tl.constexpr,
                  A_PACK: tl.constexpr, B_PACK: tl.constexpr, VEC: tl.constexpr,
                  BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    row, col = tl.arange(0, BM), tl.arange(0, BN)
    group = tl.arange(0, BK // VEC)
    acc = tl.zeros((BM, BN), tl.float32)
    for k in range(0, K, BK):
        left = a.load([0, k // A_PACK])
        right = b.load([0, k // B_PACK]).T
        at = k // VEC + group[None, :]
        left_scale = tl.load(a_scales + row[:, None] * (K // VEC) + at)
        right_scale = tl.load(b_scales + col[:, None] * (K // VEC) + at)
        acc = tl.dot_scaled(left, left_scale, A_FORMAT, right, right_scale, B_FORMAT, acc)
    c.store([0, 0], acc.to(tl.bfloat16))


def elements(kind, seed, rows):
    """Codes of a format, and what of them is stored: every e2m1 code, or small 8-bit integers."""
    if kind == "e2m1":
        codes = integers(seed, 0, 15, (rows, K), np.uint8)
        return codes, pack_nibbles(codes)
    codes = nearest(TABLES[kind], integers(seed, -4, 4, (rows, K), float))
    return codes, codes


def scales(nv, seed, rows):
    """Scales of a few bits: 1/2, 1, 2 or 3 as e4m3 (one for 16), or 1/4 to 4 as e8m0 (one for 32)."""
    if nv:
        choice = nearest(E4M3, np.array([0.5, 1, 2, 3]))
        return choice[integers(seed, 0, 3, (rows, K // 16), np.int64)], E4M3, 16
    return integers(seed, 125, 129, (rows, K // 32), np.uint8), E8M0, 32


KINDS = {"e2m1": "u8", "e4m3": "fp8e4nv", "e5m2": "fp8e5"}


def operands(a_format, b_format, nv, seed, n, m=M):
    """Stored A and B, their scales, and A·Bᵀ."""
    a, a_stored = elements(a_format, seed, m)
    b, b_stored = elements(b_format, seed + 1, n)
    a_scale, table, block = scales(nv, seed + 2, m)
    b_scale, _, _ = scales(nv, seed + 3, n)
    want = (scaled(a, TABLES[a_format], table[a_scale], block)
            @ scaled(b, TABLES[b_format], table[b_scale], block).T)
    return a_stored, b_stored, a_scale, b_scale, want.astype(np.float32), block


def plain(a_format, b_format, nv, seed, depth, n=64, **options):
    """Operands by TMA, scales row-major by ordinary loads; `depth` elements of K at a time."""
    a, b, a_scale, b_scale, want, block = operands(a_format, b_format, nv, seed, n)
    a_pack, b_pack = K // a.shape[1], K // b.shape[1]
    scale_kind = "fp8e4nv" if nv else "u8"
    return Case([Launch(scaled_kernel, (1,), {
        "a": Descriptor("a_data", list(a.shape), [M, depth // a_pack]),
        "b": Descriptor("b_data", list(b.shape), [n, depth // b_pack]),
        "a_scales": Buffer(scale_kind, a_scale), "b_scales": Buffer(scale_kind, b_scale),
        "c": Descriptor("c_data", [M, n], [M, n]),
        "K": Scalar("i32", K, True),
        "A_FORMAT": Const(a_format), "B_FORMAT": Const(b_format),
        "A_PACK": Const(a_pack), "B_PACK": Const(b_pack), "VEC": Const(block),
        "BM": Const(M), "BN": Const(n), "BK": Const(depth),
    }, **options)], {
        "a_data": Buffer(KINDS[a_format], a), "b_data": Buffer(KINDS[b_format], b),
        "c_data": Buffer("bf16", expected=to_bfloat16(want), judged=Exact(SUMS)),
    })


@case(100)
def scaled_nvfp4():
    """e2m1 with an e4m3 scale for 16 elements."""
    return plain("e2m1", "e2m1", True, 51, 128)


@case(100, 90)
def scaled_mxfp4():
    """e2m1 with an e8m0 scale for 32 elements; Hopper unpacks to bf16."""
    return plain("e2m1", "e2m1", False, 55, 128)


@case(100, 90)
def scaled_mxfp8():
    """e4m3 with an e8m0 scale for 32 elements."""
    return plain("e4m3", "e4m3", False, 59, 128)


@case(100)
def scaled_mxfp8_mxfp4():
    """e5m2 against e2m1, which TMA spreads to 16 bytes for 16 codes and 8 unused."""
    return plain("e5m2", "e2m1", False, 63, 128, num_warps=8)


@triton.jit
def unfold(block, ROWS: tl.constexpr, COLS: tl.constexpr):
    """Scale atoms of 128×4 (32 rows of four groups of four bytes) to rows and columns."""
    atoms = block.reshape(ROWS // 128, COLS // 4, 32, 4, 4)
    return atoms.trans(0, 3, 2, 1, 4).reshape(ROWS, COLS)


@triton.jit
def folded_kernel(a, b, a_scales, b_scales, c, K, BM: tl.constexpr, BN: tl.constexpr,
                  BK: tl.constexpr, VEC: tl.constexpr, FORMAT: tl.constexpr, PACK: tl.constexpr,
                  SPECIALISE: tl.constexpr):
    acc = tl.zeros((BM, BN), tl.float32)
    for k in tl.range(0, K, BK, warp_specialize=SPECIALISE):
        left, right = a.load([0, k // PACK]), b.load([0, k // PACK]).T
        left_scale = unfold(a_scales.load([0, 0, k // VEC // 4, 0, 0]), BM, BK // VEC)
        right_scale = unfold(b_scales.load([0, 0, k // VEC // 4, 0, 0]), BN, BK // VEC)
        acc = tl.dot_scaled(left, left_scale, FORMAT, right, right_scale, FORMAT, acc)
    c.store([0, 0], acc.to(tl.bfloat16))


def fold(table):
    """Rows × columns of scales to atoms of 128×4, 512 bytes each."""
    rows, cols = table.shape
    atoms = table.reshape(rows // 128, 4, 32, cols // 4, 4).transpose(0, 3, 2, 1, 4)
    return np.ascontiguousarray(atoms)


def folded(kind, nv, seed, specialise, n=128):
    """Scales in 128×4 atoms by TMA too: they reach tensor memory by copies from shared memory."""
    a, b, a_scale, b_scale, want, block = operands(kind, kind, nv, seed, n)
    pack, depth = K // a.shape[1], 128
    cols = K // block // 4
    atoms = [1, M // 128, depth // block // 4, 2, 256]
    scale_kind = "fp8e4nv" if nv else "u8"
    return Case([Launch(folded_kernel, (1,), {
        "a": Descriptor("a_data", list(a.shape), [M, depth // pack]),
        "b": Descriptor("b_data", list(b.shape), [n, depth // pack]),
        "a_scales": Descriptor("a_scale_data", [1, M // 128, cols, 2, 256], atoms),
        "b_scales": Descriptor("b_scale_data", [1, n // 128, cols, 2, 256], atoms),
        "c": Descriptor("c_data", [M, n], [M, n]),
        "K": Scalar("i32", K, True), "BM": Const(M), "BN": Const(n), "BK": Const(depth),
        "VEC": Const(block), "FORMAT": Const(kind), "PACK": Const(pack),
        "SPECIALISE": Const(specialise),
    })], {
        "a_data": Buffer(KINDS[kind], a), "b_data": Buffer(KINDS[kind], b),
        "a_scale_data": Buffer(scale_kind, fold(a_scale)),
        "b_scale_data": Buffer(scale_kind, fold(b_scale)),
        "c_data": Buffer("bf16", expected=to_bfloat16(want), judged=Exact(SUMS)),
    })


@case(100)
def scaled_nvfp4_folded():
    """NVFP4, scales in atoms: `tcgen05.cp` brings them to tensor memory."""
    return folded("e2m1", True, 67, False)


@case(100)
def scaled_nvfp4_specialised():
    """The same, loads and MMA in warps of their own."""
    return folded("e2m1", True, 71, True)


@case(100)
def scaled_mxfp8_folded():
    """MXFP8, scales in atoms."""
    return folded("e4m3", False, 75, False)


