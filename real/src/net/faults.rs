//! What a bad network does to frames, by plan: it loses, delays, duplicates and reorders them. What befalls a frame is
//! decided by the seed, by the direction and by how many frames went there before; never by a clock.
//!
//! A plan is written `loss=1%,delay=1..5ms@10%,duplicate=1%,reorder=1%,seed=7`, each part at most once, or `none`.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

/// The words of the generator that one frame may use: more than it can need.
const WORDS_PER_FRAME: u128 = 64;

/// Everything, in millionths.
const ALL: u32 = 1_000_000;

/// The longest delay that can be asked for.
const LONGEST_DELAY: Duration = Duration::from_mins(1);

/// How often something happens.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Share(u32);

impl Share {
    /// Always.
    pub const ALWAYS: Self = Self(ALL);

    /// So many times in a million, and never more than always.
    pub const fn millionths(millionths: u32) -> Self {
        Self(if millionths < ALL { millionths } else { ALL })
    }

    fn strikes(self, rng: &mut impl Rng) -> bool {
        rng.random_range(0..ALL) < self.0
    }
}

/// How long frames are delayed, and how many of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delay {
    /// From the shortest to the longest delay, in microseconds.
    micros: RangeInclusive<u32>,
    share: Share,
}

impl Delay {
    /// This share of all frames is delayed for so many microseconds.
    pub const fn new(micros: RangeInclusive<u32>, share: Share) -> Self {
        Self { micros, share }
    }
}

/// A plan. The default is a network that does nothing of the kind.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FrameFaults {
    /// Frames that are lost.
    pub loss: Share,
    /// Frames that come later.
    pub delay: Option<Delay>,
    /// Frames that come twice.
    pub duplicate: Share,
    /// Frames that come behind the next one.
    pub reorder: Share,
    /// What all is drawn from.
    pub seed: u64,
}

/// Which way a frame goes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Direction {
    /// From a client to the service.
    ToService,
    /// From the service to its clients.
    FromService,
}

/// When one copy of a frame arrives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Copy {
    /// So much later than it would.
    After(Duration),
    /// Behind the next frame of its direction.
    BehindTheNext,
}

/// What befalls a frame: it arrives as no copy, as one, or as two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fate(pub [Option<Copy>; 2]);

impl Fate {
    /// What befalls a frame in a network without faults.
    pub const PASSES: Self = Self([Some(Copy::After(Duration::ZERO)), None]);
    /// What befalls a frame that is lost.
    pub const LOST: Self = Self([None, None]);
}

impl FrameFaults {
    /// What befalls the frame before which so many others went this way.
    pub fn fate(&self, direction: Direction, before: u64) -> Fate {
        if self.is_harmless() {
            return Fate::PASSES;
        }
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(match direction {
            Direction::ToService => 0,
            Direction::FromService => 1,
        });
        rng.set_word_pos(u128::from(before) * WORDS_PER_FRAME);
        if self.loss.strikes(&mut rng) {
            return Fate::LOST;
        }
        let is_double = self.duplicate.strikes(&mut rng);
        let first = self.copy(&mut rng);
        Fate([Some(first), is_double.then(|| self.copy(&mut rng))])
    }

    fn copy(&self, rng: &mut ChaCha8Rng) -> Copy {
        if self.reorder.strikes(rng) {
            return Copy::BehindTheNext;
        }
        let delay = self.delay.as_ref().filter(|delay| delay.share.strikes(rng));
        let micros = delay.map_or(0, |delay| rng.random_range(delay.micros.clone()));
        Copy::After(Duration::from_micros(micros.into()))
    }

    fn is_harmless(&self) -> bool {
        let never = Share::default();
        self.delay.is_none() && [self.loss, self.duplicate, self.reorder] == [never; 3]
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 10_000, self.0 % 10_000);
        if rest == 0 {
            return write!(f, "{whole}%");
        }
        write!(f, "{whole}.{}%", format!("{rest:04}").trim_end_matches('0'))
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?}: expected a share from 0% to 100%, with up to 4 decimals");
        let percent = text.strip_suffix('%').ok_or_else(wrong)?;
        let (whole, decimals) = percent.split_once('.').unwrap_or((percent, "0"));
        let number = |digits: &str| -> Result<u32, String> {
            let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
            is_number.then(|| digits.parse().ok()).flatten().ok_or_else(wrong)
        };
        if decimals.len() > 4 {
            return Err(wrong());
        }
        let rest = number(&format!("{decimals:0<4}"))?;
        let millionths = number(whole)?.checked_mul(10_000).and_then(|whole| whole.checked_add(rest));
        millionths.filter(|share| *share <= ALL).map(Self).ok_or_else(wrong)
    }
}

/// The units of a delay, in microseconds; what ends with another stands before it.
const UNITS: [(&str, u32); 3] = [("ms", 1_000), ("us", 1), ("s", 1_000_000)];

impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (least, most) = (*self.micros.start(), *self.micros.end());
        let is_whole = |unit: u32| least.is_multiple_of(unit) && most.is_multiple_of(unit);
        let (name, unit) = if is_whole(1_000) { ("ms", 1_000) } else { ("us", 1) };
        if least == most {
            write!(f, "{}{name}", most / unit)?;
        } else {
            write!(f, "{}..{}{name}", least / unit, most / unit)?;
        }
        if self.share == Share::ALWAYS { Ok(()) } else { write!(f, "@{}", self.share) }
    }
}

impl FromStr for Delay {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            let most = LONGEST_DELAY.as_secs();
            format!("{text:?}: expected for example 5ms, 1..5ms or 1..5ms@10%, in us, ms or s, up to {most}s")
        };
        let (range, share) = text.split_once('@').unwrap_or((text, "100%"));
        let found = UNITS.iter().find_map(|(name, unit)| Some((range.strip_suffix(name)?, *unit)));
        let (numbers, unit) = found.ok_or_else(wrong)?;
        let (least, most) = numbers.split_once("..").unwrap_or((numbers, numbers));
        let micros = |number: &str| number.parse::<u32>().ok()?.checked_mul(unit);
        let (least, most) = micros(least).zip(micros(most)).ok_or_else(wrong)?;
        if least > most || Duration::from_micros(most.into()) > LONGEST_DELAY {
            return Err(wrong());
        }
        Ok(Self { micros: least..=most, share: share.parse()? })
    }
}

impl fmt::Display for FrameFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = |name: &str, share: Share| (share.0 > 0).then(|| format!("{name}={share}"));
        let parts = [
            share("loss", self.loss),
            self.delay.as_ref().map(|delay| format!("delay={delay}")),
            share("duplicate", self.duplicate),
            share("reorder", self.reorder),
            (self.seed > 0).then(|| format!("seed={}", self.seed)),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        f.write_str(if parts.is_empty() { "none" } else { "" })?;
        f.write_str(&parts.join(","))
    }
}

impl FromStr for FrameFaults {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut faults = Self::default();
        if text == "none" {
            return Ok(faults);
        }
        let mut seen = Vec::new();
        for part in text.split(',') {
            let (name, value) = part.split_once('=').ok_or_else(|| {
                format!("{part:?}: expected loss=, delay=, duplicate=, reorder= or seed=, or none alone")
            })?;
            if seen.contains(&name) {
                return Err(format!("{name} is there twice"));
            }
            seen.push(name);
            faults.set(name, value)?;
        }
        Ok(faults)
    }
}

impl FrameFaults {
    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let named = |error: String| format!("{name}: {error}");
        match name {
            "loss" => self.loss = value.parse().map_err(named)?,
            "delay" => self.delay = Some(value.parse().map_err(named)?),
            "duplicate" => self.duplicate = value.parse().map_err(named)?,
            "reorder" => self.reorder = value.parse().map_err(named)?,
            "seed" => self.seed = value.parse().map_err(|_| format!("seed: {value:?}: expected a number"))?,
            _ => return Err(format!("{name:?}: expected loss, delay, duplicate, reorder or seed")),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
