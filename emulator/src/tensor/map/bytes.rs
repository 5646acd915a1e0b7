//! The 128 bytes a program carries about, and the fields `tensormap.replace` edits.
//!
//! The driver's format is secret, so this one is ours; its magic number and checksum catch a program
//! that passes something else, or that edits the bytes itself.

use super::{ElementType, Interleave, L2Promotion, MAX_RANK, OobFill, TensorMap};
use crate::tensor::swizzle::Swizzle;

const MAGIC: &[u8; 4] = b"tmap";

const ELEMENTS: [ElementType; 16] = [
    ElementType::Uint8,
    ElementType::Uint16,
    ElementType::Uint32,
    ElementType::Int32,
    ElementType::Uint64,
    ElementType::Int64,
    ElementType::Float16,
    ElementType::Float32,
    ElementType::Float32Ftz,
    ElementType::Float64,
    ElementType::Bfloat16,
    ElementType::Tfloat32,
    ElementType::Tfloat32Ftz,
    ElementType::Packed4,
    ElementType::Padded4,
    ElementType::Padded6,
];
const INTERLEAVES: [Interleave; 3] = [Interleave::None, Interleave::B16, Interleave::B32];
const SWIZZLES: [Swizzle; 7] = [
    Swizzle::None,
    Swizzle::B32,
    Swizzle::B64,
    Swizzle::B128,
    Swizzle::B128Atom32,
    Swizzle::B128Atom32Flip8,
    Swizzle::B128Atom64,
];
const PROMOTIONS: [L2Promotion; 4] =
    [L2Promotion::None, L2Promotion::B64, L2Promotion::B128, L2Promotion::B256];
const FILLS: [OobFill; 2] = [OobFill::Zero, OobFill::Nan];

/// A field of `tensormap.replace`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// `.global_address`
    GlobalAddress,
    /// `.rank` (the value is the rank minus one)
    Rank,
    /// `.box_dim`
    BoxDim,
    /// `.global_dim`
    GlobalDim,
    /// `.global_stride`, in bytes
    GlobalStride,
    /// `.element_stride`
    ElementStride,
    /// `.elemtype`
    ElemType,
    /// `.interleave_layout`
    InterleaveLayout,
    /// `.swizzle_mode`
    SwizzleMode,
    /// `.swizzle_atomicity`
    SwizzleAtomicity,
    /// `.fill_mode`
    FillMode,
}

fn index_of<T: PartialEq>(table: &[T], value: &T) -> u8 {
    // Every variant stands in its table; the encode/decode test walks them all.
    table.iter().position(|entry| entry == value).unwrap_or(0) as u8
}

fn entry<T: Copy>(table: &[T], index: u8) -> Result<T, String> {
    let found = table.get(usize::from(index)).copied();
    found.ok_or_else(|| format!("the 128 bytes are not a tensor map (enumeration value {index})"))
}

fn checksum(bytes: &[u8]) -> u32 {
    // FNV-1a: enough to notice a change, which is all that is asked.
    bytes.iter().fold(0x811C_9DC5, |h, &b| (h ^ u32::from(b)).wrapping_mul(0x0100_0193))
}

impl TensorMap {
    /// The 128 bytes that stand for this map.
    pub fn encode(&self) -> [u8; 128] {
        let mut bytes = [0u8; 128];
        bytes[..4].copy_from_slice(MAGIC);
        bytes[8] = index_of(&ELEMENTS, &self.element);
        bytes[9] = self.rank as u8;
        bytes[10] = index_of(&INTERLEAVES, &self.interleave);
        bytes[11] = index_of(&SWIZZLES, &self.swizzle);
        bytes[12] = index_of(&PROMOTIONS, &self.l2_promotion);
        bytes[13] = index_of(&FILLS, &self.oob_fill);
        bytes[16..24].copy_from_slice(&self.base.to_le_bytes());
        for d in 0..MAX_RANK {
            bytes[24 + 8 * d..][..8].copy_from_slice(&self.dims[d].to_le_bytes());
            bytes[96 + 2 * d..][..2].copy_from_slice(&(self.box_dims[d] as u16).to_le_bytes());
            bytes[106 + d] = self.element_strides[d] as u8;
        }
        for (d, stride) in self.strides.iter().enumerate() {
            bytes[64 + 8 * d..][..8].copy_from_slice(&stride.to_le_bytes());
        }
        let sum = checksum(&bytes[8..]);
        bytes[4..8].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads a map that is about to be used, and checks its rules.
    ///
    /// # Errors
    /// When the bytes are no tensor map, or an illegal one.
    pub fn decode(bytes: &[u8; 128]) -> Result<TensorMap, String> {
        if bytes.iter().all(|&b| b == 0) {
            return Err("the 128 bytes are all zero: nobody encoded a tensor map here".into());
        }
        let map = Self::decode_draft(bytes)?;
        map.validate().map_err(|rule| format!("illegal tensor map: {rule}"))?;
        Ok(map)
    }

    /// Reads a map that `tensormap.replace` is about to edit: all zeros is an empty map, and rules
    /// are not checked until use.
    ///
    /// # Errors
    /// When the bytes are neither zero nor a tensor map.
    pub fn decode_draft(bytes: &[u8; 128]) -> Result<TensorMap, String> {
        if bytes.iter().all(|&b| b == 0) {
            return Ok(TensorMap { rank: 1, element_strides: [1; MAX_RANK], ..Default::default() });
        }
        if &bytes[..4] != MAGIC {
            return Err("the 128 bytes are not a tensor map".into());
        }
        if bytes[4..8] != checksum(&bytes[8..]).to_le_bytes() {
            return Err("the 128 bytes were a tensor map and have been altered; only \
                        tensormap.replace may edit one"
                .into());
        }
        let mut map = TensorMap {
            base: u64_at(bytes, 16),
            element: entry(&ELEMENTS, bytes[8])?,
            rank: usize::from(bytes[9]),
            interleave: entry(&INTERLEAVES, bytes[10])?,
            swizzle: entry(&SWIZZLES, bytes[11])?,
            l2_promotion: entry(&PROMOTIONS, bytes[12])?,
            oob_fill: entry(&FILLS, bytes[13])?,
            ..Default::default()
        };
        for d in 0..MAX_RANK {
            map.dims[d] = u64_at(bytes, 24 + 8 * d);
            map.box_dims[d] = u32::from(u16::from_le_bytes([bytes[96 + 2 * d], bytes[97 + 2 * d]]));
            map.element_strides[d] = u32::from(bytes[106 + d]);
        }
        for d in 0..MAX_RANK - 1 {
            map.strides[d] = u64_at(bytes, 64 + 8 * d);
        }
        Ok(map)
    }

    /// `tensormap.replace`: sets one field; `ordinal` selects the dimension where there are several.
    ///
    /// # Errors
    /// When the ordinal or an enumeration's value does not exist.
    pub fn replace(&mut self, field: Field, ordinal: usize, value: u64) -> Result<(), String> {
        let dimensions = if field == Field::GlobalStride { MAX_RANK - 1 } else { MAX_RANK };
        if ordinal >= dimensions {
            return Err(format!("tensormap.replace {field:?}: ordinal {ordinal} is out of range"));
        }
        let undefined = || format!("tensormap.replace {field:?}: value {value} is not defined");
        let index = usize::try_from(value).unwrap_or(usize::MAX);
        match field {
            Field::GlobalAddress => self.base = value,
            Field::Rank if value < MAX_RANK as u64 => self.rank = index + 1,
            Field::Rank => return Err(undefined()),
            // Too large a value is kept as one that validation refuses.
            Field::BoxDim => self.box_dims[ordinal] = value.min(u16::MAX.into()) as u32,
            Field::GlobalDim => self.dims[ordinal] = value,
            Field::GlobalStride => self.strides[ordinal] = value,
            Field::ElementStride => {
                self.element_strides[ordinal] = value.min(u8::MAX.into()) as u32
            }
            Field::ElemType => self.element = *ELEMENTS.get(index).ok_or_else(undefined)?,
            Field::InterleaveLayout => {
                self.interleave = *INTERLEAVES.get(index).ok_or_else(undefined)?;
            }
            Field::SwizzleMode => {
                self.swizzle = *SWIZZLES[..4].get(index).ok_or_else(undefined)?;
            }
            Field::SwizzleAtomicity => {
                let atoms = [
                    Swizzle::B128,
                    Swizzle::B128Atom32,
                    Swizzle::B128Atom32Flip8,
                    Swizzle::B128Atom64,
                ];
                let atom = *atoms.get(index).ok_or_else(undefined)?;
                if value != 0 || atoms.contains(&self.swizzle) {
                    self.swizzle = atom;
                }
            }
            Field::FillMode => self.oob_fill = *FILLS.get(index).ok_or_else(undefined)?,
        }
        Ok(())
    }
}

fn u64_at(bytes: &[u8; 128], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}
