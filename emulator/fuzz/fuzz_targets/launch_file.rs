//! Any bytes as a launch file, beside a kernel that they may name `kernel.ptx`, run with a small
//! budget.
//!
//! ```text
//! cargo +nightly fuzz run launch_file -- -timeout=10 -rss_limit_mb=2048
//! ```
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ptx_emulator::launch_file::Job;
use ptx_emulator::launch_file::schema::LaunchFile;

const KERNEL: &str = "
.version 8.0 .target sm_90 .address_size 64
.visible .entry k(.param .u64 x, .param .align 64 .b8 map[128], .param .f32 f) {
    .reg .b32 %r<4>; .reg .b64 %rd<4>;
    ld.param.u64 %rd1, [x];
    mov.u32 %r1, %tid.x;
    mul.wide.u32 %rd2, %r1, 4;
    add.s64 %rd3, %rd1, %rd2;
    ld.global.u32 %r2, [%rd3];
    st.global.u32 [%rd3], %r1;
    ret;
}";

static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("kernel.ptx"), KERNEL).expect("writing the kernel");
    folder
});

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut file) = serde_json::from_slice::<LaunchFile>(bytes) else { return };
    // A file may ask for gigabytes and be right; here it may not. Only names inside the folder.
    let large = file.buffers.values().any(|buffer| buffer.bytes > 1 << 16);
    let outside = |path: &String| path.contains('/');
    let reaches = file.modules.values().any(outside)
        || file.buffers.values().any(|buffer| buffer.file.as_ref().is_some_and(outside));
    let threads = |d: [u32; 3]| d.iter().map(|&n| u64::from(n)).product::<u64>();
    let wide = file.launches.iter().any(|launch| threads(launch.grid) > 64);
    if large || reaches || wide || file.launches.len() > 4 {
        return;
    }
    file.limits.instructions = Some(10_000);
    if let Ok(job) = Job::new(file, FOLDER.path().to_owned()) {
        let _ = job.run_seeds(0, 2);
    }
});
