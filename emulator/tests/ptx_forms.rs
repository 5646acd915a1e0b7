//! Every instruction form that was met in real programs decodes.
//!
//! `data/ptx-forms.tsv` lists forms with sample operands. The samples lack their declarations, and
//! long vectors are shortened in the middle; a sample passes when some declaration of its names,
//! and some length of a shortened vector, make a module that decodes.

use std::collections::{BTreeMap, BTreeSet};

use ptx_emulator::decode;
use ptx_emulator::error::Ending;
use ptx_emulator::run::{Device, Launch, Options};

const FORMS: &str = include_str!("data/ptx-forms.tsv");

/// Ways to declare a name whose type its spelling does not tell.
const DECLARATIONS: [&str; 9] = [
    ".reg .b32 NAME;",
    ".reg .pred NAME;",
    ".reg .b64 NAME;",
    ".reg .b16 NAME;",
    ".reg .b8 NAME;",
    ".reg .b128 NAME;",
    ".reg .v4 .f32 NAME;",
    ".shared .align 16 .b8 NAME[1024];",
    ".param .align 16 .b8 NAME[64];",
];

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte == b'%'
}

/// The names in a sample whose declaration has to be found.
fn open_names(operands: &str) -> BTreeSet<&str> {
    let known = |name: &str| {
        name.starts_with(|first: char| first.is_ascii_digit())
            || name == "_"
            || ["x", "y", "z", "w"].contains(&name)
            || ["%rd", "%rs", "%r", "%f", "%p"].iter().any(|prefix| {
                name.strip_prefix(prefix).is_some_and(|rest| rest.parse::<u32>().is_ok())
            })
            || ["%tid", "%clock64", "__assertfail"].contains(&name)
            || name.starts_with("$L")
            || name.starts_with("JTI")
            || name == "DONE"
            || name.ends_with("_param_x")
    };
    operands
        .split(|c: char| !c.is_ascii() || !is_name(c as u8))
        .filter(|name| !name.is_empty() && !known(name))
        .collect()
}

/// Gives shortened names and vectors their full form; `count` is the length of the vectors.
fn expand(sample: &str, count: usize) -> String {
    let mut text = sample.replace("…", "~");
    if let Some((left, right)) = text.clone().split_once('~')
        && right.trim_start().starts_with('{')
    {
        // The cut took the first vector's end with it.
        text = format!("{left}~}}, {right}");
    }
    if let (Some(open), Some(close)) = (text.find('{'), text.find('}'))
        && text[open..close].contains('~')
    {
        let list: Vec<_> = (0..count).map(|index| format!("%r{}", 2000 + index)).collect();
        text.replace_range(open..=close, &format!("{{{}}}", list.join(", ")));
        return text;
    }
    // A shortened kernel parameter.
    while let Some(cut) = text.find('~') {
        let bytes = text.as_bytes();
        let left =
            bytes[..cut].iter().rposition(|&byte| !is_name(byte) && byte != b' ').unwrap_or(0);
        let right = bytes[cut + 1..]
            .iter()
            .position(|&byte| !is_name(byte) && byte != b' ')
            .map_or(bytes.len(), |right| cut + 1 + right);
        let start = if left == 0 && is_name(bytes[0]) { 0 } else { left + 1 };
        text.replace_range(start..right, " kernel_param_x");
    }
    for name in text.clone().split(|c: char| !is_name(c as u8)) {
        if name.contains("_param_") && name != "kernel_param_x" {
            text = text.replace(name, "kernel_param_x");
        }
    }
    text
}

fn module(form: &str, operands: &str, declarations: &str) -> String {
    let branch = if form.starts_with("brx") { "JTI0_0: .branchtargets DONE;" } else { "" };
    format!(
        ".version 9.0\n.target sm_100a\n.address_size 64\n.global .b8 _str[4];
        .extern .func __assertfail(.param .b64 a, .param .b64 b, .param .b32 c, .param .b64 d, \
        .param .b64 e) .noreturn;
        .visible .entry kernel(.param .align 64 .b8 kernel_param_x[4096]) {{
        .reg .pred %p<1000>; .reg .b16 %rs<1000>; .reg .b32 %r<5000>; .reg .b64 %rd<1000>;
        .reg .f32 %f<8000>;
        {declarations}
        {branch}
        $L__BB0_2:
        {form} {operands};
        DONE: ret;
        }}"
    )
}

/// Tries the ways to declare the open names, one digit per name.
fn decodes(form: &str, sample: &str) -> Result<String, String> {
    let counts: &[usize] = if sample.contains('…') { &[1, 8, 16, 24, 32, 64, 128] } else { &[1] };
    let mut last = String::new();
    for &count in counts {
        let operands = expand(sample, count);
        let names: Vec<_> = open_names(&operands).into_iter().collect();
        // All alike first, then every mixture for the few that there may be.
        let mixtures =
            if names.len() <= 5 { DECLARATIONS.len().pow(names.len() as u32) } else { 0 };
        let alike = (0..DECLARATIONS.len()).map(|choice| vec![choice; names.len()]);
        let mixed = (0..mixtures).map(|mut code| {
            let digit = |_: &&str| {
                let digit = code % DECLARATIONS.len();
                code /= DECLARATIONS.len();
                digit
            };
            names.iter().map(digit).collect()
        });
        for choice in alike.chain(mixed) {
            let declarations: String = names
                .iter()
                .zip(&choice)
                .map(|(name, &choice)| DECLARATIONS[choice].replace("NAME", name))
                .collect();
            let text = module(form, &operands, &declarations);
            match decode::program(text.as_bytes()).and_then(|program| program.check()) {
                Ok(()) => {
                    let start = starting_values(&operands, &declarations);
                    let place = "$L__BB0_2:";
                    return Ok(text.replacen(place, &format!("{start}\n{place}"), 1));
                }
                Err(why) => {
                    if !why.to_string().contains("not declared") || last.is_empty() {
                        last = why.to_string();
                    }
                }
            }
        }
    }
    Err(last)
}

/// Gives every register that a sample names a value, so that nothing stops it but itself.
fn starting_values(operands: &str, declarations: &str) -> String {
    let names: BTreeSet<&str> = operands
        .split(|c: char| !c.is_ascii() || !is_name(c as u8))
        .filter(|name| !name.is_empty())
        .collect();
    let one = |name: &&str| {
        let kinds = [("%rd", "mov.b64"), ("%rs", "mov.b16"), ("%r", "mov.b32"), ("%f", "mov.b32")];
        let numbered = |prefix: &str| {
            name.strip_prefix(prefix).is_some_and(|rest| rest.parse::<u32>().is_ok())
        };
        if numbered("%p") || declarations.contains(&format!(".reg .pred {name};")) {
            return Some(format!("setp.eq.u32 {name}, 0, 0;"));
        }
        if let Some((_, mov)) = kinds.iter().find(|(prefix, _)| numbered(prefix)) {
            return Some(format!("{mov} {name}, 0;"));
        }
        let declared = |ty: &str| declarations.contains(&format!(".reg .{ty} {name};"));
        let width = ["b16", "b32", "b64"].into_iter().find(|ty| declared(ty))?;
        Some(format!("mov.{width} {name}, 0;"))
    };
    names.iter().filter_map(one).collect()
}

/// Runs the module of a sample; `Err` holds what the emulator does not implement. A fault is a
/// verdict about the sample's operands, most of which are zeros, and counts as execution.
fn executes(module: &str) -> Result<(), String> {
    let mut device = Device::new();
    let program = decode::program(module.as_bytes()).map_err(|e| e.to_string())?;
    let params = vec![0; 4096];
    let loaded = device.load(program).map_err(|e| e.to_string())?;
    let launch = Launch {
        entry: "kernel".to_owned(),
        grid: [2, 1, 1],
        block: [128, 1, 1],
        cluster: Some([2, 1, 1]),
        dynamic_shared: 0,
        params,
    };
    let options = Options { instruction_limit: 100_000, ..Options::default() };
    match device.launch(&loaded, &launch, &options) {
        Err(Ending::Unsupported(why)) => Err(why.what),
        Err(Ending::Malformed(why)) => panic!("{why}"),
        Ok(_) | Err(Ending::Fault(_)) => Ok(()),
    }
}

/// The forms that are decoded and refused when they are executed, and why.
const REFUSED: [(&str, &str); 1] = [("brkpt", "brkpt: there is no debugger to stop for")];

#[test]
fn every_form_of_the_list_executes() {
    let (mut forms, mut executed) = (0, 0);
    let mut refused = vec![];
    for line in FORMS.lines().filter(|line| !line.starts_with('#')).skip(1) {
        let columns: Vec<_> = line.split('\t').collect();
        let [form, _, _, _, samples] = columns[..] else { panic!("line {line:?}") };
        forms += 1;
        let reasons: BTreeSet<String> = samples
            .split(" | ")
            .filter_map(|sample| decodes(form, sample.trim().trim_end_matches(';')).ok())
            .filter_map(|module| executes(&module).err())
            .collect();
        executed += usize::from(reasons.is_empty());
        refused.extend(reasons.into_iter().map(|why| (form, why)));
    }
    println!("{forms} forms, {executed} executed");
    let refused: Vec<_> = refused.iter().map(|(form, why)| (*form, why.as_str())).collect();
    assert_eq!(refused, REFUSED);
    assert_eq!((forms, executed), (449, 448));
}

#[test]
fn every_form_of_the_list_decodes() {
    let (mut forms, mut decoded) = (0, 0);
    let mut failures = vec![];
    for line in FORMS.lines().filter(|line| !line.starts_with('#')).skip(1) {
        let columns: Vec<_> = line.split('\t').collect();
        let [form, _, _, _, samples] = columns[..] else { panic!("line {line:?}") };
        forms += 1;
        let mut good = true;
        for sample in samples.split(" | ") {
            let sample = sample.trim().trim_end_matches(';');
            if let Err(why) = decodes(form, sample) {
                good = false;
                failures.push(format!("{form} {sample}\n    {why}"));
            }
        }
        decoded += usize::from(good);
    }
    assert_eq!(forms, 449);
    assert!(failures.is_empty(), "{decoded} of {forms}:\n{}", failures.join("\n"));
}

#[test]
fn evidence_names_every_form_of_the_list() {
    let evidence = include_str!("data/evidence.toml");
    let claims: BTreeMap<&str, bool> = evidence
        .split("[[form]]")
        .skip(1)
        .filter(|entry| entry.contains("listed = true") && entry.contains("decoded = true"))
        .map(|entry| (entry.split('"').nth(1).unwrap(), entry.contains("emulated = true")))
        .collect();
    let lines = FORMS.lines().filter(|line| !line.starts_with('#')).skip(1);
    let listed: BTreeMap<&str, bool> = lines
        .map(|line| line.split('\t').next().unwrap())
        .map(|form| (form, REFUSED.iter().all(|(refused, _)| *refused != form)))
        .collect();
    assert_eq!(claims, listed);
}

#[test]
fn the_order_of_the_words_does_not_matter() {
    for text in [
        "stmatrix.sync.aligned.x4.m8n8.shared.b16.trans [%r1], {%r2, %r3, %r4, %r5}",
        "mbarrier.try_wait.parity.shared::cta.acquire.cta.b64 %p1, [%r1], %r2",
        "tcgen05.mma.kind::f16.cta_group::1 [%r1], %rd1, %rd2, %r2, %p1",
        "ld.v4.global.b32 {%r1, %r2, %r3, %r4}, [%rd1]",
    ] {
        let (form, operands) = text.split_once(' ').unwrap();
        decode::program(module(form, operands, "").as_bytes()).unwrap().check().unwrap();
    }
}

#[test]
fn unknown_words_are_refused_by_name_and_line() {
    for (form, operands, named) in [
        ("add.s32.blue", "%r1, %r2, %r3", "'.blue'"),
        ("frobnicate.u32", "%r1", "'frobnicate.u32'"),
        ("mul.rn.e5.f32", "%f1, %f2, %f3", "'.e5'"),
        ("tcgen05.mma.cta_group::1.kind::mxf9", "[%r1], %rd1, %rd2, %r2, %p1", "kind::mxf9"),
        ("ld.global.purple.b32", "%r1, [%rd1]", "'.purple'"),
        ("fence.proxy.secret", "", "fence.proxy.secret"),
    ] {
        let program = decode::program(module(form, operands, "").as_bytes()).unwrap();
        match program.check() {
            Err(Ending::Unsupported(why)) => {
                assert!(why.what.contains(named), "{form}: {}", why.what);
                assert_eq!(why.line, 12, "{form}");
            }
            other => panic!("{form}: {other:?}"),
        }
    }
}

#[test]
fn wrong_operands_are_malformed() {
    for (form, operands) in [
        ("add.s32", "%r1, %r2"),
        ("add.s32", "%r1, %r2, %rd1"),
        ("add.s32", "%r1, %r2, %p1"),
        ("add.s32", "%r1, %r2, %nothing"),
        ("add.s32", "7, %r2, %r3"),
        ("bra", "NOWHERE"),
        ("ld.global.v4.b32", "{%r1, %r2}, [%rd1]"),
        ("st.global.b32", "[%rs1], %r1"),
        ("mov.b64", "{%r1, %r2, %r3}, %rd1"),
        ("setp.eq.s32", "%r1, %r2, %r3"),
        ("tcgen05.ld.sync.aligned.32x32b.x4.b32", "{%r1, %r2, %r3}, [%r4]"),
        ("setmaxnreg.dec.sync.aligned.u32", "41"),
        ("cvt.s32.f32", "%r1, %f1"),
        (
            "cp.async.bulk.tensor.2d.shared::cta.global.tile.mbarrier::complete_tx::bytes",
            "[%r1], [%rd1, {%r2}], [%r3]",
        ),
    ] {
        match decode::program(module(form, operands, "").as_bytes()) {
            Err(Ending::Malformed(why)) => assert!(why.place.starts_with("line 12"), "{why}"),
            other => panic!("{form} {operands}: {other:?}"),
        }
    }
}
