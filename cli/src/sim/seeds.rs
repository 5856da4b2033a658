//! Which seeds: ranges of them, parts of ranges, and how long to go on.

use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The k-th of n parts, from 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Shard {
    part: u64,
    parts: u64,
}

pub(super) fn parse_seeds(text: &str) -> Result<Range<u64>, String> {
    let expected = "expected A..B, for instance 0..1000";
    let (from, to) = text.split_once("..").ok_or(expected)?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text:?}: {error}, {expected}"));
    let seeds = number(from)?..number(to)?;
    if seeds.is_empty() {
        Err("there is no seed in it: B has to be greater than A".to_owned())
    } else {
        Ok(seeds)
    }
}

pub(super) fn parse_shard(text: &str) -> Result<Shard, String> {
    let (part, parts) = text.split_once('/').ok_or("expected K/N, for instance 1/4")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text:?}: {error}"));
    let shard = Shard { part: number(part)?, parts: number(parts)? };
    let fits = (1..=shard.parts).contains(&shard.part);
    if fits { Ok(shard) } else { Err(format!("expected K from 1 to N, got {text}")) }
}

pub(crate) fn parse_time(text: &str) -> Result<Duration, String> {
    let expected = "expected a number with s, m or h behind it, for instance 10m";
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let seconds = match &text[digits.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return Err(expected.to_owned()),
    };
    let number = digits.parse::<u32>().map_err(|error| format!("{digits:?}: {error}, {expected}"))?;
    if number == 0 { Err(expected.to_owned()) } else { Ok(Duration::from_secs(u64::from(number) * seconds)) }
}

/// A seed for somebody who has none; it is printed, so that the run can be had again.
pub(crate) fn drawn_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.as_secs() ^ u64::from(now.subsec_nanos())
}

/// The contiguous part of the seeds that belongs to a shard.
pub(super) fn shard_of(seeds: &Range<u64>, shard: Option<Shard>) -> Range<u64> {
    let Some(Shard { part, parts }) = shard else { return seeds.clone() };
    let count = u128::from(seeds.end - seeds.start);
    let border = |part: u64| {
        let offset = count * u128::from(part) / u128::from(parts);
        seeds.start + u64::try_from(offset).unwrap_or(u64::MAX)
    };
    border(part - 1)..border(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_cover_all_seeds_once() {
        let parts: Vec<_> = (1..=3).map(|part| shard_of(&(5..15), Some(Shard { part, parts: 3 }))).collect();
        assert_eq!(parts, [5..8, 8..11, 11..15]);
        assert_eq!(shard_of(&(0..u64::MAX), Some(Shard { part: 2, parts: 2 })).end, u64::MAX);
    }

    #[test]
    fn bad_ranges_say_what_was_expected() {
        assert_eq!(parse_seeds("0..10"), Ok(0..10));
        for text in ["10", "5..5", "9..3", "a..b", "-1..4", ".."] {
            assert!(parse_seeds(text).is_err(), "{text}");
        }
        for text in ["0/4", "5/4", "1", "1/0", "x/y"] {
            assert!(parse_shard(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_have_a_unit() {
        assert_eq!(parse_time("10m"), Ok(Duration::from_mins(10)));
        assert_eq!(parse_time("2h"), Ok(Duration::from_hours(2)));
        for text in ["", "10", "m", "0s", "-1s", "1.5h", "10 m", "10ms", "99999999999s"] {
            assert!(parse_time(text).unwrap_err().contains("for instance 10m"), "{text}");
        }
    }
}
