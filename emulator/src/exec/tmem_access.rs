//! `tcgen05.ld`, `st` and their waits: a warp and its quarter of the lanes.

use super::operand::{check_write, read32, uniform};
use super::{Flow, Step, unsupported};
use crate::asyncs::{Access, Job, TmemLoadJob, TmemStoreJob, lanes_of};
use crate::decode::op::{Dst, Src, TmemAddress, TmemShape};
use crate::error::{Fault, FaultKind};
use crate::machine::access::Who;
use crate::machine::cluster::Space;
use crate::machine::races::{Cells, StreamKind};
use crate::machine::registers::{Lanes, Registers};
use crate::machine::shadow::Path;
use crate::machine::tmem::{self, Use};
use crate::machine::warp::{Block, PendingLoad, Warp};
use crate::run::Ordering;
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
    ordering: Ordering,
) -> Result<Access, Box<Fault>> {
    let who = &Who::tensor_core(at.actor);
    let address = tmem_address(movement.address, warp, at)?;
    let (lane, column) = tmem::split(address);
    let quarter = warp.index % 4;
    let named = lane >> 5;
    // Hardware looks at the low five bits alone; the ISA demands the warp's own lanes.
    if ordering == Ordering::Strict && named != quarter {
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
    let what = if write { tmem::STORE } else { "tcgen05.ld" };
    let lanes = lanes_of(access);
    let first = (access.column, access.columns());
    tmem.begin_use(Use { ticket, columns: first, lanes, write, actor: who.actor, what });
    if access.half_split > 0 {
        let columns = (access.column + access.half_split, access.columns());
        tmem.begin_use(Use { ticket, columns, lanes, write, actor: who.actor, what });
    }
}

fn touch(
    access: &Access,
    write: bool,
    space: &mut Space,
    rank: u32,
    at: &Step,
) -> Result<(), Box<Fault>> {
    let Some(races) = &mut space.races else { return Ok(()) };
    let (kind, path) = if write {
        (StreamKind::TmemStore, Path::TmemStore)
    } else {
        (StreamKind::TmemLoad, Path::TmemLoad)
    };
    let record = races.issue_tmem(kind, path, at.actor);
    let lanes = lanes_of(access);
    let cells = Cells { columns: (access.column, access.columns()), lanes, write };
    races.touch_tmem(rank, cells, &record)?;
    if access.half_split > 0 {
        let columns = (access.column + access.half_split, access.columns());
        races.touch_tmem(rank, Cells { columns, ..cells }, &record)?;
    }
    Ok(())
}

/// `tcgen05.ld`: its registers belong to it until `wait::ld`.
pub(super) fn load(
    movement: &Movement<'_>,
    dst: &[Dst],
    ordering: Ordering,
    space: &mut Space,
    warp: &mut Warp,
    at: &Step,
) -> Result<Flow, Box<Fault>> {
    let who = Who::tensor_core(at.actor);
    let access = access(movement, space, warp, at, ordering)?;
    let lanes = lanes_of(&access);
    let tmem = &space.ctas[warp.rank as usize].tmem;
    // The hardware keeps a store and a load that comes after it in order, wait::st or not.
    let columns = (access.column, access.columns());
    let stores: Vec<u64> = match ordering {
        Ordering::Hardware => tmem.stores(columns, lanes).collect(),
        Ordering::Strict => vec![],
    };
    tmem.check_uses(columns, lanes, false, &who, Some(&|ticket| stores.contains(&ticket)))?;
    touch(&access, false, space, warp.rank, at)?;
    for slot in dst.iter().flatten() {
        check_write(&warp.regs, *slot, at.active)?;
        warp.regs.pending[*slot as usize] |= at.active;
    }
    let job = Job::TmemLoad(TmemLoadJob { access, lanes: at.active });
    let ticket = space.queue.push(at.actor, warp.rank, job, stores);
    note(&access, ticket, false, &who, space, warp.rank);
    warp.loads.push(PendingLoad { ticket, slots: dst.to_vec() });
    Ok(Flow::Next)
}

/// `tcgen05.st`.
pub(super) fn store(
    movement: &Movement<'_>,
    src: &[Src],
    ordering: Ordering,
    space: &mut Space,
    warp: &mut Warp,
    at: &Step,
) -> Result<Flow, Box<Fault>> {
    let who = Who::tensor_core(at.actor);
    let access = access(movement, space, warp, at, ordering)?;
    let mut values = Vec::with_capacity(src.len());
    for &src in src {
        values.push(read32(&warp.regs, src, at.active)?);
    }
    let lanes = lanes_of(&access);
    let tmem = &space.ctas[warp.rank as usize].tmem;
    tmem.check_uses((access.column, access.columns()), lanes, true, &who, None)?;
    touch(&access, true, space, warp.rank, at)?;
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
    for mut load in std::mem::take(&mut warp.loads) {
        deliver(&mut load, space, &mut warp.regs, at.active);
    }
    Ok(Flow::Next)
}

/// Hands a finished load's values over, once.
fn deliver(load: &mut PendingLoad, space: &mut Space, regs: &mut Registers, lanes: Lanes) {
    let values = space.queue.results.remove(&load.ticket).unwrap_or_default();
    for (slot, value) in std::mem::take(&mut load.slots).iter().zip(&values) {
        if let Some(slot) = slot {
            regs.pending[*slot as usize] &= !lanes;
            regs.set(*slot as usize, lanes, value);
        }
    }
}

/// What the hardware does with an instruction that touches a register of a `tcgen05.ld` in flight:
/// holds it up, so that the load is over for whoever comes after the instruction. `None` when no load
/// owns the slot.
pub(super) fn scoreboard(slot: u32, space: &mut Space, warp: &mut Warp) -> Option<Flow> {
    let owner = warp.loads.iter_mut().find(|load| load.slots.contains(&Some(slot)))?;
    if !space.queue.is_done(owner.ticket) {
        let tickets = vec![owner.ticket];
        return Some(Flow::Wait(Block::Tickets { tickets, reads: false }));
    }
    deliver(owner, space, &mut warp.regs, warp.launched);
    if let Some(races) = &mut space.races {
        let first = warp.loads.iter().position(|load| !load.slots.is_empty());
        races.tmem_delivered(first.map_or(0, |first| warp.loads.len() - first) as u32);
    }
    // The instruction runs once more.
    Some(Flow::Moved)
}

/// `tcgen05.wait::st`.
pub(super) fn wait_store(space: &mut Space, warp: &mut Warp) -> Flow {
    warp.stores.retain(|&t| !space.queue.is_done(t));
    if warp.stores.is_empty() {
        return Flow::Next;
    }
    Flow::Wait(Block::Tickets { tickets: warp.stores.clone(), reads: false })
}
