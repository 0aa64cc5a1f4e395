//! The two sides of a measurement: ours, a proxy server and an agent, and the relay's two halves.

use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, sleep};

use super::BenchError;
use super::frontend::Frontend;
use crate::certs::CertificateFiles;
use crate::tool::child::{Child, ChildError};
use crate::tool::grpc::GrpcFrontend;
use crate::tool::installation::{self, FrontendListener, Installation, Mode};
use crate::tool::loopback::unused_address;
use crate::tool::scratch::Scratch;

/// gRPC connections of the load generator: few, so that many streams share one, as in a busy frontend.
const GRPC_CONNECTIONS: usize = 4;

const RELAY_PORT: u16 = 8091;

/// How long a half of the relay may take until it listens.
const START_LIMIT: Duration = Duration::from_secs(8);

const START_POLL: Duration = Duration::from_millis(10);

/// Two processes and the way through them; dropping it ends them.
#[derive(Debug)]
pub(super) struct Side {
    /// The way to the endpoint.
    pub(super) frontend: Arc<Frontend>,
    processes: Processes,
}

#[derive(Debug)]
enum Processes {
    Ours(Installation),
    Relay { near: Child, far: Child },
}

impl Side {
    /// Starts a proxy server for `mode` and its agent; `name` is not used twice with one `scratch`.
    pub(super) async fn ours(
        name: &str,
        mode: Mode,
        target: SocketAddr,
        scratch: &Scratch,
    ) -> Result<Self, BenchError> {
        let address = installation::address().map_err(BenchError::Prepare)?;
        let folder = scratch.path(name);
        let certificates = installation::issue_certificates(&folder, &[address])?;
        let socket = folder.join("frontend.sock");
        let listener = FrontendListener::Unix(socket.clone());
        let installation =
            Installation::start(name, address, mode, &listener, &certificates, scratch).await?;
        let frontend = match mode {
            Mode::HttpConnect => Frontend::HttpConnect { socket, target },
            Mode::Grpc => {
                let mut connections = Vec::with_capacity(GRPC_CONNECTIONS);
                for _ in 0..GRPC_CONNECTIONS {
                    let connection = GrpcFrontend::new(&socket);
                    connections.push(connection.map_err(BenchError::Prepare)?);
                }
                Frontend::Grpc {
                    connections,
                    dials: AtomicUsize::new(0),
                    target,
                }
            }
        };
        Ok(Self {
            frontend: Arc::new(frontend),
            processes: Processes::Ours(installation),
        })
    }

    /// Starts the two halves of the relay; `name` is not used twice with one `scratch`.
    pub(super) async fn relay(
        name: &str,
        target: SocketAddr,
        scratch: &Scratch,
    ) -> Result<Self, BenchError> {
        let address = unused_address(&[RELAY_PORT]).map_err(BenchError::Prepare)?;
        let folder = scratch.path(name);
        let certificates = installation::issue_certificates(&folder, &[address])?;
        let socket = folder.join("frontend.sock");
        let limit = Instant::now() + START_LIMIT;

        let flags = far_flags(address, target, &certificates);
        let mut far = Child::start(&format!("{name}-far"), "bench-relay", flags, scratch)?;
        until_listening(&mut far, limit, || {
            TcpStream::connect((address, RELAY_PORT))
        })
        .await?;

        let flags = near_flags(&socket, address, &certificates);
        let mut near = Child::start(&format!("{name}-near"), "bench-relay", flags, scratch)?;
        until_listening(&mut near, limit, || UnixStream::connect(&socket)).await?;
        Ok(Self {
            frontend: Arc::new(Frontend::Relay { socket }),
            processes: Processes::Relay { near, far },
        })
    }

    /// The process ids, the frontend's side first.
    pub(super) fn pids(&self) -> [u32; 2] {
        match &self.processes {
            Processes::Ours(installation) => installation.pids(),
            Processes::Relay { near, far } => [near.pid(), far.pid()],
        }
    }

    /// What errors call it.
    pub(super) fn name(&self) -> &'static str {
        match &self.processes {
            Processes::Ours(_) => "dialback",
            Processes::Relay { .. } => "the relay",
        }
    }

    /// Whether both processes run and neither has logged an error.
    pub(super) fn check(&mut self) -> Result<(), ChildError> {
        match &mut self.processes {
            Processes::Ours(installation) => installation.check(),
            Processes::Relay { near, far } => {
                near.check()?;
                far.check()
            }
        }
    }
}

fn far_flags(
    address: Ipv4Addr,
    target: SocketAddr,
    certificates: &CertificateFiles,
) -> Vec<OsString> {
    vec![
        "far".into(),
        "--listen".into(),
        format!("{address}:{RELAY_PORT}").into(),
        "--endpoint".into(),
        target.to_string().into(),
        "--ca".into(),
        certificates.path("cluster-ca.crt").into(),
        "--cert".into(),
        certificates.path("cluster.crt").into(),
        "--key".into(),
        certificates.path("cluster.key").into(),
    ]
}

fn near_flags(socket: &Path, far: Ipv4Addr, certificates: &CertificateFiles) -> Vec<OsString> {
    vec![
        "near".into(),
        "--socket".into(),
        socket.into(),
        "--far".into(),
        format!("{far}:{RELAY_PORT}").into(),
        "--ca".into(),
        certificates.path("cluster-ca.crt").into(),
        "--cert".into(),
        certificates.path("agent.crt").into(),
        "--key".into(),
        certificates.path("agent.key").into(),
    ]
}

/// Tries to connect until that succeeds, or `limit`, or the child that has to listen fails.
async fn until_listening<S>(
    child: &mut Child,
    limit: Instant,
    connect: impl AsyncFn() -> io::Result<S>,
) -> Result<(), BenchError> {
    loop {
        let Err(error) = connect().await else {
            return Ok(());
        };
        child.check()?;
        if Instant::now() >= limit {
            return Err(BenchError::Prepare(error));
        }
        sleep(START_POLL).await;
    }
}
