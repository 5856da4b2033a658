//! The files that people and tools hand in: what can be read can be written, reads the same again, and whatever is made
//! of it does not panic.

use colo_trace::{
    Log, Plan, PlanCursor, PlanFile, Regression, Trace, checkpoint_times, conform, diagram, plan_of,
    points_in, read_trace, rules_from_toml, rules_to_toml, svg, write_trace,
};

/// The most records that are searched and drawn: both take time that grows with them.
const MOST_RECORDS: usize = 24;

/// A fault plan, or a regression, in TOML.
pub fn fault_plan(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(plan) = Plan::from_toml(text) {
        let again = plan.to_toml().expect("a plan that was read can be written");
        assert_eq!(Plan::from_toml(&again).as_ref(), Ok(&plan));
        let mut cursor = PlanCursor::new(&plan);
        for fault in &plan.faults {
            cursor.pass(fault.at);
        }
        cursor.forget();
        assert_eq!(cursor.left().len(), plan.faults.len());
    }
    if let Ok(PlanFile { head: Some(head), plan }) = PlanFile::from_toml(text) {
        let regression = Regression { head, plan };
        let again = regression.to_toml().expect("a regression that was read can be written");
        assert_eq!(Regression::from_toml(&again), Ok(regression));
    }
}

/// Rules in TOML.
pub fn rules_file(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(rules) = rules_from_toml(text) {
        let again = rules_to_toml(&rules).expect("rules that were read can be written");
        assert_eq!(rules_from_toml(&again), Ok(rules));
    }
}

/// A trace in JSON Lines, and all that is made of one.
pub fn trace_reader(input: &[u8]) {
    let Ok(trace) = read_trace(input) else { return };
    let mut again = Vec::new();
    write_trace(&trace, &mut again).expect("a trace that was read can be written");
    assert_eq!(read_trace(&again[..]).expect("a trace that was written can be read"), trace);
    if trace.records.len() <= MOST_RECORDS {
        use_all(&trace);
    }
}

fn use_all(trace: &Trace) {
    let _ = (diagram(trace), svg(trace), checkpoint_times(&trace.records), points_in(&trace.records));
    if let Ok(plan) = plan_of(trace) {
        plan.to_toml().expect("a plan that was derived can be written");
    }
    for trace in [trace, &Log::messages_of(trace)] {
        if let Ok(log) = Log::of_trace(trace) {
            // Either it says something, or that too many states fit.
            let _ = conform(&log, &trace.header.rules);
        }
    }
}
