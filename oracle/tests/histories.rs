//! Correct histories pass, and each single change to one is noticed.
#![allow(clippy::unwrap_used, reason = "a test may")]

use colo_oracle::{Checker, History, Observation, Operation, Reply, Request, Store, Violation};
use colo_protocol::OutputOffset;
use proptest::prelude::*;

/// A correct service with its clients, driven by a script.
#[derive(Default)]
struct Service {
    store: Store,
    serial: u64,
    last: Vec<Option<Reply>>,
    output: Vec<Reply>,
    open: Vec<Option<Request>>,
    sequences: Vec<u64>,
    history: History,
}

impl Service {
    fn new(clients: usize) -> Self {
        Self {
            last: vec![None; clients],
            open: vec![None; clients],
            sequences: vec![0; clients],
            ..Self::default()
        }
    }

    /// One step: the client asks, asks again, or is answered; or the world is shown old output again.
    fn step(&mut self, client: usize, choice: u8, operation: Operation) {
        match (self.open[client], choice % 4) {
            (None, _) => {
                self.sequences[client] += 1;
                let number = u32::try_from(client).unwrap();
                let request = Request { client: number, sequence: self.sequences[client], operation };
                self.open[client] = Some(request);
                self.history.issued(request);
            }
            (Some(request), 0) => self.history.issued(request),
            (Some(_), 1) if !self.output.is_empty() => {
                let at = self.output.len() * usize::from(choice) / 256;
                self.history.accepted(OutputOffset(at as u64), self.output[at]);
            }
            (Some(request), _) => self.answer(client, request),
        }
    }

    fn answer(&mut self, client: usize, request: Request) {
        let Request { client: number, sequence, operation } = request;
        self.serial += 1;
        let value = self.store.apply(operation);
        let reply = Reply { client: number, sequence, serial: self.serial, value };
        self.last[client] = Some(reply);
        self.open[client] = None;
        self.send(reply);
    }

    fn send(&mut self, reply: Reply) {
        self.history.accepted(OutputOffset(self.output.len() as u64), reply);
        self.output.push(reply);
    }

    /// Answers all that is open, and one retry that was still on its way.
    fn drain(mut self) -> History {
        for client in 0..self.open.len() {
            if let Some(request) = self.open[client] {
                self.answer(client, request);
            }
        }
        if let Some(reply) = self.last.iter().flatten().next().copied() {
            self.send(reply);
        }
        self.history
    }
}

fn operations() -> impl Strategy<Value = Operation> {
    (0_u64..4, 0_u64..9, 0_u8..3).prop_map(|(key, number, kind)| match kind {
        0 => Operation::Put { key, value: number },
        1 => Operation::Get { key },
        _ => Operation::Add { key, delta: number },
    })
}

fn histories() -> impl Strategy<Value = History> {
    proptest::collection::vec((0_usize..3, any::<u8>(), operations()), 4..60).prop_map(|script| {
        let mut service = Service::new(3);
        for (client, choice, operation) in script {
            service.step(client, choice, operation);
        }
        service.drain()
    })
}

/// The places of the replies that were new where they stood.
fn new_replies(history: &History) -> Vec<usize> {
    let mut next = 0;
    let mut places = Vec::new();
    for (index, observation) in history.observations().iter().enumerate() {
        if matches!(observation, Observation::Accepted { offset, .. } if offset.0 == next) {
            next += 1;
            places.push(index);
        }
    }
    places
}

fn reply_at(observations: &mut [Observation], index: usize) -> &mut Reply {
    match &mut observations[index] {
        Observation::Accepted { reply, .. } => reply,
        Observation::AcceptedEarly { .. } | Observation::Issued(_) => {
            unreachable!("the index is one of a reply")
        }
    }
}

proptest! {
    #[test]
    fn a_correct_history_passes(history in histories()) {
        let summary = history.check().unwrap();
        prop_assert_eq!(summary.requests, summary.answered);
        prop_assert_eq!(history.check_prefix(), Ok(summary));
    }

    #[test]
    fn a_dropped_reply_is_noticed(history in histories(), pick in any::<prop::sample::Index>()) {
        // All that stood at its place: a second sending would mend it. The very last reply answers a retry, and
        // nobody can miss it.
        let dropped = OutputOffset(pick.index(new_replies(&history).len() - 1) as u64);
        let kept = history.observations().iter().filter(
            |observation| !matches!(observation, Observation::Accepted { offset, .. } if *offset == dropped),
        );
        let broken: History = kept.copied().collect();
        prop_assert!(broken.check().is_err());
    }

    #[test]
    fn two_replies_in_each_others_place_are_noticed(
        history in histories(),
        pick in any::<prop::sample::Index>(),
    ) {
        let places = new_replies(&history);
        prop_assume!(places.len() > 2);
        let first = pick.index(places.len() - 2);
        let mut observations = history.observations().to_vec();
        let left = *reply_at(&mut observations, places[first]);
        let right = std::mem::replace(reply_at(&mut observations, places[first + 1]), left);
        *reply_at(&mut observations, places[first]) = right;
        prop_assert!(observations.into_iter().collect::<History>().check().is_err());
    }

    #[test]
    fn a_changed_reply_is_noticed(
        history in histories(),
        pick in any::<prop::sample::Index>(),
        field in 0..4,
    ) {
        let mut observations = history.observations().to_vec();
        let replies: Vec<usize> = (0..observations.len())
            .filter(|index| matches!(observations[*index], Observation::Accepted { .. }))
            .collect();
        let reply = reply_at(&mut observations, replies[pick.index(replies.len())]);
        match field {
            0 => reply.value = reply.value.wrapping_add(1),
            1 => reply.serial += 1,
            2 => reply.serial -= 1,
            _ => reply.sequence += 1,
        }
        prop_assert!(observations.into_iter().collect::<History>().check().is_err());
    }

    #[test]
    fn an_unasked_reply_is_noticed(history in histories(), pick in any::<prop::sample::Index>()) {
        let mut observations = history.observations().to_vec();
        let Observation::Accepted { reply, .. } = observations[*pick.get(&new_replies(&history))] else {
            unreachable!("the index is one of a reply");
        };
        observations.retain(|observation| {
            !matches!(observation, Observation::Issued(request)
                if (request.client, request.sequence) == (reply.client, reply.sequence))
        });
        prop_assert!(observations.into_iter().collect::<History>().check().is_err());
    }
}

fn issued(client: u32, sequence: u64, operation: Operation) -> Observation {
    Observation::Issued(Request { client, sequence, operation })
}

fn accepted(offset: u64, client: u32, sequence: u64, serial: u64, value: u64) -> Observation {
    let reply = Reply { client, sequence, serial, value };
    Observation::Accepted { offset: OutputOffset(offset), reply }
}

#[test]
fn an_acknowledged_operation_that_vanished_is_called_lost() {
    let history: History = [
        issued(0, 1, Operation::Put { key: 1, value: 5 }),
        accepted(0, 0, 1, 1, 0),
        issued(1, 1, Operation::Get { key: 1 }),
        accepted(1, 1, 1, 1, 0),
    ]
    .into_iter()
    .collect();
    let violation = history.check().unwrap_err();
    assert!(matches!(violation, Violation::Lost { .. }));
    assert_eq!(
        violation.to_string(),
        "lost: client 1's request 1 is answered 0 with serial 1, but before that request was sent, client 0's \
         request 1 had been answered with serial 1"
    );
}

#[test]
fn a_request_without_an_answer_is_told_at_the_end_only() {
    let history: History = [issued(2, 1, Operation::Get { key: 3 })].into_iter().collect();
    assert!(history.check_prefix().is_ok());
    assert_eq!(history.check().unwrap_err().to_string(), "unanswered: client 2's request 1 (get 3)");
}

fn early(offset: u64, client: u32, sequence: u64, serial: u64, value: u64) -> Observation {
    let reply = Reply { client, sequence, serial, value };
    Observation::AcceptedEarly { offset: OutputOffset(offset), reply }
}

/// A reply may come before the output that stands before it; what then comes at its place has to be the same.
#[test]
fn a_reply_that_came_early_is_checked_when_its_place_comes() {
    let asked = [
        issued(0, 1, Operation::Put { key: 1, value: 5 }),
        issued(1, 1, Operation::Get { key: 1 }),
        early(1, 1, 1, 2, 5),
    ];
    let check =
        |rest: &[Observation]| asked.into_iter().chain(rest.iter().copied()).collect::<History>().check();
    let summary = check(&[accepted(0, 0, 1, 1, 0), accepted(1, 1, 1, 2, 5)]).unwrap();
    assert_eq!((summary.answered, summary.repeated), (2, 0));
    assert_eq!(check(&[accepted(0, 0, 1, 1, 0)]).unwrap().answered, 2);
    let other = check(&[accepted(0, 0, 1, 1, 0), accepted(1, 1, 1, 2, 0)]);
    assert!(matches!(other, Err(Violation::OutputChanged { .. })), "{other:?}");
    let again = check(&[early(1, 1, 1, 2, 0)]);
    assert!(matches!(again, Err(Violation::Contradicted { .. })), "{again:?}");
    assert!(matches!(check(&[early(4, 2, 1, 1, 0)]), Err(Violation::Unasked { .. })));
}

#[test]
fn what_is_forgotten_can_no_longer_be_compared_and_what_is_kept_can() {
    let put = |sequence| issued(0, sequence, Operation::Put { key: 0, value: sequence });
    let mut checker = Checker::new();
    for sequence in 1..=10 {
        checker.observe(&put(sequence)).unwrap();
        checker.observe(&accepted(sequence - 1, 0, sequence, sequence, sequence - 1)).unwrap();
        checker.forget_all_but(3);
    }
    let again = |sequence, value| accepted(sequence - 1, 0, sequence, sequence, value);
    assert!(matches!(checker.observe(&again(10, 77)), Err(Violation::OutputChanged { .. })));
    assert_eq!(checker.observe(&again(2, 77)), Ok(()));
    let repeated = |sequence| accepted(10, 0, sequence, sequence, sequence - 1);
    assert_eq!(checker.clone().observe(&repeated(9)), Ok(()));
    assert!(matches!(checker.observe(&repeated(2)), Err(Violation::Unasked { .. })));
    assert_eq!(checker.drained().map(|summary| (summary.requests, summary.answered)), Ok((10, 10)));
}
