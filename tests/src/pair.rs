//! A server and its agents in one process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dialback_core::agent::{FleetConfig, LinkConfig};
use dialback_core::server::Strategies;
use dialback_runtime::agent::{Agent, AgentConfig};
use dialback_runtime::dial::ProxyEnvironment;
use dialback_runtime::metrics::{AgentMetrics, ServerMetrics};
use dialback_runtime::server::{FrontendMode, Server, ServerConfig};
use dialback_runtime::{Listener, Runtime};
use dialback_tokio::TokioRuntime;
use tokio::task::JoinHandle;

use crate::pki::Pki;

/// How the pair differs from the defaults.
pub struct PairOptions {
    pub mode: FrontendMode,
    pub server: ServerConfig,
    pub agent_link: LinkConfig,
    /// Plain Konnectivity between the halves, as towards a Go peer.
    pub plain: bool,
    pub agents: usize,
}

impl Default for PairOptions {
    fn default() -> Self {
        Self {
            mode: FrontendMode::HttpConnect,
            server: ServerConfig::default(),
            agent_link: LinkConfig::default(),
            plain: false,
            agents: 1,
        }
    }
}

/// A server on a Unix socket and agents connected to it over mTLS.
pub struct Pair {
    pub server: Arc<Server<TokioRuntime>>,
    pub agents: Vec<Arc<Agent<TokioRuntime>>>,
    pub pki: Pki,
    pub agent_address: SocketAddr,
    folder: PathBuf,
    tasks: Vec<JoinHandle<()>>,
}

impl Pair {
    pub async fn start(options: PairOptions) -> Self {
        let runtime = TokioRuntime::current().unwrap();
        let pki = Pki::new();
        let folder = folder();
        let config = ServerConfig {
            server_id: "server-1".to_owned(),
            disable_extensions: options.plain,
            ..options.server
        };
        let strategies: Strategies = "default".parse().unwrap();
        let server = Server::new(runtime.clone(), config, strategies, Arc::new(ServerMetrics::default()));
        let agents = runtime.listen_tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        let agent_address = agents.local_addr().unwrap();
        let frontends = std::os::unix::net::UnixListener::bind(folder.join("frontend")).unwrap();
        frontends.set_nonblocking(true).unwrap();
        let frontends = runtime.unix_listener(frontends).unwrap();
        let tls = pki.server(&["h2"]);
        let mut tasks = Vec::new();
        let serving = Arc::clone(&server);
        tasks.push(tokio::spawn(async move { serving.serve_agents(agents, tls).await }));
        let (serving, mode) = (Arc::clone(&server), options.mode);
        tasks.push(tokio::spawn(async move { serving.serve_frontends(frontends, None, mode).await }));
        let mut pair = Self { server, agents: Vec::new(), pki, agent_address, folder, tasks };
        for index in 0..options.agents {
            pair.add_agent(&format!("agent-{index}"), options.agent_link.clone(), options.plain).await;
        }
        pair
    }

    /// Starts one more agent and waits until the server knows it.
    pub async fn add_agent(&mut self, agent_id: &str, link: LinkConfig, plain: bool) {
        let config = AgentConfig {
            server_host: "127.0.0.1".to_owned(),
            server_port: self.agent_address.port(),
            agent_id: agent_id.to_owned(),
            identifiers: String::new(),
            token_path: None,
            tls: self.pki.client(&["h2"]),
            fleet: FleetConfig::default(),
            link,
            keepalive_time: Duration::from_secs(3600),
            dial_timeout: Duration::from_secs(5),
            proxy: ProxyEnvironment::default(),
            disable_extensions: plain,
        };
        let before = self.server.tunnel_count();
        let agent = Agent::new(TokioRuntime::current().unwrap(), config, Arc::new(AgentMetrics::default())).unwrap();
        let running = Arc::clone(&agent);
        self.tasks.push(tokio::spawn(async move { running.run().await.unwrap() }));
        let mut connected = agent.watch_connected();
        connected.wait_for(|connected| *connected > 0).await.unwrap();
        eventually(|| self.server.tunnel_count() > before).await;
        self.agents.push(agent);
    }

    /// The frontends' socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.join("frontend")
    }

    /// Waits until no stream is left on either side.
    pub async fn idle(&self) {
        eventually(|| self.server.stream_count() == 0).await;
        eventually(|| self.agents.iter().all(|agent| agent.stream_count() == 0)).await;
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        for agent in &self.agents {
            agent.stop();
        }
        for task in &self.tasks {
            task.abort();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Waits for a condition that another task brings about, for 10 s at most.
///
/// # Panics
/// When it does not come about.
pub async fn eventually(mut holds: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "condition did not come about in 10 s");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A folder of this test's own.
fn folder() -> PathBuf {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let next = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("dialback-test-{}-{next}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

