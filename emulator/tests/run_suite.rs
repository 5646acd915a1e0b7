//! Every program of `data/run` that says what it computes, under several seeds. The format is in
//! `data/run/README.md`; the same files run on a device with `data/run/runner.c`.

mod common;

use std::collections::BTreeMap;
use std::path::PathBuf;

use common::Bench;
use ptx_emulator::run::Launch;
use ptx_emulator::tensor::map::{ElementType, Interleave, OobFill, TensorMap};
use ptx_emulator::tensor::swizzle::Swizzle;

const SEEDS: u64 = 4;

/// Bytes of an element.
fn size(ty: &str) -> usize {
    match ty {
        "b8" | "e4m3" | "e5m2" => 1,
        "b16" | "f16" | "bf16" => 2,
        "b32" | "s32" | "f32" => 4,
        "b64" | "s64" | "f64" => 8,
        _ => panic!("type {ty}"),
    }
}

/// The bits of a small integer in a type.
fn bits_of(ty: &str, value: i64) -> u64 {
    let (exponent, fraction) = match ty {
        "f16" => (5, 10),
        "bf16" => (8, 7),
        "f32" => (8, 23),
        "f64" => (11, 52),
        "e4m3" => (4, 3),
        "e5m2" => (5, 2),
        _ => return value as u64,
    };
    let magnitude = value.unsigned_abs();
    if magnitude == 0 {
        return 0;
    }
    let top = magnitude.ilog2();
    assert!(top <= fraction || magnitude.trailing_zeros() >= top - fraction, "{value} in {ty}");
    let shifted = u128::from(magnitude) << fraction >> top;
    let bias = (1u64 << (exponent - 1)) - 1;
    let field = (u64::from(top) + bias) << fraction | (shifted as u64 & ((1 << fraction) - 1));
    field | u64::from(value < 0) << (exponent + fraction)
}

fn number(word: &str) -> i64 {
    match word.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).unwrap() as i64,
        None => word.parse().unwrap(),
    }
}

fn fnv(bytes: &[u8]) -> u64 {
    let step = |h: u64, &b: &u8| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

#[derive(Default)]
struct Case {
    launch: Vec<u32>,
    cluster: Option<[u32; 3]>,
    shared: u32,
    /// Name, size, and content unless it is never written before.
    buffers: Vec<(String, usize, Option<Vec<u8>>)>,
    maps: BTreeMap<String, (String, TensorMap)>,
    params: Vec<String>,
    expected: Vec<Expected>,
    /// Values that a device is to give: buffer, first byte, bytes.
    asked: Vec<(String, usize, usize)>,
    hashes: Vec<(String, usize, u64)>,
}

struct Expected {
    buffer: String,
    /// First byte.
    first: usize,
    bytes: Vec<u8>,
    /// Type, units in the last place and power of two within which a value may lie.
    near: Option<(String, i64, i32)>,
}

/// What the list under a directive fills.
enum Open {
    Nothing,
    Buffer,
    Expected,
}

fn tensor_map(words: &[&str]) -> TensorMap {
    let (words, interleave) = match words[words.len() - 2] {
        "interleave" => {
            let kind = match words[words.len() - 1] {
                "16" => Interleave::B16,
                "32" => Interleave::B32,
                other => panic!("interleave {other}"),
            };
            (&words[..words.len() - 2], kind)
        }
        _ => (words, Interleave::None),
    };
    let rank: usize = words[1].parse().unwrap();
    let numbers: Vec<u64> = words[2..words.len() - 2].iter().map(|w| w.parse().unwrap()).collect();
    let mut map = TensorMap {
        rank,
        element: match words[0] {
            "b8" => ElementType::Uint8,
            "b16" => ElementType::Uint16,
            "b32" => ElementType::Uint32,
            "b64" => ElementType::Uint64,
            "f16" => ElementType::Float16,
            "bf16" => ElementType::Bfloat16,
            "f32" => ElementType::Float32,
            "f64" => ElementType::Float64,
            "s32" => ElementType::Int32,
            "s64" => ElementType::Int64,
            "f32ftz" => ElementType::Float32Ftz,
            "tf32" => ElementType::Tfloat32,
            "tf32ftz" => ElementType::Tfloat32Ftz,
            ty => panic!("tensor of {ty}"),
        },
        swizzle: match words[words.len() - 2] {
            "0" => Swizzle::None,
            "32" => Swizzle::B32,
            "64" => Swizzle::B64,
            "128" => Swizzle::B128,
            other => panic!("swizzle {other}"),
        },
        oob_fill: if words[words.len() - 1] == "nan" { OobFill::Nan } else { OobFill::Zero },
        interleave,
        ..TensorMap::default()
    };
    assert_eq!(numbers.len(), 4 * rank - 1);
    for d in 0..rank {
        map.dims[d] = numbers[d];
        map.box_dims[d] = numbers[2 * rank - 1 + d] as u32;
        map.element_strides[d] = numbers[3 * rank - 1 + d] as u32;
    }
    map.strides[..rank - 1].copy_from_slice(&numbers[rank..2 * rank - 1]);
    map
}

fn parse(text: &str) -> Case {
    let mut case = Case::default();
    let mut open = Open::Nothing;
    let mut ty = String::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("//@ ")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[0] {
            "." => {
                let bytes = words[1..].iter().flat_map(|word| {
                    let value = number(word);
                    let bits =
                        if word.starts_with("0x") { value as u64 } else { bits_of(&ty, value) };
                    bits.to_le_bytes()[..size(&ty)].to_vec()
                });
                match &open {
                    Open::Buffer => {
                        let last = case.buffers.last_mut().unwrap();
                        last.2.as_mut().unwrap().extend(bytes);
                    }
                    Open::Expected => case.expected.last_mut().unwrap().bytes.extend(bytes),
                    Open::Nothing => panic!("values for nothing"),
                }
            }
            "launch" => {
                case.launch = words[1..7].iter().map(|w| w.parse().unwrap()).collect();
                let mut rest = words[7..].iter();
                while let Some(word) = rest.next() {
                    let mut next = || rest.next().unwrap().parse().unwrap();
                    match *word {
                        "cluster" => case.cluster = Some([next(), next(), next()]),
                        "shared" => case.shared = next(),
                        other => panic!("{other}"),
                    }
                }
            }
            "buffer" => {
                ty = words[2].to_owned();
                let count: usize = words[3].parse().unwrap();
                let content = match words[4] {
                    "empty" => None,
                    "list" => Some(vec![]),
                    "random" => {
                        let [mut seed, low, high] = [5, 6, 7].map(|i| number(words[i]));
                        let mut bytes = vec![];
                        for _ in 0..count {
                            seed = (seed * 1_664_525 + 1_013_904_223) & 0xffff_ffff;
                            let value = low + (seed >> 16) % (high - low + 1);
                            bytes.extend(&bits_of(&ty, value).to_le_bytes()[..size(&ty)]);
                        }
                        Some(bytes)
                    }
                    other => panic!("{other}"),
                };
                open = Open::Buffer;
                case.buffers.push((words[1].to_owned(), count * size(&ty), content));
            }
            "map" => {
                let map = tensor_map(&words[3..]);
                case.maps.insert(words[1].to_owned(), (words[2].to_owned(), map));
            }
            "param" => case.params.push(words[1].to_owned()),
            "expect" | "within" => {
                ty = words[2].to_owned();
                let first = words[3].parse::<usize>().unwrap() * size(&ty);
                open = Open::Expected;
                let near = (words[0] == "within")
                    .then(|| (ty.clone(), number(words[5]), number(words[6]) as i32));
                let buffer = words[1].to_owned();
                case.expected.push(Expected { buffer, first, bytes: vec![], near });
            }
            "ask" => {
                let [first, count] = [3, 4].map(|i| words[i].parse::<usize>().unwrap());
                let size = size(words[2]);
                case.asked.push((words[1].to_owned(), first * size, count * size));
            }
            "hash" => {
                let value = number(words[3]) as u64;
                case.hashes.push((words[1].to_owned(), words[2].parse().unwrap(), value));
            }
            other => panic!("directive {other}"),
        }
    }
    case
}

/// Whether a value lies so many units in the last place, or 2 to that power, from another; numbers
/// alone do, anything else must be of the same kind.
fn is_near((ty, units, power): &(String, i64, i32), found: &[u8], wanted: &[u8]) -> bool {
    let read = |bytes: &[u8]| {
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(word)
    };
    let (sign, value): (u64, fn(u64) -> f64) = match ty.as_str() {
        "f16" => (1 << 15, |x| half::f16::from_bits(x as u16).to_f64()),
        "bf16" => (1 << 15, |x| half::bf16::from_bits(x as u16).to_f64()),
        _ => (1 << 31, |x| f32::from_bits(x as u32).into()),
    };
    let order = |x: u64| if x & sign != 0 { -((x & !sign) as i64) } else { x as i64 };
    let (x, y) = (read(found), read(wanted));
    let (a, b) = (value(x), value(y));
    if !a.is_finite() || !b.is_finite() {
        return a == b || a.is_nan() && b.is_nan();
    }
    (order(x) - order(y)).abs() <= *units || (a - b).abs() <= 2f64.powi(*power)
}

/// Runs a program under one seed; gives what is wrong.
fn check(text: &str, case: &Case, seed: u64) -> Result<(), String> {
    let mut bench = Bench::new(text);
    let mut addresses = BTreeMap::new();
    for (name, bytes, content) in &case.buffers {
        let address = match content {
            Some(content) => {
                assert_eq!(content.len(), *bytes, "values of {name}");
                bench.buffer(name, content)
            }
            None => bench.empty(name, *bytes),
        };
        addresses.insert(name.as_str(), address);
    }
    let mut params = vec![];
    for name in &case.params {
        match case.maps.get(name) {
            Some((buffer, map)) => {
                let map = TensorMap { base: addresses[buffer.as_str()], ..*map };
                map.validate()?;
                params.resize(params.len().next_multiple_of(64), 0);
                params.extend(map.encode());
            }
            None => params.extend(addresses[name.as_str()].to_le_bytes()),
        }
    }
    let dimensions = |first: usize| [0, 1, 2].map(|i| case.launch[first + i]);
    let launch = Launch {
        entry: "k".to_owned(),
        grid: dimensions(0),
        block: dimensions(3),
        cluster: case.cluster,
        dynamic_shared: case.shared,
        params,
    };
    bench.run(&launch, seed).map_err(|ending| ending.to_string())?;
    let all = case.expected.iter().map(|e| (&e.buffer, e.first, e.bytes.len()));
    let asked = case.asked.iter().map(|(buffer, first, bytes)| (buffer, *first, *bytes));
    for (buffer, first, bytes) in all.chain(asked) {
        let back =
            bench.device.memory.read_back(addresses[buffer.as_str()], first + bytes).unwrap();
        if let Some(gap) = back.unwritten.first() {
            return Err(format!("{buffer}: never written from {gap:?}"));
        }
    }
    for Expected { buffer, first, bytes: wanted, near } in &case.expected {
        let bytes = first + wanted.len();
        let found = &bench.read(addresses[buffer.as_str()], bytes)[*first..];
        let step = near.as_ref().map_or(4, |(ty, ..)| size(ty));
        let differs = |i: usize| {
            let end = (i + step).min(wanted.len());
            let (found, wanted) = (&found[i..end], &wanted[i..end]);
            match near {
                Some(near) => !is_near(near, found, wanted),
                None => found != wanted,
            }
        };
        let wrong: Vec<usize> = (0..wanted.len()).step_by(step).filter(|&i| differs(i)).collect();
        if !wrong.is_empty() {
            let word = |bytes: &[u8], i: usize| {
                let part = &bytes[i..(i + step).min(bytes.len())];
                part.iter().rev().map(|byte| format!("{byte:02x}")).collect::<String>()
            };
            let most = if std::env::var_os("RUN_SUITE_ALL").is_some() { usize::MAX } else { 12 };
            let shown = wrong
                .iter()
                .take(most)
                .map(|&i| format!(" [{}] {}!={}", i / step, word(found, i), word(wanted, i)));
            return Err(format!(
                "{buffer}, {} of {} differ (found!=expected):{}",
                wrong.len(),
                wanted.len() / step,
                shown.collect::<String>()
            ));
        }
    }
    for (buffer, bytes, wanted) in &case.hashes {
        let found = fnv(&bench.read(addresses[buffer.as_str()], *bytes));
        if found != *wanted {
            return Err(format!("{buffer}: hash {found:#x}, expected {wanted:#x}"));
        }
    }
    Ok(())
}

#[test]
fn every_program_of_the_folder() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/run");
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let wanted = std::env::var("RUN_SUITE_ONLY").unwrap_or_default();
    let (mut programs, mut failures) = (0, vec![]);
    for path in paths.iter().filter(|path| path.extension().is_some_and(|e| e == "ptx")) {
        let text = std::fs::read_to_string(path).unwrap();
        let name = path.file_stem().unwrap().to_string_lossy();
        if !text.contains("//@ launch") || !name.contains(&wanted) {
            continue;
        }
        let case = parse(&text);
        // An answer that is still asked for is no test; the variable is for those who write programs.
        let asking = std::env::var_os("RUN_SUITE_ASK").is_some();
        assert!(!case.expected.is_empty() || asking, "{name} expects nothing");
        programs += 1;
        let verdict = |seed| check(&text, &case, seed).err().map(|why| (seed, why));
        if let Some((seed, why)) = (0..SEEDS).find_map(verdict) {
            failures.push(format!("{name}, seed {seed}: {why}"));
        }
    }
    assert!(failures.is_empty(), "{} of {programs}:\n{}", failures.len(), failures.join("\n"));
    assert!(programs >= 200 || !wanted.is_empty(), "only {programs} programs were found");
}

/// What an H200 ends with an illegal instruction.
#[test]
fn tensor_stores_below_zero() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/run");
    for name in ["tma_store_2d_swizzle0", "tma_reduce_2d_add"] {
        let text = std::fs::read_to_string(folder.join(name).with_extension("ptx")).unwrap();
        for coordinate in ["mov.b32 %r10, 28;", "mov.b32 %r11, 10;"] {
            let bad = text.replace(coordinate, &coordinate.replace(", ", ", -"));
            assert_ne!(bad, text);
            let why = check(&bad, &parse(&bad), 0).unwrap_err();
            assert!(why.contains("none may be negative"), "{why}");
        }
    }
}

#[test]
fn small_integers_in_every_type() {
    assert_eq!(bits_of("f16", -3), 0xc200);
    assert_eq!(bits_of("bf16", 1), 0x3f80);
    assert_eq!(bits_of("e4m3", 2), 0x40);
    assert_eq!(bits_of("e5m2", -2), 0xc0);
    assert_eq!(bits_of("f32", 5), 0x40a0_0000);
    assert_eq!(bits_of("f64", 1), 0x3ff0_0000_0000_0000);
    assert_eq!(bits_of("b16", -1) as u16, 0xffff);
}
