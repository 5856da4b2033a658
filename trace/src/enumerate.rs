//! All protocol points of a checkpoint, read off a recorded run.
//!
//! An undisturbed run shows what happens in a checkpoint; each event gives the places before, within and behind it at
//! which something can go wrong in the next run.

use crate::point::{Event, Moment, Point};
use crate::record::{Kind, Record};
use colo_protocol::{CheckpointNumber, EffectKind, InputKind, NodeName, Operation};
use std::collections::BTreeMap;

/// The points of `checkpoint` at `node`, in the order in which `records` has the events. Output of the guest is left
/// out: how much there is depends on time, and a point must be there in every run.
pub fn points_of(records: &[Record], node: NodeName, checkpoint: CheckpointNumber) -> Vec<Point> {
    let mut seen = BTreeMap::new();
    let here = records.iter().filter(|record| record.node == Some(node) && record.checkpoint == checkpoint.0);
    let events = here.filter_map(event).filter(|event| *event != Event::Input(InputKind::GuestOutput));
    let mut points = Vec::new();
    for event in events {
        let occurrence = seen.entry(event).or_insert(0);
        *occurrence += 1;
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

    #[test]
    fn every_event_of_the_checkpoint_gives_its_places() {
        let p = NodeName::Primary;
        let one = CheckpointNumber(1);
        let records = [
            Record::input(1, p, 0, Input::Message(Message::CheckpointReady)),
            Record::input(2, p, 1, Input::CheckpointDue),
            Record::effect(3, p, 1, Effect::Send(Message::CheckpointRequest)),
            Record::input(4, NodeName::Secondary, 1, Input::Message(Message::CheckpointRequest)),
            Record::input(5, p, 1, Input::GuestOutput { end: OutputOffset(1) }),
            Record::effect(6, p, 1, Effect::SendRam(one)),
        ];
        let points: Vec<_> = points_of(&records, p, one).iter().map(ToString::to_string).collect();
        assert_eq!(
            points,
            [
                "primary checkpoint 1 after input checkpoint-due",
                "primary checkpoint 1 before effect checkpoint-request",
                "primary checkpoint 1 after effect checkpoint-request",
                "primary checkpoint 1 before effect send-ram",
                "primary checkpoint 1 during effect send-ram",
                "primary checkpoint 1 after effect send-ram",
            ]
        );
    }
}
