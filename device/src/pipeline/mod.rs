//! The ring of shared-memory stages, its barriers, and which warp does what.

#[cfg(target_arch = "nvptx64")]
pub mod barriers;
pub mod ring;
pub mod roles;
