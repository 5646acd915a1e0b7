//! Matrix instructions on registers and shared memory.

mod sync;
mod wgmma;
mod wmma;

use super::memory::shared_address;
use super::operand::{addresses, read32, write32};
use super::{Flow, Step};
use crate::decode::op::{LdMatrix, MatrixOp, StMatrix};
use crate::error::{Fault, FaultKind};
use crate::machine::access::Who;
use crate::machine::cluster::{Env, Space};
use crate::machine::registers::Lane32;
use crate::machine::warp::Warp;

pub(super) fn execute(
    op: &MatrixOp,
    env: &Env<'_>,
    space: &mut Space,
    warp: &mut Warp,
    at: &Step,
) -> Result<Flow, Box<Fault>> {
    match op {
        MatrixOp::Load(op) => load(op, env, space, warp, at)?,
        MatrixOp::Store(op) => store(op, env, space, warp, at)?,
        MatrixOp::Move { dst, src } => {
            let source = read32(&warp.regs, *src, at.active)?;
            write32(&mut warp.regs, *dst, at.active, &transposed(&source))?;
        }
        MatrixOp::Mma(op) => sync::multiply(op, space, warp, at)?,
        MatrixOp::FragmentLoad(op) => wmma::load(op, env, space, warp, at)?,
        MatrixOp::FragmentStore(op) => wmma::store(op, env, space, warp, at)?,
        MatrixOp::FragmentMma(op) => wmma::multiply(op, space, warp, at)?,
        MatrixOp::Wgmma(op) => wgmma::issue(op, space, warp, at)?,
        MatrixOp::WgmmaFence => warp.regs.fence(),
        MatrixOp::WgmmaCommit => wgmma::commit(space, warp),
        MatrixOp::WgmmaWait { pending } => return wgmma::wait(*pending, space, warp, at),
    }
    Ok(Flow::Next)
}

/// An 8x8 matrix of 16-bit elements, transposed. Row r lies in lanes 4r to 4r+3, two elements each.
fn transposed(source: &Lane32) -> Lane32 {
    let element =
        |row: usize, column: usize| source[row * 4 + column / 2] >> (column % 2 * 16) & 0xffff;
    std::array::from_fn(|lane| {
        let (row, column) = (lane / 4, lane % 4 * 2);
        element(column, row) | element(column + 1, row) << 16
    })
}

/// The row addresses of matrices: lane i names row i of all of them together.
fn rows(
    (address, kind, num): (&crate::decode::op::Address, crate::decode::op::Space, u32),
    env: &Env<'_>,
    warp: &Warp,
    at: &Step,
) -> Result<Vec<(u32, Who)>, Box<Fault>> {
    let lanes = if num == 32 { at.active } else { at.active & ((1 << num) - 1) };
    let places = addresses(env, warp, address, lanes)?;
    let mut rows = vec![];
    for lane in 0..num {
        let who = Who::generic(at.lane(lane));
        let short = shared_address(kind, places[lane as usize], warp.rank, &who)?;
        if !short.is_multiple_of(16) {
            let message = format!("matrix row at {short:#x}, which is not a multiple of 16");
            return Err(who.fault(FaultKind::Misaligned, short.into(), message));
        }
        rows.push((short, who));
    }
    Ok(rows)
}

fn load(
    op: &LdMatrix,
    env: &Env<'_>,
    space: &mut Space,
    warp: &mut Warp,
    at: &Step,
) -> Result<(), Box<Fault>> {
    let rows = rows((&op.address, op.space, op.rows * op.num), env, warp, at)?;
    if op.rows == 16 {
        return load_bytes(op, &rows, space, warp, at);
    }
    for (dst, rows) in op.dst.iter().zip(rows.chunks_exact(8)) {
        let mut matrix = [0; 32];
        for (row, (short, who)) in rows.iter().enumerate() {
            let (cta, offset) = space.shared(*short, who)?;
            let bytes = unpacked(cta.shared.load(offset, 16, who)?, op.source_bits);
            for (t, word) in bytes.chunks_exact(4).enumerate() {
                matrix[row * 4 + t] = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
            }
        }
        let matrix = if op.transpose { transposed(&matrix) } else { matrix };
        if let Some(dst) = dst {
            write32(&mut warp.regs, *dst, at.active, &matrix)?;
        }
    }
    Ok(())
}

/// A row of sixteen bytes, into which narrower elements (packed at its start) are spread.
fn unpacked(row: &[u8], bits: u32) -> [u8; 16] {
    let packed = u128::from_le_bytes(std::array::from_fn(|i| row[i]));
    if bits >= 8 {
        return packed.to_le_bytes();
    }
    std::array::from_fn(|i| (packed >> (i as u32 * bits)) as u8 & ((1 << bits) - 1))
}

/// 16x16 bytes, transposed: lane 4g + t holds columns g and g + 8 of rows 4t to 4t + 3, two rows in
/// a register.
fn load_bytes(
    op: &LdMatrix,
    rows: &[(u32, Who)],
    space: &mut Space,
    warp: &mut Warp,
    at: &Step,
) -> Result<(), Box<Fault>> {
    for (dst, rows) in op.dst.chunks_exact(2).zip(rows.chunks_exact(16)) {
        let mut matrix = [[0; 16]; 16];
        for (row, (short, who)) in matrix.iter_mut().zip(rows) {
            let (cta, offset) = space.shared(*short, who)?;
            *row = unpacked(cta.shared.load(offset, 16, who)?, op.source_bits);
        }
        for (pair, dst) in dst.iter().enumerate() {
            let value = std::array::from_fn(|lane| {
                let (g, row) = (lane / 4, lane % 4 * 4 + 2 * pair);
                let (one, two) = (&matrix[row], &matrix[row + 1]);
                u32::from_le_bytes([one[g], two[g], one[g + 8], two[g + 8]])
            });
            if let Some(dst) = dst {
                write32(&mut warp.regs, *dst, at.active, &value)?;
            }
        }
    }
    Ok(())
}

/// Eight rows of sixteen bytes: lane 4g + t holds columns g and g + 8 of rows 2t and 2t + 1.
fn transposed_bytes(source: &Lane32) -> Lane32 {
    std::array::from_fn(|word| {
        let (row, first) = (word / 4, word % 4 * 4);
        let byte = |column: usize| {
            let lane = column % 8 * 4 + row / 2;
            (source[lane] >> ((column / 8 * 2 + row % 2) * 8)) as u8
        };
        u32::from_le_bytes(std::array::from_fn(|i| byte(first + i)))
    })
}

fn store(
    op: &StMatrix,
    env: &Env<'_>,
    space: &mut Space,
    warp: &mut Warp,
    at: &Step,
) -> Result<(), Box<Fault>> {
    let rows = rows((&op.address, op.space, 8 * op.num), env, warp, at)?;
    for (&src, rows) in op.src.iter().zip(rows.chunks_exact(8)) {
        let matrix = read32(&warp.regs, src, at.active)?;
        let matrix = match (op.transpose, op.element_bits) {
            (false, _) => matrix,
            (true, 16) => transposed(&matrix),
            (true, _) => transposed_bytes(&matrix),
        };
        for (row, (short, who)) in rows.iter().enumerate() {
            let mut bytes = [0; 16];
            for t in 0..4 {
                bytes[t * 4..][..4].copy_from_slice(&matrix[row * 4 + t].to_le_bytes());
            }
            let (cta, offset) = space.shared(*short, who)?;
            cta.shared.store(offset, &bytes, who)?;
        }
    }
    Ok(())
}
