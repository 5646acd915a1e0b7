//! A program of `data/triton`: its launch file, and what its outputs must be.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use ptx_emulator::launch_file::schema::LaunchFile;
use ptx_emulator::launch_file::{Job, Outcome, OutputBuffer};
use serde::Deserialize;

/// Budget of a faulty variant, which may spin for ever: many times what any program needs.
const INSTRUCTIONS: u64 = 30_000_000;

/// What `expected.json` says about one output.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    /// The bytes that NumPy computed.
    file: PathBuf,
    /// How to read them.
    #[serde(rename = "type")]
    element: Element,
    /// Relative and absolute bound; both zero when the bytes must be the same.
    rtol: f64,
    atol: f64,
    /// Why these bounds.
    why: String,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Element {
    U8,
    I16,
    I32,
    F16,
    Bf16,
    F32,
}

impl Element {
    fn bytes(self) -> usize {
        match self {
            Element::U8 => 1,
            Element::I16 | Element::F16 | Element::Bf16 => 2,
            Element::I32 | Element::F32 => 4,
        }
    }

    fn value(self, b: &[u8]) -> f64 {
        match self {
            Element::U8 => b[0].into(),
            Element::I16 => i16::from_le_bytes([b[0], b[1]]).into(),
            Element::I32 => i32::from_le_bytes([b[0], b[1], b[2], b[3]]).into(),
            Element::F16 => f16::from_le_bytes([b[0], b[1]]).into(),
            Element::Bf16 => bf16::from_le_bytes([b[0], b[1]]).into(),
            Element::F32 => f32::from_le_bytes([b[0], b[1], b[2], b[3]]).into(),
        }
    }

    fn encode(self, value: f64) -> Vec<u8> {
        match self {
            Element::U8 => vec![value as u8],
            Element::I16 => (value as i16).to_le_bytes().to_vec(),
            Element::I32 => (value as i32).to_le_bytes().to_vec(),
            Element::F16 => f16::from_f64(value).to_le_bytes().to_vec(),
            Element::Bf16 => bf16::from_f64(value).to_le_bytes().to_vec(),
            Element::F32 => (value as f32).to_le_bytes().to_vec(),
        }
    }
}

/// One launch file and its expectations.
#[derive(Debug)]
pub struct Program {
    folder: PathBuf,
    expected: BTreeMap<String, (Expected, Vec<u8>)>,
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let case = self.folder.parent().and_then(Path::file_name).unwrap_or_default();
        write!(f, "{}/{}", case.display(), self.target())
    }
}

/// All programs, in order.
pub fn programs() -> Vec<Program> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/triton");
    let mut programs: Vec<Program> = folders(&root)
        .iter()
        .flat_map(|case| folders(case))
        .filter(|folder| folder.join("launch.json").is_file())
        .map(Program::new)
        .collect();
    programs.sort_by(|a, b| a.folder.cmp(&b.folder));
    programs
}

fn folders(parent: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).unwrap_or_else(|why| panic!("{}: {why}", parent.display()));
    entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect()
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

impl Program {
    fn new(folder: PathBuf) -> Self {
        let case = folder.parent().unwrap().to_owned();
        let path = case.join("expected.json");
        let expected: BTreeMap<String, Expected> = serde_json::from_slice(&read(&path))
            .unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        let expected = expected
            .into_iter()
            .map(|(name, expected)| {
                let bytes = read(&case.join(&expected.file));
                assert!(!expected.why.is_empty(), "{}: a bound without a reason", path.display());
                (name, (expected, bytes))
            })
            .collect();
        Program { folder, expected }
    }

    /// `sm100` or `sm90`.
    pub fn target(&self) -> String {
        self.folder.file_name().unwrap().display().to_string()
    }

    /// The launch file, ready to run.
    pub fn read(&self) -> Result<Job, String> {
        Job::read(&self.folder.join("launch.json")).map_err(|ending| ending.to_string())
    }

    /// The program with every line of its PTX changed that contains `instruction`; `None` if none does.
    pub fn changed(
        &self,
        instruction: &str,
        change: fn(&str) -> String,
    ) -> Result<Option<Job>, String> {
        let mut file: LaunchFile = serde_json::from_slice(&read(&self.folder.join("launch.json")))
            .map_err(|why| why.to_string())?;
        file.limits.instructions = Some(INSTRUCTIONS);
        let folder = tempfile::tempdir().map_err(|why| why.to_string())?;
        let mut found = false;
        for (name, path) in &mut file.modules {
            let ptx = String::from_utf8(read(&self.folder.join(&path))).expect("PTX is text");
            let lines = ptx.lines().map(|line| {
                let hit = line.contains(instruction) && !line.trim_start().starts_with("//");
                found |= hit;
                if hit { change(line) } else { line.to_owned() }
            });
            let lines: Vec<String> = lines.collect();
            let changed = folder.path().join(format!("{name}.ptx"));
            fs::write(&changed, lines.join("\n")).map_err(|why| why.to_string())?;
            *path = changed.display().to_string();
        }
        if !found {
            return Ok(None);
        }
        let job = Job::new(file, self.folder.clone()).map_err(|ending| ending.to_string())?;
        Ok(Some(job))
    }

    /// Whether all outputs are there and are what they must be.
    pub fn judge(&self, outcome: &Outcome) -> Result<(), String> {
        if outcome.buffers.len() != self.expected.len() {
            return Err(format!("{} outputs", outcome.buffers.len()));
        }
        outcome.buffers.iter().try_for_each(|output| self.judge_one(output))
    }

    fn judge_one(&self, output: &OutputBuffer) -> Result<(), String> {
        let name = &output.name;
        let Some((expected, bytes)) = self.expected.get(name) else {
            return Err(format!("nothing is expected of '{name}'"));
        };
        if let Some((start, end)) = output.unwritten.first() {
            return Err(format!("bytes {start}..{end} of '{name}' were never written"));
        }
        if output.bytes.len() != bytes.len() {
            return Err(format!("'{name}' has {} bytes", output.bytes.len()));
        }
        let step = expected.element.bytes();
        let pairs = output.bytes.chunks_exact(step).zip(bytes.chunks_exact(step));
        let mut wrong = pairs.enumerate().filter(|(_, (got, want))| !expected.accepts(got, want));
        let Some((index, (got, want))) = wrong.next() else { return Ok(()) };
        Err(format!(
            "'{name}'[{index}] is {}, not {} ({} more are wrong)",
            expected.element.value(got),
            expected.element.value(want),
            wrong.count()
        ))
    }

    /// Makes one element of an output wrong, by little.
    pub fn spoil(&self, output: &mut OutputBuffer) {
        let (expected, bytes) = &self.expected[&output.name];
        let (step, middle) = (expected.element.bytes(), bytes.len() / 2);
        let at = middle - middle % expected.element.bytes()..;
        let want = &bytes[at.clone()][..step];
        let place = &mut output.bytes[at][..step];
        if expected.rtol == 0.0 && expected.atol == 0.0 {
            place[0] = want[0] ^ 1;
        } else {
            let value = expected.element.value(want);
            let bound = expected.atol + expected.rtol * value.abs();
            // Enough beyond the bound that the element type can say it.
            let wrong = value + bound * 1.01 + value.abs() * 2f64.powi(-7) + 2f64.powi(-20);
            place.copy_from_slice(&expected.element.encode(wrong));
        }
    }
}

impl Expected {
    fn accepts(&self, got: &[u8], want: &[u8]) -> bool {
        if got == want {
            return true;
        }
        let (got, want) = (self.element.value(got), self.element.value(want));
        // Not so for NaN.
        (self.rtol > 0.0 || self.atol > 0.0)
            && (got - want).abs() <= self.atol + self.rtol * want.abs()
    }
}
