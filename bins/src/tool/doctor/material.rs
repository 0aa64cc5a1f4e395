//! The certificates of this side: whether they can be used, and for how long.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dialback_runtime::tls::{ClientTls, KeyPairError, KeyPairFiles, TlsError};
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::certificate::{Certificate, Lifetime, in_file};
use super::report::{Finding, Report};
use super::witness::Witness;

/// A file with more CAs than this is the system's, of which some are always about to end.
const MOST_CAS: usize = 8;

/// What this side brings to TLS handshakes.
#[derive(Clone, Debug)]
pub(super) struct Material {
    pub(super) config: Arc<ClientConfig>,
    pub(super) witness: Witness,
    /// The CAs that servers may be of.
    pub(super) ca: Vec<Certificate>,
    pub(super) ca_file: PathBuf,
    /// This side's certificate, if it has one.
    pub(super) own: Option<Certificate>,
}

impl Material {
    /// Reads the files as the programs do that use them, and says what is wrong with them.
    pub(super) fn load<W: std::io::Write>(
        tls: &ClientTls,
        now: i64,
        report: &mut Report<W>,
    ) -> Option<Self> {
        let loaded = match tls.load() {
            Ok(loaded) => loaded,
            Err(error) => {
                report.add(unusable(&error));
                return None;
            }
        };
        let ca = in_file(&tls.ca);
        report.add(judge_ca(&tls.ca, &ca, now));
        let own = tls
            .pair
            .as_ref()
            .map(|KeyPairFiles { certificate, .. }| (certificate, in_file(certificate)));
        if let Some((file, chain)) = &own {
            report.add(judge_own(file, chain, now));
        }
        let verifier = match verifier(&tls.ca) {
            Ok(verifier) => verifier,
            Err(why) => {
                let told = format!("{}: {why}", tls.ca.display());
                report.add(Finding::fail("ca", told, "take another CA certificate"));
                return None;
            }
        };
        let witness = Witness::default();
        let config = witness.watch(Arc::unwrap_or_clone(loaded), verifier);
        Some(Self {
            config: Arc::new(config),
            witness,
            ca,
            ca_file: tls.ca.clone(),
            own: own.and_then(|(_, chain)| chain.into_iter().next()),
        })
    }

    /// Offers no protocol in the handshake, as kube-apiserver does where it speaks HTTP/1.1.
    pub(super) fn offer_no_protocol(&mut self) {
        Arc::make_mut(&mut self.config).alpn_protocols.clear();
    }
}

/// Verifies as the programs do.
fn verifier(ca: &Path) -> Result<Arc<WebPkiServerVerifier>, String> {
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(ca).map_err(|error| error.to_string())?;
    roots.add_parsable_certificates(certificates.map_while(Result::ok));
    let provider = Arc::new(aws_lc_rs::default_provider());
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| error.to_string())
}

fn unusable(error: &TlsError) -> Finding {
    const PAIR: &str = "certificate";
    let told = error.to_string();
    if let TlsError::Ca(_) = error {
        return Finding::fail(
            "ca",
            told,
            "give a file that can be read, with the certificates of CAs in PEM",
        );
    }
    let TlsError::KeyPair { cause, .. } = error else {
        return Finding::fail(PAIR, told, "correct the flag that this is about");
    };
    let advice = if matches!(cause, KeyPairError::Mismatch) {
        "certificate and key are not of one pair: look whether both files were renewed together"
    } else if matches!(
        cause,
        KeyPairError::KeyForCertificate | KeyPairError::CertificateForKey
    ) {
        "the two files, or the flags that name them, are mixed up"
    } else {
        "give two files that this user can read: the certificate with its chain, and its key, both in PEM"
    };
    Finding::fail(PAIR, told, advice)
}

fn judge_ca(file: &Path, ca: &[Certificate], now: i64) -> Finding {
    const HOP: &str = "ca";
    let file = file.display();
    if ca.len() > MOST_CAS {
        return Finding::ok(HOP, format!("{file}: {} CA certificates", ca.len()));
    }
    let told = |what: &str| format!("{file}: {what}");
    let in_state = |wanted: fn(Lifetime) -> bool| ca.iter().any(|of| wanted(of.lifetime(now)));
    let finding = if in_state(|lifetime| matches!(lifetime, Lifetime::Expired(_))) {
        Finding::warn(
            HOP,
            told("a CA certificate has expired"),
            "renew the CA and what it has signed; Konnectivity's programs accept nothing of an expired CA",
        )
    } else if in_state(|lifetime| matches!(lifetime, Lifetime::NotYet)) {
        Finding::warn(
            HOP,
            told("a CA certificate is not valid yet"),
            "set the clocks of this machine and of the one that made the CA",
        )
    } else if in_state(|lifetime| matches!(lifetime, Lifetime::EndsSoon(_))) {
        Finding::warn(
            HOP,
            told("a CA certificate ends within 14 days"),
            "put a new CA beside it into the file on both sides, and renew what the old one has signed",
        )
    } else {
        Finding::ok(HOP, told("readable"))
    };
    finding.with_certificates(ca.to_vec())
}

fn judge_own(file: &Path, chain: &[Certificate], now: i64) -> Finding {
    const HOP: &str = "certificate";
    let file = file.display();
    let Some(own) = chain.first() else {
        return Finding::ok(HOP, format!("{file}: readable"));
    };
    let finding = match own.lifetime(now) {
        Lifetime::Expired(days) => Finding::fail(
            HOP,
            format!("{file}: expired {days} days ago"),
            "renew this certificate; if that was done, look which file the flag names",
        ),
        Lifetime::NotYet => Finding::fail(
            HOP,
            format!("{file}: not valid yet"),
            "set the clocks of this machine and of the one that issued the certificate",
        ),
        _ if !own.for_clients => Finding::fail(
            HOP,
            format!("{file}: not for clients (extended key usage clientAuth)"),
            "issue a certificate for clients; a server's is of no use here",
        ),
        Lifetime::EndsSoon(days) => Finding::warn(
            HOP,
            format!("{file}: ends in {days} days"),
            "renew this certificate",
        ),
        Lifetime::Valid => Finding::ok(HOP, format!("{file}: fits its key")),
    };
    finding.with_certificates(chain.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::doctor::certificate::sample;
    use crate::tool::doctor::report::Verdict;

    const DAY: i64 = 86_400;

    fn own(certificate: Certificate) -> (Verdict, String) {
        let finding = judge_own(Path::new("a.crt"), &[certificate], 100 * DAY);
        (finding.verdict, finding.told)
    }

    #[test]
    fn a_certificate_of_this_side_has_to_serve_its_purpose() {
        let until = |day: i64| sample("CN=a", "CN=ca", &[], day * DAY);
        let server = Certificate {
            for_clients: false,
            ..until(200)
        };
        let later = Certificate {
            from: 101 * DAY,
            ..until(200)
        };
        for (certificate, verdict, told) in [
            (until(200), Verdict::Ok, "a.crt: fits its key"),
            (until(110), Verdict::Warn, "a.crt: ends in 10 days"),
            (until(98), Verdict::Fail, "a.crt: expired 2 days ago"),
            (later, Verdict::Fail, "a.crt: not valid yet"),
            (
                server,
                Verdict::Fail,
                "a.crt: not for clients (extended key usage clientAuth)",
            ),
        ] {
            assert_eq!(own(certificate), (verdict, told.to_owned()));
        }
    }

    #[test]
    fn a_ca_that_ends_is_worth_a_warning_unless_it_is_one_of_the_systems() {
        let until = |day: i64| sample("CN=ca", "CN=ca", &[], day * DAY);
        let judge = |ca: &[Certificate]| judge_ca(Path::new("ca.crt"), ca, 100 * DAY).verdict;
        assert_eq!(judge(&[until(200)]), Verdict::Ok);
        assert_eq!(judge(&[until(200), until(99)]), Verdict::Warn);
        assert_eq!(judge(&[until(101)]), Verdict::Warn);
        assert_eq!(judge(&vec![until(99); 9]), Verdict::Ok);
    }

    #[test]
    fn files_that_can_not_be_used_come_with_advice() {
        let missing = ClientTls {
            ca: "/nonexistent/ca.crt".into(),
            pair: None,
            alpn: Vec::new(),
        };
        let mut report = Report::new(Vec::new(), true, "test");
        assert!(Material::load(&missing, 0, &mut report).is_none());
        assert_eq!(report.verdict(), Verdict::Fail);
        let finding = unusable(&TlsError::KeyPair {
            certificate: "a.crt".into(),
            key: "a.key".into(),
            cause: KeyPairError::Mismatch,
        });
        assert!(
            finding
                .advice
                .is_some_and(|advice| advice.contains("not of one pair"))
        );
    }
}
