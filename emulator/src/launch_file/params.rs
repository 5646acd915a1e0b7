//! Arguments: from the launch file's values to the bytes of the parameter block.

use super::malformed;
use super::memory::Addresses;
use super::schema::{Param, Patch};
use crate::decode::program::Kernel;
use crate::error::Ending;

/// The parameter block of a launch. `place` names the launch in messages.
pub(super) fn block(
    kernel: &Kernel,
    params: &[Param],
    addresses: &Addresses,
    place: &str,
) -> Result<Vec<u8>, Ending> {
    if params.len() != kernel.params.len() {
        let declared: Vec<String> =
            kernel.params.iter().map(|p| format!("{} ({} bytes)", p.name, p.size)).collect();
        let what = format!(
            "{} values, but `{}` declares {} parameters: {}",
            params.len(),
            kernel.name,
            declared.len(),
            declared.join(", ")
        );
        return Err(malformed(format!("{place}.params"), what));
    }
    let mut block = vec![0; kernel.param_bytes as usize];
    for (i, (param, declared)) in params.iter().zip(&kernel.params).enumerate() {
        let place = format!("{place}.params[{i}]");
        let bytes = value(param, addresses, &place)?;
        if bytes.len() != declared.size as usize {
            let what = format!(
                "{} bytes, but parameter `{}` of `{}` has {}",
                bytes.len(),
                declared.name,
                kernel.name,
                declared.size
            );
            return Err(malformed(place, what));
        }
        block[declared.offset as usize..][..bytes.len()].copy_from_slice(&bytes);
    }
    Ok(block)
}

/// The bytes of one argument.
fn value(param: &Param, addresses: &Addresses, place: &str) -> Result<Vec<u8>, Ending> {
    let scalars = [
        param.u8.map(|v| v.to_le_bytes().to_vec()),
        param.u16.map(|v| v.to_le_bytes().to_vec()),
        param.u32.map(|v| v.to_le_bytes().to_vec()),
        param.u64.map(|v| v.to_le_bytes().to_vec()),
        param.s8.map(|v| v.to_le_bytes().to_vec()),
        param.s16.map(|v| v.to_le_bytes().to_vec()),
        param.s32.map(|v| v.to_le_bytes().to_vec()),
        param.s64.map(|v| v.to_le_bytes().to_vec()),
        param.f32.map(|v| v.to_le_bytes().to_vec()),
        param.f64.map(|v| v.to_le_bytes().to_vec()),
    ];
    let mut values: Vec<Vec<u8>> = scalars.into_iter().flatten().collect();
    if let Some(buffer) = &param.buffer {
        let address = addresses.of(buffer, param.offset.unwrap_or(0), place)?;
        values.push(address.to_le_bytes().to_vec());
    }
    if let Some(map) = &param.tensor_map {
        let map = addresses.tensor_map(map, &format!("{place}.tensor_map"))?;
        values.push(map.encode().to_vec());
    }
    if let Some(hex) = &param.bytes {
        let mut bytes = from_hex(hex, &format!("{place}.bytes"))?;
        for (i, patch) in param.patches.iter().flatten().enumerate() {
            apply(patch, &mut bytes, addresses, &format!("{place}.patches[{i}]"))?;
        }
        values.push(bytes);
    }
    if param.offset.is_some() && param.buffer.is_none() {
        return Err(malformed(format!("{place}.offset"), "an offset without a buffer"));
    }
    if param.patches.is_some() && param.bytes.is_none() {
        return Err(malformed(format!("{place}.patches"), "patches without bytes"));
    }
    let count = values.len();
    match values.pop() {
        Some(bytes) if count == 1 => Ok(bytes),
        _ => Err(malformed(
            place,
            format!(
                "{count} values; give exactly one of u8 to u64, s8 to s64, f32, f64, buffer, \
                 tensor_map, bytes"
            ),
        )),
    }
}

fn apply(
    patch: &Patch,
    bytes: &mut [u8],
    addresses: &Addresses,
    place: &str,
) -> Result<(), Ending> {
    let data = match (&patch.buffer, &patch.tensor_map) {
        (Some(buffer), None) => {
            addresses.of(buffer, patch.offset.unwrap_or(0), place)?.to_le_bytes().to_vec()
        }
        (None, Some(map)) if patch.offset.is_none() => {
            addresses.tensor_map(map, &format!("{place}.tensor_map"))?.encode().to_vec()
        }
        _ => {
            let what = "a patch has a buffer, with or without an offset, or a tensor_map";
            return Err(malformed(place, what));
        }
    };
    let length = bytes.len();
    let target = patch.at.checked_add(data.len()).and_then(|end| bytes.get_mut(patch.at..end));
    match target {
        Some(target) => {
            target.copy_from_slice(&data);
            Ok(())
        }
        None => {
            let what =
                format!("{} bytes at {} do not fit into {length} bytes", data.len(), patch.at);
            Err(malformed(place, what))
        }
    }
}

fn from_hex(text: &str, place: &str) -> Result<Vec<u8>, Ending> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
    match digits {
        Some(digits) if digits.len() % 2 == 0 => {
            Ok(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
        }
        Some(digits) => {
            Err(malformed(place, format!("{} hexadecimal digits; two make a byte", digits.len())))
        }
        None => Err(malformed(place, "holds something other than hexadecimal digits")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::program;
    use crate::launch_file::memory;
    use crate::machine::global::GlobalMemory;

    fn kernel(sizes: &[u32]) -> Kernel {
        let mut kernel = Kernel { name: "k".into(), ..Kernel::default() };
        for (i, &size) in sizes.iter().enumerate() {
            let align = size.min(64);
            let offset = kernel.param_bytes.next_multiple_of(align);
            kernel.params.push(program::Param { name: format!("p{i}"), offset, size, align });
            kernel.param_bytes = offset + size;
        }
        kernel
    }

    fn params(json: &str) -> Vec<Param> {
        serde_json::from_str(json).unwrap()
    }

    fn run(sizes: &[u32], json: &str) -> Result<(Vec<u8>, u64), String> {
        let buffers =
            serde_json::from_str(r#"{"a":{"bytes":4096},"b":{"bytes":16,"fill":1}}"#).unwrap();
        let contents = memory::load(&buffers, std::path::Path::new("/nonexistent"), None).unwrap();
        let mut global = GlobalMemory::new();
        let addresses = memory::allocate(&contents, &mut global).unwrap();
        let a = addresses.of("a", 0, "").unwrap();
        block(&kernel(sizes), &params(json), &addresses, "launches[0]")
            .map(|bytes| (bytes, a))
            .map_err(|why| why.to_string())
    }

    #[test]
    fn values_land_at_their_offsets() {
        let json = r#"[{"u8":1},{"u32":7},{"s64":-2},{"f32":1.5},{"buffer":"a","offset":128}]"#;
        let (bytes, a) = run(&[1, 4, 8, 4, 8], json).unwrap();
        let mut want = [0; 32];
        want[0] = 1;
        want[4] = 7;
        want[8..16].copy_from_slice(&(-2i64).to_le_bytes());
        want[16..20].copy_from_slice(&1.5f32.to_le_bytes());
        want[24..32].copy_from_slice(&(a + 128).to_le_bytes());
        assert_eq!(bytes, want);
    }

    #[test]
    fn bytes_with_patches() {
        let map = r#"{"buffer":"a","type":"UINT8","dims":[64,4],"strides":[64],"box":[32,4]}"#;
        let zeros = "00".repeat(144);
        let json = format!(
            r#"[{{"bytes":"{zeros}","patches":[{{"at":0,"buffer":"a","offset":4}},
            {{"at":16,"tensor_map":{map}}}]}}]"#
        );
        let (bytes, a) = run(&[144], &json).unwrap();
        assert_eq!(bytes[..8], (a + 4).to_le_bytes());
        let decoded = crate::tensor::map::TensorMap::decode(bytes[16..].try_into().unwrap());
        let decoded = decoded.unwrap();
        assert_eq!((decoded.base, decoded.rank, decoded.element_strides[1]), (a, 2, 1));
    }

    #[test]
    fn mistakes_are_named() {
        let map = |fields: &str| {
            format!(r#"[{{"tensor_map":{{"buffer":"a","type":"UINT8",{fields}}}}}]"#)
        };
        let cases: &[(&[u32], String, &str)] = &[
            (&[4, 4], r#"[{"u32":1}]"#.into(), "1 values, but `k` declares 2 parameters"),
            (&[8], r#"[{"u32":1}]"#.into(), "launches[0].params[0]: 4 bytes, but parameter `p0`"),
            (&[4], r#"[{"u32":1,"f32":1}]"#.into(), "2 values"),
            (&[4], r#"[{}]"#.into(), "0 values"),
            (&[8], r#"[{"buffer":"x"}]"#.into(), "no buffer `x`"),
            (&[8], r#"[{"buffer":"a","offset":4097}]"#.into(), "beyond the 4096 bytes"),
            (&[8], r#"[{"u64":1,"offset":2}]"#.into(), "offset without a buffer"),
            (&[1], r#"[{"bytes":"0"}]"#.into(), "two make a byte"),
            (&[1], r#"[{"bytes":"0g"}]"#.into(), "other than hexadecimal"),
            (&[4], r#"[{"bytes":"00000000","patches":[{"at":0,"buffer":"a"}]}]"#.into(), "fit"),
            (&[128], map(r#""dims":[64],"box":[300]"#), "box[0] is 300"),
            (&[128], map(r#""dims":[64,4],"box":[16,4]"#), "params[0].tensor_map.strides: 0"),
            (&[128], map(r#""dims":[64],"box":[16],"offset":8"#), "multiple of 16"),
            (
                &[128],
                map(r#""dims":[64],"box":[64],"swizzle":"128B_ATOM_64B""#),
                "unsupported: launches[0].params[0].tensor_map: tensor map with swizzle",
            ),
        ];
        for (sizes, json, needle) in cases {
            let message = run(sizes, json).unwrap_err();
            assert!(message.contains(needle), "{needle}: {message}");
        }
    }
}
