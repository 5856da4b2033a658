//! A guest's turns: it takes a request, executes it, and what it sends is its node's output.
//!
//! Where both VMs execute, each has a will of its own: now and then a request is lost in one of them, or lets the next
//! one pass. Both are what a service may do, and both make the two VMs send different things.

use crate::agenda::Event;
use crate::inputs::Basis;
use crate::marks::Mark;
use crate::simulation::Simulation;
use colo_oracle::{Reply, Request};
use colo_protocol::{Input, NodeName, OutputOffset};
use colo_trace::Kind;

impl Simulation<'_> {
    /// A guest that executes and has a request has its turn soon. One whose node does not come to carrying things out
    /// waits for that.
    pub(crate) fn wake(&mut self, node: NodeName) {
        let side = &mut self.sides[node as usize];
        let may = side.guest.executing && !side.awake && side.node.queue().has_room();
        if may && side.inbox.get(side.guest.devices.taken).is_some() {
            side.awake = true;
            let delay_us = self.nodes.within(self.knobs.execute);
            self.agenda.after(delay_us, Event::GuestTurn(node));
        }
    }

    /// The guest executes one request; its reply is one unit of output.
    pub(crate) fn guest_turn(&mut self, node: NodeName) {
        let side = self.side_mut(node);
        side.awake = false;
        if !side.alive || !side.guest.executing || !side.node.queue().has_room() {
            return;
        }
        if let Some(request) = self.taken(node) {
            let side = self.side_mut(node);
            let serial = side.guest.devices.serial;
            let reply = side.guest.execute(request);
            let again = serial == side.guest.devices.serial;
            match reply {
                None => self.marks.hit(Mark::StaleRequestIgnored),
                Some(_) if again => self.marks.hit(Mark::RetryAnsweredAgain),
                Some(_) => {}
            }
            if let Some(reply) = reply {
                self.guest_sends(node, reply, request.writes());
            }
        }
        self.wake(node);
    }

    /// The request that the guest takes, unless that is lost.
    fn taken(&mut self, node: NodeName) -> Option<Request> {
        let hybrid = self.rules.is_hybrid();
        let whim = self.guest_knobs.divergence.filter(|_| hybrid);
        let whim = whim.is_some_and(|one_in| self.guests.one_in(one_in));
        let side = &mut self.sides[node as usize];
        let number = side.guest.devices.taken;
        let writes = side.inbox.get(number).is_some_and(Request::writes);
        let copies = node == NodeName::Secondary;
        let planned = hybrid && writes && copies && std::mem::take(&mut side.trouble.own_way);
        let lost = planned || (whim && self.guests.one_in(2));
        if whim && !lost {
            side.inbox.overtake(number);
        }
        let request = side.inbox.get(number)?;
        side.guest.devices.taken += 1;
        // A secondary may have to go on from where its primary stood.
        if node == NodeName::Primary || side.promoted {
            side.inbox.go_on_at(number + 1);
        }
        (!lost).then_some(request)
    }

    fn guest_sends(&mut self, node: NodeName, reply: Reply, wrote: bool) {
        let end = self.side_mut(node).output.push(reply);
        let offset = OutputOffset(end.0 - 1);
        self.ledger.sends(node, offset, reply);
        self.tape.reply(self.place(Some(node)), Kind::Guest, offset, reply);
        self.replicate(node);
        let hybrid = self.rules.is_hybrid();
        let planned = hybrid && wrote && std::mem::take(&mut self.side_mut(node).trouble.own_way);
        if planned {
            self.comparison.passes_over(offset);
        }
        let uncompared = planned || (hybrid && self.guest_knobs.is_uncompared(reply.client));
        let input = if uncompared { Input::UncomparedOutput { end } } else { Input::GuestOutput { end } };
        self.give(node, input, Basis::Node);
        self.sent_for_comparison(node);
    }
}
