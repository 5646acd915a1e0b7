//! `ptx-emulator`: runs the launches of a launch file, without a GPU.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use ptx_emulator::error::Ending;
use ptx_emulator::launch_file::{Job, Outcome, SeedEnding};
use ptx_emulator::run;

use cli::{check, report, trace};

mod cli;

/// Exit status for a command line that makes no sense: the same as for a malformed file, since 1
/// and 2 speak about the program under judgement.
const MISUSE: u8 = 3;

/// Runs PTX on the CPU and judges it.
///
/// Asynchronous work (bulk and tensor copies, tensor-core instructions, barrier arrivals) is queued
/// and completes late, in an order drawn from a seed, so that a missing wait shows. Registers and
/// memory that nobody wrote are faults when read.
#[derive(Debug, Parser)]
#[command(
    version,
    max_term_width = 100,
    after_help = "\
Start with `ptx-emulator run --help`, which shows a launch file. Each command's --help has examples."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the launches of a launch file and write its outputs
    #[command(after_long_help = RUN_HELP)]
    Run(Run),
    /// Read PTX files and say what they need and what of them is not supported; run nothing
    #[command(after_long_help = check::HELP)]
    Check(check::Check),
    /// Run one schedule and tell what happens, one line per event
    #[command(after_long_help = trace::HELP)]
    Trace(trace::Trace),
}

/// Which order of asynchronous operations may be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Ordering {
    /// Only what the ISA's text guarantees
    Strict,
    /// Also what shipped kernels rely on: tcgen05 operations of one thread stay in order
    Hardware,
}

impl From<Ordering> for run::Ordering {
    fn from(ordering: Ordering) -> Self {
        match ordering {
            Ordering::Strict => run::Ordering::Strict,
            Ordering::Hardware => run::Ordering::Hardware,
        }
    }
}

#[derive(Debug, Args)]
struct Run {
    /// The launch file (JSON); paths inside it are relative to it
    #[arg(value_name = "LAUNCH.json")]
    launch: PathBuf,
    /// Schedule seed, instead of the launch file's
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Run N schedules, from the seed on, and compare their outputs
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// What to take for granted where the ISA leaves an order open, instead of what the launch file
    /// says (hardware, if it says nothing)
    #[arg(long, value_enum)]
    ordering: Option<Ordering>,
    /// Print the result as a JSON object on stdout
    #[arg(long)]
    json: bool,
    /// Print the counts of each launch (instructions, copies, matrix work, waits)
    #[arg(long)]
    stats: bool,
}

const RUN_HELP: &str = r#"EXAMPLE
  A kernel `scale` in scale.ptx that doubles n floats in place:

    {
      "modules":  { "m": "scale.ptx" },
      "buffers":  { "x": { "bytes": 4096, "file": "x.bin" } },
      "launches": [ { "module": "m", "entry": "scale", "grid": [8,1,1], "block": [128,1,1],
                      "params": [ { "buffer": "x" }, { "u32": 1024 } ] } ],
      "outputs":  { "x": "doubled.bin" },
      "seed": 1
    }

  ptx-emulator run launch.json                 run it once
  ptx-emulator run launch.json --seeds 100     and under 99 more schedules; results must agree
  ptx-emulator run launch.json --json --stats  for another program to read
  ptx-emulator run launch.json --ordering strict   rely on the written guarantees alone

PARAMETERS
  u8 to u64, s8 to s64, f32, f64; "buffer" (with "offset") for a device address; "tensor_map" for a
  map by value; "bytes" in hexadecimal, with "patches" that write addresses or maps into them.

EXIT STATUS
  0  every launch ended
  1  the program is at fault: an unwritten read, an access out of bounds, a race, a deadlock, ...
  2  the program uses something that is not supported
  3  the launch file, the PTX or the command line is malformed

  On 1 to 3, one line on stderr says what, with the PTX line and, for a fault, the CTA, the warp,
  the lane, the address, and the other party of a race."#;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        eprintln!(
            "ptx-emulator: this is a bug of the emulator, not of your program; please report it \
             with the launch file and the PTX: {panic}"
        );
    }));
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(why) => {
            // Help and version count as success; nothing can be done when stderr is closed.
            let _ = why.print();
            return ExitCode::from(if why.use_stderr() { MISUSE } else { 0 });
        }
    };
    match cli.command {
        Command::Run(run) => finish(&run, execute(&run)),
        Command::Check(check) => check::run(&check),
        Command::Trace(trace) => trace::run(&trace),
    }
}

/// Reads, runs and writes; the seed is that of the schedule that ended badly, if one did.
fn execute(run: &Run) -> Result<Outcome, (Option<u64>, Ending)> {
    let mut job = Job::read(Path::new(&run.launch)).map_err(|ending| (None, ending))?;
    if let Some(ordering) = run.ordering {
        job.set_ordering(ordering.into());
    }
    let first = run.seed.unwrap_or(job.seed());
    let outcome = job
        .run_seeds(first, run.seeds)
        .map_err(|SeedEnding { seed, ending }| (Some(seed), ending))?;
    job.write(&outcome).map_err(|ending| (None, ending))?;
    Ok(outcome)
}

fn finish(run: &Run, result: Result<Outcome, (Option<u64>, Ending)>) -> ExitCode {
    let (text, code) = match &result {
        Ok(outcome) if run.json => (report::success_json(outcome, run.stats).to_string(), 0),
        Ok(outcome) if run.stats => (report::stats_text(outcome), 0),
        Ok(_) => (String::new(), 0),
        Err((seed, ending)) => {
            eprintln!("ptx-emulator: {}", report::line(*seed, ending));
            let object = report::ending_json(*seed, ending).to_string();
            (if run.json { object } else { String::new() }, ending.exit_code())
        }
    };
    if !text.is_empty() {
        // A reader that went away is no failure of the run.
        let _ = std::io::Write::write_all(&mut std::io::stdout(), format!("{text}\n").as_bytes());
    }
    ExitCode::from(code)
}
