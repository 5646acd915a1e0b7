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
        let at = |seed| self.run(seed).map_err(|ending| SeedEnding { seed, ending });
        let reference = at(first)?;
        let difference = (1..count).into_par_iter().find_map_first(|i| {
            let seed = first.wrapping_add(i);
            let outcome = match at(seed) {
                Ok(outcome) => outcome,
                Err(ending) => return Some(ending),
            };
            let pairs = reference.buffers.iter().zip(&outcome.buffers);
            let message = pairs.filter_map(|(a, b)| difference(a, b)).next()?;
            let message =
                format!("the result depends on the schedule: {message} ({first} vs {seed})");
            Some(SeedEnding { seed, ending: Fault::new(FaultKind::Race, message).into() })
        });
        match difference {
            None => Ok(reference),
            Some(ending) => Err(ending),
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
