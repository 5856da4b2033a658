//! Nothing is left open behind a meeting. Descriptors are a process's, so these tests have one of their own.

use super::{dialled, eventually, keys};
use crate::peer::terms::tests::terms;
use crate::peer::tunnel::Tunnel;
use crate::peer::{Listener, connect};
use colo_protocol::NodeName::{Primary, Secondary};
use std::process::Command;
use std::time::Duration;

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn no_descriptor_is_left_behind() {
    let program = std::env::current_exe().unwrap();
    let test = "peer::tests::descriptors::meetings_leave_nothing_open";
    let output = Command::new(program).args(["--exact", test, "--ignored"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
#[ignore = "counts a process's descriptors, in a process of its own"]
fn meetings_leave_nothing_open() {
    let keys = keys();
    let before = open_descriptors();
    for round in 0..6 {
        let [ours, theirs] = if round % 2 == 0 { keys.clone().map(Some) } else { [None, None] };
        let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap(), theirs).unwrap();
        let secondary = terms(Secondary);
        let [here, there] = std::thread::scope(|scope| {
            let listening = scope.spawn(|| listener.accept(&secondary, || false, |_| ()).unwrap());
            let strangers: Vec<_> = (0..5).map(|_| dialled(listener.local_address())).collect();
            let met =
                connect(listener.local_address(), ours.as_ref(), &terms(Primary), Duration::from_secs(20));
            drop(strangers);
            [met.unwrap(), listening.join().unwrap()]
        });
        assert!(open_descriptors() > before);
        drop((listener, here.connections, there.connections));
        eventually(|| here.tunnels.iter().chain(&there.tunnels).all(Tunnel::is_over));
        eventually(|| open_descriptors() == before);
    }
}
