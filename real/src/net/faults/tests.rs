//! A plan is what is written, and does the same whenever it is asked.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use proptest::prelude::*;

fn shares() -> impl Strategy<Value = Share> {
    (0..=ALL).prop_map(Share)
}

fn delays() -> impl Strategy<Value = Delay> {
    (0..60_000_000_u32, 0..60_000_000_u32, shares())
        .prop_map(|(one, other, share)| Delay::new(one.min(other)..=one.max(other), share))
}

fn plans() -> impl Strategy<Value = FrameFaults> {
    (shares(), proptest::option::of(delays()), shares(), shares(), any::<u64>()).prop_map(
        |(loss, delay, duplicate, reorder, seed)| FrameFaults { loss, delay, duplicate, reorder, seed },
    )
}

proptest! {
    #[test]
    fn a_plan_is_read_as_it_is_written(plan in plans()) {
        prop_assert_eq!(plan.to_string().parse::<FrameFaults>(), Ok(plan));
    }

    #[test]
    fn what_befalls_a_frame_does_not_depend_on_what_was_asked_before(plan in plans(), count in 0..1_000_000_u64) {
        let fate = plan.fate(Direction::ToService, count);
        plan.fate(Direction::FromService, count + 1);
        prop_assert_eq!(plan.clone().fate(Direction::ToService, count), fate);
    }

    #[test]
    fn nothing_happens_that_is_not_in_the_plan(mut plan in plans(), count in any::<u32>()) {
        plan.loss = Share::default();
        plan.reorder = Share::default();
        let Fate([first, second]) = plan.fate(Direction::FromService, count.into());
        let range = plan.delay.as_ref().map_or(0..=0, |delay| delay.micros.clone());
        let Some(Copy::After(delay)) = first else { return Err(TestCaseError::fail("lost or reordered")) };
        prop_assert!(delay.is_zero() || range.contains(&u32::try_from(delay.as_micros()).unwrap()));
        prop_assert!(second.is_none() || plan.duplicate > Share::default());
    }
}

#[test]
fn a_plan_in_words() {
    let text = "loss=1%,delay=1..5ms@10%,duplicate=0.25%,reorder=100%,seed=7";
    let plan: FrameFaults = text.parse().unwrap();
    assert_eq!(plan.loss, Share::millionths(10_000));
    assert_eq!(plan.delay, Some(Delay::new(1_000..=5_000, Share::millionths(100_000))));
    assert_eq!((plan.duplicate, plan.reorder), (Share::millionths(2_500), Share::ALWAYS));
    assert_eq!(plan.to_string(), text);
    assert_eq!("none".parse(), Ok(FrameFaults::default()));
    assert_eq!("delay=2s".parse::<FrameFaults>().unwrap().to_string(), "delay=2000ms");
}

#[test]
fn what_is_no_plan_is_told() {
    for (text, error) in [
        ("", r#""": expected loss=, delay=, duplicate=, reorder= or seed=, or none alone"#),
        ("none,loss=1%", r#""none": expected loss=, delay=, duplicate=, reorder= or seed=, or none alone"#),
        ("lost=1%", r#""lost": expected loss, delay, duplicate, reorder or seed"#),
        ("loss=1%,loss=2%", "loss is there twice"),
        ("loss=101%", r#"loss: "101%": expected a share from 0% to 100%, with up to 4 decimals"#),
        ("loss=1", r#"loss: "1": expected a share from 0% to 100%, with up to 4 decimals"#),
        ("loss=+1%", r#"loss: "+1%": expected a share from 0% to 100%, with up to 4 decimals"#),
        (
            "delay=1@5%",
            r#"delay: "1@5%": expected for example 5ms, 1..5ms or 1..5ms@10%, in us, ms or s, up to 60s"#,
        ),
        (
            "delay=5..1ms",
            r#"delay: "5..1ms": expected for example 5ms, 1..5ms or 1..5ms@10%, in us, ms or s, up to 60s"#,
        ),
        ("seed=x", r#"seed: "x": expected a number"#),
    ] {
        assert_eq!(text.parse::<FrameFaults>(), Err(error.to_owned()), "{text}");
    }
}

#[test]
fn shares_are_what_they_say() {
    let plan: FrameFaults = "loss=10%,duplicate=20%,delay=1ms@50%,seed=3".parse().unwrap();
    let fates: Vec<Fate> = (0..20_000).map(|count| plan.fate(Direction::ToService, count)).collect();
    let share = |is: &dyn Fn(&Fate) -> bool| fates.iter().filter(|fate| is(fate)).count() / 200;
    assert!((9..=10).contains(&share(&|fate| *fate == Fate::LOST)));
    assert!((17..=18).contains(&share(&|fate| fate.0[1].is_some())), "of those that are not lost");
    let late = Some(Copy::After(Duration::from_millis(1)));
    assert!((44..=45).contains(&share(&|fate| fate.0[0] == late)));
    let other: Vec<Fate> = (0..20_000).map(|count| plan.fate(Direction::FromService, count)).collect();
    assert_ne!(fates, other, "each direction has its own");
}
