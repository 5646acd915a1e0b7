//! A warp's register file: 32 lanes wide, 32 bits a slot, and a note of which lanes wrote what.
//!
//! A 64-bit register occupies two neighbouring slots (low word first), `.b128` four. A 16- or 8-bit
//! register occupies one slot and lives in its low bits. Predicates have a file of their own, one
//! bit a lane.

use std::cell::Cell;
use std::collections::BTreeMap;

/// A lane mask: bit `l` is lane `l`.
pub type Lanes = u32;

/// The 32 lanes of one 32-bit slot.
pub type Lane32 = [u32; 32];

/// All registers of one warp.
#[derive(Debug, Clone)]
pub struct Registers {
    /// Values, by slot.
    pub words: Vec<Lane32>,
    /// Which lanes of a slot hold a value that the program wrote.
    pub written: Vec<Lanes>,
    /// Which lanes of a slot an unfinished asynchronous instruction will still write
    /// (`tcgen05.ld` before its `wait::ld`) or still reads or writes (`wgmma` before its wait).
    pub pending: Vec<Lanes>,
    /// The number of `wgmma.fence`s before the last write of a slot, plus one; zero for what a `wgmma`
    /// wrote itself.
    stamps: Vec<u32>,
    /// The number of `wgmma.fence`s so far, plus one.
    epoch: u32,
    /// Predicate values, by predicate index.
    pub preds: Vec<Lanes>,
    /// Which lanes of a predicate were written.
    pub preds_written: Vec<Lanes>,
    /// The line that computed a slot or (negative, from -1 down) a predicate from something that
    /// nobody wrote.
    derived: BTreeMap<i64, u32>,
    /// Predicates, with lanes, that say something of which the program knows only when it looks.
    watched: Vec<(u32, Lanes)>,
    /// Those of `watched`, one bit each, that were looked at.
    noticed: Cell<u64>,
}

/// What [`Registers::pretend_written`] has put aside.
#[derive(Debug)]
pub struct Pretence {
    written: Vec<Lanes>,
    stamps: Vec<u32>,
    preds_written: Vec<Lanes>,
}

impl Registers {
    /// A register file of `slots` 32-bit slots and `preds` predicates, nothing written.
    pub fn new(slots: usize, preds: usize) -> Self {
        Registers {
            words: vec![[0; 32]; slots],
            written: vec![0; slots],
            pending: vec![0; slots],
            stamps: vec![0; slots],
            epoch: 1,
            preds: vec![0; preds],
            preds_written: vec![0; preds],
            derived: BTreeMap::new(),
            watched: vec![],
            noticed: Cell::new(0),
        }
    }

    /// Lets every register be read, until [`Registers::forget_new`].
    pub fn pretend_written(&mut self, lanes: Lanes) -> Pretence {
        let written = self.written.iter().map(|mask| mask | lanes).collect();
        let preds = vec![lanes; self.preds_written.len()];
        Pretence {
            written: std::mem::replace(&mut self.written, written),
            stamps: std::mem::replace(&mut self.stamps, vec![u32::MAX; self.written.len()]),
            preds_written: std::mem::replace(&mut self.preds_written, preds),
        }
    }

    /// Ends the pretence, and makes the slots written since it began undefined in `lanes`.
    pub fn forget_new(&mut self, before: Pretence, lanes: Lanes, line: u32) {
        let marks = std::mem::replace(&mut self.stamps, before.stamps);
        self.written = before.written;
        self.preds_written = before.preds_written;
        for (slot, _) in marks.iter().enumerate().filter(|&(_, &mark)| mark != u32::MAX) {
            self.forget(slot, lanes, line);
        }
    }

    /// Makes `lanes` of a slot undefined.
    pub fn forget(&mut self, slot: usize, lanes: Lanes, line: u32) {
        if lanes != 0 {
            self.written[slot] &= !lanes;
            self.derived.insert(slot as i64, line);
        }
    }

    /// Makes `lanes` of a predicate undefined.
    pub fn forget_pred(&mut self, pred: usize, lanes: Lanes, line: u32) {
        if lanes != 0 {
            self.preds_written[pred] &= !lanes;
            self.derived.insert(-1 - pred as i64, line);
        }
    }

    /// The line that computed a slot from something undefined, if one did.
    pub fn derived(&self, slot: usize) -> Option<u32> {
        self.derived.get(&(slot as i64)).copied()
    }

    /// The same for a predicate.
    pub fn derived_pred(&self, pred: usize) -> Option<u32> {
        self.derived.get(&(-1 - pred as i64)).copied()
    }

    /// Stores `value` into the lanes of `lanes`; the others keep what they had.
    #[inline]
    pub fn set(&mut self, slot: usize, lanes: Lanes, value: &Lane32) {
        let word = &mut self.words[slot];
        if lanes == u32::MAX {
            *word = *value;
        } else {
            for lane in 0..32 {
                if lanes >> lane & 1 == 1 {
                    word[lane] = value[lane];
                }
            }
        }
        self.mark(slot, lanes);
    }

    /// Notes that the program wrote the lanes of `lanes`, whose values are in place.
    #[inline]
    pub fn mark(&mut self, slot: usize, lanes: Lanes) {
        self.written[slot] |= lanes;
        self.stamps[slot] = self.epoch;
    }

    /// `wgmma.fence`: what was written so far may be an operand of a `wgmma`.
    pub fn fence(&mut self) {
        self.epoch += 1;
    }

    /// Notes that a `wgmma` wrote a slot.
    pub fn fenced(&mut self, slot: usize) {
        self.stamps[slot] = 0;
    }

    /// Whether a `wgmma.fence` is missing before a `wgmma` that uses this slot.
    #[inline]
    pub fn lacks_fence(&self, slot: usize) -> bool {
        self.epoch == 1 || self.stamps[slot] == self.epoch
    }

    /// The lanes of `lanes` that nobody wrote in `slot`.
    #[inline]
    pub fn unwritten(&self, slot: usize, lanes: Lanes) -> Lanes {
        lanes & !self.written[slot]
    }

    /// Stores `value`'s bits into the lanes of `lanes` of a predicate.
    #[inline]
    pub fn set_pred(&mut self, pred: usize, lanes: Lanes, value: Lanes) {
        self.preds[pred] = self.preds[pred] & !lanes | value & lanes;
        self.preds_written[pred] |= lanes;
        if !self.watched.is_empty() {
            self.overwritten(pred, lanes);
        }
    }

    #[cold]
    fn overwritten(&mut self, pred: usize, lanes: Lanes) {
        for (_, watched) in self.watched.iter_mut().filter(|(p, _)| *p as usize == pred) {
            *watched &= !lanes;
        }
    }

    /// From now on, notes when lanes of a predicate are read before they are written again.
    pub fn watch(&mut self, pred: u32, lanes: Lanes) {
        self.watched.push((pred, lanes));
    }

    /// A predicate is read.
    #[inline]
    pub fn looked_at(&self, pred: u32, lanes: Lanes) {
        if !self.watched.is_empty() {
            self.notice(pred, lanes);
        }
    }

    #[cold]
    fn notice(&self, pred: u32, lanes: Lanes) {
        for (at, (watched, of)) in self.watched.iter().enumerate() {
            if *watched == pred && of & lanes != 0 {
                self.noticed.set(self.noticed.get() | 1 << at.min(63));
            }
        }
    }

    /// Whether something that was watched has been looked at, or so much is watched that it must end.
    #[inline]
    pub fn has_noticed(&self) -> bool {
        self.noticed.get() != 0 || self.watched.len() > 32
    }

    /// Ends the watch over what was looked at, overwritten, or has waited longest if there is much:
    /// for each, in the order of the calls of [`Registers::watch`] since it ended for them, whether it
    /// goes on, and whether the program knows.
    pub fn take_noticed(&mut self) -> Vec<(bool, bool)> {
        let noticed = self.noticed.take();
        let many = self.watched.len() > 32;
        let fates: Vec<(bool, bool)> = (self.watched.iter().enumerate())
            .map(|(at, (_, lanes))| {
                let known = noticed >> at.min(63) & 1 == 1 || many && *lanes != 0;
                (!known && *lanes != 0, known)
            })
            .collect();
        let mut on = fates.iter().map(|(on, _)| *on);
        self.watched.retain(|_| on.next().unwrap_or(false));
        fates
    }
}
