//! PTX text to a syntax tree: a lexer and a recursive descent.
//!
//! The parser knows PTX's shape, not its instructions: an opcode is a list of words, an operand is
//! what it looks like. Whatever it cannot place is [`Malformed`] with its
//! line and column. Memory is bounded by the text's size, nesting by [`MAX_NESTING`].

pub mod ast;
mod declaration;
mod expression;
mod lexer;
mod module;
mod statement;

use ast::{Module, Position};
use lexer::{Lexer, Token, TokenKind};

use crate::error::{Ending, Malformed, Unsupported};

/// The longest text that is accepted, in bytes.
pub const MAX_TEXT: usize = 64 << 20;

/// How deep scopes, vectors, initialisers and parentheses may nest.
pub const MAX_NESTING: u32 = 64;

/// Parses a module from the bytes of a file.
pub fn parse_bytes(bytes: &[u8]) -> Result<Module<'_>, Ending> {
    match std::str::from_utf8(bytes) {
        Ok(text) => parse(text),
        Err(why) => {
            let good = &bytes[..why.valid_up_to()];
            let line = 1 + good.iter().filter(|&&byte| byte == b'\n').count() as u32;
            let column = 1 + good.iter().rev().take_while(|&&byte| byte != b'\n').count() as u32;
            let what = format!(
                "byte {:#04x} is not text (PTX is ASCII; is this a cubin or an archive?)",
                bytes[why.valid_up_to()]
            );
            Err(malformed(Position { line, column }, what))
        }
    }
}

/// Parses a module.
pub fn parse(text: &str) -> Result<Module<'_>, Ending> {
    if text.len() > MAX_TEXT {
        let what = format!("the text has {} bytes; at most {MAX_TEXT} are read", text.len());
        return Err(malformed(Position { line: 1, column: 1 }, what));
    }
    Parser::new(text)?.module()
}

pub(crate) fn malformed(at: Position, what: impl Into<String>) -> Ending {
    Ending::Malformed(Malformed {
        place: format!("line {}, column {}", at.line, at.column),
        what: what.into(),
    })
}

pub(crate) fn unsupported(at: Position, what: impl Into<String>) -> Ending {
    Ending::Unsupported(Unsupported { what: what.into(), line: at.line })
}

type Parsed<T> = Result<T, Ending>;

/// Two tokens of look-ahead over the lexer.
struct Parser<'a> {
    lexer: Lexer<'a>,
    current: Token<'a>,
    next: Token<'a>,
    nesting: u32,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Parsed<Self> {
        let mut lexer = Lexer::new(text);
        let current = lexer.token()?;
        let next = lexer.token()?;
        Ok(Parser { lexer, current, next, nesting: 0 })
    }

    fn at(&self) -> Position {
        self.current.at
    }

    fn advance(&mut self) -> Parsed<Token<'a>> {
        let following = self.lexer.token()?;
        let next = std::mem::replace(&mut self.next, following);
        Ok(std::mem::replace(&mut self.current, next))
    }

    fn is(&self, punctuation: &str) -> bool {
        self.current.kind == TokenKind::Punctuation && self.current.text == punctuation
    }

    fn is_word(&self, word: &str) -> bool {
        self.current.kind == TokenKind::Dotted && self.current.text == word
    }

    fn accept(&mut self, punctuation: &str) -> Parsed<bool> {
        let found = self.is(punctuation);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn accept_word(&mut self, word: &str) -> Parsed<bool> {
        let found = self.is_word(word);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn expect(&mut self, punctuation: &str) -> Parsed<()> {
        if self.accept(punctuation)? {
            Ok(())
        } else {
            Err(self.expected(&format!("'{punctuation}'")))
        }
    }

    fn expected(&self, what: &str) -> Ending {
        malformed(self.at(), format!("expected {what}, found {}", self.current.describe()))
    }

    /// A directive that nobody here knows; where the text ends with it, it was cut off.
    fn unknown_directive(&self) -> Ending {
        if self.next.kind == TokenKind::End || self.current.kind != TokenKind::Dotted {
            return self.expected("a directive");
        }
        unsupported(self.at(), format!("directive '.{}'", self.current.text))
    }

    fn identifier(&mut self, what: &str) -> Parsed<&'a str> {
        if self.current.kind == TokenKind::Identifier {
            Ok(self.advance()?.text)
        } else {
            Err(self.expected(what))
        }
    }

    /// Runs `inner` one level deeper.
    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.nesting == MAX_NESTING {
            let what = format!("nested deeper than {MAX_NESTING} levels");
            return Err(malformed(self.at(), what));
        }
        self.nesting += 1;
        let result = inner(self);
        self.nesting -= 1;
        result
    }

    /// Skips the rest of a directive that ends with its line (`.loc`, `.file`).
    fn skip_line(&mut self) -> Parsed<()> {
        let line = self.at().line;
        while self.current.kind != TokenKind::End && self.at().line == line {
            self.advance()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
