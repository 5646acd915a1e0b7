//! The f64 reference against products of dequantised matrices, and against sums done by hand.

use approx::assert_relative_eq;
use nvfp4_dual_gemm::reference::dual_gemm;
use nvfp4_dual_gemm::{Inputs, Nvfp4Matrix, Problem, TensorScale};
use rand::{Rng, SeedableRng, rngs::SmallRng};

fn random(rows: usize, k: usize, rng: &mut SmallRng) -> Nvfp4Matrix {
    let data: Vec<f32> = (0..rows * k)
        .map(|_| rng.random_range(-1f32..1.0) * 2f32.powi(rng.random_range(-4..4)))
        .collect();
    // With a tensor scale of 1, `dequantize` is exact and needs no alpha.
    Nvfp4Matrix::quantize(&data, rows, k, TensorScale::Given(1.0)).unwrap()
}

fn silu(x: f64) -> f64 {
    x / (1.0 + (-x).exp())
}

#[test]
fn agrees_with_the_product_of_dequantised_matrices() {
    let rng = &mut SmallRng::seed_from_u64(7);
    for (m, n, k, l) in [(1, 8, 32, 1), (3, 24, 96, 2), (130, 136, 160, 1), (5, 8, 64, 3)] {
        let [a, b1, b2] = [m, n, n].map(|rows| random(l * rows, k, rng));
        let [sfa, sfb1, sfb2] = [&a, &b1, &b2].map(|x| x.blocked_scales(l).unwrap());
        let inputs = Inputs {
            a: a.packed(),
            b1: b1.packed(),
            b2: b2.packed(),
            sfa: &sfa,
            sfb1: &sfb1,
            sfb2: &sfb2,
        };
        let problem = Problem::new(m, n, k).with_batch(l).with_alphas(0.5, -0.25);
        let got = dual_gemm(&problem, &inputs).unwrap();
        let [a, b1, b2] = [&a, &b1, &b2].map(|x| x.dequantize());
        let row = |x: &[f32], row: usize| -> Vec<f64> {
            x[row * k..][..k].iter().map(|&x| f64::from(x)).collect()
        };
        let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
        for batch in 0..l {
            for i in 0..m {
                for j in 0..n {
                    let a = row(&a, batch * m + i);
                    let acc1 = dot(&a, &row(&b1, batch * n + j));
                    let acc2 = dot(&a, &row(&b2, batch * n + j));
                    let at = (batch * m + i) * n + j;
                    // Both sums are exact: few terms of few bits.
                    assert_eq!((got.acc1[at], got.acc2[at]), (acc1, acc2), "{batch} {i} {j}");
                    // The same function, perhaps multiplied in another order.
                    let want = silu(0.5 * acc1) * (-0.25 * acc2);
                    assert_relative_eq!(got.c[at], want, max_relative = 1e-14);
                }
            }
        }
    }
}

#[test]
fn by_hand() {
    // Row 0 of A: element 0 is 3, element 17 is −6; block scales 2 and 0.5.
    let mut a = [0; 16];
    (a[0], a[8]) = (0x05, 0xf0);
    let mut b = vec![0; 8 * 16];
    // Row 5 of B: elements 0 and 17 are 1.5 and 4; block scales 1 and 448.
    (b[5 * 16], b[5 * 16 + 8]) = (0x03, 0x60);
    let (mut sfa, mut sfb) = (vec![0xff; 512], vec![0xff; 512]);
    for row in 0..8 {
        (sfb[row * 16], sfb[row * 16 + 1]) = (0x38, 0x7e);
    }
    (sfa[0], sfa[1]) = (0x40, 0x30);
    let problem = Problem::new(1, 8, 32).with_alphas(-1.0 / 8192.0, 1.0);
    let inputs = Inputs { a: &a, b1: &b, b2: &b, sfa: &sfa, sfb1: &sfb, sfb2: &sfb };
    let got = dual_gemm(&problem, &inputs).unwrap();
    let sum = 3.0 * 2.0 * 1.5 * 1.0 - 6.0 * 0.5 * 4.0 * 448.0;
    let mut want = [0.0; 8];
    want[5] = sum;
    assert_eq!((&got.acc1[..], &got.acc2[..]), (&want[..], &want[..]));
    assert_relative_eq!(got.c[5], silu(-sum / 8192.0) * sum, max_relative = 1e-14);
    assert!(got.c.iter().enumerate().all(|(i, &c)| i == 5 || c == 0.0));
}

#[test]
fn silu_of_large_negative_sums_is_zero_not_nan() {
    let (a, b, scales) = ([0x77; 16], [0xff; 8 * 16], [0x7e; 512]);
    let inputs = Inputs { a: &a, b1: &b, b2: &b, sfa: &scales, sfb1: &scales, sfb2: &scales };
    let got = dual_gemm(&Problem::new(1, 8, 32), &inputs).unwrap();
    assert_eq!(got.acc1[0], -36.0 * 448.0 * 448.0 * 32.0);
    assert!(got.c.iter().all(|&c| c == 0.0), "{:?}", got.c);
}

#[test]
fn wrong_inputs_are_refused() {
    let (a, b, scales) = ([0; 16], [0; 8 * 16], [0; 512]);
    let inputs = Inputs { a: &a, b1: &b, b2: &b, sfa: &scales, sfb1: &scales, sfb2: &scales };
    assert!(dual_gemm(&Problem::new(1, 8, 32), &inputs).is_ok());
    assert!(dual_gemm(&Problem::new(2, 8, 32), &inputs).is_err());
    assert!(dual_gemm(&Problem::new(1, 8, 16), &inputs).is_err());
    assert!(dual_gemm(&Problem::new(usize::MAX, 8, 32), &inputs).is_err());
}
