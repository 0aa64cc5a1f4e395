//! The server, the agent and the client as they are, on simulated hosts.

use dialback_simulation::cast::{AgentOptions, ServerOptions, Way};
use dialback_simulation::{EventLog, Simulation};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::world::{World, exchange, pattern};

/// Bytes there and back, both ways of dialling.
pub(crate) fn echo(seed: u64, plain: bool) -> EventLog {
    Simulation::run(seed, async |simulation| {
        let agent = AgentOptions {
            plain,
            ..AgentOptions::default()
        };
        let world = World::with(simulation, ServerOptions::default(), agent).await;
        let address = world.echo(7);
        for way in Way::ALL {
            let dialer = world.dialer(way);
            let mut stream = dialer.dial(&address).await.unwrap();
            for bytes in [1, 300_000, 10] {
                exchange(&mut stream, &pattern(bytes)).await;
            }
            stream.shutdown().await.unwrap();
            assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
        }
        world.end().await;
    })
}

#[test]
fn bytes_come_back_from_an_echo() {
    for plain in [false, true] {
        echo(1, plain);
    }
}
