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


def values(ty, seed, count):
    """Random bits whose exponents lie within a few places of each other."""
    e, f = FLOATS[ty] if ty != "tf32" else (8, 10)
    bias = (1 << e - 1) - 1
    spread = {"e4m3": (-6, 8), "e5m2": (-8, 8)}.get(ty, (-7, 7))
    out = []
    raw = lcg(seed, 0, 65535, 3 * count)
    for i in range(count):
        field = bias + spread[0] + raw[3 * i] % (spread[1] - spread[0])
        fraction = raw[3 * i + 1] & ((1 << f) - 1)
        bits = (raw[3 * i + 2] & 1) << (e + f) | max(field, 0) << f | fraction
        out.append(bits << 13 if ty == "tf32" else bits)
    return out


def mma(ty, k, block, places, half=False, last="rz", name=None):
    p = Program(name, f"mma.sync of {ty} with terms of different size: blocks of {block}, {places} places.")
    size = ELEMENT[ty]
    a, b = values(ty, 101, 16 * k), values(ty, 102, 8 * k)
    p.buffer("a", STORED.get(ty, ty), len(a), "list", a)
    p.buffer("b", STORED.get(ty, ty), len(b), "list", b)
    c_bits = 0x3E9B if half else 0x3E9A5A5B
    c = decode("f16" if half else "f32", c_bits)[0]
    d = [[dot(ty, a[i * k : i * k + k], b[j * k : j * k + k], c, block, places, half, last)[0] for j in range(8)]
         for i in range(16)]
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
    body.append(f"    mma.sync.aligned.m16n8k{k}.row.col.{d_ty}.{ty}.{ty}.{d_ty}\n"
                f"        {group(30, n_d)}, {group(10, n_a)}, {group(20, n_b)}, {group(40, n_d)};")
    body += store_registers(30, n_d)
    p.buffer("out", "b32", 32 * n_d, "empty")
    p.expect("out", "b32", words(d, n_d, 1, half))
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
