//! placeholder
use super::operand::*;
use crate::{decode::op::WarpOp, error::Fault, machine::registers::*};
/// x
pub(super) fn execute(op: &WarpOp, regs: &mut Registers, lanes: Lanes) -> Result<(), Box<Fault>> {
    match op {
        WarpOp::Elect { d, p, .. } => {
            regs.set_pred(*p as usize, lanes, 1 << lanes.trailing_zeros());
            if let Some(d) = d {
                write32(regs, *d, lanes, &[lanes.trailing_zeros(); 32])?;
            }
            Ok(())
        }
        _ => super::unsupported(format!("{op:?}")),
    }
}
