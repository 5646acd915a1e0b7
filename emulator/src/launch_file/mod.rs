//! The launch file: which PTX to run, on which buffers, with which arguments.
//!
//! [`Job::read`] does everything that does not depend on the schedule, once: the JSON, the modules,
//! the buffers' content. [`Job::run`] runs all launches under one seed on fresh memory, and
//! [`Job::run_seeds`] compares several. Outputs reach the disk only through [`Job::write`].
//!
//! ```no_run
//! use std::path::Path;
//!
//! use ptx_emulator::launch_file::Job;
//!
//! let job = Job::read(Path::new("launch.json"))?;
//! let outcome = job.run(job.seed())?;
//! job.write(&outcome)?;
//! # Ok::<(), ptx_emulator::error::Ending>(())
//! ```

mod compare;
mod memory;
mod output;
mod params;
pub mod schema;
mod target;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memory::Content;
pub use output::{LaunchStats, Outcome, OutputBuffer};
use schema::LaunchFile;

use crate::decode::{self, program::Program};
use crate::error::{Ending, Malformed};
use crate::parse;
use crate::run::{Device, Launch, Options, Ordering};
use crate::trace::{Detail, Trace};

fn malformed(place: impl Into<String>, what: impl Into<String>) -> Ending {
    Ending::Malformed(Malformed { place: place.into(), what: what.into() })
}

/// A launch file that was read and checked, ready to run any number of times.
#[derive(Debug, Clone)]
pub struct Job {
    file: LaunchFile,
    /// Where paths start.
    directory: PathBuf,
    programs: BTreeMap<String, Arc<Program>>,
    contents: Arc<Vec<Content>>,
}

/// What happened in one launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchTrace {
    /// The module's name.
    pub module: String,
    /// The entry.
    pub entry: String,
    /// The events.
    pub trace: Trace,
}

/// The end of the one schedule, of several, that is told about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeedEnding {
    /// Its seed.
    pub seed: u64,
    /// How it ended.
    pub ending: Ending,
}

impl Job {
    /// Reads a launch file, its modules and the files of its buffers.
    ///
    /// # Errors
    /// `Malformed` with the field or the file, `Unsupported` with the PTX line.
    pub fn read(path: &Path) -> Result<Job, Ending> {
        let place = path.display().to_string();
        let text = std::fs::read(path).map_err(|why| malformed(&place, why.to_string()))?;
        let file: LaunchFile =
            serde_json::from_slice(&text).map_err(|why| malformed(&place, why.to_string()))?;
        let directory = path.parent().unwrap_or(Path::new("")).to_owned();
        Job::new(file, directory)
    }

    /// Checks a launch file whose paths start at `directory`.
    ///
    /// # Errors
    /// As [`Job::read`].
    pub fn new(file: LaunchFile, directory: PathBuf) -> Result<Job, Ending> {
        let mut programs = BTreeMap::new();
        for (name, path) in &file.modules {
            programs
                .insert(name.clone(), Arc::new(load_module(name, &directory.join(path), &file)?));
        }
        for (i, launch) in file.launches.iter().enumerate() {
            let Some(program) = programs.get(&launch.module) else {
                let names: Vec<&String> = programs.keys().collect();
                let what = format!("no module `{}`; the modules are {names:?}", launch.module);
                return Err(malformed(format!("launches[{i}].module"), what));
            };
            if program.kernel(&launch.entry).is_none() {
                let names: Vec<&String> = program.kernels.iter().map(|e| &e.name).collect();
                let what = format!("no entry `{}`; the module has {names:?}", launch.entry);
                return Err(malformed(format!("launches[{i}].entry"), what));
            }
        }
        for (name, path) in &file.outputs {
            let place = format!("outputs.{name}");
            if !file.buffers.contains_key(name) {
                return Err(malformed(place, format!("there is no buffer `{name}`")));
            }
            let path = directory.join(path);
            let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
            if path.is_dir() || folder.is_some_and(|folder| !folder.is_dir()) {
                let what = format!("{} cannot be written: no such folder", path.display());
                return Err(malformed(place, what));
            }
        }
        let contents = memory::load(&file.buffers, &directory, file.limits.bytes)?;
        Ok(Job { file, directory, programs, contents: Arc::new(contents) })
    }

    /// The seed that the file names.
    pub fn seed(&self) -> u64 {
        self.file.seed
    }

    /// Answers the open questions of the ISA so, whatever the file says.
    pub fn set_ordering(&mut self, ordering: Ordering) {
        self.file.ordering = ordering;
    }

    /// The module names, each with where its PTX is and the entries of it that are launched.
    pub fn modules(&self) -> Vec<(&str, PathBuf, Vec<&str>)> {
        let launched = |name: &str| {
            let launches = self.file.launches.iter().filter(|launch| launch.module == name);
            launches.map(|launch| launch.entry.as_str()).collect()
        };
        let modules = self.file.modules.iter();
        modules.map(|(name, path)| (&**name, self.directory.join(path), launched(name))).collect()
    }

    /// The same job with other PTX for one of its modules.
    ///
    /// # Errors
    /// When the text is malformed or not supported.
    pub fn with_module(&self, name: &str, ptx: &str) -> Result<Job, Ending> {
        let mut job = self.clone();
        job.programs.insert(name.to_owned(), Arc::new(decode::program(ptx.as_bytes())?));
        Ok(job)
    }

    /// Thread instructions of one launch, after which it counts as a livelock.
    pub fn set_instruction_limit(&mut self, limit: u64) {
        self.file.limits.instructions = Some(limit);
    }

    /// Runs all launches in order on fresh memory under one schedule.
    ///
    /// # Errors
    /// The first ending that is not good.
    pub fn run(&self, seed: u64) -> Result<Outcome, Ending> {
        self.run_with(seed, None, &mut |_| ())
    }

    /// Runs like [`Job::run`] and tells what happened in each launch, the one at fault included.
    pub fn trace(&self, seed: u64, detail: Detail) -> (Vec<LaunchTrace>, Result<Outcome, Ending>) {
        let mut traces = vec![];
        let outcome = self.run_with(seed, Some(detail), &mut |trace| traces.push(trace));
        (traces, outcome)
    }

    /// The decoded module of a name.
    pub fn program(&self, module: &str) -> Option<&Program> {
        self.programs.get(module).map(|program| &**program)
    }

    fn run_with(
        &self,
        seed: u64,
        detail: Option<Detail>,
        traced: &mut dyn FnMut(LaunchTrace),
    ) -> Result<Outcome, Ending> {
        let mut device = Device::new();
        let addresses = memory::allocate(&self.contents, &mut device.memory)?;
        let mut modules = BTreeMap::new();
        for (name, program) in &self.programs {
            modules.insert(name.as_str(), device.load(Program::clone(program))?);
        }
        let mut stats = vec![];
        for (i, launch) in self.file.launches.iter().enumerate() {
            let place = format!("launches[{i}]");
            let module = &modules[launch.module.as_str()];
            let kernel = match module.program.kernel(&launch.entry) {
                Some(kernel) => kernel?,
                None => unreachable!("bug: Job::new checked the entries"),
            };
            let params = params::block(kernel, &launch.params, &addresses, &place)?;
            let what = Launch {
                entry: launch.entry.clone(),
                grid: launch.grid,
                block: launch.block,
                cluster: launch.cluster,
                dynamic_shared: launch.dynamic_shared,
                params,
            };
            let (ordering, overlap) = (self.file.ordering, launch.overlap);
            let mut options = Options { seed, ordering, overlap, ..Options::default() };
            if let Some(limit) = self.file.limits.instructions {
                options.instruction_limit = limit;
            }
            let counts = match detail {
                None => device.launch(module, &what, &options)?,
                Some(detail) => {
                    let (trace, result) = device.trace(module, &what, &options, detail);
                    let (module, entry) = (launch.module.clone(), launch.entry.clone());
                    traced(LaunchTrace { module, entry, trace });
                    result?
                }
            };
            stats.push(LaunchStats { entry: launch.entry.clone(), stats: counts });
        }
        self.collect(&device, &addresses, stats)
    }

    /// Reads back the outputs, or all buffers when the file names none.
    fn collect(
        &self,
        device: &Device,
        addresses: &memory::Addresses,
        launches: Vec<LaunchStats>,
    ) -> Result<Outcome, Ending> {
        let all = self.file.outputs.is_empty();
        let names: Vec<&String> = if all {
            self.file.buffers.keys().collect()
        } else {
            self.file.outputs.keys().collect()
        };
        let mut buffers = vec![];
        for name in names {
            let (address, bytes) = addresses.buffer(name, "outputs")?;
            let Some(content) = device.memory.read_back(address, bytes) else {
                unreachable!("bug: buffer {name} is not where it was allocated");
            };
            let path = self.file.outputs.get(name).map(|path| self.directory.join(path));
            let (bytes, unwritten) = (content.bytes, content.unwritten);
            buffers.push(OutputBuffer { name: name.clone(), path, bytes, unwritten });
        }
        Ok(Outcome { buffers, launches })
    }
}

fn load_module(name: &str, path: &Path, file: &LaunchFile) -> Result<Program, Ending> {
    let field = format!("modules.{name}");
    let shown = path.display().to_string();
    // One byte more than the parser takes: it refuses what is longer, endless files included.
    let bytes = memory::read_at_most(path, parse::MAX_TEXT as u64 + 1)
        .map_err(|why| malformed(&field, format!("{shown}: {why}")))?;
    let in_file = |ending: Ending| match ending {
        Ending::Malformed(why) => malformed(format!("{shown}: {}", why.place), why.what),
        other => other,
    };
    let program = decode::program(&bytes).map_err(in_file)?;
    if let Some(device) = &file.target {
        match target::runs(device, &program.target) {
            Ok(true) => {}
            Ok(false) => {
                let what = format!("{shown} is for {}, which {device} cannot run", program.target);
                return Err(malformed(field, what));
            }
            Err(why) => return Err(malformed("target", why)),
        }
    }
    Ok(program)
}
