//! The search: all states in which the pair can be after each event, the steps that nobody recorded included.
//!
//! An event is explained if it can happen in one of them. Where the record does not fix the order of two events, both
//! orders are looked at.

use super::finding::{Finding, Verdict};
use super::log::{Log, Observed, Place, TRACKS, What};
use super::pair::{Ground, Pair};
use super::sight::{Sight, Sort};
use super::step::Step;
use super::table::{Ended, MAX_STATES, Number, Table};
use super::word::Word;
use colo_protocol::Rules;
use std::collections::{BTreeMap, BTreeSet};
use thiserror::Error;

/// How far each track has been explained.
type Front = [usize; TRACKS];

/// The states in which the pair can be, for each way to have come so far.
type States = BTreeMap<Front, Vec<Number>>;

/// More states fit the record than are looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error(
    "more than {MAX_STATES} states fit the first {events} events, and nothing is said about what follows"
)]
pub struct TooManyStates {
    /// How many events had been explained by then.
    pub events: usize,
}

/// Whether a recorded run is a behaviour of the core under these rules.
pub fn conform(log: &Log, rules: &Rules) -> Result<Finding, TooManyStates> {
    let ground = Ground { rules, sights: log.sights, relayed: log.relayed, apart: log.apart };
    Search { log, ground, table: Table::default() }.run()
}

struct Search<'a> {
    log: &'a Log,
    ground: Ground<'a>,
    table: Table,
}

impl<'a> Search<'a> {
    fn run(&mut self) -> Result<Finding, TooManyStates> {
        let mut states = States::from([(Front::default(), vec![self.table.number(Pair::new())])]);
        for events in 0..self.log.events() {
            self.forget_all_but(&mut states);
            let reached = self.with_hidden_steps(&states).ok_or(TooManyStates { events })?;
            states = self.explain(&reached);
            if states.is_empty() {
                return Ok(self.deviates(&reached, events));
            }
        }
        let events = self.log.events();
        let reached = self.with_hidden_steps(&states).ok_or(TooManyStates { events })?;
        Ok(self.conforms(&states, &reached))
    }

    /// A record that shows numbers that only grow never comes to a state again.
    fn forget_all_but(&mut self, states: &mut States) {
        if self.table.is_full() {
            let old = std::mem::take(&mut self.table);
            for number in states.values_mut().flatten() {
                *number = self.table.number(old.pair(*number).clone());
            }
        }
    }

    fn with_hidden_steps(&mut self, states: &States) -> Option<States> {
        let mut reached = States::new();
        for (front, from) in states {
            let ended = self.ended(front);
            reached.insert(*front, self.table.closure(&self.ground, from, ended)?);
        }
        Some(reached)
    }

    /// Of a node that has a recorder of its own, what comes behind the end of its record is not recorded.
    fn ended(&self, front: &Front) -> Ended {
        [0, 1].map(|track| self.log.apart && front[track] == self.log.tracks[track].len())
    }

    /// The states after one event more.
    fn explain(&mut self, reached: &States) -> States {
        let mut next: BTreeMap<Front, BTreeSet<Number>> = BTreeMap::new();
        for (front, numbers) in reached {
            for (track, event) in self.due(front) {
                let mut after = *front;
                after[track] += 1;
                for number in numbers {
                    if let Some(pair) = self.after(self.table.pair(*number), event) {
                        next.entry(after).or_default().insert(self.table.number(pair));
                    }
                }
            }
        }
        next.into_iter().map(|(front, numbers)| (front, numbers.into_iter().collect())).collect()
    }

    /// The next event of each track, but for those that come behind another's for sure.
    fn due(&self, front: &Front) -> impl Iterator<Item = (usize, &'a Observed)> + use<'a> {
        let log = self.log;
        let next: [Option<&Observed>; TRACKS] =
            std::array::from_fn(|track| log.tracks[track].get(front[track]));
        let first = next.iter().flatten().filter_map(|event| event.rank).min();
        let next = next.into_iter().enumerate().filter_map(|(track, event)| Some((track, event?)));
        next.filter(move |(_, event)| event.rank.is_none() || event.rank == first)
    }

    fn after(&self, pair: &Pair, event: &Observed) -> Option<Pair> {
        let (mut next, ground) = (pair.clone(), &self.ground);
        let node = match &event.what {
            What::Input(node, input) => next.give(ground, *node, *input).map(|()| Some(*node)),
            What::Effect(node, effect) => next.carry_out(ground, *node, effect).map(|()| Some(*node)),
            What::Delay(node, delay_ms) => {
                next.delay_is(*node, *delay_ms);
                Some(Some(*node))
            }
            What::Passed(from, packet) => next.pass(*from, *packet).map(|()| None),
            What::Trouble(trouble) => next.befall(ground, *trouble).map(|()| None),
            What::Garbled(_) => None,
        }?;
        if let (Some(node), Some(checkpoint)) = (node, event.checkpoint)
            && ground.shows(node, Sort::Inside)
            && next.side(node).node.machine().checkpoint().0 != checkpoint
        {
            return None;
        }
        next.normalise(ground);
        Some(next)
    }

    /// What could have been recorded next. What the world does unasked is said only where nothing else is.
    fn accepted(&self, reached: &States) -> BTreeSet<Word> {
        let [mut due, mut unasked] = [BTreeSet::new(), BTreeSet::new()];
        for (front, numbers) in reached {
            let ended = self.ended(front);
            for number in numbers {
                for step in recorded(&self.ground, self.table.pair(*number), ended) {
                    let words = if step.is_unasked() { &mut unasked } else { &mut due };
                    words.insert(step.word(&self.ground));
                }
            }
        }
        if due.is_empty() { unasked } else { due }
    }

    fn deviates(&self, reached: &States, events: usize) -> Finding {
        let accepted = self.accepted(reached);
        let due = reached.keys().flat_map(|front| self.due(front));
        // Where the order is not known, what stands in the place of something that could have come is what is wrong.
        let replaces = |track: usize| accepted.iter().any(|word| word.track() == Some(track));
        let first = due.min_by_key(|(track, event)| (!replaces(*track), event.rank, *track));
        Finding {
            verdict: Verdict::Deviates,
            events,
            at: first.map(|(_, event)| event.place),
            got: first.map(|(_, event)| event.word()),
            accepted: accepted.into_iter().collect(),
        }
    }

    /// A record may end anywhere. It breaks off if the nodes had, whatever was not recorded, something to say next.
    fn conforms(&self, states: &States, reached: &States) -> Finding {
        let mut owed = BTreeSet::new();
        let mut rests = self.log.is_troubled();
        for number in states.values().flatten() {
            let words = self.owed(self.table.pair(*number));
            rests |= words.is_empty();
            owed.extend(words);
        }
        let (at, accepted) = if rests {
            (None, self.accepted(reached))
        } else {
            (owed.first().map(|word| self.end_of(word)), owed)
        };
        let events = self.log.events();
        let accepted = accepted.into_iter().collect();
        Finding { verdict: Verdict::Conforms, events, at, got: None, accepted }
    }

    fn end_of(&self, word: &Word) -> Place {
        self.log.ends[word.track().unwrap_or_default()]
    }

    /// What the nodes are about to say, or to hear, without anything that the world does unasked.
    fn owed(&self, pair: &Pair) -> BTreeSet<Word> {
        let ground = Ground { sights: self.ground.sights.map(Sight::of_the_link), ..self.ground };
        let reached = walk_by_itself(&ground, pair);
        let steps = reached.iter().flat_map(|pair| recorded(&ground, pair, Ended::default()));
        steps.filter(|step| !step.is_unasked()).map(|step| step.word(&ground)).collect()
    }
}

/// The recorded steps that can be taken.
fn recorded(ground: &Ground<'_>, pair: &Pair, ended: Ended) -> impl Iterator<Item = Step> {
    let steps = pair.steps().into_iter();
    steps.filter(move |step| ground.is_recorded(*step, ended) && pair.after(ground, *step).is_some())
}

/// The states to which hidden steps lead that the nodes take by themselves.
fn walk_by_itself(ground: &Ground<'_>, from: &Pair) -> Vec<Pair> {
    let mut found = vec![from.clone()];
    let mut next = 0;
    while let Some(pair) = found.get(next).filter(|_| found.len() < MAX_STATES).cloned() {
        next += 1;
        let steps = pair.steps().into_iter();
        let hidden = steps.filter(|step| !step.is_unasked() && !ground.is_recorded(*step, Ended::default()));
        for after in hidden.filter_map(|step| pair.after(ground, step)) {
            if !found.contains(&after) {
                found.push(after);
            }
        }
    }
    found
}
