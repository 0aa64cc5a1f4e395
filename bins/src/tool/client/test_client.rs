//! `dialback test-client`: Konnectivity's test client, flag by flag, for scripts that call it.
//!
//! Source: Konnectivity, `cmd/test-client/main.go`.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::ArgAction::Set;
use dialback_core::connectivity::TlsFiles;
use dialback_runtime::connectivity::{Dialer, ProxyAddress, Route, TcpProxy};
use dialback_runtime::metrics::ClientMetrics;
use dialback_tokio::TokioRuntime;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::error::ClientError;
use super::exchange::Exchange;
use super::http_request::HttpUrl;
use super::progress::{Passed, complain};

/// From here on ports are the system's to pick; the reference takes none of them.
const FIRST_EPHEMERAL: i32 = 49152;
const FIRST_UNRESERVED: i32 = 1024;

/// What is kept of a body to be shown, in bytes.
const LONGEST_BODY: usize = 1024 * 1024;

/// At this verbosity bodies are shown.
const VERBOSE: i32 = 4;

const EXAMPLES: &str = "\
Example:
  dialback test-client --proxy-uds=/run/konnectivity.sock --proxy-host= --proxy-port=0 --mode=http-connect \
--request-host=web.default.svc --test-requests=10

dialback request does the same with flags like those of the other tools.

Exit codes: 0 every request was answered, whatever the status; 1 otherwise";

/// What `dialback test-client` takes: the reference's flags with its defaults.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    /// The certificate to show to the proxy server
    #[arg(long, value_name = "FILE", default_value = "")]
    client_cert: String,
    /// Its key
    #[arg(long, value_name = "FILE", default_value = "")]
    client_key: String,
    /// The CA of the proxy server
    #[arg(long, value_name = "FILE", default_value = "")]
    ca_cert: String,
    /// http or https
    #[arg(long, value_name = "PROTO", default_value = "http")]
    request_proto: String,
    /// The page
    #[arg(long, value_name = "PATH", default_value = "success")]
    request_path: String,
    /// The endpoint's host
    #[arg(long, value_name = "HOST", default_value = "localhost")]
    request_host: String,
    /// Its port
    #[arg(
        long,
        value_name = "PORT",
        default_value_t = 8000,
        allow_negative_numbers = true
    )]
    request_port: i32,
    /// The proxy server's host; empty with --proxy-uds
    #[arg(long, value_name = "HOST", default_value = "localhost")]
    proxy_host: String,
    /// Its port; 0 with --proxy-uds
    #[arg(
        long,
        value_name = "PORT",
        default_value_t = 8090,
        allow_negative_numbers = true
    )]
    proxy_port: i32,
    /// The proxy server's Unix socket
    #[arg(long, value_name = "PATH", default_value = "")]
    proxy_uds: String,
    /// grpc or http-connect
    #[arg(long, value_name = "MODE", default_value = "grpc")]
    mode: String,
    /// Accepted, and not sent: proxy servers look at none
    #[arg(long, value_name = "NAME", default_value = "test-client")]
    user_agent: String,
    /// How many requests, all at once
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        allow_negative_numbers = true
    )]
    test_requests: i32,
    /// Seconds from the answer to each request but the last to the end
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 0,
        allow_negative_numbers = true
    )]
    test_delay: i32,
    /// Seconds that are waited when all is done
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 0,
        allow_negative_numbers = true
    )]
    after_delay: i32,
    /// Accepted: connections are closed after each request
    #[arg(long, value_name = "BOOL", default_value_t = true, default_missing_value = "true",
          action = Set, num_args = 0..=1, require_equals = true)]
    close_idle_conn: bool,
    /// Accepted: requests are HTTP/1.1
    #[arg(long, value_name = "BOOL", default_value_t = true, default_missing_value = "true",
          action = Set, num_args = 0..=1, require_equals = true)]
    enable_http2_healthchecks: bool,
    /// Verbosity: with 4 or more the answers are shown
    #[arg(
        long,
        short,
        value_name = "LEVEL",
        default_value_t = VERBOSE,
        allow_negative_numbers = true
    )]
    v: i32,
    /// Accepted: what is told goes to standard error
    #[arg(long, value_name = "BOOL", default_value_t = true, default_missing_value = "true",
          action = Set, num_args = 0..=1, require_equals = true)]
    logtostderr: bool,
}

pub(super) async fn run(runtime: TokioRuntime, options: Options) -> Result<(), ClientError> {
    options.validate().map_err(|what| {
        ClientError::TestClient(format!(
            "failed to validate proxy client options, got: {what}"
        ))
    })?;
    let route = options.route()?;
    let exchange = Arc::new(options.exchange()?);
    let metrics = Arc::new(ClientMetrics::new());
    let mut requests = JoinSet::new();
    for number in 1..=options.test_requests {
        // Each over a connection of its own to the proxy server, which is what scripts count there.
        let dialer = Dialer::new(runtime.clone(), &route, Arc::clone(&metrics));
        let dialer = dialer.map_err(Box::new)?;
        let exchange = Arc::clone(&exchange);
        let shown = options.v >= VERBOSE;
        let pause = if number == options.test_requests {
            Duration::ZERO
        } else {
            seconds(options.test_delay)
        };
        requests.spawn(async move {
            request(&exchange, &dialer, shown).await?;
            sleep(pause).await;
            Ok::<_, ClientError>(())
        });
    }
    let mut failures = Vec::new();
    while let Some(ended) = requests.join_next().await {
        if let Ok(Err(error)) = ended {
            complain(format_args!("Failed request {error}"));
            failures.push(error);
        }
    }
    sleep(seconds(options.after_delay)).await;
    match failures.len() {
        0 => Ok(()),
        1 => Err(ClientError::TestClient(failures.remove(0).to_string())),
        several => Err(ClientError::TestClient(format!(
            "Requests failed: {several}"
        ))),
    }
}

async fn request(
    exchange: &Exchange,
    dialer: &Dialer<TokioRuntime>,
    shown: bool,
) -> Result<(), ClientError> {
    let mut body = Vec::new();
    let keep = |bytes: &[u8]| {
        let room = LONGEST_BODY.saturating_sub(body.len());
        body.extend_from_slice(&bytes[..bytes.len().min(room)]);
        Ok(())
    };
    exchange.once(dialer, &Passed::default(), keep).await?;
    if shown {
        let text = String::from_utf8_lossy(&body);
        // Whoever does not read it does without.
        let _ = writeln!(io::stderr(), "HTML Response:\n{text}");
    }
    Ok(())
}

fn seconds(count: i32) -> Duration {
    Duration::from_secs(u64::try_from(count).unwrap_or_default())
}

impl Options {
    /// The reference's checks in its order and words.
    fn validate(&self) -> Result<(), String> {
        let (cert, key, ca) = (&self.client_cert, &self.client_key, &self.ca_cert);
        for (file, other, alone) in [
            (
                key,
                cert,
                "cannot have client cert empty when client key is set to",
            ),
            (
                cert,
                key,
                "cannot have client key empty when client cert is set to",
            ),
        ] {
            exists(file)?;
            if !file.is_empty() && other.is_empty() {
                return Err(format!("{alone} {file:?}"));
            }
        }
        exists(ca)?;
        if !["http", "https"].contains(&self.request_proto.as_str()) {
            return Err(format!(
                "request protocol must be set to either 'http' or 'https' not {:?}",
                self.request_proto
            ));
        }
        if !["grpc", "http-connect"].contains(&self.mode.as_str()) {
            return Err(format!(
                "mode must be set to either 'grpc' or 'http-connect' not {:?}",
                self.mode
            ));
        }
        for (port, whose) in [(self.request_port, "request"), (self.proxy_port, "proxy")] {
            if port >= FIRST_EPHEMERAL {
                return Err(format!(
                    "please do not try to use ephemeral port {port} for the {whose} server port"
                ));
            }
        }
        let is_tcp = self.proxy_uds.is_empty();
        if is_tcp && self.proxy_port < FIRST_UNRESERVED {
            return Err(format!(
                "please do not try to use reserved port {} for the proxy server port",
                self.proxy_port
            ));
        }
        if !is_tcp && !self.proxy_host.is_empty() {
            return Err("please set proxy host to \"\" when using UDS".to_owned());
        }
        if !is_tcp && self.proxy_port != 0 {
            return Err("please set proxy server port to 0 when using UDS".to_owned());
        }
        if !is_tcp && [cert, key, ca].iter().any(|file| !file.is_empty()) {
            return Err(format!(
                "please do not set cert materials when using UDS, key = {key}, cert = {cert}, CA = {ca}"
            ));
        }
        if self.test_requests < 1 {
            return Err(format!(
                "please do not ask for fewer than 1 test request({})",
                self.test_requests
            ));
        }
        for delay in [self.test_delay, self.after_delay] {
            if delay < 0 {
                return Err(format!(
                    "please do not ask for less than a 0 second delay({delay})"
                ));
            }
        }
        Ok(())
    }

    fn route(&self) -> Result<Route, ClientError> {
        let address = if self.proxy_uds.is_empty() {
            let file = |name: &str| (!name.is_empty()).then(|| PathBuf::from(name));
            let tls = TlsFiles {
                ca: file(&self.ca_cert),
                client: file(&self.client_cert).zip(file(&self.client_key)),
                server_name: None,
            };
            let port = port(self.proxy_port, "--proxy-port is no port")?;
            ProxyAddress::Tcp(TcpProxy {
                host: self.proxy_host.clone(),
                port,
                tls: Some(tls),
            })
        } else {
            ProxyAddress::Unix(PathBuf::from(&self.proxy_uds))
        };
        Ok(match self.mode.as_str() {
            "grpc" => Route::Grpc(address),
            _ => Route::HttpConnect(address),
        })
    }

    fn exchange(&self) -> Result<Exchange, ClientError> {
        let host = if self.request_host.contains(':') {
            format!("[{}]", self.request_host)
        } else {
            self.request_host.clone()
        };
        let port = port(self.request_port, "--request-port is no port")?;
        let slash = if self.request_path.starts_with('/') {
            ""
        } else {
            "/"
        };
        let url = format!(
            "{}://{host}:{port}{slash}{}",
            self.request_proto, self.request_path
        );
        let is_odd = |c: char| c.is_whitespace() || c.is_control();
        let target = HttpUrl::split(&url).filter(|_| !url.contains(is_odd));
        let target = target.ok_or(ClientError::Usage("host and path make no URL"))?;
        Exchange::new(
            "GET",
            concat!("dialback/", env!("CARGO_PKG_VERSION")),
            target,
            None,
        )
    }
}

fn exists(file: &str) -> Result<(), String> {
    match std::fs::metadata(file) {
        Err(error) if !file.is_empty() && error.kind() == io::ErrorKind::NotFound => {
            Err(format!("stat {file}: no such file or directory"))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

fn port(number: i32, what: &'static str) -> Result<u16, ClientError> {
    u16::try_from(number).map_err(|_| ClientError::Usage(what))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        options: Options,
    }

    fn parsed(flags: &[&str]) -> Options {
        let command = [&["test-client"], flags].concat();
        Command::try_parse_from(command).unwrap().options
    }

    #[test]
    fn flags_are_judged_as_by_the_reference() {
        let uds = ["--proxy-uds=x", "--proxy-host=", "--proxy-port=0"];
        assert_eq!(parsed(&[]).validate(), Ok(()));
        assert_eq!(parsed(&uds).validate(), Ok(()));
        let table: [(&[&str], &str); 13] = [
            (
                &["--client-key=/nonexistent"],
                "stat /nonexistent: no such file or directory",
            ),
            (
                &["--client-key=/"],
                "cannot have client cert empty when client key is set to \"/\"",
            ),
            (
                &["--client-cert=/"],
                "cannot have client key empty when client cert is set to \"/\"",
            ),
            (
                &["--request-proto=ftp"],
                "request protocol must be set to either 'http' or 'https' not \"ftp\"",
            ),
            (
                &["--mode=x"],
                "mode must be set to either 'grpc' or 'http-connect' not \"x\"",
            ),
            (
                &["--request-port=49152"],
                "please do not try to use ephemeral port 49152 for the request server port",
            ),
            (
                &["--proxy-port=50000"],
                "please do not try to use ephemeral port 50000 for the proxy server port",
            ),
            (
                &["--proxy-port=1023"],
                "please do not try to use reserved port 1023 for the proxy server port",
            ),
            (
                &["--proxy-uds=x", "--proxy-port=0"],
                "please set proxy host to \"\" when using UDS",
            ),
            (
                &["--proxy-uds=x", "--proxy-host="],
                "please set proxy server port to 0 when using UDS",
            ),
            (
                &[
                    "--proxy-uds=x",
                    "--proxy-host=",
                    "--proxy-port=0",
                    "--ca-cert=/",
                ],
                "please do not set cert materials when using UDS, key = , cert = , CA = /",
            ),
            (
                &["--test-requests=0"],
                "please do not ask for fewer than 1 test request(0)",
            ),
            (
                &["--after-delay=-1"],
                "please do not ask for less than a 0 second delay(-1)",
            ),
        ];
        for (flags, words) in table {
            assert_eq!(parsed(flags).validate(), Err(words.to_owned()), "{flags:?}");
        }
    }

    #[test]
    fn booleans_are_written_as_go_takes_them() {
        for flags in [
            &["--close-idle-conn"][..],
            &[
                "--close-idle-conn=true",
                "--enable-http2-healthchecks=false",
            ],
            &["-v=2", "--logtostderr=true"],
        ] {
            assert_eq!(parsed(flags).validate(), Ok(()));
        }
        assert!(!parsed(&["--close-idle-conn=false"]).close_idle_conn);
    }
}
