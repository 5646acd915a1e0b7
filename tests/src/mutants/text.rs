//! Where the instructions of a piece of PTX are, and of what they consist.

use std::collections::BTreeMap;
use std::ops::Range;

/// An instruction of a text.
#[derive(Debug)]
pub(super) struct Instruction<'t> {
    /// From the guard to the semicolon.
    pub(super) span: Range<usize>,
    /// The guard, without `@`.
    pub(super) guard: Option<Range<usize>>,
    /// Where the opcode is.
    pub(super) at: Range<usize>,
    pub(super) opcode: &'t str,
    /// Operands, split at commas outside of brackets and braces.
    pub(super) operands: Vec<Range<usize>>,
}

/// The text with spaces for its comments and strings: nothing moves.
pub(super) fn without_comments(text: &str) -> String {
    let mut out = text.as_bytes().to_vec();
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |n| n + 2)
        } else if let Some(string) = rest.strip_prefix('"') {
            string.find('"').map_or(rest.len(), |n| n + 2)
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
            continue;
        };
        out[at..at + length].iter_mut().filter(|b| **b != b'\n').for_each(|b| *b = b' ');
        at += length;
    }
    String::from_utf8(out).expect("whole characters became spaces")
}

/// The bodies, braces included, of a module's functions: name, whether it is an entry, and place.
pub(super) fn bodies(code: &str) -> Vec<(&str, bool, Range<usize>)> {
    let mut found = vec![];
    let (mut depth, mut open, mut head) = (0usize, 0, 0);
    for (at, c) in code.char_indices() {
        match c {
            '{' => {
                depth += 1;
                if depth == 1 {
                    open = at;
                }
            }
            '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    if let Some((name, entry)) = name(&code[head..open]) {
                        found.push((name, entry, open..at + 1));
                    }
                    head = at + 1;
                }
            }
            ';' if depth == 0 => head = at + 1,
            _ => {}
        }
    }
    found
}

/// The name in the head of a function.
fn name(head: &str) -> Option<(&str, bool)> {
    let identifier = |text: &'_ str| -> usize {
        text.find(|c: char| !(c.is_alphanumeric() || "_$.%".contains(c))).unwrap_or(text.len())
    };
    if let Some((_, rest)) = head.split_once(".entry") {
        let rest = rest.trim_start();
        return Some((&rest[..identifier(rest)], true));
    }
    let (_, rest) = head.split_once(".func")?;
    let mut rest = rest.trim_start();
    if rest.starts_with('(') {
        rest = rest.split_once(')')?.1.trim_start();
    }
    Some((&rest[..identifier(rest)], false))
}

/// Bits of the registers that are declared, by name or by the prefix of `%r<9>`; 1 for predicates.
pub(super) fn declared(code: &str) -> BTreeMap<&str, u32> {
    let mut widths = BTreeMap::new();
    for part in code.split(".reg").skip(1) {
        let Some((declaration, _)) = part.split_once(';') else { continue };
        let Some((ty, names)) = declaration.trim().split_once(char::is_whitespace) else {
            continue;
        };
        let digits = ty.trim_start_matches(|c: char| !c.is_ascii_digit());
        let bits = if ty == ".pred" { 1 } else { digits.parse().unwrap_or(32) };
        for name in names.split(',').map(str::trim) {
            widths.insert(name.split('<').next().unwrap_or(name), bits);
        }
    }
    widths
}

/// The instructions of code without comments.
pub(super) fn instructions(code: &str) -> Vec<Instruction<'_>> {
    let mut found = vec![];
    let mut at = 0;
    while let Some(start) = code[at..].find(|c: char| !c.is_whitespace() && !"{};".contains(c)) {
        at += start;
        let rest = &code[at..];
        let word =
            rest.find(|c: char| c.is_whitespace() || ";{}".contains(c)).unwrap_or(rest.len());
        if rest[..word].ends_with(':') {
            at += word;
            continue;
        }
        // Without a semicolon.
        if [".loc", ".file"].contains(&&rest[..word]) {
            at += rest.find('\n').unwrap_or(rest.len());
            continue;
        }
        let Some(length) = rest.find(';') else { break };
        if !rest.starts_with('.') {
            found.push(instruction(code, at..at + length + 1));
        }
        at += length + 1;
    }
    found
}

fn instruction(code: &str, span: Range<usize>) -> Instruction<'_> {
    let text = &code[span.start..span.end - 1];
    let end = |text: &str| text.find(char::is_whitespace).unwrap_or(text.len());
    let mut at = 0;
    let guard = text.starts_with('@').then(|| {
        let length = end(text);
        at = length + text[length..].len() - text[length..].trim_start().len();
        span.start + 1..span.start + length
    });
    let length = end(&text[at..]);
    let base = span.start + at + length;
    let operands = split(&text[at + length..]);
    let operands = operands.into_iter().map(|r| base + r.start..base + r.end).collect();
    Instruction { at: span.start + at..base, opcode: &text[at..at + length], span, guard, operands }
}

/// Ranges of the parts between commas outside of brackets and braces, trimmed.
fn split(text: &str) -> Vec<Range<usize>> {
    let (mut depth, mut start, mut parts) = (0, 0, vec![]);
    for (at, c) in text.char_indices().chain([(text.len(), ',')]) {
        match c {
            '[' | '{' => depth += 1,
            ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                let part = &text[start..at];
                let left = part.len() - part.trim_start().len();
                if !part.trim().is_empty() {
                    parts.push(start + left..start + left + part.trim().len());
                }
                start = at + 1;
            }
            _ => {}
        }
    }
    parts
}

/// The registers and numbers of an operand. An offset behind a register belongs to it.
pub(super) fn tokens(operand: &str) -> Vec<Range<usize>> {
    let mut found = vec![];
    let mut at = 0;
    while let Some(c) = operand[at..].chars().next() {
        let word = operand[at..]
            .find(|c: char| !(c.is_alphanumeric() || "%_.+-$".contains(c)))
            .unwrap_or(operand.len() - at);
        if word == 0 {
            at += c.len_utf8();
            continue;
        }
        let text = &operand[at..at + word];
        let length = text[1..].find(['+', '-']).map_or(text.len(), |n| n + 1);
        found.push(at..at + length);
        at += word;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_scopes_comments_and_labels() {
        let text = ".visible .entry a(.param .u64 x)\n.maxntid 32\n{\n\t.reg .b64 %rd<2>; .reg .pred P1, P2;\n\
                    \t// begin { inline asm\n{\n.reg .b16 t;\nL$1: @!P1 bar.sync 0; /* ; */ st.b32\n[%rd1], \
                    {%r1,\n%r2};\n}\n.loc 1 2 3\n\tret;\n}\n.func (.param .b32 r) f(.param .b32 p)\n{\nret;\n}";
        let code = without_comments(text);
        assert_eq!(code.len(), text.len());
        let all = bodies(&code);
        assert_eq!(
            all.iter().map(|(n, e, _)| (*n, *e)).collect::<Vec<_>>(),
            [("a", true), ("f", false)]
        );
        let body = &code[all[0].2.clone()];
        let widths = declared(body);
        assert_eq!((widths["%rd"], widths["P2"], widths["t"]), (64, 1, 16));
        let found = instructions(body);
        let opcodes: Vec<&str> = found.iter().map(|i| i.opcode).collect();
        assert_eq!(opcodes, ["bar.sync", "st.b32", "ret"]);
        assert_eq!(&body[found[0].guard.clone().unwrap()], "!P1");
        assert_eq!(found[1].operands.len(), 2);
    }
}
