//! Nothing is here: the variant is `rules/patient.toml`, and what has to hold of it is in `tests/`.
#![forbid(unsafe_code)]
