//! Tensor maps of a launch file, from JSON to the bytes a kernel sees: by value, in a buffer, and
//! patched into a struct; with swizzle and out-of-bounds fill.

use std::path::Path;

use ptx_emulator::error::Ending;
use ptx_emulator::launch_file::{Job, schema::LaunchFile};

/// Loads an 8×64 tile of f16 at (32, 60) and copies its image in shared memory to `out`. MAP says
/// where the map is.
const TILE: &str = r#"
.version 8.8
.target sm_90
.address_size 64
.visible .entry tile(PARAM, .param .u64 out)
{
    .reg .pred %p<2>;
    .reg .b32 %r<4>;
    .reg .b64 %rd<4>;
    .shared .align 1024 .b8 image[1024];
    .shared .align 8 .b8 full[8];
    MAP
    ld.param.u64 %rd2, [out];
    mov.u32 %r1, image;
    mov.u32 %r2, full;
    mbarrier.init.shared::cta.b64 [%r2], 1;
    fence.mbarrier_init.release.cluster;
    fence.proxy.async.shared::cta;
    mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r2], 1024;
    cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes
        [%r1], [%rd1, {32, 60}], [%r2];
wait:
    mbarrier.try_wait.parity.shared::cta.b64 %p1, [%r2], 0;
    @!%p1 bra wait;
    cp.async.bulk.global.shared::cta.bulk_group [%rd2], [%r1], 1024;
    cp.async.bulk.commit_group;
    cp.async.bulk.wait_group 0;
    ret;
}
"#;

const MAP: &str = r#"{ "buffer": "x", "offset": 256, "type": "FLOAT16", "dims": [80, 64],
    "strides": [160], "box": [64, 8], "swizzle": "128B" }"#;

fn run(param: &str, get_map: &str, argument: &str, extra: &str, seed: u64) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, bytes: &[u8]| {
        std::fs::write(folder.path().join(name), bytes).expect("writing into the folder");
    };
    write("k.ptx", TILE.replace("PARAM", param).replace("MAP", get_map).as_bytes());
    write("x.bin", &x());
    let json = format!(
        r#"{{ "modules": {{ "m": "k.ptx" }},
        "buffers": {{ "x": {{ "bytes": {}, "file": "x.bin" }}, "out": {{ "bytes": 1024 }} {extra} }},
        "launches": [ {{ "module": "m", "entry": "tile", "grid": [1,1,1], "block": [1,1,1],
                         "params": [ {argument}, {{ "buffer": "out" }} ] }} ],
        "outputs": {{ "out": "out.bin" }} }}"#,
        x().len()
    );
    let file: LaunchFile = serde_json::from_str(&json).expect("a launch file");
    let result = Job::new(file, folder.path().to_owned()).and_then(|job| job.run(seed));
    let outcome = result.unwrap_or_else(|why| panic!("{why}"));
    assert_eq!(outcome.buffers[0].unwritten, []);
    outcome.buffers[0].bytes.clone()
}

/// 256 bytes that are not part of the tensor, then 64 rows of 80 numbers.
fn x() -> Vec<u8> {
    let numbers = (0..64 * 80u16).map(|i| i.wrapping_mul(40503)).flat_map(u16::to_le_bytes);
    [0xEE; 256].into_iter().chain(numbers).collect()
}

/// The image, one 16-byte chunk at a time.
fn expected() -> Vec<u8> {
    let tensor = &x()[256..];
    let mut image = vec![0; 1024];
    for row in 0..8 {
        for chunk in 0..8 {
            // Rows 64 and up, and columns 80 and up, lie outside.
            if row < 4 && chunk < 6 {
                let from = (60 + row) * 160 + 64 + chunk * 16;
                let to = row * 128 + (chunk ^ row) * 16;
                image[to..to + 16].copy_from_slice(&tensor[from..from + 16]);
            }
        }
    }
    image
}

#[test]
fn by_value_in_a_buffer_and_in_a_struct() {
    for seed in 0..8 {
        let by_value = run(
            ".param .align 64 .b8 map[128]",
            "mov.b64 %rd3, map; cvta.param.u64 %rd1, %rd3;",
            &format!(r#"{{ "tensor_map": {MAP} }}"#),
            "",
            seed,
        );
        assert_eq!(by_value, expected());
        let in_buffer = run(
            ".param .u64 map",
            "ld.param.u64 %rd1, [map];",
            r#"{ "buffer": "t" }"#,
            &format!(r#", "t": {{ "bytes": 128, "align": 64, "tensor_map": {MAP} }}"#),
            seed,
        );
        assert_eq!(in_buffer, expected());
        let zeros = "00".repeat(192);
        let in_struct = run(
            ".param .align 64 .b8 args[192]",
            "mov.b64 %rd3, args; cvta.param.u64 %rd1, %rd3; add.s64 %rd1, %rd1, 64;",
            &format!(
                r#"{{ "bytes": "{zeros}", "patches": [ {{ "at": 64, "tensor_map": {MAP} }} ] }}"#
            ),
            "",
            seed,
        );
        assert_eq!(in_struct, expected());
    }
}

#[test]
fn bytes_that_are_no_map_are_a_fault() {
    let file = r#"{ "modules": { "m": "k.ptx" }, "buffers": { "out": { "bytes": 1024 } },
        "launches": [ { "module": "m", "entry": "tile", "grid": [1,1,1], "block": [1,1,1],
                        "params": [ { "bytes": "ZEROS" }, { "buffer": "out" } ] } ] }"#;
    let file = file.replace("ZEROS", &"00".repeat(128));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ptx = TILE
        .replace("PARAM", ".param .align 64 .b8 map[128]")
        .replace("MAP", "mov.b64 %rd3, map; cvta.param.u64 %rd1, %rd3;");
    std::fs::write(folder.path().join("k.ptx"), ptx).expect("writing into the folder");
    let file: LaunchFile = serde_json::from_str(&file).expect("a launch file");
    let job = Job::new(file, Path::new(folder.path()).to_owned()).expect("a job");
    match job.run(1) {
        Err(Ending::Fault(fault)) => {
            assert!(fault.message.contains("tensor map"), "{fault}");
            let line = TILE.lines().position(|l| l.contains("bulk.tensor")).expect("the copy");
            assert_eq!(fault.actor.expect("who did it").line as usize, line + 1);
        }
        other => panic!("a fault was due: {other:?}"),
    }
}
