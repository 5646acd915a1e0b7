//! Loads, stores, atomics, cache hints, and the conversion of addresses.

use super::{
    builder::Builder,
    form::{Decoded, Form},
    op::{
        Atom, AtomKind, AtomType, Load, LoadCache, MemoryOp, Op, Order, Scope, Space, Special, Src,
        Store, Symbol, Width,
    },
    operands::{B32, B64, Kind},
};
use crate::parse::ast::Operand;

const SPACES: [(&str, Space); 10] = [
    ("global", Space::Global),
    ("const", Space::Const),
    ("shared", Space::SharedCta),
    ("shared::cta", Space::SharedCta),
    ("shared::cluster", Space::SharedCluster),
    ("local", Space::Local),
    ("param", Space::ParamEntry),
    ("param::entry", Space::ParamEntry),
    ("param::func", Space::ParamFrame),
    ("generic", Space::Generic),
];

pub(super) const SCOPES: [(&str, Scope); 4] =
    [("cta", Scope::Cta), ("cluster", Scope::Cluster), ("gpu", Scope::Gpu), ("sys", Scope::Sys)];

/// Cache operators and priorities: no effect here.
fn is_cache_hint(word: &str) -> bool {
    const HINTS: [&str; 8] = ["ca", "cg", "cs", "lu", "cv", "wb", "wt", "unified"];
    const PREFIXES: [&str; 3] = ["L1::", "L2::", "level::"];
    HINTS.contains(&word)
        || word != "L2::cache_hint" && PREFIXES.iter().any(|prefix| word.starts_with(prefix))
}

impl<'m, 'a> Builder<'m, 'a> {
    pub(super) fn space(&mut self, form: &mut Form<'m, 'a>) -> Space {
        match form.choose(&SPACES) {
            Some(Space::ParamEntry) if !self.in_entry => Space::ParamFrame,
            Some(space) => space,
            None => Space::Generic,
        }
    }

    /// `.param` of an entry also means the parameters that it passes to functions.
    fn param_space(&mut self, form: &Form<'m, 'a>, index: usize, space: Space) -> Decoded<Space> {
        if space != Space::ParamEntry {
            return Ok(space);
        }
        let operand = self.bracketed(form, index)?;
        if let Some(Operand::Name(name)) = &operand.base
            && let Some(Symbol::Frame(_)) = self.symbol(form, name)?
        {
            return Ok(Space::ParamFrame);
        }
        Ok(space)
    }

    /// `.L2::cache_hint` and its operand, the last one.
    pub(super) fn policy(&mut self, form: &mut Form<'m, 'a>, index: usize) -> Decoded<Option<Src>> {
        while form.take_if(is_cache_hint).is_some() {}
        if !form.take("L2::cache_hint") {
            return Ok(None);
        }
        self.src(form, index, B64).map(Some)
    }

    pub(super) fn load(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Op> {
        let orders = [
            ("weak", Order::Weak),
            ("volatile", Order::Volatile),
            ("relaxed", Order::Relaxed),
            ("acquire", Order::Acquire),
            ("mmio", Order::Mmio),
        ];
        let order = form.choose(&orders).unwrap_or(Order::Weak);
        // `.mmio.relaxed.sys`
        form.take("relaxed");
        let scope = form.choose(&SCOPES).unwrap_or(Scope::Sys);
        let space = self.space(form);
        let space = self.param_space(form, 1, space)?;
        let cache = if form.take("nc") { LoadCache::NonCoherent } else { LoadCache::Default };
        let policy = self.policy(form, 2)?;
        let operands = 2 + usize::from(policy.is_some());
        form.count(operands, operands)?;
        let vector = form.vector();
        let ty = form.ty()?;
        let Some(kind) = Kind::of_type(ty) else { return Err(form.refuse()) };
        let width = kind.width();
        let (dst, reg) = self.vector_dst(form, form.operand(0)?, width)?;
        self.check_vector(form, vector, dst.len(), width)?;
        let signed = ty.starts_with('s');
        let address = self.address(form, 1, space)?;
        Ok(Op::Memory(MemoryOp::Load(Load {
            space,
            address,
            width,
            signed,
            reg,
            dst,
            order,
            scope,
            cache,
            policy,
        })))
    }

    /// `multimem.*`: here a multicast object has one device, whose memory is all there is. What is
    /// reduced over all copies is the only one.
    pub(super) fn multimem(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Op> {
        if form.take("ld_reduce") {
            let ops = ["min", "max", "add", "and", "or", "xor"];
            if form.take_if(|word| ops.contains(&word)).is_none() {
                return Err(form.refuse());
            }
            form.take_if(|word| word == "acc::f32" || word == "acc::f16");
            return self.load(form);
        }
        if form.take("st") {
            return self.store(form);
        }
        if form.take("red") { self.atom(form) } else { Err(form.refuse()) }
    }

    fn check_vector(
        &self,
        form: &Form<'m, 'a>,
        vector: usize,
        found: usize,
        width: Width,
    ) -> Decoded<()> {
        if vector != found {
            return Err(form.malformed(format!("needs {vector} registers, {found} are given")));
        }
        let bytes = width.bytes() as usize * vector;
        if bytes > 32 {
            return Err(form.malformed(format!("an access of {bytes} bytes; at most 32")));
        }
        Ok(())
    }

    pub(super) fn store(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Op> {
        if form.take("async") {
            return self.st_async(form);
        }
        if form.take("bulk") {
            let space = self.space(form);
            form.take("weak");
            form.count(3, 3)?;
            if self.integer(form, 2)? != 0 {
                return Err(form.malformed("'st.bulk' stores zeros only"));
            }
            let address = self.address(form, 0, space)?;
            let size = self.src(form, 1, B64)?;
            return Ok(Op::Memory(MemoryOp::StoreBulk { space, address, size }));
        }
        let orders = [
            ("weak", Order::Weak),
            ("volatile", Order::Volatile),
            ("relaxed", Order::Relaxed),
            ("release", Order::Release),
            ("mmio", Order::Mmio),
        ];
        let order = form.choose(&orders).unwrap_or(Order::Weak);
        form.take("relaxed");
        let scope = form.choose(&SCOPES).unwrap_or(Scope::Sys);
        let space = self.space(form);
        let space = self.param_space(form, 0, space)?;
        if matches!(space, Space::ParamEntry | Space::Const) {
            return Err(form.malformed("this state space cannot be written"));
        }
        let policy = self.policy(form, 2)?;
        let operands = 2 + usize::from(policy.is_some());
        form.count(operands, operands)?;
        let vector = form.vector();
        let ty = form.ty()?;
        let Some(kind) = Kind::of_type(ty) else { return Err(form.refuse()) };
        let width = kind.width();
        let address = self.address(form, 0, space)?;
        let src = self.vector_src(form, form.operand(1)?, kind)?;
        self.check_vector(form, vector, src.len(), width)?;
        Ok(Op::Memory(MemoryOp::Store(Store { space, address, width, src, order, scope, policy })))
    }

    pub(super) fn atom(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Op> {
        let returns = form.instruction.opcode == "atom";
        if form.take("async") {
            return if returns { Err(form.refuse()) } else { self.red_async(form) };
        }
        let orders = [
            ("relaxed", Order::Relaxed),
            ("acquire", Order::Acquire),
            ("release", Order::Release),
            ("acq_rel", Order::AcqRel),
        ];
        let order = form.choose(&orders).unwrap_or(Order::Relaxed);
        let scope = form.choose(&SCOPES).unwrap_or(Scope::Gpu);
        let space = self.space(form);
        let kind = form.need(&[
            ("and", AtomKind::And),
            ("or", AtomKind::Or),
            ("xor", AtomKind::Xor),
            ("exch", AtomKind::Exch),
            ("cas", AtomKind::Cas),
            ("add", AtomKind::Add),
            ("inc", AtomKind::Inc),
            ("dec", AtomKind::Dec),
            ("min", AtomKind::Min),
            ("max", AtomKind::Max),
        ])?;
        let noftz = form.take("noftz");
        let vector = form.vector();
        let ty = atom_type(form)?;
        check_atom(form, kind, ty, vector)?;
        let first = usize::from(returns);
        let cas = usize::from(kind == AtomKind::Cas);
        if cas == 1 && !returns {
            return Err(form.refuse());
        }
        let policy = self.policy(form, first + 2 + cas)?;
        let operands = first + 2 + cas + usize::from(policy.is_some());
        form.count(operands, operands)?;
        let width = ty.width();
        let element = match ty {
            AtomType::F32 => Kind::Single,
            AtomType::F64 => Kind::Double,
            _ => Kind::Bits(width),
        };
        let dst = if returns {
            let (dst, reg) = self.vector_dst(form, form.operand(0)?, width)?;
            if reg != width || dst.len() != vector && dst.iter().any(Option::is_some) {
                return Err(form.malformed("the destination does not fit the type"));
            }
            if dst.iter().any(Option::is_some) { dst } else { Box::default() }
        } else {
            Box::default()
        };
        let address = self.address(form, first, space)?;
        let b = self.vector_src(form, form.operand(first + 1)?, element)?;
        if b.len() != vector {
            return Err(form.malformed(format!("needs {vector} operands, {} are given", b.len())));
        }
        let c = if cas == 1 { Some(self.src(form, first + 2, element)?) } else { None };
        Ok(Op::Memory(MemoryOp::Atom(Box::new(Atom {
            space,
            address,
            kind,
            ty,
            noftz,
            dst,
            b,
            c,
            order,
            scope,
            policy,
        }))))
    }

    pub(super) fn address_op(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Op> {
        let opcode = form.instruction.opcode;
        let to = opcode == "cvta" && form.take("to");
        let space = self.space(form);
        if opcode == "isspacep" {
            form.count(2, 2)?;
            let dst = self.pred_dst(form, 0)?;
            let operand = form.operand(1)?;
            let width =
                self.try_register(form, operand)?.map_or(Width::B64, |register| register.width);
            let src = self.src(form, 1, Kind::Bits(width))?;
            return Ok(Op::Memory(MemoryOp::IsSpace { space, dst, src, width }));
        }
        let width = form.need(&[("u32", Width::B32), ("u64", Width::B64)])?;
        let kind = Kind::Bits(width);
        if opcode == "mapa" {
            form.count(3, 3)?;
            let dst = self.dst(form, 0, width)?;
            let src = self.src(form, 1, kind)?;
            let rank = self.src(form, 2, B32)?;
            let space = shared_or_generic(form, space)?;
            return Ok(Op::Memory(MemoryOp::MapA { space, dst, src, rank, width }));
        }
        form.count(2, 2)?;
        if opcode == "getctarank" {
            let dst = self.dst(form, 0, Width::B32)?;
            let src = self.src(form, 1, kind)?;
            let space = shared_or_generic(form, space)?;
            return Ok(Op::Memory(MemoryOp::GetCtaRank { space, dst, src, width }));
        }
        if space == Space::Generic {
            return Err(form.refuse());
        }
        let dst = self.dst(form, 0, width)?;
        let src = self.src(form, 1, kind)?;
        Ok(Op::Memory(if to {
            MemoryOp::FromGeneric { space, dst, src, width }
        } else {
            MemoryOp::ToGeneric { space, dst, src, width }
        }))
    }

    pub(super) fn hint(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Op> {
        let opcode = form.instruction.opcode;
        if opcode == "prefetch" && form.take("tensormap") {
            return self.prefetch_tensormap(form);
        }
        let space = self.space(form);
        let discard = opcode == "discard";
        let levels = ["L1", "L2", "L2::evict_last", "L2::evict_normal"];
        if form.take_if(|word| levels.contains(&word)).is_none() {
            return Err(form.refuse());
        }
        let size = usize::from(matches!(opcode, "discard" | "applypriority"));
        form.count(1 + size, 1 + size)?;
        if size == 1 && self.integer(form, 1)? != 128 {
            return Err(form.malformed("the size must be 128"));
        }
        let address = self.address(form, 0, space)?;
        Ok(Op::Memory(MemoryOp::Hint { space, address, discard }))
    }

    /// `createpolicy.fractional`, `createpolicy.range`, `createpolicy.cvt.L2`.
    pub(super) fn create_policy(&mut self, form: &mut Form<'m, 'a>) -> Decoded<Op> {
        if !form.take("b64") {
            return Err(form.refuse());
        }
        let cvt = form.take("cvt");
        let range = form.take("range");
        let fractional = form.take("fractional");
        if usize::from(cvt) + usize::from(range) + usize::from(fractional) != 1 {
            return Err(form.refuse());
        }
        form.take("global");
        while form.take_if(|word| word == "L2" || word.starts_with("L2::evict_")).is_some() {}
        form.take("L2::evict_unchanged");
        let dst = self.dst(form, 0, Width::B64)?;
        let mut reads = vec![];
        let mut first = 1;
        if range {
            let base = self.address(form, 1, Space::Global)?;
            if let super::op::Base::Reg64(slot) = base.base {
                reads.push((Src::Reg(slot), Width::B64));
            }
            first = 2;
        }
        form.count(1, 5)?;
        for index in first..form.len() {
            let kind = if cvt {
                B64
            } else if range {
                B32
            } else {
                Kind::Single
            };
            reads.push((self.src(form, index, kind)?, kind.width()));
        }
        Ok(Op::Special(Special::CreatePolicy { dst, reads: reads.into() }))
    }
}

fn shared_or_generic(form: &Form<'_, '_>, space: Space) -> Decoded<Space> {
    match space {
        Space::Generic | Space::SharedCluster => Ok(space),
        _ => Err(form.refuse()),
    }
}

pub(super) fn atom_type(form: &mut Form<'_, '_>) -> Decoded<AtomType> {
    form.need(&[
        ("b16", AtomType::B16),
        ("b32", AtomType::B32),
        ("u32", AtomType::U32),
        ("s32", AtomType::S32),
        ("b64", AtomType::B64),
        ("u64", AtomType::U64),
        ("s64", AtomType::S64),
        ("b128", AtomType::B128),
        ("f16", AtomType::F16),
        ("f16x2", AtomType::F16x2),
        ("bf16", AtomType::BF16),
        ("bf16x2", AtomType::BF16x2),
        ("f32", AtomType::F32),
        ("f64", AtomType::F64),
    ])
}

fn check_atom(form: &Form<'_, '_>, kind: AtomKind, ty: AtomType, vector: usize) -> Decoded<()> {
    use AtomKind::*;
    use AtomType::*;
    let fits = match (kind, ty) {
        (And | Or | Xor, B32 | B64) => true,
        (Exch, B32 | B64 | B128) | (Cas, B16 | B32 | B64 | B128) => true,
        // Older compilers type these by signedness.
        (Exch | Cas, U32 | S32 | U64 | S64 | F32) => true,
        (And | Or | Xor, U32 | S32 | U64) => true,
        (Add, U32 | S32 | U64 | S64 | F32 | F64 | F16 | F16x2 | BF16 | BF16x2) => true,
        (Inc | Dec, U32) => true,
        (Min | Max, U32 | S32 | U64 | S64) => true,
        (Min | Max, F16 | F16x2 | BF16 | BF16x2) => true,
        _ => false,
    };
    let vector_fits = match ty {
        _ if vector == 1 => true,
        F32 => kind == Add && vector <= 4,
        F16 | BF16 => vector <= 8,
        F16x2 | BF16x2 => vector <= 4,
        _ => false,
    };
    if fits && vector_fits { Ok(()) } else { Err(form.refuse()) }
}
