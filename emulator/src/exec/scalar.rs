//! Instructions that touch nothing but registers, each lane for itself.
//!
//! Values are computed for all 32 lanes and stored under the mask: loops without branches over
//! arrays vectorise. The check that a read register was written is one mask test per operand.

mod bits;
mod convert;
mod double;
mod float;
mod int;
#[cfg(test)]
mod tests;
mod video;

use super::operand::{read, read_pred, read32, read64, write, write32};
use crate::{
    decode::op::{BoolOp, CvtFormat, Dst, FloatMode, Int, IntOp2, PredSrc, ScalarOp, Src, Width},
    error::Fault,
    machine::registers::{Lane32, Lanes, Registers},
};

type Done = Result<(), Box<Fault>>;

/// Executes one instruction for the lanes of `lanes`.
pub(super) fn execute(op: &ScalarOp, regs: &mut Registers, lanes: Lanes) -> Done {
    let file = &mut File { regs, lanes };
    match op {
        ScalarOp::Mov { width, d, a } => file.mov(*width, *d, *a),
        ScalarOp::Pack { d, part, parts } => file.pack(*d, *part, parts),
        ScalarOp::Unpack { part, parts, a } => file.unpack(*part, parts, *a),
        ScalarOp::MovPred { d, a } => {
            let value = file.pred(*a)?;
            file.set_pred(*d, value);
            Ok(())
        }
        ScalarOp::LogicPred { op, d, a, b } => {
            let value = combine(*op, file.pred(*a)?, file.pred(*b)?);
            file.set_pred(*d, value);
            Ok(())
        }
        ScalarOp::Int2 { op, ty, d, a, b } => int::binary(file, *op, *ty, *d, *a, *b),
        ScalarOp::Int1 { op, ty, d, a } => int::unary(file, *op, *ty, *d, *a),
        ScalarOp::IntMad { part, ty, sat, d, a, b, c } => {
            int::mad(file, (*part, *ty, *sat), *d, *a, *b, *c)
        }
        ScalarOp::IntCarry { subtract, ty, carry, d, a, b } => {
            int::carry(file, *subtract, *ty, *carry, (*d, *a, *b))
        }
        ScalarOp::MadCarry { part, ty, carry, d, a, b, c } => {
            int::mad_carry(file, *part, *ty, *carry, (*d, *a, *b, *c))
        }
        ScalarOp::Sad { ty, d, a, b, c } => int::sad(file, *ty, *d, *a, *b, *c),
        ScalarOp::Dp4a { a_signed, b_signed, d, a, b, c } => {
            let f = |a, b, c| int::dp4a(*a_signed, *b_signed, a, b, c);
            file.map3(*d, *a, *b, *c, f)
        }
        ScalarOp::Dp2a { a_signed, b_signed, high, d, a, b, c } => {
            let f = |a, b, c| int::dp2a(*a_signed, *b_signed, *high, a, b, c);
            file.map3(*d, *a, *b, *c, f)
        }
        ScalarOp::Bfe { ty, d, a, position, length } => {
            bits::extract(file, *ty, *d, *a, *position, *length)
        }
        ScalarOp::Bfi { width, d, a, b, position, length } => {
            bits::insert(file, *width, *d, (*a, *b), *position, *length)
        }
        ScalarOp::Szext { signed, mode, d, a, b } => {
            file.map2(*d, *a, *b, |a, b| bits::szext(*signed, *mode, a, b))
        }
        ScalarOp::Bmsk { mode, d, a, b } => file.map2(*d, *a, *b, |a, b| bits::bmsk(*mode, a, b)),
        ScalarOp::Fns { d, mask, base, offset } => {
            file.map3(*d, *mask, *base, *offset, bits::nth_set)
        }
        ScalarOp::Shf { left, mode, d, a, b, c } => {
            file.map3(*d, *a, *b, *c, |a, b, c| bits::funnel(*left, *mode, a, b, c))
        }
        ScalarOp::Lop3 { d, a, b, c, table, test } => {
            bits::lop3(file, *d, (*a, *b, *c), *table, *test)
        }
        ScalarOp::Prmt { mode, d, a, b, c } => {
            file.map3(*d, *a, *b, *c, |a, b, c| bits::permute(*mode, a, b, c))
        }
        ScalarOp::Float2 { op, ty, mode, d, a, b } => {
            float::binary(file, *op, *ty, *mode, *d, *a, *b)
        }
        ScalarOp::Float3 { max, mode, d, a, b, c } => {
            file.map3(*d, *a, *b, *c, |a, b, c| float::extreme3(*max, *mode, [a, b, c]))
        }
        ScalarOp::Float1 { op, ty, mode, d, a } => float::unary(file, *op, *ty, *mode, *d, *a),
        ScalarOp::Fma { ty, mode, d, a, b, c } => float::fma(file, *ty, *mode, *d, *a, *b, *c),
        ScalarOp::TestFloat { test, ty, d, a } => float::test(file, *test, *ty, *d, *a),
        ScalarOp::SetpInt { cmp, ty, p, q, a, b, combine } => {
            let mask = int::compare(file, *cmp, *ty, *a, *b)?;
            file.set_pair(*p, *q, mask, !mask, *combine)
        }
        ScalarOp::SetpFloat { cmp, ty, ftz, p, q, a, b, combine } => {
            let (low, high) = float::compare(file, *cmp, *ty, *ftz, *a, *b)?;
            file.set_pair(*p, *q, low, high, *combine)
        }
        ScalarOp::SetFrom { format, d, p } => {
            let one: u32 = match format {
                CvtFormat::F32 => 0x3f80_0000,
                CvtFormat::F16 => 0x3c00,
                CvtFormat::BF16 => 0x3f80,
                CvtFormat::S16 => 0xffff,
                _ => u32::MAX,
            };
            let mask = file.pred(*p)?;
            file.put32(*d, &std::array::from_fn(|lane| (mask >> lane & 1) * one))
        }
        ScalarOp::SetFromPair { ones, d, low, high } => {
            let (low, high, ones) = (file.pred(*low)?, file.pred(*high)?, u32::from(*ones));
            let pair = |lane| ((low >> lane & 1) * ones) | (((high >> lane & 1) * ones) << 16);
            file.put32(*d, &std::array::from_fn(pair))
        }
        ScalarOp::Selp { width, d, a, b, p } => file.select(*width, *d, *a, *b, *p),
        ScalarOp::Slct { width, float, ftz, d, a, b, c } => {
            // A NaN or a negative number, but not -0, selects b.
            let c = file.get32(*c)?;
            let mut mask = 0;
            for (lane, &c) in c.iter().enumerate() {
                let yes = match float {
                    true if *ftz => float::flushed(c) >= 0.0,
                    true => f32::from_bits(c) >= 0.0,
                    false => c as i32 >= 0,
                };
                mask |= u32::from(yes) << lane;
            }
            file.choose(*width, *d, *a, *b, mask)
        }
        ScalarOp::Cvt { .. } => convert::single(file, op),
        ScalarOp::CvtPacked { .. } => convert::packed(file, op),
        ScalarOp::CvtPack { signed, bits, d, a, b, c } => {
            let c = c.unwrap_or(Src::Imm(0));
            let f = |a, b, c| convert::pack_saturated(*signed, *bits, a, b, c);
            file.map3(*d, *a, *b, c, f)
        }
        ScalarOp::Video { video, d, a, b, c } => {
            file.map3(*d, *a, *b, *c, |a, b, c| video::evaluate(video, a, b, c))
        }
    }
}

/// One integer operation on a pair, for reductions.
pub(super) fn combine_integers(op: IntOp2, ty: Int, a: u64, b: u64) -> u64 {
    int::evaluate(op, ty, a, b)
}

/// `min` or `max` of two f32, for reductions.
pub(super) fn float_extreme(max: bool, nan: bool, a: u32, b: u32) -> u32 {
    float::extreme3(max, FloatMode { nan, ..FloatMode::default() }, [a, b, b])
}

/// The register file under a mask.
struct File<'r> {
    regs: &'r mut Registers,
    lanes: Lanes,
}

fn combine(op: BoolOp, a: Lanes, b: Lanes) -> Lanes {
    match op {
        BoolOp::And => a & b,
        BoolOp::Or => a | b,
        BoolOp::Xor => a ^ b,
    }
}

impl File<'_> {
    #[inline]
    fn get32(&self, src: Src) -> Result<Lane32, Box<Fault>> {
        read32(self.regs, src, self.lanes)
    }

    #[inline]
    fn get(&self, src: Src, width: Width) -> Result<[u64; 32], Box<Fault>> {
        read(self.regs, src, width, self.lanes)
    }

    #[inline]
    fn put32(&mut self, d: u32, value: &Lane32) -> Done {
        write32(self.regs, d, self.lanes, value)
    }

    #[inline]
    fn put(&mut self, d: u32, width: Width, value: &[u64; 32]) -> Done {
        write(self.regs, d, width, self.lanes, value)
    }

    fn pred(&self, src: PredSrc) -> Result<Lanes, Box<Fault>> {
        read_pred(self.regs, src, self.lanes)
    }

    fn set_pred(&mut self, d: u32, value: Lanes) {
        self.regs.set_pred(d as usize, self.lanes, value);
    }

    /// Stores a comparison and its counterpart, each combined with a third predicate.
    fn set_pair(
        &mut self,
        p: Option<u32>,
        q: Option<u32>,
        mut low: Lanes,
        mut high: Lanes,
        with: Option<(BoolOp, PredSrc)>,
    ) -> Done {
        if let Some((op, src)) = with {
            let third = self.pred(src)?;
            (low, high) = (combine(op, low, third), combine(op, high, third));
        }
        if let Some(p) = p {
            self.set_pred(p, low);
        }
        if let Some(q) = q {
            self.set_pred(q, high);
        }
        Ok(())
    }

    #[inline]
    fn map1(&mut self, d: u32, a: Src, f: impl Fn(u32) -> u32) -> Done {
        let a = self.get32(a)?;
        self.put32(d, &std::array::from_fn(|lane| f(a[lane])))
    }

    #[inline]
    fn map2(&mut self, d: u32, a: Src, b: Src, f: impl Fn(u32, u32) -> u32) -> Done {
        let (a, b) = (self.get32(a)?, self.get32(b)?);
        self.put32(d, &std::array::from_fn(|lane| f(a[lane], b[lane])))
    }

    #[inline]
    fn map3(&mut self, d: u32, a: Src, b: Src, c: Src, f: impl Fn(u32, u32, u32) -> u32) -> Done {
        let (a, b, c) = (self.get32(a)?, self.get32(b)?, self.get32(c)?);
        self.put32(d, &std::array::from_fn(|lane| f(a[lane], b[lane], c[lane])))
    }

    #[inline]
    fn map2_wide(
        &mut self,
        width: Width,
        d: u32,
        a: Src,
        b: Src,
        f: impl Fn(u64, u64) -> u64,
    ) -> Done {
        let (a, b) = (self.get(a, width)?, self.get(b, width)?);
        self.put(d, width, &std::array::from_fn(|lane| f(a[lane], b[lane])))
    }

    /// Two 32-bit operands, a 64-bit result.
    #[inline]
    fn widen(&mut self, d: u32, a: Src, b: Src, f: impl Fn(u32, u32) -> u64) -> Done {
        let (a, b) = (self.get32(a)?, self.get32(b)?);
        self.put(d, Width::B64, &std::array::from_fn(|lane| f(a[lane], b[lane])))
    }

    /// A 64-bit operand and a 32-bit amount.
    #[inline]
    fn shift64(&mut self, d: u32, a: Src, b: Src, f: impl Fn(u64, u32) -> u64) -> Done {
        let (a, b) = (self.get(a, Width::B64)?, self.get32(b)?);
        self.put(d, Width::B64, &std::array::from_fn(|lane| f(a[lane], b[lane])))
    }

    fn mov(&mut self, width: Width, d: u32, a: Src) -> Done {
        match (width, a) {
            (Width::B128, Src::Reg(a)) => {
                // All four words first: the registers may overlap nowhere, but a fault must leave
                // the destination alone.
                let mut words = [[0; 32]; 4];
                for (word, slot) in words.iter_mut().zip(a..) {
                    *word = self.get32(Src::Reg(slot))?;
                }
                words.iter().zip(d..).try_for_each(|(word, slot)| self.put32(slot, word))
            }
            (Width::B64 | Width::B128, _) => {
                let value = read64(self.regs, a, self.lanes)?;
                self.put(d, Width::B64, &value)
            }
            (Width::B32, _) => {
                let value = self.get32(a)?;
                self.put32(d, &value)
            }
            _ => {
                let mask = (1u32 << width.bits()) - 1;
                self.map1(d, a, |a| a & mask)
            }
        }
    }

    fn pack(&mut self, d: u32, part: Width, parts: &[Src]) -> Done {
        let mut words = [[0u32; 32]; 4];
        for (index, &src) in parts.iter().enumerate() {
            let value = self.get(src, part)?;
            let bit = index * part.bits() as usize;
            for lane in 0..32 {
                match part {
                    Width::B64 => {
                        words[bit / 32][lane] = value[lane] as u32;
                        words[bit / 32 + 1][lane] = (value[lane] >> 32) as u32;
                    }
                    Width::B32 => words[bit / 32][lane] = value[lane] as u32,
                    _ => {
                        let value = value[lane] as u32 & ((1 << part.bits()) - 1);
                        words[bit / 32][lane] |= value << (bit % 32);
                    }
                }
            }
        }
        let count = (parts.len() * part.bits() as usize).div_ceil(32);
        words[..count].iter().zip(d..).try_for_each(|(word, slot)| self.put32(slot, word))
    }

    fn unpack(&mut self, part: Width, parts: &[Dst], a: Src) -> Done {
        let count = (parts.len() * part.bits() as usize).div_ceil(32);
        let mut words = [[0u32; 32]; 4];
        match a {
            Src::Imm(value) => {
                words[0] = [value as u32; 32];
                words[1] = [(value >> 32) as u32; 32];
            }
            Src::Reg(first) => {
                for (word, slot) in words[..count].iter_mut().zip(first..) {
                    *word = self.get32(Src::Reg(slot))?;
                }
            }
        }
        for (index, dst) in parts.iter().enumerate() {
            let Some(d) = *dst else { continue };
            let bit = index * part.bits() as usize;
            match part {
                Width::B64 => {
                    self.put32(d, &words[bit / 32])?;
                    self.put32(d + 1, &words[bit / 32 + 1])?;
                }
                Width::B32 => self.put32(d, &words[bit / 32])?,
                _ => {
                    let mask = (1u32 << part.bits()) - 1;
                    self.put32(d, &words[bit / 32].map(|word| word >> (bit % 32) & mask))?;
                }
            }
        }
        Ok(())
    }

    fn select(&mut self, width: Width, d: u32, a: Src, b: Src, p: PredSrc) -> Done {
        let mask = self.pred(p)?;
        self.choose(width, d, a, b, mask)
    }

    /// `a` where the mask has a bit, else `b`.
    fn choose(&mut self, width: Width, d: u32, a: Src, b: Src, mask: Lanes) -> Done {
        if width != Width::B64 {
            let (a, b) = (self.get32(a)?, self.get32(b)?);
            let pick = |lane: usize| if mask >> lane & 1 == 1 { a[lane] } else { b[lane] };
            return self.put32(d, &std::array::from_fn(pick));
        }
        let (a, b) = (self.get(a, width)?, self.get(b, width)?);
        let pick = |lane: usize| if mask >> lane & 1 == 1 { a[lane] } else { b[lane] };
        self.put(d, width, &std::array::from_fn(pick))
    }
}

/// The low `bits` bits of `value`, extended as the type asks.
fn extend(value: u64, bits: u32, signed: bool) -> i128 {
    let shift = 64 - bits;
    if signed {
        i128::from(((value << shift) as i64) >> shift)
    } else {
        i128::from(value << shift >> shift)
    }
}

/// The parts of a packed pair as types of their own.
fn half_type(ty: Int) -> Int {
    match ty {
        Int::U16x2 => Int::U16,
        Int::S16x2 => Int::S16,
        other => other,
    }
}
