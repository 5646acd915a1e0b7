//! A decoded module: kernels ready to run, and the variables they share.

use std::ops::Range;
use std::sync::Arc;

use super::op::{Instr, Space, Symbol};
use crate::error::{Ending, Unsupported};

/// A decoded PTX module.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    /// `.version`, major and minor.
    pub version: (u32, u32),
    /// `.target`, such as `sm_100a`, without its options.
    pub target: String,
    /// The entries, in the order of the text.
    pub kernels: Vec<Entry>,
    /// Module-scope variables of `.global` and `.const`.
    pub globals: Vec<ModuleVar>,
    /// Names of the functions and entries, by the number that stands for their address.
    pub functions: Vec<String>,
    /// The text, for messages that quote a line; empty when the program came from a syntax tree.
    pub source: Arc<str>,
}

impl Program {
    /// The kernel of that name, or why it cannot run. `None`: there is no such entry.
    pub fn kernel(&self, name: &str) -> Option<Result<&Kernel, Ending>> {
        let entry = self.kernels.iter().find(|entry| entry.name == name)?;
        Some(entry.kernel.as_ref().map_err(|why| Ending::Unsupported(why.clone())))
    }

    /// The text of a 1-based line, if it is known and not blank.
    pub fn line(&self, line: u32) -> Option<&str> {
        let text = self.source.lines().nth((line as usize).checked_sub(1)?)?.trim();
        (!text.is_empty()).then_some(text)
    }

    /// The first thing in any kernel that is not supported.
    pub fn check(&self) -> Result<(), Ending> {
        for entry in &self.kernels {
            if let Some(why) = entry.unsupported.first() {
                return Err(Ending::Unsupported(why.clone()));
            }
        }
        Ok(())
    }
}

/// One `.entry`. A module may hold kernels that nobody launches, so their flaws must not stop the
/// others; an instruction that is not supported stops a run that comes to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// 1-based line of its declaration.
    pub line: u32,
    /// The kernel, or why it cannot run at all.
    pub kernel: Result<Kernel, Unsupported>,
    /// Everything in it that is not supported, in the order of the text.
    pub unsupported: Vec<Unsupported>,
}

/// An entry together with all functions it calls, as one array of instructions with one register
/// file: execution starts at instruction 0.
///
/// Each function has registers, local memory and frame bytes of its own; a call of one that may be
/// active already ([`Subroutine::activation`]) puts them aside until it returns.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Kernel {
    /// Name of the entry.
    pub name: String,
    /// Parameters, in order.
    pub params: Vec<Param>,
    /// Size of the parameter block in bytes.
    pub param_bytes: u32,
    /// The code of the entry, then of each function that it calls. Every path ends in a `ret`,
    /// `exit` or `trap`; the decoder adds the `ret` that PTX implies at the end of a body.
    pub instrs: Vec<Instr>,
    /// 32-bit register slots.
    pub slots: u32,
    /// Predicate registers.
    pub preds: u32,
    /// Static `.shared` variables, in layout order.
    pub shared: Vec<SharedVar>,
    /// Bytes of static shared memory.
    pub shared_bytes: u32,
    /// Alignment of dynamic shared memory; `None` when the kernel declares none.
    pub dynamic_shared_align: Option<u32>,
    /// Bytes of local memory per thread.
    pub local_bytes: u32,
    /// Bytes of call frame per thread ([`Symbol::Frame`]).
    pub frame_bytes: u32,
    /// Bytes of local memory per thread for recursive functions and `alloca`, after
    /// [`Kernel::local_bytes`].
    pub stack_bytes: u32,
    /// Functions that are called through registers, or that may be active twice.
    pub subroutines: Vec<Subroutine>,
    /// Performance and launch directives.
    pub launch: LaunchBounds,
    /// Where each body starts, for messages: name and first instruction.
    pub bodies: Vec<(String, u32)>,
    /// Register names by first slot, for messages; sorted by slot.
    pub register_names: Vec<(u32, String)>,
    /// Predicate names, for messages; sorted by index.
    pub predicate_names: Vec<(u32, String)>,
    /// Slots of registers that are read and that no instruction writes: values that a compiler
    /// knows not to matter.
    pub undefined: Vec<u32>,
}

/// A function whose arguments and results pass a staging area in the call frame, for its callers do
/// not know it, or it may be active already.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Subroutine {
    /// Its name.
    pub name: String,
    /// Its number in the module.
    pub function: u32,
    /// Its first instruction.
    pub start: u32,
    /// Its parameters, which a call copies from the staging area.
    pub params: Box<[Staged]>,
    /// Its results, which `ret` copies to the staging area.
    pub returns: Box<[Staged]>,
    /// What a call puts aside until it returns, where the function may be active already.
    pub activation: Option<Activation>,
}

/// One argument or result of a [`Subroutine`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Staged {
    /// Frame offset in the staging area.
    pub stage: u32,
    /// Frame offset of the function's own variable.
    pub own: u32,
    /// Bytes.
    pub bytes: u32,
}

/// Everything that belongs to one call of a recursive function.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Activation {
    /// Register slots.
    pub slots: Range<u32>,
    /// Predicates.
    pub preds: Range<u32>,
    /// Parts of the call frame.
    pub frame: [Range<u32>; 2],
    /// Bytes of local memory.
    pub local: u32,
}

/// What the directives of an entry demand of its launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LaunchBounds {
    /// `.maxntid`.
    pub max_threads: Option<[u32; 3]>,
    /// `.reqntid`.
    pub required_threads: Option<[u32; 3]>,
    /// `.minnctapersm`.
    pub min_ctas_per_sm: Option<u32>,
    /// `.maxnctapersm`.
    pub max_ctas_per_sm: Option<u32>,
    /// `.maxnreg`.
    pub max_registers: Option<u32>,
    /// `.explicitcluster`.
    pub explicit_cluster: bool,
    /// `.reqnctapercluster`.
    pub required_cluster: Option<[u32; 3]>,
    /// `.maxclusterrank`.
    pub max_cluster_rank: Option<u32>,
    /// `.blocksareclusters`.
    pub blocks_are_clusters: bool,
}

/// One parameter of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param {
    /// Its name.
    pub name: String,
    /// Offset in the parameter block.
    pub offset: u32,
    /// Size in bytes.
    pub size: u32,
    /// Alignment in bytes.
    pub align: u32,
}

/// One static shared variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedVar {
    /// Its name.
    pub name: String,
    /// Offset in static shared memory.
    pub offset: u32,
    /// Size in bytes.
    pub size: u32,
    /// Alignment in bytes.
    pub align: u32,
}

/// A module-scope variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleVar {
    /// Its name.
    pub name: String,
    /// [`Space::Global`] or [`Space::Const`].
    pub space: Space,
    /// Size in bytes.
    pub size: u64,
    /// Alignment in bytes.
    pub align: u32,
    /// Declared `.extern`: nothing here defines it.
    pub external: bool,
    /// First bytes; the rest, or all of it, is zero as PTX has it.
    pub init: Vec<u8>,
    /// Addresses inside `init`.
    pub relocations: Vec<Relocation>,
}

/// A place in an initialiser that holds the address of a variable or a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relocation {
    /// Offset in the initialiser; the address takes 8 bytes there, or one.
    pub at: u64,
    /// The byte of the address that stands there alone, from the lowest.
    pub byte: Option<u8>,
    /// [`Symbol::Global`] or [`Symbol::Function`].
    pub symbol: Symbol,
    /// Bytes to add.
    pub addend: i64,
    /// `generic(sym)`.
    pub generic: bool,
}
