//! `colo ctl keys`: new keys for the two sides of a pair.

use crate::report::{Exit, Failure, print, print_json};
use colo_real::{KeysError, make_keys};
use serde_json::json;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Make the keys by which the two sides of a pair know each other that run on different hosts.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Where to make them; files that are there already are never written over.
    directory: PathBuf,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let files = make_keys(&arguments.directory).map_err(|error| failure(&error))?;
    if arguments.json {
        print_json(&json!({ "schema": 1, "files": files }))?;
    } else {
        print(&told(&arguments.directory, &files))?;
    }
    Ok(Exit::Holds)
}

fn failure(error: &KeysError) -> Failure {
    match error {
        KeysError::Making(_) => Failure::Environment(error.to_string()),
        _ => Failure::Input(error.to_string()),
    }
}

fn told(directory: &Path, files: &[PathBuf]) -> String {
    let mut out = String::new();
    for file in files {
        let _ = writeln!(out, "made   {}", file.display());
    }
    for side in ["primary", "secondary"] {
        let _ = writeln!(
            out,
            "copy   ca.pem, {side}.pem, {side}.key to the host of the {side}, and nothing else"
        );
    }
    let _ = writeln!(out, "then   remove {}: whoever has a side's key can be that side", directory.display());
    out.push_str(
        "Valid for ten years. The authority's own key is not kept: nobody can sign a third certificate.\n",
    );
    out
}
