//! `colo explore` in a real browser: a headless Chromium, driven over `WebDriver`, opens the page and takes steps.
#![expect(clippy::unwrap_used, reason = "a test may")]

use serde_json::{Value, json};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take before the test fails.
const PATIENCE: Duration = Duration::from_mins(1);

/// Whether to skip what needs a browser; a skip is a failure where one is required.
fn no_chromium() -> bool {
    let missing = ["chromium", "chromedriver"].into_iter().find(|program| {
        let found = |output: Output| output.status.success();
        !Command::new(program).arg("--version").output().is_ok_and(found)
    });
    let Some(program) = missing else { return false };
    let required = std::env::var_os("COLO_REQUIRE_CHROMIUM").is_some_and(|value| value == "1");
    assert!(!required, "COLO_REQUIRE_CHROMIUM=1, but there is no {program}");
    eprintln!("SKIPPED, the Explorer is not seen in a browser: no {program}");
    true
}

/// A process that ends with the test.
struct Process(Child);

impl Process {
    fn start(program: impl AsRef<OsStr>, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        Self(command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What stands behind `mark` in the first line that has it, up to the next space.
fn word_after(output: impl Read, mark: &str) -> String {
    let mut lines = BufReader::new(output).lines().map(Result::unwrap);
    let word = |line: String| Some(line.split_once(mark)?.1.split_whitespace().next()?.to_owned());
    lines.find_map(word).unwrap_or_else(|| panic!("nothing says {mark}"))
}

/// `colo explore` on something small, and where it is.
fn explorer(rules: &str) -> (Process, String) {
    let arguments = ["--checkpoints", "1", "--outputs", "1", "--disk-writes", "0", "--cuts", "0"];
    let bounds = [&["explore", rules, "--port", "0", "--load-errors", "0"], &arguments[..]].concat();
    let mut process = Process::start(env!("CARGO_BIN_EXE_colo"), &bounds);
    let at = word_after(process.0.stderr.take().unwrap(), "is at ");
    (process, at)
}

/// A browser with one page. Fields are dropped in order: the session ends the browser, then the driver ends.
struct Browser {
    agent: ureq::Agent,
    session: String,
    _driver: Process,
    _profile: tempfile::TempDir,
}

impl Browser {
    fn start() -> Self {
        let mut driver = Process::start("chromedriver", &["--port=0"]);
        let port = word_after(driver.0.stdout.take().unwrap(), "started successfully on port ");
        let port = port.trim_end_matches('.');
        let profile = tempfile::tempdir().unwrap();
        let mut arguments: Vec<_> = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1400,1000",
        ]
        .map(str::to_owned)
        .into();
        arguments.push(format!("--user-data-dir={}", profile.path().display()));
        let options = json!({ "binary": which("chromium"), "args": arguments });
        let wanted = json!({ "browserName": "chrome", "goog:chromeOptions": options });
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            .proxy(None)
            .build()
            .into();
        let mut browser = Self {
            agent,
            session: format!("http://127.0.0.1:{port}/session"),
            _driver: driver,
            _profile: profile,
        };
        let answer = browser.post("", &json!({ "capabilities": { "alwaysMatch": wanted } }));
        let id = answer["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {answer}"));
        browser.session = format!("{}/{id}", browser.session);
        browser
    }

    fn post(&self, command: &str, body: &Value) -> Value {
        let mut response = self.agent.post(format!("{}{command}", self.session)).send_json(body).unwrap();
        let answer: Value = response.body_mut().read_json().unwrap();
        assert!(answer["value"]["error"].is_null(), "{command} {body}: {answer}");
        answer["value"].clone()
    }

    fn open(&self, url: &str) {
        self.post("/url", &json!({ "url": url }));
    }

    /// What a piece of JavaScript returns in the page.
    fn ask(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({ "script": format!("return {script}"), "args": [] }))
    }

    /// The text of the first element that a CSS selector finds, as it is seen (a picture has only the text in it), or
    /// nothing.
    fn text(&self, selector: &str) -> String {
        let element = format!("document.querySelector({})", json!(selector));
        let answer = self.ask(&format!("{element}?.innerText ?? {element}?.textContent ?? ''"));
        answer.as_str().unwrap().to_owned()
    }

    /// Waits until an element's text has a part.
    fn wait_for(&self, selector: &str, part: &str) -> String {
        let start = Instant::now();
        loop {
            let text = self.text(selector);
            if text.contains(part) {
                return text;
            }
            assert!(start.elapsed() < PATIENCE, "{selector} does not say {part:?} but {text:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Clicks the link or the button with this text as a user does: by the browser, at its place on the screen.
    fn click(&self, text: &str) {
        let path = format!("(//a|//button)[normalize-space()='{text}']");
        let found = self.post("/element", &json!({ "using": "xpath", "value": path }));
        let element = found.as_object().unwrap().values().next().unwrap().as_str().unwrap();
        self.post(&format!("/element/{element}/click"), &json!({}));
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.agent.delete(&self.session).call();
    }
}

fn which(program: &str) -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut files = std::env::split_paths(&path).map(|directory| directory.join(program));
    files.find(|file| file.is_file()).unwrap().display().to_string()
}

/// The list of what can happen next, the picture, and the state below it.
const CHOICES: &str = "nav > ul:last-of-type";
const PICTURE: &str = "section svg";
const STATE: &str = "section > div:last-of-type";

#[test]
fn a_step_is_taken_in_the_browser_and_the_state_and_the_picture_follow() {
    if no_chromium() {
        return;
    }
    let (_colo, at) = explorer("v12");
    let browser = Browser::start();
    browser.open(&at);
    browser.wait_for("nav", "Searching: Always output commit");
    browser.wait_for(CHOICES, "Init 0");
    browser.click("Init 0");
    let start = browser.wait_for(STATE, "secondary  incoming");
    assert!(start.contains("State {"), "the first state is told whole: {start}");

    browser.wait_for(CHOICES, "secondary: state-loaded 0");
    browser.click("secondary: state-loaded 0");
    let first = browser.wait_for(STATE, "secondary  wait-request");
    assert!(first.contains("broken     nothing") && !first.contains("State {"), "{first}");
    let drawn = browser.wait_for(PICTURE, "state-loaded 0");
    assert!(!drawn.contains("start-replication"), "{drawn}");

    for step in ["secondary: start-replication", "secondary: checkpoint-ready", "primary: checkpoint-ready"] {
        browser.wait_for(CHOICES, step);
        browser.click(step);
    }
    browser.wait_for(STATE, "primary    running");
    browser.wait_for(PICTURE, "checkpoint-ready");
    let lines = browser.ask("document.querySelectorAll('section svg line').length");
    assert_eq!(lines, json!(3), "two lifelines and one arrow");
    let loaded = browser.ask("performance.getEntriesByType('resource').map(entry => entry.name)");
    let loaded: Vec<_> = loaded.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert!(loaded.len() >= 3 && loaded.iter().all(|name| name.starts_with(&at)), "{loaded:?}");
}

#[test]
fn a_known_bug_is_found_in_the_browser_and_its_story_is_a_link() {
    if no_chromium() {
        return;
    }
    let (_colo, at) = explorer("bug:release-at-suspend");
    let browser = Browser::start();
    browser.open(&at);
    browser.wait_for("nav", "Searching: Always output commit");
    browser.click("Run to completion");
    browser.wait_for("nav", "Counterexample found: ");
    browser.click("Always output commit");
    browser.wait_for(PICTURE, "!!! output commit");
    browser.wait_for(STATE, "broken     output commit");
}

#[test]
fn a_port_in_use_is_what_the_environment_lacks() {
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output =
        Command::new(env!("CARGO_BIN_EXE_colo")).args(["explore", "--port", &port]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.starts_with(&format!("colo: cannot listen at 127.0.0.1:{port}: ")), "{said}");
    assert!(output.stdout.is_empty());
}

#[test]
fn what_cannot_be_explored_is_wrong_usage() {
    for arguments in
        [&["v13"][..], &["--port", "65536"], &["--address", "localhost"], &["--checkpoints", "256"]]
    {
        let output =
            Command::new(env!("CARGO_BIN_EXE_colo")).arg("explore").args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}
