//! Groups on a device: routing that changes between replays of a graph, forms in any order of memory, two
//! passes, wrong offsets, and bad input that is refused.

use std::time::Instant;

use nvfp4_dual_gemm::backend::Backend;
use nvfp4_dual_gemm::backend::cuda::{Buffer, Cuda, Graph, PreparedGroups};
use nvfp4_dual_gemm::forms::{BothScales, tensors};
use nvfp4_dual_gemm::grouped::{
    Experts, Group, GroupAddresses, GroupedPlan, GroupedProblem, Operation, TwoPass, sm90,
};
use nvfp4_dual_gemm::plan::sm90::ARCH;
use nvfp4_dual_gemm::{OutputType, Problem};
use nvfp4_dual_gemm_tests::data::{DataKind, Inputs};
use nvfp4_dual_gemm_tests::judge::Expected;
use nvfp4_dual_gemm_tests::strided::{Orders, Strided};
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use super::{Stream, alone, free};

const N: usize = 136;
const K: usize = 544;
const EXPERTS: usize = 64;
/// Rows that there is room for.
const ROWS: usize = 256;
/// The layer's sizes.
const LAYER: Experts = Experts { experts: EXPERTS, rows: ROWS, n: N, k: K };
/// What C holds before a launch.
const POISON: u8 = 0xee;

/// A layer of experts on the device, whose tokens and routing can be changed.
struct Layer {
    device: Cuda,
    problem: GroupedProblem,
    /// Each expert's weights, and as many tokens as it may get.
    parts: Vec<Inputs>,
    /// A, B1, B2, SFA, SFB1, SFB2, C, alphas of gate and up, offsets.
    buffers: Vec<Buffer>,
}

fn bytes_of(words: impl IntoIterator<Item = u32>) -> Vec<u8> {
    words.into_iter().flat_map(u32::to_le_bytes).collect()
}

impl Layer {
    fn new(output: OutputType) -> Layer {
        let mut device = Cuda::new(0).unwrap();
        let problem = GroupedProblem::experts(Operation::DualGemm, LAYER).with_output(output);
        let part = |i| Inputs::new(DataKind::Quantised, (ROWS, N, K, 1), i as u64);
        let parts: Vec<_> = (0..EXPERTS).map(part).collect();
        let all = |field: fn(&Inputs) -> &[u8]| -> Vec<u8> {
            parts.iter().flat_map(|part| field(part).iter().copied()).collect()
        };
        let alphas = |field: fn(&Inputs) -> f32| bytes_of(parts.iter().map(|p| field(p).to_bits()));
        let tensors = [
            vec![0x77; ROWS * K / 2],
            all(|part| &part.b1.packed),
            all(|part| &part.b2.packed),
            vec![0x7f; LAYER.scale_bytes()],
            all(|part| &part.b1.blocked),
            all(|part| &part.b2.blocked),
            vec![POISON; 2 * ROWS * N],
            alphas(|part| part.alpha1),
            alphas(|part| part.alpha2),
            vec![0; 4 * (EXPERTS + 1)],
        ];
        let buffers = tensors.iter().map(|bytes| {
            let mut buffer = device.alloc("tensor", bytes.len()).unwrap();
            device.upload(&mut buffer, bytes).unwrap();
            buffer
        });
        let buffers = buffers.collect();
        Layer { device, problem, parts, buffers }
    }

    fn addresses(&self) -> (GroupAddresses, u64) {
        let at: Vec<_> = self.buffers.iter().map(|buffer| self.device.address(buffer)).collect();
        let [a, b1, b2, sfa, sfb1, sfb2, c, alphas1, alphas2, offsets] = at[..] else {
            unreachable!("ten tensors")
        };
        (GroupAddresses { a, b1, b2, sfa, sfb1, sfb2, c, alphas1, alphas2 }, offsets)
    }

    fn prepare(&self) -> PreparedGroups {
        let plan = self.device.plan_groups(&self.problem).unwrap();
        let (at, offsets) = self.addresses();
        self.device.prepare_groups(&plan, &[at], offsets).unwrap()
    }

    /// Gives each expert this many tokens; the offsets say what `say` makes of the right ones.
    fn route(&mut self, rows: &[usize], say: impl Fn(Vec<u32>) -> Vec<u32>) {
        let (mut a, mut sfa, mut offsets) = (vec![], vec![], vec![0]);
        for (&m, part) in rows.iter().zip(&self.parts) {
            a.extend_from_slice(&part.a.packed[..m * K / 2]);
            sfa.extend_from_slice(&part.a.blocked[..m.div_ceil(128) * K.div_ceil(64) * 512]);
            offsets.push((a.len() / (K / 2)) as u32);
        }
        a.resize(ROWS * K / 2, 0x77);
        sfa.resize(LAYER.scale_bytes(), 0x7f);
        for (index, bytes) in
            [(0, a), (3, sfa), (6, vec![POISON; 2 * ROWS * N]), (9, bytes_of(say(offsets)))]
        {
            self.device.upload(&mut self.buffers[index], &bytes).unwrap();
        }
    }

    fn c(&mut self) -> Vec<u16> {
        let mut bytes = vec![0; 2 * ROWS * N];
        self.device.download(&self.buffers[6], &mut bytes).unwrap();
        bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect()
    }

    /// Asks for the right C of every expert, and for untouched rows behind.
    fn judge(&mut self, rows: &[usize]) {
        let c = self.c();
        let mut first = 0;
        for (i, (&m, part)) in
            rows.iter().zip(&self.parts).enumerate().filter(|(_, (m, _))| **m > 0)
        {
            let problem = part.problem((m, N, K, 1), self.problem.output);
            let blocks = m.div_ceil(128) * K.div_ceil(64) * 512;
            let views = nvfp4_dual_gemm::Inputs {
                a: &part.a.packed[..m * K / 2],
                sfa: &part.a.blocked[..blocks],
                ..part.views()
            };
            let expected = Expected::reference_only(&problem, &views).unwrap();
            let verdict = expected.judge(&c[first * N..(first + m) * N]);
            assert!(verdict.passed(), "expert {i}: {verdict:?}");
            first += m;
        }
        let poison = u16::from_le_bytes([POISON; 2]);
        assert!(c[first * N..].iter().all(|&bits| bits == poison), "rows of nobody were written");
    }
}

/// Tokens of each expert when every token of a batch goes to 8 experts, some of them more liked.
fn routing(rng: &mut SmallRng, batch: usize) -> Vec<usize> {
    let mut rows = vec![0; EXPERTS];
    for _ in 0..batch {
        let mut all: Vec<usize> = (0..EXPERTS).collect();
        if rng.random_bool(0.5) {
            all.truncate(12);
        }
        all.partial_shuffle(rng, 8).0.iter().for_each(|&expert| rows[expert] += 1);
    }
    rows
}

#[test]
fn routing_changes_between_replays_of_a_graph() {
    let _alone = alone();
    for output in [OutputType::F16, OutputType::Bf16] {
        let mut layer = Layer::new(output);
        let prepared = layer.prepare();
        // SAFETY: the buffers outlive the graph.
        let graph = unsafe {
            Graph::record(&layer.device, |stream| {
                prepared.launch(stream)?;
                prepared.launch(stream)
            })
        };
        let graph = graph.unwrap();
        let mut rng = SmallRng::seed_from_u64(3);
        let mut trace: Vec<_> = [1, 32, 7, 0, 20, 1].map(|b| routing(&mut rng, b)).into();
        // All rows in one expert, and one row in the last.
        trace.push((0..EXPERTS).map(|e| if e == 40 { ROWS } else { 0 }).collect());
        trace.push((0..EXPERTS).map(|e| usize::from(e == 63)).collect());
        for rows in trace {
            layer.route(&rows, |offsets| offsets);
            graph.replay().unwrap();
            layer.judge(&rows);
        }
    }
}

#[test]
fn wrong_offsets_stay_inside() {
    let _alone = alone();
    let mut layer = Layer::new(OutputType::F16);
    // C as the start of a longer allocation, whose rest must stay as it is.
    let mut guarded = layer.device.alloc("c", 4 * ROWS * N).unwrap();
    let (mut at, offsets) = layer.addresses();
    at.c = layer.device.address(&guarded) + (ROWS * N) as u64;
    let plan = layer.device.plan_groups(&layer.problem).unwrap();
    let prepared = layer.device.prepare_groups(&plan, &[at], offsets).unwrap();
    let stream = Stream::new();
    type Say = fn(Vec<u32>) -> Vec<u32>;
    let wrong: [Say; 5] = [
        |mut offsets| {
            offsets.reverse();
            offsets
        },
        |offsets| offsets.into_iter().map(|offset| offset * 1000 + 7).collect(),
        |offsets| offsets.into_iter().map(|offset| u32::MAX - offset).collect(),
        |offsets| offsets.into_iter().map(|offset| offset ^ 0x55).collect(),
        |offsets| vec![300; offsets.len()],
    ];
    let rows = routing(&mut SmallRng::seed_from_u64(5), 32);
    for say in wrong {
        layer.route(&rows, say);
        layer.device.upload(&mut guarded, &vec![POISON; 4 * ROWS * N]).unwrap();
        // SAFETY: the buffers live until the stream has been waited for.
        unsafe { prepared.launch(stream.0).unwrap() };
        stream.wait();
        let mut c = vec![0; 4 * ROWS * N];
        layer.device.download(&guarded, &mut c).unwrap();
        let outside = c[..ROWS * N].iter().chain(&c[3 * ROWS * N..]);
        assert!(outside.clone().all(|&byte| byte == POISON), "written outside C");
    }
    // And the next launch with right ones is right.
    let prepared = layer.prepare();
    layer.route(&rows, |offsets| offsets);
    // SAFETY: as above.
    unsafe { prepared.launch(stream.0).unwrap() };
    stream.wait();
    layer.judge(&rows);
}

#[test]
fn forms_of_any_order_in_a_graph() {
    let _alone = alone();
    for (seed, orders) in (0..).zip(Orders::OTHERS.into_iter().chain([Orders::KERNELS])) {
        let mut device = Cuda::new(0).unwrap();
        let output = if seed % 2 == 0 { OutputType::F16 } else { OutputType::Bf16 };
        let shape = (137, 264, 1056, 2);
        let strided = Strided::new(Operation::DualGemm, shape, output, orders, seed).unwrap();
        let strided = strided.by_tolerance();
        let buffers = strided.upload(&mut device).unwrap();
        let tuple = strided.tuple(&device, &buffers);
        let form = tensors(&tuple, BothScales::Trust).unwrap();
        let problem = GroupedProblem::dense(Operation::DualGemm, &form.problem);
        let plan = device.plan_groups(&problem).unwrap();
        let prepared = device.prepare_form(&plan, &[form.tensors]).unwrap();
        // SAFETY: the buffers outlive the graph.
        let graph = unsafe { Graph::record(&device, |stream| prepared.launch(stream)) };
        let graph = graph.unwrap();
        for _ in 0..3 {
            graph.replay().unwrap();
        }
        let verdict = strided.judge(&mut device, &buffers).unwrap();
        assert!(verdict.passed(), "{orders:?}: {verdict:?}");
    }
}

#[test]
fn two_passes_give_the_fused_kernel_s_bits() {
    let _alone = alone();
    let mut layer = Layer::new(OutputType::F16);
    let rows = routing(&mut SmallRng::seed_from_u64(9), 30);
    let (at, offsets) = layer.addresses();
    let sms = layer.device.sm_count();
    let stream = Stream::new();
    for tile in sm90::tiles() {
        let plan = |problem: &_| sm90::with_tile(problem, tile, sms);
        let fused = plan(&layer.problem).unwrap();
        let two = TwoPass::of(&layer.problem, plan).unwrap();
        let both = [
            layer.device.prepare_groups(&fused, &[at], offsets).unwrap(),
            layer.device.prepare_two_pass(&two, &[at], offsets).unwrap(),
        ];
        let c = both.map(|prepared| {
            layer.route(&rows, |offsets| offsets);
            for _ in 0..2 {
                // SAFETY: the buffers live until the stream has been waited for.
                unsafe { prepared.launch(stream.0).unwrap() };
            }
            stream.wait();
            layer.judge(&rows);
            layer.c()
        });
        assert!(c[0] == c[1], "tiles of {tile:?}");
    }
}

#[test]
fn launches_of_groups_leak_nothing_and_are_cheap() {
    let _alone = alone();
    let mut layer = Layer::new(OutputType::F16);
    let rows = routing(&mut SmallRng::seed_from_u64(2), 16);
    layer.route(&rows, |offsets| offsets);
    layer.prepare();
    let before = free();
    for _ in 0..100 {
        layer.prepare();
    }
    assert_eq!(free(), before, "bytes free after 100 plans were prepared and dropped");
    let prepared = layer.prepare();
    let (stream, before) = (Stream::new(), free());
    let mut fastest = f64::INFINITY;
    for _ in 0..50 {
        let start = Instant::now();
        for _ in 0..100 {
            // SAFETY: as above; the launches follow each other on one stream.
            unsafe { prepared.launch(stream.0).unwrap() };
        }
        fastest = fastest.min(start.elapsed().as_secs_f64() * 1e4);
        stream.wait();
    }
    assert_eq!(free(), before, "bytes free after 5,000 launches");
    println!("launch() of groups: {fastest:.2} µs of CPU time (best of 50 batches of 100)");
    layer.judge(&rows);
}

#[test]
fn bad_groups_are_refused_and_the_context_lives() {
    let _alone = alone();
    let mut layer = Layer::new(OutputType::F16);
    let plan = layer.device.plan_groups(&layer.problem).unwrap();
    let (good, offsets) = layer.addresses();
    let refused = |at: GroupAddresses, offsets: u64, parts: &[&str]| {
        let text = layer.device.prepare_groups(&plan, &[at], offsets).unwrap_err().to_string();
        assert!(parts.iter().all(|part| text.contains(part)), "{parts:?} not in: {text}");
    };
    refused(GroupAddresses { a: 0, ..good }, offsets, &["a", "not 0"]);
    refused(GroupAddresses { b1: good.b1 + 8, ..good }, offsets, &["b1", "multiple of 16"]);
    refused(GroupAddresses { sfb2: 0x10, ..good }, offsets, &["sfb2", "device memory"]);
    refused(GroupAddresses { alphas2: good.alphas2 + 4, ..good }, offsets, &["alphas2", "alloc"]);
    refused(GroupAddresses { c: good.a, ..good }, offsets, &["apart from c"]);
    refused(good, 0, &["offsets", "not 0"]);
    let host = [0u32; EXPERTS + 2];
    refused(good, host.as_ptr() as u64, &["offsets", "device memory"]);
    // A plan of the other architecture: what prepares it is the same, up to the device.
    let other = match plan.shape.arch {
        ARCH => GroupedPlan::choose(&layer.problem, 148).unwrap(),
        _ => sm90::choose(&layer.problem, 132).unwrap(),
    };
    let text = layer.device.prepare_groups(&other, &[good], offsets).unwrap_err().to_string();
    assert!(text.contains(other.shape.arch) && text.contains("plan_groups"), "{text}");
    let two = TwoPass::of(&layer.problem, |_| Ok(other.clone()));
    let text = layer.device.prepare_two_pass(&two.unwrap(), &[good], offsets).unwrap_err();
    assert!(text.to_string().contains(other.shape.arch), "{text}");
    // Listed groups with tensors of others' sizes.
    let group = Group::new(ROWS + 1, N, K);
    let listed = GroupedProblem::listed(Operation::DualGemm, [group]);
    let listed = layer.device.plan_groups(&listed).unwrap();
    let text = layer.device.prepare_groups(&listed, &[good], 0).unwrap_err().to_string();
    assert!(text.contains("group 0") && text.contains("allocated"), "{text}");
    let problem = Problem::new(1, 8, 31);
    assert!(layer.device.plan_groups(&GroupedProblem::dense(Operation::Gemm, &problem)).is_err());

    let prepared = layer.prepare();
    let rows = routing(&mut SmallRng::seed_from_u64(4), 3);
    layer.route(&rows, |offsets| offsets);
    let stream = Stream::new();
    // SAFETY: as above.
    unsafe { prepared.launch(stream.0).unwrap() };
    stream.wait();
    layer.judge(&rows);
}
