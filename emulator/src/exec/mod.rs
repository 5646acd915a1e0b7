//! Execution: one instruction for one group of lanes.
//!
//! A handler gets the warp, everything it may touch ([`Space`]), and the active lanes. It either
//! completes, or says what the group has to wait for; then it runs once more when that happened,
//! with `Step::woken` set. It must not have had an effect before it blocks, except where the
//! woken call knows about it.

pub mod atomic;
mod control;
mod copy;
pub mod fragment;
mod matrix;
mod memory;
pub mod operand;
mod order;
mod scalar;
mod special;
mod sync;
mod tensor;
mod tmem_access;
mod undefined;
mod warp_ops;

use rand::Rng;

use crate::decode::op::Op;
use crate::decode::program::Kernel;
use crate::error::{Actor, Fault, FaultKind};
use crate::machine::cluster::{Env, Meeting, Space};
use crate::machine::registers::Lanes;
use crate::machine::shared::address_of;
use crate::machine::warp::{Block, PhaseWait, State, Warp, each};
use crate::run::Ordering;
use crate::trace::What;

/// What an instruction leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Flow {
    /// The next instruction.
    Next,
    /// The handler has moved its lanes itself.
    Moved,
    /// The group has to wait, and executes this instruction again.
    Wait(Block),
}

/// The circumstances of one instruction.
#[derive(Debug, Clone, Copy)]
struct Step {
    /// Index of the group.
    group: usize,
    /// Instruction index.
    pc: u32,
    /// Lanes that execute it.
    active: Lanes,
    /// Who, without a lane.
    actor: Actor,
    /// The group has waited for this instruction and what it waited for has happened.
    woken: bool,
    /// A wait that may give up has given up.
    timed_out: bool,
}

impl Step {
    /// The actor of one lane.
    fn lane(&self, lane: u32) -> Actor {
        Actor { lane: Some(lane), ..self.actor }
    }
}

/// Which lanes must meet at each instruction of a kernel.
pub fn meetings(kernel: &Kernel) -> Vec<Meeting> {
    kernel
        .instrs
        .iter()
        .map(|instr| match &instr.op {
            op if op.member_mask().is_some() => Meeting::Members,
            Op::Tcgen05(op) if op.aligned() => Meeting::All,
            Op::Matrix(_) => Meeting::All,
            // A warp arrives at a named barrier as a whole, aligned or not.
            Op::Sync(crate::decode::op::SyncOp::Bar { .. }) => Meeting::Live,
            op if op.aligned() => Meeting::Live,
            _ => Meeting::None,
        })
        .collect()
}

/// Runs a warp for up to `budget` instructions, or until it cannot go on.
pub fn run(
    env: &Env<'_>,
    space: &mut Space,
    warp: &mut Warp,
    budget: u32,
) -> Result<(), Box<Fault>> {
    for _ in 0..budget {
        let Some(mut index) = pick(space, warp) else { break };
        if warp.groups.len() > 1 {
            index = warp.merge(index);
        }
        let pc = warp.groups[index].pc;
        let line = env.kernel.instrs[pc as usize].line;
        if let Err(fault) = step(env, space, warp, index) {
            return Err(name_register(name_actor(fault, warp.actor(line)), env.kernel));
        }
    }
    check_gathering(env, warp)
}

/// Completes what a handler left open about who did it.
fn name_actor(mut fault: Box<Fault>, actor: Actor) -> Box<Fault> {
    match &mut fault.actor {
        Some(known) if known.line != 0 => {}
        Some(lane_only) => *lane_only = Actor { lane: lane_only.lane, ..actor },
        None => fault.actor = Some(actor),
    }
    fault
}

/// Puts the program's own name in the place of a slot number at the start of a message.
fn name_register(mut fault: Box<Fault>, kernel: &Kernel) -> Box<Fault> {
    for (prefix, names) in [
        (operand::SLOT_PREFIX, &kernel.register_names),
        (operand::PREDICATE_PREFIX, &kernel.predicate_names),
    ] {
        let Some(rest) = fault.message.strip_prefix(prefix) else { continue };
        let (number, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let Ok(slot) = number.parse::<u32>() else { continue };
        let index = names.partition_point(|&(first, _)| first <= slot);
        if let Some((_, name)) = index.checked_sub(1).and_then(|i| names.get(i)) {
            fault.message = format!("register {name} {rest}");
        }
    }
    fault
}

/// The group to run: the one that is furthest behind, which makes groups meet again; now and then
/// another, so that a group that spins cannot starve the one it spins for.
fn pick(space: &mut Space, warp: &Warp) -> Option<usize> {
    if let [only] = warp.groups.as_slice() {
        return (only.state == State::Ready).then_some(0);
    }
    let ready =
        || warp.groups.iter().enumerate().filter(|(_, g)| g.state == State::Ready).map(|(i, _)| i);
    let count = ready().count();
    match count {
        0 => None,
        1 => ready().next(),
        _ if space.rng.random_ratio(1, 32) => ready().nth(space.rng.random_range(0..count)),
        _ => ready().min_by_key(|&i| warp.groups[i].pc),
    }
}

/// A warp all of whose groups wait for each other at different instructions is stuck for good.
fn check_gathering(env: &Env<'_>, warp: &Warp) -> Result<(), Box<Fault>> {
    if warp.groups.is_empty() || warp.groups.iter().any(|g| g.state != State::Gather) {
        return Ok(());
    }
    Err(gathering_fault(env, warp))
}

/// The fault of lanes that had to execute an instruction together and do not.
pub fn gathering_fault(env: &Env<'_>, warp: &Warp) -> Box<Fault> {
    let line = |pc: u32| env.kernel.instrs[pc as usize].line;
    let gather = warp.groups.iter().find(|g| g.state == State::Gather);
    let group = gather.unwrap_or(&warp.groups[0]);
    let message = format!(
        "lanes {:#010x} stand at an instruction that all lanes of the warp must execute together, \
         and the others ({:#010x} live) do not come",
        group.lanes,
        warp.live & !group.lanes
    );
    let mut fault = Fault::new(FaultKind::Convergence, message).by(warp.actor(line(group.pc)));
    for other in &warp.groups {
        fault.notes.push(format!("lanes {:#010x} at line {}", other.lanes, line(other.pc)));
    }
    Box::new(fault)
}

fn step(env: &Env<'_>, space: &mut Space, warp: &mut Warp, index: usize) -> Result<(), Box<Fault>> {
    let group = &mut warp.groups[index];
    let (pc, lanes) = (group.pc, group.lanes);
    let woken = std::mem::take(&mut group.woken);
    let timed_out = std::mem::take(&mut group.timed_out);
    let instr = &env.kernel.instrs[pc as usize];
    let mut active = match instr.guard {
        None => lanes,
        Some(guard) => {
            let pred = crate::decode::op::PredSrc::Reg { pred: guard.pred, negated: guard.negated };
            operand::read_pred(&warp.regs, pred, lanes)?
        }
    };
    if active == 0 {
        warp.groups[index].pc = pc + 1;
        return Ok(());
    }
    let meeting = env.meetings[pc as usize];
    if meeting == Meeting::Members {
        match same_members(warp, index, active, &instr.op)? {
            Some(same) => active = same,
            None => {
                warp.groups[index].state = State::Gather;
                return Ok(());
            }
        }
    } else if !meet(warp, index, meeting, active)? {
        warp.groups[index].state = State::Gather;
        return Ok(());
    }
    space.stats.warp_instructions += 1;
    space.stats.instructions += u64::from(active.count_ones());
    space.queue.log.tick();
    let at = Step { group: index, pc, active, actor: warp.actor(instr.line), woken, timed_out };
    if let Some(races) = &mut space.races {
        races.current = warp.id;
        races.instructions += 1;
        if warp.regs.has_noticed() {
            order::noticed(races, warp);
        }
    }
    if space.queue.log.is_on() {
        space.queue.log.executed(at.actor, active, woken, timed_out);
    }
    let flow = match dispatch(&instr.op, env, space, warp, &at) {
        // Nothing in the ISA lets a program read what a `tcgen05.ld` loads before its wait. Compilers
        // move pure arithmetic above the wait all the same, and the hardware's scoreboard holds it up.
        Err(fault)
            if fault.kind == FaultKind::PendingRegister && env.ordering == Ordering::Hardware =>
        {
            let slot = operand::slot_of(&fault);
            slot.and_then(|slot| tmem_access::scoreboard(slot, space, warp)).ok_or(fault)?
        }
        flow => flow?,
    };
    match flow {
        Flow::Next => {
            warp.groups[index].pc = pc + 1;
            order::completed(&instr.op, space, warp, &at)?;
        }
        Flow::Moved => {}
        Flow::Wait(block) => {
            if active != lanes {
                // Lanes whose guard is false do not wait.
                warp.split(index, lanes & !active, pc + 1);
            }
            space.queue.log.record(at.actor, || What::WaitBegin(waits_for(&block)));
            warp.groups[index].state = State::Blocked(block);
        }
    }
    Ok(())
}

fn dispatch(
    op: &Op,
    env: &Env<'_>,
    space: &mut Space,
    warp: &mut Warp,
    at: &Step,
) -> Result<Flow, Box<Fault>> {
    match op {
        Op::Scalar(op) => match scalar::execute(op, &mut warp.regs, at.active) {
            Err(fault) if env.ordering == Ordering::Hardware => {
                undefined::compute(op, &mut warp.regs, at.active, at.actor.line, fault)
            }
            done => done,
        }
        .map(|()| Flow::Next),
        Op::Warp(op) => match warp_ops::execute(op, &mut warp.regs, at.active) {
            Err(fault) if env.ordering == Ordering::Hardware => {
                undefined::exchange(op, &mut warp.regs, at.active, at.actor.line, fault)
            }
            done => done,
        }
        .map(|()| Flow::Next),
        Op::Special(op) => special::execute(op, env, space, warp, at),
        Op::Control(op) => control::execute(op, env, space, warp, at),
        Op::Memory(op) => memory::execute(op, env, space, warp, at),
        Op::Sync(op) => sync::execute(op, env, space, warp, at),
        Op::Copy(op) => copy::execute(op, env, space, warp, at),
        Op::Matrix(op) => matrix::execute(op, env, space, warp, at),
        Op::Tcgen05(op) => tensor::execute(op, env, space, warp, at),
        Op::Unsupported(what) => unsupported(&**what),
    }
}

/// What a wait is for, in a trace.
fn waits_for(block: &Block) -> String {
    match block {
        Block::Mbarrier(waits) => {
            let one = |w: &PhaseWait| format!("{:#x}", address_of(w.rank, w.offset));
            format!("mbarrier {}", waits.iter().map(one).collect::<Vec<_>>().join(" "))
        }
        Block::Named { id, .. } => format!("barrier {id}"),
        Block::Cluster { .. } => "cluster barrier".to_owned(),
        Block::TensorMemory { columns } => format!("{columns} tensor memory columns"),
        Block::Tickets { tickets, .. } => format!("{} operations", tickets.len()),
        Block::Registers { count } => format!("{count} registers a thread"),
        Block::Idle => "everybody else".to_owned(),
        Block::Pair { .. } => "tcgen05.alloc of the pair".to_owned(),
        Block::Warpgroup { groups } => format!("wgmma group {groups}"),
    }
}

/// Lanes that name the same members and are all there; `None` while there are none. The lanes of one
/// group may name different members and exchange among themselves: the others get a group of their
/// own.
fn same_members(
    warp: &mut Warp,
    index: usize,
    active: Lanes,
    op: &Op,
) -> Result<Option<Lanes>, Box<Fault>> {
    let Some(mask) = op.member_mask() else { return Ok(Some(active)) };
    let masks = operand::read32(&warp.regs, mask, active)?;
    let mut rest = active;
    while rest != 0 {
        let mask = masks[rest.trailing_zeros() as usize];
        let same = each(rest).filter(|&lane| masks[lane as usize] == mask);
        let same = same.fold(0, |lanes, lane| lanes | 1 << lane);
        if mask & same != same {
            let lane = (same & !mask).trailing_zeros();
            let message = format!("lane {lane} is not in the member mask {mask:#010x} it names");
            return Err(operand::lane_fault(FaultKind::Convergence, lane, message));
        }
        if mask & warp.live & !same == 0 {
            if same != active {
                let pc = warp.groups[index].pc;
                warp.split(index, active & !same, pc);
            }
            return Ok(Some(same));
        }
        rest &= !same;
    }
    Ok(None)
}

/// Whether everybody who must execute this instruction together is there.
fn meet(warp: &Warp, index: usize, meeting: Meeting, active: Lanes) -> Result<bool, Box<Fault>> {
    let lanes = warp.groups[index].lanes;
    match meeting {
        Meeting::None | Meeting::Members => Ok(true),
        Meeting::Live | Meeting::All => {
            if active != lanes {
                let message = format!(
                    "an instruction for the whole warp has a guard that holds in lanes {active:#010x} \
                     of {lanes:#010x} only"
                );
                return Err(Box::new(Fault::new(FaultKind::Convergence, message)));
            }
            if meeting == Meeting::All && warp.live != warp.launched {
                let message = format!(
                    "lanes {:#010x} have exited before an instruction that the whole warp must execute",
                    warp.launched & !warp.live
                );
                return Err(Box::new(Fault::new(FaultKind::Convergence, message)));
            }
            Ok(lanes == warp.live)
        }
    }
}

/// A form that is decoded and not executed.
fn unsupported<T>(what: impl Into<String>) -> Result<T, Box<Fault>> {
    Err(Box::new(Fault::new(FaultKind::Unsupported, what)))
}
