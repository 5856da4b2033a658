//! A run as a line of JSON: what `colo sim` writes, and reads again when it resumes a sweep or adds shards up.

use crate::fingerprint::Fingerprint;
use crate::options::Options;
use crate::outcome::Verdict;
use colo_trace::NamedRules;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The version of the lines. Fields may be added, never renamed.
pub const LINE_SCHEMA: u32 = 1;

/// One run as `colo sim --json` prints it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each is the outcome's field of the same name")]
pub struct Line<'a> {
    pub schema: u32,
    /// The rules' name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<Cow<'a, str>>,
    /// What tells the sweep from others: see [`sweep_name`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sweep: Option<Cow<'a, str>>,
    pub seed: u64,
    /// Sixteen hexadecimal digits: a number of JSON cannot hold it.
    pub hash: String,
    pub verdict: Verdict,
    pub property: Option<Cow<'a, str>>,
    pub explanation: Option<Cow<'a, str>>,
    pub claimed: bool,
    pub events: u64,
    pub checkpoints: u64,
    pub failovers: u64,
    #[serde(default)]
    pub pairs: u64,
    #[serde(default)]
    pub protected: bool,
    pub answered: u64,
    pub virtual_us: u64,
    pub faults: BTreeMap<Cow<'a, str>, u64>,
    /// The rare paths that the run took.
    #[serde(default)]
    pub sometimes: Vec<Cow<'a, str>>,
    #[serde(default)]
    pub occasions: Vec<Cow<'a, str>>,
    pub plan: Option<Cow<'a, str>>,
}

/// What two runs have in common when their lines belong to one sweep: the rules and all options, as sixteen
/// hexadecimal digits. The name that the rules have is no part of it.
pub fn sweep_name(rules: &NamedRules, options: &Options) -> String {
    let Options {
        checkpoints,
        clients,
        interval_us,
        replacements,
        plan,
        faults,
        datagrams,
        manager,
        watch,
        record: _,
    } = options;
    let mut print = Fingerprint::new();
    print.bytes(format!("{:?}", rules.rules).as_bytes());
    print.bytes(
        format!(
            "{checkpoints} {clients} {interval_us:?} {replacements:?} {plan:?} {faults} {datagrams} {manager} \
             {watch:?}"
        )
        .as_bytes(),
    );
    format!("{:016x}", print.value())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run;
    use colo_trace::load_rules;

    #[test]
    fn a_line_reads_as_it_is_written() {
        let rules = load_rules("bug:release-at-suspend").unwrap();
        let outcome = run(&rules, 2, &Options::default());
        let line = Line { rules: Some("x".into()), ..outcome.line(Some("plan.toml")) };
        let text = serde_json::to_string(&line).unwrap();
        assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), line);
    }

    #[test]
    fn a_sweep_is_told_from_others() {
        let (v12, remus) = (load_rules("v12").unwrap(), load_rules("remus").unwrap());
        let usual = Options::default();
        let name = sweep_name(&v12, &usual);
        assert_eq!(name, sweep_name(&v12, &Options { record: true, ..usual.clone() }));
        assert_ne!(name, sweep_name(&remus, &usual));
        assert_ne!(name, sweep_name(&v12, &Options { clients: 3, ..usual.clone() }));
        assert_ne!(name, sweep_name(&v12, &Options { faults: false, ..usual }));
    }
}
