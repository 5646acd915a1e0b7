"""Sums of the tensor cores whose terms do not fit together; see generate.py.

The model: the products of one block and the old accumulator are truncated toward zero to a multiple
of 2^(E - F), E being the largest exponent among them, and their sum is truncated toward zero to f32.
The exponent of a product is the sum of its factors' exponents. The places and block lengths below
are those that reproduce every bit of an H200's results, among F = 12 to 26 and whole or half blocks.
"""

from fractions import Fraction

from generate import Program, encode, decode, lcg, FLOATS
from generate_machine import ELEMENT, MBARRIER, SHARED, STORED, place, store_registers, wait


def exponent(ty, bits):
    e, f = FLOATS[ty] if ty != "tf32" else (8, 23)
    bias = (1 << e - 1) - 1
    field = bits >> f & ((1 << e) - 1)
    return (field or 1) - bias


def truncate(x, unit):
    n = abs(x) / unit
    n = n.numerator // n.denominator
    return n * unit if x >= 0 else -n * unit


def dot(ty, a, b, c, block, places, half=False, last="rz"):
    """One element of D; `c` is a fraction with an f32 (or f16) value."""
    total = c
    size = "f16" if half else "f32"
    for start in range(0, len(a), block):
        terms = []
        largest = -126
        for x, y in zip(a[start : start + block], b[start : start + block]):
            v, w = decode(ty, x)[0], decode(ty, y)[0]
            terms.append(v * w)
            if v and w:
                largest = max(largest, exponent(ty, x) + exponent(ty, y))
        if total:
            m = abs(total)
            e = m.numerator.bit_length() - m.denominator.bit_length()
            if Fraction(2) ** e > m:
                e -= 1
            largest = max(largest, e)
        unit = Fraction(2) ** (largest - places)
        total = sum((truncate(t, unit) for t in terms + [total]), Fraction(0))
        if start + block < len(a):
            total = decode("f32", encode("f32", total, "rz"))[0]
    bits = encode(size, total, last if half else "rz")
    if places == 13 and not half:
        bits &= ~0x3FF
    return bits, total


def values(ty, seed, count, spread=None):
    """Random bits whose exponents lie within a few places of each other."""
    e, f = FLOATS[ty] if ty != "tf32" else (8, 10)
    bias = (1 << e - 1) - 1
    spread = spread or {"e4m3": (-6, 8), "e5m2": (-8, 8)}.get(ty, (-7, 7))
    out = []
    raw = lcg(seed, 0, 65535, 3 * count)
    for i in range(count):
        field = bias + spread[0] + raw[3 * i] % (spread[1] - spread[0])
        fraction = raw[3 * i + 1] & ((1 << f) - 1)
        bits = (raw[3 * i + 2] & 1) << (e + f) | max(field, 0) << f | fraction
        out.append(bits << 13 if ty == "tf32" else bits)
    return out


def converted(a, b, b_ty, c, half):
    """8-bit floats in mma.sync: f16 products of the lower two of each four k, then of the upper two onto
    that, and C is added at the end. That is what the instruction is compiled to."""
    size = "f16" if half else "f32"
    total = Fraction(0)
    for part in (0, 2):
        pick = [i for i in range(len(a)) if i % 4 in (part, part + 1)]
        x = [encode("f16", decode(a[i][0], a[i][1])[0]) for i in pick]
        y = [encode("f16", decode(b_ty, b[i])[0]) for i in pick]
        bits, _ = dot("f16", x, y, total, len(pick), 25, half, "rn")
        total = decode(size, bits)[0]
    return encode(size, total + c)


def mma(ty, k, block, places, half=False, last="rz", name=None, b_ty=None, seed=101, spread=None):
    eight = ty in ("e4m3", "e5m2")
    b_ty = b_ty or ty
    p = Program(name, f"mma.sync of {ty} with terms of different size: blocks of {block}, {places} places." if not eight else
                f"mma.sync of {ty} by {b_ty} with terms of different size: two sums of f16, then C.")
    size = ELEMENT[ty]
    a, b = values(ty, seed, 16 * k, spread), values(b_ty, seed + 1, 8 * k, spread)
    p.buffer("a", STORED.get(ty, ty), len(a), "list", a)
    p.buffer("b", STORED.get(b_ty, b_ty), len(b), "list", b)
    c_bits = 0x3E9B if half else 0x3E9A5A5B
    c = decode("f16" if half else "f32", c_bits)[0]
    def element(i, j):
        x, y = a[i * k : i * k + k], b[j * k : j * k + k]
        if eight:
            return converted([(ty, v) for v in x], y, b_ty, c, half)
        return dot(ty, x, y, c, block, places, half, last)[0]
    d = [[element(i, j) for j in range(8)] for i in range(16)]
    row_bytes = k * size
    n_a, n_b, n_d = 16 * row_bytes // 128, 8 * row_bytes // 128, 2 if half else 4
    body = ["    mov.u32 %r0, %tid.x;", "    shr.u32 %r1, %r0, 2;", "    and.b32 %r2, %r0, 3;",
            "    shl.b32 %r2, %r2, 2;", f"    mad.lo.u32 %r3, %r1, {row_bytes}, %r2;",
            "    ld.param.u64 %rd1, [a];", "    ld.param.u64 %rd2, [b];", "    cvt.u64.u32 %rd3, %r3;",
            "    add.u64 %rd1, %rd1, %rd3;", "    add.u64 %rd2, %rd2, %rd3;"]
    for i in range(n_a):
        body.append(f"    ld.global.b32 %r{10 + i}, [%rd1+{8 * (i % 2) * row_bytes + 16 * (i // 2)}];")
    for i in range(n_b):
        body.append(f"    ld.global.b32 %r{20 + i}, [%rd2+{16 * i}];")
    for i in range(n_d):
        body.append(f"    mov.b32 %r{40 + i}, 0x{c_bits << 16 | c_bits if half else c_bits:08x};")
    group = lambda first, n: "{" + ", ".join(f"%r{first + i}" for i in range(n)) + "}"
    d_ty = "f16" if half else "f32"
    body.append(f"    mma.sync.aligned.m16n8k{k}.row.col.{d_ty}.{ty}.{b_ty}.{d_ty}\n"
                f"        {group(30, n_d)}, {group(10, n_a)}, {group(20, n_b)}, {group(40, n_d)};")
    body += store_registers(30, n_d)
    p.buffer("out", "b32", 32 * n_d, "empty")
    p.expect("out", "b32", words(d, n_d, 1, half))
    p.params = ["a", "b", "out"]
    p.write("\n".join(body))


def chain(a, b, c):
    """Fused multiply-adds in the order of k, doubles."""
    for x, y in zip(a, b):
        c = decode("f64", encode("f64", decode("f64", x)[0] * decode("f64", y)[0] + c))[0]
    return encode("f64", c)


def mma_f64(m, k, name):
    """Doubles whose sums need rounding."""
    p = Program(name, f"mma.sync m{m}n8k{k} on doubles that need rounding: a chain of fma in the order of k.")
    def random(seed, count):
        raw = lcg(seed, 0, 65535, 5 * count)
        return [(r[0] & 1) << 63 | 1023 - 6 + r[0] // 2 % 12 << 52 | (r[1] & 15) << 48 | r[2] << 32 | r[3] << 16 | r[4]
                for r in (raw[5 * i : 5 * i + 5] for i in range(count))]
    a, b = random(31, m * k), random(32, 8 * k)
    c_bits = 0x3FF123456789ABCD
    c = decode("f64", c_bits)[0]
    p.buffer("a", "f64", m * k, "list", a)
    p.buffer("b", "f64", 8 * k, "list", b)
    blocks, n_a, n_b, n_d = m // 8, m * k // 32, k // 4, m // 4
    body = ["    mov.u32 %r0, %tid.x;", "    shr.u32 %r1, %r0, 2;", "    and.b32 %r2, %r0, 3;",
            f"    mad.lo.u32 %r3, %r1, {k}, %r2;", "    ld.param.u64 %rd1, [a];",
            "    ld.param.u64 %rd2, [b];", "    mad.wide.u32 %rd1, %r3, 8, %rd1;",
            "    mad.wide.u32 %rd2, %r3, 8, %rd2;", f"    mov.f64 %fd50, 0d{c_bits:016x};"]
    for i in range(n_a):
        body.append(f"    ld.global.f64 %fd{10 + i}, [%rd1+{64 * k * (i % blocks) + 32 * (i // blocks)}];")
    for i in range(n_b):
        body.append(f"    ld.global.f64 %fd{20 + i}, [%rd2+{32 * i}];")
    group = lambda first, n: "{" + ", ".join(f"%fd{first + i}" for i in range(n)) + "}"
    body.append(f"    mma.sync.aligned.m{m}n8k{k}.row.col.f64.f64.f64.f64\n"
                f"        {group(30, n_d)}, {group(10, n_a)}, {group(20, n_b)}, {{{', '.join(['%fd50'] * n_d)}}};")
    body += ["    ld.param.u64 %rd9, [out];", f"    mad.wide.u32 %rd9, %r0, {8 * n_d}, %rd9;"]
    body += [f"    st.global.f64 [%rd9+{8 * i}], %fd{30 + i};" for i in range(n_d)]
    p.buffer("out", "f64", 32 * n_d, "empty")
    element = lambda i, j: chain(a[i * k : i * k + k], b[j * k : j * k + k], c)
    p.expect("out", "f64", [element(lane // 4 + 8 * (i // 2), lane % 4 * 2 + i % 2) for lane in range(32) for i in range(n_d)])
    p.params = ["a", "b", "out"]
    p.write("\n".join(body))


def wmma(ty, m, n, k, d_ty, b_row=False, name=None):
    """wmma with terms of different size; C is the same number everywhere."""
    p = Program(name, f"wmma m{m}n{n}k{k} of {ty} into {d_ty}, terms of different size.")
    integer = ty in ("s8", "u8")
    size = ELEMENT[ty]
    if integer:
        low, high = (0, 255) if ty == "u8" else (-128, 127)
        a, b = lcg(51, low, high, m * k), lcg(52, low, high, n * k)
        p.buffer("a", "b8", m * k, "list", [v & 255 for v in a])
        p.buffer("b", "b8", n * k, "list", [v & 255 for v in b])
    else:
        a, b = values(ty, 51, m * k), values(ty, 52, n * k)
        p.buffer("a", STORED.get(ty, ty), m * k, "list", a)
        p.buffer("b", STORED.get(ty, ty), n * k, "list", b)
    c_bits = {"f32": 0x3E9A5A5B, "f16": 0x3E9B, "s32": 12345}[d_ty]

    def element(i, j):
        x = a[i * k : i * k + k]
        y = [b[t * n + j] for t in range(k)] if b_row else b[j * k : j * k + k]
        if integer:
            return 12345 + sum(v * w for v, w in zip(x, y)) & 0xFFFFFFFF
        return dot(ty, x, y, decode(d_ty, c_bits)[0], 4 if ty == "tf32" else k, 25, d_ty == "f16", "rn")[0]
    frag = {"f16": (8, 8), "bf16": (4, 4), "tf32": (4, 4), "s8": (2, 2), "u8": (2, 2)}[ty]
    if (m, n) == (32, 8):
        frag = {"f16": (8, 8), "bf16": (8, 2), "s8": (4, 1), "u8": (4, 1)}[ty]
    if (m, n) == (8, 32):
        frag = {"f16": (8, 8), "bf16": (2, 8), "s8": (1, 4), "u8": (1, 4)}[ty]
    n_d = 4 if d_ty == "f16" else 8
    group = lambda first, count: "{" + ", ".join(f"%r{first + i}" for i in range(count)) + "}"
    major = "row" if b_row else "col"
    c = c_bits << 16 | c_bits if d_ty == "f16" else c_bits
    types = f"{d_ty}.{d_ty}" if ty == "f16" else f"{d_ty}.{ty}.{ty}.{d_ty}"
    body = ["    ld.param.u64 %rd1, [a];", "    ld.param.u64 %rd2, [b];", "    ld.param.u64 %rd3, [out];"]
    body += [f"    mov.b32 %r{60 + i}, 0x{c:x};" for i in range(n_d)]
    body += [f"    wmma.load.a.sync.aligned.row.m{m}n{n}k{k}.global.{ty} {group(10, frag[0])}, [%rd1], {k};",
             f"    wmma.load.b.sync.aligned.{major}.m{m}n{n}k{k}.global.{ty} {group(20, frag[1])}, [%rd2], {n if b_row else k};",
             f"    wmma.mma.sync.aligned.row.{major}.m{m}n{n}k{k}.{types}\n"
             f"        {group(40, n_d)}, {group(10, frag[0])}, {group(20, frag[1])}, {group(60, n_d)};",
             f"    wmma.store.d.sync.aligned.row.m{m}n{n}k{k}.global.{d_ty} [%rd3], {group(40, n_d)}, {n};"]
    stored = "b32" if integer else d_ty
    p.buffer("out", stored, m * n, "empty")
    p.expect("out", stored, [element(i, j) for i in range(m) for j in range(n)])
    p.params = ["a", "b", "out"]
    p.write("\n".join(body))


def words(d, count, warps, half):
    out = []
    for thread in range(32 * warps):
        for j in range(count):
            r, c = place(thread % 32, j, half, thread // 32)
            out.append(d[r][c] | d[r][c + 1] << 16 if half else d[r][c])
    return out


def wgmma(ty, block, places, half=False, last="rz", name=None):
    """m64n8, both operands in shared memory, two instructions."""
    size = ELEMENT[ty]
    k, steps = 32 // size, 2
    depth = k * steps
    p = Program(name, f"Two wgmma of {ty} with terms of different size: blocks of {block}, {places} places.")
    p.launch = "1 1 1 128 1 1"
    stored = STORED.get(ty, ty)
    a, b = values(ty, 103, 64 * depth), values(ty, 104, 8 * depth)
    p.buffer("a", stored, len(a), "list", a)
    p.buffer("b", stored, len(b), "list", b)
    p.map("ma", "a", stored, [depth, 64], [64], [depth, 64], 64)
    p.map("mb", "b", stored, [depth, 8], [64], [depth, 8], 64)

    def element(i, j):
        total = Fraction(0)
        for s in range(steps):
            x = a[i * depth + s * k : i * depth + s * k + k]
            y = b[j * depth + s * k : j * depth + s * k + k]
            bits, _ = dot(ty, x, y, total, block, places, half, last)
            total = decode("f16" if half else "f32", bits)[0]
        return bits
    d = [[element(i, j) for j in range(8)] for i in range(64)]
    count = 2 if half else 4
    body = ["    mov.u32 %r0, %tid.x;", MBARRIER,
            "    @%p0 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r2], 4608;",
            "    mov.b32 %r4, 0;"]
    for which, base in (("ma", 0), ("mb", 4096)):
        body.append(f"    mov.b64 %rd1, {which};\n    cvta.param.u64 %rd1, %rd1;\n    add.u32 %r3, %r1, {base};\n"
                    "    @%p0 cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes\n"
                    "        [%r3], [%rd1, {%r4, %r4}], [%r2];")
    body.append(wait())
    for s in range(steps):
        for reg, base in ((20, 0), (30, 4096)):
            body += [f"    add.u32 %r3, %r1, {base + 32 * s};", "    shr.u32 %r3, %r3, 4;",
                     f"    cvt.u64.u32 %rd{reg + s}, %r3;", f"    or.b64 %rd{reg + s}, %rd{reg + s}, 0x8000002000010000;"]
    body += [f"    mov.b32 %r{100 + j}, 0;" for j in range(count)]
    body.append("    wgmma.fence.sync.aligned;")
    regs = "{" + ", ".join(f"%r{100 + j}" for j in range(count)) + "}"
    d_ty = "f16" if half else "f32"
    tail = ", 0, 0" if size == 2 else ""
    for s in range(steps):
        body.append(f"    setp.ne.b32 %p2, {s}, 0;")
        body.append(f"    wgmma.mma_async.sync.aligned.m64n8k{k}.{d_ty}.{ty}.{ty}\n"
                    f"        {regs}, %rd{20 + s}, %rd{30 + s}, %p2, 1, 1{tail};")
    body += ["    wgmma.commit_group.sync.aligned;", "    wgmma.wait_group.sync.aligned 0;"]
    body += store_registers(100, count)
    p.buffer("out", "b32", 128 * count, "empty")
    p.expect("out", "b32", words(d, count, 4, half))
    p.params = [("ma",), ("mb",), "out"]
    p.write("\n".join(body), SHARED, launch_more="shared 8192")


def sums():
    for ty, k in (("f16", 16), ("f16", 8), ("bf16", 16), ("tf32", 8)):
        mma(ty, k, k, 25, name=f"sum_mma_{ty}_k{k}")
    mma("f16", 16, 16, 25, True, "rn", "sum_mma_f16_into_f16")
    for ty in ("f16", "bf16", "tf32"):
        wgmma(ty, 32 // ELEMENT[ty], 25, name=f"sum_wgmma_{ty}")
    wgmma("f16", 16, 25, True, "rn", "sum_wgmma_f16_into_f16")
    for ty in ("e4m3", "e5m2"):
        wgmma(ty, 32, 13, name=f"sum_wgmma_{ty}")
    for a, b, k, half in (("e4m3", "e4m3", 32, False), ("e5m2", "e5m2", 32, False), ("e4m3", "e5m2", 32, False),
                          ("e5m2", "e4m3", 32, True), ("e4m3", "e4m3", 16, False), ("e4m3", "e4m3", 32, True)):
        pair = a if a == b else f"{a}_{b}"
        mma(a, k, 0, 0, half, "rn", f"sum_mma_{pair}_k{k}{'_f16' if half else ''}", b, spread=(-3, 5) if half else None)
    for a, b, seed in (("e4m3", "e4m3", 771), ("e5m2", "e4m3", 773)):
        mma(a, 32, 0, 0, name=f"sum_mma_{a}_{b}_again", b_ty=b, seed=seed, spread=(-6, 7))
    for m, k in ((8, 4), (16, 4), (16, 8), (16, 16)):
        mma_f64(m, k, f"sum_mma_f64_m{m}k{k}")
    for ty, m, n, k, d, row in (("f16", 16, 16, 16, "f32", False), ("f16", 32, 8, 16, "f32", True), ("f16", 8, 32, 16, "f16", False),
                                ("f16", 16, 16, 16, "f16", True), ("bf16", 16, 16, 16, "f32", False), ("bf16", 8, 32, 16, "f32", True),
                                ("tf32", 16, 16, 8, "f32", False), ("s8", 16, 16, 16, "s32", False), ("u8", 32, 8, 16, "s32", True),
                                ("s8", 8, 32, 16, "s32", False)):
        wmma(ty, m, n, k, d, row, f"wmma_{ty}_m{m}n{n}_{d}{'_row' if row else ''}")
