//! `cvt`: between numbers, and between pairs and quadruples of small floats.

use super::{
    builder::Builder,
    form::{Decoded, Form},
    op::{CvtFormat, Op, PackedFormat, Rounding, ScalarOp, Src, Width},
    operands::{B8, B16, B32, B64, Kind},
};
use crate::parse::ast::Operand;

const SCALARS: [(&str, CvtFormat); 13] = [
    ("u8", CvtFormat::U8),
    ("s8", CvtFormat::S8),
    ("u16", CvtFormat::U16),
    ("s16", CvtFormat::S16),
    ("u32", CvtFormat::U32),
    ("s32", CvtFormat::S32),
    ("u64", CvtFormat::U64),
    ("s64", CvtFormat::S64),
    ("f16", CvtFormat::F16),
    ("bf16", CvtFormat::BF16),
    ("tf32", CvtFormat::TF32),
    ("f32", CvtFormat::F32),
    ("f64", CvtFormat::F64),
];

/// Name, format and count of the packed types.
const PACKED: [(&str, (PackedFormat, u32)); 15] = [
    ("f16x2", (PackedFormat::F16, 2)),
    ("bf16x2", (PackedFormat::BF16, 2)),
    ("e4m3x2", (PackedFormat::E4M3, 2)),
    ("e5m2x2", (PackedFormat::E5M2, 2)),
    ("e2m1x2", (PackedFormat::E2M1, 2)),
    ("e2m3x2", (PackedFormat::E2M3, 2)),
    ("e3m2x2", (PackedFormat::E3M2, 2)),
    ("ue8m0x2", (PackedFormat::Ue8m0, 2)),
    ("e4m3x4", (PackedFormat::E4M3, 4)),
    ("e5m2x4", (PackedFormat::E5M2, 4)),
    ("e2m1x4", (PackedFormat::E2M1, 4)),
    ("e2m3x4", (PackedFormat::E2M3, 4)),
    ("e3m2x4", (PackedFormat::E3M2, 4)),
    ("f32", (PackedFormat::F32, 1)),
    ("ue8m0x4", (PackedFormat::Ue8m0, 4)),
];

#[derive(Clone, Copy)]
enum Mode {
    Float(Rounding),
    Integral(Rounding),
}

const MODES: [(&str, Mode); 10] = [
    ("rn", Mode::Float(Rounding::Rn)),
    ("rz", Mode::Float(Rounding::Rz)),
    ("rm", Mode::Float(Rounding::Rm)),
    ("rp", Mode::Float(Rounding::Rp)),
    ("rna", Mode::Float(Rounding::Rna)),
    ("rs", Mode::Float(Rounding::Rs)),
    ("rni", Mode::Integral(Rounding::Rn)),
    ("rzi", Mode::Integral(Rounding::Rz)),
    ("rmi", Mode::Integral(Rounding::Rm)),
    ("rpi", Mode::Integral(Rounding::Rp)),
];

/// Bits of one number of that format.
fn packed_bits(format: PackedFormat) -> u32 {
    match format {
        PackedFormat::F32 => 32,
        PackedFormat::F16 | PackedFormat::BF16 => 16,
        PackedFormat::E2M1 => 4,
        _ => 8,
    }
}

impl<'m, 'a> Builder<'m, 'a> {
    pub(super) fn cvt(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Op> {
        if form.take("pack") {
            return self.cvt_pack(form);
        }
        let mode = form.choose(&MODES);
        let packed = form
            .instruction
            .words
            .iter()
            .any(|word| *word != "f32" && PACKED.iter().any(|(known, _)| known == word));
        if packed {
            return self.cvt_packed(form, mode);
        }
        let ftz = form.take("ftz");
        let sat = form.take("sat");
        let satfinite = form.take("satfinite");
        let relu = form.take("relu");
        let to = form.need(&SCALARS)?;
        let from = form.need(&SCALARS)?;
        if matches!(mode, Some(Mode::Float(Rounding::Rs))) {
            return Err(form.unsupported("stochastic rounding"));
        }
        if from == CvtFormat::TF32 {
            return Err(form.refuse());
        }
        let (rounding, integral) = match mode {
            None => (None, false),
            Some(Mode::Float(rounding)) => (Some(rounding), false),
            Some(Mode::Integral(rounding)) => (Some(rounding), true),
        };
        let narrows = match (to.is_int(), from.is_int()) {
            (true, true) => false,
            (false, false) => to.width() < from.width() || to == CvtFormat::TF32,
            _ => true,
        };
        let needs_rounding = narrows && !(from == CvtFormat::F16 && to == CvtFormat::BF16);
        if needs_rounding && rounding.is_none() {
            return Err(form.malformed("this conversion needs a rounding modifier"));
        }
        if to.is_int() && !from.is_int() && !integral {
            return Err(form.malformed("a float becomes an integer with '.rni', '.rzi', … only"));
        }
        form.count(2, 2)?;
        let register = self.dst_wide(form, 0, to.width())?;
        if !to.is_int() && register.width != to.width() && to.width() != Width::B16 {
            return Err(form.malformed("the destination register is too wide"));
        }
        let (d, reg) = (register.slot, register.width);
        let kind = match from {
            CvtFormat::F32 => Kind::Single,
            CvtFormat::F64 => Kind::Double,
            from => Kind::Bits(from.width()),
        };
        let a = self.src_wide(form, form.operand(1)?, kind)?;
        Ok(Op::Scalar(ScalarOp::Cvt {
            to,
            from,
            rounding,
            integral,
            ftz,
            sat,
            satfinite,
            relu,
            reg,
            d,
            a,
        }))
    }

    fn cvt_packed(&mut self, form: &mut Form<'m, 'a>, mode: Option<Mode>) -> Decoded<Op> {
        let satfinite = form.take("satfinite");
        let relu = form.take("relu");
        let ftz = form.take("ftz");
        let (to, count) = form.need(&PACKED)?;
        let (from, from_count) = form.need(&PACKED)?;
        let Some(Mode::Float(rounding)) = mode else {
            return Err(form.malformed("this conversion needs a rounding modifier"));
        };
        if rounding == Rounding::Rs && from != PackedFormat::F32 {
            return Err(form.refuse());
        }
        let small = |format| packed_bits(format) <= 8;
        let known = match (to, from) {
            (PackedFormat::F16 | PackedFormat::BF16, PackedFormat::F32) => true,
            (PackedFormat::Ue8m0, PackedFormat::F32 | PackedFormat::BF16) => {
                matches!(rounding, Rounding::Rz | Rounding::Rp)
            }
            (to, PackedFormat::F32 | PackedFormat::F16 | PackedFormat::BF16) => {
                small(to) && satfinite
            }
            (PackedFormat::BF16, PackedFormat::Ue8m0) => true,
            (PackedFormat::F16, from) => small(from) && from != PackedFormat::Ue8m0,
            (PackedFormat::BF16, from) => small(from),
            _ => false,
        };
        if !known || from_count != 1 && from_count != count {
            return Err(form.refuse());
        }
        let bits = packed_bits(to) * count;
        let least = match bits {
            0..=8 => Width::B8,
            9..=16 => Width::B16,
            _ => Width::B32,
        };
        // A byte of two e2m1 may also sit in a 16-bit register.
        let register = self.dst_wide(form, 0, least)?;
        if register.width != least && least != Width::B8 {
            return Err(form.malformed("the destination register has the wrong width"));
        }
        let d = register.slot;
        let mut next = 1;
        let a: Box<[Src]> = if from == PackedFormat::F32 {
            match form.operand(1)? {
                Operand::Vector(list) => {
                    next = 2;
                    list.iter()
                        .map(|operand| self.src_of(form, operand, Kind::Single))
                        .collect::<Decoded<_>>()?
                }
                _ => {
                    next = 1 + count as usize;
                    (1..next)
                        .map(|index| self.src(form, index, Kind::Single))
                        .collect::<Decoded<_>>()?
                }
            }
        } else {
            let kind = match packed_bits(from) * count {
                0..=8 => B8,
                9..=16 => B16,
                17..=32 => B32,
                _ => B64,
            };
            next += 1;
            Box::new([self.src_wide(form, form.operand(1)?, kind)?])
        };
        if from == PackedFormat::F32 && a.len() != count as usize {
            return Err(form.malformed(format!("needs {count} numbers, {} are given", a.len())));
        }
        let random = if rounding == Rounding::Rs {
            form.count(next + 1, next + 1)?;
            Some(self.src(form, next, B32)?)
        } else {
            form.count(next, next)?;
            None
        };
        Ok(Op::Scalar(ScalarOp::CvtPacked {
            to,
            from,
            rounding,
            ftz,
            satfinite,
            relu,
            count,
            d,
            a,
            random,
        }))
    }

    /// `cvt.pack.sat.u8.s32.b32 d, a, b, c`.
    fn cvt_pack(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Op> {
        let sat = form.take("sat");
        let (signed, bits) = form.need(&[
            ("u2", (false, 2)),
            ("s2", (true, 2)),
            ("u4", (false, 4)),
            ("s4", (true, 4)),
            ("u8", (false, 8)),
            ("s8", (true, 8)),
            ("u16", (false, 16)),
            ("s16", (true, 16)),
        ])?;
        let with_c = form.take("b32");
        if !sat || !form.take("s32") || with_c == (bits == 16) {
            return Err(form.refuse());
        }
        let operands = if with_c { 4 } else { 3 };
        form.count(operands, operands)?;
        let d = self.dst(form, 0, Width::B32)?;
        let (a, b) = (self.src(form, 1, B32)?, self.src(form, 2, B32)?);
        let c = if with_c { Some(self.src(form, 3, B32)?) } else { None };
        Ok(Op::Scalar(ScalarOp::CvtPack { signed, bits, d, a, b, c }))
    }
}
