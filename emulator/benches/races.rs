//! What looking for races costs: the same kernels with and without, in thread-instructions a second.

use divan::Bencher;
use divan::counter::ItemsCount;
use ptx_emulator::run::{Device, Launch, Options};

fn main() {
    divan::main();
}

const THREADS: u32 = 256;
const CTAS: u32 = 8;

/// Loads and stores of global memory, coalesced, and some arithmetic.
const MEMORY: &str = "ld.global.f32 %f1, [%rd2]; fma.rn.f32 %f1, %f1, %f1, %f1; \
    add.u32 %r4, %r4, %r0; ld.global.f32 %f2, [%rd2+131072]; add.f32 %f2, %f2, %f1; \
    xor.b32 %r4, %r4, %r3; st.global.f32 [%rd2], %f2; ld.shared.f32 %f3, [%r2]; \
    add.f32 %f3, %f3, %f2; st.shared.f32 [%r2], %f3;";

/// A barrier and an exchange by shared memory each time round.
const SYNC: &str = "st.shared.u32 [%r2], %r4; bar.sync 0; xor.b32 %r5, %r2, 128; \
    ld.shared.u32 %r6, [%r5]; add.u32 %r4, %r4, %r6; bar.sync 1;";

/// Registers alone.
const PLAIN: &str = "mad.lo.u32 %r4, %r4, %r3, %r0; xor.b32 %r5, %r4, %r3; shl.b32 %r6, %r5, 3; \
    add.u32 %r4, %r6, %r5; fma.rn.f32 %f1, %f1, %f1, %f1; min.u32 %r5, %r4, %r6;";

fn program(body: &str) -> String {
    format!(
        ".version 8.0 .target sm_90 .address_size 64
        .visible .entry k(.param .u64 x) {{
            .reg .pred %p<2>; .reg .b32 %r<8>; .reg .b64 %rd<4>; .reg .f32 %f<4>;
            .shared .align 16 .b8 tile[1024];
            ld.param.u64 %rd0, [x]; mov.u32 %r0, %tid.x; mov.u32 %r1, %ctaid.x;
            mad.lo.u32 %r3, %r1, {THREADS}, %r0; mul.wide.u32 %rd1, %r3, 4; add.u64 %rd2, %rd0, %rd1;
            mov.u32 %r2, tile; shl.b32 %r4, %r0, 2; add.u32 %r2, %r2, %r4;
            st.shared.u32 [%r2], %r0; mov.f32 %f1, 0f3F800000; mov.u32 %r7, 0;
        LOOP: {body}
            add.u32 %r7, %r7, 1; setp.ne.u32 %p1, %r7, 200; @%p1 bra LOOP;
            ret;
        }}"
    )
}

#[divan::bench(args = ["plain", "memory", "sync"], consts = [false, true], sample_count = 10)]
fn all_cores<const RACES: bool>(bencher: Bencher, body: &str) {
    let body = match body {
        "plain" => PLAIN,
        "memory" => MEMORY,
        _ => SYNC,
    };
    let mut device = Device::new();
    let decoded = ptx_emulator::decode::program(program(body).as_bytes()).expect("legal PTX");
    let module = device.load(decoded).expect("no external variables");
    let bytes = 131_072 + (THREADS * CTAS * 4) as usize;
    let address = device.memory.allocate("x", bytes, 256);
    device.memory.upload(address, &vec![0; bytes]);
    let launch = Launch {
        entry: "k".to_owned(),
        grid: [CTAS, 1, 1],
        block: [THREADS, 1, 1],
        cluster: None,
        dynamic_shared: 0,
        params: address.to_le_bytes().to_vec(),
    };
    let go = || {
        let one = |seed| {
            let options = Options { seed, races: RACES, ..Options::default() };
            device.launch(&module, &launch, &options).expect("a right kernel").instructions
        };
        (0..4).map(one).sum::<u64>()
    };
    let count = go();
    bencher.counter(ItemsCount::new(count)).bench(go);
}
