//! QEMU's own COLO, as a yardstick: a pair of QEMUs that goes on from one dirty set to the next, and stands still while
//! others are measured.
//!
//! The pair is whatever `pair.py` in the folder of `COLO_QEMU_PAIR` makes; here it is told what to do, and QEMU's trace
//! events are read.

use crate::sample::Sample;
use rustix::process::{Pid, Signal, kill_process};
use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Checkpoints of a dirty set.
const CHECKPOINTS: u64 = 50;
/// Milliseconds between two.
const DELAY_MS: u64 = 300;
/// The guest fills its memory first, slowly.
const PATIENCE: Duration = Duration::from_mins(5);
/// What is traced.
const EVENTS: &str = "colo_*,migrate_set_state";

/// A pair of QEMUs.
pub(crate) struct Qemu {
    driver: Child,
    out: PathBuf,
}

/// What QEMU came to with one dirty set, microseconds.
#[derive(Default)]
pub(crate) struct OfQemu {
    /// The primary stands still.
    pub(crate) pause: Sample,
    /// From the request for a checkpoint to the word that it is loaded.
    pub(crate) transaction: Sample,
}

impl Qemu {
    /// Starts a pair that takes these dirty sets, MiB, one after the other; none if nobody has said where one is.
    pub(crate) fn start(memory_mib: u64, sets: &[u64], out: &Path) -> io::Result<Option<Self>> {
        let Some(folder) = std::env::var_os("COLO_QEMU_PAIR") else { return Ok(None) };
        let sets: Vec<_> = sets.iter().map(|mib| (mib << 10).to_string()).collect();
        let (delay, memory) = (DELAY_MS.to_string(), format!("{memory_mib}M"));
        let checkpoints = CHECKPOINTS.to_string();
        let mut command = Command::new("python3");
        command.arg("pair.py").current_dir(folder).args(["--accel", "kvm", "--noproxy", "--unixsock"]);
        command.args(["--mem", &memory, "--delay", &delay, "--ckpts", &checkpoints, "--secs", "300"]);
        command.args(["--append", "d=0 p=100 m=64", "--trace", EVENTS, "--multi", &sets.join(",")]);
        command.arg("--out").arg(out).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Some(Self { driver: command.spawn()?, out: out.to_owned() }))
    }

    /// Waits until this dirty set, MiB, has been measured, and stops the pair.
    pub(crate) fn measure(&mut self, mib: u64) -> Result<OfQemu, Box<dyn Error>> {
        self.signal(Signal::CONT);
        let begun = Instant::now();
        let window = loop {
            let log = std::fs::read_to_string(self.out.join("driver.log")).unwrap_or_default();
            if let Some(window) = window_of(&log, mib << 10) {
                break window;
            }
            if self.driver.try_wait()?.is_some() || begun.elapsed() > PATIENCE {
                let last = log.lines().next_back().unwrap_or("nothing").to_owned();
                return Err(format!("QEMU's pair has not come to a dirty set of {mib} MiB: {last}").into());
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        self.signal(Signal::STOP);
        Ok(of_window(&std::fs::read_to_string(self.out.join("p.err"))?, window))
    }

    /// Tells the driver and the QEMUs, its children.
    fn signal(&self, signal: Signal) {
        let driver = self.driver.id();
        let children = std::fs::read_to_string(format!("/proc/{driver}/task/{driver}/children"));
        let children = children.unwrap_or_default();
        let pids = children.split_whitespace().filter_map(|pid| pid.parse().ok());
        for pid in pids.chain(i32::try_from(driver).ok()).filter_map(Pid::from_raw) {
            // One that has gone needs no signal.
            let _ = kill_process(pid, signal);
        }
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.driver.wait();
    }
}

/// From when to when the dirty set was measured, seconds since the epoch.
fn window_of(log: &str, kib: u64) -> Option<(f64, f64)> {
    let mut start = 0.0;
    let (mut from, mut to) = (None, None);
    for line in log.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["T0", time] => start = time.parse().ok()?,
            [time, "MEASURE", set] if set.parse() == Ok(kib) => from = time.parse::<f64>().ok(),
            [time, "MEASURED", set] if set.parse() == Ok(kib) => to = time.parse::<f64>().ok(),
            _ => {}
        }
    }
    Some((start + from?, start + to?))
}

/// Reads lines as `7@12.345:colo_send_message Send 'checkpoint-request' message`.
fn of_window(trace: &str, (from, to): (f64, f64)) -> OfQemu {
    let mut found = OfQemu::default();
    let (mut requested, mut stopped) = (None, None);
    for line in trace.lines() {
        let Some((head, rest)) = line.split_once(':') else { continue };
        let Some(time) = head.split_once('@').and_then(|(_, time)| time.parse::<f64>().ok()) else {
            continue;
        };
        let has = |what: &str| rest.contains(what);
        if rest.starts_with("colo_vm_state_change") {
            if has("=> 'stop'") {
                stopped = Some(time);
            } else if let Some(since) = stopped.take().filter(|since| (from..to).contains(since)) {
                found.pause.add(micros(time - since));
            }
        } else if has("'checkpoint-request'") {
            requested = Some(time);
        } else if has("'vmstate-loaded'")
            && let Some(since) = requested.take().filter(|since| (from..to).contains(since))
        {
            found.transaction.add(micros(time - since));
        }
    }
    found
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few milliseconds")]
fn micros(seconds: f64) -> u64 {
    (seconds * 1e6).max(0.0) as u64
}
