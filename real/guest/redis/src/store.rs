//! What the service keeps: values under keys, in the order of the keys, within bounds.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;

/// The longest key, bytes.
pub const KEY_BYTES_MAX: usize = 1024;

/// Bytes that it costs to keep a key and its value, beside them.
const ENTRY_BYTES: usize = 96;

/// The longest number, bytes.
const NUMBER_BYTES_MAX: usize = 20;

/// Why something cannot be kept. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// The key is longer than keys are.
    Key,
    /// There is no room for it.
    Full {
        /// For so many bytes there is.
        bytes: usize,
    },
    /// What is there, or what is to be added, is no number.
    NoNumber,
    /// The sum is none.
    Overflow,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key => write!(f, "ERR key is longer than {KEY_BYTES_MAX} bytes"),
            Self::Full { bytes } => {
                write!(f, "OOM command not allowed when used memory > 'maxmemory', which is {bytes} bytes")
            }
            Self::NoNumber => f.write_str("ERR value is not an integer or out of range"),
            Self::Overflow => f.write_str("ERR increment or decrement would overflow"),
        }
    }
}

/// Values under keys.
#[derive(Debug)]
pub struct Store {
    values: BTreeMap<Box<[u8]>, Box<[u8]>>,
    /// Bytes of all of them, with what they cost.
    bytes: usize,
    bytes_max: usize,
}

impl Store {
    /// A store that keeps nothing yet and never more than so many bytes.
    pub const fn new(bytes_max: usize) -> Self {
        Self { values: BTreeMap::new(), bytes: 0, bytes_max }
    }

    /// What is kept under a key.
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.values.get(key).map(Box::as_ref)
    }

    /// Keeps a value under a key, in place of the one that was there.
    pub fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        if key.len() > KEY_BYTES_MAX {
            return Err(StoreError::Key);
        }
        let before = self.get(key).map_or(0, |before| cost(key, before));
        let bytes = self.bytes - before + cost(key, value);
        if bytes > self.bytes_max {
            return Err(StoreError::Full { bytes: self.bytes_max });
        }
        let kept = copied(value).ok_or(StoreError::Full { bytes: self.bytes_max })?;
        if let Some(place) = self.values.get_mut(key) {
            *place = kept;
        } else {
            self.values.insert(key.into(), kept);
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Keeps nothing under a key any longer; whether something was.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        let Some(value) = self.values.remove(key) else { return false };
        self.bytes -= cost(key, &value);
        true
    }

    /// Adds to the number under a key, which is 0 where there is none; the sum.
    pub fn add(&mut self, key: &[u8], summand: i64) -> Result<i64, StoreError> {
        let before = self.get(key).map_or(Some(0), number).ok_or(StoreError::NoNumber)?;
        let sum = before.checked_add(summand).ok_or(StoreError::Overflow)?;
        let mut digits = Digits::default();
        self.set(key, digits.of(sum))?;
        Ok(sum)
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.values.clear();
        self.bytes = 0;
    }

    /// Bytes that are kept, with what they cost.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The most bytes that are kept.
    pub const fn bytes_max(&self) -> usize {
        self.bytes_max
    }
}

/// What it costs to keep a value under a key.
fn cost(key: &[u8], value: &[u8]) -> usize {
    ENTRY_BYTES + key.len() + value.len()
}

/// A copy, if there is room for it.
fn copied(value: &[u8]) -> Option<Box<[u8]>> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(value.len()).ok()?;
    copy.extend_from_slice(value);
    Some(copy.into_boxed_slice())
}

/// The number that these bytes say, if they say it as it would be written.
pub(crate) fn number(bytes: &[u8]) -> Option<i64> {
    let number = core::str::from_utf8(bytes).ok()?.parse().ok()?;
    (Digits::default().of(number) == bytes).then_some(number)
}

/// Room for a number's digits.
#[derive(Default)]
struct Digits {
    bytes: [u8; NUMBER_BYTES_MAX],
}

impl Digits {
    /// A number as it is written.
    fn of(&mut self, number: i64) -> &[u8] {
        let mut rest = number.unsigned_abs();
        let mut at = self.bytes.len();
        loop {
            at -= 1;
            self.bytes[at] = b"0123456789"[usize::try_from(rest % 10).unwrap_or(0)];
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if number < 0 {
            at -= 1;
            self.bytes[at] = b'-';
        }
        &self.bytes[at..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::{String, ToString};
    use proptest::collection::vec;
    use proptest::prelude::*;

    /// What is done to a store.
    #[derive(Clone, Debug)]
    enum Deed {
        Set(Vec<u8>, Vec<u8>),
        Remove(Vec<u8>),
        Add(Vec<u8>, i64),
        Clear,
    }

    fn deeds() -> impl Strategy<Value = Vec<Deed>> {
        let key = || vec(0_u8..3, 0..2);
        let deed = prop_oneof![
            4 => (key(), vec(prop::sample::select(&b"0123456789-x"[..]), 0..4)).prop_map(|(k, v)| Deed::Set(k, v)),
            2 => key().prop_map(Deed::Remove),
            4 => (key(), any::<i64>()).prop_map(|(k, n)| Deed::Add(k, n)),
            4 => (key(), -3_i64..4).prop_map(|(k, n)| Deed::Add(k, n)),
            1 => Just(Deed::Clear),
        ];
        vec(deed, 0..60)
    }

    /// What it costs to keep all this, by the rule.
    fn cost_of_all(store: &Store) -> usize {
        store.values.iter().map(|(key, value)| cost(key, value)).sum()
    }

    proptest! {
        #[test]
        fn it_keeps_what_a_map_keeps_within_its_bound_and_knows_how_much_that_is(deeds in deeds()) {
            let mut store = Store::new(700);
            let mut map: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
            for deed in deeds {
                match deed {
                    Deed::Set(key, value) => match store.set(&key, &value) {
                        Ok(()) => drop(map.insert(key, value)),
                        Err(error) => prop_assert_eq!(error, StoreError::Full { bytes: 700 }),
                    },
                    Deed::Remove(key) => prop_assert_eq!(store.remove(&key), map.remove(&key).is_some()),
                    Deed::Add(key, summand) => {
                        let before = map.get(&key).map_or("0".to_string(), |v| String::from_utf8_lossy(v).into_owned());
                        let number = before.parse::<i64>().ok().filter(|number| number.to_string() == before);
                        let sum = number.ok_or(StoreError::NoNumber).and_then(|n| n.checked_add(summand).ok_or(StoreError::Overflow));
                        match store.add(&key, summand) {
                            Err(StoreError::Full { .. }) => prop_assert!(sum.is_ok()),
                            got => {
                                prop_assert_eq!(got, sum);
                                if let Ok(sum) = sum {
                                    map.insert(key, sum.to_string().into_bytes());
                                }
                            }
                        }
                    }
                    Deed::Clear => {
                        store.clear();
                        map.clear();
                    }
                }
                prop_assert_eq!(store.len(), map.len());
                for (key, value) in &map {
                    prop_assert_eq!(store.get(key), Some(value.as_slice()));
                }
                prop_assert_eq!(store.bytes(), cost_of_all(&store));
                prop_assert!(store.bytes() <= 700);
            }
        }

        #[test]
        fn a_number_is_written_as_everybody_writes_it(number in any::<i64>()) {
            let written = number.to_string();
            prop_assert_eq!(Digits::default().of(number).to_vec(), written.clone().into_bytes());
            prop_assert_eq!(super::number(written.as_bytes()), Some(number));
        }
    }

    #[test]
    fn a_number_is_nothing_that_merely_looks_like_one() {
        for no_number in ["", "+1", "01", "-0", " 1", "1 ", "9223372036854775808", "1.0"] {
            assert_eq!(number(no_number.as_bytes()), None, "{no_number:?}");
        }
        assert_eq!(number(b"-9223372036854775808"), Some(i64::MIN));
    }

    #[test]
    fn what_is_too_much_is_refused_with_the_bound() {
        let mut store = Store::new(1 << 20);
        let long = [0; KEY_BYTES_MAX + 1];
        assert_eq!(store.set(&long, b""), Err(StoreError::Key));
        assert_eq!(StoreError::Key.to_string(), "ERR key is longer than 1024 bytes");
        let full = store.set(b"k", &alloc::vec![0; 1 << 20]);
        assert_eq!(full, Err(StoreError::Full { bytes: 1 << 20 }));
        assert!(store.is_empty());
    }
}
