//! `--tls-min-version` and `--cipher-suites`: Go's names, and what rustls has of them.

use rustls::CipherSuite;

use crate::flags::problem::{Check, OptionProblem};

/// What TLS listeners accept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// The least version.
    pub min_version: TlsVersion,
    /// The suites for TLS 1.2; `None` for all. With an empty list only TLS 1.3 can be agreed on, which no list
    /// affects.
    pub tls12_suites: Option<Vec<CipherSuite>>,
}

/// A version of TLS that is safe to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[default]
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// The kinds of suites that Go accepts in a list.
enum Suite {
    Tls12(CipherSuite),
    /// Always on.
    Tls13,
    /// With CBC: insecure enough that rustls has none.
    Cbc,
}

fn suite(name: &str) -> Option<Suite> {
    use CipherSuite as S;
    Some(match name {
        "TLS_AES_128_GCM_SHA256" | "TLS_AES_256_GCM_SHA384" | "TLS_CHACHA20_POLY1305_SHA256" => {
            Suite::Tls13
        }
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256" => {
            Suite::Tls12(S::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256)
        }
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384" => {
            Suite::Tls12(S::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384)
        }
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256" => {
            Suite::Tls12(S::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256)
        }
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" => {
            Suite::Tls12(S::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256)
        }
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384" => {
            Suite::Tls12(S::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384)
        }
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256" => {
            Suite::Tls12(S::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256)
        }
        "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"
        | "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA"
        | "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"
        | "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA" => Suite::Cbc,
        _ => return None,
    })
}

/// Reads both flags, noting what is wrong with them, or can't be had.
pub(super) fn tls_options(check: &mut Check, min_version: &str, suites: &[String]) -> TlsOptions {
    TlsOptions {
        min_version: version(check, min_version),
        tls12_suites: (!suites.is_empty()).then(|| tls12_suites(check, suites)),
    }
}

fn version(check: &mut Check, name: &str) -> TlsVersion {
    match name {
        "" | "VersionTLS12" => TlsVersion::Tls12,
        "VersionTLS13" => TlsVersion::Tls13,
        "VersionTLS10" | "VersionTLS11" => {
            check.warn_if(true, || {
                format!(
                    "--tls-min-version={name} is deprecated by RFC 8996 and not supported: VersionTLS12 is used"
                )
            });
            TlsVersion::Tls12
        }
        _ => {
            check.refuse(OptionProblem::TlsVersion(name.to_owned()));
            TlsVersion::default()
        }
    }
}

fn tls12_suites(check: &mut Check, names: &[String]) -> Vec<CipherSuite> {
    let mut suites = Vec::new();
    let mut cbc = Vec::new();
    for name in names {
        match suite(name) {
            Some(Suite::Tls12(suite)) => suites.push(suite),
            Some(Suite::Tls13) => {}
            Some(Suite::Cbc) => cbc.push(name.as_str()),
            None => check.refuse(OptionProblem::CipherSuite(name.clone())),
        }
    }
    if cbc.len() == names.len() {
        check.refuse(OptionProblem::OnlyCbcSuites(cbc.join(",")));
    } else {
        check.warn_if(!cbc.is_empty(), || {
            format!(
                "cipher suites {} of --cipher-suites are not supported and left out",
                cbc.join(",")
            )
        });
    }
    suites
}
