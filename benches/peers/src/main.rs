//! How many messages a second of processor time each simulator carries, at equal work, in one run.
//!
//! The work is in `work`. Each simulator plays it by itself, several times, one after the other and in turns; the best of
//! each counts, since the machine may be busy with something else. Ends with 1 if a ratio is below what is promised.

mod with_colo;
mod with_madsim;
mod with_turmoil;
mod work;

use colo_sim::{Options, sweep};
use colo_trace::load_rules;
use rustix::time::{ClockId, clock_gettime};
use std::error::Error;
use std::process::ExitCode;

/// How often each plays.
const TURNS: u64 = 3;
/// At least so many times as fast as each peer.
const MADSIM: f64 = 10.0;
const TURMOIL: f64 = 50.0;
/// At least so many events in a second of processor time, of whole runs with all that is judged in them.
const EVENTS: f64 = 1_000_000.0;
/// Runs in which they are counted.
const RUNS: u64 = 2_000;

/// What one simulator did in its best turn.
struct Best {
    name: &'static str,
    messages_per_second: f64,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let events_per_second = events_per_second()?;
    let colo = best("colo", 1_000_000, |seed, rounds| {
        with_colo::play(seed, rounds);
        Ok(())
    })?;
    let madsim = best("madsim", 50_000, |seed, rounds| Ok(with_madsim::play(seed, rounds)?))?;
    let turmoil = best("turmoil", 10_000, with_turmoil::play)?;
    println!("a message is {} datagrams, one in {} is lost", work::PIECES, work::ONE_IN);
    for Best { name, messages_per_second } in [&colo, &madsim, &turmoil] {
        println!("{name:8} {messages_per_second:12.0} messages a second of processor time");
    }
    let reached = [
        reached("events a second of whole runs", events_per_second, EVENTS),
        reached("times madsim", colo.messages_per_second / madsim.messages_per_second, MADSIM),
        reached("times turmoil", colo.messages_per_second / turmoil.messages_per_second, TURMOIL),
    ];
    Ok(ExitCode::from(u8::from(reached.contains(&false))))
}

fn reached(what: &str, figure: f64, limit: f64) -> bool {
    let reached = figure >= limit;
    println!("{figure:14.1} {what}, at least {limit}: {}", if reached { "reached" } else { "NOT REACHED" });
    reached
}

/// The best of some turns: a ping and a pong are two messages.
fn best<F>(name: &'static str, rounds: u32, mut play: F) -> Result<Best, Box<dyn Error>>
where
    F: FnMut(u64, u32) -> Result<(), Box<dyn Error>>,
{
    let mut messages_per_second: f64 = 0.0;
    for seed in 0..TURNS {
        let begun = processor_seconds();
        play(seed, rounds)?;
        let seconds = processor_seconds() - begun;
        messages_per_second = messages_per_second.max(2.0 * f64::from(rounds) / seconds);
    }
    Ok(Best { name, messages_per_second })
}

/// Events of whole runs in a second of processor time: the protocol, the guests, the faults, and every judgement.
fn events_per_second() -> Result<f64, Box<dyn Error>> {
    let rules = load_rules("v12")?;
    let mut best: f64 = 0.0;
    for _ in 0..TURNS {
        let (begun, mut events) = (processor_seconds(), 0);
        sweep(&rules, 0..RUNS, 1, &Options::default(), |outcome| events += outcome.events);
        best = best.max(events as f64 / (processor_seconds() - begun));
    }
    Ok(best)
}

/// What this process has used of the processors.
fn processor_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
