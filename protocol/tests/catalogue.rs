//! The catalogue of defects, the known bugs and the patches under `mutations/` are of one piece.

use colo_protocol::{BUGS, DEFECTS, Liveness, Place, Property, bug_named};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

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

#[test]
fn every_patch_is_named_once_and_says_where_it_is_from_and_what_it_breaks() {
    let mutations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../mutations");
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(&mutations).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_none_or(|extension| extension != "patch") {
            continue;
        }
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&file).unwrap();
        let field = |key: &str| {
            let line =
                text.lines().take_while(|line| !line.is_empty()).find_map(|line| line.strip_prefix(key));
            line.unwrap_or_else(|| panic!("{name} has no {key}")).trim()
        };
        assert!(!field("rules:").is_empty(), "{name}");
        let breaks = field("breaks:");
        let is_property = Property::ALL.iter().any(|property| property.name() == breaks);
        assert!(is_property || Liveness::from_name(breaks).is_some(), "{name}: {breaks}");
        let row = DEFECTS.iter().find_map(|defect| match defect.place {
            Place::Mutation(patch, breaks) if patch == name => Some((defect.section, breaks)),
            _ => None,
        });
        match row {
            Some((section, property)) => {
                assert_eq!(field("from:").split(',').next(), Some(section), "{name}");
                assert_eq!(breaks, property, "{name}");
            }
            None => assert_eq!(field("from:"), "our own", "{name}"),
        }
        assert!(names.insert(name));
    }
    for defect in DEFECTS {
        let Place::Mutation(patch, _) = defect.place else { continue };
        assert!(
            names.remove(patch),
            "{}: there is no mutations/{patch}.patch, or it has another row",
            defect.section
        );
    }
}

#[test]
fn the_table_of_mutations_has_every_patch_with_its_row_and_its_property() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../mutations/README.md");
    let readme = fs::read_to_string(readme).unwrap();
    for defect in DEFECTS {
        let Place::Mutation(patch, breaks) = defect.place else { continue };
        let start = format!("| `{patch}` | {} | {breaks} |", defect.section);
        assert!(readme.lines().any(|line| line.starts_with(&start)), "{start}");
    }
}

#[test]
fn most_defects_are_found() {
    let found = DEFECTS.iter().filter(|defect| !matches!(defect.place, Place::Outside(_)));
    assert!(found.count() >= 24);
}

#[test]
fn every_row_of_the_protocol_book_is_there() {
    let rows = |section: &str| {
        let of_it = DEFECTS.iter().filter_map(|defect| defect.section.strip_prefix(section));
        of_it.collect::<Vec<_>>()
    };
    let numbers = |numbers: &[u8]| numbers.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(rows("4.1 #"), numbers(&[1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12]));
    let second: Vec<u8> = (14..=38).filter(|number| *number != 27).collect();
    assert_eq!(rows("4.2 #"), numbers(&second));
    assert_eq!(rows("4.3 "), ["A", "B", "C", "D", "E", "F", "G", "I"]);
}
