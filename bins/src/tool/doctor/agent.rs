//! The way of an agent, up to the answer to its Connect call.

use std::io::Write;
use std::path::PathBuf;

use dialback_runtime::agent::{ProbeAnswer, read_token};
use dialback_runtime::dial::{ProxyEnvironment, dial_server};
use dialback_runtime::server::BearerToken;
use dialback_runtime::tls::{ClientTls, KeyPairFiles};
use dialback_tokio::TokioRuntime;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::Common;
use super::certificate::now;
use super::handshake::Peer;
use super::material::Material;
use super::reach::{connect_each, look_up};
use super::report::{Finding, Report};
use super::token;
use super::tunnel::{Asked, ask, servers};

const EXAMPLES: &str = "\
Example:
  dialback doctor agent --proxy-server-host=proxy.example --ca-cert=ca.crt \\
    --service-account-token-path=/var/run/secrets/tokens/konnectivity-agent-token";

/// What `dialback doctor agent` takes: flags of proxy-agent, by their names there.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = format!("{EXAMPLES}\n\n{}", super::EXIT_CODES))]
pub(super) struct Options {
    /// Name or address of the proxy servers, which their certificates have to be for; may be given several times
    #[arg(long, value_name = "HOST", default_value = "127.0.0.1")]
    proxy_server_host: Vec<String>,

    /// Port of the proxy servers
    #[arg(long, value_name = "PORT", default_value_t = 8091,
          value_parser = clap::value_parser!(u16).range(1..))]
    proxy_server_port: u16,

    /// CA (PEM file) that the servers' certificates have to come from
    #[arg(long, value_name = "FILE")]
    ca_cert: PathBuf,

    /// Certificate (PEM file) to show to servers
    #[arg(long, value_name = "FILE", requires = "agent_key")]
    agent_cert: Option<PathBuf>,

    /// Private key (PEM file) of --agent-cert
    #[arg(long, value_name = "FILE", requires = "agent_cert")]
    agent_key: Option<PathBuf>,

    /// Comma-separated list of ALPN protocols to offer before h2
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    alpn_proto: Vec<String>,

    /// File with the token to show to servers
    #[arg(long, value_name = "FILE")]
    service_account_token_path: Option<PathBuf>,

    #[command(flatten)]
    pub(super) common: Common,
}

pub(super) async fn examine<W: Write>(
    runtime: &TokioRuntime,
    options: &Options,
    report: &mut Report<W>,
) {
    let pair = options.agent_cert.clone().zip(options.agent_key.clone());
    let tls = ClientTls {
        ca: options.ca_cert.clone(),
        pair: pair.map(|(certificate, key)| KeyPairFiles { certificate, key }),
        alpn: options.alpn_proto.clone(),
    };
    let material = Material::load(&tls, now(), report);
    let token = look_at_token(options, report);
    let environment = ProxyEnvironment::from_variables(|name| std::env::var(name).ok());
    let environment = match environment {
        Ok(environment) => environment,
        Err(error) => {
            report.add(Finding::fail(
                "http-proxy",
                error.to_string(),
                "correct the variable HTTPS_PROXY, or unset it for the agent",
            ));
            return skip(report, "tcp");
        }
    };
    let mut answers = Vec::new();
    for host in &options.proxy_server_host {
        let way = Way {
            runtime,
            host: host.trim_start_matches('[').trim_end_matches(']'),
            port: options.proxy_server_port,
            common: options.common,
            token: token.as_ref(),
            has_token: options.service_account_token_path.is_some(),
        };
        let asked = way.examine(&environment, material.as_ref(), report).await;
        if asked.is_empty() {
            skip(report, "tls");
        }
        answers.extend(asked.into_iter().flatten());
    }
    if let Some(finding) = servers(&answers) {
        report.add(finding);
    }
}

/// The way to the servers behind one name.
struct Way<'a> {
    runtime: &'a TokioRuntime,
    host: &'a str,
    port: u16,
    common: Common,
    token: Option<&'a BearerToken>,
    /// Whether agents are to show one, be it readable or not.
    has_token: bool,
}

impl Way<'_> {
    /// Goes to each address that the name has; what each answered, or that it did not.
    async fn examine<W: Write>(
        &self,
        environment: &ProxyEnvironment,
        material: Option<&Material>,
        report: &mut Report<W>,
    ) -> Vec<Option<ProbeAnswer>> {
        let (runtime, host, port, limit) =
            (self.runtime, self.host, self.port, self.common.timeout);
        let mut asked = Vec::new();
        let Some(proxy) = environment.route(host, port) else {
            let (addresses, finding) = look_up(runtime, host, port, limit).await;
            report.add(finding);
            for (at, socket) in connect_each(&addresses, limit, report).await {
                let at = at.to_string();
                asked.push(self.go(material, &at, socket, report).await);
            }
            return asked;
        };
        let dialling = dial_server(runtime, environment, host, port, |_| ());
        let told = match timeout(limit, dialling).await {
            Ok(Ok((_, socket))) => {
                let at = format!("{host}:{port} through HTTP proxy {proxy}");
                report.add(Finding::ok("http-proxy", format!("{at}: connected")));
                asked.push(self.go(material, &at, socket, report).await);
                return asked;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("HTTP proxy {proxy}: no answer within {limit:?}"),
        };
        report.add(Finding::fail(
            "http-proxy",
            told,
            "the environment sends agents through this HTTP proxy: correct HTTPS_PROXY, let the HTTP proxy tunnel to \
             the proxy server, or name the proxy server in NO_PROXY",
        ));
        asked
    }

    /// Goes on from a connected socket.
    async fn go<S, W>(
        &self,
        material: Option<&Material>,
        at: &str,
        socket: S,
        report: &mut Report<W>,
    ) -> Option<ProbeAnswer>
    where
        S: AsyncRead + AsyncWrite + Unpin,
        W: Write,
    {
        let Some(material) = material else {
            skip(report, "tls");
            return None;
        };
        let peer = Peer {
            at,
            name: self.host,
            limit: self.common.timeout,
        };
        let Some(mut secured) = material.handshake(peer, socket, report).await else {
            skip(report, "tunnel");
            return None;
        };
        if !material.settle(peer, &mut secured, report).await || !secured.speaks_h2(at, report) {
            skip(report, "tunnel");
            return None;
        }
        let asked = Asked {
            at,
            host: self.host,
            port: self.port,
            token: self.token,
            is_identified: secured.seen.asked || self.has_token,
            limit: self.common.timeout,
        };
        ask(self.runtime, secured.into_io(), asked, report).await
    }
}

/// Reads the token, if one is to be shown.
fn look_at_token<W: Write>(options: &Options, report: &mut Report<W>) -> Option<BearerToken> {
    let path = options.service_account_token_path.as_deref()?;
    match read_token(path) {
        Ok(token) => {
            report.add(token::judge(path, &token, now()));
            Some(token)
        }
        Err(error) => {
            report.add(Finding::fail(
                "token",
                format!("{}: {error}", path.display()),
                "look whether the volume with the token is mounted, and whether this user may read it",
            ));
            None
        }
    }
}

fn skip<W: Write>(report: &mut Report<W>, hop: &'static str) {
    report.add(Finding::skip(
        hop,
        "not tried, since what comes before failed",
    ));
}
