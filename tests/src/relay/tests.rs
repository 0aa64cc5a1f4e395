use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Relay;
use crate::endpoint::{Endpoint, pattern};
use crate::wait::{eventually, within};

#[tokio::test]
async fn one_direction_freezes_without_the_other() {
    let (deliveries, mut delivered) = tokio::sync::mpsc::unbounded_channel();
    let endpoint = Endpoint::start(move |mut socket| {
        let deliveries = deliveries.clone();
        async move {
            socket.write_all(b"hello").await.unwrap();
            let mut bytes = Vec::new();
            socket.read_to_end(&mut bytes).await.unwrap();
            socket.write_all(b"answer").await.unwrap();
            deliveries.send(bytes).unwrap();
        }
    })
    .await;
    let relay = Relay::start(vec![endpoint.address]).await;
    let mut socket = TcpStream::connect(relay.address).await.unwrap();
    let mut got = [0; 5];
    let greeting = socket.read_exact(&mut got);
    within("the greeting", greeting).await.unwrap();
    relay.back.freeze();
    socket.write_all(b"upload").await.unwrap();
    socket.shutdown().await.unwrap();
    let upload = within("the upload", delivered.recv()).await.unwrap();
    assert_eq!(upload, b"upload");
    let early = socket.try_read(&mut got);
    assert_eq!(early.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    relay.back.thaw();
    let mut answer = String::new();
    let rest = socket.read_to_string(&mut answer);
    within("the answer", rest).await.unwrap();
    assert_eq!(answer, "answer");
}

#[tokio::test]
async fn a_connection_made_while_frozen_reaches_its_target_later() {
    let endpoint = Endpoint::source(1_000).await;
    let relay = Relay::start(vec![endpoint.address]).await;
    relay.freeze();
    let mut socket = TcpStream::connect(relay.address).await.unwrap();
    eventually("it is taken", || relay.accepted() == 1).await;
    let early = socket.try_read(&mut [0; 1]);
    assert_eq!(early.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    relay.thaw();
    let mut got = Vec::new();
    socket.shutdown().await.unwrap();
    within("the end", socket.read_to_end(&mut got))
        .await
        .unwrap();
    assert!(got == pattern(1_000));
}

#[tokio::test]
async fn a_cut_ends_frozen_connections_too_and_none_that_comes_later() {
    let endpoint = Endpoint::echo().await;
    let relay = Relay::start(vec![endpoint.address]).await;
    for frozen in [false, true] {
        let mut socket = TcpStream::connect(relay.address).await.unwrap();
        socket.write_all(b"a").await.unwrap();
        within("an echo", socket.read_u8()).await.unwrap();
        if frozen {
            relay.freeze();
        }
        relay.cut();
        let read = within("the cut", socket.read(&mut [0; 1])).await;
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    }
    assert_eq!(relay.accepted(), 2);
}
