//! Five agents of which one is slow and one swallows what it gets: dials go to those that are well.

use std::sync::Arc;
use std::time::Duration;

use dialback_runtime::Runtime as _;
use dialback_runtime::metrics::render;
use dialback_simulation::cast::{
    AgentOptions, SERVER_NAME, ServerOptions, SimulatedAgent, SimulatedServer, Way, dialer, start,
};
use dialback_simulation::{Host, PathConfig, Simulation};

use crate::world::{echo, exchange};

const AGENTS: usize = 5;
/// Agents by position: the others are well.
const SLOW: usize = 3;
const BLACK_HOLE: usize = 4;
/// Dials in a second, and for how many seconds.
const DIALS: u32 = 200;
const SECONDS: u32 = 10;
/// How long a connection is used.
const USED: Duration = Duration::from_millis(100);
/// A direction of the way from an agent that is well to the endpoint.
const LATENCY: Duration = Duration::from_millis(1);

/// Where the black hole swallows: what it is sent through the tunnel, or what it sends to endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hole {
    Tunnel,
    Endpoint,
}

struct Seen {
    /// How long each dial took, sorted.
    dials: Vec<Duration>,
    /// Connections that each agent made.
    served: Vec<u64>,
}

impl Seen {
    fn quantile(&self, of_a_hundred: usize) -> Duration {
        self.dials[(self.dials.len() * of_a_hundred / 100).min(self.dials.len() - 1)]
    }
}

/// One dial, a byte there and back, and a while of nothing.
async fn dial(host: Host, server: Host, way: Way, address: String) -> Duration {
    let dialler = dialer(&host, &server, way);
    let begun = host.now();
    let mut stream = dialler.dial(&address).await.unwrap();
    let took = host.now() - begun;
    exchange(&mut stream, b"x").await;
    host.sleep_until(host.now() + USED).await;
    took
}

fn run(seed: u64, strategies: &'static str, hole: Hole, way: Way) -> Seen {
    let mut seen = None;
    Simulation::run(seed, async |simulation| {
        let mut options = ServerOptions {
            strategies,
            ..ServerOptions::default()
        };
        options.config.dial_hedging = true;
        let host = simulation.host("server");
        simulation.set_name(SERVER_NAME, vec![host.address(0).ip()]);
        let server = SimulatedServer::start(&host, "server-1", options);
        let endpoint = simulation.host("endpoint");
        echo(&endpoint, 7);
        let agents: Vec<_> = (0..AGENTS)
            .map(|index| {
                let id = format!("agent-{index}");
                let options = AgentOptions {
                    identifiers: "cidr=0.0.0.0/0&cidr=::/0".to_owned(),
                    ..AgentOptions::default()
                };
                SimulatedAgent::start(&simulation.host(&id), &id, options)
            })
            .collect();
        let connected = || server.server.tunnel_count() == AGENTS;
        simulation
            .eventually("all agents are connected", connected)
            .await;
        let slow = PathConfig {
            latency: 50 * LATENCY,
            ..PathConfig::default()
        };
        simulation.set_path(&agents[SLOW].host, &endpoint, slow);
        match hole {
            Hole::Tunnel => simulation.partition(&agents[BLACK_HOLE].host, &host),
            Hole::Endpoint => simulation.partition(&agents[BLACK_HOLE].host, &endpoint),
        }

        let frontend = simulation.host("frontend");
        let address = endpoint.address(7).to_string();
        let mut jobs = Vec::new();
        for _ in 0..DIALS * SECONDS {
            let dialling = dial(frontend.clone(), host.clone(), way, address.clone());
            jobs.push(start(&frontend, dialling));
            simulation.sleep(Duration::from_secs(1) / DIALS).await;
        }
        let mut dials = Vec::new();
        for job in jobs {
            dials.push(
                job.await
                    .expect("every dial finds an agent that can serve it"),
            );
        }
        dials.sort_unstable();
        simulation
            .eventually("no streams are left", || server.server.stream_count() == 0)
            .await;
        let served = agents
            .iter()
            .map(|agent| connections(&agent.agent))
            .collect();
        for agent in &agents {
            agent.agent.stop();
        }
        seen = Some(Seen { dials, served });
    });
    seen.expect("the scenario ran to its end")
}

/// Connections to endpoints that an agent has made.
fn connections(agent: &Arc<dialback_runtime::agent::Agent<Host>>) -> u64 {
    let text = render::<&str>(agent.metrics().registry(), &[]);
    let series = "konnectivity_network_proxy_agent_dial_duration_seconds_count ";
    let mut counts = text.lines().filter_map(|line| line.strip_prefix(series));
    counts.next().map_or(0, |count| count.parse().unwrap())
}

#[test]
fn dials_are_quick_and_spread_over_the_agents_that_are_well() {
    for (strategies, hole, way) in [
        ("leastLoaded", Hole::Endpoint, Way::Connect),
        ("leastLoaded", Hole::Tunnel, Way::Grpc),
        ("destCIDR,leastLoaded", Hole::Tunnel, Way::Connect),
    ] {
        let seen = run(1, strategies, hole, way);
        assert_eq!(seen.dials.len(), (DIALS * SECONDS) as usize, "none is lost");
        let (median, late) = (seen.quantile(50), seen.quantile(99));
        tell(&format!(
            "{strategies}, {hole:?}: p50 {median:?}, p99 {late:?}, longest {:?}, served {:?}",
            seen.quantile(100),
            seen.served
        ));
        assert!(late <= 3 * median, "p50 {median:?}, p99 {late:?}");
        let well = &seen.served[..SLOW];
        let mean = well.iter().sum::<u64>() / well.len() as u64;
        for served in well {
            assert!(served.abs_diff(mean) * 5 <= mean, "{:?}", seen.served);
        }
        assert!(seen.served[SLOW] * 10 < mean, "{:?}", seen.served);
    }
}

#[expect(clippy::print_stdout, reason = "what was measured")]
fn tell(text: &str) {
    println!("{text}");
}
