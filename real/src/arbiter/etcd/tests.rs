//! etcd's answers, right and wrong, from a server of the test's own.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::super::RunId;
use super::*;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

fn claim(claimant: NodeName) -> Claim {
    Claim { run: RunId::new("run").unwrap(), generation: 7, claimant }
}

/// A request's path and body.
fn request(stream: &TcpStream) -> (String, Vec<u8>) {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let path = line.split(' ').nth(1).unwrap().to_owned();
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        if header.trim().is_empty() {
            break;
        }
        let (name, value) = header.split_once(':').unwrap();
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    (path, body)
}

/// An arbiter at a server that answers one request by these bytes.
fn answered_by(answer: Vec<u8>) -> (EtcdArbiter, std::thread::JoinHandle<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let arbiter = EtcdArbiter::new(&listener.local_addr().unwrap().to_string());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let asked = request(&stream);
        // It fails when the other has read enough.
        let _ = stream.write_all(&answer);
        asked
    });
    (arbiter, server)
}

fn http(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}").into_bytes()
}

fn ask(answer: Vec<u8>, claimant: NodeName) -> Result<bool, ArbiterError> {
    let (mut arbiter, server) = answered_by(answer);
    let answer = arbiter.claim(&claim(claimant));
    server.join().unwrap();
    answer
}

fn read_back(words: &str) -> String {
    let (key, value) = (encoded("colo/arbiter/run-7"), encoded(words));
    let found = json!({ "key": key, "value": value, "create_revision": "3", "version": "1" });
    json!({ "header": {}, "responses": [{ "response_range": { "kvs": [found], "count": "1" } }] }).to_string()
}

const PUT: &str =
    r#"{"header":{"revision":"2"},"succeeded":true,"responses":[{"response_put":{"header":{}}}]}"#;

#[test]
fn the_question_is_one_transaction_that_creates_the_key_or_reads_it() {
    let (mut arbiter, server) = answered_by(http("200 OK", PUT));
    assert!(arbiter.claim(&claim(NodeName::Secondary)).unwrap());
    let (path, body) = server.join().unwrap();
    assert_eq!(path, "/v3/kv/txn");
    let asked: Value = serde_json::from_slice(&body).unwrap();
    let key = "Y29sby9hcmJpdGVyL3J1bi03";
    let compare = json!([{ "key": key, "target": "CREATE", "result": "EQUAL", "create_revision": "0" }]);
    assert_eq!((&asked["compare"], &asked["failure"][0]["request_range"]["key"]), (&compare, &json!(key)));
    let put = &asked["success"][0]["request_put"];
    let value = BASE64_STANDARD.decode(put["value"].as_str().unwrap()).unwrap();
    assert_eq!((put["key"].as_str(), value), (Some(key), claim(NodeName::Secondary).words().into_bytes()));
    assert!(put.get("lease").is_none(), "a claim that ends by itself would give the right twice");
}

#[test]
fn a_claim_that_was_there_is_the_claimants_that_is_in_it() {
    for holder in NodeName::ALL {
        let answer = http("200 OK", &read_back(&claim(holder).words()));
        for asker in NodeName::ALL {
            assert_eq!(ask(answer.clone(), asker).unwrap(), asker == holder);
        }
    }
}

#[test]
fn what_is_no_answer_grants_nothing_and_says_what_came() {
    let other = Claim { generation: 8, ..claim(NodeName::Primary) }.words();
    let claimed = read_back(&claim(NodeName::Primary).words());
    let elsewhere = claimed.replace("Y29sby9hcmJpdGVyL3J1bi03", "Y29sby9hcmJpdGVyL3J1bi04");
    let not_base64 = claimed.replace(&encoded(&claim(NodeName::Primary).words()), "???");
    for (status, body, got) in [
        ("200 OK", "", "answered nothing, expected a transaction that"),
        ("200 OK", "no JSON", "answered \"no JSON\","),
        ("200 OK", "[]", "answered \"[]\","),
        ("200 OK", "{}", "answered \"{}\","),
        ("200 OK", r#"{"succeeded":true}"#, "expected a transaction that"),
        ("200 OK", r#"{"succeeded":"yes","responses":[]}"#, "expected a transaction that"),
        ("200 OK", r#"{"succeeded":true,"responses":[{}]}"#, "expected a transaction that"),
        ("200 OK", r#"{"responses":[{"response_put":{}}]}"#, "expected a transaction that"),
        ("200 OK", r#"{"responses":[{"response_range":{}}]}"#, "expected a transaction that"),
        (
            "200 OK",
            &claimed.replace("\"responses\"", "\"succeeded\":true,\"responses\""),
            "expected a transaction",
        ),
        ("200 OK", &read_back(""), "colo/arbiter/run-7 at http://127.0.0.1:"),
        ("200 OK", &read_back(&other), "expected a claim of generation 7 of run run"),
        ("200 OK", &elsewhere, "expected a claim of generation 7 of run run"),
        ("200 OK", &not_base64, "holds nothing, expected a claim"),
        (
            "500 Internal Server Error",
            "{\"error\":\"no leader\"}",
            "answered 500 Internal Server Error with \"{",
        ),
        ("404 Not Found", "", "answered 404 Not Found with nothing,"),
        ("503 Service Unavailable", PUT, "answered 503"),
        ("302 Found", PUT, "answered 302"),
    ] {
        for asker in NodeName::ALL {
            let error = ask(http(status, body), asker).unwrap_err().to_string();
            assert!(error.contains(got), "{body}: {error}");
        }
    }
}

#[test]
fn a_huge_answer_is_not_taken_in() {
    let huge = format!("{PUT}{}", " ".repeat(1 << 20));
    let announced = http("200 OK", &huge);
    let unannounced = format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{huge}").into_bytes();
    for answer in [announced, unannounced] {
        let error = ask(answer, NodeName::Primary).unwrap_err().to_string();
        assert!(error.contains("with more than 16384 bytes"), "{error}");
    }
}

#[test]
fn words_of_another_protocol_are_no_answer() {
    let error = ask(b"SSH-2.0-OpenSSH\r\n".to_vec(), NodeName::Primary).unwrap_err().to_string();
    assert!(error.contains("no answer from http://127.0.0.1:"), "{error}");
}

#[test]
fn nobody_at_the_endpoint_is_said() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = EtcdArbiter::new(&free.to_string()).claim(&claim(NodeName::Primary)).unwrap_err().to_string();
    assert!(error.contains(&format!("no answer from http://{free}/v3/kv/txn: ")), "{error}");
}

/// One that takes the question and says nothing, and one that sends its answer byte after byte.
#[test]
fn a_slow_server_is_not_waited_for() {
    for drips in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            request(&stream);
            let mut bytes = http("200 OK", PUT).into_iter();
            while !drips || bytes.next().is_some_and(|byte| stream.write_all(&[byte]).is_ok()) {
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        let begun = Instant::now();
        let error = EtcdArbiter::new(&server).claim(&claim(NodeName::Primary)).unwrap_err().to_string();
        assert!(error.contains("timeout"), "{error}");
        assert!(begun.elapsed() < 3 * ANSWERS_WITHIN, "{:?}", begun.elapsed());
    }
}
