//! Connections that stay open and carry nothing, in one direction or both.

use std::time::Duration;

use dialback_fault_relay::Direction;
use dialback_tests::agent::AgentOptions;
use dialback_tests::endpoint::{Endpoint, pattern};
use dialback_tests::frontend::{connect, exchange};
use dialback_tests::run::run;
use dialback_tests::server::ServerOptions;

use super::Path;

/// A path whose ends do not wait long for a peer that has fallen silent.
async fn impatient() -> Path {
    let (mut server, mut agent) = (ServerOptions::default(), AgentOptions::default());
    for session in [&mut server.config.link.session, &mut agent.link.session] {
        session.silence_timeout = Duration::from_millis(300);
        session.idle_probe = Duration::from_millis(300);
    }
    Path::start(server, agent).await
}

/// Neither side is told that the connection is dead; both find out, and the streams go on over another one.
#[test]
fn a_connection_that_has_fallen_silent_is_replaced() {
    run(async |log| {
        let path = impatient().await;
        let echo = Endpoint::echo().await;
        let mut stream = connect(&path.server.socket(), &echo.address.to_string())
            .await
            .unwrap();
        exchange(&mut stream, b"before").await;
        path.relay.strand();
        exchange(&mut stream, &pattern(100_000)).await;
        assert_eq!(path.relay.accepted(), 2);
        log.tells(&["does not answer"]).await;
        drop(stream);
        path.end().await;
    });
}

/// Nothing is under way, so nobody misses anything; a probe finds the connection dead all the same.
#[test]
fn an_idle_connection_that_has_fallen_silent_is_replaced() {
    run(async |log| {
        let path = impatient().await;
        let echo = Endpoint::echo().await;
        let mut stream = connect(&path.server.socket(), &echo.address.to_string())
            .await
            .unwrap();
        exchange(&mut stream, b"before").await;
        path.relay.strand();
        log.tells(&["tunnel resumed"]).await;
        exchange(&mut stream, b"after").await;
        drop(stream);
        path.end().await;
    });
}

/// Each side in turn still sends and hears nothing.
#[test]
fn a_connection_that_carries_one_way_only_is_replaced() {
    run(async |_| {
        for deaf in [Direction::Forth, Direction::Back] {
            let path = impatient().await;
            let echo = Endpoint::echo().await;
            let mut stream = connect(&path.server.socket(), &echo.address.to_string())
                .await
                .unwrap();
            exchange(&mut stream, b"before").await;
            path.relay.strand_one_way(deaf);
            exchange(&mut stream, &pattern(50_000)).await;
            drop(stream);
            path.end().await;
        }
    });
}
