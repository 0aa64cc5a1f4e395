//! All agents at once: a server that went away comes back, and everyone wants to be the first.

use std::time::Duration;

use dialback_simulation::Simulation;
use dialback_simulation::cast::{
    AgentOptions, SERVER_NAME, ServerOptions, SimulatedAgent, SimulatedServer,
};

/// How many agents there are, if not [`AGENTS`].
const COUNT: &str = "DIALBACK_STORM_AGENTS";
const AGENTS: usize = 300;

/// How long the server is away: all agents wait as long as they ever do by then.
const OUTAGE: Duration = Duration::from_secs(60);

/// `DIALBACK_STORM_AGENTS=5000 cargo test --release -p dialback-simulation storm -- --nocapture`
#[test]
fn every_agent_is_back_soon_after_its_server_is() {
    let agents = std::env::var(COUNT).map_or(AGENTS, |count| count.parse().unwrap());
    Simulation::run(1, async |simulation| {
        let server = |id: &str| {
            let host = simulation.host(id);
            let server = SimulatedServer::start(&host, id, ServerOptions::default());
            simulation.set_name(SERVER_NAME, vec![server.agent_address().ip()]);
            server
        };
        let first = server("server-1");
        let agents: Vec<_> = (0..agents)
            .map(|index| {
                let id = format!("agent-{index}");
                SimulatedAgent::start(&simulation.host(&id), &id, AgentOptions::default())
            })
            .collect();
        let connected = |server: &SimulatedServer| {
            server.server.tunnel_count() == agents.len()
                && agents.iter().all(|agent| agent.agent.connected() == 1)
        };
        let all = || connected(&first);
        simulation.eventually("all agents are connected", all).await;
        let start = simulation.elapsed();

        simulation.kill(&first.host);
        let none = || agents.iter().all(|agent| agent.agent.connected() == 0);
        simulation.eventually("all agents have noticed", none).await;
        simulation.sleep(OUTAGE).await;
        let second = server("server-2");
        let since = simulation.elapsed();
        let all = || connected(&second);
        simulation.eventually("all agents are back", all).await;
        let back = simulation.elapsed() - since;
        report(agents.len(), start, back);
        // The longest pause between attempts, with its jitter, and what a full back-log costs.
        assert!(back < Duration::from_secs(15), "{back:?}");
        for agent in &agents {
            agent.agent.stop();
        }
    });
}

#[expect(clippy::print_stdout, reason = "what was measured")]
fn report(agents: usize, start: Duration, back: Duration) {
    println!("{agents} agents: connected after {start:?}, back after {back:?} of virtual time");
}
