//! The thread in which a node's guest executes, and the switch by which it is suspended and resumed.
//!
//! While the guest runs, the thread holds the machine; while it stands still, the node does. A guest that has nothing to
//! do stands still by itself, with nothing pending, so that to suspend it costs no more than to say so. When a suspension
//! has ended, all that the guest has sent has been handed over.

use super::divergence::OwnWay;
use super::inbox::Inbox;
use super::unit::{Incoming, Unit};
use crate::vm::{BlockDevice, Button, Exit, Kicker, Machine};
use crate::{Error, Result};
use rustix::event::{EventfdFlags, eventfd};
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Units of output that wait for the node, beyond which the guest does: it can produce them faster than anybody takes them.
pub(super) const MAX_WAITING_UNITS: usize = 4096;

/// The guest's thread, seen from the node.
pub(super) struct VcpuThread {
    shared: Arc<Shared>,
    kicker: Kicker,
    thread: Option<JoinHandle<()>>,
}

/// The machine's disk, as the guest's thread uses it.
pub(super) type Device = Arc<dyn BlockDevice + Send + Sync>;

struct Shared {
    machine: Mutex<Machine>,
    device: Device,
    switch: Mutex<Switch>,
    changed: Condvar,
    /// Readable when there is output, or when the guest has failed.
    event: OwnedFd,
}

/// What a guest wants of its machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wish {
    /// To be powered off; it goes on until it is.
    PowerOff,
    /// To begin anew; it executes nothing until it does.
    Reset,
}

/// What the node wants, and what the thread reports.
#[derive(Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own, and all combinations occur")]
struct Switch {
    run: bool,
    quit: bool,
    stands_still: bool,
    /// There is something that the thread has not looked at: the guest may find it to do.
    due: bool,
    /// When the thread has gone on, since it was last let.
    went_on: Option<Instant>,
    inbox: Inbox,
    own_way: OwnWay,
    output: Vec<Unit>,
    /// Buttons that have been pressed, and that the machine has not been told of.
    pressed: VecDeque<Button>,
    /// What the guest wants, and the node has not taken up.
    wishes: VecDeque<Wish>,
    /// The guest has asked for a reset, and gets nothing to execute before it.
    awaits_reset: bool,
    failure: Option<String>,
}

impl Switch {
    /// Whether the guest has to wait until its output is taken.
    const fn is_full(&self) -> bool {
        self.output.len() >= MAX_WAITING_UNITS
    }

    /// Whether the guest may execute.
    const fn lets_it_run(&self) -> bool {
        self.run && !self.quit && !self.awaits_reset
    }

    /// Another wish; one that is not taken up is not made more often by being repeated.
    fn wish(&mut self, wish: Wish) {
        if self.wishes.back() != Some(&wish) {
            self.wishes.push_back(wish);
        }
        self.awaits_reset = wish == Wish::Reset;
    }
}

/// The guest's time: it passes while the guest may execute, and stands still when the guest does.
struct GuestClock {
    /// Until when it has been told.
    seen: Instant,
}

impl GuestClock {
    fn pass(&mut self, machine: &mut Machine) -> Result<()> {
        // What is left of a microsecond passes the next time.
        let passed = u64::try_from(self.seen.elapsed().as_micros()).map(Duration::from_micros);
        let passed = passed.unwrap_or(Duration::MAX);
        self.seen += passed;
        machine.pass_time(passed)
    }
}

impl VcpuThread {
    /// Starts the thread; the guest stands still. It is given what comes to `inbox`, as far as it does not go its own way.
    /// The thread has begun when this returns: what the kernel must do for it to begin may be refused to it later.
    pub(super) fn start(machine: Machine, device: Device, inbox: Inbox, own_way: OwnWay) -> Result<Self> {
        let kicker = machine.kicker();
        let flags = EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC;
        let event =
            eventfd(0, flags).map_err(|source| Error::Kvm { call: "eventfd", source: source.into() })?;
        let shared = Arc::new(Shared {
            machine: Mutex::new(machine),
            device,
            switch: Mutex::new(Switch { inbox, own_way, ..Switch::default() }),
            changed: Condvar::new(),
            event,
        });
        let for_thread = Arc::clone(&shared);
        let thread = Some(std::thread::spawn(move || for_thread.work()));
        shared.wait_until_still(lock(&shared.switch));
        Ok(Self { shared, kicker, thread })
    }

    /// The event that tells of output or a failure.
    pub(super) fn event(&self) -> &OwnedFd {
        &self.shared.event
    }

    /// The machine; to be taken only while the guest stands still.
    pub(super) fn machine(&self) -> MutexGuard<'_, Machine> {
        lock(&self.shared.machine)
    }

    /// Lets the guest execute.
    pub(super) fn resume(&self) {
        let mut switch = lock(&self.shared.switch);
        (switch.run, switch.due, switch.went_on) = (true, true, None);
        self.shared.changed.notify_all();
    }

    /// When the guest went on, since it was last let; nothing as long as its thread has not come to it. (Who lets it may
    /// well be preempted by it, and so cannot tell.)
    pub(super) fn went_on(&self) -> Option<Instant> {
        lock(&self.shared.switch).went_on
    }

    /// Stops the guest, and waits until it stands still.
    pub(super) fn suspend(&self) {
        let mut switch = lock(&self.shared.switch);
        switch.run = false;
        if switch.stands_still {
            return;
        }
        self.kicker.kick();
        self.shared.changed.notify_all();
        self.shared.wait_until_still(switch);
    }

    /// Tells the guest to stop, and waits for so long until it stands still; whether it does. What it has asked its disk for is
    /// done before, and that may take until the peer has it.
    pub(super) fn suspend_within(&self, time: Duration) -> bool {
        let mut switch = lock(&self.shared.switch);
        switch.run = false;
        if !switch.stands_still {
            self.kicker.kick();
            self.shared.changed.notify_all();
            let still = self.shared.changed.wait_timeout_while(switch, time, |switch| !switch.stands_still);
            (switch, _) = still.unwrap_or_else(PoisonError::into_inner);
        }
        switch.stands_still
    }

    /// Whether the guest stands still.
    pub(super) fn stands_still(&self) -> bool {
        lock(&self.shared.switch).stands_still
    }

    /// Whether the guest may execute, though perhaps it has nothing to do.
    pub(super) fn is_let_run(&self) -> bool {
        lock(&self.shared.switch).run
    }

    /// Does something to the machine while the guest stands still: if it runs, it is stopped for so long.
    pub(super) fn while_still<T>(&self, work: impl FnOnce(&mut Machine) -> T) -> T {
        let running = lock(&self.shared.switch).run;
        if running {
            self.suspend();
        }
        let done = work(&mut self.machine());
        if running {
            self.resume();
        }
        done
    }

    /// Something has come in from the network; its number, unless it is dropped.
    pub(super) fn comes_in(&self, incoming: Incoming) -> Option<u64> {
        self.receive(|inbox| inbox.push(incoming))
    }

    /// What has come and the guest has not been given, with its numbers.
    pub(super) fn waiting(&self) -> Vec<(u64, Incoming)> {
        lock(&self.shared.switch)
            .inbox
            .waiting()
            .map(|(number, incoming)| (number, incoming.clone()))
            .collect()
    }

    /// Something has come in from the peer, which has numbered it.
    pub(super) fn mirrored(&self, number: u64, incoming: Incoming) {
        self.receive(|inbox| inbox.mirrored(number, incoming));
    }

    fn receive<T>(&self, work: impl FnOnce(&mut Inbox) -> T) -> T {
        let mut switch = lock(&self.shared.switch);
        let done = work(&mut switch.inbox);
        switch.due = true;
        self.shared.changed.notify_all();
        done
    }

    /// A load has put another guest in the place of the one before: it is given this request next. What was wanted of the one
    /// before, or by it, is over.
    pub(super) fn go_on_at(&self, number: u64) {
        let mut switch = lock(&self.shared.switch);
        switch.inbox.go_on_at(number);
        switch.pressed.clear();
        switch.wishes.clear();
        switch.awaits_reset = false;
    }

    /// Presses a button of the machine; whether the guest has said within this time what it wants. One that stands still does
    /// when it goes on; for it, a button that has been pressed is pressed, however often.
    pub(super) fn press(&self, button: Button, within: Duration) -> bool {
        let mut switch = lock(&self.shared.switch);
        if !switch.pressed.contains(&button) {
            switch.pressed.push_back(button);
        }
        switch.due = true;
        self.shared.changed.notify_all();
        let waits = |switch: &mut Switch| switch.lets_it_run() && switch.wishes.is_empty();
        let waited = self.shared.changed.wait_timeout_while(switch, within, waits);
        let (switch, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !switch.wishes.is_empty()
    }

    /// What the guest wants of its machine, if there is something that has not been taken up.
    pub(super) fn take_wish(&self) -> Option<Wish> {
        lock(&self.shared.switch).wishes.pop_front()
    }

    /// The machine has been reset: its guest executes, if it may.
    pub(super) fn begins_anew(&self) {
        let mut switch = lock(&self.shared.switch);
        (switch.awaits_reset, switch.due) = (false, true);
        self.shared.changed.notify_all();
    }

    /// There is no other guest from whose way this one could differ, and nobody who goes back to what it has had.
    pub(super) fn serves_alone(&self) {
        let mut switch = lock(&self.shared.switch);
        switch.own_way = OwnWay::default();
        switch.inbox.keep_nothing();
    }

    /// The next request that writes is lost in the guest.
    pub(super) fn diverge(&self) {
        lock(&self.shared.switch).own_way.lose_next_write();
    }

    /// How many requests have been lost in the guest since the last call.
    pub(super) fn take_lost(&self) -> u64 {
        lock(&self.shared.switch).own_way.take_lost()
    }

    /// What the guest has sent since the last call, to the end of `units`; an error if it has failed.
    pub(super) fn take_output(&self, units: &mut Vec<Unit>) -> std::result::Result<(), String> {
        // It is readable at most once per write: an empty one has been read already.
        let _ = rustix::io::read(&self.shared.event, &mut [0; 8]);
        let mut switch = lock(&self.shared.switch);
        if switch.is_full() {
            // The guest waits for that.
            self.shared.changed.notify_all();
        }
        units.append(&mut switch.output);
        switch.failure.take().map_or(Ok(()), Err)
    }
}

impl Drop for VcpuThread {
    fn drop(&mut self) {
        lock(&self.shared.switch).quit = true;
        self.suspend();
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed already.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn wait_until_still(&self, mut switch: MutexGuard<'_, Switch>) {
        while !switch.stands_still {
            switch = self.changed.wait(switch).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn work(&self) {
        while self.wait_for_work() {
            if let Err(failure) = self.run_guest(&mut lock(&self.machine)) {
                let mut switch = lock(&self.switch);
                (switch.failure, switch.run) = (Some(failure), false);
                self.signal();
            }
            lock(&self.switch).stands_still = true;
            self.changed.notify_all();
        }
    }

    /// Whether to run; false when the thread is to end.
    fn wait_for_work(&self) -> bool {
        let mut switch = lock(&self.switch);
        loop {
            switch.stands_still = !switch.lets_it_run() || !switch.due;
            if !switch.stands_still {
                switch.went_on.get_or_insert_with(Instant::now);
                return true;
            }
            // Also on the way out: whoever waits for it to stand still waits for that.
            self.changed.notify_all();
            if switch.quit {
                return false;
            }
            switch = self.changed.wait(switch).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Runs the guest until it is to stand still, or has nothing to do. What it has produced by then has been handed
    /// over.
    fn run_guest(&self, machine: &mut Machine) -> std::result::Result<(), String> {
        let mut clock = GuestClock { seen: Instant::now() };
        while self.supply(machine, &mut clock).map_err(|error| error.to_string())? {
            match machine.run().map_err(|error| error.to_string())? {
                Exit::Blocks => {
                    machine.serve_blocks(&*self.device).map_err(|error| error.to_string())?;
                }
                Exit::Doorbell(_) | Exit::Kicked => {
                    self.hand_over(machine).map_err(|error| error.to_string())?;
                }
                Exit::Shutdown => self.wish(machine, Wish::PowerOff).map_err(|error| error.to_string())?,
                Exit::Reset => self.wish(machine, Wish::Reset).map_err(|error| error.to_string())?,
                Exit::Failed(failure) => return Err(failure.to_string()),
            }
        }
        let still = machine.settle().and_then(|()| clock.pass(machine));
        still.and_then(|()| self.hand_over(machine)).map_err(|error| error.to_string())
    }

    /// Gives the guest its requests and the time. False when it is to stand still, or would only ring the doorbell. One
    /// that waits for a time of its own, or until the node takes replies, keeps its clock, and with it the machine, until
    /// then.
    fn supply(&self, machine: &mut Machine, clock: &mut GuestClock) -> Result<bool> {
        let mut switch = lock(&self.switch);
        loop {
            if !switch.lets_it_run() {
                return Ok(false);
            }
            switch.due = false;
            while let Some(button) = switch.pressed.pop_front() {
                machine.press(button)?;
            }
            if switch.is_full() {
                switch = self.changed.wait(switch).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            while let Some((number, incoming)) = switch.inbox.next() {
                let has_room = match switch.own_way.meets(number, incoming.clone()) {
                    Incoming::Request(request) => machine.put_request(&request)?,
                    Incoming::Frame(frame) => machine.put_frame(&frame)?,
                };
                if !has_room {
                    break;
                }
                switch.own_way.has_met(number, &incoming);
                switch.inbox.give();
            }
            clock.pass(machine)?;
            if machine.has_work()? {
                return Ok(true);
            }
            let Some(wakes_in) = machine.wakes_in()? else { return Ok(false) };
            switch = self.changed.wait_timeout(switch, wakes_in).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The node is told what the guest wants, behind what it has sent until then.
    fn wish(&self, machine: &mut Machine, wish: Wish) -> Result<()> {
        self.hand_over(machine)?;
        lock(&self.switch).wish(wish);
        self.changed.notify_all();
        self.signal();
        Ok(())
    }

    fn hand_over(&self, machine: &mut Machine) -> Result<()> {
        let (mut replies, mut frames) = (Vec::new(), Vec::new());
        if machine.has_card() {
            machine.take_frames(&mut frames)?;
        } else {
            machine.take_replies(&mut replies)?;
        }
        if replies.is_empty() && frames.is_empty() {
            return Ok(());
        }
        let output = replies.into_iter().map(Unit::Reply).chain(frames.into_iter().map(Unit::Frame));
        lock(&self.switch).output.extend(output);
        self.signal();
        Ok(())
    }

    fn signal(&self) {
        // It fails only at 2^64 - 1 unread signals.
        let _ = rustix::io::write(&self.event, &1_u64.to_ne_bytes());
    }
}

/// A thread that panicked holding a lock has ended the process's use anyway; its data is still whole here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::vm::MachineConfig;
    use std::sync::mpsc::channel;

    #[test]
    fn a_guest_that_stands_still_is_pressed_once_and_a_load_puts_an_end_to_it() {
        if let Err(error) = crate::kvm_usable() {
            assert!(std::env::var("COLO_REQUIRE_KVM").as_deref() != Ok("1"), "{error}");
            eprintln!(
                "SKIPPED a_guest_that_stands_still_is_pressed_once_and_a_load_puts_an_end_to_it: {error}"
            );
            return;
        }
        let machine = Machine::new(&MachineConfig { memory_mib: 16, prefault: false, card: None }).unwrap();
        let vcpu = VcpuThread::start(machine, Arc::new(()), Inbox::default(), OwnWay::default()).unwrap();
        for button in [Button::Power, Button::Reset, Button::Power, Button::Power] {
            assert!(!vcpu.press(button, Duration::ZERO));
        }
        assert_eq!(lock(&vcpu.shared.switch).pressed, [Button::Power, Button::Reset]);
        vcpu.go_on_at(0);
        assert_eq!(lock(&vcpu.shared.switch).pressed, []);
    }

    #[test]
    fn a_thread_that_is_dropped_as_soon_as_it_is_resumed_ends() {
        if let Err(error) = crate::kvm_usable() {
            assert!(std::env::var("COLO_REQUIRE_KVM").as_deref() != Ok("1"), "{error}");
            eprintln!("SKIPPED a_thread_that_is_dropped_as_soon_as_it_is_resumed_ends: {error}");
            return;
        }
        let (tell, told) = channel();
        std::thread::spawn(move || {
            for _ in 0..20 {
                let machine =
                    Machine::new(&MachineConfig { memory_mib: 16, prefault: false, card: None }).unwrap();
                let vcpu =
                    VcpuThread::start(machine, Arc::new(()), Inbox::default(), OwnWay::default()).unwrap();
                vcpu.resume();
                drop(vcpu);
            }
            tell.send(()).unwrap();
        });
        assert_eq!(told.recv_timeout(Duration::from_secs(20)), Ok(()), "a suspension that never ends");
    }
}
