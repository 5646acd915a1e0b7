"""Quantisers: f32 to NVFP4, MXFP8 and MXFP4, codes and scales exact to the bit."""

import numpy as np
import triton
import triton.language as tl

from case import Buffer, Case, Const, Exact, Launch, case, normals
from formats import E2M1, E4M3, nearest, pack_nibbles, to_bfloat16, from_bfloat16


@triton.jit
def nvfp4_kernel(x, codes, scales, COLS: tl.constexpr):
    row = tl.program_id(0)
    tile = tl.load(x + row * COLS + tl.arange(0, COLS)).reshape(COLS // 16, 16)
    scale = (tl.max(tl.abs(tile), axis=1) * 0.16666667).to(tl.float8e4nv)
    tl.store(scales + row * (COLS // 16) + tl.arange(0, COLS // 16), scale)
    wide = scale.to(tl.float32)
    inverse = tl.where(wide == 0.0, 0.0, tl.math.div_rn(1.0, wide))
    low, high = tl.split((tile * inverse[:, None]).reshape(COLS // 16, 8, 2))
    packed = tl.inline_asm_elementwise(
        """{
        .reg .b8 pair;
        cvt.rn.satfinite.e2m1x2.f32 pair, $2, $1;
        cvt.u32.u8 $0, pair;
        }""",
        "=r,r,r", [low, high], dtype=tl.int32, is_pure=True, pack=1)
    tl.store(codes + row * (COLS // 2) + tl.arange(0, COLS // 2),
             packed.to(tl.uint8).reshape(COLS // 2))


@case(100)
def quantise_nvfp4():
    """Block maximum, e4m3 scale, division, `cvt…e2m1x2`; one block is all zero, one is huge."""
    x = normals(91, (16, 128)) * 3
    x[0, :16], x[1, 16:32] = 0, x[1, 16:32] * 1000
    blocks = x.reshape(16, 8, 16)
    scale = nearest(E4M3, (np.abs(blocks).max(2) * np.float32(0.16666667)).astype(np.float64))
    wide = E4M3[scale].astype(np.float32)
    with np.errstate(divide="ignore"):
        inverse = np.where(wide == 0, np.float32(0), np.float32(1) / wide)
    codes = nearest(E2M1, (blocks * inverse[:, :, None]).astype(np.float64)).reshape(16, 128)
    exact = Exact("every step is one correctly rounded operation")
    return Case([Launch(nvfp4_kernel, (16,), {
        "x": Buffer("fp32", x), "codes": Buffer("u8", expected=pack_nibbles(codes), judged=exact),
        "scales": Buffer("fp8e4nv", expected=scale, judged=exact), "COLS": Const(128),
    }, num_warps=1)])


@triton.jit
def mxfp8_kernel(x, codes, scales, COLS: tl.constexpr):
    row = tl.program_id(0)
    at = row * COLS + tl.arange(0, COLS)
    tile = tl.load(x + at).to(tl.float32).reshape(COLS // 32, 32)
    # The exponent of the block's maximum, so that e4m3's largest power of two, 2^8, stands for it.
    largest = tl.max(tl.abs(tile), axis=1).to(tl.int32, bitcast=True)
    exponent = tl.maximum((largest >> 23) - 8, 0)
    tl.store(scales + row * (COLS // 32) + tl.arange(0, COLS // 32), exponent.to(tl.uint8))
    inverse = ((254 - exponent) << 23).to(tl.float32, bitcast=True)
    quantised = (tile * inverse[:, None]).to(tl.float8e4nv)
    tl.store(codes + at, quantised.reshape(COLS))


@case(100, 90)
def quantise_mxfp8():
    """bf16 in; power-of-two scales by integer arithmetic on the bits, saturating `cvt…e4m3x2`."""
    x = to_bfloat16(normals(92, (8, 256)) * 50)
    blocks = from_bfloat16(x).reshape(8, 8, 32)
    largest = np.abs(blocks).max(2).astype(np.float32).view(np.int32)
    exponent = np.maximum((largest >> 23) - 8, 0)
    codes = nearest(E4M3, blocks * 2.0 ** (127 - exponent)[:, :, None])
    exact = Exact("scaling by powers of two is exact, the conversion rounds correctly")
    return Case([Launch(mxfp8_kernel, (8,), {
        "x": Buffer("bf16", x),
        "codes": Buffer("fp8e4nv", expected=codes.reshape(8, 256), judged=exact),
        "scales": Buffer("u8", expected=exponent.astype(np.uint8), judged=exact),
        "COLS": Const(256),
    })])


@triton.jit
def mxfp4_kernel(x, codes, scales, ROWS: tl.constexpr, COLS: tl.constexpr):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    col = tl.arange(0, COLS)
    tile = tl.load(x + row[:, None] * COLS + col[None, :]).reshape(ROWS, COLS // 32, 32)
    largest = tl.max(tl.abs(tile), axis=2).to(tl.int32, bitcast=True)
    exponent = tl.maximum((largest >> 23) - 2, 0)
    group = tl.arange(0, COLS // 32)
    tl.store(scales + row[:, None] * (COLS // 32) + group[None, :], exponent.to(tl.uint8))
    value = tile * ((254 - exponent) << 23).to(tl.float32, bitcast=True)[:, :, None]
    size = tl.abs(value)
    # Ties go to the even code, so the comparisons alternate.
    code = ((size > 0.25).to(tl.int32) + (size >= 0.75) + (size > 1.25) + (size >= 1.75)
            + (size > 2.5) + (size >= 3.5) + (size > 5.0))
    code |= (value.to(tl.int32, bitcast=True) >> 28) & 8
    low, high = tl.split(code.reshape(ROWS, COLS // 2, 2))
    packed = (low | (high << 4)).to(tl.uint8)
    tl.store(codes + row[:, None] * (COLS // 2) + tl.arange(0, COLS // 2)[None, :], packed)


@case(100, 90)
def quantise_mxfp4():
    """f32 in; e2m1 by comparisons, two codes a byte."""
    x = normals(93, (16, 128))
    blocks = x.reshape(16, 4, 32)
    exponent = np.maximum((np.abs(blocks).max(2).view(np.int32) >> 23) - 2, 0)
    codes = nearest(E2M1, blocks.astype(np.float64) * 2.0 ** (127 - exponent)[:, :, None])
    exact = Exact("scaling by powers of two is exact")
    return Case([Launch(mxfp4_kernel, (2,), {
        "x": Buffer("fp32", x),
        "codes": Buffer("u8", expected=pack_nibbles(codes.reshape(16, 128)), judged=exact),
        "scales": Buffer("u8", expected=exponent.astype(np.uint8), judged=exact),
        "ROWS": Const(8), "COLS": Const(128),
    })])
