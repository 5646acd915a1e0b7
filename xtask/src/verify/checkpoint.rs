//! Real weights: a gate/up pair of a checkpoint, with activations made for it.

use std::path::Path;

use anyhow::Result;
use nvfp4_dual_gemm::{Checkpoint, OutputType};
use nvfp4_dual_gemm_tests::data::Inputs;

use super::cases::{Case, Source};

/// One case per output type.
pub fn cases(path: &Path, layer: &str, rows: usize) -> Result<Vec<Case>> {
    let checkpoint = Checkpoint::open(path)?;
    let pair = checkpoint.gate_up(layer)?;
    println!(
        "{layer}: {} naming, N {}, K {}, tensor scales {} (gate) and {} (up)",
        pair.convention, pair.n, pair.k, pair.gate.tensor_scale, pair.up.tensor_scale
    );
    let inputs = Inputs::of_checkpoint(&pair, rows, 0x5eed)?;
    let case = |output| Case {
        shape: (rows, pair.n, pair.k, 1),
        tile_n: None,
        output,
        source: Source::Checkpoint(Box::new(inputs.clone())),
        default_seeds: 2,
    };
    Ok([OutputType::F16, OutputType::Bf16].map(case).to_vec())
}
