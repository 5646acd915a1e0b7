//! Which functions a module has, which of them may be called through a register, and which may be
//! active twice.
//!
//! A function usually has registers and a frame of its own, and its caller fills the frame. Where the
//! caller does not know the callee, or the callee may be active already, arguments and results are
//! *staged*: they travel through an area that is the same for all functions.

use std::collections::HashMap;

use super::{builder::layout, form::Decoded};
use crate::parse::ast::{Constant, Function, Init, Item, Module, Operand, Statement, Variable};

/// Bytes of staging for each argument or result: the next multiple of this.
const STAGE: u64 = 16;

/// What is known of one function before any is decoded.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Traits {
    /// Some initialiser or instruction takes its address.
    pub(super) address_taken: bool,
    /// It may be called while it is active.
    pub(super) recursive: bool,
}

/// All functions and entries of a module, numbered.
#[derive(Default)]
pub(super) struct Functions<'m, 'a> {
    /// The number of each name; aliases have that of their target.
    pub(super) index: HashMap<&'a str, u32>,
    /// The definition of each, or its declaration.
    pub(super) list: Vec<&'m Function<'a>>,
    /// By number.
    pub(super) traits: Vec<Traits>,
    /// Bytes that the staged arguments and results of any call take.
    pub(super) staging: (u64, u64),
    /// Some call or function is staged.
    pub(super) any_staged: bool,
}

/// Where each argument or result is staged, with its size; and the bytes of all.
pub(super) fn staged(variables: &[Variable<'_>]) -> Decoded<(Vec<(u32, u32)>, u64)> {
    let mut end = 0u64;
    let mut places = vec![];
    for variable in variables {
        let size = layout(variable)?.0;
        places.push((end as u32, size as u32));
        end = (end + size).next_multiple_of(STAGE);
    }
    Ok((places, end))
}

impl<'m, 'a> Functions<'m, 'a> {
    /// Reads a module; `known` says what its names stand for, aliases among them.
    pub(super) fn new(
        tree: &'m Module<'a>,
        known: &HashMap<&'a str, &'m Function<'a>>,
    ) -> Functions<'m, 'a> {
        let mut functions = Functions::default();
        for item in &tree.items {
            let name = match item {
                Item::Function(function) => function.name,
                Item::Alias { name, .. } => name,
                Item::Variable(_) => continue,
            };
            let Some(&function) = known.get(name) else { continue };
            let number = match functions.index.get(function.name) {
                Some(&number) => number,
                None => {
                    functions.list.push(function);
                    functions.list.len() as u32 - 1
                }
            };
            functions.index.insert(function.name, number);
            functions.index.insert(name, number);
        }
        functions.traits = vec![Traits::default(); functions.list.len()];
        functions.classify(tree);
        functions
    }

    /// By number, whether it is called through the staging area.
    pub(super) fn is_staged(&self, number: u32) -> bool {
        let traits = self.traits[number as usize];
        traits.address_taken || traits.recursive
    }

    fn classify(&mut self, tree: &'m Module<'a>) {
        let mut uses = Uses { functions: &*self, taken: vec![], calls: vec![], indirect: false };
        for item in &tree.items {
            if let Item::Variable(Variable { init: Some(init), .. }) = item {
                uses.init(init);
            }
        }
        // Calls through registers stand for calls of everything whose address is taken: a node of
        // its own, after the functions.
        let anything = self.list.len();
        let mut graph: Vec<(usize, usize)> = vec![];
        let mut staging = (0, 0);
        let mut any = false;
        for (number, function) in self.list.iter().enumerate() {
            uses.statements(function.body.as_deref().unwrap_or_default(), &mut staging);
            graph.extend(uses.calls.drain(..).map(|callee| (number, callee as usize)));
            if std::mem::take(&mut uses.indirect) {
                graph.push((number, anything));
                any = true;
            }
            enlarge(&mut staging, &function.returns, &function.params);
        }
        let taken = std::mem::take(&mut uses.taken);
        graph.extend(taken.iter().map(|&callee| (anything, callee as usize)));
        let around = around_cycles(anything + 1, &graph);
        for number in taken {
            self.traits[number as usize].address_taken = true;
        }
        for (traits, around) in self.traits.iter_mut().zip(around) {
            traits.recursive = around;
        }
        self.staging = staging;
        self.any_staged = any || self.traits.iter().any(|traits| traits.recursive);
    }
}

/// Makes room for one signature. One that cannot be laid out is refused where it is used.
fn enlarge(staging: &mut (u64, u64), returns: &[Variable<'_>], params: &[Variable<'_>]) {
    let bytes = |variables| staged(variables).map_or(0, |(_, bytes)| bytes);
    staging.0 = staging.0.max(bytes(params));
    staging.1 = staging.1.max(bytes(returns));
}

/// The nodes on cycles and between them: what is left when nodes without callees, and then nodes
/// without callers, are taken away.
fn around_cycles(count: usize, graph: &[(usize, usize)]) -> Vec<bool> {
    let mut left = vec![true; count];
    for forward in [true, false] {
        let mut into = vec![vec![]; count];
        let mut open = vec![0u32; count];
        for &(from, to) in graph {
            let (from, to) = if forward { (from, to) } else { (to, from) };
            if left[from] && left[to] {
                into[to].push(from);
                open[from] += 1;
            }
        }
        let mut ends: Vec<_> = (0..count).filter(|&node| left[node] && open[node] == 0).collect();
        while let Some(end) = ends.pop() {
            left[end] = false;
            for &node in &into[end] {
                open[node] -= 1;
                if open[node] == 0 {
                    ends.push(node);
                }
            }
        }
    }
    left
}

/// Who is called, and whose address is taken.
struct Uses<'x, 'm, 'a> {
    functions: &'x Functions<'m, 'a>,
    taken: Vec<u32>,
    calls: Vec<u32>,
    indirect: bool,
}

impl<'a> Uses<'_, '_, 'a> {
    fn take(&mut self, name: &str) {
        self.taken.extend(self.functions.index.get(name));
    }

    fn init(&mut self, init: &Init<'a>) {
        match init {
            Init::List(list) => list.iter().for_each(|init| self.init(init)),
            Init::Value(Constant::Symbol { name, .. } | Constant::SymbolByte { name, .. }) => {
                self.take(name);
            }
            _ => {}
        }
    }

    fn statements(&mut self, statements: &[Statement<'a>], staging: &mut (u64, u64)) {
        for statement in statements {
            match statement {
                Statement::Block(inner) => self.statements(inner, staging),
                Statement::Variable(Variable { init: Some(init), .. }) => self.init(init),
                Statement::CallPrototype { returns, params, .. } => {
                    enlarge(staging, returns, params);
                }
                Statement::Instruction(instruction) if instruction.opcode == "call" => {
                    let is_target = |operand: &&Operand<'a>| !matches!(operand, Operand::List(_));
                    let target = instruction.operands.iter().find(is_target);
                    let callee = match target {
                        Some(Operand::Name(name)) => self.functions.index.get(name),
                        _ => None,
                    };
                    match callee {
                        Some(&callee) => self.calls.push(callee),
                        None => self.indirect = true,
                    }
                    let lists = instruction.operands.iter().filter(|o| !is_target(o));
                    lists.for_each(|operand| self.operand(operand));
                }
                Statement::Instruction(instruction) => {
                    instruction.operands.iter().for_each(|operand| self.operand(operand));
                }
                _ => {}
            }
        }
    }

    fn operand(&mut self, operand: &Operand<'a>) {
        match operand {
            Operand::Name(name) | Operand::Constant(Constant::Symbol { name, .. }) => {
                self.take(name);
            }
            Operand::Vector(list) | Operand::List(list) => {
                list.iter().for_each(|operand| self.operand(operand));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::around_cycles;

    #[test]
    fn what_lies_around_cycles() {
        // 0 -> 1 <-> 2 -> 3 -> 4 <-> 4, 4 -> 5.
        let graph = [(0, 1), (1, 2), (2, 1), (2, 3), (3, 4), (4, 4), (4, 5)];
        assert_eq!(around_cycles(6, &graph), [false, true, true, true, true, false]);
        assert_eq!(around_cycles(2, &[(0, 1)]), [false, false]);
    }
}
