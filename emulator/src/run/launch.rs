//! A launch: its parameters, the limits they must keep, and the environment its threads see.

use std::sync::Arc;

use super::Options;
use super::grid::{self, Ended, Grid};
use crate::decode::program::{Kernel, Program};
use crate::error::{Ending, Fault, FaultKind, Malformed};
use crate::exec;
use crate::machine::cluster::Env;
use crate::machine::global::GlobalMemory;
use crate::machine::races::Before;
use crate::machine::shared;
use crate::trace::Recorder;

/// A program whose variables have addresses.
#[derive(Debug)]
pub struct Module {
    /// The program.
    pub program: Program,
    /// Device addresses of its variables, by index.
    pub globals: Vec<u64>,
}

/// What to run, and how large.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// Name of the entry.
    pub entry: String,
    /// CTAs.
    pub grid: [u32; 3],
    /// Threads of a CTA.
    pub block: [u32; 3],
    /// CTAs of a cluster; `None`: what the entry's directives say, or one.
    pub cluster: Option<[u32; 3]>,
    /// Bytes of dynamic shared memory.
    pub dynamic_shared: u32,
    /// The parameter block: each parameter at its offset.
    pub params: Vec<u8>,
}

/// Checks a launch and runs it.
pub(super) fn run(
    memory: &GlobalMemory,
    module: &Module,
    launch: &Launch,
    options: &Options,
    recorder: Option<&Recorder>,
    before: Option<Arc<Before>>,
) -> Ended<Ending> {
    let Some(kernel) = module.program.kernel(&launch.entry) else {
        let known: Vec<&str> = module.program.kernels.iter().map(|e| e.name.as_str()).collect();
        return Err(Ending::Malformed(Malformed {
            place: "launch".to_owned(),
            what: format!("no entry '{}'; there are: {}", launch.entry, known.join(", ")),
        }));
    };
    let kernel = kernel?;
    let cluster = launch.cluster.or(kernel.launch.required_cluster).unwrap_or([1; 3]);
    check(kernel, launch, cluster).map_err(|fault| Ending::from(*fault))?;
    let align = kernel.dynamic_shared_align.unwrap_or(16).max(16);
    let dynamic_start = (shared::FIRST_BYTE + kernel.shared_bytes).next_multiple_of(align);
    let size = dynamic_start - shared::FIRST_BYTE + launch.dynamic_shared;
    if size > shared::LIMIT {
        let message = format!(
            "{size} bytes of shared memory ({} static, {} dynamic); a CTA may have {}",
            kernel.shared_bytes,
            launch.dynamic_shared,
            shared::LIMIT
        );
        return Err(Fault::new(FaultKind::LaunchLimit, message).into());
    }
    let meetings = exec::meetings(kernel);
    let env = Env {
        kernel,
        global: memory,
        globals: &module.globals,
        params: &launch.params,
        grid: launch.grid,
        block: launch.block,
        cluster,
        explicit_cluster: launch.cluster.is_some() || kernel.launch.required_cluster.is_some(),
        dynamic_start,
        dynamic_bytes: launch.dynamic_shared,
        ordering: options.ordering,
        meetings: &meetings,
    };
    let result = grid::run(&Grid { env: &env, shared_bytes: size, options, recorder, before });
    result.map_err(|ending| quote(ending, &module.program))
}

/// Adds the text of the line at fault.
fn quote(mut ending: Ending, program: &Program) -> Ending {
    if let Ending::Fault(fault) = &mut ending {
        fault.text = fault.actor.and_then(|who| program.line(who.line)).map(str::to_owned);
    }
    ending
}

fn check(kernel: &Kernel, launch: &Launch, cluster: [u32; 3]) -> Result<(), Box<Fault>> {
    let limit = |message: String| Err(Box::new(Fault::new(FaultKind::LaunchLimit, message)));
    let (grid, block) = (launch.grid, launch.block);
    if grid.contains(&0) || block.contains(&0) || cluster.contains(&0) {
        return limit(format!(
            "grid {grid:?}, block {block:?}, cluster {cluster:?}: none may be 0"
        ));
    }
    let product = |d: [u32; 3]| d.iter().map(|&n| u64::from(n)).product::<u64>();
    let threads = product(block);
    if threads > 1024 {
        return limit(format!("{threads} threads in a CTA; 1024 are allowed"));
    }
    if product(grid) > 1 << 31 {
        return limit(format!("grid {grid:?} has more than 2^31 CTAs"));
    }
    if let Some(max) = kernel.launch.max_threads.filter(|&max| threads > product(max)) {
        return limit(format!("{threads} threads in a CTA; .maxntid allows {}", product(max)));
    }
    if let Some(required) = kernel.launch.required_threads.filter(|&r| r != block) {
        return limit(format!("block {block:?}; .reqntid demands {required:?}"));
    }
    if let Some(required) = kernel.launch.required_cluster.filter(|&r| r != cluster) {
        return limit(format!("cluster {cluster:?}; .reqnctapercluster demands {required:?}"));
    }
    let ctas = product(cluster);
    let most = kernel.launch.max_cluster_rank.map_or(16, |n| u64::from(n).min(16));
    if ctas > most {
        return limit(format!("{ctas} CTAs in a cluster; {most} are allowed"));
    }
    if (0..3).any(|i| !grid[i].is_multiple_of(cluster[i])) {
        return limit(format!("grid {grid:?} is no multiple of the cluster {cluster:?}"));
    }
    if launch.params.len() != kernel.param_bytes as usize {
        return limit(format!(
            "{} bytes of parameters; entry '{}' takes {}",
            launch.params.len(),
            kernel.name,
            kernel.param_bytes
        ));
    }
    Ok(())
}
