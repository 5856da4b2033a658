//! What a checkpoint is made of, measured one by one on this machine: kick, save, restore, encode, decode, harvest.
//!
//! `cargo run --release -p colo-real --example primitives`. Medians and 99th percentiles in microseconds; on a shared
//! machine absolute figures drift by a factor of two, so compare within one run.

#![allow(clippy::print_stdout, reason = "printing is what it is for")]

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    measured::all()
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    Ok(colo_real::kvm_usable()?)
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod measured {
    use std::error::Error;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::{Duration, Instant};

    use colo_real::abi::Parameters;
    use colo_real::vm::{Guest, Machine, MachineConfig, decode, encode};

    const ROUNDS: usize = 300;
    type Outcome<T = ()> = Result<T, Box<dyn Error>>;

    pub(super) fn all() -> Outcome {
        let config = MachineConfig { memory_mib: 256, prefault: true, card: None };
        let begun = Instant::now();
        let mut machine = Machine::new(&config)?;
        println!("{:<34} {:>9.1}", "making a machine of 256 MiB", micros(begun.elapsed()));
        println!("{:<34} {:>9} {:>9}", "", "median", "p99");
        kick(&config)?;
        for dirty_pages_per_tick in [0, 256, 4096, 16384] {
            let parameters = Parameters { dirty_pages_per_tick, ..Parameters::default() };
            machine.boot(Guest::Kv.image(), &parameters)?;
            harvest(&mut machine, dirty_pages_per_tick)?;
        }
        state(&mut machine)
    }

    /// From the kick until `run` has returned on the other thread.
    fn kick(config: &MachineConfig) -> Outcome {
        let mut machine = Machine::new(config)?;
        machine.boot(&[0xeb, 0xfe], &Parameters::default())?;
        let kicker = machine.kicker();
        let stop = AtomicBool::new(false);
        let (tell, told) = std::sync::mpsc::channel();
        let mut times = Vec::new();
        thread::scope(|scope| -> Outcome {
            let runner = scope.spawn(|| -> colo_real::Result<()> {
                while !stop.load(Ordering::Acquire) {
                    machine.run()?;
                    // The receiver is gone only when all is over.
                    let _ = tell.send(Instant::now());
                }
                Ok(())
            });
            for _ in 0..ROUNDS {
                thread::sleep(Duration::from_millis(1));
                let begun = Instant::now();
                kicker.kick();
                times.push(told.recv()?.duration_since(begun));
            }
            stop.store(true, Ordering::Release);
            kicker.kick();
            runner.join().map_err(|_| "the vCPU's thread panicked")??;
            Ok(())
        })?;
        report("kick until run has returned", times);
        Ok(())
    }

    /// Harvests after ticks that dirty so many pages.
    fn harvest(machine: &mut Machine, dirty_pages: u64) -> Outcome {
        let mut pages = Vec::new();
        machine.run()?;
        machine.harvest(&mut pages)?;
        let (mut ticks, mut harvests) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS / 3 {
            machine.tick()?;
            ticks.push(timed(|| machine.run())?);
            harvests.push(timed(|| machine.harvest(&mut pages))?);
        }
        report(&format!("a tick of {dirty_pages} pages"), ticks);
        report(&format!("harvest of {} pages", pages.len()), harvests);
        Ok(())
    }

    /// Save, encode, decode and restore, right after a doorbell.
    fn state(machine: &mut Machine) -> Outcome {
        let mut state = machine.state();
        let mut blob = Vec::new();
        let names = ["settle", "save", "encode", "decode", "restore"];
        let mut times = names.map(|_| Vec::new());
        for _ in 0..ROUNDS {
            machine.run()?;
            times[0].push(timed(|| machine.settle())?);
            times[1].push(timed(|| machine.save(&mut state))?);
            times[2].push(timed(|| encode(&state, 0, &[], &mut blob))?);
            times[3].push(timed(|| decode(&blob).map(drop))?);
            times[4].push(timed(|| machine.restore(&state))?);
        }
        for (name, times) in names.into_iter().zip(times) {
            report(name, times);
        }
        println!(
            "a blob of {} bytes, {} MSRs, a guest of {} bytes",
            blob.len(),
            state.cpu.msrs().count(),
            Guest::Kv.image().len()
        );
        Ok(())
    }

    fn timed<T, E>(work: impl FnOnce() -> Result<T, E>) -> Result<Duration, E> {
        let begun = Instant::now();
        work()?;
        Ok(begun.elapsed())
    }

    fn report(name: &str, mut times: Vec<Duration>) {
        times.sort_unstable();
        let at = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or_default();
        println!("{name:<34} {:>9.1} {:>9.1}", micros(at(50)), micros(at(99)));
    }

    fn micros(time: Duration) -> f64 {
        time.as_secs_f64() * 1e6
    }
}
