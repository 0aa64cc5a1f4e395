//! Agents and servers that are replaced while others use them.

use std::net::SocketAddr;
use std::time::Duration;

use dialback_runtime::server::ServerConfig;
use dialback_simulation::Simulation;
use dialback_simulation::cast::{
    AgentOptions, Job, SERVER_NAME, ServerOptions, SimulatedAgent, SimulatedServer, Way, start,
};

use super::replay;
use crate::world::{World, exchange, nothing_left};

/// Calls a webhook every 50 ms; all calls are to succeed, in two seconds each.
fn webhook(simulation: &Simulation, world: &World<'_>, way: Way, address: &str) -> Job<()> {
    let (simulation, dialer) = (simulation.clone(), world.dialer(way));
    let address = address.to_owned();
    start(&world.frontend, async move {
        for call in 0..1200 {
            let limit = Duration::from_secs(2);
            let called = simulation.within(limit, async {
                let mut stream = dialer.dial(&address).await.unwrap();
                exchange(&mut stream, b"AdmissionReview").await;
            });
            assert!(called.await.is_some(), "call {call} took too long");
            simulation.sleep(Duration::from_millis(50)).await;
        }
    })
}

/// Konnectivity issue 566: webhook calls were lost whenever agents were rolled, and policies that fail open with them.
#[test]
fn rolling_the_agents_loses_no_call() {
    let test = "rollout::rolling_the_agents_loses_no_call";
    replay(test, async |simulation| {
        let world = World::new(simulation).await;
        let echo = world.echo(7);
        let server = &world.server.server;
        let calls = Way::ALL.map(|way| webhook(simulation, &world, way, &echo));
        let mut running: Option<SimulatedAgent> = None;
        for generation in 2..8 {
            let id = format!("agent-{generation}");
            let host = simulation.host(&id);
            let next = SimulatedAgent::start(&host, &id, AgentOptions::default());
            let ready = || next.agent.connected() == 1;
            simulation
                .eventually("the next agent is ready", ready)
                .await;
            simulation.sleep(Duration::from_secs(1)).await;
            // What the daemon does when it is asked to end.
            let old = running.as_ref().unwrap_or(&world.agent);
            old.agent.drain();
            simulation.sleep(Duration::from_secs(5)).await;
            let idle = || old.agent.stream_count() == 0;
            simulation.eventually("the old agent is idle", idle).await;
            old.agent.stop();
            let gone = || server.tunnel_count() == 1;
            simulation.eventually("the old agent is gone", gone).await;
            running = Some(next);
        }
        for call in calls {
            call.await.unwrap();
        }
        running.unwrap().agent.stop();
        world.end().await;
    });
}

/// Konnectivity issue 739: agents never found the servers that were added behind a load balancer.
#[test]
fn agents_find_all_servers_when_two_become_six() {
    let test = "rollout::agents_find_all_servers_when_two_become_six";
    replay(test, async |simulation| {
        let balancer: SocketAddr = "10.255.0.1:8091".parse().unwrap();
        simulation.set_name(SERVER_NAME, vec![balancer.ip()]);
        let generation = |name: &str, count: u8| -> Vec<SimulatedServer> {
            (0..count)
                .map(|index| {
                    let id = format!("{name}-{index}");
                    let config = ServerConfig {
                        server_count: count.into(),
                        ..ServerConfig::default()
                    };
                    let options = ServerOptions {
                        config,
                        ..ServerOptions::default()
                    };
                    SimulatedServer::start(&simulation.host(&id), &id, options)
                })
                .collect()
        };
        let balance = |servers: &[SimulatedServer]| {
            let targets = servers.iter().map(SimulatedServer::agent_address);
            simulation.balance(balancer, targets.collect());
        };
        let old = generation("old", 2);
        balance(&old);
        let agents: Vec<_> = (0..5)
            .map(|index| {
                let id = format!("agent-{index}");
                SimulatedAgent::start(&simulation.host(&id), &id, AgentOptions::default())
            })
            .collect();
        let connected = |count| agents.iter().all(|agent| agent.agent.connected() == count);
        simulation
            .eventually("agents know two servers", || connected(2))
            .await;
        let new = generation("new", 6);
        balance(&new);
        for server in &old {
            assert!(server.stop(Duration::from_secs(1)).await.is_some());
        }
        simulation
            .eventually("agents know six servers", || connected(6))
            .await;
        for server in &new {
            assert_eq!(server.server.tunnel_count(), agents.len());
        }
        for agent in &agents {
            agent.agent.stop();
        }
        for server in old.iter().chain(&new) {
            let _ = server.stop(Duration::ZERO).await;
            nothing_left(simulation, &server.host).await;
        }
    });
}
