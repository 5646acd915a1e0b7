//! Text to tokens, one at a time.

use super::{ast::Position, malformed};
use crate::error::Ending;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// A name: `%r1`, `$L__BB0_2`, `add`, `_`.
    Identifier,
    /// `.word`, with its `::` parts; the text leaves out the dot.
    Dotted,
    /// A number, as written.
    Number,
    /// A string, without its quotes, escapes as written.
    String,
    /// Anything else; `<<` and `>>` and the like are one token.
    Punctuation,
    /// The end of the text.
    End,
}

/// A piece of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: TokenKind,
    pub(super) text: &'a str,
    pub(super) at: Position,
    /// Nothing stands between this token and the one before.
    pub(super) adjacent: bool,
}

impl Token<'_> {
    /// For messages.
    pub(super) fn describe(&self) -> String {
        let text: String = self.text.chars().take(40).collect();
        match self.kind {
            TokenKind::End => "the end of the text".into(),
            TokenKind::Dotted => format!("'.{text}'"),
            TokenKind::String => format!("the string \"{text}\""),
            _ => format!("'{text}'"),
        }
    }
}

pub(super) struct Lexer<'a> {
    text: &'a str,
    offset: usize,
    line: u32,
    line_start: usize,
}

const LONG_PUNCTUATION: [&str; 8] = ["<<", ">>", "<=", ">=", "==", "!=", "&&", "||"];

fn follows(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$'
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        // A byte-order mark is not a token.
        let offset = if text.starts_with('\u{feff}') { 3 } else { 0 };
        Lexer { text, offset, line: 1, line_start: 0 }
    }

    fn byte(&self, ahead: usize) -> u8 {
        self.text.as_bytes().get(self.offset + ahead).copied().unwrap_or(0)
    }

    fn position(&self) -> Position {
        Position { line: self.line, column: (self.offset - self.line_start) as u32 + 1 }
    }

    fn new_line(&mut self) {
        self.line += 1;
        self.line_start = self.offset;
    }

    /// Moves past white space and comments; a trailing NUL ends the text, as in files that were C
    /// strings.
    fn skip_blank(&mut self) -> Result<(), Ending> {
        loop {
            match self.byte(0) {
                b'\n' => {
                    self.offset += 1;
                    self.new_line();
                }
                b' ' | b'\t' | b'\r' | 0x0b | 0x0c => self.offset += 1,
                b'/' if self.byte(1) == b'/' => {
                    let rest = &self.text.as_bytes()[self.offset..];
                    let length = rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
                    self.offset += length;
                }
                b'/' if self.byte(1) == b'*' => self.skip_comment()?,
                0 if self.offset < self.text.len() => {
                    let rest = &self.text.as_bytes()[self.offset..];
                    if rest.iter().any(|&byte| byte != 0) {
                        return Err(malformed(self.position(), "a NUL byte inside the text"));
                    }
                    self.offset = self.text.len();
                }
                _ => return Ok(()),
            }
        }
    }

    fn skip_comment(&mut self) -> Result<(), Ending> {
        let start = self.position();
        self.offset += 2;
        loop {
            match self.byte(0) {
                b'*' if self.byte(1) == b'/' => {
                    self.offset += 2;
                    return Ok(());
                }
                b'\n' => {
                    self.offset += 1;
                    self.new_line();
                }
                _ if self.offset >= self.text.len() => {
                    return Err(malformed(start, "a comment that does not end"));
                }
                _ => self.offset += 1,
            }
        }
    }

    pub(super) fn token(&mut self) -> Result<Token<'a>, Ending> {
        let before = self.offset;
        self.skip_blank()?;
        let adjacent = before == self.offset && before > 0;
        let at = self.position();
        let start = self.offset;
        let token = |kind, text| Token { kind, text, at, adjacent };
        if start >= self.text.len() {
            return Ok(token(TokenKind::End, ""));
        }
        let first = self.byte(0);
        if first.is_ascii_alphabetic()
            || first == b'_'
            || first == b'$'
            || first == b'%' && follows(self.byte(1))
        {
            self.offset += 1;
            self.take_while(follows);
            return Ok(token(TokenKind::Identifier, &self.text[start..self.offset]));
        }
        if first.is_ascii_digit() {
            self.number();
            return Ok(token(TokenKind::Number, &self.text[start..self.offset]));
        }
        if first == b'.' && follows(self.byte(1)) {
            self.offset += 1;
            self.take_while(follows);
            while self.byte(0) == b':' && self.byte(1) == b':' && follows(self.byte(2)) {
                self.offset += 2;
                self.take_while(follows);
            }
            return Ok(token(TokenKind::Dotted, &self.text[start + 1..self.offset]));
        }
        if first == b'"' {
            return self.string(at).map(|text| token(TokenKind::String, text));
        }
        let rest = &self.text[start..];
        let length = match LONG_PUNCTUATION.iter().find(|long| rest.starts_with(**long)) {
            Some(long) => long.len(),
            None => rest.chars().next().map_or(1, char::len_utf8),
        };
        if !first.is_ascii_graphic() {
            let what =
                format!("{:?} is not a character of PTX", rest.chars().next().unwrap_or(' '));
            return Err(malformed(at, what));
        }
        self.offset += length;
        Ok(token(TokenKind::Punctuation, &rest[..length]))
    }

    fn take_while(&mut self, accept: impl Fn(u8) -> bool) {
        while accept(self.byte(0)) {
            self.offset += 1;
        }
    }

    /// An integer in any base, `0f…`, `0d…`, or a decimal fraction with an exponent.
    fn number(&mut self) {
        let start = self.offset;
        self.take_while(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let hexadecimal = self.text.as_bytes()[start] == b'0'
            && matches!(
                self.text.as_bytes().get(start + 1),
                Some(b'x' | b'X' | b'f' | b'F' | b'd' | b'D' | b'b' | b'B')
            );
        if hexadecimal {
            return;
        }
        if self.byte(0) == b'.' && !self.byte(1).is_ascii_alphabetic() {
            self.offset += 1;
            self.take_while(|byte| byte.is_ascii_alphanumeric());
        }
        let last = self.text.as_bytes()[self.offset - 1];
        if matches!(last, b'e' | b'E')
            && matches!(self.byte(0), b'+' | b'-')
            && self.byte(1).is_ascii_digit()
        {
            self.offset += 1;
            self.take_while(|byte| byte.is_ascii_digit());
        }
    }

    fn string(&mut self, at: Position) -> Result<&'a str, Ending> {
        self.offset += 1;
        let start = self.offset;
        loop {
            match self.byte(0) {
                b'"' => {
                    let text = &self.text[start..self.offset];
                    self.offset += 1;
                    return Ok(text);
                }
                b'\n' => return Err(malformed(at, "a string that does not end on its line")),
                _ if self.offset >= self.text.len() => {
                    return Err(malformed(at, "a string that does not end"));
                }
                b'\\' => self.offset = (self.offset + 2).min(self.text.len()),
                _ => self.offset += 1,
            }
        }
    }
}
