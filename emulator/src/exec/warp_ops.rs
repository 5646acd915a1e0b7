//! Exchanges between the lanes of a warp. The scheduler has gathered the members already.

use super::{
    operand::{read, read_pred, read32, write32},
    scalar,
};
use crate::{
    decode::op::{PredSrc, Src, WarpOp},
    error::{Actor, Fault, FaultKind},
    machine::registers::{Lane32, Lanes, Registers},
    numeric::CANONICAL_NAN_F32,
};

type Done = Result<(), Box<Fault>>;

/// Executes one instruction for the lanes of `lanes`.
pub(super) fn execute(op: &WarpOp, regs: &mut Registers, lanes: Lanes) -> Done {
    match *op {
        WarpOp::ShflIdx { d, p, a, b, c, members } => {
            shuffle(regs, lanes, Mode::Index, (d, p, a, b, c, members))
        }
        WarpOp::ShflUp { d, p, a, b, c, members } => {
            shuffle(regs, lanes, Mode::Up, (d, p, a, b, c, members))
        }
        WarpOp::ShflDown { d, p, a, b, c, members } => {
            shuffle(regs, lanes, Mode::Down, (d, p, a, b, c, members))
        }
        WarpOp::ShflBfly { d, p, a, b, c, members } => {
            shuffle(regs, lanes, Mode::Butterfly, (d, p, a, b, c, members))
        }
        WarpOp::Ballot { d, p, members } => {
            let members = member_mask(regs, members, lanes)?;
            let value = votes(regs, p, lanes)? & members;
            write32(regs, d, lanes, &[value; 32])
        }
        WarpOp::VoteAll { d, p, members } => {
            vote(regs, lanes, d, p, members, |yes, members| yes == members)
        }
        WarpOp::VoteAny { d, p, members } => vote(regs, lanes, d, p, members, |yes, _| yes != 0),
        WarpOp::VoteUni { d, p, members } => {
            vote(regs, lanes, d, p, members, |yes, members| yes == 0 || yes == members)
        }
        WarpOp::MatchAny { width, d, a, members } => {
            let members = member_mask(regs, members, lanes)?;
            let a = read(regs, a, width, lanes)?;
            let equal = |lane: usize| mask_of(members & lanes, |other| a[other] == a[lane]);
            write32(regs, d, lanes, &std::array::from_fn(equal))
        }
        WarpOp::MatchAll { width, d, p, a, members } => {
            let members = member_mask(regs, members, lanes)? & lanes;
            let a = read(regs, a, width, lanes)?;
            let first = a[lanes.trailing_zeros() as usize & 31];
            let all = mask_of(members, |lane| a[lane] == first) == members;
            write32(regs, d, lanes, &[if all { members } else { 0 }; 32])?;
            if let Some(p) = p {
                regs.set_pred(p as usize, lanes, if all { u32::MAX } else { 0 });
            }
            Ok(())
        }
        WarpOp::Redux { op, ty, d, a, members } => {
            member_mask(regs, members, lanes)?;
            let a = read32(regs, a, lanes)?;
            let value = each(lanes)
                .map(|lane| u64::from(a[lane]))
                .reduce(|sum, a| scalar::combine_integers(op, ty, sum, a))
                .unwrap_or(0);
            write32(regs, d, lanes, &[value as u32; 32])
        }
        WarpOp::ReduxFloat { max, abs, nan, d, a, members } => {
            member_mask(regs, members, lanes)?;
            let a = read32(regs, a, lanes)?;
            let a = if abs { a.map(|bits| bits & !(1 << 31)) } else { a };
            let value = each(lanes)
                .map(|lane| a[lane])
                .reduce(|x, y| scalar::float_extreme(max, nan, x, y))
                .unwrap_or(CANONICAL_NAN_F32);
            let is_nan = f32::from_bits(value).is_nan();
            write32(regs, d, lanes, &[if is_nan { CANONICAL_NAN_F32 } else { value }; 32])
        }
        WarpOp::Elect { d, p, members } => {
            let members = member_mask(regs, members, lanes)?;
            let leader = (members & lanes).trailing_zeros();
            regs.set_pred(p as usize, lanes, 1u32.checked_shl(leader).unwrap_or(0));
            match d {
                Some(d) => write32(regs, d, lanes, &[leader; 32]),
                None => Ok(()),
            }
        }
        WarpOp::ActiveMask { d } => write32(regs, d, lanes, &[lanes; 32]),
    }
}

fn each(lanes: Lanes) -> impl Iterator<Item = usize> {
    (0..32).filter(move |lane| lanes >> lane & 1 == 1)
}

fn mask_of(lanes: Lanes, holds: impl Fn(usize) -> bool) -> Lanes {
    each(lanes).fold(0, |mask, lane| mask | u32::from(holds(lane)) << lane)
}

/// The member mask, which all executing lanes must give alike and be part of.
fn member_mask(regs: &Registers, members: Src, lanes: Lanes) -> Result<Lanes, Box<Fault>> {
    let masks = read32(regs, members, lanes)?;
    let first = lanes.trailing_zeros() as usize & 31;
    for lane in each(lanes) {
        let mask = masks[lane];
        if mask != masks[first] || mask >> lane & 1 == 0 {
            let message = format!(
                "member mask {mask:#010x} does not name the lane that executes, or differs from \
                 lane {first}'s {:#010x}",
                masks[first]
            );
            let actor = Actor { lane: Some(lane as u32), ..Actor::default() };
            return Err(Box::new(Fault::new(FaultKind::Convergence, message).by(actor)));
        }
    }
    Ok(masks[first])
}

fn votes(regs: &Registers, p: PredSrc, lanes: Lanes) -> Result<Lanes, Box<Fault>> {
    Ok(read_pred(regs, p, lanes)? & lanes)
}

fn vote(
    regs: &mut Registers,
    lanes: Lanes,
    d: u32,
    p: PredSrc,
    members: Src,
    holds: impl Fn(Lanes, Lanes) -> bool,
) -> Done {
    let members = member_mask(regs, members, lanes)? & lanes;
    let yes = votes(regs, p, lanes)? & members;
    regs.set_pred(d as usize, lanes, if holds(yes, members) { u32::MAX } else { 0 });
    Ok(())
}

/// How `shfl.sync` finds the lane to read from.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Index,
    Up,
    Down,
    Butterfly,
}

fn shuffle(
    regs: &mut Registers,
    lanes: Lanes,
    mode: Mode,
    (d, p, a, b, c, members): (u32, Option<u32>, Src, Src, Src, Src),
) -> Done {
    let members = member_mask(regs, members, lanes)?;
    let (a, b, c) = (read32(regs, a, lanes)?, read32(regs, b, lanes)?, read32(regs, c, lanes)?);
    let mut value: Lane32 = [0; 32];
    let mut inside = 0;
    for lane in each(lanes) {
        // c holds the bound in bits 4..0 and, in bits 12..8, the lane-number bits that name a
        // segment, which a lane does not leave.
        let (bound, segment) = (c[lane] & 31, c[lane] >> 8 & 31);
        let own = lane as u32;
        let (first, distance) = (own & segment, b[lane] & 31);
        let last = first | bound & !segment;
        let from = match mode {
            Mode::Index => first | distance & !segment,
            Mode::Up => own.wrapping_sub(distance),
            Mode::Down => own + distance,
            Mode::Butterfly => own ^ distance,
        };
        let good = match mode {
            Mode::Up => from as i32 >= last as i32,
            _ => from <= last,
        };
        let from = if good { from } else { own };
        inside |= u32::from(good) << lane;
        if (members & lanes) >> from & 1 == 0 {
            let message = format!(
                "lane {lane} reads from lane {from}, which does not take part (member mask \
                 {members:#010x})"
            );
            let actor = Actor { lane: Some(own), ..Actor::default() };
            return Err(Box::new(Fault::new(FaultKind::Convergence, message).by(actor)));
        }
        value[lane] = a[from as usize];
    }
    write32(regs, d, lanes, &value)?;
    if let Some(p) = p {
        regs.set_pred(p as usize, lanes, inside);
    }
    Ok(())
}
