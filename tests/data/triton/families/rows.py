"""Row kernels: softmax, layer norm, reductions, scans, sorting."""

import numpy as np
import triton
import triton.language as tl

from case import Buffer, Case, Const, Exact, Launch, Scalar, Tolerance, case, integers, normals


@triton.jit
def softmax_kernel(x, out, cols, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    col = tl.arange(0, BLOCK)
    mask = col < cols
    value = tl.load(x + row * cols + col, mask=mask, other=float("-inf"))
    value = tl.exp(value - tl.max(value, axis=0))
    tl.store(out + row * cols + col, value / tl.sum(value, axis=0), mask=mask)


@case(100, 90)
def softmax():
    """Rows of 300, one program a row: both reductions cross the warps through shared memory."""
    x = 3 * normals(11, (8, 300))
    want = np.exp(x.astype(np.float64) - x.max(1, keepdims=True))
    want /= want.sum(1, keepdims=True)
    return Case([Launch(softmax_kernel, (8,), {
        "x": Buffer("fp32", x),
        "out": Buffer("fp32", expected=want.astype(np.float32), judged=Tolerance(
            1e-5, 1e-9, "`ex2.approx` (2 ulp) of an argument that was rounded once, times up to 30")),
        "cols": Scalar("i32", 300), "BLOCK": Const(512),
    })])


@triton.jit
def layer_norm_kernel(x, weight, bias, out, mean_out, rstd_out, cols, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    col = tl.arange(0, BLOCK)
    mask = col < cols
    value = tl.load(x + row * cols + col, mask=mask, other=0.0).to(tl.float32)
    mean = tl.sum(value, axis=0) / cols
    centred = tl.where(mask, value - mean, 0.0)
    rstd = tl.rsqrt(tl.sum(centred * centred, axis=0) / cols + eps)
    tl.store(mean_out + row, mean)
    tl.store(rstd_out + row, rstd)
    value = centred * rstd * tl.load(weight + col, mask=mask) + tl.load(bias + col, mask=mask)
    tl.store(out + row * cols + col, value.to(tl.float16), mask=mask)


@case(100, 90)
def layer_norm():
    """f16 in and out, f32 in between, mean and reciprocal deviation kept as training does."""
    x = (2 * normals(12, (6, 400)) + 1).astype(np.float16)
    weight, bias = normals(13, 400), normals(14, 400)
    wide = x.astype(np.float64)
    mean = wide.mean(1)
    rstd = 1 / np.sqrt(wide.var(1) + 1e-5)
    want = (wide - mean[:, None]) * rstd[:, None] * weight + bias
    close = Tolerance(2e-6, 1e-6, "sums of 400 f32 numbers in an order of Triton's choice")
    return Case([Launch(layer_norm_kernel, (6,), {
        "x": Buffer("fp16", x), "weight": Buffer("fp32", weight), "bias": Buffer("fp32", bias),
        "out": Buffer("fp16", expected=want.astype(np.float16), judged=Tolerance(
            2 ** -10, 1e-5, "one f16 step: the f32 result may round to the neighbour")),
        "mean_out": Buffer("fp32", expected=mean.astype(np.float32), judged=close),
        "rstd_out": Buffer("fp32", expected=rstd.astype(np.float32), judged=close),
        "cols": Scalar("i32", 400), "eps": Scalar("fp32", 1e-5), "BLOCK": Const(512),
    })])


@triton.jit
def better_pair(value_a, index_a, value_b, index_b):
    take = (value_a < value_b) | ((value_a == value_b) & (index_a > index_b))
    return tl.where(take, value_b, value_a), tl.where(take, index_b, index_a)


@triton.jit
def reductions_kernel(x, sums, minima, argmaxima, parity, pair, ROWS: tl.constexpr, COLS: tl.constexpr):
    row = tl.arange(0, ROWS)
    col = tl.arange(0, COLS)
    tile = tl.load(x + row[:, None] * COLS + col[None, :])
    tl.store(sums + row, tl.sum(tile, axis=1))
    tl.store(minima + col, tl.min(tile, axis=0))
    tl.store(argmaxima + row, tl.argmax(tile, axis=1))
    tl.store(parity + row, tl.xor_sum(tile, axis=1))
    where = tl.broadcast_to(col[None, :], (ROWS, COLS))
    best, index = tl.reduce((tile, where), 1, better_pair)
    tl.store(pair + row, best * 1000 + index)


@case(100, 90)
def reductions():
    """sum, min, argmax, xor and a reduction with a combine function of our own, along both axes."""
    x = integers(15, -50, 50, (32, 128), np.int32)
    exact = Exact("integers")
    argmax = x.argmax(1).astype(np.int32)
    return Case([Launch(reductions_kernel, (1,), {
        "x": Buffer("i32", x),
        "sums": Buffer("i32", expected=x.sum(1).astype(np.int32), judged=exact),
        "minima": Buffer("i32", expected=x.min(0), judged=exact),
        "argmaxima": Buffer("i32", expected=argmax, judged=exact),
        "parity": Buffer("i32", expected=np.bitwise_xor.reduce(x, axis=1), judged=exact),
        "pair": Buffer("i32", expected=(x.max(1) * 1000 + argmax).astype(np.int32), judged=exact),
        "ROWS": Const(32), "COLS": Const(128),
    })])


@triton.jit
def larger(a, b):
    return tl.maximum(a, b)


@triton.jit
def scan_kernel(x, sums, maxima, sorted_out, picked, COLS: tl.constexpr):
    row = tl.program_id(0)
    col = tl.arange(0, COLS)
    value = tl.load(x + row * COLS + col)
    tl.store(sums + row * COLS + col, tl.cumsum(value, axis=0))
    tl.store(maxima + row * COLS + col, tl.associative_scan(value, 0, larger, reverse=True))
    tl.store(sorted_out + row * COLS + col, tl.sort(value, descending=True))
    tl.store(picked + row * COLS + col, tl.gather(value, (col * 7 + row) % COLS, axis=0))


@case(100, 90)
def scan_sort_gather():
    """Prefix sums, suffix maxima, a bitonic sort and a gather inside the block."""
    x = integers(16, -999, 999, (4, 256), np.int32)
    exact = Exact("integers")
    col = (np.arange(256)[None, :] * 7 + np.arange(4)[:, None]) % 256
    return Case([Launch(scan_kernel, (4,), {
        "x": Buffer("i32", x),
        "sums": Buffer("i32", expected=x.cumsum(1).astype(np.int32), judged=exact),
        "maxima": Buffer("i32", judged=exact,
                         expected=np.ascontiguousarray(np.maximum.accumulate(x[:, ::-1], 1)[:, ::-1])),
        "sorted_out": Buffer("i32", judged=exact, expected=np.ascontiguousarray(np.sort(x, 1)[:, ::-1])),
        "picked": Buffer("i32", expected=np.take_along_axis(x, col, 1), judged=exact),
        "COLS": Const(256),
    })])
