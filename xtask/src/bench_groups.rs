//! `cargo xtask bench --op grouped|grouped-dual`: the contest's grouped shapes, and experts as routing
//! leaves them.
//!
//! As in the dense benchmark: a CUDA graph over several sets of tensors where one would stay in L2,
//! events around its replays, and elements of C drawn at random compared with f64 afterwards. A dual
//! operation is timed in two passes too. The last column is the CPU time of one `launch()`.

use std::ptr;
use std::time::Instant;

use anyhow::{Result, bail};
use nvfp4_dual_gemm::backend::Backend;
use nvfp4_dual_gemm::backend::cuda::{Buffer, Cuda, Graph, PreparedGroups};
use nvfp4_dual_gemm::grouped::{
    Experts, Group, GroupAddresses, GroupedProblem, Operation, TwoPass, sm90,
};
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{Rng, RngCore, SeedableRng};

use crate::bench::{FOOTPRINT, Options, percentiles, value};
use crate::measurements::{Measurements, Row};

/// The contest's benchmarks: M of each group; N and K of all.
const CONTEST: [(&[usize], usize, usize); 4] = [
    (&[80, 176, 128, 72, 64, 248, 96, 160], 4096, 7168),
    (&[40, 76, 168, 72, 164, 148, 196, 160], 7168, 2048),
    (&[192, 320], 3072, 4096),
    (&[128, 384], 4096, 1536),
];
/// Mixtures of experts: how many, N, K.
const MIXTURES: [(usize, usize, usize); 2] = [(64, 1408, 2048), (256, 2048, 7168)];
/// Experts of a token.
const TOP: usize = 8;
/// Tokens of a batch.
const BATCHES: [usize; 6] = [1, 8, 32, 64, 256, 512];

/// Launches whose CPU time is measured together, and how often.
const LAUNCHES: u32 = 50;
const LAUNCH_BATCHES: usize = 6;

/// One group's, or all experts', sizes: M, weights' batches, N, K.
type Sizes = (usize, usize, usize, usize);

/// Tensors of one group or of all experts, on the host and on the device.
struct Tensors {
    sizes: Sizes,
    host: [Vec<u8>; 6],
    /// A, B1, B2, SFA, SFB1, SFB2, C, alphas.
    device: Vec<Buffer>,
}

/// A problem with tensors on the device.
struct Bench {
    problem: GroupedProblem,
    offsets: Vec<u32>,
    /// Enough sets of tensors that none stays in L2 until its next turn.
    sets: Vec<Vec<Tensors>>,
    /// The offsets on the device.
    table: Buffer,
}

/// How one plan did.
struct Timed {
    /// Microseconds on the device: tenth percentile, median, ninetieth.
    device_us: [f64; 3],
    /// Microseconds of CPU time of a launch, at best.
    launch_us: f64,
}

/// Runs the command.
pub fn run(options: &Options, operation: Operation) -> Result<()> {
    let mut device = Cuda::new(0)?;
    println!("{}\n{operation:?}: medians of replays, microseconds", device.name());
    println!("what             M     N     K     median     spread           launch()  plan");
    let mut rows = vec![];
    for (m, n, k) in CONTEST {
        let groups: Vec<Group> = m
            .iter()
            .map(|&m| Group { alpha1: 0.01, alpha2: 0.02, ..Group::new(m, n, k) })
            .collect();
        let problem = GroupedProblem::listed(operation, groups);
        let sizes: Vec<Sizes> = m.iter().map(|&m| (m, 1, n, k)).collect();
        let mut bench = Bench::new(&mut device, problem, &sizes, vec![])?;
        let what = format!("{} groups", m.len());
        bench.run(&mut device, options, &what, (m.iter().sum(), n, k), &mut rows)?;
    }
    for (experts, n, k) in MIXTURES {
        for batch in BATCHES {
            let problem = Experts { experts, rows: batch * TOP, n, k };
            let problem = GroupedProblem::experts(operation, problem);
            let sizes = [(batch * TOP, experts, n, k)];
            let mut bench = Bench::new(&mut device, problem, &sizes, routing(experts, batch))?;
            let what = format!("{experts} experts");
            bench.run(&mut device, options, &what, (batch * TOP, n, k), &mut rows)?;
        }
    }
    if let Some(path) = &options.json {
        let device = device.name().to_owned();
        Measurements { device, copy_tb_s: None, rows }.write(path)?;
    }
    Ok(())
}

/// Where each expert's rows begin when every token goes to 8 experts drawn at random.
fn routing(experts: usize, batch: usize) -> Vec<u32> {
    let mut rng = SmallRng::seed_from_u64(7);
    let mut rows = vec![0; experts];
    for _ in 0..batch {
        let mut all: Vec<usize> = (0..experts).collect();
        all.partial_shuffle(&mut rng, TOP).0.iter().for_each(|&expert| rows[expert] += 1);
    }
    let mut end = 0;
    std::iter::once(0)
        .chain(rows.into_iter().map(|rows: u32| {
            end += rows;
            end
        }))
        .collect()
}

impl Bench {
    fn new(
        device: &mut Cuda,
        problem: GroupedProblem,
        sizes: &[Sizes],
        offsets: Vec<u32>,
    ) -> Result<Bench> {
        let products = problem.operation.products();
        let weights: usize = sizes.iter().map(|&(_, e, n, k)| e * n * k / 16 * 9 * products).sum();
        let mut sets = vec![];
        for seed in 0..FOOTPRINT.div_ceil(weights).clamp(1, 12) as u64 {
            let mut rng = SmallRng::seed_from_u64(seed);
            let mut set = vec![];
            for &sizes in sizes {
                set.push(Tensors::new(device, &mut rng, sizes, !offsets.is_empty())?);
            }
            sets.push(set);
        }
        let bytes: Vec<u8> = offsets.iter().flat_map(|offset| offset.to_le_bytes()).collect();
        let mut table = device.alloc("offsets", bytes.len().max(4))?;
        if !offsets.is_empty() {
            device.upload(&mut table, &bytes)?;
        }
        Ok(Bench { problem, offsets, sets, table })
    }

    /// Times the plan's choice or, in a sweep, every tile; and two passes.
    fn run(
        &mut self,
        device: &mut Cuda,
        options: &Options,
        what: &str,
        (m, n, k): (usize, usize, usize),
        rows: &mut Vec<Row>,
    ) -> Result<()> {
        let mut report = |who: &str, plan: String, timed: Timed| {
            let Timed { device_us: [low_us, median_us, high_us], launch_us } = timed;
            println!(
                "{what:<12} {m:>5} {n:>5} {k:>5}  {median_us:>9.2}  {low_us:>8.2}..{high_us:<8.2}  {launch_us:>6.2}  {plan}"
            );
            let (who, plan) = (format!("{who}, {what}"), Some(plan));
            rows.push(Row { who, m, n, k, low_us, median_us, high_us, plan });
        };
        let mut plans = vec![device.plan_groups(&self.problem)?];
        if options.sweep {
            let sms = device.sm_count();
            let all = sm90::tiles().map(|tile| sm90::with_tile(&self.problem, tile, sms));
            plans = all.collect::<Result<_, _>>()?;
        }
        for plan in plans {
            let prepare =
                |device: &Cuda, at: &[_], offsets| device.prepare_groups(&plan, at, offsets);
            let [rows, columns] = plan.tile;
            report("ours", format!("{rows}x{columns}"), self.time(device, options, prepare)?);
        }
        if self.problem.operation == Operation::DualGemm {
            let plan = TwoPass::of(&self.problem, |problem| device.plan_groups(problem))?;
            let prepare =
                |device: &Cuda, at: &[_], offsets| device.prepare_two_pass(&plan, at, offsets);
            let [rows, columns] = plan.gate.tile;
            let plan = format!("two passes {rows}x{columns}");
            report("two passes", plan, self.time(device, options, prepare)?);
        }
        Ok(())
    }

    fn time(
        &mut self,
        device: &mut Cuda,
        options: &Options,
        prepare: impl Fn(&Cuda, &[GroupAddresses], u64) -> nvfp4_dual_gemm::Result<PreparedGroups>,
    ) -> Result<Timed> {
        let at = if self.offsets.is_empty() { 0 } else { device.address(&self.table) };
        let mut prepared = vec![];
        for set in &mut self.sets {
            set.iter_mut().try_for_each(|tensors| tensors.poison(device))?;
            let addresses: Vec<_> = set.iter().map(|tensors| tensors.addresses(device)).collect();
            prepared.push(prepare(device, &addresses, at)?);
        }
        let rounds = 16usize.div_ceil(prepared.len());
        // SAFETY: the buffers live until the last replay has ended, and nothing else uses them.
        let graph = unsafe {
            Graph::record(device, |stream| {
                (0..rounds).flat_map(|_| &prepared).try_for_each(|one| one.launch(stream))
            })?
        };
        let mut times = vec![];
        for replay in 0..options.replays + 3 {
            let milliseconds = graph.replay()?;
            if replay >= 3 {
                times.push(f64::from(milliseconds) * 1e3 / (rounds * prepared.len()) as f64);
            }
        }
        let mut launch_us = f64::INFINITY;
        for _ in 0..LAUNCH_BATCHES {
            let start = Instant::now();
            for _ in 0..LAUNCHES {
                // SAFETY: as above; the check below waits for the default stream.
                unsafe { prepared[0].launch(ptr::null_mut())? };
            }
            launch_us = launch_us.min(start.elapsed().as_secs_f64() * 1e6 / f64::from(LAUNCHES));
            device.download(&self.table, &mut vec![0; 4 * self.offsets.len().max(1)])?;
        }
        for tensors in &self.sets[self.sets.len() - 1] {
            let dual = self.problem.operation == Operation::DualGemm;
            tensors.check(device, dual, &self.offsets)?;
        }
        Ok(Timed { device_us: percentiles(times), launch_us })
    }
}

impl Tensors {
    fn new(device: &mut Cuda, rng: &mut SmallRng, sizes: Sizes, shared: bool) -> Result<Tensors> {
        let (m, batches, n, k) = sizes;
        let blocks = |rows: usize| rows.div_ceil(128) * k.div_ceil(64) * 512;
        // Of experts, every one with rows may start a block.
        let sfa = if shared {
            Experts { experts: batches, rows: m, n, k }.scale_bytes()
        } else {
            blocks(m)
        };
        // The same 16 MB over and over: nobody looks for repetitions that far apart.
        let mut pattern = vec![0; 16 << 20];
        rng.fill_bytes(&mut pattern);
        let data = |bytes: usize, from: usize| -> Vec<u8> {
            let mut data = pattern[from..].to_vec();
            while data.len() < bytes {
                data.extend_from_slice(&pattern);
            }
            data.truncate(bytes);
            data
        };
        // Scales from 1/8 to about 1.
        let scale = |mut data: Vec<u8>| {
            data.iter_mut().for_each(|byte| *byte = 0x20 + *byte % 0x18);
            data
        };
        let host = [
            data(m * k / 2, 0),
            data(batches * n * k / 2, 1),
            data(batches * n * k / 2, 2),
            scale(data(sfa, 3)),
            scale(data(batches * blocks(n), 4)),
            scale(data(batches * blocks(n), 5)),
        ];
        let c = vec![0xff; 2 * m * n];
        let alphas: Vec<u8> = [0.01f32, 0.02]
            .into_iter()
            .flat_map(|alpha| std::iter::repeat_n(alpha, batches))
            .flat_map(f32::to_le_bytes)
            .collect();
        let mut buffers = vec![];
        for bytes in host.iter().chain([&c, &alphas]) {
            let mut buffer = device.alloc("tensor", bytes.len())?;
            device.upload(&mut buffer, bytes)?;
            buffers.push(buffer);
        }
        Ok(Tensors { sizes, host, device: buffers })
    }

    fn addresses(&self, device: &Cuda) -> GroupAddresses {
        let at = |i: usize| device.address(&self.device[i]);
        GroupAddresses {
            a: at(0),
            b1: at(1),
            b2: at(2),
            sfa: at(3),
            sfb1: at(4),
            sfb2: at(5),
            c: at(6),
            alphas1: at(7),
            alphas2: at(7) + 4 * self.sizes.1 as u64,
        }
    }

    /// Forgets C.
    fn poison(&mut self, device: &mut Cuda) -> nvfp4_dual_gemm::Result<()> {
        let (m, _, n, _) = self.sizes;
        device.upload(&mut self.device[6], &vec![0xff; 2 * m * n])
    }

    /// Compares elements of C with f64.
    fn check(&self, device: &mut Cuda, dual: bool, offsets: &[u32]) -> Result<()> {
        let (m, batches, n, k) = self.sizes;
        let mut c = vec![0; 2 * m * n];
        device.download(&self.device[6], &mut c)?;
        let [a, b1, b2, sfa, sfb1, sfb2] = &self.host;
        let mut rng = SmallRng::seed_from_u64(1);
        for _ in 0..32 {
            let (row, column) = (rng.random_range(0..m), rng.random_range(0..n));
            // The row's expert, its row there, and its expert's first block of scales.
            let (mut expert, mut first, mut block) = (0, 0, 0);
            while expert + 1 < batches && row >= offsets[expert + 1] as usize {
                let rows = offsets[expert + 1] as usize - first;
                block += rows.div_ceil(128);
                first = offsets[expert + 1] as usize;
                expert += 1;
            }
            let scales_a = &sfa[block * k.div_ceil(64) * 512..];
            let of = |scales: &[u8]| expert * (scales.len() / batches);
            let codes_a = &a[first * k / 2..];
            let codes = expert * n * k / 2;
            let dot = |b: &[u8], sf: &[u8]| -> f64 {
                let (b, sf) = (&b[codes..], &sf[of(sf)..]);
                (0..k)
                    .map(|i| {
                        value(codes_a, scales_a, k, row - first, i) * value(b, sf, k, column, i)
                    })
                    .sum()
            };
            let gate = 0.01 * dot(b1, sfb1);
            let want =
                if dual { gate / (1.0 + (-gate).exp()) * 0.02 * dot(b2, sfb2) } else { gate };
            let at = 2 * (row * n + column);
            let got = half::f16::from_bits(u16::from_le_bytes([c[at], c[at + 1]])).to_f64();
            // A NaN is not close to anything.
            let close = (got - want).abs() <= 2e-3 + 2e-3 * want.abs();
            if !close {
                bail!("expert {expert}: C[{row}, {column}] is {got}, should be {want}");
            }
        }
        Ok(())
    }
}
