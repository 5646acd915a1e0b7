//! `cargo xtask tidy`: the house rules that no compiler checks. Each rule is a function from the
//! text of a file to complaints, and its test shows it complaining.

use std::fs;
use std::path::Path;

use anyhow::{Result, bail};

use crate::workspace::{self, output_of};

/// A file longer than this wants splitting by family.
const MAX_LINES: usize = 800;

/// Where `unsafe` may stand, and why.
const UNSAFE_ALLOWED: [&str; 6] = [
    "device/",                       // instructions
    "host/src/backend/cuda/",        // a driver's calls
    "host/examples/cuda.rs",         // a launch, as an application makes it
    "tests/cuda",                    // launches, and a driver's calls to provoke refusals
    "xtask/src/bench",               // the promise that a graph's buffers live
    "host/src/checkpoint/mapped.rs", // mapping a file into memory
];

/// Runs every rule over every tracked file.
pub fn run() -> Result<()> {
    let root = workspace::root();
    let mut git = std::process::Command::new("git");
    let listed = output_of(git.current_dir(&root).args([
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
    ]))?;
    let mut complaints = vec![];
    let mut files = 0;
    for name in listed.lines() {
        let Ok(text) = fs::read_to_string(root.join(name)) else { continue };
        files += 1;
        complaints.extend(check(name, &text, &root));
    }
    if complaints.is_empty() {
        println!("tidy: {files} files, nothing to complain about");
        return Ok(());
    }
    bail!("tidy: {} complaints\n  {}", complaints.len(), complaints.join("\n  "))
}

fn check(name: &str, text: &str, root: &Path) -> Vec<String> {
    let mut complaints = vec![];
    let mut say = |line: usize, what: String| complaints.push(format!("{name}:{line}: {what}"));
    if name.ends_with(".rs") {
        if !text.starts_with("//!") {
            say(1, "the file does not begin with a //! line that says what it is".into());
        }
        let lines = text.lines().count();
        if lines > MAX_LINES {
            say(lines, format!("{lines} lines, more than {MAX_LINES}: split it by family"));
        }
        for (i, line) in text.lines().enumerate() {
            if let Some(what) = bad_code(name, line) {
                say(i + 1, what.into());
            }
        }
    }
    if name.starts_with("device/src/kernels/sm100") {
        for line in entries_without_attribute(text) {
            say(line, "an entry point that rust-cuda would not know for a kernel".into());
        }
    }
    if name == "emulator/Cargo.toml" && text.contains("nvfp4") {
        say(1, "the emulator depends on a crate that it judges".into());
    }
    if name.ends_with(".md") {
        for (i, line) in text.lines().enumerate() {
            for path in named_paths(line) {
                if !root.join(path).exists() {
                    say(i + 1, format!("names {path}, which does not exist"));
                }
            }
        }
    }
    complaints
}

/// Lines of entry points that lack the attribute by which rust-cuda knows a kernel.
fn entries_without_attribute(text: &str) -> Vec<usize> {
    let attribute = "#[cfg_attr(target_feature = \"compute_100\", nvvm_internal::kernel)]";
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let is_entry = |line: &str| line.contains("extern \"ptx-kernel\" fn");
    let entries = (0..lines.len()).filter(|&i| is_entry(lines[i]));
    let bare = entries.filter(|&i| {
        let attributes = lines[..i].iter().rev().take_while(|line| line.starts_with("#["));
        !attributes.into_iter().any(|line| *line == attribute)
    });
    bare.map(|i| i + 1).collect()
}

/// What is wrong with a line of Rust, if anything.
fn bad_code(name: &str, line: &str) -> Option<&'static str> {
    let code = line.split("//").next().unwrap_or_default();
    let word = |word: &str| {
        code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|found| found == word)
    };
    // The words are assembled here so that this file does not complain about itself.
    let assembly = ["as", "m!("].concat();
    if code.contains(&assembly) && !name.starts_with("device/src/ptx/") {
        return Some("inline assembly outside device/src/ptx");
    }
    let keyword = ["un", "safe"].concat();
    if word(&keyword)
        && !code.trim_start().starts_with("#!")
        && !UNSAFE_ALLOWED.iter().any(|place| name.starts_with(place))
        && !name.ends_with("tidy.rs")
    {
        return Some("unsafe code outside the places that tidy lists");
    }
    let marks =
        [["to", "do!("].concat(), ["unimpl", "emented!("].concat(), ["#[ig", "nore"].concat()];
    if marks.iter().any(|mark| code.contains(mark.as_str())) {
        return Some("unfinished work, or a test that does not run");
    }
    None
}

/// Backquoted words of a document that look like files of this repository.
fn named_paths(line: &str) -> Vec<&str> {
    let tops = ["host/", "device/", "emulator/", "xtask/", "tests/", "docs/", ".ci/"];
    let quoted = line.split('`').skip(1).step_by(2);
    quoted
        .filter(|text| tops.iter().any(|top| text.starts_with(top)))
        .filter(|text| !text.contains(['*', '{', '<', ' ', '…']))
        .map(|text| text.trim_end_matches('/'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complains(name: &str, text: &str, about: &str) {
        let complaints = check(name, text, &workspace::root());
        assert!(complaints.iter().any(|c| c.contains(about)), "{name}: {complaints:?}");
    }

    #[test]
    fn each_rule_can_complain() {
        complains("host/src/x.rs", "fn main() {}", "//! line");
        complains("host/src/x.rs", &format!("//! x\n{}", "\n".repeat(900)), "split it");
        complains("host/src/x.rs", &["//! x\nas", "m!(\"nop\");"].concat(), "inline assembly");
        complains("host/src/x.rs", &["//! x\nun", "safe { f() }"].concat(), "unsafe code");
        complains("host/src/x.rs", &["//! x\nto", "do!()"].concat(), "unfinished");
        complains("tests/x.rs", &["//! x\n#[ig", "nore]"].concat(), "does not run");
        let entry = "//! x\n#[no_mangle]\npub extern \"ptx-kernel\" fn k() {}\n";
        complains("device/src/kernels/sm100_x.rs", entry, "rust-cuda");
        complains("emulator/Cargo.toml", "nvfp4-dual-gemm.workspace = true", "judges");
        complains("README.md", "see `host/src/nowhere.rs`", "does not exist");
    }

    #[test]
    fn good_files_pass() {
        assert!(check("host/src/x.rs", "//! x\nfn main() {}\n", &workspace::root()).is_empty());
        let unsafe_code = ["//! x\nun", "safe { f() }\n"].concat();
        assert!(check("device/src/x.rs", &unsafe_code, &workspace::root()).is_empty());
        assert!(
            check("README.md", "see `host/src/lib.rs` and `host/ptx/*.ptx`", &workspace::root())
                .is_empty()
        );
    }
}
