//! ModelOpt's names: tensor scales are multipliers.

use super::{Checkpoint, Weights};
use crate::error::Result;

impl Checkpoint {
    /// N, K and weights of the projection `layer`.
    pub(super) fn modelopt(&self, layer: &str) -> Result<(usize, usize, Weights<'_>)> {
        let weight = format!("{layer}.weight");
        let stored = self.shards.tensor(&weight)?;
        let scale_2 = format!("{layer}.weight_scale_2");
        if !self.shards.has(&scale_2) && !self.shards.has(&format!("{layer}.weight_scale")) {
            return Err(stored.wrong(format!(
                "has no weight_scale and weight_scale_2 beside it, and its type is {:?}: this \
                 projection is not quantised to NVFP4",
                stored.dtype()
            )));
        }
        let (n, k, packed, scales) = self.blocks(&weight, &format!("{layer}.weight_scale"))?;
        let (tensor_scale, _) = self.scalar(&scale_2)?;
        let input = format!("{layer}.input_scale");
        let input_scale = match self.shards.has(&input) {
            true => Some(self.scalar(&input)?.0),
            false => None,
        };
        Ok((n, k, Weights { packed, scales, tensor_scale, input_scale }))
    }
}
