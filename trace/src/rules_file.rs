//! Rules by name or from a TOML file: `base = "v12"`, then the fields that differ. Unknown keys are refused.

use colo_protocol::{BUGS, PRESETS, Rules, rules_named};
use serde::{Deserialize, Serialize};
use std::path::Path;
use thiserror::Error;
use toml::Table;

/// The largest rules file that is read, bytes.
const MAX_RULES_BYTES: usize = 1 << 16;

/// Rules and what they are called.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NamedRules {
    /// A preset's or bug's name, or the file's.
    pub name: String,
    /// The rules.
    pub rules: Rules,
}

/// Rules that cannot be found or read.
#[derive(Debug, Error)]
pub enum RulesError {
    /// Neither a name nor a file.
    #[error("there are no rules {name:?}; expected one of {known}, or a TOML file")]
    Unknown {
        /// What was asked for.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// The file cannot be read.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: String,
        /// Why not.
        error: std::io::Error,
    },
    /// The file is not rules.
    #[error("{path}: {problem}")]
    Syntax {
        /// The file.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// The rules that `name` means: a preset, a known bug, or the path of a TOML file.
pub fn load_rules(name: &str) -> Result<NamedRules, RulesError> {
    if let Some(rules) = rules_named(name) {
        return Ok(NamedRules { name: name.to_owned(), rules });
    }
    let path = Path::new(name);
    if !path.exists() && path.extension().is_none() && path.components().count() == 1 {
        return Err(RulesError::Unknown { name: name.to_owned(), known: known_names() });
    }
    let io = |error| RulesError::Io { path: name.to_owned(), error };
    let size = path.metadata().map_err(io)?.len();
    expect_small(size).map_err(|problem| RulesError::Syntax { path: name.to_owned(), problem })?;
    let text = std::fs::read(path).map_err(io)?;
    let text = String::from_utf8(text).map_err(|error| RulesError::Syntax {
        path: name.to_owned(),
        problem: format!("{error}, expected rules in TOML"),
    })?;
    let rules =
        rules_from_toml(&text).map_err(|problem| RulesError::Syntax { path: name.to_owned(), problem })?;
    Ok(NamedRules { name: name.to_owned(), rules })
}

fn expect_small(bytes: u64) -> Result<(), String> {
    if bytes > MAX_RULES_BYTES as u64 {
        return Err(format!("{bytes} bytes, expected at most {MAX_RULES_BYTES}"));
    }
    Ok(())
}

/// All names of presets and bugs, for a person.
fn known_names() -> String {
    let presets = PRESETS.iter().map(|preset| preset.name);
    presets.chain(BUGS.iter().map(|bug| bug.name)).collect::<Vec<_>>().join(", ")
}

/// Rules as the fields of a TOML file, without a base.
pub fn rules_to_toml(rules: &Rules) -> Result<String, toml::ser::Error> {
    toml::to_string(rules)
}

/// A file's fields, laid over those of its base; or what is wrong with them, for a person.
pub fn rules_from_toml(text: &str) -> Result<Rules, String> {
    expect_small(text.len() as u64)?;
    let mut fields: Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
    if fields.is_empty() {
        return Err(
            "there is nothing in it, expected at least a base, for instance base = \"v12\"".to_owned()
        );
    }
    let base = match fields.remove("base") {
        None => Rules::default(),
        Some(toml::Value::String(name)) => {
            rules_named(&name).ok_or_else(|| format!("base = {name:?}, expected one of {}", known_names()))?
        }
        Some(other) => return Err(format!("base = {other}, expected a name in quotes")),
    };
    let mut merged = Table::try_from(Base { rules: base }).map_err(|error| error.to_string())?;
    for (name, value) in fields {
        let line = line_of(text, &name);
        if let Some(toml::Value::Table(rules)) = merged.get_mut("rules") {
            rules.insert(name, value);
        }
        let checked: Result<Base, toml::de::Error> = merged.clone().try_into();
        checked.map_err(|error| format!("line {line}: {}", error.message()))?;
    }
    merged.try_into().map(|Base { rules }| rules).map_err(|error: toml::de::Error| error.message().to_owned())
}

/// The line, from 1, on which a field is set.
fn line_of(text: &str, name: &str) -> usize {
    let sets = |line: &str| line.trim_start().trim_start_matches('"').starts_with(name);
    text.lines().position(sets).map_or(1, |index| index + 1)
}

#[derive(Serialize, Deserialize)]
struct Base {
    rules: Rules,
}

#[cfg(test)]
mod tests {
    use super::*;
    use colo_protocol::ReleasePoint;

    #[test]
    fn fields_are_laid_over_the_base() {
        let rules = rules_from_toml("base = \"v12\"\nrelease = \"after-loaded\"").unwrap();
        assert_eq!(rules, Rules { release: ReleasePoint::AfterLoaded, ..Rules::V12 });
    }

    #[test]
    fn rules_read_as_they_are_written() {
        for preset in PRESETS {
            assert_eq!(rules_from_toml(&rules_to_toml(&preset.rules).unwrap()), Ok(preset.rules));
        }
    }

    #[test]
    fn bad_rules_say_what_is_wrong() {
        for (text, problem) in [
            ("base = \"v13\"", "base = \"v13\", expected one of v12, late-release"),
            ("base = 12", "base = 12, expected a name in quotes"),
            ("", "there is nothing in it"),
            ("# v12\nbase = \"v12\"\nreleese = \"after-loaded\"", "line 3: unknown field `releese`"),
            ("release = \"sometimes\"", "unknown variant `sometimes`"),
            ("release =", "TOML parse error at line 1"),
            (&" ".repeat(MAX_RULES_BYTES + 1), "65537 bytes, expected at most 65536"),
        ] {
            let error = rules_from_toml(text).unwrap_err();
            assert!(error.contains(problem), "{error}");
        }
    }

    /// What a known bug says of its fields is what a file has to say.
    #[test]
    fn the_fields_of_a_known_bug_make_it() {
        let hybrid = "dialect = \"current\"\nexecution = \"hybrid\"";
        let bases = ["base = \"v12\"", "base = \"remus\"", "base = \"strict\"", hybrid];
        for bug in BUGS {
            let fields = bug.field.replace(", ", "\n");
            let made = bases.map(|base| rules_from_toml(&format!("{base}\n{fields}")).unwrap());
            assert!(made.contains(&bug.rules), "{}: {}", bug.name, bug.field);
        }
    }

    #[test]
    fn unknown_names_list_the_known_ones() {
        let error = load_rules("v14").unwrap_err().to_string();
        for known in PRESETS.iter().map(|preset| preset.name).chain(BUGS.iter().map(|bug| bug.name)) {
            assert!(error.contains(known), "{error}");
        }
    }
}
