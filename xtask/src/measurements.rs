//! Times as `bench` and `peers.py` write them, and as `plot` reads them.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// One program's measurements on one machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measurements {
    /// What the driver calls the device.
    pub device: String,
    /// Bytes read and written by a large copy on the device, in TB/s, if it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy_tb_s: Option<f64>,
    /// One line per shape and contestant.
    pub rows: Vec<Row>,
}

/// One contestant's time for one shape, in microseconds per call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The contestant.
    pub who: String,
    /// Rows of A and of C.
    pub m: usize,
    /// Columns of C.
    pub n: usize,
    /// Elements of a dot product.
    pub k: usize,
    /// Tenth percentile.
    pub low_us: f64,
    /// Median.
    pub median_us: f64,
    /// Ninetieth percentile.
    pub high_us: f64,
    /// Which kernel, tile or configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
}

impl Measurements {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Measurements> {
        let text =
            fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        serde_json::from_str(&text)
            .with_context(|| format!("{} is not what bench or peers.py writes", path.display()))
    }

    /// Writes a file, whole or not at all.
    #[cfg(feature = "cuda")]
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        crate::workspace::write_whole(path, text.as_bytes())
    }
}
