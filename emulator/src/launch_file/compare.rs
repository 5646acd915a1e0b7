//! Several schedules side by side.

use rayon::prelude::*;

use super::{Job, Outcome, OutputBuffer, SeedEnding};
use crate::error::{Fault, FaultKind};

impl Job {
    /// Runs `count` schedules, from seed `first` on, and compares what they leave behind. Returns
    /// the outcome of the first.
    ///
    /// # Errors
    /// The ending of the lowest seed that did not end well; or, when all did, a race for the lowest
    /// seed whose outputs differ from the first's.
    pub fn run_seeds(&self, first: u64, count: u64) -> Result<Outcome, SeedEnding> {
        let at = |i| {
            let seed = first.wrapping_add(i);
            self.run(seed).map_err(|ending| SeedEnding { seed, ending })
        };
        let batch = rayon::current_num_threads() as u64;
        let mut reference: Option<Outcome> = None;
        // In batches, so that only as many results are held at a time as there are threads.
        for begin in (0..count.max(1)).step_by(batch as usize) {
            let end = (begin + batch).min(count.max(1));
            let outcomes: Vec<_> = (begin..end).into_par_iter().map(at).collect();
            for (i, outcome) in (begin..end).zip(outcomes) {
                let outcome = outcome?;
                match &reference {
                    None => reference = Some(outcome),
                    Some(reference) => agree(reference, &outcome, first, first.wrapping_add(i))?,
                }
            }
        }
        Ok(reference.expect("bug: a batch is never empty"))
    }
}

/// A race, unless two schedules left the same behind.
fn agree(a: &Outcome, b: &Outcome, first: u64, seed: u64) -> Result<(), SeedEnding> {
    let mut pairs = a.buffers.iter().zip(&b.buffers);
    match pairs.find_map(|(a, b)| difference(a, b)) {
        None => Ok(()),
        Some(what) => {
            let message = format!(
                "the result depends on the schedule: {what} (under seed {first} and seed {seed})"
            );
            Err(SeedEnding { seed, ending: Fault::new(FaultKind::Race, message).into() })
        }
    }
}

/// The first byte in which two results of a buffer differ.
fn difference(a: &OutputBuffer, b: &OutputBuffer) -> Option<String> {
    let unwritten = |buffer: &OutputBuffer, at: usize| {
        buffer.unwritten.iter().any(|&(start, length)| (start..start + length).contains(&at))
    };
    let differs = |at: &usize| a.bytes[*at] != b.bytes[*at];
    let byte = (0..a.bytes.len()).find(differs);
    // A byte may be written with 0 in one run and not at all in the other.
    let range = a.unwritten.iter().zip(&b.unwritten).find(|(x, y)| x != y);
    let edge = match range {
        Some((x, y)) => Some(x.0.min(y.0)),
        None => {
            let n = a.unwritten.len().min(b.unwritten.len());
            a.unwritten.get(n).or(b.unwritten.get(n)).map(|range| range.0)
        }
    };
    let at = match (byte, edge) {
        (Some(x), Some(y)) => x.min(y),
        (x, y) => x.or(y)?,
    };
    let show = |buffer: &OutputBuffer| {
        if unwritten(buffer, at) {
            "not written".to_owned()
        } else {
            format!("{:#04x}", buffer.bytes[at])
        }
    };
    let (left, right) = (show(a), show(b));
    if left != right {
        return Some(format!("buffer `{}` differs first at byte {at}: {left}, {right}", a.name));
    }
    // Both ranges begin here and end apart.
    Some(format!("buffer `{}` is written to a different extent from byte {at} on", a.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(bytes: &[u8], unwritten: &[(usize, usize)]) -> OutputBuffer {
        OutputBuffer {
            name: "c".into(),
            path: None,
            bytes: bytes.into(),
            unwritten: unwritten.into(),
        }
    }

    #[test]
    fn the_first_difference_is_named() {
        let a = buffer(&[1, 2, 0, 4], &[(2, 1)]);
        assert_eq!(difference(&a, &a), None);
        let b = buffer(&[1, 2, 0, 5], &[(2, 1)]);
        assert!(difference(&a, &b).unwrap().contains("`c` differs first at byte 3: 0x04, 0x05"));
        let c = buffer(&[1, 2, 0, 4], &[]);
        assert!(difference(&a, &c).unwrap().contains("byte 2: not written, 0x00"));
        let d = buffer(&[1, 2, 0, 0], &[(2, 2)]);
        assert!(difference(&a, &d).is_some());
    }
}
