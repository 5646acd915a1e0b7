//! `ptx-emulator check`: what a PTX file needs, and what of it is not supported.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use ptx_emulator::decode;
use ptx_emulator::decode::program::{Entry, Kernel, Program};
use ptx_emulator::error::{Ending, Malformed, Unsupported};
use ptx_emulator::machine::shared;
use serde_json::{Value, json};

pub(crate) const HELP: &str = r#"EXAMPLE
  ptx-emulator check kernel.ptx          one paragraph per entry
  ptx-emulator check *.ptx --json        one object per file

  For each entry: its parameters with their offsets and sizes, registers as PTX declares them (32-bit
  slots and predicates, before any register allocation), static shared memory, local memory, what its
  directives demand of a launch; then each line that is not supported.

EXIT STATUS
  0  every entry can run
  2  an entry uses something that is not supported
  3  a file is not PTX, or no launch could satisfy an entry"#;

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// PTX files
    #[arg(value_name = "FILE.ptx", required = true)]
    files: Vec<PathBuf>,
    /// Print a JSON object per file on stdout
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(check: &Check) -> ExitCode {
    let mut worst = 0;
    for path in &check.files {
        let name = path.display().to_string();
        let read = std::fs::read(path).map_err(|why| {
            Ending::Malformed(Malformed { place: name.clone(), what: why.to_string() })
        });
        match read.and_then(|bytes| decode::program(&bytes)) {
            Err(ending) => {
                worst = worst.max(ending.exit_code());
                eprintln!("ptx-emulator: {name}: {ending}");
                if check.json {
                    say(&json!({ "file": name, "exit_code": ending.exit_code(),
                                 "message": ending.to_string() })
                    .to_string());
                }
            }
            Ok(program) => {
                let code = program.kernels.iter().map(|entry| verdict(entry).0).max().unwrap_or(0);
                worst = worst.max(code);
                let text = match check.json {
                    true => object(&name, &program, code).to_string(),
                    false => paragraphs(&name, &program),
                };
                say(&text);
            }
        }
    }
    ExitCode::from(worst)
}

fn say(text: &str) {
    // A reader that went away is no failure of the check.
    let _ = std::io::Write::write_all(&mut std::io::stdout(), format!("{text}\n").as_bytes());
}

/// The exit code for an entry, and why.
fn verdict(entry: &Entry) -> (u8, Vec<String>) {
    match &entry.kernel {
        Err(_) => (2, vec![]),
        Ok(kernel) => {
            let impossible = impossible(kernel);
            let unsupported = if entry.unsupported.is_empty() { 0 } else { 2 };
            (if impossible.is_empty() { unsupported } else { 3 }, impossible)
        }
    }
}

/// Demands that no launch can meet.
fn impossible(kernel: &Kernel) -> Vec<String> {
    let mut found = vec![];
    if kernel.shared_bytes > shared::LIMIT {
        found.push(format!(
            "{} bytes of static shared memory; a CTA may have {}",
            kernel.shared_bytes,
            shared::LIMIT
        ));
    }
    let product = |d: [u32; 3]| d.iter().map(|&n| u64::from(n)).product::<u64>();
    let bounds = &kernel.launch;
    if let Some(block) = bounds.required_threads {
        if product(block) > 1024 || block.contains(&0) {
            found.push(format!(".reqntid {block:?}; a CTA may have 1 to 1024 threads"));
        }
        if let Some(max) = bounds.max_threads.filter(|&max| product(block) > product(max)) {
            found.push(format!(".reqntid {block:?} exceeds .maxntid {max:?}"));
        }
    }
    if let Some(cluster) = bounds.required_cluster
        && (product(cluster) > 16 || cluster.contains(&0))
    {
        found.push(format!(".reqnctapercluster {cluster:?}; a cluster may have 1 to 16 CTAs"));
    }
    found
}

fn bounds(kernel: &Kernel) -> Vec<String> {
    let b = &kernel.launch;
    let show = |[x, y, z]: [u32; 3]| format!("{x}x{y}x{z}");
    [
        b.max_threads.map(|d| format!("at most {} threads", show(d))),
        b.required_threads.map(|d| format!("exactly {} threads", show(d))),
        b.required_cluster.map(|d| format!("clusters of {}", show(d))),
        b.max_cluster_rank.map(|n| format!("clusters of at most {n}")),
        b.min_ctas_per_sm.map(|n| format!("at least {n} CTAs per multiprocessor")),
        b.max_registers.map(|n| format!("at most {n} registers")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn paragraphs(name: &str, program: &Program) -> String {
    let (major, minor) = program.version;
    let mut lines = vec![format!("{name}: PTX {major}.{minor} for {}", program.target)];
    for entry in &program.kernels {
        lines.push(format!("  entry {} (line {})", entry.name, entry.line));
        if let Ok(kernel) = &entry.kernel {
            let param = |p: &decode::program::Param| format!("{}@{}:{}", p.name, p.offset, p.size);
            let params: Vec<String> = kernel.params.iter().map(param).collect();
            let dynamic = kernel.dynamic_shared_align;
            let dynamic = dynamic.map_or(String::new(), |a| format!(", dynamic {a}-aligned"));
            let mut put = |what: &str, value: String| lines.push(format!("    {what:<13} {value}"));
            put("parameters", format!("{} bytes: {}", kernel.param_bytes, params.join(" ")));
            put("registers", format!("{} of 32 bits, {} predicates", kernel.slots, kernel.preds));
            put("shared memory", format!("{} bytes static{dynamic}", kernel.shared_bytes));
            put("local memory", format!("{} bytes", kernel.local_bytes + kernel.frame_bytes));
            put("instructions", kernel.instrs.len().to_string());
            let bounds = bounds(kernel);
            if !bounds.is_empty() {
                put("launch", bounds.join(", "));
            }
        }
        for why in &entry.unsupported {
            lines.push(format!("    unsupported   {}", quoted(program, why)));
        }
        lines.extend(verdict(entry).1.iter().map(|why| format!("    impossible    {why}")));
    }
    lines.join("\n")
}

fn quoted(program: &Program, why: &Unsupported) -> String {
    let text = program.line(why.line).map_or(String::new(), |text| format!(": {text}"));
    format!("{why}{text}")
}

fn object(name: &str, program: &Program, code: u8) -> Value {
    let entry = |entry: &Entry| {
        let mut object = json!({ "name": entry.name, "line": entry.line,
                                 "impossible": verdict(entry).1 });
        if let Ok(kernel) = &entry.kernel {
            let param = |p: &decode::program::Param| json!({ "name": p.name, "offset": p.offset, "size": p.size, "align": p.align });
            object["params"] = kernel.params.iter().map(param).collect();
            object["param_bytes"] = json!(kernel.param_bytes);
            object["registers"] = json!(kernel.slots);
            object["predicates"] = json!(kernel.preds);
            object["shared_bytes"] = json!(kernel.shared_bytes);
            object["local_bytes"] = json!(kernel.local_bytes + kernel.frame_bytes);
            object["instructions"] = json!(kernel.instrs.len());
            object["launch"] = json!(bounds(kernel));
        }
        let unsupported = entry.unsupported.iter().map(
            |why| json!({ "line": why.line, "what": why.what, "text": program.line(why.line) }),
        );
        object["unsupported"] = unsupported.collect();
        object
    };
    let entries: Vec<Value> = program.kernels.iter().map(entry).collect();
    let (major, minor) = program.version;
    json!({ "file": name, "exit_code": code, "version": format!("{major}.{minor}"),
            "target": program.target, "entries": entries })
}
