//! The crate's one error type. Each message names the thing, its value, the rule that it breaks
//! and what to do about it.

use std::path::PathBuf;

use thiserror::Error;

/// Why something was refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// A dimension of the problem, or of a matrix, is outside the rules.
    #[error("{dimension} = {value}: must be {rule}; {remedy}")]
    Dimension {
        /// Which dimension, as the documentation calls it: `M`, `N`, `K`, `L`, `rows`.
        dimension: &'static str,
        /// The value given.
        value: usize,
        /// What holds for legal values.
        rule: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// A tensor of the problem would be larger than any device can address.
    #[error(
        "tensor {tensor} would need more than {limit} bytes (2^40): no device holds it; \
         split the problem along {along}"
    )]
    TensorTooLarge {
        /// Which tensor.
        tensor: &'static str,
        /// The largest size allowed, in bytes.
        limit: u64,
        /// The dimension to split.
        along: &'static str,
    },
    /// A slice does not have the length that the shape asks for.
    #[error("{tensor} has {got} {unit}, its shape asks for {want} ({formula}); {remedy}")]
    Length {
        /// Which tensor.
        tensor: &'static str,
        /// What is counted: bytes or elements.
        unit: &'static str,
        /// How many were given.
        got: usize,
        /// How many there must be.
        want: usize,
        /// How that number follows from the shape.
        formula: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// A block scale inside the data is NaN or negative.
    #[error(
        "{tensor}: block scale 0x{byte:02x} of row {row}, block {block} (K elements {first} to \
         {last}) is {what}, and would spoil all of row {row}; a block scale is a byte from 0x00 to \
         0x7e (448): quantise again, or check that these bytes are e4m3 scales and in the layout claimed"
    )]
    BlockScale {
        /// Which scale tensor.
        tensor: String,
        /// `NaN` or `negative`.
        what: &'static str,
        /// The byte found.
        byte: u8,
        /// Row, counted through all batches.
        row: usize,
        /// Block of 16 along K.
        block: usize,
        /// First K element of the block.
        first: usize,
        /// Last K element of the block.
        last: usize,
    },
    /// A number that has no code in the format.
    #[error("{value} has no {format} code: {rule}; {remedy}")]
    NotRepresentable {
        /// The value, as text.
        value: f32,
        /// The format asked for.
        format: &'static str,
        /// What the format holds.
        rule: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// A byte that is not a code of the format.
    #[error("byte 0x{byte:02x} is no {format} code: {rule}; {remedy}")]
    NotACode {
        /// The byte found.
        byte: u8,
        /// The format it should be in.
        format: &'static str,
        /// What the codes are.
        rule: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// An element of the input is NaN or infinite.
    #[error(
        "element ({row}, {column}) is {value}: NVFP4 has neither NaN nor infinity; \
         replace it before quantising"
    )]
    NonFiniteElement {
        /// Row of the element.
        row: usize,
        /// Column (K index) of the element.
        column: usize,
        /// Its value.
        value: f32,
    },
    /// A scalar scale is zero, negative, NaN or infinite where it may not be.
    #[error("{name} = {value}: must be {rule}; {remedy}")]
    Scalar {
        /// Which scalar.
        name: String,
        /// Its value.
        value: f32,
        /// What holds for legal values.
        rule: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// No kernel has the tile, architecture and output type asked for.
    #[error(
        "no kernel of {arch} has {tile_m}×{tile_n} tiles and {output} output; there are: {available}"
    )]
    NoKernel {
        /// The architecture asked for.
        arch: &'static str,
        /// Tile rows asked for.
        tile_m: u32,
        /// Tile columns asked for.
        tile_n: u32,
        /// Output type asked for.
        output: &'static str,
        /// What there is instead.
        available: String,
    },
    /// A launch grid that the driver would refuse.
    #[error("the grid would have {value} CTAs along {axis}: at most {limit}; {remedy}")]
    Grid {
        /// `x`, `y` or `z`, with what it counts.
        axis: &'static str,
        /// The number of CTAs.
        value: usize,
        /// The largest number allowed.
        limit: usize,
        /// What to do.
        remedy: &'static str,
    },
    /// A tensor map that `cuTensorMapEncodeTiled` would refuse, or that would read wrong data.
    #[error("tensor map of {operand}: {field} = {value}: must be {rule}")]
    TensorMap {
        /// Which operand.
        operand: &'static str,
        /// Which field, with its index.
        field: String,
        /// Its value.
        value: u64,
        /// The rule.
        rule: &'static str,
    },
    /// A file or folder of a checkpoint cannot be read.
    #[error("{}: cannot {action}: {cause}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system said. In the message already, so it is not this error's `source`.
        cause: std::io::Error,
    },
    /// A file of a checkpoint is not what its name says.
    #[error("{}: {reason}; {remedy}", path.display())]
    CheckpointFile {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong.
        reason: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A tensor of a checkpoint is absent.
    #[error("{}: no tensor {tensor}; {hint}", path.display())]
    MissingTensor {
        /// The file or folder.
        path: PathBuf,
        /// The name looked for.
        tensor: String,
        /// What there is, or what to do.
        hint: String,
    },
    /// A tensor of a checkpoint has another type, shape or value than its name promises.
    #[error("{}: tensor {tensor}: {reason}", path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// What was found, what the rule is and what to do.
        reason: String,
    },
    /// A device address that a launch cannot use.
    #[error("{tensor} at address {address:#x}: must be {rule}; {remedy}")]
    Address {
        /// Which tensor.
        tensor: &'static str,
        /// The address given.
        address: u64,
        /// What it must be.
        rule: String,
        /// What to do.
        remedy: &'static str,
    },
    /// An offset of an expert's rows that the host can see to be wrong.
    #[error("offset {at} = {value}: must be {rule}; {remedy}")]
    Offset {
        /// Its place in the table.
        at: usize,
        /// Its value.
        value: u32,
        /// What it must be.
        rule: String,
        /// What to do.
        remedy: &'static str,
    },
    /// An element of an input form that is not what belongs there.
    #[error("{place}: expected {expected}, got {got}; {remedy}")]
    Form {
        /// Which element of which tuple, and what of it.
        place: String,
        /// What belongs there.
        expected: String,
        /// What is there.
        got: String,
        /// What to do.
        remedy: &'static str,
    },
    /// Something about one group of several.
    #[error("group {group}: {cause}")]
    InGroup {
        /// Which group, from 0.
        group: usize,
        /// What is wrong. In the message already, so it is not this error's `source`.
        cause: Box<Error>,
    },
    /// What a device, a driver or an emulator reports.
    #[error("{device}: {cause}")]
    Backend {
        /// Which device.
        device: String,
        /// What it reports.
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Something legal that this version does not do.
    #[error("unsupported: {what}; {remedy}")]
    Unsupported {
        /// What was asked for.
        what: String,
        /// What to do instead.
        remedy: &'static str,
    },
}

/// Result with this crate's [`enum@Error`].
pub type Result<T> = std::result::Result<T, Error>;
