//! Races in global memory: between warps, CTAs, clusters and proxies, each rule by a program that
//! keeps it and the same program without what keeps it.

mod common;

use common::{Bench, fault, params};
use ptx_emulator::error::{Ending, Fault, FaultKind};
use ptx_emulator::run::{Launch, Options, Ordering};

/// A kernel of 64 threads a CTA: `%p0` is thread 0, `%p1` holds in CTA 0; `%r0` is `%tid.x`, `%r1`
/// shared memory, `%r2` `%ctaid.x`; `%rd0` is a buffer of words, `%rd1` the own word of the CTA's 64,
/// `%rd2` that of the next CTA (cyclically of four), `%rd3` a flag (zero at first) for each CTA.
fn kernel(body: &str) -> String {
    format!(
        ".version 8.8\n.target sm_100a\n.address_size 64\n\
         .extern .shared .align 1024 .b8 smem[];\n\
         .visible .entry k(.param .u64 buffer, .param .u64 flags)\n{{\n\
         .reg .pred %p<8>;\n.reg .b32 %r<16>;\n.reg .b64 %rd<16>;\n\
         ld.param.u64 %rd0, [buffer];\nld.param.u64 %rd3, [flags];\n\
         mov.u32 %r0, %tid.x;\nmov.u32 %r1, smem;\nmov.u32 %r2, %ctaid.x;\n\
         setp.eq.u32 %p0, %r0, 0;\nsetp.eq.u32 %p1, %r2, 0;\n\
         mad.lo.u32 %r3, %r2, 64, %r0;\nmad.wide.u32 %rd1, %r3, 4, %rd0;\n\
         add.u32 %r4, %r3, 64;\nand.b32 %r4, %r4, 255;\nmad.wide.u32 %rd2, %r4, 4, %rd0;\n\
         add.u32 %r5, %r3, 1000;\n{body}\nret;\n}}\n"
    )
}

fn run_as(body: &str, cluster: u32, seed: u64, ordering: Ordering) -> Result<(), Ending> {
    let mut bench = Bench::new(&kernel(body));
    let buffer = bench.buffer("buffer", &[1; 4096]);
    let flags = bench.buffer("flags", &[0; 64]);
    let launch = Launch {
        entry: "k".to_owned(),
        grid: [4, 1, 1],
        block: [64, 1, 1],
        cluster: (cluster > 1).then_some([cluster, 1, 1]),
        dynamic_shared: 4096,
        params: params(&[buffer, flags]),
    };
    let options = Options { seed, instruction_limit: 5_000_000, ordering, ..Options::default() };
    bench.device.launch(&bench.module, &launch, &options).map(|_| ())
}

fn run(body: &str, cluster: u32, seed: u64) -> Result<(), Ending> {
    run_as(body, cluster, seed, Ordering::Strict)
}

fn fine(body: &str, cluster: u32) {
    for seed in 0..8 {
        assert_eq!(run(body, cluster, seed), Ok(()), "seed {seed}: {body}");
        assert_eq!(run_as(body, cluster, seed, Ordering::Hardware), Ok(()), "seed {seed}: {body}");
    }
}

/// Under each seed, a race in global memory that says `why`.
fn racy(body: &str, cluster: u32, why: &str) -> Fault {
    let mut last = None;
    for seed in 0..8 {
        let ending = run(body, cluster, seed);
        let found =
            fault(ending.err().unwrap_or_else(|| panic!("seed {seed} found nothing: {body}")));
        assert_eq!(found.kind, FaultKind::Race, "seed {seed}: {found}");
        assert!(found.message.contains(why), "seed {seed}: {found}");
        assert!(found.message.contains("of buffer '"), "seed {seed}: {found}");
        let (actor, other) = (found.actor.unwrap(), found.other.unwrap());
        assert!(actor.line > 0 && other.line > 0 && found.address.is_some(), "{found:?}");
        last = Some(found);
    }
    last.unwrap()
}

/// With `missing` the program is right; without it, every seed finds a race that says `why`.
fn needs(body: &str, missing: &str, cluster: u32, why: &str) {
    assert!(body.contains(missing), "{missing} in {body}");
    fine(body, cluster);
    racy(&body.replace(missing, ""), cluster, why);
}

#[test]
fn ctas_that_share_nothing() {
    fine("st.global.u32 [%rd1], %r5; ld.global.u32 %r6, [%rd1];", 1);
    // All read what nobody writes; all write the same.
    fine("ld.global.u32 %r6, [%rd0]; st.global.u32 [%rd3], 7;", 1);
    // Neighbouring bytes of one word are no race.
    let bytes = "cvt.u64.u32 %rd4, %r2; add.u64 %rd4, %rd4, %rd0; @%p0 st.global.u8 [%rd4], %r5; \
                 @%p0 ld.global.u8 %r6, [%rd4];";
    fine(bytes, 1);
}

#[test]
fn two_ctas_at_one_place() {
    let found = racy("@%p0 st.global.u32 [%rd0+256], %r5;", 1, "nothing that could order the two");
    assert_ne!(found.actor.unwrap().cta, found.other.unwrap().cta);
    assert_eq!(found.actor.unwrap().lane, Some(0));
    // What one writes another reads, before or after.
    racy("st.global.u32 [%rd1], %r5; ld.global.u32 %r6, [%rd2];", 1, "conflicts with");
    racy("ld.global.u32 %r6, [%rd2]; st.global.u32 [%rd1], %r5;", 1, "conflicts with");
    racy("ld.global.v4.u32 {%r6, %r7, %r8, %r9}, [%rd0]; st.global.u32 [%rd1], %r5;", 1, "");
    // The same launch tells of the same race.
    let body = "ld.global.u32 %r6, [%rd2]; st.global.u32 [%rd1], %r5;";
    let first = fault(run(body, 1, 3).unwrap_err());
    for _ in 0..5 {
        assert_eq!(fault(run(body, 1, 3).unwrap_err()), first);
    }
}

/// The usual compare-and-swap loop begins with a plain read. Hardware's word is whole; the letter of the
/// memory model calls it a race.
#[test]
fn a_plain_look_before_a_compare_and_swap() {
    let body = "@!%p0 bra DONE; ld.global.u32 %r6, [%rd3];\nAGAIN: add.u32 %r7, %r6, 1; \
                atom.global.cas.b32 %r8, [%rd3], %r6, %r7; setp.ne.u32 %p2, %r8, %r6; \
                mov.u32 %r6, %r8; @%p2 bra AGAIN;\nDONE:";
    for seed in 0..8 {
        assert_eq!(run_as(body, 1, seed, Ordering::Hardware), Ok(()), "seed {seed}");
    }
    racy(body, 1, "");
    // What the look hands over is nothing.
    let flag = "@%p1 st.global.u32 [%rd1], %r5; @%p1 bar.sync 0; \
                @%p0 atom.global.add.u32 %r6, [%rd3], 1; @%p1 bra DONE;\n\
                ld.global.u32 %r6, [%rd3]; ld.global.u32 %r7, [%rd0];\nDONE:";
    for seed in 0..8 {
        let found = fault(run_as(flag, 1, seed, Ordering::Hardware).unwrap_err());
        assert_eq!(found.kind, FaultKind::Race, "seed {seed}: {found}");
    }
}

#[test]
fn warps_of_one_cta() {
    // Each warp reads what the other wrote.
    let body = "st.global.u32 [%rd1], %r5; bar.sync 0; xor.b32 %r6, %r0, 32; \
                mad.lo.u32 %r6, %r2, 64, %r6; mad.wide.u32 %rd4, %r6, 4, %rd0; \
                ld.global.u32 %r7, [%rd4];";
    needs(body, "bar.sync 0; ", 1, "no barrier orders the two");
}

#[test]
fn ctas_of_one_cluster() {
    let body = "st.global.u32 [%rd1], %r5; barrier.cluster.arrive; barrier.cluster.wait; \
                xor.b32 %r6, %r3, 64; mad.wide.u32 %rd4, %r6, 4, %rd0; ld.global.u32 %r7, [%rd4];";
    needs(body, "barrier.cluster.arrive; barrier.cluster.wait; ", 2, "no barrier orders the two");
}

/// The last of four CTAs adds up what the others left.
const LAST: &str = "st.global.u32 [%rd1], %r5; bar.sync 0; @!%p0 bra MEET; \
    fence.acq_rel.gpu; \
    atom.global.add.u32 %r6, [%rd3], 1; \
    fence.sc.gpu; \
    st.shared.u32 [%r1], %r6; MEET: bar.sync 1; ld.shared.u32 %r6, [%r1]; setp.ne.u32 %p2, %r6, 3; \
    @%p2 ret; ld.global.u32 %r7, [%rd2];";

#[test]
fn the_last_cta_takes_all() {
    needs(LAST, "bar.sync 0; ", 1, "no release there");
    needs(LAST, "fence.acq_rel.gpu; ", 1, "no release there");
    racy(&LAST.replace("fence.sc.gpu; ", ""), 1, "was read relaxed, and no fence.acq_rel followed");
    // Shipped programs get by without the second fence; not without the first.
    for seed in 0..8 {
        let late = LAST.replace("fence.sc.gpu; ", "");
        assert_eq!(run_as(&late, 1, seed, Ordering::Hardware), Ok(()), "seed {seed}");
        let early = LAST.replace("fence.acq_rel.gpu; ", "");
        let ending = run_as(&early, 1, seed, Ordering::Hardware).unwrap_err();
        assert_eq!(fault(ending).kind, FaultKind::Race);
    }
    let cta = LAST.replace("fence.acq_rel.gpu", "fence.acq_rel.cta");
    racy(&cta, 1, "no release there");
    // One instruction may do for the fences and the atomic.
    let one = LAST
        .replace("fence.acq_rel.gpu; ", "")
        .replace("fence.sc.gpu; ", "")
        .replace("atom.global.add", "atom.acq_rel.gpu.global.add");
    fine(&one, 1);
    racy(&one.replace(".gpu.global", ".cta.global"), 1, "the scope of one does not include");
    // Every thread's own fence, before the barrier.
    let each = LAST.replace("bar.sync 0; ", "fence.acq_rel.gpu; bar.sync 0; ");
    let each = each.replacen("@!%p0 bra MEET; fence.acq_rel.gpu; ", "@!%p0 bra MEET; ", 1);
    fine(&each, 1);
}

/// CTA by CTA, in turn: each waits for the flag of the one before.
const TURNS: &str = "mul.wide.u32 %rd5, %r2, 4; add.u64 %rd5, %rd5, %rd3; @%p1 bra WORK; \
    @!%p0 bra GO; POLL: ld.acquire.gpu.global.u32 %r6, [%rd5+-4]; setp.eq.u32 %p2, %r6, 0; \
    @%p2 bra POLL; GO: bar.sync 0; \
    WORK: ld.global.u32 %r7, [%rd0]; bar.sync 2; @%p0 st.global.u32 [%rd0], %r5; bar.sync 1; \
    @%p0 st.release.gpu.global.u32 [%rd5], 1;";

#[test]
fn ctas_take_turns() {
    fine(TURNS, 1);
    let add = TURNS.replace("st.release.gpu.global.u32", "red.release.gpu.global.add.u32");
    fine(&add, 1);
    racy(&TURNS.replace("st.release.gpu", "st.relaxed.gpu"), 1, "no release there");
    racy(&TURNS.replace("ld.acquire.gpu", "ld.relaxed.gpu"), 1, "was read relaxed");
    racy(&TURNS.replace("bar.sync 2; ", ""), 1, "no barrier orders the two");
    // A plain load that polls.
    racy(&TURNS.replace("ld.acquire.gpu.global", "ld.global"), 1, "");
}

const INIT: &str = "@%p0 mbarrier.init.shared::cta.b64 [%r1+512], 1; \
                    fence.mbarrier_init.release.cluster; bar.sync 0;";
const COPY: &str = "@%p0 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r1+512], 256; \
    @%p0 cp.async.bulk.shared::cta.global.mbarrier::complete_tx::bytes [%r1], [%rd1], 256, [%r1+512];";
const WAIT: &str = "W: mbarrier.try_wait.parity.shared::cta.b64 %p3, [%r1+512], 0; @!%p3 bra W;";

#[test]
fn stores_and_bulk_loads() {
    // The async proxy reads what the generic proxy wrote.
    let body = format!(
        "{INIT} st.global.u32 [%rd1], %r5; fence.proxy.async.global; bar.sync 1; {COPY} {WAIT}"
    );
    needs(&body, "fence.proxy.async.global; ", 1, "a fence.proxy.async that covers global memory");
    let shared = body.replace("async.global", "async.shared::cta");
    racy(&shared, 1, "a fence.proxy.async that covers global memory");
    fine(&body.replace("async.global", "async"), 1);
    needs(&body, "bar.sync 1; ", 1, "orders the two");
    // The generic proxy overwrites what the async proxy reads.
    let body = format!("{INIT} {COPY} {WAIT} st.global.u32 [%rd1], %r5;");
    needs(&body, WAIT, 1, "");
}

#[test]
fn bulk_stores_and_loads() {
    let body = "shl.b32 %r6, %r0, 2; add.u32 %r6, %r6, %r1; st.shared.u32 [%r6], %r5; \
        fence.proxy.async.shared::cta; bar.sync 0; @!%p0 bra E; \
        cp.async.bulk.global.shared::cta.bulk_group [%rd1], [%r1], 256; \
        cp.async.bulk.commit_group; cp.async.bulk.wait_group 0; ld.global.u32 %r7, [%rd1]; E:";
    needs(body, "cp.async.bulk.wait_group 0; ", 1, "no wait for its completion");
    let read = body.replace("wait_group 0", "wait_group.read 0");
    racy(&read, 1, "no wait for its completion");
    // Two copies to one place, one after the other.
    let store = "cp.async.bulk.global.shared::cta.bulk_group [%rd1], [%r1+16], 240; \
        cp.async.bulk.commit_group; cp.async.bulk.wait_group.read 0; ";
    let twice =
        body.replace("wait_group 0; ld.global.u32 %r7, [%rd1];", &format!("wait_group 0; {store}"));
    fine(&twice, 1);
    racy(&twice.replacen("cp.async.bulk.wait_group 0; ", "", 1), 1, "no wait for its completion");
    // All lanes of a warp store the same, as shipped kernels do; or not the same.
    let lanes = "shl.b32 %r6, %r0, 2; add.u32 %r6, %r6, %r1; st.shared.u32 [%r6], %r5; \
        fence.proxy.async.shared::cta; bar.sync 0; setp.gt.u32 %p2, %r0, 31; @%p2 bra E; \
        mad.wide.u32 %rd5, %r2, 256, %rd0; and.b32 %r7, %r0, 16; mul.lo.u32 %r7, %r7, 0; \
        add.u32 %r7, %r7, %r1; cp.async.bulk.global.shared::cta.bulk_group [%rd5], [%r7], 128; \
        cp.async.bulk.commit_group; cp.async.bulk.wait_group 0; ld.global.u32 %r7, [%rd5]; E:";
    fine(lanes, 1);
    racy(&lanes.replace("mul.lo.u32 %r7, %r7, 0; ", ""), 1, "");
    // From two CTAs: a race, unless they store what is there.
    let all =
        body.replace("[%rd1], [%r1]", "[%rd0], [%r1]").replace("ld.global.u32 %r7, [%rd1];", "");
    racy(&all, 1, "conflicts with");
    fine(&all.replace("st.shared.u32 [%r6], %r5", "st.shared.u32 [%r6], 16843009"), 1);
    // All store the same, which was not there before, and now and then one who does not.
    let same = all.replace("st.shared.u32 [%r6], %r5", "st.shared.u32 [%r6], %r0");
    fine(&same, 1);
    let most =
        all.replace("st.shared.u32 [%r6], %r5", "max.u32 %r9, %r2, 2; st.shared.u32 [%r6], %r9");
    racy(&most, 1, "conflicts with");
    // Reductions do not race with each other.
    let add = all.replace(
        "cp.async.bulk.global.shared::cta.bulk_group",
        "cp.reduce.async.bulk.global.shared::cta.bulk_group.add.u32",
    );
    fine(&add, 1);
}

#[test]
fn cp_async_reads() {
    let body = "st.global.u32 [%rd1], %r5; bar.sync 0; xor.b32 %r6, %r0, 32; \
                mad.lo.u32 %r6, %r2, 64, %r6; mad.wide.u32 %rd4, %r6, 4, %rd0; \
                shl.b32 %r7, %r0, 2; add.u32 %r7, %r7, %r1; \
                cp.async.ca.shared.global [%r7], [%rd4], 4; cp.async.wait_all; bar.sync 1; \
                st.global.u32 [%rd1], %r0;";
    needs(body, "bar.sync 0; ", 1, "orders the two");
    needs(body, "cp.async.wait_all; ", 1, "no wait for the cp.async");
    needs(body, "bar.sync 1; ", 1, "orders the two");
}

#[test]
fn the_non_coherent_path() {
    fine("ld.global.nc.u32 %r6, [%rd0];", 1);
    racy(
        "st.global.u32 [%rd1], %r5; bar.sync 0; ld.global.nc.u32 %r6, [%rd1];",
        1,
        "only what no one writes during the launch",
    );
    // In place: read by this way, then written by the same thread.
    fine("ld.global.nc.u32 %r6, [%rd1]; st.global.u32 [%rd1], %r5;", 1);
}

#[test]
fn atomics_of_all_ctas() {
    fine("atom.global.add.u32 %r6, [%rd3], 1; red.global.max.u32 [%rd3+4], %r5;", 1);
    racy("red.global.add.u32 [%rd3], 1; @%p1 st.global.u32 [%rd3], %r5;", 1, "");
    fine("red.global.add.u32 [%rd3], 1; @%p1 st.relaxed.gpu.global.u32 [%rd3], %r5;", 1);
}

#[test]
fn a_launch_that_begins_before_the_one_before_ends() {
    let wait = "griddepcontrol.wait; ";
    let body =
        "griddepcontrol.wait; @%p0 st.global.u32 [%rd1], %r5; griddepcontrol.launch_dependents;";
    let second = |body: &str, overlap| {
        let mut bench = Bench::new(&kernel(body));
        let addresses = [bench.buffer("buffer", &[1; 4096]), bench.buffer("flags", &[0; 64])];
        let launch =
            Launch { grid: [4, 1, 1], ..common::one_cta("k", 64, 4096, params(&addresses)) };
        bench.run(&launch, 1).unwrap();
        let options = Options { overlap, ..Options::default() };
        bench.device.launch(&bench.module, &launch, &options).map(|_| ())
    };
    assert_eq!(second(body, true), Ok(()));
    assert_eq!(second(&body.replace(wait, ""), false), Ok(()));
    let found = fault(second(&body.replace(wait, ""), true).unwrap_err());
    assert_eq!(found.kind, FaultKind::Race);
    assert!(found.message.contains("no griddepcontrol.wait came first"), "{found}");
    assert!(found.other.is_some_and(|other| other.line > 0), "{found:?}");
    // One thread waits for all of its CTA.
    let one = body.replace(wait, "@%p0 griddepcontrol.wait; bar.sync 0; ");
    assert_eq!(second(&one.replace("@%p0 st", "st"), true), Ok(()));
}
