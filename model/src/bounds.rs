//! How far the model goes: the number of checkpoints, and a budget for everything that may happen to the pair.

use colo_protocol::{Property, Rules, UncomparedOutput};
use serde::{Deserialize, Serialize};

/// What may happen how often. In [`Bounds`] it is what is allowed, in a state what has been spent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Budgets {
    /// Units of output that the primary produces, or a survivor; a secondary that executes too produces as many.
    pub outputs: u8,
    /// Units of output among them that the comparison does not understand.
    pub uncompared: u8,
    /// Times that the secondary's execution leaves the primary's.
    pub mismatches: u8,
    /// Times that output waits for its like for too long.
    pub held_outputs: u8,
    /// Writes to the disk in each epoch; nothing is noted of them as spent: a VM counts what no checkpoint has captured.
    pub disk_writes: u8,
    /// The same of a secondary's guest that executes beside the primary's.
    pub secondary_writes: u8,
    /// Guests that power off.
    pub shutdowns: u8,
    /// Guests that are reset.
    pub resets: u8,
    /// Survivors to which a replacement comes; of what is spent, none is given back.
    pub replacements: u8,
    /// Pairs of which one lacks the capability x-colo.
    pub missing_capabilities: u8,
    /// Deaths of a node.
    pub crashes: u8,
    /// Cuts of the link, which lose what is in flight.
    pub cuts: u8,
    /// Links that deliver nothing for a while.
    pub stalls: u8,
    /// Links that deliver nothing any more, without a word.
    pub blackholes: u8,
    /// Links that deliver nothing any more in one of their directions.
    pub partitions: u8,
    /// Arrivals that cannot be read any more.
    pub corruptions: u8,
    /// A peer that is alive, and can be heard, taken for dead.
    pub wrong_suspicions: u8,
    /// Loads that fail.
    pub load_errors: u8,
    /// States that cannot be captured.
    pub save_errors: u8,
    /// Disks that cannot do what they are asked for: start, checkpoint, failover.
    pub disk_errors: u8,
}

impl Budgets {
    /// Whether anything that is a fault has been spent.
    pub fn any_fault(&self) -> bool {
        [
            self.crashes,
            self.cuts,
            self.stalls,
            self.blackholes,
            self.partitions,
            self.corruptions,
            self.wrong_suspicions,
            self.load_errors,
            self.save_errors,
            self.disk_errors,
            self.missing_capabilities,
        ]
        .iter()
        .any(|spent| *spent > 0)
    }

    /// Names and values, in the order of the command line's flags.
    pub const fn named(&self) -> [(&'static str, u8); 20] {
        [
            ("outputs", self.outputs),
            ("uncompared", self.uncompared),
            ("mismatches", self.mismatches),
            ("held_outputs", self.held_outputs),
            ("disk_writes", self.disk_writes),
            ("secondary_writes", self.secondary_writes),
            ("shutdowns", self.shutdowns),
            ("resets", self.resets),
            ("replacements", self.replacements),
            ("missing_capabilities", self.missing_capabilities),
            ("crashes", self.crashes),
            ("cuts", self.cuts),
            ("stalls", self.stalls),
            ("blackholes", self.blackholes),
            ("partitions", self.partitions),
            ("corruptions", self.corruptions),
            ("wrong_suspicions", self.wrong_suspicions),
            ("load_errors", self.load_errors),
            ("save_errors", self.save_errors),
            ("disk_errors", self.disk_errors),
        ]
    }
}

/// What seldom fails, each once, and nothing else.
const SELDOM: Budgets = Budgets {
    missing_capabilities: 1,
    corruptions: 1,
    save_errors: 1,
    disk_errors: 1,
    outputs: 0,
    uncompared: 0,
    mismatches: 0,
    held_outputs: 0,
    disk_writes: 0,
    secondary_writes: 0,
    shutdowns: 0,
    resets: 0,
    replacements: 0,
    crashes: 0,
    cuts: 0,
    stalls: 0,
    blackholes: 0,
    partitions: 0,
    wrong_suspicions: 0,
    load_errors: 0,
};

/// The most checkpoints that a check can count: a state keeps their numbers in a byte.
pub const MAX_CHECKPOINTS: u64 = 60;

/// As many checkpoints as ever come. States are the same that differ only by how many there were.
pub const UNBOUNDED: u64 = u64::MAX;

/// The bounds of a check.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Bounds {
    /// Checkpoints that the primary begins: at most [`MAX_CHECKPOINTS`], or [`UNBOUNDED`].
    pub checkpoints: u64,
    /// What may happen besides.
    pub budgets: Budgets,
}

impl Bounds {
    /// Whether checkpoints are not counted.
    pub const fn is_unbounded(&self) -> bool {
        self.checkpoints == UNBOUNDED
    }

    /// The bounds of a check of these rules, if nobody asks for others: a wrong suspicion only where it should do no
    /// harm, and what concerns the comparison only where there is one.
    pub fn of(rules: &Rules) -> Self {
        let hybrid = u8::from(rules.is_hybrid());
        let budgets = Budgets {
            outputs: 2,
            uncompared: u8::from(rules.uncompared == UncomparedOutput::SentAtOnce),
            mismatches: hybrid,
            disk_writes: 1,
            crashes: 1,
            cuts: 1,
            wrong_suspicions: u8::from(rules.claims(Property::SingleServer, true)),
            load_errors: 1,
            ..Budgets::default()
        };
        Self { checkpoints: UNBOUNDED, budgets }
    }

    /// Bounds within which a survivor is protected again, and the new pair fails over as well: a death more.
    pub fn protected_again(rules: &Rules) -> Self {
        let usual = Self::of(rules).budgets;
        let budgets = Budgets { outputs: 1, crashes: 2, cuts: 0, load_errors: 0, replacements: 1, ..usual };
        Self { checkpoints: UNBOUNDED, budgets }
    }

    /// Bounds within which a guest powers off.
    pub fn powering_off(rules: &Rules) -> Self {
        let usual = Self::of(rules).budgets;
        let budgets = Budgets { outputs: 1, disk_writes: 0, load_errors: 0, shutdowns: 1, ..usual };
        Self { checkpoints: UNBOUNDED, budgets }
    }

    /// Bounds within which a link stops to deliver, for a while or for ever, and nobody is told.
    pub fn silent(rules: &Rules) -> Self {
        let usual = Self::of(rules).budgets;
        let budgets = Budgets { outputs: 1, disk_writes: 0, cuts: 0, stalls: 1, blackholes: 1, ..usual };
        Self { checkpoints: UNBOUNDED, budgets }
    }

    /// Bounds within which each thing that seldom fails does once, beside a crash and a failed load.
    pub fn seldom() -> Self {
        let budgets = Budgets { outputs: 1, resets: 1, partitions: 1, load_errors: 1, ..SELDOM };
        Self { checkpoints: UNBOUNDED, budgets: Budgets { crashes: 1, ..budgets } }
    }

    /// The same for a new pair, whose guest wants to power off: nothing of it is seen from outside.
    pub fn seldom_with_a_replacement() -> Self {
        let budgets = Budgets { crashes: 2, shutdowns: 1, replacements: 1, ..SELDOM };
        Self { checkpoints: UNBOUNDED, budgets }
    }

    /// Bounds within which both VMs' output is compared, also of a new pair, and both write.
    pub fn compared() -> Self {
        let budgets = Budgets {
            outputs: 2,
            mismatches: 1,
            held_outputs: 1,
            secondary_writes: 1,
            crashes: 1,
            replacements: 1,
            ..Budgets::default()
        };
        Self { checkpoints: UNBOUNDED, budgets }
    }
}

/// Some bounds, and what they are for. What one check could not look at all together, several look at in turn.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Scope {
    /// What it is for, in a few words.
    pub name: &'static str,
    /// The bounds.
    pub bounds: Bounds,
}

impl Scope {
    /// The scopes of a check of these rules, if nobody asks for bounds of their own: in them together everything that
    /// there is a budget for happens, and every transition is taken.
    pub fn of(rules: &Rules) -> Vec<Self> {
        let compared = Self { name: "two VMs are compared", bounds: Bounds::compared() };
        let seldom = [
            Self { name: "what seldom fails", bounds: Bounds::seldom() },
            Self { name: "the same with a replacement", bounds: Bounds::seldom_with_a_replacement() },
        ];
        let compared = rules.is_hybrid().then_some(compared);
        Self::usual(rules).into_iter().chain(seldom).chain(compared).collect()
    }

    /// Those in which a pair survives what it is there for.
    pub fn usual(rules: &Rules) -> [Self; 4] {
        [
            Self { name: "crash, cut, failed load", bounds: Bounds::of(rules) },
            Self { name: "protected again", bounds: Bounds::protected_again(rules) },
            Self { name: "a guest powers off", bounds: Bounds::powering_off(rules) },
            Self { name: "a link that says nothing", bounds: Bounds::silent(rules) },
        ]
    }
}
