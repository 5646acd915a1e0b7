//! Text that is cut off, damaged or not PTX at all: an ending that says where, never a panic.

use proptest::prelude::*;
use ptx_emulator::{decode, error::Ending};

const SAMPLE: &str = include_str!("data/ptx/syntax.ptx");
const FORMS: &str = include_str!("data/ptx-forms.tsv");

#[test]
fn the_sample_decodes() {
    let program = decode::program(SAMPLE.as_bytes()).unwrap();
    program.check().unwrap();
    let kernel = program.kernel("kernel").unwrap().unwrap();
    assert_eq!(kernel.params.len(), 3);
    assert_eq!((kernel.params[1].offset, kernel.params[1].size), (64, 128));
    assert_eq!(kernel.param_bytes, 196);
    assert_eq!(kernel.launch.max_threads, Some([128, 1, 1]));
    assert_eq!(kernel.launch.required_cluster, Some([2, 1, 1]));
    assert!(kernel.launch.explicit_cluster);
    assert_eq!(kernel.local_bytes, 16);
    let bodies: Vec<_> = kernel.bodies.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(bodies, ["kernel", "helper"]);
    let table = &program.globals[0];
    assert_eq!(table.init[..8], [1, 0, 0, 0, 7, 0, 0, 0]);
    assert_eq!(program.globals[2].relocations[0].addend, 4);
}

#[test]
fn every_truncation_ends_well() {
    for end in 0..SAMPLE.len() {
        match decode::program(&SAMPLE.as_bytes()[..end]) {
            Ok(program) => drop(program.check()),
            Err(Ending::Malformed(why)) => assert!(!why.place.is_empty()),
            Err(other) => panic!("cut at {end}: {other}"),
        }
    }
}

#[test]
fn files_that_are_not_ptx_are_malformed() {
    let elf: Vec<u8> = b"\x7fELF\x02\x01\x01".iter().copied().chain(0..=255).collect();
    for bytes in
        [&elf[..], b"", b"\0\0\0", b"#include <stdio.h>\n", b"{}", b".version", b"\xff\xfe"]
    {
        assert!(matches!(decode::program(bytes), Err(Ending::Malformed(_))), "{bytes:?}");
    }
}

#[test]
fn greedy_declarations_take_no_memory() {
    let module = |body: &str| format!(".version 8.8 .target sm_90 .entry k() {{ {body} }}");
    // A register exists when it is first named.
    let many = module(".reg .b32 %r<16000000>; mov.b32 %r15999999, 1;");
    let program = decode::program(many.as_bytes()).unwrap();
    assert_eq!(program.kernel("k").unwrap().unwrap().slots, 1);
    for body in [
        ".local .b8 x[99999999999];",
        ".shared .b8 x[4000000000];",
        ".reg .b32 %r<99999999>;",
        ".local .b8 x[4294967296][4294967296];",
    ] {
        let ended = decode::program(module(body).as_bytes()).and_then(|program| program.check());
        assert!(ended.is_err(), "{body}");
    }
    let rows = ".version 8.8 .target sm_90 .global .b8 x[9][1000000000] = {{1},{1},{1}};";
    assert!(decode::program(rows.as_bytes()).is_err());
}

/// The operand texts of the list of forms, and some that fit nowhere.
fn operands() -> Vec<&'static str> {
    let mut operands: Vec<_> = FORMS
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split('\t').nth(4))
        .flat_map(|samples| samples.split(" | "))
        .map(|sample| sample.trim().trim_end_matches(';'))
        .filter(|sample| !sample.contains('…'))
        .collect();
    operands.extend(["", "_", "{}", "[]", "[%r1, {}]", "()", "%r1|%r2", "!%p1", "-1", "1e999"]);
    operands
}

fn words() -> Vec<&'static str> {
    let mut words: Vec<_> = FORMS
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split('\t').next())
        .flat_map(|form| form.split('.'))
        .collect();
    words.sort_unstable();
    words.dedup();
    words
}

fn forms() -> Vec<&'static str> {
    FORMS
        .lines()
        .filter(|line| !line.starts_with('#'))
        .skip(1)
        .filter_map(|line| line.split('\t').next())
        .collect()
}

fn module(instruction: &str) -> String {
    format!(
        ".version 9.0 .target sm_100a .global .b8 str[4]; .shared .align 16 .b8 smem[64];
        .entry kernel(.param .align 64 .b8 kernel_param_x[4096]) {{
        .reg .pred %p<1000>; .reg .b16 %rs<1000>; .reg .b32 %r<5000>; .reg .b64 %rd<1000>;
        .reg .f32 %f<8000>; .reg .b128 %clc_handle; .reg .v4 .f32 abcd;
        {instruction}; }}"
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_form_with_any_operands(
        form in prop::sample::select(forms()),
        operands in prop::collection::vec(prop::sample::select(operands()), 0..3))
    {
        let text = module(&format!("{form} {}", operands.join(", ")));
        let _ = decode::program(text.as_bytes()).and_then(|program| program.check());
    }

    #[test]
    fn any_words_with_any_operands(
        words in prop::collection::vec(prop::sample::select(words()), 1..8),
        operands in prop::sample::select(operands()))
    {
        let text = module(&format!("{} {operands}", words.join(".")));
        let _ = decode::program(text.as_bytes()).and_then(|program| program.check());
    }

    #[test]
    fn a_damaged_byte(at in 0..SAMPLE.len(), byte in any::<u8>()) {
        let mut bytes = SAMPLE.as_bytes().to_vec();
        bytes[at] = byte;
        let _ = decode::program(&bytes).and_then(|program| program.check());
    }

    #[test]
    fn a_lost_line(lost in 0..SAMPLE.lines().count()) {
        let kept: Vec<_> =
            SAMPLE.lines().enumerate().filter(|(line, _)| *line != lost).map(|(_, l)| l).collect();
        let _ = decode::program(kept.join("\n").as_bytes()).and_then(|program| program.check());
    }
}
