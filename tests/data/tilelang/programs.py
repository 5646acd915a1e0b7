"""The programs, and what NumPy says they compute. Wherever tensor cores sum, the numbers are small
integers: every partial sum is exact, whatever the order."""

import ml_dtypes
import numpy as np
import tilelang.language as T
from tilelang.cuda.language import gemm as blocking_gemm
from tilelang.cuda.language import gemm_sp

from case import Case

F16, BF16, F32, E4M3, I8 = np.float16, ml_dtypes.bfloat16, np.float32, ml_dtypes.float8_e4m3fn, np.int8


def small(rng, shape, dtype, low=-3, high=4):
    return rng.integers(low, high, shape).astype(dtype)


def gemm(m, n, k, tile, stages, dtype, trans_b=False, accumulate="float32", threads=128):
    bm, bn, bk = tile

    @T.prim_func
    def main(A: T.Tensor((m, k), dtype), B: T.Tensor((n, k) if trans_b else (k, n), dtype),
             C: T.Tensor((m, n), accumulate)):
        with T.Kernel(T.ceildiv(n, bn), T.ceildiv(m, bm), threads=threads) as (bx, by):
            a = T.alloc_shared((bm, bk), dtype)
            b = T.alloc_shared((bn, bk) if trans_b else (bk, bn), dtype)
            c = T.alloc_fragment((bm, bn), accumulate)
            T.clear(c)
            for step in T.Pipelined(T.ceildiv(k, bk), num_stages=stages):
                T.copy(A[by * bm, step * bk], a)
                if trans_b:
                    T.copy(B[bx * bn, step * bk], b)
                else:
                    T.copy(B[step * bk, bx * bn], b)
                T.gemm(a, b, c, transpose_B=trans_b)
            T.copy(c, C[by * bm, bx * bn])

    return main


def tensor_memory_gemm(m, n, k, tile, dtype, accumulate="float32", stages=2, pair=False):
    bm, bn, bk = tile

    @T.prim_func
    def main(A: T.Tensor((m, k), dtype), B: T.Tensor((n, k), dtype), C: T.Tensor((m, n), accumulate)):
        with T.Kernel(T.ceildiv(n, bn), T.ceildiv(m, bm), threads=256) as (bx, by):
            a = T.alloc_shared((bm, bk), dtype)
            b = T.alloc_shared((bn, bk), dtype)
            d = T.alloc_tmem([bm, bn], accumulate)
            done = T.alloc_barrier(1)
            c = T.alloc_fragment((bm, bn), accumulate)
            for step in T.Pipelined(T.ceildiv(k, bk), num_stages=stages):
                T.copy(A[by * bm, step * bk], a)
                T.copy(B[bx * bn, step * bk], b)
                blocking_gemm(a, b, d, transpose_B=True, mbar=done, clear_accum=step == 0)
            T.copy(d, c)
            T.copy(c, C[by * bm, bx * bn])

    return main


def compress(dense):
    """Two of four kept: their values, and four bits of indices for each four, lowest first."""
    rows, columns = dense.shape
    groups = dense.reshape(rows, columns // 4, 4)
    kept = np.zeros((rows, columns // 4, 2), dense.dtype)
    codes = np.zeros((rows, columns // 4), np.uint16)
    for i, j in np.ndindex(rows, columns // 4):
        at = [p for p in range(4) if groups[i, j, p] != 0]
        spare = [p for p in range(4) if p not in at]
        at = sorted((at + spare)[:2])
        kept[i, j] = groups[i, j, at]
        codes[i, j] = at[0] | at[1] << 2
    words = codes.reshape(rows, -1, 4) << (np.arange(4, dtype=np.uint16) * 4)
    return kept.reshape(rows, columns // 2), words.sum(-1).astype(np.uint16).view(np.int16)


def two_of_four(rng, shape, dtype):
    dense = rng.integers(1, 4, shape) * rng.choice([-1, 1], shape)
    for i, j in np.ndindex(shape[0], shape[1] // 4):
        for p in rng.choice(4, 2, replace=False):
            dense[i, j * 4 + p] = 0
    return dense.astype(dtype)


def sparse_gemm(m, n, k, tile, dtype, accumulate="float32", factor=16):
    bm, bn, bk = tile

    @T.prim_func
    def main(A: T.Tensor((m, k // 2), dtype), E: T.Tensor((m, k // factor), "int16"), B: T.Tensor((k, n), dtype),
             C: T.Tensor((m, n), accumulate)):
        with T.Kernel(T.ceildiv(n, bn), T.ceildiv(m, bm), threads=128) as (bx, by):
            a = T.alloc_shared((bm, bk // 2), dtype)
            e = T.alloc_shared((bm, bk // factor), "int16")
            b = T.alloc_shared((bk, bn), dtype)
            c = T.alloc_fragment((bm, bn), accumulate)
            T.clear(c)
            for step in T.Pipelined(T.ceildiv(k, bk), num_stages=2):
                T.copy(A[by * bm, step * bk // 2], a)
                T.copy(E[by * bm, step * bk // factor], e)
                T.copy(B[step * bk, bx * bn], b)
                gemm_sp(a, e, b, c)
            T.copy(c, C[by * bm, bx * bn])

    return main


def attention(heads, length, dim, bm, bn):
    scale = 1.0 / dim**0.5 * 1.44269504

    @T.prim_func
    def main(Q: T.Tensor((heads, length, dim), "float16"), K: T.Tensor((heads, length, dim), "float16"),
             V: T.Tensor((heads, length, dim), "float16"), O: T.Tensor((heads, length, dim), "float32")):
        with T.Kernel(T.ceildiv(length, bm), heads, threads=128) as (bx, by):
            q = T.alloc_shared((bm, dim), "float16")
            k = T.alloc_shared((bn, dim), "float16")
            v = T.alloc_shared((bn, dim), "float16")
            s = T.alloc_fragment((bm, bn), "float32")
            p = T.alloc_fragment((bm, bn), "float16")
            o = T.alloc_fragment((bm, dim), "float32")
            top = T.alloc_fragment((bm,), "float32")
            before = T.alloc_fragment((bm,), "float32")
            shrink = T.alloc_fragment((bm,), "float32")
            row = T.alloc_fragment((bm,), "float32")
            total = T.alloc_fragment((bm,), "float32")
            T.copy(Q[by, bx * bm:(bx + 1) * bm, :], q)
            T.fill(o, 0)
            T.fill(total, 0)
            T.fill(top, -T.infinity("float32"))
            for step in T.Pipelined(T.ceildiv((bx + 1) * bm, bn), num_stages=2):
                T.copy(K[by, step * bn:(step + 1) * bn, :], k)
                for i, j in T.Parallel(bm, bn):
                    s[i, j] = T.if_then_else(bx * bm + i >= step * bn + j, 0, -T.infinity("float32"))
                T.gemm(q, k, s, transpose_B=True)
                T.copy(V[by, step * bn:(step + 1) * bn, :], v)
                T.copy(top, before)
                T.reduce_max(s, top, dim=1, clear=False)
                for i in T.Parallel(bm):
                    shrink[i] = T.exp2(before[i] * scale - top[i] * scale)
                for i, j in T.Parallel(bm, dim):
                    o[i, j] *= shrink[i]
                for i, j in T.Parallel(bm, bn):
                    s[i, j] = T.exp2(s[i, j] * scale - top[i] * scale)
                T.copy(s, p)
                T.gemm(p, v, o)
                T.reduce_sum(s, row, dim=1)
                for i in T.Parallel(bm):
                    total[i] = total[i] * shrink[i] + row[i]
            for i, j in T.Parallel(bm, dim):
                o[i, j] /= total[i]
            T.copy(o, O[by, bx * bm:(bx + 1) * bm, :])

    return main


def row_sums(rows, columns):
    """Sums, tops and running sums of rows."""

    @T.prim_func
    def main(X: T.Tensor((rows, columns), "int32"), S: T.Tensor((rows,), "int32"), M: T.Tensor((rows,), "int32"),
             R: T.Tensor((rows, columns), "int32")):
        with T.Kernel(T.ceildiv(rows, 16), threads=128) as bx:
            x = T.alloc_shared((16, columns), "int32")
            f = T.alloc_fragment((16, columns), "int32")
            s = T.alloc_fragment((16,), "int32")
            T.copy(X[bx * 16, 0], x)
            T.copy(x, f)
            T.reduce_sum(f, s, dim=1)
            T.copy(s, S[bx * 16])
            T.reduce_max(f, s, dim=1)
            T.copy(s, M[bx * 16])
            T.cumsum(src=x, dim=1)
            T.copy(x, R[bx * 16, 0])

    return main


def gathered(rows, columns):
    """Four rows at a time by their numbers, to other rows."""
    from tilelang.language import tma_gather4, tma_scatter4

    @T.prim_func
    def main(X: T.Tensor((rows, columns), "float16"), Y: T.Tensor((rows, columns), "float16")):
        with T.Kernel(rows // 4, threads=128) as bx:
            x = T.alloc_shared((4, columns), "float16")
            there = T.alloc_barrier(1)
            if T.shuffle_elect(128):
                T.mbarrier_expect_tx(there, 4 * columns * 2)
                tma_gather4(X, x, 0, [bx, bx + rows // 4, bx + rows // 2, rows - 1 - bx], barrier=there)
                T.barrier_arrive(there)
            T.mbarrier_wait_parity(there, 0)
            if T.shuffle_elect(128):
                tma_scatter4(x, Y, 0, [bx * 4 + 3, bx * 4 + 1, bx * 4 + 2, bx * 4])
                T.tma_store_arrive()
                T.tma_store_wait()

    return main


def cases():
    rng = np.random.default_rng(90)

    def product(a, b, dtype=F32):
        return (a.astype(np.float64) @ b.astype(np.float64)).astype(dtype)

    a, b = small(rng, (256, 256), F16), small(rng, (256, 128), F16)
    yield Case("gemm_f16", gemm(256, 128, 256, (128, 128, 64), 3, "float16"),
               [("in", a), ("in", b), ("out", product(a, b))])
    a, b = small(rng, (128, 256), BF16), small(rng, (96, 256), BF16)
    yield Case("gemm_bf16_nt", gemm(128, 96, 256, (64, 96, 64), 2, "bfloat16", True),
               [("in", a), ("in", b), ("out", product(a, b.T))])
    a, b = small(rng, (128, 256), E4M3), small(rng, (128, 256), E4M3)
    yield Case("gemm_e4m3", gemm(128, 128, 256, (128, 64, 128), 2, "float8_e4m3fn", True),
               [("in", a), ("in", b), ("out", product(a, b.T))])
    a, b = small(rng, (128, 128), I8, -100, 100), small(rng, (128, 128), I8, -100, 100)
    yield Case("gemm_i8", gemm(128, 128, 128, (64, 64, 64), 2, "int8", True, "int32"),
               [("in", a), ("in", b), ("out", product(a, b.T, np.int32))])
    for m, n, k, tile, dtype, kind in [(256, 128, 256, (128, 128, 64), "float16", F16),
                                       (64, 128, 128, (64, 128, 64), "bfloat16", BF16),
                                       (32, 128, 128, (32, 128, 64), "float16", F16),
                                       (128, 64, 256, (128, 64, 128), "float8_e4m3fn", E4M3)]:
        a, b = small(rng, (m, k), kind), small(rng, (n, k), kind)
        yield Case(f"tmem_{dtype.split('_')[0]}_m{tile[0]}", tensor_memory_gemm(m, n, k, tile, dtype),
                   [("in", a), ("in", b), ("out", product(a, b.T))], ("sm100",))
    for name, kind, k, factor in [("float16", F16, 128, 16), ("int8", I8, 256, 16)]:
        dense, b = two_of_four(rng, (128, k), np.float64), small(rng, (k, 64), kind)
        kept, words = compress(dense)
        out = ("int32", np.int32) if name == "int8" else ("float32", F32)
        yield Case(f"sparse_{name.split('_')[0]}", sparse_gemm(128, 64, k, (64, 64, 64), name, out[0], factor),
                   [("in", kept.astype(kind)), ("in", words), ("in", b), ("out", product(dense, b, out[1]))])
    q, k, v = (rng.standard_normal((2, 128, 64)).astype(F16) for _ in range(3))
    s = q.astype(np.float64) @ k.astype(np.float64).transpose(0, 2, 1) / 8
    s = np.where(np.tril(np.ones((128, 128))), s, -np.inf)
    p = np.exp(s - s.max(-1, keepdims=True))
    o = (p / p.sum(-1, keepdims=True)) @ v.astype(np.float64)
    yield Case("attention", attention(2, 128, 64, 64, 64),
               [("in", q), ("in", k), ("in", v), ("out", o.astype(F32))], ("sm90",), [2e-3, 2e-3])
    x = rng.integers(-1000, 1000, (32, 128)).astype(np.int32)
    yield Case("rows", row_sums(32, 128), [("in", x), ("out", x.sum(1).astype(np.int32)), ("out", x.max(1)),
                                           ("out", np.cumsum(x, 1).astype(np.int32))])
    x, n = rng.integers(-9, 9, (32, 64)).astype(F16), 32
    y = np.zeros_like(x)
    for i in range(n // 4):
        for to, at in zip([3, 1, 2, 0], [i, i + n // 4, i + n // 2, n - 1 - i]):
            y[i * 4 + to] = x[at]
    yield Case("gathered", gathered(32, 64), [("in", x), ("out", y)], ("sm100",))
