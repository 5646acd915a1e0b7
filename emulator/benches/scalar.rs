//! Rate of scalar interpretation, in thread-instructions per second.
//!
//! `loop_mix` is what ordinary kernels are made of: address arithmetic, `fma`, a compare and a
//! branch, shared and global memory. The other benchmarks isolate one ingredient each.

use divan::Bencher;
use divan::counter::ItemsCount;
use ptx_emulator::run::{Device, Launch, Module, Options};

fn main() {
    divan::main();
}

const TRIPS: u32 = 256;

/// The body of the loop: `%r1` counts, `%rd1` is the thread's global address, `%r2` its shared one.
const MIX: &str = "
    mad.lo.s32 %r4, %r1, 7, %r3;   and.b32 %r5, %r4, 255;      shl.b32 %r6, %r5, 2;
    add.s32 %r7, %r6, %r4;         xor.b32 %r3, %r7, %r1;
    ld.global.f32 %f1, [%rd1];     ld.shared.f32 %f2, [%r2];
    fma.rn.f32 %f3, %f1, %f2, %f3; add.rn.f32 %f4, %f3, %f1;   mul.rn.f32 %f5, %f4, 0f3F000000;
    st.shared.f32 [%r2], %f5;      st.global.f32 [%rd1], %f4;
    mul.wide.u32 %rd3, %r5, 4;     add.s64 %rd4, %rd3, %rd1;   setp.lt.s32 %p2, %r5, %r4;
    selp.b32 %r8, %r5, %r4, %p2;
";
const INTEGER: &str = "
    mad.lo.s32 %r4, %r1, 7, %r3;   and.b32 %r5, %r4, 255;      shl.b32 %r6, %r5, 2;
    add.s32 %r7, %r6, %r4;         xor.b32 %r3, %r7, %r1;      min.s32 %r5, %r7, %r4;
";
const WIDE: &str = "
    mul.wide.u32 %rd3, %r1, 4;     add.s64 %rd4, %rd3, %rd1;   sub.s64 %rd5, %rd4, %rd3;
    shl.b64 %rd6, %rd5, 2;         mad.wide.s32 %rd3, %r1, 8, %rd6; setp.lt.u64 %p2, %rd3, %rd4;
";
const FLOAT: &str = "
    fma.rn.f32 %f3, %f3, %f6, %f6; add.rn.f32 %f4, %f3, %f6;   mul.rn.f32 %f5, %f4, 0f3F000000;
    fma.rn.f32 %f3, %f5, %f6, %f4; max.f32 %f5, %f5, %f4;      setp.gt.f32 %p2, %f5, %f3;
";
const MEMORY: &str = "
    ld.global.f32 %f1, [%rd1];     ld.shared.f32 %f2, [%r2];
    st.shared.f32 [%r2], %f1;      st.global.f32 [%rd1], %f2;
";
/// Both sides of a branch that lanes disagree about.
const DIVERGENT: &str = "
    and.b32 %r5, %r3, 1;           setp.eq.s32 %p2, %r5, 0;
    @%p2 bra ODD;                  add.s32 %r3, %r3, 3;        bra MEET;
ODD: add.s32 %r3, %r3, 5;          sub.s32 %r4, %r3, 1;
MEET: xor.b32 %r3, %r3, %r1;
";

fn program(body: &str) -> String {
    format!(
        ".version 8.8 .target sm_100a .address_size 64
        .visible .entry k(.param .u64 x) {{
            .reg .pred %p<4>; .reg .b32 %r<12>; .reg .b64 %rd<8>; .reg .f32 %f<8>;
            .shared .align 16 .b8 tile[1024];
            ld.param.u64 %rd1, [x];   mov.u32 %r3, %tid.x;  mov.u32 %r9, %ctaid.x;
            mov.u32 %r10, %ntid.x;    mad.lo.s32 %r11, %r9, %r10, %r3;
            mul.wide.u32 %rd2, %r11, 4; add.s64 %rd1, %rd1, %rd2;
            shl.b32 %r2, %r3, 2;      mov.u32 %r1, tile;    add.s32 %r2, %r2, %r1;
            mov.f32 %f3, 0f3F800000;  mov.f32 %f6, 0f3F7FFFF0; st.shared.f32 [%r2], %f3;
            mov.u32 %r1, 0;
        LOOP: {body}
            add.s32 %r1, %r1, 1;      setp.ne.s32 %p1, %r1, {TRIPS};
            @%p1 bra LOOP;
            ret;
        }}"
    )
}

fn run(bencher: Bencher, body: &str, ctas: u32) {
    const THREADS: u32 = 256;
    let mut device = Device::new();
    let decoded = ptx_emulator::decode::program(program(body).as_bytes()).expect("legal PTX");
    let module: Module = device.load(decoded).expect("no external variables");
    let bytes = (THREADS * ctas * 4) as usize;
    let address = device.memory.allocate("x", bytes, 256);
    device.memory.upload(address, &vec![0; bytes]);
    let launch = Launch {
        entry: "k".to_owned(),
        grid: [ctas, 1, 1],
        block: [THREADS, 1, 1],
        cluster: None,
        dynamic_shared: 0,
        params: address.to_le_bytes().to_vec(),
    };
    // Seeds differ in how long a warp's turn is.
    let seeds = 0..8;
    let go = || {
        let one = |seed| {
            let options = Options { seed, ..Options::default() };
            device.launch(&module, &launch, &options).expect("a right kernel").instructions
        };
        seeds.clone().map(one).sum::<u64>()
    };
    let count = go();
    bencher.counter(ItemsCount::new(count)).bench(go);
}

/// One CTA, hence one core.
#[divan::bench(args = ["mix", "integer", "wide", "float", "memory", "divergent"], sample_count = 10)]
fn one_core(bencher: Bencher, body: &str) {
    let body = match body {
        "mix" => MIX,
        "integer" => INTEGER,
        "wide" => WIDE,
        "float" => FLOAT,
        "memory" => MEMORY,
        _ => DIVERGENT,
    };
    run(bencher, body, 1);
}

/// Independent CTAs, on all cores.
#[divan::bench(sample_count = 10)]
fn all_cores_mix(bencher: Bencher) {
    run(bencher, MIX, 16);
}
