"""Elementwise kernels, atomics and data movement."""

import numpy as np
import triton
import triton.language as tl
from triton.language.extra import libdevice

from case import Buffer, Case, Const, Exact, Launch, Scalar, Tolerance, case, integers, normals


@triton.jit
def add_kernel(x, y, out, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = at < n
    tl.store(out + at, tl.load(x + at, mask=mask) + tl.load(y + at, mask=mask), mask=mask)


@case(100, 90)
def vector_add():
    """Masked at the end: 1000 elements in blocks of 256."""
    x, y = normals(1, 1000), normals(2, 1000)
    return Case([Launch(add_kernel, (4,), {
        "x": Buffer("fp32", x), "y": Buffer("fp32", y),
        "out": Buffer("fp32", expected=x + y, judged=Exact("one f32 addition")),
        "n": Scalar("i32", 1000), "BLOCK": Const(256),
    })])


@triton.jit
def gelu_kernel(x, out, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = at < n
    value = tl.load(x + at, mask=mask, other=0.0).to(tl.float32)
    value = 0.5 * value * (1 + libdevice.erf(value * 0.7071067811865476))
    tl.store(out + at, value.to(tl.bfloat16), mask=mask)


@case(100, 90)
def gelu_erf():
    """The device library's `erf` in f32, bf16 in and out."""
    from math import erf

    from formats import from_bfloat16, to_bfloat16

    x = to_bfloat16(2 * normals(3, 700))
    value = from_bfloat16(x)
    want = 0.5 * value * (1 + np.array([erf(v * 0.5 ** 0.5) for v in value]))
    return Case([Launch(gelu_kernel, (2,), {
        "x": Buffer("bf16", x),
        "out": Buffer("bf16", expected=to_bfloat16(want), judged=Tolerance(
            2 ** -7, 1e-5, "one bf16 step: erf in f32 may round to the neighbour; near -4 the two "
            "terms cancel and leave the error of 1 + erf")),
        "n": Scalar("i32", 700), "BLOCK": Const(512),
    })])


@triton.jit
def histogram_kernel(x, counts, n, BLOCK: tl.constexpr, BINS: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = at < n
    value = tl.load(x + at, mask=mask, other=0)
    local = tl.histogram(value, BINS, mask=mask)
    tl.atomic_add(counts + tl.arange(0, BINS), local, sem="relaxed")


@case(100, 90)
def histogram():
    """Counted in shared memory, added up by global atomics."""
    x = integers(4, 0, 63, 3000, np.int32)
    return Case([Launch(histogram_kernel, (3,), {
        "x": Buffer("i32", x),
        "counts": Buffer("i32", np.zeros(64, np.int32),
                         expected=np.bincount(x, minlength=64).astype(np.int32),
                         judged=Exact("integers")),
        "n": Scalar("i32", 3000), "BLOCK": Const(1024), "BINS": Const(64),
    })])


@triton.jit
def atomics_kernel(x, index, added, largest, claimed, swapped, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(x + at)
    where = tl.load(index + at)
    tl.atomic_add(added + where, value.to(tl.float16), sem="relaxed")
    tl.atomic_max(largest + where, value)
    # Every slot is claimed by whoever finds the zero; all claimants of a slot bring the same value.
    tl.atomic_cas(claimed + where, where * 0, where + 100)
    tl.atomic_xchg(swapped + where, where * 3)


@case(100, 90)
def atomics():
    """add (f16), max (f32, negative values too), compare-and-swap and exchange, with collisions."""
    x = integers(5, -20, 20, 512, np.float32)
    index = integers(6, 0, 15, 512, np.int32)
    index[:16] = np.arange(16)
    added, largest = np.zeros(16), np.full(16, -np.inf, np.float32)
    np.add.at(added, index, x)
    np.maximum.at(largest, index, x)
    slots = np.arange(16, dtype=np.int32)
    exact = Exact("small integers: every order gives the same")
    return Case([Launch(atomics_kernel, (2,), {
        "x": Buffer("fp32", x), "index": Buffer("i32", index),
        "added": Buffer("fp16", np.zeros(16, np.float16), added.astype(np.float16), exact),
        "largest": Buffer("fp32", np.full(16, -np.inf, np.float32), largest, exact),
        "claimed": Buffer("i32", np.zeros(16, np.int32), slots + 100, exact),
        "swapped": Buffer("i32", np.zeros(16, np.int32), slots * 3, exact),
        "BLOCK": Const(256),
    })])


@triton.jit
def last_block_kernel(x, partial, ticket, out, BLOCK: tl.constexpr, BLOCKS: tl.constexpr):
    pid = tl.program_id(0)
    total = tl.sum(tl.load(x + pid * BLOCK + tl.arange(0, BLOCK)))
    tl.store(partial + pid, total)
    # Release what was stored, acquire what the others stored.
    if tl.atomic_add(ticket, 1, sem="acq_rel") == BLOCKS - 1:
        tl.store(out, tl.sum(tl.load(partial + tl.arange(0, BLOCKS), volatile=True)))


@case(100, 90)
def last_block_sum():
    """The block that draws the last ticket adds up what all blocks left in global memory."""
    x = integers(7, -100, 100, 4096, np.int32)
    return Case([Launch(last_block_kernel, (8,), {
        "x": Buffer("i32", x),
        "partial": Buffer("i32", expected=x.reshape(8, 512).sum(1).astype(np.int32),
                          judged=Exact("integers")),
        "ticket": Buffer("i32", np.zeros(1, np.int32), np.array([8], np.int32), Exact("integers")),
        "out": Buffer("i32", expected=np.array([x.sum()], np.int32), judged=Exact("integers")),
        "BLOCK": Const(512), "BLOCKS": Const(8),
    })])


@triton.jit
def transpose_kernel(x, out, rows, cols, ROWS: tl.constexpr, COLS: tl.constexpr):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    col = tl.program_id(1) * COLS + tl.arange(0, COLS)
    mask = (row[:, None] < rows) & (col[None, :] < cols)
    tile = tl.load(x + row[:, None] * cols + col[None, :], mask=mask)
    tl.store(out + col[:, None] * rows + row[None, :], tl.trans(tile), mask=tl.trans(mask))


@case(100, 90)
def transpose():
    """Through shared memory, 16-bit elements, ragged on both sides."""
    x = integers(8, -30000, 30000, (70, 90), np.int16)
    return Case([Launch(transpose_kernel, (2, 2), {
        "x": Buffer("i16", x),
        "out": Buffer("i16", expected=np.ascontiguousarray(x.T), judged=Exact("a permutation")),
        "rows": Scalar("i32", 70), "cols": Scalar("i32", 90),
        "ROWS": Const(64), "COLS": Const(64),
    })])


@triton.jit
def dropout_kernel(x, out, n, p, seed, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = at < n
    keep = tl.rand(seed, at) > p
    tl.store(out + at, tl.where(keep, tl.load(x + at, mask=mask) / (1 - p), 0.0), mask=mask)


def philox(seed, counter):
    """The first word of Philox-4x32-10 for every counter."""
    mask = np.uint64(0xFFFFFFFF)
    c = [counter.astype(np.uint64)] + [np.zeros(counter.shape, np.uint64) for _ in range(3)]
    k0, k1 = np.uint64(seed & 0xFFFFFFFF), np.uint64(seed >> 32)
    for _ in range(10):
        left, right = c[2] * np.uint64(0xCD9E8D57), c[0] * np.uint64(0xD2511F53)
        c = [(left >> np.uint64(32)) ^ c[1] ^ k0, left & mask,
             (right >> np.uint64(32)) ^ c[3] ^ k1, right & mask]
        k0, k1 = (k0 + np.uint64(0x9E3779B9)) & mask, (k1 + np.uint64(0xBB67AE85)) & mask
    return c[0].astype(np.uint32)


@case(100)
def dropout():
    """Philox random numbers: wide integer products, then a division."""
    x = normals(9, 1000)
    bits = philox(1234, np.arange(1000)).view(np.int32)
    # Triton folds the sign away before it scales to [0, 1).
    uniform = np.where(bits < 0, -bits - 1, bits).astype(np.float32) * np.float32(4.6566127342e-10)
    p = np.float32(0.25)
    want = np.where(uniform > p, x / (np.float32(1) - p), np.float32(0)).astype(np.float32)
    return Case([Launch(dropout_kernel, (2,), {
        "x": Buffer("fp32", x),
        "out": Buffer("fp32", expected=want, judged=Tolerance(
            2 ** -21, 0, "`div.full.f32` is within 2 ulp")),
        "n": Scalar("i32", 1000), "p": Scalar("fp32", 0.25), "seed": Scalar("i32", 1234),
        "BLOCK": Const(512),
    })])
