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
    /// A patch to the core, by its name under `mutations/`.
    Mutation(&'static str),
    /// To be said with rules or mutations as soon as progress can be judged; what it comes down to.
    Progress(&'static str),
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
    safety("4.1 #4", "1e907a32b7", "output that differs is released", Place::Mutation("comparison-inverted")),
    safety("4.1 #5", "a8664ba510", "a torn VM runs on", Place::Rule("bug:failover-while-loading")),
    safety(
        "4.1 #6",
        "08ddb4eb6d",
        "a failed-over disk takes another checkpoint",
        Place::Outside(
            "stages of QEMU's block replication; here only the load of 4.3 A could ask for it, and it would help there",
        ),
    ),
    safety(
        "4.1 #7",
        "50ab0e0908, e140f4b7b8",
        "a job ends after its owner",
        Place::Outside(
            "jobs of QEMU's block layer; an operation tells its end once here, and the core refuses others",
        ),
    ),
    safety(
        "4.1 #8",
        "3b78420bb1",
        "a write to a disk whose failover failed",
        Place::Outside("permissions of QEMU's block layer; the core knows no failed disk failover"),
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
        Place::Outside("memory of QEMU's threads; staged state has one owner here"),
    ),
    safety(
        "4.1 #11",
        "13af18f222",
        "a load that breaks off leaves half a VM",
        Place::Outside("a load that fails ends the node in every variant; the order is that of 4.1 #2"),
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
        Place::Progress("a deferred failover is taken up only if the load succeeds"),
    ),
    liveness(
        "4.2 #15",
        "0e5d6327f3",
        "a silent peer blocks the failover",
        Place::Progress("closing the link does nothing on one side"),
    ),
    liveness(
        "4.2 #16",
        "c937b9a6db",
        "a failover waits for TCP's patience",
        Place::Progress("a failover does not close the link"),
    ),
    liveness(
        "4.2 #17",
        "4c477b1400",
        "no command is heard while state comes in",
        Place::Progress("a node takes no input while it receives"),
    ),
    liveness(
        "4.2 #18",
        "684bfd1820",
        "two threads wait for each other at failover",
        Place::Outside("threads and locks of QEMU; the core has one thread of steps"),
    ),
    liveness(
        "4.2 #19",
        "795969ab1f",
        "a guest that powers off hangs",
        Place::Progress("powering off does not wake who waits for the next checkpoint"),
    ),
    liveness(
        "4.2 #20",
        "2518aec192",
        "a failover waits for the checkpoint timer",
        Place::Progress("a failover does not wake who waits for the next checkpoint"),
    ),
    liveness(
        "4.2 #21",
        "479125d53e",
        "a new delay waits for the old one",
        Place::Progress("the timer cannot be cut short"),
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
        Place::Progress("a promotion does not resume the VM"),
    ),
    liveness(
        "4.2 #24",
        "0b5bf4ea76",
        "COLO is never entered",
        Place::Outside("states of migration before COLO"),
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
        Place::Progress("a pending disk write blocks the failover"),
    ),
    liveness(
        "4.2 #29",
        "5529b02da2",
        "the survivor's guest fails on a flush",
        Place::Progress("a primary does not survive the death of its peer's disk"),
    ),
    liveness(
        "4.2 #30",
        "5eb9a3c7b0",
        "a survivor can be protected again only once",
        Place::Outside("names of children in QEMU's quorum"),
    ),
    safety(
        "4.2 #31",
        "aa505f8e0e, 5647051f43, 229620d52e, 669846c530",
        "an abort on reset or power-off",
        Place::Outside("QEMU's table of run states; here a power-off is an input of every state"),
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
        Place::Progress("output held too long is not noticed while the VM is suspended"),
    ),
    liveness(
        "4.2 #35",
        "17475df2c1",
        "the secondary sends what the primary never does",
        Place::Progress("only the primary's old output is noticed"),
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
        Place::Progress("the failover state is reset after it can be set"),
    ),
    liveness(
        "4.3 C",
        "",
        "no command is heard while state is sent",
        Place::Progress("a node takes no input while it sends"),
    ),
    liveness(
        "4.3 D",
        "",
        "any error waits for somebody outside",
        Place::Progress("detection = \"external\": only lost-heartbeat leads out of the error state"),
    ),
    safety("4.3 E", "", "a failed load after vmstate-received", Place::Rule("bug:failed-load-forgotten")),
    liveness(
        "4.3 F",
        "",
        "a guest that wanted to power off never does",
        Place::Progress("shutdown = \"forgotten\""),
    ),
    liveness("4.3 G", "", "a network card is stuck after failover", Place::Outside("device models")),
    safety("4.3 I", "", "output that is not compared leaves at once", Place::Rule("bug:uncompared-output")),
];
