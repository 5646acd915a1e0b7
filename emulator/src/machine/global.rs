//! Global memory: named buffers with guard gaps between them, shared by every cluster of a launch.
//!
//! Words are atomics with relaxed order, so clusters may run on several host threads; a program
//! whose CTAs communicate is run on one thread (see [`crate::run`]), so the order that its fences
//! ask for is the order in which its instructions run.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::access::Who;
use super::bitmap;
use super::warp::each;
use crate::error::{Fault, FaultKind};

/// Where device buffers start: high, so that a small number taken for an address never hits.
const FIRST_ADDRESS: u64 = 0x7f20_0000_0000;
/// The least distance between two buffers.
const GUARD: u64 = 0x10_0000;

/// One allocation.
#[derive(Debug)]
struct Buffer {
    name: String,
    address: u64,
    bytes: usize,
    read_only: bool,
    words: Box<[AtomicU64]>,
    /// One bit a byte.
    written: Box<[AtomicU64]>,
}

/// All buffers, in address order.
#[derive(Debug, Default)]
pub struct GlobalMemory {
    buffers: Vec<Buffer>,
}

/// The answer of [`GlobalMemory::read_back`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadBack {
    /// Content; a byte that nobody wrote is 0.
    pub bytes: Vec<u8>,
    /// Ranges (start, length) that nobody wrote.
    pub unwritten: Vec<(usize, usize)>,
}

impl GlobalMemory {
    /// Memory without buffers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an uninitialised buffer and returns its device address. `align` is a power of two; the
    /// address is at least 256-aligned, as a driver's would be.
    pub fn allocate(&mut self, name: &str, bytes: usize, align: u64) -> u64 {
        let align = align.max(256).next_power_of_two();
        let free = match self.buffers.last() {
            Some(last) => last.address + last.bytes as u64 + GUARD,
            None => FIRST_ADDRESS,
        };
        // Odd multiples of the alignment: code that needs more alignment than it asked for shows.
        let address = (free.div_ceil(align) | 1) * align;
        let zeros = |n: usize| (0..n).map(|_| AtomicU64::new(0)).collect();
        self.buffers.push(Buffer {
            name: name.to_owned(),
            address,
            bytes,
            read_only: false,
            words: zeros(bytes.div_ceil(8)),
            written: zeros(bytes.div_ceil(64)),
        });
        address
    }

    /// Makes stores of the program to the buffer at `address` a fault (`.const` data).
    pub fn protect(&mut self, address: u64) {
        if let Some(buffer) = self.buffers.iter_mut().find(|b| b.address == address) {
            buffer.read_only = true;
        }
    }

    /// Host-side store. `false` when the range is not inside one buffer.
    pub fn upload(&self, address: u64, data: &[u8]) -> bool {
        match self.find(address, data.len()) {
            Some((buffer, offset)) => {
                buffer.put(offset, data);
                true
            }
            None => false,
        }
    }

    /// Host-side read of a whole range, with a note of what was never written.
    pub fn read_back(&self, address: u64, len: usize) -> Option<ReadBack> {
        let (buffer, offset) = self.find(address, len)?;
        let mut bytes = vec![0; len];
        buffer.get(offset, &mut bytes);
        let mut unwritten: Vec<(usize, usize)> = vec![];
        for (at, byte) in bytes.iter_mut().enumerate() {
            if !buffer.is_written(offset + at, 1) {
                *byte = 0;
                match unwritten.last_mut() {
                    Some((start, n)) if *start + *n == at => *n += 1,
                    _ => unwritten.push((at, 1)),
                }
            }
        }
        Some(ReadBack { bytes, unwritten })
    }

    /// Loads `out.len()` bytes. Checks bounds and that every byte was written; alignment is the
    /// caller's, who knows the instruction's rule.
    pub fn load(&self, address: u64, out: &mut [u8], who: &Who) -> Result<(), Box<Fault>> {
        let (buffer, offset) = self.locate(address, out.len(), "read", who)?;
        buffer.check_written(offset, out.len(), address, who)?;
        buffer.get(offset, out);
        Ok(())
    }

    /// Loads one naturally aligned value of 1, 2, 4 or 8 bytes.
    #[inline]
    pub fn load_scalar(&self, address: u64, width: usize, who: &Who) -> Result<u64, Box<Fault>> {
        let (buffer, offset) = self.locate(address, width, "read", who)?;
        let bits = bitmap::mask(offset % 64, width);
        if buffer.written[offset / 64].load(Relaxed) & bits != bits {
            buffer.check_written(offset, width, address, who)?;
        }
        let word = buffer.words[offset / 8].load(Relaxed) >> (offset % 8 * 8);
        Ok(if width == 8 { word } else { word & ((1 << (width * 8)) - 1) })
    }

    /// Stores bytes; whether that changed anything.
    pub fn store(&self, address: u64, data: &[u8], who: &Who) -> Result<bool, Box<Fault>> {
        let (buffer, offset) = self.locate(address, data.len(), "write", who)?;
        buffer.check_writable(address, who)?;
        Ok(buffer.put(offset, data))
    }

    /// `discard`: what the bytes hold is nobody's business any more.
    pub fn discard(&self, address: u64, len: usize, who: &Who) -> Result<(), Box<Fault>> {
        let (buffer, offset) = self.locate(address, len, "discard", who)?;
        buffer.check_writable(address, who)?;
        bitmap::pieces(offset, len, |word, mask| {
            buffer.written[word].fetch_and(!mask, Relaxed);
        });
        Ok(())
    }

    /// Whether these bytes are there already.
    pub fn holds(&self, address: u64, data: &[u8]) -> bool {
        let Some((buffer, offset)) = self.find(address, data.len()) else { return false };
        let mut bytes = vec![0; data.len()];
        buffer.get(offset, &mut bytes);
        bytes == data && buffer.is_written(offset, data.len())
    }

    /// Stores one naturally aligned value of 1, 2, 4 or 8 bytes; whether that changed anything.
    #[inline]
    pub fn store_scalar(
        &self,
        address: u64,
        width: usize,
        value: u64,
        who: &Who,
    ) -> Result<bool, Box<Fault>> {
        let (buffer, offset) = self.locate(address, width, "write", who)?;
        buffer.check_writable(address, who)?;
        Ok(buffer.put_scalar(offset, width, value))
    }

    /// Loads one naturally aligned value of 1, 2, 4 or 8 bytes for each lane of `lanes`.
    pub fn load_lanes(
        &self,
        addresses: &[u64; 32],
        lanes: u32,
        width: usize,
        who: &Who,
        out: &mut [u64; 32],
    ) -> Result<(), Box<Fault>> {
        let keep = bitmap::mask(0, width * 8);
        let mut near: Option<&Buffer> = None;
        for lane in each(lanes) {
            let address = addresses[lane as usize];
            let buffer = match near.filter(|b| b.holds(address, width)) {
                Some(buffer) => buffer,
                None => self.locate(address, width, "read", &who.lane(lane))?.0,
            };
            near = Some(buffer);
            let offset = (address - buffer.address) as usize;
            let bits = bitmap::mask(offset % 64, width);
            if buffer.written[offset / 64].load(Relaxed) & bits != bits {
                buffer.check_written(offset, width, address, &who.lane(lane))?;
            }
            out[lane as usize] = buffer.words[offset / 8].load(Relaxed) >> (offset % 8 * 8) & keep;
        }
        Ok(())
    }

    /// Stores one naturally aligned value of 1, 2, 4 or 8 bytes for each lane of `lanes`. The lanes
    /// whose value was there already are the answer.
    pub fn store_lanes(
        &self,
        addresses: &[u64; 32],
        lanes: u32,
        width: usize,
        who: &Who,
        values: &[u64; 32],
    ) -> Result<u32, Box<Fault>> {
        let mut silent = 0;
        let mut near: Option<&Buffer> = None;
        for lane in each(lanes) {
            let address = addresses[lane as usize];
            let buffer = match near.filter(|b| b.holds(address, width)) {
                Some(buffer) => buffer,
                None => {
                    let who = who.lane(lane);
                    let (buffer, _) = self.locate(address, width, "write", &who)?;
                    buffer.check_writable(address, &who)?;
                    buffer
                }
            };
            near = Some(buffer);
            let offset = (address - buffer.address) as usize;
            let changed = buffer.put_scalar(offset, width, values[lane as usize]);
            silent |= u32::from(!changed) << lane;
        }
        Ok(silent)
    }

    /// Atomically replaces a naturally aligned value of 2, 4 or 8 bytes by `change(old)`; returns
    /// the old one.
    pub fn update(
        &self,
        address: u64,
        width: usize,
        who: &Who,
        change: impl Fn(u64) -> u64,
    ) -> Result<u64, Box<Fault>> {
        let (buffer, offset) = self.locate(address, width, "atomically change", who)?;
        buffer.check_written(offset, width, address, who)?;
        buffer.check_writable(address, who)?;
        let shift = offset % 8 * 8;
        let mask = bitmap::mask(0, width * 8);
        let old = buffer.words[offset / 8]
            .fetch_update(Relaxed, Relaxed, |word| {
                Some(word & !(mask << shift) | (change(word >> shift & mask) & mask) << shift)
            })
            .unwrap_or_else(|word| word);
        Ok(old >> shift & mask)
    }

    /// A byte, by its buffer.
    pub fn describe(&self, address: u64) -> String {
        match self.find(address, 1) {
            Some((buffer, offset)) => format!("byte {offset} of buffer '{}'", buffer.name),
            None => format!("the byte at {address:#x}"),
        }
    }

    /// Whether `address` lies in a buffer.
    pub fn contains(&self, address: u64) -> bool {
        self.find(address, 1).is_some()
    }

    fn find(&self, address: u64, len: usize) -> Option<(&Buffer, usize)> {
        let index = self.buffers.partition_point(|b| b.address <= address).checked_sub(1)?;
        let buffer = &self.buffers[index];
        let offset = (address - buffer.address) as usize;
        (offset <= buffer.bytes && len <= buffer.bytes - offset).then_some((buffer, offset))
    }

    #[inline]
    fn locate(
        &self,
        address: u64,
        len: usize,
        verb: &str,
        who: &Who,
    ) -> Result<(&Buffer, usize), Box<Fault>> {
        match self.find(address, len) {
            Some(found) => Ok(found),
            None => Err(self.outside(address, len, verb, who)),
        }
    }

    #[cold]
    fn outside(&self, address: u64, len: usize, verb: &str, who: &Who) -> Box<Fault> {
        let below = self.buffers.iter().rev().find(|b| b.address <= address);
        let place = match below {
            Some(b) => format!(
                "{} bytes past the start of buffer '{}', which has {}",
                address - b.address,
                b.name,
                b.bytes
            ),
            None => "below every buffer".to_owned(),
        };
        let message =
            format!("cannot {verb} {len} bytes of global memory at {address:#x}: {place}");
        who.fault(FaultKind::OutOfBounds, address, message)
    }
}

impl Buffer {
    #[inline]
    fn holds(&self, address: u64, len: usize) -> bool {
        let offset = address.wrapping_sub(self.address);
        offset < self.bytes as u64 && len as u64 <= self.bytes as u64 - offset
    }

    fn get(&self, offset: usize, out: &mut [u8]) {
        if offset.is_multiple_of(8) {
            for (i, chunk) in out.chunks_mut(8).enumerate() {
                let word = self.words[offset / 8 + i].load(Relaxed).to_le_bytes();
                chunk.copy_from_slice(&word[..chunk.len()]);
            }
        } else {
            for (i, byte) in out.iter_mut().enumerate() {
                let at = offset + i;
                *byte = (self.words[at / 8].load(Relaxed) >> (at % 8 * 8)) as u8;
            }
        }
    }

    fn put(&self, offset: usize, data: &[u8]) -> bool {
        let mut changed = false;
        let mut at = offset;
        let mut rest = data;
        while !rest.is_empty() {
            let take = (8 - at % 8).min(rest.len());
            let (head, tail) = rest.split_at(take);
            let mut bytes = [0; 8];
            bytes[..take].copy_from_slice(head);
            changed |= self.merge(at, take, u64::from_le_bytes(bytes));
            at += take;
            rest = tail;
        }
        bitmap::pieces(offset, data.len(), |word, mask| {
            changed |= self.written[word].fetch_or(mask, Relaxed) & mask != mask;
        });
        changed
    }

    fn put_scalar(&self, offset: usize, width: usize, value: u64) -> bool {
        let changed = self.merge(offset, width, value);
        let bits = bitmap::mask(offset % 64, width);
        if self.written[offset / 64].load(Relaxed) & bits != bits {
            self.written[offset / 64].fetch_or(bits, Relaxed);
            return true;
        }
        changed
    }

    /// Replaces `width` bytes that lie inside one word. Neighbouring bytes may belong to another
    /// CTA, so this must not lose their stores. Whether the bytes were others before.
    #[inline]
    fn merge(&self, offset: usize, width: usize, value: u64) -> bool {
        let word = &self.words[offset / 8];
        if width == 8 {
            let old = word.load(Relaxed);
            word.store(value, Relaxed);
            return old != value;
        }
        let shift = offset % 8 * 8;
        let mask = bitmap::mask(0, width * 8) << shift;
        let value = value << shift & mask;
        match word.fetch_update(Relaxed, Relaxed, |old| Some(old & !mask | value)) {
            Ok(old) | Err(old) => old & mask != value,
        }
    }

    fn is_written(&self, offset: usize, len: usize) -> bool {
        let mut all = true;
        bitmap::pieces(offset, len, |word, mask| {
            all &= self.written[word].load(Relaxed) & mask == mask;
        });
        all
    }

    fn check_written(
        &self,
        offset: usize,
        len: usize,
        address: u64,
        who: &Who,
    ) -> Result<(), Box<Fault>> {
        if self.is_written(offset, len) {
            return Ok(());
        }
        let first = (offset..offset + len).find(|&at| !self.is_written(at, 1)).unwrap_or(offset);
        let message = format!(
            "byte {first} of buffer '{}' (a read of {len} bytes) was never written",
            self.name
        );
        Err(who.fault(FaultKind::UnwrittenRead, address + (first - offset) as u64, message))
    }

    fn check_writable(&self, address: u64, who: &Who) -> Result<(), Box<Fault>> {
        if self.read_only {
            let message = format!("store to constant data '{}'", self.name);
            return Err(who.fault(FaultKind::OutOfBounds, address, message));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Actor;

    fn who() -> Who {
        Who::generic(Actor::default())
    }

    #[test]
    fn bytes_come_back_and_gaps_fault() {
        let mut memory = GlobalMemory::new();
        let a = memory.allocate("a", 20, 16);
        let b = memory.allocate("b", 8, 1024);
        assert_eq!(b % 1024, 0);
        assert!(memory.upload(a, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]));
        let mut out = [0; 5];
        memory.load(a + 3, &mut out, &who()).unwrap();
        assert_eq!(out, [4, 5, 6, 7, 8]);
        assert_eq!(memory.load_scalar(a + 4, 4, &who()).unwrap(), 0x0807_0605);
        let fault = memory.load_scalar(a + 8, 4, &who()).unwrap_err();
        assert_eq!((fault.kind, fault.address), (FaultKind::UnwrittenRead, Some(a + 10)));
        let fault = memory.load_scalar(a + 20, 1, &who()).unwrap_err();
        assert_eq!(fault.kind, FaultKind::OutOfBounds);
        assert!(fault.message.contains("buffer 'a'"), "{}", fault.message);
        assert!(memory.load_scalar(a + 18, 4, &who()).is_err());
        assert!(memory.load_scalar(16, 4, &who()).unwrap_err().message.contains("below"));
        memory.store_scalar(a + 18, 2, 0xbeef, &who()).unwrap();
        let back = memory.read_back(a, 20).unwrap();
        assert_eq!(back.bytes[18..], [0xef, 0xbe]);
        assert_eq!(back.unwritten, [(10, 8)]);
    }

    #[test]
    fn atomics_return_the_old_value() {
        let mut memory = GlobalMemory::new();
        let a = memory.allocate("a", 16, 16);
        memory.upload(a, &[0xff; 16]);
        assert_eq!(memory.update(a + 2, 2, &who(), |x| x + 1).unwrap(), 0xffff);
        assert_eq!(memory.load_scalar(a, 8, &who()).unwrap(), 0xffff_ffff_0000_ffff);
        memory.protect(a);
        assert!(memory.store(a, &[0], &who()).is_err());
    }
}
