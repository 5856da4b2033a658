//! How long checkpoints take, read off the records of a run: one reading for all ways that write a trace.
//!
//! It looks at what was recorded and knows nothing of who decided it. What the times mean is in the trace's header:
//! virtual time of the simulator, or a real machine's.

use crate::enumerate::event;
use crate::point::Event;
use crate::record::Record;
use colo_protocol::{EffectKind, InputKind, MessageKind, NodeName};

/// The times of one checkpoint, microseconds; defined as those that `colo run` measures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CheckpointTimes {
    /// How long the primary's VM stood still.
    pub pause_us: u64,
    /// From the request to vmstate-loaded.
    pub transaction_us: u64,
    /// From the request to the release of the output that the checkpoint covers.
    pub release_us: u64,
}

/// When each part of a checkpoint happened, as far as it did.
#[derive(Clone, Copy, Debug, Default)]
struct Moments {
    requested: Option<u64>,
    suspended: Option<u64>,
    resumed: Option<u64>,
    released: Option<u64>,
    loaded: Option<u64>,
}

impl Moments {
    /// The times, if all of it happened, in an order that makes sense.
    fn times(&self) -> Option<CheckpointTimes> {
        let requested = self.requested?;
        Some(CheckpointTimes {
            pause_us: self.resumed?.checked_sub(self.suspended?)?,
            transaction_us: self.loaded?.checked_sub(requested)?,
            release_us: self.released?.checked_sub(requested)?,
        })
    }
}

/// The times of each checkpoint that went all the way, in the order of the records.
pub fn checkpoint_times(records: &[Record]) -> Vec<CheckpointTimes> {
    let mut all = Vec::new();
    let mut moments = Moments::default();
    let here = records.iter().filter(|record| record.node == Some(NodeName::Primary));
    for (event, time_us) in here.filter_map(|record| Some((event(record)?, record.time_us))) {
        let moment = match event {
            Event::Effect(EffectKind::Send(MessageKind::CheckpointRequest)) => {
                moments = Moments::default();
                &mut moments.requested
            }
            Event::Input(InputKind::VmSuspended) => &mut moments.suspended,
            Event::Effect(EffectKind::ResumeVm) => &mut moments.resumed,
            Event::Effect(EffectKind::Release) => &mut moments.released,
            Event::Input(InputKind::Message(MessageKind::VmstateLoaded)) => &mut moments.loaded,
            _ => continue,
        };
        *moment = Some(time_us);
        if let Some(times) = moments.times() {
            all.push(times);
            moments = Moments::default();
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use colo_protocol::{CheckpointNumber, Effect, Input, Message, OutputOffset};

    fn effect(time_us: u64, effect: Effect) -> Record {
        Record::effect(time_us, NodeName::Primary, 1, effect)
    }

    fn input(time_us: u64, input: Input) -> Record {
        Record::input(time_us, NodeName::Primary, 1, input)
    }

    /// A checkpoint that is requested at `start`; the secondary's records are not to be taken for the primary's.
    fn checkpoint(start: u64) -> Vec<Record> {
        vec![
            effect(start, Effect::Send(Message::CheckpointRequest)),
            Record::input(start + 5, NodeName::Secondary, 1, Input::VmSuspended),
            input(start + 10, Input::VmSuspended),
            effect(start + 11, Effect::SaveState(CheckpointNumber(1))),
            effect(start + 30, Effect::Release(OutputOffset(1))),
            input(start + 40, Input::Message(Message::VmstateLoaded)),
            effect(start + 42, Effect::ResumeVm),
        ]
    }

    #[test]
    fn each_checkpoint_has_its_times() {
        let records = [checkpoint(100), checkpoint(200)].concat();
        let times = CheckpointTimes { pause_us: 32, transaction_us: 40, release_us: 30 };
        assert_eq!(checkpoint_times(&records), [times, times]);
    }

    #[test]
    fn a_vm_that_runs_on_before_the_state_is_sent_pauses_less() {
        let mut records = checkpoint(0);
        records[6] = effect(12, Effect::ResumeVm);
        records.swap(4, 6);
        records.swap(5, 6);
        let times = CheckpointTimes { pause_us: 2, transaction_us: 40, release_us: 30 };
        assert_eq!(checkpoint_times(&records), [times]);
    }

    #[test]
    fn what_a_survivor_releases_is_of_no_checkpoint() {
        let records = [checkpoint(100), vec![effect(900, Effect::Release(OutputOffset(2)))]].concat();
        assert_eq!(checkpoint_times(&records)[0].release_us, 30);
    }

    #[test]
    fn a_checkpoint_that_did_not_end_has_no_times() {
        let begun = checkpoint(100)[..4].to_vec();
        let records = [begun.clone(), checkpoint(200), begun].concat();
        assert_eq!(checkpoint_times(&records).len(), 1);
        // What the initial state leads to belongs to no checkpoint.
        let initial = [effect(1, Effect::Release(OutputOffset(0))), effect(2, Effect::ResumeVm)];
        assert_eq!(checkpoint_times(&initial), []);
    }
}
