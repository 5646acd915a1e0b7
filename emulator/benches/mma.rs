//! Rate of the matrix multiplies on one core, in multiply-adds per second.

use std::hint::black_box;

use divan::Bencher;
use divan::counter::ItemsCount;
use ptx_emulator::tensor::block_scaled::{K, Panel, ROWS, multiply};
use ptx_emulator::tensor::dense::{self, Accumulate, Operand, Packing};
use ptx_emulator::tensor::instr_descriptor::{Element, ScaleType};

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

/// The other kinds, M = 128, N = 128: f16 with K = 16, mxf8f6f4 with K = 32.
#[divan::bench(args = ["f16", "mxf8"])]
fn dense_128x128(bencher: Bencher, kind: &str) {
    const N: usize = 128;
    let (element, k, scale) = match kind {
        "f16" => (Element::F16, 16, None),
        _ => (Element::E4m3, 32, Some((ScaleType::Ue8m0, 32))),
    };
    let operand = Operand { element, packing: Packing::Dense, k, group: 1, scale, negate: false };
    let bytes: Vec<u8> = (0..ROWS * operand.row_bytes()).map(|i| (i * 37 % 120) as u8).collect();
    let scales = [[127; 4]; ROWS];
    let (mut panel, mut rows) = (dense::Panel::default(), dense::Rows::default());
    let mut d = vec![[0u32; ROWS]; N];
    let how = Accumulate { fraction_bits: 25, add: true, half: false };
    bencher.counter(ItemsCount::new(ROWS * N * k)).bench_local(move || {
        panel.load(&operand, black_box(&bytes), &scales);
        rows.load(&operand, black_box(&bytes), &scales);
        dense::multiply(&panel, &rows, how, black_box(&mut d));
    });
}
