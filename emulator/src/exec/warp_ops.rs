//! placeholder
use crate::{decode::op::WarpOp, error::Fault, machine::registers::*};
/// x
pub fn execute(op: &WarpOp, _regs: &mut Registers, _lanes: Lanes) -> Result<(), Box<Fault>> {
    super::unsupported(format!("{op:?}"))
}
