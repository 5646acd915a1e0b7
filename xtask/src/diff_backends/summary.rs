//! A PTX module in numbers.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::Result;
use ptx_emulator::parse;
use ptx_emulator::parse::ast::{DeclaredSpace, Instruction, Item, Statement, Variable};

/// A module.
#[derive(Debug)]
pub struct Summary {
    /// `.target`.
    pub target: String,
    /// `.version`.
    pub version: (u32, u32),
    /// Its entry points, by name.
    pub kernels: Vec<KernelSummary>,
    /// Functions beside them: what was not inlined.
    pub functions: usize,
}

/// An entry point, without what it calls.
#[derive(Debug, Default)]
pub struct KernelSummary {
    /// Its name.
    pub name: String,
    /// Virtual registers of all types.
    pub registers: u32,
    /// Instructions of each kind, zeros included.
    pub kinds: BTreeMap<Kind, u32>,
    /// Instructions of each form.
    pub forms: BTreeMap<String, u32>,
}

/// What an instruction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `tcgen05`, `wgmma`.
    Tensor,
    /// Bulk copies and tensor maps.
    BulkCopy,
    /// Barriers and fences.
    Synchronisation,
    /// `ld`, `st` and the like, but not of parameters and local memory.
    Memory,
    /// `ld.param`: the arguments.
    Parameter,
    /// Local memory: what should be in registers.
    Local,
    /// Arithmetic on f32, and conversions.
    Float,
    /// Branches, predicates, calls.
    Control,
    /// Everything else: integers, logic, moves.
    Integer,
}

impl Kind {
    const ALL: [Kind; 9] = [
        Kind::Tensor,
        Kind::BulkCopy,
        Kind::Synchronisation,
        Kind::Memory,
        Kind::Parameter,
        Kind::Local,
        Kind::Float,
        Kind::Control,
        Kind::Integer,
    ];

    fn of(instruction: &Instruction) -> Kind {
        let has = |words: &[&str]| instruction.words.iter().any(|word| words.contains(word));
        match instruction.opcode {
            "tcgen05" | "wgmma" => Kind::Tensor,
            "cp" | "prefetch" | "prefetchu" => Kind::BulkCopy,
            "mbarrier" | "bar" | "barrier" | "fence" | "membar" | "elect" | "shfl" | "vote"
            | "griddepcontrol" | "setmaxnreg" => Kind::Synchronisation,
            "ld" | "ldu" | "st" | "atom" | "red" if has(&["param"]) => Kind::Parameter,
            "ld" | "ldu" | "st" | "atom" | "red" if has(&["local"]) => Kind::Local,
            "ld" | "ldu" | "st" | "atom" | "red" | "ldmatrix" | "stmatrix" => Kind::Memory,
            "setp" | "bra" | "brx" | "ret" | "exit" | "trap" | "call" => Kind::Control,
            // Moves and choices say f32 of bits that nobody computes with.
            "mov" | "selp" => Kind::Integer,
            "cvt" => Kind::Float,
            _ if has(&["f32", "f64", "f16", "f16x2", "bf16", "bf16x2"]) => Kind::Float,
            _ => Kind::Integer,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Tensor => "tensor core",
            Kind::BulkCopy => "bulk copies",
            Kind::Synchronisation => "barriers, fences, votes",
            Kind::Memory => "shared and global memory",
            Kind::Parameter => "parameters",
            Kind::Local => "local memory",
            Kind::Float => "floats and conversions",
            Kind::Control => "branches and predicates",
            Kind::Integer => "integers, logic, moves",
        })
    }
}

impl Summary {
    /// Reads a module.
    pub fn of(ptx: &str) -> Result<Summary> {
        let module = parse::parse(ptx)?;
        let mut kernels: Vec<KernelSummary> = vec![];
        let mut functions = 0;
        for item in &module.items {
            let Item::Function(function) = item else { continue };
            let Some(body) = &function.body else { continue };
            if !function.is_entry {
                functions += 1;
                continue;
            }
            let kinds = Kind::ALL.into_iter().map(|kind| (kind, 0)).collect();
            let name = function.name.to_owned();
            let mut kernel = KernelSummary { name, kinds, ..KernelSummary::default() };
            kernel.add(body);
            kernels.push(kernel);
        }
        kernels.sort_by(|a, b| a.name.cmp(&b.name));
        let target = module.target.first().copied().unwrap_or_default().to_owned();
        Ok(Summary { target, version: module.version, kernels, functions })
    }
}

impl KernelSummary {
    /// All of them.
    pub fn instructions(&self) -> u32 {
        self.kinds.values().sum()
    }

    fn add(&mut self, statements: &[Statement]) {
        for statement in statements {
            match statement {
                Statement::Block(inner) => self.add(inner),
                Statement::Variable(Variable { space: DeclaredSpace::Reg, range, .. }) => {
                    self.registers += range.unwrap_or(1);
                }
                Statement::Instruction(instruction) => {
                    *self.kinds.entry(Kind::of(instruction)).or_default() += 1;
                    *self.forms.entry(instruction.form()).or_default() += 1;
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_counted_by_kind_and_form() {
        let ptx = "\
.version 9.0
.target sm_100a
.address_size 64
.func helper() { ret; }
.visible .entry k(.param .u32 p)
{
    .reg .pred %p<2>;
    .reg .b32 %r<5>;
    .reg .f32 %f;
    .local .align 4 .b8 depot[4];
    ld.param.u32 %r1, [p];
    { .reg .pred q; elect.sync _|q, 0xffffffff; selp.b32 %r2, 1, 0, q; }
    st.shared.b32 [%r1], %r2;
    st.local.b32 [depot], %r2;
    fma.rn.f32 %f, %f, %f, %f;
    fma.rn.f32 %f, %f, %f, %f;
    add.s32 %r3, %r1, %r2;
    tcgen05.wait::ld.sync.aligned;
    prefetch.tensormap [%r1];
    setp.eq.u32 %p1, %r1, 0;
    @%p1 bra L;
L:
    ret;
}
";
        let summary = Summary::of(ptx).unwrap();
        assert_eq!((summary.target.as_str(), summary.version), ("sm_100a", (9, 0)));
        assert_eq!(summary.functions, 1);
        let [kernel] = &summary.kernels[..] else { panic!("{:?}", summary.kernels) };
        assert_eq!((kernel.name.as_str(), kernel.registers), ("k", 9));
        let counts: Vec<u32> = kernel.kinds.values().copied().collect();
        // In the order of Kind.
        assert_eq!(counts, [1, 1, 1, 1, 1, 1, 2, 3, 2]);
        assert_eq!(kernel.instructions(), 13);
        assert_eq!(kernel.forms["fma.rn.f32"], 2);
        assert!(Summary::of("no PTX").is_err());
    }
}
