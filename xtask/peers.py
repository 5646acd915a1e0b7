"""What others take for the same task on the same machine: microseconds per call, CUDA graphs, several
weight sets, medians. Needs PyTorch and Triton.

  python3 xtask/peers.py [--json FILE] [M,N,K ...]

  torch fp16    one GEMM on weights dequantised beforehand, then a fused silu and multiplication
  torch fp8     the same by torch._scaled_mm
  torch int4    the same by torch's W4A16 kernel (tinygemm: groups of 32 with bf16 scales), up to M = 128
  Triton W4A16  gate and up in one kernel that decodes e2m1 and e4m3 scales itself, tuned per M
"""

import argparse
import json
import statistics

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
    tl.store(y + row * n + at, (gate * tl.sigmoid(gate) * up).to(y.dtype.element_ty), inside)


def silu_mul(x, y):
    m, n = y.shape
    silu_mul_kernel[(m, triton.cdiv(n, 1024))](x, y, n, BLOCK=1024)


@triton.jit
def decoded(w, sf, rows, k, k0, K: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    """A [BN, BK] tile of weights as f16: value = code * scale."""
    half = tl.arange(0, BK // 2)
    packed = tl.load(w + rows[:, None] * (K // 2) + k0 // 2 + half[None, :]).to(tl.int16)
    codes = tl.join(packed & 15, packed >> 4 & 15).reshape(BN, BK)
    # e2m1's exponent and mantissa at f16's place are the value times 2^-14.
    bits = (codes & 8) << 12 | (codes & 7) << 9
    values = bits.to(tl.float16, bitcast=True) * 16384.0
    blocks = tl.arange(0, BK // 16)
    scales = tl.load(sf + rows[:, None] * (K // 16) + k0 // 16 + blocks[None, :])
    scales = scales.to(tl.float8e4nv, bitcast=True).to(tl.float16)
    return (values.reshape(BN, BK // 16, 16) * scales[:, :, None]).to(tl.float16).reshape(BN, BK)


def configs():
    for bm, bn, bk, warps, stages in [
        (16, 32, 128, 4, 4), (16, 32, 256, 4, 3), (16, 32, 256, 8, 4), (16, 64, 128, 4, 4),
        (32, 32, 128, 4, 4), (32, 32, 256, 8, 3), (64, 32, 128, 4, 3), (64, 64, 128, 4, 3),
        (128, 32, 128, 4, 3), (128, 64, 64, 4, 3), (128, 64, 64, 8, 3), (128, 128, 64, 8, 3),
    ]:
        yield triton.Config({"BM": bm, "BN": bn, "BK": bk}, num_warps=warps, num_stages=stages)


def fitting(configs, args, **kwargs):
    """Tiles that M fills at least half."""
    return [c for c in configs if c.kwargs["BM"] <= max(16, 2 * triton.next_power_of_2(args["m"]))]


@triton.autotune(list(configs()), key=["m", "n", "K"], prune_configs_by={"early_config_prune": fitting})
@triton.jit
def dual_kernel(a, w1, w2, sf1, sf2, y, m, n, alpha1, alpha2, K: tl.constexpr,
                BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    tokens = tl.program_id(0) * BM + tl.arange(0, BM)
    rows = tl.program_id(1) * BN + tl.arange(0, BN)
    inside = tokens < m
    gate = tl.zeros((BM, BN), tl.float32)
    up = tl.zeros((BM, BN), tl.float32)
    at = tl.arange(0, BK)
    for k0 in range(0, K, BK):
        x = tl.load(a + tokens[:, None] * K + k0 + at[None, :], inside[:, None], 0.0)
        gate = tl.dot(x, decoded(w1, sf1, rows, K, k0, K, BN, BK).T, gate)
        up = tl.dot(x, decoded(w2, sf2, rows, K, k0, K, BN, BK).T, up)
    gate *= alpha1
    out = gate * tl.sigmoid(gate) * up * alpha2
    tl.store(y + tokens[:, None] * n + rows[None, :], out.to(tl.float16), inside[:, None])


def timed(calls, replays=20):
    """The 10th percentile, the median and the 90th percentile of one call."""
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


def sets_of(weight_bytes):
    return range(min(24, max(3, -(-FOOTPRINT // weight_bytes))))


def fp16(m, n, k):
    weights = [torch.randn(2 * n, k, device=DEVICE).half() * 0.02 for _ in sets_of(4 * n * k)]
    a = torch.randn(m, k, device=DEVICE).half()
    x = torch.empty(m, 2 * n, device=DEVICE, dtype=torch.float16)
    y = torch.empty(m, n, device=DEVICE, dtype=torch.float16)

    def call(w):
        torch.mm(a, w.t(), out=x)
        silu_mul(x, y)

    return timed([lambda w=w: call(w) for w in weights])


def fp8(m, n, k):
    rows = -(-m // 16) * 16
    one = torch.ones((), device=DEVICE)
    weights = [(torch.randn(2 * n, k, device=DEVICE)).to(torch.float8_e4m3fn)
               for _ in sets_of(2 * n * k)]
    a = torch.randn(rows, k, device=DEVICE).to(torch.float8_e4m3fn)
    y = torch.empty(rows, n, device=DEVICE, dtype=torch.float16)

    def call(w):
        x = torch._scaled_mm(a, w.t(), one, one, out_dtype=torch.float16, use_fast_accum=True)
        silu_mul(x, y)

    return timed([lambda w=w: call(w) for w in weights])


def int4(m, n, k):
    if m > 128:
        return None
    a = torch.randn(m, k, device=DEVICE, dtype=torch.bfloat16)
    y = torch.empty(m, n, device=DEVICE, dtype=torch.bfloat16)
    weights = []
    for _ in sets_of(n * k):
        packed = torch.randint(0, 256, (2 * n, k // 2), device=DEVICE, dtype=torch.uint8)
        scales = torch.rand(k // 32, 2 * n, 2, device=DEVICE).to(torch.bfloat16)
        weights.append((torch.ops.aten._convert_weight_to_int4pack(packed, 8), scales))

    def call(w, scales):
        silu_mul(torch.ops.aten._weight_int4pack_mm(a, w, 32, scales), y)

    return timed([lambda w=w: call(*w) for w in weights])


def decode(packed, scales):
    """What the Triton kernel's weights stand for, in f32."""
    table = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6], device=DEVICE)
    codes = torch.stack([packed & 15, packed >> 4], -1).flatten(1).long()
    values = table[codes & 7] * torch.where(codes >= 8, -1.0, 1.0)
    return values * scales.view(torch.float8_e4m3fn).float().repeat_interleave(16, 1)


def triton_w4a16(m, n, k):
    a = torch.randn(m, k, device=DEVICE).half()
    y = torch.empty(m, n, device=DEVICE, dtype=torch.float16)

    def bytes_(rows, columns, low, high):
        return torch.randint(low, high, (rows, columns), device=DEVICE, dtype=torch.uint8)

    weights = [(bytes_(n, k // 2, 0, 256), bytes_(n, k // 2, 0, 256),
                bytes_(n, k // 16, 0x20, 0x38), bytes_(n, k // 16, 0x20, 0x38))
               for _ in sets_of(n * k * 9 // 8)]

    def call(w1, w2, sf1, sf2):
        grid = lambda c: (triton.cdiv(m, c["BM"]), n // c["BN"])
        dual_kernel[grid](a, w1, w2, sf1, sf2, y, m, n, 0.01, 0.02, k)

    call(*weights[0])
    w1, w2, sf1, sf2 = weights[0]
    gate = a.float() @ decode(w1, sf1).T * 0.01
    want = torch.nn.functional.silu(gate) * (a.float() @ decode(w2, sf2).T) * 0.02
    torch.testing.assert_close(y.float(), want, rtol=1e-2, atol=1e-2 * want.abs().max().item())
    times = timed([lambda w=w: call(*w) for w in weights])
    return times, str(dual_kernel.best_config)


def copy_bandwidth():
    a = torch.randn(1 << 29, device=DEVICE)
    b = torch.empty_like(a)
    return 8 * a.numel() / timed([lambda: torch.mul(a, 1.5, out=b)], 5)[1] / 1e6


PEERS = {"torch fp16": fp16, "torch fp8": fp8, "torch int4": int4, "Triton W4A16": triton_w4a16}
LAYER = [(m, 4096, 7168) for m in (1, 4, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)]
CONTEST = [(256, 3072, 4096), (512, 3072, 7168), (1536, 512, 7168), (256, 512, 256),
           (3072, 1024, 1536), (7168, 1024, 256), (7168, 2304, 2048), (4608, 384, 7168),
           (7168, 384, 2304), (512, 768, 7168), (4096, 768, 512)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("shapes", nargs="*", metavar="M,N,K")
    parser.add_argument("--json", metavar="FILE", help="also write the times to this file")
    parser.add_argument("--only", action="append", choices=list(PEERS), help="may be repeated")
    options = parser.parse_args()
    shapes = [tuple(map(int, text.split(","))) for text in options.shapes] or LAYER + CONTEST
    bandwidth = copy_bandwidth()
    print(torch.cuda.get_device_name(), "torch", torch.__version__, "triton", triton.__version__)
    print(f"copy bandwidth {bandwidth:.3f} TB/s, bytes read and written")
    rows = []
    for m, n, k in shapes:
        line = f"{m:>5} {n:>5} {k:>5}"
        for who, measure in PEERS.items():
            if options.only and who not in options.only:
                continue
            times = measure(m, n, k)
            if times is None:
                continue
            plan = None
            if isinstance(times, tuple):
                times, plan = times
            low, median, high = times
            line += f"  {who} {median:8.2f} ({low:.2f}..{high:.2f})"
            rows.append({"who": who, "m": m, "n": n, "k": k, "low_us": low, "median_us": median,
                         "high_us": high, **({"plan": plan} if plan else {})})
        print(line, flush=True)
    if options.json:
        device = torch.cuda.get_device_name()
        with open(options.json, "w") as file:
            json.dump({"device": device, "copy_tb_s": bandwidth, "rows": rows}, file, indent=1)


if __name__ == "__main__":
    main()
