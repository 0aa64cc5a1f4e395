//! Servers and agents that stop: no stream, no tunnel and no task is left.

use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use dialback_runtime::Runtime;
use dialback_tests::endpoint::{Endpoint, HangingPort, pattern};
use dialback_tests::pair::PairOptions;
use dialback_tests::tunnel::Tunnel;
use dialback_tests::world::World;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UnixStream};

use super::KINDS;

pub(super) async fn nothing_is_left_of_what_stops_while_idle<R: Runtime>(world: &World<R>) {
    for (mode, plain) in KINDS {
        let mut options = PairOptions::default().mode(mode).plain(plain);
        options.agents = 2;
        let mut pair = world.pair(options).await;
        // An agent first, then the server, then the other agent.
        pair.agents.pop().unwrap().stop().await;
        pair.server.agents(1).await;
        pair.end().await;
        world.nothing_left().await;
    }
}

/// Has much to say, and more to come.
async fn unfinished() -> Endpoint {
    Endpoint::start(|mut socket| async move {
        let _ = socket.write_all(&pattern(2 << 20)).await;
        pending().await
    })
    .await
}

/// With streams open both ways, a dial pending, a request and a handshake that never come.
pub(super) async fn nothing_is_left_of_what_stops_in_the_middle<R: Runtime>(world: &World<R>) {
    for (mode, plain) in KINDS {
        for server_first in [true, false] {
            let pair = world
                .pair(PairOptions::default().mode(mode).plain(plain))
                .await;
            let socket = pair.socket();
            let silent = UnixStream::connect(&socket).await.unwrap();
            let half = TcpStream::connect(pair.server.agent_address).await;
            let half = half.unwrap();
            let (echo, hanging) = (Endpoint::echo().await, HangingPort::start().await);
            let (source, hole) = (unfinished().await, Endpoint::black_hole().await);
            let mut open = Vec::new();
            for endpoint in [&echo, &source, &hole] {
                let tunnel = Tunnel::dial(mode, &socket, &endpoint.address.to_string()).await;
                open.push(tunnel.unwrap());
            }
            open[0].exchange(b"hello").await;
            let address = hanging.address.to_string();
            // Held, and not looked at again.
            let mut dial = pin!(Tunnel::dial(mode, &socket, &address));
            tokio::select! {
                _ = &mut dial => panic!("a dial that hangs was answered"),
                () = pair.agents[0].streams(4) => {}
            }
            let agent = pair.agents.into_iter().next().unwrap();
            if server_first {
                pair.server.stop(Duration::ZERO).await;
                agent.stop().await;
            } else {
                agent.stop().await;
                pair.server.agents(0).await;
                pair.server.streams(0).await;
                pair.server.stop(Duration::ZERO).await;
            }
            drop((open, silent, half));
            world.nothing_left().await;
        }
    }
}
