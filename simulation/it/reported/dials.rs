//! Dials and connections that break off half-way.

use std::time::Duration;

use dialback_simulation::PathConfig;
use dialback_simulation::cast::{
    AgentOptions, SERVER_NAME, ServerOptions, SimulatedAgent, SimulatedServer, Way,
};

use super::replay;
use crate::world::{World, echo, nothing_left};

const MILLISECOND: Duration = Duration::from_millis(1);
/// Far away, so that every step takes its time.
const FAR: PathConfig = PathConfig {
    latency: Duration::from_millis(10),
    jitter: Duration::from_millis(1),
    bytes_per_second: 10_000_000,
    buffer_bytes: 256 * 1024,
};

/// Konnectivity issues 404 and 789: agents that died while they connected stayed in the server's tables.
#[test]
fn an_agent_that_dies_at_any_step_of_connecting_is_forgotten() {
    let test = "dials::an_agent_that_dies_at_any_step_of_connecting_is_forgotten";
    replay(test, async |simulation| {
        let host = simulation.host("server");
        simulation.set_name(SERVER_NAME, vec![host.address(0).ip()]);
        let server = SimulatedServer::start(&host, "server-1", ServerOptions::default());
        let mut connected = 0;
        // TCP, TLS, HTTP/2 and the call take half a dozen round trips of 20 ms.
        for step in 0..60 {
            for pulls_the_plug in [false, true] {
                let agent_host = simulation.host(&format!("agent-{step}-{pulls_the_plug}"));
                simulation.set_path(&host, &agent_host, FAR);
                let agent = SimulatedAgent::start(&agent_host, "agent", AgentOptions::default());
                simulation.sleep(3 * MILLISECOND * step).await;
                connected += agent.agent.connected();
                if pulls_the_plug {
                    simulation.power_off(&agent_host);
                } else {
                    simulation.kill(&agent_host);
                }
                drop(agent);
            }
        }
        assert!(connected > 0, "no agent got as far as that");
        // The handshake's limit, then keep-alive's, at the latest.
        simulation.sleep(Duration::from_secs(150)).await;
        assert_eq!(server.server.tunnel_count(), 0);
        assert_eq!(host.socket_count(), 0);
        assert!(server.stop(Duration::ZERO).await.is_some());
        nothing_left(simulation, &host).await;
    });
}

/// The same reports, from the other end: dials that nobody waits for any more stayed pending.
#[test]
fn a_dial_that_is_given_up_at_any_step_is_forgotten() {
    let test = "dials::a_dial_that_is_given_up_at_any_step_is_forgotten";
    replay(test, async |simulation| {
        let world = World::new(simulation).await;
        for (one, other) in [
            (&world.frontend, &world.server.host),
            (&world.server.host, &world.agent.host),
            (&world.agent.host, &world.endpoint),
        ] {
            simulation.set_path(one, other, FAR);
        }
        echo(&world.endpoint, 7);
        let address = world.endpoint.address(7).to_string();
        for way in Way::ALL {
            let dialer = world.dialer(way);
            let mut succeeded = 0;
            for step in 0..60 {
                let limit = 3 * MILLISECOND * step;
                let dialled = simulation.within(limit, dialer.dial(&address)).await;
                succeeded += usize::from(dialled.is_some());
            }
            assert!(succeeded > 0, "no dial got as far as that");
            let (server, agent) = (&world.server.server, &world.agent.agent);
            let forgotten = || {
                let streams = server.stream_count() + agent.stream_count();
                streams == 0 && world.endpoint.socket_count() == 0
            };
            simulation
                .eventually("dials are forgotten", forgotten)
                .await;
        }
        world.end().await;
    });
}
