//! Tensor maps in memory, and cluster launch control.

use super::{
    builder::Builder,
    form::{Decoded, Form},
    memory::SCOPES,
    op::{CopyOp, LaunchControlField, Op, Space, TensorMapField, Width},
    operands::{B32, B64},
};

impl<'m, 'a> Builder<'m, 'a> {
    pub(super) fn prefetch_tensormap(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Op> {
        form.count(1, 1)?;
        let mut space = self.space(form);
        if space == Space::Generic
            && let crate::parse::ast::Operand::Address(address) = form.operand(0)?
            && let Some(crate::parse::ast::Operand::Name(name)) = &address.base
            && let Some(super::op::Symbol::Param(_)) = self.symbol(form, name)?
        {
            // `prefetch.tensormap [parameter]` names the parameter itself.
            space = Space::ParamEntry;
        }
        if !matches!(space, Space::Generic | Space::ParamEntry | Space::Const) {
            return Err(form.refuse());
        }
        let address = self.address(form, 0, space)?;
        Ok(Op::Copy(CopyOp::PrefetchTensorMap { space, address }))
    }

    pub(super) fn tensormap(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Op> {
        if form.take("cp_fenceproxy") {
            let fixed =
                ["global", "shared::cta", "tensormap::generic", "release", "sync", "aligned"];
            for word in fixed {
                if !form.take(word) {
                    return Err(form.refuse());
                }
            }
            let scope = form.need(&SCOPES)?;
            form.count(3, 3)?;
            let dst = self.address(form, 0, Space::Global)?;
            let src = self.address(form, 1, Space::SharedCta)?;
            let bytes = self.count(form, 2)?;
            return Ok(Op::Copy(CopyOp::TensorMapCopyFence { dst, src, bytes, scope }));
        }
        if !form.take("replace") || !form.take("tile") || !form.take("b1024") {
            return Err(form.refuse());
        }
        let field = form.need(&[
            ("global_address", TensorMapField::GlobalAddress),
            ("rank", TensorMapField::Rank),
            ("box_dim", TensorMapField::BoxDim),
            ("global_dim", TensorMapField::GlobalDim),
            ("global_stride", TensorMapField::GlobalStride),
            ("element_stride", TensorMapField::ElementStride),
            ("elemtype", TensorMapField::ElemType),
            ("interleave_layout", TensorMapField::InterleaveLayout),
            ("swizzle_mode", TensorMapField::SwizzleMode),
            ("swizzle_atomicity", TensorMapField::SwizzleAtomicity),
            ("fill_mode", TensorMapField::FillMode),
        ])?;
        let space = match self.space(form) {
            space @ (Space::Generic | Space::Global | Space::SharedCta) => space,
            _ => return Err(form.refuse()),
        };
        let wide = form.need(&[("b32", false), ("b64", true)])?;
        let is_wide = matches!(field, TensorMapField::GlobalAddress | TensorMapField::GlobalStride);
        let per_dimension = matches!(
            field,
            TensorMapField::BoxDim
                | TensorMapField::GlobalDim
                | TensorMapField::GlobalStride
                | TensorMapField::ElementStride
        );
        if wide != is_wide {
            return Err(form.refuse());
        }
        let operands = if per_dimension { 3 } else { 2 };
        form.count(operands, operands)?;
        let address = self.address(form, 0, space)?;
        let ordinal = if per_dimension { self.count(form, 1)? } else { 0 };
        let value = self.src(form, operands - 1, if wide { B64 } else { B32 })?;
        Ok(Op::Copy(CopyOp::TensorMapReplace { space, address, field, ordinal, value }))
    }

    pub(super) fn launch_control(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Op> {
        if !form.take("b128") {
            return Err(form.refuse());
        }
        if form.take("try_cancel") {
            if !form.take("async") || !form.take("mbarrier::complete_tx::bytes") {
                return Err(form.refuse());
            }
            let multicast = form.take("multicast::cluster::all");
            let space = match self.space(form) {
                space @ (Space::Generic | Space::SharedCta) => space,
                _ => return Err(form.refuse()),
            };
            form.count(2, 2)?;
            let dst = self.address(form, 0, space)?;
            let mbarrier = self.address(form, 1, space)?;
            return Ok(Op::Copy(CopyOp::TryCancel { space, dst, mbarrier, multicast }));
        }
        if !form.take("query_cancel") {
            return Err(form.refuse());
        }
        form.count(2, 2)?;
        let wide = self.try_register(form, form.operand(1)?)?;
        let response = match wide {
            Some(register) if register.width == Width::B128 => register.slot,
            _ => return Err(form.malformed("needs a 128-bit register")),
        };
        if form.take("is_canceled") {
            if !form.take("pred") {
                return Err(form.refuse());
            }
            let dst = self.pred_dst(form, 0)?;
            return Ok(Op::Copy(CopyOp::IsCanceled { dst, response }));
        }
        let field = form.need(&[
            ("get_first_ctaid", LaunchControlField::All),
            ("get_first_ctaid::x", LaunchControlField::X),
            ("get_first_ctaid::y", LaunchControlField::Y),
            ("get_first_ctaid::z", LaunchControlField::Z),
        ])?;
        if !form.take("b32") {
            return Err(form.refuse());
        }
        let mut dst = [None; 4];
        if field == LaunchControlField::All {
            form.take("v4");
            let (list, width) = self.vector_dst(form, form.operand(0)?, Width::B32)?;
            if list.len() != 4 || width != Width::B32 {
                return Err(form.malformed("needs four 32-bit registers"));
            }
            dst.copy_from_slice(&list);
        } else {
            dst[0] = Some(self.dst(form, 0, Width::B32)?);
        }
        Ok(Op::Copy(CopyOp::FirstCtaId { field, dst, response }))
    }
}
