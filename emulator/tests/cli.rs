//! The command line from outside: exit status, the one line on stderr, JSON, outputs.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// Each thread stores 2·x[i] + 1 to y[i]; threads beyond n store nothing.
const SCALE: &str = r#"
.version 8.8
.target sm_90
.address_size 64
.visible .entry scale(.param .u64 x, .param .u64 y, .param .u32 n)
{
    .reg .pred %p<2>;
    .reg .b32 %r<8>;
    .reg .b64 %rd<8>;
    ld.param.u64 %rd1, [x];
    ld.param.u64 %rd2, [y];
    ld.param.u32 %r1, [n];
    mov.u32 %r2, %ctaid.x;
    mov.u32 %r3, %ntid.x;
    mov.u32 %r4, %tid.x;
    mad.lo.s32 %r5, %r2, %r3, %r4;
    setp.ge.u32 %p1, %r5, %r1;
    @%p1 bra done;
    mul.wide.u32 %rd3, %r5, 4;
    add.s64 %rd4, %rd1, %rd3;
    add.s64 %rd5, %rd2, %rd3;
    ld.global.u32 %r6, [%rd4];
    mad.lo.s32 %r7, %r6, 2, 1;
    st.global.u32 [%rd5], %r7;
done:
    ret;
}
"#;

/// Every thread stores its number to the same word: what remains is the scheduler's choice.
const LAST_ONE_WINS: &str = r#"
.version 8.8
.target sm_90
.address_size 64
.visible .entry last(.param .u64 y)
{
    .reg .b32 %r<2>;
    .reg .b64 %rd<2>;
    ld.param.u64 %rd1, [y];
    mov.u32 %r1, %tid.x;
    st.volatile.global.u32 [%rd1], %r1;
    ret;
}
"#;

struct Case {
    folder: TempDir,
}

impl Case {
    /// A folder with a PTX file and a launch file.
    fn new(ptx: &str, launch: &str) -> Case {
        let case = Case { folder: tempfile::tempdir().expect("a temporary folder") };
        case.write("kernel.ptx", ptx.as_bytes());
        case.write("launch.json", launch.as_bytes());
        let x: Vec<u8> = (0..64u32).flat_map(u32::to_le_bytes).collect();
        case.write("x.bin", &x);
        case
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path().join(name), bytes).expect("writing into the folder");
    }

    fn run(&self, options: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_ptx-emulator"))
            .arg("run")
            .arg(self.path().join("launch.json"))
            .args(options)
            .output()
            .expect("starting ptx-emulator")
    }

    /// Runs, and checks the status and the line on stderr.
    fn ends(&self, options: &[&str], code: i32, needles: &[&str]) -> Output {
        let output = self.run(options);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "stderr: {stderr}");
        assert_eq!(stderr.lines().count(), usize::from(code != 0), "one line: {stderr}");
        for needle in needles {
            assert!(stderr.contains(needle), "`{needle}` in: {stderr}");
        }
        output
    }
}

fn launch(extra_params: &str) -> String {
    format!(
        r#"{{ "target": "sm_90a", "modules": {{ "m": "kernel.ptx" }},
        "buffers": {{ "x": {{ "bytes": 256, "file": "x.bin" }}, "y": {{ "bytes": 256 }} }},
        "launches": [ {{ "module": "m", "entry": "scale", "grid": [2, 1, 1], "block": [32, 1, 1],
            "params": [ {{ "buffer": "x" }}, {{ "buffer": "y" }}, {extra_params} ] }} ],
        "outputs": {{ "y": "y.bin" }}, "seed": 3 }}"#
    )
}

#[test]
fn a_good_run_writes_its_output_and_nothing_else() {
    let case = Case::new(SCALE, &launch(r#"{ "u32": 64 }"#));
    let output = case.ends(&[], 0, &[]);
    assert!(output.stdout.is_empty());
    let want: Vec<u8> = (0..64u32).flat_map(|i| (2 * i + 1).to_le_bytes()).collect();
    assert_eq!(std::fs::read(case.path().join("y.bin")).expect("the output"), want);
    let mut names: Vec<_> = std::fs::read_dir(case.path())
        .expect("the folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .collect();
    names.sort();
    assert_eq!(names, ["kernel.ptx", "launch.json", "x.bin", "y.bin"]);
}

#[test]
fn json_and_stats() {
    let case = Case::new(SCALE, &launch(r#"{ "u32": 60 }"#));
    let output = case.ends(&["--json", "--stats", "--seeds", "4"], 0, &[]);
    let object: Value = serde_json::from_slice(&output.stdout).expect("a JSON object");
    assert_eq!(object["status"], "ok");
    assert_eq!(object["buffers"][0]["name"], "y");
    assert_eq!(object["buffers"][0]["unwritten_bytes"], 16);
    assert_eq!(object["launches"][0]["entry"], "scale");
    // All 64 threads: eight instructions and the return. Four take the branch, the others do six
    // more; a false guard does not count.
    assert_eq!(object["launches"][0]["instructions"], 64 * 9 + 4 + 60 * 6);
    let output = case.ends(&["--stats"], 0, &[]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("instructions"));
}

#[test]
fn a_fault_names_line_cta_warp_lane_and_address() {
    // The 65th thread's element lies past the end of x.
    let text = launch(r#"{ "u32": 96 }"#).replace("[2, 1, 1]", "[3, 1, 1]");
    let case = Case::new(SCALE, &text);
    let line = 1 + SCALE.lines().position(|l| l.contains("ld.global")).expect("the load");
    let at = format!("line {line}, CTA (2,0,0), warp 0, lane 0");
    let output = case.ends(&["--json"], 1, &["fault: OutOfBounds", "address 0x7f", &at, "seed 3"]);
    let object: Value = serde_json::from_slice(&output.stdout).expect("a JSON object");
    assert_eq!(object["status"], "fault");
    assert_eq!(object["kind"], "OutOfBounds");
    assert_eq!(object["line"], line);
    assert_eq!(object["cta"], serde_json::json!([2, 0, 0]));
    assert_eq!((&object["warp"], &object["lane"]), (&0.into(), &0.into()));
    assert_eq!((&object["seed"], &object["exit_code"]), (&3.into(), &1.into()));
    assert!(!case.path().join("y.bin").exists(), "a faulty run writes nothing");
}

#[test]
fn an_uninitialised_input_is_a_fault() {
    let case = Case::new(SCALE, &launch(r#"{ "u32": 64 }"#));
    case.write("x.bin", &[1; 100]);
    case.ends(&[], 1, &["fault: UnwrittenRead", "lane 25"]);
}

#[test]
fn results_that_depend_on_the_schedule_are_a_fault() {
    let text = r#"{ "modules": { "m": "kernel.ptx" }, "buffers": { "y": { "bytes": 4 } },
        "launches": [ { "module": "m", "entry": "last", "grid": [1, 1, 1], "block": [256, 1, 1],
            "params": [ { "buffer": "y" } ] } ], "outputs": { "y": "y.bin" } }"#;
    let case = Case::new(LAST_ONE_WINS, text);
    case.ends(&[], 0, &[]);
    case.ends(&["--seeds", "40"], 1, &["depends on the schedule", "buffer `y`", "byte 0"]);
}

#[test]
fn unsupported_instructions_have_their_line() {
    let ptx = SCALE.replace("mad.lo.s32 %r7, %r6, 2, 1;", "frobnicate.u32 %r7, %r6;");
    let line = 1 + ptx.lines().position(|l| l.contains("frobnicate")).expect("the line");
    let case = Case::new(&ptx, &launch(r#"{ "u32": 64 }"#));
    let output =
        case.ends(&["--json"], 2, &["unsupported: ", "frobnicate", &format!("line {line}")]);
    let object: Value = serde_json::from_slice(&output.stdout).expect("a JSON object");
    assert_eq!((&object["status"], &object["line"]), (&"unsupported".into(), &line.into()));
}

#[test]
fn malformed_input_is_status_3() {
    let good = launch(r#"{ "u32": 64 }"#);
    let cases: &[(&str, &str, &[&str])] = &[
        (SCALE, "{", &["launch.json", "line 1"]),
        (SCALE, &good.replace("\"seed\"", "\"sead\""), &["unknown field `sead`"]),
        (SCALE, &good.replace("kernel.ptx", "other.ptx"), &["modules.m", "other.ptx"]),
        (SCALE, &good.replace("\"scale\"", "\"scala\""), &["no entry `scala`", "\"scale\""]),
        (SCALE, &good.replace("\"module\": \"m\"", "\"module\": \"n\""), &["no module `n`"]),
        (SCALE, &launch(r#"{ "u64": 64 }"#), &["launches[0].params[2]", "parameter `n`"]),
        (SCALE, &good.replace("{ \"y\": \"y", "{ \"z\": \"y"), &["outputs.z", "no buffer `z`"]),
        (SCALE, &good.replace("y.bin", "no/y.bin"), &["outputs.y", "no such folder"]),
        (SCALE, &good.replace("sm_90a", "sm_80"), &["is for sm_90, which sm_80 cannot run"]),
        (&SCALE[..SCALE.len() - 40], &good, &["kernel.ptx: line"]),
        ("\u{7f}ELF", &good, &["kernel.ptx: line 1"]),
    ];
    for (ptx, text, needles) in cases {
        let output = Case::new(ptx, text).ends(&["--json"], 3, needles);
        let object: Value = serde_json::from_slice(&output.stdout).expect("a JSON object");
        assert_eq!((&object["status"], &object["exit_code"]), (&"malformed".into(), &3.into()));
    }
}

#[test]
fn the_command_line_is_checked_and_explained() {
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_ptx-emulator"))
            .args(arguments)
            .output()
            .expect("starting ptx-emulator");
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, help, _) = run(&["run", "--help"]);
    assert_eq!(code, Some(0));
    for needle in ["--seeds", "EXIT STATUS", "\"launches\"", "unwritten read"] {
        assert!(help.contains(needle), "{needle} in {help}");
    }
    assert_eq!(run(&["--version"]).0, Some(0));
    let (code, _, message) = run(&["run", "x.json", "--sedes", "3"]);
    assert_eq!(code, Some(3));
    assert!(message.contains("--sedes"), "{message}");
    assert_eq!(run(&["run", "x.json", "--seeds", "0"]).0, Some(3));
    assert_eq!(run(&["run", "no-such-file.json"]).0, Some(3));
    assert_eq!(run(&[]).0, Some(3));
}

/// The program's name, its arguments, and what came of it: status, stdout, stderr.
fn call(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_ptx-emulator"))
        .args(arguments)
        .output()
        .expect("starting ptx-emulator");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_fault_quotes_its_line_and_names_the_register() {
    let ptx = SCALE.replace("    ld.global.u32 %r6, [%rd4];\n", "");
    let case = Case::new(&ptx, &launch(r#"{ "u32": 64 }"#));
    let needles = ["register %r6 was read", ": mad.lo.s32 %r7, %r6, 2, 1;"];
    // `hardware` gives a register that no instruction writes a random value instead.
    let output = case.ends(&["--json", "--ordering", "strict"], 1, &needles);
    let object: Value = serde_json::from_slice(&output.stdout).expect("a JSON object");
    assert_eq!(object["text"], "mad.lo.s32 %r7, %r6, 2, 1;");
}

#[test]
fn check_lists_what_an_entry_needs_and_all_that_is_not_supported() {
    let case = Case::new(SCALE, "{}");
    let file = case.path().join("kernel.ptx");
    let file = file.to_str().expect("a path of text");
    let (code, text, _) = call(&["check", file]);
    assert_eq!(code, Some(0));
    for needle in ["entry scale (line 5)", "20 bytes: x@0:8 y@8:8 n@16:4", "1 predicates"] {
        assert!(text.contains(needle), "{needle} in {text}");
    }
    let bad = SCALE
        .replace("mov.u32 %r3, %ntid.x;", "frobnicate.u32 %r3;")
        .replace("mul.wide.u32", "mul.narrow.u32");
    case.write("kernel.ptx", bad.as_bytes());
    let (code, text, _) = call(&["check", file, "--json"]);
    assert_eq!(code, Some(2));
    let object: Value = serde_json::from_str(&text).expect("a JSON object");
    let listed = object["entries"][0]["unsupported"].as_array().expect("a list");
    let lines: Vec<_> = listed.iter().map(|why| why["line"].as_u64().expect("a line")).collect();
    let line = |what: &str| 1 + bad.lines().position(|l| l.contains(what)).expect("a line") as u64;
    assert_eq!(lines, [line("frobnicate"), line("narrow")]);
    assert_eq!(listed[0]["text"], "frobnicate.u32 %r3;");
    let huge = SCALE.replace("    .reg .pred", "    .shared .b8 s[300000];\n    .reg .pred");
    case.write("kernel.ptx", huge.as_bytes());
    let used = huge.replace("mov.u32 %r2, %ctaid.x;", "mov.u32 %r2, s;");
    case.write("kernel.ptx", used.as_bytes());
    let (code, text, _) = call(&["check", file]);
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("300000 bytes of static shared memory"), "{text}");
    assert_eq!(call(&["check", "no-such-file.ptx"]).0, Some(3));
    assert_eq!(call(&["check"]).0, Some(3));
}

#[test]
fn a_trace_is_the_same_for_the_same_seed_and_ends_at_a_fault() {
    let case = Case::new(SCALE, &launch(r#"{ "u32": 64 }"#));
    let file = case.path().join("launch.json");
    let file = file.to_str().expect("a path of text");
    let (code, first, _) = call(&["trace", file, "--instructions", "--seed", "9"]);
    assert_eq!(code, Some(0));
    assert_eq!(call(&["trace", file, "--instructions", "--seed", "9"]).1, first);
    assert_eq!(first.matches("execute  ffffffff  ld.global.u32").count(), 2);
    assert_eq!(first.matches("CTA ends").count(), 2);
    assert!(!case.path().join("y.bin").exists(), "a trace writes no output");
    let timeline = case.path().join("timeline.json");
    let timeline_name = timeline.to_str().expect("a path of text");
    let (code, text, _) = call(&["trace", file, "--perfetto", timeline_name]);
    assert_eq!((code, text.as_str()), (Some(0), ""));
    let text = std::fs::read_to_string(&timeline).expect("the timeline");
    let object: Value = serde_json::from_str(&text).expect("a JSON object");
    let events = object["traceEvents"].as_array().expect("a list");
    assert!(events.iter().any(|e| e["args"]["name"] == "CTA (1,0,0)"), "{text}");
    case.write("x.bin", &[1; 100]);
    let (code, text, message) = call(&["trace", file, "--instructions"]);
    assert_eq!(code, Some(1));
    assert!(message.contains("UnwrittenRead"), "{message}");
    assert!(text.lines().last().expect("events").contains("ld.global"), "{text}");
}
