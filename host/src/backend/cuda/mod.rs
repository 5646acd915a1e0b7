//! The backend on a CUDA driver, through cust.
//!
//! [`Cuda`] is a device with its primary context, which other libraries in the process share; it is
//! retained, never replaced or reset. As a [`Backend`] it runs a plan from host memory to host
//! memory. For tensors that already lie on the device, [`Cuda::prepare`] loads, checks and encodes
//! everything once, and [`Prepared::launch`] then only launches: on any stream of the context, from
//! any thread, also while the stream is being captured into a graph.
//!
//! Tensor and stream arguments are the driver's own addresses and handles, so that any library's
//! will do.

#![allow(unsafe_code)]

pub mod driver;
mod graph;
mod grouped;
mod prepared;

use std::sync::{Arc, OnceLock};

use cust::CudaApiVersion;
use cust::context::{Context, CurrentContext};
use cust::device::{Device, DeviceAttribute};
use cust::error::CudaError;
use cust::memory::{CopyDestination, DeviceBuffer};
use cust::module::Module;

use super::Backend;
use crate::error::{Error, Result};
use crate::plan::tensor_map::TensorMapSpec;
use crate::plan::{LaunchShape, Plan};
use crate::problem::Problem;
pub use driver::RawStream;
pub use graph::Graph;
pub use grouped::PreparedGroups;
pub use prepared::{PackedWeights, Prepared, Tensors};

/// The oldest driver that takes PTX ISA 8.6, as CUDA versions are numbered.
const OLDEST_DRIVER: (i32, i32) = (12, 7);

/// A device and its primary context.
#[derive(Debug, Clone)]
pub struct Cuda {
    /// The kernels, once the first [`Cuda::prepare`] has loaded them; dropped before the context.
    kernels: Arc<OnceLock<Module>>,
    context: Arc<Context>,
    name: String,
    capability: (u32, u32),
    sm_count: u32,
}

/// Device memory.
#[derive(Debug)]
pub struct Buffer(DeviceBuffer<u8>);

fn failed(device: &str, action: impl std::fmt::Display, error: CudaError) -> Error {
    Error::Backend { device: device.to_owned(), cause: format!("{action}: {error}").into() }
}

impl Cuda {
    /// The device with this number.
    ///
    /// # Errors
    /// No driver or one that is too old, no such device, a device that no kernel is compiled for.
    pub fn new(ordinal: u32) -> Result<Cuda> {
        let device = format!("CUDA device {ordinal}");
        cust::init(cust::CudaFlags::empty())
            .map_err(|error| failed(&device, "starting the driver", error))?;
        let version = CudaApiVersion::get()
            .map_err(|error| failed(&device, "asking for the driver's version", error))?;
        if (version.major(), version.minor()) < OLDEST_DRIVER {
            return Err(Error::Unsupported {
                what: format!("a driver for CUDA {}.{}", version.major(), version.minor()),
                remedy: "the kernels need a driver for CUDA 12.7 or newer",
            });
        }
        let handle = Device::get_device(ordinal)
            .map_err(|error| failed(&device, "looking for the device", error))?;
        let attribute = |attribute| {
            let value = handle.get_attribute(attribute);
            value
                .map(|value| value as u32)
                .map_err(|error| failed(&device, "asking for the device's attributes", error))
        };
        let capability = (
            attribute(DeviceAttribute::ComputeCapabilityMajor)?,
            attribute(DeviceAttribute::ComputeCapabilityMinor)?,
        );
        let sm_count = attribute(DeviceAttribute::MultiprocessorCount)?;
        let name = handle.name().map_err(|error| failed(&device, "asking for its name", error))?;
        let name = format!("CUDA device {ordinal} ({name})");
        // Says in words what no kernel is for, before anything is loaded.
        Plan::for_device(&Problem::new(1, 8, 32), capability, sm_count)?;
        let context = Context::new(handle)
            .map_err(|error| failed(&name, "retaining its primary context", error))?;
        let (context, kernels) = (Arc::new(context), Arc::default());
        Ok(Cuda { kernels, context, name, capability, sm_count })
    }

    /// Its number and what the driver calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Compute capability.
    pub fn capability(&self) -> (u32, u32) {
        self.capability
    }

    /// Streaming multiprocessors.
    pub fn sm_count(&self) -> u32 {
        self.sm_count
    }

    /// The plan for a problem on this device.
    ///
    /// # Errors
    /// What [`Plan::for_device`] refuses.
    pub fn plan(&self, problem: &Problem) -> Result<Plan> {
        Plan::for_device(problem, self.capability, self.sm_count)
    }

    /// Makes the context current in this thread.
    fn enter(&self) -> Result<()> {
        CurrentContext::set_current(&*self.context)
            .map_err(|error| failed(&self.name, "entering its context", error))
    }

    fn check_arch(&self, arch: &str) -> Result<()> {
        let fits = match self.capability {
            (9, 0) => arch == "sm_90a",
            _ => arch == "sm_100f",
        };
        if fits {
            return Ok(());
        }
        Err(Error::Unsupported {
            what: format!("a plan for {arch} on {}", self.name),
            remedy: "make the plan with Cuda::plan or Cuda::plan_groups",
        })
    }
}

impl Backend for Cuda {
    type Module = Module;
    type Buffer = Buffer;

    fn load(&mut self, ptx: &str) -> Result<Module> {
        self.enter()?;
        Module::from_ptx(ptx, &[]).map_err(|error| failed(&self.name, "loading PTX", error))
    }

    fn alloc(&mut self, name: &'static str, bytes: usize) -> Result<Buffer> {
        self.enter()?;
        // SAFETY: bytes have no invalid values; the fill below comes first.
        let buffer = unsafe { DeviceBuffer::uninitialized(bytes) };
        let action = || format!("allocating {bytes} bytes for {name}");
        let buffer = buffer.map_err(|error| failed(&self.name, action(), error))?;
        // What reads as NaN, so that a result that no kernel wrote shows.
        driver::fill(&self.name, buffer.as_device_ptr().as_raw(), bytes, 0xff)?;
        Ok(Buffer(buffer))
    }

    fn upload(&mut self, buffer: &mut Buffer, data: &[u8]) -> Result<()> {
        self.enter()?;
        buffer.0.copy_from(data).map_err(|error| failed(&self.name, "copying to it", error))
    }

    fn address(&self, buffer: &Buffer) -> u64 {
        buffer.0.as_device_ptr().as_raw()
    }

    fn encode_map(&mut self, map: &TensorMapSpec, address: u64) -> Result<[u8; 128]> {
        self.enter()?;
        driver::encode_map(&self.name, map, address)
    }

    fn launch_kernel(
        &mut self,
        module: &Module,
        shape: &LaunchShape,
        parameters: &[u8],
    ) -> Result<()> {
        self.enter()?;
        self.check_arch(shape.arch)?;
        let function = module
            .get_function(shape.kernel)
            .map_err(|error| failed(&self.name, format!("looking for {}", shape.kernel), error))?
            .to_raw();
        // SAFETY: the module is live; the parameters are the plan's, for buffers of this backend.
        unsafe {
            driver::allow_shared(&self.name, function, shape.dynamic_shared)?;
            let shape = prepared::shape(shape);
            driver::launch(&self.name, function, &shape, std::ptr::null_mut(), parameters)?;
        }
        CurrentContext::synchronize()
            .map_err(|error| failed(&self.name, "running the kernel", error))
    }

    fn download(&mut self, buffer: &Buffer, data: &mut [u8]) -> Result<()> {
        self.enter()?;
        buffer.0.copy_to(data).map_err(|error| failed(&self.name, "copying from it", error))
    }
}
