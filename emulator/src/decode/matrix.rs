//! `ldmatrix`, `stmatrix`, `movmatrix`, `mma.sync`, `wgmma`.

use super::{
    builder::Builder,
    form::{Decoded, Form},
    op::{
        LdMatrix, MatrixFormat, MatrixOp, MatrixShape, MmaKind, MmaScale, MmaSparse, MmaSync, Op,
        PredSrc, Slot, StMatrix, Wgmma, WgmmaA, Width,
    },
    operands::{B16, B32, B64, Kind},
};
use crate::parse::ast::Operand;

pub(super) const FORMATS: [(&str, MatrixFormat); 16] = [
    ("f16", MatrixFormat::F16),
    ("bf16", MatrixFormat::BF16),
    ("tf32", MatrixFormat::TF32),
    ("f32", MatrixFormat::F32),
    ("f64", MatrixFormat::F64),
    ("e4m3", MatrixFormat::E4M3),
    ("e5m2", MatrixFormat::E5M2),
    ("e3m2", MatrixFormat::E3M2),
    ("e2m3", MatrixFormat::E2M3),
    ("e2m1", MatrixFormat::E2M1),
    ("s8", MatrixFormat::S8),
    ("u8", MatrixFormat::U8),
    ("s4", MatrixFormat::S4),
    ("u4", MatrixFormat::U4),
    ("b1", MatrixFormat::B1),
    ("s32", MatrixFormat::S32),
];

/// Bits of an element of A or B.
pub(super) fn bits(format: MatrixFormat) -> u32 {
    match format {
        MatrixFormat::F64 => 64,
        MatrixFormat::TF32 | MatrixFormat::F32 | MatrixFormat::S32 => 32,
        MatrixFormat::F16 | MatrixFormat::BF16 => 16,
        MatrixFormat::S4 | MatrixFormat::U4 => 4,
        MatrixFormat::B1 => 1,
        _ => 8,
    }
}

/// `m16n8k16`
pub(super) fn shape(word: &str) -> Option<MatrixShape> {
    let (m, rest) = word.strip_prefix('m')?.split_once('n')?;
    let (n, k) = rest.split_once('k')?;
    Some(MatrixShape { m: m.parse().ok()?, n: n.parse().ok()?, k: k.parse().ok()? })
}

impl<'m, 'a> Builder<'m, 'a> {
    pub(super) fn matrix_move(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Op> {
        self.sync_aligned(form)?;
        form.count(2, 2)?;
        let opcode = form.instruction.opcode;
        let loads = opcode == "ldmatrix";
        let (rows, columns) = form.need(&[
            ("m8n8", (8, 8)),
            ("m16n16", (16, 16)),
            ("m8n16", (8, 16)),
            ("m16n8", (16, 8)),
        ])?;
        let transpose = form.take("trans");
        if opcode == "movmatrix" {
            self.word(form, "b16")?;
            if (rows, columns, transpose) != (8, 8, true) {
                return Err(form.refuse());
            }
            let dst = self.dst(form, 0, Width::B32)?;
            return Ok(Op::Matrix(MatrixOp::Move { dst, src: self.src(form, 1, B32)? }));
        }
        let num = form.need(&[("x1", 1), ("x2", 2), ("x4", 4)])?;
        let space = self.cta_shared(form)?;
        let element_bits = form.need(&[("b16", 16), ("b8", 8), ("b8x16", 8)])?;
        let source_bits =
            form.choose(&[("b6x16_p32", 6), ("b4x16_p64", 4)]).unwrap_or(element_bits);
        // Registers per thread.
        let registers = match (loads, rows, columns, element_bits) {
            (_, 8, 8, 16) => num,
            (true, 16, 16, 8) if transpose && num <= 2 => 2 * num,
            (true, 8, 16, 8) if !transpose && source_bits < 8 => num,
            (false, 16, 8, 8) if transpose => num,
            _ => return Err(form.refuse()),
        };
        if source_bits != element_bits && (!loads || element_bits != 8) {
            return Err(form.refuse());
        }
        let wrong = |found: usize| {
            form.malformed(format!("needs {registers} registers, {found} are given"))
        };
        if loads {
            let (dst, width) = self.vector_dst(form, form.operand(0)?, Width::B32)?;
            if dst.len() != registers as usize || width != Width::B32 {
                return Err(wrong(dst.len()));
            }
            let address = self.address(form, 1, space)?;
            return Ok(Op::Matrix(MatrixOp::Load(Box::new(LdMatrix {
                rows,
                columns,
                num,
                transpose,
                element_bits,
                source_bits,
                space,
                address,
                dst,
            }))));
        }
        let address = self.address(form, 0, space)?;
        let src = self.vector_src(form, form.operand(1)?, B32)?;
        if src.len() != registers as usize {
            return Err(wrong(src.len()));
        }
        Ok(Op::Matrix(MatrixOp::Store(Box::new(StMatrix {
            rows,
            columns,
            num,
            transpose,
            element_bits,
            space,
            address,
            src,
        }))))
    }

    pub(super) fn matrix_shape(&mut self, form: &mut Form<'m, 'a>) -> Decoded<MatrixShape> {
        let word = form.take_if(|word| shape(word).is_some());
        word.and_then(shape).ok_or_else(|| form.refuse())
    }

    pub(super) fn mma(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Op> {
        self.sync_aligned(form)?;
        let sparsity = form.take_if(|word| word == "sp" || word.starts_with("sp::"));
        if !matches!(sparsity, None | Some("sp" | "sp::ordered_metadata")) {
            return Err(form.refuse());
        }
        let shape = self.matrix_shape(form)?;
        let major = [("row", true), ("col", false)];
        let (a_row, b_row) = (form.need(&major)?, form.need(&major)?);
        let kind = form
            .choose(&[
                ("kind::f8f6f4", MmaKind::F8f6f4),
                ("kind::mxf8f6f4", MmaKind::Mxf8f6f4),
                ("kind::mxf4", MmaKind::Mxf4),
                ("kind::mxf4nvf4", MmaKind::Mxf4nvf4),
            ])
            .unwrap_or(MmaKind::Plain);
        let block_scale = form.take("block_scale");
        if block_scale != matches!(kind, MmaKind::Mxf8f6f4 | MmaKind::Mxf4 | MmaKind::Mxf4nvf4) {
            return Err(form.refuse());
        }
        let vectors =
            form.choose(&[("scale_vec::1X", 1), ("scale_vec::2X", 2), ("scale_vec::4X", 4)]);
        let satfinite = form.take("satfinite");
        let d_format = form.need(&FORMATS)?;
        let a_format = form.need(&FORMATS)?;
        let b_format = form.need(&FORMATS)?;
        let c_format = form.need(&FORMATS)?;
        let scale_format =
            if block_scale { Some(form.need(&[("ue8m0", false), ("ue4m3", true)])?) } else { None };
        let b1_and = match a_format {
            MatrixFormat::B1 => {
                let and = form.need(&[("and", true), ("xor", false)])?;
                self.word(form, "popc")?;
                Some(and)
            }
            _ => None,
        };
        self.check_mma(form, shape, a_format, sparsity.is_some())?;
        let (d, d_width) = self.vector_dst(form, form.operand(0)?, Width::B32)?;
        let operand_kind = |format| if bits(format) == 64 { B64 } else { B32 };
        if d_width != operand_kind(d_format).width() {
            return Err(form.malformed("the destinations have the wrong width"));
        }
        let a = self.vector_src(form, form.operand(1)?, operand_kind(a_format))?;
        let b = self.vector_src(form, form.operand(2)?, operand_kind(b_format))?;
        let c_kind = match c_format {
            MatrixFormat::F32 => Kind::Single,
            MatrixFormat::F64 => Kind::Double,
            _ => B32,
        };
        let c = self.vector_src(form, form.operand(3)?, c_kind)?;
        let dense_k = shape.k / if sparsity.is_some() { 2 } else { 1 };
        // The packed kinds hold four bits, or eight for sub-byte types of the f8f6f4 kinds.
        let element = |format| match kind {
            MmaKind::Mxf4 | MmaKind::Mxf4nvf4 => 4,
            _ => bits(format),
        };
        let per_register = |format| bits(format).clamp(32, 64) / element(format);
        let expect = |elements: u32, per: u32| (elements / 32 / per) as usize;
        let accumulators =
            |format| expect(shape.m * shape.n, if format == MatrixFormat::F16 { 2 } else { 1 });
        let expected = (
            accumulators(d_format),
            expect(shape.m * dense_k, per_register(a_format)),
            expect(shape.n * shape.k, per_register(b_format)),
            accumulators(c_format),
        );
        if (d.len(), a.len(), b.len(), c.len()) != expected {
            return Err(form.malformed(format!(
                "needs {expected:?} registers for D, A, B, C; {:?} are given",
                (d.len(), a.len(), b.len(), c.len())
            )));
        }
        let mut next = 4;
        let sparse = if sparsity.is_some() {
            let metadata = self.src(form, next, B32)?;
            let selector = self.count(form, next + 1)?;
            next += 2;
            let ordered = sparsity == Some("sp::ordered_metadata");
            Some(MmaSparse { ordered, metadata, selector })
        } else {
            None
        };
        let scale = match scale_format {
            Some(ue4m3) => {
                let mut half = |builder: &mut Self| {
                    let data = builder.src(form, next, B32)?;
                    let ids = builder.vector_src(form, form.operand(next + 1)?, B16)?;
                    next += 2;
                    let [byte, thread] = ids[..] else {
                        return Err(form.malformed("needs {byte-id, thread-id}"));
                    };
                    Ok([data, byte, thread])
                };
                let (a, b) = (half(self)?, half(self)?);
                let vectors = vectors.unwrap_or(if kind == MmaKind::Mxf8f6f4 { 1 } else { 2 });
                Some(MmaScale { vectors, ue4m3, a, b })
            }
            None => None,
        };
        form.count(next, next)?;
        Ok(Op::Matrix(MatrixOp::Mma(Box::new(MmaSync {
            shape,
            a_row,
            b_row,
            a_format,
            b_format,
            c_format,
            d_format,
            kind,
            satfinite,
            b1_and,
            sparse,
            scale,
            d,
            a,
            b,
            c,
        }))))
    }

    /// The shapes that exist for A's type.
    fn check_mma(
        &self,
        form: &Form<'m, 'a>,
        shape: MatrixShape,
        a_format: MatrixFormat,
        sparse: bool,
    ) -> Decoded<()> {
        let MatrixShape { m, n, k } = shape;
        let dense_k = if sparse { k / 2 } else { k };
        let ks: &[u32] = match bits(a_format) {
            64 => &[4, 8, 16],
            32 => &[4, 8],
            16 => &[8, 16],
            8 => &[16, 32, 64],
            4 => &[32, 64],
            _ => &[128, 256],
        };
        let small = (m, n) == (8, 8)
            && matches!((bits(a_format), k), (64, 4) | (8, 16) | (4, 32) | (1, 128));
        if !sparse && small || (m, n) == (16, 8) && ks.contains(&dense_k) {
            return Ok(());
        }
        Err(form.refuse())
    }

    pub(super) fn wgmma(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Op> {
        let Some(action) = form.next_word() else { return Err(form.refuse()) };
        let op = match action {
            "fence" | "commit_group" | "wait_group" => {
                self.sync_aligned(form)?;
                let operands = usize::from(action == "wait_group");
                form.count(operands, operands)?;
                match action {
                    "fence" => MatrixOp::WgmmaFence,
                    "commit_group" => MatrixOp::WgmmaCommit,
                    _ => MatrixOp::WgmmaWait { pending: self.count(form, 0)? },
                }
            }
            "mma_async" => self.wgmma_mma(form)?,
            _ => return Err(form.refuse()),
        };
        Ok(Op::Matrix(op))
    }

    fn wgmma_mma(&mut self, form: &mut Form<'m, 'a>) -> Decoded<MatrixOp> {
        self.sync_aligned(form)?;
        let is_sparse = form.take("sp");
        let shape = self.matrix_shape(form)?;
        let satfinite = form.take("satfinite");
        let d_format = form.need(&FORMATS)?;
        let a_format = form.need(&FORMATS)?;
        let b_format = form.need(&FORMATS)?;
        if a_format == MatrixFormat::B1 {
            return Err(form.unsupported("single-bit wgmma"));
        }
        let k = 256 / bits(a_format) * if is_sparse { 2 } else { 1 };
        if shape.m != 64 || shape.k != k || shape.n % 8 != 0 || !(8..=256).contains(&shape.n) {
            return Err(form.refuse());
        }
        let per_register = if d_format == MatrixFormat::F16 { 2 } else { 1 };
        let registers = (shape.n / 2 / per_register) as usize;
        let (list, width) = self.vector_dst(form, form.operand(0)?, Width::B32)?;
        let d: Option<Vec<Slot>> = list.iter().copied().collect();
        let d = d.filter(|d| d.len() == registers && width == Width::B32).ok_or_else(|| {
            form.malformed(format!("needs {registers} registers of 32 bits for D"))
        })?;
        let a = match form.operand(1)? {
            operand @ Operand::Vector(_) => {
                let list = self.vector_src(form, operand, B32)?;
                let Ok(list) = <[_; 4]>::try_from(&*list) else {
                    return Err(form.malformed("A in registers takes four"));
                };
                WgmmaA::Registers(list)
            }
            _ => WgmmaA::Descriptor(self.src(form, 1, B64)?),
        };
        let b = self.src(form, 2, B64)?;
        let mut next = 3;
        let sparse = if is_sparse {
            let metadata = self.src(form, 3, B32)?;
            let selector = self.count(form, 4)?;
            next = 5;
            Some(MmaSparse { ordered: false, metadata, selector })
        } else {
            None
        };
        let scale_d: PredSrc = self.pred(form, next)?;
        next += 1;
        let integer_kind = d_format == MatrixFormat::S32;
        let (mut negate_a, mut negate_b) = (false, false);
        if !integer_kind {
            negate_a = self.sign(form, next)?;
            negate_b = self.sign(form, next + 1)?;
            next += 2;
        }
        let (mut transpose_a, mut transpose_b) = (false, false);
        if bits(a_format) == 16 {
            if matches!(a, WgmmaA::Descriptor(_)) {
                transpose_a = self.flag(form, next)?;
                next += 1;
            }
            transpose_b = self.flag(form, next)?;
            next += 1;
        }
        form.count(next, next)?;
        Ok(MatrixOp::Wgmma(Box::new(Wgmma {
            shape,
            d_format,
            a_format,
            b_format,
            d: d.into(),
            a,
            b,
            scale_d,
            negate_a,
            negate_b,
            transpose_a,
            transpose_b,
            satfinite,
            sparse,
        })))
    }

    /// 1 or -1.
    fn sign(&self, form: &Form<'m, 'a>, index: usize) -> Decoded<bool> {
        match self.integer(form, index)? {
            1 => Ok(false),
            -1 => Ok(true),
            value => Err(form.malformed(format!("a scale of {value}; must be 1 or -1"))),
        }
    }

    /// 0 or 1.
    fn flag(&self, form: &Form<'m, 'a>, index: usize) -> Decoded<bool> {
        match self.integer(form, index)? {
            0 => Ok(false),
            1 => Ok(true),
            value => Err(form.malformed(format!("{value} is neither 0 nor 1"))),
        }
    }
}
