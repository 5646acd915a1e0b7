//! What the device crate encodes, as constants worked out by hand from the field tables, and as the
//! emulator decodes it from its own reading of the ISA.

use nvfp4_dual_gemm_device::descriptor::instr_mxf4::{Mxf4Element, Mxf4InstrDescriptor, Mxf4Scale};
use nvfp4_dual_gemm_device::descriptor::smem_sm100::Sm100SmemDescriptor;
use nvfp4_dual_gemm_device::tile::geometry::{Geometry, MMA_K, TILE_M};
use nvfp4_dual_gemm_device::tile::scale_layout::atom_offset;
use nvfp4_dual_gemm_device::tile::smem_map::SmemMap;
use nvfp4_dual_gemm_device::tile::tmem_map::{ATOM_COLUMNS, TMEM_COLUMNS, TmemMap};
use ptx_emulator::tensor::instr_descriptor::{self, Element, Form, MmaKind, ScaleType};
use ptx_emulator::tensor::smem_descriptor::decode_sm100;
use ptx_emulator::tensor::swizzle::Swizzle;

fn nvfp4(n: u32) -> Mxf4InstrDescriptor {
    Mxf4InstrDescriptor::new(128, n, Mxf4Element::E2M1, Mxf4Scale::Ue4m3)
}

#[test]
fn instruction_descriptors_are_the_known_constants() {
    for (n, bits) in [
        (16, 0x0804_0480),
        (32, 0x0808_0480),
        (64, 0x0810_0480),
        (96, 0x0818_0480),
        (128, 0x0820_0480),
        (192, 0x0830_0480),
        (224, 0x0838_0480),
        (256, 0x0840_0480),
    ] {
        assert_eq!(nvfp4(n).bits(), bits, "N = {n}");
    }
}

#[test]
fn the_emulator_reads_the_same_shape_and_types() {
    for n in (8..=256).step_by(8) {
        let bits = nvfp4(n).bits();
        let read = instr_descriptor::decode(MmaKind::Mxf4nvf4, Form::dense(1), bits).unwrap();
        assert_eq!((read.m, read.n, read.k), (128, n, 64));
        assert_eq!((read.a, read.b), (Element::E2m1, Element::E2m1));
        assert_eq!(read.scale, Some(ScaleType::Ue4m3));
        assert!(!read.negate_a && !read.negate_b && !read.a_mn_major && !read.b_mn_major);
        assert_eq!((read.scale_a_id, read.scale_b_id), (0, 0));
    }
    let mx = Mxf4InstrDescriptor::new(128, 64, Mxf4Element::E2M1, Mxf4Scale::Ue8m0);
    let read = instr_descriptor::decode(MmaKind::Mxf4nvf4, Form::dense(1), mx.bits()).unwrap();
    assert_eq!(read.scale, Some(ScaleType::Ue8m0));
}

#[test]
#[should_panic(expected = "multiple of 8")]
fn an_instruction_descriptor_refuses_a_width_that_the_hardware_lacks() {
    nvfp4(12);
}

#[test]
#[should_panic(expected = "M = 128")]
fn an_instruction_descriptor_refuses_a_height_that_the_hardware_lacks() {
    Mxf4InstrDescriptor::new(64, 64, Mxf4Element::E2M1, Mxf4Scale::Ue4m3);
}

#[test]
fn operand_descriptors_are_the_known_constants() {
    let a = Sm100SmemDescriptor::k_major_128b(0x8400);
    let steps: Vec<u64> = (0..4).map(|step| a.advance(32 * step).bits()).collect();
    assert_eq!(
        steps,
        [
            0x4000_4040_0000_0840,
            0x4000_4040_0000_0842,
            0x4000_4040_0000_0844,
            0x4000_4040_0000_0846
        ]
    );
    assert_eq!(Sm100SmemDescriptor::k_major_128b(0xc400).advance(64).bits(), 0x4000_4040_0000_0c44);
    assert_eq!(Sm100SmemDescriptor::scale_atom(0x2_0400).bits(), 0x0000_4008_0000_2040);
    let atom = Sm100SmemDescriptor::scale_atom(0x1_0400);
    assert_eq!(atom.advance(1024).bits(), 0x0000_4008_0000_1080);
}

#[test]
fn a_cluster_ranks_bits_stay_out_of_descriptors() {
    for rank in 0..16 {
        let address = rank << 24 | 0x8400;
        assert_eq!(
            Sm100SmemDescriptor::k_major_128b(address),
            Sm100SmemDescriptor::k_major_128b(0x8400)
        );
    }
}

#[test]
fn the_emulator_reads_the_same_layouts() {
    let a = decode_sm100(Sm100SmemDescriptor::k_major_128b(0x8400).advance(64).bits()).unwrap();
    assert_eq!((a.start, a.stride, a.base_offset, a.swizzle), (0x8440, 1024, 0, Swizzle::B128));
    // Row 77, element 136 of a tile at 0x8400: K step 2, element 8 within it, byte 4.
    assert_eq!(a.k_major(77, 4), 0xaa94);
    let atom = decode_sm100(Sm100SmemDescriptor::scale_atom(0x1_0400).bits()).unwrap();
    assert_eq!((atom.start, atom.stride, atom.swizzle), (0x1_0400, 128, Swizzle::None));
}

/// Every byte that a stage's MMAs and copies read lies in the region that its TMA writes.
#[test]
fn the_maps_keep_everything_apart() {
    for tile_n in [64, 128] {
        let geometry = Geometry::sm100(tile_n);
        let map = SmemMap::new(geometry);
        let regions = [
            (map.a, geometry.a_bytes()),
            (map.b1, geometry.b_bytes()),
            (map.b2, geometry.b_bytes()),
            (map.sfa, geometry.scale_bytes()),
            (map.sfb1, geometry.scale_bytes()),
            (map.sfb2, geometry.scale_bytes()),
        ];
        for pair in regions.windows(2) {
            assert_eq!(pair[0].0 + pair[0].1, pair[1].0, "no gap and no overlap");
        }
        assert!(map.tiles_arrived >= map.stage * geometry.stages);
        assert!(map.tiles_arrived.is_multiple_of(8) && map.stage_free.is_multiple_of(8));
        for (offset, rows) in [(map.a, TILE_M), (map.b1, tile_n), (map.b2, tile_n)] {
            // The four K steps read every byte of the tile once.
            let mut read = vec![0; (rows * 128) as usize];
            for step in 0..4 {
                let slice = Sm100SmemDescriptor::k_major_128b(offset).advance(step * MMA_K / 2);
                let slice = decode_sm100(slice.bits()).unwrap();
                for (row, byte) in (0..rows).flat_map(|row| (0..32).map(move |byte| (row, byte))) {
                    read[(slice.k_major(row, byte) - offset) as usize] += 1;
                }
            }
            assert!(read.iter().all(|&times| times == 1));
        }

        let tmem = TmemMap::new(geometry);
        let mut columns = vec![0; TMEM_COLUMNS as usize];
        let mut take = |first: u32, count: u32| {
            for column in first..first + count {
                columns[column as usize] += 1;
            }
        };
        take(tmem.gate, tile_n);
        take(tmem.up, tile_n);
        for stage in 0..geometry.stages {
            for first in [tmem.sfa(stage), tmem.sfb1(stage), tmem.sfb2(stage)] {
                take(first, 4 * ATOM_COLUMNS);
            }
        }
        assert!(columns.iter().all(|&owners| owners <= 1), "columns overlap: {columns:?}");
    }
}

#[test]
fn scale_atoms_lie_where_the_blocked_layout_says() {
    for (rows, k, row, block) in [(256, 7168, 77, 6), (256, 7168, 200, 447), (300, 448, 299, 27)] {
        let layout = nvfp4_dual_gemm::formats::scale_layout::ScaleLayout::new(rows, k, 1).unwrap();
        let byte = layout.blocked_offset(0, row, block).unwrap() as u64;
        let atom = atom_offset(rows as u32, k as u32, 0, row as u32 / 128 * 128, block as u32 / 4);
        assert_eq!(byte / 512 * 512, atom);
    }
}
