//! Loads and stores of the own CTA's shared memory. Where the lanes of a warp lie side by side, bounds,
//! what is written and work in flight are checked once for all of them; other addresses in the own CTA
//! are resolved once. What is neither, or faulty, the caller does lane by lane.

use super::{MAX_BYTES, extend};
use crate::decode::op::{Load, Space as StateSpace, Src, Store, Width};
use crate::error::Fault;
use crate::exec::Step;
use crate::machine::access::Who;
use crate::machine::cluster::Space;
use crate::machine::registers::Lanes;
use crate::machine::shared;
use crate::machine::warp::{Warp, each};
use crate::machine::window;

/// What is taken off an address of this space to have a shared one.
fn base(kind: StateSpace) -> Option<u64> {
    match kind {
        StateSpace::SharedCta | StateSpace::SharedCluster => Some(0),
        StateSpace::Generic => Some(window::SHARED),
        _ => None,
    }
}

/// Whether all lanes address the CTA of rank `own`.
#[inline]
fn all_own(base: u64, addresses: &[u64; 32], lanes: Lanes, own: u32) -> bool {
    let mut other = 0;
    for (lane, &address) in addresses.iter().enumerate() {
        let foreign = address.wrapping_sub(base) >> shared::RANK_SHIFT ^ u64::from(own);
        other |= foreign & u64::from(lanes >> lane & 1).wrapping_neg();
    }
    other == 0
}

/// Whether the lanes are neighbours, and so are their `bytes` each.
#[inline]
fn side_by_side(addresses: &[u64; 32], lanes: Lanes, bytes: usize) -> bool {
    let first = lanes.trailing_zeros();
    let run = lanes >> first;
    if run & run.wrapping_add(1) != 0 {
        return false;
    }
    let start = addresses[first as usize].wrapping_sub(u64::from(first) * bytes as u64);
    let mut off = 0;
    for (lane, &address) in addresses.iter().enumerate() {
        let expected = start.wrapping_add((lane * bytes) as u64);
        off |= (address ^ expected) & u64::from(lanes >> lane & 1).wrapping_neg();
    }
    off == 0
}

/// Who accesses: the warp, or its one lane.
fn who(at: &Step) -> Who {
    let lane = at.active.trailing_zeros();
    if at.active.count_ones() == 1 { Who::generic(at.lane(lane)) } else { Who::generic(at.actor) }
}

/// Writes one lane's element, or vector of them, to its registers.
#[inline]
pub(super) fn put(load: &Load, bytes: &[u8], lane: u32, warp: &mut Warp) {
    let lane = lane as usize;
    if (load.width, load.reg) == (Width::B32, Width::B32) {
        for (dst, word) in load.dst.iter().zip(bytes.as_chunks::<4>().0) {
            if let Some(dst) = dst {
                warp.regs.words[*dst as usize][lane] = u32::from_le_bytes(*word);
            }
        }
        return;
    }
    for (dst, chunk) in load.dst.iter().zip(bytes.chunks_exact(load.width.bytes() as usize)) {
        let Some(dst) = dst else { continue };
        let registers = &mut warp.regs.words[*dst as usize..];
        if load.width == Width::B128 {
            for (slot, word) in chunk.as_chunks::<4>().0.iter().enumerate() {
                registers[slot][lane] = u32::from_le_bytes(*word);
            }
            continue;
        }
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        let (low, high) = extend(load, u64::from_le_bytes(word));
        registers[0][lane] = low;
        if load.reg.slots() == 2 {
            registers[1][lane] = high;
        }
    }
}

/// The bytes that one lane stores.
#[inline]
pub(super) fn get(store: &Store, lane: u32, warp: &Warp, data: &mut [u8]) {
    let width = store.width.bytes() as usize;
    for (&src, out) in store.src.iter().zip(data.chunks_exact_mut(width)) {
        for (i, chunk) in out.chunks_mut(4).enumerate() {
            let word = match src {
                Src::Imm(value) if i < 2 => (value >> (32 * i)) as u32,
                Src::Imm(_) => 0,
                Src::Reg(slot) => warp.regs.words[slot as usize + i][lane as usize],
            };
            chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
        }
    }
}

/// Loads for all lanes and writes their registers, which are not marked as written yet; whether it did.
pub(super) fn load(
    load: &Load,
    addresses: &[u64; 32],
    space: &mut Space,
    warp: &mut Warp,
    at: &Step,
) -> Result<bool, Box<Fault>> {
    let Some(base) = base(load.space) else { return Ok(false) };
    let total = load.width.bytes() as usize * load.dst.len();
    if !all_own(base, addresses, at.active, warp.rank) {
        return Ok(false);
    }
    let offset = |lane: u32| shared::offset_of((addresses[lane as usize] - base) as u32);
    let first = at.active.trailing_zeros();
    let memory = &space.ctas[warp.rank as usize].shared;
    if side_by_side(addresses, at.active, total) {
        let len = at.active.count_ones() * total as u32;
        let Ok(bytes) = memory.load(offset(first), len, &who(at)) else { return Ok(false) };
        if let ([Some(dst)], Width::B32, Width::B32) = (&*load.dst, load.width, load.reg) {
            let registers = &mut warp.regs.words[*dst as usize][first as usize..];
            for (register, word) in registers.iter_mut().zip(bytes.as_chunks::<4>().0) {
                *register = u32::from_le_bytes(*word);
            }
        } else {
            (first..).zip(bytes.chunks_exact(total)).for_each(|(lane, b)| put(load, b, lane, warp));
        }
        return Ok(true);
    }
    let mut who = Who::generic(at.actor);
    for lane in each(at.active) {
        who.actor.lane = Some(lane);
        put(load, memory.load(offset(lane), total as u32, &who)?, lane, warp);
    }
    Ok(true)
}

/// Stores for all lanes; whether it did.
pub(super) fn store(
    store: &Store,
    addresses: &[u64; 32],
    space: &mut Space,
    warp: &Warp,
    at: &Step,
) -> Result<bool, Box<Fault>> {
    let Some(base) = base(store.space) else { return Ok(false) };
    if !all_own(base, addresses, at.active, warp.rank) {
        return Ok(false);
    }
    let total = store.width.bytes() as usize * store.src.len();
    let offset = |lane: u32| shared::offset_of((addresses[lane as usize] - base) as u32);
    let memory = &mut space.ctas[warp.rank as usize].shared;
    if side_by_side(addresses, at.active, total) {
        let first = at.active.trailing_zeros();
        let mut small = [0; 32 * 8];
        let mut large;
        let data = match total {
            ..=8 => &mut small[..],
            _ => {
                large = [0; 32 * MAX_BYTES];
                &mut large[..]
            }
        };
        let data = &mut data[..at.active.count_ones() as usize * total];
        if let ([Src::Reg(slot)], Width::B32) = (&*store.src, store.width) {
            let registers = &warp.regs.words[*slot as usize][first as usize..];
            for (word, register) in data.as_chunks_mut::<4>().0.iter_mut().zip(registers) {
                *word = register.to_le_bytes();
            }
        } else {
            let lanes = (first..).zip(data.chunks_exact_mut(total));
            lanes.for_each(|(lane, bytes)| get(store, lane, warp, bytes));
        }
        // Lanes that store what was there are noted apart from those that do not.
        return Ok(!memory.differs_in_part(offset(first), data, total)
            && memory.store(offset(first), data, &who(at)).is_ok());
    }
    let mut who = Who::generic(at.actor);
    for lane in each(at.active) {
        who.actor.lane = Some(lane);
        let mut data = [0; MAX_BYTES];
        get(store, lane, warp, &mut data[..total]);
        memory.store(offset(lane), &data[..total], &who)?;
    }
    Ok(true)
}
