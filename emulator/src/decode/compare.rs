//! Comparison, selection, and moves that read more than registers.

use super::{
    arith::{Number, number},
    builder::Builder,
    form::{Decoded, Form},
    op::{BoolOp, CmpOp, CvtFormat, Float, Int, Op, PredSrc, ScalarOp, Special, Src, Width},
    operands::Kind,
    special,
};
use crate::parse::ast::{Constant, Operand};

const COMPARISONS: [(&str, CmpOp); 18] = [
    ("eq", CmpOp::Eq),
    ("ne", CmpOp::Ne),
    ("lt", CmpOp::Lt),
    ("le", CmpOp::Le),
    ("gt", CmpOp::Gt),
    ("ge", CmpOp::Ge),
    ("lo", CmpOp::Lt),
    ("ls", CmpOp::Le),
    ("hi", CmpOp::Gt),
    ("hs", CmpOp::Ge),
    ("equ", CmpOp::Equ),
    ("neu", CmpOp::Neu),
    ("ltu", CmpOp::Ltu),
    ("leu", CmpOp::Leu),
    ("gtu", CmpOp::Gtu),
    ("geu", CmpOp::Geu),
    ("num", CmpOp::Num),
    ("nan", CmpOp::Nan),
];

const BOOLS: [(&str, BoolOp); 3] = [("and", BoolOp::And), ("or", BoolOp::Or), ("xor", BoolOp::Xor)];

impl<'m, 'a> Builder<'m, 'a> {
    /// The comparison that the words and the operands from `first` on describe.
    fn comparison(
        &mut self,
        form: &mut Form<'m, 'a>,
        ty: Number,
        p: Option<u32>,
        q: Option<u32>,
    ) -> Decoded<ScalarOp> {
        let cmp = form.need(&COMPARISONS)?;
        let combine = form.choose(&BOOLS);
        let ftz = form.take("ftz");
        let operands = if combine.is_some() { 4 } else { 3 };
        form.count(operands, operands)?;
        let kind = match ty {
            Number::Int(ty) => Kind::from(ty),
            Number::Float(ty) => Kind::from(ty),
        };
        let (a, b) = (self.src(form, 1, kind)?, self.src(form, 2, kind)?);
        let combine = match combine {
            Some(op) => Some((op, self.pred(form, 3)?)),
            None => None,
        };
        match ty {
            Number::Int(ty) => {
                let ordered = matches!(
                    cmp,
                    CmpOp::Eq | CmpOp::Ne | CmpOp::Lt | CmpOp::Le | CmpOp::Gt | CmpOp::Ge
                );
                if !ordered || ftz || matches!(ty, Int::U16x2 | Int::S16x2) {
                    return Err(form.refuse());
                }
                Ok(ScalarOp::SetpInt { cmp, ty, p, q, a, b, combine })
            }
            Number::Float(Float::F32x2) => Err(form.refuse()),
            Number::Float(ty) => Ok(ScalarOp::SetpFloat { cmp, ty, ftz, p, q, a, b, combine }),
        }
    }

    pub(super) fn setp(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Op> {
        let ty = form.ty()?;
        let Some(ty) = number(ty) else { return Err(form.refuse()) };
        let (p, q) = self.pred_pair(form, 0)?;
        self.comparison(form, ty, p, q).map(Op::Scalar)
    }

    /// `set.cmp.dtype.stype`: a comparison into a hidden predicate, and a number made from that.
    pub(super) fn set(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Op> {
        let d_type = form.ty()?;
        let s_type = form.ty()?;
        let Some(ty) = number(s_type) else { return Err(form.refuse()) };
        let low = self.new_predicate();
        let packed = matches!(ty, Number::Float(Float::F16x2 | Float::BF16x2));
        let high = packed.then(|| self.new_predicate());
        let compare = self.comparison(form, ty, Some(low), high)?;
        let (format, ones) = match d_type {
            "u32" | "s32" | "b32" if !packed => (CvtFormat::S32, 0),
            "u32" | "s32" | "b32" => (CvtFormat::S32, 0xffff),
            "u16" | "s16" | "b16" => (CvtFormat::S16, 0),
            "f32" => (CvtFormat::F32, 0),
            "f16" => (CvtFormat::F16, 0),
            "bf16" => (CvtFormat::BF16, 0),
            "f16x2" => (CvtFormat::F16, 0x3c00),
            "bf16x2" => (CvtFormat::BF16, 0x3f80),
            _ => return Err(form.refuse()),
        };
        if packed != (ones != 0) {
            return Err(form.refuse());
        }
        let width = if packed { Width::B32 } else { format.width() };
        let d = self.dst(form, 0, width)?;
        self.emit(Op::Scalar(compare));
        let p = PredSrc::Reg { pred: low, negated: false };
        Ok(Op::Scalar(match high {
            Some(pred) => {
                let high = PredSrc::Reg { pred, negated: false };
                ScalarOp::SetFromPair { ones, d, low: p, high }
            }
            None => ScalarOp::SetFrom { format, d, p },
        }))
    }

    pub(super) fn select(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Op> {
        form.count(4, 4)?;
        let ty = form.ty()?;
        let Some(kind) = Kind::of_type(ty) else { return Err(form.refuse()) };
        let width = kind.width();
        if !matches!(width, Width::B16 | Width::B32 | Width::B64) {
            return Err(form.refuse());
        }
        if form.instruction.opcode == "slct" {
            let float = form.need(&[("s32", false), ("f32", true)])?;
            let ftz = form.take("ftz");
            let d = self.dst(form, 0, width)?;
            let (a, b) = (self.src(form, 1, kind)?, self.src(form, 2, kind)?);
            let c_kind = if float { Kind::Single } else { Kind::Bits(Width::B32) };
            let c = self.src(form, 3, c_kind)?;
            return Ok(Op::Scalar(ScalarOp::Slct { width, float, ftz, d, a, b, c }));
        }
        let d = self.dst(form, 0, width)?;
        let (a, b) = (self.src(form, 1, kind)?, self.src(form, 2, kind)?);
        let p = self.pred(form, 3)?;
        Ok(Op::Scalar(ScalarOp::Selp { width, d, a, b, p }))
    }

    /// `mov` to one register. Special registers and addresses are read straight into it.
    pub(super) fn mov_single(&mut self, form: &mut Form<'m, 'a>, kind: Kind) -> Decoded<Op> {
        let width = kind.width();
        let d = self.dst(form, 0, width)?;
        let operand = form.operand(1)?;
        if self.try_register(form, operand)?.is_none() {
            if let Some(name) = special::find(operand) {
                return Ok(Op::Special(Special::Read { dst: d, width, name }));
            }
            let symbol = match operand {
                Operand::Name(name) => self.symbol(form, name)?.map(|symbol| (symbol, 0, false)),
                Operand::Constant(Constant::Symbol { name, offset, generic }) => {
                    self.symbol(form, name)?.map(|symbol| (symbol, *offset, *generic))
                }
                _ => None,
            };
            if let Some((symbol, offset, generic)) = symbol {
                if !matches!(width, Width::B32 | Width::B64) {
                    return Err(form.malformed("an address needs a register of 32 or 64 bits"));
                }
                let special = Special::AddressOf { dst: d, width, symbol, offset, generic };
                return Ok(Op::Special(special));
            }
        }
        if width == Width::B128 && matches!(operand, Operand::Constant(_)) {
            return Err(form.malformed("a 128-bit constant"));
        }
        let a = self.src(form, 1, kind)?;
        Ok(Op::Scalar(ScalarOp::Mov { width, d, a }))
    }

    /// `mov.v4.u32 {…}, %tid`, and vectors element by element.
    pub(super) fn mov_vector(
        &mut self,
        form: &mut Form<'m, 'a>,
        count: usize,
        kind: Kind,
    ) -> Decoded<Op> {
        let width = kind.width();
        let (dst, found) = self.vector_dst(form, form.operand(0)?, width)?;
        if dst.len() != count || found != width {
            return Err(form.malformed(format!("needs {count} registers")));
        }
        if let Some(names) = special::find_vector(form.operand(1)?) {
            let Ok(dst) = <[_; 4]>::try_from(&*dst) else { return Err(form.refuse()) };
            return Ok(Op::Special(Special::ReadVector { dst, names }));
        }
        let src = self.vector_src(form, form.operand(1)?, kind)?;
        if src.len() != count {
            return Err(form.malformed(format!("needs {count} sources")));
        }
        // Through copies, so that a permutation of a vector's own elements comes out right.
        let mut copies = vec![];
        for a in src {
            let d = self.register(width)?.slot;
            self.emit(Op::Scalar(ScalarOp::Mov { width, d, a }));
            copies.push(Src::Reg(d));
        }
        let mut last = None;
        for (d, a) in dst.iter().zip(copies) {
            let Some(d) = *d else { continue };
            if let Some(op) = last.replace(Op::Scalar(ScalarOp::Mov { width, d, a })) {
                self.emit(op);
            }
        }
        last.ok_or_else(|| form.malformed("nothing but sinks"))
    }
}
