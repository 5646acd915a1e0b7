//! Small programs that break one rule each, and the fault that names it; beside each, the same
//! program without the mistake.

mod common;

use common::{Bench, fault, one_cta, params};
use ptx_emulator::error::{Ending, Fault, FaultKind};
use ptx_emulator::run::Launch;

/// A kernel `k` with one buffer parameter in `%rd0`, `%tid.x` in `%r0` and shared memory.
fn kernel(body: &str) -> String {
    format!(
        ".version 8.8\n.target sm_100a\n.address_size 64\n\
         .extern .shared .align 1024 .b8 smem[];\n\
         .visible .entry k(.param .u64 buffer)\n{{\n\
         .reg .pred %p<8>;\n.reg .b32 %r<16>;\n.reg .b64 %rd<16>;\n\
         ld.param.u64 %rd0, [buffer];\nmov.u32 %r0, %tid.x;\nmov.u32 %r1, smem;\n\
         setp.eq.u32 %p0, %r0, 0;\n{body}\nret;\n}}\n"
    )
}

fn launch(block: u32, cluster: u32, buffer: u64) -> Launch {
    Launch {
        grid: [cluster, 1, 1],
        cluster: (cluster > 1).then_some([cluster, 1, 1]),
        ..one_cta("k", block, 4096, params(&[buffer]))
    }
}

/// Runs a body with `block` threads under a few seeds. The buffer is 1024 bytes, half written.
fn endings(body: &str, block: u32, cluster: u32) -> Vec<Result<(), Ending>> {
    (0..4)
        .map(|seed| {
            let mut bench = Bench::new(&kernel(body));
            let buffer = bench.empty("buffer", 1024);
            bench.device.memory.upload(buffer, &[1; 512]);
            bench.run(&launch(block, cluster, buffer), seed).map(|_| ())
        })
        .collect()
}

fn fine(body: &str, block: u32, cluster: u32) {
    for (seed, ending) in endings(body, block, cluster).into_iter().enumerate() {
        assert_eq!(ending, Ok(()), "seed {seed}");
    }
}

/// Every seed finds this fault.
fn faulty(body: &str, block: u32, cluster: u32, kind: FaultKind) -> Fault {
    let mut last = None;
    for (seed, ending) in endings(body, block, cluster).into_iter().enumerate() {
        let fault = fault(ending.err().unwrap_or_else(|| panic!("seed {seed} found nothing")));
        assert_eq!(fault.kind, kind, "seed {seed}: {fault}");
        last = Some(fault);
    }
    last.unwrap()
}

#[test]
fn reads_of_what_nobody_wrote() {
    let f = faulty("add.s32 %r2, %r3, 1;", 32, 1, FaultKind::UnwrittenRead);
    assert_eq!(f.actor.map(|a| (a.line, a.lane)), Some((14, Some(0))));
    assert_eq!(f.message, "register %r3 was read and never written");
    let f = faulty("@%p3 bra L; L:", 32, 1, FaultKind::UnwrittenRead);
    assert_eq!(f.message, "register %p3 was read and never written");
    faulty("ld.shared.b32 %r2, [%r1];", 32, 1, FaultKind::UnwrittenRead);
    fine("st.shared.b32 [%r1], %r0; ld.shared.b32 %r2, [%r1];", 32, 1);
    let f = faulty("ld.global.b32 %r2, [%rd0+512];", 32, 1, FaultKind::UnwrittenRead);
    assert!(f.message.contains("buffer 'buffer'"), "{f}");
    fine("ld.global.b32 %r2, [%rd0+508];", 32, 1);
    let local = ".local .b32 x; mov.u64 %rd1, x; ld.local.b32 %r2, [%rd1];";
    faulty(local, 32, 1, FaultKind::UnwrittenRead);
}

#[test]
fn addresses() {
    faulty("ld.global.b32 %r2, [%rd0+1024];", 32, 1, FaultKind::OutOfBounds);
    faulty("ld.global.b32 %r2, [%rd0+1022];", 32, 1, FaultKind::Misaligned);
    faulty("ld.global.b32 %r2, [%rd0+2];", 32, 1, FaultKind::Misaligned);
    faulty("st.shared.b32 [%r1+4096], %r0;", 32, 1, FaultKind::OutOfBounds);
    faulty("st.shared.b32 [4], %r0;", 32, 1, FaultKind::OutOfBounds);
    faulty("st.shared.v2.b32 [%r1+4], {%r0, %r0};", 32, 1, FaultKind::Misaligned);
    // .shared is the own CTA; .shared::cluster reaches the other.
    let remote = "mapa.shared::cluster.u32 %r2, %r1, 1;";
    let own = format!("{remote} mov.u32 %r3, %cluster_ctarank; st.shared.b32 [%r2], %r0;");
    faulty(&own, 32, 2, FaultKind::OutOfBounds);
    let end = "barrier.cluster.arrive.aligned; barrier.cluster.wait.aligned;";
    let first = "mov.u32 %r3, %cluster_ctarank; setp.eq.u32 %p1, %r3, 0;";
    fine(&format!("{remote} {first} @%p1 st.shared::cluster.b32 [%r2], %r0; {end}"), 32, 2);
}

#[test]
fn barriers() {
    fine("bar.sync 0;", 96, 1);
    fine("bar.sync 1, 64;", 64, 1);
    faulty("bar.sync 1, 64;", 32, 1, FaultKind::Deadlock);
    faulty("bar.sync 1, 33;", 32, 1, FaultKind::BarrierMisuse);
    faulty("bar.sync 16;", 32, 1, FaultKind::BarrierMisuse);
    // Half the warp waits at another barrier.
    let split = "setp.lt.u32 %p1, %r0, 16; @%p1 bra A; bar.sync 1; bra B; A: bar.sync 0; B:";
    faulty(split, 32, 1, FaultKind::Convergence);
    faulty("@%p0 bar.sync 0;", 32, 1, FaultKind::Convergence);
    // A warp that has exited does not count.
    fine("setp.lt.u32 %p1, %r0, 32; @%p1 exit; bar.sync 0;", 64, 1);
    let red = "setp.lt.u32 %p1, %r0, 40; bar.red.popc.u32 %r2, 0, %p1; setp.ne.u32 %p2, %r2, 40; \
               @%p2 trap;";
    fine(red, 64, 1);
    faulty("@%p0 trap;", 64, 1, FaultKind::Trap);
}

#[test]
fn cluster_barriers() {
    fine("barrier.cluster.arrive; barrier.cluster.wait;", 64, 2);
    faulty("barrier.cluster.wait;", 64, 2, FaultKind::BarrierMisuse);
    faulty("barrier.cluster.arrive; barrier.cluster.arrive;", 64, 2, FaultKind::BarrierMisuse);
}

const INIT: &str = "@%p0 mbarrier.init.shared::cta.b64 [%r1], 1; \
                    fence.mbarrier_init.release.cluster; bar.sync 0;";
const WAIT: &str = "W: mbarrier.try_wait.parity.shared::cta.b64 %p1, [%r1], 0; @!%p1 bra W;";

#[test]
fn mbarriers() {
    fine(&format!("{INIT} @%p0 mbarrier.arrive.shared::cta.b64 _, [%r1]; {WAIT}"), 64, 1);
    let f = faulty(&format!("{INIT} {WAIT}"), 64, 1, FaultKind::Deadlock);
    assert_eq!(f.notes.len(), 2);
    assert!(f.notes[0].contains("phase 0, which misses 1 of 1 arrivals and 0 bytes"), "{f:?}");
    let arrive = "mbarrier.arrive.shared::cta.b64 _, [%r1+8];";
    faulty(&format!("{INIT} {arrive}"), 64, 1, FaultKind::BarrierMisuse);
    let again = "@%p0 mbarrier.init.shared::cta.b64 [%r1], 1;";
    faulty(&format!("{INIT} {again}"), 64, 1, FaultKind::BarrierMisuse);
    faulty(&format!("{INIT} st.shared.b32 [%r1+4], %r0;"), 64, 1, FaultKind::BarrierMisuse);
    faulty("mbarrier.init.shared::cta.b64 [%r1+4], 1;", 1, 1, FaultKind::Misaligned);
    let expect = "@%p0 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r1], 16;";
    faulty(&format!("{INIT} {expect}"), 64, 1, FaultKind::BarrierMisuse);
    // test_wait never sleeps: a poll that cannot succeed is a livelock, here by the budget.
    let poll = "P: mbarrier.test_wait.parity.shared::cta.b64 %p1, [%r1], 0; @!%p1 bra P;";
    let other = "setp.eq.u32 %p2, %r0, 32; @%p2 mbarrier.arrive.shared::cta.b64 _, [%r1];";
    fine(&format!("{INIT} {other} {poll}"), 64, 1);
}

#[test]
fn a_poll_for_a_remote_arrival() {
    let body = format!(
        "{INIT} barrier.cluster.arrive; barrier.cluster.wait;
         mov.u32 %r4, %cluster_ctarank; xor.b32 %r4, %r4, 1;
         mapa.shared::cluster.u32 %r5, %r1, %r4;
         @%p0 mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%r5];
         {WAIT}
         barrier.cluster.arrive; barrier.cluster.wait;"
    );
    fine(&body, 64, 2);
}

#[test]
fn bulk_copies() {
    let copy = "@%p0 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r1], 256; @%p0 \
                cp.async.bulk.shared::cta.global.mbarrier::complete_tx::bytes [%r1+1024], [%rd0], \
                256, [%r1];";
    let read = "ld.shared.b32 %r2, [%r1+1276];";
    fine(&format!("{INIT} {copy} {WAIT} {read}"), 64, 1);
    // Without the wait: never written, or still being written.
    let found = endings(&format!("{INIT} {copy} {read}"), 32, 1);
    assert!(found.iter().any(Result::is_err), "{found:?}");
    // The threads leave while the copy runs.
    let found = endings(&format!("{INIT} {copy}"), 32, 1);
    assert!(found.iter().any(Result::is_err), "{found:?}");
    let short = copy.replace("[%rd0], 256", "[%rd0], 264");
    faulty(&format!("{INIT} {short} {WAIT}"), 32, 1, FaultKind::Misaligned);
    let long = copy.replace("[%rd0]", "[%rd0-16]");
    faulty(&format!("{INIT} {long} {WAIT}"), 32, 1, FaultKind::OutOfBounds);

    let store = "st.shared.b32 [%r1], %r0; fence.proxy.async.shared::cta; @%p0 \
                 cp.async.bulk.global.shared::cta.bulk_group [%rd0], [%r1], 16; @%p0 \
                 cp.async.bulk.commit_group;";
    let read_wait = "@%p0 cp.async.bulk.wait_group.read 0; st.shared.b32 [%r1], %r0;";
    let fill = "st.shared.v4.b32 [%r1], {%r0, %r0, %r0, %r0};";
    fine(&format!("{fill} {store} {read_wait}"), 1, 1);
    let unfenced = store.replace("fence.proxy.async.shared::cta;", "");
    faulty(&format!("{fill} {unfenced} {read_wait}"), 1, 1, FaultKind::Race);
    let overwrite = "st.shared.b32 [%r1], %r0;";
    let found = endings(&format!("{fill} {store} {overwrite}"), 1, 1);
    assert!(found.iter().any(Result::is_err), "{found:?}");
}

#[test]
fn tensor_memory() {
    let alloc = "tcgen05.alloc.cta_group::1.sync.aligned.shared::cta.b32 [%r1], 32; \
                 ld.shared.b32 %r4, [%r1];";
    let free = "tcgen05.dealloc.cta_group::1.sync.aligned.b32 %r4, 32;";
    let store = "tcgen05.st.sync.aligned.32x32b.x1.b32 [%r4], {%r0};";
    let load = "tcgen05.ld.sync.aligned.32x32b.x1.b32 {%r5}, [%r4];";
    let (wait_store, wait_load) =
        ("tcgen05.wait::st.sync.aligned;", "tcgen05.wait::ld.sync.aligned;");
    let check = "setp.ne.u32 %p1, %r5, %r0; @%p1 trap;";
    fine(&format!("{alloc} {store} {wait_store} {load} {wait_load} {check} {free}"), 32, 1);
    let leak = faulty(alloc, 32, 1, FaultKind::TensorMemory);
    assert!(leak.message.contains("still allocated"), "{leak}");
    faulty(&format!("{alloc} {free} {free}"), 32, 1, FaultKind::TensorMemory);
    let unwritten = format!("{alloc} {load} {wait_load} {free}");
    faulty(&unwritten, 32, 1, FaultKind::UnwrittenRead);
    let outside = load.replace("[%r4]", "[%r4+32]");
    faulty(&format!("{alloc} {outside} {wait_load} {free}"), 32, 1, FaultKind::TensorMemory);
    let early = format!("{alloc} {store} {wait_store} {load} {check} {wait_load} {free}");
    faulty(&early, 32, 1, FaultKind::PendingRegister);
    let unordered = format!("{alloc} {store} {load} {wait_load} {wait_store} {free}");
    assert!(endings(&unordered, 32, 1).iter().any(Result::is_err));
    faulty(&format!("{alloc} @%p0 {load} {wait_load} {free}"), 32, 1, FaultKind::Convergence);
    // The second warp's own lanes start at 32.
    let quarter = "or.b32 %r6, %r4, 0x400000;";
    let far = load.replace("[%r4]", "[%r6]");
    let body = format!("{alloc} {quarter} {far} {wait_load} {free}");
    faulty(&body, 32, 1, FaultKind::TensorMemory);
    faulty(
        "tcgen05.alloc.cta_group::1.sync.aligned.shared::cta.b32 [%r1], 48;",
        32,
        1,
        FaultKind::TensorMemory,
    );
    // A second allocation that never fits.
    let two = alloc.replace("32;", "512;");
    faulty(&format!("{two} {two}"), 32, 1, FaultKind::Deadlock);
}

#[test]
fn launches_keep_limits() {
    let bench = Bench::new(&kernel(""));
    for wrong in [
        Launch { dynamic_shared: 232_449, ..launch(32, 1, 0) },
        launch(1025, 1, 0),
        Launch { params: vec![], ..launch(32, 1, 0) },
        Launch { grid: [3, 1, 1], cluster: Some([2, 1, 1]), ..launch(32, 1, 0) },
        Launch { grid: [0, 1, 1], ..launch(32, 1, 0) },
    ] {
        let fault = fault(bench.run(&wrong, 0).unwrap_err());
        assert_eq!(fault.kind, FaultKind::LaunchLimit, "{fault}");
    }
    let unknown = Launch { entry: "nobody".to_owned(), ..launch(32, 1, 0) };
    assert!(matches!(bench.run(&unknown, 0), Err(Ending::Malformed(_))));
    let spin = Bench::new(&kernel("L: bra L;"));
    let livelock = fault(spin.run(&launch(1, 1, 0), 0).unwrap_err());
    assert_eq!(livelock.kind, FaultKind::Livelock);
}

/// Lanes of one warp may name different members in one instruction, as the tiles of cooperative groups
/// do, if each member names the same.
#[test]
fn tiles_of_a_warp() {
    let tiles = "shr.u32 %r2, %r0, 3; shl.b32 %r2, %r2, 3; mov.u32 %r3, 255; shl.b32 %r3, %r3, %r2;\n\
        setp.gt.u32 %p1, %r0, 9; mov.u32 %r5, 0;\n\
        shfl.sync.bfly.b32 %r4, %r0, 7, 0x1f, %r3;\n\
        bar.warp.sync %r3; vote.sync.ballot.b32 %r5, %p1, %r3;\n\
        @%p0 bra L; xor.b32 %r6, %r0, 7; setp.ne.u32 %p2, %r6, %r4; @%p2 trap; L:";
    fine(tiles, 32, 1);
    let wrong = tiles.replace("mov.u32 %r3, 255", "mov.u32 %r3, 127");
    faulty(&wrong, 32, 1, FaultKind::Convergence);
}
