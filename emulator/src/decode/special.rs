//! The names of special registers.

use super::op::SpecialName::{self, *};
use crate::parse::ast::Operand;

/// Registers with components.
const TRIPLES: [(&str, [SpecialName; 3]); 8] = [
    ("%tid", [TidX, TidY, TidZ]),
    ("%ntid", [NtidX, NtidY, NtidZ]),
    ("%ctaid", [CtaIdX, CtaIdY, CtaIdZ]),
    ("%nctaid", [NCtaIdX, NCtaIdY, NCtaIdZ]),
    ("%clusterid", [ClusterIdX, ClusterIdY, ClusterIdZ]),
    ("%nclusterid", [NClusterIdX, NClusterIdY, NClusterIdZ]),
    ("%cluster_ctaid", [ClusterCtaIdX, ClusterCtaIdY, ClusterCtaIdZ]),
    ("%cluster_nctaid", [ClusterNCtaIdX, ClusterNCtaIdY, ClusterNCtaIdZ]),
];

/// Registers of one number, or one predicate.
const SINGLES: [(&str, SpecialName); 29] = [
    ("%laneid", LaneId),
    ("%warpid", WarpId),
    ("%nwarpid", NWarpId),
    ("%smid", SmId),
    ("%nsmid", NSmId),
    ("%gridid", GridId),
    ("%is_explicit_cluster", IsExplicitCluster),
    ("%cluster_ctarank", ClusterCtaRank),
    ("%cluster_nctarank", ClusterNCtaRank),
    ("%lanemask_eq", LaneMaskEq),
    ("%lanemask_le", LaneMaskLe),
    ("%lanemask_lt", LaneMaskLt),
    ("%lanemask_ge", LaneMaskGe),
    ("%lanemask_gt", LaneMaskGt),
    ("%clock", Clock),
    ("%clock_hi", ClockHi),
    ("%clock64", Clock64),
    ("%globaltimer", GlobalTimer),
    ("%globaltimer_lo", GlobalTimerLo),
    ("%globaltimer_hi", GlobalTimerHi),
    ("%total_smem_size", TotalSmemSize),
    ("%aggr_smem_size", AggrSmemSize),
    ("%dynamic_smem_size", DynamicSmemSize),
    ("%reserved_smem_offset_begin", ReservedSmemOffsetBegin),
    ("%reserved_smem_offset_end", ReservedSmemOffsetEnd),
    ("%reserved_smem_offset_cap", ReservedSmemOffsetCap),
    ("%reserved_smem_offset_0", ReservedSmemOffsetBegin),
    ("%reserved_smem_offset_1", ReservedSmemOffsetBegin),
    ("%current_graph_exec", Zero),
];

/// The special register that an operand names.
pub(super) fn find(operand: &Operand<'_>) -> Option<SpecialName> {
    match operand {
        Operand::Name(name) => {
            if let Some(&(_, special)) = SINGLES.iter().find(|(known, _)| known == name) {
                return Some(special);
            }
            let counters = ["%pm", "%envreg"];
            let is_counter = counters.iter().any(|prefix| {
                let number = name.strip_prefix(prefix).map(|rest| rest.trim_end_matches("_64"));
                number.is_some_and(|number| number.parse::<u8>().is_ok_and(|number| number < 32))
            });
            is_counter.then_some(Zero)
        }
        Operand::Member(name, field) => {
            let (_, names) = TRIPLES.iter().find(|(known, _)| known == name)?;
            match *field {
                "x" => Some(names[0]),
                "y" => Some(names[1]),
                "z" => Some(names[2]),
                "w" => Some(Zero),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The components of a special register that is named whole.
pub(super) fn find_vector(operand: &Operand<'_>) -> Option<[SpecialName; 3]> {
    let Operand::Name(name) = operand else { return None };
    TRIPLES.iter().find(|(known, _)| known == name).map(|&(_, names)| names)
}
