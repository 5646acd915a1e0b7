//! Operands by their meaning: registers, constants, predicates, vectors, addresses.

use super::{
    builder::Builder,
    form::{Decoded, Form},
    op::{
        Address, Base, Dst, Float, Int, Op, Pred, PredSrc, Slot, Space, Special, Src, Symbol,
        TmemAddress, Width,
    },
    scope::{Entity, Register},
    special,
};
use crate::parse::ast::{AddressOperand, Constant, Operand};

/// How an operand is read: its width, and what a constant means there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Integers and untyped bits.
    Bits(Width),
    /// A single-precision number.
    Single,
    /// A double-precision number.
    Double,
}

impl Kind {
    pub(super) const fn width(self) -> Width {
        match self {
            Kind::Bits(width) => width,
            Kind::Single => Width::B32,
            Kind::Double => Width::B64,
        }
    }

    pub(super) fn of_type(ty: &str) -> Option<Kind> {
        match ty {
            "f32" => Some(Kind::Single),
            "f64" => Some(Kind::Double),
            "u16x2" | "s16x2" => Some(Kind::Bits(Width::B32)),
            _ => super::scope::register_width(ty).map(Kind::Bits),
        }
    }
}

impl From<Int> for Kind {
    fn from(ty: Int) -> Kind {
        Kind::Bits(ty.width())
    }
}

impl From<Float> for Kind {
    fn from(ty: Float) -> Kind {
        match ty {
            Float::F32 => Kind::Single,
            Float::F64 => Kind::Double,
            other => Kind::Bits(other.width()),
        }
    }
}

pub(super) const B8: Kind = Kind::Bits(Width::B8);
pub(super) const B16: Kind = Kind::Bits(Width::B16);
pub(super) const B32: Kind = Kind::Bits(Width::B32);
pub(super) const B64: Kind = Kind::Bits(Width::B64);

impl<'m, 'a> Builder<'m, 'a> {
    /// A value of exactly that width.
    pub(super) fn src(&mut self, form: &Form<'m, 'a>, index: usize, kind: Kind) -> Decoded<Src> {
        self.src_of(form, form.operand(index)?, kind)
    }

    pub(super) fn src_of(
        &mut self,
        form: &Form<'m, 'a>,
        operand: &'m Operand<'a>,
        kind: Kind,
    ) -> Decoded<Src> {
        match self.value(form, operand, kind, |width| width == kind.width())? {
            Value::Constant(bits) => Ok(Src::Imm(bits)),
            Value::Register(register) => Ok(Src::Reg(register.slot)),
        }
    }

    /// A value of that width, or the low bits of a wider register; with the register's width.
    pub(super) fn src_wide(
        &mut self,
        form: &Form<'m, 'a>,
        operand: &'m Operand<'a>,
        kind: Kind,
    ) -> Decoded<Src> {
        match self.value(form, operand, kind, |width| width >= kind.width())? {
            Value::Constant(bits) => Ok(Src::Imm(bits)),
            Value::Register(register) => Ok(Src::Reg(register.slot)),
        }
    }

    fn value(
        &mut self,
        form: &Form<'m, 'a>,
        operand: &'m Operand<'a>,
        kind: Kind,
        fits: impl Fn(Width) -> bool,
    ) -> Decoded<Value> {
        match operand {
            Operand::Vector(elements) | Operand::List(elements) if elements.len() == 1 => {
                self.value(form, &elements[0], kind, fits)
            }
            Operand::Constant(Constant::Symbol { name, offset, generic }) => {
                let symbol = self.symbol(form, name)?.or_else(|| self.function_symbol(name));
                let Some(symbol) = symbol else {
                    return Err(form.malformed(format!("'{name}' is not a variable")));
                };
                let width = kind.width();
                self.address_of(symbol, *offset, *generic, width).map(Value::Register)
            }
            Operand::Constant(constant) => {
                let bits = constant_bits(*constant, kind).ok_or_else(|| {
                    form.malformed(format!("the constant does not fit a {kind:?} operand"))
                })?;
                Ok(Value::Constant(bits))
            }
            Operand::Name(name) | Operand::Member(name, _) => {
                if let Some(register) = self.try_register(form, operand)? {
                    if fits(register.width) {
                        return Ok(Value::Register(register));
                    }
                    return Err(form.malformed(format!(
                        "'{}' is {} bits wide, {} are read",
                        shown(operand),
                        register.width.bits(),
                        kind.width().bits()
                    )));
                }
                if let Some(special) = special::find(operand) {
                    let register = self.register(kind.width().max(Width::B32))?;
                    let (dst, width) = (register.slot, register.width);
                    self.emit(Op::Special(Special::Read { dst, width, name: special }));
                    return Ok(Value::Register(register));
                }
                if let (Operand::Name(_), Some(symbol)) = (operand, self.symbol(form, name)?) {
                    let width = kind.width();
                    return self.address_of(symbol, 0, false, width).map(Value::Register);
                }
                if let Some(symbol) = self.function_symbol(name) {
                    return self.address_of(symbol, 0, false, kind.width()).map(Value::Register);
                }
                Err(self.not_a(form, operand, "a value"))
            }
            _ => Err(form.malformed(format!("{} is not a value", shown(operand)))),
        }
    }

    /// The address of a function.
    pub(super) fn function_symbol(&self, name: &str) -> Option<Symbol> {
        self.module.numbered.index.get(name).map(|&number| Symbol::Function(number))
    }

    fn not_a(
        &mut self,
        form: &Form<'m, 'a>,
        operand: &Operand<'a>,
        what: &str,
    ) -> crate::error::Ending {
        if let Operand::Name(name) | Operand::Member(name, _) = operand
            && matches!(self.lookup(name, form.instruction.at), Ok(None))
        {
            if name.starts_with('%') {
                return form.malformed(format!(
                    "'{}' is neither declared nor a special register",
                    shown(operand)
                ));
            }
            return form.malformed(format!("'{name}' is not declared"));
        }
        form.malformed(format!("{} is not {what}", shown(operand)))
    }

    /// A hidden register with a variable's address.
    fn address_of(
        &mut self,
        symbol: Symbol,
        offset: i64,
        generic: bool,
        width: Width,
    ) -> Decoded<Register> {
        let register = self.register(width)?;
        let dst = register.slot;
        self.emit(Op::Special(Special::AddressOf { dst, width, symbol, offset, generic }));
        Ok(register)
    }

    pub(super) fn symbol(&mut self, form: &Form<'m, 'a>, name: &'a str) -> Decoded<Option<Symbol>> {
        Ok(match self.lookup(name, form.instruction.at)? {
            Some(Entity::Variable { symbol, .. }) => Some(symbol),
            _ => None,
        })
    }

    /// The register that an operand names, if it names one.
    pub(super) fn try_register(
        &mut self,
        form: &Form<'m, 'a>,
        operand: &Operand<'a>,
    ) -> Decoded<Option<Register>> {
        match operand {
            Operand::Name(name) => match self.lookup(name, form.instruction.at)? {
                Some(Entity::Register(register)) => Ok(Some(register)),
                _ => Ok(None),
            },
            Operand::Member(name, field) => {
                let entity = self.lookup(name, form.instruction.at)?;
                let Some(Entity::Vector { first, element, count }) = entity else {
                    return Ok(None);
                };
                let index = match *field {
                    "x" | "r" => 0,
                    "y" | "g" => 1,
                    "z" | "b" => 2,
                    "w" | "a" => 3,
                    _ => u32::MAX,
                };
                if index >= count {
                    return Err(form.malformed(format!("'{name}' has no component '.{field}'")));
                }
                let slot = first + index * element.slots();
                Ok(Some(Register { slot, width: element }))
            }
            _ => Ok(None),
        }
    }

    /// A register to write, of exactly that width; the sink becomes a register nobody reads.
    pub(super) fn dst(&mut self, form: &Form<'m, 'a>, index: usize, width: Width) -> Decoded<Slot> {
        let operand = form.operand(index)?;
        match self.dst_of(form, operand, |found| found == width)? {
            Some(register) => Ok(register.slot),
            None => Ok(self.register(width)?.slot),
        }
    }

    /// A register to write, at least that wide.
    pub(super) fn dst_wide(
        &mut self,
        form: &Form<'m, 'a>,
        index: usize,
        least: Width,
    ) -> Decoded<Register> {
        let operand = form.operand(index)?;
        match self.dst_of(form, operand, |found| found >= least)? {
            Some(register) => Ok(register),
            None => self.register(least),
        }
    }

    pub(super) fn dst_of(
        &mut self,
        form: &Form<'m, 'a>,
        operand: &Operand<'a>,
        fits: impl Fn(Width) -> bool,
    ) -> Decoded<Option<Register>> {
        if let Operand::Vector(elements) = operand
            && let [element] = &elements[..]
        {
            return self.dst_of(form, element, fits);
        }
        if *operand == Operand::Sink {
            return Ok(None);
        }
        match self.try_register(form, operand)? {
            Some(register) if fits(register.width) => {
                self.assign(register);
                Ok(Some(register))
            }
            Some(register) => Err(form.malformed(format!(
                "'{}' is {} bits wide, which is not the width that is written",
                shown(operand),
                register.width.bits()
            ))),
            None => Err(self.not_a(form, operand, "a register")),
        }
    }

    /// A predicate to read.
    pub(super) fn pred(&mut self, form: &Form<'m, 'a>, index: usize) -> Decoded<PredSrc> {
        self.pred_of(form, form.operand(index)?)
    }

    pub(super) fn pred_of(
        &mut self,
        form: &Form<'m, 'a>,
        operand: &'m Operand<'a>,
    ) -> Decoded<PredSrc> {
        let (name, negated) = match operand {
            Operand::Name(name) => (name, false),
            Operand::Not(inner) => match &**inner {
                Operand::Name(name) => (name, true),
                _ => return Err(form.malformed("'!' needs a predicate")),
            },
            Operand::Constant(Constant::Int(value)) => return Ok(PredSrc::Imm(*value != 0)),
            Operand::Vector(elements) | Operand::List(elements) if elements.len() == 1 => {
                return self.pred_of(form, &elements[0]);
            }
            _ => return Err(form.malformed(format!("{} is not a predicate", shown(operand)))),
        };
        if let Some(special) = special::find(operand) {
            let dst = self.new_predicate();
            self.emit(Op::Special(Special::ReadPred { dst, name: special }));
            return Ok(PredSrc::Reg { pred: dst, negated });
        }
        Ok(PredSrc::Reg { pred: self.predicate(name, form.instruction.at)?, negated })
    }

    /// A predicate to write; `None` is the sink.
    pub(super) fn pred_dst_of(
        &mut self,
        form: &Form<'m, 'a>,
        operand: &Operand<'a>,
    ) -> Decoded<Option<Pred>> {
        match operand {
            Operand::Sink => Ok(None),
            Operand::Name(name) => self.predicate(name, form.instruction.at).map(Some),
            _ => Err(form.malformed(format!("{} is not a predicate", shown(operand)))),
        }
    }

    /// A predicate to write; the sink becomes one that nobody reads.
    pub(super) fn pred_dst(&mut self, form: &Form<'m, 'a>, index: usize) -> Decoded<Pred> {
        match self.pred_dst_of(form, form.operand(index)?)? {
            Some(pred) => Ok(pred),
            None => Ok(self.new_predicate()),
        }
    }

    /// `p|q`, or `p` alone.
    pub(super) fn pred_pair(
        &mut self,
        form: &Form<'m, 'a>,
        index: usize,
    ) -> Decoded<(Option<Pred>, Option<Pred>)> {
        match form.operand(index)? {
            Operand::Pair(p, q) => Ok((self.pred_dst_of(form, p)?, self.pred_dst_of(form, q)?)),
            operand => Ok((self.pred_dst_of(form, operand)?, None)),
        }
    }

    /// `d|p`, or `d` alone: a register and a predicate.
    pub(super) fn dst_and_pred(
        &mut self,
        form: &Form<'m, 'a>,
        index: usize,
        width: Width,
    ) -> Decoded<(Dst, Option<Pred>)> {
        let (d, p) = match form.operand(index)? {
            Operand::Pair(d, p) => (&**d, self.pred_dst_of(form, p)?),
            operand => (operand, None),
        };
        let register = self.dst_of(form, d, |found| found == width)?;
        Ok((register.map(|register| register.slot), p))
    }

    /// The elements of a vector operand: `{a, b}`, a vector register, or a single one.
    fn elements(
        &mut self,
        form: &Form<'m, 'a>,
        operand: &'m Operand<'a>,
    ) -> Decoded<Elements<'m, 'a>> {
        if let Operand::Vector(elements) = operand {
            return Ok(Elements::Listed(elements));
        }
        if let Operand::Name(name) = operand
            && let Some(Entity::Vector { first, element, count }) =
                self.lookup(name, form.instruction.at)?
        {
            let at = |index| Register { slot: first + index * element.slots(), width: element };
            return Ok(Elements::Registers((0..count).map(at).collect()));
        }
        Ok(Elements::Listed(std::slice::from_ref(operand)))
    }

    /// A vector to read.
    pub(super) fn vector_src(
        &mut self,
        form: &Form<'m, 'a>,
        operand: &'m Operand<'a>,
        kind: Kind,
    ) -> Decoded<Box<[Src]>> {
        match self.elements(form, operand)? {
            Elements::Listed(list) => {
                list.iter().map(|element| self.src_wide(form, element, kind)).collect()
            }
            Elements::Registers(list) => {
                if list.iter().any(|register| register.width < kind.width()) {
                    return Err(form.malformed("the vector's elements are too narrow"));
                }
                Ok(list.iter().map(|register| Src::Reg(register.slot)).collect())
            }
        }
    }

    /// A vector to write, and the width of its registers (`least` when all are sinks).
    pub(super) fn vector_dst(
        &mut self,
        form: &Form<'m, 'a>,
        operand: &'m Operand<'a>,
        least: Width,
    ) -> Decoded<(Box<[Dst]>, Width)> {
        let list: Vec<Option<Register>> = match self.elements(form, operand)? {
            Elements::Listed(list) => list
                .iter()
                .map(|element| self.dst_of(form, element, |width| width >= least))
                .collect::<Decoded<_>>()?,
            Elements::Registers(list) => {
                list.iter().for_each(|&register| self.assign(register));
                list.into_iter().map(Some).collect()
            }
        };
        let mut widths = list.iter().flatten().map(|register| register.width);
        let width = widths.next().unwrap_or(least);
        if width < least || widths.any(|other| other != width) {
            return Err(form.malformed("the vector's registers differ in width or are too narrow"));
        }
        Ok((list.iter().map(|register| register.map(|register| register.slot)).collect(), width))
    }

    /// `[base+offset]` in `space`, without anything after a comma.
    pub(super) fn address(
        &mut self,
        form: &Form<'m, 'a>,
        index: usize,
        space: Space,
    ) -> Decoded<Address> {
        let operand = self.bracketed(form, index)?;
        if !operand.rest.is_empty() {
            return Err(form.malformed("the address has more than one part"));
        }
        self.resolve(form, operand, space)
    }

    pub(super) fn bracketed(
        &mut self,
        form: &Form<'m, 'a>,
        index: usize,
    ) -> Decoded<&'m AddressOperand<'a>> {
        match form.operand(index)? {
            Operand::Address(address) => Ok(address),
            operand => Err(form.malformed(format!("{} is not an address", shown(operand)))),
        }
    }

    /// The base and offset of a bracketed operand. A variable addressed generically has its
    /// generic address taken first.
    pub(super) fn resolve(
        &mut self,
        form: &Form<'m, 'a>,
        operand: &'m AddressOperand<'a>,
        space: Space,
    ) -> Decoded<Address> {
        let offset = operand.offset;
        let base = match &operand.base {
            None => Base::Absolute,
            Some(Operand::Constant(Constant::Symbol { name, .. })) => {
                let Some(symbol) = self.symbol(form, name)? else {
                    return Err(form.malformed(format!("'{name}' is not a variable")));
                };
                Base::Reg64(self.address_of(symbol, 0, true, Width::B64)?.slot)
            }
            Some(name) => {
                if let Some(register) = self.try_register(form, name)? {
                    match register.width {
                        Width::B32 => Base::Reg32(register.slot),
                        Width::B64 => Base::Reg64(register.slot),
                        width => {
                            return Err(form.malformed(format!(
                                "an address in '{}', which is {} bits wide",
                                shown(name),
                                width.bits()
                            )));
                        }
                    }
                } else if let Operand::Name(symbol) = name
                    && let Some(symbol) = self.symbol(form, symbol)?
                {
                    if space == Space::Generic {
                        Base::Reg64(self.address_of(symbol, 0, true, Width::B64)?.slot)
                    } else if let Symbol::Activation(_) = symbol {
                        self.check_space(form, symbol, space)?;
                        Base::Reg64(self.address_of(symbol, 0, false, Width::B64)?.slot)
                    } else {
                        self.check_space(form, symbol, space)?;
                        Base::Symbol(symbol)
                    }
                } else {
                    return Err(self.not_a(form, name, "an address"));
                }
            }
        };
        Ok(Address { base, offset })
    }

    fn check_space(&self, form: &Form<'m, 'a>, symbol: Symbol, space: Space) -> Decoded<()> {
        let fits = match symbol {
            Symbol::Shared(_) | Symbol::DynamicShared => {
                matches!(space, Space::SharedCta | Space::SharedCluster)
            }
            Symbol::Local(_) | Symbol::Activation(_) => space == Space::Local,
            Symbol::Function(_) => false,
            Symbol::Global(index) => self.module.globals[index as usize].space == space,
            Symbol::Param(_) => space == Space::ParamEntry,
            Symbol::Frame(_) => space == Space::ParamFrame,
        };
        if fits { Ok(()) } else { Err(form.malformed(format!("the variable is not in {space:?}"))) }
    }

    /// `[taddr+offset]` of tensor memory.
    pub(super) fn tmem(&mut self, form: &Form<'m, 'a>, index: usize) -> Decoded<TmemAddress> {
        let operand = self.bracketed(form, index)?;
        let Ok(offset) = i32::try_from(operand.offset) else {
            return Err(form.malformed("a tensor-memory offset of more than 32 bits"));
        };
        match &operand.base {
            None => Ok(TmemAddress { base: Src::Imm(u64::from(offset as u32)), offset: 0 }),
            Some(base) => Ok(TmemAddress { base: self.src_of(form, base, B32)?, offset }),
        }
    }

    /// An integer constant.
    pub(super) fn integer(&self, form: &Form<'m, 'a>, index: usize) -> Decoded<i64> {
        match form.operand(index)? {
            Operand::Constant(Constant::Int(value)) => Ok(*value as i64),
            operand => {
                Err(form.malformed(format!("{} is not an integer constant", shown(operand))))
            }
        }
    }

    /// An integer constant that fits 32 bits without a sign.
    pub(super) fn count(&self, form: &Form<'m, 'a>, index: usize) -> Decoded<u32> {
        let value = self.integer(form, index)?;
        u32::try_from(value).map_err(|_| form.malformed(format!("{value} is out of range")))
    }
}

enum Value {
    Constant(u64),
    Register(Register),
}

enum Elements<'m, 'a> {
    Listed(&'m [Operand<'a>]),
    Registers(Vec<Register>),
}

/// The bits of a constant in an operand of that kind.
fn constant_bits(constant: Constant<'_>, kind: Kind) -> Option<u64> {
    let masked = |bits: u64| match kind.width() {
        Width::B64 | Width::B128 => bits,
        width => bits & ((1 << width.bits()) - 1),
    };
    match (kind, constant) {
        (Kind::Bits(_), Constant::Int(value)) => Some(masked(value)),
        (Kind::Bits(Width::B32) | Kind::Single, Constant::Single(bits)) => Some(bits.into()),
        (Kind::Bits(Width::B32) | Kind::Single, Constant::Double(value)) => {
            Some((value as f32).to_bits().into())
        }
        (Kind::Bits(Width::B64) | Kind::Double, Constant::Double(value)) => Some(value.to_bits()),
        (Kind::Double, Constant::Single(bits)) => Some(f64::from(f32::from_bits(bits)).to_bits()),
        // An integer where a float is meant: only where its value and its bits agree.
        (Kind::Single | Kind::Double, Constant::Int(0)) => Some(0),
        _ => None,
    }
}

/// An operand in a message.
pub(super) fn shown(operand: &Operand<'_>) -> String {
    match operand {
        Operand::Name(name) => (*name).into(),
        Operand::Member(name, field) => format!("{name}.{field}"),
        Operand::Sink => "'_'".into(),
        Operand::Constant(_) => "a constant".into(),
        Operand::Not(_) => "a negated predicate".into(),
        Operand::Pair(..) => "a pair".into(),
        Operand::Vector(_) => "a vector".into(),
        Operand::Address(_) => "an address".into(),
        Operand::List(_) => "a list".into(),
    }
}
