//! A sweep as a report in JUnit's format, which CI systems show: a case for each run that broke something, for each
//! thousand that did not, and for each rare path.

use super::required::Required;
use crate::report::{Failure, unwritable};
use colo_sim::{Line, Summary, Verdict};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use std::path::Path;

/// Seeds in one case, at most.
const BLOCK: u64 = 1_000;

/// The report as it grows.
pub(super) struct Junit {
    suite: TestSuite,
    /// The first seed and the number of those that held one after the other and are in no case yet.
    holding: Option<(u64, u64)>,
}

impl Junit {
    pub(super) fn new(rules: &str) -> Self {
        Self { suite: TestSuite::new(format!("colo sim {rules}")), holding: None }
    }

    /// Takes a run in; `again` is the command that makes it again.
    pub(super) fn take(&mut self, line: &Line, again: &str) {
        if line.verdict == Verdict::Violated && line.claimed {
            self.close_block();
            self.suite.add_test_case(broken(line, again));
            return;
        }
        let (first, count) = self.holding.unwrap_or((line.seed, 0));
        if first + count == line.seed && count < BLOCK {
            self.holding = Some((first, count + 1));
        } else {
            self.close_block();
            self.holding = Some((line.seed, 1));
        }
    }

    fn close_block(&mut self) {
        if let Some((first, count)) = self.holding.take() {
            self.add(format!("seeds {first}..{}", first + count), TestCaseStatus::success());
        }
    }

    fn add(&mut self, name: String, status: TestCaseStatus) {
        let mut case = TestCase::new(name, status);
        case.set_classname(self.suite.name.as_str());
        self.suite.add_test_case(case);
    }

    /// Writes it; occasions are in it where they are required, because there are hundreds of them.
    pub(super) fn write(mut self, summary: &Summary, required: Required, file: &Path) -> Result<(), Failure> {
        self.close_block();
        let status = |seen: u64, required: bool| match (seen, required) {
            (0, true) => failure("never", format!("in no run of {}", summary.runs)),
            (0, false) => TestCaseStatus::skipped(),
            _ => TestCaseStatus::success(),
        };
        for (path, runs) in &summary.sometimes {
            self.add(format!("sometimes: {path}"), status(*runs, required.sometimes));
        }
        for (occasion, faults) in summary.occasions.iter().filter(|_| required.occasions) {
            self.add(format!("occasion: {occasion}"), status(*faults, true));
        }
        let mut report = Report::new("colo sim");
        report.add_test_suite(self.suite);
        let text = report.to_string().map_err(|error| Failure::Input(error.to_string()))?;
        std::fs::write(file, text).map_err(|error| unwritable(file, &error))
    }
}

fn broken(line: &Line, again: &str) -> TestCase {
    let property = line.property.as_deref().unwrap_or_default();
    let explanation = line.explanation.as_deref().unwrap_or_default();
    let mut status = failure(property, explanation.to_owned());
    let plan = line.plan.as_deref().map_or(String::new(), |plan| format!("\nplan: {plan}"));
    status.set_description(format!("{property}: {explanation}\nagain: {again}{plan}"));
    let mut case = TestCase::new(format!("seed {}", line.seed), status);
    case.set_classname(format!("colo sim {}", line.rules.as_deref().unwrap_or_default()));
    case
}

fn failure(kind: &str, message: String) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status.set_type(kind).set_message(message);
    status
}
