//! Data for grouped problems, and what C must be: every group is judged as the dense problem that it
//! is, and rows of C that belong to no expert must be as they were.

use nvfp4_dual_gemm::grouped::launch::UNTOUCHED;
use nvfp4_dual_gemm::grouped::{Experts, Group, GroupedInputs, GroupedProblem, Groups, Operation};
use nvfp4_dual_gemm::{OutputType, Result};

use crate::data::{DataKind, Inputs};
use crate::judge::{Expected, Verdict};

/// M, N, K, L of one group.
pub type Size = (usize, usize, usize, usize);

/// A grouped problem with its numbers and its answer.
#[derive(Debug, Clone)]
pub struct Grouped {
    /// What is computed.
    pub problem: GroupedProblem,
    /// One a group or expert, those without rows included: their rows here are never used.
    parts: Vec<Inputs>,
    /// Rows and answer of each group with rows.
    expected: Vec<Option<Expected>>,
    /// Of experts.
    shared: Option<Shared>,
}

/// Experts' tensors, as they lie on the device.
#[derive(Debug, Clone)]
struct Shared {
    a: Vec<u8>,
    b1: Vec<u8>,
    b2: Vec<u8>,
    sfa: Vec<u8>,
    sfb1: Vec<u8>,
    sfb2: Vec<u8>,
    offsets: Vec<u32>,
    /// First row and number of rows of each expert.
    rows: Vec<(usize, usize)>,
    alphas1: Vec<f32>,
    alphas2: Vec<f32>,
}

/// What was found in all groups.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GroupedVerdict {
    /// All groups together; `first` is of the first wrong group.
    pub total: Verdict,
    /// The first group that is wrong.
    pub group: Option<usize>,
    /// Elements written in rows that belong to no expert.
    pub strays: usize,
}

impl GroupedVerdict {
    /// True if nothing is wrong.
    pub fn passed(&self) -> bool {
        self.total.passed() && self.strays == 0
    }

    fn add(&mut self, group: usize, verdict: Verdict) {
        if !verdict.passed() && self.group.is_none() {
            self.group = Some(group);
            self.total.first = verdict.first.clone();
        }
        self.total.max_error = self.total.max_error.max(verdict.max_error);
        self.total.outside_tolerance += verdict.outside_tolerance;
        self.total.wrong_bits += verdict.wrong_bits;
    }
}

impl Grouped {
    /// Listed groups of these sizes.
    ///
    /// # Errors
    /// Sizes that the host crate refuses.
    pub fn listed(
        operation: Operation,
        sizes: &[Size],
        kind: DataKind,
        output: OutputType,
        seed: u64,
    ) -> Result<Grouped> {
        let part = |(i, &(m, n, k, l)): (usize, &Size)| {
            Inputs::new(kind, (m.max(1), n, k, l), seed + i as u64)
        };
        let parts: Vec<_> = sizes.iter().enumerate().map(part).collect();
        let group = |(&(m, n, k, l), part): (&Size, &Inputs)| Group {
            m,
            n,
            k,
            l,
            alpha1: part.alpha1,
            alpha2: part.alpha2,
        };
        let groups: Vec<_> = sizes.iter().zip(&parts).map(group).collect();
        let expected = groups.iter().zip(&parts).map(|(group, part)| {
            (group.m > 0).then(|| Expected::of(operation, &group.problem(output), part)).transpose()
        });
        let expected = expected.collect::<Result<_>>()?;
        let problem = GroupedProblem::listed(operation, groups).with_output(output);
        problem.check()?;
        Ok(Grouped { problem, parts, expected, shared: None })
    }

    /// Experts whose rows `offsets` tell, right or wrong: what they say wrong counts as the running
    /// maximum, cut at the capacity.
    ///
    /// # Errors
    /// Sizes that the host crate refuses.
    pub fn experts(
        operation: Operation,
        experts: Experts,
        offsets: &[u32],
        kind: DataKind,
        output: OutputType,
        seed: u64,
    ) -> Result<Grouped> {
        let problem = GroupedProblem::experts(operation, experts).with_output(output);
        problem.check()?;
        assert_eq!(offsets.len(), experts.experts + 1, "one offset more than experts");
        let Experts { n, k, rows: capacity, .. } = experts;
        let ends: Vec<usize> = offsets
            .iter()
            .scan(0, |end, &offset| {
                *end = (*end).max((offset as usize).min(capacity));
                Some(*end)
            })
            .collect();
        let rows: Vec<_> = ends.windows(2).map(|pair| (pair[0], pair[1] - pair[0])).collect();
        let parts: Vec<_> = rows
            .iter()
            .enumerate()
            .map(|(i, &(_, m))| Inputs::new(kind, (m.max(1), n, k, 1), seed + i as u64))
            .collect();
        let expected = rows.iter().zip(&parts).map(|(&(_, m), part)| {
            let group = Group { alpha1: part.alpha1, alpha2: part.alpha2, ..Group::new(m, n, k) };
            (m > 0).then(|| Expected::of(operation, &group.problem(output), part)).transpose()
        });
        let expected = expected.collect::<Result<_>>()?;

        // What belongs to nobody holds large numbers, and NaN scales.
        let mut a = vec![0x77; capacity * k / 2];
        let mut sfa = vec![];
        for (&(first, m), part) in rows.iter().zip(&parts) {
            if m > 0 {
                a[first * k / 2..][..m * k / 2].copy_from_slice(&part.a.packed);
                sfa.extend_from_slice(&part.a.blocked);
            }
        }
        assert!(sfa.len() <= experts.scale_bytes(), "the bound on scale blocks holds");
        sfa.resize(experts.scale_bytes(), 0x7f);
        let all = |field: fn(&Inputs) -> &[u8]| -> Vec<u8> {
            parts.iter().flat_map(|part| field(part).iter().copied()).collect()
        };
        let second = |field: fn(&Inputs) -> &[u8]| match operation {
            Operation::Gemm => vec![],
            Operation::DualGemm => all(field),
        };
        let alphas2 = parts.iter().map(|part| part.alpha2).collect();
        let shared = Shared {
            a,
            b1: all(|part| &part.b1.packed),
            b2: second(|part| &part.b2.packed),
            sfa,
            sfb1: all(|part| &part.b1.blocked),
            sfb2: second(|part| &part.b2.blocked),
            offsets: offsets.to_vec(),
            rows,
            alphas1: parts.iter().map(|part| part.alpha1).collect(),
            alphas2: if operation == Operation::Gemm { vec![] } else { alphas2 },
        };
        Ok(Grouped { problem, parts, expected, shared: Some(shared) })
    }

    /// The same, with the tolerance alone to judge by: other devices than Blackwell accumulate in ways of
    /// their own.
    pub fn by_tolerance(mut self) -> Self {
        for expected in self.expected.iter_mut().flatten() {
            expected.forget_bits();
        }
        self
    }

    /// Lends the tensors to `use_them`, as the host crate takes them.
    pub fn with_inputs<T>(&self, use_them: impl FnOnce(&GroupedInputs<'_>) -> T) -> T {
        if let Some(x) = &self.shared {
            let tensors = nvfp4_dual_gemm::Inputs {
                a: &x.a,
                b1: &x.b1,
                b2: &x.b2,
                sfa: &x.sfa,
                sfb1: &x.sfb1,
                sfb2: &x.sfb2,
            };
            let total = x.rows.last().map_or(0, |(first, rows)| first + rows);
            return use_them(&GroupedInputs::Experts {
                tensors,
                offsets: &x.offsets,
                alphas1: &x.alphas1,
                alphas2: &x.alphas2,
                total,
            });
        }
        let gemm = self.problem.operation == Operation::Gemm;
        let views: Vec<_> = self
            .parts
            .iter()
            .map(|part| {
                let all = part.views();
                if gemm { nvfp4_dual_gemm::Inputs { b2: &[], sfb2: &[], ..all } } else { all }
            })
            .collect();
        use_them(&GroupedInputs::Listed(&views))
    }

    /// Compares every element of every group's C.
    ///
    /// # Panics
    /// If there are not as many C as there must be.
    pub fn judge(&self, c: &[Vec<u16>]) -> GroupedVerdict {
        let mut verdict = GroupedVerdict::default();
        match (&self.shared, &self.problem.groups) {
            (Some(shared), Groups::Experts(Experts { n, rows, .. })) => {
                let [c] = c else { panic!("experts share one C") };
                assert_eq!(c.len(), rows * n, "C has all rows of the capacity");
                let mut owned = vec![false; *rows];
                for (i, (&(first, m), expected)) in
                    shared.rows.iter().zip(&self.expected).enumerate()
                {
                    owned[first..first + m].fill(true);
                    if let Some(expected) = expected {
                        verdict.add(i, expected.judge(&c[first * n..(first + m) * n]));
                    }
                }
                let rows = c.chunks_exact(*n).zip(owned).filter(|(_, owned)| !owned);
                verdict.strays =
                    rows.flat_map(|(row, _)| row).filter(|&&bits| bits != UNTOUCHED).count();
            }
            _ => {
                assert_eq!(c.len(), self.expected.len(), "every group has a C");
                for (i, (c, expected)) in c.iter().zip(&self.expected).enumerate() {
                    match expected {
                        Some(expected) => verdict.add(i, expected.judge(c)),
                        None => verdict.strays += c.len(),
                    }
                }
            }
        }
        verdict
    }

    /// The answer by the accumulation model, as a kernel that is right would give it.
    pub fn model(&self) -> Vec<Vec<u16>> {
        match (&self.shared, &self.problem.groups) {
            (Some(shared), Groups::Experts(Experts { n, rows, .. })) => {
                let mut c = vec![UNTOUCHED; rows * n];
                for (&(first, m), expected) in shared.rows.iter().zip(&self.expected) {
                    if let Some(expected) = expected {
                        c[first * n..(first + m) * n].copy_from_slice(expected.bits());
                    }
                }
                vec![c]
            }
            _ => {
                let bits = |expected: &Option<Expected>| {
                    expected.as_ref().map_or(vec![], |expected| expected.bits().to_vec())
                };
                self.expected.iter().map(bits).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed() -> Grouped {
        let sizes = [(3, 8, 96, 2), (0, 8, 32, 1), (5, 16, 64, 1)];
        let output = OutputType::F16;
        Grouped::listed(Operation::DualGemm, &sizes, DataKind::Quantised, output, 1).unwrap()
    }

    fn experts(operation: Operation) -> Grouped {
        let experts = Experts { experts: 3, rows: 12, n: 8, k: 64 };
        let output = OutputType::Bf16;
        // The second expert has no rows, the first row and the last four belong to nobody.
        let offsets = [1, 4, 3, 8];
        Grouped::experts(operation, experts, &offsets, DataKind::Quantised, output, 2).unwrap()
    }

    #[test]
    fn the_model_agrees_with_the_reference() {
        for grouped in [listed(), experts(Operation::DualGemm), experts(Operation::Gemm)] {
            let verdict = grouped.judge(&grouped.model());
            assert!(verdict.passed(), "{verdict:?}");
        }
    }

    #[test]
    fn a_wrong_bit_is_found_in_its_group() {
        let grouped = listed();
        let mut c = grouped.model();
        c[2][16 + 3] ^= 1;
        let verdict = grouped.judge(&c);
        assert_eq!((verdict.group, verdict.total.wrong_bits), (Some(2), 1));
        assert_eq!(verdict.total.first.unwrap().at, [0, 1, 3]);
    }

    #[test]
    fn rows_of_experts_are_judged_by_their_owner() {
        let grouped = experts(Operation::DualGemm);
        let mut c = grouped.model();
        c[0][5 * 8] = 0x7fff;
        let verdict = grouped.judge(&c);
        assert_eq!((verdict.group, verdict.total.outside_tolerance), (Some(2), 1));
        for row in [0, 8, 11] {
            let mut c = grouped.model();
            c[0][row * 8 + 7] = 0;
            let verdict = grouped.judge(&c);
            assert_eq!((verdict.strays, verdict.passed(), verdict.group), (1, false, None));
        }
    }
}
