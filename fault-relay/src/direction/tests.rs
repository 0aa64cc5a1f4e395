#![expect(clippy::unwrap_used, reason = "a test that fails")]

use std::num::NonZeroU64;

use tokio::io::{DuplexStream, duplex};
use tokio::time::{advance, timeout};

use super::*;

/// A sender, a receiver, and what is between them.
fn path(conditions: Conditions) -> (DuplexStream, DuplexStream, watch::Sender<Conditions>) {
    let (near, reader) = duplex(1 << 20);
    let (writer, far) = duplex(1 << 20);
    let (sender, receiver) = watch::channel(conditions);
    tokio::spawn(pass(reader, writer, receiver));
    (near, far, sender)
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|index| (index * index % 251) as u8)
        .collect()
}

async fn silent(far: &mut DuplexStream) -> bool {
    timeout(Duration::from_secs(3600), far.read_u8())
        .await
        .is_err()
}

#[tokio::test(start_paused = true)]
async fn bytes_and_their_end_arrive_as_they_were() {
    let conditions = [
        Conditions::default(),
        Conditions {
            frozen: false,
            delay: Duration::from_millis(70),
            bytes_per_second: NonZeroU64::new(1_000_000),
        },
    ];
    for conditions in conditions {
        let (mut near, mut far, _path) = path(conditions);
        let sent = pattern(500_000);
        near.write_all(&sent).await.unwrap();
        near.shutdown().await.unwrap();
        let mut received = Vec::new();
        far.read_to_end(&mut received).await.unwrap();
        assert!(received == sent, "{} bytes", received.len());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_delayed_takes_that_long_and_does_not_add_up() {
    let delay = Duration::from_millis(100);
    let conditions = Conditions {
        delay,
        ..Conditions::default()
    };
    let (mut near, mut far, _path) = path(conditions);
    let begin = Instant::now();
    for byte in 0..10 {
        near.write_u8(byte).await.unwrap();
        advance(Duration::from_millis(10)).await;
    }
    for byte in 0..10 {
        assert_eq!(far.read_u8().await.unwrap(), byte);
        let expected = delay + Duration::from_millis(10) * u32::from(byte);
        let took = begin.elapsed();
        assert!(
            (expected..expected + Duration::from_millis(12)).contains(&took),
            "byte {byte} after {took:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttled_direction_carries_what_it_may_and_holds_the_sender_back() {
    let conditions = Conditions {
        bytes_per_second: NonZeroU64::new(100_000),
        ..Conditions::default()
    };
    let (reader, mut near) = duplex(1024);
    let (writer, mut far) = duplex(1 << 20);
    let (_path, receiver) = watch::channel(conditions);
    tokio::spawn(pass(reader, writer, receiver));
    let begin = Instant::now();
    let sending = tokio::spawn(async move {
        near.write_all(&pattern(200_000)).await.unwrap();
        begin.elapsed()
    });
    let mut received = vec![0; 200_000];
    far.read_exact(&mut received).await.unwrap();
    let took = begin.elapsed().as_secs_f64();
    assert!((1.9..2.1).contains(&took), "{took} s");
    let sent = sending.await.unwrap().as_secs_f64();
    assert!(sent > 1.8, "{sent} s");
}

#[tokio::test(start_paused = true)]
async fn a_frozen_direction_carries_nothing_until_it_thaws() {
    let (mut near, mut far, path) = path(Conditions::default());
    near.write_all(b"before").await.unwrap();
    let mut received = [0; 6];
    far.read_exact(&mut received).await.unwrap();
    path.send_modify(|conditions| conditions.frozen = true);
    near.write_all(b"during").await.unwrap();
    assert!(silent(&mut far).await);
    path.send_modify(|conditions| conditions.frozen = false);
    far.read_exact(&mut received).await.unwrap();
    assert_eq!(&received, b"during");
}

#[tokio::test(start_paused = true)]
async fn a_direction_that_nobody_governs_stays_as_it_is() {
    let (mut near, mut far, path) = path(Conditions {
        frozen: true,
        ..Conditions::default()
    });
    drop(path);
    near.write_all(b"lost").await.unwrap();
    assert!(silent(&mut far).await);
}
