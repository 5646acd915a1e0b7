//! Loads, stores, atomics, and the conversion of addresses.

mod own;

use super::operand::{
    addresses, check_read, check_write, lane_fault, read, read32, write, write32,
};
use super::{Flow, Step, atomic};
use crate::decode::op::{
    Atom, AtomKind, Load, LoadCache, MemoryOp, Order, Space as StateSpace, Src, Store, Width,
};
use crate::error::{Fault, FaultKind};
use crate::machine::access::Who;
use crate::machine::cluster::{Env, Space};
use crate::machine::races::{Access, MAX_BYTES, Values};
use crate::machine::registers::Lanes;
use crate::machine::shadow::Path;
use crate::machine::shared;
use crate::machine::warp::{Warp, each};
use crate::machine::window;

pub(super) fn execute(
    op: &MemoryOp,
    env: &Env<'_>,
    space: &mut Space,
    warp: &mut Warp,
    at: &Step,
) -> Result<Flow, Box<Fault>> {
    match op {
        MemoryOp::Load(load) => self::load(load, env, space, warp, at)?,
        MemoryOp::Store(store) => self::store(store, env, space, warp, at)?,
        MemoryOp::Atom(atom) => self::atom(atom, env, space, warp, at)?,
        MemoryOp::ToGeneric { space: from, dst, src, width } => {
            let values = read(&warp.regs, *src, *width, at.active)?;
            let values = values.map(|v| window::generic(*from, v));
            write(&mut warp.regs, *dst, *width, at.active, &values)?;
        }
        MemoryOp::FromGeneric { space: to, dst, src, width } => {
            let values = read(&warp.regs, *src, *width, at.active)?;
            let values = values.map(|v| window::specific(*to, v));
            write(&mut warp.regs, *dst, *width, at.active, &values)?;
        }
        MemoryOp::IsSpace { space: asked, dst, src, width } => {
            let values = read(&warp.regs, *src, *width, at.active)?;
            let mut answer = 0;
            for lane in each(at.active) {
                let is = window::is_in(*asked, values[lane as usize], warp.rank);
                answer |= u32::from(is) << lane;
            }
            warp.regs.set_pred(*dst as usize, at.active, answer);
        }
        MemoryOp::MapA { space: kind, dst, src, rank, width } => {
            let values = read(&warp.regs, *src, *width, at.active)?;
            let ranks = read32(&warp.regs, *rank, at.active)?;
            let mut mapped = [0; 32];
            for lane in each(at.active) {
                let (address, rank) = (values[lane as usize], ranks[lane as usize]);
                if rank as usize >= space.ctas.len() {
                    let message =
                        format!("mapa to rank {rank} in a cluster of {}", space.ctas.len());
                    return Err(lane_fault(FaultKind::OutOfBounds, lane, message));
                }
                let base = if *kind == StateSpace::Generic { window::SHARED } else { 0 };
                let offset = shared::offset_of((address - base.min(address)) as u32);
                mapped[lane as usize] = base + u64::from(shared::address_of(rank, offset));
            }
            write(&mut warp.regs, *dst, *width, at.active, &mapped)?;
        }
        MemoryOp::GetCtaRank { space: kind, dst, src, width } => {
            let values = read(&warp.regs, *src, *width, at.active)?;
            let base = if *kind == StateSpace::Generic { window::SHARED } else { 0 };
            let ranks = values.map(|v| u64::from(shared::rank_of(v.wrapping_sub(base) as u32)));
            write(&mut warp.regs, *dst, Width::B32, at.active, &ranks)?;
        }
        MemoryOp::Hint { space: kind, address, discard } => {
            let places = addresses(env, warp, address, at.active)?;
            if *discard {
                for lane in each(at.active) {
                    let who = Who::generic(at.lane(lane));
                    check_alignment(places[lane as usize], 128, "discard.L2", &who)?;
                    env.global.discard(places[lane as usize], 128, &who)?;
                }
                let lanes = global_lanes(*kind, &places, at.active);
                let access = Access::weak(Path::Generic, true);
                note(access, &places, (lanes, 0), (128, Values::Unknown), env, space, at)?;
            }
        }
        MemoryOp::StoreBulk { space: kind, address, size } => {
            let bases = addresses(env, warp, address, at.active)?;
            let sizes = read(&warp.regs, *size, Width::B64, at.active)?;
            for lane in each(at.active) {
                let who = Who::generic(at.lane(lane));
                let place = place(*kind, bases[lane as usize], warp.rank, &who)?;
                let zeros = vec![0; (sizes[lane as usize] as usize).min(1 << 18)];
                access_store(place, &zeros, lane, env, space, warp, &who)?;
            }
        }
    }
    Ok(Flow::Next)
}

/// A space and an address in it, after generic addresses are resolved.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    space: StateSpace,
    address: u64,
}

/// Where an access of `space` goes.
#[inline]
pub(super) fn place(
    space: StateSpace,
    address: u64,
    own: u32,
    who: &Who,
) -> Result<Place, Box<Fault>> {
    let (space, address) = match space {
        StateSpace::Generic => window::resolve(address),
        StateSpace::Const => (StateSpace::Global, address),
        space => (space, address),
    };
    if space == StateSpace::SharedCta {
        shared_address(space, address, own, who)?;
    }
    Ok(Place { space, address })
}

/// The 32-bit shared address of an access in a shared space (or generic, which must name shared
/// memory). `.shared::cta` reaches the own CTA only.
pub(super) fn shared_address(
    space: StateSpace,
    address: u64,
    own: u32,
    who: &Who,
) -> Result<u32, Box<Fault>> {
    let (space, address) = match space {
        StateSpace::Generic => window::resolve(address),
        space => (space, address),
    };
    if !matches!(space, StateSpace::SharedCta | StateSpace::SharedCluster) {
        let message = format!("address {address:#x} of {space:?} where shared memory is needed");
        return Err(who.fault(FaultKind::OutOfBounds, address, message));
    }
    let Ok(short) = u32::try_from(address) else {
        let message = format!("{address:#x} is no shared address");
        return Err(who.fault(FaultKind::OutOfBounds, address, message));
    };
    if space == StateSpace::SharedCta && shared::rank_of(short) != own {
        let message = format!(
            "shared address {address:#x} names the CTA of rank {}, and .shared::cta is the own CTA, \
             rank {own}",
            shared::rank_of(short)
        );
        return Err(who.fault(FaultKind::OutOfBounds, address, message));
    }
    Ok(short)
}

fn check_alignment(address: u64, bytes: u32, what: &str, who: &Who) -> Result<(), Box<Fault>> {
    if address.is_multiple_of(bytes.into()) {
        return Ok(());
    }
    let message =
        format!("{what} of {bytes} bytes at {address:#x}, which is not a multiple of {bytes}");
    Err(who.fault(FaultKind::Misaligned, address, message))
}

/// The number of registers a lane's element takes, and the element extended to them.
#[inline]
fn extend(load: &Load, value: u64) -> (u32, u32) {
    let value = if load.signed {
        let shift = 64 - load.width.bits();
        ((value << shift) as i64 >> shift) as u64
    } else {
        value
    };
    let low = match load.reg {
        Width::B8 => value as u8 as u32,
        Width::B16 => value as u16 as u32,
        _ => value as u32,
    };
    (low, (value >> 32) as u32)
}

/// Whether all active lanes of a global or generic access go to global memory.
#[inline]
fn all_global(space: StateSpace, addresses: &[u64; 32], lanes: Lanes) -> bool {
    match space {
        StateSpace::Global | StateSpace::Const => true,
        StateSpace::Generic => {
            each(lanes).all(|l| window::resolve(addresses[l as usize]).0 == StateSpace::Global)
        }
        _ => false,
    }
}

fn check_alignments(
    addresses: &[u64; 32],
    bytes: u32,
    what: &str,
    at: &Step,
) -> Result<(), Box<Fault>> {
    let mask = u64::from(bytes - 1);
    if each(at.active).all(|l| addresses[l as usize] & mask == 0) {
        return Ok(());
    }
    for lane in each(at.active) {
        let who = Who::generic(at.lane(lane));
        check_alignment(addresses[lane as usize], bytes, what, &who)?;
    }
    Ok(())
}

fn load(
    load: &Load,
    env: &Env<'_>,
    space: &mut Space,
    warp: &mut Warp,
    at: &Step,
) -> Result<(), Box<Fault>> {
    let addresses = addresses(env, warp, &load.address, at.active)?;
    let width = load.width.bytes() as usize;
    let total = width * load.dst.len();
    let slots = load.reg.slots();
    check_alignments(&addresses, total as u32, "load", at)?;
    for dst in load.dst.iter().flatten() {
        for slot in *dst..dst + slots {
            check_write(&warp.regs, slot, at.active)?;
        }
    }
    if let ([Some(dst)], 1..=8) = (&*load.dst, width)
        && all_global(load.space, &addresses, at.active)
    {
        let mut values = [0; 32];
        let who = Who::generic(at.actor);
        env.global.load_lanes(&addresses, at.active, width, &who, &mut values)?;
        if load.space != StateSpace::Const {
            let bytes = (total, Values::Unknown);
            note(load_access(load), &addresses, (at.active, 0), bytes, env, space, at)?;
        }
        let values = values.map(|value| extend(load, value));
        warp.regs.set(*dst as usize, at.active, &values.map(|(low, _)| low));
        if slots == 2 {
            warp.regs.set(*dst as usize + 1, at.active, &values.map(|(_, high)| high));
        }
        return Ok(());
    }
    let done = own::load(load, &addresses, space, warp, at)?;
    let mut who = Who::generic(at.actor);
    for lane in each(if done { 0 } else { at.active }) {
        who.actor.lane = Some(lane);
        let place = place(load.space, addresses[lane as usize], warp.rank, &who)?;
        let mut bytes = [0; MAX_BYTES];
        let bytes = &mut bytes[..total];
        access_load(place, bytes, lane, env, space, warp, &who)?;
        own::put(load, bytes, lane, warp);
    }
    for dst in load.dst.iter().flatten() {
        for slot in *dst..dst + slots {
            warp.regs.mark(slot as usize, at.active);
        }
    }
    let lanes = global_lanes(load.space, &addresses, at.active);
    let bytes = (total, Values::Unknown);
    note(load_access(load), &addresses, (lanes, 0), bytes, env, space, at)
}

/// What a load is to those who look for races.
fn load_access(load: &Load) -> Access {
    let path = match (load.order, load.cache) {
        (Order::Weak, LoadCache::NonCoherent) => Path::NonCoherent,
        (Order::Weak, _) => Path::Generic,
        _ => Path::Strong,
    };
    Access { path, reads: true, writes: false, order: load.order, scope: load.scope }
}

/// The lanes whose access goes to global memory.
fn global_lanes(space: StateSpace, addresses: &[u64; 32], lanes: Lanes) -> Lanes {
    match space {
        StateSpace::Global => lanes,
        StateSpace::Generic => each(lanes)
            .filter(|&l| window::resolve(addresses[l as usize]).0 == StateSpace::Global)
            .fold(0, |mask, l| mask | 1 << l),
        _ => 0,
    }
}

/// Weak accesses of one element a lane, for those who look for races.
pub(super) fn note_lanes(
    (kind, writes): (StateSpace, bool),
    addresses: &[u64; 32],
    bytes: usize,
    env: &Env<'_>,
    space: &mut Space,
    at: &Step,
) -> Result<(), Box<Fault>> {
    let lanes = global_lanes(kind, addresses, at.active);
    let bytes = (bytes, Values::Unknown);
    note(Access::weak(Path::Generic, writes), addresses, (lanes, 0), bytes, env, space, at)
}

/// Tells those who look for races of accesses to global memory, and which of them changed nothing.
fn note(
    access: Access,
    addresses: &[u64; 32],
    (lanes, silent): (Lanes, Lanes),
    (bytes, values): (usize, Values<'_>),
    env: &Env<'_>,
    space: &mut Space,
    at: &Step,
) -> Result<(), Box<Fault>> {
    match &mut space.races {
        Some(races) if lanes != 0 => {
            let lanes = (lanes, silent);
            let width = (bytes as u32, values);
            races.global_lanes(access, addresses, lanes, width, at.actor, env.global)
        }
        _ => Ok(()),
    }
}

fn store(
    store: &Store,
    env: &Env<'_>,
    space: &mut Space,
    warp: &mut Warp,
    at: &Step,
) -> Result<(), Box<Fault>> {
    let addresses = addresses(env, warp, &store.address, at.active)?;
    let width = store.width.bytes() as usize;
    let total = width * store.src.len();
    check_alignments(&addresses, total as u32, "store", at)?;
    if let ([src], 1..=8) = (&*store.src, width)
        && all_global(store.space, &addresses, at.active)
    {
        let values = read(&warp.regs, *src, store.width, at.active)?;
        let who = Who::generic(at.actor);
        let silent = env.global.store_lanes(&addresses, at.active, width, &who, &values)?;
        let lanes = (at.active, silent);
        let values = (total, Values::Scalars(&values));
        return note(store_access(store), &addresses, lanes, values, env, space, at);
    }
    for &src in &store.src {
        if let Src::Reg(slot) = src {
            for slot in slot..slot + store.width.slots() {
                check_read(&warp.regs, slot, at.active)?;
            }
        }
    }
    if own::store(store, &addresses, space, warp, at)? {
        return Ok(());
    }
    let mut who = Who::generic(at.actor);
    let mut silent = 0;
    let mut all = [[0u8; MAX_BYTES]; 32];
    for lane in each(at.active) {
        who.actor.lane = Some(lane);
        let data = &mut all[lane as usize];
        own::get(store, lane, warp, &mut data[..total]);
        let place = place(store.space, addresses[lane as usize], warp.rank, &who)?;
        let changed = access_store(place, &data[..total], lane, env, space, warp, &who)?;
        silent |= u32::from(!changed) << lane;
    }
    let lanes = global_lanes(store.space, &addresses, at.active);
    let values = (total, Values::Bytes(&all));
    note(store_access(store), &addresses, (lanes, silent), values, env, space, at)
}

/// What a store is to those who look for races.
fn store_access(store: &Store) -> Access {
    let path = if store.order == Order::Weak { Path::Generic } else { Path::Strong };
    Access { path, reads: false, writes: true, order: store.order, scope: store.scope }
}

/// Loads bytes from wherever `place` is.
pub(super) fn access_load(
    place: Place,
    out: &mut [u8],
    lane: u32,
    env: &Env<'_>,
    space: &mut Space,
    warp: &Warp,
    who: &Who,
) -> Result<(), Box<Fault>> {
    let address = place.address;
    match place.space {
        StateSpace::SharedCta | StateSpace::SharedCluster => {
            let short = shared_address(place.space, address, warp.rank, who)?;
            let (cta, offset) = space.shared(short, who)?;
            out.copy_from_slice(cta.shared.load(offset, out.len() as u32, who)?);
            Ok(())
        }
        StateSpace::Local => warp.local.load(lane, address, out, who),
        StateSpace::ParamFrame => warp.frame.load(lane, address, out, who),
        StateSpace::ParamEntry => {
            let source = usize::try_from(address)
                .ok()
                .and_then(|start| env.params.get(start..start.checked_add(out.len())?));
            let Some(source) = source else {
                let message = format!(
                    "{} bytes at {address:#x} of a parameter block of {}",
                    out.len(),
                    env.params.len()
                );
                return Err(who.fault(FaultKind::OutOfBounds, address, message));
            };
            out.copy_from_slice(source);
            Ok(())
        }
        StateSpace::Global | StateSpace::Const | StateSpace::Generic => {
            if out.len() <= 8 {
                let word = env.global.load_scalar(address, out.len(), who)?.to_le_bytes();
                out.copy_from_slice(&word[..out.len()]);
                Ok(())
            } else {
                env.global.load(address, out, who)
            }
        }
    }
}

/// Stores bytes to wherever `place` is; whether that changed anything, for global memory.
pub(super) fn access_store(
    place: Place,
    data: &[u8],
    lane: u32,
    env: &Env<'_>,
    space: &mut Space,
    warp: &mut Warp,
    who: &Who,
) -> Result<bool, Box<Fault>> {
    let address = place.address;
    match place.space {
        StateSpace::SharedCta | StateSpace::SharedCluster => {
            let short = shared_address(place.space, address, warp.rank, who)?;
            let (cta, offset) = space.shared(short, who)?;
            cta.shared.store(offset, data, who)?;
            Ok(true)
        }
        StateSpace::Local => warp.local.store(lane, address, data, who).map(|()| true),
        StateSpace::ParamFrame => warp.frame.store(lane, address, data, who).map(|()| true),
        StateSpace::ParamEntry => {
            let message = "store to the parameters of the entry";
            Err(who.fault(FaultKind::OutOfBounds, address, message))
        }
        StateSpace::Global | StateSpace::Const | StateSpace::Generic => {
            if data.len() <= 8 && data.len().is_power_of_two() {
                let mut word = [0; 8];
                word[..data.len()].copy_from_slice(data);
                env.global.store_scalar(address, data.len(), u64::from_le_bytes(word), who)
            } else {
                env.global.store(address, data, who)
            }
        }
    }
}

fn atom(
    atom: &Atom,
    env: &Env<'_>,
    space: &mut Space,
    warp: &mut Warp,
    at: &Step,
) -> Result<(), Box<Fault>> {
    let width = atom.ty.width();
    if width == Width::B128 {
        return wide_atom(atom, env, space, warp, at);
    }
    let addresses = addresses(env, warp, &atom.address, at.active)?;
    let bytes = width.bytes();
    let total = bytes * atom.b.len() as u32;
    let comparand = match atom.c {
        Some(c) => read(&warp.regs, c, width, at.active)?,
        None => [0; 32],
    };
    let mut olds = vec![[0; 32]; atom.b.len()];
    let mut who = Who::generic(at.actor);
    for (element, &b) in atom.b.iter().enumerate() {
        let operands = read(&warp.regs, b, width, at.active)?;
        for lane in each(at.active) {
            who.actor.lane = Some(lane);
            let base = addresses[lane as usize];
            check_alignment(base, total, "atomic", &who)?;
            let address = base + u64::from(bytes) * element as u64;
            let place = place(atom.space, address, warp.rank, &who)?;
            let (b, c) = (operands[lane as usize], comparand[lane as usize]);
            let change = |old| {
                if atom.kind == AtomKind::Exch {
                    b
                } else {
                    atomic::apply(atom.kind, atom.ty, old, b, c)
                }
            };
            let change_global = |old| match atom.kind {
                AtomKind::Exch => b,
                _ => atomic::apply_global(atom.kind, atom.ty, old, b, c),
            };
            olds[element][lane as usize] = match place.space {
                StateSpace::SharedCta | StateSpace::SharedCluster => {
                    let short = shared_address(place.space, place.address, warp.rank, &who)?;
                    let (cta, offset) = space.shared(short, &who)?;
                    let old = cta.shared.load_scalar(offset, bytes, &who)?;
                    let new = change(old).to_le_bytes();
                    cta.shared.store(offset, &new[..bytes as usize], &who)?;
                    old
                }
                StateSpace::Global => {
                    env.global.update(place.address, bytes as usize, &who, change_global)?
                }
                other => {
                    let message = format!("atomic on an address of {other:?}");
                    return Err(who.fault(FaultKind::OutOfBounds, address, message));
                }
            };
        }
    }
    space.events += 1;
    let access = Access {
        path: Path::Strong,
        reads: !atom.dst.is_empty(),
        writes: true,
        order: atom.order,
        scope: atom.scope,
    };
    let lanes = global_lanes(atom.space, &addresses, at.active);
    note(access, &addresses, (lanes, 0), (total as usize, Values::Unknown), env, space, at)?;
    for (dst, old) in atom.dst.iter().zip(&olds) {
        if let Some(dst) = dst {
            write(&mut warp.regs, *dst, width, at.active, old)?;
        }
    }
    Ok(())
}

/// `atom.cas.b128` and `atom.exch.b128`. CTAs that use atomics run by turns, so that a load and a store
/// are one step.
fn wide_atom(
    atom: &Atom,
    env: &Env<'_>,
    space: &mut Space,
    warp: &mut Warp,
    at: &Step,
) -> Result<(), Box<Fault>> {
    let addresses = addresses(env, warp, &atom.address, at.active)?;
    let words = |warp: &Warp, src: Src| -> Result<[[u32; 32]; 4], Box<Fault>> {
        let mut words = [[0; 32]; 4];
        for (i, word) in (0u32..).zip(&mut words) {
            *word = match src {
                Src::Imm(value) if i < 2 => [(value >> (32 * i)) as u32; 32],
                Src::Imm(_) => [0; 32],
                Src::Reg(slot) => read32(&warp.regs, Src::Reg(slot + i), at.active)?,
            };
        }
        Ok(words)
    };
    let b = words(warp, atom.b[0])?;
    let c = atom.c.map(|c| words(warp, c)).transpose()?;
    let bytes = |words: &[[u32; 32]; 4], lane: u32| {
        let mut bytes = [0; 16];
        for (word, out) in words.iter().zip(bytes.chunks_exact_mut(4)) {
            out.copy_from_slice(&word[lane as usize].to_le_bytes());
        }
        bytes
    };
    let mut olds = [[0; 32]; 4];
    for lane in each(at.active) {
        let who = Who::generic(at.lane(lane));
        let address = addresses[lane as usize];
        check_alignment(address, 16, "atomic", &who)?;
        let place = place(atom.space, address, warp.rank, &who)?;
        let mut old = [0; 16];
        access_load(place, &mut old, lane, env, space, warp, &who)?;
        let new = match &c {
            None => bytes(&b, lane),
            Some(c) if bytes(&b, lane) == old => bytes(c, lane),
            Some(_) => old,
        };
        access_store(place, &new, lane, env, space, warp, &who)?;
        for (word, chunk) in olds.iter_mut().zip(old.chunks_exact(4)) {
            word[lane as usize] = u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]);
        }
    }
    space.events += 1;
    let (reads, order, scope) = (!atom.dst.is_empty(), atom.order, atom.scope);
    let access = Access { path: Path::Strong, reads, writes: true, order, scope };
    let lanes = global_lanes(atom.space, &addresses, at.active);
    note(access, &addresses, (lanes, 0), (16, Values::Unknown), env, space, at)?;
    if let [Some(dst)] = *atom.dst {
        for (i, word) in (0u32..).zip(&olds) {
            write32(&mut warp.regs, dst + i, at.active, word)?;
        }
    }
    Ok(())
}
