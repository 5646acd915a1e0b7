//! Tensors into another order of memory: what lies otherwise than the kernels read or write it.
//!
//! ```text
//! Contract  tasks: tile/rearrange.rs; sources and destinations do not overlap
//! Grid      x: any number of CTAs, which share the outer indices of a task; y: tasks
//! ```
//!
//! The same on sm_100 and on sm_90, where every kernel may start before the one before it has ended.

#[cfg(device_arch = "sm_90a")]
use crate::ptx::control::{griddepcontrol_launch_dependents, griddepcontrol_wait};
use crate::ptx::memory::{
    ld_global_nc_b32, ld_global_nc_u8, ld_global_nc_u16, ld_global_nc_v2_b32, ld_global_nc_v4_b32,
    st_global_u8, st_global_u16, st_global_v4_b32,
};
use crate::ptx::sreg::{ctaid_x, ctaid_y, nctaid_x, tid_x};
use crate::tile::rearrange::{
    COLUMNS, ELEMENT, FROM, FROM_STEPS, REARRANGE_THREADS, ROWS, SIZES, TASK_BYTES, TO, TO_STEPS,
    place_of_scale,
};

/// A task in the table.
#[derive(Clone, Copy)]
struct Task(u64);

impl Task {
    #[inline(always)]
    fn word(self, field: u32) -> u32 {
        // SAFETY: the host has written the whole task before the launch.
        unsafe { ld_global_nc_b32(self.0 + field as u64) }
    }

    #[inline(always)]
    fn long(self, field: u32) -> u64 {
        // SAFETY: as above.
        let [low, high] = unsafe { ld_global_nc_v2_b32(self.0 + field as u64) };
        low as u64 | (high as u64) << 32
    }

    /// Three sizes from number `first` on; a size of 0 cannot be, and would keep a branch in divisions.
    #[inline(always)]
    fn sizes(self, first: u32) -> [u32; 3] {
        let size = |i: u32| self.word(SIZES + 4 * (first + i)).max(1);
        [size(0), size(1), size(2)]
    }

    /// Three steps.
    #[inline(always)]
    fn steps(self, field: u32, first: u32) -> [u64; 3] {
        let step = |i: u32| self.long(field + 8 * (first + i));
        [step(0), step(1), step(2)]
    }
}

/// Indices of number `at`, the last fastest.
#[inline(always)]
fn indices(at: u32, [_, b, c]: [u32; 3]) -> [u32; 3] {
    [at / c / b, at / c % b, at % c]
}

#[inline(always)]
fn offset(indices: [u32; 3], steps: [u64; 3]) -> u64 {
    let [a, b, c] = indices.map(|index| index as u64);
    a * steps[0] + b * steps[1] + c * steps[2]
}

/// Copies one element, or writes zeros.
///
/// # Safety
/// The element may be written at `to`, and read at `from` if `inside`; both are multiples of its size.
#[inline(always)]
unsafe fn copy(element: u32, from: u64, to: u64, inside: bool) {
    // SAFETY: the caller's.
    unsafe {
        match element {
            1 => st_global_u8(to, if inside { ld_global_nc_u8(from) } else { 0 }),
            2 => st_global_u16(to, ld_global_nc_u16(from)),
            _ => st_global_v4_b32(to, ld_global_nc_v4_b32(from)),
        }
    }
}

/// Does this CTA's share of a task.
///
/// # Safety
/// See the head of the file.
#[inline(always)]
unsafe fn run(tasks: u64) {
    let task = Task(tasks + (ctaid_y() * TASK_BYTES) as u64);
    let (outer, inner) = (task.sizes(0), task.sizes(3));
    let (from, to) = (task.long(FROM), task.long(TO));
    let (from_outer, from_inner) = (task.steps(FROM_STEPS, 0), task.steps(FROM_STEPS, 3));
    let (to_outer, to_inner) = (task.steps(TO_STEPS, 0), task.steps(TO_STEPS, 3));
    let (element, rows, columns) = (task.word(ELEMENT), task.word(ROWS), task.word(COLUMNS));
    let mut at = ctaid_x();
    while at < outer[0] * outer[1] * outer[2] {
        let o = indices(at, outer);
        let (from, to) = (from + offset(o, from_outer), to + offset(o, to_outer));
        let mut within = tid_x();
        while within < inner[0] * inner[1] * inner[2] {
            let i = indices(within, inner);
            let (row, column) = place_of_scale([o[1], o[2], i[0], i[1], i[2]]);
            let inside = rows == 0 || (row < rows && column < columns);
            let (from, to) = (from + offset(i, from_inner), to + offset(i, to_inner));
            // SAFETY: the host has checked that every index lies in both tensors.
            unsafe { copy(element, from, to, inside) };
            within += REARRANGE_THREADS;
        }
        at += nctaid_x();
    }
}

/// The entry point on sm_100.
///
/// # Safety
/// See the head of the file.
#[cfg(not(device_arch = "sm_90a"))]
#[cfg_attr(target_feature = "compute_100", nvvm_internal::kernel)]
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn nvfp4_rearrange_sm100(tasks: u64) {
    // SAFETY: the caller's.
    unsafe { run(tasks) };
}

/// The entry point on sm_90.
///
/// # Safety
/// See the head of the file.
#[cfg(device_arch = "sm_90a")]
#[unsafe(no_mangle)]
pub unsafe extern "ptx-kernel" fn nvfp4_rearrange_sm90(tasks: u64) {
    // SAFETY: the caller's; what is copied may be the work of the kernel before.
    unsafe {
        griddepcontrol_launch_dependents();
        griddepcontrol_wait();
        run(tasks);
    }
}
