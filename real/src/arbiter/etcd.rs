//! An etcd cluster as arbiter: a key that is created once, by a transaction through etcd's JSON gateway.
//!
//! One request claims and tells who has it: if the key has never been created it is put, else it is read. etcd answers when
//! a majority has it on disk. There is no lease: the key stays when its maker is gone.

use super::{Arbiter, ArbiterError, Claim, excerpt};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use colo_protocol::NodeName;
use serde::Deserialize;
use serde_json::json;
use std::time::Duration;
use ureq::Agent;

/// How long a connection may take.
const CONNECTS_WITHIN: Duration = Duration::from_millis(500);

/// How long the answer to a request may take, whole.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);

/// More than an answer about one key has, bytes.
const MOST_BYTES: u64 = 16 << 10;

/// What an answer has to be.
const EXPECTED: &str = "a transaction that put the claim, or one that read it";

/// Claims as keys in etcd.
#[derive(Debug)]
pub struct EtcdArbiter {
    agent: Agent,
    endpoint: String,
}

/// What etcd says of a transaction. Fields that are zero, false or empty are not in it.
#[derive(Deserialize)]
struct Transaction {
    #[serde(default)]
    succeeded: bool,
    #[serde(default)]
    responses: Vec<Response>,
}

#[derive(Deserialize)]
struct Response {
    response_put: Option<serde::de::IgnoredAny>,
    response_range: Option<Range>,
}

#[derive(Deserialize)]
struct Range {
    #[serde(default)]
    kvs: Vec<KeyValue>,
}

#[derive(Deserialize)]
struct KeyValue {
    key: String,
    #[serde(default)]
    value: String,
}

impl EtcdArbiter {
    /// The etcd server at this host and port.
    pub fn new(server: &str) -> Self {
        let config = Agent::config_builder()
            .timeout_connect(Some(CONNECTS_WITHIN))
            .timeout_global(Some(ANSWERS_WITHIN))
            .http_status_as_error(false)
            .max_redirects(0)
            // The question is for this server, whatever the environment has for others.
            .proxy(None)
            .build();
        Self { agent: config.into(), endpoint: format!("http://{server}/v3/kv/txn") }
    }

    fn ask(&self, claim: &Claim) -> Result<Vec<u8>, ArbiterError> {
        let unreachable = |error: ureq::Error| ArbiterError::Unreachable {
            endpoint: self.endpoint.clone(),
            problem: error.to_string(),
        };
        let mut response = self.agent.post(&self.endpoint).send_json(question(claim)).map_err(unreachable)?;
        let status = response.status();
        let body = response.body_mut().with_config().limit(MOST_BYTES).read_to_vec();
        if !status.is_success() {
            let body = body.unwrap_or_default();
            return Err(self.unexpected(format!("{status} with {}", excerpt(&body))));
        }
        match body {
            Err(ureq::Error::BodyExceedsLimit(_)) => {
                Err(self.unexpected(format!("with more than {MOST_BYTES} bytes")))
            }
            body => body.map_err(unreachable),
        }
    }

    fn unexpected(&self, got: String) -> ArbiterError {
        ArbiterError::Answer { endpoint: self.endpoint.clone(), got, expected: EXPECTED }
    }

    /// Who has the claim, by an answer.
    fn holder(&self, claim: &Claim, answer: &[u8]) -> Result<NodeName, ArbiterError> {
        let unexpected = || self.unexpected(excerpt(answer));
        let transaction: Transaction = serde_json::from_slice(answer).map_err(|_| unexpected())?;
        let [response] = &transaction.responses[..] else { return Err(unexpected()) };
        match (transaction.succeeded, response) {
            (true, Response { response_put: Some(_), response_range: None }) => Ok(claim.claimant),
            (false, Response { response_put: None, response_range: Some(Range { kvs }) }) => {
                let [found] = &kvs[..] else { return Err(unexpected()) };
                self.found(claim, found)
            }
            _ => Err(unexpected()),
        }
    }

    /// Who has the claim that is kept under the key.
    fn found(&self, claim: &Claim, found: &KeyValue) -> Result<NodeName, ArbiterError> {
        let value = BASE64_STANDARD.decode(&found.value).unwrap_or_default();
        let holder = claim.holder(&value).filter(|_| found.key == encoded(&key(claim)));
        holder.ok_or_else(|| ArbiterError::Unreadable {
            place: format!("{} at {}", key(claim), self.endpoint),
            got: excerpt(&value),
            expected: claim.what(),
        })
    }
}

impl Arbiter for EtcdArbiter {
    fn claim(&mut self, claim: &Claim) -> Result<bool, ArbiterError> {
        let answer = self.ask(claim)?;
        Ok(self.holder(claim, &answer)? == claim.claimant)
    }
}

fn key(claim: &Claim) -> String {
    format!("colo/arbiter/{}", claim.name())
}

fn encoded(text: &str) -> String {
    BASE64_STANDARD.encode(text)
}

/// If the key has never been created, create it with the claim; else tell what is there.
fn question(claim: &Claim) -> serde_json::Value {
    let key = encoded(&key(claim));
    json!({
        "compare": [{ "key": key, "target": "CREATE", "result": "EQUAL", "create_revision": "0" }],
        "success": [{ "request_put": { "key": key, "value": encoded(&claim.words()) } }],
        "failure": [{ "request_range": { "key": key } }],
    })
}

#[cfg(test)]
#[path = "etcd/tests.rs"]
mod tests;
