//! The protocol book says what the code says: tables, diagrams, and a place for every name.
#![expect(clippy::unwrap_used, reason = "a test may")]

use colo_protocol::{BUGS, Bug, Liveness, MessageKind, PRESETS, Property, Rules};
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
    printed_in(tempfile::tempdir().unwrap().path(), arguments)
}

fn printed_in(directory: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_colo"));
    let output = command.args(arguments).current_dir(directory).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// What the chapter has between the markers of `name`, without the fence around it.
fn between_markers<'a>(chapter: &'a str, name: &str) -> &'a str {
    let (begin, end) = (format!("<!-- begin: {name} -->\n```"), format!("```\n<!-- end: {name} -->"));
    let (_, rest) = chapter.split_once(&begin).unwrap_or_else(|| panic!("no beginning of {name}"));
    let (_, rest) = rest.split_once('\n').unwrap();
    rest.split_once(&end).unwrap_or_else(|| panic!("no end of {name}")).0
}

/// Writes a file of the chapter to the directory.
fn write_file(directory: &Path, chapter: &str, name: &str) {
    std::fs::write(directory.join(name), between_markers(chapter, name)).unwrap();
}

/// Whether the chapter's lines of a command's output are in it, in their order; `...` stands for what is left out.
fn assert_shows(chapter: &str, name: &str, printed: &str) {
    let mut rest = printed.lines();
    for line in between_markers(chapter, name).lines().skip(1).filter(|line| line.trim() != "...") {
        assert!(rest.any(|printed| printed == line), "{name}: {line}\n{printed}");
    }
}

/// The same text with a sign for every number, and one space for several.
fn without_figures(text: &str) -> String {
    let masked = |word: &str| match word.trim_start_matches(|character: char| character.is_ascii_digit()) {
        rest if rest.len() == word.len() => word.to_owned(),
        rest => format!("#{}", rest.trim_start_matches(|character: char| ",.0123456789".contains(character))),
    };
    let lines = text.lines().map(|line| line.split_whitespace().map(masked).collect::<Vec<_>>().join(" "));
    lines.map(|line| line + "\n").collect()
}

/// What stands under a heading, to the next of its rank.
fn entry<'a>(chapter: &'a str, heading: &str) -> &'a str {
    let (_, entry) = chapter.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    let rank = heading.split(' ').next().unwrap();
    entry.split(&format!("\n{rank} ")).next().unwrap()
}

fn named_for_safety() -> impl Iterator<Item = &'static Bug> {
    BUGS.iter().filter(|bug| bug.stalls.is_none())
}

fn named_for_liveness() -> impl Iterator<Item = (&'static Bug, Liveness)> {
    BUGS.iter().filter_map(|bug| Some((bug, bug.stalls?)))
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
    for bug in named_for_safety() {
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
fn every_run_without_an_end_is_the_one_that_the_checker_draws() {
    let gallery = chapter("liveness-gallery.md");
    for (bug, _) in named_for_liveness() {
        let drawn = snapshot("lassos", bug.name);
        assert_eq!(between_markers(&gallery, bug.name).trim_end(), drawn, "{}", bug.name);
    }
    for preset in PRESETS.iter().filter(|preset| ["v12", "qemu"].contains(&preset.name)) {
        for property in preset.stalls {
            let drawn = snapshot("lassos", &format!("{} {}", preset.name, property.name()));
            let name = format!("{}: {}", preset.name, property.name());
            assert_eq!(between_markers(&gallery, &name).trim_end(), drawn, "{name}");
            assert!(gallery.contains(&format!("\n### {name}\n")), "{name}");
        }
    }
}

#[test]
fn every_preset_that_stalls_does_so_as_v12_or_qemu_do() {
    let [v12, qemu] = ["v12", "qemu"].map(|name| PRESETS.iter().find(|it| it.name == name).unwrap());
    for preset in PRESETS {
        let known = [&[], v12.stalls, qemu.stalls].contains(&preset.stalls);
        assert!(known, "{} needs runs of its own in the gallery", preset.name);
    }
}

#[test]
fn two_servers_under_v12_are_drawn_as_the_checker_draws_them() {
    let (gallery, directory) = (chapter("gallery.md"), tempfile::tempdir().unwrap());
    let diagram = between_markers(&gallery, "v12 --wrong-suspicions 1");
    // A limit spares the states behind the counterexample, of which there are many.
    printed_in(directory.path(), &["check", "v12", "--wrong-suspicions", "1", "--max-depth", "25"]);
    let trace = "colo-traces/v12.single-server.jsonl";
    let printed = printed_in(directory.path(), &["replay", trace, "--on", "model"]);
    assert!(diagram.contains("!!! single server"), "{diagram}");
    assert!(printed.contains(diagram), "{printed}");
}

#[test]
fn every_bug_has_its_section_fix_symptom_rule_and_properties_in_a_gallery() {
    let [safety, liveness] = ["gallery.md", "liveness-gallery.md"].map(chapter);
    for bug in BUGS {
        let gallery = if bug.stalls.is_none() { &safety } else { &liveness };
        let entry = entry(gallery, &format!("## {}", bug.name));
        let properties: Vec<_> = bug.breaks.iter().map(|property| property.name()).collect();
        let property = match bug.stalls {
            None => format!("* Breaks: {}\n", properties.join(", ")),
            Some(property) => format!("* Stalls: {}\n", property.name()),
        };
        for line in [
            format!("* Section: {}\n", bug.section),
            format!("* Fixed in QEMU by: {}\n", if bug.fix.is_empty() { "none known" } else { bug.fix }),
            format!("* Symptom: {}\n", bug.symptom),
            property,
        ] {
            assert!(entry.contains(&line), "{}: {line}", bug.name);
        }
        assert!(entry.contains("\n* Rule: `"), "{}", bug.name);
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
fn every_liveness_property_has_its_statement_source_fairness_and_the_bugs_that_break_it() {
    let chapter = chapter("properties.md");
    for property in Liveness::ALL {
        let entry = entry(&chapter, &format!("## {}", property.name()));
        assert!(entry.contains(&format!("\n> {}\n", property.statement())), "{}", property.name());
        let source = format!("\n* Source: {}.\n", property.source());
        assert!(entry.contains(&source), "{}", property.name());
        for part in ["* Fairness: ", "* Intuition: ", "* Called for: ", "Answered: "] {
            assert!(entry.contains(part), "{}: {part}", property.name());
        }
        for (bug, _) in named_for_liveness().filter(|(_, stalls)| *stalls == property) {
            assert!(entry.contains(&format!("`{}`", bug.name)), "{}: {}", property.name(), bug.name);
        }
        for preset in PRESETS.iter().filter(|preset| preset.stalls.contains(&property)) {
            assert!(entry.contains(&format!("`{}`", preset.name)), "{}: {}", property.name(), preset.name);
        }
    }
}

/// The checker's predicates and fairness, said in words: at least no class of steps is left out of them.
#[test]
fn every_class_of_steps_is_in_the_chapter_on_the_world() {
    use colo_model::checker::Progress;
    let chapter = chapter("world.md");
    let pair = colo_model::Pair { rules: Rules::V12, bounds: colo_model::Bounds::of(&Rules::V12) };
    for class in pair.classes() {
        let words = class.replace("primary", "N").replace("secondary", "N");
        let words = if words == "a guest does something" { "a guest acts" } else { &words };
        assert!(chapter.contains(&format!("\n| {words} | ")), "{class}");
    }
}

#[test]
fn every_scope_has_its_row() {
    let [world, proven] = ["world.md", "what-is-proven.md"].map(chapter);
    for scope in colo_model::Scope::of(&Rules::V12) {
        assert!(world.contains(&format!("\n| {} | ", scope.name)), "{}", scope.name);
        assert!(proven.contains(scope.name), "{}", scope.name);
    }
}

#[test]
fn what_is_proven_says_of_every_preset_and_property_what_is_known_of_them() {
    let chapter = chapter("what-is-proven.md");
    let names = PRESETS.iter().map(|preset| format!("`{}`", preset.name)).collect::<Vec<_>>().join(" | ");
    assert!(chapter.contains(&format!("| property | {names} |\n")), "{names}");
    let breaks = Property::ALL.map(|property| {
        (property.name(), PRESETS.iter().map(|preset| preset.breaks.contains(&property)).collect::<Vec<_>>())
    });
    let stalls = Liveness::ALL.map(|property| {
        (property.name(), PRESETS.iter().map(|preset| preset.stalls.contains(&property)).collect::<Vec<_>>())
    });
    for (property, broken) in breaks.into_iter().chain(stalls) {
        let row = chapter.lines().find(|line| {
            line.starts_with(&format!("| {property} | ")) && line.matches('|').count() == PRESETS.len() + 2
        });
        let cells: Vec<_> = row.unwrap_or_else(|| panic!("no {property}")).split('|').skip(2).collect();
        for ((preset, cell), broken) in PRESETS.iter().zip(cells).zip(broken) {
            // A preset with a section of its own says there why its row is another.
            if !chapter.contains(&format!("\n## {}\n", preset.name)) {
                assert_eq!(cell.trim() != "holds", broken, "{property} of {}: {cell}", preset.name);
            }
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

/// The example, as a module: the book shows its text, and what it prints.
#[path = "../../model/examples/own_property.rs"]
#[allow(dead_code, reason = "an example has a beginning of its own")]
mod own_property;

#[test]
fn the_walk_to_a_property_is_carried_out() {
    let chapter = chapter("extending.md");
    let example = std::fs::read_to_string(root().join("model/examples/own_property.rs")).unwrap();
    assert_eq!(between_markers(&chapter, "own_property.rs"), example);
    let reports = [("v12", Rules::V12), ("strict", Rules::STRICT)]
        .map(|(name, rules)| format!("{name}\n{}", own_property::report(&rules).unwrap()));
    assert_eq!(between_markers(&chapter, "own_property"), reports.concat());
}

/// How many states there are, and how long anything takes, changes with the bounds; what is said of them does not.
#[test]
fn the_readme_shows_what_check_prints() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let (_, rest) = readme.split_once("$ colo check bug:release-at-suspend\n").unwrap();
    let (shown, _) = rest.split_once("```").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let printed = printed_in(directory.path(), &["check", "bug:release-at-suspend"]);
    assert_eq!(without_figures(shown), without_figures(&printed));
}

#[test]
fn the_walk_to_a_rule_is_carried_out() {
    let (chapter, directory) = (chapter("extending.md"), tempfile::tempdir().unwrap());
    write_file(directory.path(), &chapter, "impatient.toml");
    let printed = printed_in(directory.path(), &["check", "impatient.toml"]);
    assert_shows(&chapter, "colo check impatient.toml", &printed);
    // How many states there are, and how long anything takes, changes with the bounds and with the simulator.
    let variants = ["compare", "v12", "late-release", "remus", "impatient.toml"];
    let printed = without_figures(&printed_in(directory.path(), &variants));
    assert_shows(&without_figures(&chapter), "colo compare", &printed);
}

/// The first try breaks "disk", and nothing else that it claims; what mends it is the preset.
#[test]
fn the_faster_protocol_is_found_and_proven() {
    let (chapter, directory) = (chapter("extending.md"), tempfile::tempdir().unwrap());
    let examples = directory.path().join("examples");
    std::fs::create_dir(&examples).unwrap();
    for file in ["fast-first-try.toml", "fast.toml"] {
        let text = std::fs::read_to_string(root().join("examples").join(file)).unwrap();
        assert_eq!(between_markers(&chapter, file), text);
        write_file(&examples, &chapter, file);
    }
    let broken = |file: &str| -> Vec<String> {
        let arguments = ["check", file, "--json"];
        let check: Value = serde_json::from_str(&printed_in(directory.path(), &arguments)).unwrap();
        assert!(check["scopes"].as_array().unwrap().iter().all(|scope| scope["complete"] == true), "{check}");
        let broken = |property: &&Value| property["claimed"] == true && property["verdict"] != "holds";
        let properties = check["properties"].as_array().unwrap().iter().filter(broken);
        properties.map(|property| property["name"].as_str().unwrap().to_owned()).collect()
    };
    let (first, second) = ("examples/fast-first-try.toml", "examples/fast.toml");
    assert_eq!((broken(first), broken(second)), (vec!["disk".to_owned()], vec![]));
    let loaded = colo_trace::load_rules(examples.join("fast.toml").to_str().unwrap()).unwrap();
    assert_eq!(loaded.rules, Rules::FAST);
    let printed = printed_in(directory.path(), &["check", first]);
    assert_shows(&chapter, "colo check fast-first-try.toml", &printed);
    let printed = without_figures(&printed_in(directory.path(), &["compare", "v12", "fast", "remus"]));
    assert_shows(&without_figures(&chapter), "colo compare v12 fast remus", &printed);
}

#[test]
fn the_walk_to_a_fault_is_carried_out() {
    let (chapter, directory) = (chapter("extending.md"), tempfile::tempdir().unwrap());
    let file = "loses-its-peer.toml";
    write_file(directory.path(), &chapter, file);
    let printed = printed_in(directory.path(), &["sim", "v12", "--seed", "1", "--plan", file]);
    assert_shows(&chapter, "colo sim --plan", &printed);
    let printed = printed_in(directory.path(), &["replay", file, "--rules", "v12", "--on", "model"]);
    assert_shows(&chapter, "colo replay", &printed);
    let printed =
        printed_in(directory.path(), &["replay", file, "--rules", "v12", "--on", "sim", "--seed", "1"]);
    assert!(printed.contains("\nverdict    v12 holds\n"), "{printed}");
}
