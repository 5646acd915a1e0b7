//! Rate of the block-scaled matrix multiply on one core, in multiply-adds per second.

use std::hint::black_box;

use divan::Bencher;
use divan::counter::ItemsCount;
use ptx_emulator::tensor::block_scaled::{K, Panel, ROWS, multiply};

fn main() {
    divan::main();
}

/// One instruction of M = 128, N = 128, K = 64, operands transposed each time as the machine does.
#[divan::bench(args = ["tame", "wild"])]
fn nvfp4_128x128x64(bencher: Bencher, scales: &str) {
    const N: usize = 128;
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    let rows: Vec<[u8; 32]> = (0..ROWS + N).map(|_| [(); 32].map(|()| random())).collect();
    // Wild scales reach 448·448, where group terms are truncated too.
    let wild = scales == "wild";
    let mut scale = move || if wild { random() % 0x7F } else { 0x30 + random() % 8 };
    let scales: Vec<[u8; 4]> = (0..ROWS + N).map(|_| [(); 4].map(|()| scale())).collect();
    let mut d = vec![[0u32; ROWS]; N];
    let mut panel = Panel::default();
    bencher.counter(ItemsCount::new(ROWS * N * K)).bench_local(move || {
        panel.load(black_box(&rows[..ROWS]), &scales[..ROWS], false);
        multiply(&panel, &rows[ROWS..], &scales[ROWS..], false, true, black_box(&mut d));
    });
}
