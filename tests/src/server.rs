//! A proxy server in this process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dialback_core::server::Strategies;
use dialback_runtime::listen::bind_tcp;
use dialback_runtime::metrics::ServerMetrics;
use dialback_runtime::server::{FrontendMode, Server, ServerConfig, Stopped};
use dialback_runtime::{Listener, Runtime};
use dialback_tokio::TokioRuntime;

use crate::pki::Pki;
use crate::task::Task;
use crate::wait::{eventually, within};

/// How a server differs from the defaults.
pub struct ServerOptions {
    pub id: String,
    /// What its frontend listeners speak.
    pub mode: FrontendMode,
    pub config: ServerConfig,
    /// How agents are chosen, as on the command line.
    pub strategies: &'static str,
    /// Plain Konnectivity, as towards a Go peer.
    pub plain: bool,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            id: "server-1".to_owned(),
            mode: FrontendMode::HttpConnect,
            config: ServerConfig::default(),
            strategies: "default",
            plain: false,
        }
    }
}

/// A server with an agent listener and three for frontends, until it is stopped or dropped.
pub struct RunningServer<R: Runtime = TokioRuntime> {
    pub server: Arc<Server<R>>,
    runtime: R,
    /// Where agents connect.
    pub agent_address: SocketAddr,
    /// Where frontends connect in plain text.
    pub tcp: SocketAddr,
    /// Where frontends connect over TLS.
    pub tls: SocketAddr,
    folder: PathBuf,
    tasks: Vec<Task<R, ()>>,
}

impl RunningServer {
    /// Starts a server on the runtime of the test.
    ///
    /// # Panics
    /// When the system has no sockets to give.
    #[must_use]
    pub fn start(pki: &Pki, options: ServerOptions) -> Self {
        Self::start_on(&TokioRuntime::current().unwrap(), pki, options)
    }
}

impl<R: Runtime> RunningServer<R> {
    /// Starts a server.
    ///
    /// # Panics
    /// When the system has no sockets to give.
    #[must_use]
    pub fn start_on(runtime: &R, pki: &Pki, options: ServerOptions) -> Self {
        let ServerOptions {
            id, mode, config, ..
        } = options;
        let config = ServerConfig {
            server_id: id,
            disable_extensions: options.plain,
            ..config
        };
        let strategies: Strategies = options.strategies.parse().unwrap();
        let metrics = Arc::new(ServerMetrics::default());
        let server = Server::new(runtime.clone(), config, strategies, metrics);
        let listen = || {
            let listener = bind_tcp("127.0.0.1", 0).unwrap();
            runtime.tcp_listener(listener).unwrap()
        };
        let (agents, tcp, tls) = (listen(), listen(), listen());
        let (agent_address, tcp_address, tls_address) = (
            agents.local_addr().unwrap(),
            tcp.local_addr().unwrap(),
            tls.local_addr().unwrap(),
        );
        let folder = folder();
        let unix = std::os::unix::net::UnixListener::bind(folder.join("frontend")).unwrap();
        unix.set_nonblocking(true).unwrap();
        let unix = runtime.unix_listener(unix).unwrap();
        let protocol = match mode {
            FrontendMode::Grpc => "h2",
            FrontendMode::HttpConnect => "http/1.1",
        };
        let (agent_tls, frontend_tls) = (pki.server(&["h2"]), pki.server(&[protocol]));
        let serving = || Arc::clone(&server);
        let (one, two, three, four) = (serving(), serving(), serving(), serving());
        let tasks = vec![
            Task::start(
                runtime,
                async move { one.serve_agents(agents, agent_tls).await },
            ),
            Task::start(runtime, async move {
                two.serve_frontends(unix, None, mode).await
            }),
            Task::start(runtime, async move {
                three.serve_frontends(tcp, None, mode).await
            }),
            Task::start(runtime, async move {
                four.serve_frontends(tls, Some(frontend_tls.into()), mode)
                    .await
            }),
        ];
        Self {
            server,
            runtime: runtime.clone(),
            agent_address,
            tcp: tcp_address,
            tls: tls_address,
            folder,
            tasks,
        }
    }

    /// The frontends' Unix socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.join("frontend")
    }

    /// Waits until `count` agents are connected.
    pub async fn agents(&self, count: usize) {
        eventually(&format!("{count} tunnels at the server"), || {
            self.server.tunnel_count() == count
        })
        .await;
    }

    /// Waits until it carries `count` streams, pending dials included.
    pub async fn streams(&self, count: usize) {
        eventually(&format!("{count} streams at the server"), || {
            self.server.stream_count() == count
        })
        .await;
    }

    /// How many offers to resume a session were refused for this reason.
    #[must_use]
    pub fn resumes_refused(&self, reason: &str) -> u64 {
        let series = format!("dialback_tunnel_resumptions_refused_total{{reason=\"{reason}\"}} ");
        let scrape =
            dialback_runtime::metrics::render::<&str>(self.server.metrics().registry(), &[]);
        let value = scrape.lines().find_map(|line| line.strip_prefix(&series));
        value.unwrap_or("0").parse().unwrap()
    }

    /// Stops it and waits until nothing of it is left.
    pub async fn stop(mut self, limit: Duration) -> Stopped {
        let server = Arc::clone(&self.server);
        let stopping = Task::start(&self.runtime, async move { server.stop(limit).await });
        let stopped = within("the server stops", stopping.join()).await;
        for task in self.tasks.drain(..) {
            within("a listener is closed", task.join()).await;
        }
        self.agents(0).await;
        self.streams(0).await;
        stopped
    }
}

impl<R: Runtime> Drop for RunningServer<R> {
    fn drop(&mut self) {
        for task in self.tasks.drain(..) {
            task.abort();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A folder of this server's own.
fn folder() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("dialback-test-{}-{next}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}
