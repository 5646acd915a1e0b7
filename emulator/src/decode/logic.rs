//! Logic, shifts and operations on bits.

use super::{
    arith::Number,
    arith::number,
    builder::Builder,
    form::{Decoded, Form},
    op::{BoolOp, Int, IntOp1, IntOp2, Op, PredSrc, PrmtMode, ScalarOp, ShiftClamp, Width},
    operands::{B32, Kind},
};
use crate::parse::ast::Operand;

const BOOLS: [(&str, BoolOp); 3] = [("and", BoolOp::And), ("or", BoolOp::Or), ("xor", BoolOp::Xor)];

impl<'m, 'a> Builder<'m, 'a> {
    pub(super) fn logic(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Op> {
        let opcode = form.instruction.opcode;
        if form.take("pred") {
            return self.pred_logic(form);
        }
        let word = form.ty()?;
        let Some(Number::Int(ty)) = number(word) else { return Err(form.refuse()) };
        if matches!(ty, Int::U16x2 | Int::S16x2) {
            return Err(form.refuse());
        }
        let kind = Kind::from(ty);
        let op = match opcode {
            "not" | "cnot" => {
                form.count(2, 2)?;
                let op = if opcode == "not" { IntOp1::Not } else { IntOp1::Cnot };
                let d = self.dst(form, 0, ty.width())?;
                let a = self.src(form, 1, kind)?;
                return Ok(Op::Scalar(ScalarOp::Int1 { op, ty, d, a }));
            }
            "and" => IntOp2::And,
            "or" => IntOp2::Or,
            "xor" => IntOp2::Xor,
            "shl" => IntOp2::Shl,
            _ => IntOp2::Shr,
        };
        let b_kind = if matches!(op, IntOp2::Shl | IntOp2::Shr) { B32 } else { kind };
        form.count(3, 3)?;
        let d = self.dst(form, 0, ty.width())?;
        let a = self.src(form, 1, kind)?;
        let b = self.src(form, 2, b_kind)?;
        Ok(Op::Scalar(ScalarOp::Int2 { op, ty, d, a, b }))
    }

    fn pred_logic(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Op> {
        let opcode = form.instruction.opcode;
        if opcode == "not" {
            form.count(2, 2)?;
            let d = self.pred_dst(form, 0)?;
            let a = match self.pred(form, 1)? {
                PredSrc::Reg { pred, negated } => PredSrc::Reg { pred, negated: !negated },
                PredSrc::Imm(value) => PredSrc::Imm(!value),
            };
            return Ok(Op::Scalar(ScalarOp::MovPred { d, a }));
        }
        let Some(&(_, op)) = BOOLS.iter().find(|(name, _)| *name == opcode) else {
            return Err(form.refuse());
        };
        form.count(3, 3)?;
        let d = self.pred_dst(form, 0)?;
        let (a, b) = (self.pred(form, 1)?, self.pred(form, 2)?);
        Ok(Op::Scalar(ScalarOp::LogicPred { op, d, a, b }))
    }

    pub(super) fn bits(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Op> {
        match form.instruction.opcode {
            "popc" | "clz" | "brev" | "bfind" => self.bit_count(form),
            "dp4a" | "dp2a" => self.dot_product(form),
            "lop3" => self.lop3(form),
            "prmt" => self.prmt(form),
            "bfe" => {
                let ty = self.word_or_double(form)?;
                form.count(4, 4)?;
                let d = self.dst(form, 0, ty.width())?;
                let a = self.src(form, 1, ty.into())?;
                let position = self.src(form, 2, B32)?;
                let length = self.src(form, 3, B32)?;
                Ok(Op::Scalar(ScalarOp::Bfe { ty, d, a, position, length }))
            }
            "bfi" => {
                let ty = self.word_or_double(form)?;
                form.count(5, 5)?;
                let width = ty.width();
                let d = self.dst(form, 0, width)?;
                let a = self.src(form, 1, ty.into())?;
                let b = self.src(form, 2, ty.into())?;
                let position = self.src(form, 3, B32)?;
                let length = self.src(form, 4, B32)?;
                Ok(Op::Scalar(ScalarOp::Bfi { width, d, a, b, position, length }))
            }
            "sad" => {
                let ty = self.int(form)?;
                if matches!(ty, Int::U16x2 | Int::S16x2) {
                    return Err(form.refuse());
                }
                form.count(4, 4)?;
                let d = self.dst(form, 0, ty.width())?;
                let a = self.src(form, 1, ty.into())?;
                let b = self.src(form, 2, ty.into())?;
                let c = self.src(form, 3, ty.into())?;
                Ok(Op::Scalar(ScalarOp::Sad { ty, d, a, b, c }))
            }
            "szext" | "bmsk" => {
                let ty = self.int(form)?;
                let mode =
                    form.need(&[("clamp", ShiftClamp::Clamp), ("wrap", ShiftClamp::Wrap)])?;
                if ty.width() != Width::B32 {
                    return Err(form.refuse());
                }
                form.count(3, 3)?;
                let d = self.dst(form, 0, Width::B32)?;
                let (a, b) = (self.src(form, 1, B32)?, self.src(form, 2, B32)?);
                Ok(Op::Scalar(if form.instruction.opcode == "szext" {
                    ScalarOp::Szext { signed: ty.signed(), mode, d, a, b }
                } else {
                    ScalarOp::Bmsk { mode, d, a, b }
                }))
            }
            "fns" => {
                if !form.take("b32") {
                    return Err(form.refuse());
                }
                form.count(4, 4)?;
                let d = self.dst(form, 0, Width::B32)?;
                let mask = self.src(form, 1, B32)?;
                let base = self.src(form, 2, B32)?;
                let offset = self.src(form, 3, B32)?;
                Ok(Op::Scalar(ScalarOp::Fns { d, mask, base, offset }))
            }
            _ => {
                let left = form.need(&[("l", true), ("r", false)])?;
                let mode =
                    form.need(&[("clamp", ShiftClamp::Clamp), ("wrap", ShiftClamp::Wrap)])?;
                if !form.take("b32") {
                    return Err(form.refuse());
                }
                form.count(4, 4)?;
                let d = self.dst(form, 0, Width::B32)?;
                let a = self.src(form, 1, B32)?;
                let b = self.src(form, 2, B32)?;
                let c = self.src(form, 3, B32)?;
                Ok(Op::Scalar(ScalarOp::Shf { left, mode, d, a, b, c }))
            }
        }
    }

    fn word_or_double(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Int> {
        match self.int(form)? {
            ty @ (Int::U32 | Int::S32 | Int::U64 | Int::S64) => Ok(ty),
            _ => Err(form.refuse()),
        }
    }

    fn bit_count(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Op> {
        let ty = self.word_or_double(form)?;
        let (op, width) = match form.instruction.opcode {
            "popc" => (IntOp1::Popc, Width::B32),
            "clz" => (IntOp1::Clz, Width::B32),
            "brev" => (IntOp1::Brev, ty.width()),
            _ => {
                let shift = form.take("shiftamt");
                (if shift { IntOp1::BfindShift } else { IntOp1::Bfind }, Width::B32)
            }
        };
        form.count(2, 2)?;
        let d = self.dst(form, 0, width)?;
        let a = self.src(form, 1, ty.into())?;
        Ok(Op::Scalar(ScalarOp::Int1 { op, ty, d, a }))
    }

    fn dot_product(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Op> {
        let signs = [("u32", false), ("s32", true)];
        let a_signed = form.need(&signs)?;
        let b_signed = form.need(&signs)?;
        let high = match form.instruction.opcode {
            "dp2a" => Some(form.need(&[("lo", false), ("hi", true)])?),
            _ => None,
        };
        form.count(4, 4)?;
        let d = self.dst(form, 0, Width::B32)?;
        let a = self.src(form, 1, B32)?;
        let b = self.src(form, 2, B32)?;
        let c = self.src(form, 3, B32)?;
        Ok(Op::Scalar(match high {
            Some(high) => ScalarOp::Dp2a { a_signed, b_signed, high, d, a, b, c },
            None => ScalarOp::Dp4a { a_signed, b_signed, d, a, b, c },
        }))
    }

    fn lop3(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Op> {
        let combine = form.choose(&BOOLS);
        if !form.take("b32") {
            return Err(form.refuse());
        }
        let operands = if combine.is_some() { 6 } else { 5 };
        form.count(operands, operands)?;
        let (d, p) = self.dst_and_pred(form, 0, Width::B32)?;
        let a = self.src(form, 1, B32)?;
        let b = self.src(form, 2, B32)?;
        let c = self.src(form, 3, B32)?;
        let table = self.integer(form, 4)?;
        let Ok(table) = u8::try_from(table) else {
            return Err(form.malformed(format!("table {table} is not in 0..=255")));
        };
        let test = match (combine, p) {
            (Some(op), Some(p)) => Some((p, op, self.pred(form, 5)?)),
            (None, None) => None,
            _ => return Err(form.malformed("a predicate result needs '.and' or '.or'")),
        };
        Ok(Op::Scalar(ScalarOp::Lop3 { d, a, b, c, table, test }))
    }

    fn prmt(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Op> {
        let mode = form.choose(&[
            ("f4e", PrmtMode::F4e),
            ("b4e", PrmtMode::B4e),
            ("rc8", PrmtMode::Rc8),
            ("ecl", PrmtMode::Ecl),
            ("ecr", PrmtMode::Ecr),
            ("rc16", PrmtMode::Rc16),
        ]);
        if !form.take("b32") {
            return Err(form.refuse());
        }
        form.count(4, 4)?;
        let d = self.dst(form, 0, Width::B32)?;
        let a = self.src(form, 1, B32)?;
        let b = self.src(form, 2, B32)?;
        let c = self.src(form, 3, B32)?;
        Ok(Op::Scalar(ScalarOp::Prmt { mode: mode.unwrap_or(PrmtMode::Default), d, a, b, c }))
    }

    /// `mov`: a register, a constant, a predicate, an address, or a vector against a wide register.
    pub(super) fn mov(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Op> {
        let ty = form.ty()?;
        let vector = form.vector();
        form.count(2, 2)?;
        if ty == "pred" {
            let d = self.pred_dst(form, 0)?;
            let a = self.pred(form, 1)?;
            return Ok(Op::Scalar(ScalarOp::MovPred { d, a }));
        }
        let Some(kind) = Kind::of_type(ty) else { return Err(form.refuse()) };
        let width = kind.width();
        if vector > 1 {
            return self.mov_vector(form, vector, kind);
        }
        match (form.operand(0)?, form.operand(1)?) {
            (Operand::Vector(parts), a) if parts.len() > 1 => {
                let part = part_width(form, width, parts.len())?;
                let unpacked: Vec<_> = parts
                    .iter()
                    .map(|operand| {
                        let register = self.dst_of(form, operand, |found| found == part)?;
                        Ok(register.map(|register| register.slot))
                    })
                    .collect::<Decoded<_>>()?;
                let a = self.src_of(form, a, kind)?;
                Ok(Op::Scalar(ScalarOp::Unpack { part, parts: unpacked.into(), a }))
            }
            (_, Operand::Vector(parts)) if parts.len() > 1 => {
                let part = part_width(form, width, parts.len())?;
                let d = self.dst(form, 0, width)?;
                let sources: Vec<_> = parts
                    .iter()
                    .map(|operand| self.src_of(form, operand, Kind::Bits(part)))
                    .collect::<Decoded<_>>()?;
                Ok(Op::Scalar(ScalarOp::Pack { d, part, parts: sources.into() }))
            }
            _ => self.mov_single(form, kind),
        }
    }
}

/// The width of one of `count` parts of a register.
fn part_width(form: &Form<'_, '_>, width: Width, count: usize) -> Decoded<Width> {
    let bytes = width.bytes() as usize;
    let part =
        if bytes.is_multiple_of(count) { Width::from_bytes((bytes / count) as u32) } else { None };
    part.ok_or_else(|| {
        form.malformed(format!("{} bits do not divide into {count} registers", width.bits()))
    })
}
