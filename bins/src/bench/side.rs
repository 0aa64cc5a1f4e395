//! The two sides of a measurement: ours, a proxy server and an agent, and the relay's two halves.

use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use dialback_fault_relay::Relay;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, sleep};

use super::BenchError;
use super::frontend::Frontend;
use crate::certs::CertificateFiles;
use crate::flags::RuntimeName;
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
    path: Option<Arc<Relay>>,
}

/// What a side is to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan<'a> {
    /// Not used twice with one `scratch`.
    pub(super) name: &'a str,
    /// The endpoint.
    pub(super) target: SocketAddr,
    /// What the path between the two processes is like, both ways; they meet directly if there is none.
    pub(super) path: Option<PathConditions>,
    /// Where files go.
    pub(super) scratch: &'a Scratch,
}

/// What both ways of a path are like; the default is as good as the loopback.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PathConditions {
    /// How much later bytes arrive.
    pub(super) delay: Duration,
    /// What passes per second, in bytes; `None` for no limit.
    pub(super) bytes_per_second: Option<NonZeroU64>,
}

#[derive(Debug)]
enum Processes {
    Ours(Installation),
    Relay { near: Child, far: Child },
}

impl Side {
    /// Starts a proxy server for `mode` and its agent, both on `runtime`.
    pub(super) async fn ours(
        plan: Plan<'_>,
        mode: Mode,
        runtime: RuntimeName,
    ) -> Result<Self, BenchError> {
        let Plan {
            name,
            target,
            scratch,
            ..
        } = plan;
        let address = installation::address().map_err(BenchError::Prepare)?;
        let folder = scratch.path(name);
        let certificates = installation::issue_certificates(&folder, &[address])?;
        let socket = folder.join("frontend.sock");
        let path = plan.path_to(installation::agent_address(address)).await?;
        let installation = installation::Plan {
            name,
            address,
            mode,
            listener: FrontendListener::Unix(socket.clone()),
            certificates: &certificates,
            path: path.as_ref().map(|path| path.address),
            runtime,
        };
        let installation = Installation::start(&installation, scratch).await?;
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
            path,
        })
    }

    /// Starts the two halves of the relay.
    pub(super) async fn relay(plan: Plan<'_>) -> Result<Self, BenchError> {
        let Plan {
            name,
            target,
            scratch,
            ..
        } = plan;
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

        let far_address = SocketAddr::from((address, RELAY_PORT));
        let path = plan.path_to(far_address).await?;
        let near_meets = path.as_ref().map_or(far_address, |path| path.address);
        let flags = near_flags(&socket, near_meets, &certificates);
        let mut near = Child::start(&format!("{name}-near"), "bench-relay", flags, scratch)?;
        until_listening(&mut near, limit, || UnixStream::connect(&socket)).await?;
        Ok(Self {
            frontend: Arc::new(Frontend::Relay { socket }),
            processes: Processes::Relay { near, far },
            path,
        })
    }

    /// The path between the two processes, where something can be done to it.
    pub(super) fn path(&self) -> Option<&Arc<Relay>> {
        self.path.as_ref()
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

impl Plan<'_> {
    async fn path_to(&self, target: SocketAddr) -> Result<Option<Arc<Relay>>, BenchError> {
        let Some(conditions) = self.path else {
            return Ok(None);
        };
        let path = Relay::start(vec![target]).await;
        let path = path.map_err(BenchError::Prepare)?;
        for direction in [&path.towards_target, &path.back] {
            direction.delay(conditions.delay);
            if let Some(rate) = conditions.bytes_per_second {
                direction.throttle(rate.get());
            }
        }
        Ok(Some(Arc::new(path)))
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

fn near_flags(socket: &Path, far: SocketAddr, certificates: &CertificateFiles) -> Vec<OsString> {
    vec![
        "near".into(),
        "--socket".into(),
        socket.into(),
        "--far".into(),
        far.to_string().into(),
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
