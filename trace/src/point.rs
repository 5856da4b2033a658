//! Protocol points: places in a run that mean the same on a virtual clock, in a model and on real machines.
//!
//! Written as a sentence, `primary checkpoint 3 after effect vmstate-size`, with `occurrence 2` behind it when the
//! event happens more than once in that checkpoint. Where a survivor is protected again, nodes are named by their role in
//! the new pair and checkpoints are counted anew; occurrences go on, so that a point is one place of a run.

use colo_protocol::{CheckpointNumber, EffectKind, InputKind, NodeName};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// What happens at a point.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Event {
    /// The node's machine is given an input.
    Input(InputKind),
    /// The node's environment carries out an effect.
    Effect(EffectKind),
}

impl Event {
    /// The event's name without its sort.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Input(kind) => kind.name(),
            Self::Effect(kind) => kind.name(),
        }
    }

    /// Whether it comes, or may come, of what the guests send, and not of a checkpoint: how often it does, and how far the
    /// protocol is when it does, depends on them.
    pub const fn is_of_output(self) -> bool {
        match self {
            Self::Input(kind) => matches!(
                kind,
                InputKind::GuestOutput
                    | InputKind::UncomparedOutput
                    | InputKind::OutputsMatch
                    | InputKind::OutputsDiffer
                    | InputKind::OutputHeldTooLong
            ),
            Self::Effect(kind) => matches!(
                kind,
                EffectKind::Release | EffectKind::ReleaseUncompared | EffectKind::RedirectOutput
            ),
        }
    }
}

/// Where, in relation to the event.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Moment {
    /// An effect is next to be carried out; an input has come in and has not been given to the machine.
    Before,
    /// An operation has begun and has not ended: of a transfer, about half of the bytes are on the link.
    During,
    /// An effect has been carried out, an operation has ended (its end not yet told); an input has been given to the
    /// machine and none of the effects that follow from it has been carried out.
    After,
}

impl Moment {
    const ALL: [Self; 3] = [Self::Before, Self::During, Self::After];

    const fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::During => "during",
            Self::After => "after",
        }
    }
}

/// A place in a run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Point {
    /// The node at which the event happens.
    pub node: NodeName,
    /// The latest checkpoint that the node's machine has begun.
    pub checkpoint: CheckpointNumber,
    /// Before, during or after the event.
    pub moment: Moment,
    /// The event.
    pub event: Event,
    /// The how-manieth such event of a checkpoint of this number, from 1.
    pub occurrence: u32,
}

/// A point that cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error(
    "cannot read the point {text:?}: {problem}; expected, for instance, \"primary checkpoint 3 after effect vmstate-size\""
)]
pub struct PointError {
    text: String,
    problem: String,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sort = match self.event {
            Event::Input(_) => "input",
            Event::Effect(_) => "effect",
        };
        let (moment, name) = (self.moment.name(), self.event.name());
        write!(f, "{} checkpoint {} {moment} {sort} {name}", self.node, self.checkpoint)?;
        if self.occurrence != 1 {
            write!(f, " occurrence {}", self.occurrence)?;
        }
        Ok(())
    }
}

impl From<Point> for String {
    fn from(point: Point) -> Self {
        point.to_string()
    }
}

impl TryFrom<String> for Point {
    type Error = PointError;

    fn try_from(text: String) -> Result<Self, PointError> {
        text.parse()
    }
}

impl FromStr for Point {
    type Err = PointError;

    fn from_str(text: &str) -> Result<Self, PointError> {
        parse(text).map_err(|problem| PointError { text: text.to_owned(), problem })
    }
}

fn parse(text: &str) -> Result<Point, String> {
    let mut words = text.split_whitespace();
    let mut next = |what: &str| words.next().ok_or_else(|| format!("{what} is missing"));
    let node = node(next("the node")?)?;
    keyword(next("\"checkpoint\"")?, "checkpoint")?;
    let checkpoint = CheckpointNumber(number(next("the checkpoint's number")?)?);
    let word = next("before, during or after")?;
    let moment = Moment::ALL
        .into_iter()
        .find(|moment| moment.name() == word)
        .ok_or_else(|| format!("{word:?} is not before, during or after"))?;
    let sort = next("input or effect")?;
    let event = event(sort, next("the event's name")?)?;
    let occurrence = match words.next() {
        None => 1,
        Some(word) => {
            keyword(word, "occurrence")?;
            let count = words.next().ok_or("the occurrence's number is missing")?;
            u32::try_from(number(count)?).map_err(|_| format!("occurrence {count} is too large"))?
        }
    };
    if let Some(word) = words.next() {
        return Err(format!("{word:?} is left over"));
    }
    if occurrence == 0 {
        return Err("occurrences are counted from 1".to_owned());
    }
    Ok(Point { node, checkpoint, moment, event, occurrence })
}

fn node(word: &str) -> Result<NodeName, String> {
    let found = NodeName::ALL.into_iter().find(|node| node.name() == word);
    found.ok_or_else(|| format!("{word:?} is not primary or secondary"))
}

fn keyword(word: &str, expected: &str) -> Result<(), String> {
    if word == expected { Ok(()) } else { Err(format!("{word:?} stands where {expected:?} should")) }
}

fn number(word: &str) -> Result<u64, String> {
    word.parse().map_err(|_| format!("{word:?} is not a number"))
}

fn event(sort: &str, name: &str) -> Result<Event, String> {
    let event = match sort {
        "input" => InputKind::from_name(name).map(Event::Input),
        "effect" => EffectKind::from_name(name).map(Event::Effect),
        _ => return Err(format!("{sort:?} is not input or effect")),
    };
    event.ok_or_else(|| format!("there is no {sort} {name:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_reads_as_it_is_written() {
        for text in [
            "primary checkpoint 3 after effect vmstate-size",
            "secondary checkpoint 1 before input vmstate-send",
            "secondary checkpoint 12 during effect load-state",
            "primary checkpoint 0 after input guest-output occurrence 7",
        ] {
            assert_eq!(text.parse::<Point>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn every_event_can_be_named() {
        let inputs = InputKind::all().map(Event::Input);
        for event in inputs.chain(EffectKind::all().map(Event::Effect)) {
            let point = Point {
                node: NodeName::Primary,
                checkpoint: CheckpointNumber(1),
                moment: Moment::Before,
                event,
                occurrence: 2,
            };
            assert_eq!(point.to_string().parse(), Ok(point));
        }
    }

    #[test]
    fn a_bad_point_says_what_is_wrong() {
        for (text, problem) in [
            ("", "the node is missing"),
            ("tertiary checkpoint 1 after effect release", "\"tertiary\" is not primary or secondary"),
            ("primary checkpoint x after effect release", "\"x\" is not a number"),
            ("primary checkpoint 1 around effect release", "\"around\" is not before, during or after"),
            ("primary checkpoint 1 after effect vmstate", "there is no effect \"vmstate\""),
            (
                "primary checkpoint 1 after effect release twice",
                "\"twice\" stands where \"occurrence\" should",
            ),
            ("primary checkpoint 1 after effect release occurrence 0", "occurrences are counted from 1"),
        ] {
            assert_eq!(text.parse::<Point>().unwrap_err().problem, problem);
        }
    }
}
