//! Any bytes as PTX: an ending, never a panic, a hang or much memory.
//!
//! ```text
//! mkdir -p corpus/ptx && cp ../tests/data/ptx/*.ptx corpus/ptx/
//! cargo +nightly fuzz run ptx -- -max_len=20000 -timeout=5 -rss_limit_mb=1024
//! ```
#![no_main]

use libfuzzer_sys::fuzz_target;
use ptx_emulator::decode;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(program) = decode::program(bytes) {
        let _ = program.check();
    }
});
