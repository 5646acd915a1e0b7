//! The file as a whole: header, variables, functions.

use super::{
    Parsed, Parser,
    ast::{Directive, Function, Item, Linkage, Module, Position, Variable},
    lexer::TokenKind,
    malformed, unsupported,
};

impl<'a> Parser<'a> {
    pub(super) fn module(&mut self) -> Parsed<Module<'a>> {
        let version = self.version()?;
        let mut module = Module { version, target: vec![], items: vec![] };
        while self.current.kind != TokenKind::End {
            self.item(&mut module)?;
        }
        if module.target.is_empty() {
            return Err(self.expected("a '.target' directive before the end"));
        }
        Ok(module)
    }

    fn version(&mut self) -> Parsed<(u32, u32)> {
        if !self.accept_word("version")? {
            return Err(self.expected("'.version', with which PTX text begins"));
        }
        let at = self.at();
        let text = self.current.text;
        if self.current.kind != TokenKind::Number {
            return Err(self.expected("a version such as 8.8"));
        }
        self.advance()?;
        let parts = text
            .split_once('.')
            .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        parts.ok_or_else(|| malformed(at, format!("'{text}' is not a version such as 8.8")))
    }

    fn item(&mut self, module: &mut Module<'a>) -> Parsed<()> {
        let at = self.at();
        if self.accept(";")? {
            return Ok(());
        }
        if self.current.kind != TokenKind::Dotted {
            return Err(self.expected("a directive"));
        }
        match self.current.text {
            "target" => {
                self.advance()?;
                loop {
                    module.target.push(self.identifier("an architecture such as sm_100a")?);
                    if !self.accept(",")? {
                        return Ok(());
                    }
                }
            }
            "address_size" => {
                self.advance()?;
                let size = self.integer()?;
                match size {
                    64 => Ok(()),
                    32 => Err(unsupported(at, ".address_size 32: only 64 is")),
                    _ => Err(malformed(at, format!(".address_size {size} is neither 32 nor 64"))),
                }
            }
            "file" | "loc" => {
                self.advance()?;
                self.skip_line()
            }
            "pragma" => self.pragma(),
            "section" => self.section(),
            "alias" => {
                self.advance()?;
                let name = self.identifier("a name")?;
                self.expect(",")?;
                let target = self.identifier("a function")?;
                self.expect(";")?;
                module.items.push(Item::Alias { name, target, at });
                Ok(())
            }
            _ => {
                let linkage = self.linkage()?;
                if self.is_word("entry") || self.is_word("func") {
                    let function = self.function(linkage, at)?;
                    module.items.push(Item::Function(function));
                    return Ok(());
                }
                for variable in self.variables(linkage)? {
                    module.items.push(Item::Variable(variable));
                }
                Ok(())
            }
        }
    }

    pub(super) fn linkage(&mut self) -> Parsed<Linkage> {
        let linkage = match self.current.text {
            "visible" | "weak" | "common" => Linkage::Defined,
            "extern" => Linkage::External,
            _ => return Ok(Linkage::Internal),
        };
        if self.current.kind == TokenKind::Dotted {
            self.advance()?;
        }
        Ok(linkage)
    }

    /// `.pragma "a", "b";`: hints to ptxas.
    pub(super) fn pragma(&mut self) -> Parsed<()> {
        self.advance()?;
        loop {
            if self.current.kind != TokenKind::String {
                return Err(self.expected("a string"));
            }
            self.advance()?;
            if !self.accept(",")? {
                return self.expect(";");
            }
        }
    }

    /// `.section .debug_x { … }`: debugging data, of no effect.
    fn section(&mut self) -> Parsed<()> {
        self.advance()?;
        if self.current.kind != TokenKind::Dotted || !self.current.text.starts_with("debug") {
            return Err(self.unknown_directive());
        }
        self.advance()?;
        self.expect("{")?;
        while !self.is("}") {
            if self.current.kind == TokenKind::End || self.is("{") {
                return Err(self.expected("'}'"));
            }
            self.advance()?;
        }
        self.expect("}")
    }

    fn function(&mut self, linkage: Linkage, at: Position) -> Parsed<Function<'a>> {
        let is_entry = self.is_word("entry");
        self.advance()?;
        self.attribute()?;
        let returns = if self.is("(") { self.formals()? } else { vec![] };
        let name_at = self.at();
        let name = self.identifier("a function's name")?;
        if is_entry && !returns.is_empty() {
            return Err(malformed(name_at, format!("entry '{name}' returns a value")));
        }
        let params = if self.is("(") { self.formals()? } else { vec![] };
        let directives = self.function_directives()?;
        let body = if self.is("{") {
            Some(self.block()?)
        } else {
            self.expect(";")?;
            None
        };
        Ok(Function { is_entry, linkage, name, returns, params, directives, body, at })
    }

    /// `.attribute(.unified(1, 2))` and `.attribute(.managed)`.
    pub(super) fn attribute(&mut self) -> Parsed<()> {
        if !self.accept_word("attribute")? {
            return Ok(());
        }
        self.expect("(")?;
        let mut depth = 1;
        while depth > 0 {
            match self.current.text {
                "(" if self.is("(") => depth += 1,
                ")" if self.is(")") => depth -= 1,
                _ if self.current.kind == TokenKind::End || self.is(";") => {
                    return Err(self.expected("')'"));
                }
                _ => {}
            }
            self.advance()?;
        }
        Ok(())
    }

    pub(super) fn formals(&mut self) -> Parsed<Vec<Variable<'a>>> {
        self.expect("(")?;
        let mut formals = vec![];
        if self.accept(")")? {
            return Ok(formals);
        }
        loop {
            formals.push(self.formal()?);
            if !self.accept(",")? {
                self.expect(")")?;
                return Ok(formals);
            }
        }
    }

    pub(super) fn function_directives(&mut self) -> Parsed<Vec<Directive<'a>>> {
        let mut directives = vec![];
        while self.current.kind == TokenKind::Dotted {
            let at = self.at();
            let word = self.current.text;
            match word {
                "pragma" => self.pragma()?,
                "attribute" => self.attribute()?,
                "maxntid"
                | "reqntid"
                | "minnctapersm"
                | "maxnctapersm"
                | "maxnreg"
                | "reqnctapercluster"
                | "maxclusterrank"
                | "explicitcluster"
                | "blocksareclusters"
                | "noreturn"
                | "abi_preserve"
                | "abi_preserve_control" => {
                    self.advance()?;
                    let mut values = vec![];
                    if self.current.kind == TokenKind::Number {
                        loop {
                            values.push(self.integer()?);
                            if !self.accept(",")? {
                                break;
                            }
                        }
                    }
                    directives.push(Directive { word, values, at });
                }
                _ => return Err(self.unknown_directive()),
            }
        }
        Ok(directives)
    }
}
