//! Whichever way a checkpoint's RAM leaves the primary, good rules stay good.

use colo_model::{Bounds, Limits, Verdict, check};
use colo_protocol::{Mode, Rules};

#[test]
fn good_rules_hold_in_every_mode() {
    for (name, rules) in [("v12", Rules::V12), ("late-release", Rules::LATE_RELEASE), ("fast", Rules::FAST)] {
        for mode in Mode::ALL {
            let rules = rules.in_mode(mode);
            let limits = Limits { threads: 2, ..Limits::default() };
            let found = check(&rules, &Bounds::of(&rules), &limits);
            assert!(found.complete, "{name}, {}", mode.name());
            for report in found.properties.iter().filter(|report| report.claimed) {
                let told = format!("{name}, {}: {}", mode.name(), report.property.name());
                assert_eq!(report.verdict, Verdict::Holds, "{told}");
            }
        }
    }
}
