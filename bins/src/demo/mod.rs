//! `dialback demo`: the whole path, from two kinds of frontend to an endpoint, on one machine.

mod page;

use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;

use self::page::Page;
use crate::certs::{CertificateFiles, shell_words};
use crate::flags::RuntimeName;
use crate::tool::child::ChildError;
use crate::tool::grpc::GrpcFrontend;
use crate::tool::http::{self, Response};
use crate::tool::installation::{
    self, CertificatesError, FrontendListener, Installation, InstallationError, Mode, Plan,
};
use crate::tool::scratch::Scratch;
use crate::tool::signal::EndSignals;
use crate::tool::tls::{self, Identity, TlsError};

/// The whole demonstration takes about a second; after this it has failed.
const LIMIT: Duration = Duration::from_secs(9);

/// How often a demonstration that is kept up looks after its daemons.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);

/// What `dialback demo` takes.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Stay up until Ctrl-C, to try things by hand
    #[arg(long)]
    keep: bool,
}

/// Why `dialback demo` failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DemoError {
    /// The temporary folder, a port or a signal handler was refused.
    #[error("cannot prepare: {0}")]
    Prepare(#[source] io::Error),
    /// Certificates could not be made.
    #[error(transparent)]
    Certificates(#[from] CertificatesError),
    /// Certificates could not be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A server or an agent did not come up.
    #[error(transparent)]
    Installation(#[from] InstallationError),
    /// A server or an agent failed later.
    #[error(transparent)]
    Child(#[from] ChildError),
    /// The page did not come through.
    #[error("cannot fetch the page through {via}: {source}")]
    Fetch {
        /// The frontend's protocol.
        via: &'static str,
        /// What went wrong.
        source: io::Error,
    },
    /// Something else than the page came through.
    #[error("fetched something else than the page through {via}: status {status}, {bytes} bytes")]
    WrongPage {
        /// The frontend's protocol.
        via: &'static str,
        /// The HTTP status.
        status: u16,
        /// The length of the body.
        bytes: usize,
    },
    /// It took too long.
    #[error("not done after {LIMIT:?}")]
    TooSlow,
    /// A signal came before all was shown.
    #[error("interrupted")]
    Interrupted,
    /// The account of what is done could not be written.
    #[error("cannot write to standard output: {0}")]
    Output(#[source] io::Error),
}

/// Shows the tunnel at work and tells on `out` what is done and how long it takes.
///
/// # Errors
///
/// If any step fails or takes too long, or a signal ends it early. In every case the processes, sockets
/// and files of the demonstration are gone when this returns.
pub fn run(options: &Options, out: &mut impl Write) -> Result<(), DemoError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(DemoError::Prepare)?;
    runtime.block_on(async {
        // Before there is anything to clean up.
        let mut signals = EndSignals::catch().map_err(DemoError::Prepare)?;
        // Dropping the unfinished demonstration is what ends its processes and removes its files.
        let mut shown = tokio::select! {
            shown = timeout(LIMIT, Demo::show(out)) => shown.map_err(|_| DemoError::TooSlow)??,
            () = signals.received() => return Err(DemoError::Interrupted),
        };
        if options.keep {
            shown.invite(out).map_err(DemoError::Output)?;
            tokio::select! {
                failed = shown.watch() => return Err(failed.into()),
                () = signals.received() => {}
            }
        }
        drop(shown);
        writeln!(out, "ended; nothing is left behind").map_err(DemoError::Output)
    })
}

/// All that is up; dropped in this order.
struct Demo {
    http_connect: Installation,
    grpc: Installation,
    page: Page,
    certificates: CertificateFiles,
    scratch: Scratch,
}

impl Demo {
    async fn show(out: &mut impl Write) -> Result<Self, DemoError> {
        let mut steps = Steps::new(out);
        steps.say(format_args!(
            "two servers and two agents on this machine; a page behind them"
        ))?;

        let scratch = Scratch::new("demo").map_err(DemoError::Prepare)?;
        let addresses = [
            installation::address().map_err(DemoError::Prepare)?,
            installation::address().map_err(DemoError::Prepare)?,
        ];
        let certificates =
            installation::issue_certificates(&scratch.path("certificates"), &addresses)?;
        steps.done(format_args!(
            "certificates of two CAs, for agents and for frontends, in {}",
            certificates.folder().display()
        ))?;

        let page = Page::serve().await.map_err(DemoError::Prepare)?;
        steps.done(format_args!("endpoint: a web server on {}", page.address()))?;

        let plan = Plan {
            name: "http-connect",
            address: addresses[0],
            mode: Mode::HttpConnect,
            listener: FrontendListener::Tcp,
            certificates: &certificates,
            path: None,
            runtime: RuntimeName::default(),
            server_flags: &[],
        };
        let http_connect = Installation::start(&plan, &scratch).await?;
        steps.done(format_args!(
            "proxy-server --mode=http-connect on {}, with an agent connected to {}, mutual TLS on both",
            http_connect.frontend_address(),
            http_connect.agent_address(),
        ))?;
        let response = through_http_connect(&http_connect, &certificates, page.address()).await?;
        steps.done(format_args!(
            "fetched the page through HTTP-CONNECT: {}",
            verdict(&response, &page, "HTTP-CONNECT")?
        ))?;

        let socket = scratch.path("frontend.sock");
        let plan = Plan {
            name: "grpc",
            address: addresses[1],
            mode: Mode::Grpc,
            listener: FrontendListener::Unix(socket.clone()),
            ..plan
        };
        let grpc = Installation::start(&plan, &scratch).await?;
        steps.done(format_args!(
            "proxy-server --mode=grpc on the Unix socket {}, with an agent connected to {}",
            socket.display(),
            grpc.agent_address(),
        ))?;
        let response = through_grpc(socket, page.address()).await?;
        steps.done(format_args!(
            "fetched the page through gRPC: {}",
            verdict(&response, &page, "gRPC")?
        ))?;

        let mut shown = Self {
            http_connect,
            grpc,
            page,
            certificates,
            scratch,
        };
        shown.http_connect.check()?;
        shown.grpc.check()?;
        Ok(shown)
    }

    /// Tells what can be tried by hand.
    fn invite(&self, out: &mut impl Write) -> io::Result<()> {
        let frontend = self.http_connect.frontend_address();
        let curl = self
            .certificates
            .curl_flags(&frontend.ip().to_string(), frontend.port());
        writeln!(
            out,
            "\nall of it stays up until Ctrl-C; try, in another terminal:"
        )?;
        writeln!(
            out,
            "  curl {} http://{}/",
            shell_words(&curl),
            self.page.address()
        )?;
        for installation in [&self.http_connect, &self.grpc] {
            let health = installation.health_address();
            writeln!(out, "  curl http://{health}/readyz")?;
            writeln!(out, "  curl http://{health}/metrics")?;
        }
        let logs = self.scratch.folder().join("*.log");
        writeln!(out, "  tail -f {}", logs.display())?;
        out.flush()
    }

    /// Resolves when a daemon ends.
    async fn watch(&mut self) -> ChildError {
        loop {
            let running = self
                .http_connect
                .check_running()
                .and_then(|()| self.grpc.check_running());
            match running {
                Ok(()) => sleep(WATCH_INTERVAL).await,
                Err(error) => return error,
            }
        }
    }
}

async fn through_http_connect(
    installation: &Installation,
    certificates: &CertificateFiles,
    page: SocketAddr,
) -> Result<Response, DemoError> {
    let identity = Identity {
        ca: certificates.path("server-ca.crt"),
        certificate: certificates.path("client.crt"),
        key: certificates.path("client.key"),
    };
    let connector = TlsConnector::from(Arc::new(tls::client(&identity)?));
    let server = installation.frontend_address();
    let fetch = async {
        let stream = TcpStream::connect(server).await?;
        let name = ServerName::IpAddress(server.ip().into());
        let mut stream = connector.connect(name, stream).await?;
        http::connect(&mut stream, &page.to_string()).await?;
        http::fetch(stream, &page.to_string(), "/").await
    };
    fetch.await.map_err(|source| DemoError::Fetch {
        via: "HTTP-CONNECT",
        source,
    })
}

async fn through_grpc(socket: PathBuf, page: SocketAddr) -> Result<Response, DemoError> {
    let fetch = async {
        let frontend = GrpcFrontend::new(&socket)?;
        let stream = frontend.dial(&page.to_string()).await?;
        http::fetch(stream, &page.to_string(), "/").await
    };
    fetch.await.map_err(|source| DemoError::Fetch {
        via: "gRPC",
        source,
    })
}

/// Says what was fetched, if it was the page.
fn verdict(response: &Response, page: &Page, via: &'static str) -> Result<String, DemoError> {
    let bytes = response.body.len();
    if response.status == 200 && response.body == page.body().as_bytes() {
        return Ok(format!("200, {bytes} bytes, as served"));
    }
    Err(DemoError::WrongPage {
        via,
        status: response.status,
        bytes,
    })
}

/// The account of what is done, with the time each step took.
struct Steps<'a, W> {
    out: &'a mut W,
    last: Instant,
}

impl<'a, W: Write> Steps<'a, W> {
    fn new(out: &'a mut W) -> Self {
        Self {
            out,
            last: Instant::now(),
        }
    }

    fn say(&mut self, what: fmt::Arguments<'_>) -> Result<(), DemoError> {
        writeln!(self.out, "{what}").map_err(DemoError::Output)
    }

    fn done(&mut self, what: fmt::Arguments<'_>) -> Result<(), DemoError> {
        let now = Instant::now();
        let took = now.duration_since(self.last).as_secs_f64() * 1000.0;
        self.last = now;
        writeln!(self.out, "{took:7.1} ms  {what}")
            .and_then(|()| self.out.flush())
            .map_err(DemoError::Output)
    }
}
