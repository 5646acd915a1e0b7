//! What the kernels see as groups, and their records as bytes, as
//! [`group_schedule`](nvfp4_dual_gemm_device::tile::group_schedule) lays them out.

use nvfp4_dual_gemm_device::tile::group_schedule as field;

use super::problem::{Experts, Group, GroupedProblem, Groups};

/// What the kernels see as one group: a listed group with rows, or all experts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Record {
    /// Index in the problem's list; 0 of experts.
    pub index: usize,
    /// Sizes; `l` is the batches of A and C.
    pub group: Group,
    /// Batches of the weights.
    pub weights: usize,
}

/// The groups with rows, by descending M, so that the last tiles are of small groups; or all experts.
pub(super) fn records(problem: &GroupedProblem) -> Vec<Record> {
    match &problem.groups {
        Groups::Listed(groups) => {
            let with_rows = groups.iter().enumerate().filter(|(_, group)| group.m > 0);
            let mut records: Vec<_> = with_rows
                .map(|(index, &group)| Record { index, group, weights: group.l })
                .collect();
            records.sort_by_key(|record| std::cmp::Reverse(record.group.m));
            records
        }
        Groups::Experts(Experts { experts, rows, n, k }) => {
            vec![Record { index: 0, group: Group::new(*rows, *n, *k), weights: *experts }]
        }
    }
}

/// The records as bytes: `tiles` of each group, and the `addresses` of each record, by field.
pub(super) fn encode<const FIELDS: usize>(
    records: &[Record],
    tiles: impl Fn(&Group) -> u32,
    addresses: impl Fn(usize, &Record) -> [(u32, u64); FIELDS],
) -> Vec<u8> {
    let mut tiles_end = 0u32;
    let mut bytes = vec![0; records.len() * field::RECORD_BYTES as usize];
    let places = bytes.chunks_exact_mut(field::RECORD_BYTES as usize);
    for (i, (record, place)) in records.iter().zip(places).enumerate() {
        let mut put = |at: u32, value: &[u8]| {
            place[at as usize..at as usize + value.len()].copy_from_slice(value);
        };
        let Group { m, n, k, alpha1, alpha2, .. } = record.group;
        // The plan has checked that all tiles together fit 31 bits; of experts the kernel counts them
        // itself.
        tiles_end = tiles_end.wrapping_add(tiles(&record.group));
        for (field, address) in addresses(i, record) {
            put(field, &address.to_le_bytes());
        }
        for (field, size) in [(field::M, m), (field::N, n), (field::K, k), (field::LDC, n)] {
            put(field, &(size as u32).to_le_bytes());
        }
        put(field::TILES_END, &tiles_end.to_le_bytes());
        put(field::ALPHA1, &alpha1.to_le_bytes());
        put(field::ALPHA2, &alpha2.to_le_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::super::problem::Operation;
    use super::*;

    #[test]
    fn records_lie_as_the_kernel_reads_them() {
        let groups = [
            Group { alpha1: 0.5, ..Group::new(5, 136, 64) },
            Group::new(0, 8, 32),
            Group { l: 2, alpha2: -2.0, ..Group::new(70, 256, 96) },
        ];
        let records = records(&GroupedProblem::listed(Operation::DualGemm, groups));
        let bytes = encode(
            &records,
            |group| group.l as u32 * 3,
            |i, record| {
                let at = 100 * record.index as u64;
                [(field::MAPS, 4096 + i as u64), (field::TOKEN_SCALES, at), (field::C, at + 6)]
            },
        );
        assert_eq!(bytes.len(), 2 * 96);
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let address = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        // Larger M first; a group without rows has no record.
        assert_eq!([0, 8, 16, 24, 32].map(address), [4096, 200, 0, 0, 206]);
        assert_eq!([56, 60, 64, 68].map(word), [70, 256, 96, 256]);
        assert_eq!([72, 80].map(word), [6, (-2.0f32).to_bits()]);
        assert_eq!(address(96), 4097);
        assert_eq!([96 + 56, 96 + 72, 96 + 76].map(word), [5, 6 + 3, 0.5f32.to_bits()]);
    }
}
