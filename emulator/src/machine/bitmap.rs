//! Which bytes of a memory hold a value: one bit a byte.

/// A bit per byte, in 64-bit words.
#[derive(Debug, Clone)]
pub struct Bitmap {
    words: Vec<u64>,
}

impl Bitmap {
    /// A map of `bits` bits, all clear.
    pub fn new(bits: usize) -> Self {
        Bitmap { words: vec![0; bits.div_ceil(64)] }
    }

    /// Sets `len` bits from `start`.
    #[inline]
    pub fn set(&mut self, start: usize, len: usize) {
        if start % 64 + len <= 64 {
            self.words[start / 64] |= mask(start % 64, len);
        } else {
            pieces(start, len, |word, mask| self.words[word] |= mask);
        }
    }

    /// Clears `len` bits from `start`.
    pub fn clear(&mut self, start: usize, len: usize) {
        pieces(start, len, |word, mask| self.words[word] &= !mask);
    }

    /// Whether all `len` bits from `start` are set.
    #[inline]
    pub fn all(&self, start: usize, len: usize) -> bool {
        if start % 64 + len <= 64 {
            let mask = mask(start % 64, len);
            return self.words[start / 64] & mask == mask;
        }
        self.first_clear(start, len).is_none()
    }

    /// Whether any of `len` bits from `start` is set.
    #[inline]
    pub fn any(&self, start: usize, len: usize) -> bool {
        if start % 64 + len <= 64 {
            return self.words[start / 64] & mask(start % 64, len) != 0;
        }
        let mut found = false;
        pieces(start, len, |word, mask| found |= self.words[word] & mask != 0);
        found
    }

    /// The first clear bit among `len` bits from `start`.
    pub fn first_clear(&self, start: usize, len: usize) -> Option<usize> {
        let mut found = None;
        pieces(start, len, |word, mask| {
            let missing = !self.words[word] & mask;
            if found.is_none() && missing != 0 {
                found = Some(word * 64 + missing.trailing_zeros() as usize);
            }
        });
        found
    }
}

/// `len` ones from bit `start` of one word (`start + len <= 64`).
#[inline]
pub(crate) fn mask(start: usize, len: usize) -> u64 {
    if len == 0 { 0 } else { (u64::MAX >> (64 - len)) << start }
}

/// Cuts a bit range into (word index, mask) parts.
#[inline]
pub(crate) fn pieces(start: usize, len: usize, mut part: impl FnMut(usize, u64)) {
    let (mut at, end) = (start, start + len);
    while at < end {
        let take = (64 - at % 64).min(end - at);
        part(at / 64, mask(at % 64, take));
        at += take;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_across_words() {
        let mut map = Bitmap::new(256);
        map.set(60, 80);
        assert!(map.all(60, 80));
        assert!(!map.all(59, 3));
        assert_eq!(map.first_clear(60, 100), Some(140));
        map.clear(100, 1);
        assert_eq!(map.first_clear(60, 80), Some(100));
        assert!(map.any(0, 61));
        assert!(!map.any(0, 60));
    }
}
