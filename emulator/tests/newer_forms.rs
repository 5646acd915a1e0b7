//! Forms that real programs seldom use, each in a small program whose result is worked out here.

mod common;

use common::{Bench, one_cta, params};
use half::f16;

/// A kernel of one warp: `%r0` is the lane, `%r1` 8 KiB of shared memory (`%rd2` as a generic
/// address), `%rd0` the input and `%rd1` the output.
fn kernel(body: &str) -> String {
    format!(
        ".version 9.0\n.target sm_100a\n.address_size 64\n\
         .extern .shared .align 1024 .b8 smem[];\n\
         .visible .entry k(.param .u64 input, .param .u64 output)\n{{\n\
         .reg .pred %p<8>;\n.reg .b32 %r<48>;\n.reg .b64 %rd<16>;\n.reg .b128 %q<4>;\n.reg .f32 %f<32>;\n\
         ld.param.u64 %rd0, [input];\nld.param.u64 %rd1, [output];\nmov.u32 %r0, %tid.x;\n\
         mov.u32 %r1, smem;\ncvt.u64.u32 %rd2, %r1;\ncvta.shared.u64 %rd2, %rd2;\n\
         setp.eq.u32 %p0, %r0, 0;\n{body}\nret;\n}}\n"
    )
}

fn run(body: &str, input: &[u8], output: usize) -> Vec<u8> {
    let mut bench = Bench::new(&kernel(body));
    let from = bench.buffer("input", input);
    let to = bench.buffer("output", &vec![0; output]);
    for seed in 0..3 {
        bench.run(&one_cta("k", 32, 8192, params(&[from, to])), seed).unwrap();
    }
    bench.read(to, output)
}

fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks_exact(4).map(|b| u32::from_le_bytes(b.try_into().unwrap())).collect()
}

/// Copies 4 words a lane of the input to shared memory.
const FILL: &str = "mad.wide.u32 %rd3, %r0, 16, %rd0; ld.global.v4.u32 {%r2,%r3,%r4,%r5}, [%rd3]; \
                    mad.lo.u32 %r6, %r0, 16, %r1; st.shared.v4.u32 [%r6], {%r2,%r3,%r4,%r5}; \
                    bar.warp.sync -1;";

#[test]
fn wmma_of_halves() {
    // Small integers: every sum is exact.
    let a: Vec<i32> = (0..256).map(|i| (i * 7 % 11) - 5).collect();
    let b: Vec<i32> = (0..256).map(|i| (i * 5 % 13) - 6).collect();
    let halves = |values: &[i32]| -> Vec<u8> {
        values.iter().flat_map(|&v| f16::from_f32(v as f32).to_bits().to_le_bytes()).collect()
    };
    let input = [halves(&a), halves(&b)].concat();
    for (b_major, b_at) in [("row", (16, 1)), ("col", (1, 16))] {
        let body = format!(
            "add.u64 %rd4, %rd0, 512; mov.u32 %r2, 16; mov.f32 %f0, 0f3F800000;
             wmma.load.a.sync.aligned.row.m16n16k16.global.f16
                 {{%r10,%r11,%r12,%r13,%r14,%r15,%r16,%r17}}, [%rd0], %r2;
             wmma.load.b.sync.aligned.{b_major}.m16n16k16.global.f16
                 {{%r20,%r21,%r22,%r23,%r24,%r25,%r26,%r27}}, [%rd4], %r2;
             wmma.mma.sync.aligned.row.{b_major}.m16n16k16.f32.f32
                 {{%f1,%f2,%f3,%f4,%f5,%f6,%f7,%f8}}, {{%r10,%r11,%r12,%r13,%r14,%r15,%r16,%r17}},
                 {{%r20,%r21,%r22,%r23,%r24,%r25,%r26,%r27}}, {{%f0,%f0,%f0,%f0,%f0,%f0,%f0,%f0}};
             wmma.store.d.sync.aligned.col.m16n16k16.global.f32 [%rd1],
                 {{%f1,%f2,%f3,%f4,%f5,%f6,%f7,%f8}}, 20;"
        );
        let d = words(&run(&body, &input, 20 * 16 * 4));
        for m in 0..16 {
            for n in 0..16 {
                let sum: i32 = (0..16).map(|k| a[m * 16 + k] * b[k * b_at.0 + n * b_at.1]).sum();
                assert_eq!(f32::from_bits(d[n * 20 + m]), (sum + 1) as f32, "{b_major} {m} {n}");
            }
        }
    }
}

#[test]
fn wmma_of_bytes_by_shared_memory() {
    let a: Vec<i8> = (0..512).map(|i| (i * 37 % 251 - 125) as i8).collect();
    let b: Vec<i8> = (0..128).map(|i| (i * 91 % 247 - 120) as i8).collect();
    let input: Vec<u8> = a.iter().chain(&b).map(|&v| v as u8).collect();
    // 32 x 16 of A and 16 x 8 of B, column by column.
    let body = format!(
        "{FILL} setp.lt.u32 %p1, %r0, 8; add.u64 %rd4, %rd3, 512;
         @%p1 ld.global.v4.u32 {{%r2,%r3,%r4,%r5}}, [%rd4];
         @%p1 st.shared.v4.u32 [%r6+512], {{%r2,%r3,%r4,%r5}}; bar.warp.sync -1;
         add.u64 %rd5, %rd2, 512; mov.u32 %r7, 0;
         wmma.load.a.sync.aligned.row.m32n8k16.s8 {{%r10,%r11,%r12,%r13}}, [%rd2];
         wmma.load.b.sync.aligned.col.m32n8k16.s8 {{%r14}}, [%rd5], 16;
         wmma.mma.sync.aligned.row.col.m32n8k16.s32.s8.s8.s32
             {{%r20,%r21,%r22,%r23,%r24,%r25,%r26,%r27}}, {{%r10,%r11,%r12,%r13}}, {{%r14}},
             {{%r7,%r7,%r7,%r7,%r7,%r7,%r7,%r7}};
         wmma.store.d.sync.aligned.row.m32n8k16.global.s32 [%rd1],
             {{%r20,%r21,%r22,%r23,%r24,%r25,%r26,%r27}}, 8;"
    );
    let d = words(&run(&body, &input, 32 * 8 * 4));
    for m in 0..32 {
        for n in 0..8 {
            let term = |k: usize| i32::from(a[m * 16 + k]) * i32::from(b[n * 16 + k]);
            assert_eq!(d[m * 8 + n] as i32, (0..16).map(term).sum::<i32>(), "{m} {n}");
        }
    }
}

#[test]
fn matrices_of_bytes() {
    let bytes: Vec<u8> = (0..512).map(|i| (i * 89 % 256) as u8).collect();
    let out = "mad.wide.u32 %rd4, %r0, 8, %rd1; st.global.v2.u32 [%rd4], {%r10,%r11};";
    let load = format!(
        "{FILL} and.b32 %r7, %r0, 15; mad.lo.u32 %r7, %r7, 16, %r1;
         ldmatrix.sync.aligned.m16n16.x1.trans.shared.b8 {{%r10,%r11}}, [%r7]; {out}"
    );
    let found = run(&load, &bytes, 256);
    for lane in 0..32 {
        let (g, t) = (lane / 4, lane % 4);
        let at = |row: usize, column: usize| bytes[row * 16 + column];
        let expected: Vec<u8> = [0, 2]
            .iter()
            .flat_map(|&r| {
                let row = 4 * t + r;
                [at(row, g), at(row + 1, g), at(row, g + 8), at(row + 1, g + 8)]
            })
            .collect();
        assert_eq!(found[lane * 8..][..8], expected, "lane {lane}");
    }
    // Sixteen nibbles at the start of each row become sixteen bytes.
    let narrow = format!(
        "{FILL} mad.lo.u32 %r7, %r0, 16, %r1;
         ldmatrix.sync.aligned.m8n16.x2.shared.b8x16.b4x16_p64 {{%r10,%r11}}, [%r7]; {out}"
    );
    let found = run(&narrow, &bytes, 256);
    for lane in 0..32 {
        for matrix in 0..2 {
            let row = matrix * 8 + lane / 4;
            for i in 0..4 {
                let element = lane % 4 * 4 + i;
                let nibble = bytes[row * 16 + element / 2] >> (element % 2 * 4) & 15;
                assert_eq!(found[lane * 8 + matrix * 4 + i], nibble, "{lane} {matrix} {i}");
            }
        }
    }
    // Stored the same way round as it is defined: register bytes (2t, g), (2t+1, g), (2t, g+8), ...
    let store = "mad.wide.u32 %rd3, %r0, 4, %rd0; ld.global.u32 %r2, [%rd3]; \
         mad.lo.u32 %r7, %r0, 16, %r1; \
         stmatrix.sync.aligned.m16n8.x1.trans.shared.b8 [%r7], {%r2}; bar.warp.sync -1; \
         mad.lo.u32 %r8, %r0, 4, %r1; ld.shared.u32 %r9, [%r8]; \
         mad.wide.u32 %rd4, %r0, 4, %rd1; st.global.u32 [%rd4], %r9;";
    let found = run(store, &bytes, 128);
    for row in 0..8 {
        for column in 0..16 {
            let (lane, byte) = (column % 8 * 4 + row / 2, column / 8 * 2 + row % 2);
            assert_eq!(found[row * 16 + column], bytes[lane * 4 + byte], "{row} {column}");
        }
    }
}

#[test]
fn atomics_of_sixteen_bytes() {
    let input: Vec<u8> = (0..32).collect();
    let body = "ld.global.b128 %q0, [%rd0]; ld.global.b128 %q1, [%rd0+16]; mov.u32 %r9, 5; @!%p0 bra E; \
         atom.global.exch.b128 %q2, [%rd1], %q0; \
         atom.global.relaxed.gpu.cas.b128 %q3, [%rd1], %q1, %q1; st.global.b128 [%rd1+16], %q3; \
         atom.global.cas.b128 %q3, [%rd1], %q0, %q1; E:";
    let found = run(body, &input, 32);
    assert_eq!(found[..16], input[16..], "exchanged, kept, then replaced");
    assert_eq!(found[16..], input[..16], "what was there when the comparison failed");
}

#[test]
fn pending_counts() {
    let body = "@%p0 mbarrier.init.shared::cta.b64 [%r1], 5; @!%p0 bra E; \
         mbarrier.arrive.shared::cta.b64 %rd3, [%r1], 2; mbarrier.pending_count.b64 %r2, %rd3; \
         mbarrier.arrive.shared::cta.b64 %rd4, [%r1]; mbarrier.pending_count.b64 %r3, %rd4; \
         mbarrier.test_wait.shared::cta.b64 %p1, [%r1], %rd4; selp.u32 %r4, 1, 0, %p1; \
         st.global.v2.u32 [%rd1], {%r2,%r3}; st.global.u32 [%rd1+8], %r4; E:";
    assert_eq!(words(&run(body, &[0; 16], 12)), [5, 3, 0]);
}

#[test]
fn reductions_into_shared_memory() {
    let input: Vec<u8> = (0..128u32).flat_map(|i| (i * 3).to_le_bytes()).collect();
    let body = format!(
        "{FILL} mov.u32 %r7, 100; mad.lo.u32 %r8, %r0, 4, %r1; st.shared.u32 [%r8+1024], %r7;
         @%p0 mbarrier.init.shared::cta.b64 [%r1+2048], 1; fence.proxy.async;
         fence.mbarrier_init.release.cluster; bar.sync 0; @!%p0 bra W;
         mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r1+2048], 128;
         add.u32 %r9, %r1, 1024; add.u32 %r10, %r1, 2048;
         cp.reduce.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes.add.u32
             [%r9], [%r1], 128, [%r10];
         W: mbarrier.try_wait.parity.shared::cta.b64 %p1, [%r1+2048], 0; @!%p1 bra W;
         ld.shared.u32 %r11, [%r8+1024]; mad.wide.u32 %rd4, %r0, 4, %rd1; st.global.u32 [%rd4], %r11;"
    );
    let expected: Vec<u32> = (0..32).map(|i| 100 + 3 * i).collect();
    assert_eq!(words(&run(&body, &input, 128)), expected);
}

#[test]
fn discarded_lines_are_unwritten() {
    let mut bench = Bench::new(&kernel("@%p0 discard.global.L2 [%rd1], 128;"));
    let (from, to) = (bench.buffer("input", &[0; 4]), bench.buffer("output", &[1; 256]));
    bench.run(&one_cta("k", 32, 8192, params(&[from, to])), 0).unwrap();
    assert_eq!(bench.device.memory.read_back(to, 256).unwrap().unwritten, [(0, 128)]);
}

#[test]
fn stochastic_rounding() {
    // 1.25 lies between 1 and 1.5 of e2m1, 1.0625 a quarter of the way from 1 to 1.25 of e5m2.
    let body = "mad.wide.u32 %rd3, %r0, 4, %rd0; ld.global.u32 %r2, [%rd3];
         mov.f32 %f1, 0f3FA00000; mov.f32 %f2, 0fBFA00000; mov.f32 %f3, 0f7F800000; mov.f32 %f4, 0f40000000;
         { .reg .b16 h; cvt.rs.satfinite.e2m1x4.f32 h, {%f1, %f2, %f3, %f4}, %r2; cvt.u32.u16 %r3, h; }
         mov.f32 %f5, 0f3F880000; cvt.rs.relu.satfinite.e5m2x4.f32 %r4, {%f5, %f2, %f5, %f4}, %r2;
         cvt.rs.bf16x2.f32 %r5, %f6, %f1, %r2;
         mad.wide.u32 %rd4, %r0, 16, %rd1; st.global.v2.u32 [%rd4], {%r3,%r4}; st.global.u32 [%rd4+8], %r5;";
    let body = body.replace("cvt.rs.bf16x2", "mov.f32 %f6, 0f3F808000; cvt.rs.bf16x2");
    let random = [0x0000_0000, 0xffff_ffff, 0x7f80_4080u32, 0xbf7f_c07f];
    let input: Vec<u8> = (0..32).flat_map(|i| random[i % 4].to_le_bytes()).collect();
    let mut bench = Bench::new(&kernel(&body));
    let (from, to) = (bench.buffer("input", &input), bench.buffer("output", &[0; 512]));
    bench.run(&one_cta("k", 32, 8192, params(&[from, to])), 0).unwrap();
    let found = words(&bench.read(to, 512));
    // The lowest code belongs to the last number. Halfway: up when a share's top bit is set.
    let e2m1 = [0x2a74, 0x3b74, 0x2b74, 0x3a74];
    // A quarter: up from three quarters on, 0xc0.
    let e5m2 = [0x3c00_3c40, 0x3d00_3d40, 0x3c00_3c40, 0x3c00_3d40];
    // 1.00390625 is halfway; 1.25 is exact.
    let bf16 = [0x3f80_3fa0, 0x3f81_3fa0, 0x3f80_3fa0, 0x3f81_3fa0];
    for lane in 0..4 {
        let at = &found[lane * 4..];
        let wanted = [e2m1[lane], e5m2[lane], bf16[lane]];
        assert_eq!(at[..3], wanted, "lane {lane}: {:x?} {wanted:x?}", &at[..3]);
    }
}

/// Registers of A (16 rows) or B (8 rows), as the lanes load them: word i of a lane.
fn fragment(rows: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let (tall, words) = (rows.len() == 16, rows[0].len() / 16);
    let count = words * if tall { 2 } else { 1 };
    let lane = |lane: usize| {
        let word = |i: usize| {
            let (row, at) = if tall { (lane / 4 + 8 * (i % 2), i / 2) } else { (lane / 4, i) };
            rows[row][(lane % 4 + 4 * at) * 4..][..4].to_vec()
        };
        (0..count).flat_map(word).collect()
    };
    (0..32).map(lane).collect()
}

/// D of one `mma.sync` m16n8 whose words follow each other: A's, B's, then two of scales.
fn product(form: &str, a: &[Vec<u8>], b: &[Vec<u8>], rest: &str, scales: [u32; 2]) -> Vec<f32> {
    let (fa, fb) = (fragment(a), fragment(b));
    let (na, nb) = (fa[0].len() / 4, fb[0].len() / 4);
    let lane = |l: usize| {
        let mut all = [fa[l].clone(), fb[l].clone()].concat();
        all.extend(scales[0].rotate_left(l as u32 * 8).to_le_bytes());
        all.extend(scales[1].rotate_left(l as u32 * 8).to_le_bytes());
        all.resize(64, 0);
        all
    };
    let input: Vec<u8> = (0..32).flat_map(lane).collect();
    let list = |first: usize, n: usize| {
        (first..first + n).map(|i| format!("%r{i}")).collect::<Vec<_>>().join(",")
    };
    let (ra, rb) = (list(10, na), list(10 + na, nb));
    let (sa, sb) = (10 + na + nb, 11 + na + nb);
    let load: String = (0..na + nb + 2)
        .map(|i| format!("ld.global.u32 %r{}, [%rd3+{}];", 10 + i, 4 * i))
        .collect();
    let rest = rest.replace("SA", &format!("%r{sa}")).replace("SB", &format!("%r{sb}"));
    let body = format!(
        "mad.wide.u32 %rd3, %r0, 64, %rd0; {load} mov.f32 %f0, 0f3F800000;
         {form} {{%f1,%f2,%f3,%f4}}, {{{ra}}}, {{{rb}}}, {{%f0,%f0,%f0,%f0}}{rest};
         mad.wide.u32 %rd4, %r0, 16, %rd1; st.global.v4.f32 [%rd4], {{%f1,%f2,%f3,%f4}};"
    );
    let d = words(&run(&body, &input, 512));
    let mut out = vec![0.0; 128];
    for lane in 0..32 {
        for j in 0..4 {
            let (row, column) = (lane / 4 + 8 * (j / 2), lane % 4 * 2 + j % 2);
            out[row * 8 + column] = f32::from_bits(d[lane * 4 + j]);
        }
    }
    out
}

const E2M1: [f32; 8] = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];

fn e2m1(code: u8) -> f32 {
    if code & 8 != 0 { -E2M1[usize::from(code & 7)] } else { E2M1[usize::from(code & 7)] }
}

#[test]
fn warp_products_of_four_bits_with_scales() {
    let nibbles = |rows: usize, step: usize| -> Vec<Vec<u8>> {
        (0..rows).map(|r| (0..32).map(|i| ((r * 29 + i * step) % 251) as u8).collect()).collect()
    };
    let (a, b) = (nibbles(16, 37), nibbles(8, 53));
    let value = |row: &[u8], k: usize| e2m1(row[k / 2] >> (k % 2 * 4) & 15);
    // ue4m3 1, 2, 0.5 and 4, turned round from lane to lane.
    let (scale, codes) = ([1.0, 2.0, 0.5, 4.0], 0x4830_4038u32);
    let of = |lane: usize, block: usize| {
        let byte = codes.rotate_left(lane as u32 * 8).to_le_bytes()[block];
        scale[[0x38, 0x40, 0x30, 0x48].iter().position(|&c| c == byte).unwrap()]
    };
    let form = "mma.sync.aligned.m16n8k64.row.col.kind::mxf4nvf4.block_scale.scale_vec::4X\
                .f32.e2m1.e2m1.f32.ue4m3";
    let d = product(form, &a, &b, ", SA, {0, 1}, SB, {0, 3}", [codes; 2]);
    for m in 0..16 {
        for n in 0..8 {
            // Thread-id 1: lanes 2 and 3 of each four have rows g and g + 8; thread-id 3: lane 3.
            let (la, lb) = (m % 8 * 4 + 2 + m / 8, n * 4 + 3);
            let term =
                |k: usize| value(&a[m], k) * value(&b[n], k) * of(la, k / 16) * of(lb, k / 16);
            assert_eq!(d[m * 8 + n], 1.0 + (0..64).map(term).sum::<f32>(), "{m} {n}");
        }
    }
}

#[test]
fn warp_products_of_mixed_types() {
    // e2m1 in the middle of its bytes, e3m2 at the bottom.
    let codes = |rows: usize, step: usize, n: usize| -> Vec<Vec<u8>> {
        (0..rows).map(|r| (0..32).map(|i| ((r * 7 + i * step) % n) as u8).collect()).collect()
    };
    let (a, b) = (codes(16, 5, 16), codes(8, 11, 40));
    let shifted: Vec<Vec<u8>> = a.iter().map(|r| r.iter().map(|c| c << 2).collect()).collect();
    let e3m2 = |code: u8| {
        let (sign, e, m) = (code >> 5, i32::from(code >> 2 & 7), f32::from(code & 3));
        let size = if e == 0 { m / 16.0 } else { (1.0 + m / 4.0) * 2f32.powi(e - 3) };
        if sign == 1 { -size } else { size }
    };
    let form = "mma.sync.aligned.m16n8k32.row.col.kind::f8f6f4.f32.e2m1.e3m2.f32";
    let d = product(form, &shifted, &b, "", [0; 2]);
    for m in 0..16 {
        for n in 0..8 {
            let sum: f32 = (0..32).map(|k| e2m1(a[m][k]) * e3m2(b[n][k])).sum();
            assert_eq!(d[m * 8 + n], 1.0 + sum, "{m} {n}");
        }
    }
}
