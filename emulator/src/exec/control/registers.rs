//! `setmaxnreg`: warps of a CTA pass registers to each other.
//!
//! A warp starts with what the entry was compiled for: `.maxnreg`, or as many registers as let
//! `.minnctapersm` CTAs of `.maxntid` (or `.reqntid`) threads share the 65536 of a multiprocessor.
//! What `.dec` releases goes to a pool of the CTA, and `.inc` waits until the pool holds what it
//! asks for. An entry without these directives has no known start, and there the instruction is
//! ignored, as assemblers do.

use super::super::Flow;
use crate::decode::program::LaunchBounds;
use crate::machine::cluster::{Env, Space};
use crate::machine::warp::{Block, Warp};

/// Registers of one multiprocessor.
const FILE: u32 = 65536;

/// Registers of each thread at the start, if the entry says enough.
fn at_start(bounds: &LaunchBounds) -> Option<u32> {
    let threads = bounds.required_threads.or(bounds.max_threads);
    let fits = threads.map(|[x, y, z]| {
        let warps = (x * y * z).div_ceil(32).max(1) * bounds.min_ctas_per_sm.unwrap_or(1).max(1);
        (FILE / (warps * 32) / 8 * 8).min(256)
    });
    let most = bounds.max_registers.map(|n| n.next_multiple_of(8));
    [fits, most].into_iter().flatten().min()
}

/// `setmaxnreg.inc` and `.dec`.
pub(super) fn set_max(
    increase: bool,
    count: u32,
    env: &Env<'_>,
    space: &mut Space,
    warp: &mut Warp,
) -> Flow {
    let Some(start) = at_start(&env.kernel.launch) else { return Flow::Next };
    let held = warp.registers.unwrap_or(start);
    let free = &mut space.ctas[warp.rank as usize].free_registers;
    if increase && count > held {
        let more = count - held;
        if *free < more {
            return Flow::Wait(Block::Registers { count: more });
        }
        *free -= more;
        warp.registers = Some(count);
    } else if !increase && count < held {
        *free += held - count;
        warp.registers = Some(count);
        space.events += 1;
    }
    Flow::Next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_thread_starts_with() {
        let bounds = |threads, registers, ctas| {
            at_start(&LaunchBounds {
                max_threads: threads,
                max_registers: registers,
                min_ctas_per_sm: ctas,
                ..LaunchBounds::default()
            })
        };
        assert_eq!(bounds(None, None, Some(1)), None);
        assert_eq!(bounds(Some([384, 1, 1]), None, Some(1)), Some(168));
        assert_eq!(bounds(Some([128, 1, 1]), None, None), Some(256));
        assert_eq!(bounds(Some([128, 2, 1]), Some(100), Some(2)), Some(104));
    }
}
