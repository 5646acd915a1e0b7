//! The launch file as written: one struct per JSON object, unknown fields refused.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::run::Ordering;
use crate::tensor::map::{ElementType, Interleave, L2Promotion, OobFill};
use crate::tensor::swizzle::Swizzle;

/// The whole file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LaunchFile {
    /// The device to stand for, such as `sm_100a`: modules for others are refused.
    pub target: Option<String>,
    /// PTX files by name.
    #[serde(deserialize_with = "unique")]
    pub modules: BTreeMap<String, String>,
    /// Device buffers by name.
    #[serde(default, deserialize_with = "unique")]
    pub buffers: BTreeMap<String, Buffer>,
    /// What to run, in order.
    pub launches: Vec<Launch>,
    /// Buffers to write to files when all launches ended.
    #[serde(default, deserialize_with = "unique")]
    pub outputs: BTreeMap<String, String>,
    /// The schedule seed.
    #[serde(default)]
    pub seed: u64,
    /// What is taken for granted where the ISA leaves a question open. The programs of launch files
    /// are other people's, so it is what shipped kernels rely on.
    #[serde(default = "as_hardware")]
    pub ordering: Ordering,
    /// Budgets.
    #[serde(default)]
    pub limits: Limits,
}

fn as_hardware() -> Ordering {
    Ordering::Hardware
}

/// Budgets of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Thread instructions of one launch, after which it counts as a livelock.
    pub instructions: Option<u64>,
    /// Bytes of all buffers together; 4 GiB when left out.
    pub bytes: Option<u64>,
}

/// A device buffer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Buffer {
    /// Size.
    pub bytes: u64,
    /// Initial content, from the start.
    pub file: Option<String>,
    /// Value of every byte that `file` does not give.
    pub fill: Option<u8>,
    /// Alignment of the device address.
    pub align: Option<u64>,
    /// The buffer holds this tensor map.
    pub tensor_map: Option<TensorMapSpec>,
}

/// The arguments of `cuTensorMapEncodeTiled`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorMapSpec {
    /// The buffer it addresses.
    pub buffer: String,
    /// Bytes from the buffer's start to element 0.
    #[serde(default)]
    pub offset: u64,
    /// Element type.
    #[serde(rename = "type")]
    pub element: ElementType,
    /// Extents in elements, innermost first; their number is the rank.
    pub dims: Vec<u64>,
    /// Strides in bytes of dimensions 1 and up.
    #[serde(default)]
    pub strides: Vec<u64>,
    /// Box extents in elements.
    #[serde(rename = "box")]
    pub box_dims: Vec<u32>,
    /// Traversal strides in elements; 1 everywhere when left out.
    pub element_strides: Option<Vec<u32>>,
    /// Interleaved layout.
    #[serde(default)]
    pub interleave: Interleave,
    /// Swizzle of the shared-memory image.
    #[serde(default)]
    pub swizzle: Swizzle,
    /// L2 promotion.
    #[serde(default)]
    pub l2_promotion: L2Promotion,
    /// Out-of-bounds fill.
    #[serde(default)]
    pub oob_fill: OobFill,
}

/// One kernel launch.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Launch {
    /// Name of the module.
    pub module: String,
    /// Name of the entry.
    pub entry: String,
    /// CTAs.
    pub grid: [u32; 3],
    /// Threads of a CTA.
    pub block: [u32; 3],
    /// CTAs of a cluster; the entry's own, or 1, when left out.
    pub cluster: Option<[u32; 3]>,
    /// Bytes of dynamic shared memory.
    #[serde(default)]
    pub dynamic_shared: u32,
    /// The launch may begin while the one before it still runs (programmatic stream serialization).
    #[serde(default)]
    pub overlap: bool,
    /// Arguments in the entry's order.
    #[serde(default)]
    pub params: Vec<Param>,
}

/// One argument: exactly one of the values, `buffer` with or without `offset`, `bytes` with or
/// without `patches`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the scalar fields are named by their types")]
pub struct Param {
    pub u8: Option<u8>,
    pub u16: Option<u16>,
    pub u32: Option<u32>,
    pub u64: Option<u64>,
    #[serde(alias = "i8")]
    pub s8: Option<i8>,
    #[serde(alias = "i16")]
    pub s16: Option<i16>,
    #[serde(alias = "i32")]
    pub s32: Option<i32>,
    #[serde(alias = "i64")]
    pub s64: Option<i64>,
    pub f32: Option<f32>,
    pub f64: Option<f64>,
    /// The device address of a buffer.
    pub buffer: Option<String>,
    /// Bytes to add to the address.
    pub offset: Option<u64>,
    /// A tensor map by value.
    pub tensor_map: Option<TensorMapSpec>,
    /// Raw bytes in hexadecimal.
    pub bytes: Option<String>,
    /// What to write into `bytes`.
    pub patches: Option<Vec<Patch>>,
}

/// A device address, or a tensor map, written into a parameter's bytes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Patch {
    /// Offset in the bytes.
    pub at: usize,
    /// Writes this buffer's address, 8 bytes.
    pub buffer: Option<String>,
    /// Bytes to add to the address.
    pub offset: Option<u64>,
    /// Writes this tensor map, 128 bytes.
    pub tensor_map: Option<TensorMapSpec>,
}

/// A map whose keys must differ: JSON parsers keep the last of two silently.
fn unique<'de, D, T>(deserializer: D) -> Result<BTreeMap<String, T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Unique<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Unique<T> {
        type Value = BTreeMap<String, T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
            let mut map = BTreeMap::new();
            while let Some((key, value)) = access.next_entry::<String, T>()? {
                if map.contains_key(&key) {
                    return Err(A::Error::custom(format!("the name `{key}` stands twice")));
                }
                map.insert(key, value);
            }
            Ok(map)
        }
    }

    deserializer.deserialize_map(Unique(PhantomData))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = r#"{
      "target": "sm_100a",
      "modules": { "m": "kernel.ptx" },
      "buffers": {
        "a": { "bytes": 4096, "file": "a.bin", "align": 256 },
        "c": { "bytes": 8192, "fill": 255 },
        "t": { "bytes": 128, "tensor_map": { "buffer": "a", "offset": 0, "type": "16U4_ALIGN8B",
               "dims": [256, 128, 2], "strides": [256, 128], "box": [256, 128, 1],
               "element_strides": [1, 1, 1], "interleave": "NONE", "swizzle": "128B",
               "l2_promotion": "NONE", "oob_fill": "NONE" } }
      },
      "launches": [
        { "module": "m", "entry": "kernel_name", "grid": [4, 1, 1], "block": [192, 1, 1],
          "cluster": [2, 1, 1], "dynamic_shared": 166912,
          "params": [ { "u32": 7 }, { "f32": 1.5 }, { "u64": 0 }, { "u8": 1 }, { "buffer": "a" },
            { "buffer": "a", "offset": 128 },
            { "bytes": "00ff", "patches": [ { "at": 64, "buffer": "a", "offset": 0 } ] } ] }
      ],
      "outputs": { "c": "c.bin" },
      "seed": 1,
      "limits": { "instructions": 5000000000 }
    }"#;

    #[test]
    fn the_documented_example() {
        let file: LaunchFile = serde_json::from_str(EXAMPLE).unwrap();
        assert_eq!(file.limits.instructions, Some(5_000_000_000));
        let map = file.buffers["t"].tensor_map.as_ref().unwrap();
        assert_eq!((map.element, map.swizzle), (ElementType::Packed4, Swizzle::B128));
        assert_eq!(file.launches[0].params.len(), 7);
        assert_eq!(file.launches[0].params[6].patches.as_ref().unwrap()[0].at, 64);
    }

    #[test]
    fn what_does_not_belong_is_refused_by_name() {
        for (from, to, needle) in [
            ("\"seed\"", "\"sed\"", "unknown field `sed`"),
            ("\"align\"", "\"aligned\"", "unknown field `aligned`"),
            ("\"c\": {", "\"a\": {", "the name `a` stands twice"),
            ("\"128B\"", "\"129B\"", "unknown variant `129B`"),
            ("16U4_ALIGN8B", "UINT4", "unknown variant `UINT4`"),
            ("\"fill\": 255", "\"fill\": 256", "u8"),
            ("[4, 1, 1]", "[4, 1]", "length 2"),
            ("{ \"u32\": 7 }", "{ \"u32\": -7 }", "u32"),
            ("{ \"u8\": 1 }", "{ \"pred\": 1 }", "unknown field `pred`"),
            ("\"launches\"", "\"launch\"", "unknown field `launch`"),
        ] {
            assert!(EXAMPLE.contains(from), "{from}");
            let text = EXAMPLE.replacen(from, to, 1);
            let message = serde_json::from_str::<LaunchFile>(&text).unwrap_err().to_string();
            assert!(message.contains(needle), "{needle}: {message}");
        }
    }
}
