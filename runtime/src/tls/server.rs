//! TLS of a listener.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};

use super::error::TlsError;
use super::files::{KeyPairFiles, roots};
use super::policy::TlsPolicy;

/// What is spoken over TLS, by its name in ALPN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsProtocol {
    /// `h2`, which has to be negotiated: a handshake without ALPN succeeds, and the connection is to be
    /// dropped, as grpc-go does, when [`alpn_protocol`](rustls::CommonState::alpn_protocol) is `None`.
    Grpc,
    /// `http/1.1`, also without ALPN. A client that offers only other protocols fails the handshake.
    Http1,
}

/// TLS of a listener, from its flags.
#[derive(Clone, Debug)]
pub struct ServerTls {
    /// What the listener shows.
    pub pair: KeyPairFiles,
    /// The CAs whose client certificates are accepted; then every client has to have one. `None`: none is
    /// asked for. Names in it are not compared with anything.
    pub client_ca: Option<PathBuf>,
    /// What is spoken.
    pub protocol: TlsProtocol,
    /// Versions and cipher suites.
    pub policy: TlsPolicy,
}

impl ServerTls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`], in the reference's words.
    pub fn load(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let provider = &self.policy.provider;
        let pair = self.pair.load()?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
            .with_protocol_versions(&self.policy.versions)?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let roots = Arc::new(roots(path)?);
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider))
                        .build()
                        .map_err(|error| rustls::Error::General(no_verifier(&error)))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder
            .with_single_cert(pair.chain, pair.key)
            .map_err(|error| self.pair.refused(error))?;
        config.alpn_protocols = vec![match self.protocol {
            TlsProtocol::Grpc => b"h2".to_vec(),
            TlsProtocol::Http1 => b"http/1.1".to_vec(),
        }];
        Ok(Arc::new(config))
    }
}

fn no_verifier(error: &VerifierBuilderError) -> String {
    format!("client certificates can't be verified: {error}")
}
