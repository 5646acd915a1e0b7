//! CUDA C++ on NVIDIA's own libraries, compiled by NVRTC, run on the emulator and compared with NumPy to
//! the bit. `data/nvrtc/README.md` says where the programs come from.

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

/// The folders of all launch files: a case and a target.
fn programs() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/nvrtc");
    let all = folders(&root).into_iter().flat_map(|case| folders(&case));
    all.filter(|folder| folder.join("launch.json").is_file()).collect()
}

/// Whether every output is what NumPy says.
fn judge(program: &Path, seed: u64) -> Result<(), String> {
    let job = Job::read(&program.join("launch.json")).map_err(|ending| ending.to_string())?;
    let outcome = job.run(seed).map_err(|ending| ending.to_string())?;
    for buffer in &outcome.buffers {
        let path = program.join(format!("../{}.expected.bin", buffer.name));
        let expected = fs::read(&path).map_err(|why| format!("{}: {why}", path.display()))?;
        if !buffer.unwritten.is_empty() {
            return Err(format!("{}: {:?} not written", buffer.name, buffer.unwritten));
        }
        if let Some(at) = (0..expected.len()).find(|&at| buffer.bytes.get(at) != expected.get(at)) {
            return Err(format!("{}: byte {at} differs", buffer.name));
        }
    }
    if outcome.buffers.is_empty() { Err("no output".to_owned()) } else { Ok(()) }
}

#[test]
fn every_program_does_what_numpy_says() {
    let programs = programs();
    assert_eq!(programs.len(), 22, "eleven cases for two targets");
    let failures: Vec<String> = programs
        .par_iter()
        .filter_map(|program| {
            let why = (0..SEEDS).find_map(|seed| judge(program, seed).err())?;
            Some(format!("{}: {why}", program.display()))
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
