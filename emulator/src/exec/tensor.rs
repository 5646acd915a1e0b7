//! `tcgen05`: allocation, and the operations that one thread issues.

use super::memory::shared_address;
use super::operand::{addresses, read_pred, read32, read64, uniform};
use super::tmem_access::{self, Movement, tmem_address};
use super::{Flow, Step, unsupported};
use crate::asyncs::{CellCopyJob, CommitJob, Job, MmaJob, MmaOperandA, ShiftJob};
use crate::decode::op::{
    CpMulticast, CpShape, CpSource, MmaA, Space as StateSpace, Src, Tcgen05Kind, Tcgen05Mma,
    Tcgen05Op, TmemAddress,
};
use crate::error::{Fault, FaultKind};
use crate::machine::access::Who;
use crate::machine::cluster::{Env, Issued, Space};
use crate::machine::inflight::Ticket;
use crate::machine::races::{Cells, StreamKind};
use crate::machine::shadow::{Path, Record};
use crate::machine::shared;
use crate::machine::tmem::{self, ALL_LANES, LaneSet, Use};
use crate::machine::warp::{Block, Warp, each};
use crate::run::Ordering;
use crate::tensor::instr_descriptor::{self, Form, InstrDescriptor, MmaKind};
use crate::tensor::smem_descriptor::{MatrixDescriptor, decode_sm100};
use crate::tensor::sparse::tensor_columns;
use crate::tensor::tmem_layout::{AccumulatorLayout, CopyShape, scale_columns};

pub(super) fn execute(
    op: &Tcgen05Op,
    env: &Env<'_>,
    space: &mut Space,
    warp: &mut Warp,
    at: &Step,
) -> Result<Flow, Box<Fault>> {
    same_group(op, space, at)?;
    match op {
        Tcgen05Op::Alloc { cta_group, space: kind, address, columns } => {
            let places = addresses(env, warp, address, at.active)?;
            let place = places[at.active.trailing_zeros() as usize];
            let columns = read32(&warp.regs, *columns, at.active)?;
            let columns = uniform(&columns, at.active, "the number of columns")?;
            group(*cta_group, space, warp, at)?;
            let who = Who::generic(at.actor);
            let short = shared_address(*kind, place, warp.rank, &who)?;
            let cta = &mut space.ctas[warp.rank as usize];
            let column = match warp.allocated.take() {
                Some(column) => column,
                None => {
                    let Some(column) = cta.tmem.allocate(columns, &who)? else {
                        return Ok(Flow::Wait(Block::TensorMemory { columns }));
                    };
                    if *cta_group == 2 {
                        // A warp of each CTA performs it: who comes first waits.
                        cta.pair_allocations += 1;
                        let block = Block::Pair { count: cta.pair_allocations };
                        space.events += 1;
                        if !space.satisfied(&block, warp) {
                            warp.allocated = Some(column);
                            return Ok(Flow::Wait(block));
                        }
                    }
                    column
                }
            };
            let cta = &mut space.ctas[warp.rank as usize];
            if !short.is_multiple_of(4) {
                let message = "tcgen05.alloc writes to an address that is not a multiple of 4";
                return Err(who.fault(FaultKind::Misaligned, short.into(), message));
            }
            cta.shared.store(shared::offset_of(short), &column.to_le_bytes(), &who)?;
        }
        Tcgen05Op::Dealloc { address, columns, .. } => {
            let address = tmem_address(&TmemAddress { base: *address, offset: 0 }, warp, at)?;
            let columns = read32(&warp.regs, *columns, at.active)?;
            let columns = uniform(&columns, at.active, "the number of columns")?;
            let who = Who::generic(at.actor);
            if env.ordering == Ordering::Hardware {
                // Compilers free the columns in one warp while others still use them.
                if !at.woken {
                    return Ok(Flow::Wait(Block::Idle));
                }
                let range = (tmem::split(address).1, columns);
                let tmem = &space.ctas[warp.rank as usize].tmem;
                let tickets: Vec<u64> = tmem.stores(range, LaneSet::MAX).collect();
                if !tickets.is_empty() {
                    return Ok(Flow::Wait(Block::Tickets { tickets, reads: false }));
                }
            }
            space.ctas[warp.rank as usize].tmem.free(address, columns, &who)?;
            if let Some(races) = &mut space.races {
                let range = (tmem::split(address).1, columns);
                races.free(warp.rank, range, who.actor, env.ordering == Ordering::Hardware)?;
            }
            space.events += 1;
        }
        Tcgen05Op::RelinquishAllocPermit { .. } => {
            let who = Who::generic(at.actor);
            space.ctas[warp.rank as usize].tmem.relinquish(&who);
        }
        Tcgen05Op::Load { shape, pack16, address, half_split, dst, reduce, .. } => {
            if reduce.is_some() {
                return unsupported("tcgen05.ld.red");
            }
            let movement = Movement {
                shape: *shape,
                registers: dst.len(),
                packed: *pack16,
                address,
                half_split: *half_split,
            };
            return tmem_access::load(&movement, dst, env.ordering, space, warp, at);
        }
        Tcgen05Op::Store { shape, unpack16, address, half_split, src, .. } => {
            let movement = Movement {
                shape: *shape,
                registers: src.len(),
                packed: *unpack16,
                address,
                half_split: *half_split,
            };
            return tmem_access::store(&movement, src, env.ordering, space, warp, at);
        }
        Tcgen05Op::WaitLoad => return tmem_access::wait_load(space, warp, at),
        Tcgen05Op::WaitStore => return Ok(tmem_access::wait_store(space, warp)),
        Tcgen05Op::Copy { cta_group, shape, multicast, source, address, descriptor } => {
            if *source != CpSource::Plain {
                return unsupported("tcgen05.cp with decompression");
            }
            let shape = copy_shape(*shape, *multicast)?;
            for lane in each(at.active) {
                let one = single(at, lane);
                let what = (*cta_group, shape);
                cell_copy(what, address, *descriptor, env, space, warp, &one)?;
            }
        }
        Tcgen05Op::ShiftDown { cta_group, address } => {
            for lane in each(at.active) {
                shift(*cta_group, address, space, warp, &single(at, lane))?;
            }
        }
        Tcgen05Op::Mma(op) => {
            for lane in each(at.active) {
                mma(op, env, space, warp, &single(at, lane))?;
            }
        }
        Tcgen05Op::Commit { space: kind, mbarrier, multicast, .. } => {
            let places = addresses(env, warp, mbarrier, at.active)?;
            let masks = match multicast {
                Some(mask) => Some(read32(&warp.regs, *mask, at.active)?),
                None => None,
            };
            for lane in each(at.active) {
                let mask = masks.map(|m| m[lane as usize] & 0xffff);
                commit(*kind, places[lane as usize], mask, space, warp, &single(at, lane))?;
            }
        }
        // Every access takes effect in the order in which the scheduler runs it; what the fences
        // order is happens-before's (see `order`).
        Tcgen05Op::FenceBefore | Tcgen05Op::FenceAfter => {}
    }
    Ok(Flow::Next)
}

/// All `tcgen05` instructions of a kernel must name the same group.
fn same_group(op: &Tcgen05Op, space: &mut Space, at: &Step) -> Result<(), Box<Fault>> {
    let own = match op {
        Tcgen05Op::Alloc { cta_group, .. }
        | Tcgen05Op::Dealloc { cta_group, .. }
        | Tcgen05Op::RelinquishAllocPermit { cta_group }
        | Tcgen05Op::Copy { cta_group, .. }
        | Tcgen05Op::ShiftDown { cta_group, .. }
        | Tcgen05Op::Commit { cta_group, .. } => *cta_group,
        Tcgen05Op::Mma(op) => op.cta_group,
        _ => return Ok(()),
    };
    let (group, by) = *space.cta_group.get_or_insert((own, at.actor));
    if group == own {
        return Ok(());
    }
    let message = format!(
        "tcgen05 with .cta_group::{own}, after one with .cta_group::{group} on line {}: all of a kernel \
         must be the same",
        by.line
    );
    Err(Box::new(Fault::new(FaultKind::TensorMemory, message).by(at.actor).against(by)))
}

/// The same instruction, for one of its lanes.
fn single(at: &Step, lane: u32) -> Step {
    Step { active: 1 << lane, actor: at.lane(lane), ..*at }
}

/// The CTAs of a group, in rank order.
fn group(cta_group: u32, space: &Space, warp: &Warp, at: &Step) -> Result<Vec<u32>, Box<Fault>> {
    if cta_group == 1 {
        return Ok(vec![warp.rank]);
    }
    let pair = vec![warp.rank & !1, warp.rank | 1];
    if pair[1] as usize >= space.ctas.len() {
        let message = format!(
            "cta_group::2 in a cluster of {} CTAs: the CTA of rank {} has no peer",
            space.ctas.len(),
            warp.rank
        );
        return Err(Box::new(Fault::new(FaultKind::LaunchLimit, message).by(at.actor)));
    }
    Ok(pair)
}

fn copy_shape(shape: CpShape, multicast: CpMulticast) -> Result<CopyShape, Box<Fault>> {
    Ok(match (shape, multicast) {
        (CpShape::S128x256, CpMulticast::None) => CopyShape::C128x256b,
        (CpShape::S4x256, CpMulticast::None) => CopyShape::C4x256b,
        (CpShape::S128x128, CpMulticast::None) => CopyShape::C128x128b,
        (CpShape::S64x128, CpMulticast::WarpX2Pairs0213) => CopyShape::C64x128bWarpx2_02_13,
        (CpShape::S64x128, CpMulticast::WarpX2Pairs0123) => CopyShape::C64x128bWarpx2_01_23,
        (CpShape::S32x128, CpMulticast::WarpX4) => CopyShape::C32x128bWarpx4,
        (shape, multicast) => {
            return unsupported(format!("tcgen05.cp {shape:?} with {multicast:?}"));
        }
    })
}

/// The unfinished operations of a thread.
fn issued(space: &mut Space, warp: u32, lane: u32) -> &mut Issued {
    let queue = &space.queue;
    let issued = space.issued.entry((warp, lane)).or_default();
    issued.copies.retain(|&t| !queue.is_done(t));
    issued.mmas.retain(|&(_, t)| !queue.is_done(t));
    issued
}

impl Issued {
    fn all(&self) -> Vec<Ticket> {
        self.copies.iter().copied().chain(self.mmas.iter().map(|&(_, t)| t)).collect()
    }
}

fn descriptor(bits: u64, at: &Step) -> Result<MatrixDescriptor, Box<Fault>> {
    decode_sm100(bits)
        .map_err(|what| Box::new(Fault::new(FaultKind::Descriptor, what).by(at.actor)))
}

/// The range of shared memory that rows of an operand span, gaps included.
fn span(offsets: impl Iterator<Item = u32>) -> (u32, u32) {
    let (low, high) = offsets.fold((u32::MAX, 0), |(low, high), o| (low.min(o), high.max(o + 16)));
    (low, high.saturating_sub(low))
}

/// Notes an operand in shared memory: nothing may be writing it, nothing may write it from now on.
fn check_operand(
    range: (u32, u32),
    ranks: &[u32],
    space: &Space,
    who: &Who,
) -> Result<(), Box<Fault>> {
    for &rank in ranks {
        let cta = &space.ctas[rank as usize];
        cta.shared.check_bounds(range.0, range.1, who)?;
        cta.shared.in_flight.check(range.0, range.1, false, who, rank)?;
    }
    Ok(())
}

fn cell_copy(
    (cta_group, shape): (u32, CopyShape),
    address: &TmemAddress,
    source: Src,
    env: &Env<'_>,
    space: &mut Space,
    warp: &Warp,
    at: &Step,
) -> Result<(), Box<Fault>> {
    let lane = at.active.trailing_zeros();
    let who = Who::tensor_core(at.actor);
    let ranks = group(cta_group, space, warp, at)?;
    let bits = read64(&warp.regs, source, at.active)?[lane as usize];
    let descriptor = descriptor(bits, at)?;
    let target = tmem_address(address, warp, at)?;
    let (target_lane, column) = tmem::split(target);
    if target_lane != 0 {
        let message = format!("tcgen05.cp to lane {target_lane}; it must be 0");
        return Err(who.fault(FaultKind::TensorMemory, target.into(), message));
    }
    let chunks = shape.row_bytes() / 16;
    let offsets: Vec<u32> = (0..shape.rows() * chunks)
        .map(|i| descriptor.k_major(i / chunks, i % chunks * 16))
        .collect();
    let range = span(offsets.iter().copied());
    check_operand(range, &ranks, space, &who)?;
    let before = issued(space, warp.id, lane).all();
    // Strictly, nothing orders a copy behind an MMA that still reads the cells.
    let known = |t: Ticket| env.ordering == Ordering::Hardware && before.contains(&t);
    for &rank in &ranks {
        let tmem = &space.ctas[rank as usize].tmem;
        tmem.check_columns(column, shape.columns(), &who)?;
        tmem.check_uses((column, shape.columns()), ALL_LANES, true, &who, Some(&known))?;
    }
    if let Some(races) = &mut space.races {
        let issued = races.issue(StreamKind::Tensor, lane, Path::Operand, at.actor);
        let cells = Cells { columns: (column, shape.columns()), lanes: ALL_LANES, write: true };
        for &rank in &ranks {
            for &offset in &offsets {
                races.touch_shared(rank, offset, 16, &issued)?;
            }
            races.touch_tmem(rank, cells, &Record { path: Path::CellCopy, ..issued })?;
        }
    }
    let job = CellCopyJob { shape, descriptor, column, ranks: ranks.clone() };
    let after = if env.ordering == Ordering::Hardware { before } else { vec![] };
    let ticket = space.queue.push(at.actor, warp.rank, Job::CellCopy(job), after);
    for &rank in &ranks {
        let cta = &mut space.ctas[rank as usize];
        cta.shared.in_flight.begin(ticket, range, false, at.actor, "tcgen05.cp");
        let columns = (column, shape.columns());
        let (write, what) = (true, "tcgen05.cp");
        let lanes = ALL_LANES;
        cta.tmem.begin_use(Use { ticket, columns, lanes, write, actor: at.actor, what });
    }
    issued(space, warp.id, lane).copies.push(ticket);
    Ok(())
}

fn shift(
    cta_group: u32,
    address: &TmemAddress,
    space: &mut Space,
    warp: &Warp,
    at: &Step,
) -> Result<(), Box<Fault>> {
    let who = Who::tensor_core(at.actor);
    let lane = at.active.trailing_zeros();
    let ranks = group(cta_group, space, warp, at)?;
    let target = tmem_address(address, warp, at)?;
    let place = tmem::split(target);
    if !place.0.is_multiple_of(32) {
        let message = format!("tcgen05.shift at lane {}, not a multiple of 32", place.0);
        return Err(who.fault(FaultKind::Misaligned, target.into(), message));
    }
    let after: Vec<Ticket> = issued(space, warp.id, lane).mmas.iter().map(|&(_, t)| t).collect();
    for &rank in &ranks {
        space.ctas[rank as usize].tmem.check_columns(place.1, 8, &who)?;
    }
    if let Some(races) = &mut space.races {
        let record = races.issue(StreamKind::Tensor, lane, Path::Shift, at.actor);
        let lanes = tmem::lanes(place.0 as usize, 32);
        for &rank in &ranks {
            races.touch_tmem(rank, Cells { columns: (place.1, 8), lanes, write: true }, &record)?;
        }
    }
    let job = ShiftJob { at: place, ranks: ranks.clone() };
    let ticket = space.queue.push(at.actor, warp.rank, Job::Shift(job), after);
    issued(space, warp.id, lane).copies.push(ticket);
    Ok(())
}

fn commit(
    kind: StateSpace,
    place: u64,
    mask: Option<u32>,
    space: &mut Space,
    warp: &Warp,
    at: &Step,
) -> Result<(), Box<Fault>> {
    let who = Who::tensor_core(at.actor);
    let lane = at.active.trailing_zeros();
    let short = shared_address(kind, place, warp.rank, &who)?;
    let offset = shared::offset_of(short);
    let ranks: Vec<u32> = match mask {
        Some(mask) => each(mask).collect(),
        None => vec![shared::rank_of(short)],
    };
    let barriers: Vec<(u32, u32)> = ranks.iter().map(|&rank| (rank, offset)).collect();
    for &(rank, offset) in &barriers {
        let address = shared::address_of(rank, offset);
        if space.cta(rank, address.into(), &who)?.mbarriers.get(offset).is_none() {
            let message = format!("no mbarrier is initialised at shared {offset:#x}");
            return Err(who.fault(FaultKind::BarrierMisuse, address.into(), message));
        }
    }
    let issued_here = issued(space, warp.id, lane);
    let mut after = issued_here.all();
    // What a later commit tracks includes what an earlier one tracks: they arrive in order.
    after.extend(issued_here.commit);
    let mut clocks = None;
    if let Some(races) = &mut space.races {
        for &barrier in &barriers {
            races.check_made(barrier, true, at.actor)?;
        }
        clocks = Some(Box::new(races.commit(lane)));
    }
    let job = Job::Commit(CommitJob { barriers, clocks });
    let ticket = space.queue.push(at.actor, warp.rank, job, after);
    issued(space, warp.id, lane).commit = Some(ticket);
    Ok(())
}

fn mma(
    op: &Tcgen05Mma,
    env: &Env<'_>,
    space: &mut Space,
    warp: &Warp,
    at: &Step,
) -> Result<(), Box<Fault>> {
    let lane = at.active.trailing_zeros();
    if let Some(mask) = op.zero_column_mask
        && read64(&warp.regs, mask, at.active)?[lane as usize] != 0
    {
        return unsupported("tcgen05.mma.ws with a zero-column mask");
    }
    if op.a_shift && op.cta_group == 2 {
        return unsupported("tcgen05.mma.ashift of a CTA pair");
    }
    let who = Who::tensor_core(at.actor);
    let ranks = group(op.cta_group, space, warp, at)?;
    let bits = read32(&warp.regs, op.idesc, at.active)?[lane as usize];
    let form = Form {
        cta_group: op.cta_group,
        sparse: op.sparse.is_some(),
        weight_stationary: op.weight_stationary,
    };
    let illegal = |what| who.fault(FaultKind::Descriptor, 0, what);
    let idesc = instr_descriptor::decode(mma_kind(op.kind), form, bits).map_err(illegal)?;
    let layout = match op.weight_stationary {
        true => AccumulatorLayout::weight_stationary(idesc.m),
        false => AccumulatorLayout::new(op.cta_group, idesc.m),
    };
    let layout = layout.map_err(illegal)?;
    if layout == AccumulatorLayout::Pair128 && op.block_scale {
        return unsupported("block-scaled tcgen05.mma of a CTA pair with M = 128");
    }
    if layout == AccumulatorLayout::Pair128 && op.sparse.is_some() {
        return unsupported("sparse tcgen05.mma of a CTA pair with M = 128");
    }
    if op.a_shift && idesc.m != 128 {
        return Err(illegal(format!(".ashift with M = {}; it takes 128", idesc.m)));
    }
    let read_descriptor = |src: Src| -> Result<MatrixDescriptor, Box<Fault>> {
        descriptor(read64(&warp.regs, src, at.active)?[lane as usize], at)
    };
    let b = read_descriptor(op.b)?;
    let a = match op.a {
        MmaA::Descriptor(src) => MmaOperandA::Shared(read_descriptor(src)?),
        MmaA::Tmem(address) => {
            let (lane, column) = place(tmem_address(&address, warp, at)?, layout, &who)?;
            MmaOperandA::Tmem { column, lane }
        }
    };
    let (d_lane, d) = place(tmem_address(&op.d, warp, at)?, layout, &who)?;
    let accumulate = read_pred(&warp.regs, op.enable_d, at.active)? != 0;
    let scales = scales(op, &idesc, warp, at, &who)?;
    let sparse = match &op.sparse {
        None => None,
        Some(address) => Some(metadata(address, &idesc, warp, at, &who)?),
    };
    let mut disabled = [0; 2];
    for (i, &word) in op.disable_lanes.iter().flatten().enumerate() {
        let word = read32(&warp.regs, word, at.active)?[lane as usize];
        disabled[i / 4] |= u128::from(word) << (32 * (i % 4));
    }
    let job = MmaJob {
        idesc,
        ranks: ranks.clone(),
        layout,
        d,
        d_lane,
        a,
        b,
        scales,
        accumulate,
        scale_input: op.scale_input_d.unwrap_or(0),
        disabled,
        sparse,
        a_shift: op.a_shift,
    };
    let rows = (idesc.m / ranks.len() as u32, idesc.n / ranks.len() as u32);
    let b_k = job.length_of_b();
    let mut operands = vec![operand_offsets(&b, rows.1, idesc.b_mn_major, &idesc, b_k)];
    if let MmaOperandA::Shared(a) = &job.a {
        let k = job.length_of_a();
        operands.push(operand_offsets(a, rows.0, idesc.a_mn_major, &idesc, k));
    }
    let ranges: Vec<(u32, u32)> = operands.iter().map(|o| span(o.iter().copied())).collect();
    for &range in &ranges {
        check_operand(range, &ranks, space, &who)?;
    }
    let key = (d_lane << 16 | d, idesc.m << 16 | idesc.n);
    let issued_here = issued(space, warp.id, lane);
    let strict = env.ordering == Ordering::Strict;
    let same = issued_here.mmas.iter().filter(|&&(k, _)| k == key || !strict).map(|&(_, t)| t);
    let after: Vec<Ticket> = issued_here.copies.iter().copied().chain(same).collect();
    let known = |t: Ticket| after.contains(&t);
    let uses = cells(&job, rows.0);
    for &rank in &ranks {
        let tmem = &space.ctas[rank as usize].tmem;
        for &(columns, lanes, write) in &uses {
            tmem.check_columns(columns.0, columns.1, &who)?;
            tmem.check_uses(columns, lanes, write, &who, Some(&known))?;
        }
    }
    if let Some(races) = &mut space.races {
        let issued = races.issue(StreamKind::Tensor, lane, Path::Operand, at.actor);
        let record = Record { path: Path::Mma, key: d | idesc.m << 10 | idesc.n << 20, ..issued };
        for &rank in &ranks {
            for &offset in operands.iter().flatten() {
                races.touch_shared(rank, offset, 16, &issued)?;
            }
            for &(columns, lanes, write) in &uses {
                races.touch_tmem(rank, Cells { columns, lanes, write }, &record)?;
            }
        }
    }
    let ticket = space.queue.push(at.actor, warp.rank, Job::Mma(Box::new(job)), after);
    for &rank in &ranks {
        let cta = &mut space.ctas[rank as usize];
        for &range in &ranges {
            cta.shared.in_flight.begin(ticket, range, false, at.actor, "tcgen05.mma");
        }
        for &(columns, lanes, write) in &uses {
            let (actor, what) = (at.actor, "tcgen05.mma");
            cta.tmem.begin_use(Use { ticket, columns, lanes, write, actor, what });
        }
    }
    issued(space, warp.id, lane).mmas.push((key, ticket));
    Ok(())
}

fn mma_kind(kind: Tcgen05Kind) -> MmaKind {
    match kind {
        Tcgen05Kind::F16 => MmaKind::F16,
        Tcgen05Kind::Tf32 => MmaKind::Tf32,
        Tcgen05Kind::F8f6f4 => MmaKind::F8f6f4,
        Tcgen05Kind::I8 => MmaKind::I8,
        Tcgen05Kind::Mxf8f6f4 => MmaKind::Mxf8f6f4,
        Tcgen05Kind::Mxf4 => MmaKind::Mxf4,
        Tcgen05Kind::Mxf4nvf4 => MmaKind::Mxf4nvf4,
    }
}

/// Columns of the scales and factors per row.
fn scales(
    op: &Tcgen05Mma,
    idesc: &InstrDescriptor,
    warp: &Warp,
    at: &Step,
    who: &Who,
) -> Result<(u32, u32, u32), Box<Fault>> {
    let (Some(a), Some(b)) = (&op.scale_a, &op.scale_b) else { return Ok((0, 0, 0)) };
    let factors = op.scale_vec.unwrap_or(if idesc.kind == MmaKind::Mxf8f6f4 { 1 } else { 2 });
    idesc.check_scale_ids(factors).map_err(|what| who.fault(FaultKind::Descriptor, 0, what))?;
    let column = |address| -> Result<u32, Box<Fault>> {
        let address = tmem_address(address, warp, at)?;
        // Bits 31:30 may carry a scale-factor id, which the instruction descriptor overrules.
        let (lane, column) = tmem::split(address & 0x3fff_ffff);
        if lane != 0 {
            let message = format!("scale factors at lane {lane}; they start at lane 0");
            return Err(who.fault(FaultKind::TensorMemory, address.into(), message));
        }
        Ok(column)
    };
    let (a, b) = (column(a)?, column(b)?);
    if factors == 4 && !b.is_multiple_of(2) {
        let message = format!("the scales of B start at column {b}; it must be even");
        return Err(who.fault(FaultKind::TensorMemory, b.into(), message));
    }
    Ok((a, b, factors))
}

/// The first column of the metadata of a sparse A.
fn metadata(
    address: &TmemAddress,
    idesc: &InstrDescriptor,
    warp: &Warp,
    at: &Step,
    who: &Who,
) -> Result<u32, Box<Fault>> {
    let address = tmem_address(address, warp, at)?;
    let (lane, column) = tmem::split(address);
    if lane != 0 || !column.is_multiple_of(2) {
        let message = format!(
            "sparsity metadata at lane {lane}, column {column}: it starts at lane 0, and at an even column"
        );
        return Err(who.fault(FaultKind::TensorMemory, address.into(), message));
    }
    Ok(column + idesc.sparse.unwrap_or(0))
}

/// The 16-byte pieces of an operand in shared memory, whose rows are `k` elements long.
fn operand_offsets(
    descriptor: &MatrixDescriptor,
    rows: u32,
    mn_major: bool,
    idesc: &InstrDescriptor,
    k: u32,
) -> Vec<u32> {
    if !mn_major {
        let chunks = k * idesc.element_bits() / 128;
        let all = 0..rows * chunks;
        return all.map(|i| descriptor.k_major(i / chunks, i % chunks * 16)).collect();
    }
    let row_bytes = rows * idesc.element_bits() / 8;
    let chunks = row_bytes.div_ceil(16);
    (0..k * chunks).map(|i| descriptor.mn_major(i % chunks * 16, i / chunks)).collect()
}

/// Tensor-memory columns that an MMA touches, and whether it writes them.
fn cells(job: &MmaJob, rows: u32) -> Vec<((u32, u32), LaneSet, bool)> {
    let lanes = |first: u32| match job.layout {
        AccumulatorLayout::One64 => SIXTEENS << first,
        _ => ALL_LANES,
    };
    let mut uses = vec![((job.d, job.layout.columns(job.idesc.n)), lanes(job.d_lane), true)];
    let (a, b, factors) = job.scales;
    if factors > 0 {
        uses.push(((a, scale_columns(rows)), ALL_LANES, false));
        uses.push(((b, scale_columns(job.idesc.n)), ALL_LANES, false));
    }
    if let MmaOperandA::Tmem { column, lane } = job.a {
        uses.push(((column, 8), lanes(lane), false));
    }
    if let Some(column) = job.sparse {
        uses.push(((column, tensor_columns(job.idesc.kind)), ALL_LANES, false));
    }
    uses
}

/// The lower sixteen of every 32 lanes.
const SIXTEENS: LaneSet = 0x0000_ffff_0000_ffff_0000_ffff_0000_ffff;

/// Lane and column of D, or of A in tensor memory. With M = 64 it takes half of the lanes, the lower
/// sixteen of every 32 or the upper.
fn place(address: u32, layout: AccumulatorLayout, who: &Who) -> Result<(u32, u32), Box<Fault>> {
    let (lane, column) = tmem::split(address);
    if lane == 0 || lane == 16 && layout == AccumulatorLayout::One64 {
        return Ok((lane, column));
    }
    let message =
        format!("tcgen05.mma at lane {lane} of tensor memory, which {layout:?} cannot be");
    Err(who.fault(FaultKind::TensorMemory, address.into(), message))
}
