//! Asks an arbiter for somebody who cannot wait for it.
//!
//! One thread asks, and may hang for as long as the arbiter does; another keeps the book of what has been asked. A question
//! that was not answered is asked again, after a pause that grows, until it is answered or nobody wants to know any more.
//! That an arbiter is silent is told once for each question.

use super::{Arbiter, ArbiterError, Claim};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// How long to wait before a question is asked for the second time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause between two times.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// After how long an arbiter counts as silent that says nothing at all, not even that it cannot.
const ANSWERS_WITHIN: Duration = Duration::from_secs(3);

/// How long to sleep when nothing is due.
const IDLE: Duration = Duration::from_mins(1);

/// What has come of a question.
#[derive(Debug)]
pub struct Told {
    /// The question.
    pub claim: Claim,
    /// The answer; or why there is none yet, which is told once. It is asked again.
    pub answer: Result<bool, ArbiterError>,
}

/// Questions under way. When this is dropped nothing more is told, and nothing more is asked.
#[derive(Debug)]
pub struct Asking {
    orders: Sender<Order>,
}

enum Order {
    Ask(Claim),
    Withdraw(Claim),
    /// The arbiter has answered, or has not.
    Came(Claim, Result<bool, ArbiterError>),
    Enough,
}

impl Asking {
    /// Begins to ask this arbiter; `tell` is called on a thread of this.
    pub fn start(arbiter: Box<dyn Arbiter>, tell: impl FnMut(Told) + Send + 'static) -> Self {
        let (orders, ordered) = channel();
        let (next, nexts) = channel();
        let answers = orders.clone();
        std::thread::spawn(move || work(arbiter, &nexts, &answers));
        let book = Book { questions: Vec::new(), in_hand: false, next, tell };
        std::thread::spawn(move || book.keep(&ordered));
        Self { orders }
    }

    /// Asks, unless the same is asked already.
    pub fn ask(&self, claim: Claim) {
        self.order(Order::Ask(claim));
    }

    /// Nobody wants to know any more. What the arbiter has been asked by now may have been granted all the same.
    pub fn withdraw(&self, claim: Claim) {
        self.order(Order::Withdraw(claim));
    }

    fn order(&self, order: Order) {
        // The book is kept until this is dropped.
        let _ = self.orders.send(order);
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.order(Order::Enough);
    }
}

/// Asks, one question at a time, and waits for the arbiter however long that takes.
fn work(mut arbiter: Box<dyn Arbiter>, nexts: &Receiver<Claim>, answers: &Sender<Order>) {
    for claim in nexts {
        let answer = arbiter.claim(&claim);
        if answers.send(Order::Came(claim, answer)).is_err() {
            return;
        }
    }
}

/// A question that has not been answered.
struct Question {
    claim: Claim,
    since: Instant,
    /// When it is to be asked; none while it is.
    due: Option<Instant>,
    /// How long to wait then before it is asked again.
    pause: Duration,
    /// It has been told that the arbiter is silent.
    is_told: bool,
}

/// All that has been asked.
struct Book<Tell> {
    questions: Vec<Question>,
    /// The arbiter is being asked something.
    in_hand: bool,
    next: Sender<Claim>,
    tell: Tell,
}

impl<Tell: FnMut(Told)> Book<Tell> {
    fn keep(mut self, ordered: &Receiver<Order>) {
        loop {
            self.ask_next();
            let wait = self.next_at().map_or(IDLE, |at| at.saturating_duration_since(Instant::now()));
            match ordered.recv_timeout(wait) {
                Ok(Order::Enough) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(Order::Ask(claim)) => self.take(claim),
                Ok(Order::Withdraw(claim)) => self.questions.retain(|question| question.claim != claim),
                Ok(Order::Came(claim, answer)) => self.came(&claim, answer),
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.mind_the_late();
        }
    }

    fn take(&mut self, claim: Claim) {
        if self.questions.iter().any(|question| question.claim == claim) {
            return;
        }
        let now = Instant::now();
        let question = Question { claim, since: now, due: Some(now), pause: FIRST_PAUSE, is_told: false };
        self.questions.push(question);
    }

    /// Has the arbiter asked what has been due for longest, if it is asked nothing else.
    fn ask_next(&mut self) {
        let now = Instant::now();
        let due = self.questions.iter_mut().filter(|question| question.due.is_some_and(|due| due <= now));
        let Some(question) = due.min_by_key(|question| question.due).filter(|_| !self.in_hand) else {
            return;
        };
        question.due = None;
        self.in_hand = self.next.send(question.claim.clone()).is_ok();
    }

    /// When there is something to be done, if nothing comes before.
    fn next_at(&self) -> Option<Instant> {
        let dues = self.questions.iter().filter_map(|question| question.due).filter(|_| !self.in_hand);
        let untold = self.questions.iter().filter(|question| !question.is_told);
        dues.chain(untold.map(|question| question.since + ANSWERS_WITHIN)).min()
    }

    fn came(&mut self, claim: &Claim, answer: Result<bool, ArbiterError>) {
        self.in_hand = false;
        let Some(place) = self.questions.iter().position(|question| question.claim == *claim) else { return };
        match answer {
            Ok(granted) => {
                let Question { claim, .. } = self.questions.swap_remove(place);
                (self.tell)(Told { claim, answer: Ok(granted) });
            }
            Err(error) => {
                let question = &mut self.questions[place];
                question.due = Some(Instant::now() + question.pause);
                question.pause = (question.pause * 2).min(LONGEST_PAUSE);
                self.tell_once(place, error);
            }
        }
    }

    fn mind_the_late(&mut self) {
        for place in 0..self.questions.len() {
            if self.questions[place].since.elapsed() >= ANSWERS_WITHIN {
                self.tell_once(place, ArbiterError::Late(ANSWERS_WITHIN));
            }
        }
    }

    fn tell_once(&mut self, place: usize, error: ArbiterError) {
        let question = &mut self.questions[place];
        if !std::mem::replace(&mut question.is_told, true) {
            (self.tell)(Told { claim: question.claim.clone(), answer: Err(error) });
        }
    }
}

#[cfg(test)]
#[path = "asking/tests.rs"]
mod tests;
