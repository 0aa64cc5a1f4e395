//! Flags that say which proxy server to go through, and how.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{ArgGroup, ValueEnum};
use dialback_runtime::connectivity::{
    Connectivity, Dialer, DialerOptions, NetworkContext, ProxyAddress, Route, TcpProxy,
};
use dialback_runtime::metrics::ClientMetrics;
use dialback_tokio::TokioRuntime;

use super::error::ClientError;
use crate::flags::GoDuration;

/// The way to endpoints.
#[derive(Clone, Debug, clap::Args)]
#[command(group(ArgGroup::new("proxy").required(true).args(["config", "uds", "url"])))]
pub(crate) struct Through {
    /// The connectivity services, such as kube-apiserver's egress selector configuration
    #[arg(long, value_name = "FILE", help_heading = "Proxy server")]
    config: Option<PathBuf>,

    /// Which service of the configuration
    #[arg(
        long,
        value_name = "NAME",
        default_value = "cluster",
        conflicts_with_all = ["uds", "url"],
        help_heading = "Proxy server"
    )]
    service: String,

    /// The Unix socket of a proxy server, instead of a configuration
    #[arg(long, value_name = "PATH", help_heading = "Proxy server")]
    uds: Option<PathBuf>,

    /// The address of a proxy server, http://HOST:PORT or https://HOST:PORT, instead of a configuration
    #[arg(long, value_name = "URL", help_heading = "Proxy server")]
    url: Option<String>,

    /// What the proxy server speaks, with --uds or --url
    #[arg(
        long,
        value_enum,
        default_value_t = Mode::Grpc,
        conflicts_with = "config",
        help_heading = "Proxy server"
    )]
    mode: Mode,

    /// The CA of the proxy server at an https URL; without it those of the system
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["config", "uds"],
        help_heading = "Proxy server"
    )]
    ca_cert: Option<PathBuf>,

    /// The certificate to show there
    #[arg(
        long,
        value_name = "FILE",
        requires = "client_key",
        conflicts_with_all = ["config", "uds"],
        help_heading = "Proxy server"
    )]
    client_cert: Option<PathBuf>,

    /// Its key
    #[arg(
        long,
        value_name = "FILE",
        requires = "client_cert",
        conflicts_with_all = ["config", "uds"],
        help_heading = "Proxy server"
    )]
    client_key: Option<PathBuf>,

    /// The name that the proxy server's certificate is for, if not the URL's host
    #[arg(
        long,
        value_name = "NAME",
        conflicts_with_all = ["config", "uds"],
        help_heading = "Proxy server"
    )]
    tls_server_name: Option<String>,

    /// How long a dial may take
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration,
          help_heading = "Proxy server")]
    dial_timeout: Duration,
}

/// Konnectivity's names of what a proxy server speaks with frontends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// A Proxy stream for each connection
    Grpc,
    /// A CONNECT request for each connection
    HttpConnect,
}

impl Through {
    /// The dialer that the flags describe.
    pub(crate) fn dialer(
        &self,
        runtime: &TokioRuntime,
    ) -> Result<Dialer<TokioRuntime>, ClientError> {
        let dialer = match &self.config {
            Some(file) => {
                let connectivity =
                    Connectivity::from_file(runtime.clone(), file).map_err(Box::new)?;
                let context = NetworkContext::new(self.service.as_str());
                connectivity.lookup(&context).map_err(Box::new)?
            }
            None => Dialer::new(
                runtime.clone(),
                &self.server_route()?,
                Arc::new(ClientMetrics::new()),
            )
            .map_err(Box::new)?,
        };
        Ok(dialer.with_options(self.options()))
    }

    /// How the dialer dials.
    pub(crate) fn options(&self) -> DialerOptions {
        let mut options = DialerOptions::default();
        options.dial_timeout = self.dial_timeout;
        options
    }

    /// The way that the dialer takes.
    pub(crate) fn route(&self, runtime: &TokioRuntime) -> Result<Route, ClientError> {
        let Some(file) = &self.config else {
            return self.server_route();
        };
        let connectivity = Connectivity::from_file(runtime.clone(), file).map_err(Box::new)?;
        let context = NetworkContext::new(self.service.as_str());
        Ok(connectivity.route(&context).map_err(Box::new)?.clone())
    }

    fn server_route(&self) -> Result<Route, ClientError> {
        let address = match (&self.uds, &self.url) {
            (Some(path), None) => ProxyAddress::Unix(path.clone()),
            (None, Some(url)) => ProxyAddress::Tcp(self.server(url)?),
            (Some(_), Some(_)) | (None, None) => {
                return Err(ClientError::Usage(
                    "one of --config, --uds and --url is needed",
                ));
            }
        };
        Ok(match self.mode {
            Mode::Grpc => Route::Grpc(address),
            Mode::HttpConnect => Route::HttpConnect(address),
        })
    }

    fn server(&self, url: &str) -> Result<TcpProxy, ClientError> {
        let mut server = TcpProxy::from_url(url).map_err(ClientError::Url)?;
        let client = self.client_cert.clone().zip(self.client_key.clone());
        match &mut server.tls {
            Some(tls) => {
                tls.ca.clone_from(&self.ca_cert);
                tls.client = client;
                tls.server_name.clone_from(&self.tls_server_name);
            }
            None if self.ca_cert.is_some() || client.is_some() => {
                return Err(ClientError::Usage(
                    "certificates are given, but the URL is without TLS: make it https://",
                ));
            }
            None => {}
        }
        Ok(server)
    }
}

/// Go's form of durations, as in the daemons' flags.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let parsed = GoDuration::parse(text).map_err(|error| error.to_string())?;
    let positive = parsed.positive();
    positive.ok_or_else(|| "is to be more than zero".to_owned())
}
