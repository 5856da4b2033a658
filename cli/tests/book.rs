//! The protocol book says what the code says: tables, diagrams, and a place for every name.
#![expect(clippy::unwrap_used, reason = "a test may")]

use colo_protocol::{BUGS, MessageKind, PRESETS, Property};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn chapter(name: &str) -> String {
    std::fs::read_to_string(root().join("docs/src").join(name)).unwrap()
}

fn printed(arguments: &[&str]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_colo"));
    let output = command.args(arguments).current_dir(directory.path()).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// What the chapter has between the markers of `name`, without the fence around it.
fn between_markers<'a>(chapter: &'a str, name: &str) -> &'a str {
    let (begin, end) = (format!("<!-- begin: {name} -->\n```text\n"), format!("```\n<!-- end: {name} -->"));
    let (_, rest) = chapter.split_once(&begin).unwrap_or_else(|| panic!("no beginning of {name}"));
    rest.split_once(&end).unwrap_or_else(|| panic!("no end of {name}")).0
}

/// A snapshot's body: what stands behind its head.
fn snapshot(origin: &str, name: &str) -> String {
    let file = format!("model/tests/snapshots/{origin}__{}.snap", name.replace([':', ' '], "-"));
    let text = std::fs::read_to_string(root().join(file)).unwrap();
    text.splitn(3, "---\n").nth(2).unwrap().trim_end().to_owned()
}

#[test]
fn the_transition_tables_are_those_that_the_command_prints() {
    let printed = printed(&["rules", "v12"]);
    assert!(printed.contains("wait-ready") && printed.contains("wait-lock"), "{printed}");
    assert_eq!(between_markers(&chapter("machines.md"), "colo rules v12"), printed);
}

#[test]
fn every_diagram_of_the_gallery_is_the_one_that_the_checker_draws() {
    let gallery = chapter("gallery.md");
    for bug in BUGS {
        assert_eq!(
            between_markers(&gallery, bug.name).trim_end(),
            snapshot("checks", bug.name),
            "{}",
            bug.name
        );
    }
    let findings =
        PRESETS.iter().flat_map(|preset| preset.breaks.iter().map(|property| (preset.name, property.name())));
    for (preset, property) in findings {
        let drawn = snapshot("findings", &format!("{preset} {property}"));
        assert_eq!(
            between_markers(&gallery, &format!("{preset}: {property}")).trim_end(),
            drawn,
            "{property}"
        );
    }
    let drawn = snapshot("findings", "qemu wrong-suspicions single server");
    assert_eq!(between_markers(&gallery, "qemu --wrong-suspicions 1").trim_end(), drawn);
}

#[test]
fn two_servers_under_v12_are_drawn_as_the_checker_draws_them() {
    let gallery = chapter("gallery.md");
    let diagram = between_markers(&gallery, "v12 --wrong-suspicions 1");
    // A limit spares the states behind the counterexample, of which there are many.
    let printed = printed(&["check", "v12", "--wrong-suspicions", "1", "--max-depth", "25"]);
    assert!(diagram.contains("!!! single server"), "{diagram}");
    assert!(printed.contains(diagram), "{printed}");
}

#[test]
fn every_bug_has_its_section_fix_symptom_rule_and_properties_in_the_gallery() {
    let gallery = chapter("gallery.md");
    for bug in BUGS {
        let (_, entry) = gallery.split_once(&format!("\n## {}\n", bug.name)).unwrap();
        let entry = entry.split("\n## ").next().unwrap();
        let properties: Vec<_> = bug.breaks.iter().map(|property| property.name()).collect();
        for line in [
            format!("* Section: {}\n", bug.section),
            format!("* Fixed in QEMU by: {}\n", if bug.fix.is_empty() { "none known" } else { bug.fix }),
            format!("* Symptom: {}\n", bug.symptom),
            format!("* Breaks: {}\n", properties.join(", ")),
        ] {
            assert!(entry.contains(&line), "{}: {line}", bug.name);
        }
    }
}

#[test]
fn every_finding_of_a_preset_is_in_the_gallery() {
    let gallery = chapter("gallery.md");
    for preset in PRESETS.iter().filter(|preset| !preset.breaks.is_empty()) {
        let heading = format!("\n## What there is to find in {}\n", preset.name);
        let (_, findings) = gallery.split_once(&heading).unwrap();
        for property in preset.breaks {
            assert!(findings.contains(&format!("\n| {} | ", property.name())), "{}", property.name());
            let (_, entry) =
                findings.split_once(&format!("\n### {}: {}\n", preset.name, property.name())).unwrap();
            let entry = entry.split("\n#").next().unwrap();
            for part in
                ["* Section: ", "* Fixed in QEMU by: ", "* Symptom: ", "* Rule: ", "* Bounds: ", "**Fix.** "]
            {
                assert!(entry.contains(&format!("\n{part}")), "{}: {part}", property.name());
            }
        }
    }
}

#[test]
fn every_field_of_the_rules_has_its_heading_and_its_value_in_every_preset() {
    let chapter = chapter("rules.md");
    let fields_of = |preset: &str| -> Value {
        serde_json::from_str::<Value>(&printed(&["rules", preset, "--json"])).unwrap()["fields"].take()
    };
    let presets: Vec<_> = PRESETS.iter().map(|preset| fields_of(preset.name)).collect();
    let names: Vec<_> = PRESETS.iter().map(|preset| format!("`{}`", preset.name)).collect();
    assert!(chapter.contains(&format!("| field | {} |\n", names.join(" | "))), "{names:?}");
    for field in presets[0].as_object().unwrap().keys() {
        assert!(chapter.contains(&format!("\n## `{field}`\n")), "{field}");
        let value = |fields: &Value| format!("`{}`", fields[field].to_string().trim_matches('"'));
        let row: Vec<_> = presets.iter().map(value).collect();
        assert!(chapter.contains(&format!("\n| `{field}` | {} |\n", row.join(" | "))), "{field}: {row:?}");
    }
}

#[test]
fn every_preset_and_every_bug_of_the_rules_is_named_in_their_chapter() {
    let chapter = chapter("rules.md");
    let presets = PRESETS.iter().map(|preset| preset.name);
    for name in presets.chain(BUGS.iter().map(|bug| bug.name)) {
        assert!(chapter.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn every_property_has_its_statement_and_the_bugs_that_break_it() {
    let chapter = chapter("properties.md");
    for property in Property::ALL {
        let (_, entry) = chapter.split_once(&format!("\n## {}\n", property.name())).unwrap();
        let entry = entry.split("\n## ").next().unwrap();
        assert!(entry.contains(&format!("\n> {}\n", property.statement())), "{}", property.name());
        for bug in BUGS.iter().filter(|bug| bug.breaks.contains(&property)) {
            assert!(entry.contains(&format!("`{}`", bug.name)), "{}: {}", property.name(), bug.name);
        }
    }
}

#[test]
fn every_message_has_its_number_in_the_book() {
    let chapter = chapter("messages.md");
    for kind in MessageKind::ALL {
        assert!(chapter.contains(&format!("\n| {} | `{}` | ", kind.number(), kind.name())), "{kind}");
    }
}

#[test]
fn every_budget_has_its_flag_in_the_book() {
    let chapter = chapter("world.md");
    for (name, _) in colo_model::Budgets::default().named() {
        let row = format!("\n| `{name}` | `--{}` | ", name.replace('_', "-"));
        assert!(chapter.contains(&row), "{name}");
    }
}

#[test]
fn every_patch_of_the_series_has_its_row() {
    let chapter = chapter("patches.md");
    for patch in 1..=38 {
        assert!(chapter.contains(&format!("\n| {patch} | ")), "{patch}");
    }
}

#[test]
fn the_summary_and_the_readme_list_every_chapter() {
    let [summary, readme] = ["docs/src/SUMMARY.md", "docs/README.md"]
        .map(|file| std::fs::read_to_string(root().join(file)).unwrap());
    for entry in std::fs::read_dir(root().join("docs/src")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let listed = summary.contains(&format!("({name})")) && readme.contains(&format!("(src/{name})"));
        let is_chapter = Path::new(&name).extension().is_some_and(|it| it == "md") && name != "SUMMARY.md";
        assert!(listed || !is_chapter, "{name}");
    }
}
