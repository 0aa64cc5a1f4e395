//! The way of a frontend: to the proxy server, and through it to an endpoint.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use dialback_runtime::connectivity::{
    DialError, Dialer, DialerOptions, ProxyAddress, Route, TcpProxy,
};
use dialback_runtime::grpc::Target;
use dialback_runtime::metrics::ClientMetrics;
use dialback_runtime::tls::{ClientTls, KeyPairFiles, system_cas};
use dialback_tokio::TokioRuntime;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout};

use super::certificate::now;
use super::handshake::{Peer, after_handshake};
use super::material::Material;
use super::reach::{connect_each, connect_unix, look_up};
use super::report::{Finding, Report};
use super::{Common, grpc_frontend, http_frontend};
use crate::tool::client::{ClientError, Through};

const EXAMPLES: &str = "\
Examples:
  dialback doctor frontend --uds /run/konnectivity.sock 10.0.0.5:10250
  dialback doctor frontend --config egress-selector.yaml --json web.default.svc:80";

/// What `dialback doctor frontend` takes.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = format!("{EXAMPLES}\n\n{}", super::EXIT_CODES))]
pub(super) struct Options {
    #[command(flatten)]
    through: Through,

    /// An endpoint to dial, such as a kubelet; its name is resolved where the agent is
    #[arg(value_name = "HOST:PORT")]
    address: Option<String>,

    #[command(flatten)]
    pub(super) common: Common,
}

/// What a frontend speaks with a proxy server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Grpc,
    HttpConnect,
}

/// # Errors
/// The flags make no sense together.
pub(super) async fn examine<W: Write>(
    runtime: &TokioRuntime,
    options: &Options,
    report: &mut Report<W>,
) -> Result<(), ClientError> {
    let route = match options.through.route(runtime) {
        Ok(route) => route,
        Err(error @ (ClientError::Usage(_) | ClientError::Url(_))) => return Err(error),
        Err(error) => {
            report.add(Finding::fail(
                "configuration",
                error.to_string(),
                "correct the configuration; kube-apiserver refuses it too",
            ));
            return Ok(());
        }
    };
    let limit = options.common.timeout;
    let way = Way { runtime, limit };
    let reached = match &route {
        Route::Direct => {
            let told = "the configuration leads straight to endpoints, without a proxy server";
            report.add(Finding::ok("configuration", told));
            true
        }
        Route::Grpc(address) => way.server(address, Mode::Grpc, report).await,
        Route::HttpConnect(address) => way.server(address, Mode::HttpConnect, report).await,
    };
    match &options.address {
        None => {
            let told = "no endpoint was named: add HOST:PORT to dial one through the agents";
            report.add(Finding::skip(DIAL, told));
        }
        Some(_) if !reached => {
            let told = "not tried, since what comes before failed";
            report.add(Finding::skip(DIAL, told));
        }
        Some(address) => {
            let finding = dial(runtime, &route, address, options.through.options()).await;
            report.add(finding);
        }
    }
    Ok(())
}

const DIAL: &str = "dial";

struct Way<'a> {
    runtime: &'a TokioRuntime,
    limit: Duration,
}

impl Way<'_> {
    /// Whether the proxy server can be used, by one of its addresses at least.
    async fn server<W: Write>(
        &self,
        address: &ProxyAddress,
        mode: Mode,
        report: &mut Report<W>,
    ) -> bool {
        match address {
            ProxyAddress::Unix(path) => {
                let Some(mut stream) = connect_unix(path, self.limit, report).await else {
                    return false;
                };
                let at = path.display().to_string();
                let finding = self.plain(&mut stream, mode, &at, "localhost").await;
                report.add(finding)
            }
            ProxyAddress::Tcp(server) => self.tcp(server, mode, report).await,
        }
    }

    async fn tcp<W: Write>(&self, server: &TcpProxy, mode: Mode, report: &mut Report<W>) -> bool {
        let TcpProxy { host, port, tls } = server;
        let material = match tls {
            None => None,
            Some(files) => {
                let pair = files.client.clone();
                let tls = ClientTls {
                    ca: files.ca.clone().unwrap_or_else(system_cas),
                    pair: pair.map(|(certificate, key)| KeyPairFiles { certificate, key }),
                    alpn: Vec::new(),
                };
                let Some(mut material) = Material::load(&tls, now(), report) else {
                    return false;
                };
                if mode == Mode::HttpConnect {
                    material.offer_no_protocol();
                }
                Some((material, files.server_name.as_deref().unwrap_or(host)))
            }
        };
        let (addresses, finding) = look_up(self.runtime, host, *port, self.limit).await;
        report.add(finding);
        let mut reached = false;
        let authority = if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        };
        for (at, mut socket) in connect_each(&addresses, self.limit, report).await {
            let at = at.to_string();
            reached |= match &material {
                None => {
                    let finding = self.plain(&mut socket, mode, &at, &authority).await;
                    report.add(finding)
                }
                Some((material, name)) => {
                    let limit = self.limit;
                    let at = &at;
                    let peer = Peer { at, name, limit };
                    self.secure(material, peer, socket, mode, &authority, report)
                        .await
                }
            };
        }
        reached
    }

    async fn plain(
        &self,
        stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
        mode: Mode,
        at: &str,
        authority: &str,
    ) -> Finding {
        match mode {
            Mode::HttpConnect => {
                let answer = http_frontend::ask(stream, self.limit).await;
                http_frontend::judge(at, answer, self.limit)
            }
            Mode::Grpc => self.grpc(stream, false, at, authority).await,
        }
    }

    async fn secure<S, W>(
        &self,
        material: &Material,
        peer: Peer<'_>,
        socket: S,
        mode: Mode,
        authority: &str,
        report: &mut Report<W>,
    ) -> bool
    where
        S: AsyncRead + AsyncWrite + Unpin,
        W: Write,
    {
        let Some(mut secured) = material.handshake(peer, socket, report).await else {
            return false;
        };
        let at = peer.at;
        match mode {
            Mode::Grpc => {
                if !material.settle(peer, &mut secured, report).await
                    || !secured.speaks_h2(at, report)
                {
                    return false;
                }
                let finding = self.grpc(secured.into_io(), true, at, authority).await;
                report.add(finding)
            }
            Mode::HttpConnect => {
                let answer = http_frontend::ask(&mut secured.stream, self.limit).await;
                let alert = answer.as_ref().err();
                let alert = alert.and_then(|error| after_handshake(error, &secured.seen));
                let is_refused = alert.is_some();
                report.add(material.client_certificate(at, &secured.seen, alert));
                !is_refused && report.add(http_frontend::judge(at, answer, self.limit))
            }
        }
    }

    async fn grpc<T>(&self, io: T, tls: bool, at: &str, authority: &str) -> Finding
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        match Target::new(tls, authority) {
            Ok(target) => grpc_frontend::check(self.runtime, io, target, at, self.limit).await,
            Err(error) => Finding::fail(
                "frontend",
                format!("{at}: {error}"),
                "reach the server by another name",
            ),
        }
    }
}

/// Dials an endpoint as other frontends do, over connections of its own.
async fn dial(
    runtime: &TokioRuntime,
    route: &Route,
    address: &str,
    mut options: DialerOptions,
) -> Finding {
    options.name_agent = true;
    let limit = options.dial_timeout;
    let metrics = Arc::new(ClientMetrics::new());
    let dialer = match Dialer::new(runtime.clone(), route, metrics) {
        Ok(dialer) => dialer.with_options(options),
        Err(error) => return Finding::fail(DIAL, error.to_string(), "correct the certificates"),
    };
    let start = Instant::now();
    // The dialer keeps to its limit by itself; this is in case it should not.
    let dialled = timeout(limit + GRACE, dialer.dial(address)).await;
    match dialled {
        Ok(Ok(stream)) => {
            let took = start.elapsed().as_secs_f64() * 1e3;
            let agent = stream.agent_id().map(ToOwned::to_owned);
            let by = match (&agent, route) {
                (Some(agent), _) => format!("by agent {agent}"),
                (None, Route::Direct) => "without an agent".to_owned(),
                (None, Route::Grpc(_) | Route::HttpConnect(_)) => {
                    "by an agent that the server does not name".to_owned()
                }
            };
            Finding::ok(DIAL, format!("{address}: connected {by} in {took:.1} ms"))
                .with_fact("agent", agent)
                .with_fact("took_ms", took)
        }
        Ok(Err(error)) => failed_dial(&error),
        Err(_) => Finding::fail(
            DIAL,
            format!("{address}: no answer within {limit:?}"),
            SILENCE,
        ),
    }
}

const GRACE: Duration = Duration::from_secs(1);

const SILENCE: &str = "the endpoint does not answer the agent: look for a firewall or a NetworkPolicy between the two, for a \
                       wrong address, and, if all dials end so, for an agent that hangs";

fn failed_dial(error: &DialError) -> Finding {
    let told = error.to_string();
    let has = |part: &str| told.contains(part);
    let advice = match error {
        DialError::InvalidAddress(_) => "give a host and a port, IPv6 in brackets",
        DialError::NoAgent { .. } => {
            "no agent is connected to this server, or none serves this destination: run dialback doctor agent where an agent \
             runs; with --proxy-strategies=destHost or defaultRoute look at the agents' --agent-identifiers"
        }
        DialError::Refused { .. } if has("connection refused") => {
            "the agent reaches the machine, but nothing listens on that port: look at the endpoint"
        }
        DialError::Refused { .. } if has("lookup ") => {
            "names are resolved where the agent is: look at the name, and at the agent's dnsPolicy"
        }
        DialError::Refused { .. } if has("no route to host") || has("unreachable") => {
            "the agent's network has no way to the endpoint: look at the address, and where the agent runs"
        }
        DialError::Refused { .. } => "look at what the agent says, and at its log",
        DialError::TimedOut { .. } => SILENCE,
        DialError::Throttled { .. } => {
            "server, agent or endpoint are at a limit: look at their metrics and file descriptors, and try again"
        }
        DialError::Abandoned { .. } => {
            "the agent was lost during the dial, or the server stops: try again, and look at the \
                                        server's log"
        }
        DialError::Authentication { .. } | DialError::ProxyUnreachable { .. } | _ => {
            "the proxy server was reached before, and not this time: look at its log"
        }
    };
    Finding::fail(DIAL, told, advice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::doctor::report::Verdict;

    #[test]
    fn each_kind_of_failed_dial_has_its_advice() {
        let refused = |text: &str| DialError::Refused {
            address: "a:1".to_owned(),
            text: text.to_owned(),
        };
        let (address, text) = ("a:1".to_owned(), "No agent available".to_owned());
        for (error, part) in [
            (DialError::NoAgent { address, text }, "doctor agent"),
            (
                refused("dial tcp 10.0.0.1:1: connect: connection refused"),
                "nothing listens on that port",
            ),
            (
                refused("dial tcp: lookup a on 10.0.0.10:53: no such host"),
                "dnsPolicy",
            ),
            (
                refused("dial tcp 10.0.0.1:1: connect: no route to host"),
                "no way to the endpoint",
            ),
            (refused("something else"), "its log"),
            (
                DialError::TimedOut {
                    address: "a:1".to_owned(),
                    text: "i/o timeout".to_owned(),
                },
                "NetworkPolicy",
            ),
        ] {
            let finding = failed_dial(&error);
            assert_eq!(finding.verdict, Verdict::Fail);
            let advice = finding.advice.unwrap_or_default();
            assert!(advice.contains(part), "{error}: {advice}");
        }
    }
}
