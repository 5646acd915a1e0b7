//! The ring of shared-memory stages, its barriers, and which warp does what.

#[cfg(target_arch = "nvptx64")]
pub mod barriers;
#[cfg(target_arch = "nvptx64")]
pub mod group_walk;
pub mod ring;
pub mod roles;
#[cfg(all(target_arch = "nvptx64", device_arch = "sm_90a"))]
pub mod sm90_mainloop;
