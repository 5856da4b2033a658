//! What the clients of a guest's service and a side tell each other: a line of JSON each, as between harness and node.

use crate::control::{RawReply, RawRequest};
use serde::{Deserialize, Serialize};

/// The longest line of a side that a client reads, bytes: as many units as a node releases at once fit.
pub(super) const MAX_SERVICE_LINE_BYTES: usize = 4 << 20;

/// What a client tells a side: a request, as it is carried to a node.
pub(super) type ToService = RawRequest;

/// What a side tells its clients.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) enum FromService {
    /// Requests are taken here from now on.
    Serves,
    /// They are not taken here, or not any more.
    Rests,
    /// Output has been released: the offset of the first unit, and the units.
    Output(u64, Vec<RawReply>),
    /// A unit of output has been released past what is withheld before it: its offset, and the unit.
    EarlyOutput(u64, RawReply),
}
