//! A property of one's own, judged like those of `colo check`: predicates, a claim, and what is assumed of whom.
//! `cargo run --release -p colo-model --example own_property`

use colo_model::checker::{Claim, Class, Extent, Fairness, Finding, Progress, Refusal, Specification, check};
use colo_model::{Bounds, Budgets, Pair, UNBOUNDED};
use colo_protocol::{NodeName, Rules};
use std::fmt::Write;

/// Weak fairness to classes of steps, by their names.
fn fair(pair: &Pair, names: &[&str]) -> Fairness {
    let numbered = (0_u8..).zip(pair.classes());
    let wanted = numbered.filter(|(_, class)| names.contains(class));
    wanted.fold(Fairness::none(), |fairness, (number, _)| fairness.weak(Class::new(number)))
}

/// Whether the secondary runs, when the primary has died: of a manager who may sleep, and of one who does not.
pub(crate) fn report(rules: &Rules) -> Result<String, Refusal> {
    let budgets = Budgets { crashes: 1, ..Budgets::default() };
    let pair = Pair { rules: *rules, bounds: Bounds { checkpoints: UNBOUNDED, budgets } };
    let mut specification = Specification::<Pair>::new();
    let from =
        specification.predicate("the primary is dead", |moment| !moment.view.side(NodeName::Primary).alive);
    let to = specification
        .predicate("the secondary runs", |moment| moment.view.side(NodeName::Secondary).vm.running);
    let environment = [
        "secondary carries out",
        "secondary ends an operation",
        "secondary is given what has come",
        "secondary sees the link down",
    ];
    let asleep = fair(&pair, &environment);
    let awake = asleep.and(fair(&pair, &["secondary is told"]));
    for (name, fairness) in [("a manager who may sleep", asleep), ("a manager who does not", awake)] {
        let statement = "when the primary has died the secondary runs in the end";
        specification.property(name, statement, Claim::LeadsTo { from, to, fairness });
    }
    let report = check(&pair, &specification, &Extent::default())?;
    let mut out = String::new();
    // Writing to a string cannot fail.
    for judged in &report.properties {
        let (name, occasions) = (&judged.property.name, judged.occasions);
        match &judged.finding {
            Finding::Holds => {
                let _ = writeln!(out, "  {name}: holds, called for in {occasions} states");
            }
            Finding::BrokenForEver(lasso) if lasso.stops() => {
                let _ = writeln!(out, "  {name}: broken; nothing has to happen after");
                for step in &lasso.stem {
                    let _ = writeln!(out, "    {step:?}");
                }
            }
            other => {
                let _ = writeln!(out, "  {name}: {other:?}");
            }
        }
    }
    Ok(out)
}

fn main() -> Result<(), Refusal> {
    for (name, rules) in [("v12", Rules::V12), ("strict", Rules::STRICT)] {
        print!("{name}\n{}", report(&rules)?);
    }
    Ok(())
}
