//! Operands of the two small NVFP4 GEMMs, and their tensor maps.

use ptx_emulator::tensor::map::{ElementType, TensorMap};
use ptx_emulator::tensor::swizzle::Swizzle;

/// More tiles of K than the ring has stages, twice over.
pub const TILES: usize = 5;
pub const K: usize = TILES * 256;

/// A small generator, so that the test owns its data.
struct Lcg(u64);

impl Lcg {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.0 >> 33
    }
}

const E2M1: [f64; 16] =
    [0., 0.5, 1., 1.5, 2., 3., 4., 6., -0., -0.5, -1., -1.5, -2., -3., -4., -6.];

/// An operand, as the kernels take it and as numbers.
pub struct Matrix {
    pub packed: Vec<u8>,
    pub scales: Vec<u8>,
    pub values: Vec<f64>,
}

/// Random codes and scales of 0.5, 1 and 2: all sums are exact in f32.
pub fn matrix(rows: usize, seed: u64) -> Matrix {
    let mut random = Lcg(seed);
    let codes: Vec<u8> = (0..rows * K).map(|_| (random.next() % 16) as u8).collect();
    let mut scales = vec![0x38; rows.div_ceil(128) * 128 * K / 16];
    let mut values = vec![0.; rows * K];
    for row in 0..rows {
        for block in 0..K / 16 {
            let power = (random.next() % 3) as u8;
            let at = row / 128 * (K / 64 * 512)
                + block / 4 * 512
                + row % 32 * 16
                + row % 128 / 32 * 4
                + block % 4;
            scales[at] = 0x30 + 8 * power;
            for k in block * 16..block * 16 + 16 {
                let code = codes[row * K + k];
                values[row * K + k] = E2M1[usize::from(code)] * f64::from(1u32 << power) / 2.;
            }
        }
    }
    let packed = codes.chunks(2).map(|pair| pair[0] | pair[1] << 4).collect();
    Matrix { packed, scales, values }
}

pub fn map(base: u64, rows: usize, box_rows: u32) -> [u8; 128] {
    let mut map = TensorMap {
        base,
        element: ElementType::Packed4,
        rank: 2,
        swizzle: Swizzle::B128,
        element_strides: [1; 5],
        ..TensorMap::default()
    };
    map.dims[..2].copy_from_slice(&[K as u64, rows as u64]);
    map.strides[0] = K as u64 / 2;
    map.box_dims[..2].copy_from_slice(&[256, box_rows]);
    map.validate().unwrap();
    map.encode()
}
