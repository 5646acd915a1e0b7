//! The README's tour, walked: its files are written, its commands are run, and what they print is
//! what the README says. `BLESS=1` writes what they print into the README.

use std::path::Path;
use std::process::Command;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");

/// Runs one command line in a folder; what it prints, errors last.
fn run(command: &str, folder: &Path) -> String {
    let binary = Path::new(env!("CARGO_BIN_EXE_ptx-emulator"));
    let mut path = binary.parent().expect("a folder").as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let output = Command::new("sh")
        .args(["-c", command])
        .current_dir(folder)
        .env("PATH", path)
        .output()
        .expect("starting a shell");
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8(text).expect("the commands print text")
}

/// The README with the output that its commands have now.
fn walk(text: &str, folder: &Path) -> String {
    let mut out = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        out += &format!("{line}\n");
        let Some(info) = line.strip_prefix("```").filter(|info| !info.is_empty()) else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        if info == "console" {
            for command in block.iter().filter_map(|line| line.strip_prefix("$ ")) {
                out += &format!("$ {command}\n{}", run(command, folder));
            }
        } else {
            let content = block.iter().map(|line| format!("{line}\n")).collect::<String>();
            if let Some((_, name)) = info.split_once(' ') {
                std::fs::write(folder.join(name), &content).expect("writing into the folder");
            }
            out += &content;
        }
        out += "```\n";
    }
    out
}

#[test]
fn the_tour_is_true() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = std::fs::read_to_string(PATH).expect("the README");
    let walked = walk(&text, folder.path());
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(PATH, &walked).expect("writing the README");
        return;
    }
    for (i, (says, is)) in text.lines().zip(walked.lines()).enumerate() {
        assert_eq!(says, is, "line {} of the README; BLESS=1 rewrites it", i + 1);
    }
    assert_eq!(text.lines().count(), walked.lines().count());
    assert!(walked.contains("fault: "), "the tour breaks something");
}
