//! Streams that nobody reads, and dials that nobody answers, keep nobody else waiting.

use std::time::Duration;

use dialback_runtime::Runtime as _;
use dialback_runtime::connectivity::Dialer;
use dialback_simulation::cast::{Job, Way, serve, start};
use dialback_simulation::{Host, Simulation};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::replay;
use crate::world::{World, exchange};

/// The longest of `count` requests, each over a connection of its own, as `kubectl exec` makes them.
async fn slowest_request(
    simulation: &Simulation,
    dialer: &Dialer<Host>,
    address: &str,
    count: u32,
) -> Duration {
    let mut slowest = Duration::ZERO;
    for _ in 0..count {
        let begin = simulation.elapsed();
        let mut stream = dialer.dial(address).await.unwrap();
        exchange(&mut stream, b"uptime").await;
        slowest = slowest.max(simulation.elapsed() - begin);
        simulation.sleep(Duration::from_millis(20)).await;
    }
    slowest
}

/// Konnectivity issue 881: one client that stopped reading blocked the agent's whole tunnel.
#[test]
fn a_frozen_reader_makes_nobody_else_wait() {
    let test = "isolation::a_frozen_reader_makes_nobody_else_wait";
    replay(test, async |simulation| {
        let world = World::new(simulation).await;
        let echo = world.echo(7);
        serve(&world.endpoint, 9, |mut socket| async move {
            while socket.write_all(&[0; 16 * 1024]).await.is_ok() {}
        });
        for way in Way::ALL {
            let dialer = world.dialer(way);
            let before = slowest_request(simulation, &dialer, &echo, 20).await;
            let endless = world.endpoint.address(9).to_string();
            let frozen = dialer.dial(&endless).await.unwrap();
            // Everything between the endpoint and the frontend fills up.
            simulation.sleep(Duration::from_secs(2)).await;
            let beside = slowest_request(simulation, &dialer, &echo, 100).await;
            assert!(
                beside < before + Duration::from_millis(2),
                "{before:?}, then {beside:?}"
            );
            drop(frozen);
        }
        world.end().await;
    });
}

/// Konnectivity issue 268: an APIService whose address was a black hole was dialled all the time, and `kubectl exec`
/// waited behind those dials.
#[test]
fn dials_into_a_black_hole_make_nobody_else_wait() {
    let test = "isolation::dials_into_a_black_hole_make_nobody_else_wait";
    replay(test, async |simulation| {
        let world = World::new(simulation).await;
        let echo = world.echo(7);
        for way in Way::ALL {
            let dialer = world.dialer(way);
            let before = slowest_request(simulation, &dialer, &echo, 20).await;
            let dials: Vec<Job<()>> = (0..300)
                .map(|index| dial_into_nothing(&world.frontend, dialer.clone(), index))
                .collect();
            // The dials are spread over half a minute, five seconds of which are under way at a time.
            simulation.sleep(Duration::from_secs(6)).await;
            let beside = slowest_request(simulation, &dialer, &echo, 100).await;
            assert!(
                beside < before + Duration::from_millis(2),
                "{before:?}, then {beside:?}"
            );
            for dial in dials {
                dial.await.unwrap();
            }
        }
        world.end().await;
    });
}

fn dial_into_nothing(host: &Host, dialer: Dialer<Host>, index: u32) -> Job<()> {
    let runtime = host.clone();
    start(host, async move {
        let at = runtime.now() + Duration::from_millis(100) * index;
        runtime.sleep_until(at).await;
        let begin = runtime.now();
        let refused = dialer.dial("192.0.2.1:443").await.unwrap_err();
        assert!(refused.to_string().contains("i/o timeout"), "{refused}");
        // The agent's own bound, not somebody's who gave up waiting for it.
        let took = runtime.now() - begin;
        assert_eq!(took.as_secs(), 5);
    })
}

/// Konnectivity issue 167: clients that left in the middle of `kubectl logs -f` left connections behind, until nothing
/// worked any more.
#[test]
fn clients_that_leave_while_they_are_sent_to_leave_nothing_behind() {
    let test = "isolation::clients_that_leave_while_they_are_sent_to_leave_nothing_behind";
    replay(test, async |simulation| {
        let world = World::new(simulation).await;
        let echo = world.echo(7);
        let pace = world.endpoint.clone();
        serve(&world.endpoint, 9, move |mut socket| {
            let pace = pace.clone();
            async move {
                while socket.write_all(&[0; 3000]).await.is_ok() {
                    pace.sleep_until(pace.now() + Duration::from_millis(3))
                        .await;
                }
            }
        });
        for way in Way::ALL {
            let dialer = world.dialer(way);
            let mut steady = dialer.dial(&echo).await.unwrap();
            let logs = world.endpoint.address(9).to_string();
            let followers: Vec<_> = (0..100)
                .map(|index| {
                    let (dialer, logs, runtime) =
                        (dialer.clone(), logs.clone(), world.frontend.clone());
                    start(&world.frontend, async move {
                        let mut stream = dialer.dial(&logs).await.unwrap();
                        let mut some = vec![0; 1000 * index];
                        stream.read_exact(&mut some).await.unwrap();
                        // Ctrl-C may come at any moment.
                        let moment = Duration::from_micros(777) * index as u32;
                        runtime.sleep_until(runtime.now() + moment).await;
                    })
                })
                .collect();
            for follower in followers {
                follower.await.unwrap();
                exchange(&mut steady, b"still there").await;
            }
            let server = &world.server.server;
            let gone = || server.stream_count() == 1 && world.endpoint.socket_count() == 1;
            simulation
                .eventually("the followers are forgotten", gone)
                .await;
        }
        world.end().await;
    });
}
