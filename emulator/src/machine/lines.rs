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

/// Values of some bytes of a line. Writes that nothing orders are no race if all write the same.
#[derive(Debug, Clone, Copy)]
pub struct Image {
    known: u128,
    values: [u8; LINE as usize],
}

impl Default for Image {
    fn default() -> Self {
        Image { known: 0, values: [0; LINE as usize] }
    }
}

impl Image {
    /// These bytes, from `at` on, have these values.
    #[inline]
    pub fn set(&mut self, at: usize, values: &[u8]) {
        self.known |= (u128::MAX >> (LINE as usize - values.len())) << at;
        self.values[at..at + values.len()].copy_from_slice(values);
    }

    /// Those of `bytes` that are not known to be the same in both.
    fn differing(&self, other: &Image, bytes: u128) -> u128 {
        let mut differ = bytes & !(self.known & other.known);
        let mut rest = bytes & !differ;
        while rest != 0 {
            let at = rest.trailing_zeros() as usize;
            differ |= u128::from(self.values[at] != other.values[at]) << at;
            rest &= rest - 1;
        }
        differ
    }

    /// Takes over `bytes` of another.
    #[inline]
    fn take(&mut self, other: &Image, bytes: u128) {
        self.known = self.known & !bytes | other.known & bytes;
        if bytes == u128::MAX {
            self.values = other.values;
            return;
        }
        let first = bytes.trailing_zeros().min(127) as usize;
        let last = 128 - bytes.leading_zeros() as usize;
        for at in first..last {
            if bytes >> at & 1 == 1 {
                self.values[at] = other.values[at];
            }
        }
    }
}

/// The accesses to a line, and what its writes wrote last.
#[derive(Debug, Default)]
struct Line {
    entries: Vec<Entry>,
    image: Option<Box<Image>>,
}

impl Line {
    /// A write of `bytes`, with its values if they are known.
    #[inline]
    fn write(&mut self, bytes: u128, values: Option<&Image>) {
        match values {
            Some(values) => self.image.get_or_insert_default().take(values, bytes),
            None => {
                if let Some(image) = &mut self.image {
                    image.known &= !bytes;
                }
            }
        }
    }

    /// Those of `bytes`, which an earlier write wrote too, that this one may give another value.
    #[cold]
    fn differing(&self, bytes: u128, values: Option<&Image>) -> u128 {
        match (&self.image, values) {
            (Some(image), Some(values)) => image.differing(values, bytes),
            _ => bytes,
        }
    }
}

#[derive(Debug, Default)]
struct Page {
    lines: [Line; LINES as usize],
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
    fn line(&mut self, number: u64) -> &mut Line {
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

    /// Notes an access to bytes of line `number`; of a write also the values, if they are known. The
    /// first byte that a conflicting access touched too, and that access, are the error if `ordered`
    /// denies it.
    #[inline]
    pub fn touch(
        &mut self,
        number: u64,
        bytes: u128,
        new: &Record,
        values: Option<&Image>,
        ordered: impl Fn(&Record) -> bool,
    ) -> Result<(), (u32, Record)> {
        let line = self.line(number);
        if let [last] = &line.entries[..]
            && last.bytes & bytes == bytes
            && last.record.same_event(new)
        {
            if new.write {
                line.write(bytes, values);
            }
            return Ok(());
        }
        let mut merged = false;
        let mut known = 0;
        let mut at = 0;
        while at < line.entries.len() {
            let Entry { bytes: theirs, record } = line.entries[at];
            let both = theirs & bytes;
            if both != 0 && (record.write || new.write) && !ordered(&record) {
                let differing = match record.write && new.write {
                    true => line.differing(both, values),
                    false => both,
                };
                if differing != 0 {
                    return Err((differing.trailing_zeros(), record));
                }
                // Nobody comes after the one because he comes after the other.
            } else if both != 0 {
                let superseded = if record.write || new.write {
                    // Whoever comes after the new write comes after the old access.
                    new.write && !new.silent
                } else {
                    (record.agent, record.path, record.key) == (new.agent, new.path, new.key)
                };
                if superseded {
                    line.entries[at].bytes &= !bytes;
                }
            }
            let old = &mut line.entries[at];
            if old.record.same_event(new) && !merged {
                old.bytes |= bytes;
                if old.record.lane != new.lane {
                    old.record.lane = SEVERAL_LANES;
                }
                merged = true;
            }
            if old.bytes == 0 {
                line.entries.swap_remove(at);
            } else {
                if !old.record.write {
                    known |= old.bytes;
                }
                at += 1;
            }
        }
        if new.write {
            line.write(bytes, values);
        }
        if !merged && (new.write || line.entries.len() < MANY || bytes & !known != 0) {
            line.entries.push(Entry { bytes, record: *new });
        }
        Ok(())
    }

    /// Every line with accesses, by number.
    fn all(&self) -> impl Iterator<Item = (u64, &Line)> {
        let mut pages: Vec<(u64, u32)> = self.index.iter().map(|(&n, &at)| (n, at)).collect();
        pages.sort_unstable();
        pages.into_iter().flat_map(move |(page, place)| {
            let lines = (page * LINES..).zip(&self.pages[place as usize].lines);
            lines.filter(|(_, line)| !line.entries.is_empty())
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
            for (number, line) in (page * LINES..).zip(page_lines) {
                if !line.entries.is_empty() {
                    footprint.lines.insert(number, line.entries.clone());
                }
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
    lines: ByNumber<Line>,
}

impl Unordered {
    /// All of it.
    pub fn into_footprint(self) -> Footprint {
        let entries = self.lines.into_iter().map(|(number, line)| (number, line.entries));
        Footprint { lines: entries.collect() }
    }

    /// Adds the accesses of one cluster, after those of clusters with smaller indices.
    pub fn add(&mut self, cluster: &Lines) -> Result<(), Conflict> {
        for (number, theirs) in cluster.all() {
            let line = self.lines.entry(number).or_default();
            for new in &theirs.entries {
                let mut once: u128 = 0;
                let mut twice: u128 = 0;
                for old in &line.entries {
                    let (a, b) = (&old.record, &new.record);
                    if a.key == b.key {
                        continue;
                    }
                    let both = old.bytes & new.bytes;
                    let conflict = match (a.write, b.write) {
                        (false, false) => 0,
                        (true, true) if both != 0 => line.differing(both, theirs.image.as_deref()),
                        // Who writes what is there already disturbs no reader.
                        _ if a.silent || b.silent => 0,
                        _ => both,
                    };
                    if conflict != 0 {
                        let address = number * LINE + u64::from(conflict.trailing_zeros());
                        return Err(Conflict { address, new: *b, old: *a });
                    }
                    if !a.write {
                        twice |= once & old.bytes;
                        once |= old.bytes;
                    }
                }
                // A later write conflicts with one of two readers, whoever writes.
                if new.record.write || new.bytes & !twice != 0 {
                    line.entries.push(*new);
                }
            }
            if let Some(image) = &theirs.image {
                line.write(image.known, Some(image));
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
            lines.touch(line, bytes, &record(number, write), None, |_| true).unwrap();
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
        assert_eq!(all.lines[&41].entries.len(), 2);
        let conflict = all.add(&cluster(9, &[(41, 0x10, true)])).unwrap_err();
        assert_eq!((conflict.address, conflict.old.key), (41 * 128 + 4, 0));
        let conflict = all.add(&cluster(10, &[(40, 0x8, false)])).unwrap_err();
        assert_eq!(conflict.old.key, 1);
    }

    #[test]
    fn many_readers_are_not_all_kept() {
        let mut lines = Lines::default();
        for reader in 0..100 {
            lines.touch(7, 0xf, &record(reader, false), None, |_| true).unwrap();
        }
        assert_eq!(lines.line(7).entries.len(), MANY);
        lines.touch(7, 0xf0, &record(100, false), None, |_| true).unwrap();
        assert_eq!(lines.line(7).entries.len(), MANY + 1);
        let (byte, _) = lines.touch(7, 0x80, &record(101, true), None, |_| false).unwrap_err();
        assert_eq!(byte, 7);
    }

    fn image(at: usize, values: &[u8]) -> Image {
        let mut image = Image::default();
        image.set(at, values);
        image
    }

    #[test]
    fn writes_of_the_same_do_not_conflict() {
        let write = |lines: &mut Lines, key, values: &[u8]| {
            let bytes = (1 << values.len()) - 1;
            lines.touch(7, bytes << 3, &record(key, true), Some(&image(3, values)), |_| false)
        };
        let mut lines = Lines::default();
        write(&mut lines, 0, &[5, 6, 7]).unwrap();
        write(&mut lines, 1, &[5, 6]).unwrap();
        assert_eq!(write(&mut lines, 2, &[5, 6, 8]).unwrap_err(), (5, record(0, true)));
        let (byte, old) = lines.touch(7, 1 << 4, &record(3, true), None, |_| false).unwrap_err();
        assert_eq!((byte, old.key), (4, 0), "a value that is not known");

        // Clusters: what each wrote last counts, whatever was there.
        let mut all = Unordered::default();
        for (key, values, same) in
            [(0, [1, 2, 3], true), (1, [1, 2, 3], true), (2, [1, 0, 3], false)]
        {
            let mut lines = Lines::default();
            write(&mut lines, key, &values).unwrap();
            let conflict = all.add(&lines).err().map(|conflict| conflict.address);
            assert_eq!(conflict, (!same).then_some(7 * LINE + 4));
        }
    }
}
