//! The parser on text as compilers write it, and on text that is not PTX.

use proptest::prelude::*;

use super::{
    ast::{Constant, Init, Item, Operand, Statement},
    parse, parse_bytes,
};
use crate::error::Ending;

const SAMPLE: &str = include_str!("../../tests/data/ptx/syntax.ptx");

fn place(text: &str) -> String {
    match parse(text) {
        Err(Ending::Malformed(why)) => why.place,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_sample_parses_whole() {
    let module = parse(SAMPLE).unwrap();
    assert_eq!(module.version, (8, 8));
    assert_eq!(module.target, ["sm_100a", "debug"]);
    let names: Vec<_> = module
        .items
        .iter()
        .map(|item| match item {
            Item::Variable(variable) => variable.name,
            Item::Function(function) => function.name,
            Item::Alias { name, .. } => name,
        })
        .collect();
    assert_eq!(
        names,
        ["table", "text", "pointers", "smem", "__assertfail", "helper", "again", "kernel"]
    );
    let Item::Variable(table) = &module.items[0] else { panic!() };
    let Some(Init::List(values)) = &table.init else { panic!() };
    assert_eq!(values[1], Init::Value(Constant::Int(7)), "1 << 2 | 3");
    assert_eq!(values[2], Init::Value(Constant::Int((-2i64) as u64)));
    let Item::Variable(pointers) = &module.items[2] else { panic!() };
    let Some(Init::List(values)) = &pointers.init else { panic!() };
    let target = Constant::Symbol { name: "table", offset: 4, generic: true };
    assert_eq!(values[0], Init::Value(target));
}

#[test]
fn operands_keep_their_looks() {
    let text = ".version 8.8 .target sm_90 .entry k() {
        @!%p1 foo.a.b::c {%r1, _}, [%rd1+-4], x|y, !p, -3, 0f3F800000, [t, {1, %r2}], %tid.x, s+8;
        }";
    let module = parse(text).unwrap();
    let Item::Function(kernel) = &module.items[0] else { panic!() };
    let Statement::Instruction(instruction) = &kernel.body.as_ref().unwrap()[0] else { panic!() };
    assert_eq!(instruction.guard, Some(("%p1", true)));
    assert_eq!(instruction.form(), "foo.a.b::c");
    assert_eq!(instruction.at.line, 2);
    let operands = &instruction.operands;
    assert_eq!(operands[0], Operand::Vector(vec![Operand::Name("%r1"), Operand::Sink]));
    let Operand::Address(address) = &operands[1] else { panic!() };
    assert_eq!((&address.base, address.offset), (&Some(Operand::Name("%rd1")), -4));
    assert!(matches!(&operands[2], Operand::Pair(a, b)
        if **a == Operand::Name("x") && **b == Operand::Name("y")));
    assert_eq!(operands[3], Operand::Not(Box::new(Operand::Name("p"))));
    assert_eq!(operands[4], Operand::Constant(Constant::Int(-3i64 as u64)));
    assert_eq!(operands[5], Operand::Constant(Constant::Single(0x3f80_0000)));
    let Operand::Address(address) = &operands[6] else { panic!() };
    assert_eq!(address.rest.len(), 1);
    assert_eq!(operands[7], Operand::Member("%tid", "x"));
    let symbol = Constant::Symbol { name: "s", offset: 8, generic: false };
    assert_eq!(operands[8], Operand::Constant(symbol));
}

#[test]
fn errors_name_the_place() {
    assert_eq!(place(""), "line 1, column 1");
    assert_eq!(place(".version 8.8\n.target sm_90\n  hello"), "line 3, column 3");
    assert_eq!(place(".version 8.8\n.target sm_90\n/* no end"), "line 3, column 1");
    assert_eq!(place(".version 8.8 .target sm_90 .reg .b32 %r<99999999>;"), "line 1, column 41");
    let Err(Ending::Malformed(why)) = parse_bytes(b".version 8.8\n\x7f\xff") else { panic!() };
    assert_eq!(why.place, "line 2, column 2");
}

#[test]
fn nesting_is_bounded() {
    for open in ["{", "("] {
        let text =
            format!(".version 8.8 .target sm_90 .entry k() {{ foo {} ", open.repeat(100_000));
        assert!(matches!(parse(&text), Err(Ending::Malformed(_))), "{open}");
    }
    let scopes = format!(".version 8.8 .target sm_90 .entry k() {}", "{".repeat(100_000));
    assert!(matches!(parse(&scopes), Err(Ending::Malformed(_))));
    let signs = format!(".version 8.8 .target sm_90 .global .b32 x = {}1;", "-".repeat(100_000));
    assert!(matches!(parse(&signs), Err(Ending::Malformed(_))));
}

#[test]
fn every_truncation_is_malformed_or_whole() {
    // Cut after a complete item, the rest is a shorter module; anywhere else it is an error.
    let mut whole = 0;
    for end in 0..SAMPLE.len() {
        match parse(&SAMPLE[..end]) {
            Ok(_) => whole += 1,
            Err(Ending::Malformed(_)) => {}
            Err(other) => panic!("cut at {end}: {other}"),
        }
    }
    assert!(whole < SAMPLE.len() / 4, "{whole} of {} cuts parse", SAMPLE.len());
}

proptest! {
    #[test]
    fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse_bytes(&bytes);
    }

    #[test]
    fn token_soup_never_panics(words in prop::collection::vec(
        prop::sample::select(vec![
            ".version", "8.8", ".target", "sm_90", ".entry", "k", "(", ")", "{", "}", ";", ",",
            "add", ".s32", "%r1", "[", "]", "+", "-", "1", "0f", "0x", "!", "@", "|", ":", "<",
            ">", ".reg", ".b32", "=", "\"s\"", "call", "%", ".", "_", "~", "?", ".loc", "\n",
        ]), 0..60))
    {
        let text = format!(".version 8.8 .target sm_90 {}", words.join(" "));
        let _ = parse(&text);
        let text = format!(".version 8.8 .target sm_90 .entry k() {{ {} }}", words.join(" "));
        let _ = parse(&text);
    }

    #[test]
    fn a_changed_byte_never_panics(at in 0..SAMPLE.len(), byte in any::<u8>()) {
        let mut bytes = SAMPLE.as_bytes().to_vec();
        bytes[at] = byte;
        let _ = parse_bytes(&bytes);
    }
}
