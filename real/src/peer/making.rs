//! New keys for a pair: an authority that signs two certificates and is forgotten, so that nobody can sign a third.

use super::keys::{AUTHORITY, KeysError, certificate_name, file_names};
use colo_protocol::NodeName;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

const DAY: Duration = Duration::from_hours(24);

/// How long new certificates are valid. They can be withdrawn only by new ones of another authority, on both sides.
const VALID_FOR: Duration = Duration::from_hours(10 * 365 * 24);

/// When a certificate is valid.
#[derive(Clone, Copy, Debug)]
pub(super) struct Validity {
    pub(super) from: SystemTime,
    pub(super) to: SystemTime,
}

impl Validity {
    /// From yesterday on, for the other host's clock may be behind.
    fn of_new_keys(now: SystemTime) -> Self {
        Self { from: now - DAY, to: now + VALID_FOR }
    }

    fn set(self, parameters: &mut CertificateParams) {
        let date = |time: SystemTime| {
            date_time_ymd(1970, 1, 1) + time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
        };
        (parameters.not_before, parameters.not_after) = (date(self.from), date(self.to));
    }
}

/// Makes new keys for both sides in this directory, and the directory if need be. The files that it has made.
pub fn make_keys(directory: &Path) -> Result<Vec<PathBuf>, KeysError> {
    let files = new_files(directory, Validity::of_new_keys(SystemTime::now()));
    let files = files.map_err(|error| KeysError::Making(error.to_string()))?;
    if let Some((path, ..)) = files.iter().find(|(path, ..)| path.symlink_metadata().is_ok()) {
        return Err(KeysError::Exists(path.clone()));
    }
    let unwritable = |path: &Path, source| KeysError::Unreadable { path: path.to_owned(), source };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|error| unwritable(directory, error))?;
    for (path, text, mode) in &files {
        write_new(path, text, *mode).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => KeysError::Exists(path.clone()),
            _ => unwritable(path, error),
        })?;
    }
    Ok(files.into_iter().map(|(path, ..)| path).collect())
}

/// Each file with its text and its mode.
fn new_files(directory: &Path, validity: Validity) -> Result<Vec<(PathBuf, String, u32)>, rcgen::Error> {
    let (authority, issuer) = authority(validity)?;
    let mut files = vec![(directory.join(AUTHORITY), authority.pem(), 0o644)];
    for side in NodeName::ALL {
        let (certificate, key) = signed(&issuer, &certificate_name(side), validity)?;
        let [certificate_file, key_file] = file_names(side).map(|name| directory.join(name));
        files.push((certificate_file, certificate.pem(), 0o644));
        files.push((key_file, key.serialize_pem(), 0o600));
    }
    Ok(files)
}

fn write_new(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// A new authority.
pub(super) fn authority(validity: Validity) -> Result<(Certificate, Issuer<'static, KeyPair>), rcgen::Error> {
    let mut parameters = named("colo: the authority of one pair")?;
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    validity.set(&mut parameters);
    let key = KeyPair::generate()?;
    let certificate = parameters.self_signed(&key)?;
    Ok((certificate, Issuer::new(parameters, key)))
}

/// A new certificate for this name, and its key. Either side may be the one that connects.
pub(super) fn signed(
    issuer: &Issuer<'static, KeyPair>,
    name: &str,
    validity: Validity,
) -> Result<(Certificate, KeyPair), rcgen::Error> {
    let parameters = of_a_side(name, validity)?;
    let key = KeyPair::generate()?;
    Ok((parameters.signed_by(&key, issuer)?, key))
}

/// What is in a side's certificate.
pub(super) fn of_a_side(name: &str, validity: Validity) -> Result<CertificateParams, rcgen::Error> {
    let mut parameters = named(name)?;
    parameters.subject_alt_names = CertificateParams::new([name.to_owned()])?.subject_alt_names;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    parameters.use_authority_key_identifier_extension = true;
    validity.set(&mut parameters);
    Ok(parameters)
}

fn named(name: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut parameters = CertificateParams::new(Vec::new())?;
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    Ok(parameters)
}
