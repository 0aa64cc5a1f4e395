//! The relay on real sockets.
#![expect(clippy::unwrap_used, reason = "a test that fails")]

use std::io;
use std::time::Duration;

use dialback_fault_relay::{Conditions, Direction, Relay};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// A relay, and a connection through it: the near end and the far one.
async fn connected() -> (Relay, TcpListener, [TcpStream; 2]) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let relay = Relay::start(vec![listener.local_addr().unwrap()])
        .await
        .unwrap();
    let ends = connect(&relay, &listener).await;
    (relay, listener, ends)
}

async fn connect(relay: &Relay, listener: &TcpListener) -> [TcpStream; 2] {
    let near = TcpStream::connect(relay.address).await.unwrap();
    let (far, _) = listener.accept().await.unwrap();
    [near, far]
}

async fn carries(from: &mut TcpStream, to: &mut TcpStream) -> bool {
    from.write_all(b"x").await.unwrap();
    matches!(
        timeout(Duration::from_secs(10), to.read_u8()).await,
        Ok(Ok(b'x'))
    )
}

/// Bytes that were sent before are not there after all the others have come, so there is nothing to wait for.
fn carries_nothing(to: &TcpStream) -> bool {
    to.try_read(&mut [0]).unwrap_err().kind() == io::ErrorKind::WouldBlock
}

#[tokio::test]
async fn one_direction_freezes_and_the_other_goes_on() {
    let (relay, _listener, [mut near, mut far]) = connected().await;
    assert!(carries(&mut near, &mut far).await && carries(&mut far, &mut near).await);
    let frozen = Conditions {
        frozen: true,
        ..Conditions::default()
    };
    relay.set(Direction::Back, frozen);
    far.write_all(b"y").await.unwrap();
    assert!(carries(&mut near, &mut far).await);
    assert!(carries_nothing(&near));
    relay.thaw();
    assert_eq!(near.read_u8().await.unwrap(), b'y');
}

#[tokio::test]
async fn a_cut_ends_what_there_is_and_nothing_that_comes() {
    let (relay, listener, [mut near, mut far]) = connected().await;
    relay.cut();
    assert!(near.read_u8().await.is_err());
    assert!(far.read_u8().await.is_err());
    let [mut near, mut far] = connect(&relay, &listener).await;
    assert!(carries(&mut near, &mut far).await);
    assert_eq!(relay.accepted(), 2);
    relay.refuse();
    let mut refused = TcpStream::connect(relay.address).await.unwrap();
    assert!(refused.read_u8().await.is_err());
    assert!(carries(&mut near, &mut far).await);
}

#[tokio::test]
async fn stranded_connections_stay_open_and_silent_beside_new_ones() {
    let (relay, listener, [mut near, far]) = connected().await;
    relay.strand();
    near.write_all(b"x").await.unwrap();
    let [mut next, mut next_far] = connect(&relay, &listener).await;
    assert!(carries(&mut next, &mut next_far).await);
    relay.thaw();
    assert!(carries(&mut next, &mut next_far).await);
    assert!(carries_nothing(&far));
}
