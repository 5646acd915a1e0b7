"""What torch takes for the grouped problems of `bench --op grouped-dual` on the same machine, on weights
dequantised beforehand: microseconds per call, CUDA graphs, medians. Needs PyTorch and Triton.

  python3 xtask/peers_grouped.py [--one]      --one: one product, no silu

  loop     one fp16 GEMM for each group with rows, and a fused silu and multiplication over all rows
  grouped  torch._grouped_mm in bf16, where it takes the shape, and the same
"""

import random
import sys

import torch

sys.argv, arguments = sys.argv[:1], sys.argv[1:]
from peers import silu_mul, timed  # noqa: E402

CONTEST = [([80, 176, 128, 72, 64, 248, 96, 160], 4096, 7168),
           ([40, 76, 168, 72, 164, 148, 196, 160], 7168, 2048),
           ([192, 320], 3072, 4096), ([128, 384], 4096, 1536)]
MIXTURES = [(64, 1408, 2048), (256, 2048, 7168)]
BATCHES = [1, 8, 32, 64, 256, 512]
FOOTPRINT = 300 << 20


def routing(experts, batch):
    draw = random.Random(7)
    rows = [0] * experts
    for _ in range(batch):
        for expert in draw.sample(range(experts), 8):
            rows[expert] += 1
    return rows


def measure(rows, n, k, one):
    width = n if one else 2 * n
    total = sum(rows)
    sets = min(12, max(1, -(-FOOTPRINT // (2 * width * k * len(rows)))))
    offsets = torch.tensor(rows, device="cuda").cumsum(0).to(torch.int32)
    starts = [sum(rows[:i]) for i in range(len(rows))]
    results = []
    for dtype in (torch.float16, torch.bfloat16):
        w = [torch.randn(len(rows), width, k, device="cuda", dtype=dtype) for _ in range(sets)]
        a = torch.randn(total, k, device="cuda", dtype=dtype)
        x = torch.empty(total, width, device="cuda", dtype=dtype)
        y = torch.empty(total, n, device="cuda", dtype=dtype)

        def loop(w):
            for i, (start, m) in enumerate(zip(starts, rows)):
                if m:
                    torch.mm(a[start:start + m], w[i].t(), out=x[start:start + m])
            if not one:
                silu_mul(x, y)

        def grouped(w):
            z = torch._grouped_mm(a, w.transpose(1, 2), offs=offsets)
            if not one:
                silu_mul(z, y)

        call = loop if dtype == torch.float16 else grouped
        try:
            results.append(timed([lambda w=w: call(w) for w in w])[1])
        except RuntimeError as error:
            print("  ", str(error).splitlines()[0][:100])
            results.append(float("nan"))
        del w
        torch.cuda.empty_cache()
    return results


def main():
    one = "--one" in arguments
    print(torch.cuda.get_device_name(), "torch", torch.__version__)
    cases = [(f"{len(m)} groups", m, n, k) for m, n, k in CONTEST]
    cases += [(f"{e} experts", routing(e, b), n, k) for e, n, k in MIXTURES for b in BATCHES]
    for who, rows, n, k in cases:
        loop, grouped = measure(rows, n, k, one)
        print(f"{who:<12} {sum(rows):>5} {n:>5} {k:>5}  loop {loop:9.2f}  grouped {grouped:9.2f}", flush=True)


main()
