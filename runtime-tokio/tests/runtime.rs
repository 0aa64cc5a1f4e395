//! What the drivers rely on: tasks, sockets and signals.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::linux::net::SocketAddrExt;
use std::path::Path;
use std::time::Duration;

use dialback_runtime::{Listener, PeerAddr, Runtime, Socket, Task, TcpOptions};
use dialback_tokio::{Signal, TerminationSignals, TokioRuntime, TokioTcpStream};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::oneshot;

fn runtime() -> TokioRuntime {
    TokioRuntime::current().unwrap()
}

async fn tcp_pair() -> (TokioTcpStream, TokioTcpStream) {
    let runtime = runtime();
    let listener = runtime
        .listen_tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
        .unwrap();
    let address = listener.local_addr().unwrap();
    let (accepted, connected) = tokio::join!(listener.accept(), runtime.connect_tcp(address));
    let (accepted, peer) = accepted.unwrap();
    let connected = connected.unwrap();
    assert_eq!(peer, PeerAddr::Tcp(connected.inner().local_addr().unwrap()));
    (accepted, connected)
}

#[tokio::test]
async fn a_task_runs_on_without_its_handle() {
    let (sender, receiver) = oneshot::channel();
    drop(runtime().spawn(async move {
        tokio::task::yield_now().await;
        sender.send(7).unwrap();
    }));
    assert_eq!(receiver.await, Ok(7));
}

#[tokio::test]
async fn an_aborted_task_is_dropped() {
    let (sender, receiver) = oneshot::channel::<()>();
    let task = runtime().spawn(async move {
        std::future::pending::<()>().await;
        drop(sender);
    });
    task.abort();
    assert!(receiver.await.is_err());
}

#[tokio::test]
async fn tcp_closes_one_direction_at_a_time() {
    let (mut near, mut far) = tcp_pair().await;
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
}

#[tokio::test]
async fn tcp_writes_are_vectored() {
    let (mut near, mut far) = tcp_pair().await;
    assert!(near.is_write_vectored());
    let parts = [io::IoSlice::new(b"head "), io::IoSlice::new(b"payload")];
    assert_eq!(near.write_vectored(&parts).await.unwrap(), 12);
    drop(near);
    let mut received = Vec::new();
    far.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, b"head payload");
}

#[tokio::test]
async fn tcp_options_are_set() {
    let (near, _far) = tcp_pair().await;
    near.set_tcp_options(&TcpOptions::grpc()).unwrap();
    let socket = socket2::SockRef::from(near.inner());
    assert!(socket.tcp_nodelay().unwrap());
    assert!(socket.keepalive().unwrap());
    assert_eq!(
        socket.tcp_keepalive_time().unwrap(),
        Duration::from_secs(15)
    );
    assert_eq!(
        socket.tcp_user_timeout().unwrap(),
        Some(Duration::from_secs(20))
    );
}

#[tokio::test]
async fn a_close_can_be_a_reset() {
    let (near, mut far) = tcp_pair().await;
    near.reset_on_close().unwrap();
    drop(near);
    let error = far.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_refused_connection_keeps_its_kind() {
    // Bound and not listening: nobody else gets the port, and nobody answers.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    socket.bind(&any.into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let error = runtime().connect_tcp(address).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn abstract_unix_sockets_are_reached_by_a_leading_nul() {
    let name = format!("dialback-runtime-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let listener = std::os::unix::net::UnixListener::bind_addr(&address).unwrap();
    let runtime = runtime();
    let listener = runtime.unix_listener(listener).unwrap();
    let path = format!("\0{name}");
    let (accepted, connected) =
        tokio::join!(listener.accept(), runtime.connect_unix(Path::new(&path)));
    let (mut accepted, peer) = accepted.unwrap();
    assert_eq!(peer.to_string(), "@");
    accepted.set_tcp_options(&TcpOptions::default()).unwrap();
    let mut connected = connected.unwrap();
    connected.write_all(b"hello").await.unwrap();
    connected.shutdown().await.unwrap();
    let mut received = Vec::new();
    accepted.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, b"hello");
    let error = listener.local_addr().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
}

#[tokio::test]
async fn addresses_resolve_to_themselves() {
    let runtime = runtime();
    let found = runtime.look_up("127.0.0.1", 80).await.unwrap();
    assert_eq!(found, [SocketAddr::from((Ipv4Addr::LOCALHOST, 80))]);
    let found = runtime.look_up("::1", 80).await.unwrap();
    assert_eq!(found, ["[::1]:80".parse().unwrap()]);
}

#[tokio::test]
async fn termination_signals_arrive() {
    let mut signals = TerminationSignals::listen().unwrap();
    for (name, expected) in [("TERM", Signal::Terminate), ("INT", Signal::Interrupt)] {
        let status = std::process::Command::new("kill")
            .args(["-s", name, &std::process::id().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
        assert_eq!(signals.recv().await, expected);
    }
}
