//! How the command line tells of an ending: one line, or one JSON object.

use ptx_emulator::error::{Actor, Ending};
use ptx_emulator::launch_file::Outcome;
use serde_json::{Map, Value, json};

/// The one line on stderr. A table of waiters follows on the same line.
pub(crate) fn line(seed: Option<u64>, ending: &Ending) -> String {
    let mut line = ending.to_string();
    if let Some(seed) = seed {
        line += &format!(" [seed {seed}]");
    }
    if let Ending::Fault(fault) = ending {
        for note in &fault.notes {
            line += " | ";
            line += note.trim();
        }
    }
    line.replace('\n', " ")
}

fn actor(actor: &Actor) -> Value {
    json!({ "line": actor.line, "cta": actor.cta, "warp": actor.warp, "lane": actor.lane })
}

/// The same as an object.
pub(crate) fn ending_json(seed: Option<u64>, ending: &Ending) -> Value {
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
    put("exit_code", json!(ending.exit_code()));
    if let Some(seed) = seed {
        put("seed", json!(seed));
    }
    match ending {
        Ending::Fault(fault) => {
            put("status", json!("fault"));
            put("kind", json!(format!("{:?}", fault.kind)));
            put("message", json!(fault.message));
            if let Some(who) = &fault.actor {
                put("line", json!(who.line));
                put("cta", json!(who.cta));
                put("warp", json!(who.warp));
                put("lane", json!(who.lane));
            }
            if let Some(text) = &fault.text {
                put("text", json!(text));
            }
            if let Some(address) = fault.address {
                put("address", json!(format!("{address:#x}")));
            }
            if let Some(other) = &fault.other {
                put("other", actor(other));
            }
            if !fault.notes.is_empty() {
                put("notes", json!(fault.notes));
            }
        }
        Ending::Unsupported(why) => {
            put("status", json!("unsupported"));
            put("message", json!(why.what));
            if why.line > 0 {
                put("line", json!(why.line));
            }
        }
        Ending::Malformed(why) => {
            put("status", json!("malformed"));
            put("place", json!(why.place));
            put("message", json!(why.what));
        }
    }
    Value::Object(object)
}

/// A good end as an object.
pub(crate) fn success_json(outcome: &Outcome, stats: bool) -> Value {
    let buffers: Vec<Value> = outcome
        .buffers
        .iter()
        .map(|buffer| {
            let unwritten: usize = buffer.unwritten.iter().map(|range| range.1).sum();
            json!({
                "name": buffer.name,
                "bytes": buffer.bytes.len(),
                "unwritten_bytes": unwritten,
                "file": buffer.path.as_ref().map(|path| path.display().to_string()),
            })
        })
        .collect();
    let mut object = json!({ "status": "ok", "exit_code": 0, "buffers": buffers });
    if stats {
        let launches = outcome.launches.iter().map(|launch| {
            let mut counts = Map::new();
            counts.insert("entry".into(), json!(launch.entry));
            counts.extend(launch.named().map(|(name, n)| (name.to_owned(), json!(n))));
            Value::Object(counts)
        });
        object["launches"] = launches.collect();
    }
    object
}

/// The counts, a line each.
pub(crate) fn stats_text(outcome: &Outcome) -> String {
    let mut text = vec![];
    for launch in &outcome.launches {
        text.push(format!("{}:", launch.entry));
        for (name, count) in launch.named() {
            text.push(format!("  {:<24} {count}", name.replace('_', " ")));
        }
    }
    text.join("\n")
}
