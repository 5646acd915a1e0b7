//! Bodies: scopes, labels, instructions, operands.

use super::{
    Parsed, Parser,
    ast::{AddressOperand, Constant, Instruction, Linkage, Operand, Position, Statement},
    lexer::TokenKind,
    malformed, unsupported,
};

/// The most elements of one vector or list: 128 registers, and room for arguments.
const MAX_ELEMENTS: usize = 4096;

impl<'a> Parser<'a> {
    pub(super) fn block(&mut self) -> Parsed<Vec<Statement<'a>>> {
        let opened = self.at();
        self.expect("{")?;
        let mut statements = vec![];
        while !self.accept("}")? {
            if self.current.kind == TokenKind::End {
                let what = format!("the scope opened at line {} does not end", opened.line);
                return Err(malformed(self.at(), what));
            }
            self.nested(|parser| parser.statement(&mut statements))?;
        }
        Ok(statements)
    }

    fn statement(&mut self, statements: &mut Vec<Statement<'a>>) -> Parsed<()> {
        let at = self.at();
        if self.accept(";")? {
            return Ok(());
        }
        if self.is("{") {
            statements.push(Statement::Block(self.block()?));
            return Ok(());
        }
        if self.current.kind == TokenKind::Identifier
            && self.next.kind == TokenKind::Punctuation
            && self.next.text == ":"
        {
            let name = self.advance()?.text;
            self.advance()?;
            return self.labelled(name, at, statements);
        }
        if self.current.kind == TokenKind::Dotted {
            return self.directive(at, statements);
        }
        statements.push(Statement::Instruction(self.instruction()?));
        Ok(())
    }

    fn labelled(
        &mut self,
        name: &'a str,
        at: Position,
        statements: &mut Vec<Statement<'a>>,
    ) -> Parsed<()> {
        if self.accept_word("branchtargets")? {
            let targets = self.names("a label")?;
            statements.push(Statement::BranchTargets { name, targets, at });
        } else if self.accept_word("calltargets")? {
            let targets = self.names("a function")?;
            statements.push(Statement::CallTargets { name, targets, at });
        } else if self.accept_word("callprototype")? {
            let returns = if self.is("(") { self.formals()? } else { vec![] };
            self.identifier("'_'")?;
            let params = if self.is("(") { self.formals()? } else { vec![] };
            self.function_directives()?;
            self.expect(";")?;
            statements.push(Statement::CallPrototype { name, returns, params, at });
        } else {
            statements.push(Statement::Label(name, at));
        }
        Ok(())
    }

    /// `a, b, c;`
    fn names(&mut self, what: &str) -> Parsed<Vec<&'a str>> {
        let at = self.at();
        let mut names = vec![];
        loop {
            names.push(self.identifier(what)?);
            if names.len() > MAX_ELEMENTS {
                return Err(unsupported(at, "a list of more than 4096 names"));
            }
            if !self.accept(",")? {
                break;
            }
        }
        self.expect(";")?;
        Ok(names)
    }

    fn directive(&mut self, at: Position, statements: &mut Vec<Statement<'a>>) -> Parsed<()> {
        match self.current.text {
            "loc" | "file" => {
                self.advance()?;
                self.skip_line()
            }
            "pragma" => self.pragma(),
            "reg" | "sreg" | "const" | "global" | "local" | "param" | "shared" | "shared::cta"
            | "tex" | "extern" | "visible" | "weak" => {
                let linkage = self.linkage()?;
                let linkage = if linkage == Linkage::Defined { Linkage::Internal } else { linkage };
                let variables = self.variables(linkage)?;
                statements.extend(variables.into_iter().map(Statement::Variable));
                Ok(())
            }
            "branchtargets" | "calltargets" | "callprototype" => {
                Err(malformed(at, format!("'.{}' needs a label", self.current.text)))
            }
            _ => Err(self.unknown_directive()),
        }
    }

    fn instruction(&mut self) -> Parsed<Instruction<'a>> {
        let at = self.at();
        let guard = if self.accept("@")? {
            let negated = self.accept("!")?;
            Some((self.identifier("a predicate")?, negated))
        } else {
            None
        };
        let opcode = self.identifier("an instruction")?;
        if !opcode.as_bytes()[0].is_ascii_alphabetic() {
            return Err(malformed(at, format!("'{opcode}' is not an instruction")));
        }
        let mut words = vec![];
        while self.current.kind == TokenKind::Dotted {
            words.push(self.advance()?.text);
        }
        let mut operands = vec![];
        if !self.is(";") {
            loop {
                operands.push(self.operand()?);
                // `call (r), f, (a)` and the like separate with commas too.
                if !self.accept(",")? {
                    break;
                }
                if operands.len() > MAX_ELEMENTS {
                    return Err(malformed(at, "more than 4096 operands"));
                }
            }
        }
        self.expect(";")?;
        Ok(Instruction { guard, opcode, words, operands, at })
    }

    fn operand(&mut self) -> Parsed<Operand<'a>> {
        let first = self.simple_operand()?;
        if self.accept("|")? {
            let second = self.simple_operand()?;
            return Ok(Operand::Pair(Box::new(first), Box::new(second)));
        }
        Ok(first)
    }

    fn operands_until(&mut self, end: &str) -> Parsed<Vec<Operand<'a>>> {
        let mut operands = vec![];
        if self.accept(end)? {
            return Ok(operands);
        }
        loop {
            if operands.len() == MAX_ELEMENTS {
                return Err(malformed(self.at(), "more than 4096 elements"));
            }
            operands.push(self.nested(Self::operand)?);
            if !self.accept(",")? {
                self.expect(end)?;
                return Ok(operands);
            }
        }
    }

    fn simple_operand(&mut self) -> Parsed<Operand<'a>> {
        if self.accept("{")? {
            return Ok(Operand::Vector(self.operands_until("}")?));
        }
        if self.accept("(")? {
            if self.current.kind == TokenKind::Number || self.is("-") || self.is("(") {
                // A parenthesised constant, or a call's list that starts with one.
                let first = Operand::Constant(self.nested(Self::constant)?);
                let mut operands = vec![first];
                if self.accept(",")? {
                    operands.extend(self.operands_until(")")?);
                } else {
                    self.expect(")")?;
                }
                return Ok(Operand::List(operands));
            }
            return Ok(Operand::List(self.operands_until(")")?));
        }
        if self.accept("[")? {
            return self.address();
        }
        if self.accept("!")? {
            if self.current.kind == TokenKind::Identifier {
                return Ok(Operand::Not(Box::new(self.name()?)));
            }
            let value = self.integer()?;
            return Ok(Operand::Constant(Constant::Int((value == 0).into())));
        }
        if self.current.kind == TokenKind::Identifier
            && self.current.text != "generic"
            && self.current.text != "WARP_SZ"
        {
            let name = self.name()?;
            if let Operand::Name(symbol) = name
                && (self.is("+") || self.is("-"))
            {
                let offset = self.offset()?;
                return Ok(Operand::Constant(Constant::Symbol {
                    name: symbol,
                    offset,
                    generic: false,
                }));
            }
            return Ok(name);
        }
        if self.is("-") && self.next.kind == TokenKind::Identifier && self.next.text != "WARP_SZ" {
            self.advance()?;
            return Ok(Operand::Not(Box::new(self.name()?)));
        }
        Ok(Operand::Constant(self.constant()?))
    }

    fn name(&mut self) -> Parsed<Operand<'a>> {
        let name = self.identifier("a name")?;
        if name == "_" {
            return Ok(Operand::Sink);
        }
        if self.current.kind == TokenKind::Dotted && self.current.adjacent {
            return Ok(Operand::Member(name, self.advance()?.text));
        }
        Ok(Operand::Name(name))
    }

    fn address(&mut self) -> Parsed<Operand<'a>> {
        let mut address = AddressOperand { base: None, offset: 0, rest: vec![] };
        if self.current.kind == TokenKind::Identifier && self.current.text != "generic" {
            address.base = Some(self.name()?);
            address.offset = self.offset()?;
        } else {
            let at = self.at();
            match self.constant()? {
                Constant::Int(value) => address.offset = value as i64,
                Constant::Symbol { name, offset, generic: true } => {
                    let constant = Constant::Symbol { name, offset: 0, generic: true };
                    address.base = Some(Operand::Constant(constant));
                    address.offset = offset;
                }
                _ => return Err(malformed(at, "a floating-point number is not an address")),
            }
        }
        while self.accept(",")? {
            if address.rest.len() == MAX_ELEMENTS {
                return Err(malformed(self.at(), "more than 4096 elements"));
            }
            address.rest.push(self.nested(Self::operand)?);
        }
        self.expect("]")?;
        // `[a].unified`: the address is the same for all threads.
        self.accept_word("unified")?;
        Ok(Operand::Address(Box::new(address)))
    }
}
