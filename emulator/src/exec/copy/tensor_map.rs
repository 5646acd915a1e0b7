//! Tensor maps as programs handle them: 128 opaque bytes.

use crate::decode::op::{Address, Space as StateSpace, Src, TensorMapField, Width};
use crate::error::{Fault, FaultKind};
use crate::exec::Step;
use crate::exec::memory::{access_load, access_store, place};
use crate::exec::operand::{addresses, read};
use crate::machine::access::Who;
use crate::machine::cluster::{Env, Space};
use crate::machine::shadow::Path;
use crate::machine::warp::{Warp, each};
use crate::machine::window;
use crate::tensor::map::{Field, TensorMap};

/// Reads the map at a generic address, ready for use.
pub(super) fn fetch(
    address: u64,
    lane: u32,
    env: &Env<'_>,
    space: &mut Space,
    warp: &Warp,
    who: &Who,
) -> Result<TensorMap, Box<Fault>> {
    let bytes = bytes_at(StateSpace::Generic, address, lane, env, space, warp, who)?;
    note(Path::TensorMap, false, StateSpace::Generic, address, env, space, who)?;
    let map = TensorMap::decode(&bytes)
        .map_err(|what| who.fault(FaultKind::Descriptor, address, what))?;
    match map.unsupported() {
        Some(what) => Err(who.fault(FaultKind::Unsupported, address, what)),
        None => Ok(map),
    }
}

/// Tells those who look for races of an access to a map in global memory.
fn note(
    path: Path,
    write: bool,
    kind: StateSpace,
    address: u64,
    env: &Env<'_>,
    space: &mut Space,
    who: &Who,
) -> Result<(), Box<Fault>> {
    let global = match kind {
        StateSpace::Generic => window::resolve(address).0 == StateSpace::Global,
        kind => kind == StateSpace::Global,
    };
    match &mut space.races {
        Some(races) if global => {
            let record = races.own_record(path, write, who.actor);
            races.global_range(&record, (address, 128), None, who.actor, env.global)
        }
        _ => Ok(()),
    }
}

fn bytes_at(
    kind: StateSpace,
    address: u64,
    lane: u32,
    env: &Env<'_>,
    space: &mut Space,
    warp: &Warp,
    who: &Who,
) -> Result<[u8; 128], Box<Fault>> {
    if !address.is_multiple_of(64) {
        let message = format!("tensor map at {address:#x}, which is not a multiple of 64");
        return Err(who.fault(FaultKind::Misaligned, address, message));
    }
    let mut bytes = [0; 128];
    let place = place(kind, address, warp.rank, who)?;
    access_load(place, &mut bytes, lane, env, space, warp, who)?;
    Ok(bytes)
}

/// `tensormap.replace`.
pub(super) fn replace(
    kind: StateSpace,
    address: &Address,
    (field, ordinal, value): (TensorMapField, u32, Src),
    env: &Env<'_>,
    space: &mut Space,
    warp: &mut Warp,
    at: &Step,
) -> Result<(), Box<Fault>> {
    let wide = matches!(field, TensorMapField::GlobalAddress | TensorMapField::GlobalStride);
    let width = if wide { Width::B64 } else { Width::B32 };
    let values = read(&warp.regs, value, width, at.active)?;
    let places = addresses(env, warp, address, at.active)?;
    let field = match field {
        TensorMapField::GlobalAddress => Field::GlobalAddress,
        TensorMapField::Rank => Field::Rank,
        TensorMapField::BoxDim => Field::BoxDim,
        TensorMapField::GlobalDim => Field::GlobalDim,
        TensorMapField::GlobalStride => Field::GlobalStride,
        TensorMapField::ElementStride => Field::ElementStride,
        TensorMapField::ElemType => Field::ElemType,
        TensorMapField::InterleaveLayout => Field::InterleaveLayout,
        TensorMapField::SwizzleMode => Field::SwizzleMode,
        TensorMapField::SwizzleAtomicity => Field::SwizzleAtomicity,
        TensorMapField::FillMode => Field::FillMode,
    };
    for lane in each(at.active) {
        let who = Who::generic(at.lane(lane));
        let address = places[lane as usize];
        let bytes = bytes_at(kind, address, lane, env, space, warp, &who)?;
        let bad = |what| who.fault(FaultKind::Descriptor, address, what);
        let mut map = TensorMap::decode_draft(&bytes).map_err(bad)?;
        map.replace(field, ordinal as usize, values[lane as usize]).map_err(bad)?;
        let place = place(kind, address, warp.rank, &who)?;
        access_store(place, &map.encode(), lane, env, space, warp, &who)?;
        note(Path::Generic, true, kind, address, env, space, &who)?;
    }
    Ok(())
}

/// `tensormap.cp_fenceproxy`: the warp copies one map from shared to global memory.
pub(super) fn copy(
    dst: &Address,
    src: &Address,
    env: &Env<'_>,
    space: &mut Space,
    warp: &mut Warp,
    at: &Step,
) -> Result<(), Box<Fault>> {
    let targets = addresses(env, warp, dst, at.active)?;
    let sources = addresses(env, warp, src, at.active)?;
    let lane = at.active.trailing_zeros();
    let who = Who::generic(at.lane(lane));
    let source = sources[lane as usize];
    let bytes = bytes_at(StateSpace::SharedCta, source, lane, env, space, warp, &who)?;
    let target = place(StateSpace::Global, targets[lane as usize], warp.rank, &who)?;
    access_store(target, &bytes, lane, env, space, warp, &who)?;
    note(Path::Generic, true, StateSpace::Global, targets[lane as usize], env, space, &who)
}
