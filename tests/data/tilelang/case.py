"""Lowers a TileLang program without a GPU and writes its folder: PTX, launch file, inputs, expectations."""

import json
import re
import subprocess
import tempfile
from pathlib import Path

import nvidia
import tilelang
from tilelang import tvm

HERE = Path(__file__).parent
CUDA = Path(next(iter(nvidia.__path__))) / "cu13"
TEMPLATES = Path(tilelang.__file__).parent
TYPES = ["UINT8", "UINT16", "UINT32", "INT32", "UINT64", "INT64", "FLOAT16", "FLOAT32", "FLOAT64", "BFLOAT16",
         "FLOAT32_FTZ", "TFLOAT32", "TFLOAT32_FTZ", "16U4_ALIGN8B", "16U4_ALIGN16B", "16U6_ALIGN16B"]
INTERLEAVES = ["NONE", "16B", "32B"]
SWIZZLES = ["NONE", "32B", "64B", "128B", "128B_ATOM_32B"]
FILLS = ["NONE", "NAN_REQUEST_ZERO_FMA"]


class Case:
    """A program, its targets and its buffers in order: `("in", array)`, `("out", expected)` or
    `("inout", before, after)`. `tolerance` is (relative, absolute), for outputs of 32-bit floats."""

    def __init__(self, name, program, buffers, targets=("sm90", "sm100"), tolerance=None):
        self.name, self.program, self.buffers = name, program, buffers
        self.targets, self.tolerance = targets, tolerance


def calls(text, name):
    """The arguments of each packed call of that name in a printed module, up to the closing bracket."""
    for found in re.finditer(rf'call_packed\("{name}", ', text):
        depth, start, args, at = 0, found.end(), [], found.end()
        while depth >= 0:
            char = text[at]
            depth += (char in "([") - (char in ")]")
            if depth < 0 or char == "," and depth == 0:
                args.append(text[start:at].strip())
                start = at + 1
            at += 1
        yield args


def number(text):
    return int(re.sub(r"T\.(u?int\d+)\((.*)\)", r"\2", text))


def tensor_map(args):
    """`__tvm_tensormap_create_tiled` as a launch file has it."""
    kind, rank, base, rest = number(args[1]), number(args[2]), args[3], [number(a) for a in args[4:]]
    take = lambda n: [rest.pop(0) for _ in range(n)]
    dims, strides, box, steps = take(rank), take(rank), take(rank), take(rank)
    interleave, swizzle, _, fill = rest
    return base, {"type": TYPES[kind], "dims": dims, "strides": strides[1:], "box": box, "element_strides": steps,
                  "interleave": INTERLEAVES[interleave], "swizzle": SWIZZLES[swizzle], "l2_promotion": "NONE",
                  "oob_fill": FILLS[fill]}


def compile_ptx(source, arch):
    options = ["-std=c++17", "-O3", "-w", f"-arch={arch}", f"-I{TEMPLATES}/src", f"-I{TEMPLATES}/3rdparty/cutlass/include",
               f"-I{CUDA}/include", f"-I{CUDA}/include/cccl", "--expt-relaxed-constexpr"]
    path = Path(tempfile.mkdtemp()) / "kernel.cu"
    path.write_text(source)
    run = subprocess.run([CUDA / "bin" / "nvcc", "-ptx", *options, path, "-o", path.with_suffix(".ptx")],
                         capture_output=True, text=True)
    if run.returncode:
        raise RuntimeError(run.stderr)
    return path.with_suffix(".ptx").read_bytes()


def write(case, root=HERE):
    folder = root / case.name
    folder.mkdir(exist_ok=True, parents=True)
    names, buffers, outputs = [], {}, {}
    for index, (kind, *arrays) in enumerate(case.buffers):
        name = f"p{index}"
        names.append(name)
        buffers[name] = {"bytes": arrays[0].nbytes}
        if kind != "out":
            buffers[name]["file"] = f"../{name}.bin"
            arrays[0].tofile(folder / f"{name}.bin")
        if kind != "in":
            arrays[-1].tofile(folder / f"{name}.expected.bin")
            outputs[name] = f"{name}.out.bin"
    if case.tolerance:
        (folder / "tolerance.json").write_text(json.dumps(case.tolerance) + "\n")
    for short in case.targets:
        arch = {"sm90": "sm_90a", "sm100": "sm_100a"}[short]
        target = tvm.target.Target({"kind": "cuda", "arch": arch})
        with target:
            lowered = tilelang.lower(case.program, target=target, enable_device_compile=False)
        host, device = str(lowered.host_mod), str(lowered.device_mod)
        arguments = re.findall(r"assert not T\.isnullptr\((\w+)_handle\)|main_(\w+)_is_null: T\.bool", host)
        order = [a or b for a, b in arguments]
        of = dict(zip(order, names))
        maps = {args[0]: tensor_map(args) for args in calls(host, "__tvm_tensormap_create_tiled")}
        launches = []
        for kernel in re.findall(r"def (\w+)\(", device):
            for args in calls(host, kernel):
                signature = re.search(rf"def {kernel}\((.*?)\):", device).group(1)
                formals = [part.split(":")[0].strip() for part in re.split(r",\s*(?=\w+:)", signature)]
                params = []
                for arg in args[:len(formals)]:
                    if arg in maps:
                        base, spec = maps[arg]
                        params.append({"tensor_map": {"buffer": of[base], "offset": 0, **spec}})
                    else:
                        params.append({"buffer": of[re.sub(r"_\d+$", "", arg)]})
                launch = {"module": "m", "entry": kernel, "grid": [1, 1, 1], "block": [1, 1, 1], "params": params}
                order_of_tags = re.search(r'"thread_extent": \{(.*?)\}', device).group(1)
                tags = re.findall(r'"(\w+\.\w)": (\d+)', order_of_tags)
                for tag, size in tags:
                    which = "grid" if tag.startswith("block") else "block"
                    launch[which]["xyz".index(tag[-1])] = int(size)
                shared = re.search(r'"dyn_shared_memory_buf": (\d+)', device)
                if shared:
                    launch["dynamic_shared"] = int(shared.group(1))
                cluster = re.search(r'"cluster_dims": \[?\(?([\d, ]+)', device)
                if cluster:
                    launch["cluster"] = [int(n) for n in cluster.group(1).split(",")[:3]]
                launches.append(launch)
        (folder / short).mkdir(exist_ok=True)
        (folder / short / "kernel.ptx").write_bytes(compile_ptx(lowered.kernel_source, arch))
        file = {"target": arch, "modules": {"m": "kernel.ptx"}, "buffers": buffers, "launches": launches,
                "outputs": outputs, "seed": 1}
        (folder / short / "launch.json").write_text(json.dumps(file, indent=1) + "\n")
