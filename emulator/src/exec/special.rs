//! Special registers and addresses of variables.

use super::operand::{symbol, write, write32};
use super::{Flow, Step, operand};
use crate::decode::op::{Special, SpecialName, Symbol, Width};
use crate::error::Fault;
use crate::machine::cluster::{Env, Space};
use crate::machine::registers::Lane32;
use crate::machine::shared;
use crate::machine::warp::Warp;
use crate::machine::window;

pub(super) fn execute(
    op: &Special,
    env: &Env<'_>,
    space: &mut Space,
    warp: &mut Warp,
    at: &Step,
) -> Result<Flow, Box<Fault>> {
    match op {
        Special::Read { dst, width, name } => {
            let value = read(*name, env, space, warp);
            write(&mut warp.regs, *dst, *width, at.active, &value)?;
        }
        Special::ReadPred { dst, name } => {
            let value = read(*name, env, space, warp)[0] != 0;
            warp.regs.set_pred(*dst as usize, at.active, if value { u32::MAX } else { 0 });
        }
        Special::ReadVector { dst, names } => {
            for (slot, name) in dst.iter().zip(names) {
                if let Some(slot) = slot {
                    let value = read(*name, env, space, warp);
                    write(&mut warp.regs, *slot, Width::B32, at.active, &value)?;
                }
            }
            if let Some(slot) = dst[3] {
                write32(&mut warp.regs, slot, at.active, &[0; 32])?;
            }
        }
        Special::AddressOf { dst, width, symbol: name, offset, generic } => {
            let (named, address) = symbol(env, warp.rank, *name);
            let address = address.wrapping_add_signed(*offset);
            let address = if *generic { window::generic(named, address) } else { address };
            let mut addresses = [address; 32];
            if let Symbol::Activation(_) = name {
                for (address, stack) in addresses.iter_mut().zip(warp.stacks()) {
                    *address += u64::from(stack.base);
                }
            }
            write(&mut warp.regs, *dst, *width, at.active, &addresses)?;
        }
        Special::CreatePolicy { dst, reads } => {
            for (src, width) in reads {
                operand::read(&warp.regs, *src, *width, at.active)?;
            }
            write(&mut warp.regs, *dst, Width::B64, at.active, &[0; 32])?;
        }
    }
    Ok(Flow::Next)
}

/// The values of a special register.
fn read(name: SpecialName, env: &Env<'_>, space: &Space, warp: &Warp) -> [u64; 32] {
    use SpecialName as N;
    let same = |value: u32| [u64::from(value); 32];
    let by_lane = |f: &dyn Fn(u32) -> u32| -> [u64; 32] {
        let lanes: Lane32 = std::array::from_fn(|l| f(l as u32));
        lanes.map(u64::from)
    };
    let [bx, by, _] = env.block;
    let first = warp.index * 32;
    let clusters: [u32; 3] = std::array::from_fn(|i| env.grid[i] / env.cluster[i]);
    let in_cluster: [u32; 3] = std::array::from_fn(|i| warp.cta[i] % env.cluster[i]);
    let cluster: [u32; 3] = std::array::from_fn(|i| warp.cta[i] / env.cluster[i]);
    // A clock that never stands still and is the same for the same seed.
    let clock = space.stats.warp_instructions * 4 + space.stats.async_steps * 16;
    match name {
        N::TidX => by_lane(&|l| (first + l) % bx),
        N::TidY => by_lane(&|l| (first + l) / bx % by),
        N::TidZ => by_lane(&|l| (first + l) / (bx * by)),
        N::NtidX => same(env.block[0]),
        N::NtidY => same(env.block[1]),
        N::NtidZ => same(env.block[2]),
        N::LaneId => by_lane(&|l| l),
        N::WarpId => same(warp.index),
        N::NWarpId => same(env.block.iter().product::<u32>().div_ceil(32)),
        N::CtaIdX => same(warp.cta[0]),
        N::CtaIdY => same(warp.cta[1]),
        N::CtaIdZ => same(warp.cta[2]),
        N::NCtaIdX => same(env.grid[0]),
        N::NCtaIdY => same(env.grid[1]),
        N::NCtaIdZ => same(env.grid[2]),
        N::SmId => {
            let linear = warp.cta[0] + env.grid[0] * (warp.cta[1] + env.grid[1] * warp.cta[2]);
            same(linear % crate::run::SM_COUNT)
        }
        N::NSmId => same(crate::run::SM_COUNT),
        N::GridId | N::Zero => same(0),
        N::IsExplicitCluster => same(env.explicit_cluster.into()),
        N::ClusterIdX => same(cluster[0]),
        N::ClusterIdY => same(cluster[1]),
        N::ClusterIdZ => same(cluster[2]),
        N::NClusterIdX => same(clusters[0]),
        N::NClusterIdY => same(clusters[1]),
        N::NClusterIdZ => same(clusters[2]),
        N::ClusterCtaIdX => same(in_cluster[0]),
        N::ClusterCtaIdY => same(in_cluster[1]),
        N::ClusterCtaIdZ => same(in_cluster[2]),
        N::ClusterNCtaIdX => same(env.cluster[0]),
        N::ClusterNCtaIdY => same(env.cluster[1]),
        N::ClusterNCtaIdZ => same(env.cluster[2]),
        N::ClusterCtaRank => same(warp.rank),
        N::ClusterNCtaRank => same(env.cluster.iter().product()),
        N::LaneMaskEq => by_lane(&|l| 1 << l),
        N::LaneMaskLe => by_lane(&|l| u32::MAX >> (31 - l)),
        N::LaneMaskLt => by_lane(&|l| (1 << l) - 1),
        N::LaneMaskGe => by_lane(&|l| u32::MAX << l),
        N::LaneMaskGt => by_lane(&|l| u32::MAX << l & !(1 << l)),
        N::Clock | N::GlobalTimerLo => same(clock as u32),
        N::ClockHi | N::GlobalTimerHi => same((clock >> 32) as u32),
        N::Clock64 | N::GlobalTimer => [clock; 32],
        N::TotalSmemSize => same(space.ctas[0].shared.end()),
        N::AggrSmemSize => same(space.ctas[0].shared.end() * env.cluster.iter().product::<u32>()),
        N::DynamicSmemSize => same(env.dynamic_bytes),
        N::ReservedSmemOffsetBegin => same(0),
        N::ReservedSmemOffsetEnd | N::ReservedSmemOffsetCap => same(shared::FIRST_BYTE),
    }
}
