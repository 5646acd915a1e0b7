//! Matrix instructions on registers and shared memory.

use super::operand::{read32, write32};
use super::{Flow, Step, unsupported};
use crate::decode::op::MatrixOp;
use crate::error::Fault;
use crate::machine::cluster::{Env, Space};
use crate::machine::warp::Warp;

pub(super) fn execute(
    op: &MatrixOp,
    _env: &Env<'_>,
    _space: &mut Space,
    warp: &mut Warp,
    at: &Step,
) -> Result<Flow, Box<Fault>> {
    match op {
        MatrixOp::Move { dst, src } => {
            // Row r of the 8x8 matrix lies in lanes 4r..4r+4, two elements a lane.
            let source = read32(&warp.regs, *src, at.active)?;
            let element = |row: usize, column: usize| {
                source[row * 4 + column / 2] >> (column % 2 * 16) & 0xffff
            };
            let moved = std::array::from_fn(|lane| {
                let (row, column) = (lane / 4, lane % 4 * 2);
                element(column, row) | element(column + 1, row) << 16
            });
            write32(&mut warp.regs, *dst, at.active, &moved)?;
            Ok(Flow::Next)
        }
        MatrixOp::Load(_) => unsupported("ldmatrix"),
        MatrixOp::Store(_) => unsupported("stmatrix"),
        MatrixOp::Mma(_) => unsupported("mma.sync"),
        MatrixOp::Wgmma(_) => unsupported("wgmma.mma_async"),
        MatrixOp::WgmmaFence | MatrixOp::WgmmaCommit | MatrixOp::WgmmaWait { .. } => {
            unsupported("wgmma")
        }
    }
}
