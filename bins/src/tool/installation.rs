//! One proxy server and one agent as child processes on a loopback address of their own.

use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout_at};

use super::child::{Child, ChildError};
use super::http;
use super::loopback::unused_address;
use super::scratch::Scratch;
use crate::certs::{CertificateFiles, CertificateSet, FileError, IssueError, SubjectName};
use crate::flags::{RuntimeName, Value};

const FRONTEND_PORT: u16 = 8090;
const AGENT_PORT: u16 = 8091;
const SERVER_HEALTH_PORT: u16 = 8092;
const AGENT_HEALTH_PORT: u16 = 8093;
const AGENT_ADMIN_PORT: u16 = 8094;
const SERVER_ADMIN_PORT: u16 = 8095;

/// How long a daemon may take until it answers, and an agent until the server counts on it.
const START_LIMIT: Duration = Duration::from_secs(8);

/// The certificates have to outlive what is kept up for trying things by hand.
const CERTIFICATE_LIFE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How often a daemon that starts is asked.
const START_POLL: Duration = Duration::from_millis(10);

/// The protocol between frontends and the server; one per server process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// `--mode=http-connect`
    HttpConnect,
    /// `--mode=grpc`
    Grpc,
}

/// Where the server listens for frontends.
#[derive(Clone, Debug)]
pub(crate) enum FrontendListener {
    /// A Unix socket, without TLS.
    Unix(PathBuf),
    /// TCP with mutual TLS, on [`Installation::frontend_address`].
    Tcp,
}

/// What an installation is to be.
#[derive(Clone, Debug)]
pub(crate) struct Plan<'a> {
    /// Distinguishes the installation's processes and logs from another's in the same folder.
    pub(crate) name: &'a str,
    /// The loopback address of both daemons, from [`address`].
    pub(crate) address: Ipv4Addr,
    /// The protocol of frontends.
    pub(crate) mode: Mode,
    /// Where the server listens for them.
    pub(crate) listener: FrontendListener,
    /// Valid for `address`, and for `path` if there is one.
    pub(crate) certificates: &'a CertificateFiles,
    /// Where the agent connects to, and something passes it on to the server; the server itself if there is none.
    pub(crate) path: Option<SocketAddr>,
    /// `--runtime` of both daemons.
    pub(crate) runtime: RuntimeName,
    /// What else the server is told.
    pub(crate) server_flags: &'a [&'a str],
}

/// A server and its agents, one of them at first; dropping it ends them all.
#[derive(Debug)]
pub(crate) struct Installation {
    address: Ipv4Addr,
    server: Child,
    agent: Child,
    others: Vec<Other>,
}

/// An agent beside the first one, on a loopback address of its own.
#[derive(Debug)]
struct Other {
    address: Ipv4Addr,
    agent: Child,
}

/// An installation did not come up.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InstallationError {
    /// No loopback address is free.
    #[error(transparent)]
    Address(#[from] io::Error),
    /// A daemon did not start, ended or logged an error.
    #[error(transparent)]
    Child(#[from] ChildError),
    /// A daemon runs but does not answer as it should.
    #[error("{name} was not ready within {START_LIMIT:?}: {last}; its log:\n{log}")]
    NotReady {
        /// Which daemon.
        name: String,
        /// What it said when last asked.
        last: String,
        /// The end of its log.
        log: String,
    },
}

/// Certificates could not be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CertificatesError {
    /// A key or certificate could not be issued.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// A file could not be written.
    #[error(transparent)]
    File(#[from] FileError),
}

/// The loopback address of an installation to come; its certificates have to be valid for it.
pub(crate) fn address() -> io::Result<Ipv4Addr> {
    unused_address(&[
        FRONTEND_PORT,
        AGENT_PORT,
        SERVER_HEALTH_PORT,
        AGENT_HEALTH_PORT,
        AGENT_ADMIN_PORT,
        SERVER_ADMIN_PORT,
    ])
}

/// Where the server of an installation at `address` listens for agents.
pub(crate) fn agent_address(address: Ipv4Addr) -> SocketAddr {
    (address, AGENT_PORT).into()
}

/// The certificates of installations at `addresses`, in a new `folder`.
pub(crate) fn issue_certificates(
    folder: &Path,
    addresses: &[Ipv4Addr],
) -> Result<CertificateFiles, CertificatesError> {
    let mut names = SubjectName::loopback();
    names.extend(
        addresses
            .iter()
            .map(|address| SubjectName::Ip((*address).into())),
    );
    let set = CertificateSet::issue(&names, CERTIFICATE_LIFE, SystemTime::now())?;
    Ok(CertificateFiles::write(folder, &set, false)?)
}

impl Installation {
    /// Starts the server and then the agent, mutual TLS between them, and waits until dials can be served.
    pub(crate) async fn start(
        plan: &Plan<'_>,
        scratch: &Scratch,
    ) -> Result<Self, InstallationError> {
        let Plan { name, address, .. } = *plan;
        let health = SocketAddr::from((address, SERVER_HEALTH_PORT));
        let limit = Instant::now() + START_LIMIT;
        let flags = server_flags(plan);
        let mut server = Child::start(&format!("{name}-server"), "proxy-server", flags, scratch)?;
        // Any answer will do: without an agent the server is up but not ready.
        until_health_answers(&mut server, health, limit, |_| true).await?;

        let flags = agent_flags(plan, address);
        let mut agent = Child::start(&format!("{name}-agent"), "proxy-agent", flags, scratch)?;
        until_health_answers(&mut agent, health, limit, |status| status == 200).await?;
        Ok(Self {
            address,
            server,
            agent,
            others: Vec::new(),
        })
    }

    /// Starts one more agent by `plan`, which is the installation's but for the path, and waits until it is connected.
    pub(crate) async fn add_agent(
        &mut self,
        plan: &Plan<'_>,
        scratch: &Scratch,
    ) -> Result<(), InstallationError> {
        let address = unused_address(&[AGENT_HEALTH_PORT, AGENT_ADMIN_PORT])?;
        let name = format!("{}-agent-{}", plan.name, self.others.len() + 2);
        let mut agent = Child::start(&name, "proxy-agent", agent_flags(plan, address), scratch)?;
        let health = (address, AGENT_HEALTH_PORT).into();
        let limit = Instant::now() + START_LIMIT;
        until_health_answers(&mut agent, health, limit, |status| status == 200).await?;
        self.others.push(Other { address, agent });
        Ok(())
    }

    /// Where each agent tells its health and metrics, in the order in which they were started.
    pub(crate) fn agents(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        let others = self.others.iter().map(|other| other.address);
        std::iter::once(self.address)
            .chain(others)
            .map(|address| (address, AGENT_HEALTH_PORT).into())
    }

    /// The process ids of the server and the first agent.
    pub(crate) fn pids(&self) -> [u32; 2] {
        [self.server.pid(), self.agent.pid()]
    }

    /// Whether all run and none has logged an error.
    pub(crate) fn check(&mut self) -> Result<(), ChildError> {
        self.processes().try_for_each(Child::check)
    }

    /// Whether all still run, whatever they logged.
    pub(crate) fn check_running(&mut self) -> Result<(), ChildError> {
        self.processes().try_for_each(Child::check_running)
    }

    fn processes(&mut self) -> impl Iterator<Item = &mut Child> {
        let others = self.others.iter_mut().map(|other| &mut other.agent);
        [&mut self.server, &mut self.agent]
            .into_iter()
            .chain(others)
    }

    /// Where frontends find a [`FrontendListener::Tcp`].
    pub(crate) fn frontend_address(&self) -> SocketAddr {
        (self.address, FRONTEND_PORT).into()
    }

    /// Where the server listens for agents.
    pub(crate) fn agent_address(&self) -> SocketAddr {
        agent_address(self.address)
    }

    /// Where the server tells its health and metrics.
    pub(crate) fn health_address(&self) -> SocketAddr {
        (self.address, SERVER_HEALTH_PORT).into()
    }
}

fn server_flags(plan: &Plan<'_>) -> Vec<OsString> {
    let Plan { address, .. } = *plan;
    let mut flags = plan.certificates.cluster_flags();
    flags.push(format!("--runtime={}", plan.runtime.print()).into());
    let mode = match plan.mode {
        Mode::HttpConnect => "http-connect",
        Mode::Grpc => "grpc",
    };
    flags.push(format!("--mode={mode}").into());
    match &plan.listener {
        FrontendListener::Unix(path) => {
            let mut socket = OsString::from("--uds-name=");
            socket.push(path);
            flags.extend([socket, "--server-port=0".into()]);
        }
        FrontendListener::Tcp => {
            flags.extend(plan.certificates.server_flags());
            flags.push(format!("--server-bind-address={address}").into());
            flags.push(format!("--server-port={FRONTEND_PORT}").into());
        }
    }
    flags.extend(
        [
            format!("--agent-bind-address={address}"),
            format!("--agent-port={AGENT_PORT}"),
            format!("--health-bind-address={address}"),
            format!("--health-port={SERVER_HEALTH_PORT}"),
            format!("--admin-bind-address={address}"),
            format!("--admin-port={SERVER_ADMIN_PORT}"),
        ]
        .map(OsString::from),
    );
    flags.extend(plan.server_flags.iter().map(OsString::from));
    flags
}

/// The flags of an agent that serves its own health and metrics at `address`.
fn agent_flags(plan: &Plan<'_>, address: Ipv4Addr) -> Vec<OsString> {
    let server = plan.path.unwrap_or(agent_address(plan.address));
    let mut flags = plan.certificates.agent_flags();
    flags.push(format!("--runtime={}", plan.runtime.print()).into());
    flags.extend(
        [
            format!("--proxy-server-host={}", server.ip()),
            format!("--proxy-server-port={}", server.port()),
            format!("--health-server-host={address}"),
            format!("--health-server-port={AGENT_HEALTH_PORT}"),
            format!("--admin-bind-address={address}"),
            format!("--admin-server-port={AGENT_ADMIN_PORT}"),
        ]
        .map(OsString::from),
    );
    flags
}

/// Asks for `/readyz` until the status is `good`, or `limit`, or the child that has to make it so fails.
async fn until_health_answers(
    child: &mut Child,
    health: SocketAddr,
    limit: Instant,
    good: impl Fn(u16) -> bool,
) -> Result<(), InstallationError> {
    let mut last = "no answer".to_owned();
    loop {
        let answer = async {
            let stream = TcpStream::connect(health).await?;
            http::fetch(stream, &health.to_string(), "/readyz").await
        };
        match timeout_at(limit, answer).await {
            Ok(Ok(response)) if good(response.status) => return Ok(()),
            Ok(Ok(response)) => last = String::from_utf8_lossy(&response.body).into_owned(),
            Ok(Err(error)) => last = error.to_string(),
            Err(_) => {}
        }
        child.check()?;
        if Instant::now() >= limit {
            return Err(InstallationError::NotReady {
                name: child.name().to_owned(),
                last,
                log: child.log_tail(),
            });
        }
        sleep(START_POLL).await;
    }
}
