//! The variants of the protocol that have a name: the presets, and the known bugs with what fixed them.

use crate::property::Property;
use crate::rules::{FailoverDeferral, ReleasePoint, Rules};

/// A variant that somebody stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Preset {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub summary: &'static str,
    /// The rules.
    pub rules: Rules,
}

/// A variant that somebody shipped, and that was wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bug {
    /// Its name on the command line.
    pub name: &'static str,
    /// The section of the protocol book, and its number there.
    pub section: &'static str,
    /// QEMU's commit that fixed it.
    pub fix: &'static str,
    /// What users saw.
    pub symptom: &'static str,
    /// The field of the rules that differs from the preset, and its value there.
    pub field: &'static str,
    /// The properties that it breaks: first the one that it is named for, then what follows from it.
    pub breaks: &'static [Property],
    /// The rules.
    pub rules: Rules,
}

/// The presets, the default first.
pub const PRESETS: &[Preset] = &[
    Preset {
        name: "v12",
        summary: "series v12 as its diagram has it: periodic, output released on vmstate-received",
        rules: Rules::V12,
    },
    Preset {
        name: "late-release",
        summary: "series v12 as its final code has it: output released on vmstate-loaded",
        rules: Rules::LATE_RELEASE,
    },
    Preset {
        name: "remus",
        summary: "asynchronous: the primary runs on as soon as its state has been copied aside",
        rules: Rules::REMUS,
    },
    Preset {
        name: "strict",
        summary: "silence is noticed without a manager, and an arbiter lets one node serve alone",
        rules: Rules::STRICT,
    },
];

/// The known bugs.
pub const BUGS: &[Bug] = &[
    Bug {
        name: "bug:release-at-suspend",
        section: "4.1 #1",
        fix: "4fa8ed25b8",
        symptom: "client connections are reset at failover",
        field: "release = \"at-suspend\"",
        breaks: &[Property::OutputCommit, Property::SingleServer],
        rules: Rules { release: ReleasePoint::AtSuspend, ..Rules::V12 },
    },
    Bug {
        name: "bug:failover-while-loading",
        section: "4.1 #5",
        fix: "a8664ba510",
        symptom: "the secondary goes on from a torn VM",
        field: "deferral = \"never\"",
        breaks: &[Property::CheckpointAtomicity, Property::OutputCommit, Property::Promise],
        rules: Rules { deferral: FailoverDeferral::Never, ..Rules::V12 },
    },
];

/// The rules of a preset or bug.
pub fn rules_named(name: &str) -> Option<Rules> {
    let preset = PRESETS.iter().find(|preset| preset.name == name).map(|preset| preset.rules);
    preset.or_else(|| BUGS.iter().find(|bug| bug.name == name).map(|bug| bug.rules))
}

/// The known bug of this name.
pub fn bug_named(name: &str) -> Option<&'static Bug> {
    BUGS.iter().find(|bug| bug.name == name)
}
