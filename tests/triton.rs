//! Programs that nobody here scheduled: what Triton compiled for Blackwell and Hopper, run on the
//! emulator and compared with NumPy. `data/triton/README.md` says where they come from.

mod triton_case;

use rayon::prelude::*;
use triton_case::{Program, programs};

/// A faulty variant: what it does to each line that has this in it.
type Fault = (&'static str, &'static str, fn(&str) -> String);

fn dropped(_: &str) -> String {
    String::new()
}

/// A wait that does not wait: its predicate is true at once.
fn impatient(line: &str) -> String {
    let predicate = line.split_once(".b64 ").and_then(|(_, rest)| rest.split_once(','));
    format!("mov.pred {}, -1;", predicate.expect("a try_wait has a predicate").0)
}

/// A barrier that expects sixteen bytes too many.
fn greedy(line: &str) -> String {
    let (head, bytes) = line.rsplit_once(", ").expect("expect_tx has a byte count");
    let bytes: u32 = bytes.trim_end_matches(';').parse().expect("a constant count");
    format!("{head}, {};", bytes + 16)
}

const FAULTS: [Fault; 10] = [
    ("no wait for an mbarrier", "mbarrier.try_wait", impatient),
    ("bytes that never come", "mbarrier.arrive.expect_tx", greedy),
    ("no barrier of the CTA", "bar.sync", dropped),
    ("no wait for tcgen05.ld or .st", "tcgen05.wait", dropped),
    ("no commit of the MMAs", "tcgen05.commit", dropped),
    ("no wait for wgmma", "wgmma.wait_group", dropped),
    ("no fence before wgmma", "wgmma.fence", dropped),
    ("no wait for cp.async", "cp.async.wait_group", dropped),
    ("no mbarrier", "mbarrier.init", dropped),
    ("tensor memory kept", "tcgen05.dealloc", dropped),
];

/// Schedules per program.
const SEEDS: u64 = 4;

/// Runs `check` for every program; the messages of all that failed.
fn failures(check: impl Fn(&Program) -> Result<(), String> + Sync) -> Vec<String> {
    let one = |program: &Program| check(program).err().map(|why| format!("{program}: {why}"));
    programs().par_iter().filter_map(one).collect()
}

#[test]
fn every_program_does_what_numpy_says() {
    let failures = failures(|program| {
        let job = program.read()?;
        (0..SEEDS).try_for_each(|seed| {
            let outcome = job.run(seed).map_err(|ending| format!("seed {seed}: {ending}"))?;
            program.judge(&outcome).map_err(|why| format!("seed {seed}: {why}"))
        })
    });
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn both_architectures_and_enough_programs_are_there() {
    let programs = programs();
    for (target, least) in [("sm100", 30), ("sm90", 20)] {
        let found = programs.iter().filter(|program| program.target() == target).count();
        assert!(found >= least, "{found} programs for {target}");
    }
}

/// Faulty variants of every program: the same synchronising instruction taken out everywhere. Each is
/// a fault, or makes the result wrong, under one schedule at least.
#[test]
fn faulty_variants_are_caught() {
    let failures = failures(|program| {
        for (name, instruction, change) in FAULTS {
            let Some(job) = program.changed(instruction, change)? else { continue };
            let passes = |seed| job.run(seed).is_ok_and(|outcome| program.judge(&outcome).is_ok());
            if (0..2 * SEEDS).all(passes) {
                return Err(format!("not caught: {name}"));
            }
        }
        Ok(())
    });
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The judge must be able to say no: every output of every program, wrong in one element by the
/// least that its tolerance does not allow.
#[test]
fn one_wrong_element_is_noticed() {
    let failures = failures(|program| {
        let outcome = program.read()?.run(0).map_err(|ending| ending.to_string())?;
        for output in 0..outcome.buffers.len() {
            let mut wrong = outcome.clone();
            program.spoil(&mut wrong.buffers[output]);
            if program.judge(&wrong).is_ok() {
                return Err(format!("a wrong '{}' passed", wrong.buffers[output].name));
            }
        }
        Ok(())
    });
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
