"""What others take for the same task on the same machine: microseconds per call, CUDA graphs, several
weight sets, medians. Needs PyTorch and Triton.

  python3 xtask/peers.py [M,N,K ...]
"""

import json
import statistics
import sys

import torch
import triton
import triton.language as tl

DEVICE = "cuda"
FOOTPRINT = 300 << 20  # bytes of weights that make L2 forget


@triton.jit
def silu_mul_kernel(x, y, n, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    at = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = at < n
    gate = tl.load(x + row * 2 * n + at, inside).to(tl.float32)
    up = tl.load(x + row * 2 * n + n + at, inside).to(tl.float32)
    tl.store(y + row * n + at, (gate * tl.sigmoid(gate) * up).to(tl.float16), inside)


def silu_mul(x, y):
    m, n = y.shape
    silu_mul_kernel[(m, triton.cdiv(n, 1024))](x, y, n, BLOCK=1024)


def timed(calls, replays=20):
    """Median, and the 10th and 90th percentile, of one call."""
    for call in calls[:2]:
        call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    rounds = -(-16 // len(calls))
    with torch.cuda.graph(graph):
        for _ in range(rounds):
            for call in calls:
                call()
    times = []
    for replay in range(replays + 3):
        start, end = torch.cuda.Event(True), torch.cuda.Event(True)
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        if replay >= 3:
            times.append(start.elapsed_time(end) * 1e3 / (rounds * len(calls)))
    times.sort()
    return [times[len(times) // 10], statistics.median(times), times[len(times) * 9 // 10]]


def fp16(m, n, k):
    sets = min(24, max(3, -(-FOOTPRINT // (4 * n * k))))
    weights = [torch.randn(2 * n, k, device=DEVICE).half() * 0.02 for _ in range(sets)]
    a = torch.randn(m, k, device=DEVICE).half()
    x = torch.empty(m, 2 * n, device=DEVICE, dtype=torch.float16)
    y = torch.empty(m, n, device=DEVICE, dtype=torch.float16)

    def call(w):
        torch.mm(a, w.t(), out=x)
        silu_mul(x, y)

    return timed([lambda w=w: call(w) for w in weights])


def fp8(m, n, k):
    sets = min(24, max(3, -(-FOOTPRINT // (2 * n * k))))
    rows = -(-m // 16) * 16
    one = torch.ones((), device=DEVICE)
    weights = [(torch.randn(2 * n, k, device=DEVICE)).to(torch.float8_e4m3fn) for _ in range(sets)]
    a = torch.randn(rows, k, device=DEVICE).to(torch.float8_e4m3fn)
    y = torch.empty(rows, n, device=DEVICE, dtype=torch.float16)

    def call(w):
        x = torch._scaled_mm(a, w.t(), one, one, out_dtype=torch.float16, use_fast_accum=True)
        silu_mul(x, y)

    return timed([lambda w=w: call(w) for w in weights])


def copy_bandwidth():
    a = torch.randn(1 << 29, device=DEVICE)
    b = torch.empty_like(a)
    return 8 * a.numel() / timed([lambda: torch.mul(a, 1.5, out=b)], 5)[1] / 1e6


def main():
    shapes = [tuple(map(int, text.split(","))) for text in sys.argv[1:]]
    if not shapes:
        shapes = [(m, 4096, 7168) for m in (1, 4, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)]
        shapes += [(256, 3072, 4096), (512, 3072, 7168)]
    print(torch.cuda.get_device_name(), "torch", torch.__version__)
    print(f"copy bandwidth {copy_bandwidth():.3f} TB/s, bytes read and written")
    rows = []
    for m, n, k in shapes:
        half, eight = fp16(m, n, k), fp8(m, n, k)
        print(f"{m:>5} {n:>5} {k:>5}  fp16 {half[1]:8.2f} ({half[0]:.2f}..{half[2]:.2f})"
              f"  fp8 {eight[1]:8.2f} ({eight[0]:.2f}..{eight[2]:.2f})", flush=True)
        rows.append({"m": m, "n": n, "k": k, "fp16": half, "fp8": eight})
    with open("peers.json", "w") as file:
        json.dump(rows, file)


main()
