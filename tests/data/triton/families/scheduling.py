"""Programs whose interest is in how work is handed out: grouped, split, stolen, gathered, chained."""

import numpy as np
import triton
import triton.language as tl
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from case import Buffer, Case, Const, Descriptor, Exact, Launch, Scalar, case, integers
from formats import to_bfloat16

SUMS = "small integers: every product and partial sum is exact in f32 whatever the order"


@triton.jit
def grouped_kernel(a, b, c, table, groups, N, K, BM: tl.constexpr, BN: tl.constexpr,
                   BK: tl.constexpr, PROGRAMS: tl.constexpr):
    tile, done = tl.program_id(0), 0
    for group in range(groups):
        start, rows = tl.load(table + 2 * group), tl.load(table + 2 * group + 1)
        tiles_n = tl.cdiv(N, BN)
        tiles = tl.cdiv(rows, BM) * tiles_n
        if tile < done + tiles:
            left = tl.make_tensor_descriptor(a + start * K, [rows, K], [K, 1], [BM, BK])
            right = tl.make_tensor_descriptor(b + group * N * K, [N, K], [K, 1], [BN, BK])
            result = tl.make_tensor_descriptor(c + start * N, [rows, N], [N, 1], [BM, BN])
            while tile < done + tiles:
                row, col = (tile - done) // tiles_n * BM, (tile - done) % tiles_n * BN
                acc = tl.zeros((BM, BN), tl.float32)
                for k in range(0, K, BK):
                    acc = tl.dot(left.load([row, k]), right.load([col, k]).T, acc)
                result.store([row, col], acc.to(tl.float16))
                tile += PROGRAMS
        done += tiles


@case(100, 90)
def gemm_grouped():
    """Three products of different heights; tensor maps are made on the device for each of them."""
    rows = [70, 16, 130]
    n, k = 64, 96
    total = sum(rows)
    a = integers(101, -3, 3, (total, k), np.float16)
    b = integers(102, -3, 3, (len(rows), n, k), np.float16)
    starts = np.cumsum([0] + rows[:-1])
    want = np.concatenate([a[s:s + r].astype(np.float64) @ b[g].astype(np.float64).T
                           for g, (s, r) in enumerate(zip(starts, rows))]).astype(np.float16)
    table = np.stack([starts, rows], 1).astype(np.int32)
    return Case([Launch(grouped_kernel, (2,), {
        "a": Buffer("fp16", a), "b": Buffer("fp16", b),
        "c": Buffer("fp16", expected=want, judged=Exact(SUMS)), "table": Buffer("i32", table),
        "groups": Scalar("i32", len(rows)), "N": Scalar("i32", n, True), "K": Scalar("i32", k, True),
        "BM": Const(64), "BN": Const(64), "BK": Const(32), "PROGRAMS": Const(2),
    })])


@triton.jit
def split_kernel(a, b, c, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
                 SPLITS: tl.constexpr):
    part = tl.program_id(0)
    acc = tl.zeros((BM, BN), tl.float32)
    for k in range(part * BK, K, SPLITS * BK):
        acc = tl.dot(a.load([0, k]), b.load([0, k]).T, acc)
    c.atomic_add([0, 0], acc)


@case(100, 90)
def gemm_split_k():
    """Three programs share the K of one tile and add their parts by TMA reductions."""
    m, n, k = 64, 64, 224
    a, b = integers(103, -3, 3, (m, k), np.float32), integers(104, -3, 3, (n, k), np.float32)
    want = (a.astype(np.float64) @ b.T + 1).astype(np.float32)
    return Case([Launch(split_kernel, (3,), {
        "a": Descriptor("a_data", [m, k], [m, 64]), "b": Descriptor("b_data", [n, k], [n, 64]),
        "c": Descriptor("c_data", [m, n], [m, n]), "K": Scalar("i32", k),
        "BM": Const(m), "BN": Const(n), "BK": Const(64), "SPLITS": Const(3),
    })], {
        "a_data": Buffer("bf16", to_bfloat16(a)), "b_data": Buffer("bf16", to_bfloat16(b)),
        "c_data": Buffer("fp32", np.ones((m, n), np.float32), want, Exact(SUMS)),
    })


@triton.jit
def stolen_kernel(x, out, COLS: tl.constexpr):
    at = tl.program_id(0) * COLS + tl.arange(0, COLS)
    tl.store(out + at, tl.load(x + at) * 2 + tl.program_id(0))


@case(100)
def cluster_launch_control():
    """Every program also takes over programs that have not started yet (`clusterlaunchcontrol`)."""
    x = integers(105, -1000, 1000, (24, 256), np.int32)
    return Case([Launch(stolen_kernel, (24,), {
        "x": Buffer("i32", x),
        "out": Buffer("i32", judged=Exact("integers"),
                      expected=(x * 2 + np.arange(24)[:, None]).astype(np.int32)),
        "COLS": Const(256),
    }, options={"clc": True})])


@triton.jit
def gather_kernel(x, index, out, target, COLS: tl.constexpr, ROWS: tl.constexpr):
    rows = tl.load(index + tl.arange(0, ROWS))
    tile = x.gather(rows, 0)
    tl.store(out + tl.arange(0, ROWS)[:, None] * COLS + tl.arange(0, COLS)[None, :], tile)
    target.scatter(tile, rows, COLS)


@case(100)
def tma_gather_scatter():
    """`tile::gather4` rows and `tile::scatter4` them elsewhere."""
    x = integers(106, -2000, 2000, (40, 64), np.int16)
    index = np.random.default_rng(107).permutation(40)[:32].astype(np.int32)
    target = np.zeros((40, 128), np.int16)
    target[index, 64:] = x[index]
    exact = Exact("a copy")
    return Case([Launch(gather_kernel, (1,), {
        "x": Descriptor("x_data", [40, 64], [1, 64]), "index": Buffer("i32", index),
        "out": Buffer("i16", expected=x[index], judged=exact),
        "target": Descriptor("target_data", [40, 128], [1, 64]),
        "COLS": Const(64), "ROWS": Const(32),
    })], {
        "x_data": Buffer("i16", x),
        "target_data": Buffer("i16", np.zeros((40, 128), np.int16), target, exact),
    })


@triton.jit
def producer_kernel(x, middle, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    gdc_launch_dependents()
    tl.store(middle + at, tl.load(x + at) + 1)


@triton.jit
def consumer_kernel(middle, out, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    gdc_wait()
    tl.store(out + at, tl.load(middle + at) * 3)


@case(100, 90)
def dependent_launch():
    """Two kernels in a row, the second of which waits for the first (`griddepcontrol`)."""
    x = integers(108, -1000, 1000, 512, np.int32)
    pdl = {"launch_pdl": True}
    return Case([
        Launch(producer_kernel, (2,), {
            "x": "x_data", "middle": "middle_data", "BLOCK": Const(256)}, options=pdl),
        Launch(consumer_kernel, (2,), {
            "middle": "middle_data", "out": "out_data", "BLOCK": Const(256)}, options=pdl),
    ], {
        "x_data": Buffer("i32", x),
        "middle_data": Buffer("i32", expected=x + 1, judged=Exact("integers")),
        "out_data": Buffer("i32", expected=(x + 1) * 3, judged=Exact("integers")),
    })
