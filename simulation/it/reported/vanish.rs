//! Agents that vanish without a word.

use std::time::Duration;

use dialback_simulation::cast::{AgentOptions, ServerOptions, SimulatedAgent, Way};

use super::replay;
use crate::world::{World, exchange};

/// Konnectivity issue 152: an agent whose machine was gone was still chosen for dials, which all hung.
#[test]
fn an_agent_whose_plug_is_pulled_gets_no_dials_after_half_a_minute() {
    let test = "vanish::an_agent_whose_plug_is_pulled_gets_no_dials_after_half_a_minute";
    replay(test, async |simulation| {
        for plain in [false, true] {
            let options = AgentOptions {
                plain,
                ..AgentOptions::default()
            };
            let prefix = if plain { "plain" } else { "ours" };
            let world = World::with(simulation, ServerOptions::default(), options.clone()).await;
            let second = simulation.host(&format!("{prefix} agent-2"));
            let second = SimulatedAgent::start(&second, "agent-2", options);
            let server = &world.server.server;
            let both = || server.tunnel_count() == 2;
            simulation
                .eventually("two agents are connected", both)
                .await;
            let echo = world.echo(7);
            let dialer = world.dialer(Way::Connect);
            // Where an agent says nothing by itself, keep-alive of TCP takes a little longer.
            let noticed = Duration::from_secs(if plain { 36 } else { 26 });
            simulation.power_off(&world.agent.host);
            simulation.sleep(noticed).await;
            for _ in 0..50 {
                let begin = simulation.elapsed();
                let mut stream = dialer.dial(&echo).await.unwrap();
                exchange(&mut stream, b"hello").await;
                let took = simulation.elapsed() - begin;
                assert!(took < Duration::from_millis(100), "a dial took {took:?}");
            }
            let forgotten = || server.tunnel_count() == 1;
            simulation
                .eventually("the tunnel is forgotten", forgotten)
                .await;
            second.agent.stop();
            world.end().await;
        }
    });
}
