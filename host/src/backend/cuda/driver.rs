//! The driver calls that cust lacks, and safe functions around those that take raw handles.

use std::ffi::{c_int, c_uint, c_void};
use std::ptr;

use cust::sys;

use crate::error::{Error, Result};
use crate::plan::tensor_map::TensorMapSpec;

/// A stream as other libraries pass it; null is the legacy default stream.
pub type RawStream = *mut c_void;

/// `CUlaunchAttribute`: an id and 64 bytes of value.
#[repr(C)]
struct LaunchAttribute {
    id: c_uint,
    padding: c_uint,
    value: [u32; 16],
}

/// `CUlaunchConfig`.
#[repr(C)]
struct LaunchConfig {
    grid: [c_uint; 3],
    block: [c_uint; 3],
    shared_bytes: c_uint,
    stream: sys::CUstream,
    attributes: *mut LaunchAttribute,
    attribute_count: c_uint,
}

/// `CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION`.
const CLUSTER_DIMENSION: c_uint = 4;
/// `CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION`.
const EARLY_START: c_uint = 6;
/// `CU_LAUNCH_PARAM_BUFFER_POINTER`.
const PARAM_BUFFER: *mut c_void = ptr::without_provenance_mut(1);
/// `CU_LAUNCH_PARAM_BUFFER_SIZE`.
const PARAM_SIZE: *mut c_void = ptr::without_provenance_mut(2);
/// `CU_LAUNCH_PARAM_END`.
const PARAM_END: *mut c_void = ptr::null_mut();

unsafe extern "C" {
    fn cuTensorMapEncodeTiled(
        map: *mut TensorMap,
        element: c_uint,
        rank: c_uint,
        address: *mut c_void,
        dims: *const u64,
        strides: *const u64,
        box_dims: *const u32,
        element_strides: *const u32,
        interleave: c_uint,
        swizzle: c_uint,
        l2_promotion: c_uint,
        oob_fill: c_uint,
    ) -> c_int;
    fn cuLaunchKernelEx(
        config: *const LaunchConfig,
        function: sys::CUfunction,
        parameters: *mut *mut c_void,
        extra: *mut *mut c_void,
    ) -> c_int;
    fn cuGetErrorName(error: c_int, name: *mut *const std::ffi::c_char) -> c_int;
    fn cuGetErrorString(error: c_int, text: *mut *const std::ffi::c_char) -> c_int;
}

#[repr(C, align(64))]
struct TensorMap([u8; 128]);

/// A driver's status as this crate's error: what was tried, the driver's name for it, its words.
pub fn check(device: &str, action: &str, status: c_int) -> Result<()> {
    if status == 0 {
        return Ok(());
    }
    let text = |call: unsafe extern "C" fn(c_int, *mut *const std::ffi::c_char) -> c_int| {
        let mut text = ptr::null();
        // SAFETY: the driver writes a pointer to a static string, or leaves null.
        unsafe {
            call(status, &mut text);
            if text.is_null() {
                return format!("status {status}");
            }
            std::ffi::CStr::from_ptr(text).to_string_lossy().into_owned()
        }
    };
    let source = format!("{action}: {} ({})", text(cuGetErrorName), text(cuGetErrorString));
    Err(Error::Backend { device: device.to_owned(), cause: source.into() })
}

/// Encodes a tensor map for the tensor at `address`.
pub fn encode_map(device: &str, map: &TensorMapSpec, address: u64) -> Result<[u8; 128]> {
    map.check()?;
    let mut encoded = TensorMap([0; 128]);
    // SAFETY: every pointer is to as many elements as the rank asks for.
    let status = unsafe {
        cuTensorMapEncodeTiled(
            &mut encoded,
            map.element.driver_value(),
            3,
            address as *mut c_void,
            map.dims.as_ptr(),
            map.strides.as_ptr(),
            map.box_dims.as_ptr(),
            map.element_strides.as_ptr(),
            0,
            map.swizzle.driver_value(),
            map.l2_promotion.driver_value(),
            map.oob_fill.driver_value(),
        )
    };
    check(device, &format!("encoding the tensor map of {}", map.operand.name()), status)?;
    Ok(encoded.0)
}

/// What a launch looks like.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// CTAs.
    pub grid: [u32; 3],
    /// Threads per CTA.
    pub block: [u32; 3],
    /// CTAs per cluster.
    pub cluster: [u32; 3],
    /// Bytes of dynamic shared memory.
    pub shared_bytes: u32,
    /// Leave to start before the kernel before it in the stream ends, once that one allows it. The
    /// kernel itself then waits where it must.
    pub early: bool,
}

/// Launches a kernel; `parameters` is its parameter space.
///
/// # Safety
/// `function` and `stream` are live and of the current context; the parameters are what the kernel
/// declares, and the addresses in them may be accessed as it does.
pub unsafe fn launch(
    device: &str,
    function: sys::CUfunction,
    shape: &Shape,
    stream: RawStream,
    parameters: &[u8],
) -> Result<()> {
    let mut value = [0; 16];
    value[..3].copy_from_slice(&shape.cluster);
    let mut early = [0; 16];
    early[0] = 1;
    let mut attributes = [
        LaunchAttribute { id: EARLY_START, padding: 0, value: early },
        LaunchAttribute { id: CLUSTER_DIMENSION, padding: 0, value },
    ];
    let first = usize::from(!shape.early);
    let count = 2 - first - usize::from(shape.cluster == [1, 1, 1]);
    let config = LaunchConfig {
        grid: shape.grid,
        block: shape.block,
        shared_bytes: shape.shared_bytes,
        stream: stream.cast(),
        attributes: attributes[first..].as_mut_ptr(),
        attribute_count: count as u32,
    };
    let mut size = parameters.len();
    let mut extra = [
        PARAM_BUFFER,
        parameters.as_ptr().cast_mut().cast(),
        PARAM_SIZE,
        (&raw mut size).cast(),
        PARAM_END,
    ];
    // SAFETY: the caller's; the structures live until the call returns, which copies them.
    let status =
        unsafe { cuLaunchKernelEx(&config, function, ptr::null_mut(), extra.as_mut_ptr()) };
    check(device, "launching the kernel", status)
}

/// Lets a kernel have this much dynamic shared memory.
///
/// # Safety
/// `function` is live.
pub unsafe fn allow_shared(device: &str, function: sys::CUfunction, bytes: u32) -> Result<()> {
    let attribute = sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
    // SAFETY: the caller's.
    let status = unsafe { sys::cuFuncSetAttribute(function, attribute, bytes as c_int) };
    check(device, "reserving shared memory", status as c_int)
}

/// The context that a stream belongs to.
///
/// # Safety
/// `stream` is live or null.
pub unsafe fn stream_context(device: &str, stream: RawStream) -> Result<sys::CUcontext> {
    let mut context = ptr::null_mut();
    // SAFETY: the caller's.
    let status = unsafe { sys::cuStreamGetCtx(stream.cast(), &mut context) };
    check(device, "asking for the stream's context", status as c_int)?;
    Ok(context)
}

/// Sets `bytes` bytes of device memory and waits.
pub(super) fn fill(device: &str, address: u64, bytes: usize, value: u8) -> Result<()> {
    // SAFETY: the driver refuses memory that is not allocated; `pub(super)`, for the backend's own.
    let status = unsafe { sys::cuMemsetD8_v2(address, value, bytes) };
    check(device, "filling memory", status as c_int)
}

/// First address and size of the allocation that `address` lies in; `None` if the current context
/// knows of none.
pub fn allocation(address: u64) -> Option<(u64, usize)> {
    let (mut base, mut size) = (0, 0);
    // SAFETY: asks about an address, does not access it.
    let status = unsafe { sys::cuMemGetAddressRange_v2(&mut base, &mut size, address) };
    (status as c_int == 0).then_some((base, size))
}
