//! placeholder
use super::operand::*;
use crate::decode::op::*;
use crate::{error::Fault, machine::registers::*};
/// x
pub(super) fn execute(op: &ScalarOp, regs: &mut Registers, lanes: Lanes) -> Result<(), Box<Fault>> {
    match op {
        ScalarOp::Mov { width, d, a } => {
            let v = read(regs, *a, *width, lanes)?;
            write(regs, *d, *width, lanes, &v)
        }
        ScalarOp::Int2 { op, ty, d, a, b } => {
            let x = read(regs, *a, ty.width(), lanes)?;
            let shift = matches!(op, IntOp2::Shl | IntOp2::Shr);
            let y = read(regs, *b, if shift { Width::B32 } else { ty.width() }, lanes)?;
            let v = std::array::from_fn(|l| match op {
                IntOp2::Add => x[l].wrapping_add(y[l]),
                IntOp2::Sub => x[l].wrapping_sub(y[l]),
                IntOp2::Mul(MulPart::Lo) => x[l].wrapping_mul(y[l]),
                IntOp2::Mul(MulPart::Wide) => x[l].wrapping_mul(y[l]),
                IntOp2::And => x[l] & y[l],
                IntOp2::Or => x[l] | y[l],
                IntOp2::Xor => x[l] ^ y[l],
                IntOp2::Shl => x[l] << y[l],
                IntOp2::Shr => x[l] >> y[l],
                _ => panic!(),
            });
            let w = if *op == IntOp2::Mul(MulPart::Wide) { Width::B64 } else { ty.width() };
            write(regs, *d, w, lanes, &v)
        }
        ScalarOp::IntMad { part, ty, d, a, b, c, .. } => {
            let wide = *part == MulPart::Wide;
            let x = read(regs, *a, ty.width(), lanes)?;
            let y = read(regs, *b, ty.width(), lanes)?;
            let w = if wide { Width::B64 } else { ty.width() };
            let z = read(regs, *c, w, lanes)?;
            let v = std::array::from_fn(|l| x[l].wrapping_mul(y[l]).wrapping_add(z[l]));
            write(regs, *d, w, lanes, &v)
        }
        ScalarOp::Cvt { to, from, d, a, .. } => {
            let x = read(regs, *a, from.width(), lanes)?;
            write(regs, *d, to.width(), lanes, &x)
        }
        ScalarOp::SetpInt { cmp, ty, p, a, b, .. } => {
            let x = read(regs, *a, ty.width(), lanes)?;
            let y = read(regs, *b, ty.width(), lanes)?;
            let mut m = 0;
            for l in 0..32 {
                let r = match cmp {
                    CmpOp::Eq => x[l] == y[l],
                    CmpOp::Ne => x[l] != y[l],
                    CmpOp::Lt => x[l] < y[l],
                    CmpOp::Ge => x[l] >= y[l],
                    _ => panic!(),
                };
                m |= u32::from(r) << l;
            }
            regs.set_pred(p.unwrap() as usize, lanes, m);
            Ok(())
        }
        _ => super::unsupported(format!("{op:?}")),
    }
}
