//! What the two sides show each other in a TLS handshake, also in one that fails.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use super::certificate::Certificate;

/// Watches the handshakes of one configuration, one at a time.
#[derive(Clone, Debug, Default)]
pub(super) struct Witness {
    seen: Arc<Mutex<Seen>>,
}

/// What was seen in a handshake.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// The server's, its own first.
    pub(super) chain: Vec<Certificate>,
    /// Whether the server asked for a certificate.
    pub(super) asked: bool,
    /// Whether it was shown one.
    pub(super) shown: bool,
}

impl Witness {
    /// `config` with verification as `verifier` does it, and this witness.
    pub(super) fn watch(
        &self,
        mut config: ClientConfig,
        verifier: Arc<dyn ServerCertVerifier>,
    ) -> ClientConfig {
        // A session that is resumed shows no certificates.
        config.resumption = Resumption::disabled();
        config.client_auth_cert_resolver = Arc::new(WatchedResolver {
            inner: Arc::clone(&config.client_auth_cert_resolver),
            witness: self.clone(),
        });
        let verifier = WatchedVerifier {
            inner: verifier,
            witness: self.clone(),
        };
        config
            .dangerous()
            .set_certificate_verifier(Arc::new(verifier));
        config
    }

    /// What was seen since this was asked last.
    pub(super) fn take(&self) -> Seen {
        std::mem::take(&mut *self.seen())
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leaves every decision to the verifier inside.
#[derive(Debug)]
struct WatchedVerifier {
    inner: Arc<dyn ServerCertVerifier>,
    witness: Witness,
}

impl ServerCertVerifier for WatchedVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = std::iter::once(end_entity).chain(intermediates);
        self.witness.seen().chain = chain.filter_map(|der| Certificate::parse(der)).collect();
        self.inner
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        self.inner.root_hint_subjects()
    }
}

/// Shows what the resolver inside does.
#[derive(Debug)]
struct WatchedResolver {
    inner: Arc<dyn ResolvesClientCert>,
    witness: Witness,
}

impl ResolvesClientCert for WatchedResolver {
    fn resolve(
        &self,
        root_hint_subjects: &[&[u8]],
        sigschemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        let key = self.inner.resolve(root_hint_subjects, sigschemes);
        let mut seen = self.witness.seen();
        seen.asked = true;
        seen.shown = key.is_some();
        key
    }

    fn has_certs(&self) -> bool {
        self.inner.has_certs()
    }
}
