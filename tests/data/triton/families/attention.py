"""Attention, forward, with the softmax kept online."""

import numpy as np
import triton
import triton.language as tl

from case import Buffer, Case, Const, Descriptor, Launch, Scalar, Tolerance, case, normals


@triton.jit
def attention_kernel(q, k, v, out, logsum, length, scale, BQ: tl.constexpr, BK: tl.constexpr,
                     D: tl.constexpr, CAUSAL: tl.constexpr, SPECIALISE: tl.constexpr):
    first = tl.program_id(0) * BQ
    base = tl.program_id(1) * length
    query = q.load([base + first, 0])
    row = first + tl.arange(0, BQ)
    largest = tl.full((BQ,), float("-inf"), tl.float32)
    total = tl.zeros((BQ,), tl.float32)
    acc = tl.zeros((BQ, D), tl.float32)
    end = first + BQ if CAUSAL else length
    for start in tl.range(0, end, BK, warp_specialize=SPECIALISE):
        score = tl.dot(query, k.load([base + start, 0]).T) * (scale * 1.4426950408889634)
        if CAUSAL:
            col = start + tl.arange(0, BK)
            score = tl.where(row[:, None] >= col[None, :], score, float("-inf"))
        new = tl.maximum(largest, tl.max(score, 1))
        part = tl.exp2(score - new[:, None])
        shrink = tl.exp2(largest - new)
        total = total * shrink + tl.sum(part, 1)
        acc = tl.dot(part.to(tl.float16), v.load([base + start, 0]), acc * shrink[:, None])
        largest = new
    tl.store(logsum + base + row, largest + tl.log2(total))
    out.store([base + first, 0], (acc / total[:, None]).to(tl.float16))


def attention(seed, heads, length, width, block, causal, specialise, **options):
    """A case: `heads` heads of `length` × `width`, `block` queries and keys at a time."""
    shape = (heads * length, width)
    q, k, v = (normals(seed + i, shape, np.float16) for i in range(3))
    scale = width ** -0.5
    split = [x.reshape(heads, length, width).astype(np.float64) for x in (q, k, v)]
    score = split[0] @ split[1].transpose(0, 2, 1) * scale
    if causal:
        score = np.where(np.tril(np.ones((length, length), bool)), score, -np.inf)
    largest = score.max(2, keepdims=True)
    part = np.exp(score - largest)
    total = part.sum(2, keepdims=True)
    want = (part / total @ split[2]).reshape(shape).astype(np.float16)
    logsum = ((largest + np.log(total)) / np.log(2)).reshape(-1).astype(np.float32)
    names = {"q": q, "k": k, "v": v}
    args = {n: Descriptor(f"{n}_data", list(shape), [block, width]) for n in ("q", "k", "v", "out")}
    args["logsum"] = Buffer("fp32", expected=logsum, judged=Tolerance(
        1e-5, 1e-5, "`ex2.approx`, `lg2.approx` and f32 sums"))
    args |= {
        "length": Scalar("i32", length, True), "scale": Scalar("fp32", scale),
        "BQ": Const(block), "BK": Const(block), "D": Const(width), "CAUSAL": Const(causal),
        "SPECIALISE": Const(specialise),
    }
    buffers = {f"{n}_data": Buffer("fp16", x) for n, x in names.items()}
    buffers["out_data"] = Buffer("fp16", expected=want, judged=Tolerance(
        4e-3, 2e-3, "the weights are rounded to f16 (2^-11 each, of weights that sum to one and "
        "values up to 4) before the second product, and the result again"))
    return Case([Launch(attention_kernel, (length // block, heads), args, **options)], buffers)


@case(100, 90)
def attention_causal():
    """Causal, two heads, 128 queries, in blocks of 64."""
    return attention(81, 2, 128, 32, 64, True, False)


@case(100)
def attention_specialised():
    """Not causal, blocks of 128; loads, both products and softmax in warps apart."""
    return attention(85, 1, 256, 64, 128, False, True, num_stages=2)
