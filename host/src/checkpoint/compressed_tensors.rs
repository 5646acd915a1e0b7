//! compressed-tensors' names: tensor scales are divisors, and become multipliers here.

use super::{Checkpoint, Weights};
use crate::error::Result;

impl Checkpoint {
    /// N, K and weights of the projection `layer`.
    pub(super) fn compressed_tensors(&self, layer: &str) -> Result<(usize, usize, Weights<'_>)> {
        let (data, scales) = (format!("{layer}.weight_packed"), format!("{layer}.weight_scale"));
        let (n, k, packed, scales) = self.blocks(&data, &scales)?;
        let tensor_scale = self.divisor(&format!("{layer}.weight_global_scale"))?;
        let input = format!("{layer}.input_global_scale");
        let input_scale = match self.shards.has(&input) {
            true => Some(self.divisor(&input)?),
            false => None,
        };
        Ok((n, k, Weights { packed, scales, tensor_scale, input_scale }))
    }
}
