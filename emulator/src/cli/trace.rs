//! `ptx-emulator trace`: one schedule, event by event.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use ptx_emulator::error::{Ending, Malformed};
use ptx_emulator::launch_file::{Job, LaunchTrace};
use ptx_emulator::trace::{Detail, perfetto, write_text};
use serde_json::{Value, json};

use super::report;
use crate::Ordering;

pub(crate) const HELP: &str = r#"EXAMPLE
  ptx-emulator trace launch.json                      events of the launch file's seed
  ptx-emulator trace launch.json --seed 5 > five.txt  another schedule; the same seed gives the same
                                                      lines, so two traces can be compared with diff
  ptx-emulator trace launch.json --perfetto t.json    open t.json in ui.perfetto.dev

COLUMNS
  time (one tick per warp instruction or step of an asynchronous operation, per cluster), CTA and
  warp, PTX line, event, opcode on that line. Events:
    issue, read, complete   an asynchronous operation (#number, unit) is queued, has read its
                            sources, is complete
    wait, go on, give up    lanes of a warp wait, are woken, or a try_wait returns false
    phase                   an mbarrier completes a phase
    CTA ends                its last thread has exited
    execute                 an instruction and its lanes (with --instructions)

Outputs of the launch file are not written. The exit status is that of `run`; the events up to a
fault are printed."#;

#[derive(Debug, Args)]
pub(crate) struct Trace {
    /// The launch file (JSON)
    #[arg(value_name = "LAUNCH.json")]
    launch: PathBuf,
    /// Schedule seed, instead of the launch file's
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// What to take for granted where the ISA leaves an order open
    #[arg(long, value_enum, default_value_t = Ordering::Hardware)]
    ordering: Ordering,
    /// Every instruction of every warp as well
    #[arg(long)]
    instructions: bool,
    /// Write the timeline of waits and asynchronous operations to FILE for Perfetto, and no text
    #[arg(long, value_name = "FILE")]
    perfetto: Option<PathBuf>,
}

pub(crate) fn run(trace: &Trace) -> ExitCode {
    let result = Job::read(Path::new(&trace.launch)).map_err(|ending| (None, ending));
    let ended = result.and_then(|mut job| {
        job.set_ordering(trace.ordering.into());
        let seed = trace.seed.unwrap_or(job.seed());
        let detail = if trace.instructions { Detail::Instructions } else { Detail::Events };
        let (launches, outcome) = job.trace(seed, detail);
        let written = match &trace.perfetto {
            Some(path) => write_perfetto(path, &job, &launches),
            None => {
                print(&job, &launches);
                Ok(())
            }
        };
        outcome.map_err(|ending| (Some(seed), ending))?;
        written.map_err(|ending| (None, ending))
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err((seed, ending)) => {
            eprintln!("ptx-emulator: {}", report::line(seed, &ending));
            ExitCode::from(ending.exit_code())
        }
    }
}

fn print(job: &Job, launches: &[LaunchTrace]) {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    // A reader that went away (`| head`) is no failure of the run.
    let _ = launches.iter().enumerate().try_for_each(|(i, launch)| {
        writeln!(out, "launch {i}: {}", launch.entry)?;
        match job.program(&launch.module) {
            Some(program) => write_text(&mut out, &launch.trace, program),
            None => Ok(()),
        }
    });
    let _ = out.flush();
}

fn write_perfetto(path: &Path, job: &Job, launches: &[LaunchTrace]) -> Result<(), Ending> {
    let mut events: Vec<Value> = vec![];
    // Launches follow each other: each begins after the last event of the one before, and its CTAs
    // are processes of their own.
    let (mut time, mut processes) = (0, 0);
    for launch in launches {
        let Some(program) = job.program(&launch.module) else { continue };
        let mut object = perfetto(&launch.trace, program);
        let Some(Value::Array(own)) = object.get_mut("traceEvents").map(Value::take) else {
            continue;
        };
        let (mut end, mut used) = (time, processes);
        for mut event in own {
            let pid = event["pid"].as_u64().unwrap_or(0) + processes;
            used = used.max(pid + 1);
            event["pid"] = json!(pid);
            if let Some(ts) = event["ts"].as_u64() {
                event["ts"] = json!(ts + time);
                end = end.max(ts + time + 1);
            }
            events.push(event);
        }
        (time, processes) = (end, used);
    }
    std::fs::write(path, json!({ "traceEvents": events }).to_string()).map_err(|why| {
        Ending::Malformed(Malformed { place: path.display().to_string(), what: why.to_string() })
    })
}
