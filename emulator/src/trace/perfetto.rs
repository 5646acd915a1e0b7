//! A trace in the Chrome trace format, which Perfetto and `chrome://tracing` read: a process for
//! each CTA, a track for each warp that waits, and one for each unit that works asynchronously.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::text::opcode;
use super::{Trace, Unit, What};
use crate::decode::program::Program;

/// Track numbers from here on are units, below they are warps.
const FIRST_UNIT: u64 = 100;

/// The trace of a launch as a JSON object. One tick is shown as one microsecond.
pub fn perfetto(trace: &Trace, program: &Program) -> Value {
    let mut events = vec![];
    // CTAs and tracks that occur, to be named.
    let mut tracks: BTreeSet<([u32; 3], u64)> = BTreeSet::new();
    let mut processes: BTreeMap<[u32; 3], u64> = BTreeMap::new();
    for cluster in &trace.clusters {
        let mut waits: BTreeMap<([u32; 3], u32), (u64, String, u32)> = BTreeMap::new();
        for event in &cluster.events {
            let who = &event.actor;
            let number = processes.len() as u64;
            let pid = *processes.entry(who.cta).or_insert(number);
            let mut push = |tid: u64, mut object: Value| {
                object["pid"] = json!(pid);
                object["tid"] = json!(tid);
                tracks.insert((who.cta, tid));
                events.push(object);
            };
            let warp = u64::from(who.warp);
            let ts = event.tick;
            match &event.what {
                What::Instruction { .. } => push(
                    warp,
                    json!({ "ph": "X", "name": opcode(program, who.line), "ts": ts, "dur": 1,
                            "args": { "line": who.line } }),
                ),
                What::Issue { id, unit } | What::Complete { id, unit } => {
                    let begins = matches!(event.what, What::Issue { .. });
                    // Operations of a unit overlap, so they are nested by id and not by time.
                    let [x, y, z] = cluster.cluster;
                    push(
                        FIRST_UNIT + *unit as u64,
                        json!({ "ph": if begins { "b" } else { "e" }, "cat": unit.name(),
                                "id": format!("{x}.{y}.{z}#{id}"), "ts": ts,
                                "name": format!("{} line {}", unit.name(), who.line),
                                "args": { "opcode": opcode(program, who.line), "warp": who.warp } }),
                    );
                }
                What::ReadsDone { id, unit } => push(
                    FIRST_UNIT + *unit as u64,
                    json!({ "ph": "i", "s": "t", "name": format!("#{id} has read"), "ts": ts }),
                ),
                What::WaitBegin(what) => {
                    waits.insert((who.cta, who.warp), (ts, what.clone(), who.line));
                }
                What::WaitEnd { gave_up } => {
                    if let Some((begin, what, line)) = waits.remove(&(who.cta, who.warp)) {
                        push(
                            warp,
                            json!({ "ph": "X", "name": what, "ts": begin, "dur": ts - begin,
                                    "args": { "line": line, "gave_up": gave_up } }),
                        );
                    }
                }
                What::Phase { address } => push(
                    warp,
                    json!({ "ph": "i", "s": "p", "ts": ts,
                            "name": format!("mbarrier {address:#x} completes a phase") }),
                ),
                What::CtaEnd => {
                    push(warp, json!({ "ph": "i", "s": "p", "name": "CTA ends", "ts": ts }))
                }
            }
        }
        // Whoever still waits when the record ends waited for ever.
        let end = cluster.events.last().map_or(0, |event| event.tick);
        for ((cta, warp), (begin, what, line)) in waits {
            tracks.insert((cta, warp.into()));
            events.push(json!({ "ph": "X", "name": format!("{what} (never ends)"), "ts": begin,
                                "dur": end.saturating_sub(begin).max(1), "pid": processes[&cta],
                                "tid": warp, "args": { "line": line } }));
        }
    }
    for (cta, pid) in &processes {
        let [x, y, z] = cta;
        events.push(json!({ "ph": "M", "name": "process_name", "pid": pid,
                            "args": { "name": format!("CTA ({x},{y},{z})") } }));
    }
    for (cta, tid) in tracks {
        let unit = UNITS.iter().find(|&&unit| FIRST_UNIT + unit as u64 == tid);
        let name = unit.map_or(format!("warp {tid}"), |unit| unit.name().to_owned());
        events.push(json!({ "ph": "M", "name": "thread_name", "pid": processes[&cta], "tid": tid,
                            "args": { "name": name } }));
    }
    json!({ "traceEvents": events })
}

const UNITS: [Unit; 11] = [
    Unit::Tma,
    Unit::CpAsync,
    Unit::Arrive,
    Unit::StoreAsync,
    Unit::Cancel,
    Unit::TensorCopy,
    Unit::Mma,
    Unit::Commit,
    Unit::Shift,
    Unit::TensorLoad,
    Unit::TensorStore,
];
