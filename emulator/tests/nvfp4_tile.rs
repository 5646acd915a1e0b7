//! A small warp-specialised NVFP4 GEMM, as it should be and with one mistake at a time.

mod common;
mod nvfp4;

use common::{Bench, fault, one_cta, params};
use nvfp4::{K, TILES, map, matrix};
use ptx_emulator::error::{Ending, FaultKind};

const PTX: &str = include_str!("data/run/nvfp4_tile.ptx");
const M: usize = 128;
const N: usize = 64;

/// Runs `ptx`; `Ok(true)` when the result is right.
fn run(ptx: &str, seed: u64) -> Result<bool, Ending> {
    let mut bench = Bench::new(ptx);
    let (a, b) = (matrix(M, 1), matrix(N, 2));
    let a_at = bench.buffer("a", &a.packed);
    let b_at = bench.buffer("b", &b.packed);
    let map_a = bench.buffer("map of a", &map(a_at, M, 128));
    let map_b = bench.buffer("map of b", &map(b_at, N, N as u32));
    let scales_a = bench.buffer("scales of a", &a.scales);
    let scales_b = bench.buffer("scales of b", &b.scales);
    let result = bench.empty("result", M * N * 4);
    let mut block = params(&[map_a, map_b, scales_a, scales_b, result]);
    block.extend((TILES as u32).to_le_bytes());
    let stats = bench.run(&one_cta("gemm", 192, 57_344 + 128, block), seed)?;
    assert_eq!(stats.ctas, 1);
    let bytes = bench.read(result, M * N * 4);
    Ok(bytes.chunks(4).enumerate().all(|(i, word)| {
        let got = f32::from_le_bytes(word.try_into().unwrap());
        let (row, column) = (i / N * K, i % N * K);
        let sum: f64 = (0..K).map(|k| a.values[row + k] * b.values[column + k]).sum();
        f64::from(got) == sum
    }))
}

#[test]
fn right_under_every_schedule() {
    for seed in 0..12 {
        assert_eq!(run(PTX, seed), Ok(true), "seed {seed}");
    }
}

#[test]
fn a_seed_replays() {
    let ptx = PTX.replacen("28672;\n", "28656;\n", 1);
    assert_ne!(ptx, PTX);
    let first: Vec<_> = (0..6).map(|seed| run(&ptx, seed)).collect();
    let second: Vec<_> = (0..6).map(|seed| run(&ptx, seed)).collect();
    assert_eq!(first, second);
}

/// What one mistake leads to, by seed: `None` is a right result.
fn mistake(from: &str, to: &str) -> Vec<Option<FaultKind>> {
    let ptx = PTX.replace(from, to);
    assert_ne!(ptx, PTX, "the patch found its place");
    (1..5)
        .map(|seed| match run(&ptx, seed) {
            Ok(true) => None,
            Ok(false) => Some(FaultKind::Unfinished),
            Err(ending) => Some(fault(ending).kind),
        })
        .collect()
}

/// Each mistake is caught by some seed of four; the report says by which.
#[test]
fn every_mistake_is_caught() {
    let mistakes: &[(&str, &str, &str)] = &[
        ("no wait for a full stage", "@!%p2 bra MULTIPLY_WAIT;", ""),
        ("no wait for an empty stage", "@!%p2 bra LOAD_WAIT;", ""),
        ("no wait for the accumulator", "@!%p2 bra EPILOGUE_WAIT;", ""),
        ("too few bytes expected", "_, [%r10], 28672;", "_, [%r10], 28656;"),
        ("too many bytes expected", "_, [%r10], 28672;", "_, [%r10], 28688;"),
        (
            "no expectation",
            "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r10], 28672;",
            "mbarrier.arrive.shared::cta.b64 _, [%r10];",
        ),
        ("no wait::ld", "tcgen05.wait::ld.sync.aligned;", ""),
        ("no commit for the ring", "[%r16];\n    add.s32 %r6", "[%r3+40];\n    add.s32 %r6"),
        (
            "parity never flips",
            "@%p3 xor.b32 %r8, %r8, 1;\n    setp.lt.u32 %p4, %r6, %r4;\n    @%p4 bra MULTIPLY_NEXT;",
            "setp.lt.u32 %p4, %r6, %r4;\n    @%p4 bra MULTIPLY_NEXT;",
        ),
        (
            "producer starts with parity 0",
            "mov.b32 %r8, 1;                 // parity",
            "mov.b32 %r8, 0;",
        ),
        ("no dealloc", "tcgen05.dealloc.cta_group::1.sync.aligned.b32 %r5, 128;", ""),
        (
            "dealloc twice",
            "tcgen05.dealloc.cta_group::1.sync.aligned.b32 %r5, 128;",
            "tcgen05.dealloc.cta_group::1.sync.aligned.b32 %r5, 128; tcgen05.dealloc.cta_group::1.sync.aligned.b32 %r5, 128;",
        ),
        ("scales overlap the accumulator", "add.s32 %r15, %r14, 96;", "add.s32 %r15, %r14, 32;"),
        (
            "scale columns shared by the stages",
            "mad.lo.u32 %r14, %r7, 16, %r5;",
            "mov.b32 %r14, %r5;",
        ),
        (
            "accumulator outside the allocation",
            "add.s32 %r10, %r10, %r5;",
            "add.s32 %r10, %r10, 120;",
        ),
        (
            "another warp's lanes",
            "and.b32 %r9, %r2, 3;",
            "and.b32 %r9, %r2, 1; add.s32 %r9, %r9, 1;",
        ),
        (
            "init barrier dropped",
            "bar.sync 0;\n    tcgen05.fence::after_thread_sync;\n    ld.shared",
            "ld.shared",
        ),
        ("last barrier dropped", "JOIN:\n    bar.sync 0;", "JOIN:"),
        ("D is an input from the start", "setp.ne.u32 %p5, %r6, 0;", "setp.eq.u32 %p5, %r6, 0;"),
        ("misaligned tile", "add.s32 %r13, %r9, 16384;", "add.s32 %r13, %r9, 16400;"),
        ("descriptor version bits", "0x4000404000000000", "0x4000004000000000"),
        ("swapped operands", "%rd9, %rd10, %r20", "%rd10, %rd9, %r20"),
        ("every warp names the first lanes", "shl.b32 %r10, %r9, 21;", "mov.b32 %r10, 0;"),
        ("result out of bounds", "st.global.v4.b32 [%rd5+48]", "st.global.v4.b32 [%rd5+32768]"),
        ("commit before the last products", "add.s32 %r16, %r10, 16;", "add.s32 %r16, %r3, 32;"),
        ("barrier never initialised", "mbarrier.init.shared::cta.b64 [%r3+32], 1;", ""),
        (
            "second barrier not initialised, count 2",
            "mbarrier.init.shared::cta.b64 [%r3+8], 1;",
            "mbarrier.init.shared::cta.b64 [%r3+8], 2;",
        ),
    ];
    let mut survivors = vec![];
    for (name, from, to) in mistakes {
        let endings = mistake(from, to);
        println!("{name}: {endings:?}");
        if endings.iter().all(Option::is_none) {
            survivors.push(*name);
        }
    }
    assert_eq!(survivors, [""; 0]);
}
