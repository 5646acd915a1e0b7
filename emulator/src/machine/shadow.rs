//! What is remembered of the accesses to a memory: per cell, the last write to each of its parts
//! and the reads since.

use super::clock::Agent;

/// The instruction family behind an access, as far as ordering goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// Weak loads and stores.
    Generic,
    /// Atomics and accesses that are not weak: they do not race with each other.
    Strong,
    /// mbarriers: their making is a write, every use a read.
    Barrier,
    /// `cp.async`.
    CpAsync,
    /// Bulk and tensor copies, `st.async`, `try_cancel`.
    Bulk,
    /// Bulk and tensor reductions into global memory, which are strong.
    BulkReduce,
    /// `ld.global.nc`.
    NonCoherent,
    /// The 128 bytes of a tensor map, by the copy that uses it.
    TensorMap,
    /// Shared-memory operands of `tcgen05.mma`, `tcgen05.cp` and `wgmma`.
    Operand,
    /// Tensor memory, by `tcgen05.mma`.
    Mma,
    /// Tensor memory, by `tcgen05.cp`.
    CellCopy,
    /// Tensor memory, by `tcgen05.shift`.
    Shift,
    /// `tcgen05.ld`.
    TmemLoad,
    /// `tcgen05.st`.
    TmemStore,
    /// `tcgen05.dealloc`.
    Free,
}

impl Path {
    /// The name in a message.
    pub fn name(self) -> &'static str {
        match self {
            Path::Generic => "access through the generic proxy",
            Path::Strong => "atomic or strong access",
            Path::Barrier => "mbarrier operation",
            Path::CpAsync => "cp.async",
            Path::Bulk => "asynchronous copy",
            Path::BulkReduce => "asynchronous reduction",
            Path::NonCoherent => "ld.global.nc",
            Path::TensorMap => "use as a tensor map",
            Path::Operand => "tensor core operand",
            Path::Mma => "tcgen05.mma",
            Path::CellCopy => "tcgen05.cp",
            Path::Shift => "tcgen05.shift",
            Path::TmemLoad => "tcgen05.ld",
            Path::TmemStore => "tcgen05.st",
            Path::Free => "tcgen05.dealloc",
        }
    }

    /// Whether it goes through the generic proxy.
    pub fn is_generic(self) -> bool {
        matches!(
            self,
            Path::Generic | Path::Strong | Path::Barrier | Path::CpAsync | Path::NonCoherent
        )
    }
}

/// A lane number that means "several".
pub const SEVERAL_LANES: u8 = 255;

/// One access, to some parts of one cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Who completes it.
    pub agent: Agent,
    /// Which of the agent's events it is.
    pub clock: u32,
    /// PTX line.
    pub line: u32,
    /// The accumulator and shape of an MMA; the warp's clock at a `tcgen05.ld` or `st`; the cluster, for an access to global memory.
    pub key: u32,
    /// Warp within the cluster.
    pub warp: u16,
    /// Parts of the cell: bytes of 16, or lanes by eights; the scope of a strong access to global
    /// memory.
    pub mask: u16,
    /// Lane, or [`SEVERAL_LANES`].
    pub lane: u8,
    /// Whether it writes.
    pub write: bool,
    /// It wrote what was there before, as threads do that all compute the same.
    pub silent: bool,
    /// How.
    pub path: Path,
}

impl Record {
    /// Whether the two are parts of one access, as far as order goes.
    pub fn same_event(&self, other: &Record) -> bool {
        (self.agent, self.clock, self.key, self.write, self.silent, self.path)
            == (other.agent, other.clock, other.key, other.write, other.silent, other.path)
    }
}

/// The accesses of one memory.
#[derive(Debug, Default)]
pub struct Shadow {
    cells: Vec<Vec<Record>>,
}

impl Shadow {
    /// Notes an access to a cell. A conflicting access that `ordered` denies is the error. Not all that
    /// is ordered comes `before`: silent writes are let pass.
    #[inline]
    pub fn touch(
        &mut self,
        cell: usize,
        new: &Record,
        ordered: impl Fn(&Record) -> bool,
        before: impl Fn(&Record) -> bool,
    ) -> Result<(), Record> {
        if self.cells.len() <= cell {
            self.cells.resize_with(cell + 1, Vec::new);
        }
        let records = &mut self.cells[cell];
        let mut merged = false;
        let mut at = 0;
        while at < records.len() {
            let old = &mut records[at];
            if old.mask & new.mask != 0 {
                if old.write || new.write {
                    if !ordered(old) {
                        return Err(*old);
                    }
                    // Whoever comes after the new write comes after the old access. Nobody need come
                    // after a silent one; but who must come after reads and silent writes before it
                    // must come after it as well, and a program may go on with those for ever.
                    let silent = new.silent && new.path == Path::Generic;
                    let stays = old.write && !old.silent || old.path != Path::Generic;
                    if new.write && (!new.silent || silent && !stays && before(old)) {
                        old.mask &= !new.mask;
                    }
                } else if old.agent == new.agent && old.path == new.path {
                    old.mask &= !new.mask;
                }
            }
            if old.same_event(new) && !merged {
                old.mask |= new.mask;
                if old.lane != new.lane {
                    old.lane = SEVERAL_LANES;
                }
                merged = true;
            }
            if old.mask == 0 {
                records.swap_remove(at);
            } else {
                at += 1;
            }
        }
        if !merged {
            records.push(*new);
        }
        Ok(())
    }

    /// Some access, with its cell, that is as asked for.
    pub fn find(&self, wanted: impl Fn(&Record) -> bool) -> Option<(usize, Record)> {
        let one = |(cell, records): (usize, &Vec<Record>)| {
            records.iter().find(|record| wanted(record)).map(|record| (cell, *record))
        };
        self.cells.iter().enumerate().find_map(one)
    }

    /// Forgets the accesses to some cells.
    pub fn clear(&mut self, cells: std::ops::Range<usize>) {
        let end = cells.end.min(self.cells.len());
        for records in &mut self.cells[cells.start.min(end)..end] {
            records.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: Record = Record {
        agent: 1,
        clock: 1,
        line: 1,
        key: 0,
        warp: 1,
        mask: 0x000f,
        lane: 0,
        write: false,
        silent: false,
        path: Path::Generic,
    };

    #[test]
    fn writes_conflict_with_reads_of_the_same_bytes() {
        let mut shadow = Shadow::default();
        shadow.touch(7, &READ, |_| false, |_| false).unwrap();
        shadow.touch(7, &Record { agent: 2, ..READ }, |_| false, |_| false).unwrap();
        let write = Record { agent: 3, write: true, ..READ };
        shadow.touch(7, &Record { mask: 0x00f0, ..write }, |_| false, |_| false).unwrap();
        assert_eq!(shadow.touch(7, &write, |old| old.agent == 1, |_| false).unwrap_err().agent, 2);
        shadow.touch(7, &write, |_| true, |_| false).unwrap();
        let late = Record { agent: 4, ..write };
        assert_eq!(shadow.touch(7, &late, |_| false, |_| false).unwrap_err().agent, 3);
        shadow.clear(0..100);
        shadow.touch(7, &late, |_| false, |_| false).unwrap();
    }
    #[test]
    fn silent_writes_do_not_pile_up() {
        let mut shadow = Shadow::default();
        for clock in 1..100 {
            let write = Record { clock, write: true, silent: clock > 1, ..READ };
            shadow.touch(0, &write, |_| true, |old| old.agent == 1).unwrap();
            let read = Record { agent: 2, clock, ..READ };
            shadow.touch(0, &read, |_| true, |_| false).unwrap();
        }
        // The first write, the last silent one, and the reads that nothing says come before it.
        assert!(shadow.cells[0].len() <= 3, "{:?}", shadow.cells[0]);
    }
}
