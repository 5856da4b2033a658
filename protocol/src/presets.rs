//! The variants of the protocol that have a name: the presets, and the known bugs with what fixed them.

use crate::liveness::Liveness;
use crate::property::Property;
use crate::rules::{
    Abort, Application, Detection, DiskCheckpoint, Execution, ExitReasonBy, FailedLoad, FailoverDeferral,
    PendingRequests, PendingShutdown, Relaunch, ReleasePoint, Rules, UncomparedOutput, UnloadedCheckpoint,
};

/// A variant that somebody stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Preset {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub summary: &'static str,
    /// The properties that it breaks although it claims them: what there is to find in it. None, for a good one.
    pub breaks: &'static [Property],
    /// The liveness properties that it is known to break, whether it claims them or not.
    pub stalls: &'static [Liveness],
    /// What no check of it ever sees although it should, and why. A check that sees it fails.
    pub vacuous: &'static [Excuse],
    /// The rules.
    pub rules: Rules,
}

/// Something that a check should see and never does, and why that is as it should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Excuse {
    /// Its name, as the check has it: of a property, an action, a transition.
    pub name: &'static str,
    /// Why nobody can ever see it.
    pub reason: &'static str,
}

/// A variant that somebody shipped, and that was wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bug {
    /// Its name on the command line.
    pub name: &'static str,
    /// The section of the protocol book, and its number there.
    pub section: &'static str,
    /// QEMU's commit that fixed it; none, as far as is known, if it is empty.
    pub fix: &'static str,
    /// What users saw.
    pub symptom: &'static str,
    /// The fields of the rules that differ from those of a good variant, and their values there.
    pub field: &'static str,
    /// The safety properties that it breaks: first the one that it is named for, if it is a safety bug, then what follows
    /// from it.
    pub breaks: &'static [Property],
    /// The liveness property that it is named for, if it is a liveness bug.
    pub stalls: Option<Liveness>,
    /// The rules.
    pub rules: Rules,
}

impl Bug {
    /// The name of the property that it is named for.
    pub const fn named_for(&self) -> &'static str {
        match (self.stalls, self.breaks) {
            (Some(liveness), _) => liveness.name(),
            (None, [safety, ..]) => safety.name(),
            (None, []) => "",
        }
    }

    /// Who fixed it, in words.
    pub fn fixed(&self) -> alloc::string::String {
        if self.fix.is_empty() {
            return "not fixed in QEMU, as far as is known".into();
        }
        alloc::format!("fixed in QEMU by {}", self.fix)
    }
}

/// What nobody claims where a manager has to see to it, and what no manager sees: a silent link.
const LEFT_TO_A_MANAGER: &[Liveness] =
    &[Liveness::UnattendedRecovery, Liveness::CheckpointEnds, Liveness::Release];

/// The presets, the default first.
pub const PRESETS: &[Preset] = &[
    Preset {
        name: "v12",
        summary: "series v12 as its diagram has it: periodic, output released on vmstate-received",
        breaks: &[],
        stalls: LEFT_TO_A_MANAGER,
        vacuous: &[],
        rules: Rules::V12,
    },
    Preset {
        name: "late-release",
        summary: "series v12 as its final code has it: output released on vmstate-loaded",
        breaks: &[],
        stalls: LEFT_TO_A_MANAGER,
        vacuous: &[],
        rules: Rules::LATE_RELEASE,
    },
    Preset {
        name: "remus",
        summary: "asynchronous: the primary runs on as soon as its state has been copied aside",
        breaks: &[],
        stalls: LEFT_TO_A_MANAGER,
        vacuous: &[],
        rules: Rules::REMUS,
    },
    Preset {
        name: "fast",
        summary: "synchronous: the primary runs on when the secondary has the state, before that is loaded",
        breaks: &[],
        stalls: LEFT_TO_A_MANAGER,
        vacuous: &[],
        rules: Rules::FAST,
    },
    Preset {
        name: "strict",
        summary: "silence is noticed without a manager, and an arbiter lets one node serve alone",
        breaks: &[],
        stalls: &[],
        vacuous: &[],
        rules: Rules::STRICT,
    },
    Preset {
        name: "qemu",
        summary: "QEMU as it is today, gaps included: both VMs execute, their output is compared",
        breaks: &[
            Property::OutputCommit,
            Property::SingleServer,
            Property::CheckpointAtomicity,
            Property::Promise,
            Property::Disk,
        ],
        stalls: &[
            Liveness::UnattendedRecovery,
            Liveness::CheckpointEnds,
            Liveness::Release,
            Liveness::Shutdown,
        ],
        vacuous: &[Excuse {
            name: "primary wait-ready outputs-differ wait-ready",
            reason: "what a survivor withholds when its replacement is ready is in the state that this one was given",
        }],
        rules: Rules::QEMU,
    },
];

/// A good variant in which both VMs execute, for the bugs of the comparison.
const HYBRID: Rules = Rules { dialect: crate::Dialect::Current, execution: Execution::Hybrid, ..Rules::V12 };

/// The known bugs.
pub const BUGS: &[Bug] = &[
    Bug {
        name: "bug:release-at-suspend",
        section: "4.1 #1",
        fix: "4fa8ed25b8",
        symptom: "client connections are reset at failover",
        field: "release = \"at-suspend\"",
        breaks: &[Property::OutputCommit, Property::SingleServer],
        stalls: None,
        rules: Rules { release: ReleasePoint::AtSuspend, ..Rules::V12 },
    },
    Bug {
        name: "bug:ram-first",
        section: "4.1 #2",
        fix: "24fa16f8cc",
        symptom: "RAM and devices of the survivor do not fit together",
        field: "apply = \"ram-first\"",
        breaks: &[Property::CheckpointAtomicity],
        stalls: None,
        rules: Rules { apply: Application::RamFirst, ..Rules::V12 },
    },
    Bug {
        name: "bug:failover-while-loading",
        section: "4.1 #5",
        fix: "a8664ba510",
        symptom: "the secondary goes on from a torn VM",
        field: "deferral = \"never\"",
        breaks: &[Property::CheckpointAtomicity, Property::OutputCommit, Property::Promise, Property::Disk],
        stalls: None,
        rules: Rules { deferral: FailoverDeferral::Never, ..Rules::V12 },
    },
    Bug {
        name: "bug:counted-requests",
        section: "4.2 #22",
        fix: "bb70b66ed7",
        symptom: "N packets that differ cost N checkpoints: 702 kbit/s instead of 16 Mbit/s",
        field: "requests = \"counted\"",
        breaks: &[Property::Coalescing],
        stalls: None,
        rules: Rules { requests: PendingRequests::Counted, ..HYBRID },
    },
    Bug {
        name: "bug:exit-reason",
        section: "4.2 #26",
        fix: "1fe6ab267f",
        symptom: "COLO_EXIT says error after a failover that succeeded",
        field: "exit_reason = \"request\"",
        breaks: &[Property::ExitReason],
        stalls: None,
        rules: Rules { exit_reason: ExitReasonBy::Request, ..Rules::V12 },
    },
    Bug {
        name: "bug:load-after-failover",
        section: "4.3 A",
        fix: "",
        symptom: "new memory on the old disk, when lost-heartbeat comes between vmstate-received and the load",
        field: "deferral = \"while-loading\", unloaded = \"loaded-anyway\"",
        breaks: &[Property::Disk],
        stalls: None,
        rules: Rules {
            deferral: FailoverDeferral::WhileLoading,
            unloaded: UnloadedCheckpoint::LoadedAnyway,
            ..Rules::V12
        },
    },
    Bug {
        name: "bug:failed-load-forgotten",
        section: "4.3 E",
        fix: "",
        symptom: "a device that cannot be loaded after vmstate-received: the survivor is half of each checkpoint",
        field: "failed_load = \"forgotten\"",
        breaks: &[Property::CheckpointAtomicity, Property::OutputCommit, Property::Promise],
        stalls: None,
        rules: Rules { failed_load: FailedLoad::Forgotten, ..Rules::V12 },
    },
    Bug {
        name: "bug:uncompared-output",
        section: "4.3 I",
        fix: "",
        symptom: "IPv6, ARP and VLAN output leaves without being compared, and the survivor knows nothing of it",
        field: "uncompared = \"sent-at-once\"",
        breaks: &[Property::OutputCommit, Property::SingleServer],
        stalls: None,
        rules: Rules { uncompared: UncomparedOutput::SentAtOnce, ..HYBRID },
    },
    Bug {
        name: "bug:untagged-writes",
        section: "5, disk",
        fix: "",
        symptom: "a primary that runs on before vmstate-loaded, over QEMU's block replication: writes of the next epoch",
        field: "resume = \"after-staged\", disk = \"all-writes\"",
        breaks: &[Property::Disk],
        stalls: None,
        rules: Rules { disk: DiskCheckpoint::AllWrites, ..Rules::REMUS },
    },
    Bug {
        name: "bug:waits-for-a-manager",
        section: "4.3 D",
        fix: "",
        symptom: "after any error nobody serves until somebody outside says x-colo-lost-heartbeat",
        field: "detection = \"external\"",
        breaks: &[],
        stalls: Some(Liveness::UnattendedRecovery),
        rules: Rules { detection: Detection::External, ..Rules::STRICT },
    },
    Bug {
        name: "bug:forgotten-shutdown",
        section: "4.3 F",
        fix: "",
        symptom: "a guest that wanted to power off never does, when a failover comes between",
        field: "shutdown = \"forgotten\"",
        breaks: &[],
        stalls: Some(Liveness::Shutdown),
        rules: Rules { shutdown: PendingShutdown::Forgotten, ..Rules::V12 },
    },
    Bug {
        name: "bug:relaunch-forgotten",
        section: "4.2 #14",
        fix: "92c932de6c",
        symptom: "the secondary waits for ever when the load fails for which a failover waits",
        field: "relaunch = \"after-success\"",
        breaks: &[],
        stalls: Some(Liveness::DeferredFailoverCompletes),
        rules: Rules { relaunch: Relaunch::AfterSuccess, ..Rules::V12 },
    },
    Bug {
        name: "bug:no-abort",
        section: "4.2 #16",
        fix: "c937b9a6db",
        symptom: "a failover waits until TCP gives the connection up",
        field: "abort = \"never\"",
        breaks: &[],
        stalls: Some(Liveness::FailoverCompletes),
        rules: Rules { abort: Abort::Never, ..Rules::V12 },
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

/// What no check of these rules sees although it should: what the preset that they are says of itself. A variant that is
/// no preset is given what any of them says.
pub fn excuses(rules: &Rules) -> impl Iterator<Item = Excuse> {
    let own = PRESETS.iter().find(|preset| preset.rules == *rules);
    let presets = own.map_or(PRESETS, core::slice::from_ref);
    presets.iter().flat_map(|preset| preset.vacuous.iter().copied())
}
