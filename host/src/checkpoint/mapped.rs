//! One file, mapped into memory: its header checked, its tensors as slices. The only unsafe call of
//! the host crate is here.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use memmap2::Mmap;
use safetensors::SafeTensors;
use safetensors::tensor::{Metadata, TensorInfo};
use serde_json::Value;

use crate::error::{Error, Result};

/// A file starts with the length of its header.
const LENGTH_BYTES: usize = 8;
/// The remedy for damaged files.
pub(super) const REPLACE: &str = "the file is damaged or incomplete: fetch or write it again";

/// A file whose header has been read and checked.
#[derive(Debug)]
pub(super) struct Mapped {
    bytes: Mmap,
    pub(super) metadata: Metadata,
    /// Where the data start.
    start: usize,
}

impl Mapped {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(io(path, "open the file"))?;
        let length = file.metadata().map_err(io(path, "open the file"))?.len();
        // An empty file cannot be mapped.
        if length < LENGTH_BYTES as u64 {
            let reason = format!("is {length} bytes long, too short for a safetensors header");
            return Err(bad(path, reason, REPLACE));
        }
        let bytes = map(&file).map_err(io(path, "map the file"))?;
        check_extents(path, &bytes)?;
        let (header, metadata) = SafeTensors::read_metadata(&bytes).map_err(|error| {
            bad(path, format!("is no intact safetensors file of {length} bytes: {error}"), REPLACE)
        })?;
        Ok(Mapped { bytes, metadata, start: LENGTH_BYTES + header })
    }

    /// The bytes of a tensor, if the file has as many.
    pub(super) fn data(&self, info: &TensorInfo) -> Option<&[u8]> {
        let (from, to) = info.data_offsets;
        self.bytes.get(self.start..)?.get(from..to)
    }
}

/// Refuses offsets beyond the file before anything adds them up.
fn check_extents(path: &Path, bytes: &[u8]) -> Result<()> {
    let Some((length, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>() else {
        return Ok(());
    };
    let header = usize::try_from(u64::from_le_bytes(*length)).ok().and_then(|len| rest.get(..len));
    let Some(header) = header else {
        let reason = format!("its header would be {} bytes long", u64::from_le_bytes(*length));
        return Err(bad(path, reason, REPLACE));
    };
    // What is no such JSON is refused, with a better reason, by the crate that reads all of it.
    let Ok(entries) = serde_json::from_slice::<HashMap<String, Value>>(header) else {
        return Ok(());
    };
    let data = (rest.len() - header.len()) as u64;
    for (name, entry) in entries {
        let offsets = entry.get("data_offsets").and_then(Value::as_array);
        let beyond = |offset: &&Value| offset.as_u64().is_some_and(|offset| offset > data);
        if let Some(offset) = offsets.and_then(|offsets| offsets.iter().find(beyond)) {
            let reason = format!(
                "tensor {name} has data offset {offset}, but there are only {data} bytes of data"
            );
            return Err(bad(path, reason, REPLACE));
        }
    }
    Ok(())
}

/// Maps a file for reading.
#[expect(unsafe_code, reason = "the operating system cannot promise what this call needs")]
fn map(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: the map is only ever read. What it asks of us, that nobody changes or truncates the
    // file while it is mapped, is what every reader of a checkpoint relies on; the
    // documentation passes the condition on to the caller of `Checkpoint::open`.
    unsafe { Mmap::map(file) }
}

/// An error of the system, about `path`.
pub(super) fn io(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_path_buf();
    move |cause| Error::Io { path, action, cause }
}

/// A file that is not what its name says.
pub(super) fn bad(path: &Path, reason: String, remedy: &'static str) -> Error {
    Error::CheckpointFile { path: path.into(), reason, remedy }
}
