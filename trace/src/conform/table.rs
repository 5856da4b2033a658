//! The states that a search has met, each once and with a number, and what hidden steps lead to from each.
//!
//! Numbers are given in the order in which states are met. The table is looked up and never walked through, so that the
//! same record gives the same finding always.

use super::pair::{Ground, Pair};
use super::step::Step;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// The most states that are held at once.
pub(super) const MAX_STATES: usize = 1 << 15;

/// A state's number in the table.
pub(super) type Number = usize;

/// Whose record has ended.
pub(super) type Ended = [bool; 2];

#[derive(Default)]
pub(super) struct Table {
    pairs: Vec<Rc<Pair>>,
    numbers: HashMap<Rc<Pair>, Number>,
    /// What one hidden step leads to.
    hidden: HashMap<(Number, Ended), Rc<[Number]>>,
}

impl Table {
    pub(super) fn number(&mut self, pair: Pair) -> Number {
        if let Some(number) = self.numbers.get(&pair) {
            return *number;
        }
        let (number, pair) = (self.pairs.len(), Rc::new(pair));
        self.pairs.push(Rc::clone(&pair));
        self.numbers.insert(pair, number);
        number
    }

    pub(super) fn pair(&self, number: Number) -> &Pair {
        &self.pairs[number]
    }

    pub(super) fn is_full(&self) -> bool {
        self.pairs.len() > MAX_STATES
    }

    /// The states to which hidden steps lead from these, these included; none if there are too many.
    pub(super) fn closure(
        &mut self,
        ground: &Ground<'_>,
        from: &[Number],
        ended: Ended,
    ) -> Option<Vec<Number>> {
        let mut all: Vec<Number> = from.to_vec();
        let mut seen: HashSet<Number> = from.iter().copied().collect();
        let mut next = 0;
        while let Some(number) = all.get(next).copied() {
            next += 1;
            let hidden = self.hidden_steps(ground, number, ended);
            all.extend(hidden.iter().copied().filter(|number| seen.insert(*number)));
            if all.len() > MAX_STATES {
                return None;
            }
        }
        Some(all)
    }

    fn hidden_steps(&mut self, ground: &Ground<'_>, number: Number, ended: Ended) -> Rc<[Number]> {
        if let Some(known) = self.hidden.get(&(number, ended)) {
            return Rc::clone(known);
        }
        let pair = Rc::clone(&self.pairs[number]);
        let steps = pair.steps().into_iter().filter(|step| !ground.is_recorded(*step, ended));
        let after: Rc<[Number]> =
            steps.filter_map(|step| pair.after(ground, step)).map(|pair| self.number(pair)).collect();
        self.hidden.insert((number, ended), Rc::clone(&after));
        after
    }
}

impl Ground<'_> {
    /// Whether a step that is taken is recorded. Behind the end of its record a node finishes what it has in hand; that
    /// anything new befalls it there explains nothing.
    pub(super) fn is_recorded(&self, step: Step, ended: Ended) -> bool {
        let Some((node, sort)) = step.shows_as() else { return true };
        let goes_on = ended[node as usize] && !step.is_unasked();
        self.shows(node, sort) && !goes_on
    }
}
