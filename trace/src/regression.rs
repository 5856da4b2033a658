//! Regressions: a plan that once broke something, with all that it takes to break it again.
//!
//! A regression is a plan's file with one table more, `[regression]`: whoever follows plans follows it as it stands,
//! and whoever knows the table needs nothing else. It is written by the simulator, read by people, and committed.

use crate::plan::{Plan, PlanError};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use toml::Table;

/// The name of the table.
const TABLE: &str = "regression";

/// What a regression knows besides its plan.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Head {
    /// The rules that break: a preset, a known bug, or a TOML file as seen from where it is replayed.
    pub rules: String,
    /// The seed of the surroundings.
    #[serde(serialize_with = "write_seed", deserialize_with = "read_seed")]
    pub seed: u64,
    /// Checkpoints until the run drains.
    pub checkpoints: u64,
    /// Clients.
    pub clients: u32,
    /// Microseconds between checkpoints, where they are not the rules' own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval_us: Option<u64>,
    /// Replacements at hand; none for as many as the seed draws.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replacements: Option<u64>,
    /// Whether the link carries datagrams.
    #[serde(default, skip_serializing_if = "is_false")]
    pub datagrams: bool,
    /// Whether no manager tells a node that its peer is gone.
    #[serde(default, skip_serializing_if = "is_false")]
    pub no_manager: bool,
    /// The property that breaks.
    pub property: String,
    /// How, in a sentence.
    pub explanation: String,
    /// The command, or the test, that found it.
    pub found_by: String,
}

/// A plan and its head.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Regression {
    /// All but the plan.
    pub head: Head,
    /// The plan.
    pub plan: Plan,
}

/// What a file of a plan holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlanFile {
    /// The head, if it is a regression's.
    pub head: Option<Head>,
    /// The plan.
    pub plan: Plan,
}

impl PlanFile {
    /// Reads a plan, or a regression, from TOML.
    pub fn from_toml(text: &str) -> Result<Self, PlanError> {
        // A plan says by itself on which line it is wrong, and that it is too large.
        let Ok(mut table) = text.parse::<Table>() else {
            return Plan::from_toml(text).map(|plan| Self { head: None, plan });
        };
        let Some(head) = table.remove(TABLE) else {
            return Plan::from_toml(text).map(|plan| Self { head: None, plan });
        };
        let syntax = |problem: &str| PlanError::Syntax(format!("[{TABLE}]: {problem}"));
        let head: Head = head.try_into().map_err(|error: toml::de::Error| syntax(error.message()))?;
        let rest = toml::to_string(&table).map_err(|error| syntax(&error.to_string()))?;
        Ok(Self { head: Some(head), plan: Plan::from_toml(&rest)? })
    }
}

impl Regression {
    /// Reads a regression from TOML.
    pub fn from_toml(text: &str) -> Result<Self, PlanError> {
        let PlanFile { head, plan } = PlanFile::from_toml(text)?;
        let head = head.ok_or_else(|| PlanError::Syntax(format!("the table [{TABLE}] is missing")))?;
        Ok(Self { head, plan })
    }

    /// Writes the regression as TOML.
    pub fn to_toml(&self) -> Result<String, PlanError> {
        #[derive(Serialize)]
        struct Written<'a> {
            regression: &'a Head,
        }
        let plan = self.plan.to_toml()?;
        let head = toml::to_string(&Written { regression: &self.head });
        let head = head.map_err(|error| PlanError::Syntax(error.to_string()))?;
        // The version stands before all tables.
        let (schema, rest) = plan.split_once('\n').unwrap_or((&plan, ""));
        Ok(format!("{schema}\n\n{head}{rest}"))
    }

    /// A file name for it: the rules, the property, the seed.
    pub fn file_name(&self) -> String {
        let stem = std::path::Path::new(&self.head.rules).file_stem().unwrap_or_default().to_string_lossy();
        let plain = |text: &str| text.replace([' ', ':'], "-");
        format!("{}.{}.{}.toml", plain(&stem), plain(&self.head.property), self.head.seed)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_false(value: &bool) -> bool {
    !value
}

/// A number of TOML has a sign: what is larger stands in quotes.
fn write_seed<S: Serializer>(seed: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    match i64::try_from(*seed) {
        Ok(number) => serializer.serialize_i64(number),
        Err(_) => serializer.serialize_str(&seed.to_string()),
    }
}

fn read_seed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(u64),
        Text(String),
    }
    match Written::deserialize(deserializer)? {
        Written::Number(number) => Ok(number),
        Written::Text(text) => text.parse().map_err(serde::de::Error::custom),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"schema = 1

[regression]
rules = "bug:release-at-suspend"
seed = 2
checkpoints = 1
clients = 1
property = "output commit"
explanation = "the secondary is promoted with a history of 0 units of output"
found-by = "colo sim bug:release-at-suspend --seeds 0..1000"

[[fault]]
at = "primary checkpoint 1 before effect send-ram"
action = "crash"
node = "primary"
"#;

    #[test]
    fn a_regression_reads_as_it_is_written() {
        let regression = Regression::from_toml(TEXT).unwrap();
        assert_eq!(regression.to_toml().unwrap(), TEXT);
        assert_eq!(regression.file_name(), "bug-release-at-suspend.output-commit.2.toml");
        assert_eq!(PlanFile::from_toml(TEXT).unwrap().plan, regression.plan);
    }

    #[test]
    fn a_seed_may_be_any() {
        let mut regression = Regression::from_toml(TEXT).unwrap();
        regression.head.seed = u64::MAX;
        let text = regression.to_toml().unwrap();
        assert!(text.contains("seed = \"18446744073709551615\""), "{text}");
        assert_eq!(Regression::from_toml(&text).unwrap(), regression);
    }

    #[test]
    fn a_plan_is_a_plan_without_a_head() {
        let (_, plan) = TEXT.split_once("[[fault]]").unwrap();
        let plan = format!("schema = 1\n[[fault]]{plan}");
        let file = PlanFile::from_toml(&plan).unwrap();
        assert!(file.head.is_none() && file.plan.faults.len() == 1);
        let error = Regression::from_toml(&plan).unwrap_err().to_string();
        assert!(error.contains("the table [regression] is missing"), "{error}");
    }

    #[test]
    fn a_bad_regression_says_what_is_wrong() {
        for (from, to, problem) in [
            ("seed = 2\n", "", "[regression]: missing field `seed`"),
            ("clients = 1", "client = 1", "[regression]: unknown field `client`"),
            ("seed = 2", "seed = -2", "[regression]"),
            ("action = \"crash\"", "action = \"explode\"", "unknown variant `explode`"),
            ("schema = 1", "schema = 2", "a fault plan of schema 2, expected 1"),
            ("[regression]", "[regression", "at line 3"),
        ] {
            let error = PlanFile::from_toml(&TEXT.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
    }
}
