//! Streams that end one direction at a time.

use dialback_simulation::cast::{Way, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::replay;
use crate::world::{World, pattern};

/// Konnectivity issue 80: a client that had sent all it had, and said so, never got the response.
#[test]
fn a_client_that_half_closes_gets_the_whole_response() {
    let test = "ends::a_client_that_half_closes_gets_the_whole_response";
    replay(test, async |simulation| {
        let world = World::new(simulation).await;
        serve(&world.endpoint, 9, |mut socket| async move {
            let mut request = Vec::new();
            socket.read_to_end(&mut request).await.unwrap();
            assert!(request == pattern(50_000), "{} bytes", request.len());
            socket.write_all(&pattern(700_000)).await.unwrap();
        });
        let address = world.endpoint.address(9).to_string();
        for way in Way::ALL {
            let mut stream = world.dialer(way).dial(&address).await.unwrap();
            stream.write_all(&pattern(50_000)).await.unwrap();
            stream.shutdown().await.unwrap();
            let mut response = Vec::new();
            stream.read_to_end(&mut response).await.unwrap();
            assert!(response == pattern(700_000), "{} bytes", response.len());
        }
        world.end().await;
    });
}
