"""Compiles kernels/*.cu with NVRTC, without a GPU, and writes a folder for each case: inputs, what NumPy
expects, PTX and launch file. Nothing changes if nothing changed."""

import json
import shutil
from pathlib import Path

import numpy as np
import nvidia
from cuda.bindings import nvrtc

from formats import bf16_bits, e4m3_codes, e4m3_values

HERE = Path(__file__).parent
TARGETS = {"sm90": "sm_90a", "sm100": "sm_100a"}


def check(answer):
    status, *rest = answer
    if int(status):
        raise SystemExit(f"NVRTC: {status.name}")
    return rest[0] if rest else None


def ptx(source, target):
    include = Path(next(iter(nvidia.__path__))) / "cu13" / "include"
    program = check(nvrtc.nvrtcCreateProgram((HERE / "kernels" / source).read_bytes(), source.encode(),
                                             0, [], []))
    options = [f"--gpu-architecture={target.replace('sm_', 'compute_')}", "--std=c++17",
               f"-I{include}", f"-I{include}/cccl", "--device-as-default-execution-space"]
    status, = nvrtc.nvrtcCompileProgram(program, len(options), [o.encode() for o in options])
    if int(status):
        log = b" " * check(nvrtc.nvrtcGetProgramLogSize(program))
        nvrtc.nvrtcGetProgramLog(program, log)
        raise SystemExit(f"{source}: {log.decode()}")
    text = b" " * check(nvrtc.nvrtcGetPTXSize(program))
    check(nvrtc.nvrtcGetPTX(program, text))
    return text.rstrip(b"\0")


class Case:
    """A kernel, its launch and its arguments in order: ("in", array), ("out", expected array) or
    ("inout", before, after), or an int. Every result is an integer or rounded once: exact."""

    def __init__(self, name, source, grid, block, args):
        self.name, self.source, self.grid, self.block, self.args = name, source, grid, block, args


def write(case):
    folder = HERE / case.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    buffers, params, outputs = {}, [], {}
    for index, arg in enumerate(case.args):
        if isinstance(arg, int):
            params.append({"u32": arg})
            continue
        name, kind, arrays = f"p{index}", arg[0], arg[1:]
        buffers[name] = {"bytes": arrays[0].nbytes}
        if kind != "out":
            buffers[name]["file"] = f"../{name}.bin"
            arrays[0].tofile(folder / f"{name}.bin")
        params.append({"buffer": name})
        if kind != "in":
            want = arrays[-1]
            want.tofile(folder / f"{name}.expected.bin")
            outputs[name] = f"{name}.out.bin"
    for short, target in TARGETS.items():
        (folder / short).mkdir()
        launch = {"target": target, "modules": {"m": f"../../{case.source}.{short}.ptx"},
                  "buffers": buffers,
                  "launches": [{"module": "m", "entry": case.name, "grid": case.grid,
                                "block": case.block, "params": params}],
                  "outputs": outputs, "seed": 1}
        (folder / short / "launch.json").write_text(json.dumps(launch, indent=2) + "\n")


def cases():
    rng = np.random.default_rng(7)
    ints = lambda n, low=-1000, high=1000: rng.integers(low, high, n, dtype=np.int32)

    n, x = 300, ints(300)
    parts = [x[i:i + 128] for i in range(0, n, 128)]
    sums = np.array([p.sum() for p in parts], np.int32)
    prefix = np.concatenate([np.cumsum(p) - p for p in parts]).astype(np.int32)
    yield Case("reduce_scan", "blocks", [3, 1, 1], [128, 1, 1],
               [("in", x), ("out", sums), ("out", prefix), n])

    x = rng.integers(0, 2**32, 512, dtype=np.uint32)
    yield Case("sort", "blocks", [1, 1, 1], [128, 1, 1], [("in", x), ("out", np.sort(x))])

    x = rng.integers(0, 256, 5000, dtype=np.uint8)
    bins = np.bincount(x & 63, minlength=64).astype(np.int32)
    yield Case("histogram", "blocks", [4, 1, 1], [96, 1, 1],
               [("in", x), ("inout", np.zeros(64, np.int32), bins), 5000])

    x = ints(5 * 128)
    rows = x.reshape(5, 128)[:, ::-1] * np.arange(1, 6, dtype=np.int32)[:, None]
    yield Case("pipelined", "copies", [1, 1, 1], [128, 1, 1],
               [("in", x), ("out", rows.sum(0).astype(np.int32)), 5])

    x = ints(3 * 256)
    yield Case("bulk", "copies", [3, 1, 1], [64, 1, 1], [("in", x), ("out", x * 3 + 1)])

    x = ints(128)
    eights = x.reshape(-1, 8)
    tops = np.maximum.accumulate(eights, 1)
    before = np.concatenate([np.full((16, 1), 0, np.int32), tops[:, :-1]], 1)
    odd = np.zeros(128, np.uint32)
    for warp in range(4):
        those = [i for i in range(32 * warp, 32 * warp + 32) if x[i] & 1]
        for rank, i in enumerate(those):
            odd[i] = len(those) * 100 + rank
    yield Case("tiles", "groups", [2, 1, 1], [64, 1, 1],
               [("in", x), ("out", np.repeat(eights.sum(1), 8).astype(np.int32)),
                ("out", before.ravel().astype(np.int32)), ("out", odd)])

    x = ints(8 * 64)
    blocks = x.reshape(2, 4, 64)[:, :, ::-1]
    ring = sum(np.roll(blocks, -step, 1) * (step + 1) for step in range(4))
    yield Case("ring", "groups", [8, 1, 1], [64, 1, 1],
               [("in", x), ("out", ring.ravel().astype(np.int32))])

    a, b = (rng.integers(-4, 5, s).astype(np.float16) for s in [(32, 64), (64, 64)])
    c = a.astype(np.float32) @ b.astype(np.float32).T
    yield Case("matrices", "groups", [2, 2, 1], [64, 1, 1],
               [("in", a.ravel()), ("in", b.ravel()), ("out", c.ravel()), 64])

    x = rng.integers(0, 10000, 64, dtype=np.int32)
    chosen = [lambda v: v + 7, lambda v: v * 5, lambda v: v ^ 0x55, lambda v: -v, lambda v: v << 3,
              lambda v: v // 3, lambda v: v % 11]
    out = []
    for at, v in enumerate(map(int, x)):
        heap = [0] * 16
        for i in range(16):
            heap[(i * 5 + v) & 15] = chosen[(i + at) % 7](v + i)
        out.append(at + heap[v & 15] * 1000)
    yield Case("calls", "language", [1, 1, 1], [64, 1, 1],
               [("in", x), ("out", np.array(out).astype(np.int32))])

    x = rng.integers(-2**62, 2**62, 64, dtype=np.int64)
    high, quotient, roots = [], [], []
    for a, b in x.reshape(-1, 2).tolist():
        ua, ub, d = a % 2**64, b % 2**64, b | 1
        q = abs(a) // abs(d) * (1 if (a < 0) == (d < 0) else -1)
        leading = 64 - ub.bit_length()
        first = ((ua ^ ub) & -(ua ^ ub)).bit_length()
        high.append((ua * ub >> 64) + ua.bit_count() + leading + first)
        quotient.append(q + a - q * d)
        roots.append(np.sqrt(np.float64(a & 0xFFFFFF)) / np.float64((b & 0xFF) + 1))
    yield Case("wide", "language", [1, 1, 1], [32, 1, 1],
               [("in", x), ("out", np.array(high, np.uint64)), ("out", np.array(quotient, np.int64)),
                ("out", np.array(roots))])

    x = (rng.standard_normal(64) * 2.0 ** rng.integers(-12, 10, 64)).astype(np.float32)
    codes, bits = e4m3_codes(x), bf16_bits(x)
    back = e4m3_values(codes) + (bits.astype(np.uint32) << 16).view(np.float32)
    yield Case("formats", "language", [1, 1, 1], [64, 1, 1],
               [("in", x), ("out", codes), ("out", bits), ("out", back)])


def main():
    for source in sorted(path.stem for path in (HERE / "kernels").glob("*.cu")):
        for short, target in TARGETS.items():
            (HERE / f"{source}.{short}.ptx").write_bytes(ptx(f"{source}.cu", target))
    for case in cases():
        write(case)


if __name__ == "__main__":
    main()
