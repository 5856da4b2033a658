//! What the last whole run of `mutations/run` found, patch by patch: a core with a slip in it cannot be built here.
//!
//! The record is read, never made up: `.ci/full` runs the patches again and compares.

use serde::Deserialize;

/// A line for each patch.
const RECORD: &str = include_str!("../../mutations/found.jsonl");

/// What a patch came to.
#[derive(Clone, PartialEq, Debug, Deserialize)]
pub(crate) struct Found {
    /// Its name.
    pub(crate) patch: String,
    /// The property that broke.
    pub(crate) property: String,
    /// The flags of `colo check` with which it did.
    pub(crate) bounds: String,
    /// "found" or "missed".
    pub(crate) status: String,
    /// The length of the shortest way.
    pub(crate) steps: usize,
    /// How long the check took.
    pub(crate) seconds: f64,
}

/// The record of a patch that was found; none if nobody has run it since it is there.
pub(crate) fn found(patch: &str) -> Option<Found> {
    let lines = RECORD.lines().filter_map(|line| serde_json::from_str::<Found>(line).ok());
    lines.into_iter().find(|found| found.patch == patch && found.status == "found")
}

#[cfg(test)]
mod tests {
    use super::*;
    use colo_protocol::{DEFECTS, Place};

    /// A record that is not of the patch as it is now is worth nothing.
    #[test]
    fn every_patch_has_its_record_and_the_record_is_of_this_patch() {
        let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../mutations");
        let mut patches = 0;
        for entry in std::fs::read_dir(directory).unwrap() {
            let file = entry.unwrap().path();
            if file.extension().is_none_or(|extension| extension != "patch") {
                continue;
            }
            patches += 1;
            let name = file.file_stem().unwrap().to_string_lossy().into_owned();
            let head = std::fs::read_to_string(&file).unwrap();
            let field = |field: &str| {
                let line = head.lines().find_map(|line| line.strip_prefix(&format!("{field}: ")));
                line.unwrap_or_else(|| panic!("{name}: {field}")).to_owned()
            };
            let found = found(&name).unwrap_or_else(|| panic!("{name} was not found, or not run"));
            assert_eq!((found.property, found.bounds), (field("breaks"), field("bounds")), "{name}");
        }
        assert_eq!(RECORD.lines().count(), patches, "a line for each patch, and nothing else");
        for defect in DEFECTS {
            if let Place::Mutation(name, breaks) = defect.place {
                assert_eq!(found(name).unwrap().property, breaks, "{name}");
            }
        }
    }
}
