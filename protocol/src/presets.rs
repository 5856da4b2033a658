//! The variants of the protocol that have a name: the presets, and the known bugs with what fixed them.

use crate::property::Property;
use crate::rules::{
    Application, DiskCheckpoint, Execution, ExitReasonBy, FailedLoad, FailoverDeferral, PendingRequests,
    ReleasePoint, Rules, UncomparedOutput, UnloadedCheckpoint,
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
    /// QEMU's commit that fixed it; none, as far as is known, if it is empty.
    pub fix: &'static str,
    /// What users saw.
    pub symptom: &'static str,
    /// The fields of the rules that differ from those of a good variant, and their values there.
    pub field: &'static str,
    /// The properties that it breaks: first the one that it is named for, then what follows from it.
    pub breaks: &'static [Property],
    /// The rules.
    pub rules: Rules,
}

impl Bug {
    /// Who fixed it, in words.
    pub fn fixed(&self) -> alloc::string::String {
        if self.fix.is_empty() {
            return "not fixed in QEMU, as far as is known".into();
        }
        alloc::format!("fixed in QEMU by {}", self.fix)
    }
}

/// The presets, the default first.
pub const PRESETS: &[Preset] = &[
    Preset {
        name: "v12",
        summary: "series v12 as its diagram has it: periodic, output released on vmstate-received",
        breaks: &[],
        rules: Rules::V12,
    },
    Preset {
        name: "late-release",
        summary: "series v12 as its final code has it: output released on vmstate-loaded",
        breaks: &[],
        rules: Rules::LATE_RELEASE,
    },
    Preset {
        name: "remus",
        summary: "asynchronous: the primary runs on as soon as its state has been copied aside",
        breaks: &[],
        rules: Rules::REMUS,
    },
    Preset {
        name: "strict",
        summary: "silence is noticed without a manager, and an arbiter lets one node serve alone",
        breaks: &[],
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
        rules: Rules { release: ReleasePoint::AtSuspend, ..Rules::V12 },
    },
    Bug {
        name: "bug:ram-first",
        section: "4.1 #2",
        fix: "24fa16f8cc",
        symptom: "RAM and devices of the survivor do not fit together",
        field: "apply = \"ram-first\"",
        breaks: &[Property::CheckpointAtomicity],
        rules: Rules { apply: Application::RamFirst, ..Rules::V12 },
    },
    Bug {
        name: "bug:failover-while-loading",
        section: "4.1 #5",
        fix: "a8664ba510",
        symptom: "the secondary goes on from a torn VM",
        field: "deferral = \"never\"",
        breaks: &[Property::CheckpointAtomicity, Property::OutputCommit, Property::Promise, Property::Disk],
        rules: Rules { deferral: FailoverDeferral::Never, ..Rules::V12 },
    },
    Bug {
        name: "bug:counted-requests",
        section: "4.2 #22",
        fix: "bb70b66ed7",
        symptom: "N packets that differ cost N checkpoints: 702 kbit/s instead of 16 Mbit/s",
        field: "requests = \"counted\"",
        breaks: &[Property::Coalescing],
        rules: Rules { requests: PendingRequests::Counted, ..HYBRID },
    },
    Bug {
        name: "bug:exit-reason",
        section: "4.2 #26",
        fix: "1fe6ab267f",
        symptom: "COLO_EXIT says error after a failover that succeeded",
        field: "exit_reason = \"request\"",
        breaks: &[Property::ExitReason],
        rules: Rules { exit_reason: ExitReasonBy::Request, ..Rules::V12 },
    },
    Bug {
        name: "bug:load-after-failover",
        section: "4.3 A",
        fix: "",
        symptom: "new memory on the old disk, when lost-heartbeat comes between vmstate-received and the load",
        field: "deferral = \"while-loading\", unloaded = \"loaded-anyway\"",
        breaks: &[Property::Disk],
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
        rules: Rules { failed_load: FailedLoad::Forgotten, ..Rules::V12 },
    },
    Bug {
        name: "bug:uncompared-output",
        section: "4.3 I",
        fix: "",
        symptom: "IPv6, ARP and VLAN output leaves without being compared, and the survivor knows nothing of it",
        field: "uncompared = \"sent-at-once\"",
        breaks: &[Property::OutputCommit, Property::SingleServer],
        rules: Rules { uncompared: UncomparedOutput::SentAtOnce, ..HYBRID },
    },
    Bug {
        name: "bug:untagged-writes",
        section: "5, disk",
        fix: "",
        symptom: "a primary that runs on before vmstate-loaded, over QEMU's block replication: writes of the next epoch",
        field: "resume = \"after-staged\", disk = \"all-writes\"",
        breaks: &[Property::Disk],
        rules: Rules { disk: DiskCheckpoint::AllWrites, ..Rules::REMUS },
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
