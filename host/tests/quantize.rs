//! Quantising to NVFP4 and back: worked examples, properties, refusals.

use half::{bf16, f16};
use nvfp4_dual_gemm::formats::nvfp4::tensor_scale_for;
use nvfp4_dual_gemm::{Nvfp4Matrix, TensorScale};
use proptest::prelude::*;

fn quantize(data: &[f32], k: usize, scale: TensorScale) -> Nvfp4Matrix {
    Nvfp4Matrix::quantize(data, data.len() / k, k, scale).unwrap()
}

#[test]
fn the_example_worked_out_by_hand() {
    // amax 13.44 / 2688 = 0.005; a block with amax 3 gets 3 / (6 · 0.005) = 100, a tie, so 96.
    let scale = tensor_scale_for(13.44);
    assert_eq!(scale, 13.44f32 / 2688.0);
    let mut data = [0.0; 16];
    (data[0], data[3]) = (3.0, -1.5);
    let matrix = quantize(&data, 16, TensorScale::Given(0.005));
    assert_eq!(matrix.scales(), [0x6c]);
    // 3 / (96 · 0.005) = 6.25 becomes 6; −1.5 becomes −3.125, so −3, in the high nibble of byte 1.
    assert_eq!(matrix.packed()[..3], [0x07, 0xd0, 0x00]);
    assert_eq!(matrix.dequantize()[3], -3.0 * 96.0 * 0.005);
}

#[test]
fn zeros_get_scale_one_and_keep_their_signs() {
    let mut data = [0.0; 32];
    data[1] = -0.0;
    let matrix = quantize(&data, 32, TensorScale::FromData);
    assert_eq!((matrix.tensor_scale(), matrix.scales()), (1.0, &[0x38, 0x38][..]));
    assert_eq!(matrix.packed()[0], 0x80);
}

#[test]
fn block_scales_are_clamped_at_both_ends() {
    let block = |x: f32| quantize(&[x; 16], 16, TensorScale::Given(1.0));
    // Too small for the smallest scale, 2⁻⁹: half of it rounds to 0.5 · 2⁻⁹, less to 0.
    assert_eq!((block(1e-9).scales(), block(1e-9).packed()[0]), (&[1][..], 0x00));
    assert_eq!((block(1e-3).scales(), block(1e-3).packed()[0]), (&[1][..], 0x11));
    // Too large for 6 · 448.
    assert_eq!((block(1e9).scales(), block(1e9).packed()[0]), (&[0x7e][..], 0x77));
    assert_eq!(block(-1e9).dequantize()[0], -2688.0);
}

#[test]
fn extreme_tensors_get_a_usable_tensor_scale() {
    for amax in [f32::MAX, 1e-38, f32::from_bits(1)] {
        let matrix = quantize(&[amax; 16], 16, TensorScale::FromData);
        assert!(matrix.tensor_scale() >= f32::MIN_POSITIVE && matrix.tensor_scale().is_finite());
        assert!(matrix.dequantize().iter().all(|x| x.is_finite()));
    }
}

#[test]
fn half_types_quantise_as_their_f32_values() {
    let data: Vec<f32> = (0..64).map(|i| (i as f32 - 30.0) * 0.37).collect();
    let as_f16: Vec<f16> = data.iter().map(|&x| f16::from_f32(x)).collect();
    let as_bf16: Vec<bf16> = data.iter().map(|&x| bf16::from_f32(x)).collect();
    let back: Vec<f32> = as_f16.iter().map(|x| x.to_f32()).collect();
    let want = quantize(&back, 32, TensorScale::FromData);
    assert_eq!(Nvfp4Matrix::quantize(&as_f16, 2, 32, TensorScale::FromData).unwrap(), want);
    let back: Vec<f32> = as_bf16.iter().map(|x| x.to_f32()).collect();
    let want = quantize(&back, 32, TensorScale::FromData);
    assert_eq!(Nvfp4Matrix::quantize(&as_bf16, 2, 32, TensorScale::FromData).unwrap(), want);
}

#[test]
fn refusals_name_what_is_wrong() {
    let text = |data: &[f32], rows, k, scale| {
        Nvfp4Matrix::quantize(data, rows, k, scale).unwrap_err().to_string()
    };
    let mut data = [1.0; 64];
    assert!(text(&data, 2, 24, TensorScale::FromData).contains("K = 24"));
    assert!(text(&data, 3, 32, TensorScale::FromData).contains("64 elements"));
    assert!(text(&data, 0, 32, TensorScale::FromData).contains("rows = 0"));
    assert!(text(&data, usize::MAX, 32, TensorScale::FromData).contains("rows"));
    for scale in [0.0, -1.0, 1e-40, f32::NAN, f32::INFINITY] {
        let message = text(&data, 2, 32, TensorScale::Given(scale));
        assert!(message.contains("tensor scale") && message.contains("above 0"), "{message}");
    }
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        data[37] = bad;
        let message = text(&data, 2, 32, TensorScale::FromData);
        assert!(message.contains("(1, 5)") && message.contains(&bad.to_string()), "{message}");
    }
    assert!(Nvfp4Matrix::quantize(&[f16::INFINITY; 16], 1, 16, TensorScale::FromData).is_err());

    let parts = |packed: usize, scales: Vec<u8>, scale| {
        Nvfp4Matrix::from_parts(2, 32, vec![0; packed], scales, scale).unwrap_err().to_string()
    };
    assert!(parts(31, vec![0; 4], 1.0).contains("31 bytes"));
    assert!(parts(32, vec![0; 5], 1.0).contains("5 bytes"));
    assert!(parts(32, vec![0, 0, 0, 0x7f], 1.0).contains("row 1, block 1"));
    assert!(parts(32, vec![0; 4], 0.0).contains("tensor scale"));
}

#[test]
fn blocked_scales_follow_the_batches() {
    let data: Vec<f32> = (0..4 * 32).map(|i| (i + 1) as f32).collect();
    let matrix = quantize(&data, 32, TensorScale::FromData);
    let blocked = matrix.blocked_scales(2).unwrap();
    assert_eq!(blocked.len(), 2 * 512);
    let scales = matrix.scales();
    assert_eq!([blocked[0], blocked[1], blocked[16], blocked[17]], scales[..4]);
    assert_eq!([blocked[512], blocked[513], blocked[528], blocked[529]], scales[4..]);
    assert!(matrix.blocked_scales(3).unwrap_err().to_string().contains("L = 3"));
    assert!(matrix.blocked_scales(0).is_err());
}

/// Magnitudes that f32 quotients stay normal for.
fn element() -> impl Strategy<Value = f32> {
    prop_oneof![
        4 => -100f32..100.0,
        1 => Just(0.0f32),
        2 => (-30i32..30, -1f32..1.0).prop_map(|(e, x)| x * 2f32.powi(e)),
    ]
}

proptest! {
    /// Each element is off by at most half the distance to the next code.
    #[test]
    fn the_error_of_every_element_is_bounded(data in prop::collection::vec(element(), 64)) {
        let matrix = quantize(&data, 32, TensorScale::FromData);
        let back = matrix.dequantize();
        for (i, (&x, &y)) in data.iter().zip(&back).enumerate() {
            let scale = nvfp4_dual_gemm::formats::ue4m3::VALUES[usize::from(matrix.scales()[i / 16])];
            let step = f64::from(scale) * f64::from(matrix.tensor_scale());
            let v = f64::from(x.abs()) / step;
            // Codes are 0.5 apart up to 2, 1 up to 4, 2 up to 6.
            let bound = if v <= 2.0 { 0.25 } else if v <= 4.0 { 0.5 } else { 1.0 };
            // Above 6 lies what the block scale lost to rounding: a sixteenth of a normal scale, half
            // of 2⁻⁹ of a subnormal one.
            let lost = f64::max(f64::from(scale) / 16.0, 1.0 / 1024.0) * f64::from(matrix.tensor_scale());
            prop_assert!(f64::from(x.abs()) <= 6.0 * (step + lost) * (1.0 + 1e-6), "{x} is {v} steps");
            let bound = if v > 6.0 { v - 6.0 } else { bound };
            // Rounding of the result to f32.
            let bound = bound * step * (1.0 + 1e-6) + f64::from(y.abs()) * 1e-7;
            prop_assert!((f64::from(x) - f64::from(y)).abs() <= bound, "{x} became {y}");
        }
    }

    /// What has been quantised is not changed by quantising it again, while block scales are normal
    /// numbers; subnormal ones have fewer bits than the round trip needs.
    #[test]
    fn quantising_twice_changes_nothing(
        data in prop::collection::vec(0.5f32..100.0, 64),
        signs in prop::collection::vec(any::<bool>(), 64),
    ) {
        let data: Vec<f32> = data.iter().zip(signs).map(|(&x, s)| if s { -x } else { x }).collect();
        let once = quantize(&data, 32, TensorScale::FromData);
        let again = quantize(&once.dequantize(), 32, TensorScale::Given(once.tensor_scale()));
        prop_assert_eq!(again, once);
    }

    /// Every matrix of codes and normal scales survives being read and written.
    #[test]
    fn codes_survive_a_round_trip(packed in prop::collection::vec(any::<u8>(), 32), scale in 8u8..0x7f) {
        let mut packed = packed;
        // The scale follows from a block's largest code, so each block gets a 6.
        packed.chunks_exact_mut(8).for_each(|block| block[0] = 0xf7);
        let matrix = Nvfp4Matrix::from_parts(2, 32, packed, vec![scale; 4], 0.25).unwrap();
        let again = quantize(&matrix.dequantize(), 32, TensorScale::Given(0.25));
        prop_assert_eq!(again, matrix);
    }
}
