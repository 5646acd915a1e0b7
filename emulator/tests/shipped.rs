//! What shipped kernels rely on: right under `hardware` ordering, which launch files have by default,
//! and a fault under `strict`. Beside each, what stays a fault under both.

mod common;

use common::{Bench, fault, one_cta, params};
use ptx_emulator::error::{Ending, FaultKind};
use ptx_emulator::run::{Launch, Options, Ordering};

/// A kernel `k` with a buffer in `%rd0`, `%tid.x` in `%r0`, and 32 KiB of shared memory at `%r1`.
fn kernel(target: &str, body: &str) -> String {
    format!(
        ".version 8.8\n.target {target}\n.address_size 64\n\
         .extern .shared .align 1024 .b8 smem[];\n\
         .visible .entry k(.param .u64 buffer)\n{{\n\
         .reg .pred %p<8>;\n.reg .b32 %r<64>;\n.reg .b64 %rd<16>;\n.reg .f32 %f<8>;\n\
         ld.param.u64 %rd0, [buffer];\nmov.u32 %r0, %tid.x;\nmov.u32 %r1, smem;\n\
         setp.eq.u32 %p0, %r0, 0;\nsetp.lt.u32 %p1, %r0, 32;\n{body}\nret;\n}}\n"
    )
}

/// The endings under a few seeds, and the last buffer.
fn endings(
    ptx: &str,
    (threads, cluster): (u32, u32),
    ordering: Ordering,
) -> Vec<Result<Vec<u8>, Ending>> {
    (0..6)
        .map(|seed| {
            let mut bench = Bench::new(ptx);
            let buffer = bench.buffer("buffer", &[7; 4096]);
            let launch = Launch {
                grid: [cluster, 1, 1],
                cluster: (cluster > 1).then_some([cluster, 1, 1]),
                ..one_cta("k", threads, 32768, params(&[buffer]))
            };
            let options =
                Options { seed, ordering, instruction_limit: 10_000_000, ..Options::default() };
            bench.device.launch(&bench.module, &launch, &options)?;
            Ok(bench.read(buffer, 4096))
        })
        .collect()
}

/// Every seed ends well under `hardware` ordering; what the buffer holds then.
fn fine(ptx: &str, shape: (u32, u32)) -> Vec<u8> {
    let mut last = vec![];
    for (seed, ending) in endings(ptx, shape, Ordering::Hardware).into_iter().enumerate() {
        last = ending.unwrap_or_else(|ending| panic!("seed {seed}: {ending}\n{ptx}"));
    }
    last
}

/// Every seed finds this fault.
fn faulty(ptx: &str, shape: (u32, u32), ordering: Ordering, kind: FaultKind, why: &str) {
    for (seed, ending) in endings(ptx, shape, ordering).into_iter().enumerate() {
        let found = fault(ending.err().unwrap_or_else(|| panic!("seed {seed}: nothing\n{ptx}")));
        assert_eq!(found.kind, kind, "seed {seed}: {found}");
        assert!(found.message.contains(why), "seed {seed}: {found}");
    }
}

const WARP: (u32, u32) = (32, 1);

/// `%r2` and `%p2` are written by lanes 0 to 15 only.
const HALF: &str = "setp.lt.u32 %p3, %r0, 16; @%p3 mov.u32 %r2, 5; @%p3 setp.eq.u32 %p2, %r0, %r0; \
    shl.b32 %r3, %r0, 2; cvt.u64.u32 %rd1, %r3; add.s64 %rd1, %rd0, %rd1;";

#[test]
fn undefined_registers_may_be_computed_with() {
    let store = "st.global.b32 [%rd1], %r4;";
    for harmless in [
        // Nobody uses the sum in the lanes where it is undefined.
        "add.s32 %r4, %r2, 1; @%p3 st.global.b32 [%rd1], %r4;",
        "mad.wide.u32 %rd2, %r2, %r2, %rd0; mov.b64 %rd3, %rd2; shl.b64 %rd2, %rd3, %r2;",
        // The operand that is not selected, a mask of zeros, an `and` that is false already.
        "selp.b32 %r4, %r2, %r0, %p3; st.global.b32 [%rd1], %r4;",
        "and.b32 %r4, %r2, 0; st.global.b32 [%rd1], %r4;",
        "and.pred %p4, %p3, %p2; selp.b32 %r4, 1, 2, %p4; st.global.b32 [%rd1], %r4;",
        // Lanes that read from a lane that has a value.
        "shfl.sync.idx.b32 %r4, %r2, 3, 31, -1; st.global.b32 [%rd1], %r4;",
        "shfl.sync.idx.b32 %r2, %r2, 3, 31, -1; st.global.b32 [%rd1], %r2;",
        // A later write makes it defined.
        "add.s32 %r4, %r2, 1; mov.u32 %r4, 9; st.global.b32 [%rd1], %r4;",
    ] {
        let ptx = kernel("sm_90", &format!("{HALF}\n{harmless}"));
        fine(&ptx, WARP);
        faulty(&ptx, WARP, Ordering::Strict, FaultKind::UnwrittenRead, "never written");
    }
    for (harmful, why) in [
        ("add.s32 %r4, %r2, 1;\nst.global.b32 [%rd1], %r4;", "line 17 computed it"),
        ("shl.b32 %r5, %r2, 1;\nsub.s32 %r4, %r5, 1;\nst.global.b32 [%rd1], %r4;", "line 18"),
        (
            "cvt.u64.u32 %rd2, %r2;\nadd.s64 %rd1, %rd1, %rd2;\nst.global.b32 [%rd1], %r0;",
            "line 18 computed it",
        ),
        ("setp.eq.u32 %p4, %r2, 5;\n@%p4 bra L;\nL:", "line 17 computed it"),
        ("selp.b32 %r4, %r0, %r0, %p2;\nst.global.b32 [%rd1], %r4;", "line 17 computed it"),
        ("selp.b32 %r4, %r0, %r2, %p3;\nst.global.b32 [%rd1], %r4;", "line 17 computed it"),
        ("shfl.sync.idx.b32 %r4, %r2, 17, 31, -1;\nst.global.b32 [%rd1], %r4;", "line 17"),
        ("st.global.b32 [%rd1], %r2;", "was read and never written"),
    ] {
        let ptx = kernel("sm_90", &format!("{}\n{harmful}", HALF.replace('\n', " ")));
        faulty(&ptx, WARP, Ordering::Hardware, FaultKind::UnwrittenRead, why);
    }
    let sum = fine(&kernel("sm_90", &format!("{HALF} add.s32 %r4, %r0, %r0; {store}")), WARP);
    assert_eq!(sum[4..8], 2u32.to_le_bytes());
}

/// A warpgroup multiplies; one thread of it tells a producer that the operands may be overwritten.
fn warpgroup(arriving_thread: u32, wait: &str) -> String {
    let body = format!(
        "setp.eq.u32 %p2, %r0, 128; setp.ge.u32 %p3, %r0, 128; setp.eq.u32 %p4, %r0, {arriving_thread};\n\
         @%p0 mbarrier.init.shared::cta.b64 [%r1+16384], 1;\n\
         shl.b32 %r2, %r0, 4; add.s32 %r2, %r2, %r1; mov.u32 %r3, 0;\n\
         st.shared.v4.b32 [%r2], {{%r3, %r3, %r3, %r3}};\n\
         fence.proxy.async.shared::cta; bar.sync 0;\n\
         @%p3 bra PRODUCE;\n\
         shr.u32 %r4, %r1, 4; cvt.u64.u32 %rd1, %r4; mov.u64 %rd2, 0x0000000800080000;\n\
         or.b64 %rd1, %rd1, %rd2; mov.pred %p5, 0;\n\
         wgmma.fence.sync.aligned;\n\
         wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 {{%f0, %f1, %f2, %f3}}, %rd1, %rd1, %p5, 1, 1, 0, 0;\n\
         wgmma.commit_group.sync.aligned;\n\
         {wait}\n\
         @%p4 mbarrier.arrive.shared::cta.b64 _, [%r1+16384];\n\
         bra DONE;\n\
         PRODUCE: @!%p2 bra DONE;\n\
         W: mbarrier.try_wait.parity.shared::cta.b64 %p6, [%r1+16384], 0; @!%p6 bra W;\n\
         mbarrier.init.shared::cta.b64 [%r1+16392], 1;\n\
         mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r1+16392], 2048;\n\
         cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r1], [%rd0], 2048, [%r1+16392];\n\
         V: mbarrier.try_wait.parity.shared::cta.b64 %p6, [%r1+16392], 0; @!%p6 bra V;\n\
         DONE:"
    );
    kernel("sm_90a", &body)
}

#[test]
fn a_wgmma_group_is_the_warpgroups() {
    let wait = "wgmma.wait_group.sync.aligned 0;";
    // Whichever warp's thread it is that speaks for all four.
    for thread in [0, 32, 127] {
        fine(&warpgroup(thread, wait), (256, 1));
    }
    let early = warpgroup(64, "wgmma.wait_group.sync.aligned 1;");
    faulty(&early, (256, 1), Ordering::Hardware, FaultKind::Race, "wait for its completion");
}

/// A warp stores 32 columns of tensor memory, waits, and loads them in two halves.
fn loads(first_wait: &str, last: &str) -> String {
    let body = format!(
        "tcgen05.alloc.cta_group::1.sync.aligned.shared::cta.b32 [%r1], 32; bar.sync 0;\n\
         ld.shared.b32 %r2, [%r1];\n\
         tcgen05.st.sync.aligned.32x32b.x1.b32 [%r2], {{%r0}};\n\
         tcgen05.st.sync.aligned.32x32b.x1.b32 [%r2+1], {{%r0}};\n\
         tcgen05.wait::st.sync.aligned;\n\
         tcgen05.ld.sync.aligned.32x32b.x1.b32 {{%r3}}, [%r2];\n\
         {first_wait}\n\
         tcgen05.ld.sync.aligned.32x32b.x1.b32 {{%r4}}, [%r2+1];\n\
         add.s32 %r5, %r3, %r4;\n\
         {last}\n\
         bar.sync 0;\n\
         tcgen05.relinquish_alloc_permit.cta_group::1.sync.aligned;\n\
         tcgen05.dealloc.cta_group::1.sync.aligned.b32 %r2, 32;"
    );
    kernel("sm_100a", &body)
}

#[test]
fn the_last_tensor_memory_loads_need_no_wait() {
    let wait = "tcgen05.wait::ld.sync.aligned;";
    let ptx = loads(wait, "");
    fine(&ptx, WARP);
    faulty(&ptx, WARP, Ordering::Strict, FaultKind::PendingRegister, "its wait is missing");
    // A kernel that never waits.
    faulty(&loads("", ""), WARP, Ordering::Hardware, FaultKind::Unfinished, "no wait::ld followed");
    // It overwrites what it has read: its registers say that the load is over.
    let again =
        "tcgen05.st.sync.aligned.32x32b.x1.b32 [%r2+1], {%r5}; tcgen05.wait::st.sync.aligned;";
    fine(&loads(wait, again), WARP);
    let blind = again.replace("%r5", "%r0");
    let ptx = loads(wait, &blind).replace("add.s32 %r5, %r3, %r4;", "");
    faulty(&ptx, WARP, Ordering::Hardware, FaultKind::Race, "");
}

/// The first warp stores to its lanes of tensor memory, the fifth, after a barrier, loads from them.
fn handed_over(barrier: &str, last: &str) -> String {
    let body = format!(
        "@%p1 tcgen05.alloc.cta_group::1.sync.aligned.shared::cta.b32 [%r1], 32; bar.sync 0;\n\
         ld.shared.b32 %r2, [%r1]; setp.ge.u32 %p2, %r0, 128;\n\
         @%p1 tcgen05.st.sync.aligned.32x32b.x1.b32 [%r2], {{%r0}};\n\
         {barrier}\n\
         @%p2 tcgen05.ld.sync.aligned.32x32b.x1.b32 {{%r3}}, [%r2];\n\
         tcgen05.wait::ld.sync.aligned; {last} bar.sync 0;\n\
         @!%p1 bra OVER; tcgen05.relinquish_alloc_permit.cta_group::1.sync.aligned;\n\
         tcgen05.dealloc.cta_group::1.sync.aligned.b32 %r2, 32;\nOVER:"
    );
    kernel("sm_100a", &body)
}

#[test]
fn a_tensor_memory_store_comes_before_a_later_load() {
    let last = "tcgen05.wait::st.sync.aligned;";
    let shape = (160, 1);
    fine(&handed_over("bar.sync 1;", last), shape);
    faulty(&handed_over("bar.sync 1;", last), shape, Ordering::Strict, FaultKind::Race, "");
    // Not even a barrier: a race, or nothing is there yet.
    for ending in endings(&handed_over("", last), shape, Ordering::Hardware) {
        fault(ending.expect_err("a fault"));
    }
    // The last store of a warp that exits, before another warp deallocates.
    fine(&handed_over("bar.sync 1;", ""), shape);
}

#[test]
fn the_last_bulk_stores_need_no_wait() {
    let store = "fence.proxy.async.shared::cta; \
        @%p0 cp.async.bulk.global.shared::cta.bulk_group [%rd0], [%r1], 128; \
        @%p0 cp.async.bulk.commit_group;";
    let wait = "@%p0 cp.async.bulk.wait_group.read 0; bar.sync 0;";
    let fill = "shl.b32 %r2, %r0, 2; add.s32 %r2, %r2, %r1; st.shared.b32 [%r2], %r0;";
    let next = store.replace("[%rd0]", "[%rd0+128]");
    let twice = kernel("sm_90", &format!("{fill} {store} {wait} {fill} {next}"));
    assert_eq!(fine(&twice, WARP)[132..136], 1u32.to_le_bytes());
    // A thread that never waits, and whose store the schedule lets be late.
    let once = kernel("sm_90", &format!("{fill} {store}"));
    let all = endings(&once, WARP, Ordering::Hardware);
    let late = all.into_iter().filter_map(Result::err).map(fault).next().expect("some seed");
    assert_eq!(late.kind, FaultKind::Unfinished, "{late}");
}

#[test]
fn a_pair_allocates_together() {
    // The CTA of rank 0 copies to the tensor memory of both, told by nobody but its own allocation.
    let body = "mov.u32 %r9, %cluster_ctarank; setp.eq.u32 %p2, %r9, 0; and.pred %p3, %p2, %p0;\n\
        shl.b32 %r3, %r0, 4; add.s32 %r3, %r3, %r1; mov.u32 %r4, 0;\n\
        st.shared.v4.b32 [%r3], {%r4, %r4, %r4, %r4};\n\
        @%p0 mbarrier.init.shared::cta.b64 [%r1+4104], 1;\n\
        fence.proxy.async.shared::cta; fence.mbarrier_init.release.cluster;\n\
        barrier.cluster.arrive.aligned; barrier.cluster.wait.aligned;\n\
        tcgen05.alloc.cta_group::2.sync.aligned.shared::cta.b32 [%r1+4096], 32; bar.sync 0;\n\
        ld.shared.b32 %r2, [%r1+4096];\n\
        shr.u32 %r5, %r1, 4; cvt.u64.u32 %rd1, %r5; mov.u64 %rd2, 0x0000400000010000;\n\
        or.b64 %rd1, %rd1, %rd2;\n\
        @%p3 tcgen05.cp.cta_group::2.32x128b.warpx4 [%r2], %rd1;\n\
        @%p3 tcgen05.commit.cta_group::2.mbarrier::arrive::one.shared::cluster.b64 [%r1+4104];\n\
        @!%p3 bra OVER;\n\
        W: mbarrier.try_wait.parity.shared::cta.b64 %p4, [%r1+4104], 0; @!%p4 bra W;\n\
        OVER: barrier.cluster.arrive; barrier.cluster.wait;\n\
        tcgen05.relinquish_alloc_permit.cta_group::2.sync.aligned;\n\
        tcgen05.dealloc.cta_group::2.sync.aligned.b32 %r2, 32;";
    fine(&kernel("sm_100a", body), (32, 2));
    let alone = kernel(
        "sm_100a",
        "mov.u32 %r9, %cluster_ctarank; setp.ne.u32 %p2, %r9, 0; @%p2 exit;\n\
         tcgen05.alloc.cta_group::2.sync.aligned.shared::cta.b32 [%r1], 32;",
    );
    faulty(&alone, (32, 2), Ordering::Hardware, FaultKind::Deadlock, "nothing can run");
}
