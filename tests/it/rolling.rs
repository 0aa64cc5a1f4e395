//! Agents and servers replaced one after another, as a rollout does, while connections are opened all the time.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dialback_runtime::server::Stopped;
use dialback_tests::agent::{AgentOptions, RunningAgent};
use dialback_tests::endpoint::Endpoint;
use dialback_tests::frontend::{connect, exchange};
use dialback_tests::pki::Pki;
use dialback_tests::relay::Relay;
use dialback_tests::run::run;
use dialback_tests::server::{RunningServer, ServerOptions};
use dialback_tests::wait::eventually;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

const COUNT: usize = 3;
/// Connections that are opened and used in a second.
const DIALS: u32 = 50;
/// Streams that are open on each server, and go on.
const HELD: usize = 16;
const LONG: Duration = Duration::from_secs(3600);

/// Three servers behind one address, three agents on each.
struct Cluster {
    pki: Pki,
    relay: Relay,
    echo: Endpoint,
    servers: BTreeMap<usize, RunningServer>,
    agents: BTreeMap<usize, RunningAgent>,
    /// Where the client may dial: servers that have all their agents and are not about to stop.
    sockets: Arc<Mutex<Vec<PathBuf>>>,
    dialled: Arc<AtomicU64>,
}

impl Cluster {
    async fn start() -> Self {
        let mut cluster = Self {
            pki: Pki::new(),
            relay: Relay::start(Vec::new()).await,
            echo: Endpoint::echo().await,
            servers: BTreeMap::new(),
            agents: BTreeMap::new(),
            sockets: Arc::default(),
            dialled: Arc::default(),
        };
        for index in 0..COUNT {
            cluster.start_server(index);
        }
        cluster.show();
        for index in 0..COUNT {
            cluster.start_agent(index).await;
        }
        cluster
    }

    fn start_server(&mut self, index: usize) {
        let mut options = ServerOptions {
            id: format!("server-{index}"),
            ..ServerOptions::default()
        };
        options.config.server_count = i64::try_from(COUNT).unwrap();
        let server = RunningServer::start(&self.pki, options);
        self.servers.insert(index, server);
    }

    async fn start_agent(&mut self, index: usize) {
        let options = AgentOptions {
            id: format!("agent-{index}"),
            ..AgentOptions::default()
        };
        let agent = RunningAgent::start(&self.pki, self.relay.address, options);
        agent.connected(self.servers.len()).await;
        self.agents.insert(index, agent);
    }

    /// Agents and the client find these servers from now on.
    fn show(&self) {
        let servers = self.servers.values();
        self.relay
            .retarget(servers.clone().map(|server| server.agent_address).collect());
        *self.sockets.lock().unwrap() = servers.map(RunningServer::socket).collect();
    }

    /// Dials one server after the other, at its pace, and panics when one does not work.
    fn dial(&self) -> JoinHandle<()> {
        let (sockets, dialled) = (Arc::clone(&self.sockets), Arc::clone(&self.dialled));
        let address = self.echo.address.to_string();
        tokio::spawn(async move {
            let mut pace = tokio::time::interval(Duration::from_secs(1) / DIALS);
            for turn in 0.. {
                pace.tick().await;
                let socket = {
                    let sockets = sockets.lock().unwrap();
                    sockets[turn % sockets.len()].clone()
                };
                let mut stream = connect(&socket, &address).await.unwrap();
                exchange(&mut stream, b"one of many").await;
                dialled.fetch_add(1, Ordering::Relaxed);
            }
        })
    }

    /// Waits until the client has been served this often again.
    async fn served(&self, more: u64) {
        let goal = self.dialled.load(Ordering::Relaxed) + more;
        eventually("more connections are served", || {
            self.dialled.load(Ordering::Relaxed) >= goal
        })
        .await;
    }

    async fn hold(&self, server: usize) -> Vec<UnixStream> {
        let mut held = Vec::new();
        for _ in 0..HELD {
            let address = self.echo.address.to_string();
            let socket = self.servers[&server].socket();
            held.push(connect(&socket, &address).await.unwrap());
        }
        held
    }
}

async fn exchange_all(held: &mut [UnixStream]) {
    for stream in held {
        exchange(stream, b"still here").await;
    }
}

#[test]
fn agents_and_then_servers_are_replaced_while_every_dial_works_and_every_stream_ends_by_itself() {
    run(async |_| {
        let mut cluster = Cluster::start().await;
        let client = cluster.dial();
        cluster.served(20).await;

        for index in 0..COUNT {
            let mut held = Vec::new();
            for server in 0..COUNT {
                held.extend(cluster.hold(server).await);
            }
            let old = cluster.agents.remove(&index).unwrap();
            cluster.start_agent(COUNT + index).await;
            old.agent.drain();
            cluster.served(20).await;
            exchange_all(&mut held).await;
            assert!(old.agent.stream_count() > 0, "none of many was its own");
            drop(held);
            old.agent.idle(Duration::from_millis(50)).await;
            old.stop().await;
            cluster.served(20).await;
        }

        for index in 0..COUNT {
            let mut held = cluster.hold(index).await;
            let old = cluster.servers.remove(&index).unwrap();
            // Its own client, kube-apiserver, is replaced with it; the others go on.
            cluster.show();
            cluster.served(3).await;
            let stopping = tokio::spawn(old.stop(LONG));
            cluster.start_server(COUNT + index);
            let servers = cluster.servers.values();
            cluster
                .relay
                .retarget(servers.map(|server| server.agent_address).collect());
            // The agents come by themselves, while the old one still serves.
            cluster.servers[&(COUNT + index)].agents(COUNT).await;
            cluster.show();
            exchange_all(&mut held).await;
            assert!(!stopping.is_finished());
            drop(held);
            assert_eq!(stopping.await.unwrap(), Stopped::Idle);
            cluster.served(20).await;
        }

        assert!(!client.is_finished(), "a dial has failed");
        client.abort();
        for agent in cluster.agents.into_values() {
            agent.connected(COUNT).await;
            agent.stop().await;
        }
        for server in cluster.servers.into_values() {
            server.stop(Duration::ZERO).await;
        }
    });
}
