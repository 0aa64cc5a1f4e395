//! The TLS handshake with a proxy server, and what each side says of the other's certificate.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::Error;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::certificate::{Lifetime, now};
use super::material::Material;
use super::report::{Finding, Report};
use super::tls_failure::{Diagnosis, Shown, diagnose, inner, refused};
use super::witness::Seen;

const HOP: &str = "tls";
const CLIENT: &str = "client-certificate";

/// Who is connected to, and how long each step may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer<'a> {
    /// Its address, for messages.
    pub(super) at: &'a str,
    /// The name that its certificate has to be for.
    pub(super) name: &'a str,
    pub(super) limit: Duration,
}

/// A connection over TLS.
#[derive(Debug)]
pub(super) struct Secured<S> {
    pub(super) stream: TlsStream<S>,
    /// What came from the server before it was asked anything.
    first: Vec<u8>,
    pub(super) seen: Seen,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Secured<S> {
    /// The connection, with all that came over it.
    pub(super) fn into_io(self) -> impl AsyncRead + AsyncWrite + Unpin {
        let (reader, writer) = tokio::io::split(self.stream);
        tokio::io::join(io::Cursor::new(self.first).chain(reader), writer)
    }

    /// Whether HTTP/2 was negotiated, without which there is no gRPC; any protocol of an operator's own stands for it.
    pub(super) fn speaks_h2<W: io::Write>(&self, at: &str, report: &mut Report<W>) -> bool {
        let is_agreed = self.stream.get_ref().1.alpn_protocol().is_some();
        if !is_agreed {
            report.add(Finding::fail(
                "alpn",
                format!("{at}: the server did not negotiate HTTP/2"),
                "gRPC needs it: look whether the server is in --mode=grpc, and whether something between ends TLS without \
                 offering h2",
            ));
        }
        is_agreed
    }
}

impl Material {
    /// Does the handshake over a connected socket; what the server thinks of this side's certificate may turn out only
    /// later, see [`Material::settle`].
    pub(super) async fn handshake<S, W>(
        &self,
        peer: Peer<'_>,
        socket: S,
        report: &mut Report<W>,
    ) -> Option<Secured<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
        W: io::Write,
    {
        let Peer { at, name, limit } = peer;
        let Ok(server_name) = ServerName::try_from(name.to_owned()) else {
            report.add(Finding::fail(
                HOP,
                format!("{at}: {name:?} is neither a DNS name nor an address, so no certificate can be for it"),
                "reach the server by another name",
            ));
            return None;
        };
        self.witness.take();
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let connected = timeout(limit, connector.connect(server_name, socket)).await;
        let seen = self.witness.take();
        let stream = match connected {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                self.failed(peer, &seen, &error, report);
                return None;
            }
            Err(_) => {
                report.add(Finding::fail(
                    HOP,
                    format!("{at}: no TLS handshake within {limit:?}"),
                    "what listens there does not answer: it waits for something else than TLS, hangs, or is a load \
                     balancer without a proxy server behind it",
                ));
                return None;
            }
        };
        report.add(secured(at, &stream, &seen, now()));
        Some(Secured {
            stream,
            first: Vec::new(),
            seen,
        })
    }

    fn failed<W: io::Write>(
        &self,
        peer: Peer<'_>,
        seen: &Seen,
        error: &io::Error,
        report: &mut Report<W>,
    ) {
        let at = peer.at;
        if let Some(Error::AlertReceived(alert)) = inner(error)
            && seen.asked
        {
            // TLS 1.2: the server's certificate was accepted before it asked for this side's.
            let told = format!("{at}: the server's certificate is accepted");
            report.add(Finding::ok(HOP, told).with_certificates(seen.chain.clone()));
            report.add(self.client_certificate(at, seen, Some(refused(*alert, seen.shown))));
            return;
        }
        let ca_file = self.ca_file.display().to_string();
        let shown = Shown {
            chain: &seen.chain,
            ca: &self.ca,
            ca_file: &ca_file,
            name: peer.name,
            now: now(),
        };
        let Diagnosis { told, advice } = diagnose(error, shown);
        let told = format!("{at}: {told}");
        report.add(Finding::fail(HOP, told, advice).with_certificates(seen.chain.clone()));
    }

    /// Waits for the first bytes of a server that speaks first, as gRPC's do: in TLS 1.3 they are how a client learns
    /// whether its certificate was accepted. `false` if it was not.
    pub(super) async fn settle<S, W>(
        &self,
        peer: Peer<'_>,
        secured: &mut Secured<S>,
        report: &mut Report<W>,
    ) -> bool
    where
        S: AsyncRead + AsyncWrite + Unpin,
        W: io::Write,
    {
        let at = peer.at;
        let first = secured.stream.read_buf(&mut secured.first);
        let diagnosis = match timeout(peer.limit, first).await {
            // Whether it is there at all is for the next step to find out.
            Ok(Ok(1..)) | Err(_) => None,
            Ok(Ok(0)) => Some(hung_up("closed the connection")),
            Ok(Err(error)) => {
                let refused = after_handshake(&error, &secured.seen);
                Some(refused.unwrap_or_else(|| hung_up(&error.to_string())))
            }
        };
        report.add(self.client_certificate(at, &secured.seen, diagnosis))
    }

    /// What became of this side's certificate.
    pub(super) fn client_certificate(
        &self,
        at: &str,
        seen: &Seen,
        refused: Option<Diagnosis>,
    ) -> Finding {
        let own: Vec<_> = self.own.iter().filter(|_| seen.shown).cloned().collect();
        if let Some(Diagnosis { told, advice }) = refused {
            return Finding::fail(CLIENT, format!("{at}: {told}"), advice).with_certificates(own);
        }
        let told = match (seen.asked, seen.shown) {
            (false, _) => "the server asks for none",
            (true, false) => "the server asks for one, and does without",
            (true, true) => "the server accepts this side's",
        };
        Finding::ok(CLIENT, format!("{at}: {told}")).with_fact("asked", seen.asked)
    }
}

/// What a server holds against this side's certificate that says so behind the handshake, as TLS 1.3 has it.
pub(super) fn after_handshake(error: &io::Error, seen: &Seen) -> Option<Diagnosis> {
    let Some(Error::AlertReceived(alert)) = inner(error) else {
        return None;
    };
    Some(refused(*alert, seen.shown))
}

fn hung_up(how: &str) -> Diagnosis {
    Diagnosis {
        told: format!("the server broke off right after the handshake: {how}"),
        advice: "look at the server's log, which names this side's address: it may not accept this side's certificate, or \
                 not have found the protocol it wants (ALPN)"
            .to_owned(),
    }
}

fn secured<S>(at: &str, stream: &TlsStream<S>, seen: &Seen, now: i64) -> Finding {
    let session = stream.get_ref().1;
    let version = session
        .protocol_version()
        .and_then(|version| version.as_str());
    let suite = session.negotiated_cipher_suite();
    let suite = suite.and_then(|suite| suite.suite().as_str());
    let (version, suite) = (version.unwrap_or_default(), suite.unwrap_or_default());
    let alpn = session.alpn_protocol().map(String::from_utf8_lossy);
    let told = format!("{at}: {version}, {suite}");
    let ending = seen.chain.iter().find_map(|of| match of.lifetime(now) {
        Lifetime::EndsSoon(days) => Some((of, days)),
        Lifetime::Valid | Lifetime::Expired(_) | Lifetime::NotYet => None,
    });
    let finding = match ending {
        Some((of, days)) => Finding::warn(
            HOP,
            format!(
                "{told}; the server's certificate \"{}\" ends in {days} days",
                of.subject
            ),
            "renew the server's certificate",
        ),
        None => Finding::ok(HOP, told),
    };
    finding
        .with_certificates(seen.chain.clone())
        .with_fact("version", version)
        .with_fact("cipher_suite", suite)
        .with_fact("alpn", alpn.map(|name| name.into_owned()))
}
