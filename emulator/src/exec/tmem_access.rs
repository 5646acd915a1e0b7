//! `tcgen05.ld`, `st` and their waits: a warp and its quarter of the lanes.

use super::operand::{check_write, lane_fault, read32, uniform};
use super::{Flow, Step, unsupported};
use crate::asyncs::{Access, Job, TmemLoadJob, TmemStoreJob, lanes_of};
use crate::decode::op::{Dst, Src, TmemAddress, TmemShape};
use crate::error::{Fault, FaultKind};
use crate::machine::access::Who;
use crate::machine::cluster::Space;
use crate::machine::tmem::{self, Use};
use crate::machine::warp::{Block, PendingLoad, Warp};
use crate::tensor::tmem_layout::AccessShape;

/// The value of a tensor-memory address that must be the same in all active lanes.
pub(super) fn tmem_address(
    address: &TmemAddress,
    warp: &Warp,
    at: &Step,
) -> Result<u32, Box<Fault>> {
    let values = read32(&warp.regs, address.base, at.active)?;
    let base = uniform(&values, at.active, "a tensor memory address")?;
    Ok(base.wrapping_add_signed(address.offset))
}

/// The data-movement part of a load or store.
pub(super) struct Movement<'a> {
    pub(super) shape: TmemShape,
    pub(super) registers: usize,
    pub(super) packed: bool,
    pub(super) address: &'a TmemAddress,
    pub(super) half_split: Option<i64>,
}

fn access(
    movement: &Movement<'_>,
    space: &Space,
    warp: &Warp,
    at: &Step,
    who: &Who,
) -> Result<Access, Box<Fault>> {
    let address = tmem_address(movement.address, warp, at)?;
    let (lane, column) = tmem::split(address);
    let quarter = warp.index % 4;
    let named = lane >> 5 & 3;
    if named != 0 && named != quarter {
        let message = format!(
            "tensor memory address {address:#010x} names lanes {}..{} and warp {} may touch {}..{}",
            named * 32,
            named * 32 + 32,
            warp.index,
            quarter * 32,
            quarter * 32 + 32
        );
        return Err(who.fault(FaultKind::TensorMemory, address.into(), message));
    }
    let shape = match movement.shape {
        TmemShape::L16x64 => AccessShape::L16x64b,
        TmemShape::L16x128 => AccessShape::L16x128b,
        TmemShape::L16x256 => AccessShape::L16x256b,
        TmemShape::L32x32 => AccessShape::L32x32b,
        TmemShape::L16x32x2 => AccessShape::L16x32bx2,
    };
    if movement.packed && !matches!(shape, AccessShape::L32x32b | AccessShape::L16x32bx2) {
        return unsupported(".pack::16b with a shape other than .32x32b and .16x32bx2");
    }
    let low = lane & 31;
    let aligned = if shape == AccessShape::L32x32b { low == 0 } else { low % 16 == 0 };
    if !aligned {
        let message = format!("lane {low} of a warp's quarter is no start for {shape:?}");
        return Err(who.fault(FaultKind::Misaligned, address.into(), message));
    }
    let half_split = movement.half_split.unwrap_or(0) as u32;
    let registers = movement.registers as u32;
    let access = Access {
        shape,
        registers,
        packed: movement.packed,
        lane: quarter * 32 + low,
        column,
        half_split,
    };
    let tmem = &space.ctas[warp.rank as usize].tmem;
    tmem.check_columns(column, access.columns(), who)?;
    if half_split > 0 {
        tmem.check_columns(column + half_split, access.columns(), who)?;
    }
    Ok(access)
}

fn note(access: &Access, ticket: u64, write: bool, who: &Who, space: &mut Space, rank: u32) {
    let tmem = &mut space.ctas[rank as usize].tmem;
    let what = if write { "tcgen05.st" } else { "tcgen05.ld" };
    let lanes = lanes_of(access);
    let first = (access.column, access.columns());
    tmem.begin_use(Use { ticket, columns: first, lanes, write, actor: who.actor, what });
    if access.half_split > 0 {
        let columns = (access.column + access.half_split, access.columns());
        tmem.begin_use(Use { ticket, columns, lanes, write, actor: who.actor, what });
    }
}

/// `tcgen05.ld`: its registers belong to it until `wait::ld`.
pub(super) fn load(
    movement: &Movement<'_>,
    dst: &[Dst],
    space: &mut Space,
    warp: &mut Warp,
    at: &Step,
) -> Result<Flow, Box<Fault>> {
    let who = Who::tensor_core(at.actor);
    let access = access(movement, space, warp, at, &who)?;
    let lanes = lanes_of(&access);
    let tmem = &space.ctas[warp.rank as usize].tmem;
    tmem.check_uses((access.column, access.columns()), lanes, false, &who, None)?;
    for slot in dst.iter().flatten() {
        check_write(&warp.regs, *slot, at.active)?;
        warp.regs.pending[*slot as usize] |= at.active;
    }
    let job = Job::TmemLoad(TmemLoadJob { access, lanes: at.active });
    let ticket = space.queue.push(at.actor, warp.rank, job, []);
    note(&access, ticket, false, &who, space, warp.rank);
    warp.loads.push(PendingLoad { ticket, slots: dst.to_vec() });
    Ok(Flow::Next)
}

/// `tcgen05.st`.
pub(super) fn store(
    movement: &Movement<'_>,
    src: &[Src],
    space: &mut Space,
    warp: &mut Warp,
    at: &Step,
) -> Result<Flow, Box<Fault>> {
    let who = Who::tensor_core(at.actor);
    let access = access(movement, space, warp, at, &who)?;
    let mut values = Vec::with_capacity(src.len());
    for &src in src {
        values.push(read32(&warp.regs, src, at.active)?);
    }
    let lanes = lanes_of(&access);
    let tmem = &space.ctas[warp.rank as usize].tmem;
    tmem.check_uses((access.column, access.columns()), lanes, true, &who, None)?;
    let job = Job::TmemStore(TmemStoreJob { access, lanes: at.active, values });
    let ticket = space.queue.push(at.actor, warp.rank, job, []);
    note(&access, ticket, true, &who, space, warp.rank);
    warp.stores.push(ticket);
    Ok(Flow::Next)
}

/// `tcgen05.wait::ld`: hands the registers over.
pub(super) fn wait_load(space: &mut Space, warp: &mut Warp, at: &Step) -> Result<Flow, Box<Fault>> {
    let open: Vec<u64> =
        warp.loads.iter().map(|l| l.ticket).filter(|&t| !space.queue.is_done(t)).collect();
    if !open.is_empty() {
        return Ok(Flow::Wait(Block::Tickets { tickets: open, reads: false }));
    }
    for load in std::mem::take(&mut warp.loads) {
        let Some(values) = space.queue.results.remove(&load.ticket) else {
            let message = "the result of a tcgen05.ld is gone";
            return Err(lane_fault(FaultKind::PendingRegister, 0, message));
        };
        for (slot, value) in load.slots.iter().zip(&values) {
            if let Some(slot) = slot {
                warp.regs.pending[*slot as usize] &= !at.active;
                warp.regs.set(*slot as usize, at.active, value);
            }
        }
    }
    Ok(Flow::Next)
}

/// `tcgen05.wait::st`.
pub(super) fn wait_store(space: &mut Space, warp: &mut Warp) -> Flow {
    warp.stores.retain(|&t| !space.queue.is_done(t));
    if warp.stores.is_empty() {
        return Flow::Next;
    }
    Flow::Wait(Block::Tickets { tickets: warp.stores.clone(), reads: false })
}
