//! Where a role stands in the ring of stages.

/// A position in a ring of `STAGES` stages: which stage, and how often the ring went round, modulo
/// two. Every role that walks the ring has one of its own and advances it once per K tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingPosition<const STAGES: u32> {
    stage: u32,
    phase: u32,
}

impl<const STAGES: u32> RingPosition<STAGES> {
    /// The start: stage 0, first round.
    #[inline(always)]
    pub const fn start() -> Self {
        RingPosition { stage: 0, phase: 0 }
    }

    /// The stage to use now.
    #[inline(always)]
    pub const fn stage(self) -> u32 {
        self.stage
    }

    /// The stage before this one.
    #[inline(always)]
    pub const fn previous(self) -> u32 {
        if self.stage == 0 { STAGES - 1 } else { self.stage - 1 }
    }

    /// The parity that a consumer waits for: its stage has been filled in this round.
    #[inline(always)]
    pub const fn filled(self) -> u32 {
        self.phase
    }

    /// The parity that a producer waits for: its stage was freed in the round before. In the first
    /// round that is parity 1, which a fresh barrier satisfies at once.
    #[inline(always)]
    pub const fn freed(self) -> u32 {
        self.phase ^ 1
    }

    /// Goes a few stages on: no more than the ring has. Cheaper than [`RingPosition::advance_by`].
    #[inline(always)]
    pub const fn advance_within(&mut self, stages: u32) {
        self.stage += stages;
        if self.stage >= STAGES {
            self.stage -= STAGES;
            self.phase ^= 1;
        }
    }

    /// Goes `stages` stages on.
    #[inline(always)]
    pub const fn advance_by(&mut self, stages: u32) {
        let stage = self.stage + stages;
        self.stage = stage % STAGES;
        self.phase ^= stage / STAGES % 2;
    }

    /// Goes to the next stage.
    #[inline(always)]
    pub const fn advance(&mut self) {
        self.stage += 1;
        if self.stage == STAGES {
            self.stage = 0;
            self.phase ^= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_stages_twice_round() {
        let mut position = RingPosition::<3>::start();
        let mut seen = vec![];
        for _ in 0..6 {
            seen.push((position.stage(), position.filled(), position.freed()));
            position.advance();
        }
        assert_eq!(seen, [(0, 0, 1), (1, 0, 1), (2, 0, 1), (0, 1, 0), (1, 1, 0), (2, 1, 0)]);
        for stages in 0..12 {
            let (mut at_once, mut one_by_one) = (RingPosition::<3>::start(), RingPosition::start());
            at_once.advance();
            at_once.advance_by(stages);
            for _ in 0..stages + 1 {
                one_by_one.advance();
            }
            assert_eq!(at_once, one_by_one);
            if stages <= 3 {
                let mut within = RingPosition::<3>::start();
                within.advance();
                within.advance_within(stages);
                assert_eq!(within, one_by_one);
            }
        }
    }
}
