//! All protocol points of a recorded run, or of one checkpoint of it.
//!
//! A run shows what happens; each event gives the places before, within and behind it at which something can go wrong
//! in the next run.

use crate::point::{Event, Moment, Point};
use crate::record::{Kind, Record};
use colo_protocol::{CheckpointNumber, EffectKind, InputKind, NodeName, Operation};
use std::collections::BTreeMap;

/// Every point that the run came to, of both nodes, in its order. An operation that never ended has no point after it.
pub fn points_in(records: &[Record]) -> Vec<Point> {
    walk(records).into_iter().map(|(_, point)| point).collect()
}

/// How many records the run had when it came to this point; none if it never did. Between the beginning of an
/// operation and its end nothing is recorded: the point within it is where it has begun.
pub fn records_before(records: &[Record], point: Point) -> Option<usize> {
    walk(records).into_iter().find(|(_, at)| *at == point).map(|(records, _)| records)
}

fn walk(records: &[Record]) -> Vec<(usize, Point)> {
    let mut walk = Walk::default();
    for (index, record) in records.iter().enumerate() {
        walk.happened = index;
        if let (Some(node), Some(event)) = (record.node, event(record)) {
            walk.take(node, CheckpointNumber(record.checkpoint), event);
        }
    }
    walk.points
}

/// A walk along a run: counts as the cursor of a plan does.
#[derive(Default)]
struct Walk {
    /// Records before the one that is looked at.
    happened: usize,
    /// Each point, and how many records had happened there.
    points: Vec<(usize, Point)>,
    seen: BTreeMap<(NodeName, CheckpointNumber, Moment, Event), u32>,
    /// Which checkpoint each node had begun.
    begun: [CheckpointNumber; 2],
    /// The effect that began the operation that each node has in hand.
    in_hand: [Option<EffectKind>; 2],
}

impl Walk {
    fn take(&mut self, node: NodeName, checkpoint: CheckpointNumber, event: Event) {
        let Event::Effect(kind) = event else { return self.take_input(node, checkpoint, event) };
        self.at(node, checkpoint, Moment::Before, event);
        self.happened += 1;
        if Operation::of(kind).is_some() {
            self.at(node, checkpoint, Moment::During, event);
            self.in_hand[node as usize] = Some(kind);
        } else {
            self.at(node, checkpoint, Moment::After, event);
        }
    }

    /// Before an input that begins a checkpoint, the node is in the one before.
    fn take_input(&mut self, node: NodeName, checkpoint: CheckpointNumber, event: Event) {
        let Event::Input(kind) = event else { return };
        let before = std::mem::replace(&mut self.begun[node as usize], checkpoint);
        let in_hand = &mut self.in_hand[node as usize];
        if let Some(effect) = in_hand.take_if(|effect| kind.ends() == Operation::of(*effect)) {
            self.at(node, before, Moment::After, Event::Effect(effect));
        }
        self.at(node, before, Moment::Before, event);
        self.happened += 1;
        self.at(node, checkpoint, Moment::After, event);
    }

    fn at(&mut self, node: NodeName, checkpoint: CheckpointNumber, moment: Moment, event: Event) {
        let occurrence = self.seen.entry((node, checkpoint, moment, event)).or_insert(0);
        *occurrence += 1;
        self.points.push((self.happened, Point { node, checkpoint, moment, event, occurrence: *occurrence }));
    }
}

/// The points of `checkpoint` at `node`, in the order in which `records` has the events. Output of the guest is left
/// out, and what its comparison comes to: how much there is depends on time, and a point must be there in every run. Of
/// what is released or redirected the first time is there in every run.
pub fn points_of(records: &[Record], node: NodeName, checkpoint: CheckpointNumber) -> Vec<Point> {
    let mut seen = BTreeMap::new();
    let here = records.iter().filter(|record| record.node == Some(node) && record.checkpoint == checkpoint.0);
    let by_chance = |event: &Event| matches!(event, Event::Input(_)) && event.is_of_output();
    let rare = Event::Effect(EffectKind::ReleaseUncompared);
    let events = here.filter_map(event).filter(|event| !by_chance(event) && *event != rare);
    let mut points = Vec::new();
    for event in events {
        let occurrence = seen.entry(event).or_insert(0);
        *occurrence += 1;
        if event.is_of_output() && *occurrence > 1 {
            continue;
        }
        let at = |moment| Point { node, checkpoint, moment, event, occurrence: *occurrence };
        points.extend(moments(event).iter().map(|moment| at(*moment)));
    }
    points
}

/// The event that a record tells, if it tells one of a machine.
pub(crate) fn event(record: &Record) -> Option<Event> {
    match record.kind {
        Kind::Input => InputKind::from_name(&record.name).map(Event::Input),
        Kind::Effect => EffectKind::from_name(&record.name).map(Event::Effect),
        _ => None,
    }
}

/// An input is given at once: what is before it is behind another event. Its checkpoint is counted when it has been
/// given, so the place before the input that begins a checkpoint belongs to the checkpoint before.
fn moments(event: Event) -> &'static [Moment] {
    match event {
        Event::Input(_) => &[Moment::After],
        Event::Effect(kind) if Operation::of(kind).is_some() => {
            &[Moment::Before, Moment::During, Moment::After]
        }
        Event::Effect(_) => &[Moment::Before, Moment::After],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use colo_protocol::{Effect, Input, Message, OutputOffset};

    fn records() -> [Record; 7] {
        let p = NodeName::Primary;
        let one = CheckpointNumber(1);
        [
            Record::input(1, p, 0, Input::Message(Message::CheckpointReady)),
            Record::input(2, p, 1, Input::CheckpointDue),
            Record::effect(3, p, 1, Effect::Send(Message::CheckpointRequest)),
            Record::input(4, NodeName::Secondary, 1, Input::Message(Message::CheckpointRequest)),
            Record::input(5, p, 1, Input::GuestOutput { end: OutputOffset(1) }),
            Record::effect(6, p, 1, Effect::SendRam(one)),
            Record::input(7, p, 1, Input::LinkDown),
        ]
    }

    #[test]
    fn every_event_of_the_checkpoint_gives_its_places() {
        let (p, one) = (NodeName::Primary, CheckpointNumber(1));
        let points: Vec<_> = points_of(&records(), p, one).iter().map(ToString::to_string).collect();
        assert_eq!(
            points,
            [
                "primary checkpoint 1 after input checkpoint-due",
                "primary checkpoint 1 before effect checkpoint-request",
                "primary checkpoint 1 after effect checkpoint-request",
                "primary checkpoint 1 before effect send-ram",
                "primary checkpoint 1 during effect send-ram",
                "primary checkpoint 1 after effect send-ram",
                "primary checkpoint 1 after input link-down",
            ]
        );
    }

    #[test]
    fn a_whole_run_has_the_points_that_it_came_to_and_no_others() {
        let points: Vec<_> = points_in(&records()).iter().map(ToString::to_string).collect();
        assert_eq!(
            points,
            [
                "primary checkpoint 0 before input checkpoint-ready",
                "primary checkpoint 0 after input checkpoint-ready",
                "primary checkpoint 0 before input checkpoint-due",
                "primary checkpoint 1 after input checkpoint-due",
                "primary checkpoint 1 before effect checkpoint-request",
                "primary checkpoint 1 after effect checkpoint-request",
                "secondary checkpoint 0 before input checkpoint-request",
                "secondary checkpoint 1 after input checkpoint-request",
                "primary checkpoint 1 before input guest-output",
                "primary checkpoint 1 after input guest-output",
                "primary checkpoint 1 before effect send-ram",
                "primary checkpoint 1 during effect send-ram",
                "primary checkpoint 1 before input link-down",
                "primary checkpoint 1 after input link-down",
            ]
        );
    }

    #[test]
    fn a_point_has_its_place_between_the_records() {
        for (point, happened) in [
            ("primary checkpoint 0 before input checkpoint-ready", Some(0)),
            ("primary checkpoint 0 after input checkpoint-ready", Some(1)),
            ("primary checkpoint 1 before effect checkpoint-request", Some(2)),
            ("primary checkpoint 1 after effect checkpoint-request", Some(3)),
            ("primary checkpoint 1 during effect send-ram", Some(6)),
            ("primary checkpoint 1 after effect send-ram", None),
        ] {
            assert_eq!(records_before(&records(), point.parse().unwrap()), happened, "{point}");
        }
    }
}
