//! Barriers, mbarriers and fences.

use super::{
    builder::Builder,
    form::{Decoded, Form},
    memory::SCOPES,
    op::{
        Arrive, BarKind, BarRed, FenceOp, MbarrierOp, Op, Order, Proxy, Scope, Space, SyncOp,
        WaitKind, Width,
    },
    operands::{B32, B64},
};
use crate::parse::ast::Operand;

impl<'m, 'a> Builder<'m, 'a> {
    pub(super) fn barrier(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Op> {
        let is_bar = form.instruction.opcode == "bar";
        if form.take("cluster") {
            return self.cluster_barrier(form);
        }
        if is_bar && form.take("warp") {
            if !form.take("sync") {
                return Err(form.refuse());
            }
            form.count(1, 1)?;
            return Ok(Op::Sync(SyncOp::WarpSync { mask: self.src(form, 0, B32)? }));
        }
        form.take("cta");
        let aligned = form.take("aligned") || is_bar;
        let (kind, first) = match form.need(&[("sync", 0), ("arrive", 1), ("red", 2)])? {
            0 => (BarKind::Sync, 0),
            1 => (BarKind::Arrive, 0),
            _ => (BarKind::Red(self.barrier_reduction(form)?), 1),
        };
        let extra = usize::from(first == 1);
        form.count(1 + 2 * extra, 2 + 2 * extra)?;
        let barrier = self.src(form, first, B32)?;
        // In a reduction the predicate comes last.
        let threads =
            if form.len() - 2 * extra == 2 { Some(self.src(form, first + 1, B32)?) } else { None };
        if matches!(kind, BarKind::Arrive) && threads.is_none() {
            return Err(form.malformed("needs a thread count"));
        }
        Ok(Op::Sync(SyncOp::Bar { kind, barrier, threads, aligned }))
    }

    fn barrier_reduction(&mut self, form: &mut Form<'m, 'a>) -> Decoded<BarRed> {
        let mode = form.need(&[("popc", 0), ("and", 1), ("or", 2)])?;
        if !form.take(if mode == 0 { "u32" } else { "pred" }) {
            return Err(form.refuse());
        }
        let Some(last) = form.len().checked_sub(1).filter(|&last| last > 0) else {
            return Err(form.malformed("needs a result, a barrier and a predicate"));
        };
        let src = self.pred(form, last)?;
        Ok(match mode {
            0 => BarRed::Popc { dst: self.dst(form, 0, Width::B32)?, src },
            1 => BarRed::And { dst: self.pred_dst(form, 0)?, src },
            _ => BarRed::Or { dst: self.pred_dst(form, 0)?, src },
        })
    }

    fn cluster_barrier(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Op> {
        form.count(0, 0)?;
        let arrive = form.need(&[("arrive", true), ("wait", false)])?;
        let aligned = form.take("aligned");
        Ok(Op::Sync(if arrive {
            let orders = [("release", Order::Release), ("relaxed", Order::Relaxed)];
            let order = form.choose(&orders).unwrap_or(Order::Release);
            SyncOp::ClusterArrive { order, aligned }
        } else {
            form.take("acquire");
            SyncOp::ClusterWait { order: Order::Acquire, aligned }
        }))
    }

    pub(super) fn fence(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Op> {
        let fence = self.fence_op(form)?;
        if !matches!(fence, FenceOp::TensorMapAcquire { .. }) {
            form.count(0, 0)?;
        }
        Ok(Op::Sync(SyncOp::Fence(fence)))
    }

    fn fence_op(&mut self, form: &mut Form<'m, 'a>) -> Decoded<FenceOp> {
        if form.instruction.opcode == "membar" {
            if form.take("proxy") {
                return self.proxy_fence(form);
            }
            let scope =
                form.need(&[("cta", Scope::Cta), ("gl", Scope::Gpu), ("sys", Scope::Sys)])?;
            return Ok(FenceOp::Thread { order: Order::Sc, scope });
        }
        if form.take("mbarrier_init") {
            if form.take("release") && form.take("cluster") {
                return Ok(FenceOp::MbarrierInit);
            }
            return Err(form.refuse());
        }
        if form.take("proxy") {
            return self.proxy_fence(form);
        }
        let orders = [
            ("sc", Order::Sc),
            ("acq_rel", Order::AcqRel),
            ("acquire", Order::Acquire),
            ("release", Order::Release),
        ];
        let order = form.choose(&orders).unwrap_or(Order::AcqRel);
        if let Some(space) = restriction(form) {
            return restricted(form, order, space, false);
        }
        let scope = form.need(&SCOPES)?;
        Ok(FenceOp::Thread { order, scope })
    }

    fn proxy_fence(&mut self, form: &mut Form<'m, 'a>) -> Decoded<FenceOp> {
        if form.take("tensormap::generic") {
            let acquire = form.need(&[("acquire", true), ("release", false)])?;
            let scope = form.need(&SCOPES)?;
            if !acquire {
                return Ok(FenceOp::TensorMapRelease { scope });
            }
            form.count(2, 2)?;
            let address = self.address(form, 0, Space::Generic)?;
            let bytes = self.count(form, 1)?;
            return Ok(FenceOp::TensorMapAcquire { scope, address, bytes });
        }
        if form.take("async::generic") {
            let order = form.need(&[("acquire", Order::Acquire), ("release", Order::Release)])?;
            let space = restriction(form).ok_or_else(|| form.refuse())?;
            return restricted(form, order, space, true);
        }
        if form.take("alias") {
            return Ok(FenceOp::Proxy(Proxy::Alias));
        }
        if !form.take("async") {
            return Err(form.refuse());
        }
        let spaces = [
            ("global", Proxy::AsyncGlobal),
            ("shared::cta", Proxy::AsyncSharedCta),
            ("shared::cluster", Proxy::AsyncSharedCluster),
        ];
        Ok(FenceOp::Proxy(form.choose(&spaces).unwrap_or(Proxy::Async)))
    }

    pub(super) fn mbarrier(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Op> {
        self.mbarrier_op(form).map(|op| Op::Sync(SyncOp::Mbarrier(op)))
    }

    fn mbarrier_space(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Space> {
        match self.space(form) {
            space @ (Space::Generic | Space::SharedCta | Space::SharedCluster) => Ok(space),
            _ => Err(form.refuse()),
        }
    }

    fn mbarrier_op(&mut self, form: &mut Form<'m, 'a>) -> Decoded<MbarrierOp> {
        let Some(action) = form.next_word() else { return Err(form.refuse()) };
        match action {
            "test_wait" | "try_wait" => return self.mbarrier_wait(form, action == "try_wait"),
            "arrive" | "arrive_drop" => return self.arrive(form, action == "arrive_drop"),
            "pending_count" => {
                form.take("b64");
                form.count(2, 2)?;
                let dst = self.dst(form, 0, Width::B32)?;
                return Ok(MbarrierOp::PendingCount { dst, state: self.src(form, 1, B64)? });
            }
            _ => {}
        }
        let space = self.mbarrier_space(form)?;
        form.take("b64");
        match action {
            "init" => {
                form.count(2, 2)?;
                let address = self.address(form, 0, space)?;
                let count = self.src(form, 1, B32)?;
                Ok(MbarrierOp::Init { space, address, count })
            }
            "inval" => {
                form.count(1, 1)?;
                Ok(MbarrierOp::Inval { space, address: self.address(form, 0, space)? })
            }
            "expect_tx" | "complete_tx" => {
                form.take("relaxed");
                let scope = form.choose(&SCOPES[..2]).unwrap_or(Scope::Cta);
                form.count(2, 2)?;
                let address = self.address(form, 0, space)?;
                let bytes = self.src(form, 1, B32)?;
                Ok(if action == "expect_tx" {
                    MbarrierOp::ExpectTx { space, address, bytes, scope }
                } else {
                    MbarrierOp::CompleteTx { space, address, bytes, scope }
                })
            }
            _ => Err(form.refuse()),
        }
    }

    fn arrive(&mut self, form: &mut Form<'m, 'a>, drop: bool) -> Decoded<MbarrierOp> {
        let expects = form.take("expect_tx");
        let no_complete = form.take("noComplete");
        let orders = [("release", Order::Release), ("relaxed", Order::Relaxed)];
        let order = form.choose(&orders).unwrap_or(Order::Release);
        let scope = form.choose(&SCOPES[..2]).unwrap_or(Scope::Cta);
        let space = self.mbarrier_space(form)?;
        form.take("b64");
        // The state operand may be left out altogether.
        let with_state = !matches!(form.operand(0)?, Operand::Address(_));
        let first = usize::from(with_state);
        let needs_count = usize::from(expects || no_complete);
        form.count(first + 1 + needs_count, first + 2)?;
        let state = if with_state {
            self.dst_of(form, form.operand(0)?, |width| width == Width::B64)?
                .map(|register| register.slot)
        } else {
            None
        };
        if state.is_some() && space == Space::SharedCluster {
            return Err(form.malformed("a remote arrive returns no state: write '_'"));
        }
        let address = self.address(form, first, space)?;
        let operand =
            if form.len() == first + 2 { Some(self.src(form, first + 1, B32)?) } else { None };
        let (count, expect_tx) = if expects { (None, operand) } else { (operand, None) };
        Ok(MbarrierOp::Arrive(Arrive {
            space,
            address,
            state,
            count,
            expect_tx,
            drop,
            no_complete,
            order,
            scope,
        }))
    }

    fn mbarrier_wait(&mut self, form: &mut Form<'m, 'a>, may_sleep: bool) -> Decoded<MbarrierOp> {
        let parity = form.take("parity");
        let orders = [("acquire", Order::Acquire), ("relaxed", Order::Relaxed)];
        let order = form.choose(&orders).unwrap_or(Order::Acquire);
        let scope = form.choose(&SCOPES[..2]).unwrap_or(Scope::Cta);
        let space = self.mbarrier_space(form)?;
        form.take("b64");
        form.count(3, 3 + usize::from(may_sleep))?;
        let dst = self.pred_dst(form, 0)?;
        let address = self.address(form, 1, space)?;
        let phase = if parity {
            WaitKind::Parity(self.src(form, 2, B32)?)
        } else {
            WaitKind::State(self.src(form, 2, B64)?)
        };
        let time = if form.len() == 4 { Some(self.src(form, 3, B32)?) } else { None };
        Ok(MbarrierOp::Wait { space, address, dst, phase, may_sleep, time, order, scope })
    }
}

/// `.sync_restrict::shared::…`
fn restriction(form: &mut Form<'_, '_>) -> Option<Space> {
    form.choose(&[
        ("sync_restrict::shared::cta", Space::SharedCta),
        ("sync_restrict::shared::cluster", Space::SharedCluster),
    ])
}

fn restricted(
    form: &mut Form<'_, '_>,
    order: Order,
    space: Space,
    async_proxy: bool,
) -> Decoded<FenceOp> {
    if !form.take("cluster") || !matches!(order, Order::Acquire | Order::Release) {
        return Err(form.refuse());
    }
    Ok(FenceOp::Restricted { order, space, async_proxy })
}
