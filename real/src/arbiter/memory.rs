//! The arbiter that is part of the harness. It is as good as the harness's memory: who has it in another process has none.

use super::{Arbiter, ArbiterError, Claim, RunId};
use colo_protocol::NodeName;
use std::collections::BTreeMap;

/// Who has which generation.
#[derive(Debug, Default)]
pub struct MemoryArbiter {
    holders: BTreeMap<(RunId, u64), NodeName>,
}

impl Arbiter for MemoryArbiter {
    fn claim(&mut self, claim: &Claim) -> Result<bool, ArbiterError> {
        let place = (claim.run.clone(), claim.generation);
        Ok(*self.holders.entry(place).or_insert(claim.claimant) == claim.claimant)
    }
}
