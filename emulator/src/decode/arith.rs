//! Integer and floating-point arithmetic.

use super::{
    builder::Builder,
    form::{Decoded, Form},
    op::{
        CarryUse, CvtFormat, Float, FloatMode, FloatOp1, FloatOp2, FloatTest, Int, IntOp1, IntOp2,
        MulPart, Op, Rounding, ScalarOp, Src, Width,
    },
    operands::{B32, Kind},
};

/// A number's type, in arithmetic.
#[derive(Clone, Copy)]
pub(super) enum Number {
    Int(Int),
    Float(Float),
}

/// The type of that word; untyped bits count as unsigned.
pub(super) fn number(ty: &str) -> Option<Number> {
    Some(match ty {
        "u16" | "b16" => Number::Int(Int::U16),
        "s16" => Number::Int(Int::S16),
        "u32" | "b32" => Number::Int(Int::U32),
        "s32" => Number::Int(Int::S32),
        "u64" | "b64" => Number::Int(Int::U64),
        "s64" => Number::Int(Int::S64),
        "u16x2" => Number::Int(Int::U16x2),
        "s16x2" => Number::Int(Int::S16x2),
        "f16" => Number::Float(Float::F16),
        "f16x2" => Number::Float(Float::F16x2),
        "bf16" => Number::Float(Float::BF16),
        "bf16x2" => Number::Float(Float::BF16x2),
        "f32" => Number::Float(Float::F32),
        "f32x2" => Number::Float(Float::F32x2),
        "f64" => Number::Float(Float::F64),
        _ => return None,
    })
}

const ROUNDINGS: [(&str, Rounding); 5] = [
    ("rn", Rounding::Rn),
    ("rz", Rounding::Rz),
    ("rm", Rounding::Rm),
    ("rp", Rounding::Rp),
    ("rna", Rounding::Rna),
];

pub(super) const MUL_PARTS: [(&str, MulPart); 3] =
    [("lo", MulPart::Lo), ("hi", MulPart::Hi), ("wide", MulPart::Wide)];

/// Rounding and the other modifiers of floating-point arithmetic.
pub(super) fn float_mode(form: &mut Form<'_, '_>) -> FloatMode {
    FloatMode {
        rounding: form.choose(&ROUNDINGS).unwrap_or(Rounding::Rn),
        ftz: form.take("ftz"),
        sat: form.take("sat"),
        ..FloatMode::default()
    }
}

fn wide(ty: Int) -> Option<Width> {
    match ty {
        Int::U16 | Int::S16 => Some(Width::B32),
        Int::U32 | Int::S32 => Some(Width::B64),
        _ => None,
    }
}

impl<'m, 'a> Builder<'m, 'a> {
    fn number(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Number> {
        let ty = form.ty()?;
        number(ty).ok_or_else(|| form.refuse())
    }

    pub(super) fn int(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Int> {
        match self.number(form)? {
            Number::Int(ty) => Ok(ty),
            Number::Float(_) => Err(form.refuse()),
        }
    }

    pub(super) fn float(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Float> {
        match self.number(form)? {
            Number::Float(ty) => Ok(ty),
            Number::Int(_) => Err(form.refuse()),
        }
    }

    pub(super) fn arithmetic(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Op> {
        match self.number(form)? {
            Number::Int(ty) => self.int_arithmetic(form, ty),
            Number::Float(ty) => self.float_arithmetic(form, ty),
        }
    }

    fn int_arithmetic(&mut self, form: &mut Form<'m, 'a>, ty: Int) -> Decoded<Op> {
        let kind = Kind::from(ty);
        let mut d_width = ty.width();
        let mut b_kind = kind;
        let op = match form.instruction.opcode {
            "neg" | "abs" => {
                form.count(2, 2)?;
                let negate = form.instruction.opcode == "neg";
                let op = if negate { IntOp1::Neg } else { IntOp1::Abs };
                let d = self.dst(form, 0, ty.width())?;
                let a = self.src(form, 1, kind)?;
                return Ok(Op::Scalar(ScalarOp::Int1 { op, ty, d, a }));
            }
            "add" | "sub" => {
                if form.take("cc") {
                    let subtract = form.instruction.opcode == "sub";
                    let carry = CarryUse { carry_in: None, carry_out: Some(self.carry()) };
                    return self.int_carry(form, subtract, ty, carry);
                }
                match (form.instruction.opcode, form.take("sat")) {
                    ("add", false) => IntOp2::Add,
                    ("sub", false) => IntOp2::Sub,
                    (opcode, true) if ty == Int::S32 => {
                        if opcode == "add" {
                            IntOp2::AddSat
                        } else {
                            IntOp2::SubSat
                        }
                    }
                    _ => return Err(form.refuse()),
                }
            }
            "mul" => {
                let part = form.need(&MUL_PARTS)?;
                if part == MulPart::Wide {
                    d_width = wide(ty).ok_or_else(|| form.refuse())?;
                }
                IntOp2::Mul(part)
            }
            "div" => IntOp2::Div,
            "rem" => IntOp2::Rem,
            opcode => match (opcode, form.take("relu")) {
                ("min", true) => IntOp2::MinRelu,
                ("min", false) => IntOp2::Min,
                (_, true) => IntOp2::MaxRelu,
                (_, false) => IntOp2::Max,
            },
        };
        if matches!(ty, Int::U16x2 | Int::S16x2)
            && matches!(op, IntOp2::Mul(_) | IntOp2::Div | IntOp2::Rem)
        {
            return Err(form.refuse());
        }
        form.count(3, 3)?;
        if matches!(op, IntOp2::Shl | IntOp2::Shr) {
            b_kind = B32;
        }
        let d = self.dst(form, 0, d_width)?;
        let a = self.src(form, 1, kind)?;
        let b = self.src(form, 2, b_kind)?;
        Ok(Op::Scalar(ScalarOp::Int2 { op, ty, d, a, b }))
    }

    fn int_carry(
        &mut self,
        form: &mut Form<'m, 'a>,
        subtract: bool,
        ty: Int,
        carry: CarryUse,
    ) -> Decoded<Op> {
        if !matches!(ty.width(), Width::B32 | Width::B64) {
            return Err(form.refuse());
        }
        form.count(3, 3)?;
        let d = self.dst(form, 0, ty.width())?;
        let a = self.src(form, 1, ty.into())?;
        let b = self.src(form, 2, ty.into())?;
        Ok(Op::Scalar(ScalarOp::IntCarry { subtract, ty, carry, d, a, b }))
    }

    pub(super) fn with_carry(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Op> {
        let ty = self.int(form)?;
        let pred = self.carry();
        let carry_out = form.take("cc").then_some(pred);
        let carry = CarryUse { carry_in: Some(pred), carry_out };
        match form.instruction.opcode {
            "madc" => self.mad_carry(form, ty, carry),
            opcode => self.int_carry(form, opcode == "subc", ty, carry),
        }
    }

    fn mad_carry(&mut self, form: &mut Form<'m, 'a>, ty: Int, carry: CarryUse) -> Decoded<Op> {
        let part = form.need(&MUL_PARTS[..2])?;
        if !matches!(ty.width(), Width::B32 | Width::B64) {
            return Err(form.refuse());
        }
        form.count(4, 4)?;
        let d = self.dst(form, 0, ty.width())?;
        let a = self.src(form, 1, ty.into())?;
        let b = self.src(form, 2, ty.into())?;
        let c = self.src(form, 3, ty.into())?;
        Ok(Op::Scalar(ScalarOp::MadCarry { part, ty, carry, d, a, b, c }))
    }

    fn float_arithmetic(&mut self, form: &mut Form<'m, 'a>, ty: Float) -> Decoded<Op> {
        let opcode = form.instruction.opcode;
        let mut mode = float_mode(form);
        let op = match opcode {
            "neg" | "abs" => {
                form.count(2, 2)?;
                let op = if opcode == "neg" { FloatOp1::Neg } else { FloatOp1::Abs };
                let d = self.dst(form, 0, ty.width())?;
                let a = self.src(form, 1, ty.into())?;
                return Ok(Op::Scalar(ScalarOp::Float1 { op, ty, mode, d, a }));
            }
            "add" => FloatOp2::Add,
            "sub" => FloatOp2::Sub,
            "mul" => FloatOp2::Mul,
            "div" => {
                if !matches!(ty, Float::F32 | Float::F64) {
                    return Err(form.refuse());
                }
                let _full = form.take("full");
                if form.take("approx") { FloatOp2::DivApprox } else { FloatOp2::Div }
            }
            "min" | "max" => {
                mode.nan = form.take("NaN");
                mode.xorsign_abs = form.take("xorsign");
                mode.abs = form.take("abs");
                if mode.xorsign_abs && !mode.abs {
                    return Err(form.refuse());
                }
                if form.len() == 4 {
                    if ty != Float::F32 || mode.xorsign_abs {
                        return Err(form.refuse());
                    }
                    let d = self.dst(form, 0, ty.width())?;
                    let a = self.src(form, 1, ty.into())?;
                    let b = self.src(form, 2, ty.into())?;
                    let c = self.src(form, 3, ty.into())?;
                    let max = opcode == "max";
                    return Ok(Op::Scalar(ScalarOp::Float3 { max, mode, d, a, b, c }));
                }
                if mode.abs != mode.xorsign_abs {
                    return Err(form.refuse());
                }
                mode.abs = false;
                if opcode == "min" { FloatOp2::Min } else { FloatOp2::Max }
            }
            _ => return Err(form.refuse()),
        };
        form.count(3, 3)?;
        let d = self.dst(form, 0, ty.width())?;
        let mixed = self.mixed(form, ty)?;
        let a = self.float_src(form, 1, ty, mixed)?;
        // In the mixed forms of add and sub, the second operand is single precision already.
        let b = self.src(form, 2, ty.into())?;
        Ok(Op::Scalar(ScalarOp::Float2 { op, ty, mode, d, a, b }))
    }

    /// `add.f32.f16` and `fma.rn.f32.bf16`: the second type word.
    fn mixed(&mut self, form: &mut Form<'m, 'a>, ty: Float) -> Decoded<Option<CvtFormat>> {
        let allowed = ty == Float::F32 && matches!(form.instruction.opcode, "add" | "sub" | "fma");
        let mixed = [("f16", CvtFormat::F16), ("bf16", CvtFormat::BF16)];
        Ok(if allowed { form.choose(&mixed) } else { None })
    }

    fn float_src(
        &mut self,
        form: &Form<'m, 'a>,
        index: usize,
        ty: Float,
        mixed: Option<CvtFormat>,
    ) -> Decoded<Src> {
        let Some(from) = mixed else { return self.src(form, index, ty.into()) };
        let a = self.src(form, index, Kind::Bits(Width::B16))?;
        let d = self.register(Width::B32)?.slot;
        self.emit(Op::Scalar(ScalarOp::Cvt {
            to: CvtFormat::F32,
            from,
            rounding: None,
            integral: false,
            ftz: false,
            sat: false,
            satfinite: false,
            relu: false,
            reg: Width::B32,
            d,
            a,
        }));
        Ok(Src::Reg(d))
    }

    /// `fma`, and `mad` of integers and floats.
    pub(super) fn multiply_add(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Op> {
        match self.number(form)? {
            Number::Float(ty) => {
                let mut mode = float_mode(form);
                mode.relu = form.take("relu");
                let mixed = self.mixed(form, ty)?;
                form.count(4, 4)?;
                let d = self.dst(form, 0, ty.width())?;
                let a = self.float_src(form, 1, ty, mixed)?;
                let b = self.float_src(form, 2, ty, mixed)?;
                let c = self.src(form, 3, ty.into())?;
                Ok(Op::Scalar(ScalarOp::Fma { ty, mode, d, a, b, c }))
            }
            Number::Int(ty) if form.instruction.opcode == "mad" => {
                if form.take("cc") {
                    let carry = CarryUse { carry_in: None, carry_out: Some(self.carry()) };
                    return self.mad_carry(form, ty, carry);
                }
                let part = form.need(&MUL_PARTS)?;
                self.int_mad(form, ty, part)
            }
            Number::Int(_) => Err(form.refuse()),
        }
    }

    fn int_mad(&mut self, form: &mut Form<'m, 'a>, ty: Int, part: MulPart) -> Decoded<Op> {
        let sat = form.take("sat");
        if sat && !(ty == Int::S32 && matches!(part, MulPart::Hi | MulPart::Hi24))
            || matches!(ty, Int::U16x2 | Int::S16x2)
        {
            return Err(form.refuse());
        }
        let width = match part {
            MulPart::Wide => wide(ty).ok_or_else(|| form.refuse())?,
            _ => ty.width(),
        };
        form.count(4, 4)?;
        let d = self.dst(form, 0, width)?;
        let a = self.src(form, 1, ty.into())?;
        let b = self.src(form, 2, ty.into())?;
        let c = self.src(form, 3, Kind::Bits(width))?;
        Ok(Op::Scalar(ScalarOp::IntMad { part, ty, sat, d, a, b, c }))
    }

    pub(super) fn multiply_24(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Op> {
        let ty = self.int(form)?;
        if !matches!(ty, Int::U32 | Int::S32) {
            return Err(form.refuse());
        }
        let part = form.need(&[("lo", MulPart::Lo24), ("hi", MulPart::Hi24)])?;
        if form.instruction.opcode == "mad24" {
            return self.int_mad(form, ty, part);
        }
        form.count(3, 3)?;
        let d = self.dst(form, 0, Width::B32)?;
        let a = self.src(form, 1, B32)?;
        let b = self.src(form, 2, B32)?;
        Ok(Op::Scalar(ScalarOp::Int2 { op: IntOp2::Mul(part), ty, d, a, b }))
    }

    pub(super) fn float_function(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Op> {
        let opcode = form.instruction.opcode;
        let ty = self.float(form)?;
        if opcode == "testp" {
            let test = form.need(&[
                ("finite", FloatTest::Finite),
                ("infinite", FloatTest::Infinite),
                ("number", FloatTest::Number),
                ("notanumber", FloatTest::NotANumber),
                ("normal", FloatTest::Normal),
                ("subnormal", FloatTest::Subnormal),
            ])?;
            if !matches!(ty, Float::F32 | Float::F64) {
                return Err(form.refuse());
            }
            form.count(2, 2)?;
            let d = self.pred_dst(form, 0)?;
            let a = self.src(form, 1, ty.into())?;
            return Ok(Op::Scalar(ScalarOp::TestFloat { test, ty, d, a }));
        }
        let mode = float_mode(form);
        if opcode == "copysign" {
            form.count(3, 3)?;
            let d = self.dst(form, 0, ty.width())?;
            let a = self.src(form, 1, ty.into())?;
            let b = self.src(form, 2, ty.into())?;
            let op = FloatOp2::CopySign;
            return Ok(Op::Scalar(ScalarOp::Float2 { op, ty, mode, d, a, b }));
        }
        let approx = form.take("approx");
        let (op, needs_approx) = match opcode {
            "rcp" => (FloatOp1::Rcp, false),
            "sqrt" => (FloatOp1::Sqrt, false),
            "rsqrt" => (FloatOp1::Rsqrt, true),
            "sin" => (FloatOp1::Sin, true),
            "cos" => (FloatOp1::Cos, true),
            "lg2" => (FloatOp1::Lg2, true),
            "ex2" => (FloatOp1::Ex2, true),
            _ => (FloatOp1::Tanh, true),
        };
        let halves = matches!(op, FloatOp1::Ex2 | FloatOp1::Tanh);
        let fits = match ty {
            Float::F32 => true,
            Float::F64 => matches!(op, FloatOp1::Rcp | FloatOp1::Sqrt | FloatOp1::Rsqrt),
            Float::F32x2 => false,
            _ => halves,
        };
        if !fits || needs_approx && !approx {
            return Err(form.refuse());
        }
        form.count(2, 2)?;
        let d = self.dst(form, 0, ty.width())?;
        let a = self.src(form, 1, ty.into())?;
        Ok(Op::Scalar(ScalarOp::Float1 { op, ty, mode, d, a }))
    }
}
