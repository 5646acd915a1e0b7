//! Exchanges between the lanes of a warp.

use super::{
    builder::Builder,
    form::{Decoded, Form},
    op::{Int, IntOp2, Op, WarpOp, Width},
    operands::{B32, B64, Kind},
};

impl<'m, 'a> Builder<'m, 'a> {
    pub(super) fn warp_exchange(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Op> {
        let opcode = form.instruction.opcode;
        if opcode == "activemask" {
            form.take("b32");
            form.count(1, 1)?;
            return Ok(Op::Warp(WarpOp::ActiveMask { d: self.dst(form, 0, Width::B32)? }));
        }
        // The forms without `.sync` left the instruction set with sm_70.
        if !form.take("sync") {
            return Err(form.refuse());
        }
        match opcode {
            "shfl" => self.shfl(form),
            "vote" => self.vote(form),
            "match" => self.match_sync(form),
            "redux" => self.redux(form),
            _ => {
                form.count(2, 2)?;
                let (d, p) = self.dst_and_pred(form, 0, Width::B32)?;
                let p = match p {
                    Some(p) => p,
                    None => self.new_predicate(),
                };
                let members = self.src(form, 1, B32)?;
                Ok(Op::Warp(WarpOp::Elect { d, p, members }))
            }
        }
    }

    fn shfl(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Op> {
        let mode = form.need(&[("idx", 0), ("up", 1), ("down", 2), ("bfly", 3)])?;
        if !form.take("b32") {
            return Err(form.refuse());
        }
        form.count(5, 5)?;
        let (d, p) = self.dst_and_pred(form, 0, Width::B32)?;
        let d = match d {
            Some(d) => d,
            None => self.register(Width::B32)?.slot,
        };
        let a = self.src(form, 1, B32)?;
        let b = self.src(form, 2, B32)?;
        let c = self.src(form, 3, B32)?;
        let members = self.src(form, 4, B32)?;
        Ok(Op::Warp(match mode {
            0 => WarpOp::ShflIdx { d, p, a, b, c, members },
            1 => WarpOp::ShflUp { d, p, a, b, c, members },
            2 => WarpOp::ShflDown { d, p, a, b, c, members },
            _ => WarpOp::ShflBfly { d, p, a, b, c, members },
        }))
    }

    fn vote(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Op> {
        let mode = form.need(&[("ballot", 0), ("all", 1), ("any", 2), ("uni", 3)])?;
        if !form.take(if mode == 0 { "b32" } else { "pred" }) {
            return Err(form.refuse());
        }
        form.count(3, 3)?;
        let p = self.pred(form, 1)?;
        let members = self.src(form, 2, B32)?;
        if mode == 0 {
            let d = self.dst(form, 0, Width::B32)?;
            return Ok(Op::Warp(WarpOp::Ballot { d, p, members }));
        }
        let d = self.pred_dst(form, 0)?;
        Ok(Op::Warp(match mode {
            1 => WarpOp::VoteAll { d, p, members },
            2 => WarpOp::VoteAny { d, p, members },
            _ => WarpOp::VoteUni { d, p, members },
        }))
    }

    fn match_sync(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Op> {
        let all = form.need(&[("any", false), ("all", true)])?;
        let width = form.need(&[("b32", Width::B32), ("b64", Width::B64)])?;
        form.count(3, 3)?;
        let (d, p) = self.dst_and_pred(form, 0, Width::B32)?;
        let d = match d {
            Some(d) => d,
            None => self.register(Width::B32)?.slot,
        };
        let a = self.src(form, 1, if width == Width::B64 { B64 } else { B32 })?;
        let members = self.src(form, 2, B32)?;
        if all {
            return Ok(Op::Warp(WarpOp::MatchAll { width, d, p, a, members }));
        }
        if p.is_some() {
            return Err(form.malformed("'match.any' has no predicate result"));
        }
        Ok(Op::Warp(WarpOp::MatchAny { width, d, a, members }))
    }

    fn redux(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Op> {
        let op = form.need(&[
            ("add", IntOp2::Add),
            ("min", IntOp2::Min),
            ("max", IntOp2::Max),
            ("and", IntOp2::And),
            ("or", IntOp2::Or),
            ("xor", IntOp2::Xor),
        ])?;
        form.count(3, 3)?;
        let d = self.dst(form, 0, Width::B32)?;
        let members = self.src(form, 2, B32)?;
        if form.take("f32") {
            if !matches!(op, IntOp2::Min | IntOp2::Max) {
                return Err(form.refuse());
            }
            let (abs, nan) = (form.take("abs"), form.take("NaN"));
            let a = self.src(form, 1, Kind::Single)?;
            let max = op == IntOp2::Max;
            return Ok(Op::Warp(WarpOp::ReduxFloat { max, abs, nan, d, a, members }));
        }
        let ty = form.need(&[("u32", Int::U32), ("b32", Int::U32), ("s32", Int::S32)])?;
        let a = self.src(form, 1, B32)?;
        Ok(Op::Warp(WarpOp::Redux { op, ty, d, a, members }))
    }
}
