//! What there is to find in the preset `qemu`: each finding at the smallest bounds that show it, as a story, and gone
//! when the decision behind it is taken in the other way.
#![expect(clippy::unwrap_used, reason = "a test may")]

use colo_model::{Bounds, Budgets, Check, Limits, Pair, Verdict, check, story};
use colo_protocol::{
    Execution, FailedLoad, FailoverDeferral, Fencing, PRESETS, Property, Rules, UncomparedOutput,
};
use colo_trace::diagram;

/// A finding: what breaks, what has to be allowed for it to show, and the rules with its one field mended.
struct Finding {
    property: Property,
    bounds: Bounds,
    mended: Rules,
}

const WITHHELD: Rules = Rules { uncompared: UncomparedOutput::Withheld, ..Rules::QEMU };
const FATAL: Rules = Rules { failed_load: FailedLoad::Fatal, ..Rules::QEMU };
const DEFERRED: Rules = Rules { deferral: FailoverDeferral::FromReceived, ..Rules::QEMU };
const FENCED: Rules = Rules { fencing: Fencing::Arbiter, ..Rules::QEMU };

/// A finding that shows when these budgets are allowed, and the death of a node.
fn finding(property: Property, checkpoints: u64, budgets: Budgets, mended: Rules) -> Finding {
    let budgets = Budgets { crashes: 1, ..budgets };
    Finding { property, bounds: Bounds { checkpoints, budgets }, mended }
}

fn findings() -> [Finding; 5] {
    let none = Budgets::default();
    let uncompared = Budgets { outputs: 1, uncompared: 1, ..none };
    let load_errors = Budgets { load_errors: 1, ..none };
    [
        finding(Property::OutputCommit, 0, uncompared, WITHHELD),
        finding(Property::SingleServer, 0, Budgets { outputs: 2, ..uncompared }, WITHHELD),
        finding(Property::CheckpointAtomicity, 1, load_errors, FATAL),
        finding(Property::Promise, 1, load_errors, FATAL),
        finding(Property::Disk, 1, Budgets { disk_writes: 1, ..none }, DEFERRED),
    ]
}

/// The manager takes a node that lives for dead: no finding, because nobody claims otherwise, but shown all the same.
fn two_servers() -> Finding {
    let budgets = Budgets { outputs: 2, wrong_suspicions: 1, ..Budgets::default() };
    finding(Property::SingleServer, 0, budgets, FENCED)
}

/// `strict`, with both VMs executing.
const STRICT: Rules = Rules { execution: Execution::Hybrid, ..Rules::STRICT };

impl Finding {
    fn verdict_under(&self, rules: &Rules) -> Verdict {
        let check = check(rules, &self.bounds, &Limits { threads: 2, ..Limits::default() });
        assert!(check.complete);
        verdict(&check, self.property)
    }

    /// The shortest way to it, drawn.
    fn drawn(&self) -> String {
        let until = Some(self.property.name());
        let check = check(&Rules::QEMU, &self.bounds, &Limits { threads: 2, until, ..Limits::default() });
        let report = check.properties.iter().find(|report| report.property == self.property).unwrap();
        let path = report.counterexample.as_ref().unwrap_or_else(|| panic!("{:?}", self.property));
        let pair = Pair { rules: check.rules, bounds: self.bounds };
        let diagram = diagram(&story(&pair, "qemu", path));
        assert!(diagram.lines().all(|line| line.chars().count() <= 100), "{diagram}");
        diagram
    }

    /// The same with one thing less that may happen.
    fn smaller(&self) -> impl Iterator<Item = Self> {
        let Bounds { checkpoints, budgets } = self.bounds;
        let fewer = |bounds| Self { bounds, ..*self };
        let spared = [
            Budgets { outputs: budgets.outputs.saturating_sub(1), ..budgets },
            Budgets { uncompared: 0, ..budgets },
            Budgets { disk_writes: 0, ..budgets },
            Budgets { load_errors: 0, ..budgets },
            Budgets { wrong_suspicions: 0, ..budgets },
            // After a failed load two nodes have lost each other: a manager that fences takes the place of a crash.
            Budgets { crashes: budgets.load_errors, ..budgets },
        ];
        let budgets = spared.into_iter().filter(move |spared| *spared != budgets);
        let fewer_checkpoints = checkpoints.checked_sub(1);
        let first = fewer_checkpoints.map(|checkpoints| Bounds { checkpoints, ..self.bounds });
        first.into_iter().chain(budgets.map(move |budgets| Bounds { checkpoints, budgets })).map(fewer)
    }
}

fn verdict(check: &Check, property: Property) -> Verdict {
    check.properties.iter().find(|report| report.property == property).unwrap().verdict
}

#[test]
fn every_property_that_qemu_breaks_is_a_finding() {
    let qemu = PRESETS.iter().find(|preset| preset.name == "qemu").unwrap();
    assert_eq!(findings().map(|finding| finding.property).as_slice(), qemu.breaks);
}

#[test]
fn a_finding_reads_as_a_story() {
    for finding in findings() {
        let name = format!("qemu-{}", finding.property.name().replace(' ', "-"));
        insta::assert_snapshot!(name, finding.drawn());
    }
    insta::assert_snapshot!("qemu-wrong-suspicions-single-server", two_servers().drawn());
}

#[test]
fn a_finding_needs_all_that_is_allowed_for_it() {
    for finding in findings().into_iter().chain([two_servers()]) {
        for smaller in finding.smaller() {
            let verdict = smaller.verdict_under(&Rules::QEMU);
            assert_eq!(verdict, Verdict::Holds, "{:?} {:?}", smaller.property, smaller.bounds);
        }
    }
}

#[test]
fn a_finding_is_gone_when_its_one_field_is_mended() {
    for finding in findings().into_iter().chain([two_servers()]) {
        assert_eq!(finding.verdict_under(&finding.mended), Verdict::Holds, "{:?}", finding.property);
    }
}

#[test]
fn a_finding_is_gone_under_strict() {
    for finding in findings().into_iter().chain([two_servers()]) {
        assert_eq!(finding.verdict_under(&STRICT), Verdict::Holds, "{:?}", finding.property);
    }
}
