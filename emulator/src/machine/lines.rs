//! What is remembered of the accesses to global memory: per line of 128 bytes, who touched which
//! bytes. Lines that nobody touches cost nothing.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::shadow::{Record, SEVERAL_LANES};

/// Bytes of a line.
pub const LINE: u64 = 128;
/// Lines of a page.
const LINES: u64 = 32;
/// So many accesses of a line by reads; more are kept only where none is known.
const MANY: usize = 16;

/// Page numbers are spread already: a multiplication is hash enough.
#[derive(Debug, Default, Clone)]
pub struct PageHasher(u64);

impl Hasher for PageHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(byte.into());
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0 ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 ^= self.0 >> 32;
    }
}

/// A map from numbers of pages or the like.
pub type ByNumber<T> = HashMap<u64, T, BuildHasherDefault<PageHasher>>;

/// An access to some bytes of a line.
#[derive(Debug, Clone, Copy)]
struct Entry {
    bytes: u128,
    record: Record,
}

#[derive(Debug, Default)]
struct Page {
    lines: [Vec<Entry>; LINES as usize],
}

/// The lines of a memory.
#[derive(Debug, Default)]
pub struct Lines {
    pages: Vec<Page>,
    index: ByNumber<u32>,
    /// The page found last: number and place.
    last: Option<(u64, u32)>,
}

impl Lines {
    fn line(&mut self, number: u64) -> &mut Vec<Entry> {
        let page = number / LINES;
        let place = match self.last {
            Some((last, place)) if last == page => place,
            _ => {
                let pages = &mut self.pages;
                let place = *self.index.entry(page).or_insert_with(|| {
                    pages.push(Page::default());
                    pages.len() as u32 - 1
                });
                self.last = Some((page, place));
                place
            }
        };
        &mut self.pages[place as usize].lines[(number % LINES) as usize]
    }

    /// Notes an access to bytes of line `number`. The first byte that a conflicting access touched
    /// too, and that access, are the error if `ordered` denies it.
    #[inline]
    pub fn touch(
        &mut self,
        number: u64,
        bytes: u128,
        new: &Record,
        ordered: impl Fn(&Record) -> bool,
    ) -> Result<(), (u32, Record)> {
        let line = self.line(number);
        if let Some(last) = line.last()
            && last.bytes & bytes == bytes
            && last.record.same_event(new)
            && line.len() == 1
        {
            return Ok(());
        }
        let mut merged = false;
        let mut known = 0;
        let mut at = 0;
        while at < line.len() {
            let old = &mut line[at];
            if old.bytes & bytes != 0 {
                if old.record.write || new.write {
                    if !ordered(&old.record) {
                        return Err(((old.bytes & bytes).trailing_zeros(), old.record));
                    }
                    // Whoever comes after the new write comes after the old access.
                    if new.write && !new.silent {
                        old.bytes &= !bytes;
                    }
                } else if old.record.agent == new.agent
                    && (old.record.path, old.record.key) == (new.path, new.key)
                {
                    old.bytes &= !bytes;
                }
            }
            if old.record.same_event(new) && !merged {
                old.bytes |= bytes;
                if old.record.lane != new.lane {
                    old.record.lane = SEVERAL_LANES;
                }
                merged = true;
            }
            if old.bytes == 0 {
                line.swap_remove(at);
            } else {
                if !old.record.write {
                    known |= old.bytes;
                }
                at += 1;
            }
        }
        if !merged && (new.write || line.len() < MANY || bytes & !known != 0) {
            line.push(Entry { bytes, record: *new });
        }
        Ok(())
    }

    /// The write `new` of these bytes turned out to leave what was there before.
    pub fn silence(&mut self, number: u64, new: &Record) {
        for entry in self.line(number).iter_mut().filter(|e| e.record.same_event(new)) {
            entry.record.silent = true;
        }
    }

    /// Every access, by line number.
    fn all(&self) -> impl Iterator<Item = (u64, &Entry)> {
        let mut pages: Vec<(u64, u32)> = self.index.iter().map(|(&n, &at)| (n, at)).collect();
        pages.sort_unstable();
        pages.into_iter().flat_map(move |(page, place)| {
            let lines = (page * LINES..).zip(&self.pages[place as usize].lines);
            lines.flat_map(|(number, line)| line.iter().map(move |entry| (number, entry)))
        })
    }
}

/// What a launch has done to global memory, for one that may begin before it ends.
#[derive(Debug, Default)]
pub struct Footprint {
    lines: ByNumber<Vec<Entry>>,
}

impl Footprint {
    /// Of clusters that ran by turns.
    pub fn of(lines: Lines) -> Footprint {
        let mut footprint = Footprint::default();
        for (page, place) in lines.index {
            let page_lines = &lines.pages[place as usize].lines;
            for (number, line) in (page * LINES..).zip(page_lines).filter(|(_, l)| !l.is_empty()) {
                footprint.lines.insert(number, line.clone());
            }
        }
        footprint
    }

    /// The first byte of these that an access with which a read, or a write, conflicts has touched.
    pub fn conflict(&self, number: u64, bytes: u128, write: bool) -> Option<(u32, Record)> {
        let line = self.lines.get(&number)?;
        let found = line.iter().find(|e| e.bytes & bytes != 0 && (write || e.record.write))?;
        Some(((found.bytes & bytes).trailing_zeros(), found.record))
    }
}

/// Two accesses of different clusters to the same byte, one of them a write.
#[derive(Debug, Clone, Copy)]
pub struct Conflict {
    /// The byte.
    pub address: u64,
    /// The access of the cluster with the larger index.
    pub new: Record,
    /// The other one.
    pub old: Record,
}

/// The accesses of clusters that nothing orders: what is kept is what tells whether another cluster
/// conflicts with them.
#[derive(Debug, Default)]
pub struct Unordered {
    lines: ByNumber<Vec<Entry>>,
}

impl Unordered {
    /// All of it.
    pub fn into_footprint(self) -> Footprint {
        Footprint { lines: self.lines }
    }

    /// Adds the accesses of one cluster, after those of clusters with smaller indices.
    pub fn add(&mut self, cluster: &Lines) -> Result<(), Conflict> {
        for (number, new) in cluster.all() {
            let line = self.lines.entry(number).or_default();
            let mut once: u128 = 0;
            let mut twice: u128 = 0;
            for old in line.iter() {
                let both = old.bytes & new.bytes;
                let (a, b) = (&old.record, &new.record);
                if a.key == b.key {
                    continue;
                }
                let conflict = (a.write || b.write) && !a.silent && !b.silent;
                if both != 0 && conflict {
                    let address = number * LINE + u64::from(both.trailing_zeros());
                    return Err(Conflict { address, new: *b, old: *a });
                }
                if !a.write {
                    twice |= once & old.bytes;
                    once |= old.bytes;
                }
            }
            // A later write conflicts with one of two readers, whoever writes.
            if new.record.write || new.bytes & !twice != 0 {
                line.push(*new);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::shadow::Path;
    use super::*;

    fn record(cluster: u32, write: bool) -> Record {
        Record {
            agent: 1,
            clock: 1,
            line: 1,
            key: cluster,
            warp: 1,
            mask: 0,
            lane: 0,
            write,
            silent: false,
            path: Path::Generic,
        }
    }

    fn cluster(number: u32, accesses: &[(u64, u128, bool)]) -> Lines {
        let mut lines = Lines::default();
        for &(line, bytes, write) in accesses {
            lines.touch(line, bytes, &record(number, write), |_| true).unwrap();
        }
        lines
    }

    #[test]
    fn neighbours_do_not_conflict_and_readers_conflict_with_a_writer() {
        let mut all = Unordered::default();
        all.add(&cluster(0, &[(40, 0x3, true), (41, 0xff, false)])).unwrap();
        all.add(&cluster(1, &[(40, 0xc, true), (41, 0xff, false)])).unwrap();
        for reader in 2..9 {
            all.add(&cluster(reader, &[(41, 0xff, false)])).unwrap();
        }
        assert_eq!(all.lines[&41].len(), 2);
        let conflict = all.add(&cluster(9, &[(41, 0x10, true)])).unwrap_err();
        assert_eq!((conflict.address, conflict.old.key), (41 * 128 + 4, 0));
        let conflict = all.add(&cluster(10, &[(40, 0x8, false)])).unwrap_err();
        assert_eq!(conflict.old.key, 1);
    }

    #[test]
    fn many_readers_are_not_all_kept() {
        let mut lines = Lines::default();
        for reader in 0..100 {
            lines.touch(7, 0xf, &record(reader, false), |_| true).unwrap();
        }
        assert_eq!(lines.line(7).len(), MANY);
        lines.touch(7, 0xf0, &record(100, false), |_| true).unwrap();
        assert_eq!(lines.line(7).len(), MANY + 1);
        let (byte, _) = lines.touch(7, 0x80, &record(101, true), |_| false).unwrap_err();
        assert_eq!(byte, 7);
    }
}
