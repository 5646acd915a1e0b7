//! The groups' table as bytes: tensor maps, then records, as
//! [`group_schedule`](nvfp4_dual_gemm_device::tile::group_schedule) lays them out.

use nvfp4_dual_gemm_device::tile::group_schedule as field;

use super::launch::GroupAddresses;
use super::plan::GroupedPlan;
use super::problem::{Experts, Group, Groups};
use crate::plan::tensor_map::TENSOR_MAP_BYTES;

impl GroupedPlan {
    /// Bytes of the table.
    pub fn table_bytes(&self) -> usize {
        self.tensor_maps.len() * TENSOR_MAP_BYTES + self.records() * field::RECORD_BYTES as usize
    }

    /// Where the records begin in the table.
    pub fn records_offset(&self) -> usize {
        self.tensor_maps.len() * TENSOR_MAP_BYTES
    }

    /// The records, for a table at `table` with the groups' tensors at `groups`, which are as the
    /// problem lists them.
    pub(super) fn encode_records(&self, table: u64, groups: &[GroupAddresses]) -> Vec<u8> {
        let sizes: Vec<(usize, Group)> = match &self.problem.groups {
            Groups::Listed(list) => self.order.iter().map(|&i| (i, list[i])).collect(),
            Groups::Experts(Experts { rows, n, k, .. }) => vec![(0, Group::new(*rows, *n, *k))],
        };
        let mut bytes = Vec::with_capacity(self.records() * field::RECORD_BYTES as usize);
        let mut tiles = 0;
        for (record, (index, group)) in sizes.into_iter().enumerate() {
            let at = &groups[index];
            let Group { m, n, k, l, alpha1, alpha2 } = group;
            let columns = field::column_tiles(n as u32, field::TILE_WEIGHTS);
            // The plan has checked that all tiles together fit 31 bits.
            tiles += field::row_tiles(m as u32, self.tokens) * columns * l as u32;
            let maps = record * self.maps_per_record() * TENSOR_MAP_BYTES;
            let mut fields = [0; field::RECORD_BYTES as usize];
            let mut put = |at: u32, value: &[u8]| {
                fields[at as usize..at as usize + value.len()].copy_from_slice(value);
            };
            for (field, address) in [
                (field::MAPS, table + maps as u64),
                (field::TOKEN_SCALES, at.sfa),
                (field::GATE_SCALES, at.sfb1),
                (field::UP_SCALES, at.sfb2),
                (field::C, at.c),
                (field::ALPHAS1, at.alphas1),
                (field::ALPHAS2, at.alphas2),
            ] {
                put(field, &address.to_le_bytes());
            }
            for (field, size) in [(field::M, m), (field::N, n), (field::K, k), (field::LDC, n)] {
                put(field, &(size as u32).to_le_bytes());
            }
            put(field::TILES_END, &tiles.to_le_bytes());
            put(field::ALPHA1, &alpha1.to_le_bytes());
            put(field::ALPHA2, &alpha2.to_le_bytes());
            bytes.extend(fields);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::super::problem::{GroupedProblem, Operation};
    use super::*;

    #[test]
    fn records_lie_as_the_kernel_reads_them() {
        let groups = [
            Group { alpha1: 0.5, ..Group::new(5, 136, 64) },
            Group::new(0, 8, 32),
            Group { l: 2, alpha2: -2.0, ..Group::new(70, 256, 96) },
        ];
        let problem = GroupedProblem::listed(Operation::DualGemm, groups);
        let plan = GroupedPlan::with_tile(&problem, 64, 148).unwrap();
        let at = |base: u64| GroupAddresses {
            a: base,
            b1: base + 1,
            b2: base + 2,
            sfa: base + 3,
            sfb1: base + 4,
            sfb2: base + 5,
            c: base + 6,
            alphas1: 0,
            alphas2: 0,
        };
        let bytes = plan.encode_records(4096, &[at(100), at(200), at(300)]);
        assert_eq!((bytes.len(), plan.table_bytes()), (2 * 96, 2 * 96 + 6 * 128));
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let address = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        // Larger M first; a group without rows has no record.
        assert_eq!([0, 8, 16, 24, 32].map(address), [4096, 303, 304, 305, 306]);
        assert_eq!([56, 60, 64, 68].map(word), [70, 256, 96, 256]);
        assert_eq!([72, 80].map(word), [2 * 2 * 2, (-2.0f32).to_bits()]);
        assert_eq!(address(96), 4096 + 3 * 128);
        assert_eq!([96 + 56, 96 + 72, 96 + 76].map(word), [5, 8 + 2, 0.5f32.to_bits()]);
    }
}
