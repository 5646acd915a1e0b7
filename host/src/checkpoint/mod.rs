//! Gate and up weights out of `.safetensors` checkpoints, in ModelOpt's and in compressed-tensors'
//! naming.
//!
//! | | ModelOpt | compressed-tensors |
//! |---|---|---|
//! | data, U8 `[N, K/2]` | `weight` | `weight_packed` |
//! | block scales, F8_E4M3 `[N, K/16]` | `weight_scale` | `weight_scale` |
//! | tensor scale, F32 | `weight_scale_2`, a multiplier | `weight_global_scale`, a divisor |
//! | activation scale, F32 | `input_scale`, a multiplier | `input_global_scale`, a divisor |
//!
//! Divisors become multipliers here, so nothing behind this module needs to know where a weight came
//! from. Data and block scales stay where the file is mapped; nothing is copied.

mod compressed_tensors;
mod mapped;
mod modelopt;
mod shards;

use std::fmt;
use std::path::Path;

use safetensors::Dtype;

use crate::error::{Error, Result};
use crate::formats::scale_layout::{BLOCK, ScaleLayout, first_defect};
use shards::{Shards, Stored};

/// Names of the two projections of a layer: gate first.
const PAIRS: [[&str; 2]; 2] = [["gate_proj", "up_proj"], ["w1", "w3"]];

/// How a checkpoint names and means its tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Convention {
    /// NVIDIA ModelOpt: tensor scales are multipliers.
    ModelOpt,
    /// compressed-tensors: tensor scales are divisors.
    CompressedTensors,
}

impl fmt::Display for Convention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Convention::ModelOpt => "ModelOpt",
            Convention::CompressedTensors => "compressed-tensors",
        })
    }
}

/// A checkpoint: one file, or several with an index. Files are mapped when first needed.
#[derive(Debug)]
pub struct Checkpoint {
    shards: Shards,
}

/// The weights of one projection.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weights<'a> {
    /// The data, `[N, K/2]`, the element with the lower K index in the low nibble.
    pub packed: &'a [u8],
    /// The block scales, row-major `[N, K/16]`; none is NaN or negative.
    pub scales: &'a [u8],
    /// Multiplies every weight.
    pub tensor_scale: f32,
    /// Multiplies every activation, if the checkpoint was calibrated for NVFP4 activations.
    pub input_scale: Option<f32>,
}

/// A gate projection and the up projection next to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GateUp<'a> {
    /// Rows of each: features of the layer inside.
    pub n: usize,
    /// Elements in a row: features that come in.
    pub k: usize,
    /// Whose naming the tensors had.
    pub convention: Convention,
    /// The gate: B1.
    pub gate: Weights<'a>,
    /// The up projection: B2. Its scales need not be the gate's.
    pub up: Weights<'a>,
}

impl Checkpoint {
    /// Opens a `.safetensors` file, a `.safetensors.index.json`, or a folder that holds either.
    ///
    /// The files are mapped into memory: while the checkpoint is in use nobody may change or
    /// truncate them. Reading what has been cut off ends the process.
    ///
    /// # Errors
    /// A path that cannot be read, or is none of these; a damaged file or index.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Ok(Checkpoint { shards: Shards::open(path.as_ref())? })
    }

    /// The prefixes that have a gate projection, for [`Checkpoint::gate_up`].
    pub fn prefixes(&self) -> Vec<String> {
        let mut prefixes: Vec<String> = self
            .shards
            .names()
            .filter_map(|name| {
                let (layer, _) = name.rsplit_once('.')?;
                PAIRS.iter().find_map(|[gate, _]| match layer.strip_suffix(gate)? {
                    "" => Some(""),
                    prefix => prefix.strip_suffix('.'),
                })
            })
            .map(String::from)
            .collect();
        prefixes.sort();
        prefixes.dedup();
        prefixes
    }

    /// The pair below `prefix`, such as `model.layers.0.mlp`: `gate_proj` and `up_proj`, or `w1`
    /// and `w3`. The prefix is empty where the names start with these.
    ///
    /// # Errors
    /// A tensor that is missing, or has another type, shape or value than its name promises; a
    /// damaged file.
    pub fn gate_up(&self, prefix: &str) -> Result<GateUp<'_>> {
        let prefix = prefix.trim_end_matches('.');
        let dot = if prefix.is_empty() { "" } else { "." };
        let pairs = PAIRS.map(|pair| pair.map(|name| format!("{prefix}{dot}{name}")));
        let Some([gate, up]) = pairs.iter().find(|pair| self.convention(&pair[0]).is_some()) else {
            return Err(self.no_pair(prefix, &pairs));
        };
        let convention = self.convention(gate);
        let (gate_weights, up_weights) = match (convention, self.convention(up)) {
            (Some(gate_names), Some(up_names)) if gate_names != up_names => {
                return Err(Error::Tensor {
                    path: self.shards.path().into(),
                    tensor: up.clone(),
                    reason: format!(
                        "is named as by {up_names}, {gate} as by {gate_names}: tensor scales would \
                         be mistaken for their inverses; convert one of them"
                    ),
                });
            }
            // An up projection that is absent is reported by the first name that is not found.
            (Some(Convention::CompressedTensors), _) => {
                (self.compressed_tensors(gate)?, self.compressed_tensors(up)?)
            }
            _ => (self.modelopt(gate)?, self.modelopt(up)?),
        };
        let (n, k, gate_weights) = gate_weights;
        let (up_n, up_k, up_weights) = up_weights;
        if (n, k) != (up_n, up_k) {
            return Err(Error::Tensor {
                path: self.shards.path().into(),
                tensor: up.clone(),
                reason: format!(
                    "has N = {up_n}, K = {up_k}, but {gate} has N = {n}, K = {k}: a gate/up pair \
                     has one shape; check that both belong to one layer and one tensor-parallel rank"
                ),
            });
        }
        let convention = convention.unwrap_or(Convention::ModelOpt);
        Ok(GateUp { n, k, convention, gate: gate_weights, up: up_weights })
    }

    /// Told by the names that only one of them has.
    fn convention(&self, layer: &str) -> Option<Convention> {
        let has =
            |names: [&str; 2]| names.iter().any(|name| self.shards.has(&format!("{layer}.{name}")));
        if has(["weight_packed", "weight_global_scale"]) {
            Some(Convention::CompressedTensors)
        } else if has(["weight", "weight_scale_2"]) {
            Some(Convention::ModelOpt)
        } else {
            None
        }
    }

    fn no_pair(&self, prefix: &str, pairs: &[[String; 2]; 2]) -> Error {
        let hint = match self.prefixes().as_slice() {
            [] => "no tensor of this checkpoint is called gate_proj or w1; fused gate_up_proj \
                   weights must be split first"
                .to_string(),
            [first, rest @ ..] => {
                format!("gate projections are below {first:?} and {} other prefixes", rest.len())
            }
        };
        Error::MissingTensor {
            path: self.shards.path().into(),
            tensor: format!("{}.weight or .weight_packed", pairs[0][0]),
            hint: format!("nor {}.weight: nothing for prefix {prefix:?}; {hint}", pairs[1][0]),
        }
    }

    /// Data and block scales of one projection, with N and K.
    fn blocks(&self, data: &str, scales: &str) -> Result<(usize, usize, &[u8], &[u8])> {
        let data = self.shards.tensor(data)?;
        data.expect_dtype(Dtype::U8, "packed e2m1 data are two elements a byte")?;
        let (n, half_k) = data.matrix("[N, K/2]")?;
        let scale = self.shards.tensor(scales)?;
        scale.expect_dtype(Dtype::F8_E4M3, "NVFP4 block scales are e4m3")?;
        let (rows, blocks) = scale.matrix("[N, K/16]")?;

        let k = half_k.saturating_mul(2);
        if !half_k.is_multiple_of(BLOCK / 2) {
            let reason = format!("shape [{n}, {half_k}] means K = {k}: K must be a multiple of 16");
            return Err(data.wrong(reason));
        }
        if (rows, blocks) != (n, k / BLOCK) {
            let mx = if (rows, blocks) == (n, k / 32) {
                " One scale for 32 elements is MXFP4, not NVFP4."
            } else if (rows, blocks) == (k / BLOCK, n) {
                " It seems to be transposed."
            } else {
                ""
            };
            return Err(scale.wrong(format!(
                "shape [{rows}, {blocks}], but {} of shape [{n}, {half_k}] asks for [{n}, {}]: one \
                 scale for 16 elements along K.{mx}",
                data.name(),
                k / BLOCK,
            )));
        }
        if let Some(defect) = first_defect(scale.data(), blocks) {
            return Err(defect.into_error(format!("{}: tensor {scales}", scale.path().display())));
        }
        Ok((n, k, data.data(), scale.data()))
    }

    /// A tensor scale: one finite F32 above 0.
    fn scalar(&self, name: &str) -> Result<(f32, Stored<'_>)> {
        let stored = self.shards.tensor(name)?;
        stored.expect_dtype(Dtype::F32, "tensor scales are F32")?;
        let &[a, b, c, d] = stored.data() else {
            let reason = format!("shape {:?}: a tensor scale is one number", stored.shape());
            return Err(stored.wrong(reason));
        };
        let value = f32::from_le_bytes([a, b, c, d]);
        if !(value.is_finite() && value > 0.0) {
            let reason = format!("is {value}: a tensor scale is a finite number above 0");
            return Err(stored.wrong(reason));
        }
        Ok((value, stored))
    }

    /// A tensor scale stored as its inverse.
    fn divisor(&self, name: &str) -> Result<f32> {
        let (value, stored) = self.scalar(name)?;
        let multiplier = 1.0 / value;
        if !multiplier.is_finite() || multiplier == 0.0 {
            let reason = format!("is {value}, a divisor whose inverse f32 cannot hold");
            return Err(stored.wrong(reason));
        }
        Ok(multiplier)
    }
}

impl GateUp<'_> {
    /// `alpha1` and `alpha2` of a [`Problem`](crate::Problem) whose A was quantised with the tensor
    /// scale `input_scale`.
    pub fn alphas_for(&self, input_scale: f32) -> (f32, f32) {
        (input_scale * self.gate.tensor_scale, input_scale * self.up.tensor_scale)
    }

    /// The tensor scale to quantise A with, as the checkpoint was calibrated.
    ///
    /// # Errors
    /// Gate and up name different scales, or none: both read the same A, which has one.
    pub fn input_scale(&self) -> Result<f32> {
        let (what, remedy) = match (self.gate.input_scale, self.up.input_scale) {
            (Some(gate), Some(up)) if gate == up => return Ok(gate),
            (Some(gate), Some(up)) => (
                format!("gate's input scale {gate} differs from up's, {up}"),
                "quantise A with one of them, the larger to avoid clipping, and take `alphas_for`",
            ),
            (None, None) => (
                "a checkpoint without input scales".into(),
                "quantise A with `TensorScale::FromData` and take `alphas_for`",
            ),
            _ => (
                "an input scale for only one of gate and up".into(),
                "check the checkpoint, or take `alphas_for` with the one there is",
            ),
        };
        Err(Error::Unsupported { what, remedy })
    }

    /// `input_scale · tensor_scale` of gate and of up, for the calibrated input scale.
    ///
    /// # Errors
    /// As [`input_scale`](Self::input_scale).
    pub fn alphas(&self) -> Result<(f32, f32)> {
        Ok(self.alphas_for(self.input_scale()?))
    }

    /// The block scales of gate and of up in the layout that the kernels read.
    ///
    /// # Errors
    /// None for a pair that came from a checkpoint.
    pub fn blocked_scales(&self) -> Result<[Vec<u8>; 2]> {
        let layout = ScaleLayout::new(self.n, self.k, 1)?;
        Ok([layout.to_blocked(self.gate.scales)?, layout.to_blocked(self.up.scales)?])
    }
}
