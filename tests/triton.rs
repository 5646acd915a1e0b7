//! Programs that nobody here scheduled: what Triton compiled for Blackwell and Hopper, run on the
//! emulator and compared with NumPy. `data/triton/README.md` says where they come from.

mod triton_case;

use rayon::prelude::*;
use triton_case::{Program, programs};

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
