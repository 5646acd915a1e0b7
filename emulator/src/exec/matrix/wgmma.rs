//! `wgmma`: issue and wait. Each warp of the warpgroup issues the part of its own sixteen rows.

use super::super::fragment::{self, Product};
use super::super::operand::{lane_fault, read_pred, read32, read64, uniform};
use super::super::{Flow, Step, unsupported};
use crate::asyncs::{Job, Layout, WgmmaA, WgmmaJob};
use crate::decode::op::{MatrixFormat, Src, Wgmma, WgmmaA as Source};
use crate::error::{Fault, FaultKind};
use crate::machine::access::Who;
use crate::machine::cluster::Space;
use crate::machine::races::StreamKind;
use crate::machine::registers::Lane32;
use crate::machine::shadow::Path;
use crate::machine::warp::{Block, PendingLoad, Warp};
use crate::tensor::smem_descriptor::{MatrixDescriptor, decode_sm90};

fn descriptor(src: Src, warp: &Warp, at: &Step) -> Result<MatrixDescriptor, Box<Fault>> {
    let bits = read64(&warp.regs, src, at.active)?;
    let (low, high) = (bits.map(|b| b as u32), bits.map(|b| (b >> 32) as u32));
    uniform(&low, at.active, "a matrix descriptor")?;
    uniform(&high, at.active, "a matrix descriptor")?;
    let bits = bits[at.active.trailing_zeros() as usize];
    decode_sm90(bits).map_err(|what| Box::new(Fault::new(FaultKind::Descriptor, what)))
}

/// The range of shared memory that some rows of an operand span.
fn span(descriptor: &MatrixDescriptor, (first, rows): (u32, u32), layout: Layout) -> (u32, u32) {
    let widen = |(low, high): (u32, u32), offset: u32| (low.min(offset), high.max(offset + 16));
    let none = (u32::MAX, 0);
    let chunks = layout.row_bytes / 16;
    let (low, high) = match layout.major {
        None => (first * chunks..(first + rows) * chunks)
            .map(|i| descriptor.k_major(i / chunks, i % chunks * 16))
            .fold(none, widen),
        Some((element, k)) => {
            let chunks = (first * element / 16)..((first + rows) * element).div_ceil(16);
            chunks
                .flat_map(|chunk| (0..k).map(move |k| (chunk, k)))
                .map(|(chunk, k)| descriptor.mn_major(chunk * 16, k))
                .fold(none, widen)
        }
    };
    (low, high - low)
}

/// `wgmma.mma_async`.
pub(super) fn issue(
    op: &Wgmma,
    space: &mut Space,
    warp: &mut Warp,
    at: &Step,
) -> Result<(), Box<Fault>> {
    let elements = (fragment::element(op.a_format), fragment::element(op.b_format));
    let (Some(a), Some(b)) = elements else {
        return unsupported("wgmma of single bits");
    };
    let who = Who::tensor_core(at.actor);
    let accumulate = read_pred(&warp.regs, op.scale_d, at.active)?;
    if accumulate != 0 && accumulate != at.active {
        let message = "scale-d of wgmma differs between lanes";
        return Err(lane_fault(FaultKind::Convergence, accumulate.trailing_zeros(), message));
    }
    let product = Product {
        a,
        b,
        negate: (op.negate_a, op.negate_b),
        n: op.shape.n,
        k: op.shape.k as usize,
        accumulate: accumulate != 0,
        half: op.d_format == MatrixFormat::F16,
        saturate: op.satfinite,
        narrow: fragment::element_bytes(a) == 1,
    };
    let layout = |transposed: bool, element, k| {
        let bytes = fragment::element_bytes(element);
        Layout { major: transposed.then_some((bytes, k)), row_bytes: bytes * k, data: 16 }
    };
    let a_k = op.shape.k / if op.sparse.is_some() { 2 } else { 1 };
    let a_layout = layout(op.transpose_a, a, a_k);
    let b_layout = layout(op.transpose_b, b, op.shape.k);
    let sparse = match &op.sparse {
        Some(sparse) => Some((read32(&warp.regs, sparse.metadata, at.active)?, sparse.selector)),
        None => None,
    };
    let b = descriptor(op.b, warp, at)?;
    let mut ranges = vec![span(&b, (0, op.shape.n), b_layout)];
    let a = match &op.a {
        Source::Descriptor(src) => {
            let descriptor = descriptor(*src, warp, at)?;
            let first = warp.index % 4 * fragment::ROWS;
            ranges.push(span(&descriptor, (first, fragment::ROWS), a_layout));
            WgmmaA::Shared(descriptor, first)
        }
        Source::Registers(sources) => {
            let mut registers = vec![];
            for &src in sources {
                if let Src::Reg(slot) = src {
                    check_fence(slot, warp)?;
                }
                registers.push(read32(&warp.regs, src, at.active)?);
            }
            WgmmaA::Rows(fragment::rows_of_a(&registers))
        }
    };
    let slots: Vec<Option<u32>> = op.d.iter().map(|&slot| Some(slot)).collect();
    let chain = warp.wgmma.results.iter().position(|r| r.slots == slots);
    let prior = chain.map(|index| warp.wgmma.results[index].ticket);
    let mut d: Vec<Lane32> = vec![[0; 32]; op.d.len()];
    if prior.is_none() {
        for (&slot, value) in op.d.iter().zip(&mut d) {
            super::super::operand::check_write(&warp.regs, slot, at.active)?;
            check_fence(slot, warp)?;
            if product.accumulate {
                *value = read32(&warp.regs, Src::Reg(slot), at.active)?;
            }
        }
    }
    let cta = &space.ctas[warp.rank as usize];
    for &(start, len) in &ranges {
        cta.shared.check_bounds(start, len, &who)?;
        cta.shared.in_flight.check(start, len, false, &who, warp.rank)?;
    }
    if let Some(races) = &mut space.races {
        let record = races.issue(StreamKind::Wgmma, 0, Path::Operand, at.actor);
        for &(start, len) in &ranges {
            races.touch_shared(warp.rank, start, len, &record)?;
        }
    }
    let job = WgmmaJob { product, a, a_layout, b, b_layout, sparse, d, prior };
    let ticket = space.queue.push(at.actor, warp.rank, Job::Wgmma(Box::new(job)), prior);
    for range in ranges {
        let flight = &mut space.ctas[warp.rank as usize].shared.in_flight;
        flight.begin(ticket, range, false, at.actor, "wgmma");
    }
    for &slot in &op.d {
        warp.regs.pending[slot as usize] |= at.active;
    }
    match chain {
        Some(index) => warp.wgmma.results[index].ticket = ticket,
        None => warp.wgmma.results.push(PendingLoad { ticket, slots }),
    }
    warp.wgmma.open.push(ticket);
    Ok(())
}

/// A register that an ordinary instruction wrote may be an operand after a `wgmma.fence` only.
fn check_fence(slot: u32, warp: &Warp) -> Result<(), Box<Fault>> {
    if !warp.regs.lacks_fence(slot as usize) {
        return Ok(());
    }
    let message = format!(
        "wgmma uses register slot {slot}, and no wgmma.fence came between the last write of it, or \
         the start of the kernel, and this"
    );
    Err(Box::new(Fault::new(FaultKind::Race, message)))
}

/// `wgmma.commit_group`.
pub(super) fn commit(space: &mut Space, warp: &mut Warp) {
    let group = std::mem::take(&mut warp.wgmma.open);
    let warpgroups = &mut space.ctas[warp.rank as usize].warpgroups;
    warpgroups.entry(warp.index / 4).or_default().commit(warp.index % 4, group);
    space.events += 1;
}

/// `wgmma.wait_group`, for all four warps of the warpgroup: accumulators whose last operation is in a group that is over come back.
pub(super) fn wait(
    pending: u32,
    space: &mut Space,
    warp: &mut Warp,
    at: &Step,
) -> Result<Flow, Box<Fault>> {
    let warpgroups = &mut space.ctas[warp.rank as usize].warpgroups;
    let Some(group) = warpgroups.get_mut(&(warp.index / 4)) else { return Ok(Flow::Next) };
    let groups = group.committed(warp.index % 4).saturating_sub(pending as usize);
    if !group.is_over(groups, |t| space.queue.is_done(t)) {
        return Ok(Flow::Wait(Block::Warpgroup { groups }));
    }
    group.forget(groups);
    let still: Vec<u64> =
        group.open(warp.index % 4).chain(warp.wgmma.open.iter().copied()).collect();
    if let Some(races) = &mut space.races {
        races.wait_warpgroup(warp.id - warp.index % 4, groups);
    }
    for result in std::mem::take(&mut warp.wgmma.results) {
        if still.contains(&result.ticket) {
            warp.wgmma.results.push(result);
            continue;
        }
        let Some(values) = space.queue.results.remove(&result.ticket) else {
            let message = "the result of a wgmma is gone";
            return Err(lane_fault(FaultKind::PendingRegister, 0, message));
        };
        for (slot, value) in result.slots.iter().flatten().zip(&values) {
            warp.regs.pending[*slot as usize] &= !at.active;
            warp.regs.set(*slot as usize, at.active, value);
            warp.regs.fenced(*slot as usize);
        }
    }
    Ok(Flow::Next)
}
