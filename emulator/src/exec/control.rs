//! Branches, calls, the end of threads.

mod calls;
mod registers;

use super::operand::{lane_fault, read32};
use super::{Flow, Step, unsupported};
use crate::decode::op::{ControlOp, Instr, Op, Tcgen05Op};
use crate::error::{Fault, FaultKind};
use crate::machine::access::Who;
use crate::machine::cluster::{Env, Space};
use crate::machine::registers::Lanes;
use crate::machine::warp::{Block, Warp, each};
use crate::machine::window;
use crate::run::Ordering;

pub(super) fn execute(
    op: &ControlOp,
    env: &Env<'_>,
    space: &mut Space,
    warp: &mut Warp,
    at: &Step,
) -> Result<Flow, Box<Fault>> {
    let lanes = warp.groups[at.group].lanes;
    match op {
        ControlOp::Branch { target, uniform } => {
            if at.active == lanes {
                warp.groups[at.group].pc = *target;
            } else {
                if *uniform {
                    return divergent(lanes, at.active);
                }
                warp.split(at.group, at.active, *target);
                warp.groups[at.group].pc = at.pc + 1;
            }
            Ok(Flow::Moved)
        }
        ControlOp::BranchIndexed { index, targets, uniform } => {
            let indices = read32(&warp.regs, *index, at.active)?;
            let mut left = at.active;
            while left != 0 {
                let value = indices[left.trailing_zeros() as usize];
                let same = lanes_with(&indices, left, value);
                if *uniform && same != lanes {
                    return divergent(lanes, same);
                }
                let Some(&target) = targets.get(value as usize) else {
                    let message =
                        format!("brx.idx with index {value} into a list of {}", targets.len());
                    return Err(lane_fault(FaultKind::OutOfBounds, same.trailing_zeros(), message));
                };
                if same == warp.groups[at.group].lanes {
                    warp.groups[at.group].pc = target;
                    return Ok(Flow::Moved);
                }
                warp.split(at.group, same, target);
                left &= !same;
            }
            warp.groups[at.group].pc = at.pc + 1;
            Ok(Flow::Moved)
        }
        ControlOp::Call { target } => {
            if at.active != lanes {
                warp.split(at.group, lanes & !at.active, at.pc + 1);
            }
            let group = &mut warp.groups[at.group];
            group.stack.push(at.pc + 1);
            group.pc = *target;
            Ok(Flow::Moved)
        }
        ControlOp::Return => {
            if warp.groups[at.group].stack.is_empty() {
                return exit(env, space, warp, at);
            }
            if at.active != lanes {
                warp.split(at.group, lanes & !at.active, at.pc + 1);
            }
            let group = &mut warp.groups[at.group];
            group.pc = group.stack.pop().unwrap_or_default();
            Ok(Flow::Moved)
        }
        ControlOp::CallStaged { callee } => calls::call(callee, env, warp, at),
        ControlOp::ReturnStaged { subroutine } => {
            calls::ret(&env.kernel.subroutines[*subroutine as usize], warp, at)
        }
        ControlOp::Alloca { dst, width, size, align } => {
            calls::alloca((*dst, *width), *size, *align, warp, at)
        }
        ControlOp::StackSave { dst, width } => calls::stack_save((*dst, *width), warp, at),
        ControlOp::StackRestore { src, width } => calls::stack_restore((*src, *width), warp, at),
        ControlOp::Exit => exit(env, space, warp, at),
        ControlOp::Trap => {
            Err(lane_fault(FaultKind::Trap, at.active.trailing_zeros(), "trap was executed"))
        }
        ControlOp::AssertFail { message, file, line, .. } => {
            let lane = at.active.trailing_zeros();
            let message = text(env, warp, at, lane, *message);
            let file = text(env, warp, at, lane, *file);
            let mut number = [0; 4];
            let who = Who::generic(at.lane(lane));
            warp.frame.load(lane, (*line).into(), &mut number, &who)?;
            let line = u32::from_le_bytes(number);
            let message = format!("device assertion failed: {message} ({file}:{line})");
            Err(lane_fault(FaultKind::Trap, lane, message))
        }
        ControlOp::Printf { result, .. } => {
            // Output of the program is not part of what is judged; the call succeeds.
            if let Some(offset) = result {
                for lane in each(at.active) {
                    let who = Who::generic(at.lane(lane));
                    warp.frame.store(lane, (*offset).into(), &[0; 4], &who)?;
                }
            }
            Ok(Flow::Next)
        }
        ControlOp::FrameCopy { from, to, bytes } => {
            for lane in each(at.active) {
                let who = Who::generic(at.lane(lane));
                warp.frame.copy(lane, (*from, *to, *bytes), &who)?;
            }
            Ok(Flow::Next)
        }
        ControlOp::NanoSleep { time } => {
            read32(&warp.regs, *time, at.active)?;
            Ok(Flow::Next)
        }
        ControlOp::Breakpoint => unsupported("brkpt: there is no debugger to stop for"),
        ControlOp::SetMaxNReg { increase, count } => {
            Ok(registers::set_max(*increase, *count, env, space, warp))
        }
        // Launches run one after the other; that one came too early is a matter of order.
        ControlOp::GridDependencyWait | ControlOp::GridLaunchDependents | ControlOp::Nop => {
            Ok(Flow::Next)
        }
    }
}

fn lanes_with(values: &[u32; 32], lanes: Lanes, value: u32) -> Lanes {
    each(lanes).filter(|&l| values[l as usize] == value).fold(0, |mask, l| mask | 1 << l)
}

fn divergent(lanes: Lanes, taken: Lanes) -> Result<Flow, Box<Fault>> {
    let message = format!("a .uni branch is taken by lanes {taken:#010x} of {lanes:#010x} only");
    Err(Box::new(Fault::new(FaultKind::Convergence, message)))
}

/// A string argument of `__assertfail`, as far as it can be read.
fn text(env: &Env<'_>, warp: &Warp, at: &Step, lane: u32, offset: u32) -> String {
    let who = Who::generic(at.lane(lane));
    let mut pointer = [0; 8];
    if warp.frame.load(lane, offset.into(), &mut pointer, &who).is_err() {
        return "?".to_owned();
    }
    let address = u64::from_le_bytes(pointer);
    if window::resolve(address).0 != crate::decode::op::Space::Global {
        return "?".to_owned();
    }
    let bytes = (0..256).map_while(|i| {
        let byte = env.global.load_scalar(address + i, 1, &who).ok()? as u8;
        (byte != 0).then_some(byte)
    });
    String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()).into_owned()
}

/// What shipped kernels leave to the hardware when they exit: the last tensor-memory stores, the last
/// loads, whose registers hold the threads up, and the last bulk stores, which hold shared memory. A kernel that
/// never waits for loads, or a thread that never waits for stores, is at fault all the same.
fn finish(env: &Env<'_>, space: &mut Space, warp: &mut Warp, at: &Step) -> Option<Flow> {
    let queue = &mut space.queue;
    let waits = |instr: &Instr| matches!(instr.op, Op::Tcgen05(Tcgen05Op::WaitLoad));
    if !warp.loads.is_empty() && env.kernel.instrs.iter().any(waits) {
        let tickets = warp.loads.iter().map(|load| load.ticket);
        let tickets: Vec<u64> = tickets.filter(|&t| !queue.is_done(t)).collect();
        if !tickets.is_empty() {
            return Some(Flow::Wait(Block::Tickets { tickets, reads: false }));
        }
        for load in std::mem::take(&mut warp.loads) {
            queue.results.remove(&load.ticket);
        }
    }
    let tickets: Vec<u64> = warp.stores.iter().copied().filter(|&t| !queue.is_done(t)).collect();
    if !tickets.is_empty() {
        return Some(Flow::Wait(Block::Tickets { tickets, reads: false }));
    }
    let waited = |lane: &u32| warp.bulk.get(*lane as usize).is_some_and(|groups| groups.waited);
    let tickets = each(at.active).filter(waited).flat_map(|lane| {
        let groups = &warp.bulk[lane as usize];
        groups.due(0).chain(groups.open.iter().copied())
    });
    let tickets: Vec<u64> = tickets.filter(|&t| !queue.reads_done(t)).collect();
    if let Some(races) = &mut space.races {
        races.stores_kept(each(at.active).filter(waited).fold(0, |lanes, lane| lanes | 1 << lane));
    }
    (!tickets.is_empty()).then_some(Flow::Wait(Block::Tickets { tickets, reads: true }))
}

/// The end of the active lanes, and what follows from it for barriers, the CTA and the cluster.
fn exit(env: &Env<'_>, space: &mut Space, warp: &mut Warp, at: &Step) -> Result<Flow, Box<Fault>> {
    if env.ordering == Ordering::Hardware
        && let Some(flow) = finish(env, space, warp, at)
    {
        return Ok(flow);
    }
    warp.groups[at.group].pc = at.pc + 1;
    if let Some(load) = warp.loads.first() {
        let done = space.queue.is_done(load.ticket);
        let message = format!(
            "threads exit with a tcgen05.ld that no wait::ld followed ({} complete)",
            if done { "though" } else { "not" }
        );
        return Err(Box::new(Fault::new(FaultKind::Unfinished, message)));
    }
    for lane in each(at.active) {
        // Whoever arrived and leaves without waiting is neither waited for nor counted.
        if warp.cluster_arrival[lane as usize] == Some(space.barrier.generation) {
            space.barrier.arrived -= 1;
        }
    }
    warp.exit(at.group, at.active);
    space.events += 1;
    space.live -= at.active.count_ones();
    if warp.live == 0 {
        let cta = &mut space.ctas[warp.rank as usize];
        cta.live_warps -= 1;
        let live = cta.live_warps * 32;
        for barrier in &mut cta.named {
            barrier.settle(live);
        }
        if cta.live_warps == 0 {
            space.end_cta(warp.rank, env, at.actor)?;
        }
    }
    let live = space.live;
    space.barrier.settle(live);
    Ok(Flow::Moved)
}
