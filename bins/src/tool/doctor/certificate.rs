//! Certificates as people have to look at them: who, of whom, for what, until when.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use time::OffsetDateTime;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::expiry::Expiry;

/// Names that are told of one certificate.
const MOST_NAMES: usize = 16;

/// What stands in a certificate. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Certificate {
    pub(super) subject: String,
    pub(super) issuer: String,
    /// DNS names and addresses.
    pub(super) names: Vec<String>,
    pub(super) from: i64,
    pub(super) until: i64,
    /// Whether clients may show it (extended key usage).
    pub(super) for_clients: bool,
}

/// Where a moment lies in a certificate's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lifetime {
    Valid,
    /// It ends in so many days, rounded down.
    EndsSoon(u64),
    /// It has ended so many days ago, rounded down.
    Expired(u64),
    /// It begins later.
    NotYet,
}

impl Certificate {
    /// `None` for what is no certificate.
    pub(super) fn parse(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let names = certificate.subject_alternative_name().ok().flatten();
        let names = names.map(|names| &names.value.general_names[..]);
        let usage = certificate.extended_key_usage().ok().flatten();
        Some(Self {
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            names: names.unwrap_or_default().iter().filter_map(name).collect(),
            from: certificate.validity().not_before.timestamp(),
            until: certificate.validity().not_after.timestamp(),
            for_clients: usage.is_none_or(|usage| usage.value.any || usage.value.client_auth),
        })
    }

    pub(super) fn lifetime(&self, now: i64) -> Lifetime {
        match Expiry::at(moment(self.until), moment(now)) {
            Expiry::Over(days) => Lifetime::Expired(days),
            Expiry::Far | Expiry::Soon(_) if now < self.from => Lifetime::NotYet,
            Expiry::Soon(days) => Lifetime::EndsSoon(days),
            Expiry::Far => Lifetime::Valid,
        }
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "subject": self.subject,
            "issuer": self.issuer,
            "names": self.names,
            "not_before": date(self.from),
            "not_after": date(self.until),
        })
    }
}

/// On one line: `"CN=a" of "CN=ca", for a.example, 10.0.0.1, valid until 2027-01-31 12:00 UTC`.
impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.subject == self.issuer {
            write!(f, "\"{}\", signed by itself", self.subject)?;
        } else {
            write!(f, "\"{}\" of \"{}\"", self.subject, self.issuer)?;
        }
        if !self.names.is_empty() {
            let shown = self.names.len().min(MOST_NAMES);
            write!(f, ", for {}", self.names[..shown].join(", "))?;
            if shown < self.names.len() {
                write!(f, " and {} more", self.names.len() - shown)?;
            }
        }
        write!(f, ", valid until {}", date(self.until))
    }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    if let GeneralName::DNSName(name) = name {
        return Some((*name).to_owned());
    }
    let GeneralName::IPAddress(bytes) = name else {
        return None;
    };
    let address = match <[u8; 4]>::try_from(*bytes) {
        Ok(v4) => IpAddr::from(v4),
        Err(_) => IpAddr::from(<[u8; 16]>::try_from(*bytes).ok()?),
    };
    Some(address.to_string())
}

/// A moment, to the minute.
pub(super) fn date(seconds: i64) -> String {
    match OffsetDateTime::from_unix_timestamp(seconds) {
        Ok(at) => format!(
            "{:04}-{:02}-{:02} {:02}:{:02} UTC",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute()
        ),
        // Beyond the year 9999, or before there were years.
        Err(_) => "no time that there is".to_owned(),
    }
}

/// What was before 1970 is 1970; certificates know no year beyond 9999.
fn moment(seconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

/// Now, in seconds since 1970.
pub(super) fn now() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}

/// The certificates of a PEM file, as far as they can be read; what is wrong with the file others say.
pub(super) fn in_file(path: &Path) -> Vec<Certificate> {
    let Ok(found) = CertificateDer::pem_file_iter(path) else {
        return Vec::new();
    };
    found
        .map_while(Result::ok)
        .filter_map(|der| Certificate::parse(&der))
        .collect()
}

/// A certificate that ends by 1970 plus `until` seconds, of itself.
#[cfg(test)]
pub(super) fn sample(subject: &str, issuer: &str, names: &[&str], until: i64) -> Certificate {
    Certificate {
        subject: subject.to_owned(),
        issuer: issuer.to_owned(),
        names: names.iter().map(ToString::to_string).collect(),
        from: 0,
        until,
        for_clients: true,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::certs::{CertificateSet, SubjectName};

    const DAY: i64 = 24 * 60 * 60;

    #[test]
    fn what_a_certificate_says_is_read() {
        let names = ["proxy.example", "10.0.0.1", "fd00::7"];
        let names = names.map(|name| name.parse::<SubjectName>().unwrap());
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let set = CertificateSet::issue(&names, Duration::from_secs(3600), now).unwrap();
        let der = CertificateDer::from_pem_slice(set.cluster.certificate.as_bytes()).unwrap();
        let certificate = Certificate::parse(&der).unwrap();
        assert_eq!(
            certificate.to_string(),
            "\"CN=dialback agent listener\" of \"CN=dialback cluster CA\", for proxy.example, \
             10.0.0.1, fd00::7, valid until 2027-01-15 09:00 UTC"
        );
        assert_eq!(certificate.until, 1_800_003_600);
        assert!(!certificate.for_clients);
        assert_eq!(certificate.json()["not_before"], "2027-01-15 07:00 UTC");
        let der = CertificateDer::from_pem_slice(set.cluster_ca.certificate.as_bytes()).unwrap();
        let own = Certificate::parse(&der).unwrap().to_string();
        assert!(own.contains("\"CN=dialback cluster CA\", signed by itself, valid"));
        assert_eq!(Certificate::parse(b"x"), None);
    }

    #[test]
    fn a_certificate_is_worth_a_warning_for_its_last_fortnight() {
        let certificate = Certificate {
            from: 100 * DAY,
            ..sample("CN=a", "CN=ca", &[], 200 * DAY)
        };
        for (now, lifetime) in [
            (100 * DAY - 1, Lifetime::NotYet),
            (100 * DAY, Lifetime::Valid),
            (186 * DAY, Lifetime::Valid),
            (186 * DAY + 1, Lifetime::EndsSoon(13)),
            (200 * DAY, Lifetime::EndsSoon(0)),
            (200 * DAY + 1, Lifetime::Expired(0)),
            (203 * DAY, Lifetime::Expired(3)),
        ] {
            assert_eq!(certificate.lifetime(now), lifetime, "{now}");
        }
    }

    #[test]
    fn long_lists_of_names_are_cut() {
        let text = sample("CN=a", "CN=ca", &["a"; 20], 0).to_string();
        assert!(
            text.contains("a, a and 4 more, valid until 1970-01-01 00:00 UTC"),
            "{text}"
        );
        assert_eq!(date(i64::MAX), "no time that there is");
    }
}
