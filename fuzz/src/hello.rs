//! What a stranger says first to a listener that waits for a peer.

use colo_protocol::{NodeName, Rules};
use colo_real::{Heard, Terms, Workload, hear_hello};

/// Head and text of the longest hello.
const LONGEST: usize = 9 + (16 << 10);

/// A hello. Byte 0 says in what portions it comes.
pub fn hello(input: &[u8]) {
    let Some((portion, bytes)) = input.split_first() else { return };
    let whole = heard(bytes, usize::MAX);
    let portions = heard(bytes, usize::from(*portion));
    match (&whole.hello, &portions.hello) {
        // How much of what is no hello is told depends on how much had come.
        (Err(_), Err(_)) => (),
        (one, other) => {
            assert!(one == other, "in portions it is something else");
            assert_eq!(whole.taken, portions.taken);
        }
    }
    if let Ok(Some(frame)) = &whole.hello {
        let again = heard(frame, usize::MAX);
        assert_eq!(again.taken, frame.len());
        assert!(
            again.hello.as_ref() == Ok(&Some(frame.clone())),
            "what was read is written as something else"
        );
        assert!(again.difference == whole.difference);
    }
}

fn heard(bytes: &[u8], portion: usize) -> Heard {
    let terms = Terms {
        side: NodeName::Secondary,
        rules: Rules::V12,
        memory_mib: 16,
        workload: Workload::default(),
        arbiter: None,
    };
    let heard = hear_hello(bytes, portion, &terms);
    assert!(heard.taken <= bytes.len().min(LONGEST));
    for told in heard.hello.as_ref().err().into_iter().chain(&heard.difference) {
        assert!(!told.is_empty() && !told.contains(char::is_control), "{told:?}");
    }
    heard
}
