//! Many runs, on several threads. Threads are outside of the runs; outcomes come in the order of the seeds.

use crate::options::Options;
use crate::outcome::Outcome;
use crate::run;
use colo_trace::NamedRules;
use std::ops::{ControlFlow, Range};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

/// Outcomes that a thread may be ahead of the others.
const AHEAD: usize = 64;

/// Runs every seed of the range, `jobs` at a time, and hands over the outcomes in the order of the seeds.
pub fn sweep(
    rules: &NamedRules,
    seeds: Range<u64>,
    jobs: usize,
    options: &Options,
    mut on_outcome: impl FnMut(Outcome),
) {
    sweep_until(rules, seeds, jobs, options, |outcome| {
        on_outcome(outcome);
        ControlFlow::Continue(())
    });
}

/// [`sweep`], until the caller has seen enough.
pub fn sweep_until(
    rules: &NamedRules,
    seeds: Range<u64>,
    jobs: usize,
    options: &Options,
    mut on_outcome: impl FnMut(Outcome) -> ControlFlow<()>,
) {
    let jobs = jobs.max(1);
    thread::scope(|scope| {
        // Each thread has every so-manieth seed, so the outcomes are in order when they are taken in turn.
        let receivers: Vec<Receiver<Outcome>> = (0..jobs)
            .map(|job| {
                let (sender, receiver) = sync_channel(AHEAD);
                let own = seeds.clone().skip(job).step_by(jobs);
                scope.spawn(move || {
                    // An error says that nobody listens any more.
                    own.map(|seed| run(rules, seed, options)).all(|outcome| sender.send(outcome).is_ok())
                });
                receiver
            })
            .collect();
        for receiver in receivers.iter().cycle() {
            let Ok(outcome) = receiver.recv() else { break };
            if on_outcome(outcome).is_break() {
                break;
            }
        }
    });
}
