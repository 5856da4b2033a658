//! The committed seeds as an ordinary test: each is held to what its target promises, without a fuzzer.

use crate::TARGETS;
use colo_protocol::NodeName;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The files of a folder, whose names begin like this.
fn files(folder: &Path, begin: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.retain(|file| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with(begin)));
    files.sort();
    files
}

#[test]
fn every_seed_of_every_target_passes() {
    for (name, target) in TARGETS {
        let seeds = files(&here("corpus").join(name), "seed-");
        assert!(!seeds.is_empty(), "{name} has no seeds");
        for seed in seeds {
            println!("{}", seed.display());
            target(&fs::read(seed).unwrap());
        }
    }
}

/// A byte of a seed means an input by its place among all: another input in between, and the seeds mean something else.
#[test]
fn the_seeds_of_the_machines_still_mean_what_they_say() {
    for (name, node, least) in [("primary", NodeName::Primary, 95), ("secondary", NodeName::Secondary, 105)] {
        let seeds = files(&here("corpus").join(name), "seed-");
        let taken: BTreeSet<_> =
            seeds.iter().flat_map(|seed| crate::machines::taken(node, &fs::read(seed).unwrap())).collect();
        assert!(taken.len() >= least, "{name}: {} pairs of a phase and an input that it takes", taken.len());
    }
}

#[test]
fn every_target_is_a_program_and_every_program_a_target() {
    let names: BTreeSet<String> = TARGETS.map(|(name, _)| name.to_owned()).into();
    let programs = files(&here("fuzz_targets"), "");
    let programs = programs.iter().map(|file| file.file_stem().unwrap().to_string_lossy().into_owned());
    assert_eq!(programs.collect::<BTreeSet<_>>(), names);
    let manifest = fs::read_to_string(here("Cargo.toml")).unwrap();
    let named = manifest.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
    let named: BTreeSet<String> = named.filter(|name| *name != "colo-fuzz").map(str::to_owned).collect();
    assert_eq!(named, names);
}

/// What a fuzzer does first, without one: each seed cut short, and with each of some bytes changed.
#[test]
fn seeds_that_are_cut_or_damaged_pass_too() {
    for (name, target) in TARGETS.into_iter().filter(|(name, _)| *name != "conform_captures") {
        for seed in files(&here("corpus").join(name), "seed-") {
            let seed = fs::read(seed).unwrap();
            let step = seed.len() / 16 + 1;
            for at in (0..seed.len()).step_by(step) {
                target(&seed[..at]);
                for change in [0x01, 0x80, 0xff] {
                    let mut damaged = seed.clone();
                    damaged[at] ^= change;
                    target(&damaged);
                }
            }
        }
    }
}

/// What stands between backticks in a text.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Each claim names its tests; each of them is there.
#[test]
fn the_tests_that_the_security_policy_names_exist() {
    let policy = fs::read_to_string(here("../SECURITY.md")).unwrap();
    let targets: BTreeSet<&str> = TARGETS.map(|(name, _)| name).into();
    for line in policy.lines().filter(|line| line.starts_with("| ")) {
        let Some((_, tests)) = line.trim_end_matches(" |").rsplit_once(" | ") else { continue };
        let files: Vec<&str> = quoted(tests).filter(|word| word.ends_with(".rs")).collect();
        let sources: String = files
            .iter()
            .map(|file| {
                fs::read_to_string(here("..").join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
            })
            .collect();
        for word in quoted(tests).filter(|word| !word.ends_with(".rs")) {
            assert!(targets.contains(word) || sources.contains(&format!("fn {word}(")), "{word} of {line}");
        }
    }
}
