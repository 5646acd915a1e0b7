//! Running kernels: device, module, launch.
//!
//! ```
//! use ptx_emulator::decode;
//! use ptx_emulator::run::{Device, Launch, Options};
//!
//! let ptx = "
//!     .version 8.0
//!     .target sm_90
//!     .address_size 64
//!     .visible .entry double(.param .u64 data)
//!     {
//!         .reg .b32 %r<3>;
//!         .reg .b64 %rd<3>;
//!         ld.param.u64 %rd0, [data];
//!         mov.u32 %r0, %tid.x;
//!         mul.wide.u32 %rd1, %r0, 4;
//!         add.s64 %rd2, %rd0, %rd1;
//!         ld.global.u32 %r1, [%rd2];
//!         add.u32 %r2, %r1, %r1;
//!         st.global.u32 [%rd2], %r2;
//!         ret;
//!     }";
//! let mut device = Device::new();
//! let module = device.load(decode::program(ptx.as_bytes())?)?;
//! let data = device.memory.allocate("data", 128, 256);
//! device.memory.upload(data, &[1; 128]);
//! let launch = Launch {
//!     entry: "double".to_owned(),
//!     grid: [1, 1, 1],
//!     block: [32, 1, 1],
//!     cluster: None,
//!     dynamic_shared: 0,
//!     params: data.to_le_bytes().to_vec(),
//! };
//! let stats = device.launch(&module, &launch, &Options { seed: 7, ..Options::default() })?;
//! assert_eq!(stats.instructions, 32 * 8);
//! assert_eq!(device.memory.read_back(data, 128).unwrap().bytes, [2; 128]);
//! # Ok::<(), ptx_emulator::error::Ending>(())
//! ```

mod grid;
mod launch;
mod scheduler;
mod stats;

use std::sync::{Arc, Mutex, PoisonError};

pub use launch::{Launch, Module};
pub use stats::Stats;

use crate::decode::op::Symbol;
use crate::decode::program::Program;
use crate::error::{Ending, Malformed, Unsupported};
use crate::machine::global::GlobalMemory;
use crate::machine::races::Before;
use crate::machine::window;
use crate::trace::{Detail, Recorder, Trace};

/// Multiprocessors of the device that is emulated: how many CTAs are resident at a time.
pub const SM_COUNT: u32 = 148;

/// How the open questions of the ISA are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Ordering {
    /// By the written guarantee alone.
    #[default]
    Strict,
    /// By what shipped kernels rely on: `tcgen05` operations of one thread stay in order; reading a
    /// register that a `tcgen05.ld` will write waits for it, which is as good as a `wait::ld` where
    /// the kernel has any; a `tcgen05.st` comes before a later `ld` without a wait; a thread's last bulk stores may still read shared memory when it exits, if
    /// it waited for earlier ones; a register that nothing in the kernel writes holds anything; one
    /// that was not written on the way here may be computed with, as long as nothing is stored,
    /// addressed or decided by the result; a relaxed read of global memory acquires; no warp comes to
    /// a wait so late that the mbarrier has gone on by two phases since; `tcgen05.dealloc` comes
    /// after whatever can run without it.
    Hardware,
}

/// How to run a launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Decides every choice of the schedule; the same seed gives the same run.
    pub seed: u64,
    /// Thread-instructions that one cluster may execute before the run counts as a livelock.
    pub instruction_limit: u64,
    /// Strict or as hardware.
    pub ordering: Ordering,
    /// Look for accesses to shared, tensor and global memory that nothing orders.
    pub races: bool,
    /// The launch may begin while the one before it on this device still runs (programmatic stream
    /// serialization): what that touched is not to be touched before `griddepcontrol.wait`.
    pub overlap: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            seed: 0,
            instruction_limit: 5_000_000_000,
            ordering: Ordering::Strict,
            races: true,
            overlap: false,
        }
    }
}

/// A device: global memory, which outlives launches.
#[derive(Debug, Default)]
pub struct Device {
    /// Device memory.
    pub memory: GlobalMemory,
    /// What the launch before did, where races are looked for.
    last: Mutex<Option<Arc<Before>>>,
}

impl Device {
    /// A device without buffers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a program's module-scope variables part of device memory.
    ///
    /// # Errors
    /// When a variable is `.extern`, or an initialiser cannot be resolved.
    pub fn load(&mut self, program: Program) -> Result<Module, Ending> {
        let mut addresses = vec![];
        for variable in &program.globals {
            if variable.external {
                let what = format!("the .extern variable '{}'", variable.name);
                return Err(Ending::Unsupported(Unsupported { what, line: 0 }));
            }
            let bytes = variable.size as usize;
            let align = u64::from(variable.align.max(1));
            addresses.push(self.memory.allocate(&variable.name, bytes, align));
        }
        for (variable, &address) in program.globals.iter().zip(&addresses) {
            let mut bytes = variable.init.clone();
            bytes.resize(variable.size as usize, 0);
            for relocation in &variable.relocations {
                let value = match relocation.symbol {
                    Symbol::Global(index) => addresses[index as usize],
                    Symbol::Function(number) => window::function(number),
                    _ => {
                        let what =
                            format!("an initialiser of '{}' that names no variable", variable.name);
                        return Err(Ending::Unsupported(Unsupported { what, line: 0 }));
                    }
                };
                let value = value.wrapping_add_signed(relocation.addend).to_le_bytes();
                let start = relocation.at as usize;
                let value = match &relocation.byte {
                    Some(byte) => &value[usize::from(*byte)..][..1],
                    None => &value[..],
                };
                let Some(place) = bytes.get_mut(start..start + value.len()) else {
                    return Err(Ending::Malformed(Malformed {
                        place: format!("initialiser of '{}'", variable.name),
                        what: "an address that does not fit into the variable".to_owned(),
                    }));
                };
                place.copy_from_slice(value);
            }
            self.memory.upload(address, &bytes);
            if variable.space == crate::decode::op::Space::Const {
                self.memory.protect(address);
            }
        }
        Ok(Module { program, globals: addresses })
    }

    /// Runs one launch to its end.
    ///
    /// # Errors
    /// A fault of the program, something it uses that is not supported, or launch parameters that
    /// do not fit the entry.
    pub fn launch(
        &self,
        module: &Module,
        launch: &Launch,
        options: &Options,
    ) -> Result<Stats, Ending> {
        self.run(module, launch, options, None)
    }

    fn run(
        &self,
        module: &Module,
        launch: &Launch,
        options: &Options,
        recorder: Option<&Recorder>,
    ) -> Result<Stats, Ending> {
        let last = || self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let before = last().take().filter(|_| options.overlap);
        let (stats, done) = launch::run(&self.memory, module, launch, options, recorder, before)?;
        *last() = done.map(Arc::new);
        Ok(stats)
    }

    /// Runs one launch to its end and tells what happened on the way, up to a fault if there is
    /// one.
    pub fn trace(
        &self,
        module: &Module,
        launch: &Launch,
        options: &Options,
        detail: Detail,
    ) -> (Trace, Result<Stats, Ending>) {
        let recorder = Recorder::new(detail);
        let result = self.run(module, launch, options, Some(&recorder));
        (recorder.finish(), result)
    }
}
