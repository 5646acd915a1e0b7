//! Video instructions: `vadd`, `vabsdiff4` and their kin, on parts of 32-bit registers.

use super::{
    builder::Builder,
    form::{Decoded, Form},
    op::{Op, ScalarOp, Src, Video, VideoOp, VideoSecond},
    operands::B32,
};
use crate::parse::ast::Operand;

const OPS: [(&str, VideoOp); 7] = [
    ("vadd", VideoOp::Add),
    ("vsub", VideoOp::Sub),
    ("vavrg", VideoOp::Average),
    ("vabsdiff", VideoOp::Difference),
    ("vmin", VideoOp::Min),
    ("vmax", VideoOp::Max),
    ("vset", VideoOp::Less),
];

const COMPARISONS: [(&str, VideoOp); 6] = [
    ("eq", VideoOp::Equal),
    ("ne", VideoOp::NotEqual),
    ("lt", VideoOp::Less),
    ("le", VideoOp::LessEqual),
    ("gt", VideoOp::Greater),
    ("ge", VideoOp::GreaterEqual),
];

impl<'m, 'a> Builder<'m, 'a> {
    pub(super) fn video(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Op> {
        let opcode = form.instruction.opcode;
        let name = opcode.trim_end_matches(['2', '4']);
        let lanes = match opcode.strip_prefix(name) {
            Some("2") => 2,
            Some("4") => 4,
            _ => 1,
        };
        let Some(&(_, mut op)) = OPS.iter().find(|(known, _)| *known == name) else {
            return Err(form.refuse());
        };
        let types = [("u32", false), ("s32", true)];
        let signed = name != "vset" && form.need(&types)?;
        let (a_signed, b_signed) = (form.need(&types)?, form.need(&types)?);
        if name == "vset" {
            op = form.need(&COMPARISONS)?;
        }
        let saturate = name != "vset" && form.take("sat");
        let seconds =
            [("add", VideoSecond::Add), ("min", VideoSecond::Min), ("max", VideoSecond::Max)];
        let mut second = form.choose(&seconds);
        let (d, mask) = parts(form.operand(0)?);
        let register = self.dst_of(form, &d, |width| width == super::op::Width::B32)?;
        let d = match register {
            Some(register) => register.slot,
            None => self.register(super::op::Width::B32)?.slot,
        };
        let (a, a_part) = self.video_source(form, 1)?;
        let (b, b_part) = self.video_source(form, 2)?;
        let whole = |part: Option<&str>, first: u8| -> Option<[u8; 4]> {
            match part {
                None => Some([0, 1, 2, 3].map(|lane| lane + first)),
                Some(part) => numbers(part, lanes),
            }
        };
        let (a_part, b_part, mask) = if lanes == 1 {
            let piece = |part: Option<&str>| part.map_or(Some((0, 32)), piece);
            let (Some(a), Some(b), Some(d)) = (piece(a_part), piece(b_part), piece(mask)) else {
                return Err(form.malformed("a selector that is none of .b0 to .b3, .h0, .h1"));
            };
            if mask.is_some() {
                second = Some(VideoSecond::Merge);
            }
            ([a.0, a.1, 0, 0], [b.0, b.1, 0, 0], [d.0, d.1, 0, 0])
        } else {
            let lanes = lanes as u8;
            let all = [1; 4];
            let mask = match mask {
                None => Some(all),
                Some(mask) => mask_of(mask),
            };
            let (Some(a), Some(b), Some(mask)) = (whole(a_part, 0), whole(b_part, lanes), mask)
            else {
                return Err(form.malformed("a selector that does not fit"));
            };
            if !matches!(second, None | Some(VideoSecond::Add)) {
                return Err(form.refuse());
            }
            second = second.or(Some(VideoSecond::Merge));
            (a, b, mask)
        };
        let operands = if second.is_some() { 4 } else { 3 };
        form.count(operands, operands)?;
        let c = if second.is_some() { self.src(form, 3, B32)? } else { Src::Imm(0) };
        let video =
            Video { op, lanes, signed, a_signed, b_signed, saturate, second, a_part, b_part, mask };
        Ok(Op::Scalar(ScalarOp::Video { video: Box::new(video), d, a, b, c }))
    }

    /// A register, and the part of it that is named.
    fn video_source(
        &mut self,
        form: &Form<'m, 'a>,
        index: usize,
    ) -> Decoded<(Src, Option<&'a str>)> {
        let operand = form.operand(index)?;
        match operand {
            Operand::Member(name, part) => match self.try_register(form, &Operand::Name(name))? {
                Some(register) if register.width == super::op::Width::B32 => {
                    Ok((Src::Reg(register.slot), Some(part)))
                }
                _ => Err(form.malformed(format!("'{name}' is no register of 32 bits"))),
            },
            _ => Ok((self.src_of(form, operand, B32)?, None)),
        }
    }
}

/// `%r1.h0` taken apart.
fn parts<'a>(operand: &Operand<'a>) -> (Operand<'a>, Option<&'a str>) {
    match operand {
        Operand::Member(name, part) => (Operand::Name(name), Some(part)),
        other => (other.clone(), None),
    }
}

/// First bit and bits of `.b0` or `.h1`.
fn piece(part: &str) -> Option<(u8, u8)> {
    let number: u8 = part.get(1..)?.parse().ok()?;
    match part.as_bytes()[0] {
        b'b' if number < 4 => Some((number * 8, 8)),
        b'h' if number < 2 => Some((number * 16, 16)),
        _ => None,
    }
}

/// The numbers of `.b7601` or `.h32`, lowest lane first.
fn numbers(part: &str, lanes: u32) -> Option<[u8; 4]> {
    let digits = part.get(1..).filter(|digits| digits.len() == lanes as usize)?;
    let mut found = [0; 4];
    for (to, digit) in found.iter_mut().zip(digits.bytes().rev()) {
        *to = digit.checked_sub(b'0').filter(|&digit| u32::from(digit) < 2 * lanes)?;
    }
    Some(found)
}

/// Which lanes `.b310` or `.h1` names.
fn mask_of(part: &str) -> Option<[u8; 4]> {
    let mut mask = [0; 4];
    for digit in part.get(1..)?.bytes() {
        *mask.get_mut(usize::from(digit.checked_sub(b'0')?))? = 1;
    }
    Some(mask)
}
