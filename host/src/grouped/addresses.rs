//! Where the tensors of groups lie on a device, and what those addresses must be.

use super::problem::{Group, GroupedProblem, Groups, Operation, in_group};
use super::table::Record;
use crate::error::{Error, Result};
use crate::formats::scale_layout::ScaleLayout;

/// Device addresses of one group's tensors; of experts, of the tensors that they share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GroupAddresses {
    /// A, aligned to 16. Of a group without rows this and all others are ignored.
    pub a: u64,
    /// B1, aligned to 16.
    pub b1: u64,
    /// B2, aligned to 16; ignored by a plain GEMM, as everything of the second product.
    pub b2: u64,
    /// Blocked scales of A, aligned to 16; of experts, each expert's at a block of its own.
    pub sfa: u64,
    /// Blocked scales of B1, aligned to 16.
    pub sfb1: u64,
    /// Blocked scales of B2, aligned to 16.
    pub sfb2: u64,
    /// C, aligned to 16.
    pub c: u64,
    /// An f32 for each expert; ignored in the listed form.
    pub alphas1: u64,
    /// An f32 for each expert; ignored in the listed form.
    pub alphas2: u64,
}

/// One tensor of a group, or of all experts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    /// The group in the problem's list; 0 of experts.
    pub group: usize,
    /// Its name.
    pub tensor: &'static str,
    /// Where it lies.
    pub address: u64,
    /// How long it is.
    pub bytes: usize,
    /// What its address is a multiple of.
    alignment: u64,
}

impl Extent {
    fn end(&self) -> u64 {
        self.address.saturating_add(self.bytes as u64)
    }

    fn refuse(&self, rule: String, remedy: &'static str) -> Error {
        let Extent { group, tensor, address, .. } = *self;
        in_group(group, Error::Address { tensor, address, rule, remedy })
    }
}

/// Every tensor that the kernels access, C first in each group.
fn extents(
    problem: &GroupedProblem,
    records: &[Record],
    groups: &[GroupAddresses],
    offsets: u64,
) -> Result<Vec<Extent>> {
    let dual = problem.operation == Operation::DualGemm;
    let mut all = vec![];
    for &Record { index, group: Group { m, n, k, l, .. }, weights } in records {
        let at = &groups[index];
        let sfb = ScaleLayout::new(n, k, weights)?.blocked_len();
        let (sfa, alphas) = match &problem.groups {
            Groups::Listed(_) => (ScaleLayout::new(m, k, l)?.blocked_len(), 0),
            Groups::Experts(experts) => (experts.scale_bytes(), 4 * experts.experts),
        };
        let mut add = |tensor, address, bytes, alignment| {
            all.push(Extent { group: index, tensor, address, bytes, alignment });
        };
        add("c", at.c, 2 * l * m * n, 16);
        add("a", at.a, l * m * k / 2, 16);
        add("sfa", at.sfa, sfa, 16);
        add("b1", at.b1, weights * n * k / 2, 16);
        add("sfb1", at.sfb1, sfb, 16);
        if dual {
            add("b2", at.b2, weights * n * k / 2, 16);
            add("sfb2", at.sfb2, sfb, 16);
        }
        if alphas > 0 {
            add("alphas1", at.alphas1, alphas, 4);
            if dual {
                add("alphas2", at.alphas2, alphas, 4);
            }
            add("offsets", offsets, alphas + 4, 4);
        }
    }
    Ok(all)
}

/// Checks the addresses of the groups with rows, and gives every tensor that the kernels access.
pub(super) fn check_addresses(
    problem: &GroupedProblem,
    records: &[Record],
    groups: &[GroupAddresses],
    offsets: u64,
) -> Result<Vec<Extent>> {
    let (want, experts) = match &problem.groups {
        Groups::Listed(list) => (list.len(), false),
        Groups::Experts(_) => (1, true),
    };
    if groups.len() != want {
        return Err(Error::Length {
            tensor: "addresses",
            unit: "groups",
            got: groups.len(),
            want,
            formula: "one for each group, or one for all experts",
            remedy: "give them in the order of the problem's groups",
        });
    }
    if !experts && offsets != 0 {
        let rule = "0: listed groups have no offsets".into();
        let remedy = "make the problem of `Experts`";
        return Err(Error::Address { tensor: "offsets", address: offsets, rule, remedy });
    }
    let all = extents(problem, records, groups, offsets)?;
    for extent in &all {
        if extent.address == 0 || !extent.address.is_multiple_of(extent.alignment) {
            let rule = format!("a multiple of {}, and not 0", extent.alignment);
            return Err(extent.refuse(rule, "align the allocation"));
        }
    }
    check_written(&all)?;
    Ok(all)
}

/// Checks that nothing overlaps a C, which is written.
fn check_written(all: &[Extent]) -> Result<()> {
    let (mut c, inputs): (Vec<&Extent>, Vec<&Extent>) = all.iter().partition(|e| e.tensor == "c");
    c.sort_by_key(|c| c.address);
    let apart = |rule: &Extent| format!("apart from c of group {}, which is written", rule.group);
    let remedy = "give every C memory of its own";
    for pair in c.windows(2) {
        if pair[1].address < pair[0].end() {
            return Err(pair[1].refuse(apart(pair[0]), remedy));
        }
    }
    for input in inputs {
        // Of those that begin before the input's end, the last ends last.
        let before = c.partition_point(|c| c.address < input.end());
        if let Some(last) = before.checked_sub(1).map(|i| c[i])
            && input.address < last.end()
        {
            return Err(input.refuse(apart(last), remedy));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::GroupedPlan;
    use super::super::problem::Experts;
    use super::*;

    /// Tensors far apart, from `base` on.
    fn at(base: u64) -> GroupAddresses {
        let [a, b1, b2, sfa, sfb1, sfb2, c, alphas1, alphas2] =
            [0, 1, 2, 3, 4, 5, 6, 7, 8].map(|i| base + (i << 16));
        GroupAddresses { a, b1, b2, sfa, sfb1, sfb2, c, alphas1, alphas2 }
    }

    fn check(
        problem: &GroupedProblem,
        groups: &[GroupAddresses],
        offsets: u64,
    ) -> std::result::Result<(), String> {
        let records = GroupedPlan::choose(problem, 148).unwrap().records;
        let checked = check_addresses(problem, &records, groups, offsets);
        checked.map(|_| ()).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_wrong_with_an_address_is_said() {
        let groups = [Group::new(5, 16, 64), Group::new(0, 8, 32), Group::new(70, 16, 64)];
        let problem = GroupedProblem::listed(Operation::DualGemm, groups);
        let right = [at(1 << 24), GroupAddresses::default(), at(2 << 24)];
        assert_eq!(check(&problem, &right, 0), Ok(()));
        let refused = |change: fn(&mut [GroupAddresses; 3]), parts: &[&str]| {
            let mut groups = right;
            change(&mut groups);
            let text = check(&problem, &groups, 0).unwrap_err();
            assert!(parts.iter().all(|part| text.contains(part)), "{parts:?} not in {text}");
        };
        refused(|g| g[2].sfb2 = 0, &["group 2", "sfb2", "not 0"]);
        refused(|g| g[0].a += 8, &["group 0", "a", "multiple of 16"]);
        // The last row of group 0's C, 32 bytes, and the first one of group 2's.
        refused(|g| g[2].c = g[0].c + 4 * 32, &["group 2", "apart from c of group 0"]);
        refused(|g| g[2].a = g[0].c + 4 * 32, &["group 2", "a", "apart from c of group 0"]);
        refused(|g| g[0].sfb1 = g[2].c - 16, &["group 0", "sfb1", "apart from c of group 2"]);
        // Weights may be shared, and a C may begin where another ends.
        let mut shared = right;
        (shared[2].b1, shared[2].c) = (shared[0].b1, shared[0].c + 5 * 32);
        assert_eq!(check(&problem, &shared, 0), Ok(()));
        assert!(check(&problem, &right[..2], 0).unwrap_err().contains("groups"));
        assert!(check(&problem, &right, 64).unwrap_err().contains("listed groups"));
    }

    #[test]
    fn experts_need_alphas_and_offsets() {
        let experts = Experts { experts: 3, rows: 10, n: 8, k: 32 };
        let dual = GroupedProblem::experts(Operation::DualGemm, experts);
        let groups = [at(1 << 24)];
        assert_eq!(check(&dual, &groups, 68), Ok(()));
        assert!(check(&dual, &groups, 0).unwrap_err().contains("offsets"));
        assert!(check(&dual, &groups, 66).unwrap_err().contains("multiple of 4"));
        let none = [GroupAddresses { alphas2: 0, b2: 0, sfb2: 0, ..groups[0] }];
        assert!(check(&dual, &none, 68).unwrap_err().contains("b2"));
        let gemm = GroupedProblem::experts(Operation::Gemm, experts);
        assert_eq!(check(&gemm, &none, 68), Ok(()));
        // Offsets inside C: they would be read while C is written.
        let text = check(&gemm, &none, none[0].c + 100).unwrap_err();
        assert!(text.contains("offsets") && text.contains("apart from c"), "{text}");
    }
}
