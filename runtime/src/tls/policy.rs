//! Which versions and cipher suites a server speaks: `--tls-min-version` and `--cipher-suites`.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, SupportedCipherSuite, SupportedProtocolVersion};

/// The names that Go has for TLS versions, oldest first.
const VERSIONS: [&str; 4] = [
    "VersionTLS10",
    "VersionTLS11",
    "VersionTLS12",
    "VersionTLS13",
];

/// The names of suites that Go counts as secure, and what they are here; those of TLS 1.2 with CBC are not to
/// be had.
const SUITES: [(&str, Suite); 13] = [
    ("TLS_AES_128_GCM_SHA256", Suite::Tls13),
    ("TLS_AES_256_GCM_SHA384", Suite::Tls13),
    ("TLS_CHACHA20_POLY1305_SHA256", Suite::Tls13),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        Suite::Tls12(CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        Suite::Tls12(CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        Suite::Tls12(CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ),
    (
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        Suite::Tls12(CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ),
    (
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        Suite::Tls12(CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ),
    (
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        Suite::Tls12(CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
    ),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", Suite::Cbc),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", Suite::Cbc),
    ("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", Suite::Cbc),
    ("TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", Suite::Cbc),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Suite {
    /// Always on, named or not, as in Go.
    Tls13,
    Tls12(CipherSuite),
    Cbc,
}

/// The versions and suites that a server speaks. The default: TLS 1.2 and 1.3 with all suites.
#[derive(Clone, Debug)]
pub struct TlsPolicy {
    pub(super) provider: Arc<CryptoProvider>,
    pub(super) versions: Vec<&'static SupportedProtocolVersion>,
}

/// Versions or suites that a server can't do with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsPolicyError {
    /// No such version; the reference's text.
    #[error(
        "unsupported TLS version {0:?}, supported values are: \
         VersionTLS10, VersionTLS11, VersionTLS12, VersionTLS13"
    )]
    Version(String),
    /// No such suite, or an insecure one; the reference's text.
    #[error("cipher suite {0} not supported, doesn't exist or considered as insecure")]
    CipherSuite(String),
    /// Of the suites that are wanted none is served.
    #[error(
        "none of the cipher suites can be served: {} use CBC, which is not supported; \
         add an AEAD suite such as TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", .0.join(", ")
    )]
    OnlyCbc(Vec<String>),
}

/// Something that an operator asked for and does not get; to be logged.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsWarning {
    /// An old version.
    OldVersion(String),
    /// Suites that are not served.
    Cbc(Vec<String>),
    /// TLS 1.2 is allowed, but none of its suites is.
    NoTls12,
}

impl std::fmt::Display for TlsWarning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OldVersion(name) => write!(
                f,
                "{name} is deprecated (RFC 8996) and not supported: the oldest version served is TLS 1.2"
            ),
            Self::Cbc(names) => write!(
                f,
                "cipher suites with CBC are not supported and left out: {}",
                names.join(", ")
            ),
            Self::NoTls12 => f.write_str(
                "no cipher suite of TLS 1.2 is left: clients without TLS 1.3 can't connect",
            ),
        }
    }
}

impl TlsPolicy {
    /// Reads the two flags: `min_version` may be empty for TLS 1.2, `cipher_suites` for all.
    ///
    /// # Errors
    /// A name is unknown, or what is asked for leaves nothing to serve.
    pub fn parse<S: AsRef<str>>(
        min_version: &str,
        cipher_suites: &[S],
    ) -> Result<(Self, Vec<TlsWarning>), TlsPolicyError> {
        let mut warnings = Vec::new();
        if !min_version.is_empty() && !VERSIONS.contains(&min_version) {
            return Err(TlsPolicyError::Version(min_version.to_owned()));
        }
        if matches!(min_version, "VersionTLS10" | "VersionTLS11") {
            warnings.push(TlsWarning::OldVersion(min_version.to_owned()));
        }
        let mut versions = vec![&TLS13];
        if min_version != "VersionTLS13" {
            versions.push(&TLS12);
        }
        let mut provider = aws_lc_rs::default_provider();
        if !cipher_suites.is_empty() {
            let wanted = Wanted::parse(cipher_suites)?;
            if wanted.only_cbc && versions.contains(&&TLS12) {
                return Err(TlsPolicyError::OnlyCbc(wanted.cbc));
            }
            provider
                .cipher_suites
                .retain(|suite| is_tls13(suite) || wanted.tls12.contains(&suite.suite()));
            if !wanted.cbc.is_empty() {
                warnings.push(TlsWarning::Cbc(wanted.cbc));
            }
            if wanted.tls12.is_empty() && versions.contains(&&TLS12) {
                versions.retain(|version| **version != TLS12);
                warnings.push(TlsWarning::NoTls12);
            }
        }
        let policy = Self {
            provider: Arc::new(provider),
            versions,
        };
        Ok((policy, warnings))
    }
}

impl Default for TlsPolicy {
    fn default() -> Self {
        Self {
            provider: Arc::new(aws_lc_rs::default_provider()),
            versions: vec![&TLS13, &TLS12],
        }
    }
}

struct Wanted {
    tls12: Vec<CipherSuite>,
    cbc: Vec<String>,
    only_cbc: bool,
}

impl Wanted {
    fn parse<S: AsRef<str>>(names: &[S]) -> Result<Self, TlsPolicyError> {
        let mut wanted = Self {
            tls12: Vec::new(),
            cbc: Vec::new(),
            only_cbc: true,
        };
        for name in names {
            let name = name.as_ref();
            let (_, suite) = SUITES
                .iter()
                .find(|(known, _)| *known == name)
                .ok_or_else(|| TlsPolicyError::CipherSuite(name.to_owned()))?;
            wanted.only_cbc &= *suite == Suite::Cbc;
            match suite {
                Suite::Tls13 => {}
                Suite::Tls12(suite) => wanted.tls12.push(*suite),
                Suite::Cbc => wanted.cbc.push(name.to_owned()),
            }
        }
        Ok(wanted)
    }
}

const fn is_tls13(suite: &SupportedCipherSuite) -> bool {
    matches!(suite, SupportedCipherSuite::Tls13(_))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn tls12_suites(policy: &TlsPolicy) -> usize {
        let suites = policy.provider.cipher_suites.iter();
        suites.filter(|suite| !is_tls13(suite)).count()
    }

    fn parse(min_version: &str, suites: &[&str]) -> (TlsPolicy, Vec<TlsWarning>) {
        TlsPolicy::parse(min_version, suites).unwrap()
    }

    #[test]
    fn without_flags_there_are_two_versions_and_all_suites() {
        let (policy, warnings) = parse("", &[]);
        assert_eq!(policy.versions, TlsPolicy::default().versions);
        assert_eq!(tls12_suites(&policy), 6);
        assert_eq!(warnings, []);
    }

    #[test]
    fn versions_have_gos_names() {
        assert_eq!(parse("VersionTLS12", &[]).0.versions, [&TLS13, &TLS12]);
        assert_eq!(parse("VersionTLS13", &[]).0.versions, [&TLS13]);
        for old in ["VersionTLS10", "VersionTLS11"] {
            let (policy, warnings) = parse(old, &[]);
            assert_eq!(policy.versions, [&TLS13, &TLS12]);
            assert_eq!(warnings, [TlsWarning::OldVersion(old.to_owned())]);
        }
        let unknown = TlsPolicy::parse::<&str>("1.2", &[]).unwrap_err();
        assert_eq!(
            unknown.to_string(),
            "unsupported TLS version \"1.2\", supported values are: \
             VersionTLS10, VersionTLS11, VersionTLS12, VersionTLS13"
        );
    }

    #[test]
    fn suites_of_tls_1_2_are_chosen_by_name_and_those_of_1_3_stay() {
        let (policy, warnings) = parse("", &["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]);
        assert_eq!(tls12_suites(&policy), 1);
        assert_eq!(policy.provider.cipher_suites.len(), 4);
        assert_eq!(policy.versions, [&TLS13, &TLS12]);
        assert_eq!(warnings, []);
    }

    #[test]
    fn all_names_that_go_accepts_are_accepted() {
        let names = SUITES.map(|(name, _)| name);
        let (policy, warnings) = parse("", &names);
        assert_eq!(tls12_suites(&policy), 6);
        assert!(matches!(&warnings[..], [TlsWarning::Cbc(names)] if names.len() == 4));
    }

    #[test]
    fn insecure_and_unknown_suites_are_refused() {
        for name in [
            "TLS_RSA_WITH_AES_128_GCM_SHA256",
            "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
            "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
            "tls_aes_128_gcm_sha256",
            "ECDHE-RSA-AES128-GCM-SHA256",
            "",
        ] {
            let refused = TlsPolicy::parse("", &[name]).unwrap_err();
            assert_eq!(
                refused.to_string(),
                format!(
                    "cipher suite {name} not supported, doesn't exist or considered as insecure"
                )
            );
        }
    }

    #[test]
    fn cbc_alone_is_refused_where_it_would_matter() {
        let cbc = "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA";
        let refused = TlsPolicy::parse("VersionTLS10", &[cbc]).unwrap_err();
        assert_eq!(refused, TlsPolicyError::OnlyCbc(vec![cbc.to_owned()]));
        let (policy, warnings) = parse("VersionTLS13", &[cbc]);
        assert_eq!(policy.versions, [&TLS13]);
        assert_eq!(warnings, [TlsWarning::Cbc(vec![cbc.to_owned()])]);
    }

    #[test]
    fn with_suites_of_tls_1_3_alone_there_is_no_1_2() {
        let (policy, warnings) = parse("", &["TLS_AES_128_GCM_SHA256"]);
        assert_eq!(policy.versions, [&TLS13]);
        assert_eq!(warnings, [TlsWarning::NoTls12]);
    }
}
