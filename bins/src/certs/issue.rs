//! Makes the keys and signs the certificates; nothing is written here.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use thiserror::Error;

use super::SubjectName;

/// A peer's clock may be behind ours by this much and still accept a certificate just issued.
const CLOCK_SKEW: Duration = Duration::from_secs(60 * 60);

/// A certificate and its private key, both in PEM.
#[derive(Clone)]
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// The private key, PKCS #8.
    pub key: String,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair").finish_non_exhaustive()
    }
}

/// Everything the processes need, under two certificate authorities.
///
/// Two, since a listener accepts whoever its CA signed: with one CA for both listeners an agent's key
/// would also open the frontend listener, and with it every other agent's network.
#[derive(Clone, Debug)]
pub struct CertificateSet {
    /// Signs `cluster` and `agent`.
    pub cluster_ca: Pair,
    /// The server's listener for agents.
    pub cluster: Pair,
    /// An agent, as a client of that listener.
    pub agent: Pair,
    /// Signs `server` and `client`.
    pub server_ca: Pair,
    /// The server's listener for frontends.
    pub server: Pair,
    /// A frontend, as a client of that listener.
    pub client: Pair,
}

/// A key or a certificate could not be made.
#[derive(Debug, Error)]
#[error("cannot issue the certificate of {subject:?}: {source}")]
pub struct IssueError {
    subject: &'static str,
    source: rcgen::Error,
}

#[derive(Clone, Copy)]
struct Validity {
    from: SystemTime,
    until: SystemTime,
}

impl CertificateSet {
    /// Makes new keys (ECDSA P-256) and certificates valid from an hour before `now` until `valid_for`
    /// after it; the two listeners' certificates are for `names`.
    ///
    /// # Errors
    ///
    /// If the cryptographic library fails or cannot encode a name.
    pub fn issue(
        names: &[SubjectName],
        valid_for: Duration,
        now: SystemTime,
    ) -> Result<Self, IssueError> {
        let validity = Validity {
            from: now - CLOCK_SKEW,
            until: now + valid_for,
        };
        let cluster_ca = Authority::new("dialback cluster CA", validity)?;
        let server_ca = Authority::new("dialback frontend CA", validity)?;
        Ok(Self {
            cluster: cluster_ca.sign_server("dialback agent listener", names)?,
            agent: cluster_ca.sign_client("dialback agent")?,
            server: server_ca.sign_server("dialback frontend listener", names)?,
            client: server_ca.sign_client("dialback frontend")?,
            cluster_ca: cluster_ca.pair(),
            server_ca: server_ca.pair(),
        })
    }
}

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    validity: Validity,
}

impl Authority {
    fn new(subject: &'static str, validity: Validity) -> Result<Self, IssueError> {
        let mut params = parameters(subject, validity);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = new_key(subject)?;
        let issuer = CertifiedIssuer::self_signed(params, key)
            .map_err(|source| IssueError { subject, source })?;
        Ok(Self { issuer, validity })
    }

    fn pair(&self) -> Pair {
        Pair {
            certificate: self.issuer.pem(),
            key: self.issuer.key().serialize_pem(),
        }
    }

    fn sign_server(
        &self,
        subject: &'static str,
        names: &[SubjectName],
    ) -> Result<Pair, IssueError> {
        let mut params = parameters(subject, self.validity);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        for name in names {
            params.subject_alt_names.push(match name {
                SubjectName::Dns(name) => SanType::DnsName(
                    name.as_str()
                        .try_into()
                        .map_err(|source| IssueError { subject, source })?,
                ),
                SubjectName::Ip(address) => SanType::IpAddress(*address),
            });
        }
        self.sign(subject, params)
    }

    fn sign_client(&self, subject: &'static str) -> Result<Pair, IssueError> {
        let mut params = parameters(subject, self.validity);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(subject, params)
    }

    fn sign(
        &self,
        subject: &'static str,
        mut params: CertificateParams,
    ) -> Result<Pair, IssueError> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let key = new_key(subject)?;
        let certificate = params
            .signed_by(&key, &self.issuer)
            .map_err(|source| IssueError { subject, source })?;
        Ok(Pair {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }
}

fn new_key(subject: &'static str) -> Result<KeyPair, IssueError> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|source| IssueError { subject, source })
}

fn parameters(subject: &'static str, validity: Validity) -> CertificateParams {
    let since_epoch = |at: SystemTime| {
        at.duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
    };
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, subject);
    params.not_before = epoch + since_epoch(validity.from);
    params.not_after = epoch + since_epoch(validity.until);
    params
}
