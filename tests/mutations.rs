//! Proof that the judge can say no: deliberate mistakes in the kernel's PTX, each of which must be
//! caught, as a fault or as a wrong C, under a handful of schedule seeds.
//!
//! A mistake is a small patch, written against the instructions and not against register names, so
//! that it survives a recompile; a patch that no longer finds its place fails the test.

use nvfp4_dual_gemm::launch::dual_gemm;
use nvfp4_dual_gemm::{OutputType, Plan, ptx};
use nvfp4_dual_gemm_tests::data::{DataKind, Inputs, Shape};
use nvfp4_dual_gemm_tests::emulated::Emulated;
use nvfp4_dual_gemm_tests::judge::Expected;
use nvfp4_dual_gemm_tests::patch::Kernel;

/// Schedules per case.
const SEEDS: u64 = 6;

/// Two tiles along M and three along N, the last of each ragged; the second tile along N uses the
/// upper half of its scale atoms. K goes round the ring of five stages and ends in half an atom.
const RAGGED: Shape = (129, 136, 1632, 1);
/// Whole tiles, batched.
const EVEN: Shape = (128, 64, 1536, 2);

const KERNEL: &str = "nvfp4_dual_gemm_sm100_128x64_f16";

/// How a run of `ptx` ended: `None` if C was right under every seed.
fn caught(ptx: &str) -> Option<String> {
    let module = match Emulated::parse(ptx) {
        Ok(module) => module,
        Err(error) => return Some(error.to_string()),
    };
    for (shape, kind) in [(RAGGED, DataKind::FullRange), (EVEN, DataKind::Quantised)] {
        let inputs = Inputs::new(kind, shape, 7);
        let problem = inputs.problem(shape, OutputType::F16);
        let plan = Plan::with_tile(&problem, 128, 64, 148).unwrap();
        assert_eq!(plan.kernel, KERNEL);
        let expected = Expected::new(&problem, &inputs).unwrap();
        for seed in 0..SEEDS {
            match dual_gemm(&mut Emulated::new(seed), &module, &plan, &inputs.views()) {
                Err(error) => return Some(error.to_string()),
                Ok(c) => {
                    let verdict = expected.judge(&c);
                    if !verdict.passed() {
                        return Some(format!("wrong C: {verdict:?}"));
                    }
                }
            }
        }
    }
    None
}

/// A mistake: its name, and the patch that makes it.
type Mistake = (&'static str, fn(&mut Kernel));

const WAIT: &str = "mbarrier.try_wait.parity";
const TENSOR_COPY: &str = "cp.async.bulk.tensor.3d";
const BULK_COPY: &str = "cp.async.bulk.shared::cta";
const MMA: &str = "tcgen05.mma";
const CP: &str = "tcgen05.cp";
const LD: &str = "tcgen05.ld";
const STORE: &str = "st.global.v4.b32";

/// Order of the waits in the text: the TMA warp's, the epilogue's, the MMA warp's.
const STAGE_FREE: usize = 0;
const ACCUMULATORS_READY: usize = 1;
const TILES_ARRIVED: usize = 2;

/// What every K-major operand's descriptor has besides its address, and every scale atom's.
const OPERAND_DESCRIPTOR: u64 = 0x4000_4040_0000_0000;
const SCALE_DESCRIPTOR: u64 = 0x0000_4008_0000_0000;
const IDESC_N64: u32 = 0x0810_0480;

fn never_waits(kernel: &mut Kernel, nth: usize) {
    let line = kernel.find(WAIT, nth);
    kernel.replace(line, "1, 0, p", "1, 1, p");
}

const MISTAKES: &[Mistake] = &[
    // Barriers.
    ("the TMA warp does not wait for a free stage", |k| never_waits(k, STAGE_FREE)),
    ("the epilogue does not wait for the accumulators", |k| never_waits(k, ACCUMULATORS_READY)),
    ("the MMA warp does not wait for the tiles", |k| never_waits(k, TILES_ARRIVED)),
    ("the TMA warp waits for the wrong parity", |k| {
        let line = k.definition_of_operand(WAIT, STAGE_FREE, 1);
        k.replace(line, ", 1;", ", 0;");
    }),
    ("the MMA warp's parity never flips", |k| {
        let parity = k.operand(k.find(WAIT, TILES_ARRIVED), 1);
        let line = k.find_where(|line| line.starts_with("xor.b32") && line.contains(&parity));
        k.delete(line);
    }),
    ("16 bytes too few are expected", |k| {
        let line = k.definition_of_operand("mbarrier.arrive.expect_tx", 0, 1);
        k.replace(line, ", 32768;", ", 32752;");
    }),
    ("16 bytes too many are expected", |k| {
        let line = k.definition_of_operand("mbarrier.arrive.expect_tx", 0, 1);
        k.replace(line, ", 32768;", ", 32784;");
    }),
    ("no bytes are expected", |k| {
        let line = k.find("mbarrier.arrive.expect_tx", 0);
        let bytes = k.operand(line, 1);
        k.replace(line, &format!(", {bytes};"), ", 0;");
    }),
    ("a barrier expects two arrivals", |k| {
        let line = k.find("mbarrier.init", 0);
        let count = k.operand(line, 1);
        k.replace(line, &format!(", {count};"), ", 2;");
    }),
    ("a barrier is never made", |k| k.delete(k.find("mbarrier.init", 3))),
    ("B2 signals another stage's barrier", |k| {
        let line = k.find(TENSOR_COPY, 2);
        let bar = k.operand_from_end(line, 0);
        k.replace(line, &format!("[{bar}];"), &format!("[{bar}+8];"));
    }),
    ("stages are never freed", |k| k.delete(k.find("tcgen05.commit", 0))),
    ("the accumulators are never announced", |k| k.delete(k.find("tcgen05.commit", 1))),
    ("a stage is freed before its MMAs are issued", |k| {
        let commit = k.line(k.find("tcgen05.commit", 0));
        let address = k.line(k.definition_of_operand("tcgen05.commit", 0, 0));
        let wait = k.find("tcgen05.fence::after_thread_sync", 1);
        k.delete(k.find("tcgen05.commit", 0));
        k.insert_after(wait, &format!("{address}\n@!%p31 {commit}"));
    }),
    ("the CTA does not meet before reading the tensor-memory address", |k| {
        k.delete(k.find("bar.sync", 0));
    }),
    ("tensor memory is freed without waiting for the epilogue", |k| {
        k.delete(k.find("bar.sync", 1));
    }),
    // What a lucky schedule hides: orders that only happens-before can miss.
    ("the scales' padding is cleared without a proxy fence", |k| {
        k.delete(k.find("fence.proxy.async", 0));
    }),
    ("the lanes that clear the padding do not meet", |k| k.delete(k.find("bar.warp.sync", 0))),
    ("the epilogue's tcgen05 fence is missing", |k| {
        k.delete(k.find("tcgen05.fence::after_thread_sync", 0));
    }),
    ("the MMA warp's tcgen05 fence is missing", |k| {
        k.delete(k.find("tcgen05.fence::after_thread_sync", 1));
    }),
    ("the tcgen05 fence before the free is missing", |k| {
        k.delete(k.find("tcgen05.fence::after_thread_sync", 2));
    }),
    ("the epilogue does not publish its loads", |k| {
        k.delete(k.find("tcgen05.fence::before_thread_sync", 0));
    }),
    ("the barriers' making is not fenced", |k| k.delete(k.find("fence.mbarrier_init", 0))),
    // Copies.
    ("B2 is never loaded", |k| k.delete(k.find(TENSOR_COPY, 2))),
    ("B1 is loaded twice", |k| {
        let from = k.operand(k.find(TENSOR_COPY, 1), 1);
        let line = k.find(TENSOR_COPY, 2);
        let map = k.operand(line, 1);
        k.replace(line, &format!("[{map}, "), &format!("[{from}, "));
    }),
    ("A is loaded at B's row", |k| {
        let row = k.operand(k.find(TENSOR_COPY, 1), 3);
        let line = k.find(TENSOR_COPY, 0);
        let own = k.operand(line, 3);
        k.replace(line, &format!(", {own}, "), &format!(", {row}, "));
    }),
    ("every batch is loaded from the first", |k| {
        for nth in 0..3 {
            let line = k.find(TENSOR_COPY, nth);
            let batch = k.operand(line, 4);
            k.replace(line, &format!(", {batch}}}"), ", 0}");
        }
    }),
    ("A's scales are loaded for B1", |k| {
        let from = k.operand(k.find(BULK_COPY, 0), 1);
        let line = k.find(BULK_COPY, 1);
        let own = k.operand(line, 1);
        k.replace(line, &format!("[{own}]"), &format!("[{from}]"));
    }),
    ("the stages overlap", |k| {
        let line = k.find_where(|line| line.starts_with("mad.lo.s32") && line.contains("38912"));
        k.replace(line, "38912", "37888");
    }),
    // Descriptors.
    ("A and B have the wrong stride between groups of rows", |k| {
        k.replace_number(OPERAND_DESCRIPTOR, 0x4000_4020_0000_0000);
    }),
    ("A and B are read with the 64-byte swizzle", |k| {
        k.replace_number(OPERAND_DESCRIPTOR, 0x8000_4040_0000_0000);
    }),
    ("A and B have the tensor map's number for the swizzle", |k| {
        k.replace_number(OPERAND_DESCRIPTOR, 0x6000_4040_0000_0000);
    }),
    ("scales have the wrong stride between groups of rows", |k| {
        k.replace_number(SCALE_DESCRIPTOR, 0x0000_4010_0000_0000);
    }),
    ("the descriptor's constant is missing", |k| {
        k.replace_number(OPERAND_DESCRIPTOR, 0x4000_0040_0000_0000);
    }),
    ("the instruction descriptor says N = 128", |k| {
        k.replace_number(IDESC_N64.into(), 0x0820_0480);
    }),
    ("the instruction descriptor negates A", |k| {
        k.replace_number(IDESC_N64.into(), 0x0810_2480);
    }),
    ("the instruction descriptor has the other kind's number for e2m1", |k| {
        k.replace_number(IDESC_N64.into(), 0x0810_1680);
    }),
    ("the instruction descriptor says the scales are ue8m0", |k| {
        k.replace_number(IDESC_N64.into(), 0x0890_0480);
    }),
    // Tensor core.
    ("B1 is multiplied twice", |k| {
        let b1 = k.operand(k.find(MMA, 0), 3);
        let line = k.find(MMA, 1);
        let b2 = k.operand(line, 3);
        k.replace(line, &b2, &b1);
    }),
    ("both products go to one accumulator", |k| {
        let gate = k.operand(k.find(MMA, 0), 1);
        let line = k.find(MMA, 1);
        let up = k.operand(line, 1);
        k.replace(line, &format!("[{up}]"), &format!("[{gate}]"));
    }),
    ("the second product uses the first one's scales", |k| {
        let sfb1 = k.operand(k.find(MMA, 0), 6);
        let line = k.find(MMA, 1);
        let sfb2 = k.operand(line, 6);
        k.replace(line, &format!("[{sfb2}]"), &format!("[{sfb1}]"));
    }),
    ("A and B1 are swapped", |k| {
        let line = k.find(MMA, 0);
        let (a, b) = (k.operand(line, 2), k.operand(line, 3));
        k.replace(line, &format!("{a}, {b}"), &format!("{b}, {a}"));
    }),
    ("the first MMA adds to what was there", |k| {
        let line = k.definition_of_operand(MMA, 0, 0);
        k.replace(line, "1, 0,", "1, 1,");
    }),
    ("every MMA starts anew", |k| {
        let line = k.definition_of_operand(MMA, 0, 0);
        k.replace(line, "1, 0,", "0, 0,");
    }),
    ("B2's scales are never copied", |k| k.delete(k.find(CP, 2))),
    ("A's scale columns overlap the accumulator", |k| {
        let line = k.definition_of_operand(CP, 0, 0);
        k.replace(line, ", 128;", ", 64;");
    }),
    ("the upper half of B's atoms is taken for the lower", |k| {
        let line = k.find_where(|line| line.starts_with("and.b32") && line.ends_with(", 2;"));
        k.replace(line, ", 2;", ", 0;");
    }),
    ("a K step is 16 bytes", |k| {
        let a = k.operand(k.find(MMA, 0), 2);
        let step = format!("add.s64 \t{a}, {a}, 2;");
        let line = k.find_where(|line| line == step);
        k.replace(line, ", 2;", ", 1;");
    }),
    ("a scale atom is 256 bytes", |k| {
        let along = k.operand(k.definition_of_operand(CP, 0, 1), 2);
        let step = format!("add.s64 \t{along}, {along}, 32;");
        let line = k.find_where(|line| line == step);
        k.replace(line, ", 32;", ", 16;");
    }),
    ("the padding of the scales is not cleared", |k| {
        for _ in 0..3 {
            k.delete(k.find("st.shared.v4.b32", 0));
        }
    }),
    // Tensor memory.
    ("tensor memory is never freed", |k| k.delete(k.find("tcgen05.dealloc", 0))),
    ("half of tensor memory is freed", |k| {
        let line = k.find("tcgen05.dealloc", 0);
        k.replace(line, ", 512;", ", 256;");
    }),
    ("too few columns are allocated", |k| {
        let (alloc, dealloc) = (k.find("tcgen05.alloc", 0), k.find("tcgen05.dealloc", 0));
        k.replace(alloc, ", 512;", ", 256;");
        k.replace(dealloc, ", 512;", ", 256;");
    }),
    ("the loaded accumulators are not waited for", |k| k.delete(k.find("tcgen05.wait::ld", 0))),
    ("every epilogue warp loads the first lanes", |k| {
        let line = k.find_where(|line| line.starts_with("shl.b32") && line.ends_with(", 16;"));
        k.replace(line, ", 16;", ", 31;");
    }),
    ("gate and up are swapped", |k| {
        let line = k.definition_of_operand(LD, 1, 8);
        let from = k.operand(line, 1);
        let own = k.operand(line, 0);
        k.insert_after(k.find(LD, 0), &format!("add.s32 {own}, {from}, 0;"));
        k.delete(line);
    }),
    // Epilogue.
    ("alpha1 comes after the SiLU", |k| {
        // x = alpha1·gate becomes x = gate, and alpha2·up becomes alpha1·alpha2·up.
        let (first, mut at) = (k.find("mul.rn.f32", 0), 0);
        let alpha1 = k.operand(first, 1);
        while let Some(line) = k.find_from(at, |line| {
            line.starts_with("mul.rn.f32") && line.contains(&format!(", {alpha1}, "))
        }) {
            k.replace(line, &format!(", {alpha1}, "), ", 0f3F800000, ");
            at = line + 1;
        }
        let store = k.find("cvt.rn.f16x2.f32", 0);
        for nth in 0..4 {
            let line = k.find("cvt.rn.f16x2.f32", nth);
            for i in [1, 2] {
                let value = k.operand(line, i);
                k.insert_before(store, &format!("mul.rn.f32 {value}, {value}, {alpha1};"));
            }
        }
    }),
    ("neighbouring columns are swapped", |k| {
        let line = k.find("cvt.rn.f16x2.f32", 0);
        let (high, low) = (k.operand(line, 1), k.operand(line, 2));
        k.replace(line, &format!("{high}, {low}"), &format!("{low}, {high}"));
    }),
    ("rows outside C are stored", |k| {
        let line = k.find_where(|line| line.starts_with("and.pred") && line.contains("%p"));
        let (out, column) = (k.operand(line, 0), k.operand(line, 2));
        k.replace_line(line, &format!("or.pred {out}, {column}, {column};"));
    }),
    ("columns outside C are stored", |k| {
        let line = k.find_where(|line| line.starts_with("and.pred") && line.contains("%p"));
        let (out, row) = (k.operand(line, 0), k.operand(line, 1));
        k.replace_line(line, &format!("or.pred {out}, {row}, {row};"));
    }),
    ("half of the columns are never stored", |k| {
        let line = k.find(STORE, 0);
        let address = k.operand(line, 0);
        let store = k.line(line);
        k.replace_line(line, &format!(
            "{{ .reg .pred q; .reg .b64 t; and.b64 t, {address}, 16; setp.eq.u64 q, t, 0; @q {store} }}"
        ));
    }),
];

#[test]
fn the_unchanged_kernel_is_right() {
    assert_eq!(caught(ptx::SM_100F), None);
}

#[test]
fn every_mistake_is_caught() {
    let mut missed = vec![];
    for (name, patch) in MISTAKES {
        let mut kernel = Kernel::of(ptx::SM_100F, KERNEL);
        patch(&mut kernel);
        match caught(&kernel.into_module()) {
            Some(how) => println!("caught: {name}\n    {how}"),
            None => missed.push(*name),
        }
    }
    assert!(
        missed.is_empty(),
        "{} of {} mistakes were missed: {missed:#?}",
        missed.len(),
        MISTAKES.len()
    );
}
