//! TLS towards the proxy server.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls::version::{TLS12, TLS13};

use super::error::TlsError;
use super::files::{KeyPairFiles, roots};

/// What gRPC has to negotiate.
const H2: &[u8] = b"h2";

/// TLS of a client of gRPC, from its flags. TLS 1.2 and 1.3; whom to verify is said when connecting.
#[derive(Clone, Debug)]
pub struct ClientTls {
    /// The CAs whose server certificates are accepted; those of the system never are.
    pub ca: PathBuf,
    /// What the client shows if asked.
    pub pair: Option<KeyPairFiles>,
    /// `--alpn-proto`: what is offered before `h2`, for load balancers that route by it.
    pub alpn: Vec<String>,
}

impl ClientTls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`], in the reference's words.
    pub fn load(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let roots = roots(&self.ca)?;
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&TLS13, &TLS12])?
            .with_root_certificates(roots);
        let mut config = match &self.pair {
            None => builder.with_no_client_auth(),
            Some(files) => {
                let pair = files.load()?;
                builder
                    .with_client_auth_cert(pair.chain, pair.key)
                    .map_err(|error| files.refused(error))?
            }
        };
        config.alpn_protocols = self.alpn_protocols()?;
        Ok(Arc::new(config))
    }

    fn alpn_protocols(&self) -> Result<Vec<Vec<u8>>, TlsError> {
        let mut protocols = Vec::with_capacity(self.alpn.len() + 1);
        for name in &self.alpn {
            if name.is_empty() || name.len() > usize::from(u8::MAX) {
                return Err(TlsError::Alpn(name.clone()));
            }
            protocols.push(name.as_bytes().to_vec());
        }
        if !protocols.iter().any(|name| name == H2) {
            protocols.push(H2.to_vec());
        }
        Ok(protocols)
    }
}
