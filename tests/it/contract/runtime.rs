//! What the drivers rely on: tasks, timers, sockets, names.

use std::future::pending;
use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use dialback_runtime::http::{HttpLimits, Request, Response, serve_http};
use dialback_runtime::{Listener, PeerAddr, Runtime, Sleep, Socket, Task, TcpOptions, timeout_at};
use dialback_tests::endpoint::{ClosedPort, pattern};
use dialback_tests::observed::Observed;
use dialback_tests::world::World;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::oneshot;

/// Long enough to be noticed.
const MOMENT: Duration = Duration::from_millis(20);
/// Longer than any test may take.
const LONG: Duration = Duration::from_secs(3600);

const LOCALHOST: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

type Stream<R> = <R as Runtime>::TcpStream;

/// A connection's two ends: who accepted, who connected.
async fn tcp_pair<R: Runtime>(runtime: &R) -> (Stream<R>, PeerAddr, Stream<R>) {
    let listener = runtime.listen_tcp(LOCALHOST).unwrap();
    let address = listener.local_addr().unwrap();
    let (accepted, connected) = tokio::join!(listener.accept(), runtime.connect_tcp(address));
    let (accepted, peer) = accepted.unwrap();
    (accepted, peer, connected.unwrap())
}

pub(super) async fn a_task_runs_on_without_its_handle<R: Runtime>(world: &World<R>) {
    let (sender, receiver) = oneshot::channel();
    let runtime = world.runtime.clone();
    drop(world.runtime.spawn(async move {
        runtime.sleep_until(runtime.now()).await;
        sender.send(7).unwrap();
    }));
    assert_eq!(receiver.await, Ok(7));
}

pub(super) async fn an_aborted_task_is_dropped<R: Runtime>(world: &World<R>) {
    let (sender, receiver) = oneshot::channel::<()>();
    let task = world.runtime.spawn(async move {
        pending::<()>().await;
        drop(sender);
    });
    task.abort();
    assert!(receiver.await.is_err());
}

pub(super) async fn a_timer_fires_at_its_deadline<R: Runtime>(world: &World<R>) {
    let runtime = world.runtime.clone();
    let inside = async move {
        for wait in [MOMENT, Duration::ZERO] {
            let deadline = runtime.now() + wait;
            runtime.sleep_until(deadline).await;
            assert!(runtime.now() >= deadline);
        }
    };
    world.inside(inside).await;
}

pub(super) async fn a_timer_that_is_moved_forgets_the_old_deadline<R: Runtime>(world: &World<R>) {
    let runtime = world.runtime.clone();
    let inside = async move {
        let start = runtime.now();
        // Sooner than it was, after it was waited for once.
        let mut sleep = runtime.sleep_until(start + LONG);
        let waited = timeout_at(&runtime, start + MOMENT, &mut sleep).await;
        waited.unwrap_err();
        sleep.reset(start + 2 * MOMENT);
        (&mut sleep).await;
        assert!(runtime.now() >= start + 2 * MOMENT);
        // And later.
        let start = runtime.now();
        let mut sleep = runtime.sleep_until(start + MOMENT);
        sleep.reset(start + LONG);
        let waited = timeout_at(&runtime, start + 3 * MOMENT, &mut sleep).await;
        waited.unwrap_err();
    };
    world.inside(inside).await;
}

pub(super) async fn a_timer_can_be_used_again<R: Runtime>(world: &World<R>) {
    let runtime = world.runtime.clone();
    let inside = async move {
        let mut sleep = runtime.sleep_until(runtime.now());
        (&mut sleep).await;
        let deadline = runtime.now() + MOMENT;
        sleep.reset(deadline);
        (&mut sleep).await;
        assert!(runtime.now() >= deadline);
    };
    world.inside(inside).await;
}

pub(super) async fn both_ends_know_each_others_address<R>(world: &World<R>)
where
    R: Runtime<TcpStream: AsFd>,
{
    let runtime = world.runtime.clone();
    let inside = async move {
        let (_accepted, peer, connected) = tcp_pair(&runtime).await;
        let own = SockRef::from(&connected).local_addr().unwrap();
        assert_eq!(peer, PeerAddr::Tcp(own.as_socket().unwrap()));
    };
    world.inside(inside).await;
}

pub(super) async fn tcp_closes_one_direction_at_a_time<R: Runtime>(world: &World<R>) {
    let runtime = world.runtime.clone();
    let inside = async move {
        let (mut far, _, mut near) = tcp_pair(&runtime).await;
        near.write_all(b"question").await.unwrap();
        near.shutdown().await.unwrap();
        let mut received = Vec::new();
        far.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"question");
        far.write_all(b"answer").await.unwrap();
        drop(far);
        received.clear();
        near.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"answer");
    };
    world.inside(inside).await;
}

pub(super) async fn tcp_writes_are_vectored<R: Runtime>(world: &World<R>) {
    let runtime = world.runtime.clone();
    let inside = async move {
        let (mut far, _, mut near) = tcp_pair(&runtime).await;
        assert!(near.is_write_vectored());
        let parts = [IoSlice::new(b"head "), IoSlice::new(b"payload")];
        assert_eq!(near.write_vectored(&parts).await.unwrap(), 12);
        drop(near);
        let mut received = Vec::new();
        far.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"head payload");
    };
    world.inside(inside).await;
}

pub(super) async fn tcp_options_are_set<R>(world: &World<R>)
where
    R: Runtime<TcpStream: AsFd>,
{
    let runtime = world.runtime.clone();
    let inside = async move {
        let (_accepted, _, near) = tcp_pair(&runtime).await;
        near.set_tcp_options(&TcpOptions::grpc()).unwrap();
        let socket = SockRef::from(&near);
        assert!(socket.tcp_nodelay().unwrap());
        assert!(socket.keepalive().unwrap());
        let idle = socket.tcp_keepalive_time().unwrap();
        assert_eq!(idle, Duration::from_secs(15));
        let limit = socket.tcp_user_timeout().unwrap();
        assert_eq!(limit, Some(Duration::from_secs(20)));
    };
    world.inside(inside).await;
}

/// Both directions of both ends at once, each more than any buffer holds.
pub(super) async fn a_full_socket_takes_more_once_it_is_read<R: Runtime>(world: &World<R>) {
    const BYTES: usize = 16 << 20;
    async fn both_ways<S: Socket>(socket: S) {
        let (mut read, mut write) = tokio::io::split(socket);
        let bytes = pattern(BYTES);
        let mut got = vec![0; BYTES];
        let (wrote, was_read) = tokio::join!(write.write_all(&bytes), read.read_exact(&mut got));
        wrote.unwrap();
        was_read.unwrap();
        assert!(got == bytes);
    }
    let runtime = world.runtime.clone();
    let inside = async move {
        let (far, _, near) = tcp_pair(&runtime).await;
        tokio::join!(both_ways(far), both_ways(near));
    };
    world.inside(inside).await;
}

pub(super) async fn a_close_can_be_a_reset<R: Runtime>(world: &World<R>) {
    let runtime = world.runtime.clone();
    let inside = async move {
        let (near, _, mut far) = tcp_pair(&runtime).await;
        near.reset_on_close().unwrap();
        drop(near);
        let error = far.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    };
    world.inside(inside).await;
}

pub(super) async fn a_refused_connection_keeps_its_kind<R: Runtime>(world: &World<R>) {
    let closed = ClosedPort::new();
    let (runtime, address) = (world.runtime.clone(), closed.address);
    let inside = async move { runtime.connect_tcp(address).await.unwrap_err().kind() };
    let kind = world.inside(inside).await;
    assert_eq!(kind, io::ErrorKind::ConnectionRefused);
}

pub(super) async fn an_accept_that_is_given_up_loses_no_connection<R: Runtime>(world: &World<R>) {
    let runtime = world.runtime.clone();
    let inside = async move {
        let listener = runtime.listen_tcp(LOCALHOST).unwrap();
        let given_up = timeout_at(&runtime, runtime.now() + MOMENT, listener.accept()).await;
        given_up.unwrap_err();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (_, peer) = listener.accept().await.unwrap();
        assert_eq!(peer, PeerAddr::Tcp(socket.local_addr().unwrap()));
    };
    world.inside(inside).await;
}

pub(super) async fn unix_sockets_are_reached_by_their_path<R: Runtime>(world: &World<R>) {
    let name = format!("dialback-contract-{}-{:p}", std::process::id(), world);
    let path = std::env::temp_dir().join(name);
    let listener = UnixListener::bind(&path).unwrap();
    let (runtime, at) = (world.runtime.clone(), path.clone());
    world.inside(talk_over_unix(runtime, listener, at)).await;
    std::fs::remove_file(path).unwrap();
}

pub(super) async fn abstract_unix_sockets_are_reached_by_a_leading_nul<R: Runtime>(
    world: &World<R>,
) {
    let name = format!("dialback-contract-{}-{:p}", std::process::id(), world);
    let address = UnixAddr::from_abstract_name(&name).unwrap();
    let listener = UnixListener::bind_addr(&address).unwrap();
    let path = PathBuf::from(format!("\0{name}"));
    let runtime = world.runtime.clone();
    world.inside(talk_over_unix(runtime, listener, path)).await;
}

async fn talk_over_unix<R: Runtime>(runtime: R, listener: UnixListener, path: PathBuf) {
    let listener = runtime.unix_listener(listener).unwrap();
    let path: &Path = &path;
    let (accepted, connected) = tokio::join!(listener.accept(), runtime.connect_unix(path));
    let (mut accepted, peer) = accepted.unwrap();
    assert_eq!(peer.to_string(), "@");
    accepted.set_tcp_options(&TcpOptions::default()).unwrap();
    accepted.reset_on_close().unwrap();
    let mut connected = connected.unwrap();
    connected.write_all(b"hello").await.unwrap();
    connected.shutdown().await.unwrap();
    let mut received = Vec::new();
    accepted.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, b"hello");
    let error = listener.local_addr().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
}

async fn look_up<R: Runtime>(world: &World<R>, host: &'static str) -> Vec<SocketAddr> {
    let runtime = world.runtime.clone();
    let inside = async move { runtime.look_up(host, 80).await.unwrap() };
    world.inside(inside).await
}

pub(super) async fn addresses_resolve_to_themselves<R: Runtime>(world: &World<R>) {
    let found = look_up(world, "127.0.0.1").await;
    assert_eq!(found, [SocketAddr::from((Ipv4Addr::LOCALHOST, 80))]);
    let found = look_up(world, "::1").await;
    assert_eq!(found, ["[::1]:80".parse().unwrap()]);
}

pub(super) async fn names_are_looked_up<R: Runtime>(world: &World<R>) {
    let found = look_up(world, "localhost").await;
    assert!(!found.is_empty());
    for address in found {
        assert!(address.ip().is_loopback(), "{address}");
        assert_eq!(address.port(), 80);
    }
}

/// The health and admin ports.
pub(super) async fn http_is_answered<R: Runtime>(world: &World<R>) {
    let runtime = world.runtime.clone();
    let inside = async move {
        let listener = runtime.listen_tcp(LOCALHOST).unwrap();
        let address = listener.local_addr().unwrap();
        let routes = |request: &Request<'_>| Response::ok(request.path.to_owned());
        let serving = serve_with(runtime.clone(), listener, routes);
        let serving = runtime.spawn(serving);
        let mut socket = runtime.connect_tcp(address).await.unwrap();
        let request = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        socket.write_all(request).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\n/readyz"), "{answer}");
        serving.abort();
    };
    world.inside(inside).await;
}

async fn serve_with<R: Runtime>(
    runtime: Observed<R>,
    listener: R::TcpListener,
    routes: impl dialback_runtime::http::Routes,
) {
    serve_http(&runtime, &listener, &HttpLimits::default(), routes).await;
}
