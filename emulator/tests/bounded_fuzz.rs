//! A bounded and repeatable share of fuzzing: damaged PTX through parser, decoder and interpreter,
//! and damaged launch files through their reader. Whatever comes of them, it is an ending, it comes
//! soon, and it is no panic. `emulator/fuzz` holds the unbounded share.

use std::time::{Duration, Instant};

use ptx_emulator::decode;
use ptx_emulator::error::Ending;
use ptx_emulator::launch_file::Job;
use ptx_emulator::launch_file::schema::LaunchFile;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

const SAMPLE: &str = include_str!("data/ptx/syntax.ptx");
const FORMS: &str = include_str!("data/ptx-forms.tsv");
const README: &str = include_str!("../README.md");

/// What numbers are replaced by.
const NUMBERS: [&str; 12] = [
    "0",
    "1",
    "-1",
    "3",
    "16",
    "255",
    "65535",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "18446744073709551615",
    "99999999999999999999",
];

/// The longest that one input may take, on a busy machine and without optimisation.
const PATIENCE: Duration = Duration::from_secs(20);

/// A block of the README, by its file name.
fn block(name: &str) -> &'static str {
    let start = README.find(&format!(" {name}\n")).expect("the README has the file");
    let start = start + name.len() + 2;
    &README[start..start + README[start..].find("```").expect("the block ends")]
}

/// Damages a text in a few places.
fn damage(text: &str, words: &[&str], rng: &mut SmallRng) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..rng.random_range(1..3) {
        if bytes.is_empty() {
            break;
        }
        let at = rng.random_range(0..bytes.len());
        let length = rng.random_range(1..=(bytes.len() - at).min(40));
        match rng.random_range(0..10) {
            0 => bytes[at] = rng.random(),
            1 => drop(bytes.drain(at..at + length)),
            2 => {
                let copy = bytes[at..at + length].to_vec();
                let to = rng.random_range(0..bytes.len());
                bytes.splice(to..to, copy);
            }
            3 | 7..=9 => {
                // A number in the place of a number.
                let digit = |i: &usize| bytes[*i].is_ascii_digit();
                if let Some(start) = (at..bytes.len()).find(digit) {
                    let end = (start..bytes.len()).find(|i| !digit(i)).unwrap_or(bytes.len());
                    let number = NUMBERS[rng.random_range(0..NUMBERS.len())];
                    bytes.splice(start..end, number.bytes());
                }
            }
            4 => {
                let word = words[rng.random_range(0..words.len())];
                bytes.splice(at..at, word.bytes());
            }
            5 => {
                // A word in the place of a word.
                let letter = |i: &usize| bytes[*i].is_ascii_alphanumeric() || bytes[*i] == b'_';
                if let Some(start) = (at..bytes.len()).find(letter) {
                    let end = (start..bytes.len()).find(|i| !letter(i)).unwrap_or(bytes.len());
                    let word = words[rng.random_range(0..words.len())];
                    bytes.splice(start..end, word.bytes());
                }
            }
            _ => {
                // Lines change places.
                let mut lines: Vec<&[u8]> = bytes.split(|&b| b == b'\n').collect();
                let (a, b) = (rng.random_range(0..lines.len()), rng.random_range(0..lines.len()));
                lines.swap(a, b);
                bytes = lines.join(&b'\n');
            }
        }
    }
    bytes
}

fn words() -> Vec<&'static str> {
    let forms = FORMS.lines().filter(|line| !line.starts_with('#')).skip(1);
    let names = forms.filter_map(|line| line.split('\t').next());
    let mut words: Vec<&str> = names.flat_map(|form| form.split('.').chain([form])).collect();
    words.extend(["%p1", "%r1", "%rd1", "[%r3]", "{%r1, %r2}", ".b128", "@%p1 ", "//", "/*", "\""]);
    words
}

fn soon<T>(input: &[u8], work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    let took = start.elapsed();
    assert!(took < PATIENCE, "{took:?} for {}", String::from_utf8_lossy(input));
    result
}

#[test]
fn damaged_ptx_is_read_or_refused() {
    let mut rng = SmallRng::seed_from_u64(0x0f);
    let words = words();
    let mut read = 0;
    for _ in 0..20_000 {
        let bytes = damage(SAMPLE, &words, &mut rng);
        match soon(&bytes, || decode::program(&bytes)) {
            Ok(program) => read += u32::from(program.check().is_ok()),
            Err(Ending::Malformed(why)) => assert!(!why.place.is_empty()),
            Err(Ending::Unsupported(_)) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert!((500..15_000).contains(&read), "{read} of 20000 are still PTX: no damage, or too much");
}

#[test]
fn damaged_kernels_run_to_an_ending() {
    let (ptx, launch) = (block("reverse.ptx"), block("launch.json"));
    let mut rng = SmallRng::seed_from_u64(0xf0);
    let words = words();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (mut right, mut faults) = (0, 0);
    for seed in 0..20_000 {
        let bytes = damage(ptx, &words, &mut rng);
        std::fs::write(folder.path().join("reverse.ptx"), &bytes).expect("writing the kernel");
        let mut file: LaunchFile = serde_json::from_str(launch).expect("a launch file");
        file.limits.instructions = Some(20_000);
        let ended = soon(&bytes, || Job::new(file, folder.path().to_owned())?.run(seed));
        match ended {
            Ok(_) => right += 1,
            Err(Ending::Fault(_)) => faults += 1,
            Err(_) => {}
        }
    }
    assert!(right > 100 && faults > 100, "{right} run, {faults} fail");
}

#[test]
fn damaged_launch_files_are_read_or_refused() {
    let launch = block("launch.json").replace(
        "\"params\": [ { \"buffer\": \"x\" } ]",
        "\"params\": [ { \"bytes\": \"00ff00ff00ff00ff\", \"patches\": [ { \"at\": 0, \"buffer\": \
         \"x\", \"offset\": 0 } ] } ]",
    );
    let words = [
        "u32",
        "u64",
        "f32",
        "buffer",
        "offset",
        "bytes",
        "tensor_map",
        "patches",
        "at",
        "fill",
        "file",
        "align",
        "cluster",
        "dynamic_shared",
        "target",
        "sm_100a",
        "null",
        "true",
        "{}",
        "[]",
        "\"\"",
        ",",
        ":",
        "1e999",
        "-0.5",
    ];
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("reverse.ptx"), block("reverse.ptx")).expect("writing");
    let mut rng = SmallRng::seed_from_u64(0xff);
    let mut read = 0;
    for _ in 0..20_000 {
        let bytes = damage(&launch, &words, &mut rng);
        let Ok(mut file) = serde_json::from_slice::<LaunchFile>(&bytes) else { continue };
        // Gigabytes may be right; here they are not.
        if file.buffers.values().any(|buffer| buffer.bytes > 1 << 16)
            || file
                .launches
                .iter()
                .any(|l| l.grid.iter().map(|&n| u64::from(n)).product::<u64>() > 64)
        {
            continue;
        }
        read += 1;
        file.limits.instructions = Some(20_000);
        let _ = soon(&bytes, || Job::new(file, folder.path().to_owned())?.run(1));
    }
    assert!(read > 300, "{read} of 20000 are still launch files");
}
