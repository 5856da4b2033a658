//! TLS between the two sides: version 1.3 only, each certificate checked up to the pair's own authority and for the name
//! of the side that the peer has to be.
//!
//! No resumption and no early data: a pair meets seldom, and every meeting is as strict as the first.

use super::keys::certificate_name;
use colo_protocol::NodeName;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, VerifierBuilderError, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, Connection, DigitallySignedStruct,
    DistinguishedName, Error, RootCertStore, ServerConfig, ServerConnection, SignatureScheme,
};
use std::sync::Arc;

/// How a side speaks with its peer, whichever of them connects.
#[derive(Clone, Debug)]
pub(super) struct Configs {
    listening: Arc<ServerConfig>,
    connecting: Arc<ClientConfig>,
    peer: ServerName<'static>,
    authority: Arc<WebPkiServerVerifier>,
}

impl Configs {
    /// Of a side with this chain, its own certificate first, and the key of that.
    pub(super) fn new(
        side: NodeName,
        authority: &[CertificateDer<'static>],
        chain: &[CertificateDer<'static>],
        key: &PrivateKeyDer<'static>,
    ) -> Result<Self, Error> {
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        authority.iter().try_for_each(|root| roots.add(root.clone()))?;
        let roots = Arc::new(roots);
        let peer = name(side.peer())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone());
        Ok(Self {
            listening: listening(&roots, &provider, &peer, chain, key)?,
            connecting: connecting(&roots, &provider, chain, key)?,
            peer,
            authority: verifier.build().map_err(|error| unusable(&error))?,
        })
    }

    /// That a peer would take this chain for that of this side.
    pub(super) fn check_own(&self, side: NodeName, chain: &[CertificateDer<'static>]) -> Result<(), Error> {
        let (own, rest) = chain.split_first().ok_or(Error::NoCertificatesPresented)?;
        self.authority.verify_server_cert(own, rest, &name(side)?, &[], UnixTime::now()).map(drop)
    }

    /// A connection with whoever has connected.
    pub(super) fn listening(&self) -> Result<Connection, Error> {
        Ok(ServerConnection::new(self.listening.clone())?.into())
    }

    /// A connection with whoever listens.
    pub(super) fn connecting(&self) -> Result<Connection, Error> {
        Ok(ClientConnection::new(self.connecting.clone(), self.peer.clone())?.into())
    }
}

fn name(side: NodeName) -> Result<ServerName<'static>, Error> {
    ServerName::try_from(certificate_name(side)).map_err(|error| Error::General(error.to_string()))
}

fn listening(
    roots: &Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
    peer: &ServerName<'static>,
    chain: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, Error> {
    let chains = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone());
    let chains = chains.build().map_err(|error| unusable(&error))?;
    let only_the_peer = Arc::new(OnlyThePeer { chains, peer: peer.clone() });
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(only_the_peer)
        .with_single_cert(chain.to_vec(), key.clone_key())?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

fn connecting(
    roots: &Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
    chain: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
) -> Result<Arc<ClientConfig>, Error> {
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots.clone())
        .with_client_auth_cert(chain.to_vec(), key.clone_key())?;
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

fn unusable(error: &VerifierBuilderError) -> Error {
    Error::General(error.to_string())
}

/// Takes a client's chain that leads up to the authority, but only if it is the peer's: rustls checks no client's name.
#[derive(Debug)]
struct OnlyThePeer {
    chains: Arc<dyn ClientCertVerifier>,
    peer: ServerName<'static>,
}

impl ClientCertVerifier for OnlyThePeer {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chains.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chains.verify_client_cert(end_entity, intermediates, now)?;
        verify_server_name(&ParsedCertificate::try_from(end_entity)?, &self.peer)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}

/// What an error of TLS means, in words.
pub(super) fn why(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(error) => of_certificate(error),
        Error::NoCertificatesPresented => "it has shown no certificate".to_owned(),
        Error::AlertReceived(alert) => of_alert(*alert),
        Error::InconsistentKeys(_) => "the private key is not that of this certificate".to_owned(),
        error => error.to_string().escape_debug().to_string(),
    }
}

fn of_certificate(error: &CertificateError) -> String {
    use CertificateError as E;
    match error {
        E::Expired => "its certificate has expired".to_owned(),
        E::ExpiredContext { time, not_after } => {
            format!(
                "its certificate has expired, {} ago",
                days(time.as_secs().saturating_sub(not_after.as_secs()))
            )
        }
        E::NotValidYet | E::NotValidYetContext { .. } => {
            "its certificate is not valid yet: is one of the clocks wrong?".to_owned()
        }
        E::UnknownIssuer | E::BadSignature => {
            "its certificate is of another authority than ca.pem".to_owned()
        }
        E::NotValidForName => "its certificate is another side's".to_owned(),
        E::NotValidForNameContext { expected, presented } => {
            format!("its certificate is for {presented:?}, expected {:?}", expected.to_str())
        }
        error => format!("its certificate is bad: {}", format!("{error:?}").escape_debug()),
    }
}

fn days(seconds: u64) -> String {
    match seconds / (24 * 60 * 60) {
        0 => format!("{seconds} s"),
        days => format!("{days} days"),
    }
}

fn of_alert(alert: AlertDescription) -> String {
    use AlertDescription as A;
    match alert {
        A::CertificateExpired => {
            "this side's certificate has expired, or is not valid yet, by its clock".to_owned()
        }
        A::UnknownCA | A::DecryptError => {
            "this side's certificate is of another authority than its ca.pem".to_owned()
        }
        A::BadCertificate => {
            "this side's certificate is not that of its peer: is it the other side's?".to_owned()
        }
        A::CertificateRequired => "this side has shown no certificate".to_owned(),
        alert => format!("it has ended the handshake: {alert:?}"),
    }
}

/// Whether an error says that the other end does not speak TLS at all.
pub(super) const fn is_no_tls(error: &Error) -> bool {
    matches!(error, Error::InvalidMessage(_))
}

/// Whether an alert is about this side's certificate.
pub(super) const fn is_about_certificate(alert: AlertDescription) -> bool {
    use AlertDescription as A;
    matches!(
        alert,
        A::CertificateExpired
            | A::UnknownCA
            | A::DecryptError
            | A::BadCertificate
            | A::CertificateRequired
            | A::CertificateUnknown
            | A::CertificateRevoked
            | A::UnsupportedCertificate
            | A::AccessDenied
    )
}
