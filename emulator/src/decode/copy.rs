//! Asynchronous copies: `cp.async`, bulk and tensor copies, `st.async`.

use super::{
    builder::Builder,
    form::{Decoded, Form},
    memory::atom_type,
    op::{
        Base, BulkCopy, BulkDirection, BulkPrefetch, BulkReduce, BulkTensor, CopyOp, CpAsync, Op,
        ReduceKind, Space, Src, StAsync, TensorDirection, TensorMode, Width,
    },
    operands::{B16, B32, Kind},
};
use crate::parse::ast::Operand;

const REDUCTIONS: [(&str, ReduceKind); 8] = [
    ("add", ReduceKind::Add),
    ("min", ReduceKind::Min),
    ("max", ReduceKind::Max),
    ("inc", ReduceKind::Inc),
    ("dec", ReduceKind::Dec),
    ("and", ReduceKind::And),
    ("or", ReduceKind::Or),
    ("xor", ReduceKind::Xor),
];

/// The state spaces of a copy, in the order in which they stand: destination, then source.
const SIDES: [(&str, Space); 4] = [
    ("global", Space::Global),
    ("shared::cta", Space::SharedCta),
    ("shared::cluster", Space::SharedCluster),
    ("shared", Space::SharedCta),
];

const COMPLETES: &str = "mbarrier::complete_tx::bytes";

impl<'m, 'a> Builder<'m, 'a> {
    pub(super) fn copy(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Op> {
        let reduce = form.take("reduce");
        if !form.take("async") {
            return Err(form.refuse());
        }
        let op = if !form.take("bulk") {
            if reduce {
                return Err(form.refuse());
            }
            self.cp_async(form)?
        } else if form.take("commit_group") {
            form.count(0, 0)?;
            CopyOp::BulkCommit
        } else if form.take("wait_group") {
            form.count(1, 1)?;
            CopyOp::BulkWait { pending: self.count(form, 0)?, read: form.take("read") }
        } else if form.take("prefetch") {
            self.bulk_prefetch(form)?
        } else if form.take("tensor") {
            self.bulk_tensor(form, reduce)?
        } else {
            self.bulk(form, reduce)?
        };
        Ok(Op::Copy(op))
    }

    fn cp_async(&mut self, form: &mut Form<'m, 'a>) -> Decoded<CopyOp> {
        if form.take("commit_group") {
            form.count(0, 0)?;
            return Ok(CopyOp::CpAsyncCommit);
        }
        if form.take("wait_group") {
            form.count(1, 1)?;
            return Ok(CopyOp::CpAsyncWait { pending: self.count(form, 0)? });
        }
        if form.take("wait_all") {
            form.count(0, 0)?;
            return Ok(CopyOp::CpAsyncWaitAll);
        }
        if form.take("mbarrier") {
            if !form.take("arrive") || !form.take("b64") {
                return Err(form.refuse());
            }
            let no_inc = form.take("noinc");
            let space = match self.space(form) {
                space @ (Space::Generic | Space::SharedCta) => space,
                _ => return Err(form.refuse()),
            };
            form.count(1, 1)?;
            let address = self.address(form, 0, space)?;
            return Ok(CopyOp::CpAsyncMbarrierArrive { space, address, no_inc });
        }
        let cg = form.need(&[("ca", false), ("cg", true)])?;
        let sides = (form.choose(&SIDES), form.choose(&SIDES));
        if sides != (Some(Space::SharedCta), Some(Space::Global)) {
            return Err(form.refuse());
        }
        let has_policy = form.instruction.words.contains(&"L2::cache_hint");
        let last = form.len().saturating_sub(1);
        let policy = self.policy(form, last)?;
        let operands = form.len() - usize::from(has_policy);
        if !(3..=4).contains(&operands) {
            form.count(3, 4 + usize::from(has_policy))?;
        }
        let dst = self.address(form, 0, Space::SharedCta)?;
        let src = self.address(form, 1, Space::Global)?;
        let bytes = self.count(form, 2)?;
        if !(bytes == 16 || !cg && matches!(bytes, 4 | 8)) {
            return Err(form.malformed(format!("a copy of {bytes} bytes")));
        }
        let (mut src_bytes, mut ignore_src) = (None, None);
        if operands == 4 {
            let is_register = self.try_register(form, form.operand(3)?)?.is_some();
            if is_register || matches!(form.operand(3)?, Operand::Constant(_)) {
                src_bytes = Some(self.src(form, 3, B32)?);
            } else {
                ignore_src = Some(self.pred(form, 3)?);
            }
        }
        Ok(CopyOp::CpAsync(CpAsync { dst, src, bytes, src_bytes, ignore_src, policy }))
    }

    fn bulk(&mut self, form: &mut Form<'m, 'a>, reduce: bool) -> Decoded<CopyOp> {
        let (to, from) = (form.need(&SIDES)?, form.need(&SIDES)?);
        let direction = match (to, from) {
            (Space::SharedCta, Space::Global) => BulkDirection::GlobalToSharedCta,
            (Space::SharedCluster, Space::Global) => BulkDirection::GlobalToSharedCluster,
            (Space::SharedCluster, Space::SharedCta) => BulkDirection::SharedToSharedCluster,
            (Space::Global, Space::SharedCta) => BulkDirection::SharedToGlobal,
            _ => return Err(form.refuse()),
        };
        let by_group = direction == BulkDirection::SharedToGlobal;
        let loads = matches!(
            direction,
            BulkDirection::GlobalToSharedCta | BulkDirection::GlobalToSharedCluster
        );
        if !form.take(if by_group { "bulk_group" } else { COMPLETES }) || reduce && loads {
            return Err(form.refuse());
        }
        let reduce = if reduce {
            let kind = form.need(&REDUCTIONS)?;
            form.take("noftz");
            Some(BulkReduce { kind, ty: atom_type(form)? })
        } else {
            None
        };
        let multicast =
            direction == BulkDirection::GlobalToSharedCluster && form.take("multicast::cluster");
        let masked = by_group && form.take("cp_mask");
        let hinted = form.take("L2::cache_hint");
        let dst = self.address(form, 0, to)?;
        let src = self.address(form, 1, from)?;
        let bytes = self.src(form, 2, B32)?;
        let mut next = 3;
        let mut following = || {
            next += 1;
            next - 1
        };
        let mbarrier = if by_group {
            None
        } else {
            let space = if to == Space::SharedCta { to } else { Space::SharedCluster };
            Some(self.address(form, following(), space)?)
        };
        let multicast = if multicast { Some(self.src(form, following(), B16)?) } else { None };
        let policy =
            if hinted { Some(self.src(form, following(), Kind::Bits(Width::B64))?) } else { None };
        let byte_mask = if masked { Some(self.src(form, following(), B16)?) } else { None };
        form.count(next, next)?;
        Ok(CopyOp::Bulk(Box::new(BulkCopy {
            direction,
            dst,
            src,
            bytes,
            mbarrier,
            multicast,
            byte_mask,
            reduce,
            policy,
        })))
    }

    /// `.tile`, `.im2col` and the like; offsets are filled in by the caller.
    fn tensor_mode(&mut self, form: &mut Form<'m, 'a>) -> TensorMode {
        let mode = form.take_if(|word| word.starts_with("tile") || word.starts_with("im2col"));
        match mode {
            Some("tile::gather4") => TensorMode::Gather4,
            Some("tile::scatter4") => TensorMode::Scatter4,
            Some("im2col") => TensorMode::Im2col { offsets: Box::default() },
            Some("im2col_no_offs") => TensorMode::Im2colNoOffsets,
            Some("im2col::w") => TensorMode::Im2colW { offsets: Box::default() },
            Some("im2col::w::128") => TensorMode::Im2colW128 { offsets: Box::default() },
            _ => TensorMode::Tile,
        }
    }

    fn dimensions(&mut self, form: &mut Form<'m, 'a>) -> Decoded<u32> {
        form.need(&[("1d", 1), ("2d", 2), ("3d", 3), ("4d", 4), ("5d", 5)])
    }

    /// `[map, {coordinates}]`.
    fn map_and_coordinates(
        &mut self,
        form: &Form<'m, 'a>,
        index: usize,
        dims: u32,
        mode: &TensorMode,
    ) -> Decoded<(super::op::Address, Box<[Src]>)> {
        let operand = self.bracketed(form, index)?;
        let [coordinates] = &operand.rest[..] else {
            return Err(form.malformed("needs '[tensor map, {coordinates}]'"));
        };
        let map = self.resolve(form, operand, Space::Generic)?;
        if matches!(map.base, Base::Reg32(_)) {
            return Err(form.malformed("a tensor map's address has 64 bits"));
        }
        let coords = self.vector_src(form, coordinates, B32)?;
        let expected = match mode {
            TensorMode::Gather4 | TensorMode::Scatter4 => 5,
            _ => dims as usize,
        };
        if coords.len() != expected {
            return Err(
                form.malformed(format!("needs {expected} coordinates, {} are given", coords.len()))
            );
        }
        Ok((map, coords))
    }

    fn offsets(
        &mut self,
        form: &Form<'m, 'a>,
        mode: &mut TensorMode,
        next: &mut usize,
    ) -> Decoded<()> {
        if let TensorMode::Im2col { offsets }
        | TensorMode::Im2colW { offsets }
        | TensorMode::Im2colW128 { offsets } = mode
        {
            *offsets = self.vector_src(form, form.operand(*next)?, B16)?;
            *next += 1;
        }
        Ok(())
    }

    fn bulk_tensor(&mut self, form: &mut Form<'m, 'a>, reduce: bool) -> Decoded<CopyOp> {
        let dims = self.dimensions(form)?;
        let (to, from) = (form.need(&SIDES)?, form.need(&SIDES)?);
        let direction = match (to, from, reduce) {
            (Space::SharedCta, Space::Global, false) => TensorDirection::LoadCta,
            (Space::SharedCluster, Space::Global, false) => TensorDirection::LoadCluster,
            (Space::Global, Space::SharedCta, false) => TensorDirection::Store,
            (Space::Global, Space::SharedCta, true) => {
                TensorDirection::Reduce(form.need(&REDUCTIONS)?)
            }
            _ => return Err(form.refuse()),
        };
        let mut mode = self.tensor_mode(form);
        let loads = matches!(direction, TensorDirection::LoadCta | TensorDirection::LoadCluster);
        if !form.take(if loads { COMPLETES } else { "bulk_group" }) {
            return Err(form.refuse());
        }
        let hinted = form.take("L2::cache_hint");
        let multicast =
            direction == TensorDirection::LoadCluster && form.take("multicast::cluster");
        let cta_group =
            if loads { form.choose(&[("cta_group::1", 1), ("cta_group::2", 2)]) } else { None };
        let (shared_at, map_at) = if loads { (0, 1) } else { (1, 0) };
        let shared = self.address(form, shared_at, if loads { to } else { from })?;
        let (map, coords) = self.map_and_coordinates(form, map_at, dims, &mode)?;
        let mut next = 2;
        let mbarrier = if loads {
            next += 1;
            Some(self.address(form, 2, to)?)
        } else {
            None
        };
        self.offsets(form, &mut mode, &mut next)?;
        let multicast = if multicast {
            next += 1;
            Some(self.src(form, next - 1, B16)?)
        } else {
            None
        };
        let policy = if hinted {
            next += 1;
            Some(self.src(form, next - 1, Kind::Bits(Width::B64))?)
        } else {
            None
        };
        form.count(next, next)?;
        Ok(CopyOp::Tensor(Box::new(BulkTensor {
            direction,
            dims,
            mode,
            shared,
            map,
            coords,
            mbarrier,
            multicast,
            cta_group,
            policy,
        })))
    }

    fn bulk_prefetch(&mut self, form: &mut Form<'m, 'a>) -> Decoded<CopyOp> {
        let tensor = form.take("tensor");
        let dims = if tensor { self.dimensions(form)? } else { 0 };
        if !form.take("L2") || !form.take("global") {
            return Err(form.refuse());
        }
        let hinted = form.take("L2::cache_hint");
        let mut next;
        let prefetch = if tensor {
            let mut mode = self.tensor_mode(form);
            let (map, coords) = self.map_and_coordinates(form, 0, dims, &mode)?;
            next = 1;
            self.offsets(form, &mut mode, &mut next)?;
            BulkPrefetch::Tensor { dims, mode, map, coords, policy: None }
        } else {
            let src = self.address(form, 0, Space::Global)?;
            next = 2;
            BulkPrefetch::Linear { src, bytes: self.src(form, 1, B32)?, policy: None }
        };
        let hint = if hinted { Some(self.src(form, next, Kind::Bits(Width::B64))?) } else { None };
        next += usize::from(hinted);
        form.count(next, next)?;
        Ok(CopyOp::Prefetch(Box::new(match prefetch {
            BulkPrefetch::Tensor { dims, mode, map, coords, .. } => {
                BulkPrefetch::Tensor { dims, mode, map, coords, policy: hint }
            }
            BulkPrefetch::Linear { src, bytes, .. } => {
                BulkPrefetch::Linear { src, bytes, policy: hint }
            }
        })))
    }

    /// `st.async{.weak}{.shared::cluster}.mbarrier::complete_tx::bytes{.vec}.type`.
    pub(super) fn st_async(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Op> {
        form.take("weak");
        let vector = form.vector();
        let store = self.async_store(form, vector)?;
        Ok(Op::Copy(CopyOp::StAsync(Box::new(store))))
    }

    fn async_store(&mut self, form: &mut Form<'m, 'a>, vector: usize) -> Decoded<StAsync> {
        let space = match self.space(form) {
            Space::Generic | Space::SharedCluster => Space::SharedCluster,
            _ => return Err(form.refuse()),
        };
        if !form.take(COMPLETES) {
            return Err(form.refuse());
        }
        form.count(3, 3)?;
        let ty = form.ty()?;
        let Some(kind) = Kind::of_type(ty) else { return Err(form.refuse()) };
        let width = kind.width();
        if !matches!(width, Width::B32 | Width::B64) {
            return Err(form.refuse());
        }
        let address = self.address(form, 0, space)?;
        let src = self.vector_src(form, form.operand(1)?, kind)?;
        if src.len() != vector {
            return Err(form.malformed(format!("needs {vector} sources, {} given", src.len())));
        }
        let mbarrier = Some(self.address(form, 2, space)?);
        Ok(StAsync { address, space, width, src, mbarrier })
    }

    /// `red.async.relaxed.cluster…`.
    pub(super) fn red_async(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Op> {
        form.take("relaxed");
        form.take("cluster");
        let kind = form.need(&REDUCTIONS)?;
        let signed = form.instruction.words.iter().any(|word| matches!(*word, "s32" | "s64"));
        let store = Box::new(self.async_store(form, 1)?);
        Ok(Op::Copy(CopyOp::RedAsync { store, kind, signed }))
    }
}
