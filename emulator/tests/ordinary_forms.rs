//! Neighbours of the listed forms: what other compilers and people write.

use ptx_emulator::decode;

const FORMS: &str = include_str!("data/ordinary-forms.txt");

#[test]
fn ordinary_forms_decode() {
    let mut failures = vec![];
    for line in FORMS.lines().filter(|line| !line.is_empty()) {
        let text = format!(
            ".version 9.0\n.target sm_100a\n.address_size 64
            .global .b8 str[4]; .const .align 64 .b8 constant[128];
            .func helper(.reg .b32 a) {{ ret; }}
            .func (.param .b32 r) with_result(.param .b32 a) {{ ret; }}
            .entry kernel(.param .align 64 .b8 kernel_param_x[4096]) {{
            .reg .pred %p<9>; .reg .b16 %rs<9>; .reg .b32 %r<99>; .reg .b64 %rd<9>;
            .reg .f32 %f<9>; .reg .f64 %fd<9>; .reg .b128 %q<3>;
            .shared .align 16 .b8 smem[64];
            {line};
            DONE: ret; }}"
        );
        if let Err(why) = decode::program(text.as_bytes()).and_then(|program| program.check()) {
            failures.push(format!("{line}\n    {why}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
