#!/usr/bin/env python3
"""Compiles this folder's Triton kernels ahead of time and writes what runs them without a GPU.

For every case a folder: the inputs, and the outputs that NumPy expects with the tolerance and its
reason. In it one folder for each target: the PTX exactly as Triton emits it, and a launch file.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

# Line tables would carry this machine's paths into the PTX.
os.environ["TRITON_DISABLE_LINE_INFO"] = "1"
# The default of this version, said aloud: multiplications and additions may be contracted.
os.environ["TRITON_DEFAULT_FP_FUSION"] = "1"
os.environ["TRITON_CACHE_DIR"] = tempfile.mkdtemp(prefix="triton-cache-")

import numpy as np  # noqa: E402
import triton  # noqa: E402
from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.compiler import ASTSource  # noqa: E402
from triton.experimental.gluon._runtime import GluonASTSource, GluonJITFunction  # noqa: E402

import families  # noqa: E402,F401  (fills CASES)
from case import CASES, Buffer, Const, Descriptor, Exact, Scalar  # noqa: E402

HERE = Path(__file__).resolve().parent

# How the launch file writes a number: by size, all of ours are positive.
SCALARS = {"i8": "u8", "i32": "u32", "i64": "u64", "fp32": "f32"}

SWIZZLES = ["NONE", "32B", "64B", "128B"]

# Triton numbers the element types of tensor maps as the device does, not as the host's enum.
ELEMENTS = {
    0: "UINT8", 1: "UINT16", 2: "UINT32", 3: "INT32", 4: "UINT64", 5: "INT64", 6: "FLOAT16",
    7: "FLOAT32", 8: "FLOAT32_FTZ", 9: "FLOAT64", 10: "BFLOAT16", 11: "TFLOAT32",
    13: "16U4_ALIGN8B", 14: "16U4_ALIGN16B", 15: "16U6_ALIGN16B",
}

# How the judge reads an output's bytes.
OUTPUTS = {
    "fp32": "f32", "fp16": "f16", "bf16": "bf16", "i32": "i32", "u32": "u32", "i64": "i64",
    "i16": "i16", "u8": "u8", "i8": "u8", "fp8e4nv": "u8", "fp8e5": "u8",
}


def buffers_of(case):
    """All buffers of a case by name."""
    buffers = dict(case.buffers)
    for launch in case.launches:
        buffers.update({n: a for n, a in launch.args.items() if isinstance(a, Buffer)})
    return buffers


def source(launch, buffers):
    """What Triton compiles: the kernel with its arguments' types, constants and alignments."""
    names = launch.kernel.arg_names
    if list(launch.args) != names:
        sys.exit(f"{launch.kernel.__name__}: arguments are {names}, given {list(launch.args)}")
    signature, constants, attributes = {}, {}, {}
    for index, (name, arg) in enumerate(launch.args.items()):
        arg = buffers[arg] if isinstance(arg, str) else arg
        if isinstance(arg, Const):
            signature[name] = "constexpr"
            constants[name] = arg.value
        elif isinstance(arg, Buffer):
            signature[name] = f"*{arg.kind}"
            attributes[(index,)] = [["tt.divisibility", 16]]
        elif isinstance(arg, Descriptor):
            block = ",".join(str(b) for b in arg.block)
            layout = f",{arg.layout!r}" if arg.layout else ""
            signature[name] = f"tensordesc<{buffers[arg.buffer].kind}[{block}]{layout}>"
        else:
            signature[name] = arg.kind
            if arg.divisible:
                attributes[(index,)] = [["tt.divisibility", 16]]
    kind = GluonASTSource if isinstance(launch.kernel, GluonJITFunction) else ASTSource
    return kind(launch.kernel, signature, constants, attributes)


def tensor_map(descriptor, meta):
    """The tensor map that Triton's own launcher would encode for a host-side descriptor."""
    shape = list(descriptor.shape)
    size = meta["elem_size"]
    strides = [size * int(np.prod(descriptor.shape[i + 1:])) for i in range(len(shape) - 1)]
    if meta["fp4_padded"]:
        shape[-1] *= 2
    return {
        "buffer": descriptor.buffer,
        "type": ELEMENTS[meta["elem_type"]],
        "dims": shape[::-1],
        "strides": strides[::-1],
        "box": list(meta["block_size"])[::-1],
        "element_strides": [1] * len(shape),
        "interleave": "NONE",
        "swizzle": SWIZZLES[meta["swizzle"]],
        "l2_promotion": "L2_128B",
        "oob_fill": "NAN_REQUEST_ZERO_FMA" if descriptor.padding == "nan" else "NONE",
    }


def parameters(launch, metadata, scratch):
    """The entry's parameters in order: the arguments, then Triton's two scratch pointers."""
    params = []
    metas = iter(metadata.tensordesc_meta or [])
    for name, arg in launch.args.items():
        if isinstance(arg, str):
            params.append({"buffer": arg})
        elif isinstance(arg, Buffer):
            params.append({"buffer": name})
        elif isinstance(arg, Scalar):
            params.append({SCALARS[arg.kind]: arg.value})
        elif isinstance(arg, Descriptor):
            params.append({"tensor_map": tensor_map(arg, next(metas))})
            params += [{"u32": n} for n in arg.shape]
            params += [{"u64": int(np.prod(arg.shape[i + 1:]))} for i in range(len(arg.shape))]
    params.append({"buffer": scratch} if scratch else {"u64": 0})
    params.append({"u64": 0})
    return params


def write_case(entry, folder):
    """Writes one case's folder: its data, then its programs."""
    case = entry.make()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    expected = {}
    for name, buffer in buffers_of(case).items():
        if buffer.data is not None:
            (folder / f"{name}.bin").write_bytes(np.ascontiguousarray(buffer.data).tobytes())
        if buffer.expected is not None:
            file = f"{name}.expected.bin"
            (folder / file).write_bytes(np.ascontiguousarray(buffer.expected).tobytes())
            judged = buffer.judged
            bounds = (0.0, 0.0) if isinstance(judged, Exact) else (judged.rtol, judged.atol)
            expected[name] = {"file": file, "type": OUTPUTS[buffer.kind], "rtol": bounds[0],
                              "atol": bounds[1], "why": judged.why}
    write_json(folder / "expected.json", expected)
    for capability in entry.targets:
        write_program(case, capability, folder / f"sm{capability}")


def write_program(case, capability, folder):
    """Compiles a case for one target; writes its PTX and its launch file."""
    folder.mkdir()
    buffers = buffers_of(case)
    modules, launches, sections = {}, [], {}
    for name, buffer in buffers.items():
        sections[name] = {"bytes": buffer.bytes, "align": 256}
        if buffer.data is not None:
            sections[name]["file"] = f"../{name}.bin"
    for number, launch in enumerate(case.launches):
        options = {
            "num_warps": launch.num_warps, "num_stages": launch.num_stages,
            "num_ctas": launch.num_ctas, **launch.options,
        }
        compiled = triton.compile(
            source(launch, buffers), target=GPUTarget("cuda", capability, 32), options=options)
        meta = compiled.metadata
        if meta.profile_scratch_size:
            raise RuntimeError("the kernel asks for profiling memory")
        module = "kernel" if len(case.launches) == 1 else f"kernel{number}"
        modules[module] = f"{module}.ptx"
        (folder / modules[module]).write_text(compiled.asm["ptx"])
        grid = list(launch.grid) + [1] * (3 - len(launch.grid))
        scratch = None
        if meta.global_scratch_size:
            scratch = f"{module}_scratch"
            sections[scratch] = {
                "bytes": meta.global_scratch_size * int(np.prod(grid)) * meta.num_ctas,
                "align": max(meta.global_scratch_align, 16),
            }
        description = {
            "module": module,
            "entry": meta.name,
            "grid": [grid[0] * meta.num_ctas, grid[1], grid[2]],
            # For a warp-specialised kernel Triton raises the number after compiling.
            "block": [32 * meta.num_warps, 1, 1],
        }
        if meta.num_ctas > 1:
            description["cluster"] = [meta.num_ctas, 1, 1]
        description["dynamic_shared"] = meta.shared
        description["params"] = parameters(launch, meta, scratch)
        launches.append(description)
        print(f"{folder.parent.name} {folder.name}: {launch.kernel.__name__}, "
              f"{meta.num_warps} warps, {meta.shared} bytes of shared memory", flush=True)
    write_json(folder / "launch.json", {
        "target": f"sm_{capability}a", "modules": modules, "buffers": sections,
        "launches": launches,
        "outputs": {n: f"{n}.out.bin" for n, b in buffers.items() if b.expected is not None},
        "seed": 1,
    })


def write_json(path, value):
    """JSON in which a list or an object without further nesting stands on one line."""

    def flat(item):
        inside = item.values() if isinstance(item, dict) else item
        return not any(isinstance(i, (dict, list)) for i in inside)

    def text(item, indent):
        if not isinstance(item, (dict, list)) or (flat(item) and indent):
            return json.dumps(item)
        space = "  " * (indent + 1)
        if isinstance(item, dict):
            lines = [f"{space}{json.dumps(k)}: {text(v, indent + 1)}" for k, v in item.items()]
        else:
            lines = [space + text(i, indent + 1) for i in item]
        opening, closing = "{}" if isinstance(item, dict) else "[]"
        return f"{opening}\n" + ",\n".join(lines) + f"\n{'  ' * indent}{closing}"

    path.write_text(text(value, 0) + "\n")


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE",
                        help="names of cases; without any, all are made")
    parser.add_argument("--into", type=Path, default=HERE, metavar="FOLDER",
                        help="where the case folders go (default: beside this script)")
    parser.add_argument("--list", action="store_true", help="print cases and targets, and exit")
    arguments = parser.parse_args()
    unknown = set(arguments.cases) - {entry.name for entry in CASES}
    if unknown:
        parser.error(f"no case is called {', '.join(sorted(unknown))}; --list prints them")
    failed = []
    for entry in CASES:
        if arguments.list:
            print(entry.name, *(f"sm{t}" for t in entry.targets))
        elif not arguments.cases or entry.name in arguments.cases:
            try:
                write_case(entry, arguments.into / entry.name)
            except Exception as error:  # the others are still worth having
                failed.append(entry.name)
                print(f"{entry.name}: {type(error).__name__}: {error}", file=sys.stderr)
    shutil.rmtree(os.environ["TRITON_CACHE_DIR"], ignore_errors=True)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
