"""Clusters of two CTAs in Gluon, Triton's sister language: one MMA over both, and multicast loads."""

import numpy as np
from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.blackwell import (
    TensorMemoryLayout, TensorMemoryScalesLayout, allocate_tensor_memory, fence_async_shared, mbarrier, tcgen05_commit,
    tcgen05_mma, tcgen05_mma_scaled, tma)
from triton.experimental.gluon.language.nvidia.hopper import cluster

from case import Buffer, Case, Const, Descriptor, Exact, Launch, case, integers
from families import scaled
from formats import to_bfloat16


@gluon.jit
def pair_kernel(a, b, c, K: gl.constexpr, M: gl.constexpr, N: gl.constexpr, BK: gl.constexpr,
                PAIR: gl.constexpr):
    a_tiles = gl.allocate_shared_memory(a.dtype, [2] + a.block_type.shape, a.layout)
    b_tiles = gl.allocate_shared_memory(b.dtype, [2] + b.block_type.shape, b.layout)
    MULTICAST: gl.constexpr = not PAIR
    filled = mbarrier.allocate_mbarrier(batch=2, two_ctas=PAIR)
    done = mbarrier.allocate_mbarrier(batch=2)
    # With multicast a stage is free when the MMAs of both CTAs have read it.
    users: gl.constexpr = 1 if PAIR else 2
    for i in gl.static_range(2):
        mbarrier.init(filled.index(i), count=1)
        mbarrier.init(done.index(i), count=users)
    cluster.barrier()
    layout: gl.constexpr = TensorMemoryLayout([128, N], col_stride=1, cga_layout=[[1, 0]],
                                              two_ctas=PAIR)
    acc = allocate_tensor_memory(gl.float32, [M, N], layout)
    for step in range(K // BK):
        stage, turn = step % 2, step // 2
        mbarrier.wait(done.index(stage), phase=(turn & 1) ^ 1, pred=turn > 0)
        mbarrier.expect(filled.index(stage), a.nbytes_per_cta + b.nbytes_per_cta)
        tma.async_load(a, [0, step * BK], filled.index(stage), a_tiles.index(stage),
                       multicast=MULTICAST)
        tma.async_load(b, [step * BK, 0], filled.index(stage), b_tiles.index(stage),
                       multicast=MULTICAST)
        mbarrier.wait(filled.index(stage), phase=turn & 1)
        tcgen05_mma(a_tiles.index(stage), b_tiles.index(stage), acc, use_acc=step > 0)
        if PAIR:
            tcgen05_commit(done.index(stage))
        else:
            tcgen05_commit(done.index(stage), descs=[a_tiles.index(stage), b_tiles.index(stage)])
    LAST: gl.constexpr = K // BK - 1
    mbarrier.wait(done.index(LAST % 2), phase=(LAST // 2) & 1)
    for i in gl.static_range(2):
        mbarrier.invalidate(filled.index(i))
        mbarrier.invalidate(done.index(i))
    tile = gl.allocate_shared_memory(c.dtype, c.block_type.shape, c.layout)
    tile.store(acc.load().to(c.dtype))
    fence_async_shared()
    tma.async_store(c, [0, 0], tile)
    tma.store_wait(0)


def layout(shape, split):
    """Shared-memory layout of an f16 tile that a pair splits along one dimension."""
    return gl.NVMMASharedLayout.get_default_for(shape, gl.float16, cga_layout=split)


def pair(seed, together):
    """One 256×64 tile. Each CTA holds half of A's rows; of B's columns half, or a copy of all."""
    m, n, k = 256, 64, 160
    a, b = integers(seed, -3, 3, (m, k), np.float16), integers(seed + 1, -3, 3, (k, n), np.float16)
    want = (a.astype(np.float64) @ b.astype(np.float64)).astype(np.float16)
    rows, cols = [[1, 0]], [[0, 1 if together else 0]]
    return Case([Launch(pair_kernel, (1,), {
        "a": Descriptor("a_data", [m, k], [m, 32], layout=layout([m, 32], rows)),
        "b": Descriptor("b_data", [k, n], [32, n], layout=layout([32, n], cols)),
        "c": Descriptor("c_data", [m, n], [m, n], layout=layout([m, n], rows)),
        "K": Const(k), "M": Const(m), "N": Const(n), "BK": Const(32),
        "PAIR": Const(together),
    }, num_ctas=2)], {
        "a_data": Buffer("fp16", a), "b_data": Buffer("fp16", b),
        "c_data": Buffer("fp16", expected=want, judged=Exact(
            "small integers: every product and partial sum is exact in f32 whatever the order")),
    })


@case(100)
def gluon_cta_pair():
    """`cta_group::2`: loads, one MMA for both CTAs, commit; five steps over two stages."""
    return pair(111, True)


@case(100)
def gluon_multicast():
    """Two CTAs with an MMA each; B goes to both by multicast, its halves loaded by either."""
    return pair(113, False)


@gluon.jit
def scaled_pair_kernel(a, b, a_scales, b_scales, c, K: gl.constexpr, M: gl.constexpr,
                       N: gl.constexpr):
    a_tile = gl.allocate_shared_memory(a.dtype, a.block_type.shape, a.layout)
    b_tile = gl.allocate_shared_memory(b.dtype, b.block_type.shape, b.layout)
    filled = mbarrier.allocate_mbarrier(two_ctas=True)
    done = mbarrier.allocate_mbarrier()
    mbarrier.init(filled, count=1)
    mbarrier.init(done, count=1)
    cluster.barrier()
    mbarrier.expect(filled, a.nbytes_per_cta + b.nbytes_per_cta)
    tma.async_load(a, [0, 0], filled, a_tile)
    tma.async_load(b, [0, 0], filled, b_tile)
    acc = allocate_tensor_memory(gl.float32, [M, N], TensorMemoryLayout(
        [128, N], col_stride=1, cga_layout=[[1, 0]], two_ctas=True))
    # Each CTA needs the scales of its rows of A, and those of all of B.
    a_place: gl.constexpr = TensorMemoryScalesLayout(cga_layout=[[1, 0]])
    b_place: gl.constexpr = TensorMemoryScalesLayout(cga_layout=[[0, 0]])
    a_scale = allocate_tensor_memory(gl.float8e4nv, [M, K // 16], a_place)
    b_scale = allocate_tensor_memory(gl.float8e4nv, [N, K // 16], b_place)
    a_layout: gl.constexpr = a_scale.get_reg_layout()
    b_layout: gl.constexpr = b_scale.get_reg_layout()
    a_row = gl.arange(0, M, gl.SliceLayout(1, a_layout))[:, None]
    b_row = gl.arange(0, N, gl.SliceLayout(1, b_layout))[:, None]
    a_group = gl.arange(0, K // 16, gl.SliceLayout(0, a_layout))[None, :]
    b_group = gl.arange(0, K // 16, gl.SliceLayout(0, b_layout))[None, :]
    a_scale.store(gl.load(a_scales + a_row * (K // 16) + a_group))
    b_scale.store(gl.load(b_scales + b_row * (K // 16) + b_group))
    # The MMA of the leading CTA reads the scales of both.
    cluster.barrier()
    mbarrier.wait(filled, phase=0)
    tcgen05_mma_scaled(a_tile, b_tile.permute((1, 0)), acc, a_scale, b_scale, "e2m1", "e2m1",
                       use_acc=False)
    tcgen05_commit(done)
    mbarrier.wait(done, phase=0)
    # Their memory may serve for the tile.
    mbarrier.invalidate(filled)
    mbarrier.invalidate(done)
    tile = gl.allocate_shared_memory(c.dtype, c.block_type.shape, c.layout)
    tile.store(acc.load().to(c.dtype))
    fence_async_shared()
    tma.async_store(c, [0, 0], tile)
    tma.store_wait(0)


@case(100)
def gluon_nvfp4_pair():
    """NVFP4 over a CTA pair, 256×128×256: the scales of A by CTA, those of B in both."""
    m, n = 256, 128
    a, b, a_scale, b_scale, want, _ = scaled.operands("e2m1", "e2m1", True, 115, n, m)
    halves = [[1, 0]]
    packed = gl.NVMMASharedLayout.get_default_for([m, 128], gl.uint8, cga_layout=halves)
    out = gl.NVMMASharedLayout.get_default_for([m, n], gl.bfloat16, cga_layout=halves)
    return Case([Launch(scaled_pair_kernel, (1,), {
        "a": Descriptor("a_data", [m, 128], [m, 128], layout=packed),
        "b": Descriptor("b_data", [n, 128], [n, 128], layout=packed),
        "a_scales": Buffer("fp8e4nv", a_scale), "b_scales": Buffer("fp8e4nv", b_scale),
        "c": Descriptor("c_data", [m, n], [m, n], layout=out),
        "K": Const(256), "M": Const(m), "N": Const(n),
    }, num_ctas=2)], {
        "a_data": Buffer("u8", a), "b_data": Buffer("u8", b),
        "c_data": Buffer("bf16", expected=to_bfloat16(want), judged=Exact(scaled.SUMS)),
    })
