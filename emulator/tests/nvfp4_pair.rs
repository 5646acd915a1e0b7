//! A small warp-specialised NVFP4 GEMM by a pair of CTAs, as it should be and with one mistake at a
//! time.

mod common;
mod nvfp4;

use common::{Bench, fault, one_cta, params};
use nvfp4::{K, TILES, map, matrix};
use ptx_emulator::error::{Ending, FaultKind};
use ptx_emulator::run::Launch;
use ptx_emulator::tensor::map::{ElementType, TensorMap};

const PTX: &str = include_str!("data/run/nvfp4_pair.ptx");
const M: usize = 256;
const N: usize = 64;

/// Scales as one row of 64-bit numbers, 2048 bytes at a time.
fn scale_map(base: u64, bytes: usize) -> [u8; 128] {
    let mut map = TensorMap {
        base,
        element: ElementType::Int64,
        rank: 1,
        element_strides: [1; 5],
        ..TensorMap::default()
    };
    map.dims[0] = bytes as u64 / 8;
    map.box_dims[0] = 256;
    map.validate().unwrap();
    map.encode()
}

/// Runs `ptx`; `Ok(true)` when the result is right.
fn run(ptx: &str, seed: u64) -> Result<bool, Ending> {
    let mut bench = Bench::new(ptx);
    let (a, b) = (matrix(M, 1), matrix(N, 2));
    let a_at = bench.buffer("a", &a.packed);
    let b_at = bench.buffer("b", &b.packed);
    let map_a = bench.buffer("map of a", &map(a_at, M, 128));
    let map_b = bench.buffer("map of b", &map(b_at, N, 32));
    let scales_a = bench.buffer("scales of a", &a.scales);
    let scales_b = bench.buffer("scales of b", &b.scales);
    let scales_a = bench.buffer("map of scales of a", &scale_map(scales_a, a.scales.len()));
    let scales_b = bench.buffer("map of scales of b", &scale_map(scales_b, b.scales.len()));
    let result = bench.empty("result", M * N * 4);
    let mut block = params(&[map_a, map_b, scales_a, scales_b, result]);
    block.extend((TILES as u32).to_le_bytes());
    let launch = Launch { grid: [2, 1, 1], ..one_cta("gemm", 192, 57_344 + 128, block) };
    let stats = bench.run(&launch, seed)?;
    assert_eq!(stats.ctas, 2);
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
        ("bytes of one CTA only", "_, [%c3], 24576;", "_, [%c3], 22528;"),
        ("the follower expects on its own barrier", "8, %c1;", "8, %r3;"),
        ("commit to the leader alone", "mov.b16 %h0, 3;", "mov.b16 %h0, 1;"),
        ("both multiply", "@%p6 bra JOIN;", ""),
        (
            "no cluster barrier before the end",
            "JOIN:\n    barrier.cluster.arrive.release.aligned;\n    barrier.cluster.wait.acquire.aligned;",
            "JOIN:",
        ),
        (
            "no cluster barrier after the start",
            "bar.sync 0;\n    barrier.cluster.arrive.release.aligned;\n    barrier.cluster.wait.acquire.aligned;",
            "bar.sync 0;",
        ),
        ("the follower's row of A", "shl.b32 %r12, %c0, 7;", "mov.b32 %r12, 0;"),
        (
            "dealloc in one CTA",
            "setp.ne.u32 %p0, %r2, 1;\n    @%p0 bra DONE;",
            "setp.ne.u32 %p0, %r2, 1;\n    @%p0 bra DONE; setp.ne.u32 %p0, %c0, 0; @%p0 bra DONE;",
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
