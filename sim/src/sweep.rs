//! Many runs, on several threads. Threads are outside of the runs; outcomes come in the order of what was asked for.

use crate::options::Options;
use crate::outcome::Outcome;
use crate::run;
use crate::self_check::{Unlike, checked};
use colo_trace::NamedRules;
use std::num::NonZeroU64;
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

/// Outcomes that a thread may be ahead of the others.
const AHEAD: usize = 64;

/// Runs every seed, `jobs` at a time, and hands over the outcomes in the order of the seeds.
pub fn sweep(
    rules: &NamedRules,
    seeds: impl Iterator<Item = u64> + Clone + Send,
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
    seeds: impl Iterator<Item = u64> + Clone + Send,
    jobs: usize,
    options: &Options,
    on_outcome: impl FnMut(Outcome) -> ControlFlow<()>,
) {
    in_order(seeds, jobs, |seed| run(rules, seed, options), on_outcome);
}

/// [`sweep_until`], and one seed in so many is run twice: the first that is not one run ends the sweep.
pub fn sweep_checked(
    rules: &NamedRules,
    seeds: impl Iterator<Item = u64> + Clone + Send,
    jobs: usize,
    options: &Options,
    every: Option<NonZeroU64>,
    mut on_outcome: impl FnMut(Outcome) -> ControlFlow<()>,
) -> Result<(), Unlike> {
    let mut unlike = Ok(());
    let work = |seed| checked(rules, seed, options, (every, &run));
    in_order(seeds, jobs, work, |checked| match checked {
        Ok(outcome) => on_outcome(outcome),
        Err(problem) => {
            unlike = Err(problem);
            ControlFlow::Break(())
        }
    });
    unlike
}

/// Does the work on every item, `jobs` at a time, and hands over the results in the order of the items, until the
/// caller has seen enough.
pub(crate) fn in_order<Item, Done: Send>(
    items: impl Iterator<Item = Item> + Clone + Send,
    jobs: usize,
    work: impl Fn(Item) -> Done + Sync,
    mut on_done: impl FnMut(Done) -> ControlFlow<()>,
) {
    let jobs = jobs.max(1);
    let work = &work;
    thread::scope(|scope| {
        // Each thread has every so-manieth item, so the results are in order when they are taken in turn.
        let receivers: Vec<Receiver<Done>> = vec![items; jobs]
            .into_iter()
            .enumerate()
            .map(|(job, items)| {
                let (sender, receiver) = sync_channel(AHEAD);
                let mut own = items.skip(job).step_by(jobs);
                // An error says that nobody listens any more.
                scope.spawn(move || own.all(|item| sender.send(work(item)).is_ok()));
                receiver
            })
            .collect();
        for receiver in receivers.iter().cycle() {
            let Ok(done) = receiver.recv() else { break };
            if on_done(done).is_break() {
                break;
            }
        }
    });
}
