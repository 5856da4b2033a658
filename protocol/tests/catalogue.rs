//! The catalogue of defects and the known bugs are of one piece.

use colo_protocol::{BUGS, DEFECTS, Place, bug_named};

#[test]
fn every_defect_that_a_rule_can_say_has_its_known_bug_and_the_same_section_and_fix() {
    for defect in DEFECTS {
        let Place::Rule(name) = defect.place else { continue };
        let bug = bug_named(name).unwrap_or_else(|| panic!("{name} is no known bug"));
        assert_eq!(bug.section, defect.section);
        assert!(defect.fix.starts_with(bug.fix), "{name}: {} {}", defect.fix, bug.fix);
    }
}

#[test]
fn every_known_bug_of_qemu_is_in_the_catalogue() {
    for bug in BUGS.iter().filter(|bug| bug.section.starts_with('4')) {
        assert!(DEFECTS.iter().any(|defect| defect.place == Place::Rule(bug.name)), "{}", bug.name);
    }
}

#[test]
fn sections_are_in_order_and_each_stands_once() {
    let sections: Vec<_> = DEFECTS.iter().map(|defect| defect.section).collect();
    let mut once = sections.clone();
    once.dedup();
    assert_eq!(sections, once);
}
