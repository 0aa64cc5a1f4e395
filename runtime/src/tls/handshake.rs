//! Why a handshake failed, sorted for metrics and explained for logs.

use std::fmt;
use std::io;

use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

/// Why a peer did not get through the handshake with a listener.
///
/// The reference neither logs nor counts such peers; to an operator the wrong CA of an agent then looks like
/// an agent that does not start. [`HandshakeFailure::label`] is for metrics, the text for logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum HandshakeFailure {
    /// The peer showed no certificate, and has to.
    NoCertificate,
    /// Its certificate is from another CA.
    UnknownIssuer,
    /// Its certificate is not valid any more, or not yet.
    Expired,
    /// Its certificate is not for clients (extended key usage).
    WrongPurpose,
    /// Something else is wrong with its certificate.
    BadCertificate,
    /// No version of TLS in common.
    Version,
    /// No cipher suite, group or signature in common.
    CipherSuite,
    /// No protocol in common (ALPN).
    Alpn,
    /// The peer refused this side's certificate.
    Refused,
    /// The peer gave up for another reason.
    Alert,
    /// It does not speak TLS.
    NotTls,
    /// It closed the connection.
    Closed,
    /// It took too long.
    TimedOut,
    /// Anything else.
    Other,
}

impl HandshakeFailure {
    /// Sorts the error of [`TlsAcceptor::accept`](tokio_rustls::TlsAcceptor::accept). Whoever gives a
    /// handshake up for the time it takes counts it as [`HandshakeFailure::TimedOut`].
    #[must_use]
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "errors that mean nothing of their own here have one name"
    )]
    pub fn of(error: &io::Error) -> Self {
        let tls = error.get_ref().and_then(|error| error.downcast_ref());
        if let Some(error) = tls {
            return Self::of_tls(error);
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::NotConnected
            | io::ErrorKind::BrokenPipe => Self::Closed,
            io::ErrorKind::TimedOut => Self::TimedOut,
            _ => Self::Other,
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "errors that mean nothing of their own here have one name"
    )]
    fn of_tls(error: &Error) -> Self {
        match error {
            Error::NoCertificatesPresented => Self::NoCertificate,
            Error::InvalidCertificate(error) => Self::of_certificate(error),
            Error::NoApplicationProtocol => Self::Alpn,
            Error::PeerIncompatible(
                PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled
                | PeerIncompatible::SupportedVersionsExtensionRequired
                | PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
            ) => Self::Version,
            Error::PeerIncompatible(_) => Self::CipherSuite,
            Error::AlertReceived(
                AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA,
            ) => Self::Refused,
            Error::AlertReceived(_) => Self::Alert,
            Error::InvalidMessage(_) => Self::NotTls,
            _ => Self::Other,
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "errors that mean nothing of their own here have one name"
    )]
    fn of_certificate(error: &CertificateError) -> Self {
        match error {
            // A CA that was made anew under its old name is met as a signature that does not fit.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownIssuer,
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Self::Expired,
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Self::WrongPurpose
            }
            _ => Self::BadCertificate,
        }
    }

    /// A short word for metric labels.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::NoCertificate => "no_certificate",
            Self::UnknownIssuer => "unknown_issuer",
            Self::Expired => "expired",
            Self::WrongPurpose => "wrong_purpose",
            Self::BadCertificate => "bad_certificate",
            Self::Version => "version",
            Self::CipherSuite => "cipher_suite",
            Self::Alpn => "alpn",
            Self::Refused => "refused",
            Self::Alert => "alert",
            Self::NotTls => "not_tls",
            Self::Closed => "closed",
            Self::TimedOut => "timed_out",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for HandshakeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoCertificate => {
                "the peer showed no certificate: it has none, or none of the CA that is asked for"
            }
            Self::UnknownIssuer => {
                "the peer's certificate is of another CA, perhaps of one with the same name"
            }
            Self::Expired => "the peer's certificate has expired or is not valid yet",
            Self::WrongPurpose => "the peer's certificate is not for clients (clientAuth)",
            Self::BadCertificate => "the peer's certificate is not acceptable",
            Self::Version => "no TLS version in common",
            Self::CipherSuite => "no cipher suite in common",
            Self::Alpn => "no protocol in common (ALPN)",
            Self::Refused => "the peer does not accept the certificate it was shown",
            Self::Alert => "the peer gave up",
            Self::NotTls => "the peer does not speak TLS",
            Self::Closed => "the peer closed the connection",
            Self::TimedOut => "the peer took too long",
            Self::Other => "the handshake failed",
        })
    }
}
