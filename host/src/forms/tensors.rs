//! Ten tensors, or seven: the dense dual GEMM.

use super::operand::{Adapted, Tensors, output_type};
use super::view::View;
use super::{BothScales, Value, misfit};
use crate::error::Result;
use crate::problem::Problem;

/// The dense dual GEMM, adapted.
#[derive(Debug, Clone, PartialEq)]
pub struct DenseForm<'a> {
    /// Both alphas are 1: the form has no tensor scales.
    pub problem: Problem,
    /// Its tensors.
    pub tensors: Adapted<'a>,
}

const TEN: [&str; 10] =
    ["a", "b1", "b2", "sfa", "sfb1", "sfb2", "sfa_permuted", "sfb1_permuted", "sfb2_permuted", "c"];
const SEVEN: [&str; 7] = ["a", "b1", "b2", "sfa", "sfb1", "sfb2", "c"];

/// Takes `(a, b1, b2, sfa, sfb1, sfb2[, sfa_permuted, sfb1_permuted, sfb2_permuted], c)`.
///
/// # Errors
/// The first element that does not fit, with what it should be and what it is.
pub fn tensors<'a>(tuple: &[Value<'a>], both: BothScales) -> Result<DenseForm<'a>> {
    let names: &[&str] = match tuple.len() {
        10 => &TEN,
        7 => &SEVEN,
        count => {
            let lists = tuple.iter().all(|value| matches!(value, Value::List(_)));
            let (got, remedy) = if lists && (count == 3 || count == 4) {
                (
                    format!(
                        "{count} lists: a grouped problem's (abc_tensors, sfasfb_tensors, …, problem_sizes)"
                    ),
                    "hand them to `forms::lists`; this entry is for one dense dual GEMM",
                )
            } else {
                (format!("{count} elements"), "give all tensors in this order")
            };
            let expected = format!("({}), or these without the permuted ones", TEN.join(", "));
            return Err(misfit("the tuple", expected, got, remedy));
        }
    };
    let mut views: Vec<(&View<'a>, String)> = vec![];
    for (i, (value, name)) in tuple.iter().zip(names).enumerate() {
        let place = format!("element {i} ({name})");
        match value {
            Value::Tensor(view) => views.push((view, place)),
            other => {
                let remedy = "lists of tensors are the grouped form, for `forms::lists`";
                return Err(misfit(place, "a tensor", other.describe(), remedy));
            }
        }
    }
    let c = views.pop().expect("there are seven or ten");
    let permuted = views.split_off(6);
    let sfb = views.split_off(4);
    let sfa = views.pop().expect("the fourth");
    let b = views.split_off(1);
    let a = views.pop().expect("the first");
    let parts = Tensors { a, b, sfa, sfb, permuted, c };
    let [m, n, k, l] = parts.sizes()?;
    let tensors = parts.adapt([m, n, k, l], both)?;
    let output = output_type(&tensors.c, &parts.c.1)?;
    let problem = Problem::new(m, n, k).with_batch(l).with_output(output);
    problem.check()?;
    Ok(DenseForm { problem, tensors })
}
