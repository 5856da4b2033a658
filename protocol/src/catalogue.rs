//! Every documented defect of COLO, with where it is in this project: a rule, a mutation of the core, or why neither.
//!
//! Sections and numbers are those of the protocol book; hashes are QEMU's commits. What a rule can say is in
//! [`crate::BUGS`]; a slip that nobody decided is a patch under `mutations/`.

/// What a defect breaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Nature {
    /// Something happens that may not.
    Safety,
    /// Something never happens that should.
    Liveness,
}

/// Where a defect is in this project.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// A value of the rules: the known bug of this name.
    Rule(&'static str),
    /// A patch to the core, by its name under `mutations/`, and the name of the property that it breaks.
    Mutation(&'static str, &'static str),
    /// Not in the core; why.
    Outside(&'static str),
}

/// A documented defect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Defect {
    /// Section and number in the protocol book.
    pub section: &'static str,
    /// The commits that fixed it; empty if none is known.
    pub fix: &'static str,
    /// What went wrong.
    pub symptom: &'static str,
    /// What it breaks.
    pub nature: Nature,
    /// Where it is here.
    pub place: Place,
}

const fn safety(section: &'static str, fix: &'static str, symptom: &'static str, place: Place) -> Defect {
    Defect { section, fix, symptom, nature: Nature::Safety, place }
}

const fn liveness(section: &'static str, fix: &'static str, symptom: &'static str, place: Place) -> Defect {
    Defect { section, fix, symptom, nature: Nature::Liveness, place }
}

/// All of them, in the order of the protocol book.
pub const DEFECTS: &[Defect] = &[
    safety("4.1 #1", "4fa8ed25b8", "connections reset at failover", Place::Rule("bug:release-at-suspend")),
    safety("4.1 #2", "24fa16f8cc", "RAM and devices do not fit together", Place::Rule("bug:ram-first")),
    safety(
        "4.1 #4",
        "1e907a32b7",
        "output that differs is released",
        Place::Mutation("comparison-inverted", "output commit"),
    ),
    safety("4.1 #5", "a8664ba510", "a torn VM runs on", Place::Rule("bug:failover-while-loading")),
    safety(
        "4.1 #6",
        "08ddb4eb6d",
        "a failed-over disk takes another checkpoint",
        Place::Mutation("disk-checkpoint-after-promotion", "disk"),
    ),
    safety(
        "4.1 #7",
        "50ab0e0908, e140f4b7b8",
        "a job ends after its owner",
        Place::Mutation("late-lock-loads", "checkpoint atomicity"),
    ),
    safety(
        "4.1 #8",
        "3b78420bb1",
        "a write to a disk whose failover failed",
        Place::Mutation("disk-failure-ignored", "disk"),
    ),
    safety(
        "4.1 #9",
        "c2a4120601",
        "a crash while devices are loaded over others",
        Place::Outside("how a device takes its state; here a load replaces all of it, or fails"),
    ),
    safety(
        "4.1 #10",
        "e441ae7a5b",
        "the cache is freed under its writers",
        Place::Mutation("staging-freed-early", "promise"),
    ),
    safety(
        "4.1 #11",
        "13af18f222",
        "a load that breaks off leaves half a VM",
        Place::Mutation("load-into-a-running-vm", "checkpoint atomicity"),
    ),
    safety(
        "4.1 #12",
        "fb5eca4a57, e29bc931e1",
        "TCP sequence numbers compared wrongly where they wrap",
        Place::Outside("arithmetic of colo-compare; output is numbered without wrapping here"),
    ),
    liveness(
        "4.2 #14",
        "92c932de6c",
        "the secondary waits for ever after a failed load",
        Place::Rule("bug:relaunch-forgotten"),
    ),
    liveness(
        "4.2 #15",
        "0e5d6327f3",
        "a silent peer blocks the failover",
        Place::Mutation("failover-waits-for-the-peer", "failover completes"),
    ),
    liveness("4.2 #16", "c937b9a6db", "a failover waits for TCP's patience", Place::Rule("bug:no-abort")),
    liveness(
        "4.2 #17",
        "4c477b1400",
        "no command is heard while state comes in",
        Place::Mutation("deaf-while-receiving", "failover completes"),
    ),
    liveness(
        "4.2 #18",
        "684bfd1820",
        "two threads wait for each other at failover",
        Place::Mutation("waits-for-a-send-that-is-gone", "failover completes"),
    ),
    liveness(
        "4.2 #19",
        "795969ab1f",
        "a guest that powers off hangs",
        Place::Mutation("power-off-only-noted", "shutdown"),
    ),
    liveness(
        "4.2 #20",
        "2518aec192",
        "a failover waits for the checkpoint timer",
        Place::Mutation("failover-waits-for-the-timer", "failover completes"),
    ),
    liveness(
        "4.2 #21",
        "479125d53e",
        "a new delay waits for the old one",
        Place::Outside("the delay is a rule and stays as it is while a pair runs; no command changes it"),
    ),
    safety(
        "4.2 #22",
        "bb70b66ed7",
        "every packet that differs pays for a checkpoint",
        Place::Rule("bug:counted-requests"),
    ),
    liveness(
        "4.2 #23",
        "db00972922",
        "the survivor stays suspended",
        Place::Mutation("promoted-and-suspended", "survivor goes on"),
    ),
    liveness(
        "4.2 #24",
        "0b5bf4ea76",
        "COLO is never entered",
        Place::Mutation("entered-from-the-wrong-phase", "protection again"),
    ),
    liveness(
        "4.2 #25",
        "0306dae5ac",
        "the first checkpoint fails",
        Place::Outside("QEMU's rules on who may change capabilities when"),
    ),
    safety(
        "4.2 #26",
        "1fe6ab267f, 3a43ac4757",
        "COLO_EXIT says error on success",
        Place::Rule("bug:exit-reason"),
    ),
    liveness(
        "4.2 #28",
        "6690302b84",
        "a failover waits for writes to a dead peer",
        Place::Mutation("failover-waits-for-writes", "failover completes"),
    ),
    liveness(
        "4.2 #29",
        "5529b02da2",
        "the survivor's guest fails on a flush",
        Place::Mutation("disk-still-replicates", "survivor goes on"),
    ),
    liveness(
        "4.2 #30",
        "5eb9a3c7b0",
        "a survivor can be protected again only once",
        Place::Mutation("protected-once-only", "protection again"),
    ),
    safety(
        "4.2 #31",
        "aa505f8e0e, 5647051f43, 229620d52e, 669846c530",
        "an abort on reset or power-off",
        Place::Mutation("reset-refused-in-a-checkpoint", "no error without a fault"),
    ),
    liveness(
        "4.2 #32",
        "9c55fe9408",
        "two full sockets wait for each other",
        Place::Outside("sockets between QEMU's threads"),
    ),
    safety(
        "4.2 #33",
        "5893c7383e, 78e4f446d2, 45942b79b9, 5bd57eba04",
        "crashes in the comparison's thread",
        Place::Outside("ownership among QEMU's threads"),
    ),
    liveness(
        "4.2 #34",
        "ec081984f4",
        "a timer stands still with the VM",
        Place::Outside(
            "a clock: the core has none, and output held too long leaves with the next checkpoint in any case",
        ),
    ),
    liveness(
        "4.2 #35",
        "17475df2c1",
        "the secondary sends what the primary never does",
        Place::Outside(
            "the comparison is the environment's; what only the secondary has sent is withheld from the world, and the next checkpoint replaces it",
        ),
    ),
    liveness(
        "4.2 #36",
        "91fe9a8dbd",
        "the guest is throttled to a halt",
        Place::Outside("a counter of QEMU's migration"),
    ),
    safety(
        "4.2 #37",
        "b8b5734b09, ac183dac96, 27d07fcfa7, 735527e179",
        "files closed twice",
        Place::Outside("file descriptors of QEMU; a link is closed once here"),
    ),
    safety(
        "4.2 #38",
        "2cc637f1ea",
        "an assertion at the start of COLO",
        Place::Outside("coroutines of QEMU"),
    ),
    safety("4.3 A", "", "new memory on the old disk", Place::Rule("bug:load-after-failover")),
    liveness(
        "4.3 B",
        "",
        "an accepted lost-heartbeat is forgotten",
        Place::Mutation("ready-resets-the-failover", "failover completes"),
    ),
    liveness(
        "4.3 C",
        "",
        "no command is heard while state is sent",
        Place::Mutation("deaf-while-sending", "failover completes"),
    ),
    liveness("4.3 D", "", "any error waits for somebody outside", Place::Rule("bug:waits-for-a-manager")),
    safety("4.3 E", "", "a failed load after vmstate-received", Place::Rule("bug:failed-load-forgotten")),
    liveness(
        "4.3 F",
        "",
        "a guest that wanted to power off never does",
        Place::Rule("bug:forgotten-shutdown"),
    ),
    liveness("4.3 G", "", "a network card is stuck after failover", Place::Outside("device models")),
    safety("4.3 I", "", "output that is not compared leaves at once", Place::Rule("bug:uncompared-output")),
];
