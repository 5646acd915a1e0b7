//! The host crate's [`Backend`] on the emulator.

use std::sync::Arc;

use nvfp4_dual_gemm::backend::Backend;
use nvfp4_dual_gemm::plan::{LaunchShape, tensor_map as plan_map};
use nvfp4_dual_gemm::{Error, Result};
use ptx_emulator::decode::program::Program;
use ptx_emulator::run::{Device, Launch, Options};
use ptx_emulator::tensor::map::{ElementType, Interleave, L2Promotion, OobFill, TensorMap};
use ptx_emulator::tensor::swizzle::Swizzle;

/// A parsed module, to be loaded on any number of emulated devices.
#[derive(Debug, Clone)]
pub struct Module(Arc<Program>);

/// An emulated device. One seed is one schedule.
#[derive(Debug)]
pub struct Emulated {
    device: Device,
    options: Options,
    instructions: u64,
    /// The launches so far.
    launches: Vec<(ptx_emulator::run::Module, Launch)>,
    /// They may begin before the one before has ended.
    overlapping: bool,
}

/// Device memory of an [`Emulated`] device.
#[derive(Debug)]
pub struct Buffer {
    name: &'static str,
    address: u64,
    bytes: usize,
}

/// Whether an entry packs weights, which is waited for.
fn packs(entry: &str) -> bool {
    entry.contains("pack")
}

fn failed(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Backend { device: "emulator".to_owned(), cause: cause.into() }
}

impl Emulated {
    /// A device whose schedules follow from `seed`.
    pub fn new(seed: u64) -> Self {
        let options = Options { seed, ..Options::default() };
        Emulated {
            device: Device::new(),
            options,
            instructions: 0,
            launches: vec![],
            overlapping: false,
        }
    }

    /// The same device, on which a launch that executes more thread-instructions in one cluster
    /// counts as one that never ends.
    #[must_use]
    pub fn limited(mut self, instructions: u64) -> Self {
        self.options.instruction_limit = instructions;
        self
    }

    /// Does all launches so far once more, the first of them after the last, as an application does that
    /// calls a layer again and again.
    ///
    /// # Errors
    /// The ending of a launch that is at fault.
    pub fn again(&mut self) -> Result<()> {
        let mut last = self.launches.last().map(|(_, last)| last.entry.as_str());
        for (module, launch) in self.launches.iter().filter(|(_, launch)| !packs(&launch.entry)) {
            let options = self.options_after(last, launch);
            self.device.launch(module, launch, &options).map_err(failed)?;
            last = Some(&launch.entry);
        }
        Ok(())
    }

    /// The same device, on which a launch may begin before the one before it has ended, as those of
    /// `Prepared::launch` do on Hopper. Weights are packed by themselves.
    #[must_use]
    pub fn overlapping(mut self) -> Self {
        self.overlapping = true;
        self
    }

    fn options_after(&self, last: Option<&str>, launch: &Launch) -> Options {
        let alone = packs(&launch.entry) || last.is_none_or(packs);
        Options { overlap: self.overlapping && !alone, ..self.options }
    }

    /// Parses and decodes PTX, once for all devices.
    ///
    /// # Errors
    /// PTX that is malformed, or uses what the emulator lacks.
    pub fn parse(ptx: &str) -> Result<Module> {
        let program = ptx_emulator::decode::program(ptx.as_bytes()).map_err(failed)?;
        Ok(Module(Arc::new(program)))
    }

    /// Thread-instructions executed so far.
    pub fn instructions(&self) -> u64 {
        self.instructions
    }
}

impl Backend for Emulated {
    type Module = Module;
    type Buffer = Buffer;

    fn load(&mut self, ptx: &str) -> Result<Module> {
        Self::parse(ptx)
    }

    fn alloc(&mut self, name: &'static str, bytes: usize) -> Result<Buffer> {
        let address = self.device.memory.allocate(name, bytes, 256);
        Ok(Buffer { name, address, bytes })
    }

    fn upload(&mut self, buffer: &mut Buffer, data: &[u8]) -> Result<()> {
        if data.len() != buffer.bytes || !self.device.memory.upload(buffer.address, data) {
            return Err(failed(format!(
                "{} bytes for the {} of buffer {}",
                data.len(),
                buffer.bytes,
                buffer.name
            )));
        }
        Ok(())
    }

    fn address(&self, buffer: &Buffer) -> u64 {
        buffer.address
    }

    fn encode_map(&mut self, map: &plan_map::TensorMapSpec, address: u64) -> Result<[u8; 128]> {
        let map = tensor_map(map, address);
        map.validate().map_err(failed)?;
        Ok(map.encode())
    }

    fn launch_kernel(
        &mut self,
        module: &Module,
        shape: &LaunchShape,
        parameters: &[u8],
    ) -> Result<()> {
        let module = self.device.load((*module.0).clone()).map_err(failed)?;
        let launch = Launch {
            entry: shape.kernel.to_owned(),
            grid: shape.grid,
            block: shape.block,
            cluster: Some(shape.cluster),
            dynamic_shared: shape.dynamic_shared,
            params: parameters.to_vec(),
        };
        let last = self.launches.last().map(|(_, last)| last.entry.as_str());
        let options = self.options_after(last, &launch);
        let stats = self.device.launch(&module, &launch, &options).map_err(failed)?;
        self.instructions += stats.instructions;
        self.launches.push((module, launch));
        Ok(())
    }

    fn download(&mut self, buffer: &Buffer, data: &mut [u8]) -> Result<()> {
        let Some(back) = self.device.memory.read_back(buffer.address, data.len()) else {
            return Err(failed(format!("buffer {} has {} bytes", buffer.name, buffer.bytes)));
        };
        if let Some((start, length)) = back.unwritten.first() {
            return Err(failed(format!(
                "{length} bytes of buffer {} at offset {start} were never written",
                buffer.name
            )));
        }
        data.copy_from_slice(&back.bytes);
        Ok(())
    }
}

/// The same map in the emulator's own types, written out so that neither crate needs the other.
fn tensor_map(map: &plan_map::TensorMapSpec, base: u64) -> TensorMap {
    let [x, y, z] = map.dims;
    let [row, matrix] = map.strides;
    let [box_x, box_y, box_z] = map.box_dims;
    let [step_x, step_y, step_z] = map.element_strides;
    TensorMap {
        base,
        element: match map.element {
            plan_map::ElementType::U8 => ElementType::Uint8,
            plan_map::ElementType::U4x16Align8B => ElementType::Packed4,
        },
        rank: 3,
        dims: [x, y, z, 1, 1],
        strides: [row, matrix, 0, 0],
        box_dims: [box_x, box_y, box_z, 1, 1],
        element_strides: [step_x, step_y, step_z, 1, 1],
        interleave: Interleave::None,
        swizzle: match map.swizzle {
            plan_map::Swizzle::None => Swizzle::None,
            plan_map::Swizzle::B32 => Swizzle::B32,
            plan_map::Swizzle::B64 => Swizzle::B64,
            plan_map::Swizzle::B128 => Swizzle::B128,
        },
        l2_promotion: match map.l2_promotion {
            plan_map::L2Promotion::None => L2Promotion::None,
            plan_map::L2Promotion::B64 => L2Promotion::B64,
            plan_map::L2Promotion::B128 => L2Promotion::B128,
            plan_map::L2Promotion::B256 => L2Promotion::B256,
        },
        oob_fill: match map.oob_fill {
            plan_map::OobFill::Zeros => OobFill::Zero,
            plan_map::OobFill::Nan => OobFill::Nan,
        },
    }
}
