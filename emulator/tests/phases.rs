//! Mistakes around mbarriers, commits and the end of a CTA that most schedules forgive: each is a fault
//! under every seed, and the program without it under none.

mod common;

use common::{Bench, fault, one_cta, params};
use ptx_emulator::error::{Ending, Fault, FaultKind};
use ptx_emulator::run::{Launch, Options, Ordering};

/// A kernel of warps: `%p0` is thread 0, `%p1` the first warp, `%p2` the first thread of the second;
/// `%r1` is shared memory, with mbarriers that expect one arrival at 512 and 520; `%r2` the address of
/// the own word, `%rd0` a buffer.
fn kernel(body: &str) -> String {
    format!(
        ".version 8.8\n.target sm_100a\n.address_size 64\n\
         .extern .shared .align 1024 .b8 smem[];\n\
         .visible .entry k(.param .u64 buffer)\n{{\n\
         .reg .pred %p<8>;\n.reg .b16 %h<2>;\n.reg .b32 %r<16>;\n.reg .b64 %rd<16>;\n\
         ld.param.u64 %rd0, [buffer];\nmov.u32 %r0, %tid.x;\nmov.u32 %r1, smem;\n\
         setp.eq.u32 %p0, %r0, 0;\nsetp.lt.u32 %p1, %r0, 32;\nsetp.eq.u32 %p2, %r0, 32;\n\
         shl.b32 %r2, %r0, 2;\nadd.s32 %r2, %r2, %r1;\n\
         @%p0 mbarrier.init.shared::cta.b64 [%r1+512], 1;\n\
         @%p0 mbarrier.init.shared::cta.b64 [%r1+520], 1;\n\
         fence.mbarrier_init.release.cluster;\nbarrier.cluster.arrive; barrier.cluster.wait;\n\
         {body}\nret;\n}}\n"
    )
}

fn run(body: &str, threads: u32, ctas: u32, ordering: Ordering, seed: u64) -> Result<(), Ending> {
    let mut bench = Bench::new(&kernel(body));
    let buffer = bench.buffer("buffer", &[1; 1024]);
    let one = one_cta("k", threads, 4096, params(&[buffer]));
    let launch = Launch { grid: [ctas, 1, 1], cluster: Some([ctas, 1, 1]), ..one };
    let options = Options { seed, instruction_limit: 1_000_000, ordering, ..Options::default() };
    bench.device.launch(&bench.module, &launch, &options).map(|_| ())
}

const BOTH: [Ordering; 2] = [Ordering::Strict, Ordering::Hardware];

fn fine(body: &str, threads: u32, ctas: u32) {
    for (seed, ordering) in (0..8).flat_map(|seed| BOTH.map(|ordering| (seed, ordering))) {
        assert_eq!(run(body, threads, ctas, ordering, seed), Ok(()), "{seed} {ordering:?}: {body}");
    }
}

/// Under every seed a fault that says one of `whys`.
fn faulty_as(body: &str, threads: u32, ctas: u32, ordering: Ordering, whys: &[&str]) -> Fault {
    let mut last = None;
    for seed in 0..8 {
        let ending = run(body, threads, ctas, ordering, seed).err();
        let found = fault(ending.unwrap_or_else(|| panic!("{seed} {ordering:?}: {body}")));
        assert!(whys.iter().any(|why| found.message.contains(why)), "{seed} {ordering:?}: {found}");
        last = Some(found);
    }
    last.unwrap()
}

fn faulty(body: &str, threads: u32, ctas: u32, whys: &[&str]) {
    for ordering in BOTH {
        faulty_as(body, threads, ctas, ordering, whys);
    }
}

const COPY: &str = "@%p0 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r1+512], 256; \
    @%p0 cp.async.bulk.shared::cta.global.mbarrier::complete_tx::bytes [%r1], [%rd0], 256, \
    [%r1+512]; ";
const WAIT: &str = "W: mbarrier.try_wait.parity.shared::cta.b64 %p3, [%r1+512], 0; @!%p3 bra W; ";

#[test]
fn a_wait_whose_answer_nobody_looks_at() {
    let read = "ld.shared.b32 %r4, [%r2];";
    fine(&format!("{COPY}{WAIT}{read}"), 64, 1);
    // It may well sleep until all is there; it says so to nobody.
    let whys = ["orders the two", "is missing", "never written"];
    let deaf = WAIT.replace("@!%p3 bra W; ", "");
    faulty(&format!("{COPY}{deaf}{read}"), 64, 1, &whys);
    let overwritten = WAIT.replace("@!%p3", "setp.eq.u32 %p3, 0, 0; @!%p3");
    faulty(&format!("{COPY}{overwritten}{read}"), 64, 1, &whys);
    // Looked at by way of a register.
    let register = WAIT.replace(
        "@!%p3 bra",
        "selp.u32 %r5, 1, 0, %p3; setp.ne.u32 %p4, %r5, 0; setp.eq.u32 %p3, 0, 1; @!%p4 bra",
    );
    fine(&format!("{COPY}{register}{read}"), 64, 1);
}

#[test]
fn an_mbarrier_taken_away_from_its_waiters() {
    let body = format!("{COPY}{WAIT}bar.sync 1; @%p0 mbarrier.inval.shared::cta.b64 [%r1+512];");
    fine(&body, 64, 1);
    let whys = ["mbarrier operation", "no mbarrier was initialised"];
    faulty(&body.replace("bar.sync 1; ", ""), 64, 1, &whys);
}

#[test]
fn more_arrivals_than_a_phase_has() {
    // Three phases, two of which nobody has seen.
    let body = "@%p0 mbarrier.arrive.shared::cta.b64 _, [%r1+512]; ".to_owned() + WAIT;
    fine(&body, 64, 1);
    let all = body.replace("@%p0", "setp.lt.u32 %p4, %r0, 3; @%p4");
    faulty(&all, 64, 1, &["has not learned that phase 0 is over"]);
    let found = faulty_as(&all, 64, 1, Ordering::Strict, &["an arrival in phase 1"]);
    assert_eq!(found.kind, FaultKind::BarrierMisuse);
    // An arrival for each phase, each by who has seen the one before.
    let again = "X: mbarrier.try_wait.parity.shared::cta.b64 %p3, [%r1+512], 1; @!%p3 bra X;";
    let twice =
        format!("{body} bar.sync 1; @%p2 mbarrier.arrive.shared::cta.b64 _, [%r1+512]; {again}");
    fine(&twice, 64, 1);
    let early = twice.replace("bar.sync 1; ", "").replace(WAIT, "@%p1 bra W2; W2: ");
    faulty(&early, 64, 1, &["has not learned", "nothing says that the wait"]);
}

#[test]
fn commits_by_more_lanes_than_one() {
    let body = "elect.sync _|%p5, -1; @!%p1 bra M; @%p5 \
         tcgen05.commit.cta_group::1.mbarrier::arrive::one.shared::cluster.b64 [%r1+512]; M: "
        .to_owned()
        + WAIT;
    fine(&body, 64, 1);
    // An odd number of phases looks like one.
    faulty(&body.replace("@%p5 ", "@!%p5 "), 64, 1, &["has not learned that phase"]);
}

#[test]
fn a_wait_for_the_phase_before_the_first() {
    // Parity 1 of a new barrier is there at once, and once phase 0 is over it is not.
    let body = format!("@%p2 mbarrier.arrive.shared::cta.b64 _, [%r1+512]; {WAIT}");
    fine(&body, 64, 1);
    let flipped = body.replace("[%r1+512], 0", "[%r1+512], 1");
    // Compilers let idle warps wait for room too, and trust them not to be that late.
    let whys = ["nothing says that the wait", "nothing can run any more"];
    faulty_as(&flipped, 64, 1, Ordering::Strict, &whys);
    // As a producer waits for room: its consumer arrives because of what it has produced.
    let room = "@%p1 bra P; V: mbarrier.try_wait.parity.shared::cta.b64 %p4, [%r1+520], 0; \
         @!%p4 bra V; @%p2 mbarrier.arrive.shared::cta.b64 _, [%r1+512]; bra E; \
         P: mbarrier.try_wait.parity.shared::cta.b64 %p4, [%r1+512], 1; @!%p4 bra P; \
         @%p0 mbarrier.arrive.shared::cta.b64 _, [%r1+520]; E:";
    fine(room, 64, 1);
}

#[test]
fn a_wait_that_may_miss_its_phase() {
    // The second warp waits for both phases, and nobody waits for it.
    let second = "X: mbarrier.try_wait.parity.shared::cta.b64 %p3, [%r1+512], 1; @!%p3 bra X;";
    let body = format!(
        "@%p0 mbarrier.arrive.shared::cta.b64 _, [%r1+512]; {WAIT} bar.sync 1; \
         @%p0 mbarrier.arrive.shared::cta.b64 _, [%r1+512]; {second}"
    );
    fine(&body, 64, 1);
    let alone = body.replace("bar.sync 1; ", "");
    let whys = ["nothing says that the wait", "nothing can run any more"];
    faulty_as(&alone, 64, 1, Ordering::Strict, &whys);
    for seed in 0..32 {
        assert_eq!(run(&alone, 64, 1, Ordering::Hardware, seed), Ok(()), "{seed}");
    }
}

#[test]
fn bulk_stores_at_the_end() {
    let body = "st.shared.b32 [%r2], %r0; fence.proxy.async.shared::cta; bar.sync 1; @!%p0 bra E; \
         cp.async.bulk.global.shared::cta.bulk_group [%rd0], [%r1], 256; \
         cp.async.bulk.commit_group; cp.async.bulk.wait_group.read 0; E:";
    fine(body, 64, 1);
    for missing in ["cp.async.bulk.wait_group.read 0; ", "cp.async.bulk.commit_group; "] {
        let whys = ["the CTA ends, and nothing says", "still using its shared memory"];
        faulty(&body.replace(missing, ""), 64, 1, &whys);
    }
}

#[test]
fn a_load_that_nobody_waits_for() {
    fine(&format!("{COPY}{WAIT}"), 64, 1);
    let whys = ["the CTA ends, and nothing says", "still using its shared memory"];
    faulty(COPY, 64, 1, &whys);
}

#[test]
fn who_leaves_a_cluster_before_others_are_done_with_it() {
    let meet = "barrier.cluster.arrive; barrier.cluster.wait; ";
    let body = "mov.u32 %r4, %cluster_ctarank; xor.b32 %r4, %r4, 1; \
         mapa.shared::cluster.u32 %r5, %r2, %r4; st.shared::cluster.u32 [%r5], %r0; "
        .to_owned();
    fine(&format!("{body}{meet}"), 64, 2);
    let whys = ["the CTA ends, and nothing says", "all of whose threads have exited"];
    faulty(&body, 64, 2, &whys);
    faulty(&format!("{body}{}", meet.replace("barrier.cluster.wait; ", "")), 64, 2, &whys);
    // Who arrives has read; whether it has written, a relaxed arrival does not say.
    let relaxed = format!("{body}{}", meet.replace("arrive", "arrive.relaxed"));
    faulty_as(&relaxed, 64, 2, Ordering::Strict, &whys);
    fine(
        &format!(
            "st.shared.b32 [%r2], %r0; {meet} {}",
            relaxed
                .replace("st.shared::cluster.u32 [%r5], %r0", "ld.shared::cluster.u32 %r6, [%r5]")
        ),
        64,
        2,
    );
}

#[test]
fn one_group_for_all_of_tcgen05() {
    let body = "@!%p1 bra M; tcgen05.alloc.cta_group::1.sync.aligned.shared::cta.b32 [%r1], 32; \
         ld.shared.b32 %r4, [%r1]; tcgen05.relinquish_alloc_permit.cta_group::1.sync.aligned; \
         tcgen05.dealloc.cta_group::1.sync.aligned.b32 %r4, 32; M:";
    fine(body, 64, 1);
    let mixed = body.replace("dealloc.cta_group::1", "dealloc.cta_group::2");
    faulty(&mixed, 64, 2, &["all of a kernel must be the same"]);
}
