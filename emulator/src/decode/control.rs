//! Branches, calls, and what a thread does about its own running.

use super::{
    builder::{Builder, Callee},
    form::{Decoded, Form},
    op::{
        Address, Base, ControlOp, Load, LoadCache, MemoryOp, Op, Order, Scope, Space, Store,
        Symbol, Width,
    },
    operands::{B32, Kind},
    scope::Register,
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
                ControlOp::Return
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
        if self.try_register(form, target)?.is_some() {
            return Err(form.unsupported("an indirect call"));
        }
        let module = self.module;
        let external = module.functions.get(name).is_some_and(|found| found.body.is_none());
        if external && matches!(*name, "__assertfail" | "vprintf") {
            return self.system_call(form, name, results, arguments).map(Some);
        }
        let callee = self.callee(name, form.instruction.at)?;
        self.check_counts(form, &callee, results.len(), arguments.len())?;
        for (argument, &(offset, size)) in arguments.iter().zip(&callee.params) {
            self.pass(form, argument, offset, size)?;
        }
        self.emit(Op::Control(ControlOp::Call { target: callee.label }));
        for (result, &(offset, size)) in results.iter().zip(&callee.returns) {
            if let Some(register) = self.try_register(form, result)? {
                self.assign(register);
                self.load_frame(register, offset);
            } else if *result != Operand::Sink {
                let to = self.frame_variable(form, result, size)?;
                self.emit(Op::Control(ControlOp::FrameCopy { from: offset, to, bytes: size }));
            }
        }
        Ok(None)
    }

    fn check_counts(
        &self,
        form: &Form<'m, 'a>,
        callee: &Callee,
        results: usize,
        arguments: usize,
    ) -> Decoded<()> {
        let (r, p) = (callee.returns.len(), callee.params.len());
        if (r, p) == (results, arguments) {
            return Ok(());
        }
        Err(form.malformed(format!(
            "the function has {r} results and {p} parameters, the call {results} and {arguments}"
        )))
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
        self.emit(Op::Memory(MemoryOp::Store(Store {
            space: Space::ParamFrame,
            address: Address { base: Base::Symbol(Symbol::Frame(offset)), offset: 0 },
            width,
            src: Box::new([src]),
            order: Order::Weak,
            scope: Scope::Cta,
            policy: None,
        })));
        Ok(())
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
