//! e2m1 and ue4m3 against PyPI's ml_dtypes, by way of a fixture.

use nvfp4_dual_gemm::formats::e2m1::{self, E2m1};
use nvfp4_dual_gemm::formats::ue4m3::{self, Ue4m3};

/// The lines of the fixture that start with `kind`, as numbers.
fn lines(kind: &str) -> Vec<Vec<u32>> {
    include_str!("fixtures/ml_dtypes.tsv")
        .lines()
        .filter_map(|line| line.strip_prefix(kind)?.strip_prefix('\t'))
        .map(|line| line.split('\t').map(|x| u32::from_str_radix(x, 16).unwrap()).collect())
        .collect()
}

#[test]
fn every_e2m1_code_has_ml_dtypes_value() {
    let lines = lines("e2m1");
    assert_eq!(lines.len(), 16);
    for line in lines {
        let code = E2m1::from_bits(line[0] as u8).unwrap();
        assert_eq!(code.to_f32().to_bits(), line[1], "code {:x}", line[0]);
        assert_eq!(e2m1::VALUES[line[0] as usize].to_bits(), line[1]);
    }
}

#[test]
fn every_e4m3_code_has_ml_dtypes_value_or_is_refused() {
    let lines = lines("e4m3");
    assert_eq!(lines.len(), 256);
    for line in lines {
        let value = f32::from_bits(line[1]);
        match Ue4m3::from_bits(line[0] as u8) {
            Ok(scale) => assert_eq!(scale.to_f32().to_bits(), line[1], "code {:x}", line[0]),
            Err(_) => assert!(value.is_nan() || value.is_sign_negative(), "code {:x}", line[0]),
        }
        assert_eq!(Ue4m3::from_bits(line[0] as u8).is_ok(), line[0] < 0x7f);
    }
    assert_eq!(ue4m3::VALUES.len(), 127);
}

#[test]
fn rounding_is_ml_dtypes_rounding() {
    let lines = lines("round");
    assert!(lines.len() > 2_000, "only {} roundings", lines.len());
    for line in lines {
        let value = f32::from_bits(line[0]);
        let (four, eight) = (line[1] as u8, line[2] as u8);
        assert_eq!(E2m1::from_f32(value).unwrap().to_bits(), four, "e2m1 of {value:e}");
        if value.is_sign_positive() {
            assert_eq!(Ue4m3::from_f32(value).unwrap().to_bits(), eight, "e4m3 of {value:e}");
        } else if value < 0.0 {
            assert!(Ue4m3::from_f32(value).is_err());
        }
    }
}
