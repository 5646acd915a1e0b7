//! Branches, calls, and what a thread does about its own running.

use super::{
    builder::{Builder, STACK},
    form::{Decoded, Form},
    functions::staged,
    op::{
        Address, Base, Callee as Target, ControlOp, Load, LoadCache, MemoryOp, Op, Order, Scope,
        Space, Src, Store, Symbol, Width,
    },
    operands::{B32, Kind},
    scope::{CallList, Register},
};
use crate::parse::ast::Operand;

impl<'m, 'a> Builder<'m, 'a> {
    pub(super) fn control(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Op> {
        let op = match form.instruction.opcode {
            "bra" => {
                let uniform = form.take("uni");
                form.count(1, 1)?;
                let target = self.target(form, form.operand(0)?)?;
                ControlOp::Branch { target, uniform }
            }
            "brx" => {
                if !form.take("idx") {
                    return Err(form.refuse());
                }
                let uniform = form.take("uni");
                form.count(2, 2)?;
                let index = self.src(form, 0, B32)?;
                let Operand::Name(list) = form.operand(1)? else {
                    return Err(form.malformed("needs the name of a '.branchtargets' list"));
                };
                let Some(names) = self.branch_targets(list) else {
                    return Err(form.malformed(format!("'{list}' is no '.branchtargets' list")));
                };
                let label = |name| {
                    self.label(name)
                        .ok_or_else(|| form.malformed(format!("label '{name}' is not declared")))
                };
                let targets = names.into_iter().map(label).collect::<Decoded<_>>()?;
                ControlOp::BranchIndexed { index, targets, uniform }
            }
            "ret" => {
                form.take("uni");
                form.count(0, 0)?;
                self.give_back()
            }
            "exit" => {
                form.count(0, 0)?;
                ControlOp::Exit
            }
            "trap" => {
                form.count(0, 0)?;
                ControlOp::Trap
            }
            "brkpt" => {
                form.count(0, 0)?;
                ControlOp::Breakpoint
            }
            "pmevent" => {
                form.take("mask");
                form.count(1, 1)?;
                self.integer(form, 0)?;
                ControlOp::Nop
            }
            "nanosleep" => {
                if !form.take("u32") {
                    return Err(form.refuse());
                }
                form.count(1, 1)?;
                ControlOp::NanoSleep { time: self.src(form, 0, B32)? }
            }
            "setmaxnreg" => {
                let increase = form.need(&[("inc", true), ("dec", false)])?;
                if !(form.take("sync") && form.take("aligned") && form.take("u32")) {
                    return Err(form.refuse());
                }
                form.count(1, 1)?;
                let count = self.count(form, 0)?;
                if !(24..=256).contains(&count) || count % 8 != 0 {
                    return Err(form.malformed(format!(
                        "{count} registers: must be a multiple of 8 from 24 to 256"
                    )));
                }
                ControlOp::SetMaxNReg { increase, count }
            }
            _ => {
                form.count(0, 0)?;
                if form.take("wait") {
                    ControlOp::GridDependencyWait
                } else if form.take("launch_dependents") {
                    ControlOp::GridLaunchDependents
                } else {
                    return Err(form.refuse());
                }
            }
        };
        Ok(Op::Control(op))
    }

    fn target(&self, form: &Form<'m, 'a>, operand: &Operand<'a>) -> Decoded<u32> {
        let Operand::Name(name) = operand else {
            return Err(form.malformed("needs a label"));
        };
        self.label(name).ok_or_else(|| form.malformed(format!("label '{name}' is not declared")))
    }

    /// `call (results), function, (arguments);`: copies into the callee's frame, the jump, copies
    /// out of it.
    pub(super) fn call(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Option<Op>> {
        form.take("uni");
        let mut operands = form.operands();
        let mut results: &'m [Operand<'a>] = &[];
        if let [Operand::List(list), rest @ ..] = operands {
            (results, operands) = (list, rest);
        }
        let [target, rest @ ..] = operands else {
            return Err(form.malformed("needs a function"));
        };
        let arguments: &'m [Operand<'a>] = match rest.first() {
            Some(Operand::List(list)) => list,
            _ => &[],
        };
        let Operand::Name(name) = target else {
            return Err(form.malformed("needs a function"));
        };
        if let Some(register) = self.try_register(form, target)? {
            if register.width != Width::B64 {
                return Err(form.malformed("a function's address has 64 bits"));
            }
            let list = rest.iter().find_map(|operand| match operand {
                Operand::Name(name) => Some(*name),
                _ => None,
            });
            let address = Src::Reg(register.slot);
            self.call_address(form, address, list, (results, arguments))?;
            return Ok(None);
        }
        let module = self.module;
        let external = module.functions.get(name).is_some_and(|found| found.body.is_none());
        if external && matches!(*name, "__assertfail" | "vprintf") {
            return self.system_call(form, name, results, arguments).map(Some);
        }
        let callee = self.callee(name, form.instruction.at)?;
        let counts = (callee.returns.len(), callee.params.len());
        check_counts(form, counts, (results.len(), arguments.len()))?;
        if let Some(subroutine) = callee.subroutine {
            let sizes =
                |list: &[(u32, u32)]| list.iter().map(|&(_, size)| size).collect::<Vec<_>>();
            let sizes = (sizes(&callee.returns), sizes(&callee.params));
            self.staged_call(form, Target::Known(subroutine), &sizes, (results, arguments))?;
            return Ok(None);
        }
        for (argument, &(offset, size)) in arguments.iter().zip(&callee.params) {
            self.pass(form, argument, offset, size)?;
        }
        self.emit(Op::Control(ControlOp::Call { target: callee.label }));
        for (result, &(offset, size)) in results.iter().zip(&callee.returns) {
            self.fetch(form, result, offset, size)?;
        }
        Ok(None)
    }

    /// `call (results), %rd, (arguments), list;`
    fn call_address(
        &mut self,
        form: &Form<'m, 'a>,
        address: Src,
        list: Option<&'a str>,
        passed: (&'m [Operand<'a>], &'m [Operand<'a>]),
    ) -> Decoded<()> {
        let at = form.instruction.at;
        let Some(list) = list else {
            return Err(form.malformed("a call through a register needs a list or a prototype"));
        };
        // A module-scope prototype would stand outside; PTX has them inside bodies alone.
        let Some(list) = self.call_list(list) else {
            return Err(form.malformed(format!(
                "'{list}' is neither a '.calltargets' nor a '.callprototype'"
            )));
        };
        let module = self.module;
        let sizes = |variables| -> Decoded<Vec<u32>> {
            Ok(staged(variables)?.0.into_iter().map(|(_, size)| size).collect())
        };
        let (sizes, among) = match list {
            CallList::Targets(names) => {
                let mut among = vec![];
                let mut found = None;
                for name in names {
                    let Some(&function) = module.functions.get(name) else {
                        return Err(form.malformed(format!("function '{name}' is not declared")));
                    };
                    found.get_or_insert((sizes(&function.returns)?, sizes(&function.params)?));
                    if function.body.is_some() {
                        among.extend(self.callee(name, at)?.subroutine);
                    }
                }
                let Some(sizes) = found else { return Err(form.malformed("an empty list")) };
                (sizes, Some(among.into()))
            }
            CallList::Prototype(returns, params) => {
                let wanted = (returns.into_vec(), params.into_vec());
                for (number, &function) in module.numbered.list.iter().enumerate() {
                    let taken = module.numbered.traits[number].address_taken;
                    if taken
                        && function.body.is_some()
                        && !function.is_entry
                        && (sizes(&function.returns)?, sizes(&function.params)?) == wanted
                    {
                        self.callee(function.name, at)?;
                    }
                }
                (wanted, None)
            }
        };
        check_counts(form, (sizes.0.len(), sizes.1.len()), (passed.0.len(), passed.1.len()))?;
        let (returns, params) = (sizes.0.clone().into(), sizes.1.clone().into());
        let target = Target::Address { address, among, params, returns };
        self.staged_call(form, target, &sizes, passed)
    }

    /// Arguments to the staging area, the call, results from there.
    fn staged_call(
        &mut self,
        form: &Form<'m, 'a>,
        callee: Target,
        (returns, params): &(Vec<u32>, Vec<u32>),
        (results, arguments): (&'m [Operand<'a>], &'m [Operand<'a>]),
    ) -> Decoded<()> {
        let (to, from) = self.staging(form.instruction.at)?;
        let places = |base: u32, sizes: &[u32]| {
            let mut next = base;
            let place = |&size: &u32| {
                let at = next;
                next = (next + size).next_multiple_of(16);
                (at, size)
            };
            sizes.iter().map(place).collect::<Vec<_>>()
        };
        for (argument, (offset, size)) in arguments.iter().zip(places(to, params)) {
            self.pass(form, argument, offset, size)?;
        }
        self.emit(Op::Control(ControlOp::CallStaged { callee }));
        for (result, (offset, size)) in results.iter().zip(places(from, returns)) {
            self.fetch(form, result, offset, size)?;
        }
        Ok(())
    }

    /// Takes a result from `offset` of the frame.
    fn fetch(
        &mut self,
        form: &Form<'m, 'a>,
        result: &'m Operand<'a>,
        offset: u32,
        size: u32,
    ) -> Decoded<()> {
        if let Some(register) = self.try_register(form, result)? {
            self.assign(register);
            self.load_frame(register, offset);
        } else if *result != Operand::Sink {
            let to = self.frame_variable(form, result, size)?;
            self.emit(Op::Control(ControlOp::FrameCopy { from: offset, to, bytes: size }));
        }
        Ok(())
    }

    /// Stores an argument at `offset` of the frame.
    fn pass(
        &mut self,
        form: &Form<'m, 'a>,
        argument: &'m Operand<'a>,
        offset: u32,
        size: u32,
    ) -> Decoded<()> {
        if let Operand::Name(name) = argument
            && let Some(Symbol::Frame(_)) = self.symbol(form, name)?
        {
            let from = self.frame_variable(form, argument, size)?;
            self.emit(Op::Control(ControlOp::FrameCopy { from, to: offset, bytes: size }));
            return Ok(());
        }
        let Some(width) = Width::from_bytes(size) else {
            return Err(form.malformed(format!("an argument of {size} bytes in a register")));
        };
        let src = self.src_of(form, argument, Kind::Bits(width))?;
        self.store_bits(src, width, offset);
        Ok(())
    }

    fn store_bits(&mut self, src: Src, width: Width, offset: u32) {
        self.emit(Op::Memory(MemoryOp::Store(Store {
            space: Space::ParamFrame,
            address: Address { base: Base::Symbol(Symbol::Frame(offset)), offset: 0 },
            width,
            src: Box::new([src]),
            order: Order::Weak,
            scope: Scope::Cta,
            policy: None,
        })));
    }

    /// Stores a register in the frame.
    pub(super) fn store_frame(&mut self, register: Register, offset: u32) {
        self.store_bits(Src::Reg(register.slot), register.width, offset);
    }

    /// `alloca`, `stacksave`, `stackrestore`.
    pub(super) fn stack(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Op> {
        let width = form.need(&[("u32", Width::B32), ("u64", Width::B64)])?;
        self.kernel.stack_bytes = STACK;
        let op = match form.instruction.opcode {
            "alloca" => {
                form.count(2, 3)?;
                let dst = self.dst(form, 0, width)?;
                let size = self.src(form, 1, Kind::Bits(width))?;
                let align = if form.len() == 3 { self.count(form, 2)? } else { 8 };
                if !align.is_power_of_two() || align > 1 << 16 {
                    return Err(form.malformed(format!("{align} is not a power of two up to 2^16")));
                }
                ControlOp::Alloca { dst, width, size, align }
            }
            "stacksave" => {
                form.count(1, 1)?;
                ControlOp::StackSave { dst: self.dst(form, 0, width)?, width }
            }
            _ => {
                form.count(1, 1)?;
                ControlOp::StackRestore { src: self.src(form, 0, Kind::Bits(width))?, width }
            }
        };
        Ok(Op::Control(op))
    }

    /// The frame offset of a `.param` variable that is at least `size` bytes.
    fn frame_variable(
        &mut self,
        form: &Form<'m, 'a>,
        operand: &Operand<'a>,
        size: u32,
    ) -> Decoded<u32> {
        use super::scope::Entity;
        if let Operand::Name(name) = operand
            && let Some(Entity::Variable { symbol: Symbol::Frame(offset), size: found }) =
                self.lookup(name, form.instruction.at)?
        {
            if found >= u64::from(size) {
                return Ok(offset);
            }
            return Err(form.malformed(format!("'{name}' has {found} bytes, {size} are passed")));
        }
        Err(form.malformed("an argument is neither a register nor a '.param' variable"))
    }

    /// Loads a register from the frame.
    pub(super) fn load_frame(&mut self, register: Register, offset: u32) {
        self.emit(Op::Memory(MemoryOp::Load(Load {
            space: Space::ParamFrame,
            address: Address { base: Base::Symbol(Symbol::Frame(offset)), offset: 0 },
            width: register.width,
            signed: false,
            reg: register.width,
            dst: Box::new([Some(register.slot)]),
            order: Order::Weak,
            scope: Scope::Cta,
            cache: LoadCache::Default,
            policy: None,
        })));
    }

    /// The functions that CUDA itself supplies.
    fn system_call(
        &mut self,
        form: &Form<'m, 'a>,
        name: &str,
        results: &'m [Operand<'a>],
        arguments: &'m [Operand<'a>],
    ) -> Decoded<Op> {
        let sizes: &[u32] = if name == "vprintf" { &[8, 8] } else { &[8, 8, 4, 8, 8] };
        if arguments.len() != sizes.len() {
            return Err(form.malformed(format!("'{name}' has {} parameters", sizes.len())));
        }
        let mut offsets = vec![];
        for (argument, &size) in arguments.iter().zip(sizes) {
            let offset = self.frame(size.into(), size, form.instruction.at)?;
            self.pass(form, argument, offset, size)?;
            offsets.push(offset);
        }
        if name == "vprintf" {
            let result = match results {
                [] | [Operand::Sink] => None,
                [result] => match self.try_register(form, result)? {
                    Some(_) => return Err(form.unsupported("a register as printf's result")),
                    None => Some(self.frame_variable(form, result, 4)?),
                },
                _ => return Err(form.malformed("'vprintf' has one result")),
            };
            let (format, arguments) = (offsets[0], offsets[1]);
            return Ok(Op::Control(ControlOp::Printf { format, arguments, result }));
        }
        let [message, file, line, function, _] = offsets[..] else { unreachable!("five sizes") };
        Ok(Op::Control(ControlOp::AssertFail { message, file, line, function }))
    }
}

/// A call gives as many arguments, and takes as many results, as there are.
fn check_counts(
    form: &Form<'_, '_>,
    (r, p): (usize, usize),
    (results, arguments): (usize, usize),
) -> Decoded<()> {
    if (r, p) == (results, arguments) {
        return Ok(());
    }
    Err(form.malformed(format!(
        "the function has {r} results and {p} parameters, the call {results} and {arguments}"
    )))
}
