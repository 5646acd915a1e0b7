//! An instruction's words and operands, and which of them a decoder has understood.

use crate::{
    error::Ending,
    parse::{
        ast::{Instruction, Operand},
        malformed, unsupported,
    },
};

/// The type words of instructions.
const TYPES: [&str; 31] = [
    "b8", "b16", "b32", "b64", "b128", "u8", "u16", "u32", "u64", "s8", "s16", "s32", "s64", "f16",
    "f16x2", "bf16", "bf16x2", "tf32", "f32", "f32x2", "f64", "pred", "u16x2", "s16x2", "e4m3",
    "e5m2", "e2m1", "e3m2", "e2m3", "b1", "b1024",
];

pub(super) type Decoded<T> = Result<T, Ending>;

/// One instruction on its way to an [`Op`](super::op::Op). Words are taken one by one, whatever
/// their order; what is left over at the end is refused by name.
pub(super) struct Form<'m, 'a> {
    pub(super) instruction: &'m Instruction<'a>,
    taken: u64,
}

impl<'m, 'a> Form<'m, 'a> {
    pub(super) fn new(instruction: &'m Instruction<'a>) -> Decoded<Self> {
        let form = Form { instruction, taken: 0 };
        if instruction.words.len() > 64 { Err(form.refuse()) } else { Ok(form) }
    }

    /// Takes `word` if it is there.
    pub(super) fn take(&mut self, word: &str) -> bool {
        self.take_if(|candidate| candidate == word).is_some()
    }

    /// Takes the first word left that `accept` likes.
    pub(super) fn take_if(&mut self, accept: impl Fn(&str) -> bool) -> Option<&'a str> {
        let words = self.instruction.words.iter().enumerate();
        let mut left = words.filter(|&(index, _)| self.taken >> index & 1 == 0);
        let (index, word) = left.find(|&(_, word)| accept(word))?;
        self.taken |= 1 << index;
        Some(word)
    }

    /// Takes the first word left that the table knows.
    pub(super) fn choose<T: Copy>(&mut self, table: &[(&str, T)]) -> Option<T> {
        let word = self.take_if(|word| table.iter().any(|&(known, _)| known == word))?;
        table.iter().find(|&&(known, _)| known == word).map(|&(_, value)| value)
    }

    /// Like [`Form::choose`], but one of the table's words must be there.
    pub(super) fn need<T: Copy>(&mut self, table: &[(&str, T)]) -> Decoded<T> {
        self.choose(table).ok_or_else(|| self.refuse())
    }

    /// Takes the next type word.
    pub(super) fn ty(&mut self) -> Decoded<&'a str> {
        self.take_if(|word| TYPES.contains(&word)).ok_or_else(|| self.refuse())
    }

    /// Takes the first word left.
    pub(super) fn next_word(&mut self) -> Option<&'a str> {
        self.take_if(|_| true)
    }

    /// Takes `.v2`, `.v4` or `.v8`; 1 when there is none.
    pub(super) fn vector(&mut self) -> usize {
        self.choose(&[("v2", 2), ("v4", 4), ("v8", 8)]).unwrap_or(1)
    }

    pub(super) fn operands(&self) -> &'m [Operand<'a>] {
        &self.instruction.operands
    }

    pub(super) fn len(&self) -> usize {
        self.instruction.operands.len()
    }

    pub(super) fn operand(&self, index: usize) -> Decoded<&'m Operand<'a>> {
        self.instruction.operands.get(index).ok_or_else(|| {
            let count = self.len();
            self.malformed(format!("operand {} is missing ({count} are given)", index + 1))
        })
    }

    /// Checks the number of operands.
    pub(super) fn count(&self, least: usize, most: usize) -> Decoded<()> {
        if (least..=most).contains(&self.len()) {
            return Ok(());
        }
        let expected = if least == most { least.to_string() } else { format!("{least} to {most}") };
        Err(self.malformed(format!("takes {expected} operands, {} are given", self.len())))
    }

    /// Refuses the words that nobody took.
    pub(super) fn finish(&mut self) -> Decoded<()> {
        let Some(word) = self.next_word() else { return Ok(()) };
        let form = self.instruction.form();
        Err(unsupported(self.instruction.at, format!("modifier '.{word}' in '{form}'")))
    }

    /// The whole form is unknown.
    pub(super) fn refuse(&self) -> Ending {
        unsupported(self.instruction.at, format!("instruction '{}'", self.instruction.form()))
    }

    /// A feature of a known form is not implemented.
    pub(super) fn unsupported(&self, what: impl std::fmt::Display) -> Ending {
        unsupported(self.instruction.at, format!("{what} in '{}'", self.instruction.form()))
    }

    /// The instruction cannot be what it claims.
    pub(super) fn malformed(&self, what: impl std::fmt::Display) -> Ending {
        malformed(self.instruction.at, format!("'{}': {what}", self.instruction.form()))
    }
}
