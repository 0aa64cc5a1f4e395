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
use crate::tool::http;
use crate::tool::installation::{self, FrontendListener, Installation, Mode};
use crate::tool::loopback::unused_address;
use crate::tool::scratch::Scratch;

/// gRPC connections of the load generator: few, so that many streams share one, as in a busy frontend.
const GRPC_CONNECTIONS: usize = 4;

const RELAY_PORT: u16 = 8091;

/// What an agent counts when an endpoint has accepted its connection.
const AGENT_DIALS: &str = "konnectivity_network_proxy_agent_dial_duration_seconds_count";

/// How long a half of the relay may take until it listens.
const START_LIMIT: Duration = Duration::from_secs(8);

const START_POLL: Duration = Duration::from_millis(10);

/// The processes of a side and the way through them; dropping it ends them.
#[derive(Debug)]
pub(super) struct Side {
    /// The way to the endpoint.
    pub(super) frontend: Arc<Frontend>,
    processes: Processes,
    paths: Vec<Arc<Relay>>,
}

/// What a side is to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan<'a> {
    /// Not used twice with one `scratch`.
    pub(super) name: &'a str,
    /// The endpoint.
    pub(super) target: SocketAddr,
    /// What the path between the two processes is like, both ways; they meet directly if there is none. Every agent has
    /// a path of its own.
    pub(super) path: Option<PathConditions>,
    /// How many agents our server has, and what else it is told.
    pub(super) agents: usize,
    pub(super) server_flags: &'a [&'a str],
    /// What is in our server's throttle file, if it has one.
    pub(super) throttle: Option<&'a str>,
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
    /// Starts a proxy server for `mode` and its agents, all on `runtime`.
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
        let mut flags = plan.server_flags.to_vec();
        let throttle_flag;
        if let Some(text) = plan.throttle {
            let file = folder.join("throttle.yaml");
            std::fs::write(&file, text).map_err(BenchError::Prepare)?;
            throttle_flag = format!("--throttle-file={}", file.display());
            flags.push(&throttle_flag);
        }
        let mut daemons = installation::Plan {
            name,
            address,
            mode,
            listener: FrontendListener::Unix(socket.clone()),
            certificates: &certificates,
            path: path.as_ref().map(|path| path.address),
            runtime,
            server_flags: &flags,
        };
        let mut installation = Installation::start(&daemons, scratch).await?;
        let mut paths = Vec::from_iter(path);
        for _ in 1..plan.agents {
            let path = plan.path_to(installation.agent_address()).await?;
            daemons.path = path.as_ref().map(|path| path.address);
            installation.add_agent(&daemons, scratch).await?;
            paths.extend(path);
        }
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
            paths,
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
            paths: Vec::from_iter(path),
        })
    }

    /// The path between the two processes, where something can be done to it.
    pub(super) fn path(&self) -> Option<&Arc<Relay>> {
        self.paths.first()
    }

    /// The path of each agent, where something can be done to it.
    pub(super) fn paths(&self) -> &[Arc<Relay>] {
        &self.paths
    }

    /// How many connections to the endpoint each agent has made, in the order of their paths; none for the relay.
    pub(super) async fn served(&self) -> io::Result<Vec<u64>> {
        let Processes::Ours(installation) = &self.processes else {
            return Ok(Vec::new());
        };
        let mut served = Vec::new();
        for health in installation.agents() {
            let stream = TcpStream::connect(health).await?;
            let metrics = http::fetch(stream, &health.to_string(), "/metrics").await?;
            let metrics = String::from_utf8_lossy(&metrics.body);
            let mut counts = metrics
                .lines()
                .filter_map(|line| line.strip_prefix(AGENT_DIALS)?.trim().parse().ok());
            // An agent that has not dialled yet has no such line.
            served.push(counts.next().unwrap_or_default());
        }
        Ok(served)
    }

    /// The process ids, the frontend's side first; of several agents the first one's.
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

    /// Whether all processes run and none has logged an error.
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
