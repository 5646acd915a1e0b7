//! What hardware would punish and other tests do not provoke: one small program a mistake, the fault
//! that names it, and who is named in it. README.md has the list of all.

mod common;

use common::{Bench, fault, one_cta, params};
use ptx_emulator::error::{Fault, FaultKind};
use ptx_emulator::run::Launch;

/// A kernel `k`: `%r0` is `%tid.x`, `%r1` shared memory, `%r2` the CTA's rank in its cluster; `%p0` is
/// thread 0, `%p1` holds in rank 0; `%rd0` is a buffer.
fn kernel(head: &str, body: &str) -> String {
    format!(
        ".version 8.8\n.target sm_100a\n.address_size 64\n\
         .extern .shared .align 1024 .b8 smem[];\n\
         .visible .entry k(.param .u64 buffer) {head}\n{{\n\
         .reg .pred %p<8>;\n.reg .b32 %r<48>;\n.reg .b64 %rd<16>;\n.reg .f32 %f<16>;\n\
         ld.param.u64 %rd0, [buffer];\nmov.u32 %r0, %tid.x;\nmov.u32 %r1, smem;\n\
         mov.u32 %r2, %cluster_ctarank;\n\
         setp.eq.u32 %p0, %r0, 0;\nsetp.eq.u32 %p1, %r2, 0;\n{body}\nret;\n}}\n"
    )
}

fn endings(text: &str, block: u32, cluster: u32) -> Vec<Result<(), Box<Fault>>> {
    (0..6)
        .map(|seed| {
            let mut bench = Bench::new(text);
            let buffer = bench.buffer("buffer", &[1; 4096]);
            let launch = Launch {
                grid: [cluster, 1, 1],
                cluster: (cluster > 1).then_some([cluster, 1, 1]),
                ..one_cta("k", block, 8192, params(&[buffer]))
            };
            bench.run(&launch, seed).map(|_| ()).map_err(|ending| Box::new(fault(ending)))
        })
        .collect()
}

fn fine(body: &str, block: u32, cluster: u32) {
    for (seed, ending) in endings(&kernel("", body), block, cluster).into_iter().enumerate() {
        assert_eq!(ending, Ok(()), "seed {seed}: {body}");
    }
}

/// Under every seed, a fault of this kind that says `what` and names a line, a CTA and a warp.
fn faulty(body: &str, block: u32, cluster: u32, kind: FaultKind, what: &str) -> Box<Fault> {
    let mut last = None;
    for (seed, ending) in endings(&kernel("", body), block, cluster).into_iter().enumerate() {
        let found = ending.err().unwrap_or_else(|| panic!("seed {seed} found nothing: {body}"));
        assert_eq!(found.kind, kind, "seed {seed}: {found}");
        assert!(found.message.contains(what), "seed {seed}: {found}");
        assert!(found.actor.is_some_and(|actor| actor.line > 0), "seed {seed}: {found:?}");
        assert!(found.text.is_some(), "seed {seed}: {found:?}");
        last = Some(found);
    }
    last.unwrap()
}

const INIT: &str = "@%p0 mbarrier.init.shared::cta.b64 [%r1], 1; \
                    fence.mbarrier_init.release.cluster; bar.sync 0;";
const WAIT: &str = "W: mbarrier.try_wait.parity.shared::cta.b64 %p2, [%r1], 0; @!%p2 bra W;";
const MEET: &str = "barrier.cluster.arrive.aligned; barrier.cluster.wait.aligned;";

#[test]
fn an_mbarrier_is_made_anew_under_a_waiter() {
    // The second warp sleeps at the barrier that the first makes again.
    let body = format!(
        "{INIT} setp.lt.u32 %p3, %r0, 32; @%p3 bra A; {WAIT} bra E; \
         A: @%p0 mbarrier.init.shared::cta.b64 [%r1], 1; E:"
    );
    let found =
        faulty(&body, 64, 1, FaultKind::BarrierMisuse, "where an mbarrier is live since line");
    assert_eq!(found.other.unwrap().lane, Some(0));
    assert!(found.address.is_some());
    // Taken away under a waiter.
    let gone = body.replace(
        "mbarrier.init.shared::cta.b64 [%r1], 1; E",
        "mbarrier.inval.shared::cta.b64 [%r1]; E",
    );
    for ending in endings(&kernel("", &gone), 64, 1) {
        let found = ending.unwrap_err();
        assert!(matches!(found.kind, FaultKind::BarrierMisuse | FaultKind::Race), "{found}");
    }
}

#[test]
fn transaction_counts() {
    let expect = "@%p0 mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%r1], 1048575;";
    faulty(&format!("{INIT} {expect} {expect}"), 32, 1, FaultKind::BarrierMisuse, "transaction");
    let unbalanced = "@%p0 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r1], 32;";
    let found = faulty(
        &format!("{INIT} {unbalanced}"),
        32,
        1,
        FaultKind::BarrierMisuse,
        "expected and delivered bytes do not balance",
    );
    assert!(found.address.is_some());
    let stuck = faulty(&format!("{INIT} {unbalanced} {WAIT}"), 64, 1, FaultKind::Deadlock, "");
    assert!(stuck.notes.iter().all(|note| note.contains("and 32 bytes")), "{stuck:?}");
    let many = INIT.replace(", 1;", ", 1048576;");
    faulty(&many, 32, 1, FaultKind::BarrierMisuse, "1 to 1048575 are allowed");
}

#[test]
fn wgmma_registers_before_the_wait() {
    let d: Vec<String> = (0..4).map(|i| format!("%f{i}")).collect();
    let d = d.join(",");
    let zero = (0..4).map(|i| format!("mov.f32 %f{i}, 0f00000000; ")).collect::<String>();
    let fill = "mad.lo.u32 %r3, %r0, 16, %r1; mov.u32 %r4, 0; \
         st.shared.v4.u32 [%r3], {%r4,%r4,%r4,%r4}; st.shared.v4.u32 [%r3+2048], {%r4,%r4,%r4,%r4}; \
         fence.proxy.async; bar.sync 0; shr.u32 %r5, %r1, 4; cvt.u64.u32 %rd1, %r5; \
         or.b64 %rd1, %rd1, 0x800080000; ";
    let run = format!(
        "wgmma.fence.sync.aligned; \
         wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 {{{d}}}, %rd1, %rd1, 0, 1, 1, 0, 0; \
         wgmma.commit_group.sync.aligned; "
    );
    let wait = "wgmma.wait_group.sync.aligned 0; ";
    let body = format!("{zero}{fill}{run}{wait}add.f32 %f5, %f0, %f1;");
    fine(&body, 128, 1);
    let early = body.replace(wait, "");
    let found = faulty(&early, 128, 1, FaultKind::PendingRegister, "register %f0 is touched while");
    assert!(found.actor.unwrap().lane.is_some());
    // Registers written, and no wgmma.fence before the wgmma that reads them.
    let unfenced = body.replace("wgmma.fence.sync.aligned; ", "");
    for ending in endings(&kernel("", &unfenced), 128, 1) {
        assert!(ending.is_err(), "no fence");
    }
    // The operands are overwritten while it may still read.
    let over = body.replace(wait, "st.shared.v4.u32 [%r3], {%r0,%r0,%r0,%r0}; bar.sync 0; ");
    let over = over.replace("add.f32 %f5, %f0, %f1;", "wgmma.wait_group.sync.aligned 0;");
    let found = faulty(&over, 128, 1, FaultKind::Race, "");
    assert!(found.other.is_some() && found.address.is_some(), "{found:?}");
    // A descriptor with a bit that must be zero.
    let bad = body.replace("0x800080000", "0x800084000");
    faulty(&bad, 128, 1, FaultKind::Descriptor, "");
}

#[test]
fn tensor_memory_and_its_owners() {
    let alloc = "tcgen05.alloc.cta_group::1.sync.aligned.shared::cta.b32 [%r1], 32; ";
    let give_up = "tcgen05.relinquish_alloc_permit.cta_group::1.sync.aligned; ";
    let free = "ld.shared.b32 %r4, [%r1]; tcgen05.dealloc.cta_group::1.sync.aligned.b32 %r4, 32; ";
    fine(&format!("{alloc}{give_up}{free}"), 32, 1);
    faulty(&format!("{give_up}{alloc}{free}"), 32, 1, FaultKind::TensorMemory, "relinquish");
    let leak = faulty(alloc, 32, 1, FaultKind::TensorMemory, "still allocated");
    assert_eq!(leak.actor.unwrap().warp, 0);
    // Two warps of one quarter of the lanes each: the second reads the first's.
    let other = format!(
        "setp.lt.u32 %p3, %r0, 32; @!%p3 bra M; {alloc} M: bar.sync 0; ld.shared.b32 %r4, [%r1]; \
         tcgen05.st.sync.aligned.32x32b.x1.b32 [%r4], {{%r0}}; tcgen05.wait::st.sync.aligned; bar.sync 0; \
         or.b32 %r5, %r4, 0x600000; \
         tcgen05.ld.sync.aligned.32x32b.x1.b32 {{%r6}}, [%r5]; tcgen05.wait::ld.sync.aligned; bar.sync 0; \
         @!%p3 bra E; tcgen05.dealloc.cta_group::1.sync.aligned.b32 %r4, 32; E:"
    );
    faulty(&other, 64, 1, FaultKind::TensorMemory, "");
    // Both ask for all of it, and neither gives any back.
    let all = "tcgen05.alloc.cta_group::1.sync.aligned.shared::cta.b32 [%r1], 512; ";
    let two = format!("setp.lt.u32 %p3, %r0, 32; {all} bar.sync 0;");
    let found = faulty(&two, 64, 1, FaultKind::Deadlock, "");
    assert!(
        found.notes.iter().any(|note| note.contains("free columns of tensor memory")),
        "{found:?}"
    );
}

#[test]
fn a_missing_tcgen05_fence() {
    // One warp stores, the other (of the same quarter, four warps on) loads.
    let right = "setp.lt.u32 %p3, %r0, 32; @!%p3 bra M; \
         tcgen05.alloc.cta_group::1.sync.aligned.shared::cta.b32 [%r1], 32; M: bar.sync 0; \
         ld.shared.b32 %r4, [%r1]; setp.ge.u32 %p4, %r0, 128; @!%p3 bra N; \
         tcgen05.st.sync.aligned.32x32b.x1.b32 [%r4], {%r0}; tcgen05.wait::st.sync.aligned; \
         tcgen05.fence::before_thread_sync; N: bar.sync 0; @!%p4 bra D; \
         tcgen05.fence::after_thread_sync; \
         tcgen05.ld.sync.aligned.32x32b.x1.b32 {%r6}, [%r4]; tcgen05.wait::ld.sync.aligned; \
         tcgen05.fence::before_thread_sync; D: bar.sync 0; @!%p3 bra E; \
         tcgen05.fence::after_thread_sync; tcgen05.dealloc.cta_group::1.sync.aligned.b32 %r4, 32; E:";
    fine(right, 160, 1);
    let before = right.replacen("tcgen05.fence::before_thread_sync; ", "", 1);
    let found = faulty(&before, 160, 1, FaultKind::Race, "before_thread_sync is missing");
    assert!(found.other.is_some_and(|other| other.warp == 0), "{found:?}");
    let after = right.replacen("tcgen05.fence::after_thread_sync; ", "", 1);
    faulty(&after, 160, 1, FaultKind::Race, "after_thread_sync is missing");
    let wait = right.replacen("tcgen05.wait::st.sync.aligned; ", "", 1);
    faulty(&wait, 160, 1, FaultKind::Race, "");
}

#[test]
fn a_cluster_whose_ctas_come_and_go() {
    let remote = "mapa.shared::cluster.u32 %r3, %r1, 1; mov.u32 %r4, 9; ";
    let store = "@%p1 st.shared::cluster.u32 [%r3], %r4; ";
    fine(&format!("{remote} {store} {MEET}"), 1, 2);
    // Rank 1 may have left, or leaves and does not know that nobody uses its memory any more.
    let found = endings(&kernel("", &format!("{remote} nanosleep.u32 9; {store}")), 1, 2);
    let mut late = 0;
    for fault in found.into_iter().map(|ending| ending.unwrap_err()) {
        assert_eq!(fault.kind, FaultKind::Unfinished, "{fault}");
        if fault.message.contains("all of whose threads have exited") {
            assert_eq!(fault.actor.map(|a| (a.cta, a.lane)), Some(([0, 0, 0], Some(0))));
            late += 1;
        } else {
            assert!(fault.message.contains("nothing says that the write"), "{fault}");
            assert_eq!(fault.other.map(|a| (a.cta, a.lane)), Some(([0, 0, 0], Some(0))));
        }
    }
    assert!(late > 0, "no seed lets rank 1 leave first");
    // A multicast to a CTA that the cluster does not have.
    let copy = "@%p0 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r1], 64; mov.b16 %h0, MASK; \
         add.u32 %r5, %r1, 1024; @%p0 \
         cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster \
         [%r5], [%rd0], 64, [%r1], %h0;";
    let copy = format!(".reg .b16 %h<2>; {INIT} {MEET} {copy} ");
    let wrong = copy.replace("MASK", "4");
    faulty(&wrong, 32, 2, FaultKind::OutOfBounds, "multicast mask 0x0004 in a cluster of 2");
    // Another CTA's mbarrier, and no cluster barrier since it was made.
    let arrive = "xor.b32 %r6, %r2, 1; mapa.shared::cluster.u32 %r7, %r1, %r6; \
         @%p0 mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%r7]; ";
    fine(&format!("{INIT} {MEET} {arrive} {WAIT} {MEET}"), 32, 2);
    for ending in endings(&kernel("", &format!("{INIT} {arrive} {WAIT} {MEET}")), 32, 2) {
        let found = ending.unwrap_err();
        assert!(matches!(found.kind, FaultKind::Race | FaultKind::BarrierMisuse), "{found}");
    }
}

#[test]
fn limits_of_the_launch() {
    let limited = kernel(".maxntid 32, 1, 1", "");
    for ending in endings(&limited, 64, 1) {
        let found = ending.unwrap_err();
        assert_eq!(found.kind, FaultKind::LaunchLimit);
        assert!(found.message.contains(".maxntid allows 32"), "{found}");
    }
    let required = kernel(".reqntid 32, 1, 1", "");
    assert!(endings(&required, 64, 1)[0].as_ref().unwrap_err().message.contains(".reqntid"));
    assert_eq!(endings(&required, 32, 1)[0], Ok(()));
}

#[test]
fn instruction_descriptors() {
    let alloc = "tcgen05.alloc.cta_group::1.sync.aligned.shared::cta.b32 [%r1], 32; \
         ld.shared.b32 %r4, [%r1]; mov.u64 %rd1, 0; mov.u32 %r5, -1; setp.eq.u32 %p5, 0, 0; @%p0 \
         tcgen05.mma.cta_group::1.kind::f16 [%r4], %rd1, %rd1, %r5, %p5; ";
    faulty(alloc, 32, 1, FaultKind::Descriptor, "");
}
