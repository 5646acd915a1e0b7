//! Builds one kernel: lays out registers, variables and call frames, walks the bodies of the entry
//! and of every function it reaches, and resolves labels.

use std::collections::{HashMap, HashSet};

use super::{
    form::{Decoded, Form},
    functions::staged,
    module::{Module, ModuleSymbol},
    op::{ControlOp, Guard, Instr, Op, Pred, Slot, Symbol, Width},
    program::{Activation, Kernel, LaunchBounds, Param, SharedVar, Staged, Subroutine},
    scope::{CallList, Entity, Range, Register, Scope, members, register_width},
};
use crate::error::{Ending, Unsupported};
use crate::parse::{
    ast::{DeclaredSpace, Function, Instruction, Linkage, Position, Statement, Variable},
    malformed, unsupported,
};

/// The most register slots of a kernel.
const MAX_SLOTS: u32 = 1 << 20;

/// Bytes of local memory for the calls of recursive functions.
pub(super) const STACK: u32 = 64 << 10;

/// How many unsupported instructions of a kernel are told apart.
const MAX_UNSUPPORTED: usize = 1000;

/// A function that the kernel calls.
#[derive(Clone)]
pub(super) struct Callee {
    pub(super) label: u32,
    /// Frame offset and size of each result and parameter.
    pub(super) returns: Vec<(u32, u32)>,
    pub(super) params: Vec<(u32, u32)>,
    /// The number among the kernel's subroutines, where arguments and results are staged.
    pub(super) subroutine: Option<u32>,
}

/// The state of decoding one kernel.
pub(super) struct Builder<'m, 'a> {
    pub(super) module: &'m Module<'m, 'a>,
    pub(super) kernel: Kernel,
    pub(super) in_entry: bool,
    scopes: Vec<Scope<'a>>,
    /// Instruction index of each label.
    labels: Vec<u32>,
    guard: Option<Guard>,
    line: u32,
    /// The hidden predicate that stands for the condition-code register.
    carry: Option<Pred>,
    /// Offsets of module-scope shared variables that the kernel uses.
    shared: HashMap<&'a str, u32>,
    callees: HashMap<&'a str, Callee>,
    /// Named registers, and the slots of those that something writes.
    declared: Vec<Register>,
    assigned: HashSet<Slot>,
    queue: Vec<&'m Function<'a>>,
    /// The subroutine being decoded, and whether it may be active twice.
    current: Option<(u32, bool)>,
    /// Bytes of its variables of `.local`, if it may be active twice.
    activation_bytes: u32,
    /// Its results that are registers, and where they go.
    results: Vec<(Register, u32)>,
    /// The offsets of the staging area: arguments, results.
    staging: Option<(u32, u32)>,
    /// What was met that is not supported.
    unsupported: &'m mut Vec<Unsupported>,
}

/// Decodes an entry.
pub(super) fn kernel<'m, 'a>(
    module: &'m Module<'m, 'a>,
    entry: &'m Function<'a>,
    unsupported: &'m mut Vec<Unsupported>,
) -> Decoded<Kernel> {
    let mut builder = Builder {
        module,
        kernel: Kernel { name: entry.name.into(), ..Kernel::default() },
        in_entry: true,
        scopes: vec![Scope::default()],
        labels: vec![],
        guard: None,
        line: entry.at.line,
        carry: None,
        shared: HashMap::new(),
        callees: HashMap::new(),
        declared: vec![],
        assigned: HashSet::new(),
        queue: vec![],
        current: None,
        activation_bytes: 0,
        results: vec![],
        staging: None,
        unsupported,
    };
    builder.kernel.launch = launch_bounds(entry)?;
    for param in &entry.params {
        let (size, align) = layout(param)?;
        let offset = place(&mut builder.kernel.param_bytes, size, align, param.at)?;
        let symbol = Symbol::Param(offset);
        builder.declare(param.name, Entity::Variable { symbol, size }, param.at)?;
        let (name, size) = (param.name.into(), size as u32);
        builder.kernel.params.push(Param { name, offset, size, align });
    }
    builder.body(entry)?;
    let mut done = 0;
    while done < builder.queue.len() {
        let function = builder.queue[done];
        done += 1;
        builder.function(function)?;
    }
    builder.link();
    for register in &builder.declared {
        if !builder.assigned.contains(&register.slot) {
            let slots = register.slot..register.slot + register.width.slots();
            builder.kernel.undefined.extend(slots);
        }
    }
    Ok(builder.kernel)
}

impl<'m, 'a> Builder<'m, 'a> {
    fn function(&mut self, function: &'m Function<'a>) -> Decoded<()> {
        let callee = self.callees[function.name].clone();
        let number = self.module.numbered.index[function.name];
        let recursive = self.module.numbered.traits[number as usize].recursive;
        self.in_entry = false;
        self.current = callee.subroutine.map(|subroutine| (subroutine, recursive));
        self.results.clear();
        let (slots, preds) = (self.kernel.slots, self.kernel.preds);
        let frame = self.kernel.frame_bytes;
        self.scopes = vec![Scope::default()];
        self.labels[callee.label as usize] = self.kernel.instrs.len() as u32;
        self.guard = None;
        self.line = function.at.line;
        let formals = function.params.iter().zip(&callee.params).map(|(v, at)| (v, at, true));
        let results = function.returns.iter().zip(&callee.returns).map(|(v, at)| (v, at, false));
        for (formal, &(offset, size), is_param) in formals.chain(results) {
            if formal.space == DeclaredSpace::Reg {
                let register = self.register(register_type(formal)?)?;
                self.name_register(formal.name, Entity::Register(register));
                self.assign(register);
                self.declare(formal.name, Entity::Register(register), formal.at)?;
                if is_param {
                    self.load_frame(register, offset);
                } else {
                    self.results.push((register, offset));
                }
            } else {
                let entity = Entity::Variable { symbol: Symbol::Frame(offset), size: size.into() };
                self.declare(formal.name, entity, formal.at)?;
            }
        }
        self.body(function)?;
        if let (Some(subroutine), true) = (callee.subroutine, recursive) {
            let local = std::mem::take(&mut self.activation_bytes).next_multiple_of(16);
            let end = self.kernel.frame_bytes;
            let (slots, preds) = (slots..self.kernel.slots, preds..self.kernel.preds);
            let subroutine = &mut self.kernel.subroutines[subroutine as usize];
            let formals = || subroutine.params.iter().chain(&subroutine.returns);
            let start = formals().map(|one| one.own).min().unwrap_or(0);
            let formals = start..formals().map(|one| one.own + one.bytes).max().unwrap_or(start);
            let frame = [formals, frame..end];
            subroutine.activation = Some(Activation { slots, preds, frame, local });
            if local > 0 {
                self.kernel.stack_bytes = STACK;
            }
        }
        Ok(())
    }

    fn body(&mut self, function: &'m Function<'a>) -> Decoded<()> {
        let first = self.kernel.instrs.len() as u32;
        self.kernel.bodies.push((function.name.into(), first));
        let statements = function.body.as_deref().unwrap_or_default();
        self.scope(statements)?;
        self.guard = None;
        let op = self.give_back();
        self.emit(Op::Control(op));
        Ok(())
    }

    /// The `ret` of the function at hand, after what puts its results in place.
    pub(super) fn give_back(&mut self) -> ControlOp {
        for (register, offset) in self.results.clone() {
            self.store_frame(register, offset);
        }
        match self.current {
            Some((subroutine, _)) => ControlOp::ReturnStaged { subroutine },
            None => ControlOp::Return,
        }
    }

    /// Walks one scope. Labels and branch lists are known in all of it, before they are met.
    fn scope(&mut self, statements: &'m [Statement<'a>]) -> Decoded<()> {
        let mut scope = Scope::default();
        for statement in statements {
            match statement {
                Statement::Label(name, at) => {
                    let label = self.new_label();
                    if scope.labels.insert(name, label).is_some() {
                        return Err(malformed(*at, format!("label '{name}' is declared twice")));
                    }
                }
                Statement::BranchTargets { name, targets, .. } => {
                    scope.targets.insert(name, targets.clone());
                }
                Statement::CallTargets { name, targets, .. } => {
                    scope.calls.insert(name, CallList::Targets(targets.clone()));
                }
                Statement::CallPrototype { name, returns, params, .. } => {
                    let sizes = |variables: &[Variable<'_>]| -> Decoded<Box<[u32]>> {
                        Ok(staged(variables)?.0.into_iter().map(|(_, size)| size).collect())
                    };
                    let list = CallList::Prototype(sizes(returns)?, sizes(params)?);
                    scope.calls.insert(name, list);
                }
                _ => {}
            }
        }
        self.scopes.push(scope);
        for statement in statements {
            match statement {
                Statement::Block(inner) => self.scope(inner)?,
                Statement::Variable(variable) => self.variable(variable)?,
                Statement::Label(name, _) => {
                    let label = self.scopes.last().and_then(|scope| scope.labels.get(name));
                    if let Some(&label) = label {
                        self.labels[label as usize] = self.kernel.instrs.len() as u32;
                    }
                }
                Statement::BranchTargets { .. }
                | Statement::CallTargets { .. }
                | Statement::CallPrototype { .. } => {}
                Statement::Instruction(instruction) => match self.decode(instruction) {
                    // A run may never come here, and a list of what is missing says more than its
                    // first line.
                    Err(Ending::Unsupported(why)) if self.unsupported.len() < MAX_UNSUPPORTED => {
                        self.emit(Op::Unsupported(why.what.clone().into()));
                        self.unsupported.push(why);
                    }
                    other => other?,
                },
            }
        }
        self.scopes.pop();
        Ok(())
    }

    fn decode(&mut self, instruction: &'m Instruction<'a>) -> Decoded<()> {
        let mut form = Form::new(instruction)?;
        self.line = instruction.at.line;
        self.guard = None;
        if let Some((name, negated)) = instruction.guard {
            let pred = self.predicate(name, instruction.at)?;
            self.guard = Some(Guard { pred, negated });
        }
        if let Some(op) = self.instruction(&mut form)? {
            self.emit(op);
        }
        Ok(())
    }

    /// Appends an instruction under the guard and line of the one being decoded.
    pub(super) fn emit(&mut self, op: Op) {
        self.kernel.instrs.push(Instr { guard: self.guard, op, line: self.line });
    }

    pub(super) fn new_label(&mut self) -> u32 {
        self.labels.push(u32::MAX);
        self.labels.len() as u32 - 1
    }

    pub(super) fn label(&self, name: &str) -> Option<u32> {
        self.scopes.iter().rev().find_map(|scope| scope.labels.get(name).copied())
    }

    pub(super) fn branch_targets(&self, name: &str) -> Option<Vec<&'a str>> {
        self.scopes.iter().rev().find_map(|scope| scope.targets.get(name).cloned())
    }

    pub(super) fn call_list(&self, name: &str) -> Option<CallList<'a>> {
        self.scopes.iter().rev().find_map(|scope| scope.calls.get(name).cloned())
    }

    /// A new register, without a name.
    pub(super) fn register(&mut self, width: Width) -> Decoded<Register> {
        Ok(Register { slot: self.slots(width.slots())?, width })
    }

    fn slots(&mut self, count: u32) -> Decoded<Slot> {
        let slot = self.kernel.slots;
        if slot + count > MAX_SLOTS {
            let at = Position { line: self.line, column: 1 };
            return Err(unsupported(at, format!("a kernel of more than {MAX_SLOTS} registers")));
        }
        self.kernel.slots += count;
        Ok(slot)
    }

    /// A new predicate, without a name.
    pub(super) fn new_predicate(&mut self) -> Pred {
        self.kernel.preds += 1;
        self.kernel.preds - 1
    }

    pub(super) fn carry(&mut self) -> Pred {
        match self.carry {
            Some(pred) => pred,
            None => {
                let pred = self.new_predicate();
                self.kernel.predicate_names.push((pred, "the carry flag".into()));
                *self.carry.insert(pred)
            }
        }
    }

    /// Notes that something writes this register.
    pub(super) fn assign(&mut self, register: Register) {
        self.assigned.insert(register.slot);
    }

    fn name_register(&mut self, name: &str, entity: Entity) {
        match entity {
            Entity::Register(register) => {
                self.kernel.register_names.push((register.slot, name.into()));
                self.declared.push(register);
            }
            Entity::Vector { first, .. } => self.kernel.register_names.push((first, name.into())),
            Entity::Predicate(pred) => self.kernel.predicate_names.push((pred, name.into())),
            Entity::Variable { .. } => {}
        }
    }

    fn declare(&mut self, name: &'a str, entity: Entity, at: Position) -> Decoded<()> {
        let scope = self.scopes.last_mut().expect("a body has a scope");
        if scope.names.insert(name, entity).is_some() {
            return Err(malformed(at, format!("'{name}' is declared twice in one scope")));
        }
        Ok(())
    }

    fn variable(&mut self, variable: &'m Variable<'a>) -> Decoded<()> {
        let entity = match variable.space {
            DeclaredSpace::Reg => match variable.range {
                Some(count) => return self.register_range(variable, count),
                None => self.register_variable(variable)?,
            },
            DeclaredSpace::Local | DeclaredSpace::Param | DeclaredSpace::Shared => {
                if variable.space == DeclaredSpace::Shared && variable.linkage == Linkage::External
                {
                    let symbol = self.dynamic_shared(variable);
                    return self.declare(
                        variable.name,
                        Entity::Variable { symbol, size: 0 },
                        variable.at,
                    );
                }
                let (size, align) = layout(variable)?;
                let symbol = match variable.space {
                    DeclaredSpace::Local if self.current.is_some_and(|(_, twice)| twice) => {
                        let bytes = &mut self.activation_bytes;
                        Symbol::Activation(place(bytes, size, align, variable.at)?)
                    }
                    DeclaredSpace::Local => {
                        let bytes = &mut self.kernel.local_bytes;
                        Symbol::Local(place(bytes, size, align, variable.at)?)
                    }
                    DeclaredSpace::Param => Symbol::Frame(self.frame(size, align, variable.at)?),
                    _ => Symbol::Shared(self.place_shared(variable, size, align)?),
                };
                Entity::Variable { symbol, size }
            }
            DeclaredSpace::Global | DeclaredSpace::Const => {
                let index = self.module.local_globals.get(&variable.at);
                let Some(&index) = index else {
                    return Err(unsupported(variable.at, format!("variable '{}'", variable.name)));
                };
                Entity::Variable { symbol: Symbol::Global(index), size: layout(variable)?.0 }
            }
            DeclaredSpace::Sreg | DeclaredSpace::Tex => {
                return Err(unsupported(variable.at, format!("variable '{}'", variable.name)));
            }
        };
        self.declare(variable.name, entity, variable.at)
    }

    fn register_range(&mut self, variable: &'m Variable<'a>, count: u32) -> Decoded<()> {
        if variable.vector != 1 {
            return Err(unsupported(variable.at, "a range of vector registers"));
        }
        let width = if variable.ty == "pred" { None } else { Some(register_type(variable)?) };
        let scope = self.scopes.last_mut().expect("a body has a scope");
        if scope.ranges.insert(variable.name, Range { width, count }).is_some() {
            let what = format!("'{}<…>' is declared twice in one scope", variable.name);
            return Err(malformed(variable.at, what));
        }
        Ok(())
    }

    fn register_variable(&mut self, variable: &'m Variable<'a>) -> Decoded<Entity> {
        if !variable.dimensions.is_empty() {
            return Err(unsupported(variable.at, "an array of registers"));
        }
        let entity = if variable.vector > 1 {
            let element = register_type(variable)?;
            let first = self.slots(element.slots() * variable.vector)?;
            Entity::Vector { first, element, count: variable.vector }
        } else if variable.ty == "pred" {
            Entity::Predicate(self.new_predicate())
        } else {
            Entity::Register(self.register(register_type(variable)?)?)
        };
        self.name_register(variable.name, entity);
        Ok(entity)
    }

    pub(super) fn frame(&mut self, size: u64, align: u32, at: Position) -> Decoded<u32> {
        place(&mut self.kernel.frame_bytes, size, align, at)
    }

    fn dynamic_shared(&mut self, variable: &Variable<'_>) -> Symbol {
        let align = variable.align.unwrap_or(natural_align(variable));
        let known = self.kernel.dynamic_shared_align.unwrap_or(1);
        self.kernel.dynamic_shared_align = Some(known.max(align));
        Symbol::DynamicShared
    }

    fn place_shared(&mut self, variable: &Variable<'a>, size: u64, align: u32) -> Decoded<u32> {
        let offset = place(&mut self.kernel.shared_bytes, size, align, variable.at)?;
        let (name, size) = (variable.name.into(), size as u32);
        self.kernel.shared.push(SharedVar { name, offset, size, align });
        Ok(offset)
    }

    /// What a name means here, innermost scope first, then the module's variables.
    pub(super) fn lookup(&mut self, name: &'a str, at: Position) -> Decoded<Option<Entity>> {
        for index in (0..self.scopes.len()).rev() {
            if let Some(&entity) = self.scopes[index].names.get(name) {
                return Ok(Some(entity));
            }
            for (prefix, number) in members(name) {
                let range = self.scopes[index].ranges.get(prefix);
                let Some(&Range { width, count }) = range else { continue };
                if number >= count {
                    continue;
                }
                let entity = match width {
                    Some(width) => Entity::Register(self.register(width)?),
                    None => Entity::Predicate(self.new_predicate()),
                };
                self.scopes[index].names.insert(name, entity);
                self.name_register(name, entity);
                return Ok(Some(entity));
            }
        }
        let module = self.module;
        let Some(symbol) = module.symbols.get(name) else { return Ok(None) };
        Ok(Some(match *symbol {
            ModuleSymbol::Global(index) => {
                let size = module.globals[index as usize].size;
                Entity::Variable { symbol: Symbol::Global(index), size }
            }
            ModuleSymbol::Shared(variable) if variable.linkage == Linkage::External => {
                Entity::Variable { symbol: self.dynamic_shared(variable), size: 0 }
            }
            ModuleSymbol::Shared(variable) => {
                let (size, align) = layout(variable)?;
                let offset = match self.shared.get(name) {
                    Some(&offset) => offset,
                    None => {
                        let offset = self.place_shared(variable, size, align)?;
                        self.shared.insert(variable.name, offset);
                        offset
                    }
                };
                Entity::Variable { symbol: Symbol::Shared(offset), size }
            }
            ModuleSymbol::Other => {
                return Err(unsupported(at, format!("texture, sampler or surface '{name}'")));
            }
        }))
    }

    pub(super) fn predicate(&mut self, name: &'a str, at: Position) -> Decoded<Pred> {
        match self.lookup(name, at)? {
            Some(Entity::Predicate(pred)) => Ok(pred),
            Some(_) => Err(malformed(at, format!("'{name}' is not a predicate"))),
            None => Err(malformed(at, format!("'{name}' is not declared"))),
        }
    }

    /// The callee of that name, queued for decoding when it is new.
    pub(super) fn callee(&mut self, name: &'a str, at: Position) -> Decoded<Callee> {
        let Some(&function) = self.module.functions.get(name) else {
            return Err(malformed(at, format!("function '{name}' is not declared")));
        };
        if function.body.is_none() {
            return Err(unsupported(at, format!("call of '{name}', which is defined elsewhere")));
        }
        if function.is_entry {
            return Err(malformed(at, format!("call of the entry '{name}'")));
        }
        let name = function.name;
        if !self.callees.contains_key(name) {
            let mut formals = |variables: &[Variable<'_>]| {
                let place = |variable: &Variable<'_>| {
                    let (size, align) = layout(variable)?;
                    Ok((self.frame(size, align, variable.at)?, size as u32))
                };
                variables.iter().map(place).collect::<Decoded<Vec<_>>>()
            };
            let (returns, params) = (formals(&function.returns)?, formals(&function.params)?);
            self.queue.push(function);
            let subroutine = self.subroutine(function, &returns, &params)?;
            let label = self.new_label();
            self.callees.insert(name, Callee { label, returns, params, subroutine });
        }
        Ok(self.callees[name].clone())
    }

    /// Numbers a function whose arguments are staged.
    fn subroutine(
        &mut self,
        function: &'m Function<'a>,
        returns: &[(u32, u32)],
        params: &[(u32, u32)],
    ) -> Decoded<Option<u32>> {
        let number = self.module.numbered.index[function.name];
        if !self.module.numbered.is_staged(number) {
            return Ok(None);
        }
        let (arguments, results) = self.staging(function.at)?;
        let list = |base: u32, variables: &[Variable<'_>], own: &[(u32, u32)]| {
            let stages = staged(variables)?.0.into_iter();
            let all = stages.zip(own).map(|((stage, bytes), &(own, _))| Staged {
                stage: base + stage,
                own,
                bytes,
            });
            Decoded::Ok(all.collect())
        };
        self.kernel.subroutines.push(Subroutine {
            name: function.name.into(),
            function: number,
            start: 0,
            params: list(arguments, &function.params, params)?,
            returns: list(results, &function.returns, returns)?,
            activation: None,
        });
        Ok(Some(self.kernel.subroutines.len() as u32 - 1))
    }

    /// Where staged arguments and results lie.
    pub(super) fn staging(&mut self, at: Position) -> Decoded<(u32, u32)> {
        if let Some(staging) = self.staging {
            return Ok(staging);
        }
        let (arguments, results) = self.module.numbered.staging;
        let staging = (self.frame(arguments, 16, at)?, self.frame(results, 16, at)?);
        Ok(*self.staging.insert(staging))
    }

    /// Replaces label numbers by instruction indices.
    fn link(&mut self) {
        let labels = &self.labels;
        for instr in &mut self.kernel.instrs {
            match &mut instr.op {
                Op::Control(ControlOp::Branch { target, .. } | ControlOp::Call { target }) => {
                    *target = labels[*target as usize];
                }
                Op::Control(ControlOp::BranchIndexed { targets, .. }) => {
                    targets.iter_mut().for_each(|target| *target = labels[*target as usize]);
                }
                _ => {}
            }
        }
        for callee in self.callees.values() {
            if let Some(subroutine) = callee.subroutine {
                self.kernel.subroutines[subroutine as usize].start = labels[callee.label as usize];
            }
        }
    }
}

fn register_type(variable: &Variable<'_>) -> Decoded<Width> {
    register_width(variable.ty).ok_or_else(|| {
        unsupported(variable.at, format!("register '{}' of type '.{}'", variable.name, variable.ty))
    })
}

fn natural_align(variable: &Variable<'_>) -> u32 {
    register_width(variable.ty).map_or(8, Width::bytes) * variable.vector
}

/// Size and alignment of a variable.
pub(super) fn layout(variable: &Variable<'_>) -> Decoded<(u64, u32)> {
    let element = u64::from(register_type(variable)?.bytes() * variable.vector);
    let mut size = element;
    for (index, dimension) in variable.dimensions.iter().enumerate() {
        // `[]` takes its size from the initialiser.
        let count = match (dimension, &variable.init) {
            (Some(count), _) => *count,
            (None, Some(crate::parse::ast::Init::List(list))) if index == 0 => list.len() as u64,
            (None, Some(crate::parse::ast::Init::Text(text))) => text.len() as u64,
            (None, _) => 0,
        };
        size = size.checked_mul(count).filter(|&size| size <= 1 << 40).ok_or_else(|| {
            malformed(variable.at, format!("'{}' is larger than 2^40 bytes", variable.name))
        })?;
    }
    Ok((size, variable.align.unwrap_or(natural_align(variable))))
}

/// Reserves `size` bytes at the end of a region.
fn place(region: &mut u32, size: u64, align: u32, at: Position) -> Decoded<u32> {
    let offset = u64::from(*region).next_multiple_of(align.into());
    let end = offset.checked_add(size).filter(|&end| end <= 1 << 28);
    let Some(end) = end else {
        return Err(unsupported(at, "more than 2^28 bytes of variables"));
    };
    *region = end as u32;
    Ok(offset as u32)
}

fn launch_bounds(entry: &Function<'_>) -> Decoded<LaunchBounds> {
    let mut bounds = LaunchBounds::default();
    for directive in &entry.directives {
        let values = directive.values.iter().map(|&value| u32::try_from(value).ok());
        let Some(values) = values.collect::<Option<Vec<u32>>>() else {
            return Err(malformed(directive.at, format!("'.{}': too large", directive.word)));
        };
        let wrong = || malformed(directive.at, format!("'.{}': wrong count", directive.word));
        let triple = || match values[..] {
            [x] => Ok([x, 1, 1]),
            [x, y] => Ok([x, y, 1]),
            [x, y, z] => Ok([x, y, z]),
            _ => Err(wrong()),
        };
        let single = || if let [value] = values[..] { Ok(value) } else { Err(wrong()) };
        match directive.word {
            "maxntid" => bounds.max_threads = Some(triple()?),
            "reqntid" => bounds.required_threads = Some(triple()?),
            "minnctapersm" => bounds.min_ctas_per_sm = Some(single()?),
            "maxnctapersm" => bounds.max_ctas_per_sm = Some(single()?),
            "maxnreg" => bounds.max_registers = Some(single()?),
            "explicitcluster" => bounds.explicit_cluster = true,
            "reqnctapercluster" => bounds.required_cluster = Some(triple()?),
            "maxclusterrank" => bounds.max_cluster_rank = Some(single()?),
            "blocksareclusters" => bounds.blocks_are_clusters = true,
            // Promises to ptxas that do not bear on execution.
            "noreturn" | "abi_preserve" | "abi_preserve_control" => {}
            word => return Err(unsupported(directive.at, format!("directive '.{word}'"))),
        }
    }
    Ok(bounds)
}
