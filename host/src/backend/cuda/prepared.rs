//! Launches of tensors that lie on the device.

use std::sync::Arc;

use cust::context::CurrentContext;
use cust::memory::DeviceBuffer;
use cust::module::Module;
use cust::sys;

use super::driver::{self, RawStream};
use super::{Cuda, failed};
use crate::error::{Error, Result};
use crate::launch::Addresses;
use crate::plan::tensor_map::Operand;
use crate::plan::{Before, LaunchShape, Plan, sm90};
use crate::problem::{Problem, TENSOR_ALIGNMENT};
use crate::ptx;

/// Device addresses of a problem's tensors, in the layouts that [`Inputs`](crate::Inputs)
/// describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tensors {
    /// A.
    pub a: u64,
    /// B1 (gate).
    pub b1: u64,
    /// B2 (up).
    pub b2: u64,
    /// The blocked scales of A; 0 where A is 16-bit.
    pub sfa: u64,
    /// The blocked scales of B1.
    pub sfb1: u64,
    /// The blocked scales of B2.
    pub sfb2: u64,
    /// C.
    pub c: u64,
}

/// A plan ready to be launched on its tensors, any number of times.
#[derive(Debug)]
pub struct Prepared {
    device: Cuda,
    plan: Plan,
    /// Kernels in their order: function, shape, parameter space.
    launches: Vec<(sys::CUfunction, driver::Shape, Vec<u8>)>,
    // Keep what the launches refer to; the device keeps the kernels.
    _maps: DeviceBuffer<u8>,
    _workspace: Option<DeviceBuffer<u8>>,
    _weights: Option<PackedWeights>,
}

/// Weights in the order that Hopper's kernels read, on the device. Clones share them; they are freed
/// with the last clone and the last [`Prepared`] that uses them.
#[derive(Debug, Clone)]
pub struct PackedWeights {
    /// N, K, L.
    shape: [usize; 3],
    buffer: Arc<DeviceBuffer<u8>>,
}

// SAFETY: a function handle belongs to the context, not to a thread; everything else is only read.
unsafe impl Send for Prepared {}
// SAFETY: as above; the driver's launch may be called from several threads at once.
unsafe impl Sync for Prepared {}

pub(super) fn shape(shape: &LaunchShape) -> driver::Shape {
    let LaunchShape { grid, block, cluster, dynamic_shared, .. } = *shape;
    driver::Shape { grid, block, cluster, shared_bytes: dynamic_shared, early: false }
}

impl Cuda {
    /// Loads the plan's kernel, encodes its tensor maps, and on Hopper packs the weights: they are read
    /// now, and need not stay. Waits until the device has done so; weights that change later need a new
    /// call.
    ///
    /// # Errors
    /// A plan for another architecture; an address that is null, misaligned, not device memory, or
    /// in an allocation too small for its tensor; C overlapping an input; what the driver reports.
    pub fn prepare(&self, plan: &Plan, tensors: &Tensors) -> Result<Prepared> {
        let weights = match plan.pack {
            Some(_) => Some(self.pack_weights(plan, tensors)?),
            None => None,
        };
        self.prepare_with(plan, tensors, weights)
    }

    /// Packs a plan's weights, for [`Cuda::prepare_packed`]: once for plans of any M, tile, activation and
    /// output type that have the same N, K and L. Only the weights and their scales are read; they need
    /// not stay. Waits until the device has done so.
    ///
    /// # Errors
    /// A plan whose kernel reads the weights as they are (Blackwell's); an address that is null, misaligned,
    /// not device memory, or in an allocation too small for its tensor; what the driver reports.
    pub fn pack_weights(&self, plan: &Plan, tensors: &Tensors) -> Result<PackedWeights> {
        self.enter()?;
        self.check_arch(plan.arch)?;
        let sizes = plan.problem.check()?;
        for (tensor, address, bytes) in [
            ("b1", tensors.b1, sizes.b),
            ("b2", tensors.b2, sizes.b),
            ("sfb1", tensors.sfb1, sizes.sfb),
            ("sfb2", tensors.sfb2, sizes.sfb),
        ] {
            check_tensor(tensor, address, bytes)?;
        }
        let (Some(Before { workspace, .. }), Some(packing)) = (plan.pack, plan.packing()) else {
            return Err(Error::Unsupported {
                what: format!("packing weights for {}", plan.arch),
                remedy: "its kernels read the weights as they are: call Cuda::prepare",
            });
        };
        let module = self.module(plan.arch)?;
        let buffer = self.uninitialized(workspace, "the packed weights")?;
        let addresses = Addresses {
            packed: buffer.as_device_ptr().as_raw(),
            sfb1: tensors.sfb1,
            sfb2: tensors.sfb2,
            ..Addresses::default()
        };
        let parameters = plan.packing_parameters([tensors.b1, tensors.b2], &addresses);
        let function = self.function(module, packing.kernel)?;
        // SAFETY: the addresses were checked, and the call waits for the kernel's end.
        unsafe {
            let stream = std::ptr::null_mut();
            driver::launch(&self.name, function, &shape(&packing.shape()), stream, &parameters)?;
        }
        CurrentContext::synchronize()
            .map_err(|error| failed(&self.name, "packing the weights", error))?;
        let Problem { n, k, l, .. } = plan.problem;
        Ok(PackedWeights { shape: [n, k, l], buffer: Arc::new(buffer) })
    }

    /// [`Cuda::prepare`] with weights that are already packed; the addresses of the weights and of their
    /// scales in `tensors` are not looked at.
    ///
    /// # Errors
    /// As for [`Cuda::prepare`]; weights packed for another N, K or L.
    pub fn prepare_packed(
        &self,
        plan: &Plan,
        tensors: &Tensors,
        weights: &PackedWeights,
    ) -> Result<Prepared> {
        let Problem { n, k, l, .. } = plan.problem;
        if plan.pack.is_none() || weights.shape != [n, k, l] {
            let [n, k, l] = weights.shape;
            return Err(Error::Unsupported {
                what: format!("weights packed for N = {n}, K = {k}, L = {l} in this plan"),
                remedy: "pack them with Cuda::pack_weights and a Hopper plan of the same N, K and L",
            });
        }
        self.prepare_with(plan, tensors, Some(weights.clone()))
    }

    /// The kernels, loaded at the first call.
    pub(super) fn module(&self, arch: &str) -> Result<&Module> {
        if let Some(module) = self.kernels.get() {
            return Ok(module);
        }
        let source = ptx::for_arch(arch).ok_or_else(|| Error::Unsupported {
            what: format!("PTX for {arch}"),
            remedy: "build the crate's PTX for it",
        })?;
        let module = Module::from_ptx(source, &[])
            .map_err(|error| failed(&self.name, "loading PTX", error))?;
        // Where another thread was faster, its module is as good.
        Ok(self.kernels.get_or_init(|| module))
    }

    pub(super) fn function(&self, module: &Module, kernel: &str) -> Result<sys::CUfunction> {
        let found = module.get_function(kernel);
        found
            .map(|function| function.to_raw())
            .map_err(|error| failed(&self.name, format!("looking for {kernel}"), error))
    }

    fn uninitialized(&self, bytes: usize, what: &str) -> Result<DeviceBuffer<u8>> {
        // SAFETY: bytes have no invalid values, and the kernels write before they read.
        unsafe { DeviceBuffer::uninitialized(bytes) }
            .map_err(|error| failed(&self.name, format!("allocating {what}"), error))
    }

    fn prepare_with(
        &self,
        plan: &Plan,
        tensors: &Tensors,
        weights: Option<PackedWeights>,
    ) -> Result<Prepared> {
        self.enter()?;
        self.check_arch(plan.arch)?;
        check_tensors(plan, tensors, weights.is_some())?;
        let module = self.module(plan.arch)?;
        let main = self.function(module, plan.kernel)?;
        // SAFETY: the module is live.
        unsafe { driver::allow_shared(&self.name, main, plan.dynamic_shared)? };
        let workspace = match plan.before {
            Some(Before { workspace, .. }) => Some(self.uninitialized(workspace, "the workspace")?),
            None => None,
        };
        let or_null =
            |buffer: Option<&DeviceBuffer<u8>>| buffer.map_or(0, |b| b.as_device_ptr().as_raw());
        let mut addresses = Addresses {
            maps: 0,
            workspace: or_null(workspace.as_ref()),
            packed: or_null(weights.as_ref().map(|weights| &*weights.buffer)),
            a: tensors.a,
            sfa: tensors.sfa,
            sfb1: tensors.sfb1,
            sfb2: tensors.sfb2,
            c: tensors.c,
        };
        let mut encoded = Vec::with_capacity(plan.tensor_maps.len() * 128);
        for map in &plan.tensor_maps {
            let address = match map.operand {
                Operand::A => addresses.mapped_a(plan),
                Operand::B1 => tensors.b1,
                Operand::B2 => tensors.b2,
            };
            encoded.extend(driver::encode_map(&self.name, map, address)?);
        }
        let maps = DeviceBuffer::from_slice(&encoded)
            .map_err(|error| failed(&self.name, "allocating tensor maps", error))?;
        addresses.maps = maps.as_device_ptr().as_raw();
        let early = plan.arch == sm90::ARCH;
        let mut launches = vec![];
        if let Some(first) = plan.first() {
            let shape = driver::Shape { early, ..shape(&first.shape()) };
            let function = self.function(module, first.kernel)?;
            launches.push((function, shape, plan.first_parameters(&addresses)));
        }
        let main_shape = driver::Shape { early, ..shape(&plan.shape()) };
        launches.push((main, main_shape, plan.parameters(&addresses)));
        let (device, plan) = (self.clone(), plan.clone());
        let (_maps, _workspace, _weights) = (maps, workspace, weights);
        Ok(Prepared { device, plan, launches, _maps, _workspace, _weights })
    }
}

impl Prepared {
    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Puts one run of the kernels on `stream`. Runs of one [`Prepared`] share a workspace and C, so
    /// they must follow each other; for streams side by side, prepare once for each.
    /// Allocates nothing and waits for nothing.
    ///
    /// # Errors
    /// A stream of another context; what the driver reports of the launch. What goes wrong while the
    /// kernel runs shows at the next synchronisation, as with every launch.
    ///
    /// # Safety
    /// `stream` is live or null. Until the run has ended the tensors stay allocated, the inputs are
    /// not written, and C is not accessed by others.
    pub unsafe fn launch(&self, stream: RawStream) -> Result<()> {
        // SAFETY: the caller's.
        unsafe { put(&self.device, &self.launches, stream) }
    }
}

/// Puts kernels on a stream, if it is of the device's context.
///
/// # Safety
/// As for [`Prepared::launch`].
pub(super) unsafe fn put(
    device: &Cuda,
    launches: &[(sys::CUfunction, driver::Shape, Vec<u8>)],
    stream: RawStream,
) -> Result<()> {
    device.enter()?;
    let name = &device.name;
    // SAFETY: the caller's.
    unsafe {
        if !stream.is_null() {
            let context = driver::stream_context(name, stream)?;
            if context.cast() != device.context.as_raw() {
                return Err(Error::Unsupported {
                    what: format!("a stream of another context than that of {name}"),
                    remedy: "make the stream in the device's primary context",
                });
            }
        }
        for (function, shape, parameters) in launches {
            driver::launch(name, *function, shape, stream, parameters)?;
        }
        Ok(())
    }
}

/// Checks every address against the size of its tensor; not those of weights that are `packed`.
fn check_tensors(plan: &Plan, tensors: &Tensors, packed: bool) -> Result<()> {
    let sizes = plan.problem.check()?;
    let mut inputs = vec![("a", tensors.a, sizes.a), ("sfa", tensors.sfa, sizes.sfa)];
    if !packed {
        inputs.extend([
            ("b1", tensors.b1, sizes.b),
            ("b2", tensors.b2, sizes.b),
            ("sfb1", tensors.sfb1, sizes.sfb),
            ("sfb2", tensors.sfb2, sizes.sfb),
        ]);
    }
    check_tensor("c", tensors.c, sizes.c)?;
    let c = tensors.c..tensors.c + sizes.c as u64;
    for (tensor, address, bytes) in inputs {
        check_tensor(tensor, address, bytes)?;
        if bytes > 0 && address < c.end && c.start < address + bytes as u64 {
            return Err(Error::Address {
                tensor,
                address,
                rule: "apart from c, which is written".to_string(),
                remedy: "give C memory of its own",
            });
        }
    }
    Ok(())
}

/// Checks that `bytes` bytes of device memory lie at an address that kernels take.
fn check_tensor(tensor: &'static str, address: u64, bytes: usize) -> Result<()> {
    if bytes == 0 {
        return Ok(());
    }
    let refuse = |rule, remedy| Err(Error::Address { tensor, address, rule, remedy });
    if address == 0 {
        return refuse("not null".to_string(), "give the tensor's device address");
    }
    if !address.is_multiple_of(TENSOR_ALIGNMENT as u64) {
        let rule = format!("a multiple of {TENSOR_ALIGNMENT}");
        return refuse(rule, "copy the tensor to an aligned address");
    }
    check_allocated(tensor, address, bytes)
}

/// Checks that `bytes` bytes from an address on are allocated in the current context.
pub(super) fn check_allocated(tensor: &'static str, address: u64, bytes: usize) -> Result<()> {
    let refuse = |rule, remedy| Err(Error::Address { tensor, address, rule, remedy });
    let Some((base, size)) = driver::allocation(address) else {
        let rule = "device memory of this context".to_string();
        return refuse(rule, "allocate the tensor on the device that the plan runs on");
    };
    let left = size - (address - base) as usize;
    if left < bytes {
        let rule = format!("the start of {bytes} bytes, of which {left} are allocated");
        return refuse(rule, "check the tensor's shape against the plan's problem");
    }
    Ok(())
}
