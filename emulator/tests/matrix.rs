//! wgmma, mma.sync, ldmatrix and stmatrix on numbers that show where every element went.

mod common;

use common::{Bench, fault, one_cta, params};
use ptx_emulator::error::{Ending, FaultKind};

const HEAD: &str = ".version 8.0\n.target sm_90a\n.address_size 64\n\
    .extern .shared .align 1024 .b8 smem[];\n\
    .visible .entry k(.param .u64 source, .param .u64 result)\n{\n\
    .reg .pred %p<4>;\n.reg .b32 %r<32>;\n.reg .b64 %rd<8>;\n\
    ld.param.u64 %rd0, [source];\nld.param.u64 %rd1, [result];\n\
    mov.u32 %r0, %tid.x;\nmov.u32 %r1, smem;\nsetp.eq.u32 %p0, %r0, 0;\n\
    add.s32 %r2, %r1, 8192;\n\
    @%p0 mbarrier.init.shared::cta.b64 [%r2], 1;\n\
    bar.sync 0;\n";

/// Copies `bytes` of the source to shared memory and waits.
fn fetch(bytes: u32) -> String {
    format!(
        "@%p0 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r2], {bytes};\n\
         @%p0 cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r1], [%rd0], \
         {bytes}, [%r2];\n\
         W: mbarrier.try_wait.parity.shared::cta.b64 %p1, [%r2], 0;\n@!%p1 bra W;\n"
    )
}

fn f16(x: f32) -> [u8; 2] {
    half::f16::from_f32(x).to_le_bytes()
}

/// Runs `body` with `threads` threads; gives the result buffer as words.
fn run(
    body: &str,
    threads: u32,
    source: &[u8],
    words: usize,
    seed: u64,
) -> Result<Vec<u32>, Ending> {
    let mut bench = Bench::new(&format!("{HEAD}{body}\nret;\n}}\n"));
    let source = bench.buffer("source", source);
    let result = bench.empty("result", words * 4);
    bench.run(&one_cta("k", threads, 16384, params(&[source, result])), seed)?;
    let bytes = bench.read(result, words * 4);
    Ok(bytes.chunks(4).map(|w| u32::from_le_bytes(w.try_into().unwrap())).collect())
}

/// A is 64x16 with a one at k = m mod 16; B is 8x16 with B[n][k] = 16n + k.
fn wgmma_source() -> Vec<u8> {
    let mut image = vec![0; 2048];
    for row in 0..64 {
        let k = row % 16;
        image[k / 8 * 1024 + row * 16 + k % 8 * 2..][..2].copy_from_slice(&f16(1.0));
    }
    for half in 0..2 {
        for n in 0..8 {
            for k in 0..8 {
                image.extend(f16((n * 16 + half * 8 + k) as f32));
            }
        }
    }
    image
}

const WGMMA: &str = "
    shr.u32 %r3, %r1, 4;
    cvt.u64.u32 %rd2, %r3;
    or.b64 %rd3, %rd2, 0x0000000800400000;      // A: leading 1024, stride 128
    add.s64 %rd4, %rd2, 128;
    or.b64 %rd4, %rd4, 0x0000000800080000;      // B: leading 128, stride 128
    wgmma.fence.sync.aligned;
    wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 {%r4, %r5, %r6, %r7}, %rd3, %rd4, 0, 1, 1, 0, 0;
    wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 {%r4, %r5, %r6, %r7}, %rd3, %rd4, 1, 1, 1, 0, 0;
    wgmma.commit_group.sync.aligned;
    wgmma.wait_group.sync.aligned 0;
    mul.wide.u32 %rd5, %r0, 16;
    add.s64 %rd5, %rd1, %rd5;
    st.global.v4.b32 [%rd5], {%r4, %r5, %r6, %r7};";

#[test]
fn wgmma_accumulates_in_a_chain() {
    let body = fetch(2304) + WGMMA;
    for seed in 0..6 {
        let words = run(&body, 128, &wgmma_source(), 512, seed).unwrap();
        for (i, word) in words.iter().enumerate() {
            let (thread, j) = (i / 4, i % 4);
            let (lane, warp) = (thread % 32, thread / 32);
            let row = 16 * warp + lane / 4 + 8 * (j / 2);
            let column = lane % 4 * 2 + j % 2;
            let expected = 2.0 * (column * 16 + row % 16) as f32;
            assert_eq!(f32::from_bits(*word), expected, "seed {seed}, row {row}, column {column}");
        }
    }
}

#[test]
fn wgmma_without_its_wait() {
    let body = fetch(2304) + &WGMMA.replace("wgmma.wait_group.sync.aligned 0;", "");
    for seed in 0..4 {
        let ending = run(&body, 128, &wgmma_source(), 512, seed).unwrap_err();
        assert_eq!(fault(ending).kind, FaultKind::PendingRegister);
    }
    // The barrier of the copy is not waited for.
    let body = body.replace("@!%p1 bra W;", "");
    let found = (0..6).filter(|&seed| run(&body, 128, &wgmma_source(), 512, seed).is_err());
    assert!(found.count() > 0);
}

#[test]
fn mma_sync_from_ldmatrix() {
    // A[m][k] = one at k = m; B[n][k] = 16n + k; rows of 32 bytes.
    let mut image = vec![0; 512];
    for row in 0..16 {
        image[row * 34..][..2].copy_from_slice(&f16(1.0));
    }
    for n in 0..8 {
        (0..16).for_each(|k| image.extend(f16((n * 16 + k) as f32)));
    }
    let body = fetch(768)
        + "
    and.b32 %r3, %r0, 15;
    shl.b32 %r3, %r3, 5;
    and.b32 %r4, %r0, 16;
    add.s32 %r3, %r3, %r4;
    add.s32 %r3, %r3, %r1;                      // row l mod 16, half l / 16
    ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r5, %r6, %r7, %r8}, [%r3];
    and.b32 %r9, %r0, 7;
    shl.b32 %r9, %r9, 5;
    and.b32 %r10, %r0, 8;
    shl.b32 %r10, %r10, 1;
    add.s32 %r9, %r9, %r10;
    add.s32 %r9, %r9, %r1;
    ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%r11, %r12}, [%r9+512];
    mov.b32 %r13, 0f3f000000;
    mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%r14, %r15, %r16, %r17},
        {%r5, %r6, %r7, %r8}, {%r11, %r12}, {%r13, %r13, %r13, %r13};
    mul.wide.u32 %rd5, %r0, 16;
    add.s64 %rd5, %rd1, %rd5;
    st.global.v4.b32 [%rd5], {%r14, %r15, %r16, %r17};";
    let words = run(&body, 32, &image, 128, 1).unwrap();
    for (i, word) in words.iter().enumerate() {
        let (lane, j) = (i / 4, i % 4);
        let (row, column) = (lane / 4 + 8 * (j / 2), lane % 4 * 2 + j % 2);
        assert_eq!(f32::from_bits(*word), 0.5 + (column * 16 + row) as f32);
    }
}

#[test]
fn stmatrix_undoes_ldmatrix() {
    let image: Vec<u8> = (0..128u16).flat_map(|i| f16(f32::from(i))).take(512).collect();
    let transposing = |load: &str, store: &str| {
        fetch(256)
            + &format!(
                "and.b32 %r3, %r0, 15; shl.b32 %r3, %r3, 4; add.s32 %r3, %r3, %r1;
                 ldmatrix.sync.aligned.m8n8.x2{load}.shared.b16 {{%r5, %r6}}, [%r3];
                 stmatrix.sync.aligned.m8n8.x2{store}.shared.b16 [%r3+1024], {{%r5, %r6}};
                 bar.warp.sync -1;
                 shl.b32 %r4, %r0, 3; add.s32 %r4, %r4, %r1;
                 ld.shared.v2.b32 {{%r5, %r6}}, [%r4+1024];
                 mul.wide.u32 %rd5, %r0, 8; add.s64 %rd5, %rd1, %rd5;
                 st.global.v2.b32 [%rd5], {{%r5, %r6}};"
            )
    };
    let words = |bytes: &[u8]| -> Vec<u32> {
        bytes.chunks(4).map(|w| u32::from_le_bytes(w.try_into().unwrap())).collect()
    };
    let plain = run(&transposing("", ""), 32, &image, 64, 0).unwrap();
    assert_eq!(plain, words(&image));
    let twice = run(&transposing(".trans", ".trans"), 32, &image, 64, 0).unwrap();
    assert_eq!(twice, plain);
    let once = run(&transposing(".trans", ""), 32, &image, 64, 0).unwrap();
    // Row 0 of the first transposed matrix is column 0: 0, 8, 16, …
    let column: Vec<u8> = (0..8).flat_map(|i| f16((i * 8) as f32)).collect();
    assert_eq!(once[..4], words(&column)[..]);
}
