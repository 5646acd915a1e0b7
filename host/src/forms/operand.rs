//! One problem's tensors in the order that the kernels read, each where it lies if it has that order.

use std::borrow::Cow;

use super::rearrange::{Rearrangement, as_it_lies, check_apart};
use super::view::{Element, Memory, View};
use super::{BothScales, misfit};
use crate::error::{Error, Result};
use crate::formats::scale_layout::ScaleLayout;
use crate::grouped::GroupAddresses;
use crate::problem::{Inputs, OutputType};

/// An input tensor in the kernels' order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operand<'a> {
    /// In host memory: borrowed where the order was right, else converted.
    Host(Cow<'a, [u8]>),
    /// At this device address.
    Device(u64),
    /// On the device in another order, from which [`arrange`](super::arrange()) copies it.
    Strided(Rearrangement),
}

/// One problem's (or group's) tensors in the kernels' order. A plain GEMM has no `b2` and no `sfb2`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adapted<'a> {
    /// Packed `[L, M, K/2]`.
    pub a: Operand<'a>,
    /// Packed `[L, N, K/2]`.
    pub b1: Operand<'a>,
    /// Packed `[L, N, K/2]`.
    pub b2: Option<Operand<'a>>,
    /// 128×4 blocked.
    pub sfa: Operand<'a>,
    /// 128×4 blocked.
    pub sfb1: Operand<'a>,
    /// 128×4 blocked.
    pub sfb2: Option<Operand<'a>>,
    /// Where C goes, and in which order.
    pub c: View<'a>,
    /// How C comes there, if it is on the device and the kernels cannot write it in that order.
    pub(super) c_strided: Option<Rearrangement>,
}

/// Where a tensor stands in its form: `element 3 (sfa)`.
pub(super) type Place<'p> = &'p str;

/// The views of one problem, each with its place.
pub(super) struct Tensors<'v, 'a> {
    pub a: (&'v View<'a>, String),
    pub b: Vec<(&'v View<'a>, String)>,
    pub sfa: (&'v View<'a>, String),
    pub sfb: Vec<(&'v View<'a>, String)>,
    /// The permuted forms of `sfa` and of `sfb`; empty where not given.
    pub permuted: Vec<(&'v View<'a>, String)>,
    pub c: (&'v View<'a>, String),
}

/// M, N, K, L.
pub(super) type Sizes = [usize; 4];

impl<'a> Tensors<'_, 'a> {
    /// M, N, K, L by the shapes of A, B1.
    pub(super) fn sizes(&self) -> Result<Sizes> {
        let three = |(view, place): &(&View<'_>, String), meaning: &str| match view.shape[..] {
            [rows, bytes, l] => Ok([rows, 2 * bytes, l]),
            _ => {
                let got = format!("{:?}", view.shape);
                let remedy = "packed data have three dimensions";
                Err(misfit(format!("{place}, shape"), meaning, got, remedy))
            }
        };
        let [m, k, l] = three(&self.a, "[M, K/2, L]")?;
        let [n, ..] = three(&self.b[0], "[N, K/2, L]")?;
        Ok([m, n, k, l])
    }

    /// Checks every tensor against the sizes and converts what has another order.
    pub(super) fn adapt(&self, sizes: Sizes, both: BothScales) -> Result<Adapted<'a>> {
        let [m, n, k, l] = sizes;
        let a = data(self.a.0, &self.a.1, [m, k, l], "[M, K/2, L]")?;
        let mut b = vec![];
        for (view, place) in &self.b {
            b.push(data(view, place, [n, k, l], "[N, K/2, L]")?);
        }
        let mut scales = vec![];
        let plain = std::iter::once((&self.sfa, m)).chain(self.sfb.iter().map(|sf| (sf, n)));
        for (i, ((view, place), rows)) in plain.enumerate() {
            let permuted = self.permuted.get(i).map(|(view, place)| (*view, place.as_str()));
            scales.push(scale(view, place, permuted, [rows, k, l], both)?);
        }
        let (c, place) = &self.c;
        output_type(c, place)?;
        c.check(place, &[m, n, l], "[M, N, L]")?;
        let c_strided = match c.memory {
            Memory::Device(address) if m > 0 && !as_it_lies(c, address, &[2, 0, 1]) => {
                check_apart(c, place)?;
                Some(Rearrangement::of(c, place, &[2, 0, 1])?)
            }
            _ => None,
        };
        let (mut b, mut scales) = (b.into_iter(), scales.into_iter());
        let missing = || misfit("the form", "a weight tensor", "none", "give at least b");
        Ok(Adapted {
            a,
            b1: b.next().ok_or_else(missing)?,
            b2: b.next(),
            sfa: scales.next().ok_or_else(missing)?,
            sfb1: scales.next().ok_or_else(missing)?,
            sfb2: scales.next(),
            c: (*c).clone(),
            c_strided,
        })
    }
}

/// C's element type.
pub(super) fn output_type(c: &View<'_>, place: Place<'_>) -> Result<OutputType> {
    match c.element {
        Element::F16 => Ok(OutputType::F16),
        Element::Bf16 => Ok(OutputType::Bf16),
        other => {
            let place = format!("{place}, element type");
            Err(misfit(place, "float16 or bfloat16", other.name(), "C has 16 bits"))
        }
    }
}

/// Packed data, `[mn, K/2, L]`.
fn data<'a>(
    view: &View<'a>,
    place: Place<'_>,
    [rows, k, l]: [usize; 3],
    meaning: &str,
) -> Result<Operand<'a>> {
    if !matches!(view.element, Element::E2M1x2 | Element::U8) {
        let place = format!("{place}, element type");
        let remedy = "the data are packed, two e2m1 values in a byte";
        let expected = "float4_e2m1fn_x2 or uint8";
        return Err(misfit(place, expected, view.element.name(), remedy));
    }
    view.check(place, &[rows, k / 2, l], meaning)?;
    arrange(view, place, &[2, 0, 1])
}

/// The tensor with its dimensions in the order `axes`, slowest first: as it lies, or to be copied.
fn arrange<'a>(view: &View<'a>, place: Place<'_>, axes: &[usize]) -> Result<Operand<'a>> {
    let bytes: usize = view.shape.iter().product();
    match (view.memory, view.lies_as(axes)) {
        (Memory::Device(address), _) if bytes == 0 || as_it_lies(view, address, axes) => {
            Ok(Operand::Device(address))
        }
        (Memory::Device(_), _) => Rearrangement::of(view, place, axes).map(Operand::Strided),
        (Memory::Host(memory), true) => Ok(Operand::Host(Cow::Borrowed(&memory[..bytes]))),
        (Memory::Host(memory), false) => {
            let mut out = Vec::with_capacity(bytes);
            let mut index = vec![0; view.shape.len()];
            for _ in 0..bytes {
                out.push(memory[view.at(&index)]);
                for &axis in axes.iter().rev() {
                    index[axis] += 1;
                    if index[axis] < view.shape[axis] {
                        break;
                    }
                    index[axis] = 0;
                }
            }
            Ok(Operand::Host(Cow::Owned(out)))
        }
    }
}

/// Block scales, from the permuted form if there is one.
fn scale<'a>(
    plain: &View<'a>,
    place: Place<'_>,
    permuted: Option<(&View<'a>, Place<'_>)>,
    [rows, k, l]: [usize; 3],
    both: BothScales,
) -> Result<Operand<'a>> {
    check_scale_type(plain, place)?;
    plain.check(place, &[rows, k / 16, l], "[mn, K/16, L]")?;
    if rows == 0 {
        return Ok(Operand::Host(Cow::Borrowed(&[])));
    }
    let Some((view, permuted_place)) = permuted else {
        if matches!(plain.memory, Memory::Device(_)) {
            return Rearrangement::of_scales(plain, place, [rows, k, l]).map(Operand::Strided);
        }
        let Operand::Host(scales) = arrange(plain, place, &[2, 0, 1])? else {
            return Err(misfit(place, "host memory", "device memory", "copy it first"));
        };
        let layout = ScaleLayout::new(rows, k, l)?;
        return Ok(Operand::Host(Cow::Owned(layout.to_blocked(&scales)?)));
    };
    check_scale_type(view, permuted_place)?;
    let shape = [32, 4, rows.div_ceil(128), 4, k.div_ceil(64), l];
    view.check(permuted_place, &shape, "[32, 4, ⌈mn/128⌉, 4, ⌈K/64⌉, L]")?;
    let blocked = arrange(view, permuted_place, &[5, 2, 4, 0, 1, 3])?;
    if both == BothScales::Compare {
        let row_major = arrange(plain, place, &[2, 0, 1])?;
        let (Operand::Host(blocked), Operand::Host(row_major)) = (&blocked, row_major) else {
            return Err(Error::Unsupported {
                what: format!("comparing {place} with {permuted_place} in device memory"),
                remedy: "compare in host memory, or trust the permuted form",
            });
        };
        compare([rows, k, l], place, &row_major, permuted_place, blocked)?;
    }
    Ok(blocked)
}

fn check_scale_type(view: &View<'_>, place: Place<'_>) -> Result<()> {
    if matches!(view.element, Element::E4M3 | Element::U8) {
        return Ok(());
    }
    let remedy = "block scales are e4m3 with NaN at 0x7f, without a second bias";
    let place = format!("{place}, element type");
    Err(misfit(place, "float8_e4m3fn or uint8", view.element.name(), remedy))
}

/// Both forms hold the same scales.
fn compare(
    [rows, k, l]: [usize; 3],
    place: Place<'_>,
    row_major: &[u8],
    permuted_place: Place<'_>,
    blocked: &[u8],
) -> Result<()> {
    let blocks = k / 16;
    let again = ScaleLayout::new(rows, k, l)?.to_row_major(blocked)?;
    match row_major.iter().zip(&again).position(|(plain, permuted)| plain != permuted) {
        None => Ok(()),
        Some(i) => {
            let (row, block) = (i / blocks % rows, i % blocks);
            let batch = i / blocks / rows;
            Err(misfit(
                format!("{permuted_place}, row {row}, block {block}, batch {batch}"),
                format!("0x{:02x}, as {place} has it", row_major[i]),
                format!("0x{:02x}", again[i]),
                "the two forms must hold the same scales; (32, 4) may be swapped for (4, 32)",
            ))
        }
    }
}

impl Adapted<'_> {
    /// Tensors on the device that are copied into another order there, with their places among the tensors.
    pub fn strided(&self) -> impl Iterator<Item = (&'static str, &Rearrangement)> {
        let first = [("a", &self.a), ("b1", &self.b1), ("sfa", &self.sfa), ("sfb1", &self.sfb1)];
        let b2 = self.b2.as_ref().map(|operand| ("b2", operand));
        let sfb2 = self.sfb2.as_ref().map(|operand| ("sfb2", operand));
        first
            .into_iter()
            .chain(b2)
            .chain(sfb2)
            .filter_map(|(name, operand)| match operand {
                Operand::Strided(rearrangement) => Some((name, rearrangement)),
                _ => None,
            })
            .chain(self.c_strided.as_ref().map(|c| ("c", c)))
    }

    fn operands(&self) -> impl Iterator<Item = &Operand<'_>> {
        [&self.a, &self.b1, &self.sfa, &self.sfb1].into_iter().chain(&self.b2).chain(&self.sfb2)
    }

    /// Bytes of host memory that had to be copied into another order.
    pub fn copied(&self) -> usize {
        let copied = |operand: &Operand<'_>| match operand {
            Operand::Host(Cow::Owned(bytes)) => bytes.len(),
            _ => 0,
        };
        self.operands().map(copied).sum()
    }

    /// The tensors as host memory.
    ///
    /// # Errors
    /// A tensor in device memory.
    pub fn inputs(&self) -> Result<Inputs<'_>> {
        fn bytes<'b>(operand: &'b Operand<'_>) -> Result<&'b [u8]> {
            match operand {
                Operand::Host(bytes) => Ok(bytes),
                Operand::Device(_) | Operand::Strided(_) => Err(Error::Unsupported {
                    what: "device memory where host memory is wanted".into(),
                    remedy: "launch on it, with `Adapted::addresses`",
                }),
            }
        }
        let second = |operand| Option::map_or(operand, Ok(&[][..]), bytes);
        Ok(Inputs {
            a: bytes(&self.a)?,
            b1: bytes(&self.b1)?,
            b2: second(self.b2.as_ref())?,
            sfa: bytes(&self.sfa)?,
            sfb1: bytes(&self.sfb1)?,
            sfb2: second(self.sfb2.as_ref())?,
        })
    }

    /// The tensors' device addresses, C's included.
    ///
    /// # Errors
    /// A tensor in host memory, or on the device in an order that is not the kernels' own.
    pub fn addresses(&self) -> Result<GroupAddresses> {
        self.addresses_with(|_| {
            Err(Error::Unsupported {
                what: "a tensor of another order than the kernels read or write".into(),
                remedy: "let `forms::arrange` copy it on the device",
            })
        })
    }

    /// The same, with `copy` to say where the copy of a tensor of another order lies.
    pub(super) fn addresses_with(
        &self,
        mut copy: impl FnMut(&Rearrangement) -> Result<u64>,
    ) -> Result<GroupAddresses> {
        let mut device = |operand: &Operand<'_>| match operand {
            Operand::Device(address) => Ok(*address),
            Operand::Strided(rearrangement) => copy(rearrangement),
            Operand::Host(bytes) if bytes.is_empty() => Ok(0),
            Operand::Host(_) => Err(Error::Unsupported {
                what: "host memory where a device address is wanted".into(),
                remedy: "upload it first, or run from host memory with `Adapted::inputs`",
            }),
        };
        let (a, sfa) = (device(&self.a)?, device(&self.sfa)?);
        let (b1, sfb1) = (device(&self.b1)?, device(&self.sfb1)?);
        let mut second = |operand: &Option<_>| operand.as_ref().map_or(Ok(0), &mut device);
        let (b2, sfb2) = (second(&self.b2)?, second(&self.sfb2)?);
        let c = match (self.c.memory, &self.c_strided) {
            (_, Some(rearrangement)) => copy(rearrangement)?,
            (Memory::Device(address), None) => address,
            (Memory::Host(_), None) => {
                return Err(misfit(
                    "c",
                    "device memory",
                    self.c.to_string(),
                    "run from host memory with `Adapted::inputs`, and store with `store_c`",
                ));
            }
        };
        Ok(GroupAddresses { a, b1, b2, sfa, sfb1, sfb2, c, ..GroupAddresses::default() })
    }

    /// Puts a result, `[L, M, N]` as bits, into memory of C's own order.
    ///
    /// # Errors
    /// A result or memory of another size than C's.
    pub fn store_c(&self, result: &[u16], memory: &mut [u8]) -> Result<()> {
        let View { shape, .. } = &self.c;
        let [m, n, l] = shape[..] else {
            return Err(misfit(
                "c, shape",
                "[M, N, L]",
                format!("{shape:?}"),
                "C is adapted first",
            ));
        };
        let own = View { memory: Memory::Host(memory), ..self.c.clone() };
        own.check("c", &[m, n, l], "[M, N, L]")?;
        if result.len() != l * m * n {
            return Err(Error::Length {
                tensor: "result",
                unit: "elements",
                got: result.len(),
                want: l * m * n,
                formula: "L · M · N",
                remedy: "store the result of this problem",
            });
        }
        for (i, bits) in result.iter().enumerate() {
            let at = 2 * self.c.at(&[i / n % m, i % n, i / n / m]);
            memory[at..at + 2].copy_from_slice(&bits.to_le_bytes());
        }
        Ok(())
    }
}
