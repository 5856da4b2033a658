//! The parts of each liveness property, and which of them rules and bounds let anything call for.
//!
//! Each part is a claim of its own (`liveness`). One that nothing calls for holds and says nothing.

use crate::allowed::Allowed;
use crate::goals::Goal;
use colo_protocol::{FailoverDeferral, Liveness, MessageKind, NodeName, Rules};

pub(crate) const PRIMARY: &str = NodeName::Primary.name();
pub(crate) const SECONDARY: &str = NodeName::Secondary.name();

/// The claims of one property by what distinguishes them: those that can be called for at all.
pub(crate) fn parts(property: Liveness, rules: &Rules) -> Vec<&'static str> {
    match property {
        Liveness::FailoverCompletes | Liveness::Release | Liveness::SurvivorGoesOn | Liveness::Shutdown => {
            vec![PRIMARY, SECONDARY]
        }
        Liveness::UnattendedRecovery | Liveness::ProtectionAgain => vec![""],
        Liveness::CheckpointEnds => vec!["requested", "under way"],
        // Only a load is waited for, and a node that is told does not wait for the initial one.
        Liveness::DeferredFailoverCompletes => {
            let waits = rules.deferral != FailoverDeferral::Never || !rules.has_manager();
            if waits { vec![SECONDARY] } else { Vec::new() }
        }
    }
}

/// What has to call for each claim of a property, if rules and bounds let it.
pub(crate) fn calls(property: Liveness, allowed: &Allowed<'_>) -> impl Iterator<Item = Goal> {
    let parts = parts(property, allowed.rules).into_iter();
    parts
        .filter(move |part| is_called_for(property, part, allowed))
        .map(move |part| Goal::Call(property, part))
}

fn is_called_for(property: Liveness, part: &str, allowed: &Allowed<'_>) -> bool {
    match property {
        Liveness::FailoverCompletes | Liveness::SurvivorGoesOn => allowed.failovers(),
        Liveness::DeferredFailoverCompletes => allowed.failovers() && allowed.checkpoints(),
        Liveness::UnattendedRecovery => allowed.lost_links() || allowed.lost_silently(),
        Liveness::CheckpointEnds => allowed.checkpoints(),
        Liveness::Release if part == PRIMARY => allowed.outputs(),
        Liveness::Release => allowed.outputs() && allowed.failovers(),
        Liveness::Shutdown if part == PRIMARY => allowed.shutdowns(),
        // By its own guest, or because it is told.
        Liveness::Shutdown => {
            let told = allowed.sends(MessageKind::GuestShutdown);
            allowed.shutdowns() && (told || allowed.secondary_executes())
        }
        Liveness::ProtectionAgain => allowed.replacements(),
    }
}
