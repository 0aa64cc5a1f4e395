//! Agents that lose their server, or have none yet.

use std::io::ErrorKind;
use std::time::Duration;

use dialback_runtime::Runtime;
use dialback_tests::agent::AgentOptions;
use dialback_tests::endpoint::{Endpoint, pattern};
use dialback_tests::pki::Pki;
use dialback_tests::relay::Relay;
use dialback_tests::server::ServerOptions;
use dialback_tests::tunnel::Tunnel;
use dialback_tests::wait::within;
use dialback_tests::world::World;

use super::KINDS;

/// Both ends of every stream are told, and the agent comes back.
pub(super) async fn a_tunnel_that_is_cut_ends_its_streams_and_is_replaced<R: Runtime>(
    world: &World<R>,
) {
    for (mode, plain) in KINDS {
        let pki = Pki::new();
        let options = ServerOptions {
            mode,
            plain,
            ..ServerOptions::default()
        };
        let server = world.server(&pki, options);
        let relay = Relay::start(vec![server.agent_address]).await;
        let mut options = AgentOptions {
            plain,
            ..AgentOptions::default()
        };
        options.link.session.timeout = Duration::ZERO;
        let agent = world.agent(&pki, relay.address, options);
        let (echo, (sink, mut delivered)) = (Endpoint::echo().await, Endpoint::sink().await);
        for _ in 0..2 {
            server.agents(1).await;
            agent.connected(1).await;
            let idle = Tunnel::dial(mode, &server.socket(), &echo.address.to_string()).await;
            let mut idle = idle.unwrap();
            idle.exchange(&pattern(100_000)).await;
            let upload = Tunnel::dial(mode, &server.socket(), &sink.address.to_string()).await;
            let mut upload = upload.unwrap();
            upload.send(b"half of it").await.unwrap();
            server.streams(2).await;
            agent.streams(2).await;
            relay.cut();
            for tunnel in [&mut idle, &mut upload] {
                // A Unix socket knows no reset, but nothing came.
                assert_eq!(tunnel.rest().await.unwrap_or_default(), b"");
            }
            // An endpoint must not take a broken stream for a whole one.
            let delivery = within("the endpoint's end", delivered.recv()).await;
            let end = delivery.unwrap().end.unwrap_err();
            assert_eq!(end.kind(), ErrorKind::ConnectionReset);
            agent.streams(0).await;
            server.streams(0).await;
        }
        server.agents(1).await;
        let fresh = Tunnel::dial(mode, &server.socket(), &echo.address.to_string()).await;
        let mut fresh = fresh.unwrap();
        fresh.exchange(b"back").await;
        fresh.close().await;
        server.stop(Duration::ZERO).await;
        agent.stop().await;
    }
}

pub(super) async fn an_agent_finds_a_server_that_starts_later<R: Runtime>(world: &World<R>) {
    let pki = Pki::new();
    // A place that is known before anybody listens behind it.
    let first = world.server(&pki, ServerOptions::default());
    let second = ServerOptions {
        id: "server-2".to_owned(),
        ..ServerOptions::default()
    };
    let second = world.server(&pki, second);
    let relay = Relay::start(vec![first.agent_address, second.agent_address]).await;
    first.stop(Duration::ZERO).await;
    let agent = world.agent(&pki, relay.address, AgentOptions::default());
    second.agents(1).await;
    agent.connected(1).await;
    assert!(relay.accepted() >= 2);
    agent.stop().await;
    second.stop(Duration::ZERO).await;
}

/// Neither end of any stream notices that the connection under the tunnel was cut.
pub(super) async fn streams_go_on_over_the_next_connection<R: Runtime>(world: &World<R>) {
    for (mode, plain) in KINDS {
        if plain {
            continue;
        }
        let pki = Pki::new();
        let options = ServerOptions {
            mode,
            ..ServerOptions::default()
        };
        let server = world.server(&pki, options);
        let relay = Relay::start(vec![server.agent_address]).await;
        let agent = world.agent(&pki, relay.address, AgentOptions::default());
        server.agents(1).await;
        let (echo, (sink, mut delivered)) = (Endpoint::echo().await, Endpoint::sink().await);
        let idle = Tunnel::dial(mode, &server.socket(), &echo.address.to_string()).await;
        let mut idle = idle.unwrap();
        let upload = Tunnel::dial(mode, &server.socket(), &sink.address.to_string()).await;
        let mut upload = upload.unwrap();
        for round in 0..3 {
            upload.send(&pattern(300_000)).await.unwrap();
            idle.exchange(&pattern(100_000 + round)).await;
            relay.cut();
        }
        idle.exchange(b"still there").await;
        upload.close().await;
        let delivery = within("the endpoint's end", delivered.recv())
            .await
            .unwrap();
        delivery.end.unwrap();
        assert!(delivery.bytes == pattern(300_000).repeat(3));
        idle.close().await;
        server.streams(0).await;
        agent.streams(0).await;
        server.stop(Duration::ZERO).await;
        agent.stop().await;
    }
}
