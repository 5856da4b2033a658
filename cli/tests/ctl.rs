//! `colo ctl`: what is made, what is said of it, and what is left alone.
#![expect(clippy::unwrap_used, reason = "a test may")]

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

fn colo(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_colo")).args(arguments).current_dir(directory).output().unwrap()
}

#[test]
fn keys_are_made_once_and_it_is_said_what_goes_where() {
    let directory = tempfile::tempdir().unwrap();
    let output = colo(directory.path(), &["ctl", "keys", "pair"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("copy   ca.pem, primary.pem, primary.key to the host of the primary"), "{said}");
    let key = std::fs::read(directory.path().join("pair/primary.key")).unwrap();
    let output = colo(directory.path(), &["ctl", "keys", "pair"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("pair/ca.pem: it is there already, and no key is ever written over"), "{said}");
    assert_eq!(std::fs::read(directory.path().join("pair/primary.key")).unwrap(), key);
}

#[test]
fn keys_in_json_are_the_files_that_there_are() {
    let directory = tempfile::tempdir().unwrap();
    let output = colo(directory.path(), &["ctl", "keys", "pair", "--json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let files: Vec<_> =
        document["files"].as_array().unwrap().iter().map(|file| file.as_str().unwrap()).collect();
    assert_eq!(files.len(), 5);
    assert!(files.iter().all(|file| directory.path().join(file).is_file()), "{files:?}");
}

#[test]
fn keys_that_cannot_be_written_are_an_error_with_the_name() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("file"), "").unwrap();
    let output = colo(directory.path(), &["ctl", "keys", "file/below"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8(output.stderr).unwrap().contains("file/below"));
}
