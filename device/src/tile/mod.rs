//! What a CTA works on, as constants: tile sizes, and who lives where in shared and tensor memory.

pub mod geometry;
pub mod group_schedule;
pub mod grouped;
pub mod packed_sm90;
pub mod rearrange;
pub mod scale_layout;
pub mod sm90;
pub mod sm90_grouped;
pub mod smem_map;
pub mod tmem_map;
