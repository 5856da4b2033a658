//! Which way a frame goes. The nodes of a machine are one machine: what one of them sends is not for the others. Faults
//! befall what passes between the nodes and the clients, and nothing else.

use super::addresses::Addresses;
use super::late::{Crossing, Late};
use super::port::{Attachment, Came, Port, PortFigures, PortNumber, Side};
use super::recent::Recent;
use super::{Observer, SwitchFigures};
use crate::net::faults::{Copy, Direction, FrameFaults};
use crate::net::frame::{Frame, MacAddress};
use crate::net::seen::Seen;
use crate::net::waking::{Waker, interest, wait};
use rustix::event::{PollFd, PollFlags};
use std::collections::BTreeMap;
use std::io;
use std::time::Instant;

/// Frames that are taken from one port before the others have their turn.
const FRAMES_AT_ONCE: usize = 64;

/// What befell frames between the service and its clients.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FaultFigures {
    /// Frames to the service.
    pub to_service: u64,
    /// Frames from the service.
    pub from_service: u64,
    /// Frames that were lost.
    pub lost: u64,
    /// Copies that came later.
    pub delayed: u64,
    /// Frames that came twice.
    pub doubled: u64,
    /// Copies that another frame overtook.
    pub overtaken: u64,
    /// Copies that were to come later, and for which there was no room.
    pub no_room: u64,
}

/// The ports, what is known of them, and what is on its way.
pub(super) struct Fabric {
    ports: BTreeMap<PortNumber, Port>,
    /// Of ports that are gone, and in the place of those that are there.
    gone: Vec<Option<PortFigures>>,
    addresses: Addresses,
    seen: Seen,
    late: Late,
    pub(super) recent: Recent,
    /// The node at which the service was last.
    service_at: Option<PortNumber>,
    moves: u64,
    sent_again: u64,
    pub(super) faults: FrameFaults,
    befell: FaultFigures,
    pub(super) observer: Observer,
}

impl Fabric {
    pub(super) fn new(faults: FrameFaults) -> Self {
        Self {
            ports: BTreeMap::new(),
            gone: Vec::new(),
            addresses: Addresses::default(),
            seen: Seen::default(),
            late: Late::default(),
            recent: Recent::default(),
            service_at: None,
            moves: 0,
            sent_again: 0,
            faults,
            befell: FaultFigures::default(),
            observer: Box::new(|_, _, _| ()),
        }
    }

    pub(super) fn attach(&mut self, side: Side, attachment: Attachment) {
        self.ports.insert(PortNumber(self.gone.len()), Port::new(side, attachment));
        self.gone.push(None);
    }

    pub(super) fn figures(&self) -> SwitchFigures {
        let figures = |(number, gone): (usize, &Option<PortFigures>)| {
            gone.or_else(|| self.ports.get(&PortNumber(number)).map(|port| port.figures))
        };
        let ports = self.gone.iter().enumerate().filter_map(figures).collect();
        SwitchFigures { ports, faults: self.befell, moves: self.moves, sent_again: self.sent_again }
    }

    /// Waits until a port has something, or room for what waits, or the time of a late frame comes, or it is woken.
    pub(super) fn wait(&self, waker: &Waker) -> io::Result<()> {
        let mut fds = vec![PollFd::new(waker, PollFlags::IN)];
        fds.extend(self.ports.values().map(|port| PollFd::new(port, interest(port.has_waiting()))));
        let at_most = self.late.next().map(|next| next.saturating_duration_since(Instant::now()));
        wait(&mut fds, at_most)
    }

    /// Does what there is to do. Ports are asked from the oldest on: what a node sent before it died comes before what its
    /// survivor sends.
    pub(super) fn work(&mut self) {
        let numbers: Vec<PortNumber> = self.ports.keys().copied().collect();
        for number in numbers {
            for _ in 0..FRAMES_AT_ONCE {
                match self.ports.get_mut(&number).map_or(Came::Nothing, Port::receive) {
                    Came::Frame(place, frame) => self.came(number, place, frame),
                    Came::Nothing => break,
                    Came::Gone => {
                        self.detach(number);
                        break;
                    }
                }
            }
        }
        let now = Instant::now();
        while let Some(crossing) = self.late.due(now) {
            self.arrive(&crossing);
        }
        self.ports.values_mut().filter(|port| port.has_waiting()).for_each(Port::flush);
    }

    fn detach(&mut self, number: PortNumber) {
        self.addresses.forget(number);
        let figures = self.ports.remove(&number).map(|port| PortFigures { is_there: false, ..port.figures });
        if let Some(gone) = self.gone.get_mut(number.0) {
            *gone = figures;
        }
    }

    /// A frame has come from a port.
    fn came(&mut self, from: PortNumber, place: Option<u64>, frame: Frame) {
        let Some(side) = self.ports.get(&from).map(Port::side) else { return };
        self.addresses.learn(frame.source(), from);
        // Anything else may have been on its way when its node died. A survivor announces itself, to everybody.
        let announces = place.is_none() && frame.destination() == MacAddress::BROADCAST;
        if side == Side::Node && (announces || self.service_at.is_none()) {
            self.service_is_at(from);
        }
        let Some(port) = self.ports.get_mut(&from) else { return };
        if side == Side::Node && place.is_some_and(|place| !self.seen.is_new(place)) {
            port.figures.duplicates += 1;
            return;
        }
        let direction = match side {
            Side::Node => Direction::FromService,
            Side::Client => Direction::ToService,
        };
        if side == Side::Client {
            self.put(from, Side::Client, &frame);
        }
        if self.crosses(&frame, side) {
            if side == Side::Node {
                (self.observer)(Instant::now(), direction, &frame);
            }
            self.cross(&Crossing { from, direction, frame });
        }
    }

    /// The service is at this node. If it is another than before, it gets what that one had got lately.
    fn service_is_at(&mut self, number: PortNumber) {
        let before = self.service_at.replace(number);
        if before.is_none_or(|before| before == number) {
            return;
        }
        self.moves += 1;
        let Some(port) = self.ports.get_mut(&number) else { return };
        for frame in self.recent.frames(Instant::now()) {
            self.sent_again += 1;
            port.send(frame);
        }
    }

    /// Whether a frame that comes from this side goes to the other one.
    fn crosses(&self, frame: &Frame, from: Side) -> bool {
        let port = self.addresses.port(frame.destination()).and_then(|number| self.ports.get(&number));
        port.is_none_or(|port| port.side() != from)
    }

    /// A frame passes between the service and its clients, and what befalls it befalls it here.
    fn cross(&mut self, crossing: &Crossing) {
        let count = match crossing.direction {
            Direction::ToService => &mut self.befell.to_service,
            Direction::FromService => &mut self.befell.from_service,
        };
        let fate = self.faults.fate(crossing.direction, *count);
        *count += 1;
        let overtaken = self.late.waiting(crossing.direction);
        let copies = fate.0.iter().flatten().count();
        self.befell.lost += u64::from(copies == 0);
        self.befell.doubled += u64::from(copies == 2);
        for copy in fate.0.into_iter().flatten() {
            self.send_copy(crossing, copy);
        }
        for turn in overtaken {
            if let Some(crossing) = self.late.take(turn) {
                self.arrive(&crossing);
            }
        }
    }

    fn send_copy(&mut self, crossing: &Crossing, copy: Copy) {
        let now = Instant::now();
        let has_room = match copy {
            Copy::After(delay) if delay.is_zero() => {
                self.arrive(crossing);
                return;
            }
            Copy::After(delay) => {
                self.befell.delayed += 1;
                self.late.keep(now + delay, crossing.clone())
            }
            Copy::BehindTheNext => {
                self.befell.overtaken += 1;
                self.late.keep_behind(now, crossing.clone())
            }
        };
        self.befell.no_room += u64::from(!has_room);
    }

    /// A frame arrives at the other side. Where its destination is, is looked up now: it may have moved meanwhile.
    fn arrive(&mut self, Crossing { from, direction, frame }: &Crossing) {
        match direction {
            Direction::FromService => self.put(*from, Side::Client, frame),
            Direction::ToService => {
                let now = Instant::now();
                (self.observer)(now, *direction, frame);
                self.recent.goes(now, frame);
                self.put(*from, Side::Node, frame);
            }
        }
    }

    /// Puts a frame on those ports of a side for which it is.
    fn put(&mut self, from: PortNumber, side: Side, frame: &Frame) {
        let known = self.addresses.port(frame.destination());
        let is_for = |number: PortNumber| number != from && known.is_none_or(|known| known == number);
        for (number, port) in &mut self.ports {
            if port.side() == side && is_for(*number) {
                port.send(frame);
            }
        }
    }
}
