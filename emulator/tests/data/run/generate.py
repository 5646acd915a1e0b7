"""Writes the table-made programs of this folder: python3 generate.py

Expected values come from the exact arithmetic in this script, which shares nothing with the
emulator. Rounding is done on fractions; matrices are small integers, whose sums are exact.
"""

import math
import os
import struct
from fractions import Fraction

HERE = os.path.dirname(os.path.abspath(__file__))
HEAD = ".version 8.7\n.target sm_90a\n.address_size 64\n"
WRITTEN = []


# ---------------------------------------------------------------------------------- the file format


def lcg(seed, low, high, count):
    out = []
    for _ in range(count):
        seed = (seed * 1664525 + 1013904223) & 0xFFFFFFFF
        out.append(low + (seed >> 16) % (high - low + 1))
    return out


def fnv(data):
    h = 0xCBF29CE484222325
    for byte in data:
        h = ((h ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return h


SIZE = {"b8": 1, "b16": 2, "b32": 4, "b64": 8, "s32": 4, "s64": 8, "f32": 4, "f64": 8, "f16": 2, "bf16": 2, "e4m3": 1,
        "e5m2": 1}
# exponent bits, fraction bits
FLOATS = {"f16": (5, 10), "bf16": (8, 7), "f32": (8, 23), "f64": (11, 52), "e4m3": (4, 3),
          "e5m2": (5, 2), "tf32": (8, 10)}


def bits_of(ty, value):
    """The bits of an integer in a type."""
    if ty in FLOATS:
        return encode(ty, Fraction(value))
    return value & ((1 << 8 * SIZE[ty]) - 1)


def pack(ty, words):
    return b"".join(word.to_bytes(SIZE[ty], "little") for word in words)


def rows(words, ty):
    width = 2 * SIZE[ty]
    lines = []
    for i in range(0, len(words), 8):
        lines.append("//@ . " + " ".join(f"0x{w:0{width}x}" for w in words[i : i + 8]))
    return lines


class Program:
    def __init__(self, name, title):
        self.name, self.title = name, title
        self.lines, self.params = [], []
        self.launch = "1 1 1 32 1 1"

    def buffer(self, name, ty, count, how, words=None):
        if how == "list":
            self.lines.append(f"//@ buffer {name} {ty} {count} list")
            self.lines += rows(words, ty)
        else:
            self.lines.append(f"//@ buffer {name} {ty} {count} {how}")

    def random(self, name, ty, count, seed, low, high):
        self.buffer(name, ty, count, f"random {seed} {low} {high}")
        return lcg(seed, low, high, count)

    def map(self, name, buffer, ty, dims, strides, box, swizzle=0, fill="zero", steps=None):
        ty = {"e4m3": "b8", "e5m2": "b8"}.get(ty, ty)
        rank = len(dims)
        numbers = dims + strides + box + (steps or [1] * rank)
        self.lines.append(
            f"//@ map {name} {buffer} {ty} {rank} " + " ".join(map(str, numbers))
            + f" {swizzle} {fill}")

    def expect(self, buffer, ty, words):
        data = pack(ty, words)
        if len(words) <= 1024:
            self.lines.append(f"//@ expect {buffer} {ty} 0 {len(words)}")
            self.lines += rows(words, ty)
        else:
            self.lines.append(f"//@ expect {buffer} {ty} 0 64")
            self.lines += rows(words[:64], ty)
            self.lines.append(f"//@ hash {buffer} {len(data)} 0x{fnv(data):016x}")

    def write(self, body, declarations="", directives="", params=None, launch_more=""):
        params = params or self.params
        names = [p if isinstance(p, str) else p[0] for p in params]
        maps = {p[0] for p in params if not isinstance(p, str)}
        text = [f"// {self.title}", "//", f"//@ launch {self.launch} {launch_more}".rstrip()]
        text += self.lines
        text += [f"//@ param {n}" for n in names]
        listed = ",\n    ".join(
            f".param .align 64 .b8 {n}[128]" if n in maps else f".param .u64 {n}" for n in names)
        text += [HEAD.rstrip(), declarations.rstrip()] if declarations else [HEAD.rstrip()]
        text.append(f".visible .entry k(\n    {listed})")
        if directives:
            text.append(directives)
        text.append("{")
        text.append("    .reg .pred %p<8>;\n    .reg .b16 %h<32>;\n    .reg .b32 %r<512>;\n"
                    "    .reg .b64 %rd<64>;\n    .reg .f32 %f<32>;\n    .reg .f64 %fd<64>;")
        text.append(body.strip("\n"))
        text += ["    ret;", "}", ""]
        with open(os.path.join(HERE, self.name + ".ptx"), "w") as file:
            file.write("\n".join(text))
        WRITTEN.append(self.name)


# ------------------------------------------------------------------------------------- exact floats


def decode(ty, bits):
    """'nan', 'inf', '-inf', or a fraction; with it whether the sign is set."""
    e, f = FLOATS[ty]
    if ty == "tf32":
        return decode("f32", bits & ~0x1FFF)
    sign = bits >> (e + f) & 1
    exponent, fraction = bits >> f & ((1 << e) - 1), bits & ((1 << f) - 1)
    bias = (1 << e - 1) - 1
    if exponent == (1 << e) - 1 and ty != "e4m3":
        return ("nan" if fraction else ("-inf" if sign else "inf")), sign
    if ty == "e4m3" and bits & 0x7F == 0x7F:
        return "nan", sign
    if exponent == 0:
        value = Fraction(fraction, 1 << f) * Fraction(2) ** (1 - bias)
    else:
        value = (1 + Fraction(fraction, 1 << f)) * Fraction(2) ** (exponent - bias)
    return (-value if sign else value), sign


def integer_round(x, mode):
    """A fraction to an integer."""
    low = math.floor(x)
    rest = x - low
    if mode == "rz":
        return low if x >= 0 or rest == 0 else low + 1
    if mode == "rm":
        return low
    if mode == "rp":
        return low + (rest > 0)
    if mode == "rna":
        return low + (rest > Fraction(1, 2) or rest == Fraction(1, 2) and x > 0)
    return low + (rest > Fraction(1, 2) or rest == Fraction(1, 2) and low % 2 == 1)


def encode(ty, x, mode="rn", sign=0, satfinite=False):
    """A fraction to bits; `sign` is the sign of a zero."""
    e, f = FLOATS[ty]
    if x == 0:
        return sign << (e + f)
    sign = int(x < 0)
    bias = (1 << e - 1) - 1
    magnitude = abs(x)
    exponent = max(magnitude.numerator.bit_length() - magnitude.denominator.bit_length(), -10**6)
    if Fraction(2) ** exponent > magnitude:
        exponent -= 1
    exponent = max(exponent, 1 - bias)
    unit = Fraction(2) ** (exponent - f)
    n = abs(integer_round(x / unit, mode))
    if n >> (f + 1):
        n, exponent = n >> 1, exponent + 1
    field = 0 if n >> f == 0 else exponent + bias
    largest = ((1 << e) - 1) << f if ty != "e4m3" else 0x7F
    bits = (field << f) | (n & ((1 << f) - 1))
    if bits >= largest or field >= (1 << e):
        inward = mode == "rz" or mode == "rm" and not sign or mode == "rp" and sign
        if satfinite or inward:
            bits = largest - 1
        elif ty == "e4m3":
            bits = 0x7F
        else:
            bits = largest
    return sign << (e + f) | bits


NAN = {"f16": 0x7FFF, "bf16": 0x7FFF, "f32": 0x7FFFFFFF, "f64": 0x7FF8000000000000, "e4m3": 0x7F,
       "e5m2": 0x7F}


def fma_bits(ty, a, b, c, mode="rn"):
    """a·b + c."""
    (x, sx), (y, sy), (z, sz) = decode(ty, a), decode(ty, b), decode(ty, c)
    e, f = FLOATS[ty]
    infinity = ((1 << e) - 1) << f
    if "nan" in (x, y, z):
        return NAN[ty]
    product_sign = sx ^ sy
    if isinstance(x, str) or isinstance(y, str):
        if x == 0 or y == 0:
            return NAN[ty]
        if isinstance(z, str) and sz != product_sign:
            return NAN[ty]
        return product_sign << (e + f) | infinity
    if isinstance(z, str):
        return sz << (e + f) | infinity
    value = x * y + z
    if value == 0:
        if x * y == 0 and z == 0 and product_sign == sz:
            sign = sz
        else:
            sign = int(mode == "rm")
        return encode(ty, Fraction(0), mode, sign)
    return encode(ty, value, mode)


def ftz(bits):
    return bits & 0x80000000 if bits & 0x7F800000 == 0 else bits


# ---------------------------------------------------------------------------- one operation per lane

LOAD = {1: "b8", 2: "b16", 4: "b32", 8: "b64"}


def lanewise(name, title, op, ins, out_ty, expected, temps=""):
    """`op` with {0}, {1}, {2} for the inputs and {d} for the result, once per thread."""
    count = len(expected)
    program = Program(name, title)
    program.launch = f"1 1 1 {count} 1 1"
    regs = {"b8": "%h", "b16": "%h", "f16": "%h", "bf16": "%h", "e4m3": "%h", "e5m2": "%h",
            "b32": "%r", "f32": "%f", "b64": "%rd", "f64": "%fd"}
    body = ["    mov.u32 %r0, %tid.x;"]
    values = []
    for i, (ty, words) in enumerate(ins):
        buffer = "abc"[i]
        program.buffer(buffer, ty, count, "list", [w & ((1 << 8 * SIZE[ty]) - 1) for w in words])
        reg = f"{regs[ty]}{10 + i}"
        body += [f"    ld.param.u64 %rd{i}, [{buffer}];",
                 f"    mad.wide.u32 %rd{i}, %r0, {SIZE[ty]}, %rd{i};",
                 f"    ld.global.{LOAD[SIZE[ty]]} {reg}, [%rd{i}];"]
        values.append(reg)
    result = f"{regs[out_ty]}20"
    for line in op.strip().split("\n"):
        body.append("    " + line.strip().format(*values, d=result))
    body += ["    ld.param.u64 %rd9, [out];",
             f"    mad.wide.u32 %rd9, %r0, {SIZE[out_ty]}, %rd9;",
             f"    st.global.{LOAD[SIZE[out_ty]]} [%rd9], {result};"]
    program.buffer("out", out_ty, count, "empty")
    program.expect("out", out_ty, [w & ((1 << 8 * SIZE[out_ty]) - 1) for w in expected])
    program.params = ["abc"[i] for i in range(len(ins))] + ["out"]
    program.write("\n".join(body))


def signed(x, bits=32):
    x &= (1 << bits) - 1
    return x - (1 << bits) if x >> (bits - 1) else x


C32 = [0, 1, 2, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x12345678, 0xDEADBEEF]
C64 = [0, 1, 3, 2**63 - 1, 2**63, 2**64 - 1, 0x123456789ABCDEF0, 0xDEADBEEF01234567]


def quotient(a, b):
    q = abs(a) // abs(b)
    return q if (a < 0) == (b < 0) else -q


def integers():
    pairs = [(a, b) for a in C32 for b in C32]
    table = [
        ("add.u32", lambda a, b: a + b), ("sub.s32", lambda a, b: a - b),
        ("mul.lo.s32", lambda a, b: a * b), ("mul.hi.u32", lambda a, b: a * b >> 32),
        ("mul.hi.s32", lambda a, b: signed(a) * signed(b) >> 32),
        ("min.s32", lambda a, b: min(signed(a), signed(b))), ("max.u32", max),
        ("and.b32", lambda a, b: a & b), ("or.b32", lambda a, b: a | b),
        ("xor.b32", lambda a, b: a ^ b),
        ("add.sat.s32", lambda a, b: max(-(2**31), min(2**31 - 1, signed(a) + signed(b)))),
        ("shl.b32", lambda a, b: a << b if b < 32 else 0),
        ("shr.u32", lambda a, b: a >> min(b, 32)),
        ("shr.s32", lambda a, b: signed(a) >> min(b, 31)),
    ]
    for op, f in table:
        lanewise("int_" + op.replace(".", "_"), f"{op} on corner values.", f"{op} {{d}}, {{0}}, {{1}};",
                 [("b32", [a for a, _ in pairs]), ("b32", [b for _, b in pairs])], "b32",
                 [f(a, b) for a, b in pairs])
    nonzero = [(a, b) for a, b in pairs if b and not (a == 0x80000000 and b == 0xFFFFFFFF)]
    for op, f in [
        ("div.u32", lambda a, b: a // b), ("rem.u32", lambda a, b: a % b),
        ("div.s32", lambda a, b: quotient(signed(a), signed(b))),
        ("rem.s32", lambda a, b: signed(a) - quotient(signed(a), signed(b)) * signed(b)),
    ]:
        lanewise("int_" + op.replace(".", "_"), f"{op} without division by zero.",
                 f"{op} {{d}}, {{0}}, {{1}};",
                 [("b32", [a for a, _ in nonzero]), ("b32", [b for _, b in nonzero])], "b32",
                 [f(a, b) for a, b in nonzero])
    for op, f in [("mul.wide.u32", lambda a, b: a * b),
                  ("mul.wide.s32", lambda a, b: signed(a) * signed(b))]:
        lanewise("int_" + op.replace(".", "_"), f"{op} on corner values.", f"{op} {{d}}, {{0}}, {{1}};",
                 [("b32", [a for a, _ in pairs]), ("b32", [b for _, b in pairs])], "b64",
                 [f(a, b) for a, b in pairs])
    wide = [(a, b) for a in C64 for b in C64]
    for op, f in [("add.u64", lambda a, b: a + b), ("mul.lo.u64", lambda a, b: a * b),
                  ("mul.hi.u64", lambda a, b: a * b >> 64),
                  ("mul.hi.s64", lambda a, b: signed(a, 64) * signed(b, 64) >> 64),
                  ("min.s64", lambda a, b: min(signed(a, 64), signed(b, 64)))]:
        lanewise("int_" + op.replace(".", "_"), f"{op} on corner values.", f"{op} {{d}}, {{0}}, {{1}};",
                 [("b64", [a for a, _ in wide]), ("b64", [b for _, b in wide])], "b64",
                 [f(a, b) for a, b in wide])
    shifts = [(a, s) for a in C64 for s in (0, 1, 31, 32, 33, 63, 64, 200)]
    for op, f in [("shl.b64", lambda a, s: a << s if s < 64 else 0),
                  ("shr.u64", lambda a, s: a >> min(s, 64)),
                  ("shr.s64", lambda a, s: signed(a, 64) >> min(s, 63))]:
        lanewise("int_" + op.replace(".", "_"), f"{op}, shifts beyond the width.",
                 f"{op} {{d}}, {{0}}, {{1}};",
                 [("b64", [a for a, _ in shifts]), ("b32", [s for _, s in shifts])], "b64",
                 [f(a, s) for a, s in shifts])
    ones = C32 + lcg(5, 0, 65535, 24)

    def find(a, is_signed):
        if is_signed and a >> 31:
            a = ~a & 0xFFFFFFFF
        return a.bit_length() - 1

    for op, f in [("brev.b32", lambda a: int(f"{a:032b}"[::-1], 2)),
                  ("popc.b32", lambda a: bin(a).count("1")),
                  ("clz.b32", lambda a: 32 - a.bit_length()),
                  ("bfind.u32", lambda a: find(a, False)), ("bfind.s32", lambda a: find(a, True)),
                  ("neg.s32", lambda a: -a), ("abs.s32", lambda a: abs(signed(a))),
                  ("not.b32", lambda a: ~a), ("cnot.b32", lambda a: int(a == 0))]:
        lanewise("int_" + op.replace(".", "_"), f"{op}.", f"{op} {{d}}, {{0}};", [("b32", ones)],
                 "b32", [f(a) for a in ones])
    a, b, c = ones, ones[::-1], lcg(9, 0, 65535, 32)
    three = [
        ("mad.lo.s32", lambda x, y, z: x * y + z), ("mad.hi.u32", lambda x, y, z: (x * y >> 32) + z),
        ("sad.u32", lambda x, y, z: z + abs(x - y)),
        ("sad.s32", lambda x, y, z: z + abs(signed(x) - signed(y))),
    ]
    for op, f in three:
        lanewise("int_" + op.replace(".", "_"), f"{op}.", f"{op} {{d}}, {{0}}, {{1}}, {{2}};",
                 [("b32", a), ("b32", b), ("b32", c)], "b32", [f(*t) for t in zip(a, b, c)])
    for table in (0x96, 0xE8, 0x1B, 0xCA):
        def lop(x, y, z, table=table):
            return sum(((table >> ((x >> i & 1) << 2 | (y >> i & 1) << 1 | z >> i & 1)) & 1) << i
                       for i in range(32))
        lanewise(f"int_lop3_{table:02x}", f"lop3 with table {table:#x}.",
                 f"lop3.b32 {{d}}, {{0}}, {{1}}, {{2}}, {table};",
                 [("b32", a), ("b32", b), ("b32", c)], "b32", [lop(*t) for t in zip(a, b, c)])
    amounts = [0, 1, 5, 16, 31, 32, 33, 40] * 4
    for side in "lr":
        for mode in ("wrap", "clamp"):
            def funnel(low, high, n, side=side, mode=mode):
                n = n & 31 if mode == "wrap" else min(n, 32)
                both = high << 32 | low
                return (both << n) >> 32 if side == "l" else both >> n
            lanewise(f"int_shf_{side}_{mode}", f"shf.{side}.{mode}: the funnel shift.",
                     f"shf.{side}.{mode}.b32 {{d}}, {{0}}, {{1}}, {{2}};",
                     [("b32", a), ("b32", b), ("b32", amounts)], "b32",
                     [funnel(*t) for t in zip(a, b, amounts)])
    places = [(p, n) for p in (0, 3, 31, 40, 255) for n in (0, 1, 8, 32, 33, 255)] + [(4, 28), (16, 16)]
    values = (C32 * 4)[:32]

    def extract(x, p, n, is_signed):
        p, n = p & 255, n & 255
        if n == 0:
            return 0
        top = x >> min(p + n - 1, 31) & 1 if is_signed else 0
        field = x >> p if p < 32 else 0
        field &= (1 << n) - 1
        have = max(0, min(n, 32 - p))
        if top:
            field |= ((1 << n) - 1) & ~((1 << have) - 1)
            field |= ~((1 << n) - 1)
        return field

    for ty in "us":
        lanewise(f"int_bfe_{ty}32", f"bfe.{ty}32, fields that reach over the end.",
                 f"bfe.{ty}32 {{d}}, {{0}}, {{1}}, {{2}};",
                 [("b32", values), ("b32", [p for p, _ in places]), ("b32", [n for _, n in places])],
                 "b32", [extract(x, p, n, ty == "s") for x, (p, n) in zip(values, places)])

    def permute(x, y, s):
        pool = (y << 32 | x).to_bytes(8, "little")
        out = 0
        for i in range(4):
            pick = s >> 4 * i & 15
            byte = pool[pick & 7]
            out |= (0xFF * (byte >> 7) if pick & 8 else byte) << 8 * i
        return out
    selectors = lcg(77, 0, 65535, 32)
    lanewise("int_prmt", "prmt with random selectors, sign replication among them.",
             "prmt.b32 {d}, {0}, {1}, {2};", [("b32", a), ("b32", b), ("b32", selectors)], "b32",
             [permute(*t) for t in zip(a, b, selectors)])

    def dot(x, y, z, is_signed):
        f = (lambda v: signed(v, 8)) if is_signed else (lambda v: v)
        return z + sum(f(x >> 8 * i & 255) * f(y >> 8 * i & 255) for i in range(4))
    for ty, is_signed in (("u32.u32", False), ("s32.s32", True)):
        lanewise("int_dp4a_" + ty[:3], f"dp4a.{ty}.", f"dp4a.{ty} {{d}}, {{0}}, {{1}}, {{2}};",
                 [("b32", a), ("b32", b), ("b32", c)], "b32",
                 [dot(*t, is_signed) for t in zip(a, b, c)])
    wide_a, wide_b = [x for x, _ in wide], [y for _, y in wide]
    lanewise("int_carry", "add.cc and addc: a 64-bit sum in halves.", """
        mov.b64 {{%r1, %r2}}, {0};
        mov.b64 {{%r3, %r4}}, {1};
        add.cc.u32 %r5, %r1, %r3;
        addc.u32 %r6, %r2, %r4;
        mov.b64 {d}, {{%r5, %r6}};""", [("b64", wide_a), ("b64", wide_b)], "b64",
             [x + y for x, y in wide])


F32 = [0x00000000, 0x80000000, 0x00000001, 0x807FFFFF, 0x00800000, 0x3F800000, 0xBF800001, 0x7F7FFFFF,
       0x7F800000, 0xFF800000, 0x7FC00000, 0x3FFFFFFF, 0x4B800001, 0xC0490FDB, 0x33800000, 0x3F7FFFFF]
F64 = [0, 1 << 63, 1, 0x3FF0000000000000, 0xBFF0000000000001, 0x7FEFFFFFFFFFFFFF, 0x7FF0000000000000,
       0x0010000000000000]
F16 = [0x0000, 0x8000, 0x0001, 0x83FF, 0x0400, 0x3C00, 0xBC01, 0x7BFF, 0x7C00, 0xFC00, 0x7E00, 0x3555]
BF16 = [0x0000, 0x8000, 0x0001, 0x807F, 0x0080, 0x3F80, 0xBF81, 0x7F7F, 0x7F80, 0xFF80, 0x7FC0, 0x3EAB]


def root(bits):
    value, sign = decode("f32", bits)
    if value == "nan" or sign and value != 0:
        return NAN["f32"]
    if value in ("inf", 0):
        return bits
    scale = 2 ** 200
    exact = math.isqrt(value.numerator * scale * scale // value.denominator)
    approximate = Fraction(2 * exact + (exact * exact * value.denominator != value.numerator * scale * scale), 2 * scale)
    return encode("f32", approximate)


def divide(a, b):
    (x, sx), (y, sy) = decode("f32", a), decode("f32", b)
    sign = sx ^ sy
    if "nan" in (x, y) or isinstance(x, str) and isinstance(y, str) or x == 0 and y == 0:
        return NAN["f32"]
    if isinstance(x, str) or y == 0:
        return sign << 31 | 0x7F800000
    if isinstance(y, str):
        return sign << 31
    return encode("f32", x / y, "rn", sign)


def order(ty, bits):
    value, sign = decode(ty, bits)
    if value == "nan":
        return None
    if isinstance(value, str):
        return (Fraction(-1 if sign else 1) * 2**2000, 0)
    return (value, -sign)


def extreme(ty, a, b, greater, nan):
    x, y = order(ty, a), order(ty, b)
    if x is None or y is None:
        if nan or x is None and y is None:
            return NAN[ty]
        return b if x is None else a
    return (a if x >= y else b) if greater else (a if x <= y else b)


def floats():
    one = 0x3F800000
    pairs = [(a, b) for a in F32 for b in F32]
    left, right = [a for a, _ in pairs], [b for _, b in pairs]
    third = (F32[3:] + F32[:3]) * 16
    for mode in ("rn", "rz", "rm", "rp"):
        lanewise(f"float_add_{mode}", f"add.{mode}.f32 on corner values.",
                 f"add.{mode}.f32 {{d}}, {{0}}, {{1}};", [("f32", left), ("f32", right)], "f32",
                 [fma_bits("f32", a, one, b, mode) for a, b in pairs])
        lanewise(f"float_mul_{mode}", f"mul.{mode}.f32 on corner values.",
                 f"mul.{mode}.f32 {{d}}, {{0}}, {{1}};", [("f32", left), ("f32", right)], "f32",
                 [fma_bits("f32", a, b, (decode("f32", a)[1] ^ decode("f32", b)[1]) << 31, mode)
                  for a, b in pairs])
        lanewise(f"float_fma_{mode}", f"fma.{mode}.f32 on corner values.",
                 f"fma.{mode}.f32 {{d}}, {{0}}, {{1}}, {{2}};",
                 [("f32", left), ("f32", right), ("f32", third)], "f32",
                 [fma_bits("f32", a, b, c, mode) for (a, b), c in zip(pairs, third)])
    lanewise("float_sub", "sub.f32 on corner values.", "sub.f32 {d}, {0}, {1};",
             [("f32", left), ("f32", right)], "f32",
             [fma_bits("f32", a, one, b ^ 0x80000000 if decode("f32", b)[0] != "nan" else b)
              for a, b in pairs])
    lanewise("float_add_ftz", "add.ftz.f32 flushes subnormal inputs and results.",
             "add.ftz.f32 {d}, {0}, {1};", [("f32", left), ("f32", right)], "f32",
             [ftz(fma_bits("f32", ftz(a), one, ftz(b))) for a, b in pairs])

    def saturate(bits):
        value, sign = decode("f32", bits)
        if value == "nan" or sign:
            return 0
        return one if value == "inf" or value > 1 else bits
    lanewise("float_add_sat", "add.sat.f32: NaN becomes 0.", "add.sat.f32 {d}, {0}, {1};",
             [("f32", left), ("f32", right)], "f32",
             [saturate(fma_bits("f32", a, one, b)) for a, b in pairs])
    lanewise("float_div_rn", "div.rn.f32 on corner values.", "div.rn.f32 {d}, {0}, {1};",
             [("f32", left), ("f32", right)], "f32", [divide(a, b) for a, b in pairs])
    lanewise("float_rcp_rn", "rcp.rn.f32.", "rcp.rn.f32 {d}, {0};", [("f32", F32)], "f32",
             [divide(one, a) for a in F32])
    lanewise("float_sqrt_rn", "sqrt.rn.f32.", "sqrt.rn.f32 {d}, {0};", [("f32", F32)], "f32",
             [root(a) for a in F32])
    for which, greater in (("min", False), ("max", True)):
        for word, nan in (("", False), (".NaN", True)):
            lanewise(f"float_{which}{word.replace('.', '_').lower()}", f"{which}{word}.f32.",
                     f"{which}{word}.f32 {{d}}, {{0}}, {{1}};", [("f32", left), ("f32", right)],
                     "f32", [extreme("f32", a, b, greater, nan) for a, b in pairs])
    tests = {"lt": lambda x, y: x is not None and y is not None and x[0] < y[0],
             "ltu": lambda x, y: x is None or y is None or x[0] < y[0],
             "eq": lambda x, y: x is not None and y is not None and x[0] == y[0],
             "neu": lambda x, y: x is None or y is None or x[0] != y[0],
             "num": lambda x, y: x is not None and y is not None,
             "nan": lambda x, y: x is None or y is None}
    for name, test in tests.items():
        lanewise(f"float_setp_{name}", f"setp.{name}.f32, NaN among the values.",
                 f"setp.{name}.f32 %p1, {{0}}, {{1}};\nselp.u32 {{d}}, 1, 0, %p1;",
                 [("f32", left), ("f32", right)], "b32",
                 [int(test(order("f32", a), order("f32", b))) for a, b in pairs])
    lanewise("float_copysign", "copysign.f32 d, a, b: b with the sign of a.",
             "copysign.f32 {d}, {0}, {1};", [("f32", left), ("f32", right)], "f32",
             [b & 0x7FFFFFFF | a & 0x80000000 for a, b in pairs])
    double = [(a, b) for a in F64 for b in F64]
    keep = [(a, b) for a, b in double
            if fma_bits("f64", a, 0x3FF0000000000000, b) != NAN["f64"]]
    lanewise("float_add_f64", "add.rn.f64; no NaN results.", "add.rn.f64 {d}, {0}, {1};",
             [("f64", [a for a, _ in keep]), ("f64", [b for _, b in keep])], "f64",
             [fma_bits("f64", a, 0x3FF0000000000000, b) for a, b in keep])
    rotated = (F64[1:] + F64[:1]) * 8
    triples = [(a, b, c) for (a, b), c in zip(double, rotated)
               if fma_bits("f64", a, b, c) != NAN["f64"]]
    for mode in ("rn", "rz"):
        lanewise(f"float_fma_f64_{mode}", f"fma.{mode}.f64; no NaN results.",
                 f"fma.{mode}.f64 {{d}}, {{0}}, {{1}}, {{2}};",
                 [("f64", [t[i] for t in triples]) for i in range(3)], "f64",
                 [fma_bits("f64", *t, mode) for t in triples])
    for ty, values, unit in (("f16", F16, 0x3C00), ("bf16", BF16, 0x3F80)):
        short = [(a, b) for a in values for b in values]
        c = (values[5:] + values[:5]) * 12
        x, y = [a for a, _ in short], [b for _, b in short]
        lanewise(f"float_fma_{ty}", f"fma.rn.{ty}.", f"fma.rn.{ty} {{d}}, {{0}}, {{1}}, {{2}};",
                 [(ty, x), (ty, y), (ty, c)], ty,
                 [fma_bits(ty, a, b, z) for (a, b), z in zip(short, c)])
        lanewise(f"float_add_{ty}", f"add.rn.{ty}.", f"add.rn.{ty} {{d}}, {{0}}, {{1}};",
                 [(ty, x), (ty, y)], ty, [fma_bits(ty, a, unit, b) for a, b in short])
        for which, greater in (("min", False), ("max", True)):
            lanewise(f"float_{which}_{ty}", f"{which}.NaN.{ty}.",
                     f"{which}.NaN.{ty} {{d}}, {{0}}, {{1}};", [(ty, x), (ty, y)], ty,
                     [extreme(ty, a, b, greater, True) for a, b in short])


def conversions():
    corners = F32 + [0x477FE000, 0x477FEFFF, 0x477FF000, 0x387FC000, 0x33000000, 0x33000001, 0x33800001,
                     0x43E00000, 0x43E80000, 0x43E8FFFF, 0xC3F00000, 0x3C800000, 0x3B000000,
                     0x3A800001, 0x47600000, 0x47700000, 0x3F808000, 0x3F818000, 0x3F808001,
                     0x7F7F8000, 0x37800000, 0x36FFFFFF, 0x40200000, 0xC0200000, 0x40600000,
                     0x4F000000, 0xCF000000, 0x4EFFFFFF, 0x4F800000, 0x3F000000, 0xBF000000,
                     0x42FE0000, 0x437F0000, 0xC3000000, 0x7FA00000, 0xFFFFFFFF, 0x3DCCCCCD, 0xBFC00000]

    def narrow(ty, bits, mode, satfinite=False, relu=False):
        value, sign = decode("f32", bits)
        if value == "nan":
            return NAN[ty]
        if relu and sign:
            return 0
        e, f = FLOATS[ty]
        if isinstance(value, str):
            largest = ((1 << e) - 1) << f if ty != "e4m3" else 0x7F
            top = largest - 1 if satfinite else largest
            return sign << (e + f) | top
        return encode(ty, value, mode, sign, satfinite)

    for ty in ("f16", "bf16"):
        for mode in ("rn", "rz"):
            lanewise(f"cvt_{ty}_f32_{mode}", f"cvt.{mode}.{ty}.f32 on corner values.",
                     f"cvt.{mode}.{ty}.f32 {{d}}, {{0}};", [("f32", corners)], ty,
                     [narrow(ty, x, mode) for x in corners])
        lanewise(f"cvt_{ty}_f32_relu", f"cvt.rn.relu.{ty}.f32: negatives become +0.",
                 f"cvt.rn.relu.{ty}.f32 {{d}}, {{0}};", [("f32", corners)], ty,
                 [narrow(ty, x, "rn", relu=True) for x in corners])
        lanewise(f"cvt_{ty}x2_f32", f"cvt.rn.{ty}x2.f32 d, a, b: a is the high half.",
                 f"cvt.rn.{ty}x2.f32 {{d}}, {{0}}, {{1}};",
                 [("f32", corners), ("f32", corners[::-1])], "b32",
                 [narrow(ty, a, "rn") << 16 | narrow(ty, b, "rn")
                  for a, b in zip(corners, corners[::-1])])
        halves = F16 if ty == "f16" else BF16
        halves = [h for h in halves if decode(ty, h)[0] != "nan"] + lcg(3, 0, 0x7BFF, 20)
        halves = [h for h in halves if not isinstance(decode(ty, h)[0], str)]
        lanewise(f"cvt_f32_{ty}", f"cvt.f32.{ty} is exact.", f"cvt.f32.{ty} {{d}}, {{0}};",
                 [(ty, halves)], "f32",
                 [encode("f32", decode(ty, h)[0], "rn", decode(ty, h)[1]) for h in halves])
    for ty in ("e4m3", "e5m2"):
        for relu in (False, True):
            word = ".relu" if relu else ""
            lanewise(f"cvt_{ty}x2_f32{'_relu' if relu else ''}",
                     f"cvt.rn.satfinite{word}.{ty}x2.f32: the first source is the high byte.",
                     f"cvt.rn.satfinite{word}.{ty}x2.f32 {{d}}, {{0}}, {{1}};",
                     [("f32", corners), ("f32", corners[::-1])], "b16",
                     [narrow(ty, a, "rn", True, relu) << 8 | narrow(ty, b, "rn", True, relu)
                      for a, b in zip(corners, corners[::-1])])
        everything = [i << 8 | i + 1 for i in range(0, 256, 2)]

        def widen(byte, ty=ty):
            value, sign = decode(ty, byte)
            if value == "nan":
                return 0x7FFF
            if isinstance(value, str):
                return 0xFC00 if sign else 0x7C00
            return encode("f16", value, "rn", sign)
        lanewise(f"cvt_f16x2_{ty}x2", f"cvt.rn.f16x2.{ty}x2 on all bytes.",
                 f"cvt.rn.f16x2.{ty}x2 {{d}}, {{0}};", [("b16", everything)], "b32",
                 [widen(p >> 8) << 16 | widen(p & 255) for p in everything])

    def to_integer(bits, mode, bits_out, is_signed):
        value, sign = decode("f32", bits)
        low, high = (-(1 << bits_out - 1), (1 << bits_out - 1) - 1) if is_signed else (0, (1 << bits_out) - 1)
        if value == "nan":
            return {(32, True): 0x80000000, (32, False): 0xFFFFFFFF}.get((bits_out, is_signed), 0) \
                if False else 0
        if isinstance(value, str):
            return low if sign else high
        return max(low, min(high, integer_round(value, mode)))
    for mode, ptx in (("rn", "rni"), ("rz", "rzi"), ("rm", "rmi"), ("rp", "rpi")):
        for ty, width, is_signed in (("s32", 32, True), ("u32", 32, False)):
            lanewise(f"cvt_{ty}_f32_{ptx}", f"cvt.{ptx}.{ty}.f32: clamps, NaN becomes 0.",
                     f"cvt.{ptx}.{ty}.f32 {{d}}, {{0}};", [("f32", corners)], "b32",
                     [to_integer(x, mode, width, is_signed) for x in corners])
        for ty, f in (("s32", lambda x: signed(x)), ("u32", lambda x: x)):
            values = C32 + [0x01000001, 0x01000003, 0x80000080, 0x80000081, 0xFF000001, 0x7FFFFFBF]
            lanewise(f"cvt_f32_{ty}_{mode}", f"cvt.{mode}.f32.{ty}.",
                     f"cvt.{mode}.f32.{ty} {{d}}, {{0}};", [("b32", values)], "f32",
                     [encode("f32", Fraction(f(x)), mode) for x in values])
        integral = [x for x in corners if decode("f32", x)[0] != "nan"]

        def whole(bits, mode=mode):
            value, sign = decode("f32", bits)
            return bits if isinstance(value, str) else encode(
                "f32", Fraction(integer_round(value, mode)), "rn", sign)
        lanewise(f"cvt_f32_f32_{ptx}", f"cvt.{ptx}.f32.f32 rounds to whole numbers.",
                 f"cvt.{ptx}.f32.f32 {{d}}, {{0}};", [("f32", integral)], "f32",
                 [whole(x) for x in integral])
        doubles = [0, 1 << 63, 0x3FF0000010000000, 0xBFF0000010000000, 0x3FF0000030000000,
                   0x47EFFFFFEFFFFFFF, 0x47EFFFFFF0000000, 0x36A0000000000000, 0x3690000000000000,
                   0xB6A0000000000001, 0x7FEFFFFFFFFFFFFF, 0x380FFFFFFFFFFFFF, 1, 0x7FF0000000000000]

        def single(bits, mode=mode):
            value, sign = decode("f64", bits)
            if isinstance(value, str):
                return sign << 31 | 0x7F800000
            return encode("f32", value, mode, sign)
        lanewise(f"cvt_f32_f64_{mode}", f"cvt.{mode}.f32.f64, results below the normal range too.",
                 f"cvt.{mode}.f32.f64 {{d}}, {{0}};", [("f64", doubles)], "f32",
                 [single(x) for x in doubles])

    def tf32(bits):
        value, sign = decode("f32", bits)
        if value == "nan":
            return NAN["f32"]
        return bits if isinstance(value, str) else encode("tf32", value, "rna", sign) << 13
    finite = [x for x in corners if not isinstance(decode("f32", x)[0], str)]
    lanewise("cvt_tf32_f32_rna", "cvt.rna.tf32.f32: ties away from zero.",
             "cvt.rna.tf32.f32 %r30, {0};\nmov.b32 {d}, %r30;", [("f32", finite)], "f32",
             [tf32(x) for x in finite])
    values = [0, 1, 127, 128, 255, 0x7FFF, 0x8000, 0xFFFF, 0x12345678, 0xFFFFFF80, 0xFFFFFF7F, 0x80000000]
    for op, f in (("cvt.sat.u8.s32", lambda x: max(0, min(255, signed(x)))),
                  ("cvt.sat.s8.s32", lambda x: max(-128, min(127, signed(x)))),
                  ("cvt.sat.s16.u32", lambda x: min(32767, x)),
                  ("cvt.s32.s8", lambda x: signed(x, 8)), ("cvt.u32.u8", lambda x: x & 255)):
        lines = (f"{op} %r30, {{0}};\nmov.b32 {{d}}, %r30;" if op in ("cvt.s32.s8", "cvt.u32.u8")
                 else f"{op} %r30, {{0}};\nmov.b32 {{d}}, %r30;")
        lanewise(op.replace(".", "_"), f"{op}.", lines, [("b32", values)], "b32",
                 [f(x) for x in values])


def main():
    integers()
    floats()
    conversions()
    import generate_machine

    generate_machine.everything()
    import generate_sums

    generate_sums.sums()
    import generate_probes

    generate_probes.scalars()
    import generate_hopper

    generate_hopper.everything()
    import generate_threads

    generate_threads.everything()
    print(len(WRITTEN), "programs")


if __name__ == "__main__":
    import generate

    generate.main()
