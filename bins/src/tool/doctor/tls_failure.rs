//! Why a TLS handshake failed, and what to do about it.

use std::io;

use rustls::{AlertDescription, CertificateError, Error};

use super::certificate::{Certificate, Lifetime, date};

/// What this side expects of a server, and what the server has shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown<'a> {
    /// The certificates of the server, its own first.
    pub(super) chain: &'a [Certificate],
    /// Those that it may be of.
    pub(super) ca: &'a [Certificate],
    /// Where those are.
    pub(super) ca_file: &'a str,
    /// The name that the server's has to be for.
    pub(super) name: &'a str,
    /// Seconds since 1970.
    pub(super) now: i64,
}

/// A fault and its remedy, each a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Diagnosis {
    pub(super) told: String,
    pub(super) advice: String,
}

impl Diagnosis {
    fn new(told: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            told: told.into(),
            advice: advice.into(),
        }
    }
}

/// The error of TLS inside one of the system.
pub(super) fn inner(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

/// Why a server did not get through.
pub(super) fn diagnose(error: &io::Error, shown: Shown<'_>) -> Diagnosis {
    match inner(error) {
        Some(Error::InvalidCertificate(error)) => certificate(error, shown),
        Some(Error::InvalidMessage(_)) => Diagnosis::new(
            "what listens there does not speak TLS",
            "look whether the port is right: health, admin and plain listeners have no TLS; for a frontend listener \
             without certificates say http:// instead of https://",
        ),
        Some(Error::AlertReceived(alert)) => refused(*alert, true),
        Some(Error::NoApplicationProtocol) => Diagnosis::new(
            "no protocol in common (ALPN)",
            "look whether this is the right listener, and at what is between that ends TLS on its own",
        ),
        Some(Error::PeerIncompatible(error)) => Diagnosis::new(
            format!("nothing in common with the server: {error:?}"),
            "TLS 1.2 or 1.3 with an AEAD cipher suite is needed: look at the server's --tls-min-version and \
             --cipher-suites",
        ),
        Some(other) => Diagnosis::new(
            other.to_string(),
            "look at the server's log, which names this side's address",
        ),
        None => Diagnosis::new(
            format!("the connection broke during the handshake: {error}"),
            "look whether a proxy server listens there, rather than a load balancer without one behind it, and at the \
             server's log",
        ),
    }
}

/// Why the certificate of a server is not accepted.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what has no advice of its own is told as it is"
)]
fn certificate(error: &CertificateError, shown: Shown<'_>) -> Diagnosis {
    match error {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => issuer(shown),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => expired(shown),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            let from = shown.chain.iter().map(|of| of.from).max();
            let from = from.map(date).unwrap_or_default();
            Diagnosis::new(
                format!(
                    "the server's certificate is valid from {from}, and here it is {}",
                    date(shown.now)
                ),
                "set the clocks of this machine and of the one that issued the certificate",
            )
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            name(shown)
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            Diagnosis::new(
                "the server's certificate is not for servers (extended key usage serverAuth)",
                "issue the server a certificate with the extended key usage serverAuth; client certificates are of no use \
                 there",
            )
        }
        other => Diagnosis::new(
            format!("the server's certificate is not acceptable: {other}"),
            "issue the server another certificate: X.509 version 3, signed by a CA certificate (basic constraints CA:TRUE)",
        ),
    }
}

fn issuer(shown: Shown<'_>) -> Diagnosis {
    let Shown { chain, ca, .. } = shown;
    let file = shown.ca_file;
    let Some(last) = chain.last() else {
        return Diagnosis::new(
            format!("the server's certificate is of none of the CAs in {file}"),
            "take the CA that has signed the server's certificate",
        );
    };
    if ca.iter().any(|known| known.subject == last.issuer) {
        return Diagnosis::new(
            format!(
                "the server's certificate is of a CA \"{}\", but not of the one of that name in {file}: another key has \
                 signed it",
                last.issuer
            ),
            "the CA was made anew under its old name: take the new CA certificate, or issue the server's certificate from \
             the old one; while both are in use, put both into the file",
        );
    }
    let known: Vec<_> = ca
        .iter()
        .map(|known| format!("\"{}\"", known.subject))
        .collect();
    let known = if known.is_empty() || known.len() > MOST_CAS {
        "others".to_owned()
    } else {
        known.join(", ")
    };
    Diagnosis::new(
        format!(
            "the server's certificate is of an unknown CA \"{}\"; {file} has {known}",
            last.issuer
        ),
        "take the file of the CA that has signed the server's certificate; with a CA between the two the server has to show \
         that one too, behind its own certificate in the same file. If this is not the server's certificate at all, \
         something on the way ends TLS",
    )
}

/// More CAs than a deployment has of its own, such as those of the system, are not listed.
const MOST_CAS: usize = 8;

fn expired(shown: Shown<'_>) -> Diagnosis {
    let expired = shown
        .chain
        .iter()
        .find_map(|of| match of.lifetime(shown.now) {
            Lifetime::Expired(days) => Some((of, days)),
            Lifetime::Valid | Lifetime::EndsSoon(_) | Lifetime::NotYet => None,
        });
    let told = match expired {
        Some((of, days)) => format!(
            "the server shows an expired certificate: \"{}\" ended at {}, {days} days ago",
            of.subject,
            date(of.until)
        ),
        None => "the server shows an expired certificate".to_owned(),
    };
    Diagnosis::new(
        told,
        "renew the server's certificate; if that was done, the server may still have the old one: look at its files and \
         its log. If it should be valid, look at this machine's clock",
    )
}

fn name(shown: Shown<'_>) -> Diagnosis {
    let names = shown.chain.first().map(|own| own.names.join(", "));
    let expected = shown.name;
    match names.filter(|names| !names.is_empty()) {
        Some(names) => Diagnosis::new(
            format!("the server's certificate is not for {expected}, but for {names}"),
            "reach the server by one of those names, or issue it a certificate that has this one too among its subject \
             alternative names; frontends may say --tls-server-name",
        ),
        None => Diagnosis::new(
            format!(
                "the server's certificate is not for {expected}: it has no subject alternative names"
            ),
            "issue the server a certificate with its names as subject alternative names: a common name does not count",
        ),
    }
}

/// What the alert of a server means that has seen this side's certificate, or, if it was not `shown`, none.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what has no advice of its own is told as it is"
)]
pub(super) fn refused(alert: AlertDescription, shown: bool) -> Diagnosis {
    match alert {
        AlertDescription::CertificateRequired
        | AlertDescription::BadCertificate
        | AlertDescription::HandshakeFailure
            if !shown =>
        {
            Diagnosis::new(
                "the server demands a client certificate and was shown none",
                "give a certificate that the server's CA for clients has signed (--agent-cert and --agent-key, or \
             --client-cert and --client-key)",
            )
        }
        AlertDescription::UnknownCA
        | AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::DecryptError => Diagnosis::new(
            format!("the server refuses this side's certificate ({alert:?})"),
            "show a certificate of the CA that the server has for its clients: --cluster-ca-cert for agents, \
             --server-ca-cert for frontends; its log says what it holds against this one",
        ),
        AlertDescription::CertificateExpired => Diagnosis::new(
            "the server refuses this side's certificate as expired",
            "renew the certificate; if it is valid, look at the server's clock",
        ),
        AlertDescription::UnsupportedCertificate => Diagnosis::new(
            "the server refuses the kind of this side's certificate",
            "issue a certificate with the extended key usage clientAuth, and a key of ECDSA or RSA",
        ),
        AlertDescription::HandshakeFailure | AlertDescription::ProtocolVersion => Diagnosis::new(
            format!(
                "the server finds nothing in common ({alert:?}), or wants a client certificate"
            ),
            "look at the server's --tls-min-version, --cipher-suites and its CA for clients, and at its log",
        ),
        AlertDescription::NoApplicationProtocol => Diagnosis::new(
            "the server does not know the protocol that is wanted (ALPN)",
            "look whether this is the right listener, and in the right mode: grpc needs h2",
        ),
        other => Diagnosis::new(
            format!("the server gave up the handshake ({other:?})"),
            "look at the server's log, which names this side's address",
        ),
    }
}

#[cfg(test)]
mod tests {
    use rustls::InvalidMessage;

    use super::*;
    use crate::tool::doctor::certificate::sample;

    const DAY: i64 = 86_400;

    fn told(error: Error, chain: &[Certificate], ca: &[Certificate]) -> (String, String) {
        let shown = Shown {
            chain,
            ca,
            ca_file: "ca.crt",
            name: "proxy.example",
            now: 100 * DAY,
        };
        let Diagnosis { told, advice } = diagnose(&io::Error::other(error), shown);
        (told, advice)
    }

    fn certificate(error: CertificateError) -> Error {
        Error::InvalidCertificate(error)
    }

    #[test]
    fn an_unknown_ca_is_told_from_one_made_anew() {
        let chain = [sample("CN=server", "CN=new", &[], 200 * DAY)];
        let unknown = || certificate(CertificateError::UnknownIssuer);
        let (text, advice) = told(unknown(), &chain, &[sample("CN=old", "CN=old", &[], 0)]);
        assert_eq!(
            text,
            "the server's certificate is of an unknown CA \"CN=new\"; ca.crt has \"CN=old\""
        );
        assert!(advice.starts_with("take the file of the CA"));
        for error in [unknown(), certificate(CertificateError::BadSignature)] {
            let (text, advice) = told(error, &chain, &[sample("CN=new", "CN=new", &[], 0)]);
            assert!(text.contains("another key has signed it"), "{text}");
            assert!(advice.contains("put both into the file"), "{advice}");
        }
        let many = vec![sample("CN=root", "CN=root", &[], 0); 100];
        assert!(told(unknown(), &chain, &many).0.ends_with("has others"));
        assert!(
            told(unknown(), &[], &[])
                .0
                .contains("none of the CAs in ca.crt")
        );
    }

    #[test]
    fn it_is_told_which_certificate_has_expired_and_when() {
        let chain = [
            sample("CN=server", "CN=between", &[], 200 * DAY),
            sample("CN=between", "CN=ca", &[], 97 * DAY),
        ];
        let (text, _) = told(certificate(CertificateError::Expired), &chain, &[]);
        assert_eq!(
            text,
            "the server shows an expired certificate: \"CN=between\" ended at 1970-04-08 00:00 UTC, 3 days ago"
        );
        let (text, advice) = told(certificate(CertificateError::NotValidYet), &chain, &[]);
        assert!(text.contains("and here it is 1970-04-11"), "{text}");
        assert!(advice.contains("clocks"), "{advice}");
    }

    #[test]
    fn a_wrong_name_is_told_with_the_right_ones() {
        let wrong = || certificate(CertificateError::NotValidForName);
        let chain = [sample("CN=server", "CN=ca", &["a.example", "10.0.0.1"], 0)];
        assert_eq!(
            told(wrong(), &chain, &[]).0,
            "the server's certificate is not for proxy.example, but for a.example, 10.0.0.1"
        );
        let chain = [sample("CN=proxy.example", "CN=ca", &[], 0)];
        let (text, advice) = told(wrong(), &chain, &[]);
        assert!(text.contains("no subject alternative names"), "{text}");
        assert!(advice.contains("a common name does not count"), "{advice}");
    }

    #[test]
    fn other_faults_have_advice_too() {
        for (error, part) in [
            (
                Error::InvalidMessage(InvalidMessage::InvalidContentType),
                "does not speak TLS",
            ),
            (
                certificate(CertificateError::InvalidPurpose),
                "not for servers",
            ),
            (certificate(CertificateError::BadEncoding), "not acceptable"),
            (
                Error::AlertReceived(AlertDescription::UnknownCA),
                "refuses this side's certificate (UnknownCA)",
            ),
            (
                Error::AlertReceived(AlertDescription::InternalError),
                "gave up the handshake",
            ),
            (Error::NoApplicationProtocol, "ALPN"),
            (Error::DecryptError, "decrypt"),
        ] {
            let (text, advice) = told(error, &[], &[]);
            assert!(text.contains(part), "{text}");
            assert!(!advice.is_empty());
        }
        let none = refused(AlertDescription::CertificateRequired, false).told;
        assert!(none.contains("demands a client certificate"), "{none}");
        let closed = diagnose(
            &io::ErrorKind::UnexpectedEof.into(),
            Shown {
                chain: &[],
                ca: &[],
                ca_file: "",
                name: "",
                now: 0,
            },
        );
        assert!(closed.told.starts_with("the connection broke during"));
    }
}
