//! Four lists, or three: a grouped problem.

use super::operand::{Adapted, Tensors, output_type};
use super::view::View;
use super::{BothScales, Value, misfit};
use crate::error::{Error, Result};
use crate::grouped::{Group, GroupedProblem, Operation};

/// A grouped problem, adapted.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupedForm<'a> {
    /// All alphas are 1: the form has no tensor scales.
    pub problem: GroupedProblem,
    /// The tensors of each group.
    pub groups: Vec<Adapted<'a>>,
}

const FOUR: [&str; 4] =
    ["abc_tensors", "sfasfb_tensors", "sfasfb_reordered_tensors", "problem_sizes"];

/// Takes `(abc_tensors, sfasfb_tensors[, sfasfb_reordered_tensors], problem_sizes)`.
///
/// # Errors
/// The first element that does not fit, with what it should be and what it is.
pub fn lists<'a>(tuple: &[Value<'a>], both: BothScales) -> Result<GroupedForm<'a>> {
    let expected = || format!("({}), or these without {}", FOUR.join(", "), FOUR[2]);
    if tuple.len() != 4 && tuple.len() != 3 {
        let tensors = tuple.iter().all(|value| matches!(value, Value::Tensor(_)));
        let (got, remedy) = if tensors && (tuple.len() == 7 || tuple.len() == 10) {
            (
                format!("{} tensors: one dense dual GEMM's (a, b1, b2, sfa, …, c)", tuple.len()),
                "hand them to `forms::tensors`; this entry is for groups",
            )
        } else {
            (format!("{} elements", tuple.len()), "give all lists in this order")
        };
        return Err(misfit("the tuple", expected(), got, remedy));
    }
    let mut all = vec![];
    for (i, value) in tuple.iter().enumerate() {
        let name = if i + 1 == tuple.len() { FOUR[3] } else { FOUR[i] };
        match value {
            Value::List(list) => all.push((list.as_slice(), format!("element {i} ({name})"))),
            other => {
                let place = format!("element {i} ({name})");
                let remedy = "single tensors are the dense form, for `forms::tensors`";
                return Err(misfit(place, "a list", other.describe(), remedy));
            }
        }
    }
    let (sizes, sizes_place) = all.pop().expect("there are three or four");
    let count = all[0].0.len();
    for (list, place) in all.iter().skip(1).chain([&(sizes, sizes_place.clone())]) {
        if list.len() != count {
            let expected = format!("{count} entries, as {} has", FOUR[0]);
            let remedy = "every list has one entry for each group";
            return Err(misfit(place, expected, format!("{}", list.len()), remedy));
        }
    }

    let (mut groups, mut adapted, mut common) = (vec![], vec![], None);
    for i in 0..count {
        let place = |list: usize| format!("{}, group {i}", all[list].1);
        let (abc_list, abc) = (&all[0].0[i], place(0));
        let (names, operation): (&[&str], _) = match abc_list {
            Value::List(list) if list.len() == 4 => (&["a", "b1", "b2", "c"], Operation::DualGemm),
            _ => (&["a", "b", "c"], Operation::Gemm),
        };
        let mut abc = entry(abc_list, &abc, names)?;
        let scale_names: &[&str] = match operation {
            Operation::Gemm => &["sfa", "sfb"],
            Operation::DualGemm => &["sfa", "sfb1", "sfb2"],
        };
        let mut scales = entry(&all[1].0[i], &place(1), scale_names)?;
        let permuted = match all.get(2) {
            Some((list, _)) => entry(&list[i], &place(2), scale_names)?,
            None => vec![],
        };
        let c = abc.pop().expect("three or four");
        let (b, sfb) = (abc.split_off(1), scales.split_off(1));
        let parts = Tensors {
            a: abc.pop().expect("the first"),
            b,
            sfa: scales.pop().expect("the first"),
            sfb,
            permuted,
            c,
        };
        let size = size(&sizes[i], &format!("{sizes_place}, group {i}"))?;
        let found = parts.sizes()?;
        if found != size {
            let [m, n, k, l] = found;
            return Err(misfit(
                format!("{sizes_place}, group {i}"),
                format!("(m, n, k, l) = ({m}, {n}, {k}, {l}), as a and b have it"),
                format!("({}, {}, {}, {})", size[0], size[1], size[2], size[3]),
                "k counts elements, of which a byte holds two",
            ));
        }
        let tensors = parts.adapt(size, both)?;
        let output = output_type(&tensors.c, &parts.c.1)?;
        let (first_operation, first_output) = *common.get_or_insert((operation, output));
        if operation != first_operation || output != first_output {
            return Err(misfit(
                place(0),
                format!("a {} with C in {first_output}, as group 0", first_operation.name()),
                format!("a {} with C in {output}", operation.name()),
                "all groups of a launch are alike; make two launches",
            ));
        }
        let [m, n, k, l] = size;
        groups.push(Group { l, ..Group::new(m, n, k) });
        adapted.push(tensors);
    }
    let Some((operation, output)) = common else {
        return Err(Error::Dimension {
            dimension: "groups",
            value: 0,
            rule: "at least 1",
            remedy: "with no groups there is nothing to launch",
        });
    };
    let problem = GroupedProblem::listed(operation, groups).with_output(output);
    problem.check()?;
    Ok(GroupedForm { problem, groups: adapted })
}

/// A group's tuple of tensors.
fn entry<'v, 'a>(
    value: &'v Value<'a>,
    place: &str,
    names: &[&str],
) -> Result<Vec<(&'v View<'a>, String)>> {
    let expected = || format!("({})", names.join(", "));
    let remedy = "a group is a tuple of tensors";
    let Value::List(list) = value else {
        return Err(misfit(place, expected(), value.describe(), remedy));
    };
    if list.len() != names.len() {
        return Err(misfit(place, expected(), value.describe(), remedy));
    }
    let tensor = |(i, value): (usize, &'v Value<'a>)| match value {
        Value::Tensor(view) => Ok((view, format!("{place}, element {i} ({})", names[i]))),
        other => {
            let place = format!("{place}, element {i} ({})", names[i]);
            Err(misfit(place, "a tensor", other.describe(), remedy))
        }
    };
    list.iter().enumerate().map(tensor).collect()
}

/// `(m, n, k, l)`.
fn size(value: &Value<'_>, place: &str) -> Result<[usize; 4]> {
    let numbers: Option<Vec<usize>> = match value {
        Value::List(list) => list
            .iter()
            .map(|value| match value {
                Value::Integer(number) => usize::try_from(*number).ok(),
                _ => None,
            })
            .collect(),
        _ => None,
    };
    match numbers.as_deref() {
        Some(&[m, n, k, l]) => Ok([m, n, k, l]),
        _ => {
            let tensors =
                matches!(value, Value::List(l) if matches!(l.first(), Some(Value::Tensor(_))));
            let remedy = if tensors {
                "the last list is problem_sizes: after reordered scales it must follow"
            } else {
                "four numbers, none below 0"
            };
            Err(misfit(place, "(m, n, k, l)", value.describe(), remedy))
        }
    }
}
