//! The syntax tree. Names borrow from the text.

/// A place in the text, both numbers from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Position {
    /// Line.
    pub line: u32,
    /// Column, in bytes.
    pub column: u32,
}

/// A whole file.
#[derive(Debug, Clone, PartialEq)]
pub struct Module<'a> {
    /// `.version`.
    pub version: (u32, u32),
    /// `.target`: the architecture first, then options.
    pub target: Vec<&'a str>,
    /// Everything else in order.
    pub items: Vec<Item<'a>>,
}

/// A module-scope declaration.
#[derive(Debug, Clone, PartialEq)]
pub enum Item<'a> {
    /// A variable.
    Variable(Variable<'a>),
    /// An entry or a function, or the declaration of one.
    Function(Function<'a>),
    /// `.alias name, target;`
    Alias {
        /// The new name.
        name: &'a str,
        /// What it stands for.
        target: &'a str,
        /// Where.
        at: Position,
    },
}

/// Who sees a symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Linkage {
    /// This module alone.
    #[default]
    Internal,
    /// `.visible`, `.weak`, `.common`: defined here.
    Defined,
    /// `.extern`: defined elsewhere.
    External,
}

/// A state space in a declaration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are PTX's own")]
pub enum DeclaredSpace {
    Reg,
    Sreg,
    Const,
    Global,
    Local,
    Param,
    Shared,
    Tex,
}

/// A register or a variable.
#[derive(Debug, Clone, PartialEq)]
pub struct Variable<'a> {
    /// Where it lives.
    pub space: DeclaredSpace,
    /// Who sees it.
    pub linkage: Linkage,
    /// `.align`, when written.
    pub align: Option<u32>,
    /// 1, 2 or 4: `.v2`, `.v4`.
    pub vector: u32,
    /// The type word: `b32`, `pred`, `texref`.
    pub ty: &'a str,
    /// Its name.
    pub name: &'a str,
    /// `%r<N>`: N registers `%r0`, `%r1`, …
    pub range: Option<u32>,
    /// Array dimensions; `None` for `[]`.
    pub dimensions: Vec<Option<u64>>,
    /// Initial value.
    pub init: Option<Init<'a>>,
    /// Where it is declared.
    pub at: Position,
}

/// An initial value.
#[derive(Debug, Clone, PartialEq)]
pub enum Init<'a> {
    /// One value.
    Value(Constant<'a>),
    /// `{…}`.
    List(Vec<Init<'a>>),
    /// A string, for arrays of bytes.
    Text(&'a str),
}

/// A value known before the program runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Constant<'a> {
    /// An integer, as the low 64 bits of its two's complement.
    Int(u64),
    /// The bits of `0f…`.
    Single(u32),
    /// `0d…` and decimal fractions.
    Double(f64),
    /// A variable's or function's address.
    Symbol {
        /// Its name.
        name: &'a str,
        /// Bytes to add.
        offset: i64,
        /// `generic(name)`.
        generic: bool,
    },
    /// `0xff00(name)` in an initialiser: one byte of an address.
    SymbolByte {
        /// Its name.
        name: &'a str,
        /// Bytes to add.
        offset: i64,
        /// `generic(name)`.
        generic: bool,
        /// Which byte, from the lowest.
        byte: u8,
    },
}

/// An entry or a function.
#[derive(Debug, Clone, PartialEq)]
pub struct Function<'a> {
    /// `.entry` (else `.func`).
    pub is_entry: bool,
    /// Who sees it.
    pub linkage: Linkage,
    /// Its name.
    pub name: &'a str,
    /// Results of a `.func`.
    pub returns: Vec<Variable<'a>>,
    /// Parameters.
    pub params: Vec<Variable<'a>>,
    /// `.maxntid 128, 1, 1` and the like: the word and its numbers.
    pub directives: Vec<Directive<'a>>,
    /// The code; `None` for a declaration.
    pub body: Option<Vec<Statement<'a>>>,
    /// Where it is declared.
    pub at: Position,
}

/// A directive between a function's parameters and its body.
#[derive(Debug, Clone, PartialEq)]
pub struct Directive<'a> {
    /// Without the dot.
    pub word: &'a str,
    /// Its numbers.
    pub values: Vec<u64>,
    /// Where.
    pub at: Position,
}

/// What a body consists of.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement<'a> {
    /// `{ … }`: a scope of its own for registers, variables and labels.
    Block(Vec<Statement<'a>>),
    /// Registers and variables.
    Variable(Variable<'a>),
    /// `name:`
    Label(&'a str, Position),
    /// `name: .branchtargets a, b;`
    BranchTargets {
        /// Its name.
        name: &'a str,
        /// Labels.
        targets: Vec<&'a str>,
        /// Where.
        at: Position,
    },
    /// `name: .calltargets f, g;`
    CallTargets {
        /// Its name.
        name: &'a str,
        /// Functions.
        targets: Vec<&'a str>,
        /// Where.
        at: Position,
    },
    /// `name: .callprototype (results) _ (parameters);`
    CallPrototype {
        /// Its name.
        name: &'a str,
        /// Results.
        returns: Vec<Variable<'a>>,
        /// Parameters.
        params: Vec<Variable<'a>>,
        /// Where.
        at: Position,
    },
    /// An instruction.
    Instruction(Instruction<'a>),
}

/// `@p opcode.word.word operand, operand;`
#[derive(Debug, Clone, PartialEq)]
pub struct Instruction<'a> {
    /// The predicate and whether it is negated.
    pub guard: Option<(&'a str, bool)>,
    /// The first word.
    pub opcode: &'a str,
    /// The words after it, without dots.
    pub words: Vec<&'a str>,
    /// The operands.
    pub operands: Vec<Operand<'a>>,
    /// Where it starts.
    pub at: Position,
}

impl Instruction<'_> {
    /// The opcode with all its words, as written.
    pub fn form(&self) -> String {
        let mut form = self.opcode.to_string();
        for word in &self.words {
            form.push('.');
            form.push_str(word);
        }
        form
    }
}

/// An operand by its looks.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand<'a> {
    /// A register, a label, a variable, a function.
    Name(&'a str),
    /// `name.x`
    Member(&'a str, &'a str),
    /// `_`
    Sink,
    /// A number, or an address expression `name+4`.
    Constant(Constant<'a>),
    /// `!p` or `-%r`.
    Not(Box<Operand<'a>>),
    /// `p|q`
    Pair(Box<Operand<'a>>, Box<Operand<'a>>),
    /// `{a, b}`
    Vector(Vec<Operand<'a>>),
    /// `[base+offset]`, or `[base, {coordinates}]` of tensor copies.
    Address(Box<AddressOperand<'a>>),
    /// `(a, b)` of a call.
    List(Vec<Operand<'a>>),
}

/// What stands in brackets.
#[derive(Debug, Clone, PartialEq)]
pub struct AddressOperand<'a> {
    /// A register or a variable; `None` when the address is a constant.
    pub base: Option<Operand<'a>>,
    /// Bytes to add, or the constant.
    pub offset: i64,
    /// What follows a comma inside the brackets: coordinates.
    pub rest: Vec<Operand<'a>>,
}
