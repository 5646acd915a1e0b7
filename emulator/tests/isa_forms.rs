//! The forms of the ISA's instruction chapters: which run, which are refused by name.
//!
//! `data/isa-forms.txt` has a pattern a line. Each form stands alone in a small kernel whose registers
//! hold something; that it runs means that nothing about it is unsupported. Most operands are zeros,
//! so a fault, which is a verdict about them, counts as running.

use ptx_emulator::decode;
use ptx_emulator::error::Ending;
use ptx_emulator::run::{Device, Launch, Options};
use rayon::prelude::*;

const FORMS: &str = include_str!("data/isa-forms.txt");

/// All ways to choose from the `<a|b>` of a pattern; `\|` is a bar inside of one.
fn expand(pattern: &str) -> Vec<String> {
    let Some(open) = pattern.find('<') else { return vec![pattern.replace("\\|", "|")] };
    let close = open + pattern[open..].find('>').expect("a closing bracket");
    let inner = pattern[open + 1..close].replace("\\|", "\0");
    let rest = expand(&pattern[close + 1..]);
    let mut all = vec![];
    for choice in inner.split('|') {
        let start = format!("{}{}", &pattern[..open], choice.replace('\0', "|"));
        all.extend(rest.iter().map(|rest| format!("{start}{rest}")));
    }
    all
}

/// The operands that stand for something in particular.
fn operands(form: &str) -> String {
    let named = [
        ("G", "%rd8"),
        ("S", "%r40"),
        ("GS", "%rd9"),
        ("M", "%r41"),
        ("GM", "%rd13"),
        ("T", "%rd14"),
        ("D", "%rd15"),
        ("IF16", "%r42"),
        ("ISP", "%r43"),
        ("IMX", "%r44"),
    ];
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_$%.:".contains(c);
    let mut text = String::new();
    let mut rest = form;
    while let Some(start) = rest.find(is_name) {
        text.push_str(&rest[..start]);
        let end = rest[start..].find(|c| !is_name(c)).map_or(rest.len(), |length| start + length);
        let name = &rest[start..end];
        let found = named.iter().find(|(known, _)| *known == name);
        text.push_str(found.map_or(name, |(_, register)| register));
        rest = &rest[end..];
    }
    text + rest
}

fn module(form: &str) -> String {
    let mut values = String::new();
    for i in 0..9 {
        values += &format!(
            "mov.b16 %h{i}, {i}; mov.b32 %r{i}, {i}; mov.b64 %rd{}, {i}; cvt.rn.f32.u32 %f{i}, %r{i};
            mov.f64 %fd{i}, 0d3FF0000000000000; setp.eq.u32 %p{i}, %r{i}, 3;",
            i.min(7)
        );
    }
    format!(
        ".version 9.1\n.target sm_100a\n.address_size 64
        .global .b8 str[4]; .const .align 64 .b8 constant[128];
        .func helper(.param .b32 a) {{ ret; }}
        .func (.param .b32 r) with_result(.param .b32 a) {{ .reg .b32 %t; ld.param.b32 %t, [a];
            st.param.b32 [r], %t; ret; }}
        .entry kernel(.param .align 64 .b8 kernel_param_x[128], .param .u64 buffer) {{
        .reg .pred %p<9>; .reg .b16 %h<9>; .reg .b32 %r<48>; .reg .b64 %rd<16>;
        .reg .f32 %f<9>; .reg .f64 %fd<9>; .reg .b128 %q<3>;
        .shared .align 1024 .b8 smem[2048]; .shared .align 8 .b64 bar; .local .align 8 .b8 depot[64];
        {values}
        mov.b128 %q1, {{%rd1, %rd2}}; mov.b128 %q2, {{%rd1, %rd2}};
        ld.param.u64 %rd8, [buffer]; mov.u32 %r40, smem; mov.u64 %rd9, smem;
        cvta.shared.u64 %rd9, %rd9; mov.u32 %r41, bar; mov.u64 %rd13, bar;
        cvta.shared.u64 %rd13, %rd13; mov.u64 %rd14, kernel_param_x; cvta.param.u64 %rd14, %rd14;
        mov.u64 %rd15, 0; mov.u32 %r42, 0x08040010; mov.u32 %r43, 0x08040014; mov.u32 %r44, 0;
        proto: .callprototype _ (.param .b32 _); targets: .calltargets helper;
        list: .branchtargets DONE;
        {};
        DONE: ret; }}",
        operands(form)
    )
}

/// `Err` holds what is not supported; a malformed form is a mistake of the list.
fn run(form: &str) -> Result<(), String> {
    let program = match decode::program(module(form).as_bytes()) {
        Ok(program) => program,
        Err(why) => return Err(format!("refused before it is executed: {why}")),
    };
    let mut device = Device::new();
    let loaded = device.load(program).map_err(|why| why.to_string())?;
    let buffer = device.memory.allocate("buffer", 4096, 4096);
    device.memory.upload(buffer, &[0; 4096]);
    let mut params = vec![0; 128];
    params.extend(buffer.to_le_bytes());
    let launch = Launch {
        entry: "kernel".to_owned(),
        grid: [1; 3],
        block: [128, 1, 1],
        cluster: None,
        dynamic_shared: 0,
        params,
    };
    let options = Options { instruction_limit: 100_000, ..Options::default() };
    match device.launch(&loaded, &launch, &options) {
        Ok(_) | Err(Ending::Fault(_)) => Ok(()),
        Err(other) => Err(other.to_string()),
    }
}

#[test]
fn every_form_runs_or_is_refused_by_name() {
    let mut forms = vec![];
    for line in FORMS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let refused = line.strip_prefix("! ").and_then(|rest| rest.split_once(" | "));
        let (reason, pattern) = refused.map_or((None, line), |(why, form)| (Some(why), form));
        forms.extend(expand(pattern).into_iter().map(|form| (reason, form)));
    }
    let failures: Vec<String> = forms
        .par_iter()
        .filter_map(|(reason, form)| match (run(form), reason) {
            (Ok(()), None) => None,
            (Ok(()), Some(reason)) => {
                Some(format!("{form}\n    runs; listed as refused: {reason}"))
            }
            (Err(why), Some(reason)) if why.starts_with("unsupported") && why.contains(reason) => {
                None
            }
            (Err(why), _) => Some(format!("{form}\n    {why}")),
        })
        .collect();
    let ran = forms.iter().filter(|(reason, _)| reason.is_none()).count();
    println!("{ran} forms run, {} are refused", forms.len() - ran);
    assert!(forms.len() > 3000, "{}", forms.len());
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), forms.len(), failures.join("\n"));
}
