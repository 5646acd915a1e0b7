//! Mutants of the program of a launch file, whoever wrote it: what it computes without a mistake is
//! what it should.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use nvfp4_dual_gemm_tests::mutants::{self, Mutant};
use ptx_emulator::error::Ending;
use ptx_emulator::launch_file::{Job, OutputBuffer};
use ptx_emulator::run::Ordering;
use rayon::prelude::*;

use super::{Options, explain, progress};

/// What became of a mutant.
enum Ended {
    /// Every seed noticed; what the first said.
    Killed(String),
    /// Some seeds noticed: how many, and what the first of them said.
    Sometimes(u64, String),
    /// Nobody noticed.
    Survived,
    /// The instruction is never executed.
    Idle,
    /// It is no program.
    Excluded(String),
}

/// A mutant of one of the modules.
struct Case {
    module: usize,
    mutant: Mutant,
}

/// The outputs of the program without a mistake.
struct Right {
    /// What each output holds; those that depend on the schedule, or that a file says, are compared with
    /// nothing else.
    buffers: BTreeMap<String, OutputBuffer>,
}

impl Right {
    /// What is wrong with these outputs.
    fn judge(&self, buffers: &[OutputBuffer]) -> Option<String> {
        buffers.iter().find_map(|got| {
            let right = self.buffers.get(&got.name)?;
            if got.unwritten != right.unwritten {
                return Some(format!("other bytes of '{}' are written", got.name));
            }
            let wrong = got.bytes.iter().zip(&right.bytes).filter(|(a, b)| a != b).count();
            (wrong > 0).then(|| format!("{wrong} bytes of '{}' are wrong", got.name))
        })
    }
}

/// Runs the command for one launch file; the number of survivors.
pub fn run(path: &Path, options: &Options) -> Result<usize> {
    let start = Instant::now();
    let mut job = Job::read(path).map_err(|ending| in_file(path, &ending))?;
    if options.strict {
        job.set_ordering(Ordering::Strict);
    }
    let (right, instructions) = right(&job, path, options)?;
    // A mutant that spins should not do so for long.
    job.set_instruction_limit(instructions * 4 + 1_000_000);
    let mut modules = vec![];
    let mut cases = vec![];
    for (module, (name, file, entries)) in job.modules().into_iter().enumerate() {
        let text =
            fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        let found = mutants::of_all(&text, &entries).into_iter();
        let wanted = found.filter(|mutant| options.wants(mutant));
        cases.extend(wanted.map(|mutant| Case { module, mutant }));
        modules.push((name.to_owned(), text));
    }
    let bar = progress(cases.len());
    let ended: Vec<Ended> = cases
        .par_iter()
        .map(|case| {
            let ended = judge(&job, &modules[case.module], &case.mutant, &right, options);
            bar.inc(1);
            ended
        })
        .collect();
    bar.finish_and_clear();
    Ok(report(path, &cases, &ended, &modules, options, start))
}

/// What the program computes, and in how many instructions.
fn right(job: &Job, path: &Path, options: &Options) -> Result<(Right, u64)> {
    let mut buffers: BTreeMap<String, OutputBuffer> = BTreeMap::new();
    let mut instructions = 0;
    let mut dependent = vec![];
    for seed in 0..options.seeds {
        let outcome = job.run(seed).map_err(|ending| in_file(path, &ending))?;
        let launches = outcome.launches.iter();
        instructions = instructions.max(launches.map(|launch| launch.stats.instructions).sum());
        for buffer in outcome.buffers {
            match buffers.get(&buffer.name) {
                Some(first) if *first == buffer => {}
                Some(_) => dependent.push(buffer.name),
                None => drop(buffers.insert(buffer.name.clone(), buffer)),
            }
        }
    }
    for name in dependent {
        if buffers.remove(&name).is_some() {
            eprintln!("note: '{name}' depends on the schedule and is not compared");
        }
    }
    for (name, file) in &options.expected {
        let bytes = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
        let Some(buffer) = buffers.get(name) else {
            bail!("'{name}' is no output of {}, or depends on the schedule", path.display());
        };
        if buffer.bytes != bytes {
            bail!("'{name}' is not what {} says, without any mistake", file.display());
        }
    }
    Ok((Right { buffers }, instructions))
}

fn in_file(path: &Path, ending: &Ending) -> anyhow::Error {
    anyhow::anyhow!("{}, without any mistake: {ending}", path.display())
}

fn judge(
    job: &Job,
    (name, text): &(String, String),
    mutant: &Mutant,
    right: &Right,
    options: &Options,
) -> Ended {
    let mutated = match job.with_module(name, &mutant.apply(text)) {
        Ok(job) => job,
        Err(ending) => return Ended::Excluded(ending.to_string()),
    };
    let mut killed = 0;
    let mut first = None;
    for seed in 0..options.seeds {
        let how = match mutated.run(seed) {
            Ok(outcome) => right.judge(&outcome.buffers),
            Err(ending @ (Ending::Unsupported(_) | Ending::Malformed(_))) => {
                return Ended::Excluded(ending.to_string());
            }
            Err(ending) => Some(ending.to_string()),
        };
        if let Some(how) = how {
            killed += 1;
            first.get_or_insert(how);
            if !options.every_seed {
                break;
            }
        }
    }
    match first {
        None => {
            let trapped = job.with_module(name, &mutant.trapped(text));
            match trapped.and_then(|job| job.run(job.seed())) {
                Ok(_) => Ended::Idle,
                Err(_) => Ended::Survived,
            }
        }
        Some(how) if options.every_seed && killed < options.seeds => Ended::Sometimes(killed, how),
        Some(how) => Ended::Killed(how),
    }
}

fn report(
    path: &Path,
    cases: &[Case],
    ended: &[Ended],
    modules: &[(String, String)],
    options: &Options,
    start: Instant,
) -> usize {
    let (mut killed, mut sometimes, mut survived, mut excluded, mut idle) = (0, 0, 0, 0, 0);
    let mut explained = 0;
    for (case, ended) in cases.iter().zip(ended) {
        let Mutant { line, what, original, .. } = &case.mutant;
        let module = match modules.len() {
            1 => String::new(),
            _ => format!("{} ", modules[case.module].0),
        };
        let place = format!("{module}line {line}, {what}: {}", short(original));
        match ended {
            Ended::Killed(how) => {
                killed += 1;
                if options.verbose {
                    println!("  killed    {place}\n            {}", short(how));
                }
            }
            Ended::Sometimes(count, how) => {
                sometimes += 1;
                let seeds = options.seeds;
                println!("  {count} of {seeds}    {place}\n            {}", short(how));
            }
            Ended::Survived => {
                survived += 1;
                let why = explain(&case.mutant, &modules[case.module].1);
                explained += usize::from(why.is_some());
                let why = why.map(|why| format!("\n            {why}")).unwrap_or_default();
                println!("  survived  {place}{why}");
            }
            Ended::Idle => {
                idle += 1;
                if options.verbose {
                    println!("  idle      {place}");
                }
            }
            Ended::Excluded(why) => {
                excluded += 1;
                if options.verbose {
                    println!("  excluded  {place}\n            {why}");
                }
            }
        }
    }
    let sometimes = match options.every_seed {
        true => format!("{sometimes} under some seeds alone, "),
        false => String::new(),
    };
    println!(
        "{}: {} mutants, {killed} killed, {sometimes}{survived} survived ({explained} of them explained), \
         {idle} of what is not executed, {excluded} excluded as not supported ({:.0} s)",
        path.display(),
        cases.len(),
        start.elapsed().as_secs_f64()
    );
    survived
}

/// The beginning of a long text, and its end.
fn short(text: &str) -> String {
    let length = text.chars().count();
    match length > 400 {
        true => {
            let head: String = text.chars().take(250).collect();
            let tail: String = text.chars().skip(length - 100).collect();
            format!("{head} … {tail}")
        }
        false => text.to_owned(),
    }
}

/// `NAME=FILE`.
pub fn expectation(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, file)) if !name.is_empty() && !file.is_empty() => {
            Ok((name.to_owned(), PathBuf::from(file)))
        }
        _ => Err(format!("'{text}' is not BUFFER=FILE")),
    }
}
