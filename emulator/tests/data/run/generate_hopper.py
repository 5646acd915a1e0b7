"""More programs of Hopper's own instructions; see generate.py. Where the result is not worked out here,
it is what an H200 gave (answers.txt)."""

import generate_machine as machine
from generate import Program, SIZE, bits_of, fnv, lcg, pack, signed
from generate_machine import (ELEMENT, MBARRIER, OUT, SHARED, STORED, TID, copy_in, copy_out, load, place, product,
                              registers_of, simple, small, store_registers, swizzled, wait, wgmma)
from generate_probes import ANSWERS, answer, random_floats

DYNAMIC = SHARED.split("\n")[1]


def asked(name, title, body, count, ty="b32", threads=32, ins=(), declarations="", launch_more="", grid=1, directives="",
          init=None):
    """As `simple`, with the device's answer for `out`; `init` are words that `out` holds before."""
    p = Program(name, title)
    p.launch = f"{grid} 1 1 {threads} 1 1"
    for buffer, bty, words in ins:
        p.buffer(buffer, bty, len(words), "list", [w & (1 << 8 * SIZE[bty]) - 1 for w in words])
    if init is None:
        p.buffer("out", ty, count, "empty")
    else:
        p.buffer("out", ty, count, "list", init)
    answer(p, ty, count)
    p.params = [b for b, _, _ in ins] + ["out"]
    p.write(body, declarations, directives, launch_more=launch_more)


# ------------------------------------------------------------------------------------------- wgmma


def transposed(ty, n, width, ta, tb):
    """16-bit operands whose M or N lies along the rows of shared memory, with narrow swizzles."""
    name = f"wgmma_n{n}_f32_{ty}_w{width}{'_ta' if ta else ''}{'_tb' if tb else ''}"
    p = Program(name, f"wgmma m64n{n}k16 of {ty}, operands along M or N in rows of {width} bytes.")
    depth, per = 16, width // 2
    a = p.random("a", ty, 64 * depth, 3, *small(ty))
    b = p.random("b", ty, n * depth, 4, *small(ty))
    swizzle = width if width > 16 else 0
    layout = {128: 1, 64: 2, 32: 3, 16: 0}[width]

    def operand(which, rows, t):
        if t:  # [k][rows]: boxes of `per` columns, each 16 rows of `width` bytes
            p.map("m" + which, which, ty, [rows, depth], [rows * 2], [per, depth], swizzle)
            chunk, loads = width * depth, rows // per
            if width == 16:  # stride: from chunk to chunk along M; leading: from eight k to the next
                high = (chunk >> 4) << 32 | (8 * width >> 4) << 16
            else:
                high = layout << 62 | (8 * width >> 4) << 32 | (chunk >> 4) << 16
            return chunk, loads, high, per
        p.map("m" + which, which, ty, [depth, rows], [depth * 2], [depth, rows], 32)
        return rows * 32, 1, 3 << 62 | (256 >> 4) << 32 | 1 << 16, depth
    if ta:
        a = [a[x * 64 + i] for i in range(64) for x in range(depth)]
    if tb:
        b = [b[x * n + j] for j in range(n) for x in range(depth)]
    part_a, part_b = operand("a", 64, ta), operand("b", n, tb)
    d = product(a, b, 64, n, depth)
    base_b = -(-part_a[0] * part_a[1] // 1024) * 1024
    total = base_b + part_b[0] * part_b[1]
    p.launch = "1 1 1 128 1 1"
    body = ["    mov.u32 %r0, %tid.x;", MBARRIER,
            f"    @%p0 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r2], {part_a[0] * part_a[1] + part_b[0] * part_b[1]};",
            "    mov.b32 %r5, 0;"]
    for which, base, (each, loads, high, step), reg in (("ma", 0, part_a, "%rd20"), ("mb", base_b, part_b, "%rd30")):
        body.append(f"    mov.b64 %rd1, {which};\n    cvta.param.u64 %rd1, %rd1;")
        for i in range(loads):
            body.append(f"    add.u32 %r3, %r1, {base + each * i};\n    mov.b32 %r4, {step * i if loads > 1 else 0};\n"
                        "    @%p0 cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes\n"
                        "        [%r3], [%rd1, {%r4, %r5}], [%r2];")
        body += [f"    add.u32 %r3, %r1, {base};", "    shr.u32 %r3, %r3, 4;", f"    cvt.u64.u32 {reg}, %r3;",
                 f"    or.b64 {reg}, {reg}, 0x{high:016x};"]
    body.append(wait())
    body += [f"    mov.b32 %r{100 + j}, 0;" for j in range(n // 2)]
    regs = "{" + ", ".join(f"%r{100 + j}" for j in range(n // 2)) + "}"
    body += ["    wgmma.fence.sync.aligned;",
             f"    wgmma.mma_async.sync.aligned.m64n{n}k16.f32.{ty}.{ty}\n        {regs}, %rd20, %rd30, 0, 1, 1, {int(ta)}, {int(tb)};",
             "    wgmma.commit_group.sync.aligned;", "    wgmma.wait_group.sync.aligned 0;"]
    body += store_registers(100, n // 2)
    p.buffer("out", "b32", 64 * n, "empty")
    p.expect("out", "b32", registers_of(d, n // 2, 4, "f32"))
    p.params = [("ma",), ("mb",), "out"]
    p.write("\n".join(body), SHARED, launch_more=f"shared {total}")


def special(ty, seed, count):
    """Random bits; a few infinities and NaN, many subnormals."""
    e, f = {"f16": (5, 10), "bf16": (8, 7), "tf32": (8, 23), "e4m3": (4, 3), "e5m2": (5, 2)}[ty]
    raw = lcg(seed, 0, 65535, 3 * count)
    bias = (1 << e - 1) - 1
    out = []
    for i in range(count):
        kind, x, y = raw[3 * i : 3 * i + 3]
        fraction = (x << 16 | y) & ((1 << f) - 1)
        if kind % 100 < 3:
            field = (1 << e) - 1
            fraction = 0 if kind % 2 else fraction
        elif kind % 100 < 40:
            field = 0
        elif kind % 100 < 60:
            field = kind % 7
        else:
            field = bias - 6 + kind % 13
        out.append((kind >> 15) << (e + f) | max(field, 0) << f | fraction)
    return out


ACCUMULATORS = [0, 0x80000000, 0x7F800000, 0xFF800000, 0x7FC00001, 0x00000001, 0x7F7FFFFF, 0xFF7FFFFF, 0x3F800000, 0x33333333,
                0x80765432, 0x00800000]


def special_mma(ty, k, half=False):
    """mma.sync with whatever bits there are."""
    p = Program(f"special_mma_{ty}{'_f16' if half else ''}",
                f"mma.sync of {ty}: subnormals, infinities and NaN among the factors and in C.")
    size = ELEMENT[ty]
    stored = STORED.get(ty, ty)
    a, b = special(ty, 201, 16 * k), special(ty, 202, 8 * k)
    p.buffer("a", stored, len(a), "list", a)
    p.buffer("b", stored, len(b), "list", b)
    if half:
        c = [v << 16 | w for v, w in zip(special("f16", 203, 64), special("f16", 204, 64))]
    else:
        c = (ACCUMULATORS + random_floats("f32", 11, 52, -20, 20)) * 2
    p.buffer("c", "b32", len(c), "list", c)
    row, n_a, n_b, n_d = k * size, 16 * k * size // 128, 8 * k * size // 128, 2 if half else 4
    body = ["    mov.u32 %r0, %tid.x;", "    shr.u32 %r1, %r0, 2;", "    and.b32 %r2, %r0, 3;",
            "    shl.b32 %r2, %r2, 2;", f"    mad.lo.u32 %r3, %r1, {row}, %r2;",
            "    ld.param.u64 %rd1, [a];", "    ld.param.u64 %rd2, [b];", "    ld.param.u64 %rd4, [c];", "    cvt.u64.u32 %rd3, %r3;",
            "    add.u64 %rd1, %rd1, %rd3;", "    add.u64 %rd2, %rd2, %rd3;", f"    mad.wide.u32 %rd4, %r0, {4 * n_d}, %rd4;"]
    body += [f"    ld.global.b32 %r{10 + i}, [%rd1+{8 * (i % 2) * row + 16 * (i // 2)}];" for i in range(n_a)]
    body += [f"    ld.global.b32 %r{20 + i}, [%rd2+{16 * i}];" for i in range(n_b)]
    body += [f"    ld.global.b32 %r{40 + i}, [%rd4+{4 * i}];" for i in range(n_d)]
    group = lambda first, n: "{" + ", ".join(f"%r{first + i}" for i in range(n)) + "}"
    d_ty = "f16" if half else "f32"
    body.append(f"    mma.sync.aligned.m16n8k{k}.row.col.{d_ty}.{ty}.{ty}.{d_ty}\n"
                f"        {group(30, n_d)}, {group(10, n_a)}, {group(20, n_b)}, {group(40, n_d)};")
    body += store_registers(30, n_d)
    p.buffer("out", "b32", 32 * n_d, "empty")
    answer(p, "b32", 32 * n_d)
    p.params = ["a", "b", "c", "out"]
    p.write("\n".join(body))


def special_wgmma(ty, half=False):
    """wgmma with whatever bits there are, A in registers."""
    p = Program(f"special_wgmma_{ty}{'_f16' if half else ''}",
                f"wgmma of {ty}: subnormals, infinities and NaN among the factors and in D.")
    size = ELEMENT[ty]
    k, stored = 32 // size, STORED.get(ty, ty)
    a, b = special(ty, 211, 64 * k), special(ty, 212, 8 * k)
    n_d = 2 if half else 4
    p.launch = "1 1 1 128 1 1"
    p.buffer("a", stored, len(a), "list", a)
    p.buffer("b", stored, len(b), "list", b)
    if half:
        c = [v << 16 | w for v, w in zip(special("f16", 213, 256), special("f16", 214, 256))]
    else:
        c = ACCUMULATORS * 4 + random_floats("f32", 12, 464, -20, 20)
    p.buffer("c", "b32", len(c), "list", c)
    p.map("mb", "b", stored, [k, 8], [32], [k, 8], 32)
    body = ["    mov.u32 %r0, %tid.x;", MBARRIER, "    @%p0 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r2], 256;",
            "    mov.b32 %r4, 0;\n    mov.b64 %rd1, mb;\n    cvta.param.u64 %rd1, %rd1;",
            "    @%p0 cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes\n"
            "        [%r1], [%rd1, {%r4, %r4}], [%r2];", wait(),
            "    shr.u32 %r4, %r0, 5;", "    and.b32 %r5, %r0, 31;", "    shr.u32 %r6, %r5, 2;", "    mad.lo.u32 %r6, %r4, 16, %r6;",
            "    and.b32 %r7, %r5, 3;", "    shl.b32 %r7, %r7, 2;", "    mad.lo.u32 %r7, %r6, 32, %r7;",
            "    ld.param.u64 %rd1, [a];", "    cvt.u64.u32 %rd2, %r7;", "    add.u64 %rd1, %rd1, %rd2;"]
    body += [f"    ld.global.b32 %r{20 + i}, [%rd1+{256 * (i % 2) + 16 * (i // 2)}];" for i in range(4)]
    body += ["    ld.param.u64 %rd4, [c];", f"    mad.wide.u32 %rd4, %r0, {4 * n_d}, %rd4;"]
    body += [f"    ld.global.b32 %r{100 + i}, [%rd4+{4 * i}];" for i in range(n_d)]
    body += ["    shr.u32 %r3, %r1, 4;", "    cvt.u64.u32 %rd30, %r3;", "    or.b64 %rd30, %rd30, 0xc000001000010000;",
             "    wgmma.fence.sync.aligned;"]
    regs = "{" + ", ".join(f"%r{100 + j}" for j in range(n_d)) + "}"
    body += [f"    wgmma.mma_async.sync.aligned.m64n8k{k}.{'f16' if half else 'f32'}.{ty}.{ty}\n"
             f"        {regs}, {{%r20, %r21, %r22, %r23}}, %rd30, 1, 1, 1{', 0' if size == 2 else ''};",
             "    wgmma.commit_group.sync.aligned;", "    wgmma.wait_group.sync.aligned 0;"]
    body += store_registers(100, n_d)
    p.buffer("out", "b32", 128 * n_d, "empty")
    answer(p, "b32", 128 * n_d)
    p.params = [("mb",), "a", "c", "out"]
    p.write("\n".join(body), SHARED, launch_more="shared 1024")


def products():
    for n, ty in ((40, "bf16"), (48, "f16"), (56, "tf32"), (72, "e4m3"), (80, "e5m2"), (88, "bf16"), (96, "tf32"), (104, "f16"),
                  (112, "e4m3"), (120, "bf16"), (136, "tf32"), (144, "f16"), (152, "e5m2"), (160, "bf16"), (176, "tf32"), (200, "e4m3"),
                  (208, "f16"), (216, "bf16"), (224, "e5m2"), (232, "tf32"), (240, "f16"), (248, "bf16"), (256, "e4m3"), (256, "tf32"),
                  (256, "bf16")):
        wgmma(n, ty, ty, "f32")
    for n, ty in ((24, "s8"), (48, "u8"), (96, "s8"), (112, "u8"), (176, "s8"), (208, "u8"), (240, "s8")):
        wgmma(n, ty, ty, "s32")
    for n, ty in ((40, "f16"), (128, "f16"), (24, "e4m3"), (64, "e5m2"), (256, "e4m3")):
        wgmma(n, ty, ty, "f16")
    wgmma(256, "f16", "f16", "f32", 4, in_registers=True)
    wgmma(64, "tf32", "tf32", "f32", 4, neg=(-1, 1))
    wgmma(64, "e4m3", "e5m2", "f32", 4, neg=(1, -1), start=False)
    wgmma(32, "f16", "f16", "f16", 2, neg=(1, -1), start=False)
    wgmma(16, "e5m2", "e5m2", "f32", 4, in_registers=True, neg=(-1, 1))
    wgmma(64, "tf32", "tf32", "f32", 2, 16)
    wgmma(64, "s8", "s8", "s32", 2, 32)
    wgmma(64, "f16", "f16", "f32", 2, 16)
    for width in (16, 32, 64):
        transposed("f16", 64, width, True, True)
        transposed("bf16", 128, width, False, True)
        transposed("bf16", 32, width, True, False)
    for ty, k in (("f16", 16), ("bf16", 16), ("tf32", 8), ("e4m3", 32), ("e5m2", 32)):
        special_mma(ty, k)
        special_wgmma(ty)
    for ty, k in (("f16", 16), ("e4m3", 32), ("e5m2", 32)):
        special_mma(ty, k, True)
        special_wgmma(ty, True)


# ------------------------------------------------------------------------------------ tensor copies


def copies():
    load("2d_int32_negative", "Far outside on every side.", "b32", [32, 16], [16, 8], [-2147483648, 2147483647])
    load("2d_swizzle32_negative", "Swizzle 32, negative corner.", "b32", [32, 16], [8, 16], [-4, -5], 32)
    load("2d_swizzle64_negative", "Swizzle 64, negative corner.", "b32", [32, 16], [16, 16], [-8, -9], 64)
    load("2d_swizzle128_negative", "Swizzle 128, negative corner.", "b32", [32, 16], [32, 16], [-12, -3], 128)
    load("2d_swizzle128_narrow", "Rows of 64 bytes with swizzle 128.", "b32", [64, 40], [16, 16], [16, 3], 128)
    load("2d_swizzle128_thin", "Rows of 32 bytes with swizzle 128.", "b16", [64, 40], [16, 32], [16, 3], 128)
    load("2d_swizzle64_narrow", "Rows of 32 bytes with swizzle 64.", "b32", [64, 40], [8, 16], [16, 3], 64)
    load("2d_swizzle32_narrow", "Rows of 16 bytes with swizzle 32.", "b32", [64, 40], [4, 16], [16, 3], 32)
    load("2d_swizzle128_odd", "Rows of 48 bytes with swizzle 128.", "b32", [64, 40], [12, 16], [16, 3], 128)
    for base in (128, 256, 512):
        load(f"2d_swizzle128_at{base}", "A box that does not begin at a multiple of 1024 bytes: address bits are swizzled.", "b32",
             [64, 40], [32, 16], [16, 3], 128, base=base)
    load("2d_swizzle64_at256", "Swizzle 64 in the middle of its pattern.", "b32", [64, 40], [16, 16], [16, 3], 64, base=256)
    load("2d_inner_steps", "An element stride of the innermost dimension, which counts for nothing.", "b32", [64, 32], [16, 8], [4, 1],
         steps=[2, 1])
    load("3d_steps", "Element strides 2 and 3, cut at the end.", "b32", [16, 20, 12], [8, 8, 9], [4, 15, 2], 32, steps=[1, 2, 3])
    load("2d_steps_outside", "Element strides from outside.", "b32", [16, 20], [8, 12], [4, -5], 0, steps=[1, 4])
    load("2d_s32", "Signed words.", "s32", [32, 16], [16, 8], [4, 9])
    load("2d_s64", "Signed 64-bit words.", "s64", [16, 16], [8, 8], [10, 9], 64)
    load("2d_f64", "Doubles.", "f64", [16, 16], [8, 8], [10, 9], 64)
    load("2d_f16_swizzle128", "Rows of 64 halves.", "f16", [96, 24], [64, 16], [40, 12], 128, low=-20, high=20)
    load("3d_negative", "Negative in every dimension, swizzle 64.", "b32", [20, 6, 5], [16, 4, 3], [-8, -1, -2], 64)
    load("4d_outside", "Four dimensions, cut in each.", "b32", [12, 5, 4, 3], [8, 3, 3, 2], [8, 3, 2, 2])
    load("5d_negative", "Five dimensions, negative in each.", "b16", [16, 3, 3, 3, 2], [8, 2, 2, 2, 2], [-8, -1, -1, -1, -1])
    load("5d_f16_nan", "Five dimensions, NaN outside.", "f16", [16, 3, 3, 3, 2], [8, 2, 2, 2, 2], [8, 2, -1, 2, 1], 0, "nan", low=-9, high=9)
    load("1d_bytes", "256 bytes.", "b8", [1000], [256], [800])
    load("2d_wide", "A box of 256 rows.", "b16", [8, 300], [8, 256], [0, 60])
    for ty in ("f32ftz", "tf32", "tf32ftz", "f32"):
        for fill in ("zero", "nan"):
            typed(ty, fill)
    typed("f64", "nan")
    typed("bf16", "nan")


def typed(ty, fill):
    """A load of corner values by the type of the map; what the device left."""
    name = f"tma_load_typed_{ty}_{fill}"
    p = Program(name, f"What a load of type {ty} does to its elements, and outside ({fill}).")
    stored = {"f64": "b64", "bf16": "b16"}.get(ty, "b32")
    words = {"b32": [0, 0x80000000, 1, 0x807FFFFF, 0x00800000, 0x3F800000, 0x3F800FFF, 0x3F801000, 0x3F801001, 0x3F803000, 0xBF802FFF,
                     0x7F7FFFFF, 0x7F800000, 0xFF800000, 0x7FC00000, 0x7F800001, 0xFFFFFFFF, 0x00001000, 0x00002000, 0x007FF000],
             "b64": [0, 1 << 63, 1, 0x3FF0000000000001, 0x7FF0000000000000, 0x7FF8000000000001, 0x000FFFFFFFFFFFFF, 0x7FEFFFFFFFFFFFFF],
             "b16": [0, 0x8000, 1, 0x807F, 0x3F81, 0x7F80, 0x7FC1, 0xFFFF]}[stored]
    size = SIZE[stored]
    per = 16 // size
    words = words + [7] * (-len(words) % per)
    n = len(words)
    p.buffer("in", stored, n, "list", words)
    box = n + per
    p.map("map", "in", ty, [n, 1], [n * size], [box, 1], 0, fill)
    body = ["    mov.u32 %r0, %tid.x;", MBARRIER, f"    @%p0 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r2], {box * size};",
            "    mov.b64 %rd1, map;", "    cvta.param.u64 %rd1, %rd1;", f"    mov.b32 %r10, {per};\n    mov.b32 %r11, 0;",
            "    @%p0 cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes",
            "        [%r1], [%rd1, {%r10, %r11}], [%r2];", wait(), copy_out(box * size // 4)]
    p.buffer("out", "b32", box * size // 4, "empty")
    answer(p, "b32", box * size // 4)
    p.params = [("map",), "out"]
    p.write("\n".join(body), SHARED, launch_more="shared 1024")


def reductions():
    """What reaches global memory through the copy engine: tensor and plain reductions of every type."""
    f32 = [0x3F800000, 0x00000001, 0x807FFFFF, 0x7F800000, 0xFF800000, 0x7FC00000, 0x80000000, 0x7F7FFFFF]
    f16 = [0x3C00, 0x0001, 0x83FF, 0x7C00, 0xFC00, 0x7E00, 0x8000, 0x7BFF]
    bf16 = [0x3F80, 0x0001, 0x807F, 0x7F80, 0xFF80, 0x7FC0, 0x8000, 0x7F7F]
    whole = [0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x12345678, 5, 0xDEADBEEF]
    wide = [0, 1, 2**63 - 1, 2**63, 2**64 - 1, 0x123456789ABCDEF0, 5, 0xDEADBEEF01234567]
    values = {"f32": f32, "f16": f16, "bf16": bf16, "u32": whole, "s32": whole, "b32": whole, "u64": wide, "s64": wide, "b64": wide,
              "f64": [0x3FF0000000000000, 1, 1 << 63, 0x7FF0000000000000, 0xFFF0000000000000, 0x7FF8000000000000, 0x7FEFFFFFFFFFFFFF,
                      0x4008000000000001]}
    for op, ty in (("add", "f32"), ("add", "f64"), ("add.noftz", "f16"), ("add.noftz", "bf16"), ("min", "f16"), ("max", "f16"), ("min", "bf16"),
                   ("max", "bf16"), ("add", "u64"), ("add", "s32"), ("min", "s32"), ("max", "s32"), ("min", "u64"), ("max", "s64"), ("inc", "u32"),
                   ("dec", "u32"), ("and", "b64"), ("or", "b32"), ("xor", "b64")):
        v = values[ty]
        size = {"16": 2, "32": 4, "64": 8}[ty[-2:]]
        stored = f"b{8 * size}"
        source = [x for x in v for _ in v]
        target = [y for _ in v for y in v]
        n = len(source)
        body = TID + f"""    mov.u32 %r1, smem;
    setp.eq.u32 %p0, %r0, 0;
{copy_in(n * size // 4)}
    ld.param.u64 %rd1, [out];
    @%p0 cp.reduce.async.bulk.global.shared::cta.bulk_group.{op}.{ty} [%rd1], [%r1], {n * size};
    @%p0 cp.async.bulk.commit_group;
    @%p0 cp.async.bulk.wait_group 0;"""
        asked(f"bulk_reduce_{op.split('.')[0]}_{ty}", f"cp.reduce.async.bulk {op}.{ty} onto corner values.", body, n, stored,
              ins=[("in", stored, source)], declarations=DYNAMIC, launch_more="shared 1024", init=target)
    for op, ty in (("add", "f32"), ("add", "f16"), ("min", "f16"), ("max", "bf16"), ("add", "bf16"), ("add", "u64"), ("min", "s32"), ("max", "s64"),
                   ("inc", "u32"), ("dec", "u32"), ("min", "u32"), ("max", "u64")):
        v = values[ty]
        size = {"16": 2, "32": 4, "64": 8}[ty[-2:]]
        stored = f"b{8 * size}"
        source = [x for x in v for _ in v]
        target = [y for _ in v for y in v]
        p = Program(f"tma_reduce_{op}_{ty}", f"cp.reduce.async.bulk.tensor {op} of {ty} onto corner values.")
        p.buffer("in", stored, 64, "list", source)
        p.buffer("out", stored, 64, "list", target)
        map_ty = {"u32": "b32", "u64": "b64"}.get(ty, ty)
        p.map("map", "out", map_ty, [8, 8], [8 * size], [8, 8])
        body = TID + f"""    mov.u32 %r1, smem;
    setp.eq.u32 %p0, %r0, 0;
{copy_in(64 * size // 4)}
    mov.b64 %rd1, map;
    cvta.param.u64 %rd1, %rd1;
    mov.b32 %r10, 0;
    @%p0 cp.reduce.async.bulk.tensor.2d.global.shared::cta.{op}.tile.bulk_group [%rd1, {{%r10, %r10}}], [%r1];
    @%p0 cp.async.bulk.commit_group;
    @%p0 cp.async.bulk.wait_group 0;"""
        answer(p, stored, 64)
        p.params = [("map",), "in"]
        p.write(body, DYNAMIC, launch_more="shared 1024")
    sync = "    barrier.cluster.arrive.release.aligned;\n    barrier.cluster.wait.acquire.aligned;\n"
    for op, ty in (("add", "u32"), ("add", "s32"), ("add", "u64"), ("min", "s32"), ("max", "u32"), ("inc", "u32"), ("dec", "u32"),
                   ("and", "b32"), ("or", "b32"), ("xor", "b32")):
        v = values[ty]
        size = {"32": 4, "64": 8}[ty[-2:]]
        n = 64 * size // 4
        body = TID + MBARRIER + f"""
    mov.u32 %r5, %cluster_ctarank;
    @%p0 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r2], {64 * size};
{copy_in(2 * n)}
{sync}    xor.b32 %r6, %r5, 1;
    add.u32 %r10, %r1, {64 * size};
    mapa.shared::cluster.u32 %r11, %r10, %r6;
    mapa.shared::cluster.u32 %r8, %r2, %r6;
    @%p0 cp.reduce.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes.{op}.{ty} [%r11], [%r1], {64 * size}, [%r8];
{wait()}
{sync}    mov.u32 %r1, %r10;
    ld.param.u64 %rd9, [out];
    mul.lo.u32 %r30, %r5, {n * 4};
    cvt.u64.u32 %rd10, %r30;
    add.u64 %rd9, %rd9, %rd10;
{copy_out(n).split(chr(10), 1)[1]}"""
        asked(f"bulk_reduce_cluster_{op}_{ty}", f"cp.reduce.async.bulk {op}.{ty} into a neighbour's shared memory.", body, 2 * n, "b32",
              ins=[("in", f"b{8 * size}", [x for x in v for _ in v] + [y for _ in v for y in v])], declarations=SHARED,
              launch_more="cluster 2 1 1 shared 2048", grid=2)


def everything():
    products()
    copies()
    reductions()
