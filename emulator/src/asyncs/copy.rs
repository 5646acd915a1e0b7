//! Bulk and tensor copies: many parts, each of which lands by itself, in any order.

use rand::Rng;

use super::Progress;
use crate::decode::op::BulkReduce;
use crate::error::{Actor, Fault};
use crate::exec::atomic;
use crate::machine::access::Who;
use crate::machine::cluster::{Env, Space};
use crate::machine::inflight::Ticket;
use crate::machine::shared::SharedMemory;
use crate::numeric::{Rounding, f32_to_tf32};
use crate::tensor::swizzle::Swizzle;

/// Where bytes come from or go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Global memory.
    Global(u64),
    /// Shared memory of a CTA, before swizzling.
    Shared {
        /// CTA rank.
        rank: u32,
        /// Offset.
        offset: u32,
    },
    /// No source: these bytes, repeated.
    Fill([u8; 8]),
}

/// Bytes that land together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Source.
    pub from: Place,
    /// Destination.
    pub to: Place,
    /// Bytes, at most [`CopyJob::MAX_PART`].
    pub len: u32,
}

/// The mbarrier that counts the bytes of a copy.
#[derive(Debug, Clone, Copy)]
pub struct Signal {
    /// CTA rank and offset of the barrier.
    pub barrier: (u32, u32),
    /// Bytes to count in all.
    pub total: u32,
    /// Bytes counted so far.
    pub sent: u32,
}

/// A copy under way.
#[derive(Debug)]
pub struct CopyJob {
    /// Parts that have not been read.
    pub parts: Vec<Part>,
    /// Parts that have been read and not been written, with their bytes.
    pub staged: Vec<(Part, Vec<u8>)>,
    /// Whether reads and writes happen apart, as they do where the source is shared memory.
    pub two_steps: bool,
    /// Swizzle of the shared side.
    pub swizzle: Swizzle,
    /// Reduction at the destination.
    pub reduce: Option<BulkReduce>,
    /// Which bytes of each 16 are written.
    pub byte_mask: Option<u16>,
    /// The barrier.
    pub signal: Option<Signal>,
    /// Bytes of all parts.
    pub bytes: u32,
    /// Bytes that have landed.
    pub landed: u32,
    /// CTAs whose in-flight notes end with this copy.
    pub noted: Vec<u32>,
    /// Whether what is read becomes tf32, as loads by maps of that type do.
    pub to_tf32: bool,
}

impl CopyJob {
    /// The longest part.
    pub const MAX_PART: u32 = 2048;

    /// A copy of these parts.
    pub fn new(parts: Vec<Part>, swizzle: Swizzle, signal: Option<Signal>) -> Self {
        let bytes = parts.iter().map(|p| p.len).sum();
        CopyJob {
            parts,
            staged: vec![],
            two_steps: false,
            swizzle,
            reduce: None,
            byte_mask: None,
            signal,
            bytes,
            landed: 0,
            noted: vec![],
            to_tf32: false,
        }
    }

    /// What a part in shared memory holds now; `None` if nobody wrote it.
    pub fn source(&self, part: &Part, shared: &SharedMemory) -> Option<Vec<u8>> {
        let Place::Shared { offset, .. } = part.from else { return None };
        let who = Who::asynchronous(Actor::default());
        let mut bytes = vec![0; part.len as usize];
        for (at, start, len) in self.chunks(offset, part.len) {
            let from = shared.load(at, len, &who).ok()?;
            bytes[start..start + len as usize].copy_from_slice(from);
        }
        Some(bytes)
    }

    /// The ranges of a part that are written: all of it, unless there is a byte mask.
    pub fn masked(&self, len: u32) -> Vec<(u32, u32)> {
        let Some(mask) = self.byte_mask else { return vec![(0, len)] };
        let mut ranges: Vec<(u32, u32)> = vec![];
        for at in (0..len).filter(|at| mask >> (at % 16) & 1 == 1) {
            match ranges.last_mut() {
                Some((start, n)) if *start + *n == at => *n += 1,
                _ => ranges.push((at, 1)),
            }
        }
        ranges
    }

    /// Lands, or reads, or writes, a random number of parts.
    pub(super) fn step(
        &mut self,
        space: &mut Space,
        env: &Env<'_>,
        ticket: Ticket,
        who: &Who,
    ) -> Result<Progress, Box<Fault>> {
        if self.two_steps && !self.parts.is_empty() {
            for _ in 0..some_of(self.parts.len(), space) {
                let part = take(&mut self.parts, space);
                let mut bytes = vec![0; part.len as usize];
                self.read(part, &mut bytes, space, env, who)?;
                self.staged.push((part, bytes));
            }
            if !self.parts.is_empty() {
                return Ok(Progress::Partly);
            }
            // Sources in shared memory are free again; a destination there is not.
            if self.signal.is_none() {
                self.end_notes(space, ticket);
            }
            return Ok(Progress::ReadsDone);
        }
        let mut landed = 0;
        if self.two_steps {
            for _ in 0..some_of(self.staged.len(), space) {
                let index = space.rng.random_range(0..self.staged.len());
                let (part, mut bytes) = self.staged.swap_remove(index);
                self.write(part, &mut bytes, space, env, who)?;
                landed += part.len;
            }
        } else {
            let mut bytes = std::mem::take(&mut space.scratch);
            for _ in 0..some_of(self.parts.len(), space) {
                let part = take(&mut self.parts, space);
                bytes.resize(part.len as usize, 0);
                self.read(part, &mut bytes, space, env, who)?;
                self.write(part, &mut bytes, space, env, who)?;
                landed += part.len;
            }
            space.scratch = bytes;
        }
        self.landed += landed;
        space.stats.copied_bytes += u64::from(landed);
        let over = self.parts.is_empty() && self.staged.is_empty();
        if over {
            self.end_notes(space, ticket);
        }
        self.count(over, space, who)?;
        Ok(if over { Progress::Done } else { Progress::Partly })
    }

    /// Tells the barrier about what has landed.
    fn count(&mut self, over: bool, space: &mut Space, who: &Who) -> Result<(), Box<Fault>> {
        let Some(signal) = &mut self.signal else { return Ok(()) };
        let due = if over {
            signal.total
        } else {
            (u64::from(signal.total) * u64::from(self.landed) / u64::from(self.bytes)) as u32
        };
        let bytes = due - signal.sent;
        signal.sent = due;
        if bytes == 0 {
            return Ok(());
        }
        space.complete_tx(signal.barrier, bytes, who)
    }

    fn end_notes(&mut self, space: &mut Space, ticket: Ticket) {
        for rank in self.noted.drain(..) {
            space.ctas[rank as usize].shared.in_flight.end(ticket);
        }
    }

    fn read(
        &self,
        part: Part,
        bytes: &mut [u8],
        space: &mut Space,
        env: &Env<'_>,
        who: &Who,
    ) -> Result<(), Box<Fault>> {
        match part.from {
            Place::Global(address) => {
                env.global.load(address, bytes, who)?;
                if self.to_tf32 {
                    for word in bytes.as_chunks_mut::<4>().0 {
                        let x = f32::from_bits(u32::from_le_bytes(*word));
                        *word = f32_to_tf32(x, Rounding::Rn).to_le_bytes();
                    }
                }
                Ok(())
            }
            Place::Fill(pattern) => {
                bytes.iter_mut().enumerate().for_each(|(i, b)| *b = pattern[i % 8]);
                Ok(())
            }
            Place::Shared { rank, offset } => {
                let cta = space.cta(rank, offset.into(), who)?;
                for (at, start, len) in self.chunks(offset, part.len) {
                    let source = cta.shared.load(at, len, who)?;
                    bytes[start..start + len as usize].copy_from_slice(source);
                }
                Ok(())
            }
        }
    }

    fn write(
        &self,
        part: Part,
        bytes: &mut [u8],
        space: &mut Space,
        env: &Env<'_>,
        who: &Who,
    ) -> Result<(), Box<Fault>> {
        if let Some(reduce) = self.reduce {
            return self.reduce(part, bytes, reduce, space, env, who);
        }
        match part.to {
            Place::Global(address) => match self.byte_mask {
                None => {
                    env.global.store(address, bytes, who)?;
                    Ok(())
                }
                Some(mask) => {
                    for (i, byte) in bytes.iter().enumerate() {
                        if mask >> (i % 16) & 1 == 1 {
                            env.global.store(address + i as u64, &[*byte], who)?;
                        }
                    }
                    Ok(())
                }
            },
            Place::Shared { rank, offset } => {
                let cta = space.cta(rank, offset.into(), who)?;
                for (at, start, len) in self.chunks(offset, part.len) {
                    cta.shared.store(at, &bytes[start..start + len as usize], who)?;
                }
                Ok(())
            }
            Place::Fill(_) => Ok(()),
        }
    }

    fn reduce(
        &self,
        part: Part,
        bytes: &[u8],
        reduce: BulkReduce,
        space: &mut Space,
        env: &Env<'_>,
        who: &Who,
    ) -> Result<(), Box<Fault>> {
        let width = reduce.ty.width().bytes() as usize;
        for (i, element) in bytes.chunks_exact(width).enumerate() {
            let mut word = [0; 8];
            word[..width].copy_from_slice(element);
            let operand = u64::from_le_bytes(word);
            let change = |old| atomic::reduce(reduce.kind, reduce.ty, old, operand);
            let at = (i * width) as u32;
            match part.to {
                Place::Global(address) => {
                    env.global.update(address + u64::from(at), width, who, change)?;
                }
                Place::Shared { rank, offset } => {
                    let cta = space.cta(rank, offset.into(), who)?;
                    let old = cta.shared.load_scalar(offset + at, width as u32, who)?;
                    let new = change(old).to_le_bytes();
                    cta.shared.store(offset + at, &new[..width], who)?;
                }
                Place::Fill(_) => {}
            }
        }
        Ok(())
    }

    /// Cuts a range of shared memory into pieces that swizzling moves as wholes: (offset, position
    /// in the part, length).
    fn chunks(&self, offset: u32, len: u32) -> impl Iterator<Item = (u32, usize, u32)> + use<> {
        let swizzle = self.swizzle;
        let whole = swizzle == Swizzle::None;
        let mut done = 0;
        std::iter::from_fn(move || {
            if done >= len {
                return None;
            }
            let at = offset + done;
            let piece = if whole { len } else { (16 - at % 16).min(len - done) };
            let start = done as usize;
            done += piece;
            Some((if whole { at } else { swizzle.apply(at) }, start, piece))
        })
    }
}

/// How many of `n` things to do in this step: one to all, few steps on average.
fn some_of(n: usize, space: &mut Space) -> usize {
    if n <= 1 { n } else { space.rng.random_range(1..=n) }
}

fn take(parts: &mut Vec<Part>, space: &mut Space) -> Part {
    let index = space.rng.random_range(0..parts.len());
    parts.swap_remove(index)
}
