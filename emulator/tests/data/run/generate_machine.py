"""The programs of this folder that need more than one operation per lane; see generate.py."""

from generate import Program, bits_of, lcg, signed, SIZE

# ----------------------------------------------------------------------------------- matrix products

ELEMENT = {"f16": 2, "bf16": 2, "tf32": 4, "e4m3": 1, "e5m2": 1, "s8": 1, "u8": 1}
STORED = {"tf32": "f32", "s8": "b8", "u8": "b8"}


def small(ty):
    return (0, 5) if ty in ("u8", "u4") else (-3, 3)


def product(a, b, m, n, k, c=None, sign=1):
    """a[m][k] · b[n][k]."""
    return [[sign * sum(a[i * k + x] * b[j * k + x] for x in range(k)) + (c[i][j] if c else 0)
             for j in range(n)] for i in range(m)]


def place(lane, j, half, warp=0):
    """Row and column of a D register (of its low half)."""
    g, t = lane // 4, lane % 4
    if half:
        return 16 * warp + g + 8 * (j % 2), 8 * (j // 2) + 2 * t
    return 16 * warp + g + 8 * (j // 2 % 2), 8 * (j // 4) + 2 * t + j % 2


def registers_of(d, count, warps, ty):
    """What each thread's registers of D hold."""
    words = []
    for thread in range(32 * warps):
        for j in range(count):
            row, column = place(thread % 32, j, ty == "f16", thread // 32)
            if ty == "f16":
                words.append(bits_of("f16", d[row][column]) | bits_of("f16", d[row][column + 1]) << 16)
            elif ty == "f32":
                words.append(bits_of("f32", d[row][column]))
            else:
                words.append(d[row][column] & 0xFFFFFFFF)
    return words


def store_registers(first, count, per_thread=None):
    lines = ["    mov.u32 %r0, %tid.x;", "    ld.param.u64 %rd9, [out];",
             f"    mad.wide.u32 %rd9, %r0, {4 * (per_thread or count)}, %rd9;"]
    for j in range(count):
        lines.append(f"    st.global.b32 [%rd9+{4 * j}], %r{first + j};")
    return lines


def mma_sync(m, k, a_ty, b_ty, d_ty, b1=None):
    bits = {"s4": 4, "u4": 4, "b1": 1}.get(a_ty) or 8 * ELEMENT[a_ty]
    row_bytes = k * bits // 8
    name = f"mma_m{m}n8k{k}_{d_ty}_{a_ty}_{b_ty}" + (f"_{b1}" if b1 else "")
    p = Program(name, f"mma.sync m{m}n8k{k}, {a_ty} by {b_ty} into {d_ty}.")
    low_a, low_b = small(a_ty), small(b_ty)
    if bits < 8:
        a = p.random("a", "b8", m * row_bytes, 1, 0, 255)
        b = p.random("b", "b8", 8 * row_bytes, 2, 0, 255)

        def split(data, ty):
            out = []
            for byte in data:
                for i in range(8 // bits):
                    v = byte >> bits * i & ((1 << bits) - 1)
                    out.append(signed(v, 4) if ty == "s4" else v)
            return out
        a, b = split(a, a_ty), split(b, b_ty)
    else:
        a = p.random("a", STORED.get(a_ty, a_ty), m * k, 1, *low_a)
        b = p.random("b", STORED.get(b_ty, b_ty), 8 * k, 2, *low_b)
    if b1:
        f = (lambda x, y: x & y) if b1 == "and" else (lambda x, y: x ^ y)
        d = [[sum(f(a[i * k + x], b[j * k + x]) for x in range(k)) + 7 for j in range(8)]
             for i in range(m)]
    else:
        d = product(a, b, m, 8, k, [[7] * 8] * m)
    n_a, n_b = m * row_bytes // 128, 8 * row_bytes // 128
    n_d = m * 8 // 32 // (2 if d_ty == "f16" else 1)
    c = {"f32": "0x40e00000", "f16": "0x47004700", "s32": "7"}[d_ty]
    body = ["    mov.u32 %r0, %tid.x;", "    shr.u32 %r1, %r0, 2;", "    and.b32 %r2, %r0, 3;",
            "    shl.b32 %r2, %r2, 2;", f"    mad.lo.u32 %r3, %r1, {row_bytes}, %r2;",
            "    ld.param.u64 %rd1, [a];", "    ld.param.u64 %rd2, [b];", "    cvt.u64.u32 %rd3, %r3;",
            "    add.u64 %rd1, %rd1, %rd3;", "    add.u64 %rd2, %rd2, %rd3;"]
    blocks = m // 8
    for i in range(n_a):
        offset = 8 * (i % blocks) * row_bytes + 16 * (i // blocks)
        body.append(f"    ld.global.b32 %r{10 + i}, [%rd1+{offset}];")
    for i in range(n_b):
        body.append(f"    ld.global.b32 %r{20 + i}, [%rd2+{16 * i}];")
    for i in range(n_d):
        body.append(f"    mov.b32 %r{40 + i}, {c};")
    group = lambda first, n: "{" + ", ".join(f"%r{first + i}" for i in range(n)) + "}"
    tail = f".{b1}.popc" if b1 else ""
    body.append(f"    mma.sync.aligned.m{m}n8k{k}.row.col.{d_ty}.{a_ty}.{b_ty}.{d_ty}{tail}\n"
                f"        {group(30, n_d)}, {group(10, n_a)}, {group(20, n_b)}, {group(40, n_d)};")
    body += store_registers(30, n_d)
    p.buffer("out", "b32", 32 * n_d, "empty")
    p.expect("out", "b32", registers_of(d, n_d, 1, d_ty))
    p.params = ["a", "b", "out"]
    p.write("\n".join(body))


def mma_f64(m, k):
    p = Program(f"mma_m{m}n8k{k}_f64", f"mma.sync m{m}n8k{k} on doubles.")
    a = p.random("a", "f64", m * k, 1, -3, 3)
    b = p.random("b", "f64", 8 * k, 2, -3, 3)
    d = product(a, b, m, 8, k, [[5] * 8] * m)
    blocks, n_a, n_b, n_d = m // 8, m * k // 32, k // 4, m // 4
    body = ["    mov.u32 %r0, %tid.x;", "    shr.u32 %r1, %r0, 2;", "    and.b32 %r2, %r0, 3;",
            f"    mad.lo.u32 %r3, %r1, {k}, %r2;", "    ld.param.u64 %rd1, [a];",
            "    ld.param.u64 %rd2, [b];", "    mad.wide.u32 %rd1, %r3, 8, %rd1;",
            "    mad.wide.u32 %rd2, %r3, 8, %rd2;", "    mov.f64 %fd50, 0d4014000000000000;"]
    for i in range(n_a):
        body.append(f"    ld.global.f64 %fd{10 + i}, [%rd1+{64 * k * (i % blocks) + 32 * (i // blocks)}];")
    for i in range(n_b):
        body.append(f"    ld.global.f64 %fd{20 + i}, [%rd2+{32 * i}];")
    group = lambda first, n: "{" + ", ".join(f"%fd{first + i}" for i in range(n)) + "}"
    c = "{" + ", ".join(["%fd50"] * n_d) + "}"
    body.append(f"    mma.sync.aligned.m{m}n8k{k}.row.col.f64.f64.f64.f64\n"
                f"        {group(30, n_d)}, {group(10, n_a)}, {group(20, n_b)}, {c};")
    body += ["    ld.param.u64 %rd9, [out];", f"    mad.wide.u32 %rd9, %r0, {8 * n_d}, %rd9;"]
    body += [f"    st.global.f64 [%rd9+{8 * i}], %fd{30 + i};" for i in range(n_d)]
    p.buffer("out", "f64", 32 * n_d, "empty")
    words = [bits_of("f64", d[lane // 4 + 8 * (i // 2)][lane % 4 * 2 + i % 2])
             for lane in range(32) for i in range(n_d)]
    p.expect("out", "f64", words)
    p.params = ["a", "b", "out"]
    p.write("\n".join(body))


MBARRIER = """
    mov.u32 %r1, smem;
    mov.u32 %r2, bar;
    setp.eq.u32 %p0, %r0, 0;
    @%p0 mbarrier.init.shared::cta.b64 [%r2], 1;
    @%p0 fence.mbarrier_init.release.cluster;
    bar.sync 0;"""
SHARED = ".shared .align 8 .b8 bar[8];\n.extern .shared .align 1024 .b8 smem[];"


def wait(parity=0, label="WAIT"):
    return (f"{label}:\n    mbarrier.try_wait.parity.shared::cta.b64 %p1, [%r2], {parity};\n"
            f"    @!%p1 bra {label};")


def wgmma(n, a_ty, b_ty, d_ty, steps=1, width=128, in_registers=False, ta=False, tb=False, neg=(1, 1),
          start=True):
    """D = ±A·B over `steps` instructions. A and B come by TMA with the swizzle of `width` bytes."""
    size = ELEMENT[a_ty]
    k = 32 // size
    width = min(width, 32 * steps if steps != 3 else 32)
    depth = k * steps
    name = f"wgmma_n{n}_{d_ty}_{a_ty}"
    name += f"_{b_ty}" if a_ty != b_ty else ""
    name += f"_k{steps}" if steps > 1 else ""
    name += f"_w{width}" if steps > 1 and width != min(128, 32 * steps) else ""
    name += "_reg" if in_registers else ""
    name += ("_ta" if ta else "") + ("_tb" if tb else "")
    name += "_neg" if -1 in neg else ""
    name += "_add" if not start else ""
    p = Program(name, f"wgmma m64n{n}k{k}, {a_ty} by {b_ty} into {d_ty}: {steps} steps, "
                f"rows of {width} bytes in shared memory.")
    stored_a, stored_b = STORED.get(a_ty, a_ty), STORED.get(b_ty, b_ty)
    a = p.random("a", stored_a, 64 * depth, 3, *small(a_ty))
    b = p.random("b", stored_b, n * depth, 4, *small(b_ty))
    if ta:  # stored as [k][m]
        a = [a[x * 64 + i] for i in range(64) for x in range(depth)]
    if tb:
        b = [b[x * n + j] for j in range(n) for x in range(depth)]
    count = n // 4 if d_ty == "f16" else n // 2
    initial = {"f32": "0x40400000", "f16": "0x42004200", "s32": "3"}[d_ty]
    d = product(a, b, 64, n, depth, None if start else [[3] * n] * 64, neg[0] * neg[1])
    p.launch = "1 1 1 128 1 1"
    box = width // size
    swizzle = width if width > 16 else 0

    def tensor(name, buffer, ty, rows, transposed):
        if transposed:
            p.map(name, buffer, ty, [rows, depth], [rows * size], [64, depth], 128)
            return 64 * size * depth, max(rows // 64, 1)
        p.map(name, buffer, ty, [depth, rows], [depth * size], [box, rows], swizzle)
        return rows * width, depth * size // width
    bytes_a, loads_a = (0, 0) if in_registers else tensor("ma", "a", stored_a, 64, ta)
    bytes_b, loads_b = tensor("mb", "b", stored_b, n, tb)
    base_b = -(-bytes_a * loads_a // 1024) * 1024
    total = base_b + bytes_b * loads_b
    body = ["    mov.u32 %r0, %tid.x;", MBARRIER]
    expect_bytes = bytes_a * loads_a + bytes_b * loads_b
    body.append(f"    @%p0 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r2], {expect_bytes};")
    for which, base, each, loads, transposed in (("ma", 0, bytes_a, loads_a, ta), ("mb", base_b, bytes_b, loads_b, tb)):
        for i in range(loads):
            column = 64 * i if transposed else box * i
            body.append(f"    mov.b64 %rd1, {which};\n    cvta.param.u64 %rd1, %rd1;\n    add.u32 %r3, %r1, {base + each * i};\n"
                        f"    mov.b32 %r4, {column};\n    mov.b32 %r5, 0;\n"
                        "    @%p0 cp.async.bulk.tensor.2d.shared::cluster.global.tile"
                        ".mbarrier::complete_tx::bytes\n        [%r3], [%rd1, {%r4, %r5}], [%r2];")
    body.append(wait())
    layout = {128: 1, 64: 2, 32: 3, 16: 0}

    def descriptor(reg, base, each, rows, transposed, step):
        if transposed:
            offset, leading, stride, kind = base + 16 * 128 * step, each, 1024, 1
        else:
            at = 32 * step
            offset = base + at // width * each + at % width
            kind, stride = layout[width], 8 * width
            leading = rows * 16
        high = (kind << 62) | (stride >> 4) << 32 | (leading >> 4) << 16
        return [f"    add.u32 %r3, %r1, {offset};", "    shr.u32 %r3, %r3, 4;",
                f"    cvt.u64.u32 {reg}, %r3;", f"    or.b64 {reg}, {reg}, 0x{high:016x};"]
    if in_registers:
        body += ["    shr.u32 %r4, %r0, 5;", "    and.b32 %r5, %r0, 31;", "    shr.u32 %r6, %r5, 2;",
                 "    mad.lo.u32 %r6, %r4, 16, %r6;", "    and.b32 %r7, %r5, 3;",
                 "    shl.b32 %r7, %r7, 2;", f"    mad.lo.u32 %r7, %r6, {depth * size}, %r7;",
                 "    ld.param.u64 %rd1, [a];", "    cvt.u64.u32 %rd2, %r7;", "    add.u64 %rd1, %rd1, %rd2;"]
        for s in range(steps):
            for i in range(4):
                offset = 8 * (i % 2) * depth * size + 16 * (i // 2) + 32 * s
                body.append(f"    ld.global.b32 %r{20 + 4 * s + i}, [%rd1+{offset}];")
    for j in range(count):
        body.append(f"    mov.b32 %r{100 + j}, {initial};")
    for s in range(steps):
        if not in_registers:
            body += descriptor(f"%rd{20 + s}", 0, bytes_a, 64, ta, s)
        body += descriptor(f"%rd{30 + s}", base_b, bytes_b, n, tb, s)
    body.append("    wgmma.fence.sync.aligned;")
    d_list = "{" + ", ".join(f"%r{100 + j}" for j in range(count)) + "}"
    for s in range(steps):
        source = ("{" + ", ".join(f"%r{20 + 4 * s + i}" for i in range(4)) + "}" if in_registers
                  else f"%rd{20 + s}")
        body.append(f"    setp.ne.b32 %p2, {int(s > 0 or not start)}, 0;")
        tail = ["%p2"]
        if d_ty != "s32":
            tail += [str(neg[0]), str(neg[1])]
        if size == 2:
            tail += ([] if in_registers else [str(int(ta))]) + [str(int(tb))]
        body.append(f"    wgmma.mma_async.sync.aligned.m64n{n}k{k}.{d_ty}.{a_ty}.{b_ty}\n"
                    f"        {d_list},\n        {source}, %rd{30 + s}, {', '.join(tail)};")
    body += ["    wgmma.commit_group.sync.aligned;", "    wgmma.wait_group.sync.aligned 0;"]
    body += store_registers(100, count)
    p.buffer("out", "b32", 128 * count, "empty")
    p.expect("out", "b32", registers_of(d, count, 4, d_ty))
    p.params = [("mb",), "out"] + (["a"] if in_registers else [("ma",)])
    p.write("\n".join(body), SHARED, launch_more=f"shared {total}")


def matrices():
    for m, k, a, b, d in [
        (16, 8, "f16", "f16", "f32"), (16, 16, "f16", "f16", "f32"), (16, 8, "f16", "f16", "f16"),
        (16, 16, "f16", "f16", "f16"), (16, 8, "bf16", "bf16", "f32"), (16, 16, "bf16", "bf16", "f32"),
        (16, 4, "tf32", "tf32", "f32"), (16, 8, "tf32", "tf32", "f32"),
        (16, 32, "e4m3", "e4m3", "f32"), (16, 32, "e4m3", "e5m2", "f32"), (16, 32, "e5m2", "e5m2", "f32"),
        (16, 16, "e4m3", "e4m3", "f32"), (16, 32, "e4m3", "e4m3", "f16"),
        (8, 16, "s8", "s8", "s32"), (16, 16, "s8", "u8", "s32"), (16, 32, "s8", "s8", "s32"),
        (16, 32, "u8", "s8", "s32"), (8, 32, "s4", "s4", "s32"), (16, 32, "u4", "s4", "s32"),
        (16, 64, "s4", "u4", "s32"),
    ]:
        mma_sync(m, k, a, b, d)
    for m, k in ((8, 128), (16, 128), (16, 256)):
        for b1 in ("and", "xor"):
            mma_sync(m, k, "b1", "b1", "s32", b1)
    for m, k in ((8, 4), (16, 4), (16, 8), (16, 16)):
        mma_f64(m, k)
    for n in (8, 16, 24, 64, 128, 192, 256):
        wgmma(n, "f16", "f16", "f32")
    for width in (16, 32, 64, 128):
        steps = 4 if width == 128 else 2
        wgmma(64, "bf16", "bf16", "f32", steps, width)
        wgmma(32, "e4m3", "e4m3", "f32", steps, width)
    for n in (8, 64, 256):
        wgmma(n, "f16", "f16", "f16")
        wgmma(n, "s8", "s8", "s32")
    for a, b in (("e4m3", "e5m2"), ("e5m2", "e4m3"), ("e5m2", "e5m2")):
        wgmma(16, a, b, "f32")
        wgmma(16, a, b, "f16")
    wgmma(16, "e4m3", "e4m3", "f16")
    for a, b in (("u8", "u8"), ("s8", "u8"), ("u8", "s8")):
        wgmma(32, a, b, "s32", 4)
    for n in (8, 64, 128):
        wgmma(n, "tf32", "tf32", "f32", 2, 64)
    wgmma(32, "tf32", "tf32", "f32", 4, 128, in_registers=True)
    for ty in ("f16", "bf16"):
        wgmma(64, ty, ty, "f32", 2, tb=True)
        wgmma(64, ty, ty, "f32", 2, ta=True, width=64)
        wgmma(128, ty, ty, "f32", 2, ta=True, tb=True)
        wgmma(32, ty, ty, "f32", 4, in_registers=True)
        wgmma(128, ty, ty, "f32", 2, in_registers=True, tb=True)
        wgmma(16, ty, ty, "f32", neg=(-1, 1), start=False)
    wgmma(16, "f16", "f16", "f32", 4, neg=(-1, -1))
    wgmma(16, "f16", "f16", "f16", 4, start=False)
    wgmma(32, "e4m3", "e4m3", "f32", 4, in_registers=True)
    wgmma(32, "s8", "s8", "s32", 4, in_registers=True, start=False)


# ------------------------------------------------------------------------------------- tensor copies


def swizzled(offset, swizzle):
    bits = {0: 0, 32: 1, 64: 3, 128: 7}[swizzle]
    return offset ^ ((offset >> 7 & bits) << 4)


def box_image(data, ty, dims, strides, box, steps, swizzle, at, fill, base=0):
    """The bytes of shared memory after a load; `data` holds the tensor's bytes."""
    size, rank = SIZE[ty], len(dims)
    extent = [box[0]] + [-(-box[i] // steps[i]) for i in range(1, rank)]
    total = size
    for e in extent:
        total *= e
    # Rows shorter than those of the swizzle's pattern leave gaps, which keep what they held.
    row = box[0] * size
    pitch = max(row, swizzle)
    image = bytearray(total // row * pitch)
    for index in range(total // size):
        rest, inside, address = index, True, 0
        for i in range(rank):
            x = at[i] + rest % extent[i] * (steps[i] if i else 1)
            rest //= extent[i]
            inside = inside and 0 <= x < dims[i]
            address += x * (strides[i - 1] if i else size)
        element = data[address : address + size] if inside else fill
        offset = index * size
        to = swizzled(base + offset // row * pitch + offset % row, swizzle) - base
        image[to : to + size] = element
    return bytes(image)


def load(name, title, ty, dims, box, at, swizzle=0, fill="zero", steps=None, pad=0, low=1, high=200, base=0):
    rank = len(dims)
    steps = steps or [1] * rank
    strides, stride = [], dims[0] * SIZE[ty] + pad
    for i in range(1, rank):
        strides.append(stride)
        stride *= dims[i]
    p = Program("tma_load_" + name, title)
    count = stride // SIZE[ty]
    data = p.random("in", ty, count, 11, low, high)
    raw = b"".join(bits_of(ty, v).to_bytes(SIZE[ty], "little") for v in data)
    nan = {"f16": b"\xf7\x7f", "bf16": b"\xf7\x7f", "f32": b"\xf7\x7f\xf7\x7f"}
    filler = nan[ty] if fill == "nan" else bytes(SIZE[ty])
    image = box_image(raw, ty, dims, strides, box, steps, swizzle, at, filler, base)
    p.map("map", "in", ty, dims, strides, box, swizzle, fill, steps)
    words = [int.from_bytes(image[i : i + 4], "little") for i in range(0, len(image), 4)]
    gaps = swizzle > box[0] * SIZE[ty]
    expected = len(image) * box[0] * SIZE[ty] // swizzle if gaps else len(image)
    body = ["    mov.u32 %r0, %tid.x;", MBARRIER] + ([clear(len(words))] if gaps else []) + [
            f"    @%p0 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r2], {expected};",
            "    mov.b64 %rd1, map;", "    cvta.param.u64 %rd1, %rd1;"]
    body += [f"    add.u32 %r1, %r1, {base};"] if base else []
    body += [f"    mov.b32 %r{10 + i}, {x};" for i, x in enumerate(at)]
    places = ", ".join(f"%r{10 + i}" for i in range(rank))
    body += [f"    @%p0 cp.async.bulk.tensor.{rank}d.shared::cluster.global.tile"
             ".mbarrier::complete_tx::bytes", f"        [%r1], [%rd1, {{{places}}}], [%r2];", wait(),
             copy_out(len(words))]
    p.buffer("out", "b32", len(words), "empty")
    p.expect("out", "b32", words)
    p.params = [("map",), "out"]
    p.write("\n".join(body), SHARED, launch_more=f"shared {base + max(len(image), 1024)}")


def clear(words, threads=32):
    return f"""    mov.u32 %r20, %r0;
CLEAR:
    setp.ge.u32 %p3, %r20, {words};
    @%p3 bra CLEAR_END;
    mad.lo.u32 %r21, %r20, 4, %r1;
    st.shared.b32 [%r21], 0;
    add.u32 %r20, %r20, {threads};
    bra CLEAR;
CLEAR_END:
    fence.proxy.async.shared::cta;
    bar.sync 0;"""


def copy_out(words, threads=32, label="COPY"):
    return f"""    ld.param.u64 %rd9, [out];
    mov.u32 %r20, %r0;
{label}:
    setp.ge.u32 %p3, %r20, {words};
    @%p3 bra {label}_END;
    mad.lo.u32 %r21, %r20, 4, %r1;
    ld.shared.b32 %r22, [%r21];
    mad.wide.u32 %rd10, %r20, 4, %rd9;
    st.global.b32 [%rd10], %r22;
    add.u32 %r20, %r20, {threads};
    bra {label};
{label}_END:"""


def copy_in(words, threads=32):
    return f"""    ld.param.u64 %rd8, [in];
    mov.u32 %r20, %r0;
FILL:
    setp.ge.u32 %p3, %r20, {words};
    @%p3 bra FILL_END;
    mad.wide.u32 %rd10, %r20, 4, %rd8;
    ld.global.b32 %r22, [%rd10];
    mad.lo.u32 %r21, %r20, 4, %r1;
    st.shared.b32 [%r21], %r22;
    add.u32 %r20, %r20, {threads};
    bra FILL;
FILL_END:
    fence.proxy.async.shared::cta;
    bar.sync 0;"""


def store(name, title, dims, box, at, swizzle=0, operation=None):
    """Shared to global: plain, or a reduction onto what is there."""
    p = Program(("tma_reduce_" if operation else "tma_store_") + name, title)
    rank = len(dims)
    strides, stride = [], dims[0] * 4
    for i in range(1, rank):
        strides.append(stride)
        stride *= dims[i]
    words = 1
    for e in box:
        words *= e
    source = p.random("in", "b32", words, 21, 1, 60000)
    target = p.random("out", "b32", stride // 4, 22, 1, 60000)
    p.map("map", "out", "b32", dims, strides, box, swizzle)
    result = list(target)
    f = {None: lambda x, y: y, "add": lambda x, y: x + y, "min": min, "max": max,
         "and": lambda x, y: x & y, "or": lambda x, y: x | y, "xor": lambda x, y: x ^ y}[operation]
    for index in range(words):
        rest, inside, address = index, True, 0
        for i in range(rank):
            x = at[i] + rest % box[i]
            rest //= box[i]
            inside = inside and 0 <= x < dims[i]
            address += x * (strides[i - 1] if i else 4)
        if inside:
            value = source[swizzled(index * 4, swizzle) // 4]
            result[address // 4] = f(result[address // 4], value)
    body = ["    mov.u32 %r0, %tid.x;", "    mov.u32 %r1, smem;", "    setp.eq.u32 %p0, %r0, 0;",
            copy_in(words), "    mov.b64 %rd1, map;", "    cvta.param.u64 %rd1, %rd1;"]
    body += [f"    mov.b32 %r{10 + i}, {x};" for i, x in enumerate(at)]
    places = ", ".join(f"%r{10 + i}" for i in range(rank))
    form = (f"cp.reduce.async.bulk.tensor.{rank}d.global.shared::cta.{operation}.tile.bulk_group"
            if operation else f"cp.async.bulk.tensor.{rank}d.global.shared::cta.tile.bulk_group")
    body += [f"    @%p0 {form}\n        [%rd1, {{{places}}}], [%r1];",
             "    @%p0 cp.async.bulk.commit_group;", "    @%p0 cp.async.bulk.wait_group 0;"]
    p.expect("out", "b32", result)
    p.params = [("map",), "in"]
    p.write("\n".join(body), "\n".join(SHARED.split("\n")[1:]), launch_more=f"shared {max(words * 4, 1024)}")


def tensor_copies():
    for swizzle, inner in ((0, 64), (32, 8), (64, 16), (128, 32)):
        load(f"2d_swizzle{swizzle}", f"A box of 16 rows with swizzle {swizzle}.", "b32", [96, 40],
             [inner, 16], [4, 3], swizzle)
        load(f"2d_swizzle{swizzle}_outside", f"Swizzle {swizzle}, a corner outside: zeros.", "b32",
             [40, 20], [inner, 16], [36, 10], swizzle)
        store(f"2d_swizzle{swizzle}", f"A store with swizzle {swizzle}, cut at the edges.", [40, 20],
              [min(inner, 32), 16], [28, 10], swizzle)
    load("2d_negative", "Negative coordinates read zeros.", "b32", [32, 16], [16, 8], [-8, -3])
    load("2d_bytes", "Bytes.", "b8", [64, 16], [32, 8], [16, 4])
    load("2d_f16_nan", "What is outside reads as NaN.", "f16", [40, 16], [32, 8], [24, 12], 64, "nan")
    load("2d_bf16_nan", "What is outside reads as NaN.", "bf16", [40, 16], [32, 8], [24, 12], 64, "nan")
    load("2d_f32_nan", "What is outside reads as NaN.", "f32", [24, 16], [16, 8], [-4, -4], 0, "nan")
    load("2d_b64", "64-bit elements.", "b64", [16, 16], [8, 8], [4, 2], 64)
    load("2d_pitch", "Rows that are farther apart than they are long.", "b32", [20, 16], [8, 8],
         [4, 2], 0, pad=48)
    load("2d_steps", "Every third row.", "b32", [32, 32], [8, 24], [4, 1], 32, steps=[1, 3])
    load("2d_all_outside", "The whole box is outside.", "b32", [32, 16], [8, 8], [100, 100])
    load("1d", "One dimension.", "b32", [200], [64], [152])
    load("3d", "Three dimensions, cut in each.", "b32", [20, 6, 5], [8, 4, 3], [16, 4, -1], 32)
    load("4d", "Four dimensions.", "b16", [24, 4, 3, 3], [16, 2, 2, 2], [-8, 1, 2, 0], 32)
    load("5d", "Five dimensions.", "b32", [12, 3, 3, 2, 2], [4, 2, 2, 2, 2], [8, 2, -1, 0, 1])
    store("1d", "One dimension, cut at the end.", [100], [64], [60])
    store("3d", "Three dimensions, cut in each.", [20, 6, 5], [8, 4, 3], [16, 4, 3], 32)
    for operation in ("add", "min", "max", "and", "or", "xor"):
        store(f"2d_{operation}", f"Reduction by {operation}, cut at the edges.", [40, 20], [32, 16],
              [28, 10], 128, operation)


# ------------------------------------------------------------------------------ small hand-made ones


def simple(name, title, body, expected, ty="b32", threads=32, ins=(), declarations="", launch_more="",
           grid=1, directives=""):
    p = Program(name, title)
    p.launch = f"{grid} 1 1 {threads} 1 1"
    for buffer, bty, words in ins:
        p.buffer(buffer, bty, len(words), "list", words)
    p.buffer("out", ty, len(expected), "empty")
    mask = (1 << 8 * SIZE[ty]) - 1
    p.expect("out", ty, [w & mask for w in expected])
    p.params = [b for b, _, _ in ins] + ["out"]
    p.write(body, declarations, directives, launch_more=launch_more)


OUT = """
    ld.param.u64 %rd9, [out];
    mad.wide.u32 %rd9, %r0, 4, %rd9;
    st.global.b32 [%rd9], %r30;"""
TID = "    mov.u32 %r0, %tid.x;\n"


def warps():
    lanes = range(32)
    value = [7 * l + 3 for l in lanes]
    start = TID + "    mad.lo.u32 %r10, %r0, 7, 3;\n"
    for name, form, expected in [
        ("idx", "shfl.sync.idx.b32 %r30, %r10, 5, 0x1f, -1;", [value[5]] * 32),
        ("idx_segment", "shfl.sync.idx.b32 %r30, %r10, 3, 0x181f, -1;", [value[l & 24 | 3] for l in lanes]),
        ("up", "shfl.sync.up.b32 %r30, %r10, 4, 0, -1;", [value[l - 4] if l >= 4 else value[l] for l in lanes]),
        ("down", "shfl.sync.down.b32 %r30, %r10, 4, 0x1f, -1;",
         [value[l + 4] if l < 28 else value[l] for l in lanes]),
        ("bfly", "shfl.sync.bfly.b32 %r30, %r10, 9, 0x1f, -1;", [value[l ^ 9] for l in lanes]),
        ("pred", "shfl.sync.down.b32 %r30|%p1, %r10, 8, 0x1f, -1;\n    selp.u32 %r30, 1, 0, %p1;",
         [int(l < 24) for l in lanes]),
    ]:
        simple("warp_shfl_" + name, f"shfl.sync, {name}.", start + "    " + form + OUT, expected)
    odd = TID + "    and.b32 %r1, %r0, 5;\n    setp.eq.u32 %p2, %r1, 5;\n"
    mask = sum(1 << l for l in lanes if l & 5 == 5)
    simple("warp_vote_ballot", "vote.sync.ballot.", odd + "    vote.sync.ballot.b32 %r30, %p2, -1;" + OUT, [mask] * 32)
    for which, result in (("all", 0), ("any", 1), ("uni", 0)):
        simple("warp_vote_" + which, f"vote.sync.{which}.", odd + f"    vote.sync.{which}.pred %p3, %p2, -1;\n"
               "    selp.u32 %r30, 1, 0, %p3;" + OUT, [result] * 32)
    simple("warp_match_any", "match.any.sync.", TID + "    rem.u32 %r1, %r0, 3;\n    match.any.sync.b32 %r30, %r1, -1;" + OUT,
           [sum(1 << m for m in lanes if m % 3 == l % 3) for l in lanes])
    simple("warp_match_all", "match.all.sync with equal values.",
           TID + "    mov.u32 %r1, 9;\n    match.all.sync.b32 %r30|%p1, %r1, -1;\n    @!%p1 mov.u32 %r30, 7;" + OUT, [0xFFFFFFFF] * 32)
    mixed = [(l * 2654435761) & 0xFFFFFFFF for l in lanes]
    spread = TID + "    mul.lo.u32 %r10, %r0, 2654435761;\n"
    import functools
    for op, f in [("add.s32", lambda x, y: x + y), ("min.s32", lambda x, y: min(signed(x), signed(y))),
                  ("max.s32", lambda x, y: max(signed(x), signed(y))), ("min.u32", min), ("max.u32", max),
                  ("and.b32", lambda x, y: x & y), ("or.b32", lambda x, y: x | y), ("xor.b32", lambda x, y: x ^ y)]:
        words = mixed[1:] if "and" in op else mixed
        result = functools.reduce(f, mixed)
        simple("warp_redux_" + op.replace(".", "_"), f"redux.sync.{op}.", spread + f"    redux.sync.{op} %r30, %r10, -1;" + OUT, [result] * 32)
    simple("warp_redux_part", "redux.sync of the odd lanes alone.",
           spread + "    and.b32 %r1, %r0, 1;\n    setp.eq.u32 %p1, %r1, 1;\n    mov.u32 %r30, 5;\n"
           "    @%p1 redux.sync.add.u32 %r30, %r10, 0xaaaaaaaa;" + OUT,
           [sum(mixed[1::2]) if l & 1 else 5 for l in lanes])
    simple("warp_elect", "elect.sync names one lane; it is the same in all.",
           TID + "    elect.sync %r1|%p1, -1;\n    selp.u32 %r2, 1, 0, %p1;\n    redux.sync.add.s32 %r30, %r2, -1;" + OUT, [1] * 32)
    simple("warp_masks", "Lane masks.", TID + "    mov.u32 %r1, %lanemask_lt;\n    mov.u32 %r2, %lanemask_ge;\n"
           "    popc.b32 %r1, %r1;\n    popc.b32 %r2, %r2;\n    mad.lo.u32 %r30, %r1, 100, %r2;" + OUT,
           [100 * l + 32 - l for l in lanes])
    simple("warp_diverge", "Both sides of a branch, then together again.",
           TID + "    and.b32 %r1, %r0, 3;\n    setp.eq.u32 %p1, %r1, 0;\n    @%p1 bra A;\n    mul.lo.u32 %r10, %r0, 3;\n"
           "    bra B;\nA:\n    add.u32 %r10, %r0, 1000;\nB:\n    bar.warp.sync -1;\n    shfl.sync.bfly.b32 %r30, %r10, 1, 0x1f, -1;" + OUT,
           [(l ^ 1) + 1000 if (l ^ 1) % 4 == 0 else 3 * (l ^ 1) for l in lanes])


def atomics():
    ops = [("add.u32", "1", lambda: sum(1 for _ in range(64)) + 100), ("max.u32", "%r0", lambda: 100),
           ("min.u32", "%r0", lambda: 0), ("or.b32", "%r0", lambda: 100 | 63), ("and.b32", "%r0", lambda: 0),
           ("xor.b32", "%r0", lambda: 100), ("inc.u32", "1000", lambda: 164), ("dec.u32", "1000", lambda: 36)]
    for op, operand, f in ops:
        for space in ("global", "shared"):
            if space == "global":
                body = TID + ("    ld.param.u64 %rd1, [out];\n    setp.eq.u32 %p0, %r0, 0;\n    @%p0 st.global.b32 [%rd1], 100;\n"
                              f"    bar.sync 0;\n    atom.global.{op} %r5, [%rd1], {operand};")
            else:
                body = TID + ("    mov.u32 %r1, cell;\n    setp.eq.u32 %p0, %r0, 0;\n    @%p0 st.shared.b32 [%r1], 100;\n"
                              f"    bar.sync 0;\n    atom.shared.{op} %r5, [%r1], {operand};\n    bar.sync 0;\n"
                              "    ld.shared.b32 %r6, [%r1];\n    ld.param.u64 %rd1, [out];\n    @%p0 st.global.b32 [%rd1], %r6;")
            simple(f"atom_{space}_{op.replace('.', '_')}", f"atom.{space}.{op} by 64 threads.", body, [f()], threads=64,
                   declarations=".shared .align 4 .b8 cell[4];")
    simple("atom_cas", "atom.cas: a spin lock around a plain counter.",
           TID + """    mov.u32 %r1, cell;
    setp.eq.u32 %p0, %r0, 0;
    @%p0 st.shared.v2.b32 [%r1], {0, 0};
    bar.sync 0;
LOCK:
    atom.acquire.cta.shared.cas.b32 %r2, [%r1], 0, 1;
    setp.ne.u32 %p1, %r2, 0;
    @%p1 bra LOCK;
    ld.shared.b32 %r3, [%r1+4];
    add.u32 %r3, %r3, 3;
    st.shared.b32 [%r1+4], %r3;
    atom.release.cta.shared.exch.b32 %r2, [%r1], 0;
    bar.sync 0;
    ld.shared.b32 %r3, [%r1+4];
    ld.param.u64 %rd1, [out];
    @%p0 st.global.b32 [%rd1], %r3;""", [192], threads=64, declarations=".shared .align 8 .b8 cell[8];")
    simple("atom_f32", "atom.add.f32 of small integers.",
           TID + "    ld.param.u64 %rd1, [out];\n    setp.eq.u32 %p0, %r0, 0;\n    @%p0 st.global.b32 [%rd1], 0;\n    bar.sync 0;\n"
           "    cvt.rn.f32.u32 %f1, %r0;\n    red.global.add.f32 [%rd1], %f1;", [bits_of("f32", 2016)], threads=64)
    simple("memory_vectors", "Vector loads and stores of every width.",
           TID + """    ld.param.u64 %rd1, [a];
    ld.param.u64 %rd2, [out];
    mad.wide.u32 %rd1, %r0, 16, %rd1;
    mad.wide.u32 %rd2, %r0, 16, %rd2;
    ld.global.v4.b8 {%h1, %h2, %h3, %h4}, [%rd1];
    ld.global.v2.b16 {%h5, %h6}, [%rd1+4];
    ld.global.v2.b32 {%r5, %r6}, [%rd1+8];
    st.global.v2.b32 [%rd2], {%r6, %r5};
    st.global.v2.b16 [%rd2+8], {%h6, %h5};
    st.global.v4.b8 [%rd2+12], {%h4, %h3, %h2, %h1};""",
           sum(([d[3], d[2], d[1] >> 16 | (d[1] & 65535) << 16, int.from_bytes(d[0].to_bytes(4, "little"), "big")]
                for d in [lcg(5 + i, 0, 65535, 4) for i in range(32)]), []),
           ins=[("a", "b32", sum((lcg(5 + i, 0, 65535, 4) for i in range(32)), []))])


def barriers():
    start = TID + "    mov.u32 %r1, bar;\n    setp.eq.u32 %p0, %r0, 0;\n"
    cell = ".shared .align 8 .b8 bar[64];"
    simple("mbarrier_phases", "Three phases with sixty-four arrivals; parity alternates.",
           start + """    @%p0 mbarrier.init.shared::cta.b64 [%r1], 64;
    @%p0 st.shared.b32 [%r1+8], 0;
    bar.sync 0;
    mov.u32 %r5, 0;
PHASE:
    atom.shared.add.u32 %r6, [%r1+8], 1;
    mbarrier.arrive.shared::cta.b64 %rd1, [%r1];
    and.b32 %r7, %r5, 1;
WAIT:
    mbarrier.try_wait.parity.shared::cta.b64 %p1, [%r1], %r7;
    @!%p1 bra WAIT;
    add.u32 %r5, %r5, 1;
    setp.lt.u32 %p2, %r5, 3;
    @%p2 bra PHASE;
    ld.shared.b32 %r30, [%r1+8];""" + OUT, [192] * 64, threads=64, declarations=cell)
    simple("mbarrier_state", "test_wait with the state that arrive returns: not yet, then complete.",
           start + """    @%p0 mbarrier.init.shared::cta.b64 [%r1], 2;
    bar.sync 0;
    mov.u32 %r30, 0;
    @!%p0 bra END;
    mbarrier.arrive.shared::cta.b64 %rd1, [%r1];
    mbarrier.test_wait.shared::cta.b64 %p1, [%r1], %rd1;
    selp.u32 %r30, 1, 0, %p1;
    mbarrier.arrive.shared::cta.b64 %rd2, [%r1];
    mbarrier.test_wait.shared::cta.b64 %p2, [%r1], %rd1;
    selp.u32 %r31, 10, 0, %p2;
    add.u32 %r30, %r30, %r31;
END:""" + OUT, [10] + [0] * 31, declarations=cell)
    simple("mbarrier_counts", "Arrivals that count for several, and a drop that changes the next phase.",
           start + """    mov.u32 %r30, 0;
    @!%p0 bra END;
    mbarrier.init.shared::cta.b64 [%r1], 4;
    mbarrier.arrive.shared::cta.b64 %rd1, [%r1], 3;
    mbarrier.arrive_drop.shared::cta.b64 %rd2, [%r1];
    mbarrier.test_wait.parity.shared::cta.b64 %p1, [%r1], 0;
    selp.u32 %r30, 1, 0, %p1;
    mbarrier.arrive.shared::cta.b64 %rd1, [%r1], 3;
    mbarrier.test_wait.parity.shared::cta.b64 %p1, [%r1], 1;
    selp.u32 %r31, 10, 0, %p1;
    add.u32 %r30, %r30, %r31;
END:""" + OUT, [11] + [0] * 31, declarations=cell)
    simple("mbarrier_tx", "Bytes that are expected after they have arrived.",
           start + """    mov.u32 %r30, 0;
    @!%p0 bra END;
    mbarrier.init.shared::cta.b64 [%r1], 1;
    mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%r1], 64;
    mbarrier.arrive.shared::cta.b64 %rd1, [%r1];
    mbarrier.test_wait.parity.shared::cta.b64 %p1, [%r1], 0;
    selp.u32 %r30, 1, 0, %p1;
    mbarrier.complete_tx.relaxed.cta.shared::cta.b64 [%r1], 64;
    mbarrier.test_wait.parity.shared::cta.b64 %p1, [%r1], 0;
    selp.u32 %r31, 10, 0, %p1;
    add.u32 %r30, %r30, %r31;
END:""" + OUT, [10] + [0] * 31, declarations=cell)
    simple("mbarrier_reuse", "inval, other data in its place, and init again.",
           start + """    mov.u32 %r30, 0;
    @!%p0 bra END;
    mbarrier.init.shared::cta.b64 [%r1], 1;
    mbarrier.inval.shared::cta.b64 [%r1];
    st.shared.b32 [%r1], 41;
    ld.shared.b32 %r30, [%r1];
    mbarrier.init.shared::cta.b64 [%r1], 1;
    mbarrier.arrive.shared::cta.b64 %rd1, [%r1];
    mbarrier.test_wait.parity.shared::cta.b64 %p1, [%r1], 0;
    @%p1 add.u32 %r30, %r30, 1;
END:""" + OUT, [42] + [0] * 31, declarations=cell)
    simple("bar_named", "bar.arrive and bar.sync on a named barrier: producer and consumer.",
           TID + """    mov.u32 %r1, bar;
    setp.ge.u32 %p1, %r0, 32;
    @%p1 bra CONSUMER;
    mul.lo.u32 %r2, %r0, 5;
    mad.lo.u32 %r3, %r0, 4, %r1;
    st.shared.b32 [%r3], %r2;
    bar.arrive 3, 64;
    bra END;
CONSUMER:
    bar.sync 3, 64;
    sub.u32 %r0, 63, %r0;
    mad.lo.u32 %r3, %r0, 4, %r1;
    ld.shared.b32 %r30, [%r3];
    ld.param.u64 %rd9, [out];
    mad.wide.u32 %rd9, %r0, 4, %rd9;
    st.global.b32 [%rd9], %r30;
END:""", [5 * i for i in range(32)], threads=64, declarations=".shared .align 8 .b8 bar[128];")
    simple("bar_red", "bar.red: counts and joins of a predicate.",
           TID + """    and.b32 %r1, %r0, 3;
    setp.eq.u32 %p1, %r1, 1;
    bar.red.popc.u32 %r30, 0, %p1;
    bar.red.or.pred %p2, 0, %p1;
    bar.red.and.pred %p3, 0, %p1;
    @%p2 add.u32 %r30, %r30, 100;
    @%p3 add.u32 %r30, %r30, 1000;""" + OUT, [116] * 64, threads=64)


def async_copies():
    for bytes_, level in ((4, "ca"), (8, "ca"), (16, "ca"), (16, "cg")):
        words = bytes_ // 4
        data = lcg(40 + bytes_, 0, 65535, 32 * words)
        simple(f"cp_async_{level}_{bytes_}", f"cp.async.{level} of {bytes_} bytes a lane.", TID + f"""    mov.u32 %r1, smem;
    ld.param.u64 %rd1, [a];
    mad.wide.u32 %rd1, %r0, {bytes_}, %rd1;
    mad.lo.u32 %r2, %r0, {bytes_}, %r1;
    cp.async.{level}.shared.global [%r2], [%rd1], {bytes_};
    cp.async.commit_group;
    cp.async.wait_group 0;
    bar.sync 0;
""" + copy_out(32 * words), data, ins=[("a", "b32", data)], declarations=SHARED, launch_more="shared 1024")
    data = lcg(50, 0, 65535, 128)
    simple("cp_async_zfill", "cp.async with a source size: the rest is zeros.", TID + """    mov.u32 %r1, smem;
    ld.param.u64 %rd1, [a];
    mad.wide.u32 %rd1, %r0, 16, %rd1;
    mad.lo.u32 %r2, %r0, 16, %r1;
    and.b32 %r3, %r0, 3;
    shl.b32 %r3, %r3, 2;
    cp.async.cg.shared.global [%r2], [%rd1], 16, %r3;
    cp.async.wait_all;
    bar.sync 0;
""" + copy_out(128), [d if i % 4 < i // 4 % 4 else 0 for i, d in enumerate(data)], ins=[("a", "b32", data)],
           declarations=SHARED, launch_more="shared 1024")
    simple("cp_async_groups", "Two groups, of which the older is waited for first.", TID + """    mov.u32 %r1, smem;
    ld.param.u64 %rd1, [a];
    mad.wide.u32 %rd1, %r0, 16, %rd1;
    mad.lo.u32 %r2, %r0, 16, %r1;
    cp.async.ca.shared.global [%r2], [%rd1], 8;
    cp.async.commit_group;
    cp.async.ca.shared.global [%r2+8], [%rd1+8], 8;
    cp.async.commit_group;
    cp.async.wait_group 1;
    ld.shared.b32 %r30, [%r2];
    cp.async.wait_group 0;
    ld.shared.b32 %r31, [%r2+12];
    add.u32 %r30, %r30, %r31;""" + OUT, [data[4 * i] + data[4 * i + 3] for i in range(32)], ins=[("a", "b32", data)],
           declarations=SHARED, launch_more="shared 1024")
    simple("cp_async_mbarrier", "cp.async.mbarrier.arrive.noinc.", TID + """    mov.u32 %r1, smem;
    mov.u32 %r2, bar;
    setp.eq.u32 %p0, %r0, 0;
    @%p0 mbarrier.init.shared::cta.b64 [%r2], 32;
    bar.sync 0;
    ld.param.u64 %rd1, [a];
    mad.wide.u32 %rd1, %r0, 16, %rd1;
    mad.lo.u32 %r3, %r0, 16, %r1;
    cp.async.cg.shared.global [%r3], [%rd1], 16;
    cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%r2];
""" + wait() + "\n" + copy_out(128), data, ins=[("a", "b32", data)], declarations=SHARED, launch_more="shared 1024")
    simple("bulk_load", "cp.async.bulk, global to shared.", TID + MBARRIER + """
    ld.param.u64 %rd1, [a];
    @%p0 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r2], 512;
    @%p0 cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r1], [%rd1], 512, [%r2];
""" + wait() + "\n" + copy_out(128), data, ins=[("a", "b32", data)], declarations=SHARED, launch_more="shared 1024")
    simple("bulk_store", "cp.async.bulk, shared to global.", TID + """    mov.u32 %r1, smem;
    setp.eq.u32 %p0, %r0, 0;
""" + copy_in(128) + """
    ld.param.u64 %rd1, [out];
    @%p0 cp.async.bulk.global.shared::cta.bulk_group [%rd1], [%r1], 512;
    @%p0 cp.async.bulk.commit_group;
    @%p0 cp.async.bulk.wait_group 0;""", data, ins=[("in", "b32", data)], declarations=SHARED.split("\n")[1], launch_more="shared 1024")


def matrix_moves():
    data = lcg(60, 0, 65535, 256)  # 16-bit elements, four 8x8 matrices, row r of matrix i at i*64+r*8
    image = [data[2 * i] | data[2 * i + 1] << 16 for i in range(128)]
    fill = TID + "    mov.u32 %r1, smem;\n" + copy_in(128)

    def element(matrix, row, column, trans):
        row, column = (column, row) if trans else (row, column)
        return data[matrix * 64 + row * 8 + column]
    for num in (1, 2, 4):
        for trans in (False, True):
            regs = ", ".join(f"%r{40 + i}" for i in range(num))
            word = ".trans" if trans else ""
            tail = "".join(f"    st.global.b32 [%rd9+{4 * i}], %r{40 + i};\n" for i in range(num))
            simple(f"ldmatrix_x{num}{'_trans' if trans else ''}", f"ldmatrix.x{num}{word}.", fill + f"""
    mad.lo.u32 %r2, %r0, 16, %r1;
    ldmatrix.sync.aligned.m8n8.x{num}{word}.shared.b16 {{{regs}}}, [%r2];
    ld.param.u64 %rd9, [out];
    mad.wide.u32 %rd9, %r0, {4 * num}, %rd9;
{tail}""", [element(i, l // 4, l % 4 * 2, trans) | element(i, l // 4, l % 4 * 2 + 1, trans) << 16
            for l in range(32) for i in range(num)], ins=[("in", "b32", image)], declarations=SHARED.split("\n")[1],
                   launch_more="shared 1024")
            back = [0] * 64 * num
            source = [[(l * 8 + i) * 131 & 0xFFFF | ((l * 8 + i) * 257 & 0xFFFF) << 16 for i in range(num)] for l in range(32)]
            for l in range(32):
                for i in range(num):
                    for h in range(2):
                        r, c = l // 4, l % 4 * 2 + h
                        r, c = (c, r) if trans else (r, c)
                        back[i * 64 + r * 8 + c] = source[l][i] >> 16 * h & 0xFFFF
            words = [back[2 * i] | back[2 * i + 1] << 16 for i in range(32 * num)]
            loads = "".join(f"    ld.global.b32 %r{40 + i}, [%rd8+{4 * i}];\n" for i in range(num))
            simple(f"stmatrix_x{num}{'_trans' if trans else ''}", f"stmatrix.x{num}{word}.", TID + f"""    mov.u32 %r1, smem;
    ld.param.u64 %rd8, [in];
    mad.wide.u32 %rd8, %r0, {4 * num}, %rd8;
{loads}    mad.lo.u32 %r2, %r0, 16, %r1;
    stmatrix.sync.aligned.m8n8.x{num}{word}.shared.b16 [%r2], {{{regs}}};
    bar.sync 0;
""" + copy_out(32 * num), words, ins=[("in", "b32", sum(source, []))], declarations=SHARED.split("\n")[1], launch_more="shared 1024")
    one = [image[l] for l in range(32)]
    simple("movmatrix", "movmatrix transposes in registers.", TID + """    ld.param.u64 %rd1, [in];
    mad.wide.u32 %rd1, %r0, 4, %rd1;
    ld.global.b32 %r2, [%rd1];
    movmatrix.sync.aligned.m8n8.trans.b16 %r30, %r2;""" + OUT,
           [element(0, l // 4, l % 4 * 2, True) | element(0, l // 4, l % 4 * 2 + 1, True) << 16 for l in range(32)],
           ins=[("in", "b32", one)])


def clusters():
    rank = TID + "    mov.u32 %r1, smem;\n    mov.u32 %r2, %cluster_ctarank;\n"
    sync = "    barrier.cluster.arrive.release.aligned;\n    barrier.cluster.wait.acquire.aligned;\n"
    out = """    mov.u32 %r28, %ctaid.x;
    mad.lo.u32 %r28, %r28, 32, %r0;
    ld.param.u64 %rd9, [out];
    mad.wide.u32 %rd9, %r28, 4, %rd9;
    st.global.b32 [%rd9], %r30;"""
    for size in (2, 4, 8, 16):
        simple(f"cluster_ring_{size}", f"Each of {size} CTAs reads its neighbour's shared memory.", rank + f"""    mad.lo.u32 %r3, %r2, 1000, %r0;
    mad.lo.u32 %r4, %r0, 4, %r1;
    st.shared.b32 [%r4], %r3;
{sync}    add.u32 %r5, %r2, 1;
    and.b32 %r5, %r5, {size - 1};
    mapa.shared::cluster.u32 %r6, %r4, %r5;
    ld.shared::cluster.b32 %r30, [%r6];
{sync}{out}""", [1000 * ((c + 1) % size) + l for c in range(size) for l in range(32)], declarations=SHARED.split("\n")[1],
               grid=size, launch_more=f"cluster {size} 1 1 shared 1024")
    simple("cluster_ids", "Positions in a cluster of 2 in a grid of 4.", rank + """    mov.u32 %r3, %clusterid.x;
    mov.u32 %r4, %cluster_ctaid.x;
    mov.u32 %r5, %nclusterid.x;
    mov.u32 %r6, %cluster_nctarank;
    mad.lo.u32 %r30, %r3, 10, %r4;
    mad.lo.u32 %r30, %r30, 10, %r5;
    mad.lo.u32 %r30, %r30, 10, %r6;
""" + out, [(c // 2 * 10 + c % 2) * 100 + 22 for c in range(4) for _ in range(32)], declarations=SHARED.split("\n")[1], grid=4,
           launch_more="cluster 2 1 1 shared 1024")
    simple("cluster_arrive", "Remote arrivals on the mbarrier of rank 0.", TID + MBARRIER.replace("], 1;", "], 4;") + f"""
    mov.u32 %r5, %cluster_ctarank;
{sync}    mov.u32 %r30, 0;
    mapa.shared::cluster.u32 %r6, %r2, 0;
    @%p0 mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%r6];
    setp.ne.u32 %p4, %r5, 0;
    @%p4 bra SKIP;
WAIT:
    mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 %p1, [%r2], 0;
    @!%p1 bra WAIT;
    mov.u32 %r30, 17;
SKIP:
{sync}{out}""", [17] * 32 + [0] * 96, declarations=SHARED, grid=4, launch_more="cluster 4 1 1 shared 1024")
    simple("cluster_st_async", "st.async to the neighbour, counted by its mbarrier.", TID + MBARRIER + f"""
    mov.u32 %r5, %cluster_ctarank;
    @%p0 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r2], 128;
{sync}    xor.b32 %r6, %r5, 1;
    mad.lo.u32 %r7, %r0, 4, %r1;
    mapa.shared::cluster.u32 %r7, %r7, %r6;
    mapa.shared::cluster.u32 %r8, %r2, %r6;
    mad.lo.u32 %r9, %r5, 500, %r0;
    st.async.shared::cluster.mbarrier::complete_tx::bytes.b32 [%r7], %r9, [%r8];
{wait()}
    mad.lo.u32 %r7, %r0, 4, %r1;
    ld.shared.b32 %r30, [%r7];
{sync}{out}""", [500 * (1 - c) + l for c in range(2) for l in range(32)], declarations=SHARED, grid=2, launch_more="cluster 2 1 1 shared 1024")
    data = lcg(70, 0, 65535, 32)
    simple("cluster_bulk_multicast", "cp.async.bulk of rank 0 into all four CTAs.", TID + MBARRIER + f"""
    mov.u32 %r5, %cluster_ctarank;
    @%p0 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r2], 128;
{sync}    setp.eq.and.u32 %p4, %r5, 0, %p0;
    mov.b16 %h1, 15;
    ld.param.u64 %rd1, [a];
    @%p4 cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%r1], [%rd1], 128, [%r2], %h1;
{wait()}
    mad.lo.u32 %r7, %r0, 4, %r1;
    ld.shared.b32 %r30, [%r7];
{sync}{out}""", data * 4, ins=[("a", "b32", data)], declarations=SHARED, grid=4, launch_more="cluster 4 1 1 shared 1024")
    simple("cluster_bulk_copy", "cp.async.bulk from shared memory into a neighbour's.", TID + MBARRIER + f"""
    mov.u32 %r5, %cluster_ctarank;
    @%p0 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r2], 128;
    mad.lo.u32 %r7, %r0, 4, %r1;
    mad.lo.u32 %r9, %r5, 300, %r0;
    st.shared.b32 [%r7], %r9;
    fence.proxy.async.shared::cta;
{sync}    xor.b32 %r6, %r5, 1;
    add.u32 %r10, %r1, 256;
    mapa.shared::cluster.u32 %r10, %r10, %r6;
    mapa.shared::cluster.u32 %r8, %r2, %r6;
    @%p0 cp.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes [%r10], [%r1], 128, [%r8];
{wait()}
    ld.shared.b32 %r30, [%r7+256];
{sync}{out}""", [300 * (1 - c) + l for c in range(2) for l in range(32)], declarations=SHARED, grid=2, launch_more="cluster 2 1 1 shared 1024")
    p = Program("cluster_tma_multicast", "A tensor copy of rank 1 into CTAs 0 and 1 of two.")
    data = p.random("in", "b32", 64 * 8, 81, 1, 60000)
    p.map("map", "in", "b32", [64, 8], [256], [32, 1])
    p.launch = "2 1 1 32 1 1"
    p.buffer("out", "b32", 64, "empty")
    p.expect("out", "b32", [data[3 * 64 + 16 + l] for l in range(32)] * 2)
    p.params = [("map",), "out"]
    p.write(TID + MBARRIER + f"""
    mov.u32 %r5, %cluster_ctarank;
    @%p0 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r2], 128;
{sync}    setp.eq.and.u32 %p4, %r5, 1, %p0;
    mov.b16 %h1, 3;
    mov.b64 %rd1, map;
    cvta.param.u64 %rd1, %rd1;
    mov.b32 %r10, 16;
    mov.b32 %r11, 3;
    @%p4 cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster
        [%r1], [%rd1, {{%r10, %r11}}], [%r2], %h1;
{wait()}
    mad.lo.u32 %r7, %r0, 4, %r1;
    ld.shared.b32 %r30, [%r7];
{sync}{out}""", SHARED, launch_more="cluster 2 1 1 shared 1024")


def budgets():
    simple("setmaxnreg_pass", "One warpgroup gives registers up, the other takes them.", TID + """    setp.ge.u32 %p1, %r0, 128;
    @%p1 bra TAKE;
    setmaxnreg.dec.sync.aligned.u32 40;
    mul.lo.u32 %r30, %r0, 2;
    bra JOIN;
TAKE:
    setmaxnreg.inc.sync.aligned.u32 152;
    mul.lo.u32 %r30, %r0, 3;
JOIN:""" + OUT, [2 * i if i < 128 else 3 * i for i in range(256)], threads=256, directives=".maxntid 256\n.minnctapersm 1\n.maxnreg 96")
    simple("setmaxnreg_three", "Three warpgroups with 168 registers each: 40, 232, 232.", TID + """    setp.ge.u32 %p1, %r0, 128;
    @%p1 bra TAKE;
    setmaxnreg.dec.sync.aligned.u32 40;
    mul.lo.u32 %r30, %r0, 5;
    bra JOIN;
TAKE:
    setmaxnreg.inc.sync.aligned.u32 232;
    mul.lo.u32 %r30, %r0, 7;
JOIN:""" + OUT, [5 * i if i < 128 else 7 * i for i in range(384)], threads=384, directives=".maxntid 384\n.minnctapersm 1")


def everything():
    matrices()
    tensor_copies()
    warps()
    atomics()
    barriers()
    async_copies()
    matrix_moves()
    clusters()
    budgets()
