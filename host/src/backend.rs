//! What a device must be able to do for [`dual_gemm`](crate::launch::dual_gemm): the seam between
//! this crate and a driver, or an emulator.

#[cfg(feature = "cuda")]
pub mod cuda;

use crate::error::Result;
use crate::plan::tensor_map::TensorMapSpec;
use crate::plan::{LaunchShape, Plan};

/// A device with memory that kernels can be launched on.
pub trait Backend {
    /// PTX that the device has accepted.
    type Module;
    /// Device memory; freed when dropped.
    type Buffer;

    /// Loads a module from PTX text.
    ///
    /// # Errors
    /// PTX that the device does not accept.
    fn load(&mut self, ptx: &str) -> Result<Self::Module>;

    /// Allocates `bytes` bytes that hold nothing yet, aligned to 256 bytes. `name` is for messages.
    ///
    /// # Errors
    /// Out of memory.
    fn alloc(&mut self, name: &'static str, bytes: usize) -> Result<Self::Buffer>;

    /// Copies `data`, as long as the buffer, to the device.
    ///
    /// # Errors
    /// What the device reports.
    fn upload(&mut self, buffer: &mut Self::Buffer, data: &[u8]) -> Result<()>;

    /// The buffer's device address.
    fn address(&self, buffer: &Self::Buffer) -> u64;

    /// Makes the 128 bytes of a tensor map for the tensor at `address`.
    ///
    /// # Errors
    /// A map that the device refuses.
    fn encode_map(&mut self, map: &TensorMapSpec, address: u64) -> Result<[u8; 128]>;

    /// Runs a kernel and waits for its end. `parameters` is the parameter space as the entry point
    /// declares it.
    ///
    /// # Errors
    /// What the device reports of the launch or of the run.
    fn launch_kernel(
        &mut self,
        module: &Self::Module,
        shape: &LaunchShape,
        parameters: &[u8],
    ) -> Result<()>;

    /// Runs the plan's kernel and waits for its end.
    ///
    /// # Errors
    /// What the device reports of the launch or of the run.
    fn launch(&mut self, module: &Self::Module, plan: &Plan, parameters: &[u8]) -> Result<()> {
        self.launch_kernel(module, &plan.shape(), parameters)
    }

    /// Copies the whole buffer, as long as `data`, back.
    ///
    /// # Errors
    /// What the device reports; an emulator also reports bytes that no kernel wrote.
    fn download(&mut self, buffer: &Self::Buffer, data: &mut [u8]) -> Result<()>;
}
