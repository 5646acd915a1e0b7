//! The three ways a run can end badly, never mixed: the program is wrong ([`Fault`]), it uses
//! something this emulator lacks ([`Unsupported`]), or the input is not what it claims to be
//! ([`Malformed`]). A bug of the emulator itself is a panic.

use std::fmt;

use thiserror::Error;

/// How a run ended, when it did not end well.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Ending {
    /// The program did something that hardware would punish or leave undefined.
    #[error("fault: {0}")]
    Fault(Box<Fault>),
    /// The program uses an instruction, a modifier or a feature that is not implemented.
    #[error("unsupported: {0}")]
    Unsupported(Unsupported),
    /// The PTX text or the launch file is malformed.
    #[error("malformed: {0}")]
    Malformed(Malformed),
}

impl Ending {
    /// The exit status of `ptx-emulator`: 1 fault, 2 unsupported, 3 malformed.
    pub fn exit_code(&self) -> u8 {
        match self {
            Ending::Fault(_) => 1,
            Ending::Unsupported(_) => 2,
            Ending::Malformed(_) => 3,
        }
    }
}

/// What kind of mistake a program made. The name is stable: tests and `--json` use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// A register, or bytes of a memory, were read before anything wrote them.
    UnwrittenRead,
    /// An access outside every buffer, window or tensor-memory allocation.
    OutOfBounds,
    /// An address that breaks the alignment rule of its instruction.
    Misaligned,
    /// An mbarrier or a named barrier was used against its rules.
    BarrierMisuse,
    /// Tensor memory was allocated, freed, addressed or leaked against its rules.
    TensorMemory,
    /// A matrix or instruction descriptor, or a tensor map, holds an illegal value.
    Descriptor,
    /// Lanes that had to execute an instruction together did not, or the wrong thread issued it.
    Convergence,
    /// A register was touched while an asynchronous instruction still owned it.
    PendingRegister,
    /// Two unordered accesses, at least one a write.
    Race,
    /// Nothing can run any more.
    Deadlock,
    /// The instruction budget is spent.
    Livelock,
    /// `trap`, a failed device assertion.
    Trap,
    /// A launch limit (`.maxntid`, shared memory, cluster shape) is exceeded.
    LaunchLimit,
    /// Work was still in flight, or a resource still held, when the CTA or kernel ended.
    Unfinished,
    /// Not a fault: carries [`Unsupported`] out of the execution of an instruction. The conversion
    /// to [`Ending`] takes it apart.
    #[doc(hidden)]
    Unsupported,
}

/// Who did something: one lane of one warp at one PTX line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Actor {
    /// `%ctaid`.
    pub cta: [u32; 3],
    /// Warp index within the CTA.
    pub warp: u32,
    /// Lane within the warp; `None` when the whole warp acts as one.
    pub lane: Option<u32>,
    /// 1-based line of the PTX text.
    pub line: u32,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [x, y, z] = self.cta;
        write!(f, "line {}, CTA ({x},{y},{z}), warp {}", self.line, self.warp)?;
        match self.lane {
            Some(lane) => write!(f, ", lane {lane}"),
            None => Ok(()),
        }
    }
}

/// A mistake of the program under judgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What kind of mistake.
    pub kind: FaultKind,
    /// What happened, in words, with the values that matter.
    pub message: String,
    /// Who did it. Absent only for faults of a whole launch (limits, deadlock).
    pub actor: Option<Actor>,
    /// The offending address, in its own state space.
    pub address: Option<u64>,
    /// The other party of a race or of a conflict.
    pub other: Option<Actor>,
    /// More lines: the table of who waits for what.
    pub notes: Vec<String>,
    /// The actor's line of the PTX text, where it is known.
    pub text: Option<String>,
}

impl Fault {
    /// A fault with no more than a kind and a message; the `with_*` methods add the rest.
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Fault {
            kind,
            message: message.into(),
            actor: None,
            address: None,
            other: None,
            notes: vec![],
            text: None,
        }
    }

    /// Names who did it.
    #[must_use]
    pub fn by(mut self, actor: Actor) -> Self {
        self.actor = Some(actor);
        self
    }

    /// Names the address.
    #[must_use]
    pub fn at(mut self, address: u64) -> Self {
        self.address = Some(address);
        self
    }

    /// Names the other party.
    #[must_use]
    pub fn against(mut self, other: Actor) -> Self {
        self.other = Some(other);
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.message)?;
        if let Some(address) = self.address {
            write!(f, " [address {address:#x}]")?;
        }
        if let Some(actor) = &self.actor {
            write!(f, " ({actor})")?;
        }
        if let Some(other) = &self.other {
            write!(f, " against ({other})")?;
        }
        if let Some(text) = &self.text {
            write!(f, ": {text}")?;
        }
        Ok(())
    }
}

impl From<Fault> for Ending {
    fn from(fault: Fault) -> Self {
        if fault.kind == FaultKind::Unsupported {
            let line = fault.actor.map_or(0, |actor| actor.line);
            return Ending::Unsupported(Unsupported { what: fault.message, line });
        }
        Ending::Fault(Box::new(fault))
    }
}

/// Something a program uses that this emulator does not implement.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{what}{}", in_line(*line))]
pub struct Unsupported {
    /// The instruction form, modifier or feature, as written.
    pub what: String,
    /// 1-based line of the PTX text; 0 when it is not the text that asks for it.
    pub line: u32,
}

fn in_line(line: u32) -> String {
    if line == 0 { String::new() } else { format!(" (line {line})") }
}

/// Input that is not what it claims to be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{place}: {what}")]
pub struct Malformed {
    /// File, line and column, or the field of a launch file.
    pub place: String,
    /// What was expected and what stands there.
    pub what: String,
}
