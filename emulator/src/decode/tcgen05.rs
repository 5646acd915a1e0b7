//! `tcgen05.*`.

use super::{
    builder::Builder,
    form::{Decoded, Form},
    memory::atom_type,
    op::{
        AtomType, Collector, CollectorOp, CpMulticast, CpShape, CpSource, MmaA, Op, Space, Src,
        Tcgen05Kind, Tcgen05Mma, Tcgen05Op, TmemReduce, TmemShape, Width,
    },
    operands::{B16, B32, B64},
};
use crate::parse::ast::Operand;

const GROUPS: [(&str, u32); 2] = [("cta_group::1", 1), ("cta_group::2", 2)];

const SHAPES: [(&str, TmemShape); 5] = [
    ("16x64b", TmemShape::L16x64),
    ("16x128b", TmemShape::L16x128),
    ("16x256b", TmemShape::L16x256),
    ("32x32b", TmemShape::L32x32),
    ("16x32bx2", TmemShape::L16x32x2),
];

const REPEATS: [(&str, u32); 8] = [
    ("x1", 1),
    ("x2", 2),
    ("x4", 4),
    ("x8", 8),
    ("x16", 16),
    ("x32", 32),
    ("x64", 64),
    ("x128", 128),
];

impl<'m, 'a> Builder<'m, 'a> {
    pub(super) fn tcgen05(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Op> {
        let Some(action) = form.next_word() else { return Err(form.refuse()) };
        let op = match action {
            "alloc" => {
                let cta_group = form.need(&GROUPS)?;
                self.sync_aligned(form)?;
                let space = self.cta_shared(form)?;
                self.word(form, "b32")?;
                form.count(2, 2)?;
                let address = self.address(form, 0, space)?;
                let columns = self.src(form, 1, B32)?;
                Tcgen05Op::Alloc { cta_group, space, address, columns }
            }
            "dealloc" => {
                let cta_group = form.need(&GROUPS)?;
                self.sync_aligned(form)?;
                self.word(form, "b32")?;
                form.count(2, 2)?;
                let address = self.src(form, 0, B32)?;
                let columns = self.src(form, 1, B32)?;
                Tcgen05Op::Dealloc { cta_group, address, columns }
            }
            "relinquish_alloc_permit" => {
                let cta_group = form.need(&GROUPS)?;
                self.sync_aligned(form)?;
                form.count(0, 0)?;
                Tcgen05Op::RelinquishAllocPermit { cta_group }
            }
            "ld" => self.tmem_load(form)?,
            "st" => self.tmem_store(form)?,
            "wait::ld" | "wait::st" => {
                self.sync_aligned(form)?;
                form.count(0, 0)?;
                if action == "wait::ld" { Tcgen05Op::WaitLoad } else { Tcgen05Op::WaitStore }
            }
            "cp" => self.tmem_copy(form)?,
            "shift" => {
                let cta_group = form.need(&GROUPS)?;
                self.word(form, "down")?;
                form.count(1, 1)?;
                Tcgen05Op::ShiftDown { cta_group, address: self.tmem(form, 0)? }
            }
            "mma" => self.tcgen05_mma(form)?,
            "commit" => {
                let cta_group = form.need(&GROUPS)?;
                self.word(form, "mbarrier::arrive::one")?;
                let space = match self.space(form) {
                    space @ (Space::Generic | Space::SharedCluster) => space,
                    _ => return Err(form.refuse()),
                };
                let is_multicast = form.take("multicast::cluster");
                self.word(form, "b64")?;
                let operands = 1 + usize::from(is_multicast);
                form.count(operands, operands)?;
                let mbarrier = self.address(form, 0, space)?;
                let multicast = if is_multicast { Some(self.src(form, 1, B16)?) } else { None };
                Tcgen05Op::Commit { cta_group, space, mbarrier, multicast }
            }
            "fence::before_thread_sync" => {
                form.count(0, 0)?;
                Tcgen05Op::FenceBefore
            }
            "fence::after_thread_sync" => {
                form.count(0, 0)?;
                Tcgen05Op::FenceAfter
            }
            _ => return Err(form.refuse()),
        };
        Ok(Op::Tcgen05(op))
    }

    /// A word that the form must have.
    pub(super) fn word(&mut self, form: &mut Form<'m, 'a>, word: &str) -> Decoded<()> {
        if form.take(word) { Ok(()) } else { Err(form.refuse()) }
    }

    pub(super) fn sync_aligned(&mut self, form: &mut Form<'m, 'a>) -> Decoded<()> {
        self.word(form, "sync")?;
        self.word(form, "aligned")
    }

    /// `.shared::cta`, or no space at all.
    pub(super) fn cta_shared(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Space> {
        match self.space(form) {
            space @ (Space::Generic | Space::SharedCta) => Ok(space),
            _ => Err(form.refuse()),
        }
    }

    fn tmem_shape(&mut self, form: &mut Form<'m, 'a>) -> Decoded<(TmemShape, u32, usize)> {
        self.sync_aligned(form)?;
        let shape = form.need(&SHAPES)?;
        let num = form.need(&REPEATS)?;
        let registers = shape.registers() * num;
        if registers > 128 {
            return Err(form.refuse());
        }
        Ok((shape, num, registers as usize))
    }

    fn half_split(
        &mut self,
        form: &Form<'m, 'a>,
        shape: TmemShape,
        index: usize,
    ) -> Decoded<Option<i64>> {
        if shape == TmemShape::L16x32x2 { self.integer(form, index).map(Some) } else { Ok(None) }
    }

    fn tmem_load(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Tcgen05Op> {
        let reduces = form.take("red");
        let (shape, num, registers) = self.tmem_shape(form)?;
        let mut pack16 = false;
        let mut reduce = None;
        let mut next = 1;
        if reduces {
            let max = form.need(&[("max", true), ("min", false)])?;
            let (abs, nan) = (form.take("abs"), form.take("NaN"));
            let ty = atom_type(form)?;
            if !matches!(ty, AtomType::F32 | AtomType::U32 | AtomType::S32) {
                return Err(form.refuse());
            }
            let dst = self
                .dst_of(form, form.operand(1)?, |width| width == Width::B32)?
                .map(|register| register.slot);
            reduce = Some(Box::new(TmemReduce { max, ty, abs, nan, dst }));
            next = 2;
        } else {
            pack16 = form.take("pack::16b");
            self.word(form, "b32")?;
        }
        let (dst, width) = self.vector_dst(form, form.operand(0)?, Width::B32)?;
        if dst.len() != registers || width != Width::B32 {
            let found = dst.len();
            return Err(form
                .malformed(format!("needs {registers} registers of 32 bits, {found} are given")));
        }
        let address = self.tmem(form, next)?;
        let half_split = self.half_split(form, shape, next + 1)?;
        let operands = next + 1 + usize::from(half_split.is_some());
        form.count(operands, operands)?;
        Ok(Tcgen05Op::Load { shape, num, pack16, address, half_split, dst, reduce })
    }

    fn tmem_store(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Tcgen05Op> {
        let (shape, num, registers) = self.tmem_shape(form)?;
        let unpack16 = form.take("unpack::16b");
        self.word(form, "b32")?;
        let address = self.tmem(form, 0)?;
        let half_split = self.half_split(form, shape, 1)?;
        let last = 1 + usize::from(half_split.is_some());
        form.count(last + 1, last + 1)?;
        let src = self.vector_src(form, form.operand(last)?, B32)?;
        if src.len() != registers {
            return Err(
                form.malformed(format!("needs {registers} registers, {} are given", src.len()))
            );
        }
        Ok(Tcgen05Op::Store { shape, num, unpack16, address, half_split, src })
    }

    fn tmem_copy(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Tcgen05Op> {
        let cta_group = form.need(&GROUPS)?;
        let shape = form.need(&[
            ("128x256b", CpShape::S128x256),
            ("4x256b", CpShape::S4x256),
            ("128x128b", CpShape::S128x128),
            ("64x128b", CpShape::S64x128),
            ("32x128b", CpShape::S32x128),
        ])?;
        let multicast = form
            .choose(&[
                ("warpx2::02_13", CpMulticast::WarpX2Pairs0213),
                ("warpx2::01_23", CpMulticast::WarpX2Pairs0123),
                ("warpx4", CpMulticast::WarpX4),
            ])
            .unwrap_or(CpMulticast::None);
        let fits = match shape {
            CpShape::S64x128 => {
                matches!(multicast, CpMulticast::WarpX2Pairs0213 | CpMulticast::WarpX2Pairs0123)
            }
            CpShape::S32x128 => multicast == CpMulticast::WarpX4,
            _ => multicast == CpMulticast::None,
        };
        if !fits {
            return Err(form.refuse());
        }
        let source = if form.take("b8x16") {
            form.need(&[("b6x16_p32", CpSource::B6), ("b4x16_p64", CpSource::B4)])?
        } else {
            CpSource::Plain
        };
        form.count(2, 2)?;
        let address = self.tmem(form, 0)?;
        let descriptor = self.src(form, 1, B64)?;
        Ok(Tcgen05Op::Copy { cta_group, shape, multicast, source, address, descriptor })
    }

    fn tcgen05_mma(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Tcgen05Op> {
        let weight_stationary = form.take("ws");
        let is_sparse = form.take("sp");
        let cta_group = form.need(&GROUPS)?;
        let kind = form.need(&[
            ("kind::f16", Tcgen05Kind::F16),
            ("kind::tf32", Tcgen05Kind::Tf32),
            ("kind::f8f6f4", Tcgen05Kind::F8f6f4),
            ("kind::i8", Tcgen05Kind::I8),
            ("kind::mxf8f6f4", Tcgen05Kind::Mxf8f6f4),
            ("kind::mxf4", Tcgen05Kind::Mxf4),
            ("kind::mxf4nvf4", Tcgen05Kind::Mxf4nvf4),
        ])?;
        let scaled =
            matches!(kind, Tcgen05Kind::Mxf8f6f4 | Tcgen05Kind::Mxf4 | Tcgen05Kind::Mxf4nvf4);
        let block_scale = form.take("block_scale");
        if scaled != block_scale {
            return Err(form.malformed("'.block_scale' goes with the mx kinds, and only with them"));
        }
        let scale_vec = scale_vector(form, kind)?;
        let a_shift = form.take("ashift");
        let collector = collector(form, weight_stationary)?;
        if weight_stationary && (cta_group != 1 || scaled || a_shift) {
            return Err(form.refuse());
        }

        let d = self.tmem(form, 0)?;
        let a = match form.operand(1)? {
            Operand::Address(_) => MmaA::Tmem(self.tmem(form, 1)?),
            _ => MmaA::Descriptor(self.src(form, 1, B64)?),
        };
        let b = self.src(form, 2, B64)?;
        let mut next = 3;
        let mut sparse = None;
        if is_sparse {
            sparse = Some(self.tmem(form, next)?);
            next += 1;
        }
        let idesc = self.src(form, next, B32)?;
        next += 1;
        let (mut scale_a, mut scale_b) = (None, None);
        if block_scale {
            scale_a = Some(self.tmem(form, next)?);
            scale_b = Some(self.tmem(form, next + 1)?);
            next += 2;
        }
        let mut disable_lanes = None;
        if !block_scale && !weight_stationary && matches!(form.operand(next)?, Operand::Vector(_)) {
            let words: Box<[Src]> = self.vector_src(form, form.operand(next)?, B32)?;
            if words.len() != 4 * cta_group as usize {
                return Err(form.malformed(format!(
                    "disable-output-lane needs {} registers, {} are given",
                    4 * cta_group,
                    words.len()
                )));
            }
            disable_lanes = Some(words);
            next += 1;
        }
        let enable_d = self.pred(form, next)?;
        next += 1;
        let (mut scale_input_d, mut zero_column_mask) = (None, None);
        if next < form.len() && weight_stationary {
            zero_column_mask = Some(self.src(form, next, B64)?);
            next += 1;
        } else if next < form.len() && matches!(kind, Tcgen05Kind::F16 | Tcgen05Kind::Tf32) {
            let scale = self.count(form, next)?;
            if scale > 15 {
                return Err(form.malformed(format!("scale-input-d {scale} is not in 0..=15")));
            }
            scale_input_d = Some(scale);
            next += 1;
        }
        form.count(next, next)?;
        Ok(Tcgen05Op::Mma(Box::new(Tcgen05Mma {
            cta_group,
            kind,
            block_scale,
            scale_vec,
            weight_stationary,
            sparse,
            a_shift,
            collector,
            d,
            a,
            b,
            idesc,
            scale_a,
            scale_b,
            enable_d,
            disable_lanes,
            scale_input_d,
            zero_column_mask,
        })))
    }
}

/// `.scale_vec::NX`, or its names `.block16` and `.block32`, as legal for the kind.
fn scale_vector(form: &mut Form<'_, '_>, kind: Tcgen05Kind) -> Decoded<Option<u32>> {
    let written = form.choose(&[
        ("scale_vec::1X", (1, 1)),
        ("scale_vec::2X", (2, 2)),
        ("scale_vec::4X", (4, 4)),
        ("block16", (16, 0)),
        ("block32", (32, 0)),
    ]);
    let vectors = match (kind, written) {
        (Tcgen05Kind::Mxf8f6f4, None | Some((1 | 32, _))) => 1,
        (Tcgen05Kind::Mxf4, None | Some((2 | 32, _))) => 2,
        (Tcgen05Kind::Mxf4nvf4, Some((2 | 32, _))) => 2,
        (Tcgen05Kind::Mxf4nvf4, Some((4 | 16, _))) => 4,
        (Tcgen05Kind::Mxf4nvf4, None) => {
            return Err(form.malformed("'kind::mxf4nvf4' must say '.block16' or '.block32'"));
        }
        (Tcgen05Kind::Mxf8f6f4 | Tcgen05Kind::Mxf4 | Tcgen05Kind::Mxf4nvf4, Some(_)) => {
            return Err(form.malformed("this scale vector size is not one of the kind's"));
        }
        (_, None) => return Ok(None),
        (_, Some(_)) => return Err(form.refuse()),
    };
    Ok(Some(vectors))
}

/// `.collector::a::fill` and the like.
fn collector(form: &mut Form<'_, '_>, weight_stationary: bool) -> Decoded<Option<Collector>> {
    let Some(word) = form.take_if(|word| word.starts_with("collector::")) else { return Ok(None) };
    let mut parts = word.split("::").skip(1);
    let buffer = parts.next().unwrap_or_default();
    let b = match buffer.strip_prefix('b') {
        Some(number) => Some(number.parse().ok().filter(|&number: &u32| number < 4)),
        None if buffer == "a" => None,
        None => return Err(form.refuse()),
    };
    let b = match b {
        Some(None) => return Err(form.refuse()),
        Some(Some(number)) => Some(number),
        None => None,
    };
    let op = match parts.next() {
        Some("fill") => CollectorOp::Fill,
        Some("use") => CollectorOp::Use,
        Some("lastuse") => CollectorOp::LastUse,
        Some("discard") => CollectorOp::Discard,
        _ => return Err(form.refuse()),
    };
    if parts.next().is_some() || b.is_some() != weight_stationary {
        return Err(form.refuse());
    }
    Ok(Some(Collector { b, op }))
}
