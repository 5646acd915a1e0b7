//! Numbers and constant expressions.

use super::{Parsed, Parser, ast::Constant, lexer::TokenKind, malformed};

/// Operators by rising precedence, as in C.
const LEVELS: [&[&str]; 10] = [
    &["||"],
    &["&&"],
    &["|"],
    &["^"],
    &["&"],
    &["==", "!="],
    &["<", "<=", ">", ">="],
    &["<<", ">>"],
    &["+", "-"],
    &["*", "/", "%"],
];

impl<'a> Parser<'a> {
    /// The value of the number at hand.
    pub(super) fn number(&mut self) -> Parsed<Constant<'a>> {
        let at = self.at();
        let text = self.current.text;
        if self.current.kind != TokenKind::Number {
            return Err(self.expected("a number"));
        }
        self.advance()?;
        let bad = |what: &str| malformed(at, format!("'{text}' is not {what}"));
        let bytes = text.as_bytes();
        let prefix = (bytes[0], bytes.get(1).map(u8::to_ascii_lowercase));
        let hex_float = |digits: usize| {
            let body = text.get(2..).filter(|body| body.len() == digits);
            body.and_then(|body| u64::from_str_radix(body, 16).ok())
        };
        match prefix {
            (b'0', Some(b'f')) => {
                return hex_float(8)
                    .map(|bits| Constant::Single(bits as u32))
                    .ok_or_else(|| bad("0f and 8 hexadecimal digits"));
            }
            (b'0', Some(b'd')) => {
                return hex_float(16)
                    .map(|bits| Constant::Double(f64::from_bits(bits)))
                    .ok_or_else(|| bad("0d and 16 hexadecimal digits"));
            }
            _ => {}
        }
        let hexadecimal = matches!(prefix, (b'0', Some(b'x')));
        if !hexadecimal && text.contains(['.', 'e', 'E']) {
            let value = text.parse().map_err(|_| bad("a number"))?;
            return Ok(Constant::Double(value));
        }
        let digits = text.strip_suffix(['U', 'u']).unwrap_or(text);
        let (digits, radix) = match prefix {
            (b'0', Some(b'x')) => (&digits[2..], 16),
            (b'0', Some(b'b')) => (digits.get(2..).unwrap_or(""), 2),
            (b'0', Some(_)) if digits.len() > 1 => (&digits[1..], 8),
            _ => (digits, 10),
        };
        u64::from_str_radix(digits, radix)
            .map(Constant::Int)
            .map_err(|_| bad("a number of at most 64 bits"))
    }

    /// An integer constant expression.
    pub(super) fn integer(&mut self) -> Parsed<u64> {
        let at = self.at();
        match self.constant()? {
            Constant::Int(value) => Ok(value),
            _ => Err(malformed(at, "expected an integer constant")),
        }
    }

    /// A constant expression: numbers, operators, and at most one symbol with an offset.
    pub(super) fn constant(&mut self) -> Parsed<Constant<'a>> {
        let condition = self.binary(0)?;
        if !self.accept("?")? {
            return Ok(condition);
        }
        let at = self.at();
        let yes = self.nested(Self::constant)?;
        self.expect(":")?;
        let no = self.nested(Self::constant)?;
        match condition {
            Constant::Int(value) => Ok(if value != 0 { yes } else { no }),
            _ => Err(malformed(at, "the condition before '?' is not an integer constant")),
        }
    }

    /// An offset inside brackets or after a symbol: `+4`, `-4`, `+-4`, `+8*2`.
    pub(super) fn offset(&mut self) -> Parsed<i64> {
        let mut sum = 0i64;
        loop {
            let negative = match self.current.text {
                "+" if self.is("+") => false,
                "-" if self.is("-") => true,
                _ => return Ok(sum),
            };
            self.advance()?;
            let at = self.at();
            let Constant::Int(value) = self.binary(LEVELS.len() - 1)? else {
                return Err(malformed(at, "expected an integer offset"));
            };
            let value = value as i64;
            sum = sum.wrapping_add(if negative { value.wrapping_neg() } else { value });
        }
    }

    fn binary(&mut self, level: usize) -> Parsed<Constant<'a>> {
        let Some(operators) = LEVELS.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1)?;
        while self.current.kind == TokenKind::Punctuation && operators.contains(&self.current.text)
        {
            let token = self.advance()?;
            let right = self.binary(level + 1)?;
            left = apply(token.text, left, right).ok_or_else(|| {
                let what = format!("'{}' does not apply to these constants", token.text);
                malformed(token.at, what)
            })?;
        }
        Ok(left)
    }

    fn unary(&mut self) -> Parsed<Constant<'a>> {
        let at = self.at();
        let sign = self.current.text;
        if ["-", "+", "~", "!"].iter().any(|operator| self.is(operator)) {
            self.advance()?;
            let value = self.nested(Self::unary)?;
            return match (sign, value) {
                ("+", value @ (Constant::Int(_) | Constant::Double(_) | Constant::Single(_))) => {
                    Ok(value)
                }
                ("-", Constant::Int(value)) => Ok(Constant::Int(value.wrapping_neg())),
                ("-", Constant::Double(value)) => Ok(Constant::Double(-value)),
                ("-", Constant::Single(bits)) => Ok(Constant::Single(bits ^ 1 << 31)),
                ("~", Constant::Int(value)) => Ok(Constant::Int(!value)),
                ("!", Constant::Int(value)) => Ok(Constant::Int((value == 0).into())),
                _ => Err(malformed(at, format!("'{sign}' does not apply to this constant"))),
            };
        }
        if self.accept("(")? {
            // A cast, or a parenthesis.
            if self.current.kind == TokenKind::Dotted {
                if !["s64", "u64", "b64"].contains(&self.current.text) {
                    return Err(self.expected("a cast to .s64 or .u64"));
                }
                self.advance()?;
                self.expect(")")?;
                return self.nested(Self::unary);
            }
            let value = self.nested(Self::constant)?;
            self.expect(")")?;
            return Ok(value);
        }
        if self.current.kind == TokenKind::Identifier {
            let name = self.advance()?.text;
            if name == "WARP_SZ" {
                return Ok(Constant::Int(32));
            }
            if name == "generic" && self.accept("(")? {
                let name = self.identifier("a variable")?;
                self.expect(")")?;
                return Ok(Constant::Symbol { name, offset: 0, generic: true });
            }
            return Ok(Constant::Symbol { name, offset: 0, generic: false });
        }
        let at = self.at();
        let value = self.number()?;
        match value {
            // `0xff00(name)`: the byte of an address that the mask covers.
            Constant::Int(mask) if self.is("(") => {
                self.advance()?;
                let inner = self.nested(Self::constant)?;
                self.expect(")")?;
                let byte = (0..8u8).find(|byte| mask == 0xff << (8 * byte));
                match (inner, byte) {
                    (Constant::Symbol { name, offset, generic }, Some(byte)) => {
                        Ok(Constant::SymbolByte { name, offset, generic, byte })
                    }
                    (_, None) => Err(malformed(at, format!("the mask {mask:#x} is not one byte"))),
                    _ => Err(malformed(at, "a mask applies to an address alone")),
                }
            }
            value => Ok(value),
        }
    }
}

fn apply<'a>(operator: &str, left: Constant<'a>, right: Constant<'a>) -> Option<Constant<'a>> {
    let (a, b) = match (left, right) {
        (Constant::Int(a), Constant::Int(b)) => (a, b),
        (Constant::Symbol { name, offset, generic }, Constant::Int(b)) => {
            let offset = match operator {
                "+" => offset.wrapping_add(b as i64),
                "-" => offset.wrapping_sub(b as i64),
                _ => return None,
            };
            return Some(Constant::Symbol { name, offset, generic });
        }
        (Constant::Int(_), Constant::Symbol { .. }) if operator == "+" => {
            return apply("+", right, left);
        }
        _ => return None,
    };
    let truth = |value: bool| u64::from(value);
    Some(Constant::Int(match operator {
        "||" => truth(a != 0 || b != 0),
        "&&" => truth(a != 0 && b != 0),
        "|" => a | b,
        "^" => a ^ b,
        "&" => a & b,
        "==" => truth(a == b),
        "!=" => truth(a != b),
        "<" => truth((a as i64) < b as i64),
        "<=" => truth(a as i64 <= b as i64),
        ">" => truth(a as i64 > b as i64),
        ">=" => truth(a as i64 >= b as i64),
        "<<" => {
            if b < 64 {
                a << b
            } else {
                0
            }
        }
        ">>" => (a as i64 >> b.min(63)) as u64,
        "+" => a.wrapping_add(b),
        "-" => a.wrapping_sub(b),
        "*" => a.wrapping_mul(b),
        "/" => (a as i64).checked_div(b as i64)? as u64,
        "%" => (a as i64).checked_rem(b as i64)? as u64,
        _ => return None,
    }))
}
