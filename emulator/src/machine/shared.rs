//! Shared memory of one CTA, and the addresses by which a cluster reaches it.
//!
//! A 32-bit shared address is `rank << 24 | offset`; the first KiB of every CTA's window is
//! reserved by the system, user data starts at [`FIRST_BYTE`].

use std::cell::RefCell;

use super::access::{Proxy, Who};
use super::bitmap::Bitmap;
use super::inflight::InFlight;
use super::races::Touch;
use super::shadow::SEVERAL_LANES;
use crate::error::{Fault, FaultKind};

/// Offset of the first byte a program owns.
pub const FIRST_BYTE: u32 = 0x400;
/// The most shared memory, static and dynamic together, that one CTA may have.
pub const LIMIT: u32 = 232_448;
/// Bits 24 and up of a shared address are the CTA's rank in its cluster.
pub const RANK_SHIFT: u32 = 24;

/// The CTA rank that a shared address names.
pub fn rank_of(address: u32) -> u32 {
    address >> RANK_SHIFT
}

/// The offset in that CTA's window.
pub fn offset_of(address: u32) -> u32 {
    address & ((1 << RANK_SHIFT) - 1)
}

/// The shared address of `offset` in the CTA of `rank`.
pub fn address_of(rank: u32, offset: u32) -> u32 {
    rank << RANK_SHIFT | offset
}

/// The bytes of one CTA.
#[derive(Debug)]
pub struct SharedMemory {
    rank: u32,
    bytes: Vec<u8>,
    written: Bitmap,
    /// One bit per 8 bytes: a live mbarrier lies there.
    barriers: Bitmap,
    /// One bit per 16 bytes: written through the generic proxy, no proxy fence since.
    unfenced: Bitmap,
    /// Cells of `unfenced` that may be set, so that a fence costs what was written.
    unfenced_cells: Vec<u32>,
    /// Asynchronous operations that still read or write here.
    pub in_flight: InFlight,
    /// What the current instruction touched through the generic proxy, where races are looked for.
    touches: Option<RefCell<Vec<Touch>>>,
}

impl SharedMemory {
    /// `size` uninitialised bytes from [`FIRST_BYTE`] on.
    pub fn new(rank: u32, size: u32) -> Self {
        let end = (FIRST_BYTE + size) as usize;
        SharedMemory {
            rank,
            bytes: vec![0; end],
            written: Bitmap::new(end),
            barriers: Bitmap::new(end.div_ceil(8)),
            unfenced: Bitmap::new(end.div_ceil(16)),
            unfenced_cells: vec![],
            in_flight: InFlight::default(),
            touches: None,
        }
    }

    /// Keeps a list of generic accesses from now on.
    pub(crate) fn log_touches(&mut self) {
        self.touches = Some(RefCell::default());
    }

    /// The list of generic accesses, which starts anew.
    pub(crate) fn take_touches(&mut self, into: &mut Vec<Touch>) {
        into.clear();
        if let Some(touches) = &mut self.touches {
            std::mem::swap(touches.get_mut(), into);
        }
    }

    /// Notes a generic access; neighbours, as the lanes of a warp make them, become one.
    #[inline]
    fn log(&self, start: u32, len: u32, (write, silent): (bool, bool), who: &Who) {
        let Some(touches) = &self.touches else { return };
        let lane = who.actor.lane.map_or(SEVERAL_LANES, |lane| lane as u8);
        let mut touches = touches.borrow_mut();
        if let Some(last) = touches.last_mut()
            && (last.write, last.silent) == (write, silent)
            && last.start + last.len == start
        {
            last.len += len;
            if last.lane != lane {
                last.lane = SEVERAL_LANES;
            }
        } else {
            touches.push(Touch { start, len, write, silent, lane });
        }
    }

    /// One past the last offset.
    pub fn end(&self) -> u32 {
        self.bytes.len() as u32
    }

    /// Reads `len` bytes: bounds, writtenness and work in flight are checked here.
    #[inline]
    pub fn load(&self, offset: u32, len: u32, who: &Who) -> Result<&[u8], Box<Fault>> {
        self.check_bounds(offset, len, who)?;
        let (start, n) = (offset as usize, len as usize);
        if !self.written.all(start, n) {
            return Err(self.never_written(offset, len, who));
        }
        match who.proxy {
            Proxy::Generic => {
                if self.in_flight.busy() {
                    self.in_flight.check(offset, len, false, who, self.rank)?;
                }
                self.log(offset, len, (false, false), who);
            }
            Proxy::CpAsync => {}
            Proxy::Async | Proxy::TensorCore => {
                if !self.unfenced_cells.is_empty()
                    && self.unfenced.any(start / 16, (start + n).div_ceil(16) - start / 16)
                {
                    return Err(self.missing_proxy_fence(offset, len, who));
                }
            }
        }
        Ok(&self.bytes[start..start + n])
    }

    /// Reads up to 8 bytes as a little-endian number.
    #[inline]
    pub fn load_scalar(&self, offset: u32, width: u32, who: &Who) -> Result<u64, Box<Fault>> {
        Ok(match *self.load(offset, width, who)? {
            [a] => a.into(),
            [a, b] => u16::from_le_bytes([a, b]).into(),
            [a, b, c, d] => u32::from_le_bytes([a, b, c, d]).into(),
            ref bytes => {
                let mut word = [0; 8];
                word[..bytes.len()].copy_from_slice(bytes);
                u64::from_le_bytes(word)
            }
        })
    }

    /// Writes bytes.
    #[inline]
    pub fn store(&mut self, offset: u32, data: &[u8], who: &Who) -> Result<(), Box<Fault>> {
        let len = data.len() as u32;
        self.check_bounds(offset, len, who)?;
        let (start, n) = (offset as usize, data.len());
        if n > 0 && self.barriers.any(start / 8, (start + n).div_ceil(8) - start / 8) {
            return Err(self.over_a_barrier(offset, len, who));
        }
        if matches!(who.proxy, Proxy::Generic | Proxy::CpAsync) {
            if who.proxy == Proxy::Generic && self.in_flight.busy() {
                self.in_flight.check(offset, len, true, who, self.rank)?;
            }
            if who.proxy == Proxy::Generic {
                let silent = self.touches.is_some()
                    && self.bytes[start..start + n] == *data
                    && self.written.all(start, n);
                self.log(offset, len, (true, silent), who);
            }
            let cells = start / 16..(start + n).div_ceil(16);
            for cell in cells {
                if !self.unfenced.any(cell, 1) {
                    self.unfenced.set(cell, 1);
                    self.unfenced_cells.push(cell as u32);
                }
            }
        } else if !self.unfenced_cells.is_empty() {
            // What an asynchronous write touches is no longer what the generic proxy left there.
            for cell in start / 16..(start + n).div_ceil(16) {
                self.unfenced.clear(cell, 1);
            }
        }
        self.bytes[start..start + n].copy_from_slice(data);
        self.written.set(start, n);
        Ok(())
    }

    /// Whether, of elements of `each` bytes that are about to be stored, some are there already and some
    /// are not, as far as anybody keeps a list.
    pub(crate) fn differs_in_part(&self, offset: u32, data: &[u8], each: usize) -> bool {
        let start = offset as usize;
        let Some(old) = self.bytes.get(start..start + data.len()) else { return false };
        if self.touches.is_none() {
            return false;
        }
        let pairs = old.chunks_exact(each).zip(data.chunks_exact(each));
        let equal = pairs.filter(|(old, new)| old == new).count();
        equal != 0 && (equal * each < data.len() || !self.written.all(start, data.len()))
    }

    /// A `fence.proxy.async` that covers shared memory: generic writes so far become visible to the
    /// async proxy and the tensor cores.
    pub fn proxy_fence(&mut self) {
        for cell in self.unfenced_cells.drain(..) {
            self.unfenced.clear(cell as usize, 1);
        }
    }

    /// Marks the 8 bytes at `offset` as a live mbarrier, or as plain bytes again. Either way their
    /// content is nobody's business.
    pub(crate) fn mark_barrier(&mut self, offset: u32, live: bool) {
        self.written.clear(offset as usize, 8);
        if live {
            self.barriers.set(offset as usize / 8, 1);
        } else {
            self.barriers.clear(offset as usize / 8, 1);
        }
    }

    /// Bounds of an access.
    #[inline]
    pub fn check_bounds(&self, offset: u32, len: u32, who: &Who) -> Result<(), Box<Fault>> {
        if offset < FIRST_BYTE || u64::from(offset) + u64::from(len) > self.bytes.len() as u64 {
            return Err(self.outside(offset, len, who));
        }
        Ok(())
    }

    #[cold]
    fn outside(&self, offset: u32, len: u32, who: &Who) -> Box<Fault> {
        let message = format!(
            "{len} bytes at shared offset {offset:#x} of the CTA of rank {}, whose shared memory is \
             {FIRST_BYTE:#x}..{:#x}",
            self.rank,
            self.bytes.len()
        );
        who.fault(FaultKind::OutOfBounds, address_of(self.rank, offset).into(), message)
    }

    #[cold]
    fn never_written(&self, offset: u32, len: u32, who: &Who) -> Box<Fault> {
        let (start, n) = (offset as usize, len as usize);
        let at = self.written.first_clear(start, n).unwrap_or(start);
        let what = if self.barriers.any(at / 8, 1) {
            "belongs to an mbarrier object, whose content is opaque"
        } else {
            "was never written"
        };
        let message = format!("shared byte {at:#x} (a read of {len} bytes at {offset:#x}) {what}");
        who.fault(FaultKind::UnwrittenRead, address_of(self.rank, at as u32).into(), message)
    }

    #[cold]
    fn missing_proxy_fence(&self, offset: u32, len: u32, who: &Who) -> Box<Fault> {
        let message = format!(
            "asynchronous read of {len} shared bytes at {offset:#x} that were stored through the \
             generic proxy; fence.proxy.async is missing between the two"
        );
        who.fault(FaultKind::Race, address_of(self.rank, offset).into(), message)
    }

    #[cold]
    fn over_a_barrier(&self, offset: u32, len: u32, who: &Who) -> Box<Fault> {
        let message = format!(
            "store of {len} bytes at shared {offset:#x} over a live mbarrier; mbarrier.inval first"
        );
        who.fault(FaultKind::BarrierMisuse, address_of(self.rank, offset).into(), message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Actor;

    #[test]
    fn bounds_unwritten_and_barriers() {
        let who = Who::generic(Actor::default());
        let mut shared = SharedMemory::new(2, 64);
        shared.store(0x404, &[1, 2, 3, 4], &who).unwrap();
        assert_eq!(shared.load_scalar(0x404, 4, &who).unwrap(), 0x0403_0201);
        let fault = shared.load_scalar(0x406, 4, &who).unwrap_err();
        assert_eq!(fault.kind, FaultKind::UnwrittenRead);
        assert_eq!(fault.address, Some(0x0200_0408));
        for (offset, len) in [(0x3fc, 4), (0x43e, 4), (0x440, 1), (0xffff_fffc, 8)] {
            assert_eq!(shared.load(offset, len, &who).unwrap_err().kind, FaultKind::OutOfBounds);
        }
        shared.mark_barrier(0x408, true);
        assert_eq!(shared.store(0x40c, &[0], &who).unwrap_err().kind, FaultKind::BarrierMisuse);
        shared.mark_barrier(0x408, false);
        shared.store(0x40c, &[0], &who).unwrap();
    }

    #[test]
    fn generic_stores_need_a_proxy_fence() {
        let generic = Who::generic(Actor::default());
        let asynchronous = Who::asynchronous(Actor::default());
        let mut shared = SharedMemory::new(0, 64);
        shared.store(0x410, &[7; 16], &generic).unwrap();
        assert_eq!(shared.load(0x410, 16, &asynchronous).unwrap_err().kind, FaultKind::Race);
        shared.proxy_fence();
        assert_eq!(shared.load(0x410, 16, &asynchronous).unwrap(), [7; 16]);
        shared.store(0x418, &[8; 8], &generic).unwrap();
        shared.store(0x410, &[9; 16], &asynchronous).unwrap();
        assert_eq!(shared.load(0x410, 16, &asynchronous).unwrap(), [9; 16]);
    }
}
