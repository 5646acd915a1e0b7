//! `cargo xtask bench`: times on a CUDA device.
//!
//! Per shape: several sets of weights, so that none of them is still in L2 when its turn comes; a
//! CUDA graph that launches the kernel on each set in turn, several rounds; many replays of it,
//! timed by events. After the timing, elements of C drawn at random are compared with f64.

use std::path::PathBuf;

use anyhow::{Result, bail};
use nvfp4_dual_gemm::backend::Backend;
use nvfp4_dual_gemm::backend::cuda::{Cuda, Graph, Prepared, Tensors};
use nvfp4_dual_gemm::grouped::Operation;
use nvfp4_dual_gemm::plan::sm90;
use nvfp4_dual_gemm::{ActivationType, Plan, Problem};
use rand::rngs::SmallRng;
use rand::{Rng, RngCore, SeedableRng};

use crate::bench_groups;
use crate::measurements::{Measurements, Row};

/// Options of `bench`.
#[derive(clap::Args)]
pub struct Options {
    /// The device's backend.
    #[arg(long, value_name = "BACKEND", default_value = "cuda", value_parser = ["cuda"])]
    backend: String,
    /// M,N,K instead of the standard list; may be repeated.
    #[arg(long, value_name = "M,N,K")]
    shape: Vec<String>,
    /// What is computed: the dense dual GEMM, or groups and experts.
    #[arg(long, value_name = "OP", default_value = "dual", value_parser = ["dual", "grouped", "grouped-dual"])]
    op: String,
    /// Element type of A: nvfp4, f16 or bf16.
    #[arg(long, value_name = "TYPE", default_value = "nvfp4", value_parser = ["nvfp4", "f16", "bf16"])]
    activations: String,
    /// Time every tile and split instead of the plan's choice.
    #[arg(long)]
    pub sweep: bool,
    /// Graph replays per shape.
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    pub replays: usize,
    /// Also write the results to this file as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Bytes of weights that make L2 forget: several times its 60 MB.
pub const FOOTPRINT: usize = 300 << 20;
/// Launches in a graph, at least.
const LAUNCHES: usize = 16;

/// The contest's shapes beside those of N, K = 4096, 7168.
const CONTEST: [(usize, usize, usize); 11] = [
    (256, 3072, 4096),
    (512, 3072, 7168),
    (1536, 512, 7168),
    (256, 512, 256),
    (3072, 1024, 1536),
    (7168, 1024, 256),
    (7168, 2304, 2048),
    (4608, 384, 7168),
    (7168, 384, 2304),
    (512, 768, 7168),
    (4096, 768, 512),
];

/// Runs the command.
pub fn run(options: &Options) -> Result<()> {
    match options.op.as_str() {
        "grouped" => return bench_groups::run(options, Operation::Gemm),
        "grouped-dual" => return bench_groups::run(options, Operation::DualGemm),
        _ => {}
    }
    let mut device = Cuda::new(0)?;
    println!("{}", device.name());
    println!(
        "    M     N     K  A      tile    split  median us  spread us      TFLOP/s  GB/s of weights"
    );
    let activations = match options.activations.as_str() {
        "f16" => ActivationType::F16,
        "bf16" => ActivationType::Bf16,
        _ => ActivationType::Nvfp4,
    };
    let mut rows = vec![];
    for (m, n, k) in shapes(options)? {
        let problem = Problem::new(m, n, k).with_activations(activations).with_alphas(0.01, 0.02);
        let mut sets = Sets::new(&mut device, &problem)?;
        let mut plans = vec![device.plan(&problem)?];
        if options.sweep {
            plans.clear();
            for tile in sm90::TILES {
                if tile[0] as usize >= 2 * m.next_power_of_two().max(8) {
                    continue;
                }
                for split in 1..=8.min(k.div_ceil(256) as u32) {
                    let plan = sm90::with_tile(&problem, tile, split, device.sm_count())?;
                    let ctas: u32 = plan.grid.iter().product();
                    if split == 1 || ctas <= 3 * device.sm_count() {
                        plans.push(plan);
                    }
                }
            }
        }
        for plan in plans {
            let times = sets.time(&mut device, &plan, options.replays)?;
            let [low, median, high] = times;
            let weights = (2 * n * k / 16 * 9) as f64;
            let (tile, split) = (plan.tile[0], plan.cluster[0]);
            println!(
                "{m:>5} {n:>5} {k:>5}  {:<5}  {tile:>3}x{:<3} {split:>5}  {median:>9.2}  {low:>7.2}..{high:<7.2} {:>7.1}  {:>8.0}",
                activations.name(),
                plan.tile[1],
                problem.flops() / median / 1e6,
                weights / median / 1e3,
            );
            rows.push(Row {
                who: format!("ours, A in {}", activations.name()),
                m,
                n,
                k,
                low_us: low,
                median_us: median,
                high_us: high,
                plan: Some(format!("{} split {split}", plan.kernel)),
            });
        }
    }
    if let Some(path) = &options.json {
        let device = device.name().to_owned();
        Measurements { device, copy_tb_s: None, rows }.write(path)?;
    }
    Ok(())
}

fn shapes(options: &Options) -> Result<Vec<(usize, usize, usize)>> {
    if options.shape.is_empty() {
        let rows = [1, 4, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096];
        return Ok(rows.map(|m| (m, 4096, 7168)).into_iter().chain(CONTEST).collect());
    }
    let parse = |text: &String| {
        let numbers: Vec<usize> =
            text.split(',').map(|n| n.trim().parse()).collect::<Result<_, _>>()?;
        match numbers[..] {
            [m, n, k] => Ok((m, n, k)),
            _ => bail!("'{text}' is not M,N,K"),
        }
    };
    options.shape.iter().map(parse).collect()
}

type Buffer = <Cuda as Backend>::Buffer;

/// Several sets of operands for one problem, on the device and on the host.
struct Sets {
    problem: Problem,
    host: Vec<[Vec<u8>; 6]>,
    device: Vec<[Buffer; 6]>,
    c: Vec<Buffer>,
}

impl Sets {
    fn new(device: &mut Cuda, problem: &Problem) -> Result<Sets> {
        let sizes = problem.check()?;
        let count = FOOTPRINT.div_ceil(2 * (sizes.b + sizes.sfb)).clamp(3, 24);
        let mut rng = SmallRng::seed_from_u64(0xbe9c);
        let mut sets = Sets { problem: *problem, host: vec![], device: vec![], c: vec![] };
        for _ in 0..count {
            let mut data = |bytes: usize| {
                let mut data = vec![0; bytes];
                rng.fill_bytes(&mut data);
                data
            };
            // Scales from 1/8 to about 1; 16-bit elements below 2.
            let scale = |mut data: Vec<u8>| {
                data.iter_mut().for_each(|byte| *byte = 0x20 + *byte % 0x18);
                data
            };
            let mut a = data(sizes.a);
            if problem.activations != ActivationType::Nvfp4 {
                a.chunks_exact_mut(2).for_each(|pair| pair[1] = pair[1] & 0x83 | 0x38);
            }
            let host = [
                a,
                data(sizes.b),
                data(sizes.b),
                scale(data(sizes.sfa)),
                scale(data(sizes.sfb)),
                scale(data(sizes.sfb)),
            ];
            let mut upload = |data: &Vec<u8>| -> Result<Buffer> {
                let mut buffer = device.alloc("operand", data.len().max(16))?;
                if !data.is_empty() {
                    device.upload(&mut buffer, data)?;
                }
                Ok(buffer)
            };
            let on_device = [
                upload(&host[0])?,
                upload(&host[1])?,
                upload(&host[2])?,
                upload(&host[3])?,
                upload(&host[4])?,
                upload(&host[5])?,
            ];
            sets.host.push(host);
            sets.device.push(on_device);
            sets.c.push(device.alloc("c", sizes.c)?);
        }
        Ok(sets)
    }

    /// Microseconds of one launch: tenth percentile, median, ninetieth percentile over replays.
    fn time(&mut self, device: &mut Cuda, plan: &Plan, replays: usize) -> Result<[f64; 3]> {
        let sizes = self.problem.check()?;
        let poison = vec![0xff; sizes.c];
        for c in &mut self.c {
            device.upload(c, &poison)?;
        }
        let mut prepared: Vec<Prepared> = vec![];
        for (buffers, c) in self.device.iter().zip(&self.c) {
            let [a, b1, b2, sfa, sfb1, sfb2] = buffers.each_ref().map(|b| device.address(b));
            let tensors = Tensors { a, b1, b2, sfa, sfb1, sfb2, c: device.address(c) };
            prepared.push(device.prepare(plan, &tensors)?);
        }
        let rounds = LAUNCHES.div_ceil(prepared.len());
        let launches: Vec<&Prepared> = (0..rounds).flat_map(|_| &prepared).collect();
        // SAFETY: the buffers live as long as the graph, and nothing else uses them meanwhile.
        let graph = unsafe { Graph::capture(device, &launches)? };
        let mut times = vec![];
        for replay in 0..replays + 3 {
            let milliseconds = graph.replay()?;
            if replay >= 3 {
                times.push(f64::from(milliseconds) * 1e3 / launches.len() as f64);
            }
        }
        for set in [0, self.c.len() - 1] {
            self.check(device, set)?;
        }
        Ok(percentiles(times))
    }

    /// Compares elements of one set's C with f64.
    fn check(&self, device: &mut Cuda, set: usize) -> Result<()> {
        let Problem { m, n, k, alpha1, alpha2, activations, .. } = self.problem;
        let mut bytes = vec![0; self.problem.check()?.c];
        device.download(&self.c[set], &mut bytes)?;
        let [a, b1, b2, sfa, sfb1, sfb2] = &self.host[set];
        let mut rng = SmallRng::seed_from_u64(set as u64);
        for _ in 0..64 {
            let (row, column) = (rng.random_range(0..m), rng.random_range(0..n));
            let x = |i: usize| match activations {
                ActivationType::Nvfp4 => value(a, sfa, k, row, i),
                ActivationType::F16 => half::f16::from_bits(word(a, row * k + i)).to_f64(),
                ActivationType::Bf16 => half::bf16::from_bits(word(a, row * k + i)).to_f64(),
            };
            let dot = |b: &[u8], sf: &[u8]| -> f64 {
                (0..k).map(|i| x(i) * value(b, sf, k, column, i)).sum()
            };
            let gate = f64::from(alpha1) * dot(b1, sfb1);
            let want = gate / (1.0 + (-gate).exp()) * f64::from(alpha2) * dot(b2, sfb2);
            let got = half::f16::from_bits(word(&bytes, row * n + column)).to_f64();
            // A NaN is not close to anything.
            let close = (got - want).abs() <= 2e-3 + 2e-3 * want.abs();
            if !close {
                bail!("set {set}: C[{row}, {column}] is {got}, should be {want}");
            }
        }
        Ok(())
    }
}

/// Tenth percentile, median, ninetieth percentile.
pub fn percentiles(mut times: Vec<f64>) -> [f64; 3] {
    times.sort_by(f64::total_cmp);
    [1, 5, 9].map(|part| times[part * (times.len() - 1) / 10])
}

fn word(bytes: &[u8], i: usize) -> u16 {
    u16::from_le_bytes([bytes[2 * i], bytes[2 * i + 1]])
}

/// One scaled element of an NVFP4 operand with blocked scales.
pub fn value(packed: &[u8], scales: &[u8], k: usize, row: usize, i: usize) -> f64 {
    let code = packed[row * (k / 2) + i / 2] >> (i % 2 * 4) & 15;
    let atom = row / 128 * k.div_ceil(64) + i / 64;
    let byte = scales[atom * 512 + row % 32 * 16 + row % 128 / 32 * 4 + i % 64 / 16];
    let magnitude = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0][usize::from(code & 7)];
    let scale = f64::from(byte % 8 + 8) / 8.0 * 2f64.powi(i32::from(byte >> 3) - 7);
    if code & 8 == 0 { magnitude * scale } else { -magnitude * scale }
}
