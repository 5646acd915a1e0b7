//! What names mean: registers, variables and labels in nested scopes.

use std::collections::HashMap;

use super::op::{Pred, Slot, Symbol, Width};

/// What a name stands for inside a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entity {
    /// A register.
    Register(Register),
    /// A predicate register.
    Predicate(Pred),
    /// A `.v2`/`.v4` register: `count` registers in a row.
    Vector { first: Slot, element: Width, count: u32 },
    /// A variable, with its size.
    Variable { symbol: Symbol, size: u64 },
}

/// Registers (predicates without a width) declared as one, numbered from zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) width: Option<Width>,
    pub(super) count: u32,
}

/// A register's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Register {
    pub(super) slot: Slot,
    pub(super) width: Width,
}

/// One `{ … }`.
#[derive(Default)]
pub(super) struct Scope<'a> {
    pub(super) names: HashMap<&'a str, Entity>,
    /// `%r<N>` by its prefix, apart from the names: `a` and `a<2>` are different registers. Its
    /// members become registers when they are first met.
    pub(super) ranges: HashMap<&'a str, Range>,
    /// Labels, by number.
    pub(super) labels: HashMap<&'a str, u32>,
    /// `.branchtargets` lists.
    pub(super) targets: HashMap<&'a str, Vec<&'a str>>,
    /// `.calltargets` and `.callprototype`.
    pub(super) calls: HashMap<&'a str, CallList<'a>>,
}

/// What is said of the functions that a call through a register may reach.
#[derive(Clone)]
pub(super) enum CallList<'a> {
    /// Their names.
    Targets(Vec<&'a str>),
    /// The sizes of their results and parameters.
    Prototype(Box<[u32]>, Box<[u32]>),
}

/// All ways to read a name as a range's prefix and a number: `%r12` is `%r1` and 2, or `%r` and 12.
/// A number has no leading zeros.
pub(super) fn members(name: &str) -> impl Iterator<Item = (&str, u32)> {
    let digits = name.bytes().rev().take_while(u8::is_ascii_digit).count();
    (1..=digits.min(8)).filter_map(move |count| {
        let (prefix, number) = name.split_at(name.len() - count);
        let canonical = !prefix.is_empty() && (count == 1 || !number.starts_with('0'));
        if canonical { Some((prefix, number.parse().ok()?)) } else { None }
    })
}

/// The width of a register of that type word.
pub(super) fn register_width(ty: &str) -> Option<Width> {
    Some(match ty {
        "b8" | "u8" | "s8" => Width::B8,
        "b16" | "u16" | "s16" | "f16" | "bf16" | "e4m3x2" | "e5m2x2" => Width::B16,
        "b32" | "u32" | "s32" | "f32" | "f16x2" | "bf16x2" | "tf32" => Width::B32,
        "b64" | "u64" | "s64" | "f64" | "f32x2" => Width::B64,
        "b128" => Width::B128,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::members;

    #[test]
    fn members_of_ranges() {
        assert_eq!(members("%r12").collect::<Vec<_>>(), [("%r1", 2), ("%r", 12)]);
        assert_eq!(members("%r10").collect::<Vec<_>>(), [("%r1", 0), ("%r", 10)]);
        assert_eq!(members("%r07").collect::<Vec<_>>(), [("%r0", 7)]);
        assert_eq!(members("%tid").count(), 0);
        assert_eq!(members("7").count(), 0);
    }
}
