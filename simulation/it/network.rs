//! Connections, and what goes wrong with them.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use dialback_runtime::{Listener, PeerAddr, Runtime, Socket, TcpOptions};
use dialback_simulation::{Host, PathConfig, SimulatedListener, SimulatedStream, Simulation, Told};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
/// A way without chance: a millisecond, and a million bytes a second.
const PLAIN: PathConfig = PathConfig {
    latency: MILLISECOND,
    jitter: Duration::ZERO,
    bytes_per_second: 1_000_000,
    buffer_bytes: 64 * 1024,
};

/// Two hosts and a connection between them.
struct Pair {
    near: Host,
    far: Host,
    listener: SimulatedListener,
    client: SimulatedStream,
    server: SimulatedStream,
}

impl Pair {
    async fn new(simulation: &Simulation) -> Self {
        let (near, far) = (simulation.host("near"), simulation.host("far"));
        simulation.set_path(&near, &far, PLAIN);
        let listener = far.listen_tcp(far.address(80)).unwrap();
        let client = near.connect_tcp(far.address(80)).await.unwrap();
        let (server, peer) = listener.accept().await.unwrap();
        assert_eq!(peer, PeerAddr::Tcp(near.address(32_768)));
        Self {
            near,
            far,
            listener,
            client,
            server,
        }
    }
}

#[test]
fn bytes_take_the_time_of_the_path() {
    Simulation::run(1, async |simulation| {
        let mut pair = Pair::new(simulation).await;
        // There and back again.
        assert_eq!(simulation.elapsed(), 2 * MILLISECOND);
        pair.client.write_all(&[7; 10_000]).await.unwrap();
        let mut received = [0; 10_000];
        pair.server.read_exact(&mut received).await.unwrap();
        assert_eq!(received, [7; 10_000]);
        assert_eq!(simulation.elapsed(), 13 * MILLISECOND);
    });
}

#[test]
fn connections_share_the_bandwidth_of_their_path() {
    Simulation::run(1, async |simulation| {
        let mut pair = Pair::new(simulation).await;
        let mut second = pair.near.connect_tcp(pair.far.address(80)).await.unwrap();
        let (mut accepted, _) = pair.listener.accept().await.unwrap();
        let start = simulation.elapsed();
        pair.client.write_all(&[1; 30_000]).await.unwrap();
        second.write_all(&[2]).await.unwrap();
        accepted.read_u8().await.unwrap();
        assert!(simulation.elapsed() - start > 30 * MILLISECOND);
    });
}

#[test]
fn a_writer_waits_for_its_reader() {
    Simulation::run(1, async |simulation| {
        let mut pair = Pair::new(simulation).await;
        let bytes = vec![1; PLAIN.buffer_bytes];
        pair.client.write_all(&bytes).await.unwrap();
        let more = simulation.within(SECOND, pair.client.write_u8(2)).await;
        assert!(more.is_none());
        let mut received = vec![0; PLAIN.buffer_bytes];
        pair.server.read_exact(&mut received).await.unwrap();
        pair.client.write_u8(2).await.unwrap();
        assert_eq!(pair.server.read_u8().await.unwrap(), 2);
    });
}

#[test]
fn each_direction_ends_by_itself() {
    Simulation::run(1, async |simulation| {
        let Pair {
            mut client,
            mut server,
            near,
            far,
            ..
        } = Pair::new(simulation).await;
        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        let mut text = String::new();
        server.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "question");
        server.write_all(b"answer").await.unwrap();
        drop(server);
        text.clear();
        client.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "answer");
        drop(client);
        assert_eq!((near.socket_count(), far.socket_count()), (0, 0));
    });
}

#[test]
fn what_nobody_reads_makes_a_close_a_reset() {
    Simulation::run(1, async |simulation| {
        let Pair {
            mut client,
            mut server,
            ..
        } = Pair::new(simulation).await;
        client.write_all(b"unread").await.unwrap();
        server.write_all(b"read").await.unwrap();
        simulation.sleep(SECOND).await;
        drop(server);
        simulation.sleep(SECOND).await;
        // What came before is not lost.
        let mut text = [0; 4];
        client.read_exact(&mut text).await.unwrap();
        assert_eq!(&text, b"read");
        let error = client.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        // It is told once.
        assert_eq!(client.read(&mut text).await.unwrap(), 0);
        let error = client.write_u8(0).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_close_can_be_a_reset() {
    Simulation::run(1, async |simulation| {
        let mut pair = Pair::new(simulation).await;
        pair.client.reset_on_close().unwrap();
        drop(pair.client);
        let error = pair.server.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn who_writes_to_a_closed_socket_is_told() {
    Simulation::run(1, async |simulation| {
        let mut pair = Pair::new(simulation).await;
        drop(pair.server);
        simulation.sleep(SECOND).await;
        pair.client.write_u8(1).await.unwrap();
        simulation.sleep(SECOND).await;
        let error = pair.client.write_u8(2).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn where_nobody_listens_a_connection_is_refused() {
    Simulation::run(1, async |simulation| {
        let (near, far) = (simulation.host("near"), simulation.host("far"));
        let refused = near.connect_tcp(far.address(80)).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        let listener = far.listen_tcp(far.address(0)).unwrap();
        let address = listener.local_addr().unwrap();
        near.connect_tcp(address).await.unwrap();
        let taken = far.listen_tcp(address).unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::AddrInUse);
        drop(listener);
        far.listen_tcp(address).unwrap();
    });
}

#[test]
fn where_nobody_is_a_connection_times_out() {
    Simulation::run(1, async |simulation| {
        let near = simulation.host("near");
        let nowhere = "192.0.2.1:80".parse().unwrap();
        let error = near.connect_tcp(nowhere).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(simulation.elapsed(), 127 * SECOND);
    });
}

#[test]
fn a_full_backlog_is_tried_again() {
    Simulation::run(1, async |simulation| {
        let (near, far) = (simulation.host("near"), simulation.host("far"));
        simulation.set_path(&near, &far, PLAIN);
        let listener = far.listen_with_backlog(far.address(80), 1).unwrap();
        let _first = near.connect_tcp(far.address(80)).await.unwrap();
        let second = near.connect_tcp(far.address(80));
        assert!(simulation.within(SECOND / 2, second).await.is_none());
        let accept = async {
            simulation.sleep(SECOND / 2).await;
            listener.accept().await.unwrap()
        };
        let (connected, _) = tokio::join!(near.connect_tcp(far.address(80)), accept);
        connected.unwrap();
        assert_eq!(simulation.elapsed(), SECOND * 3 / 2 + 4 * MILLISECOND);
    });
}

#[test]
fn a_partition_holds_bytes_back() {
    Simulation::run(1, async |simulation| {
        let mut pair = Pair::new(simulation).await;
        simulation.partition(&pair.near, &pair.far);
        pair.client.write_u8(1).await.unwrap();
        let none = simulation.within(SECOND, pair.server.read_u8()).await;
        assert!(none.is_none());
        simulation.heal(&pair.near, &pair.far);
        assert_eq!(pair.server.read_u8().await.unwrap(), 1);
        assert!(simulation.elapsed() < SECOND + 10 * MILLISECOND);
    });
}

#[test]
fn one_direction_can_be_blocked() {
    Simulation::run(1, async |simulation| {
        let mut pair = Pair::new(simulation).await;
        simulation.block(&pair.near, &pair.far);
        pair.server.write_u8(1).await.unwrap();
        assert_eq!(pair.client.read_u8().await.unwrap(), 1);
        pair.client.write_u8(2).await.unwrap();
        let none = simulation.within(SECOND, pair.server.read_u8()).await;
        assert!(none.is_none());
    });
}

#[test]
fn who_is_not_acknowledged_gives_up_after_the_user_timeout() {
    Simulation::run(1, async |simulation| {
        let mut pair = Pair::new(simulation).await;
        pair.client.set_tcp_options(&TcpOptions::grpc()).unwrap();
        simulation.partition(&pair.near, &pair.far);
        let start = simulation.elapsed();
        pair.client.write_u8(1).await.unwrap();
        let error = pair.client.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let took = simulation.elapsed() - start;
        assert_eq!(took.as_secs(), 20);
        // The other end is told when it is reached again.
        simulation.heal(&pair.near, &pair.far);
        pair.server.write_u8(1).await.unwrap();
        let error = pair.server.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn keepalive_finds_a_peer_that_is_gone_without_a_word() {
    Simulation::run(1, async |simulation| {
        let mut pair = Pair::new(simulation).await;
        pair.client.set_tcp_options(&TcpOptions::default()).unwrap();
        let start = simulation.elapsed();
        simulation.power_off(&pair.far);
        let error = pair.client.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(simulation.elapsed() - start, 150 * SECOND);
    });
}

#[test]
fn a_host_that_was_switched_off_knows_of_no_connection() {
    Simulation::run(1, async |simulation| {
        let mut pair = Pair::new(simulation).await;
        simulation.power_off(&pair.far);
        pair.client.write_u8(1).await.unwrap();
        simulation.sleep(SECOND).await;
        simulation.power_on(&pair.far);
        let error = pair.client.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_cut_connection_is_told_to_whom_it_may() {
    for (told, client_hears, server_hears) in [
        (Told::Both, true, true),
        (Told::First, true, false),
        (Told::Second, false, true),
        (Told::Neither, false, false),
    ] {
        Simulation::run(1, async |simulation| {
            let mut pair = Pair::new(simulation).await;
            simulation.cut(&pair.near, &pair.far, told);
            let client = simulation.within(SECOND, pair.client.read_u8()).await;
            assert_eq!(client.is_some(), client_hears, "{told:?}");
            let server = simulation.within(SECOND, pair.server.read_u8()).await;
            assert_eq!(server.is_some(), server_hears, "{told:?}");
            // The path itself is sound.
            pair.near.connect_tcp(pair.far.address(80)).await.unwrap();
        });
    }
}

#[test]
fn a_killed_process_leaves_its_sockets_to_the_system() {
    Simulation::run(1, async |simulation| {
        let mut pair = Pair::new(simulation).await;
        let mut server = pair.server;
        pair.far.spawn(async move {
            server.write_all(b"last words").await.unwrap();
            std::future::pending::<()>().await;
        });
        simulation.sleep(SECOND).await;
        simulation.kill(&pair.far);
        let mut words = String::new();
        pair.client.read_to_string(&mut words).await.unwrap();
        assert_eq!(words, "last words");
    });
}

#[test]
fn a_balancer_knows_its_targets_only() {
    Simulation::run(1, async |simulation| {
        let near = simulation.host("near");
        let balancer = "10.99.0.1:80".parse().unwrap();
        let hosts = ["one", "two"].map(|name| simulation.host(name));
        let listeners = hosts
            .each_ref()
            .map(|host| host.listen_tcp(host.address(80)).unwrap());
        simulation.balance(
            balancer,
            hosts.iter().map(|host| host.address(80)).collect(),
        );
        for _ in 0..20 {
            near.connect_tcp(balancer).await.unwrap();
        }
        for listener in &listeners {
            let accepted = simulation.within(SECOND, listener.accept()).await;
            accepted.unwrap().unwrap();
        }
        simulation.balance(balancer, vec![near.address(80)]);
        near.connect_tcp(balancer).await.unwrap_err();
    });
}

#[test]
fn names_are_looked_up_and_unix_sockets_found_by_their_path() {
    Simulation::run(1, async |simulation| {
        let host = simulation.host("host");
        let found = host.look_up("host", 7).await.unwrap();
        assert_eq!(found, [host.address(7)]);
        host.look_up("nobody", 7).await.unwrap_err();
        let path = Path::new("/run/dialback");
        let listener = host.listen_unix(path).unwrap();
        let mut client = host.connect_unix(path).await.unwrap();
        let (mut server, peer) = listener.accept().await.unwrap();
        assert_eq!(peer, PeerAddr::Unix);
        client.write_u8(1).await.unwrap();
        assert_eq!(server.read_u8().await.unwrap(), 1);
    });
}

#[test]
fn keepalive_finds_a_peer_that_knows_of_no_connection() {
    Simulation::run(1, async |simulation| {
        let mut pair = Pair::new(simulation).await;
        pair.client.set_tcp_options(&TcpOptions::default()).unwrap();
        let start = simulation.elapsed();
        simulation.cut(&pair.near, &pair.far, Told::Second);
        let error = pair.client.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_eq!(simulation.elapsed() - start, 15 * SECOND);
    });
}
