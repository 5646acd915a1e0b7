//! Registers, variables and parameters.

use super::{
    Parsed, Parser,
    ast::{DeclaredSpace, Init, Linkage, Variable},
    lexer::TokenKind,
    malformed,
};

/// The most registers that one `%r<N>` may declare.
const MAX_RANGE: u64 = 1 << 24;

const TYPES: [&str; 29] = [
    "b8",
    "b16",
    "b32",
    "b64",
    "b128",
    "u8",
    "u16",
    "u32",
    "u64",
    "s8",
    "s16",
    "s32",
    "s64",
    "f16",
    "f16x2",
    "bf16",
    "bf16x2",
    "tf32",
    "f32",
    "f32x2",
    "f64",
    "e4m3",
    "e5m2",
    "pred",
    "texref",
    "samplerref",
    "surfref",
    "e4m3x2",
    "e5m2x2",
];

/// What stands before a declaration's name.
struct Prefix<'a> {
    space: DeclaredSpace,
    align: Option<u32>,
    vector: u32,
    ty: &'a str,
}

impl<'a> Parser<'a> {
    fn space(&mut self) -> Parsed<DeclaredSpace> {
        let space = match self.current.text {
            _ if self.current.kind != TokenKind::Dotted => None,
            "reg" => Some(DeclaredSpace::Reg),
            "sreg" => Some(DeclaredSpace::Sreg),
            "const" => Some(DeclaredSpace::Const),
            "global" => Some(DeclaredSpace::Global),
            "local" => Some(DeclaredSpace::Local),
            "param" => Some(DeclaredSpace::Param),
            "shared" | "shared::cta" => Some(DeclaredSpace::Shared),
            "tex" => Some(DeclaredSpace::Tex),
            _ => None,
        };
        match space {
            Some(space) => {
                self.advance()?;
                Ok(space)
            }
            None => Err(self.expected("a state space")),
        }
    }

    fn prefix(&mut self, is_formal: bool) -> Parsed<Prefix<'a>> {
        let space = self.space()?;
        let mut prefix = Prefix { space, align: None, vector: 1, ty: "" };
        let mut pointer = false;
        loop {
            let at = self.at();
            if self.current.kind != TokenKind::Dotted {
                break;
            }
            let word = self.current.text;
            match word {
                "align" => {
                    self.advance()?;
                    let align = self.integer()?;
                    if !align.is_power_of_two() || align > 1 << 20 {
                        let what = format!("alignment {align} is not a power of two up to 2^20");
                        return Err(malformed(at, what));
                    }
                    // After `.ptr` it is that of the pointed-to memory, not the parameter's.
                    if !pointer {
                        prefix.align = Some(align as u32);
                    }
                    continue;
                }
                "attribute" => {
                    self.attribute()?;
                    continue;
                }
                "v2" => prefix.vector = 2,
                "v4" => prefix.vector = 4,
                "v8" => prefix.vector = 8,
                // `.param .u64 .ptr .global .align 16 name`
                "ptr" | "const" | "global" | "local" | "shared" | "param"
                    if is_formal && !prefix.ty.is_empty() =>
                {
                    pointer = true;
                }
                _ if TYPES.contains(&word) && prefix.ty.is_empty() => prefix.ty = word,
                _ => return Err(self.expected("a type or a name")),
            }
            self.advance()?;
        }
        if prefix.ty.is_empty() {
            return Err(self.expected("a type"));
        }
        Ok(prefix)
    }

    pub(super) fn formal(&mut self) -> Parsed<Variable<'a>> {
        let prefix = self.prefix(true)?;
        self.declarator(&prefix, Linkage::Internal)
    }

    /// One declaration statement, with all its names.
    pub(super) fn variables(&mut self, linkage: Linkage) -> Parsed<Vec<Variable<'a>>> {
        let prefix = self.prefix(false)?;
        let mut variables = vec![];
        loop {
            variables.push(self.declarator(&prefix, linkage)?);
            if !self.accept(",")? {
                self.expect(";")?;
                return Ok(variables);
            }
        }
    }

    fn declarator(&mut self, prefix: &Prefix<'a>, linkage: Linkage) -> Parsed<Variable<'a>> {
        let at = self.at();
        let name = self.identifier("a name")?;
        let mut variable = Variable {
            space: prefix.space,
            linkage,
            align: prefix.align,
            vector: prefix.vector,
            ty: prefix.ty,
            name,
            range: None,
            dimensions: vec![],
            init: None,
            at,
        };
        if self.accept("<")? {
            let at = self.at();
            // Not a constant expression: its '>' would be taken for a comparison.
            let super::ast::Constant::Int(count) = self.number()? else {
                return Err(malformed(at, "expected a count of registers"));
            };
            self.expect(">")?;
            if count > MAX_RANGE {
                let what = format!("{count} registers in one declaration; at most {MAX_RANGE}");
                return Err(malformed(at, what));
            }
            variable.range = Some(count as u32);
        }
        while self.accept("[")? {
            let size = if self.is("]") { None } else { Some(self.integer()?) };
            variable.dimensions.push(size);
            self.expect("]")?;
        }
        if self.accept("=")? {
            variable.init = Some(self.initializer()?);
        }
        Ok(variable)
    }

    fn initializer(&mut self) -> Parsed<Init<'a>> {
        if self.current.kind == TokenKind::String {
            return Ok(Init::Text(self.advance()?.text));
        }
        if !self.accept("{")? {
            return Ok(Init::Value(self.constant()?));
        }
        let mut values = vec![];
        while !self.is("}") {
            values.push(self.nested(Self::initializer)?);
            if !self.accept(",")? {
                break;
            }
        }
        self.expect("}")?;
        Ok(Init::List(values))
    }
}
