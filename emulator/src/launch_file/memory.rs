//! Buffers: their content, their addresses, and the tensor maps over them.

use std::collections::BTreeMap;
use std::path::Path;

use super::malformed;
use super::schema::{Buffer, TensorMapSpec};
use crate::error::{Ending, Unsupported};
use crate::machine::global::GlobalMemory;
use crate::tensor::map::{MAX_RANK, TensorMap};

/// The most bytes all buffers together may have where the file sets no other limit: a slip in it should
/// not end in the host's memory running out.
const MAX_BYTES: u64 = 4 << 30;

/// What a buffer starts with, read from its file once for all seeds.
#[derive(Debug, Clone)]
pub(super) struct Content {
    pub(super) name: String,
    pub(super) bytes: usize,
    pub(super) align: u64,
    /// The first bytes; the rest is uninitialised.
    pub(super) data: Vec<u8>,
    pub(super) tensor_map: Option<TensorMapSpec>,
}

/// Reads the buffers' files and checks their sizes.
pub(super) fn load(
    buffers: &BTreeMap<String, Buffer>,
    directory: &Path,
    limit: Option<u64>,
) -> Result<Vec<Content>, Ending> {
    let limit = limit.unwrap_or(MAX_BYTES);
    let mut total = 0u64;
    let mut contents = vec![];
    for (name, buffer) in buffers {
        total = total.saturating_add(buffer.bytes);
        if total > limit {
            let what = format!(
                "{} bytes make {total} with the others, and the limit is {limit}: \"limits\": \
                 {{ \"bytes\": N }} sets another",
                buffer.bytes
            );
            return Err(malformed(format!("buffers.{name}.bytes"), what));
        }
        contents.push(content(name, buffer, directory)?);
    }
    Ok(contents)
}

fn content(name: &str, buffer: &Buffer, directory: &Path) -> Result<Content, Ending> {
    let place = |field: &str| format!("buffers.{name}.{field}");
    let bytes = buffer.bytes as usize;
    let align = buffer.align.unwrap_or(1);
    if !align.is_power_of_two() || align > 1 << 32 {
        let what = format!("{align} is not a power of two up to 2^32");
        return Err(malformed(place("align"), what));
    }
    let mut data = vec![];
    if let Some(file) = &buffer.file {
        let path = directory.join(file);
        // A file that is too long, or endless, is not read further than it takes to know.
        data = read_at_most(&path, buffer.bytes + 1)
            .map_err(|why| malformed(place("file"), format!("{}: {why}", path.display())))?;
        if data.len() > bytes {
            let what = format!("{} is longer than the buffer's {bytes} bytes", path.display());
            return Err(malformed(place("file"), what));
        }
    }
    if let Some(fill) = buffer.fill {
        data.resize(bytes, fill);
    }
    if buffer.tensor_map.is_some() {
        if buffer.file.is_some() || buffer.fill.is_some() {
            let what = "a buffer with a tensor_map takes no file and no fill";
            return Err(malformed(place("tensor_map"), what));
        }
        if bytes < 128 {
            let what = format!("{bytes} is too small for a tensor map of 128 bytes");
            return Err(malformed(place("bytes"), what));
        }
    }
    let tensor_map = buffer.tensor_map.clone();
    Ok(Content { name: name.to_owned(), bytes, align, data, tensor_map })
}

pub(super) fn read_at_most(path: &Path, limit: u64) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut data = vec![];
    std::fs::File::open(path)?.take(limit).read_to_end(&mut data)?;
    Ok(data)
}

/// Where each buffer lies on the device: address and size.
#[derive(Debug, Clone, Default)]
pub(super) struct Addresses(BTreeMap<String, (u64, u64)>);

/// Allocates and fills all buffers.
pub(super) fn allocate(
    contents: &[Content],
    memory: &mut GlobalMemory,
) -> Result<Addresses, Ending> {
    let mut addresses = Addresses::default();
    for content in contents {
        let address = memory.allocate(&content.name, content.bytes, content.align);
        addresses.0.insert(content.name.clone(), (address, content.bytes as u64));
    }
    for content in contents {
        let (address, _) = addresses.0[&content.name];
        let map = content.tensor_map.as_ref().map(|spec| {
            let place = format!("buffers.{}.tensor_map", content.name);
            addresses.tensor_map(spec, &place).map(|map| map.encode())
        });
        let data = match &map {
            Some(Ok(bytes)) => &bytes[..],
            Some(Err(why)) => return Err(why.clone()),
            None => &content.data,
        };
        assert!(
            data.is_empty() || memory.upload(address, data),
            "bug: buffer {} does not hold its own content",
            content.name
        );
    }
    Ok(addresses)
}

impl Addresses {
    /// The address of a byte of a buffer.
    pub(super) fn of(&self, buffer: &str, offset: u64, place: &str) -> Result<u64, Ending> {
        let Some(&(address, bytes)) = self.0.get(buffer) else {
            let names: Vec<&str> = self.0.keys().map(String::as_str).collect();
            let what = format!("there is no buffer `{buffer}`; the buffers are {names:?}");
            return Err(malformed(place, what));
        };
        if offset > bytes {
            let what = format!("offset {offset} is beyond the {bytes} bytes of buffer `{buffer}`");
            return Err(malformed(place, what));
        }
        Ok(address + offset)
    }

    /// Address and size of a buffer that exists.
    pub(super) fn buffer(&self, name: &str, place: &str) -> Result<(u64, usize), Ending> {
        let address = self.of(name, 0, place)?;
        Ok((address, self.0[name].1 as usize))
    }

    /// Encodes a tensor map, under the driver's rules.
    pub(super) fn tensor_map(
        &self,
        spec: &TensorMapSpec,
        place: &str,
    ) -> Result<TensorMap, Ending> {
        let rank = spec.dims.len();
        if !(1..=MAX_RANK).contains(&rank) {
            let what = format!("{rank} dimensions; a tensor map has 1 to 5");
            return Err(malformed(format!("{place}.dims"), what));
        }
        let ones = vec![1; rank];
        let element_strides = spec.element_strides.as_ref().unwrap_or(&ones);
        for (field, length, want) in [
            ("strides", spec.strides.len(), rank - 1),
            ("box", spec.box_dims.len(), rank),
            ("element_strides", element_strides.len(), rank),
        ] {
            if length != want {
                let what = format!("{length} entries; {rank} dims need {want}");
                return Err(malformed(format!("{place}.{field}"), what));
            }
        }
        let mut map = TensorMap {
            base: self.of(&spec.buffer, spec.offset, &format!("{place}.buffer"))?,
            element: spec.element,
            rank,
            interleave: spec.interleave,
            swizzle: spec.swizzle,
            l2_promotion: spec.l2_promotion,
            oob_fill: spec.oob_fill,
            ..TensorMap::default()
        };
        map.dims[..rank].copy_from_slice(&spec.dims);
        map.strides[..rank - 1].copy_from_slice(&spec.strides);
        map.box_dims[..rank].copy_from_slice(&spec.box_dims);
        map.element_strides[..rank].copy_from_slice(element_strides);
        map.validate().map_err(|rule| malformed(place, rule))?;
        match map.unsupported() {
            None => Ok(map),
            Some(what) => {
                Err(Ending::Unsupported(Unsupported { what: format!("{place}: {what}"), line: 0 }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(json: &str, directory: &Path) -> Result<Vec<Content>, String> {
        load(&serde_json::from_str(json).unwrap(), directory, None).map_err(|why| why.to_string())
    }

    #[test]
    fn files_and_fills() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("three"), [1, 2, 3]).unwrap();
        let json = r#"{"a":{"bytes":5,"file":"three"},"b":{"bytes":5,"file":"three","fill":9},
                       "c":{"bytes":5}}"#;
        let contents = contents(json, folder.path()).unwrap();
        let data: Vec<&[u8]> = contents.iter().map(|c| &c.data[..]).collect();
        assert_eq!(data, [&[1, 2, 3][..], &[1, 2, 3, 9, 9], &[]]);
        let mut global = GlobalMemory::new();
        let addresses = allocate(&contents, &mut global).unwrap();
        let (address, bytes) = addresses.buffer("a", "").unwrap();
        let back = global.read_back(address, bytes).unwrap();
        assert_eq!((back.bytes, back.unwritten), (vec![1, 2, 3, 0, 0], vec![(3, 2)]));
    }

    #[test]
    fn a_map_may_address_a_buffer_named_later() {
        let json = r#"{"a":{"bytes":128,"tensor_map":
            {"buffer":"z","type":"FLOAT16","dims":[64],"box":[64]}},"z":{"bytes":128,"align":1024}}"#;
        let mut global = GlobalMemory::new();
        let contents = contents(json, Path::new("")).unwrap();
        let addresses = allocate(&contents, &mut global).unwrap();
        let (a, _) = addresses.buffer("a", "").unwrap();
        let bytes: [u8; 128] = global.read_back(a, 128).unwrap().bytes.try_into().unwrap();
        let z = addresses.of("z", 0, "").unwrap();
        assert_eq!(TensorMap::decode(&bytes).unwrap().base, z);
        assert!(z.is_multiple_of(1024));
    }

    #[test]
    fn mistakes_are_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("three"), [1, 2, 3]).unwrap();
        for (json, needle) in [
            (r#"{"a":{"bytes":2,"file":"three"}}"#, "buffers.a.file: "),
            (r#"{"a":{"bytes":2,"file":"two"}}"#, "buffers.a.file: "),
            (r#"{"a":{"bytes":2,"align":3}}"#, "buffers.a.align: 3 is not a power of two"),
            (r#"{"a":{"bytes":99999999999999}}"#, "buffers.a.bytes"),
            (
                r#"{"a":{"bytes":64,"tensor_map":{"buffer":"a","type":"UINT8","dims":[16],"box":[16]}}}"#,
                "too small for a tensor map",
            ),
            (
                r#"{"a":{"bytes":128,"fill":0,"tensor_map":{"buffer":"a","type":"UINT8","dims":[16],"box":[16]}}}"#,
                "takes no file and no fill",
            ),
        ] {
            let message = contents(json, folder.path()).unwrap_err();
            assert!(message.contains(needle), "{needle}: {message}");
        }
    }
}
