//! What a run leaves behind, and how it reaches the disk.

use std::path::{Path, PathBuf};

use super::{Job, malformed};
use crate::error::Ending;
use crate::run::Stats;

/// A run that ended well.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The outputs, or all buffers when the launch file names none.
    pub buffers: Vec<OutputBuffer>,
    /// Counts, launch by launch.
    pub launches: Vec<LaunchStats>,
}

/// The content of a buffer after a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputBuffer {
    /// Its name.
    pub name: String,
    /// Where to write it.
    pub path: Option<PathBuf>,
    /// Its bytes; those that nobody wrote are 0.
    pub bytes: Vec<u8>,
    /// Ranges (start, length) that nobody wrote.
    pub unwritten: Vec<(usize, usize)>,
}

/// Counts of one launch.
#[derive(Debug, Clone)]
pub struct LaunchStats {
    /// The entry.
    pub entry: String,
    /// Its counts.
    pub stats: Stats,
}

impl LaunchStats {
    /// The counts with their names.
    pub fn named(&self) -> [(&'static str, u64); 8] {
        let s = &self.stats;
        [
            ("instructions", s.instructions),
            ("warp_instructions", s.warp_instructions),
            ("copied_bytes", s.copied_bytes),
            ("multiply_adds", s.multiply_adds),
            ("tensor_copies", s.tensor_copies),
            ("barrier_waits", s.barrier_waits),
            ("async_steps", s.async_steps),
            ("ctas", s.ctas),
        ]
    }
}

impl Job {
    /// Writes the outputs: all to temporary files first, then each under its name, so that a failure
    /// leaves no half-written file.
    ///
    /// # Errors
    /// `Malformed` with the output that cannot be written.
    pub fn write(&self, outcome: &Outcome) -> Result<(), Ending> {
        let mut pending: Vec<(PathBuf, &Path)> = vec![];
        let result = outcome.buffers.iter().try_for_each(|buffer| {
            let Some(path) = &buffer.path else { return Ok(()) };
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            let partial = path.with_file_name(format!(".{file}.{}.partial", std::process::id()));
            pending.push((partial.clone(), path));
            std::fs::write(&partial, &buffer.bytes).map_err(|why| failure(&buffer.name, path, &why))
        });
        let result = result.and_then(|()| {
            pending.iter().try_for_each(|(partial, path)| {
                std::fs::rename(partial, path).map_err(|why| failure("", path, &why))
            })
        });
        if result.is_err() {
            for (partial, _) in &pending {
                // Already failing; a leftover that cannot be removed changes nothing.
                let _ = std::fs::remove_file(partial);
            }
        }
        result
    }
}

fn failure(name: &str, path: &Path, why: &std::io::Error) -> Ending {
    malformed(format!("outputs.{name}"), format!("{}: {why}", path.display()))
}
