//! The four warps of a warpgroup: a `wgmma` is theirs together, and so is its completion. The wait of
//! one of them ends when the part of every one is done, whatever the other warps have waited for.

use std::collections::VecDeque;

use super::inflight::Ticket;

/// The `wgmma` groups that the warps of a warpgroup have committed.
#[derive(Debug, Default)]
pub struct Warpgroup {
    warps: [Committed; 4],
}

#[derive(Debug, Default)]
struct Committed {
    /// Groups that are over and forgotten.
    over: usize,
    /// The operations of those since.
    groups: VecDeque<Vec<Ticket>>,
}

impl Committed {
    fn count(&self) -> usize {
        self.over + self.groups.len()
    }
}

impl Warpgroup {
    /// A warp (0 to 3) commits a group.
    pub fn commit(&mut self, warp: u32, group: Vec<Ticket>) {
        self.warps[warp as usize].groups.push_back(group);
    }

    /// How many groups a warp has committed since the launch.
    pub fn committed(&self, warp: u32) -> usize {
        self.warps[warp as usize].count()
    }

    /// Whether the first `count` groups are over in all four warps.
    pub fn is_over(&self, count: usize, is_done: impl Fn(Ticket) -> bool) -> bool {
        self.warps.iter().all(|warp| {
            let rest = count.saturating_sub(warp.over);
            warp.groups.len() >= rest
                && warp.groups.iter().take(rest).flatten().all(|&t| is_done(t))
        })
    }

    /// Forgets the operations of the first `count` groups, which are over.
    pub fn forget(&mut self, count: usize) {
        for warp in &mut self.warps {
            let rest = count.saturating_sub(warp.over).min(warp.groups.len());
            warp.groups.drain(..rest);
            warp.over += rest;
        }
    }

    /// The operations of a warp's groups that are not forgotten.
    pub fn open(&self, warp: u32) -> impl Iterator<Item = Ticket> {
        self.warps[warp as usize].groups.iter().flatten().copied()
    }

    /// The warps that have not committed `count` groups.
    pub fn behind(&self, count: usize) -> Vec<usize> {
        (0..4).filter(|&warp| self.warps[warp].count() < count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_over_when_all_four_warps_are_done() {
        let mut group = Warpgroup::default();
        for warp in 0..3 {
            group.commit(warp, vec![warp.into()]);
        }
        assert!(!group.is_over(1, |_| true));
        assert_eq!(group.behind(1), [3]);
        group.commit(3, vec![3]);
        assert!(!group.is_over(1, |t| t != 2));
        assert!(group.is_over(1, |_| true));
        group.forget(1);
        group.commit(0, vec![4]);
        assert_eq!((group.committed(0), group.committed(1)), (2, 1));
        assert!(group.is_over(1, |_| false) && !group.is_over(2, |_| true));
    }
}
