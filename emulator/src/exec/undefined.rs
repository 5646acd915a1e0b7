//! Registers that nobody wrote, under `hardware` ordering: compilers compute with them where the
//! result does not matter, so computing is no fault yet. The result is as undefined as its operands;
//! storing it, branching on it or using it as an address is the fault.

use super::scalar;
use crate::decode::op::{BoolOp, Int, IntOp2, PredSrc, ScalarOp, Src, WarpOp};
use crate::error::{Fault, FaultKind};
use crate::machine::registers::{Lanes, Registers};

type Done = Result<(), Box<Fault>>;

/// Executes an instruction that failed with `fault`. Lanes whose operands are defined get their
/// result; the others' destinations become undefined.
#[cold]
pub(super) fn compute(
    op: &ScalarOp,
    regs: &mut Registers,
    lanes: Lanes,
    line: u32,
    fault: Box<Fault>,
) -> Done {
    if fault.kind != FaultKind::UnwrittenRead {
        return Err(fault);
    }
    if let ScalarOp::Selp { width, d, a, b, p } = *op {
        return select(regs, lanes, line, p, [a, b].map(|a| ScalarOp::Mov { width, d, a }));
    }
    let known = decided(op, regs, lanes);
    let defined = execute_defined(op, regs, lanes & !known.0)?;
    forget(op, regs, lanes & !known.0 & !defined, line)?;
    decide(op, regs, known);
    Ok(())
}

/// Executes for as many lanes as have all operands; which those were.
fn execute_defined(op: &ScalarOp, regs: &mut Registers, lanes: Lanes) -> Result<Lanes, Box<Fault>> {
    let mut defined = lanes;
    while defined != 0 {
        match scalar::execute(op, regs, defined) {
            Ok(()) => break,
            Err(fault) => defined &= !undefined_lane(fault)?,
        }
    }
    Ok(defined)
}

/// The lane of a read of an unwritten register; any other fault is one.
fn undefined_lane(fault: Box<Fault>) -> Result<Lanes, Box<Fault>> {
    match (fault.kind, fault.actor.and_then(|actor| actor.lane)) {
        (FaultKind::UnwrittenRead, Some(lane)) => Ok(1 << lane),
        _ => Err(fault),
    }
}

/// Makes what the instruction writes undefined. It is executed once more to learn which registers
/// these are.
fn forget(op: &ScalarOp, regs: &mut Registers, lanes: Lanes, line: u32) -> Done {
    if lanes == 0 {
        return Ok(());
    }
    let before = regs.pretend_written(lanes);
    let done = scalar::execute(op, regs, lanes);
    regs.forget_new(before, lanes, line);
    for pred in predicates(op).into_iter().flatten() {
        regs.forget_pred(pred as usize, lanes, line);
    }
    done
}

/// The predicates that an instruction writes.
fn predicates(op: &ScalarOp) -> [Option<u32>; 2] {
    match *op {
        ScalarOp::MovPred { d, .. }
        | ScalarOp::LogicPred { d, .. }
        | ScalarOp::TestFloat { d, .. } => [Some(d), None],
        ScalarOp::SetpInt { p, q, .. } | ScalarOp::SetpFloat { p, q, .. } => [p, q],
        ScalarOp::Lop3 { test: Some((p, ..)), .. } => [Some(p), None],
        _ => [None, None],
    }
}

/// `selp`: only the operand that is selected matters.
fn select(regs: &mut Registers, lanes: Lanes, line: u32, p: PredSrc, moves: [ScalarOp; 2]) -> Done {
    let (value, defined) = predicate(regs, p);
    forget(&moves[0], regs, lanes & !defined, line)?;
    let lanes = lanes & defined;
    for (op, lanes) in moves.iter().zip([lanes & value, lanes & !value]) {
        let defined = execute_defined(op, regs, lanes)?;
        forget(op, regs, lanes & !defined, line)?;
    }
    Ok(())
}

/// Value and definedness of a predicate operand.
fn predicate(regs: &Registers, src: PredSrc) -> (Lanes, Lanes) {
    match src {
        PredSrc::Imm(value) => (if value { Lanes::MAX } else { 0 }, Lanes::MAX),
        PredSrc::Reg { pred, negated } => {
            let value = regs.preds[pred as usize];
            (if negated { !value } else { value }, regs.preds_written[pred as usize])
        }
    }
}

/// Lanes in which one operand of an `and` or `or` decides the result, and whether an `or` it is.
fn decided(op: &ScalarOp, regs: &Registers, lanes: Lanes) -> (Lanes, bool) {
    let (mask, is_or) = match *op {
        ScalarOp::LogicPred { op: op @ (BoolOp::And | BoolOp::Or), a, b, .. } => {
            let is_or = op == BoolOp::Or;
            let decides = |src| {
                let (value, defined) = predicate(regs, src);
                defined & if is_or { value } else { !value }
            };
            (decides(a) | decides(b), is_or)
        }
        ScalarOp::Int2 { op: IntOp2::And, ty, a, b, .. } if is_narrow(ty) => {
            let zero = |src| match src {
                Src::Imm(value) => {
                    if value as u32 == 0 {
                        Lanes::MAX
                    } else {
                        0
                    }
                }
                Src::Reg(slot) => {
                    let word = &regs.words[slot as usize];
                    let zeros = (0..32).filter(|&l| word[l as usize] == 0);
                    zeros.fold(0, |mask, lane| mask | 1 << lane) & regs.written[slot as usize]
                }
            };
            (zero(a) | zero(b), false)
        }
        _ => (0, false),
    };
    (mask & lanes, is_or)
}

fn is_narrow(ty: Int) -> bool {
    ty.width().bits() <= 32
}

fn decide(op: &ScalarOp, regs: &mut Registers, (lanes, is_or): (Lanes, bool)) {
    match *op {
        ScalarOp::LogicPred { d, .. } => {
            regs.set_pred(d as usize, lanes, if is_or { Lanes::MAX } else { 0 });
        }
        ScalarOp::Int2 { d, .. } if lanes != 0 => regs.set(d as usize, lanes, &[0; 32]),
        _ => {}
    }
}

/// `shfl` of a register that some lanes have not written: undefined for those that read from them.
#[cold]
pub(super) fn exchange(
    op: &WarpOp,
    regs: &mut Registers,
    lanes: Lanes,
    line: u32,
    fault: Box<Fault>,
) -> Done {
    let (WarpOp::ShflIdx { d, a, .. }
    | WarpOp::ShflUp { d, a, .. }
    | WarpOp::ShflDown { d, a, .. }
    | WarpOp::ShflBfly { d, a, .. }) = *op
    else {
        return Err(fault);
    };
    let Src::Reg(a) = a else { return Err(fault) };
    let (a, d) = (a as usize, d as usize);
    let (value, written) = (regs.words[a], regs.written[a]);
    if fault.kind != FaultKind::UnwrittenRead || lanes & !written == 0 {
        return Err(fault);
    }
    // First which lanes have something, then what.
    regs.written[a] |= lanes;
    regs.words[a] = std::array::from_fn(|lane| written >> lane & 1);
    let mut result = super::warp_ops::execute(op, regs, lanes);
    let defined = (0..32).fold(0, |mask, lane| mask | (regs.words[d][lane] & 1) << lane);
    regs.words[a] = value;
    if result.is_ok() {
        result = super::warp_ops::execute(op, regs, lanes);
    }
    regs.written[a] = if a == d { written | lanes } else { written };
    result?;
    regs.forget(d, lanes & !defined, line);
    Ok(())
}
