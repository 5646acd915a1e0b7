//! TileLang programs, run on the emulator and compared with NumPy. `data/tilelang/README.md` says where
//! they come from.

use std::fs;
use std::path::{Path, PathBuf};

use ptx_emulator::launch_file::Job;
use rayon::prelude::*;

/// Schedules per program.
const SEEDS: u64 = 6;

fn folders(parent: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).unwrap_or_else(|why| panic!("{}: {why}", parent.display()));
    entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect()
}

/// The folders of all launch files: a program and a target.
fn programs() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/tilelang");
    let all = folders(&root).into_iter().flat_map(|case| folders(&case));
    all.filter(|folder| folder.join("launch.json").is_file()).collect()
}

/// How far 32-bit floats may be off; `None`: not at all.
fn tolerance(case: &Path) -> Option<(f32, f32)> {
    let text = fs::read_to_string(case.join("tolerance.json")).ok()?;
    Some(serde_json::from_str(&text).unwrap_or_else(|why| panic!("{}: {why}", case.display())))
}

fn judge(program: &Path, seed: u64) -> Result<(), String> {
    let case = program.parent().expect("a program has a folder");
    let job = Job::read(&program.join("launch.json")).map_err(|ending| ending.to_string())?;
    let outcome = job.run(seed).map_err(|ending| ending.to_string())?;
    for buffer in &outcome.buffers {
        let path = case.join(format!("{}.expected.bin", buffer.name));
        let expected = fs::read(&path).map_err(|why| format!("{}: {why}", path.display()))?;
        if !buffer.unwritten.is_empty() || buffer.bytes.len() != expected.len() {
            return Err(format!("{}: {:?} not written", buffer.name, buffer.unwritten));
        }
        let words = |bytes: &[u8]| -> Vec<f32> {
            bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
        };
        let differs = match tolerance(case) {
            None => (0..expected.len()).find(|&at| buffer.bytes[at] != expected[at]),
            Some((relative, absolute)) => {
                let pairs = words(&buffer.bytes).into_iter().zip(words(&expected));
                let fits = |(got, want): (f32, f32)| {
                    (got - want).abs() <= absolute + relative * want.abs()
                };
                pairs.map(fits).position(|fits| !fits)
            }
        };
        if let Some(at) = differs {
            return Err(format!("{}: element or byte {at} differs", buffer.name));
        }
    }
    if outcome.buffers.is_empty() { Err("no output".to_owned()) } else { Ok(()) }
}

#[test]
fn every_program_does_what_numpy_says() {
    let programs = programs();
    assert_eq!(programs.len(), 20, "{programs:?}");
    let failures: Vec<String> = programs
        .par_iter()
        .filter_map(|program| {
            let why = (0..SEEDS).find_map(|seed| judge(program, seed).err())?;
            Some(format!("{}: {why}", program.display()))
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
