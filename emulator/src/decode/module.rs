//! Module scope: which variables and functions there are, and what initialisers hold.

use std::collections::HashMap;

use super::{
    builder::layout,
    form::Decoded,
    functions::Functions,
    op::{Space, Symbol},
    program::{ModuleVar, Relocation},
    scope::register_width,
};
use crate::parse::{
    ast::{
        self, Constant, DeclaredSpace, Function, Init, Item, Linkage, Position, Statement, Variable,
    },
    malformed, unsupported,
};

/// The largest module-scope variable.
const MAX_VARIABLE: u64 = 1 << 32;

/// The longest initialiser, in bytes.
const MAX_INIT: u64 = 1 << 28;

/// What a module-scope name stands for.
#[derive(Clone, Copy)]
pub(super) enum ModuleSymbol<'m, 'a> {
    /// `.global` or `.const`.
    Global(u32),
    /// `.shared`, placed in each kernel that uses it.
    Shared(&'m Variable<'a>),
    /// Textures and the like.
    Other,
}

/// Everything at module scope.
pub(super) struct Module<'m, 'a> {
    pub(super) symbols: HashMap<&'a str, ModuleSymbol<'m, 'a>>,
    /// Variables of `.global` and `.const` inside functions, by where they stand.
    pub(super) local_globals: HashMap<Position, u32>,
    pub(super) functions: HashMap<&'a str, &'m Function<'a>>,
    pub(super) globals: Vec<ModuleVar>,
    pub(super) numbered: Functions<'m, 'a>,
}

impl<'m, 'a> Module<'m, 'a> {
    pub(super) fn new(tree: &'m ast::Module<'a>) -> Decoded<Self> {
        let mut module = Module {
            symbols: HashMap::new(),
            local_globals: HashMap::new(),
            functions: HashMap::new(),
            globals: vec![],
            numbered: Functions::default(),
        };
        let mut declared: Vec<(u32, &Variable<'a>)> = vec![];
        let mut aliases = vec![];
        for item in &tree.items {
            match item {
                Item::Variable(variable) => module.variable(variable, &mut declared)?,
                Item::Function(function) => {
                    module.add_function(function)?;
                    module.inner(function.body.as_deref().unwrap_or_default(), &mut declared)?;
                }
                Item::Alias { name, target, at } => aliases.push((*name, *target, *at)),
            }
        }
        for (name, target, at) in aliases {
            let Some(&function) = module.functions.get(target) else {
                return Err(malformed(at, format!("alias of '{target}', which is no function")));
            };
            module.functions.insert(name, function);
        }
        module.numbered = Functions::new(tree, &module.functions);
        // Initialisers may name variables that come later.
        for (index, variable) in declared {
            let mut bytes =
                Initializer { module: &module, variable, bytes: vec![], relocations: vec![] };
            if let Some(init) = &variable.init {
                bytes.fill(init)?;
            }
            let (init, relocations) = (bytes.bytes, bytes.relocations);
            let global = &mut module.globals[index as usize];
            if init.len() as u64 > global.size {
                let what = format!(
                    "'{}' has {} bytes, its initialiser {}",
                    variable.name,
                    global.size,
                    init.len()
                );
                return Err(malformed(variable.at, what));
            }
            (global.init, global.relocations) = (init, relocations);
        }
        Ok(module)
    }

    fn add_function(&mut self, function: &'m Function<'a>) -> Decoded<()> {
        match self.functions.get(function.name) {
            Some(known) if known.body.is_some() && function.body.is_some() => {
                let what = format!("function '{}' is defined twice", function.name);
                return Err(malformed(function.at, what));
            }
            Some(known) if known.body.is_some() => {}
            _ => {
                self.functions.insert(function.name, function);
            }
        }
        Ok(())
    }

    fn add_global(&mut self, variable: &'m Variable<'a>) -> Decoded<u32> {
        let (size, align) = layout(variable)?;
        if size > MAX_VARIABLE {
            return Err(unsupported(
                variable.at,
                format!("'{}' of {size} bytes (at most {MAX_VARIABLE})", variable.name),
            ));
        }
        let space = match variable.space {
            DeclaredSpace::Const => Space::Const,
            _ => Space::Global,
        };
        self.globals.push(ModuleVar {
            name: variable.name.into(),
            space,
            size,
            align,
            external: variable.linkage == Linkage::External,
            init: vec![],
            relocations: vec![],
        });
        Ok(self.globals.len() as u32 - 1)
    }

    fn variable(
        &mut self,
        variable: &'m Variable<'a>,
        declared: &mut Vec<(u32, &'m Variable<'a>)>,
    ) -> Decoded<()> {
        let symbol = match (variable.space, variable.ty) {
            (_, "texref" | "samplerref" | "surfref") | (DeclaredSpace::Tex, _) => {
                ModuleSymbol::Other
            }
            (DeclaredSpace::Global | DeclaredSpace::Const, _) => {
                let index = self.add_global(variable)?;
                declared.push((index, variable));
                ModuleSymbol::Global(index)
            }
            (DeclaredSpace::Shared, _) => ModuleSymbol::Shared(variable),
            _ => {
                let what = format!("variable '{}' at module scope", variable.name);
                return Err(unsupported(variable.at, what));
            }
        };
        let redeclares = self.symbols.insert(variable.name, symbol).is_some();
        if redeclares && variable.linkage == Linkage::Internal {
            return Err(malformed(variable.at, format!("'{}' is declared twice", variable.name)));
        }
        Ok(())
    }

    fn inner(
        &mut self,
        statements: &'m [Statement<'a>],
        declared: &mut Vec<(u32, &'m Variable<'a>)>,
    ) -> Decoded<()> {
        for statement in statements {
            match statement {
                Statement::Block(inner) => self.inner(inner, declared)?,
                Statement::Variable(variable)
                    if matches!(variable.space, DeclaredSpace::Global | DeclaredSpace::Const) =>
                {
                    let index = self.add_global(variable)?;
                    declared.push((index, variable));
                    self.local_globals.insert(variable.at, index);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The bytes of an initialiser as they grow.
struct Initializer<'x, 'm, 'a> {
    module: &'x Module<'m, 'a>,
    variable: &'x Variable<'a>,
    bytes: Vec<u8>,
    relocations: Vec<Relocation>,
}

impl Initializer<'_, '_, '_> {
    fn fill(&mut self, init: &Init<'_>) -> Decoded<()> {
        match init {
            Init::List(list) => self.list(list, &self.variable.dimensions),
            Init::Text(text) => {
                self.bytes.extend_from_slice(text.as_bytes());
                Ok(())
            }
            Init::Value(value) => self.value(value),
        }
    }

    /// A braced list; an inner list that is too short leaves zeros up to the end of its row.
    fn list(&mut self, list: &[Init<'_>], dimensions: &[Option<u64>]) -> Decoded<()> {
        let inner = dimensions.get(1..).unwrap_or_default();
        let element = self.element_bytes()? * u64::from(self.variable.vector);
        let row = inner.iter().try_fold(element, |size, count| size.checked_mul((*count)?));
        for value in list {
            let start = self.bytes.len() as u64;
            match value {
                Init::List(list) => {
                    self.list(list, inner)?;
                    let end = row.and_then(|row| start.checked_add(row)).unwrap_or(start);
                    if end > MAX_INIT {
                        return Err(malformed(self.variable.at, "an initialiser that is too long"));
                    }
                    if self.bytes.len() as u64 > end {
                        let what = format!("too many values in a row of '{}'", self.variable.name);
                        return Err(malformed(self.variable.at, what));
                    }
                    self.bytes.resize(end as usize, 0);
                }
                other => self.fill(other)?,
            }
        }
        Ok(())
    }

    fn element_bytes(&self) -> Decoded<u64> {
        let width = register_width(self.variable.ty).ok_or_else(|| {
            let what = format!("a variable of type '.{}'", self.variable.ty);
            unsupported(self.variable.at, what)
        })?;
        Ok(width.bytes().into())
    }

    fn value(&mut self, value: &Constant<'_>) -> Decoded<()> {
        let size = self.element_bytes()? as usize;
        let is_single = self.variable.ty == "f32";
        let bits: u128 = match *value {
            Constant::Int(value) if is_single => (value as i64 as f32).to_bits().into(),
            Constant::Int(value) if self.variable.ty == "f64" => {
                (value as i64 as f64).to_bits().into()
            }
            Constant::Int(value) => value.into(),
            Constant::Single(bits) if size == 8 => f64::from(f32::from_bits(bits)).to_bits().into(),
            Constant::Single(bits) => bits.into(),
            Constant::Double(value) if size == 4 => (value as f32).to_bits().into(),
            Constant::Double(value) => value.to_bits().into(),
            Constant::Symbol { name, offset, generic } => {
                if size != 8 {
                    let what = "an address in an initialiser whose elements are not 64 bits";
                    return Err(unsupported(self.variable.at, what));
                }
                self.relocate(name, offset, generic, None)?;
                0
            }
            Constant::SymbolByte { name, offset, generic, byte } => {
                self.relocate(name, offset, generic, Some(byte))?;
                0
            }
        };
        self.bytes.extend_from_slice(&bits.to_le_bytes()[..size]);
        Ok(())
    }

    /// Notes that an address stands at the end of what there is so far.
    fn relocate(
        &mut self,
        name: &str,
        addend: i64,
        generic: bool,
        byte: Option<u8>,
    ) -> Decoded<()> {
        let symbol = match self.module.symbols.get(name) {
            Some(&ModuleSymbol::Global(index)) => Symbol::Global(index),
            Some(_) => {
                let what = format!("the address of '{name}' in an initialiser");
                return Err(unsupported(self.variable.at, what));
            }
            None => match self.module.numbered.index.get(name) {
                Some(&number) => Symbol::Function(number),
                None => {
                    let what = format!("'{name}' in an initialiser is not declared");
                    return Err(malformed(self.variable.at, what));
                }
            },
        };
        let at = self.bytes.len() as u64;
        self.relocations.push(Relocation { at, byte, symbol, addend, generic });
        Ok(())
    }
}
