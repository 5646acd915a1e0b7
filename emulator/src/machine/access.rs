//! Who touches a memory, and through which proxy: every access of every memory passes one of these.
//! This is the place where happens-before checks attach.

use crate::error::{Actor, Fault, FaultKind};

/// The path an access takes to memory. Accesses of different proxies are ordered by proxy fences,
/// barriers alone do not order them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Proxy {
    /// Ordinary loads, stores and atomics.
    Generic,
    /// `cp.async`: the generic proxy, at a time of its own.
    CpAsync,
    /// Bulk and tensor copies, `st.async`, `cp.reduce`.
    Async,
    /// Operand fetches of `tcgen05.mma`, `tcgen05.cp` and `wgmma`, and their results.
    TensorCore,
}

/// One access: who and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Who {
    /// The issuing thread or warp, with the PTX line.
    pub actor: Actor,
    /// The path.
    pub proxy: Proxy,
}

impl Who {
    /// An access by the generic proxy.
    pub fn generic(actor: Actor) -> Self {
        Who { actor, proxy: Proxy::Generic }
    }

    /// An access by the async proxy.
    pub fn asynchronous(actor: Actor) -> Self {
        Who { actor, proxy: Proxy::Async }
    }

    /// An access by a tensor core.
    pub fn tensor_core(actor: Actor) -> Self {
        Who { actor, proxy: Proxy::TensorCore }
    }

    /// The same access, of one lane.
    pub fn lane(&self, lane: u32) -> Who {
        Who { actor: Actor { lane: Some(lane), ..self.actor }, ..*self }
    }

    /// A fault committed by this access.
    #[cold]
    pub fn fault(&self, kind: FaultKind, address: u64, message: impl Into<String>) -> Box<Fault> {
        Box::new(Fault::new(kind, message).at(address).by(self.actor))
    }
}
