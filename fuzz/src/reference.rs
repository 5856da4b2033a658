//! Each machine beside a table that was written from the protocol book (sections 1.2 and 2.2 to 2.4, in the version of
//! series v12) and shares nothing with the machines but words: a random row of inputs has the same effects in both.
//!
//! Byte 0 chooses between `v12` and `late-release`; then come inputs of two bytes, the kind and a number. Left out is what
//! the book does not have of v12: arbiters, comparison, resets, disks that fail, replacements.

use crate::machines::inputs;
use colo_protocol::{Input, Machine, NodeName, Rules};

/// The primary, P0 to P5.
pub fn primary_table(input: &[u8]) {
    compare(NodeName::Primary, input);
}

/// The secondary, S0 to S7.
pub fn secondary_table(input: &[u8]) {
    compare(NodeName::Secondary, input);
}

/// What the book speaks of.
const TOLD: [&str; 23] = [
    "checkpoint-ready",
    "checkpoint-request",
    "checkpoint-reply",
    "vmstate-send",
    "vmstate-size",
    "vmstate-received",
    "vmstate-loaded",
    "vm-suspended",
    "state-saved",
    "save-failed",
    "ram-sent",
    "device-state-sent",
    "ram-received",
    "device-state-received",
    "vm-locked",
    "state-loaded",
    "load-failed",
    "checkpoint-due",
    "guest-output",
    "lost-heartbeat",
    "failover-begins",
    "bad-stream",
    "link-down",
];

fn compare(name: NodeName, input: &[u8]) {
    let Some((choice, rest)) = input.split_first() else { return };
    let late = choice & 1 == 1;
    let rules = if late { Rules::LATE_RELEASE } else { Rules::V12 };
    let mut machine = Machine::new(name);
    let mut book = Book::new(name, late);
    for input in inputs(rest) {
        // A suspension, a capture, a transfer are the primary's only, a load is the secondary's.
        if !TOLD.contains(&input.kind().name()) || (name == NodeName::Secondary && is_due(input)) {
            continue;
        }
        let step = machine.step(&rules, input);
        let effects: Vec<String> = step.effects.iter().map(ToString::to_string).collect();
        let real = (effects, step.error.is_some(), machine.phase_name());
        let told = book.told(input.kind().name(), input.value().unwrap_or_default());
        assert_eq!(real, (told.effects, told.wrong, book.state), "{input:?}");
        let output = machine.output();
        let marks = [output.released().0, output.sealed().0, output.produced().0];
        assert_eq!(marks, [book.released, book.sealed, book.produced], "{input:?}");
    }
}

fn is_due(input: Input) -> bool {
    input == Input::CheckpointDue
}

/// A row: in this state, on this input, this is done and that is the next state. `N` is the checkpoint's number, `SIZE`
/// that of the device state, `SEALED` the end of the output that the checkpoint covers.
type Row = (&'static str, &'static str, &'static [&'static str], &'static str);

/// Section 2.3. What is released on vmstate-received in v12's diagram is released on vmstate-loaded in its final code.
const PRIMARY: [Row; 10] = [
    ("wait-ready", "checkpoint-ready", &["start-replication", "RUN"], "running"),
    ("running", "checkpoint-due", &["checkpoint-request"], "wait-reply"),
    ("wait-reply", "checkpoint-reply", &["suspend-vm"], "suspending"),
    ("suspending", "vm-suspended", &["save-state N"], "saving"),
    ("saving", "state-saved", &["vmstate-send", "send-ram N"], "sending-ram"),
    ("sending-ram", "ram-sent", &["vmstate-size SIZE", "send-device-state N"], "sending-device-state"),
    ("sending-device-state", "device-state-sent", &[], "wait-received"),
    ("wait-received", "vmstate-received", &["EARLY release SEALED"], "wait-loaded"),
    ("wait-loaded", "vmstate-loaded", &["LATE release SEALED", "RUN"], "running"),
    ("saving", "save-failed", &["close-link", "colo-exit error"], "error"),
];

/// Section 2.4, without hybrid operation: the VM does not execute, so nothing is stopped at checkpoint-request.
const SECONDARY: [Row; 9] = [
    ("incoming", "state-loaded", &["start-replication", "checkpoint-ready"], "wait-request"),
    ("wait-request", "checkpoint-request", &["checkpoint-reply"], "wait-send"),
    ("wait-send", "vmstate-send", &[], "receiving-ram"),
    ("receiving-ram", "ram-received", &[], "wait-size"),
    ("wait-size", "vmstate-size", &[], "receiving-device-state"),
    ("receiving-device-state", "device-state-received", &["vmstate-received", "lock-vm"], "wait-lock"),
    ("wait-lock", "vm-locked", &["load-state N"], "loading"),
    ("loading", "state-loaded", &["checkpoint-disk N", "vmstate-loaded"], "wait-request"),
    ("loading", "load-failed", &["close-link", "colo-exit error"], "failed"),
];

/// Which inputs end which work.
const ENDS: [(&str, &str); 8] = [
    ("vm-suspended", "suspend-vm"),
    ("state-saved", "save-state"),
    ("save-failed", "save-state"),
    ("ram-sent", "send-ram"),
    ("device-state-sent", "send-device-state"),
    ("vm-locked", "lock-vm"),
    ("state-loaded", "load-state"),
    ("load-failed", "load-state"),
];

/// What an input comes to.
#[derive(Default)]
struct Told {
    effects: Vec<String>,
    wrong: bool,
}

impl Told {
    fn nothing() -> Self {
        Self::default()
    }

    fn wrong() -> Self {
        Self { effects: Vec::new(), wrong: true }
    }
}

/// The failover automaton of section 2.2; ACTIVE and RELAUNCH are its waiting for the end of what is in hand.
#[derive(PartialEq, Eq)]
enum Failover {
    None,
    Require,
    Waiting,
    Completed,
}

/// A node as the book has it.
struct Book {
    rows: &'static [Row],
    is_primary: bool,
    late: bool,
    state: &'static str,
    /// A checkpoint is due while another is under way (`checkpoint_event`).
    due: bool,
    link_open: bool,
    in_hand: &'static str,
    failover: Failover,
    exited: bool,
    running: bool,
    checkpoint: u64,
    loaded: u64,
    size: u64,
    produced: u64,
    sealed: u64,
    released: u64,
}

impl Book {
    fn new(name: NodeName, late: bool) -> Self {
        let is_primary = name == NodeName::Primary;
        Self {
            rows: if is_primary { &PRIMARY } else { &SECONDARY },
            is_primary,
            late,
            state: if is_primary { "wait-ready" } else { "incoming" },
            due: false,
            link_open: true,
            in_hand: if is_primary { "" } else { "load-state" },
            failover: Failover::None,
            exited: false,
            running: false,
            checkpoint: 0,
            loaded: 0,
            size: 0,
            produced: 0,
            sealed: 0,
            released: 0,
        }
    }

    fn in_colo(&self) -> bool {
        !matches!(self.state, "error" | "taking-over" | "alone" | "failed")
    }

    fn told(&mut self, input: &'static str, value: u64) -> Told {
        let mut told = self.take(input, value);
        // Section 1.3: an error ends COLO; where a checkpoint is confirmed it is loaded first.
        if told.wrong && self.in_colo() && !matches!(input, "lost-heartbeat") {
            self.close_link(&mut told);
            self.peer_lost(&mut told);
        }
        told
    }

    fn take(&mut self, input: &'static str, value: u64) -> Told {
        match input {
            "lost-heartbeat" => self.lost_heartbeat(),
            "failover-begins" if self.state == "failed" => {
                self.failover = Failover::None;
                Told::nothing()
            }
            "failover-begins" if self.failover == Failover::Require => self.fail_over(),
            "failover-begins" | "bad-stream" => Told::wrong(),
            "link-down" => self.link_down(),
            "guest-output" => self.guest_output(value),
            "checkpoint-due" if self.state != "running" => {
                self.due |= self.in_colo();
                Told::nothing()
            }
            _ => self.row(input, value),
        }
    }

    /// What the table says, of messages and of the ends of what was in hand.
    fn row(&mut self, input: &'static str, value: u64) -> Told {
        let ends = ENDS.iter().find(|(end, _)| *end == input).map(|(_, work)| *work);
        let of_the_link = matches!(
            input,
            "checkpoint-ready"
                | "checkpoint-request"
                | "checkpoint-reply"
                | "vmstate-send"
                | "vmstate-size"
                | "vmstate-received"
                | "vmstate-loaded"
        ) || (self.is_primary && matches!(input, "ram-sent" | "device-state-sent"))
            || (!self.is_primary && matches!(input, "ram-received" | "device-state-received"));
        if of_the_link && !self.link_open {
            return Told::nothing();
        }
        if let Some(work) = ends {
            if self.in_hand != work {
                return Told::wrong();
            }
            self.in_hand = "";
        }
        if self.state == "taking-over" {
            return self.work_ended_in_failover(input, value);
        }
        let row = self.rows.iter().find(|(state, on, ..)| *state == self.state && *on == input);
        match (row, input) {
            (Some((_, _, actions, next)), _) => self.follow(input, value, actions, next),
            (None, "load-failed") if self.in_colo() => self.load_failed(),
            (None, _) if ends.is_some() => Told::nothing(),
            (None, _) => Told::wrong(),
        }
    }

    fn follow(&mut self, input: &str, value: u64, actions: &[&'static str], next: &'static str) -> Told {
        let mut told = Told::nothing();
        match input {
            "state-saved" => (self.sealed, self.size) = (self.produced, value),
            "checkpoint-due" | "checkpoint-request" => self.checkpoint += 1,
            "state-loaded" => self.restart(value),
            "load-failed" => return self.load_failed(),
            "save-failed" => {
                self.close_link(&mut told);
                self.peer_lost(&mut told);
                return told;
            }
            _ => {}
        }
        self.state = next;
        if input == "state-loaded" && !self.link_open {
            told.effects.push(self.filled(actions[0]));
            self.leave(&mut told);
            return told;
        }
        for action in actions {
            match (*action, self.late) {
                ("RUN", _) => self.run(&mut told),
                ("EARLY release SEALED", false) | ("LATE release SEALED", true) => {
                    self.released = self.released.max(self.sealed);
                    told.effects.push(format!("release {}", self.released));
                }
                ("EARLY release SEALED" | "LATE release SEALED", _) => {}
                (action, _) => told.effects.push(self.filled(action)),
            }
        }
        told
    }

    /// An action with its number; what it begins is in hand.
    fn filled(&mut self, action: &'static str) -> String {
        let (word, number) = action.split_once(' ').unwrap_or((action, ""));
        if let Some((_, work)) = ENDS.iter().find(|(_, work)| *work == word) {
            self.in_hand = work;
        }
        self.running &= word != "suspend-vm";
        match number {
            "N" => format!("{word} {}", self.checkpoint),
            "SIZE" => format!("{word} {}", self.size),
            _ => action.to_owned(),
        }
    }

    fn run(&mut self, told: &mut Told) {
        if !self.running {
            self.running = true;
            told.effects.push("resume-vm".to_owned());
        }
        if std::mem::take(&mut self.due) {
            self.checkpoint += 1;
            self.state = "wait-reply";
            told.effects.push("checkpoint-request".to_owned());
        } else {
            told.effects.push("arm-checkpoint-timer 200".to_owned());
        }
    }

    fn guest_output(&mut self, end: u64) -> Told {
        if self.state == "failed" {
            return Told::nothing();
        }
        if !(self.running || self.in_hand == "suspend-vm") || end <= self.produced {
            return Told::wrong();
        }
        self.produced = end;
        if self.state != "alone" {
            return Told::nothing();
        }
        (self.sealed, self.released) = (end, end);
        Told { effects: vec![format!("release {end}")], wrong: false }
    }

    fn lost_heartbeat(&mut self) -> Told {
        if matches!(self.state, "alone" | "failed" | "incoming") || self.failover != Failover::None {
            return Told::wrong();
        }
        self.failover = Failover::Require;
        Told { effects: vec!["begin-failover".to_owned()], wrong: false }
    }

    fn fail_over(&mut self) -> Told {
        let mut told = Told::nothing();
        self.close_link(&mut told);
        let confirmed = self.state == "loading" || (self.state == "wait-lock" && !self.late);
        self.state = "taking-over";
        self.failover = Failover::Waiting;
        if confirmed || (self.is_primary && !self.in_hand.is_empty()) {
            return told;
        }
        self.discard(&mut told);
        self.promote(&mut told);
        told
    }

    fn work_ended_in_failover(&mut self, input: &str, value: u64) -> Told {
        let mut told = Told::nothing();
        match input {
            "vm-locked" => told.effects.push(self.filled("load-state N")),
            "load-failed" => return self.load_failed(),
            "state-loaded" => {
                self.restart(value);
                told.effects.push(self.filled("checkpoint-disk N"));
                self.promote(&mut told);
            }
            _ if ENDS.iter().any(|(end, _)| *end == input) => self.promote(&mut told),
            _ => told.wrong = true,
        }
        told
    }

    fn promote(&mut self, told: &mut Told) {
        self.state = "alone";
        self.failover = Failover::Completed;
        (self.sealed, self.released) = (self.produced, self.produced);
        told.effects.extend(["fail-over-disk".to_owned(), "take-over".to_owned()]);
        told.effects.push(format!("release {}", self.produced));
        if !std::mem::replace(&mut self.running, true) {
            told.effects.push("resume-vm".to_owned());
        }
        self.exit("colo-exit request", told);
    }

    fn restart(&mut self, output: u64) {
        self.loaded = self.checkpoint;
        (self.produced, self.sealed, self.released) = (output, output, 0);
    }

    fn load_failed(&mut self) -> Told {
        let mut told = Told::nothing();
        self.state = "failed";
        self.failover = Failover::None;
        self.close_link(&mut told);
        self.exit("colo-exit error", &mut told);
        told
    }

    fn link_down(&mut self) -> Told {
        let mut told = Told::nothing();
        self.lose_link();
        if self.in_colo() {
            self.peer_lost(&mut told);
        }
        told
    }

    /// Out of COLO; but what is being loaded is loaded first.
    fn peer_lost(&mut self, told: &mut Told) {
        if !matches!(self.state, "incoming" | "wait-lock" | "loading") {
            self.leave(told);
        }
    }

    fn leave(&mut self, told: &mut Told) {
        self.discard(told);
        self.state = "error";
        self.exit("colo-exit error", told);
    }

    fn discard(&mut self, told: &mut Told) {
        if !self.is_primary && self.checkpoint != self.loaded {
            told.effects.push(format!("discard-staged {}", self.checkpoint));
            self.checkpoint = self.loaded;
        }
    }

    fn exit(&mut self, how: &str, told: &mut Told) {
        if !std::mem::replace(&mut self.exited, true) {
            told.effects.push(how.to_owned());
        }
    }

    fn close_link(&mut self, told: &mut Told) {
        if self.link_open {
            told.effects.push("close-link".to_owned());
        }
        self.lose_link();
    }

    fn lose_link(&mut self) {
        self.link_open = false;
        if matches!(self.in_hand, "send-ram" | "send-device-state") {
            self.in_hand = "";
        }
    }
}
