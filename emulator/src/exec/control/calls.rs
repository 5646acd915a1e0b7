//! Calls whose callee is known at run time alone, and calls of functions that may be active already.

use super::super::operand::{self, lane_fault, read, read64, write};
use super::super::{Flow, Step};
use super::lanes_with;
use crate::decode::op::{Callee, Src, Width};
use crate::decode::program::{Activation, Subroutine};
use crate::error::{Fault, FaultKind};
use crate::machine::access::Who;
use crate::machine::cluster::Env;
use crate::machine::registers::Lanes;
use crate::machine::warp::{Warp, each};
use crate::machine::window;

/// How many calls of recursive functions may be open in one thread.
const MOST_CALLS: u32 = 10_000;

/// A call through the staging area.
pub(super) fn call(
    callee: &Callee,
    env: &Env<'_>,
    warp: &mut Warp,
    at: &Step,
) -> Result<Flow, Box<Fault>> {
    let lanes = warp.groups[at.group].lanes;
    if at.active != lanes {
        warp.split(at.group, lanes & !at.active, at.pc + 1);
    }
    let mut left = at.active;
    while left != 0 {
        let (same, subroutine) = match callee {
            Callee::Known(number) => (left, &env.kernel.subroutines[*number as usize]),
            Callee::Address { address, .. } => {
                let addresses = read64(&warp.regs, *address, left)?;
                let lane = left.trailing_zeros();
                let address = addresses[lane as usize];
                let low = addresses.map(|a| a as u32);
                let same = lanes_with(&low, left, address as u32);
                let same = each(same).filter(|&l| addresses[l as usize] == address);
                let same = same.fold(0, |lanes, l| lanes | 1 << l);
                (same, find(callee, env, address, lane)?)
            }
        };
        enter(subroutine, same, warp, at)?;
        let group = if same == warp.groups[at.group].lanes {
            at.group
        } else {
            warp.split(at.group, same, subroutine.start);
            warp.groups.len() - 1
        };
        let group = &mut warp.groups[group];
        group.stack.push(at.pc + 1);
        group.pc = subroutine.start;
        left &= !same;
    }
    Ok(Flow::Moved)
}

/// The subroutine at an address.
fn find<'e>(
    callee: &Callee,
    env: &Env<'e>,
    address: u64,
    lane: u32,
) -> Result<&'e Subroutine, Box<Fault>> {
    let wrong = |message: String| Err(lane_fault(FaultKind::OutOfBounds, lane, message));
    let Callee::Address { among, params, returns, .. } = callee else { unreachable!("a register") };
    let Some(function) = window::function_at(address) else {
        return wrong(format!("a call of {address:#x}, where there is no function"));
    };
    let found = env.kernel.subroutines.iter().enumerate();
    let Some((number, subroutine)) = found.clone().find(|(_, s)| s.function == function) else {
        return wrong(format!(
            "a call of the function at {address:#x}, which has other parameters, or no body here"
        ));
    };
    let sizes = |list: &[crate::decode::program::Staged], wanted: &[u32]| {
        list.iter().map(|one| one.bytes).eq(wanted.iter().copied())
    };
    if !sizes(&subroutine.params, params) || !sizes(&subroutine.returns, returns) {
        return wrong(format!(
            "a call of '{}' with the prototype of other parameters",
            subroutine.name
        ));
    }
    if among.as_ref().is_some_and(|among| !among.contains(&(number as u32))) {
        return wrong(format!("a call of '{}', which '.calltargets' leaves out", subroutine.name));
    }
    Ok(subroutine)
}

/// Puts the state of an open call of the same function aside, and hands over the arguments.
fn enter(
    subroutine: &Subroutine,
    lanes: Lanes,
    warp: &mut Warp,
    at: &Step,
) -> Result<(), Box<Fault>> {
    for lane in each(lanes) {
        let who = Who::generic(at.lane(lane));
        if let Some(activation) = &subroutine.activation {
            save(activation, lane, warp, &who)?;
        }
        for staged in &subroutine.params {
            warp.frame.copy(lane, (staged.stage, staged.own, staged.bytes), &who)?;
        }
    }
    Ok(())
}

/// `ret` from a subroutine.
pub(super) fn ret(subroutine: &Subroutine, warp: &mut Warp, at: &Step) -> Result<Flow, Box<Fault>> {
    let lanes = warp.groups[at.group].lanes;
    if at.active != lanes {
        warp.split(at.group, lanes & !at.active, at.pc + 1);
    }
    for lane in each(at.active) {
        let who = Who::generic(at.lane(lane));
        for staged in &subroutine.returns {
            warp.frame.copy(lane, (staged.own, staged.stage, staged.bytes), &who)?;
        }
        if let Some(activation) = &subroutine.activation {
            restore(activation, lane, warp, &who)?;
        }
    }
    let group = &mut warp.groups[at.group];
    group.pc = group.stack.pop().unwrap_or_default();
    Ok(Flow::Moved)
}

fn save(activation: &Activation, lane: u32, warp: &mut Warp, who: &Who) -> Result<(), Box<Fault>> {
    let bit = 1 << lane;
    let index = lane as usize;
    let mut stack = std::mem::take(&mut warp.stacks()[index]);
    if stack.depth == MOST_CALLS {
        let message = format!("more than {MOST_CALLS} calls of recursive functions are open");
        return Err(who.fault(FaultKind::LaunchLimit, 0, message));
    }
    for slot in activation.slots.clone() {
        stack.saved.push(warp.regs.words[slot as usize][index]);
        stack.saved.push((warp.regs.written[slot as usize] & bit != 0).into());
        warp.regs.written[slot as usize] &= !bit;
    }
    for pred in activation.preds.clone() {
        let (value, written) =
            (&warp.regs.preds[pred as usize], &mut warp.regs.preds_written[pred as usize]);
        stack.saved.push(u32::from(value & bit != 0) | u32::from(*written & bit != 0) << 1);
        *written &= !bit;
    }
    for range in &activation.frame {
        warp.frame.save(lane, range.clone(), &mut stack.saved);
    }
    stack.saved.extend([stack.base, stack.top]);
    (stack.base, stack.top) = (stack.top, stack.top + activation.local);
    stack.depth += 1;
    warp.stacks()[index] = stack;
    Ok(())
}

fn restore(
    activation: &Activation,
    lane: u32,
    warp: &mut Warp,
    who: &Who,
) -> Result<(), Box<Fault>> {
    let bit = 1 << lane;
    let index = lane as usize;
    let mut stack = std::mem::take(&mut warp.stacks()[index]);
    let mut pop = || {
        let ended = "a 'ret' without a call";
        stack.saved.pop().ok_or_else(|| who.fault(FaultKind::OutOfBounds, 0, ended.to_owned()))
    };
    (stack.top, stack.base) = (pop()?, pop()?);
    for range in activation.frame.iter().rev() {
        warp.frame.restore(lane, range.clone(), &mut stack.saved);
    }
    let mut pop = || stack.saved.pop().unwrap_or_default();
    for pred in activation.preds.clone().rev() {
        let state = pop();
        warp.regs.preds_written[pred as usize] &= !bit;
        if state & 2 != 0 {
            warp.regs.set_pred(pred as usize, bit, if state & 1 != 0 { bit } else { 0 });
        }
    }
    for slot in activation.slots.clone().rev() {
        let (written, value) = (pop(), pop());
        warp.regs.words[slot as usize][index] = value;
        warp.regs.written[slot as usize] &= !bit;
        warp.regs.written[slot as usize] |= if written != 0 { bit } else { 0 };
    }
    stack.depth -= 1;
    warp.stacks()[index] = stack;
    Ok(())
}

/// `alloca`.
pub(super) fn alloca(
    (dst, width): (u32, Width),
    size: Src,
    align: u32,
    warp: &mut Warp,
    at: &Step,
) -> Result<Flow, Box<Fault>> {
    let sizes = read(&warp.regs, size, width, at.active)?;
    let mut found = [0; 32];
    for lane in each(at.active) {
        let end = warp.local.size();
        let stack = &mut warp.stacks()[lane as usize];
        let start = u64::from(stack.top.next_multiple_of(align));
        let size = sizes[lane as usize].max(1);
        match start.checked_add(size).filter(|&top| top <= end) {
            Some(top) => stack.top = (top as u32).next_multiple_of(16),
            None => {
                let message =
                    format!("alloca of {size} bytes; {} are left", end.saturating_sub(start));
                return Err(lane_fault(FaultKind::OutOfBounds, lane, message));
            }
        }
        found[lane as usize] = start;
    }
    operand::write(&mut warp.regs, dst, width, at.active, &found)?;
    Ok(Flow::Next)
}

/// `stacksave`.
pub(super) fn stack_save(
    (dst, width): (u32, Width),
    warp: &mut Warp,
    at: &Step,
) -> Result<Flow, Box<Fault>> {
    let tops = std::array::from_fn(|lane| u64::from(warp.stacks()[lane].top));
    write(&mut warp.regs, dst, width, at.active, &tops)?;
    Ok(Flow::Next)
}

/// `stackrestore`.
pub(super) fn stack_restore(
    (src, width): (Src, Width),
    warp: &mut Warp,
    at: &Step,
) -> Result<Flow, Box<Fault>> {
    let tops = read(&warp.regs, src, width, at.active)?;
    for lane in each(at.active) {
        let top = tops[lane as usize];
        let stack = &mut warp.stacks()[lane as usize];
        if top > u64::from(stack.top) {
            let message = format!("stackrestore of {top:#x}, above the stack's {:#x}", stack.top);
            return Err(lane_fault(FaultKind::OutOfBounds, lane, message));
        }
        stack.top = top as u32;
    }
    Ok(Flow::Next)
}
