//! Agents and servers that wind down.

use std::time::Duration;

use dialback_runtime::Runtime;
use dialback_runtime::server::Stopped;
use dialback_tests::agent::AgentOptions;
use dialback_tests::endpoint::{Endpoint, pattern};
use dialback_tests::pair::{Pair, PairOptions};
use dialback_tests::tunnel::Tunnel;
use dialback_tests::wait::eventually;
use dialback_tests::world::World;
use tokio::net::TcpStream;
use tracing::Level;

use super::KINDS;

pub(super) async fn a_draining_agent_keeps_its_streams_and_gets_no_new_ones<R: Runtime>(
    world: &World<R>,
) {
    for (mode, plain) in KINDS {
        let mut pair = world
            .pair(PairOptions::default().mode(mode).plain(plain))
            .await;
        let echo = Endpoint::echo().await;
        let address = echo.address.to_string();
        let old = Tunnel::dial(mode, &pair.socket(), &address).await;
        let mut old = old.unwrap();
        let told = || world.log.count(Level::INFO, &["agent is draining"]);
        let before = told();
        pair.agents[0].agent.drain();
        eventually("the server knows", || told() > before).await;
        let options = AgentOptions {
            id: "another".to_owned(),
            plain,
            ..AgentOptions::default()
        };
        let another = world.agent(&pair.pki, pair.server.agent_address, options);
        pair.server.agents(2).await;
        let fresh = Tunnel::dial(mode, &pair.socket(), &address).await;
        let mut fresh = fresh.unwrap();
        assert_eq!(another.agent.stream_count(), 1);
        for tunnel in [&mut old, &mut fresh] {
            tunnel.exchange(&pattern(100_000)).await;
        }
        old.close().await;
        fresh.close().await;
        pair.agents.push(another);
        pair.end().await;
    }
}

pub(super) async fn a_stopping_server_lets_its_streams_finish<R: Runtime>(world: &World<R>) {
    for (mode, plain) in KINDS {
        let pair = world
            .pair(PairOptions::default().mode(mode).plain(plain))
            .await;
        let echo = Endpoint::echo().await;
        let address = echo.address.to_string();
        let open = Tunnel::dial(mode, &pair.socket(), &address).await;
        let mut open = open.unwrap();
        let Pair { server, agents, .. } = pair;
        let tcp = server.tcp;
        let (stopped, ()) = tokio::join!(server.stop(Duration::from_secs(3600)), async {
            // The listeners are closed first.
            while TcpStream::connect(tcp).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            open.exchange(&pattern(100_000)).await;
            open.close().await;
        });
        assert_eq!(stopped, Stopped::Idle);
        for agent in agents {
            agent.stop().await;
        }
    }
}
