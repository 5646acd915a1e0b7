//! Reading and writing operands of a whole warp, with the checks that every read owes: the register
//! was written, and no asynchronous instruction still owns it.

use crate::decode::op::{Address, Base, PredSrc, Space, Src, Symbol, Width};
use crate::error::{Actor, Fault, FaultKind};
use crate::machine::cluster::Env;
use crate::machine::registers::{Lane32, Lanes, Registers};
use crate::machine::shared::{FIRST_BYTE, address_of};
use crate::machine::warp::Warp;
use crate::machine::window;

/// 32 lanes of 64 bits.
pub type Lane64 = [u64; 32];

/// A fault of one lane; the dispatcher adds warp, CTA and line.
#[cold]
pub fn lane_fault(kind: FaultKind, lane: u32, message: impl Into<String>) -> Box<Fault> {
    Box::new(Fault::new(kind, message).by(Actor { lane: Some(lane), ..Actor::default() }))
}

/// How messages about a register begin; the number that follows is replaced by the name.
pub(super) const SLOT_PREFIX: &str = "register slot ";
/// The same for predicates.
pub(super) const PREDICATE_PREFIX: &str = "predicate ";

/// The slot that a fault is about.
pub(super) fn slot_of(fault: &Fault) -> Option<u32> {
    fault.message.strip_prefix(SLOT_PREFIX)?.split(' ').next()?.parse().ok()
}

#[cold]
fn slot_fault(regs: &Registers, slot: usize, lanes: Lanes) -> Box<Fault> {
    let pending = regs.pending[slot] & lanes;
    if pending != 0 {
        let message = format!(
            "{SLOT_PREFIX}{slot} is touched while an asynchronous instruction still owns it; its \
             wait is missing"
        );
        return lane_fault(FaultKind::PendingRegister, pending.trailing_zeros(), message);
    }
    let missing = regs.unwritten(slot, lanes);
    let message = unwritten(&format!("{SLOT_PREFIX}{slot}"), regs.derived(slot));
    lane_fault(FaultKind::UnwrittenRead, missing.trailing_zeros(), message)
}

/// What is wrong with a register that was not written, or was computed from one.
#[cold]
fn unwritten(register: &str, derived: Option<u32>) -> String {
    match derived {
        None => format!("{register} was read and never written"),
        Some(line) => format!(
            "{register} was read, and line {line} computed it from a register that was never written"
        ),
    }
}

/// Checks that `lanes` of a slot may be read.
#[inline]
pub fn check_read(regs: &Registers, slot: u32, lanes: Lanes) -> Result<(), Box<Fault>> {
    let slot = slot as usize;
    if regs.unwritten(slot, lanes) != 0 || regs.pending[slot] & lanes != 0 {
        return Err(slot_fault(regs, slot, lanes));
    }
    Ok(())
}

/// Checks that `lanes` of a slot may be written.
#[inline]
pub fn check_write(regs: &Registers, slot: u32, lanes: Lanes) -> Result<(), Box<Fault>> {
    if regs.pending[slot as usize] & lanes != 0 {
        return Err(slot_fault(regs, slot as usize, lanes));
    }
    Ok(())
}

/// A 32-bit (or narrower) operand.
#[inline]
pub fn read32(regs: &Registers, src: Src, lanes: Lanes) -> Result<Lane32, Box<Fault>> {
    match src {
        Src::Imm(value) => Ok([value as u32; 32]),
        Src::Reg(slot) => {
            check_read(regs, slot, lanes)?;
            Ok(regs.words[slot as usize])
        }
    }
}

/// A 64-bit operand.
#[inline]
pub fn read64(regs: &Registers, src: Src, lanes: Lanes) -> Result<Lane64, Box<Fault>> {
    match src {
        Src::Imm(value) => Ok([value; 32]),
        Src::Reg(slot) => {
            check_read(regs, slot, lanes)?;
            check_read(regs, slot + 1, lanes)?;
            let (lo, hi) = (&regs.words[slot as usize], &regs.words[slot as usize + 1]);
            Ok(std::array::from_fn(|l| u64::from(lo[l]) | u64::from(hi[l]) << 32))
        }
    }
}

/// An operand of a width up to 64 bits.
#[inline]
pub fn read(regs: &Registers, src: Src, width: Width, lanes: Lanes) -> Result<Lane64, Box<Fault>> {
    match width {
        Width::B64 => read64(regs, src, lanes),
        _ => Ok(read32(regs, src, lanes)?.map(u64::from)),
    }
}

/// A predicate operand, as a lane mask.
#[inline]
pub fn read_pred(regs: &Registers, src: PredSrc, lanes: Lanes) -> Result<Lanes, Box<Fault>> {
    match src {
        PredSrc::Imm(value) => Ok(if value { lanes } else { 0 }),
        PredSrc::Reg { pred, negated } => {
            let missing = lanes & !regs.preds_written[pred as usize];
            if missing != 0 {
                let register = format!("{PREDICATE_PREFIX}{pred}");
                let message = unwritten(&register, regs.derived_pred(pred as usize));
                return Err(lane_fault(
                    FaultKind::UnwrittenRead,
                    missing.trailing_zeros(),
                    message,
                ));
            }
            regs.looked_at(pred, lanes);
            let value = regs.preds[pred as usize];
            Ok(if negated { !value } else { value } & lanes)
        }
    }
}

/// Writes a 32-bit register.
#[inline]
pub fn write32(
    regs: &mut Registers,
    slot: u32,
    lanes: Lanes,
    value: &Lane32,
) -> Result<(), Box<Fault>> {
    check_write(regs, slot, lanes)?;
    regs.set(slot as usize, lanes, value);
    Ok(())
}

/// Writes a register of up to 64 bits.
#[inline]
pub fn write(
    regs: &mut Registers,
    slot: u32,
    width: Width,
    lanes: Lanes,
    value: &Lane64,
) -> Result<(), Box<Fault>> {
    write32(regs, slot, lanes, &value.map(|v| v as u32))?;
    if width == Width::B64 {
        write32(regs, slot + 1, lanes, &value.map(|v| (v >> 32) as u32))?;
    }
    Ok(())
}

/// The value that all lanes of a warp-uniform operand must agree on.
pub fn uniform(values: &Lane32, lanes: Lanes, what: &str) -> Result<u32, Box<Fault>> {
    let first = lanes.trailing_zeros();
    let value = values[first as usize];
    for lane in crate::machine::warp::each(lanes) {
        if values[lane as usize] != value {
            let message = format!(
                "{what} must be the same in all lanes: {value:#x} in lane {first}, {:#x} here",
                values[lane as usize]
            );
            return Err(lane_fault(FaultKind::Convergence, lane, message));
        }
    }
    Ok(value)
}

/// The address of a symbol in its own space.
pub fn symbol(env: &Env<'_>, rank: u32, symbol: Symbol) -> (Space, u64) {
    match symbol {
        Symbol::Shared(offset) => (Space::SharedCta, address_of(rank, FIRST_BYTE + offset).into()),
        Symbol::DynamicShared => (Space::SharedCta, address_of(rank, env.dynamic_start).into()),
        // A lane adds where its activation begins.
        Symbol::Local(offset) | Symbol::Activation(offset) => (Space::Local, offset.into()),
        Symbol::Function(number) => (Space::Global, window::function(number)),
        Symbol::Global(index) => (Space::Global, env.globals[index as usize]),
        Symbol::Param(offset) => (Space::ParamEntry, offset.into()),
        Symbol::Frame(offset) => (Space::ParamFrame, offset.into()),
    }
}

/// The addresses of `[base+offset]`, one a lane.
#[inline]
pub fn addresses(
    env: &Env<'_>,
    warp: &Warp,
    address: &Address,
    lanes: Lanes,
) -> Result<Lane64, Box<Fault>> {
    let offset = address.offset;
    Ok(match address.base {
        Base::Absolute => [offset as u64; 32],
        // A 32-bit register holds an address of a 32-bit space: the sum wraps there.
        Base::Reg32(slot) => {
            let offset = offset as u32;
            read32(&warp.regs, Src::Reg(slot), lanes)?.map(|v| v.wrapping_add(offset).into())
        }
        Base::Reg64(slot) => {
            read64(&warp.regs, Src::Reg(slot), lanes)?.map(|v| v.wrapping_add_signed(offset))
        }
        Base::Symbol(name) => [symbol(env, warp.rank, name).1.wrapping_add_signed(offset); 32],
    })
}
