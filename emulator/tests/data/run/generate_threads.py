"""More programs of threads: exchanges, atomics, memory, branches, barriers, clusters; see generate.py."""

from generate import Program, SIZE, lcg
from generate_hopper import DYNAMIC, asked
from generate_machine import MBARRIER, OUT, SHARED, TID, copy_in, copy_out, simple, wait

SYNC = "    barrier.cluster.arrive.release.aligned;\n    barrier.cluster.wait.acquire.aligned;\n"
CELL = ".shared .align 16 .b8 bar[256];"


def store(registers, per, ty="b32"):
    """Stores registers side by side, `per` a thread."""
    size = SIZE[ty]
    lines = ["    ld.param.u64 %rd9, [out];", f"    mad.wide.u32 %rd9, %r0, {size * per}, %rd9;"]
    return "\n".join(lines + [f"    st.global.{ty} [%rd9+{size * i}], {r};" for i, r in enumerate(registers)])


def exchanges():
    value = lcg(301, 0, 65535, 32)
    lane_b = [v % 40 for v in lcg(302, 0, 65535, 32)]
    lane_c = [(0, 0x10, 0x18, 0x1C, 0x1E)[v % 5] << 8 | w % 32 for v, w in zip(lcg(303, 0, 65535, 32), lcg(304, 0, 65535, 32))]
    head = TID + "".join(f"    ld.param.u64 %rd{i}, [{n}];\n    mad.wide.u32 %rd{i}, %r0, 4, %rd{i};\n    ld.global.b32 %r{10 + i}, [%rd{i}];\n"
                         for i, n in enumerate("abc"))
    ins = [("a", "b32", value), ("b", "b32", lane_b), ("c", "b32", lane_c)]
    for mode in ("up", "down", "bfly", "idx"):
        asked(f"shfl_{mode}_varied", f"shfl.sync.{mode} with another distance and segment in each lane.",
              head + f"    shfl.sync.{mode}.b32 %r20|%p1, %r10, %r11, %r12, -1;\n    selp.b32 %r21, 1, 0, %p1;\n" + store(["%r20", "%r21"], 2),
              64, ins=ins)
    asked("shfl_part", "shfl.sync among half of the warp, and in each of two branches.",
          head + """    mov.b32 %r20, 1000;
    mov.b32 %r21, 2000;
    setp.lt.u32 %p1, %r0, 16;
    @%p1 shfl.sync.bfly.b32 %r20, %r10, 3, 0x1f, 0xffff;
    and.b32 %r3, %r0, 1;
    setp.eq.u32 %p2, %r3, 1;
    @%p2 bra ODD;
    shfl.sync.down.b32 %r21, %r10, 2, 0x1f, 0x55555555;
    bra MEET;
ODD:
    shfl.sync.up.b32 %r21, %r10, 2, 0, 0xaaaaaaaa;
MEET:
""" + store(["%r20", "%r21"], 2), 64, ins=ins)
    asked("vote_forms", "Votes with negated and partial predicates.", head + """    and.b32 %r3, %r10, 3;
    setp.eq.u32 %p2, %r3, 0;
    setp.lt.u32 %p4, %r0, 16;
    vote.sync.ballot.b32 %r20, !%p2, -1;
    vote.sync.all.pred %p3, !%p2, -1;
    selp.b32 %r21, 1, 0, %p3;
    vote.sync.uni.pred %p3, %p4, -1;
    selp.b32 %r22, 1, 0, %p3;
    mov.b32 %r23, 77;
    mov.b32 %r24, 77;
    @!%p4 bra OUT;
    vote.sync.ballot.b32 %r23, %p2, 0xffff;
    vote.sync.uni.pred %p3, %p4, 0xffff;
    selp.b32 %r24, 1, 0, %p3;
OUT:
""" + store(["%r20", "%r21", "%r22", "%r23", "%r24"], 5), 160, ins=ins)
    asked("match_forms", "match of 32 and 64 bits, all and any, among all and some.", head + """    and.b32 %r3, %r10, 3;
    match.any.sync.b32 %r20, %r3, -1;
    mov.b64 %rd5, {%r3, %r11};
    match.any.sync.b64 %r21, %rd5, -1;
    match.all.sync.b32 %r22|%p1, %r3, -1;
    selp.b32 %r23, 1, 0, %p1;
    mov.b64 %rd6, 0x1234567890;
    match.all.sync.b64 %r24|%p2, %rd6, -1;
    mov.b32 %r25, 9;
    setp.ge.u32 %p3, %r0, 20;
    @%p3 match.any.sync.b32 %r25, %r3, 0xfff00000;
""" + store([f"%r{20 + i}" for i in range(6)], 6), 192, ins=ins)
    asked("redux_forms", "redux among some lanes.", head + """    mul.lo.u32 %r3, %r10, 2654435761;
    mov.b32 %r20, 1;
    mov.b32 %r21, 2;
    mov.b32 %r22, 3;
    mov.b32 %r23, 4;
    setp.lt.u32 %p1, %r0, 11;
    @!%p1 bra REST;
    redux.sync.min.u32 %r20, %r3, 0x7ff;
    redux.sync.max.s32 %r21, %r3, 0x7ff;
    redux.sync.add.s32 %r22, %r3, 0x7ff;
    redux.sync.xor.b32 %r23, %r3, 0x7ff;
    bra END;
REST:
    redux.sync.and.b32 %r20, %r3, 0xfffff800;
    redux.sync.or.b32 %r21, %r3, 0xfffff800;
    redux.sync.add.u32 %r22, %r3, 0xfffff800;
END:
""" + store([f"%r{20 + i}" for i in range(4)], 4), 128, ins=ins)
    simple("elect_part", "elect.sync among the upper half: one of them.", TID + """    mov.b32 %r30, 0;
    setp.lt.u32 %p2, %r0, 16;
    @%p2 bra END;
    elect.sync %r1|%p1, 0xffff0000;
    selp.u32 %r2, 1, 0, %p1;
    redux.sync.add.s32 %r30, %r2, 0xffff0000;
    shr.u32 %r3, %r1, 4;
    shl.b32 %r3, %r3, 4;
    add.u32 %r30, %r30, %r3;
END:""" + OUT, [0] * 16 + [17] * 16)


def atomics():
    whole = [0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x12345678, 5, 0xDEADBEEF]
    wide = [0, 1, 2**63 - 1, 2**63, 2**64 - 1, 0x123456789ABCDEF0, 5, 0xDEADBEEF01234567]
    f32 = [0x3F800000, 0x00000001, 0x807FFFFF, 0x7F800000, 0xFF800000, 0x7FC00000, 0x80000000, 0x00800000]
    f64 = [0x3FF0000000000000, 1, 1 << 63, 0x7FF0000000000000, 0xFFF0000000000000, 0x7FF8000000000000, 0x0010000000000000, 0x4008000000000001]
    f16 = [0x3C00, 0x0001, 0x83FF, 0x7C00, 0xFC00, 0x7E00, 0x8000, 0x7BFF]
    bf16 = [0x3F80, 0x0001, 0x807F, 0x7F80, 0xFF80, 0x7FC0, 0x8000, 0x7F7F]
    pair = lambda v: [x << 16 | v[(i + 3) % 8] for i, x in enumerate(v)]
    table = [("add.f32", f32, 4), ("add.f64", f64, 8), ("add.noftz.f16", f16, 2), ("add.noftz.bf16", bf16, 2),
             ("add.noftz.f16x2", pair(f16), 4), ("add.noftz.bf16x2", pair(bf16), 4), ("min.s32", whole, 4), ("max.s32", whole, 4),
             ("min.u32", whole, 4), ("inc.u32", whole, 4), ("dec.u32", whole, 4), ("exch.b32", whole, 4), ("add.u64", wide, 8),
             ("min.s64", wide, 8), ("max.u64", wide, 8), ("and.b64", wide, 8), ("or.b64", wide, 8), ("xor.b64", wide, 8), ("exch.b64", wide, 8),
             ("cas.b32", whole, 4), ("cas.b64", wide, 8), ("cas.b16", f16, 2)]
    for op, v, size in table:
        ty = f"b{8 * size}"
        reg = {2: "%h", 4: "%r", 8: "%rd"}[size]
        old = [x for x in v for _ in v]
        operand = [y for _ in v for y in v]
        new = "9" if size != 2 else f"{reg}14"
        for space in ("global", "shared"):
            third = f", {new}" if op.startswith("cas") else ""
            body = TID + f"""    mov.u32 %r1, bar;
    ld.param.u64 %rd1, [a];
    mad.wide.u32 %rd1, %r0, {size}, %rd1;
    ld.global.{ty} {reg}12, [%rd1];
    ld.param.u64 %rd2, [b];
    mad.wide.u32 %rd2, %r0, {size}, %rd2;
    ld.global.{ty} {reg}13, [%rd2];
    mov.b16 %h14, 9;
    ld.param.u64 %rd9, [out];
    mad.wide.u32 %rd9, %r0, {2 * size}, %rd9;
"""
            if space == "global":
                body += f"""    st.global.{ty} [%rd9], {reg}12;
    atom.global.{op} {reg}15, [%rd9], {reg}13{third};
    st.global.{ty} [%rd9+{size}], {reg}15;"""
            else:
                body += f"""    mad.lo.u32 %r2, %r0, {size}, %r1;
    st.shared.{ty} [%r2], {reg}12;
    atom.shared.{op} {reg}15, [%r2], {reg}13{third};
    ld.shared.{ty} {reg}16, [%r2];
    st.global.{ty} [%rd9], {reg}16;
    st.global.{ty} [%rd9+{size}], {reg}15;"""
            asked(f"atom_corner_{space}_{op.replace('.noftz', '').replace('.', '_')}", f"atom.{space}.{op}: corner values, what is left and returned.",
                  body, 128, ty, 64, [("a", ty, old), ("b", ty, operand)], f".shared .align 16 .b8 bar[{64 * size}];")
    asked("atom_b128", "exch and cas of 128 bits.", TID + """    ld.param.u64 %rd9, [out];
    mad.wide.u32 %rd9, %r0, 48, %rd9;
    cvt.u64.u32 %rd1, %r0;
    add.u64 %rd2, %rd1, 0x1234567800000000;
    .reg .b128 %q<4>;
    mov.b128 %q0, {%rd1, %rd2};
    st.global.v2.b64 [%rd9], {%rd1, %rd2};
    mov.b64 %rd3, 77;
    mov.b128 %q1, {%rd3, %rd1};
    atom.global.exch.b128 %q2, [%rd9], %q1;
    mov.b128 {%rd4, %rd5}, %q2;
    st.global.v2.b64 [%rd9+16], {%rd4, %rd5};
    mov.b64 %rd6, 4;
    mov.b128 %q3, {%rd3, %rd6};
    atom.global.cas.b128 %q2, [%rd9], %q3, %q0;
    mov.b128 {%rd4, %rd5}, %q2;
    st.global.v2.b64 [%rd9+32], {%rd4, %rd5};""", 32 * 6, "b64")
    asked("atom_vectors", "atom and red of vectors.", TID + """    ld.param.u64 %rd9, [out];
    mad.wide.u32 %rd9, %r0, 64, %rd9;
    cvt.rn.f32.u32 %f1, %r0;
    add.f32 %f2, %f1, 0f3F000000;
    mov.f32 %f3, 0f40400000;
    st.global.v4.f32 [%rd9], {%f1, %f2, %f3, %f3};
    st.global.v4.f32 [%rd9+16], {%f1, %f1, %f2, %f2};
    st.global.v4.f32 [%rd9+32], {%f3, %f3, %f3, %f3};
    atom.global.v4.f32.add {%f4, %f5, %f6, %f7}, [%rd9], {%f2, %f2, %f1, %f3};
    st.global.v4.f32 [%rd9+48], {%f4, %f5, %f6, %f7};
    red.global.v2.f32.add [%rd9+16], {%f3, %f1};
    mov.b32 %r5, 0x3c004000;
    red.global.v4.f16x2.add.noftz [%rd9+32], {%r5, %r5, %r5, %r5};""", 32 * 16)
    asked("red_forms", "red with scopes and orders.", TID + """    ld.param.u64 %rd9, [out];
    mad.wide.u32 %rd9, %r0, 32, %rd9;
    st.global.v4.b32 [%rd9], {%r0, %r0, %r0, %r0};
    st.global.v4.b32 [%rd9+16], {%r0, %r0, %r0, %r0};
    red.relaxed.gpu.global.add.u32 [%rd9], 5;
    red.release.cta.global.max.s32 [%rd9+4], 9;
    red.global.and.b32 [%rd9+8], 6;
    red.relaxed.sys.global.inc.u32 [%rd9+12], 3;
    red.global.dec.u32 [%rd9+16], 7;
    red.global.min.u32 [%rd9+20], 3;
    mov.b64 %rd5, 0x100000002;
    red.global.add.u64 [%rd9+24], %rd5;
    atom.acq_rel.gpu.global.or.b32 %r5, [%rd9], 64;
    atom.relaxed.cluster.global.xor.b32 %r5, [%rd9+4], 1;""", 256)


def memory():
    data = lcg(310, 0, 65535, 128)
    ins = [("in", "b32", data)]
    head = TID + "    ld.param.u64 %rd1, [in];\n    mad.wide.u32 %rd1, %r0, 16, %rd1;\n"
    asked("memory_cache_words", "Loads and stores with every cache and ordering word.", head + """    ld.param.u64 %rd9, [out];
    mad.wide.u32 %rd9, %r0, 64, %rd9;
    ld.global.ca.b32 %r10, [%rd1];
    ld.global.cg.b32 %r11, [%rd1+4];
    ld.global.cs.b32 %r12, [%rd1+8];
    ld.global.lu.b32 %r13, [%rd1+12];
    ld.global.cv.b32 %r14, [%rd1];
    ld.global.nc.b32 %r15, [%rd1+4];
    ld.global.nc.L1::no_allocate.L2::128B.v2.b32 {%r16, %r17}, [%rd1];
    ld.volatile.global.b32 %r18, [%rd1+8];
    ld.relaxed.gpu.global.b32 %r19, [%rd1+8];
    ld.acquire.sys.global.b32 %r20, [%rd1+12];
    createpolicy.fractional.L2::evict_last.b64 %rd5, 1.0;
    ld.global.L2::cache_hint.v4.b32 {%r21, %r22, %r23, %r24}, [%rd1], %rd5;
    prefetch.global.L2 [%rd1];
    prefetchu.L1 [%rd1];
    st.global.wb.b32 [%rd9], %r10;
    st.global.cg.b32 [%rd9+4], %r11;
    st.global.cs.b32 [%rd9+8], %r12;
    st.global.wt.b32 [%rd9+12], %r13;
    st.volatile.global.b32 [%rd9+16], %r14;
    st.relaxed.cta.global.b32 [%rd9+20], %r15;
    st.release.gpu.global.b32 [%rd9+24], %r16;
    st.global.L1::no_allocate.b32 [%rd9+28], %r17;
    st.global.L1::evict_last.v2.b32 [%rd9+32], {%r18, %r19};
    st.global.L2::cache_hint.b32 [%rd9+40], %r20, %rd5;
    st.global.b32 [%rd9+44], %r21;
    st.global.v4.b32 [%rd9+48], {%r21, %r22, %r23, %r24};""", 512, ins=ins)
    asked("memory_narrow", "Narrow loads widen into their registers; narrow stores cut.", head + """    ld.param.u64 %rd9, [out];
    mad.wide.u32 %rd9, %r0, 48, %rd9;
    ld.global.u8 %r10, [%rd1+1];
    ld.global.s8 %r11, [%rd1+1];
    ld.global.u16 %r12, [%rd1+2];
    ld.global.s16 %r13, [%rd1];
    ld.global.s8 %rd5, [%rd1];
    ld.global.s32 %rd6, [%rd1];
    ld.global.u32 %rd7, [%rd1];
    ld.global.b8 %h3, [%rd1+1];
    ld.global.v4.u8 {%r14, %r15, %r16, %r17}, [%rd1];
    st.global.v4.b32 [%rd9], {%r10, %r11, %r12, %r13};
    st.global.b64 [%rd9+16], %rd5;
    st.global.b64 [%rd9+24], %rd6;
    st.global.v2.b8 [%rd9+32], {%r14, %r15};
    st.global.u16 [%rd9+34], %r13;
    st.global.u8 [%rd9+36], %r13;
    st.global.b8 [%rd9+37], %h3;
    st.global.b16 [%rd9+38], %h3;
    st.global.v2.u16 [%rd9+40], {%r16, %r17};
    st.global.u32 [%rd9+44], %rd7;""", 384, ins=ins)
    asked("memory_generic", "Generic addresses of every space, and back.", head + """    mov.u32 %r1, bar;
    .local .align 16 .b8 mine[64];
    ld.global.v4.b32 {%r10, %r11, %r12, %r13}, [%rd1];
    cvta.shared.u64 %rd2, bar;
    cvta.to.shared.u64 %rd3, %rd2;
    cvt.u32.u64 %r2, %rd3;
    sub.u32 %r20, %r2, %r1;
    mad.wide.u32 %rd2, %r0, 4, %rd2;
    st.b32 [%rd2], %r10;
    mad.lo.u32 %r3, %r0, 4, %r1;
    ld.shared.b32 %r21, [%r3];
    cvta.local.u64 %rd4, mine;
    st.v2.b32 [%rd4+8], {%r11, %r12};
    ld.local.b32 %r22, [mine+12];
    isspacep.shared %p1, %rd2;
    isspacep.local %p2, %rd4;
    isspacep.global %p3, %rd1;
    isspacep.global %p4, %rd2;
    isspacep.shared::cluster %p5, %rd2;
    selp.b32 %r23, 1, 0, %p1;
    @%p2 add.u32 %r23, %r23, 2;
    @%p3 add.u32 %r23, %r23, 4;
    @%p4 add.u32 %r23, %r23, 8;
    @%p5 add.u32 %r23, %r23, 16;
    cvta.global.u64 %rd6, %rd1;
    ld.b32 %r24, [%rd6+12];
    atom.add.u32 %r25, [%rd2], 3;
    ld.shared.b32 %r26, [%r3];
""" + store([f"%r{20 + i}" for i in range(7)], 7), 224, ins=ins, declarations=CELL)
    asked("memory_local", "A local array with an index of its own in each lane, all widths.", head + """    .local .align 16 .b8 mine[64];
    mov.u64 %rd2, mine;
    ld.global.v4.b32 {%r10, %r11, %r12, %r13}, [%rd1];
    st.local.v4.b32 [mine], {%r10, %r11, %r12, %r13};
    st.local.v4.b32 [mine+16], {%r13, %r12, %r11, %r10};
    and.b32 %r2, %r10, 31;
    cvt.u64.u32 %rd3, %r2;
    add.u64 %rd3, %rd2, %rd3;
    ld.local.u8 %r20, [%rd3];
    and.b32 %r2, %r11, 14;
    cvt.u64.u32 %rd3, %r2;
    add.u64 %rd3, %rd2, %rd3;
    ld.local.s16 %r21, [%rd3];
    st.local.b16 [%rd3+16], %r21;
    ld.local.v2.b64 {%rd5, %rd6}, [mine+16];
    mov.b64 {%r22, %r23}, %rd5;
    mov.b64 {%r24, %r25}, %rd6;
""" + store([f"%r{20 + i}" for i in range(6)], 6), 192, ins=ins)
    asked("memory_initialised", "Initialised variables, addresses among them.", TID + """    ld.const.b32 %r20, [table+4];
    mov.u64 %rd1, table;
    and.b32 %r2, %r0, 3;
    mad.wide.u32 %rd1, %r2, 4, %rd1;
    ld.const.b32 %r21, [%rd1];
    ld.global.b64 %rd2, [pointer];
    ld.b32 %r22, [%rd2];
    ld.global.f32 %f1, [floats+4];
    mov.b32 %r23, %f1;
    ld.global.u8 %r24, [bytes+2];
    ld.global.b32 %r25, [zeros+8];
    mov.b32 %r26, 0;
""" + store([f"%r{20 + i}" for i in range(7)], 7), 224, declarations="""
.const .align 4 .b32 table[4] = {10, 0x20, -3, 077};
.global .align 4 .b32 words[3] = {7, 8, 9};
.global .align 8 .u64 pointer = words+4;
.global .align 4 .f32 floats[2] = {1.5, 0f40490FDB};
.global .align 1 .b8 bytes[4] = {1, 2, 0xff, 4};
.global .align 4 .b32 zeros[4];""")
    asked("memory_b128", "128-bit registers.", head + """    .reg .b128 %q<4>;
    ld.param.u64 %rd9, [out];
    mad.wide.u32 %rd9, %r0, 32, %rd9;
    ld.global.b128 %q0, [%rd1];
    mov.b128 {%rd2, %rd3}, %q0;
    mov.b128 %q1, {%rd3, %rd2};
    st.global.b128 [%rd9], %q1;
    mov.u32 %r1, bar;
    mad.lo.u32 %r2, %r0, 16, %r1;
    st.shared.b128 [%r2], %q0;
    ld.shared.v2.b64 {%rd4, %rd5}, [%r2];
    st.global.v2.b64 [%rd9+16], {%rd4, %rd5};""", 256, ins=ins, declarations=".shared .align 16 .b8 bar[512];")
    asked("memory_shared", "Shared memory: widths, volatile, relaxed, generic stores.", TID + """    mov.u32 %r1, bar;
    mad.lo.u32 %r2, %r0, 16, %r1;
    mul.lo.u32 %r10, %r0, 0x01020304;
    not.b32 %r11, %r10;
    st.shared.v4.b32 [%r2], {%r10, %r11, %r10, %r11};
    st.shared.b8 [%r2+3], %r11;
    st.volatile.shared.b16 [%r2+6], %r10;
    st.relaxed.cta.shared.b32 [%r2+8], %r0;
    ld.shared.u8 %r20, [%r2+1];
    ld.shared.s16 %r21, [%r2+2];
    ld.volatile.shared.b32 %r22, [%r2+4];
    ld.relaxed.cta.shared::cta.b32 %r23, [%r2+8];
    ld.shared.v2.u8 {%r24, %r25}, [%r2+12];
    ld.acquire.cta.shared.b64 %rd5, [%r2];
    mov.b64 {%r26, %r27}, %rd5;
""" + store([f"%r{20 + i}" for i in range(8)], 8), 256, declarations=".shared .align 16 .b8 bar[512];")
    asked("memory_params", "Vectors and narrow types among the parameters' bytes.", TID + """    ld.param.v2.b32 {%r20, %r21}, [out];
    ld.param.b64 %rd9, [out];
    mov.b64 %rd8, {%r20, %r21};
    setp.eq.u64 %p1, %rd8, %rd9;
    ld.param.u8 %r22, [out+1];
    ld.param.u16 %r23, [out];
    shr.u32 %r24, %r23, 8;
    setp.eq.and.u32 %p1, %r22, %r24, %p1;
    selp.b32 %r30, 1, 0, %p1;""" + OUT, 32)


def control():
    asked("control_brx", "brx.idx over four targets.", TID + """    and.b32 %r1, %r0, 3;
    mov.b32 %r20, 5;
    T: .branchtargets A, B, C, D;
    brx.idx %r1, T;
A:
    add.u32 %r20, %r20, 1;
    bra E;
B:
    mul.lo.u32 %r20, %r20, %r0;
C:
    add.u32 %r20, %r20, 100;
    bra E;
D:
    sub.u32 %r20, %r20, %r0;
E:
    bar.warp.sync -1;
    shfl.sync.bfly.b32 %r21, %r20, 1, 0x1f, -1;
""" + store(["%r20", "%r21"], 2), 64)
    p_body = TID + """    and.b32 %r1, %r0, 7;
    {
    .param .b32 x;
    .param .b32 y;
    st.param.b32 [x], %r1;
    call (y), steps, (x);
    ld.param.b32 %r20, [y];
    }
    mov.b64 %rd1, 0x500000003;
    {
    .param .align 16 .b8 s[16];
    .param .align 16 .b8 t[16];
    st.param.v2.b32 [s], {%r1, %r0};
    st.param.b64 [s+8], %rd1;
    call (t), swap, (s);
    ld.param.v2.b32 {%r21, %r22}, [t];
    ld.param.v2.b32 {%r23, %r24}, [t+8];
    }
""" + store([f"%r{20 + i}" for i in range(5)], 5)
    asked("control_calls", "Functions: calls in divergence, structures by value.", p_body, 160, declarations="""
.func (.param .b32 y) step(.param .b32 x)
{
    .reg .b32 %r<4>;
    ld.param.b32 %r1, [x];
    mad.lo.u32 %r2, %r1, %r1, 7;
    st.param.b32 [y], %r2;
    ret;
}
.func (.param .b32 y) steps(.param .b32 x)
{
    .reg .pred %p<2>;
    .reg .b32 %r<6>;
    ld.param.b32 %r1, [x];
    mov.u32 %r2, %r1;
AGAIN:
    setp.lt.u32 %p1, %r1, 2;
    @%p1 bra LEAF;
    {
    .param .b32 a;
    .param .b32 b;
    st.param.b32 [a], %r2;
    call (b), step, (a);
    ld.param.b32 %r2, [b];
    }
    sub.u32 %r1, %r1, 1;
    bra AGAIN;
LEAF:
    st.param.b32 [y], %r2;
    ret;
}
.func (.param .align 16 .b8 t[16]) swap(.param .align 16 .b8 s[16])
{
    .reg .b32 %r<3>;
    .reg .b64 %rd<2>;
    ld.param.v2.b32 {%r1, %r2}, [s];
    ld.param.b64 %rd1, [s+8];
    st.param.b64 [t], %rd1;
    st.param.v2.b32 [t+8], {%r2, %r1};
    ret;
}""")
    asked("control_loops", "Loops whose length differs between lanes, nested, with an early end.", TID + """    mov.b32 %r20, 0;
    mov.b32 %r1, 0;
OUTER:
    mov.b32 %r2, 0;
INNER:
    mad.lo.u32 %r20, %r20, 3, %r2;
    add.u32 %r2, %r2, 1;
    and.b32 %r3, %r0, 3;
    setp.le.u32 %p1, %r2, %r3;
    @%p1 bra INNER;
    add.u32 %r1, %r1, 1;
    setp.gt.u32 %p2, %r20, 100000;
    @%p2 bra DONE;
    shr.u32 %r4, %r0, 2;
    setp.le.u32 %p3, %r1, %r4;
    @%p3 bra OUTER;
DONE:
    bar.warp.sync -1;
    vote.sync.ballot.b32 %r21, %p2, -1;
""" + store(["%r20", "%r21"], 2), 64)
    asked("control_exits", "Lanes that leave early; barriers and votes of those that stay.", TID + """    ld.param.u64 %rd9, [out];
    mad.wide.u32 %rd9, %r0, 4, %rd9;
    mov.b32 %r1, 1;
    st.global.b32 [%rd9], %r1;
    and.b32 %r2, %r0, 1;
    setp.eq.u32 %p1, %r2, 1;
    @%p1 exit;
    vote.sync.ballot.b32 %r3, %p1, 0x55555555;
    add.u32 %r3, %r3, 2;
    bar.warp.sync 0x55555555;
    st.global.b32 [%rd9], %r3;
    setp.ge.u32 %p2, %r0, 32;
    @%p2 ret;
    bar.sync 1, 32;
    mov.b32 %r3, 3;
    st.global.b32 [%rd9], %r3;""", 64, threads=64)
    asked("control_predicates", "Predicate logic and predicated writes of every kind.", TID + """    and.b32 %r1, %r0, 1;
    setp.ne.u32 %p1, %r1, 0;
    and.b32 %r2, %r0, 2;
    setp.ne.u32 %p2, %r2, 0;
    and.pred %p3, %p1, %p2;
    or.pred %p4, %p1, %p2;
    xor.pred %p5, %p1, %p2;
    not.pred %p6, %p1;
    mov.pred %p7, %p5;
    mov.b32 %r20, 0;
    @%p3 add.u32 %r20, %r20, 1;
    @%p4 add.u32 %r20, %r20, 2;
    @%p5 add.u32 %r20, %r20, 4;
    @!%p6 add.u32 %r20, %r20, 8;
    @%p7 mad.lo.u32 %r20, %r20, 2, 1;
    selp.b32 %r21, %r20, %r0, %p3;
    selp.f32 %f1, 0f3F800000, 0f40000000, %p1;
    mov.b32 %r22, %f1;
    setp.lt.and.s32 %p1|%p2, %r0, 20, %p4;
    selp.b32 %r23, 1, 0, %p1;
    @%p2 add.u32 %r23, %r23, 2;
    mov.u32 %r24, %laneid;
    mov.u32 %r25, %ntid.x;
    mov.u32 %r26, %nwarpid;
    setp.gt.u32 %p1, %r26, 0;
    selp.b32 %r26, 1, 0, %p1;
    mov.u32 %r27, WARP_SZ;
""" + store([f"%r{20 + i}" for i in range(8)], 8), 256)


def barriers():
    start = TID + "    mov.u32 %r1, bar;\n    setp.eq.u32 %p0, %r0, 0;\n"
    asked("mbarrier_forms", "Arrivals of every form; pending counts, tests of both phases.", start + """    mov.b32 %r20, 0;
    mov.b32 %r21, 0;
    mov.b32 %r22, 0;
    mov.b32 %r23, 0;
    mov.b32 %r24, 0;
    @!%p0 bra END;
    mbarrier.init.shared::cta.b64 [%r1], 6;
    mbarrier.arrive.noComplete.shared.b64 %rd1, [%r1], 2;
    mbarrier.pending_count.b64 %r20, %rd1;
    mbarrier.arrive.release.cta.shared::cta.b64 %rd2, [%r1];
    mbarrier.pending_count.b64 %r21, %rd2;
    mbarrier.arrive_drop.noComplete.shared.b64 %rd3, [%r1], 1;
    mbarrier.pending_count.b64 %r22, %rd3;
    mbarrier.test_wait.parity.shared.b64 %p1, [%r1], 1;
    selp.b32 %r23, 1, 0, %p1;
    mbarrier.arrive_drop.expect_tx.shared::cta.b64 %rd4, [%r1], 32;
    mbarrier.arrive.expect_tx.relaxed.cta.shared::cta.b64 %rd5, [%r1], 16;
    mbarrier.test_wait.acquire.cta.shared::cta.b64 %p1, [%r1], %rd5;
    @%p1 add.u32 %r23, %r23, 2;
    mbarrier.complete_tx.shared::cta.b64 [%r1], 48;
    mbarrier.test_wait.parity.shared.b64 %p1, [%r1], 0;
    @%p1 add.u32 %r23, %r23, 4;
    mbarrier.try_wait.shared::cta.b64 %p1, [%r1], %rd5, 1000;
    @%p1 add.u32 %r23, %r23, 8;
    mbarrier.arrive.shared::cta.b64 %rd6, [%r1], 4;
    mbarrier.try_wait.parity.relaxed.cta.shared::cta.b64 %p1, [%r1], 1, 100;
    @%p1 add.u32 %r23, %r23, 16;
    mbarrier.arrive.noComplete.shared.b64 %rd7, [%r1], 1;
    mbarrier.pending_count.b64 %r24, %rd7;
END:
""" + store([f"%r{20 + i}" for i in range(5)], 5), 160, declarations=CELL)
    asked("barrier_forms", "Block barriers: forms, counts, reductions over some of the warps.", TID + """    mov.u32 %r1, bar;
    mad.lo.u32 %r2, %r0, 4, %r1;
    st.shared.b32 [%r2], %r0;
    barrier.sync.aligned 0;
    xor.b32 %r3, %r0, 96;
    mad.lo.u32 %r3, %r3, 4, %r1;
    ld.shared.b32 %r20, [%r3];
    barrier.cta.sync 2, 128;
    st.shared.b32 [%r2], %r20;
    setp.lt.u32 %p1, %r0, 64;
    and.b32 %r4, %r0, 3;
    setp.eq.u32 %p2, %r4, 0;
    mov.b32 %r21, 7;
    @%p1 barrier.red.popc.aligned.u32 %r21, 3, 64, %p2;
    bar.cta.sync 0;
    xor.b32 %r3, %r0, 33;
    mad.lo.u32 %r3, %r3, 4, %r1;
    ld.shared.b32 %r22, [%r3];
    @%p1 barrier.arrive 5, 128;
    @!%p1 barrier.sync 5, 128;
    bar.red.and.pred %p3, 1, !%p2;
    selp.b32 %r23, 1, 0, %p3;
""" + store([f"%r{20 + i}" for i in range(4)], 4), 512, threads=128, declarations=".shared .align 16 .b8 bar[512];")
    fences = [f"fence.{o}.{s}" for o in ("acq_rel", "sc") for s in ("cta", "cluster", "gpu", "sys")]
    fences += [f"fence.{o}.{s}" for o in ("acquire", "release") for s in ("gpu",)]
    fences += ["membar.cta", "membar.gl", "membar.sys", "fence.mbarrier_init.release.cluster", "fence.proxy.alias", "fence.proxy.async",
               "fence.proxy.async.global", "fence.proxy.async.shared::cta", "fence.proxy.async.shared::cluster",
               "fence.proxy.tensormap::generic.release.gpu"]
    simple("fence_forms", "Every fence between stores and loads of one thread.",
           start + "    mad.lo.u32 %r2, %r0, 4, %r1;\n    mov.b32 %r30, 0;\n" + "\n".join(
               f"    st.shared.b32 [%r2], {i};\n    {f};\n    ld.shared.b32 %r3, [%r2];\n    add.u32 %r30, %r30, %r3;"
               for i, f in enumerate(fences)) + OUT, [sum(range(len(fences)))] * 32, declarations=CELL)
    simple("programmatic_launch", "griddepcontrol without a launch before: nothing to wait for.",
           TID + "    griddepcontrol.wait;\n    griddepcontrol.launch_dependents;\n    nanosleep.u32 100;\n    mov.u32 %r30, 5;" + OUT, [5] * 32)
    simple("clocks", "Clocks do not run backwards.", TID + """    mov.u64 %rd1, %globaltimer;
    mov.u32 %r1, %clock;
    mov.u64 %rd2, %clock64;
    nanosleep.u32 1000;
    mov.u64 %rd3, %clock64;
    mov.u64 %rd4, %globaltimer;
    setp.ge.u64 %p1, %rd3, %rd2;
    setp.ge.and.u64 %p1, %rd4, %rd1, %p1;
    selp.b32 %r30, 1, 0, %p1;""" + OUT, [1] * 32)


def clusters():
    out = """    mov.u32 %r28, %ctaid.x;
    mad.lo.u32 %r28, %r28, 32, %r0;
    ld.param.u64 %rd9, [out];
    mad.wide.u32 %rd9, %r28, 4, %rd9;
    st.global.b32 [%rd9], %r30;"""
    for size in (1, 3, 5, 6, 7, 9, 10, 12, 15):
        simple(f"cluster_ring_{size}", f"Each of {size} CTAs reads its neighbour's shared memory by a generic address.", TID + f"""    mov.u32 %r1, smem;
    mov.u32 %r2, %cluster_ctarank;
    mad.lo.u32 %r3, %r2, 1000, %r0;
    mad.lo.u32 %r4, %r0, 4, %r1;
    st.shared.b32 [%r4], %r3;
{SYNC}    add.u32 %r5, %r2, 1;
    rem.u32 %r5, %r5, {size};
    cvta.shared.u64 %rd1, smem;
    mad.wide.u32 %rd1, %r0, 4, %rd1;
    mapa.u64 %rd2, %rd1, %r5;
    ld.b32 %r30, [%rd2];
    getctarank.u64 %r6, %rd2;
    mad.lo.u32 %r30, %r6, 100000, %r30;
{SYNC}{out}""", [100000 * ((c + 1) % size) + 1000 * ((c + 1) % size) + l for c in range(size) for l in range(32)], declarations=DYNAMIC,
               grid=size, launch_more=f"cluster {size} 1 1 shared 1024")
    p = Program("cluster_plane", "Clusters of 2 x 3 x 2 in a grid of 4 x 3 x 2: ids in every direction.")
    p.launch = "4 3 2 32 1 1"
    asked_body = TID + """    mov.u32 %r1, %cluster_ctaid.x;
    mov.u32 %r2, %cluster_ctaid.y;
    mov.u32 %r3, %cluster_ctaid.z;
    mov.u32 %r4, %clusterid.x;
    mov.u32 %r5, %clusterid.y;
    mov.u32 %r6, %cluster_nctaid.y;
    mov.u32 %r7, %cluster_ctarank;
    mov.u32 %r8, %is_explicit_cluster_dummy;
""".replace("    mov.u32 %r8, %is_explicit_cluster_dummy;\n", """    mov.pred %p1, %is_explicit_cluster;
    selp.b32 %r8, 1, 0, %p1;
    mad.lo.u32 %r30, %r1, 10, %r2;
    mad.lo.u32 %r30, %r30, 10, %r3;
    mad.lo.u32 %r30, %r30, 10, %r4;
    mad.lo.u32 %r30, %r30, 10, %r5;
    mad.lo.u32 %r30, %r30, 10, %r6;
    mad.lo.u32 %r30, %r30, 100, %r7;
    mad.lo.u32 %r30, %r30, 2, %r8;
    mov.u32 %r10, %ctaid.x;
    mov.u32 %r11, %ctaid.y;
    mov.u32 %r12, %ctaid.z;
    mad.lo.u32 %r13, %r12, 3, %r11;
    mad.lo.u32 %r13, %r13, 4, %r10;
    mad.lo.u32 %r13, %r13, 32, %r0;
    ld.param.u64 %rd9, [out];
    mad.wide.u32 %rd9, %r13, 4, %rd9;
    st.global.b32 [%rd9], %r30;""")
    expected = []
    for z in range(2):
        for y in range(3):
            for x in range(4):
                v = x % 2
                for digit in (y, z, x // 2, 0, 3):
                    v = v * 10 + digit
                v = (v * 100 + x % 2 + 2 * y + 6 * z) * 2 + 1
                expected += [v] * 32
    p.buffer("out", "b32", len(expected), "empty")
    p.expect("out", "b32", expected)
    p.params = ["out"]
    p.write(asked_body, launch_more="cluster 2 3 2")
    for ty, v in (("b64", 1), ("v2.b32", 2), ("v4.b32", 4), ("v2.b64", 2)):
        size = SIZE[ty[-3:]] * v
        words = size // 4
        if ty == "b64":
            source = "%rd5"
        elif ty == "v2.b64":
            source = "{%rd5, %rd6}"
        else:
            source = "{" + ", ".join(f"%r{20 + i}" for i in range(v)) + "}"
        set_up = "".join(f"    mad.lo.u32 %r{20 + i}, %r5, 500, %r0;\n    add.u32 %r{20 + i}, %r{20 + i}, {1000 * i};\n" for i in range(4))
        expected = [500 * (1 - c) + l + 1000 * i for c in range(2) for l in range(32) for i in range(words)]
        simple(f"cluster_st_async_{ty.replace('.', '_')}", f"st.async.{ty} to the neighbour.", TID + MBARRIER + f"""
    mov.u32 %r5, %cluster_ctarank;
    @%p0 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r2], {32 * size};
{SYNC}    xor.b32 %r6, %r5, 1;
{set_up}    mov.b64 %rd5, {{%r20, %r21}};
    mov.b64 %rd6, {{%r22, %r23}};
    mad.lo.u32 %r7, %r0, {size}, %r1;
    mapa.shared::cluster.u32 %r7, %r7, %r6;
    mapa.shared::cluster.u32 %r8, %r2, %r6;
    st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.{ty} [%r7], {source}, [%r8];
{wait()}
{SYNC}    ld.param.u64 %rd9, [out];
    mul.wide.u32 %rd10, %r5, {32 * size};
    add.u64 %rd9, %rd9, %rd10;
{copy_out(32 * words).split(chr(10), 1)[1]}""", expected, declarations=SHARED, grid=2, launch_more="cluster 2 1 1 shared 1024")
    for op, ty in (("add", "u32"), ("add", "u64"), ("inc", "u32"), ("dec", "u32"), ("min", "s32"), ("max", "u32"), ("and", "b32"), ("xor", "b32")):
        size = SIZE[f"b{ty[-2:]}"]
        reg = "%r" if size == 4 else "%rd"
        asked(f"cluster_red_async_{op}_{ty}", f"red.async.{op}.{ty} of all lanes of the neighbour onto a word of its own.", TID + MBARRIER + f"""
    mov.u32 %r5, %cluster_ctarank;
    @%p0 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r2], {32 * size};
    mad.lo.u32 %r7, %r0, 8, %r1;
    mad.lo.u32 %r9, %r0, 77, 5;
    cvt.u64.u32 %rd5, %r9;
    st.shared.b64 [%r7], %rd5;
    fence.proxy.async;
{SYNC}    xor.b32 %r6, %r5, 1;
    mad.lo.u32 %r7, %r0, 8, %r1;
    mapa.shared::cluster.u32 %r7, %r7, %r6;
    mapa.shared::cluster.u32 %r8, %r2, %r6;
    mad.lo.u32 %r10, %r0, 13, 9;
    cvt.u64.u32 %rd10, %r10;
    red.async.relaxed.cluster.global_dummy.{op}.{ty} [%r7], {reg}10, [%r8];
{wait()}
{SYNC}    ld.param.u64 %rd9, [out];
    mul.wide.u32 %rd10, %r5, 256;
    add.u64 %rd9, %rd9, %rd10;
{copy_out(64).split(chr(10), 1)[1]}""".replace("relaxed.cluster.global_dummy", "relaxed.cluster.shared::cluster.mbarrier::complete_tx::bytes"),
              128, declarations=SHARED, grid=2, launch_more="cluster 2 1 1 shared 1024")
    asked("cluster_atomics", "Atomics and vector loads in other CTAs' shared memory.", TID + f"""    mov.u32 %r1, smem;
    mov.u32 %r5, %cluster_ctarank;
    mad.lo.u32 %r7, %r0, 4, %r1;
    mad.lo.u32 %r9, %r5, 1000, %r0;
    st.shared.b32 [%r7], %r9;
    mov.b32 %r10, 0;
    st.shared.b32 [%r7+128], %r10;
{SYNC}    mapa.shared::cluster.u32 %r8, %r1, 0;
    atom.shared::cluster.add.u32 %r11, [%r8+128], 1;
    atom.relaxed.cluster.shared::cluster.max.u32 %r11, [%r8+132], %r9;
    red.shared::cluster.or.b32 [%r8+136], %r9;
    add.u32 %r6, %r5, 1;
    and.b32 %r6, %r6, 3;
    mapa.shared::cluster.u32 %r8, %r1, %r6;
    and.b32 %r12, %r0, 7;
    mad.lo.u32 %r8, %r12, 16, %r8;
    ld.shared::cluster.v4.b32 {{%r20, %r21, %r22, %r23}}, [%r8];
    st.shared::cluster.b32 [%r8+512], %r20;
{SYNC}    ld.shared.b32 %r24, [%r7+128];
    mad.lo.u32 %r12, %r12, 16, %r1;
    ld.shared.b32 %r25, [%r12+512];
    mad.lo.u32 %r0, %r5, 32, %r0;
""" + store([f"%r{20 + i}" for i in range(6)], 6), 128 * 6, declarations=DYNAMIC, grid=4, launch_more="cluster 4 1 1 shared 1024")
    data = lcg(71, 0, 65535, 64)
    simple("cluster_multicast_some", "A bulk copy of rank 2 into CTAs 1 and 3 of four.", TID + MBARRIER + f"""
    mov.u32 %r5, %cluster_ctarank;
    mov.u32 %r30, 0;
    and.b32 %r6, %r5, 1;
    setp.eq.u32 %p5, %r6, 1;
    @!%p5 bra BEGIN;
    @%p0 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r2], 256;
BEGIN:
    bar.warp.sync -1;
{SYNC}    setp.eq.and.u32 %p4, %r5, 2, %p0;
    mov.b16 %h1, 10;
    ld.param.u64 %rd1, [a];
    createpolicy.fractional.L2::evict_first.b64 %rd5, 1.0;
    @%p4 cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster.L2::cache_hint [%r1], [%rd1], 256, [%r2], %h1, %rd5;
    @!%p5 bra DONE;
{wait()}
    mad.lo.u32 %r7, %r0, 4, %r1;
    ld.shared.b32 %r30, [%r7+128];
DONE:
    bar.warp.sync -1;
{SYNC}{out}""", ([0] * 32 + data[32:]) * 2, ins=[("a", "b32", data)], declarations=SHARED, grid=4, launch_more="cluster 4 1 1 shared 1024")


def asynchronous():
    data = lcg(52, 0, 65535, 128)
    head = TID + """    mov.u32 %r1, smem;
    ld.param.u64 %rd1, [a];
    mad.wide.u32 %rd1, %r0, 16, %rd1;
    mad.lo.u32 %r2, %r0, 16, %r1;
"""
    simple("cp_async_words", "cp.async with an ignored source, prefetch sizes and a cache policy.", head + """    and.b32 %r3, %r0, 1;
    setp.eq.u32 %p1, %r3, 1;
    createpolicy.fractional.L2::evict_first.b64 %rd5, 1.0;
    cp.async.ca.shared.global.L2::128B [%r2], [%rd1], 4, %p1;
    cp.async.ca.shared.global.L2::64B [%r2+4], [%rd1+4], 4;
    cp.async.ca.shared.global.L2::cache_hint [%r2+8], [%rd1+8], 8, %rd5;
    cp.async.commit_group;
    cp.async.wait_group 0;
    bar.sync 0;
""" + copy_out(128), [0 if i % 4 == 0 and i // 4 % 2 == 1 else d for i, d in enumerate(data)], ins=[("a", "b32", data)], declarations=SHARED,
           launch_more="shared 1024")
    simple("cp_async_mixed", "Many groups; the latest three may be left open.", head + "".join(
        f"    cp.async.ca.shared.global [%r2+{4 * i}], [%rd1+{4 * i}], 4;\n    cp.async.commit_group;\n" for i in range(4)) + """    cp.async.wait_group 3;
    ld.shared.b32 %r30, [%r2];
    cp.async.wait_group 1;
    ld.shared.b32 %r31, [%r2+8];
    add.u32 %r30, %r30, %r31;
    cp.async.wait_all;
    ld.shared.b32 %r31, [%r2+12];
    add.u32 %r30, %r30, %r31;""" + OUT, [data[4 * i] + data[4 * i + 2] + data[4 * i + 3] for i in range(32)], ins=[("a", "b32", data)],
           declarations=SHARED, launch_more="shared 1024")
    simple("bulk_groups", "Bulk stores in groups: their sources may be written again after wait_group.read.", TID + """    mov.u32 %r1, smem;
    ld.param.u64 %rd1, [out];
    setp.eq.u32 %p0, %r0, 0;
    mad.lo.u32 %r2, %r0, 4, %r1;
    st.shared.b32 [%r2], %r0;
    fence.proxy.async.shared::cta;
    bar.sync 0;
    @%p0 cp.async.bulk.global.shared::cta.bulk_group [%rd1], [%r1], 128;
    @%p0 cp.async.bulk.commit_group;
    @%p0 cp.async.bulk.wait_group.read 0;
    bar.sync 0;
    add.u32 %r3, %r0, 100;
    st.shared.b32 [%r2], %r3;
    fence.proxy.async.shared::cta;
    bar.sync 0;
    createpolicy.fractional.L2::evict_last.b64 %rd5, 1.0;
    @%p0 cp.async.bulk.global.shared::cta.bulk_group.L2::cache_hint [%rd1+128], [%r1], 128, %rd5;
    @%p0 cp.async.bulk.prefetch.L2.global [%rd1], 128;
    @%p0 cp.async.bulk.commit_group;
    @%p0 cp.async.bulk.wait_group 0;""", list(range(32)) + [100 + i for i in range(32)], declarations=DYNAMIC, launch_more="shared 1024")
    p = Program("tma_replaced_map", "A tensor map made anew in shared memory: address, extent and box.")
    data = p.random("in", "b32", 64 * 8, 91, 1, 60000)
    p.map("map", "in", "b32", [16, 2], [64], [8, 2])
    p.buffer("scratch", "b32", 32, "empty")
    p.buffer("out", "b32", 64, "empty")
    p.expect("out", "b32", [data[(r + 1) * 64 + 4 + c] if c < 8 else 0 for r in range(4) for c in range(16)])
    p.params = [("map",), "in", "scratch", "out"]
    p.write(TID + MBARRIER + """
    mov.b64 %rd1, map;
    mad.wide.u32 %rd2, %r0, 4, %rd1;
    ld.param.b32 %r4, [map];
    mad.lo.u32 %r5, %r0, 4, %r1;
    add.u32 %r6, %r1, 512;
""".replace("    mad.wide.u32 %rd2, %r0, 4, %rd1;\n    ld.param.b32 %r4, [map];\n", "    cvta.param.u64 %rd2, %rd1;\n    mad.wide.u32 %rd2, %r0, 4, %rd2;\n    ld.b32 %r4, [%rd2];\n")
            + """    mad.lo.u32 %r7, %r0, 4, %r6;
    st.shared.b32 [%r7], %r4;
    bar.warp.sync -1;
    ld.param.u64 %rd3, [in];
    add.u64 %rd3, %rd3, 272;
    ld.param.u64 %rd4, [scratch];
    mov.b64 %rd6, 256;
    @%p0 tensormap.replace.tile.global_address.shared::cta.b1024.b64 [%r6], %rd3;
    @%p0 tensormap.replace.tile.global_dim.shared::cta.b1024.b32 [%r6], 0, 8;
    @%p0 tensormap.replace.tile.global_dim.shared::cta.b1024.b32 [%r6], 1, 6;
    @%p0 tensormap.replace.tile.box_dim.shared::cta.b1024.b32 [%r6], 0, 16;
    @%p0 tensormap.replace.tile.box_dim.shared::cta.b1024.b32 [%r6], 1, 4;
    @%p0 tensormap.replace.tile.global_stride.shared::cta.b1024.b64 [%r6], 0, %rd6;
    bar.warp.sync -1;
    tensormap.cp_fenceproxy.global.shared::cta.tensormap::generic.release.gpu.sync.aligned [%rd4], [%r6], 128;
    fence.proxy.tensormap::generic.acquire.gpu [%rd4], 128;
    @%p0 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r2], 256;
    mov.b32 %r10, 0;
    @%p0 cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%r1], [%rd4, {%r10, %r10}], [%r2];
""" + wait() + "\n" + copy_out(64), SHARED, launch_more="shared 1024")
    p = Program("tma_words", "Prefetches and cache policies at tensor copies.")
    data = p.random("in", "b32", 64 * 8, 92, 1, 60000)
    p.map("map", "in", "b32", [64, 8], [256], [32, 1])
    p.buffer("out", "b32", 32, "empty")
    p.expect("out", "b32", [data[3 * 64 + 16 + l] for l in range(32)])
    p.params = [("map",), "out"]
    p.write(TID + MBARRIER + """
    mov.b64 %rd1, map;
    cvta.param.u64 %rd1, %rd1;
    mov.b32 %r10, 16;
    mov.b32 %r11, 3;
    createpolicy.fractional.L2::evict_first.b64 %rd5, 1.0;
    @%p0 prefetch.tensormap [%rd1];
    @%p0 cp.async.bulk.prefetch.tensor.2d.L2.global.tile [%rd1, {%r10, %r11}];
    @%p0 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r2], 128;
    @%p0 cp.async.bulk.tensor.2d.shared::cta.global.tile.mbarrier::complete_tx::bytes.L2::cache_hint [%r1], [%rd1, {%r10, %r11}], [%r2], %rd5;
""" + wait() + "\n" + copy_out(32), SHARED, launch_more="shared 1024")


def everything():
    exchanges()
    atomics()
    memory()
    control()
    barriers()
    clusters()
    asynchronous()
