//! Agents, then servers, replaced one after another as a rollout does, while servers are found by their Leases and
//! connections are opened all the time.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::json;
use support::api_server::FakeApiServer;
use support::daemon::{Daemon, eventually};
use support::pair::{Front, Site};
use support::stream::Stream;

const COUNT: usize = 3;
/// Connections that are opened and used in a second.
const DIALS: u32 = 50;
/// Streams that are open on a server, and go on.
const HELD: usize = 16;
const CONNECTED: &str = "konnectivity_network_proxy_agent_open_server_connections";
const KNOWN: &str = "konnectivity_network_proxy_agent_known_server_count";
const DRAINING: &str = "dialback_draining_agents";
const FOUND: &str = r#"dialback_connection_attempts_total{result="connected"}"#;
const AGENTS: &str = "konnectivity_network_proxy_server_ready_backend_connections";

/// Three servers at different addresses, each with a Lease, and the agents that look for them.
struct Cluster {
    // Ended before what they use.
    servers: Vec<Option<Daemon>>,
    agents: Vec<Daemon>,
    server_flags: Vec<String>,
    agent_flags: Vec<String>,
    started: usize,
    sites: Arc<Vec<Site>>,
    api: FakeApiServer,
}

impl Cluster {
    fn start() -> Self {
        let (api, sites) = (FakeApiServer::start(), [(); COUNT].map(|()| Site::new()));
        let [first, others @ ..] = &sites;
        let mut server_flags = first.share_certificates(&others.iter().collect::<Vec<_>>());
        let kubeconfig = first.file("kubeconfig");
        let user = json!({"token": "of the daemon"});
        fs::write(&kubeconfig, api.kubeconfig(json!({}), user)).unwrap();
        let kubeconfig = format!("--kubeconfig={}", kubeconfig.display());
        server_flags.extend([
            "--delete-existing-uds-file".to_owned(),
            "--graceful-shutdown-timeout=1h".to_owned(),
            "--enable-lease-controller".to_owned(),
            kubeconfig.clone(),
        ]);
        let mut agent_flags = vec!["--count-server-leases".to_owned(), kubeconfig];
        let hosts = others
            .iter()
            .map(|site| format!("--proxy-server-host={}", site.ip()));
        agent_flags.extend(hosts);
        let mut cluster = Self {
            servers: Vec::new(),
            agents: Vec::new(),
            server_flags,
            agent_flags,
            started: 0,
            sites: Arc::new(sites.into()),
            api,
        };
        for site in 0..COUNT {
            let server = cluster.start_server(site);
            cluster.servers.push(Some(server));
        }
        for _ in 0..COUNT {
            cluster.start_agent();
        }
        cluster
    }

    fn start_server(&mut self, site: usize) -> Daemon {
        self.started += 1;
        let id = format!("--server-id=server-{}", self.started);
        let mut flags: Vec<&str> = self.server_flags.iter().map(String::as_str).collect();
        flags.push(&id);
        let mut server = self.sites[site].start_server(Front::ConnectUnix, &flags);
        server.until("/healthz", 200);
        let lease = format!("konnectivity-proxy-server-server-{}", self.started);
        self.api.until("the server's Lease", |state| {
            state.lease("kube-system", &lease).map(|_| ())
        });
        server
    }

    /// Starts an agent, and waits until it has found every server.
    fn start_agent(&mut self) {
        self.started += 1;
        let port = 8093 + 10 * u16::try_from(self.started).unwrap();
        let flags: Vec<&str> = self.agent_flags.iter().map(String::as_str).collect();
        let mut agent = self.sites[0].start_agent_at(port, &flags);
        agent.reaches(KNOWN, COUNT as f64);
        agent.reaches(CONNECTED, COUNT as f64);
        self.agents.push(agent);
    }

    fn hold(&self, site: usize) -> Vec<Stream> {
        (0..HELD).map(|_| Stream::open(&self.sites[site])).collect()
    }
}

/// Opens connections to one server after the other at its pace; the first that fails ends it.
struct Client {
    /// The sites whose servers serve.
    open: Arc<Mutex<Vec<usize>>>,
    served: Arc<AtomicU64>,
    done: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Client {
    fn start(sites: &Arc<Vec<Site>>) -> Self {
        let open = Arc::new(Mutex::new((0..COUNT).collect::<Vec<_>>()));
        let (served, done) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let task = thread::spawn({
            let (sites, open) = (Arc::clone(sites), Arc::clone(&open));
            let (served, done) = (Arc::clone(&served), Arc::clone(&done));
            move || {
                let start = Instant::now();
                for turn in 0_u32.. {
                    if done.load(Ordering::Relaxed) {
                        break;
                    }
                    let due = start + Duration::from_secs(1) / DIALS * turn;
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                    // Held during the dial: who takes a server out of the list knows that nobody dials it any more.
                    let open = open.lock().unwrap();
                    let site = open[turn as usize % open.len()];
                    drop(Stream::open(&sites[site]));
                    served.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Self {
            open,
            served,
            done,
            task,
        }
    }

    /// Waits until it has been served this often again.
    fn served(&self, more: u64) {
        let goal = self.served.load(Ordering::Relaxed) + more;
        eventually(|| {
            assert!(!self.task.is_finished(), "a dial has failed");
            if self.served.load(Ordering::Relaxed) >= goal {
                Ok(())
            } else {
                Err("no more connections are served".to_owned())
            }
        });
    }

    fn finish(self) -> u64 {
        self.done.store(true, Ordering::Relaxed);
        self.task.join().unwrap();
        self.served.load(Ordering::Relaxed)
    }
}

#[test]
fn agents_and_servers_with_leases_are_replaced_while_every_dial_works() {
    let mut cluster = Cluster::start();
    let client = Client::start(&cluster.sites);
    client.served(20);

    for _ in 0..COUNT {
        let mut held: Vec<_> = (0..COUNT).flat_map(|site| cluster.hold(site)).collect();
        cluster.start_agent();
        let mut old = cluster.agents.remove(0);
        old.terminate();
        for server in cluster.servers.iter_mut().flatten() {
            server.reaches(DRAINING, 1.0);
        }
        client.served(20);
        held.iter_mut().for_each(Stream::exchange);
        assert!(old.try_end().is_none(), "none of many was its own");
        drop(held);
        assert!(old.until_ended().success());
        old.assert_no_errors();
        client.served(20);
    }

    for site in 0..COUNT {
        let mut held = cluster.hold(site);
        // Its own client, kube-apiserver, is replaced with it; the others go on.
        client.open.lock().unwrap().retain(|open| *open != site);
        let mut old = cluster.servers[site].take().unwrap();
        old.terminate();
        for agent in &mut cluster.agents {
            agent.reaches(KNOWN, COUNT as f64 - 1.0);
        }
        client.served(20);
        held.iter_mut().for_each(Stream::exchange);
        assert!(old.try_end().is_none(), "its streams are not over");
        drop(held);
        assert!(old.until_ended().success());
        old.assert_no_errors();
        let mut new = cluster.start_server(site);
        new.reaches(AGENTS, COUNT as f64);
        cluster.servers[site] = Some(new);
        client.open.lock().unwrap().push(site);
        for agent in &mut cluster.agents {
            agent.reaches(KNOWN, COUNT as f64);
            agent.reaches(CONNECTED, COUNT as f64);
        }
        client.served(20);
    }

    // Each found three servers, and then their successors.
    for agent in &mut cluster.agents {
        agent.reaches(FOUND, 2.0 * COUNT as f64);
    }
    for server in cluster.servers.iter_mut().flatten() {
        server.reaches(DRAINING, 0.0);
    }
    let served = client.finish();
    assert!(served >= 240, "{served}");
    for daemon in cluster
        .agents
        .iter()
        .chain(cluster.servers.iter().flatten())
    {
        daemon.assert_no_errors();
    }
}
