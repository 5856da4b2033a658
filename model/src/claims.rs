//! What is claimed of a pair, as one specification for the checker: safety, and as much of liveness as is wanted.
//!
//! It only puts together: safety is the model's own (`pair`), each claim of progress is made in `liveness`.

use crate::checker::Specification;
use crate::liveness::add_claims;
use crate::pair::Pair;
use colo_protocol::Liveness;

impl Pair {
    /// All safety properties, and these of liveness.
    pub fn specification(&self, liveness: &[Liveness]) -> Specification<Self> {
        let mut specification = Specification::new();
        specification
            .include_properties_of(self)
            .unwrap_or_else(|refusal| unreachable!("the pair's own properties: {refusal}"));
        for property in liveness {
            add_claims(&mut specification, &self.rules, *property);
        }
        specification
    }
}
