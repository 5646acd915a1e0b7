//! `wmma`: the matrix instructions of plain CUDA.
//!
//! Which lane holds which element is not told, so programs do not depend on it. Here the elements of
//! a matrix, row by row, are dealt out in runs: lane 0 has the first, lane 1 those after. A fragment
//! with room for more (factors of f16) holds them several times. Sums are those of `mma.sync`.

use super::super::Step;
use super::super::fragment::{Product, ROWS, element};
use super::super::memory::{access_load, access_store, note_lanes, place};
use super::super::operand::{addresses, lane_fault, read32, uniform, write32};
use crate::decode::op::{MatrixFormat, Src, WmmaMma, WmmaMove};
use crate::error::{Fault, FaultKind};
use crate::machine::access::Who;
use crate::machine::cluster::{Env, Space};
use crate::machine::registers::Lane32;
use crate::machine::warp::{Warp, each};
use crate::tensor::dense;
use crate::tensor::instr_descriptor::Element;

fn bytes_of(format: MatrixFormat) -> usize {
    match format {
        MatrixFormat::F16 | MatrixFormat::BF16 => 2,
        MatrixFormat::S8 | MatrixFormat::U8 => 1,
        _ => 4,
    }
}

/// Addresses of element `i` of each lane's run.
fn places(
    op: &WmmaMove,
    i: usize,
    env: &Env<'_>,
    warp: &Warp,
    at: &Step,
) -> Result<[u64; 32], Box<Fault>> {
    let bases = addresses(env, warp, &op.address, at.active)?;
    let first = at.active.trailing_zeros();
    let base = bases[first as usize];
    if let Some(lane) = each(at.active).find(|&lane| bases[lane as usize] != base) {
        let message = "the address of a wmma matrix must be the same in all lanes";
        return Err(lane_fault(FaultKind::Convergence, lane, message));
    }
    let (rows, columns) = (op.extent.0 as usize, op.extent.1 as usize);
    let stride = match op.stride {
        Some(stride) => {
            let strides = read32(&warp.regs, stride, at.active)?;
            uniform(&strides, at.active, "the stride of a wmma matrix")? as usize
        }
        None if op.row_major => columns,
        None => rows,
    };
    let size = bytes_of(op.format);
    if !base.is_multiple_of(16) || !(stride * size).is_multiple_of(16.min(8 * size)) {
        let message = format!(
            "a wmma matrix at {base:#x} with a stride of {stride} elements: both must be multiples of \
             16 bytes"
        );
        let fault = lane_fault(FaultKind::Misaligned, first, message);
        return Err(Box::new(fault.at(base)));
    }
    let run = rows * columns / 32;
    Ok(std::array::from_fn(|lane| {
        let index = lane * run + i;
        let (row, column) = (index / columns, index % columns);
        let offset = if op.row_major { row * stride + column } else { column * stride + row };
        base.wrapping_add((offset * size) as u64)
    }))
}

/// `wmma.load`.
pub(super) fn load(
    op: &WmmaMove,
    env: &Env<'_>,
    space: &mut Space,
    warp: &mut Warp,
    at: &Step,
) -> Result<(), Box<Fault>> {
    let size = bytes_of(op.format);
    let run = (op.extent.0 * op.extent.1 / 32) as usize;
    let mut words = vec![[0u32; 32]; run * size / 4];
    for i in 0..run {
        let places = places(op, i, env, warp, at)?;
        for lane in each(at.active) {
            let who = Who::generic(at.lane(lane));
            let place = place(op.space, places[lane as usize], warp.rank, &who)?;
            let mut bytes = [0; 4];
            access_load(place, &mut bytes[..size], lane, env, space, warp, &who)?;
            let at_byte = i * size;
            words[at_byte / 4][lane as usize] |= u32::from_le_bytes(bytes) << (at_byte % 4 * 8);
        }
        note_lanes((op.space, false), &places, size, env, space, at)?;
    }
    for (i, dst) in op.dst.iter().enumerate() {
        if let Some(dst) = dst {
            write32(&mut warp.regs, *dst, at.active, &words[i % words.len()])?;
        }
    }
    Ok(())
}

/// `wmma.store`.
pub(super) fn store(
    op: &WmmaMove,
    env: &Env<'_>,
    space: &mut Space,
    warp: &mut Warp,
    at: &Step,
) -> Result<(), Box<Fault>> {
    let size = bytes_of(op.format);
    let words = registers(&op.src, warp, at)?;
    for i in 0..(op.extent.0 * op.extent.1 / 32) as usize {
        let places = places(op, i, env, warp, at)?;
        for lane in each(at.active) {
            let who = Who::generic(at.lane(lane));
            let place = place(op.space, places[lane as usize], warp.rank, &who)?;
            let word = words[i * size / 4][lane as usize] >> (i * size % 4 * 8);
            let bytes = &word.to_le_bytes()[..size];
            access_store(place, bytes, lane, env, space, warp, &who)?;
        }
        note_lanes((op.space, true), &places, size, env, space, at)?;
    }
    Ok(())
}

fn registers(sources: &[Src], warp: &Warp, at: &Step) -> Result<Vec<Lane32>, Box<Fault>> {
    sources.iter().map(|&src| read32(&warp.regs, src, at.active)).collect()
}

/// The bytes of a fragment, row by row.
fn gather(words: &[Lane32], elements: usize, size: usize) -> Vec<u8> {
    let run = elements / 32 * size / 4;
    let lane = |lane: usize| words[..run].iter().flat_map(move |word| word[lane].to_le_bytes());
    (0..32).flat_map(lane).collect()
}

/// `wmma.mma`.
pub(super) fn multiply(
    op: &WmmaMma,
    space: &mut Space,
    warp: &mut Warp,
    at: &Step,
) -> Result<(), Box<Fault>> {
    let (m, n, k) = (op.shape.m as usize, op.shape.n as usize, op.shape.k as usize);
    space.stats.multiply_adds += (m * n * k) as u64;
    let factor = element(op.format).expect("bug: wmma of a type that was refused");
    let size = bytes_of(op.format);
    let a = gather(&registers(&op.a, warp, at)?, m * k, size);
    let b_rows = gather(&registers(&op.b, warp, at)?, k * n, size);
    let c = gather(&registers(&op.c, warp, at)?, m * n, bytes_of(op.c_format));
    // Columns of B, contiguous along K.
    let mut b = vec![0; n * k * size];
    for row in 0..k {
        for column in 0..n {
            let (from, to) = ((row * n + column) * size, (column * k + row) * size);
            b[to..to + size].copy_from_slice(&b_rows[from..from + size]);
        }
    }
    let half = |format| format == MatrixFormat::F16;
    // An f16 C is exact in f32, and an f32 C of an f16 D is rounded with the sum.
    let product = Product {
        a: factor,
        b: factor,
        negate: (false, false),
        n: op.shape.n,
        k,
        accumulate: true,
        half: half(op.d_format) && half(op.c_format),
        saturate: op.satfinite,
        narrow: false,
    };
    let mut d = vec![0u8; m * n * bytes_of(op.d_format)];
    let old = |row: usize, column: usize| {
        let index = row * n + column;
        if !half(op.c_format) {
            return u32::from_le_bytes(std::array::from_fn(|i| c[index * 4 + i]));
        }
        let bits = u16::from_le_bytes([c[index * 2], c[index * 2 + 1]]);
        let exact = half::f16::from_bits(bits).to_f32().to_bits();
        if product.half { u32::from(bits) } else { exact }
    };
    let rows = ROWS as usize;
    for first in (0..m).step_by(rows) {
        let here = rows.min(m - first);
        let mut block = a[first * k * size..(first + here) * k * size].to_vec();
        block.resize(rows * k * size, 0);
        let mut columns = vec![[0; dense::ROWS]; n];
        for (column, cells) in columns.iter_mut().enumerate() {
            (0..here).for_each(|row| cells[row] = old(first + row, column));
        }
        if factor == Element::Tf32 {
            // Hopper has two instructions of four k for these, as its results show.
            for half in [0, 1] {
                let part = |rows: &[u8]| -> Vec<u8> {
                    let row = k * size;
                    rows.chunks_exact(row)
                        .flat_map(|r| &r[half * row / 2..][..row / 2])
                        .copied()
                        .collect()
                };
                let product = Product { k: k / 2, ..product };
                product.run(&part(&block), &part(&b), &mut columns);
            }
        } else {
            product.run(&block, &b, &mut columns);
        }
        for (column, cells) in columns.iter().enumerate() {
            for (row, &cell) in cells[..here].iter().enumerate() {
                let index = (first + row) * n + column;
                if !half(op.d_format) {
                    d[index * 4..][..4].copy_from_slice(&cell.to_le_bytes());
                    continue;
                }
                let bits = match product.half {
                    true => cell as u16,
                    false => half::f16::from_f32(f32::from_bits(cell)).to_bits(),
                };
                d[index * 2..][..2].copy_from_slice(&bits.to_le_bytes());
            }
        }
    }
    let words = op.d.len();
    for (i, dst) in op.d.iter().enumerate() {
        let value = std::array::from_fn(|lane| {
            let start = (lane * words + i) * 4;
            u32::from_le_bytes(std::array::from_fn(|byte| d[start + byte]))
        });
        if let Some(dst) = dst {
            write32(&mut warp.regs, *dst, at.active, &value)?;
        }
    }
    Ok(())
}
