"""Programs whose results are those that an H200 gave; see generate.py.

Each runs many forms on corner values. What the device left is kept in answers.txt (ANSWER lines of
runner.c); a program that has no answer there yet asks for one, and is no test until it has it.
"""

import os

from generate import (BF16, C32, C64, F16, F32, F64, HERE, LOAD, Program, SIZE, encode, lcg)
from fractions import Fraction

ANSWERS = {}
if os.path.exists(os.path.join(HERE, "answers.txt")):
    with open(os.path.join(HERE, "answers.txt")) as file:
        for line in file:
            name, *words = line.split()
            ANSWERS[name] = [int(word, 16) for word in words]

REG = {"b16": "%h", "f16": "%h", "bf16": "%h", "b32": "%r", "f32": "%f", "b64": "%rd", "f64": "%fd", "b8": "%h"}


def answer(p, ty, count, within=None, buffer="out"):
    """The expectation of a probe; `within` gives units in the last place and an absolute power of two."""
    words = ANSWERS.get(p.name)
    if words is None:
        p.lines.append(f"//@ ask {buffer} {ty} 0 {count}")
        return
    assert len(words) == count, f"{p.name}: {len(words)} answers, {count} asked for"
    if within:
        p.lines.append(f"//@ within {buffer} {ty} 0 {count} {within[0]} {within[1]}")
    else:
        p.lines.append(f"//@ expect {buffer} {ty} 0 {count}")
    width = 2 * SIZE[ty]
    for i in range(0, len(words), 8):
        p.lines.append("//@ . " + " ".join(f"0x{w:0{width}x}" for w in words[i : i + 8]))


def probe(name, title, ins, ops, ty="b32", within=None):
    """`ops` with {0}, {1}, {2} for the inputs and {d} for the result, each once per thread.

    An operation is text, or text and the type of {d}; results narrower than `ty` are widened.
    """
    count = len(ins[0][1])
    p = Program(name, title)
    p.launch = f"1 1 1 {count} 1 1"
    body = ["    mov.u32 %r0, %tid.x;"]
    values = []
    for i, (in_ty, words) in enumerate(ins):
        assert len(words) == count
        p.buffer("abc"[i], in_ty, count, "list", [w & ((1 << 8 * SIZE[in_ty]) - 1) for w in words])
        reg = f"{REG[in_ty]}{10 + i}"
        body += [f"    ld.param.u64 %rd{i}, [{'abc'[i]}];",
                 f"    mad.wide.u32 %rd{i}, %r0, {SIZE[in_ty]}, %rd{i};",
                 f"    ld.global.{LOAD[SIZE[in_ty]]} {reg}, [%rd{i}];"]
        values.append(reg)
    size = SIZE[ty]
    body += ["    ld.param.u64 %rd9, [out];", f"    mad.wide.u32 %rd9, %r0, {size * len(ops)}, %rd9;"]
    for i, op in enumerate(ops):
        op, op_ty = op if isinstance(op, tuple) else (op, ty)
        d = f"{REG[op_ty]}20"
        body.append("    {")
        body += ["    " + line.strip().format(*values, d=d) for line in op.strip().split("\n")]
        if SIZE[op_ty] < size:
            body.append(f"    cvt.u{8 * size}.u{8 * SIZE[op_ty]} {REG['b64' if size == 8 else 'b32']}21, {d};"
                        if REG[op_ty] in "%h%r%rd" else f"    mov.b32 %r22, {d};\n    cvt.u64.u32 %rd21, %r22;")
            d = f"{REG['b64' if size == 8 else 'b32']}21"
        body += [f"    st.global.{LOAD[size]} [%rd9+{size * i}], {d};", "    }"]
    p.buffer("out", ty, count * len(ops), "empty")
    answer(p, ty, count * len(ops), within)
    p.params = ["abc"[i] for i in range(len(ins))] + ["out"]
    p.write("\n".join(body))


def pairs(values):
    return [a for a in values for _ in values], [b for _ in values for b in values]


def random_floats(ty, seed, count, low, high):
    """Random fractions with exponents from `low` to `high`."""
    e, f = {"f16": (5, 10), "bf16": (8, 7), "f32": (8, 23), "f64": (11, 52)}[ty]
    raw = lcg(seed, 0, 65535, 6 * count)
    bias = (1 << e - 1) - 1
    out = []
    for i in range(count):
        r = raw[6 * i : 6 * i + 6]
        fraction = (r[0] << 48 | r[1] << 32 | r[2] << 16 | r[3]) & ((1 << f) - 1)
        out.append((r[4] & 1) << (e + f) | (bias + low + r[5] % (high - low + 1)) << f | fraction)
    return out


G32 = F32 + [0x7F800001, 0xFFC12345, 0x00400000, 0x807FFFFE, 0x40490FDB, 0x3F000000, 0xC2FE0000, 0x42B17218]
NUM32 = [x for x in F32 if x & 0x7FFFFFFF <= 0x7F800000]
G64 = F64 + [0x7FF8000000000000, 0xFFF8000000001234, 0x7FF0000000000001, 0x4008000000000001, 0x8000000000000003,
             0x41DFFFFFFFC00000, 0xC1E0000000200000, 0x43E0000000000000]
G16 = F16 + [0x7C01, 0xFE12, 0x4248, 0xB800]
GB16 = BF16 + [0x7F81, 0xFFC5, 0x4049, 0xBF00]


def scalar_floats():
    a, b = pairs(G32)
    c = (G32[7:] + G32[:7]) * len(G32)
    three = [("f32", a), ("f32", b), ("f32", c)]
    probe("probe_f32_modes", "Directed roundings, saturation and flushing of f32.", three[:2],
          [f"{op} {{d}}, {{0}}, {{1}};" for op in
           ("sub.rm.f32", "add.rz.sat.f32", "mul.ftz.sat.f32", "mul.rp.ftz.f32", "sub.ftz.sat.f32")], "f32")
    probe("probe_f32_fma", "fma of f32 with saturation and flushing.", three,
          [f"fma.{m}.f32 {{d}}, {{0}}, {{1}}, {{2}};" for m in ("rn.sat", "rn.ftz", "rz.ftz.sat", "rm.ftz")], "f32")
    probe("probe_f32_div", "Division of f32 in every rounding.", three[:2],
          [f"div.{m}.f32 {{d}}, {{0}}, {{1}};" for m in ("rz", "rm", "rp", "rn.ftz", "rz.ftz")], "f32")
    probe("probe_f32_extremes", "min and max of f32 with every modifier.", three[:2],
          [f"{op}{m}.f32 {{d}}, {{0}}, {{1}};" for op in ("min", "max")
           for m in (".ftz", ".NaN.ftz", ".xorsign.abs", ".NaN.xorsign.abs")], "f32")
    probe("probe_f32_unary", "Roots, reciprocals, signs and tests of f32.", [("f32", G32 + random_floats("f32", 3, 40, -20, 20))],
          [f"{op}.f32 {{d}}, {{0}};" for op in
           ("rcp.rz", "rcp.rm", "rcp.rp", "rcp.rn.ftz", "sqrt.rz", "sqrt.rm", "sqrt.rp", "sqrt.rn.ftz", "neg",
            "neg.ftz", "abs", "abs.ftz", "cvt.sat.f32", "cvt.ftz.f32", "cvt.rni.ftz.f32", "cvt.rzi.sat.f32")]
          + [(f"testp.{t}.f32 %p1, {{0}};\nselp.b32 {{d}}, 1, 0, %p1;", "b32") for t in
             ("finite", "infinite", "number", "notanumber", "normal", "subnormal")], "b32")
    edge = [0x00800000, 0x3F7FFFFF, 0xBF7FFFFF, 0x3F800001, 0x80800001, 0x007FFFFF, 0x3F800000, 0x00FFFFFF, 0x3F000000]
    x, y = pairs(edge)
    probe("probe_ftz_edge", "Results that round up to the least normal number.", [("f32", x), ("f32", y), ("f32", [0, 0x80000000, 1] * 27)],
          [f"{op} {{d}}, {{0}}, {{1}};" for op in ("mul.ftz.f32", "mul.rz.ftz.f32", "mul.rm.ftz.f32", "div.rn.ftz.f32", "div.full.ftz.f32")]
          + [f"fma.{m}.ftz.f32 {{d}}, {{0}}, {{1}}, {{2}};" for m in ("rn", "rz", "rp")], "f32")
    short = [0x0400, 0x3BFF, 0xBBFF, 0x3C01, 0x8401, 0x03FF, 0x3C00, 0x07FF, 0x3800]
    x, y = pairs(short)
    probe("probe_ftz_edge_f16", "Results of f16 that round up to the least normal number.",
          [("f16", x), ("f16", y), ("f16", [0, 0x8000, 1] * 27)],
          [("mul.ftz.f16 {d}, {0}, {1};", "f16"), ("fma.rn.ftz.f16 {d}, {0}, {1}, {2};", "f16"), ("add.ftz.f16 {d}, {0}, {1};", "f16"),
           ("fma.rn.ftz.relu.f16 {d}, {0}, {1}, {2};", "f16")], "b16")
    nan_bits = [0x7FFFFFFF, 0xFFFFFFFF, 0x7FFFF000, 0x7F801FFF, 0xFFBFFFFF, 0x7F7FFFFF, 0x7F7FF000, 0xFF7FE000]
    probe("probe_tf32_edge", "cvt to tf32 of NaN and of the largest numbers.", [("f32", nan_bits)],
          [f"cvt.{m}.tf32.f32 %r21, {{0}};\nmov.b32 {{d}}, %r21;" for m in ("rna", "rn", "rz", "rn.relu")])
    compare = ["eq", "ne", "lt", "le", "gt", "ge", "equ", "neu", "ltu", "leu", "gtu", "geu", "num", "nan"]
    probe("probe_f32_setp", "All comparisons of f32, flushed and not, joined with a predicate.", three[:2],
          ["mov.b32 {d}, 0;\n" + "\n".join(
              f"setp.{c}{z}.f32 %p1, {{0}}, {{1}};\n@%p1 or.b32 {{d}}, {{d}}, {1 << i};" for i, c in enumerate(compare))
           for z in ("", ".ftz")]
          + ["setp.lt.f32 %p2, {0}, 0f00000000;\nsetp.gt.and.f32 %p1|%p3, {0}, {1}, !%p2;\nselp.b32 {d}, 1, 0, %p1;\n@%p3 add.u32 {d}, {d}, 2;",
             "setp.lt.f32 %p2, {0}, 0f00000000;\nsetp.gt.xor.f32 %p1|%p3, {0}, {1}, %p2;\nselp.b32 {d}, 1, 0, %p1;\n@%p3 add.u32 {d}, {d}, 2;",
             "set.le.u32.f32 {d}, {0}, {1};", "set.gtu.s32.f32 {d}, {0}, {1};",
             ("set.lt.f32.f32 %f20, {0}, {1};\nmov.b32 {d}, %f20;", "b32"),
             ("slct.b32.f32 {d}, 5, 6, {0};", "b32"), ("slct.ftz.b32.f32 {d}, 5, 6, {0};", "b32")])
    approximate = G32 + random_floats("f32", 5, 60, -6, 6) + random_floats("f32", 6, 16, -120, 120)
    for name, within, forms in (
            ("ex2", (2, -160), ("ex2.approx", "ex2.approx.ftz")), ("lg2", (2, -21), ("lg2.approx", "lg2.approx.ftz")),
            ("rcp", (1, -160), ("rcp.approx", "rcp.approx.ftz")), ("rsqrt", (2, -160), ("rsqrt.approx", "rsqrt.approx.ftz")),
            ("sqrt", (2, -160), ("sqrt.approx", "sqrt.approx.ftz"))):
        probe(f"near_{name}", f"{name}.approx.f32: special values, and others within the bounds of PTX.",
              [("f32", approximate)], [f"{form}.f32 {{d}}, {{0}};" for form in forms], "f32", within)
    small = G32[:7] + [0x7F800000, 0xFF800000, 0x7FC00000] + random_floats("f32", 7, 60, -12, 1)
    probe("near_sin", "sin.approx and cos.approx of f32.", [("f32", small)],
          ["sin.approx.f32 {d}, {0};", "cos.approx.f32 {d}, {0};", "sin.approx.ftz.f32 {d}, {0};"], "f32", (2, -20))
    probe("near_tanh", "tanh.approx.f32.", [("f32", approximate)], ["tanh.approx.f32 {d}, {0};"], "f32", (1 << 13, -126))
    x, y = pairs(G32[:16] + random_floats("f32", 8, 8, -30, 30))
    probe("near_div", "div.approx and div.full of f32.", [("f32", x), ("f32", y)],
          ["div.approx.f32 {d}, {0}, {1};", "div.full.f32 {d}, {0}, {1};", "div.full.ftz.f32 {d}, {0}, {1};"], "f32", (2, -160))
    a, b = pairs(G64)
    c = (G64[5:] + G64[:5]) * len(G64)
    three = [("f64", a), ("f64", b), ("f64", c)]
    probe("probe_f64_arithmetic", "f64 in every rounding, NaN results too.", three[:2],
          [f"{op}.{m}.f64 {{d}}, {{0}}, {{1}};" for op in ("add", "mul", "div") for m in ("rn", "rm")]
          + ["sub.rp.f64 {d}, {0}, {1};", "min.f64 {d}, {0}, {1};", "max.f64 {d}, {0}, {1};", "copysign.f64 {d}, {0}, {1};"], "f64")
    probe("probe_f64_fma", "fma of f64, NaN results too.", three,
          [f"fma.{m}.f64 {{d}}, {{0}}, {{1}}, {{2}};" for m in ("rn", "rm", "rp")], "f64")
    singles = G64 + random_floats("f64", 9, 48, -40, 40)
    probe("probe_f64_unary", "Roots, reciprocals, whole numbers of f64.", [("f64", singles)],
          [f"{op}.f64 {{d}}, {{0}};" for op in
           ("rcp.rn", "rcp.rz", "rcp.rp", "sqrt.rn", "sqrt.rm", "neg", "abs", "cvt.rni.f64", "cvt.rmi.f64", "cvt.rpi.f64", "cvt.rzi.f64", "cvt.sat.f64")],
          "f64")
    probe("near_f64", "rcp.approx.ftz.f64 and rsqrt.approx.ftz.f64: the upper half of the result counts.", [("f64", singles)],
          ["rcp.approx.ftz.f64 %fd20, {0};\nmov.b64 {{%r30, %r31}}, %fd20;\nmov.b32 {d}, %r31;",
           "rsqrt.approx.ftz.f64 %fd20, {0};\nmov.b64 {{%r30, %r31}}, %fd20;\nmov.b32 {d}, %r31;"], "f32", (16, -160))
    probe("probe_f64_setp", "Comparisons of f64.", three[:2],
          ["mov.b32 {d}, 0;\n" + "\n".join(
              f"setp.{c}.f64 %p1, {{0}}, {{1}};\n@%p1 or.b32 {{d}}, {{d}}, {1 << i};" for i, c in enumerate(compare))])
    for ty, values in (("f16", G16), ("bf16", GB16)):
        a, b = pairs(values)
        c = (values[5:] + values[:5]) * len(values)
        three = [(ty, a), (ty, b), (ty, c)]
        sat = ".sat" if ty == "f16" else ""
        z = ".ftz" if ty == "f16" else ""
        ops = [f"{op}{s}.{ty} {{d}}, {{0}}, {{1}};" for op in ("add", "sub", "mul") for s in (".rn", sat)]
        ops += [f"{op}{m}.{ty} {{d}}, {{0}}, {{1}};" for op in ("min", "max") for m in ("", ".xorsign.abs", ".NaN.xorsign.abs", z)]
        ops += [f"neg.{ty} {{d}}, {{0}};", f"abs.{ty} {{d}}, {{0}};"]
        probe(f"probe_{ty}_arithmetic", f"Arithmetic of {ty} with every modifier.", three[:2], [(op, ty) for op in ops], "b16")
        forms = ["fma.rn.relu"] + (["fma.rn.sat", "fma.rn.ftz", "fma.rn.ftz.relu"] if ty == "f16" else [])
        probe(f"probe_{ty}_fma", f"fma of {ty}: relu, saturation, flushing.", three,
              [(f"{form}.{ty} {{d}}, {{0}}, {{1}}, {{2}};", ty) for form in forms], "b16")
        probe(f"probe_{ty}_setp", f"Comparisons of {ty}.", three[:2],
              ["mov.b32 {d}, 0;\n" + "\n".join(
                  f"setp.{c}.{ty} %p1, {{0}}, {{1}};\n@%p1 or.b32 {{d}}, {{d}}, {1 << i};" for i, c in enumerate(compare))])
        x2 = [v << 16 | w for v, w in zip(a, b)]
        y2 = [v << 16 | w for v, w in zip(c, a)]
        ops = [f"{op}.{ty}x2 {{d}}, {{0}}, {{1}};" for op in
               ("add.rn", "mul.rn", "sub.rn", "min", "max.NaN", "min.xorsign.abs", "max.NaN.xorsign.abs")]
        ops += [f"fma.rn.{ty}x2 {{d}}, {{0}}, {{1}}, {{0}};", f"fma.rn.relu.{ty}x2 {{d}}, {{1}}, {{0}}, {{1}};",
                f"neg.{ty}x2 {{d}}, {{0}};", f"abs.{ty}x2 {{d}}, {{1}};",
                f"setp.lt.{ty}x2 %p1|%p2, {{0}}, {{1}};\nselp.b32 {{d}}, 1, 0, %p1;\n@%p2 add.u32 {{d}}, {{d}}, 2;"]
        probe(f"probe_{ty}x2", f"Packed arithmetic of {ty}.", [("b32", x2), ("b32", y2)], ops)
        near = values + random_floats(ty, 12, 40, -8, 3)
        probe(f"near_{ty}", f"ex2.approx and tanh.approx of {ty}.", [(ty, near)],
              [(f"{op}.{ty} {{d}}, {{0}};", ty) for op in ("ex2.approx" + (".ftz" if ty == "bf16" else ""), "tanh.approx")], ty,
              (2, -14 if ty == "f16" else -126))


def scalar_conversions():
    ints = ["u8", "s8", "u16", "s16", "u32", "s32", "u64", "s64"]
    sources = {"f32": G32 + [0x4F000000, 0xCF000001, 0x5F000000, 0xDF000001, 0x5F800000, 0x43000000, 0x437F8000, 0xC3008000,
                             0x47000000, 0x477FFF80, 0xBF7FFFFF, 0x3FC00000, 0x40200000],
               "f64": G64 + [0x41E0000000000000, 0x41EFFFFFFFF00000, 0xC3E0000000000001, 0x43F0000000000000, 0x3FF8000000000000,
                             0x4004000000000000, 0x406FF00000000000, 0xC060100000000000, 0x40EFFFF000000000],
               "f16": G16 + [0x3E00, 0x4100, 0x5BF8, 0x5C00, 0xD808, 0x57F8, 0x7800],
               "bf16": GB16 + [0x3FC0, 0x4020, 0x437F, 0xC301, 0x4F00, 0x5F00, 0x4700]}
    for ty, values in sources.items():
        for mode in ("rni", "rzi", "rmi", "rpi"):
            if ty == "bf16" and mode != "rzi" and mode != "rni":
                continue
            ops = []
            for to in ints:
                reg = "b64" if to[1:] == "64" else "b32"
                if ty == "bf16" and to[1:] == "8":
                    continue
                if to[1:] in ("8", "16"):
                    op = f"cvt.{mode}.{to}.{ty} %h21, {{0}};\ncvt.{to[0]}32.{to[0]}16 {{d}}, %h21;"
                else:
                    op = f"cvt.{mode}.{to}.{ty} {{d}}, {{0}};"
                ops.append((op, reg))
            probe(f"probe_cvt_int_{ty}_{mode}", f"cvt.{mode} from {ty} to every integer; NaN, infinities, beyond the range.",
                  [(ty, values)], ops, "b64")
    whole = {"8": [0, 1, 127, 128, 255], "16": [0, 1, 127, 32767, 32768, 65535, 2049, 4097],
             "32": C32 + [0x01000001, 0x01000003, 0x80000080, 0xFF000001, 0x7FFFFFBF, 65520, 65519, 2049],
             "64": C64 + [(1 << 53) + 1, (1 << 53) + 3, 0x7FFFFF4000000001, 0x8000008000000000, 65520, 0xFFFFFFFFFFFF0010]}
    for bits, values in whole.items():
        for sign in "us":
            at = f"{sign}{bits}"
            ops = []
            for to, reg in (("f16", "f16"), ("bf16", "bf16"), ("f32", "f32"), ("f64", "f64")):
                for mode in ("rn", "rz", "rm", "rp"):
                    if to == "bf16" and (mode != "rn" or bits == "8"):
                        continue
                    ops.append((f"cvt.{mode}.{to}.{at} {{d}}, {{0}};", reg))
            probe(f"probe_cvt_float_{at}", f"cvt from {at} to every float.", [(f"b{bits}", values)], ops, "b64")
            ops = []
            for to in ints:
                low, high = (0, 1 << int(bits)) if sign == "u" else (-(1 << int(bits) - 1), 1 << int(bits) - 1)
                n = int(to[1:])
                fits = (0 <= low and high <= 1 << n) if to[0] == "u" else (-(1 << n - 1) <= low and high <= 1 << n - 1)
                for s in ("",) if fits else ("", ".sat"):
                    width = max(int(to[1:]), 16)
                    reg = {16: "b16", 32: "b32", 64: "b64"}[width]
                    op = f"cvt{s}.{to}.{at} {{d}}, {{0}};"
                    if width == 16:
                        op = f"cvt{s}.{to}.{at} %h21, {{0}};\ncvt.{to[0]}32.{to[0]}16 {{d}}, %h21;"
                        reg = "b32"
                    ops.append((op, reg))
            probe(f"probe_cvt_{at}", f"cvt from {at} to every integer, saturating and not.", [(f"b{bits}", values)], ops, "b64")
    wide = F32 + [0x477FE000, 0x477FEFFF, 0x477FF000, 0x33000000, 0x33000001, 0x7F7F8000, 0x7F7FFFFF, 0x3F808000, 0x7F800001, 0xFFC12345,
                  0x387FC000, 0x3F818000, 0x00008000, 0x80018000]
    ops = [(f"cvt.{m}.f16.f32 {{d}}, {{0}};", "f16") for m in ("rn.ftz", "rn.sat", "rz.ftz.sat", "rz.relu", "rm", "rp")]
    ops += [(f"cvt.{m}.bf16.f32 {{d}}, {{0}};", "bf16") for m in ("rz.relu", "rn", "rm", "rp")]
    ops += [(f"cvt.{m}.tf32.f32 %r21, {{0}};\nmov.b32 {{d}}, %r21;", "b32") for m in ("rna", "rn", "rz", "rn.relu", "rz.relu")]
    ops += [("cvt.f64.f32 {d}, {0};", "f64"), ("cvt.ftz.f64.f32 {d}, {0};", "f64")]
    probe("probe_cvt_f32", "cvt from f32 to every float, the modifiers.", [("f32", wide)], ops, "b64")
    doubles = G64 + [0x40EFFC0000000000, 0x40EFFDFFFFFFFFFF, 0x40EFFE0000000000, 0x3E60000000000000, 0x3E60000000000001,
                     0x47EFFFFFF0000000, 0x3810000000000000, 0x380FFFFFF0000000, 0x36A0000000000000, 0x3690000000000001]
    ops = [(f"cvt.{m}.f16.f64 {{d}}, {{0}};", "f16") for m in ("rn", "rz", "rm", "rp", "rn.sat")]
    ops += [(f"cvt.{m}.f32.f64 {{d}}, {{0}};", "f32") for m in ("rn.ftz", "rz.ftz", "rn.sat", "rm")]
    ops += [(f"cvt.{m}.bf16.f64 {{d}}, {{0}};", "bf16") for m in ("rn", "rz")]
    probe("probe_cvt_f64", "cvt from f64 to every float.", [("f64", doubles)], ops, "b64")
    ops = [("cvt.f32.f16 {d}, {0};", "f32"), ("cvt.ftz.f32.f16 {d}, {0};", "f32"), ("cvt.f64.f16 {d}, {0};", "f64"),
           ("cvt.sat.f32.f16 {d}, {0};", "f32")]
    ops += [(f"cvt.{m}.f16.f16 {{d}}, {{0}};", "f16") for m in ("rni", "rzi", "rmi", "rpi", "sat")]
    ops += [("cvt.rn.bf16.f16 {d}, {0};", "bf16"), ("cvt.rz.bf16.f16 {d}, {0};", "bf16")]
    probe("probe_cvt_f16", "cvt from f16 to every float, NaN too.", [("f16", G16 + lcg(4, 0, 65535, 24))], ops, "b64")
    ops = [("cvt.f32.bf16 {d}, {0};", "f32"), ("cvt.f64.bf16 {d}, {0};", "f64")]
    ops += [(f"cvt.{m}.f16.bf16 {{d}}, {{0}};", "f16") for m in ("rn", "rz", "rm", "rp")]
    ops += [(f"cvt.{m}.bf16.bf16 {{d}}, {{0}};", "bf16") for m in ("rni", "rzi", "rmi", "rpi")]
    probe("probe_cvt_bf16", "cvt from bf16 to every float, NaN too.", [("bf16", GB16 + lcg(5, 0, 65535, 24))], ops, "b64")
    packed = [x << 16 | y for x, y in zip(G16 + lcg(6, 0, 65535, 40), lcg(7, 0, 65535, 40) + G16)]
    ops = [(f"cvt.rn.satfinite{r}.{to}x2.f16x2 {{d}}, {{0}};", "b16") for to in ("e4m3", "e5m2") for r in ("", ".relu")]
    probe("probe_cvt_f16x2", "cvt from f16x2 to pairs of 8-bit floats.", [("b32", packed)], ops, "b32")
    bytes2 = [i << 8 | 255 - i for i in range(256)]
    probe("probe_cvt_bytes", "cvt from pairs of 8-bit floats to f16x2, with relu.", [("b16", bytes2)],
          [f"cvt.rn{r}.f16x2.{to}x2 {{d}}, {{0}};" for to in ("e4m3", "e5m2") for r in ("", ".relu")])
    x, y = pairs(wide[:22])
    ops = [f"cvt.{m}.f16x2.f32 {{d}}, {{0}}, {{1}};" for m in ("rn", "rz", "rn.relu", "rz.relu")]
    ops += [f"cvt.{m}.bf16x2.f32 {{d}}, {{0}}, {{1}};" for m in ("rn", "rz", "rn.relu")]
    probe("probe_cvt_pairs", "cvt of two f32 into f16x2 and bf16x2.", [("f32", x), ("f32", y)], ops)
    a, b = pairs(C32 + [200, 0xFFFFFF00, 0x8000, 0xFFFF7FFF])
    ops = [f"cvt.pack.sat.{to}.s32 {{d}}, {{0}}, {{1}};" for to in ("s16", "u16")]
    ops += [f"cvt.pack.sat.{to}.s32.b32 {{d}}, {{0}}, {{1}}, 0x12345678;" for to in ("s8", "u8", "s4", "u4", "s2", "u2")]
    probe("probe_cvt_pack", "cvt.pack.", [("b32", a), ("b32", b)], ops)


def scalar_integers():
    a, b = pairs(C32 + [31, 0x00FFFFFF, 0xFF800000])
    c = (C32 + lcg(21, 0, 65535, 3))[3:] * len(a)
    c = c[: len(a)]
    two, three = [("b32", a), ("b32", b)], [("b32", a), ("b32", b), ("b32", c)]
    probe("probe_int_two", "Integer operations with two operands.", two,
          [f"{op} {{d}}, {{0}}, {{1}};" for op in
           ("sub.sat.s32", "mul24.lo.s32", "mul24.hi.s32", "mul24.lo.u32", "mul24.hi.u32", "max.s32", "min.u32", "shr.b32",
            "rem.u32", "set.lt.u32.s32", "bmsk.clamp.b32", "bmsk.wrap.b32", "szext.clamp.s32", "szext.wrap.u32",
            "min.s16x2", "max.u16x2", "add.s16x2", "add.u16x2", "min.relu.s32", "max.relu.s16x2")])
    probe("probe_int_three", "Integer operations with three operands.", three,
          [f"{op} {{d}}, {{0}}, {{1}}, {{2}};" for op in
           ("mad.lo.u32", "mad.hi.s32", "mad.hi.sat.s32", "mad24.lo.s32", "mad24.hi.u32", "mad24.hi.sat.s32", "dp2a.lo.s32.s32",
            "dp2a.hi.u32.u32", "dp2a.lo.u32.s32", "dp4a.s32.u32", "dp4a.u32.s32", "slct.u32.s32", "fns.b32")]
          + ["bfi.b32 {d}, {0}, {1}, 4, 8;", "bfi.b32 {d}, {0}, {1}, {2}, 5;", "bfi.b32 {d}, {0}, {1}, 3, {2};",
             "bfi.b32 {d}, {0}, {1}, 30, 40;", "mad.lo.cc.u32 %r22, {0}, {1}, {2};\nmadc.hi.u32 {d}, {0}, {1}, {2};",
             "sub.cc.u32 %r22, {0}, {1};\nsubc.u32 {d}, {2}, {0};", "add.cc.u32 %r22, {0}, {1};\naddc.cc.u32 %r23, {0}, {2};\naddc.u32 {d}, %r22, %r23;",
             "lop3.or.b32 %r22|%p1, {0}, {1}, {2}, 0x16, 0;\nselp.b32 {d}, %r22, 77, %p1;"])
    probe("probe_int_prmt", "prmt in every mode.", three,
          [f"prmt.b32.{m} {{d}}, {{0}}, {{1}}, {{2}};" for m in ("f4e", "b4e", "rc8", "ecl", "ecr", "rc16")])
    a, b = pairs(C64)
    c = (C64[3:] + C64[:3]) * 8
    probe("probe_int_wide", "64-bit integers.", [("b64", a), ("b64", b), ("b64", c)],
          [f"{op} {{d}}, {{0}}, {{1}};" for op in ("div.u64", "div.s64", "rem.u64", "rem.s64", "max.s64", "min.u64", "max.u64", "sub.s64",
                                                 "and.b64", "xor.b64")]
          + ["mad.lo.s64 {d}, {0}, {1}, {2};", "mad.hi.u64 {d}, {0}, {1}, {2};", "sad.u64 {d}, {0}, {1}, {2};", "sad.s64 {d}, {0}, {1}, {2};",
             "bfi.b64 {d}, {0}, {1}, 7, 50;", "bfe.u64 {d}, {0}, 20, 40;", "bfe.s64 {d}, {0}, 33, 12;", "bfe.s64 {d}, {0}, 60, 30;",
             "abs.s64 {d}, {0};", "neg.s64 {d}, {0};", "brev.b64 {d}, {0};", "cnot.b64 {d}, {0};",
             ("popc.b64 {d}, {0};", "b32"), ("clz.b64 {d}, {0};", "b32"), ("bfind.u64 {d}, {0};", "b32"), ("bfind.s64 {d}, {0};", "b32"),
             ("bfind.shiftamt.s64 {d}, {0};", "b32"), "not.b64 {d}, {0};",
             "slct.u64.s32 {d}, {0}, {1}, -1;", "add.cc.u64 %rd22, {0}, {1};\naddc.u64 {d}, {2}, 0;",
             "sub.cc.u64 %rd22, {0}, {1};\nsubc.u64 {d}, {2}, 0;"], "b64")
    values = [0, 1, 0x7FFF, 0x8000, 0xFFFF, 0x1234, 0xBEEF, 15]
    a, b = pairs(values)
    c = (values[3:] + values[:3]) * 8
    probe("probe_int_short", "16-bit integers.", [("b16", a), ("b16", b), ("b16", c)],
          [(f"{op} {{d}}, {{0}}, {{1}};", "b16") for op in
           ("add.u16", "sub.s16", "mul.lo.u16", "mul.hi.s16", "mul.hi.u16", "min.s16", "max.u16", "min.u16", "max.s16", "and.b16", "xor.b16")]
          + [("mad.lo.s16 {d}, {0}, {1}, {2};", "b16"), ("mad.hi.u16 {d}, {0}, {1}, {2};", "b16"), ("sad.u16 {d}, {0}, {1}, {2};", "b16"),
             ("sad.s16 {d}, {0}, {1}, {2};", "b16"), ("neg.s16 {d}, {0};", "b16"), ("abs.s16 {d}, {0};", "b16"), ("not.b16 {d}, {0};", "b16"),
             ("cnot.b16 {d}, {0};", "b16"), "mul.wide.u16 {d}, {0}, {1};", "mul.wide.s16 {d}, {0}, {1};", "mad.wide.s16 {d}, {0}, {1}, 7;",
             ("cvt.u32.u16 %r22, {1};\nshl.b16 {d}, {0}, %r22;", "b16"), ("cvt.u32.u16 %r22, {1};\nshr.s16 {d}, {0}, %r22;", "b16"),
             ("cvt.u32.u16 %r22, {1};\nshr.u16 {d}, {0}, %r22;", "b16")])
    nonzero = [(x, y) for x, y in zip(a, b) if y and not (x == 0x8000 and y == 0xFFFF)]
    probe("probe_int_short_div", "Division of 16-bit integers.", [("b16", [x for x, _ in nonzero]), ("b16", [y for _, y in nonzero])],
          [(f"{op} {{d}}, {{0}}, {{1}};", "b16") for op in ("div.u16", "div.s16", "rem.u16", "rem.s16")])
    probe("probe_int_short_zero", "Division of 16-bit integers by zero.", [("b16", values), ("b16", [0] * 8)],
          [(f"{op} {{d}}, {{0}}, {{1}};", "b16") for op in ("div.u16", "div.s16", "rem.u16", "rem.s16")])
    probe("probe_int_div_zero", "What division by zero leaves.", [("b32", C32), ("b32", [0] * 8)],
          [f"{op} {{d}}, {{0}}, {{1}};" for op in ("div.u32", "rem.u32", "div.s32", "rem.s32")])
    one = C32 + lcg(5, 0, 65535, 8) + [v << 16 for v in lcg(6, 0, 65535, 8)]
    probe("probe_int_one", "Integer operations with one operand.", [("b32", one)],
          ["bfind.shiftamt.u32 {d}, {0};", "bfind.shiftamt.s32 {d}, {0};", "cnot.b32 {d}, {0};", "clz.b32 {d}, {0};",
           "fns.b32 {d}, {0}, 0, 3;", "fns.b32 {d}, {0}, 16, -2;", "fns.b32 {d}, {0}, 9, 0;", "neg.s32 {d}, {0};"])
    compare = ["eq", "ne", "lt", "le", "gt", "ge"]
    a, b = pairs(C32)
    probe("probe_int_setp", "Comparisons of integers of every type.", [("b32", a), ("b32", b)],
          ["mov.b32 {d}, 0;\n" + "\n".join(
              f"setp.{c}.{t}32 %p1, {{0}}, {{1}};\n@%p1 or.b32 {{d}}, {{d}}, {1 << i};" for i, c in enumerate(compare)) for t in "us"]
          + ["mov.b32 {d}, 0;\n" + "\n".join(
              f"setp.{c}.u32 %p1, {{0}}, {{1}};\n@%p1 or.b32 {{d}}, {{d}}, {1 << i};" for i, c in enumerate(("lo", "ls", "hi", "hs")))])


def scalars():
    scalar_floats()
    scalar_conversions()
    scalar_integers()
