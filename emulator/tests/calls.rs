//! Calls through registers, tables of functions, recursion, and what is not supported but never met.

mod common;

use common::{Bench, fault, one_cta, params};
use ptx_emulator::error::{Ending, FaultKind};

const HEAD: &str = ".version 8.8\n.target sm_90\n.address_size 64\n";

/// A kernel of one warp: `%r0` is the lane, `%rd1` the lane's word of the output; `%r9` goes there.
fn kernel(module: &str, body: &str) -> String {
    format!(
        "{HEAD}{module}
        .visible .entry k(.param .u64 output) {{
        .reg .pred %p<8>; .reg .b32 %r<32>; .reg .b64 %rd<16>;
        ld.param.u64 %rd0, [output]; mov.u32 %r0, %tid.x; mad.wide.u32 %rd1, %r0, 4, %rd0;
        {body}
        st.global.u32 [%rd1], %r9; ret; }}"
    )
}

fn run(module: &str, body: &str) -> Result<Vec<u32>, Ending> {
    let mut bench = Bench::new(&kernel(module, body));
    let to = bench.buffer("output", &[0; 128]);
    for seed in 0..3 {
        bench.run(&one_cta("k", 32, 0, params(&[to])), seed)?;
    }
    let words = bench.read(to, 128);
    Ok(words.chunks_exact(4).map(|b| u32::from_le_bytes(b.try_into().unwrap())).collect())
}

fn expect(module: &str, body: &str, value: impl Fn(u32) -> u32) {
    let found = run(module, body).unwrap_or_else(|why| panic!("{why}"));
    assert_eq!(found, (0..32).map(value).collect::<Vec<_>>());
}

/// What the kernel ends with, which is no good end.
fn ends(module: &str, body: &str) -> Ending {
    run(module, body).expect_err("the run ended well")
}

const TWICE_AND_SQUARE: &str = "
    .func (.param .b32 r) twice(.param .b32 x) {
        .reg .b32 %r<3>; ld.param.b32 %r0, [x]; add.u32 %r1, %r0, %r0; st.param.b32 [r], %r1; ret; }
    .func (.param .b32 r) square(.param .b32 x) {
        .reg .b32 %r<3>; ld.param.b32 %r0, [x]; mul.lo.u32 %r1, %r0, %r0; st.param.b32 [r], %r1; ret; }
    .func (.param .b64 r) wide(.param .b64 x) { .reg .b64 %t; ld.param.b64 %t, [x];
        st.param.b64 [r], %t; ret; }
    .global .align 8 .u64 table[3] = {twice, square, wide};";

/// Loads the function of table entry `%r1` and calls it with the lane.
const CALL: &str =
    "mov.u64 %rd2, table; mad.wide.u32 %rd2, %r1, 8, %rd2; ld.global.u64 %rd3, [%rd2];
    { .param .b32 a; .param .b32 b; st.param.b32 [a], %r0;
      p: .callprototype (.param .b32 _) _ (.param .b32 _);
      call (b), %rd3, (a), p;
      ld.param.b32 %r9, [b]; }";

#[test]
fn a_table_of_functions() {
    // Odd lanes and even ones call different functions, and meet again.
    expect(TWICE_AND_SQUARE, &format!("and.b32 %r1, %r0, 1; {CALL} bar.warp.sync -1;"), |lane| {
        if lane % 2 == 1 { lane * lane } else { lane * 2 }
    });
}

#[test]
fn a_table_that_nobody_uses() {
    let table = ".extern .func elsewhere(); .global .u64 t[2] = {elsewhere, generic(inner)};
        .func inner() { frobnicate.b32; ret; }
        .entry never() { .reg .b64 %t; mov.u64 %t, never; call elsewhere; ret; }";
    expect(table, "add.u32 %r9, %r0, 5;", |lane| lane + 5);
}

#[test]
fn addresses_of_functions() {
    let list = "mov.u64 %rd3, twice; setp.ge.u32 %p1, %r0, 16; @%p1 mov.u64 %rd3, square;
        call (%r9), %rd3, (%r0), l; l: .calltargets twice, square;";
    expect(TWICE_AND_SQUARE, list, |lane| if lane < 16 { lane * 2 } else { lane * lane });
    // Byte by byte, as packed structures have it.
    let packed = format!(
        "{TWICE_AND_SQUARE} .global .align 1 .b8 packed[9] = {{7, 0xFF(square), 0xFF00(square),
        0xFF0000(square), 0xFF000000(square), 0xFF00000000(square), 0xFF0000000000(square),
        0xFF000000000000(square), 0xFF00000000000000(square)}};"
    );
    let body = "mov.u64 %rd2, packed; mov.u64 %rd3, 0; mov.u32 %r2, 8;
        L: cvt.u64.u32 %rd5, %r2; add.u64 %rd5, %rd5, %rd2; ld.global.u8 %rd4, [%rd5];
        shl.b64 %rd3, %rd3, 8; or.b64 %rd3, %rd3, %rd4; sub.u32 %r2, %r2, 1;
        setp.ne.u32 %p1, %r2, 0; @%p1 bra L;
        call (%r9), %rd3, (%r0), l; l: .callprototype (.param .b32 _) _ (.param .b32 _);";
    expect(&packed, body, |lane| lane * lane);
}

#[test]
fn wrong_calls_are_faults() {
    let message = |ending| {
        let fault = fault(ending);
        assert_eq!(fault.kind, FaultKind::OutOfBounds, "{fault}");
        fault.to_string()
    };
    let why = message(ends(TWICE_AND_SQUARE, &format!("mov.u32 %r1, 2; {CALL}")));
    assert!(why.contains("other parameters"), "{why}");
    let nowhere = "mov.u64 %rd3, 64; call (%r9), %rd3, (%r0), l; l: .calltargets twice;";
    let why = message(ends(TWICE_AND_SQUARE, nowhere));
    assert!(why.contains("no function") && why.contains("lane 0"), "{why}");
    let left_out = "mov.u64 %rd3, square; call (%r9), %rd3, (%r0), l; l: .calltargets twice;
        call (%r9), %rd3, (%r0), m; m: .calltargets square;";
    let why = message(ends(TWICE_AND_SQUARE, left_out));
    assert!(why.contains("'square', which '.calltargets' leaves out"), "{why}");
}

/// x! with the result in a register of `.param` space, as compilers have it.
const FACTORIAL: &str = "
    .func (.param .b32 r) factorial(.param .b32 x) {
        .reg .b32 %r<5>; .reg .pred %p;
        ld.param.b32 %r0, [x]; mov.u32 %r1, 1; setp.le.u32 %p, %r0, 1; @%p bra DONE;
        sub.u32 %r2, %r0, 1;
        { .param .b32 a; .param .b32 b; st.param.b32 [a], %r2; call.uni (b), factorial, (a);
          ld.param.b32 %r3, [b]; }
        ld.param.b32 %r4, [x]; mul.lo.u32 %r1, %r3, %r4;
        DONE: st.param.b32 [r], %r1; ret; }";

#[test]
fn recursion() {
    let factorial = |n: u32| (1..=n).product::<u32>();
    let call = "and.b32 %r1, %r0, 7; call (%r9), factorial, (%r1);";
    expect(FACTORIAL, call, |lane| factorial(lane % 8));
    // Two functions that call each other, with results in registers.
    let pair = "
        .func (.reg .b32 %o) odd(.reg .b32 %n);
        .func (.reg .b32 %e) even(.reg .b32 %n) { .reg .b32 %m; .reg .pred %p;
            mov.u32 %e, 1; setp.eq.u32 %p, %n, 0; @%p ret; sub.u32 %m, %n, 1;
            call (%e), odd, (%m); ret; }
        .func (.reg .b32 %o) odd(.reg .b32 %n) { .reg .b32 %m; .reg .pred %p;
            mov.u32 %o, 0; setp.eq.u32 %p, %n, 0; @%p ret; sub.u32 %m, %n, 1;
            call (%o), even, (%m); ret; }";
    expect(pair, "call (%r9), even, (%r0);", |lane| u32::from(lane % 2 == 0));
}

#[test]
fn local_memory_of_each_call() {
    // Each call keeps its number in local memory and hands the address on; the innermost sums up
    // the chain.
    let chain = "
        .func (.param .b32 r) chain(.param .b32 n, .param .b64 up) {
            .local .align 16 .b8 own[16]; .reg .b32 %r<6>; .reg .b64 %rd<6>; .reg .pred %p<2>;
            ld.param.b32 %r0, [n]; ld.param.b64 %rd0, [up];
            mov.u64 %rd1, own; cvta.local.u64 %rd2, %rd1; st.local.u32 [own], %r0;
            st.u64 [%rd2+8], %rd0;
            setp.eq.u32 %p0, %r0, 0; @%p0 bra LEAF;
            sub.u32 %r1, %r0, 1; call (%r2), chain, (%r1, %rd2); bra DONE;
            LEAF: mov.u32 %r2, 0; mov.u64 %rd3, %rd2;
            L: ld.u32 %r3, [%rd3]; add.u32 %r2, %r2, %r3; ld.u64 %rd3, [%rd3+8];
            setp.ne.u64 %p1, %rd3, 0; @%p1 bra L;
            DONE: ld.local.u32 %r4, [own]; add.u32 %r2, %r2, %r4;
            st.param.b32 [r], %r2; ret; }";
    let body = "mov.u64 %rd3, 0; and.b32 %r1, %r0, 3; call (%r9), chain, (%r1, %rd3);";
    expect(chain, body, |lane| 2 * (0..=lane % 4).sum::<u32>());
    let endless =
        ".func f(.param .b32 n) { .reg .b32 %r; ld.param.b32 %r, [n]; call f, (%r); ret; }";
    let why = fault(ends(endless, "call f, (%r0); mov.u32 %r9, 0;"));
    assert!(why.kind == FaultKind::LaunchLimit && why.message.contains("10000 calls"), "{why}");
}

#[test]
fn recursion_through_a_register() {
    let fibonacci = "
        .global .u64 self = fib;
        .func (.param .b32 r) fib(.param .b32 n) {
            .reg .b32 %r<6>; .reg .b64 %rd; .reg .pred %p;
            ld.param.b32 %r0, [n]; mov.u32 %r3, %r0; setp.lt.u32 %p, %r0, 2; @%p bra DONE;
            ld.global.u64 %rd, [self]; sub.u32 %r1, %r0, 1; sub.u32 %r2, %r0, 2;
            call (%r4), %rd, (%r1), p; call (%r5), %rd, (%r2), p; add.u32 %r3, %r4, %r5;
            p: .callprototype (.param .b32 _) _ (.param .b32 _);
            DONE: st.param.b32 [r], %r3; ret; }";
    let fib = |n: u32| (0..n).fold((0, 1), |(a, b), _| (b, a + b)).0;
    let body = "and.b32 %r1, %r0, 7; call (%r9), fib, (%r1);";
    expect(fibonacci, body, |lane| fib(lane % 8));
}

#[test]
fn the_stack() {
    let body = "stacksave.u64 %rd2; mad.lo.u32 %r1, %r0, 4, 4; cvt.u64.u32 %rd5, %r1;
        alloca.u64 %rd3, %rd5, 16; mad.wide.u32 %rd4, %r0, 4, %rd3; st.local.u32 [%rd4], %r0;
        alloca.u64 %rd6, 8; st.local.u32 [%rd6], 100; ld.local.u32 %r2, [%rd4];
        ld.local.u32 %r3, [%rd6]; add.u32 %r9, %r2, %r3; stackrestore.u64 %rd2;
        alloca.u64 %rd7, 8, 16; setp.eq.u64 %p1, %rd7, %rd3; @!%p1 trap;";
    expect("", body, |lane| lane + 100);
}

#[test]
fn what_is_not_supported_stops_a_run_that_comes_there() {
    let body =
        "mov.u32 %r9, 1; setp.eq.u32 %p1, %r0, 99; @%p1 bra X; bra Y; X: frobnicate.b32 %r9; Y:";
    expect("", body, |_| 1);
    match ends("", &body.replace("99", "3")) {
        Ending::Unsupported(why) => {
            assert!(why.what.contains("frobnicate") && why.line == 8, "{why}")
        }
        other => panic!("{other}"),
    }
}
