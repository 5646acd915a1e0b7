//! Every wrapper of the device crate is the one PTX instruction that its documentation names.
//!
//! The wrappers' probes are compiled by `cargo xtask build-ptx`, which commits their PTX (and
//! `build-ptx --check` keeps it fresh). Here each probe's inline assembly is compared with the
//! `PTX:` line of the wrapper's documentation.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Every target's probes: those of the wrappers that its kernels use and no earlier target has.
const GOLDEN: [&str; 2] =
    [include_str!("data/golden/probes_sm_100f.ptx"), include_str!("data/golden/probes_sm_90a.ptx")];

/// Wrapper name → its documented PTX, read from the sources.
fn documented() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../device/src/ptx");
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let mut ptx = None;
            for line in fs::read_to_string(&path).unwrap().lines() {
                if let Some(text) = line.strip_prefix("/// PTX: `") {
                    ptx = Some(text.trim_end_matches('`').to_owned());
                }
                if line.starts_with("pub ")
                    && let Some((_, rest)) = line.split_once(" fn ")
                {
                    let name = rest.split(['(', '<']).next().unwrap().to_owned();
                    let ptx = ptx.take().unwrap_or_else(|| panic!("{name} documents no PTX"));
                    found.insert(name, ptx);
                }
            }
        }
    }
    found
}

/// Probe name without its prefix → the lines of inline assembly in it.
fn probes() -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let (mut name, mut inside) = (String::new(), false);
    for line in GOLDEN.iter().flat_map(|golden| golden.lines()) {
        if let Some(entry) = line.strip_prefix(".visible .entry probe_") {
            name = entry.trim_end_matches(['(', ')']).to_owned();
            found.entry(name.clone()).or_default();
        }
        match line.trim() {
            "// begin inline asm" => inside = true,
            "// end inline asm" => inside = false,
            text if inside => found.get_mut(&name).unwrap().push(text.to_owned()),
            _ => {}
        }
    }
    found
}

/// The instructions of a line: without the scope, the declaration of a predicate, and the moves
/// between predicate and register that Rust's operands need.
fn instructions(line: &str) -> Vec<String> {
    let line = line.split("//").next().unwrap();
    // The scope's braces stand alone; those of a vector touch its registers.
    let line = line.trim().strip_prefix("{ ").unwrap_or(line).trim();
    let line = line.strip_suffix(" }").unwrap_or(line);
    let all = line.split(';').map(str::trim).filter(|text| !text.is_empty());
    let helper = |text: &&str| {
        text.starts_with(".reg .pred p")
            || text.starts_with("setp.ne.b32 p,")
            || text.starts_with("selp.b32") && text.ends_with("1, 0, p")
    };
    all.filter(|text| !helper(text)).map(str::to_owned).collect()
}

/// An instruction's mnemonic, names and punctuation, one after another.
fn tokens(instruction: &str) -> Vec<String> {
    // A range such as `d0, …, d7` stands for the registers between.
    let text = instruction.trim_end_matches(';');
    let text = match text.split_once("d0, …, d") {
        Some((before, rest)) => {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let last: usize = rest[..digits].parse().expect("a range ends in a number");
            format!("{before}{}{}", vec!["d"; last + 1].join(", "), &rest[digits..])
        }
        None => text.to_owned(),
    };
    let (mnemonic, operands) = text.split_once(' ').unwrap_or((&text, ""));
    let mut tokens = vec![mnemonic.to_owned()];
    let mut name = String::new();
    for c in operands.chars().chain([' ']) {
        if c.is_alphanumeric() || "%_-.".contains(c) {
            name.push(c);
            continue;
        }
        if !name.is_empty() {
            tokens.push(std::mem::take(&mut name));
        }
        if c != ' ' {
            tokens.push(c.to_string());
        }
    }
    tokens
}

/// Whether an instruction is what the documentation says. A plain name there stands for any
/// register or immediate; special registers, numbers, symbols with `_` and punctuation for
/// themselves.
fn is_documented(instruction: &str, documented: &str) -> bool {
    let (found, wanted) = (tokens(instruction), tokens(documented));
    found.len() == wanted.len()
        && found[0] == wanted[0]
        && found[1..].iter().zip(&wanted[1..]).all(|(found, wanted)| {
            let plain = wanted.chars().all(char::is_alphanumeric)
                && wanted.starts_with(char::is_alphabetic);
            let operand = found.starts_with(|c: char| c.is_alphanumeric() || c == '%');
            found == wanted || plain && operand
        })
}

#[test]
fn every_wrapper_is_its_documented_instruction() {
    let probes = probes();
    let documented = documented();
    assert!(documented.len() > 30, "the sources were not found");
    for (name, ptx) in &documented {
        let lines = probes.get(name).unwrap_or_else(|| panic!("{name} has no probe"));
        let found: Vec<String> = lines.iter().flat_map(|line| instructions(line)).collect();
        assert_eq!(found.len(), 1, "{name} is not one instruction: {found:?}");
        assert!(is_documented(&found[0], ptx), "{name}: {found:?} is not {ptx}");
    }
    for name in probes.keys() {
        assert!(documented.contains_key(name), "the probe {name} belongs to no wrapper");
    }
}

#[test]
fn the_comparison_tells_instructions_apart() {
    assert_eq!(
        instructions("{ .reg .pred p; elect.sync _|p, -1; selp.b32 %r1, 1, 0, p; }").len(),
        1
    );
    assert_eq!(instructions("mov.u32 %r1, %tid.x; mov.u32 %r2, %tid.y;").len(), 2);
    assert!(is_documented("min.f32 %r1, %r2, %r3;", "min.f32 d, a, b;"));
    for (instruction, documented) in [
        ("ld.shared.b32 %r1, [%r2];", "ld.shared.b32 d, addr;"),
        ("min.f32 %r1, %r2, %r3;", "max.f32 d, a, b;"),
        ("fma.rn.f32 %r1, %r2, %r3;", "fma.rn.f32 d, a, b, c;"),
        ("mov.u32 %r1, %ctaid.y;", "mov.u32 d, %ctaid.x;"),
        ("shfl.sync.idx.b32 %r1, %r2, %r3, 15, -1;", "shfl.sync.idx.b32 d, a, lane, 31, -1;"),
    ] {
        assert!(!is_documented(instruction, documented), "{instruction} passes for {documented}");
    }
}
