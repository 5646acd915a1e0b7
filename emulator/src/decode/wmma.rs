//! `wmma.load`, `wmma.store`, `wmma.mma`: matrices in fragments whose layout the ISA keeps to itself.

use super::{
    builder::Builder,
    form::{Decoded, Form},
    matrix::{FORMATS, bits},
    op::{MatrixFormat, MatrixOp, MatrixShape, Op, Space, Width, WmmaMma, WmmaMove},
    operands::{B32, Kind},
};

/// Registers of a fragment: each element once, but f16 factors of every shape have eight.
fn registers(extent: (u32, u32), format: MatrixFormat, factor: bool) -> usize {
    if factor && format == MatrixFormat::F16 {
        return 8;
    }
    (extent.0 * extent.1 / 32 * bits(format) / 32) as usize
}

/// The shapes that exist for a type of factors.
fn exists(shape: MatrixShape, format: MatrixFormat) -> bool {
    let sixteen = matches!((shape.m, shape.n, shape.k), (16, 16, 16) | (32, 8, 16) | (8, 32, 16));
    match format {
        MatrixFormat::F16 | MatrixFormat::BF16 | MatrixFormat::S8 | MatrixFormat::U8 => sixteen,
        MatrixFormat::TF32 => (shape.m, shape.n, shape.k) == (16, 16, 8),
        _ => false,
    }
}

impl<'m, 'a> Builder<'m, 'a> {
    pub(super) fn wmma(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Op> {
        match form.next_word() {
            Some("mma") => self.fragment_mma(form),
            Some("load") => self.fragment_move(form, true),
            Some("store") => self.fragment_move(form, false),
            _ => Err(form.refuse()),
        }
    }

    fn fragment_move(&mut self, form: &mut Form<'m, 'a>, loads: bool) -> Decoded<Op> {
        let which = form.need(&[("a", 'a'), ("b", 'b'), ("c", 'c'), ("d", 'd')])?;
        if loads == (which == 'd') {
            return Err(form.refuse());
        }
        self.sync_aligned(form)?;
        let row_major = form.need(&[("row", true), ("col", false)])?;
        let shape = self.matrix_shape(form)?;
        let spaces = [
            ("global", Space::Global),
            ("shared::cta", Space::SharedCta),
            ("shared", Space::SharedCta),
        ];
        let space = form.choose(&spaces).unwrap_or(Space::Generic);
        let format = form.need(&FORMATS)?;
        let factor = matches!(which, 'a' | 'b');
        let extent = match which {
            'a' => (shape.m, shape.k),
            'b' => (shape.k, shape.n),
            _ => (shape.m, shape.n),
        };
        let sums = matches!(format, MatrixFormat::F16 | MatrixFormat::F32 | MatrixFormat::S32);
        if if factor { !exists(shape, format) } else { !sums || shape.m * shape.n != 256 } {
            return Err(form.unsupported("this shape and type"));
        }
        let needed = registers(extent, format, factor);
        let wrong = |n: usize| form.malformed(format!("needs {needed} registers, {n} are given"));
        let kind = if format == MatrixFormat::F32 { Kind::Single } else { B32 };
        let (mut src, mut dst) = (Box::default(), Box::default());
        let place = usize::from(loads);
        if loads {
            let (registers, width) = self.vector_dst(form, form.operand(0)?, Width::B32)?;
            if registers.len() != needed || width != Width::B32 {
                return Err(wrong(registers.len()));
            }
            dst = registers;
        } else {
            src = self.vector_src(form, form.operand(1)?, kind)?;
            if src.len() != needed {
                return Err(wrong(src.len()));
            }
        }
        let address = self.address(form, place, space)?;
        form.count(2, 3)?;
        let stride = if form.len() == 3 { Some(self.src(form, 2, B32)?) } else { None };
        let parts = WmmaMove { extent, format, row_major, space, address, stride, src, dst };
        let parts = Box::new(parts);
        Ok(Op::Matrix(match loads {
            true => MatrixOp::FragmentLoad(parts),
            false => MatrixOp::FragmentStore(parts),
        }))
    }

    fn fragment_mma(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Op> {
        self.sync_aligned(form)?;
        // The fragments' layouts are the same whatever the matrices' in memory.
        form.need(&[("row", ()), ("col", ())])?;
        form.need(&[("row", ()), ("col", ())])?;
        let shape = self.matrix_shape(form)?;
        let satfinite = form.take("satfinite");
        let d_format = form.need(&FORMATS)?;
        let second = form.need(&FORMATS)?;
        // Two types are those of D and C, with factors of f16; four name all.
        let (format, c_format) = match form.choose(&FORMATS) {
            None => (MatrixFormat::F16, second),
            Some(b_format) if b_format == second => (second, form.need(&FORMATS)?),
            Some(_) => return Err(form.refuse()),
        };
        let satfinite = form.take("satfinite") || satfinite;
        if !exists(shape, format) {
            return Err(form.unsupported("this shape and type"));
        }
        let sums = match format {
            MatrixFormat::F16 => [MatrixFormat::F16, MatrixFormat::F32].as_slice(),
            MatrixFormat::S8 | MatrixFormat::U8 => &[MatrixFormat::S32],
            _ => &[MatrixFormat::F32],
        };
        if !sums.contains(&d_format) || !sums.contains(&c_format) {
            return Err(form.refuse());
        }
        form.count(4, 4)?;
        let (d, _) = self.vector_dst(form, form.operand(0)?, Width::B32)?;
        let a = self.vector_src(form, form.operand(1)?, B32)?;
        let b = self.vector_src(form, form.operand(2)?, B32)?;
        let c_kind = if c_format == MatrixFormat::F32 { Kind::Single } else { B32 };
        let c = self.vector_src(form, form.operand(3)?, c_kind)?;
        let expected = (
            registers((shape.m, shape.n), d_format, false),
            registers((shape.m, shape.k), format, true),
            registers((shape.k, shape.n), format, true),
            registers((shape.m, shape.n), c_format, false),
        );
        let given = (d.len(), a.len(), b.len(), c.len());
        if given != expected {
            let what = format!("needs {expected:?} registers for D, A, B, C; {given:?} are given");
            return Err(form.malformed(what));
        }
        let parts = WmmaMma { shape, format, c_format, d_format, satfinite, d, a, b, c };
        Ok(Op::Matrix(MatrixOp::FragmentMma(Box::new(parts))))
    }
}
