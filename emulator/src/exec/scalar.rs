//! placeholder
use crate::{decode::op::ScalarOp, error::Fault, machine::registers::*};
/// x
pub fn execute(op: &ScalarOp, _regs: &mut Registers, _lanes: Lanes) -> Result<(), Box<Fault>> {
    super::unsupported(format!("{op:?}"))
}
