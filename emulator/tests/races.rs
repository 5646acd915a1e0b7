//! Races that a schedule may hide: each rule by a small program, found under every seed, and the
//! same program with the order that was missing.

mod common;

use common::{Bench, fault, one_cta, params};
use ptx_emulator::error::FaultKind;
use ptx_emulator::run::Launch;

/// A kernel with two warps: `%p0` is thread 0, `%p1` the first warp, `%p2` the first thread of the
/// second; `%r1` is shared memory, with a word for each thread and an mbarrier at 512 that expects
/// one arrival; `%r2` is the address of the own word, `%r3` that of the other warp.
fn kernel(body: &str) -> String {
    format!(
        ".version 8.8\n.target sm_100a\n.address_size 64\n\
         .extern .shared .align 1024 .b8 smem[];\n\
         .visible .entry k(.param .u64 buffer)\n{{\n\
         .reg .pred %p<8>;\n.reg .b32 %r<16>;\n.reg .b64 %rd<16>;\n\
         ld.param.u64 %rd0, [buffer];\nmov.u32 %r0, %tid.x;\nmov.u32 %r1, smem;\n\
         setp.eq.u32 %p0, %r0, 0;\nsetp.lt.u32 %p1, %r0, 32;\nsetp.eq.u32 %p2, %r0, 32;\n\
         shl.b32 %r2, %r0, 2;\nadd.s32 %r2, %r2, %r1;\nxor.b32 %r3, %r2, 128;\n\
         @%p0 mbarrier.init.shared::cta.b64 [%r1+512], 1;\n\
         st.shared.b32 [%r2], -1;\nfence.proxy.async.shared::cta;\n\
         fence.mbarrier_init.release.cluster;\nbar.sync 0;\n{body}\nret;\n}}\n"
    )
}

fn run(body: &str, seed: u64) -> Result<(), ptx_emulator::error::Ending> {
    let mut bench = Bench::new(&kernel(body));
    let buffer = bench.buffer("buffer", &[1; 1024]);
    let launch = Launch { ..one_cta("k", 64, 4096, params(&[buffer])) };
    bench.run(&launch, seed).map(|_| ())
}

/// With `missing` the program is right; without it, every seed finds a race that says `why`.
fn needs(body: &str, missing: &str, why: &str) {
    assert!(body.contains(missing), "{missing} in {body}");
    for seed in 0..8 {
        assert_eq!(run(body, seed), Ok(()), "seed {seed}");
        let ending = run(&body.replace(missing, ""), seed);
        let found = fault(ending.err().unwrap_or_else(|| panic!("seed {seed}: no {missing}")));
        assert_eq!(found.kind, FaultKind::Race, "seed {seed}: {found}");
        assert!(found.message.contains(why), "seed {seed}: {found}");
        assert!(found.actor.is_some() && found.other.is_some(), "both parties: {found:?}");
    }
}

const WAIT: &str = "W: mbarrier.try_wait.parity.shared::cta.b64 %p3, [%r1+512], 0; @!%p3 bra W;";
const COPY: &str = "@%p0 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r1+512], 256; \
    @%p0 cp.async.bulk.shared::cta.global.mbarrier::complete_tx::bytes [%r1], [%rd0], 256, \
    [%r1+512];";

#[test]
fn stores_and_loads_of_two_warps() {
    let body = "st.shared.b32 [%r2], %r0; bar.sync 0; ld.shared.b32 %r4, [%r3];";
    needs(body, "bar.sync 0; ", "no barrier orders the two");
    // The other way round: nobody may overwrite what the other still reads.
    let body = "st.shared.b32 [%r2], %r0; bar.sync 0; ld.shared.b32 %r4, [%r3]; bar.sync 1; \
                st.shared.b32 [%r2], %r3;";
    needs(body, "bar.sync 1; ", "no barrier orders the two");
}

#[test]
fn a_barrier_of_others_orders_nothing() {
    let body = "@%p0 st.shared.b32 [%r1], %r0; @%p0 mbarrier.arrive.shared::cta.b64 _, [%r1+512]; \
                WAIT @%p2 ld.shared.b32 %r4, [%r1];"
        .replace("WAIT", WAIT);
    needs(&body, WAIT, "no barrier orders the two");
}

#[test]
fn a_copy_and_its_reader() {
    let body = format!("{COPY} {WAIT} ld.shared.b32 %r4, [%r2];");
    for seed in 0..8 {
        assert_eq!(run(&body, seed), Ok(()), "seed {seed}");
        // Long before it is read, the copy may have landed: the wait is missing all the same.
        let late = body.replace(WAIT, "nanosleep.u32 100; nanosleep.u32 100;");
        let found = fault(run(&late, seed).unwrap_err());
        assert!(matches!(found.kind, FaultKind::Race | FaultKind::UnwrittenRead), "{found}");
    }
}

#[test]
fn a_copy_over_what_was_stored_or_read() {
    let body = format!(
        "st.shared.b32 [%r2], %r0; fence.proxy.async.shared::cta; bar.sync 1; {COPY} {WAIT}"
    );
    needs(&body, "fence.proxy.async.shared::cta; ", "a fence.proxy.async is missing");
    // The first of the stores that are not ordered is another lane's.
    needs(&body, "bar.sync 1; ", "a bar.warp.sync is missing");
}

#[test]
fn a_store_of_what_was_stored() {
    let body = "@%p0 st.shared.b32 [%r1], %r0; fence.proxy.async.shared::cta; bar.sync 1; \
                @%p2 st.shared.b32 [%r1], %r0; @%p2 fence.proxy.async.shared::cta; bar.sync 0;";
    needs(body, "bar.sync 1; ", "no barrier orders the two");
}

#[test]
fn an_mbarrier_before_it_is_made() {
    let body = "@%p0 mbarrier.init.shared::cta.b64 [%r1+520], 1; bar.sync 1; \
                @%p0 mbarrier.arrive.shared::cta.b64 _, [%r1+520];";
    for seed in 0..8 {
        assert_eq!(run(body, seed), Ok(()), "seed {seed}");
    }
    let copy = COPY.replace("512", "520");
    let fence = "fence.mbarrier_init.release.cluster; ";
    let body = format!(
        "@%p0 mbarrier.init.shared::cta.b64 [%r1+520], 1; {fence}{copy} {}",
        WAIT.replace("512", "520").replace("W:", "bar.sync 1; W:")
    );
    needs(&body, fence, "fence.mbarrier_init is missing");
}

#[test]
fn atomics_do_not_race_and_same_values_neither() {
    for seed in 0..8 {
        let body = "@%p0 st.shared.b32 [%r1], %r0; bar.sync 1; atom.shared.add.u32 %r4, [%r1], 1;";
        assert_eq!(run(body, seed), Ok(()), "seed {seed}");
        assert_eq!(run("st.shared.b32 [%r1], 7;", seed), Ok(()), "seed {seed}");
    }
}

#[test]
fn a_cluster_barrier_that_hands_nothing_over() {
    let text = kernel(
        "mov.u32 %r4, %cluster_ctarank; xor.b32 %r4, %r4, 1; mapa.shared::cluster.u32 %r5, %r2, %r4; \
         st.shared::cluster.u32 [%r5], %r0; barrier.cluster.arrive.release.aligned; \
         barrier.cluster.wait.acquire.aligned; ld.shared.u32 %r6, [%r2];",
    );
    // The other CTA's first stores are ordered by a cluster barrier of their own.
    let text = text.replace("bar.sync 0;", "barrier.cluster.arrive; barrier.cluster.wait;");
    let relaxed = text.replace("arrive.release", "arrive.relaxed");
    let fenced = relaxed.replace(
        "barrier.cluster.arrive.relaxed",
        "fence.acq_rel.cluster; barrier.cluster.arrive.relaxed",
    );
    for seed in 0..8 {
        let run = |text: &str| {
            let mut bench = Bench::new(text);
            let buffer = bench.buffer("buffer", &[1; 1024]);
            let one = one_cta("k", 64, 4096, params(&[buffer]));
            let launch = Launch { grid: [2, 1, 1], cluster: Some([2, 1, 1]), ..one };
            bench.run(&launch, seed).map(|_| ())
        };
        assert_eq!(run(&text), Ok(()), "seed {seed}");
        assert_eq!(run(&fenced), Ok(()), "seed {seed}");
        let found = fault(run(&relaxed).unwrap_err());
        assert_eq!(found.kind, FaultKind::Race, "seed {seed}: {found}");
        assert!(found.message.contains("no barrier orders the two"), "{found}");
    }
}
