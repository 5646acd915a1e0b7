//! Rules by name, bytes there and back, and the walk against one element at a time.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

/// The A operand's map of the reference kernel: rank 3, packed 4-bit, 128B swizzle.
fn nvfp4() -> TensorMap {
    TensorMap {
        base: 0x7f00_0000_0000,
        element: ElementType::Packed4,
        rank: 3,
        dims: [256, 300, 2, 0, 0],
        strides: [256, 128, 0, 0],
        box_dims: [256, 128, 1, 0, 0],
        element_strides: [1; 5],
        swizzle: Swizzle::B128,
        ..Default::default()
    }
}

#[test]
fn bytes_there_and_back() {
    let map = nvfp4();
    assert_eq!(TensorMap::decode(&map.encode()), Ok(map));
    assert_eq!((map.transaction_bytes(), map.shared_bytes()), (16384, 16384));
    let mut bytes = map.encode();
    bytes[24] ^= 1;
    assert!(TensorMap::decode(&bytes).unwrap_err().contains("altered"));
    assert!(TensorMap::decode(&[7; 128]).unwrap_err().contains("not a tensor map"));
    assert!(TensorMap::decode(&[0; 128]).unwrap_err().contains("nobody"));
}

#[test]
fn every_rule_refuses_by_name() {
    type Case = (&'static str, fn(&mut TensorMap));
    let cases: &[Case] = &[
        ("rank is 0", |m| m.rank = 0),
        ("rank is 6", |m| m.rank = 6),
        ("multiple of 16", |m| m.base = 8),
        ("dims[1] is 0", |m| m.dims[1] = 0),
        ("dims[2]", |m| m.dims[2] = (1 << 32) + 1),
        ("strides[0]", |m| m.strides[0] = 24),
        ("strides[1]", |m| m.strides[1] = 1 << 40),
        ("dims[0] is 255", |m| m.dims[0] = 255),
        ("box[1] is 257", |m| m.box_dims[1] = 257),
        ("box[2] is 0", |m| m.box_dims[2] = 0),
        ("element_strides[1] is 9", |m| m.element_strides[1] = 9),
        ("multiple of 16 bytes", |m| m.box_dims[0] = 16),
        ("at most 64", |m| m.swizzle = Swizzle::B64),
        ("needs exactly 128", |m| m.element = ElementType::Padded4),
        ("not 64B", |m| {
            m.element = ElementType::Padded4;
            m.box_dims[0] = 128;
            m.swizzle = Swizzle::B64;
        }),
        ("multiple of 32", |m| {
            m.element = ElementType::Padded6;
            m.base += 16;
        }),
        ("oob_fill NAN", |m| m.oob_fill = OobFill::Nan),
        ("needs swizzle 32B", |m| m.interleave = Interleave::B32),
    ];
    assert_eq!(nvfp4().validate(), Ok(()));
    for (needle, spoil) in cases {
        let mut map = nvfp4();
        spoil(&mut map);
        let message = map.validate().unwrap_err();
        assert!(message.contains(needle), "{needle}: {message}");
        if map.rank <= 5 && map.box_dims[1] < 1 << 16 {
            assert!(TensorMap::decode(&map.encode()).unwrap_err().contains(needle));
        }
    }
}

#[test]
fn replace_builds_a_map_from_zeros() {
    let mut map = TensorMap::decode_draft(&[0; 128]).unwrap();
    let want = nvfp4();
    map.replace(Field::GlobalAddress, 0, want.base).unwrap();
    map.replace(Field::Rank, 0, 2).unwrap();
    for d in 0..3 {
        map.replace(Field::GlobalDim, d, want.dims[d]).unwrap();
        map.replace(Field::BoxDim, d, want.box_dims[d].into()).unwrap();
        map.replace(Field::ElementStride, d, 1).unwrap();
    }
    map.replace(Field::GlobalStride, 0, 256).unwrap();
    map.replace(Field::GlobalStride, 1, 128).unwrap();
    map.replace(Field::ElemType, 0, 13).unwrap();
    map.replace(Field::SwizzleMode, 0, 3).unwrap();
    map.replace(Field::InterleaveLayout, 0, 0).unwrap();
    map.replace(Field::FillMode, 0, 0).unwrap();
    assert_eq!(TensorMap::decode(&map.encode()), Ok(want));
    // The ISA's numbers are not the driver's: 8 is .f32.ftz here, 10 is .bf16.
    map.replace(Field::ElemType, 0, 10).unwrap();
    assert_eq!(map.element, ElementType::Bfloat16);
    assert!(map.replace(Field::ElemType, 0, 16).is_err());
    assert!(map.replace(Field::GlobalStride, 4, 16).is_err());
    assert!(map.replace(Field::SwizzleMode, 0, 5).is_err());
}

#[test]
fn nvfp4_tile_with_a_tail() {
    let pieces = nvfp4().pieces(&[0, 256, 1]).unwrap();
    assert_eq!(pieces.len(), 128);
    let row = |r: u32| 0x7f00_0000_0000 + (256 + u64::from(r)) * 256 + 128;
    assert_eq!(pieces[1], Piece { shared_offset: 128, bytes: 128, global: Some(row(1)) });
    assert_eq!(pieces[43].global, Some(row(43)));
    assert_eq!(pieces[44], Piece { shared_offset: 44 * 128, bytes: 128, global: None });
    assert!(nvfp4().pieces(&[8, 0, 0]).unwrap_err().contains("multiple of 16"));
    assert!(nvfp4().pieces(&[0, 0]).unwrap_err().contains("rank 3"));
}

#[test]
fn padded_types_leave_gaps() {
    let map = TensorMap {
        base: 0x1000,
        element: ElementType::Padded6,
        rank: 2,
        dims: [128, 4, 0, 0, 0],
        strides: [96, 0, 0, 0],
        box_dims: [128, 2, 0, 0, 0],
        element_strides: [1; 5],
        ..Default::default()
    };
    assert_eq!((map.transaction_bytes(), map.shared_bytes()), (192, 256));
    let pieces = map.pieces(&[0, 3]).unwrap();
    assert_eq!(pieces.len(), 16);
    assert_eq!(pieces[1], Piece { shared_offset: 16, bytes: 12, global: Some(0x1000 + 288 + 12) });
    assert_eq!(pieces[8], Piece { shared_offset: 128, bytes: 12, global: None });
}

#[test]
fn gather_takes_four_rows() {
    let map = TensorMap { rank: 2, box_dims: [256, 1, 0, 0, 0], ..nvfp4() };
    let pieces = map.gather4(0, [5, 0, -1, 299]).unwrap();
    let globals: Vec<_> = pieces.iter().map(|p| p.global.map(|g| g - map.base)).collect();
    assert_eq!(globals, [Some(5 * 256), Some(0), None, Some(299 * 256)]);
    assert_eq!(pieces[3].shared_offset, 384);
    assert!(nvfp4().gather4(0, [0; 4]).is_err());
}

#[test]
fn a_copy_starts_at_a_multiple_of_sixteen_bytes() {
    let mut map = nvfp4();
    map.element = ElementType::Float32;
    let first = |column: i32| {
        let mut at = vec![0; map.rank];
        at[0] = column;
        map.check_coordinates(&at).is_ok()
    };
    assert!(first(4) && first(-4));
    assert!(!first(5) && !first(-2));
}

#[test]
fn nan_fill() {
    let mut map = nvfp4();
    assert_eq!(map.fill_pattern(), [0; 8]);
    map.oob_fill = OobFill::Nan;
    map.element = ElementType::Float16;
    assert_eq!(map.fill_pattern(), [0xF7, 0x7F, 0xF7, 0x7F, 0xF7, 0x7F, 0xF7, 0x7F]);
}

/// The definition, one element at a time: shared byte → global byte.
fn element_by_element(map: &TensorMap, c: &[i32]) -> HashMap<u32, Option<u64>> {
    let size = map.element.bits() / 8;
    let mut bytes = HashMap::new();
    let mut offset = 0;
    let extent = |d: usize| if d < map.rank { map.copied(d) } else { 1 };
    for i2 in 0..extent(2) {
        for i1 in 0..extent(1) {
            for i0 in 0..extent(0) {
                let at: Vec<i64> = [i0, i1, i2][..map.rank]
                    .iter()
                    .enumerate()
                    .map(|(d, &i)| {
                        let step = if d == 0 { 1 } else { map.element_strides[d] };
                        i64::from(c[d]) + i64::from(i * step)
                    })
                    .collect();
                let inside = at.iter().zip(&map.dims).all(|(&x, &n)| x >= 0 && x < n as i64);
                let address = inside.then(|| {
                    let outer: u64 = (1..map.rank).map(|d| at[d] as u64 * map.strides[d - 1]).sum();
                    map.base + outer + at[0] as u64 * u64::from(size)
                });
                for b in 0..size {
                    bytes.insert(offset, address.map(|a| a + u64::from(b)));
                    offset += 1;
                }
            }
        }
    }
    bytes
}

proptest! {
    #[test]
    fn the_walk_is_the_definition(
        element in prop::sample::select(vec![
            ElementType::Uint8, ElementType::Float16, ElementType::Float32, ElementType::Int64]),
        dims in prop::array::uniform3(1u64..40),
        boxes in prop::array::uniform3(1u32..9),
        steps in prop::array::uniform3(1u32..4),
        c in prop::array::uniform3(-20i32..50),
        rank in 1usize..4,
    ) {
        let map = TensorMap {
            base: 1 << 30,
            element,
            rank,
            dims: [dims[0], dims[1], dims[2], 0, 0],
            strides: [512, 32768, 0, 0],
            box_dims: [boxes[0] * 16, boxes[1], boxes[2], 0, 0],
            element_strides: [steps[0], steps[1], steps[2], 1, 1],
            ..Default::default()
        };
        prop_assert_eq!(map.validate(), Ok(()));
        // A copy starts at a multiple of 16 bytes.
        let c = [c[0] * (128 / element.bits() as i32), c[1], c[2]];
        let want = element_by_element(&map, &c);
        let mut got = HashMap::new();
        for piece in map.pieces(&c[..rank]).unwrap() {
            for b in 0..piece.bytes {
                let twice = got.insert(piece.shared_offset + b, piece.global.map(|g| g + u64::from(b)));
                prop_assert!(twice.is_none());
            }
        }
        prop_assert_eq!(got.len() as u32, map.shared_bytes());
        prop_assert_eq!(got, want);
    }
}
