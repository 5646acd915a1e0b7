//! Prepare once, launch any number of times; and a run from host memory to host memory.

use super::plan::GroupedPlan;
use super::problem::{
    Experts, Group, GroupedProblem, Groups, Operation, check_offsets, in_group, token_scales,
};
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::formats::scale_layout::{ScaleLayout, check_length};
use crate::plan::LaunchShape;
use crate::plan::tensor_map::Operand;
use crate::problem::Inputs;

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

/// A plan with its table on a device: launched without encoding or copying anything.
#[derive(Debug)]
pub struct Prepared<B: Backend> {
    /// What is launched.
    pub shape: LaunchShape,
    /// The kernel's parameter space.
    pub parameters: Vec<u8>,
    /// Keeps the table alive.
    table: Option<B::Buffer>,
}

impl<B: Backend> Prepared<B> {
    /// Launches, and waits for the end.
    ///
    /// # Errors
    /// What the backend reports.
    pub fn launch(&self, backend: &mut B, module: &B::Module) -> Result<()> {
        // Without a record there is no tile.
        if self.table.is_none() {
            return Ok(());
        }
        backend.launch_kernel(module, &self.shape, &self.parameters)
    }
}

impl GroupedPlan {
    /// Encodes the tensor maps and writes the table, once for any number of launches. `offsets` is the
    /// address of the experts' `experts + 1` offsets, u32, aligned to 4; 0 for listed groups.
    ///
    /// # Errors
    /// A wrong number of groups, an address that is not aligned, what the backend reports.
    pub fn prepare<B: Backend>(
        &self,
        backend: &mut B,
        groups: &[GroupAddresses],
        offsets: u64,
    ) -> Result<Prepared<B>> {
        check_addresses(&self.problem, &self.order, groups, offsets)?;
        let mut table = None;
        let mut records = 0;
        if self.records() > 0 {
            let mut buffer = backend.alloc("group table", self.table_bytes())?;
            let mut bytes = Vec::with_capacity(self.table_bytes());
            for (i, map) in self.tensor_maps.iter().enumerate() {
                let record = i / self.maps_per_record();
                let at = &groups[self.order.get(record).copied().unwrap_or(0)];
                let address = match map.operand {
                    Operand::A => at.a,
                    Operand::B1 => at.b1,
                    Operand::B2 => at.b2,
                };
                bytes.extend(backend.encode_map(map, address)?);
            }
            let address = backend.address(&buffer);
            bytes.extend(self.encode_records(address, groups));
            backend.upload(&mut buffer, &bytes)?;
            records = address + self.records_offset() as u64;
            table = Some(buffer);
        }
        let count = match &self.problem.groups {
            Groups::Listed(_) => self.records(),
            Groups::Experts(experts) => experts.experts,
        };
        let parameters = [records, offsets]
            .into_iter()
            .flat_map(u64::to_le_bytes)
            .chain([count as u32, self.flags()].into_iter().flat_map(u32::to_le_bytes))
            .collect();
        Ok(Prepared { shape: self.shape, parameters, table })
    }
}

/// Checks the addresses of the groups with rows, which `order` lists.
pub(super) fn check_addresses(
    problem: &GroupedProblem,
    order: &[usize],
    groups: &[GroupAddresses],
    offsets: u64,
) -> Result<()> {
    let (want, used) = match &problem.groups {
        Groups::Listed(list) => (list.len(), order.to_vec()),
        Groups::Experts(_) => (1, vec![0]),
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
    let check = |tensor, address: u64, alignment: u64| {
        if address != 0 && address.is_multiple_of(alignment) {
            return Ok(());
        }
        let rule = format!("a multiple of {alignment}, and not 0");
        Err(Error::Address { tensor, address, rule, remedy: "align the allocation" })
    };
    let dual = problem.operation == Operation::DualGemm;
    let experts = matches!(problem.groups, Groups::Experts(_));
    for i in used {
        let at = &groups[i];
        let mut tensors = vec![
            ("a", at.a, 16),
            ("b1", at.b1, 16),
            ("sfa", at.sfa, 16),
            ("sfb1", at.sfb1, 16),
            ("c", at.c, 16),
        ];
        if dual {
            tensors.extend([("b2", at.b2, 16), ("sfb2", at.sfb2, 16)]);
        }
        if experts {
            tensors.extend([("alphas1", at.alphas1, 4), ("offsets", offsets, 4)]);
            tensors.extend(dual.then_some(("alphas2", at.alphas2, 4)));
        }
        for (tensor, address, alignment) in tensors {
            check(tensor, address, alignment).map_err(|cause| in_group(i, cause))?;
        }
    }
    if !experts && offsets != 0 {
        let rule = "0: listed groups have no offsets".into();
        let remedy = "make the problem of `Experts`";
        return Err(Error::Address { tensor: "offsets", address: offsets, rule, remedy });
    }
    Ok(())
}

/// The inputs of a grouped problem, in host memory and in the layouts that the kernels read. For a
/// plain GEMM `b2` and `sfb2` are empty.
#[derive(Debug, Clone, Copy)]
pub enum GroupedInputs<'a> {
    /// One for each listed group; those of a group without rows may be empty.
    Listed(&'a [Inputs<'a>]),
    /// Of experts.
    Experts {
        /// A `[rows, K/2]`, B1 and B2 `[experts, N, K/2]`, `sfa` of
        /// [`scale_bytes`](Experts::scale_bytes), the weights' scales as `experts` batches.
        tensors: Inputs<'a>,
        /// Where each expert's rows begin, and where the last one's end.
        offsets: &'a [u32],
        /// Multiplies A·B1ᵀ, for each expert.
        alphas1: &'a [f32],
        /// Multiplies A·B2ᵀ, for each expert; empty for a plain GEMM.
        alphas2: &'a [f32],
        /// Rows that hold tokens: what the offsets must end in.
        total: usize,
    },
}

impl GroupedInputs<'_> {
    /// Checks everything that the kernel would otherwise read beyond, or get wrong.
    ///
    /// # Errors
    /// The first rule broken, by group and tensor.
    pub fn check(&self, problem: &GroupedProblem) -> Result<()> {
        self.check_lengths(problem)?;
        match (self, &problem.groups) {
            (GroupedInputs::Experts { offsets, total, .. }, Groups::Experts(experts)) => {
                check_offsets(offsets, experts, *total)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn check_lengths(&self, problem: &GroupedProblem) -> Result<()> {
        let operation = problem.operation;
        match (self, &problem.groups) {
            (GroupedInputs::Listed(inputs), Groups::Listed(groups)) => {
                if inputs.len() != groups.len() {
                    return Err(Error::Length {
                        tensor: "inputs",
                        unit: "groups",
                        got: inputs.len(),
                        want: groups.len(),
                        formula: "one for each group",
                        remedy: "give them in the order of the problem's groups",
                    });
                }
                for (i, (x, g)) in inputs.iter().zip(groups).enumerate() {
                    if g.m > 0 {
                        check_group(x, g, operation).map_err(|cause| in_group(i, cause))?;
                    }
                }
                Ok(())
            }
            (GroupedInputs::Experts { tensors: x, alphas1, alphas2, .. }, Groups::Experts(e)) => {
                check_experts(x, e, operation)?;
                let per_expert = |tensor, got: usize, want| {
                    let remedy = "one f32 for each expert";
                    check_length(tensor, "elements", got, want, "experts", remedy)
                };
                per_expert("alphas1", alphas1.len(), e.experts)?;
                let second = if operation == Operation::DualGemm { e.experts } else { 0 };
                per_expert("alphas2", alphas2.len(), second)
            }
            _ => Err(Error::Unsupported {
                what: "inputs of one form for a problem of the other".into(),
                remedy: "listed groups take listed inputs, experts those of experts",
            }),
        }
    }
}

/// Lengths and scales of a listed group with rows.
fn check_group(x: &Inputs<'_>, group: &Group, operation: Operation) -> Result<()> {
    let Group { m, n, k, l, .. } = *group;
    let packed = "the data are packed, two elements a byte, without padding";
    check_length("a", "bytes", x.a.len(), l * m * k / 2, "L · M · K/2", packed)?;
    if let Some(layout) = token_scales(m, k, l)? {
        layout.check_blocked("sfa", x.sfa)?;
    }
    check_weights(x, [l, n, k], operation)
}

fn check_weights(x: &Inputs<'_>, [l, n, k]: [usize; 3], operation: Operation) -> Result<()> {
    let layout = ScaleLayout::new(n, k, l)?;
    let packed = "the data are packed, two elements a byte, without padding";
    check_length("b1", "bytes", x.b1.len(), l * n * k / 2, "L · N · K/2", packed)?;
    layout.check_blocked("sfb1", x.sfb1)?;
    if operation == Operation::DualGemm {
        check_length("b2", "bytes", x.b2.len(), l * n * k / 2, "L · N · K/2", packed)?;
        return layout.check_blocked("sfb2", x.sfb2);
    }
    let remedy = "a plain GEMM has one weight tensor: give no second";
    check_length("b2", "bytes", x.b2.len(), 0, "none", remedy)?;
    check_length("sfb2", "bytes", x.sfb2.len(), 0, "none", remedy)
}

/// Lengths of experts' tensors, and the weights' scales. Which of the tokens' scales are padding
/// depends on the offsets.
fn check_experts(x: &Inputs<'_>, e: &Experts, operation: Operation) -> Result<()> {
    let packed = "room for the whole capacity of rows, packed, two elements a byte";
    check_length("a", "bytes", x.a.len(), e.rows * e.k / 2, "rows · K/2", packed)?;
    let formula = "most blocks of 128 rows · ⌈K/64⌉ · 512";
    let remedy = "every expert's scales start at a block of 128 rows of their own";
    check_length("sfa", "bytes", x.sfa.len(), e.scale_bytes(), formula, remedy)?;
    check_weights(x, [e.experts, e.n, e.k], operation)
}

/// Device buffers of one group's (or of all experts') tensors.
pub(super) struct Uploaded<B: Backend> {
    buffers: Vec<B::Buffer>,
    /// Where they are; C is not among them.
    pub(super) at: GroupAddresses,
}

impl<B: Backend> Uploaded<B> {
    pub(super) fn new(backend: &mut B, x: &Inputs<'_>) -> Result<Self> {
        let mut uploaded = Uploaded { buffers: vec![], at: GroupAddresses::default() };
        let at = [
            uploaded.add(backend, "a", x.a)?,
            uploaded.add(backend, "b1", x.b1)?,
            uploaded.add(backend, "b2", x.b2)?,
            uploaded.add(backend, "sfa", x.sfa)?,
            uploaded.add(backend, "sfb1", x.sfb1)?,
            uploaded.add(backend, "sfb2", x.sfb2)?,
        ];
        let [a, b1, b2, sfa, sfb1, sfb2] = at;
        uploaded.at = GroupAddresses { a, b1, b2, sfa, sfb1, sfb2, ..uploaded.at };
        Ok(uploaded)
    }

    /// Uploads `data`; 0 for none.
    pub(super) fn add(&mut self, backend: &mut B, name: &'static str, data: &[u8]) -> Result<u64> {
        if data.is_empty() {
            return Ok(0);
        }
        let mut buffer = backend.alloc(name, data.len())?;
        backend.upload(&mut buffer, data)?;
        let address = backend.address(&buffer);
        self.buffers.push(buffer);
        Ok(address)
    }
}

/// All inputs on the device: one entry a group, or one for all experts, and the offsets' address.
pub(super) fn upload<B: Backend>(
    backend: &mut B,
    inputs: &GroupedInputs<'_>,
) -> Result<(Vec<Uploaded<B>>, u64)> {
    match inputs {
        GroupedInputs::Listed(groups) => {
            let all: Result<_> = groups.iter().map(|x| Uploaded::new(backend, x)).collect();
            Ok((all?, 0))
        }
        GroupedInputs::Experts { tensors, offsets, alphas1, alphas2, .. } => {
            let bytes = |values: &[f32]| -> Vec<u8> {
                values.iter().flat_map(|value| value.to_le_bytes()).collect()
            };
            let mut uploaded = Uploaded::new(backend, tensors)?;
            uploaded.at.alphas1 = uploaded.add(backend, "alphas1", &bytes(alphas1))?;
            uploaded.at.alphas2 = uploaded.add(backend, "alphas2", &bytes(alphas2))?;
            let offsets: Vec<u8> = offsets.iter().flat_map(|value| value.to_le_bytes()).collect();
            let at = uploaded.add(backend, "offsets", &offsets)?;
            Ok((vec![uploaded], at))
        }
    }
}

/// The C of every group, or of all experts: elements of each.
pub(super) fn c_lengths(problem: &GroupedProblem) -> Vec<usize> {
    match &problem.groups {
        Groups::Listed(groups) => groups.iter().map(|g| g.l * g.m * g.n).collect(),
        Groups::Experts(e) => vec![e.rows * e.n],
    }
}

/// What the C of experts holds before the launch: rows that belong to no expert keep it. It reads as
/// NaN.
pub const UNTOUCHED: u16 = 0xffff;

/// Buffers for C. Those of experts are filled with [`UNTOUCHED`].
pub(super) fn alloc_c<B: Backend>(
    backend: &mut B,
    problem: &GroupedProblem,
) -> Result<Vec<Option<B::Buffer>>> {
    let experts = matches!(problem.groups, Groups::Experts(_));
    c_lengths(problem)
        .into_iter()
        .map(|elements| {
            if elements == 0 {
                return Ok(None);
            }
            let mut buffer = backend.alloc("c", 2 * elements)?;
            if experts {
                backend.upload(&mut buffer, &vec![0xff; 2 * elements])?;
            }
            Ok(Some(buffer))
        })
        .collect()
}

/// Copies C back, as the bits of the plan's output type.
pub(super) fn download_c<B: Backend>(
    backend: &mut B,
    problem: &GroupedProblem,
    c: &[Option<B::Buffer>],
) -> Result<Vec<Vec<u16>>> {
    c_lengths(problem)
        .into_iter()
        .zip(c)
        .map(|(elements, buffer)| {
            let mut bytes = vec![0; 2 * elements];
            if let Some(buffer) = buffer {
                backend.download(buffer, &mut bytes)?;
            }
            let pairs = bytes.chunks_exact(2);
            Ok(pairs.map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect())
        })
        .collect()
}

/// Runs a plan from host memory to host memory. Returns the C of each group, `[L, M, N]`, or the one
/// `[rows, N]` of all experts, in which rows that belong to no expert are [`UNTOUCHED`].
///
/// # Errors
/// Inputs that their check refuses, and what the backend reports. Nothing is allocated before the
/// inputs are checked.
pub fn run<B: Backend>(
    backend: &mut B,
    module: &B::Module,
    plan: &GroupedPlan,
    inputs: &GroupedInputs<'_>,
) -> Result<Vec<Vec<u16>>> {
    inputs.check(&plan.problem)?;
    run_with_any_offsets(backend, module, plan, inputs)
}

/// The same with offsets that nobody has looked at, as the device gets them when they are made there:
/// what they say wrong is taken as the nearest thing that stays inside the tensors.
///
/// # Errors
/// Inputs of wrong lengths, and what the backend reports.
pub fn run_with_any_offsets<B: Backend>(
    backend: &mut B,
    module: &B::Module,
    plan: &GroupedPlan,
    inputs: &GroupedInputs<'_>,
) -> Result<Vec<Vec<u16>>> {
    inputs.check_lengths(&plan.problem)?;
    let (uploaded, offsets) = upload(backend, inputs)?;
    let c = alloc_c(backend, &plan.problem)?;
    let addresses: Vec<_> = uploaded
        .iter()
        .zip(&c)
        .map(|(group, c)| {
            let c = c.as_ref().map_or(0, |c| backend.address(c));
            GroupAddresses { c, ..group.at }
        })
        .collect();
    let prepared = plan.prepare(backend, &addresses, offsets)?;
    prepared.launch(backend, module)?;
    download_c(backend, &plan.problem, &c)
}
