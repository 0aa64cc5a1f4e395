#![expect(clippy::unwrap_used, reason = "a test that fails")]

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::Direction;
use crate::carry::carry;

/// Bytes of which no two neighbours are alike.
fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|index| (index * index % 251) as u8)
        .collect()
}

/// One direction of a connection, both of whose ends the test holds; for tests in virtual time, which passes when
/// all wait.
struct Way {
    direction: Direction,
    entrance: DuplexStream,
    exit: DuplexStream,
    carrying: JoinHandle<std::io::Result<()>>,
}

impl Way {
    fn new() -> Self {
        let direction = Direction::default();
        let (entrance, from) = duplex(1 << 20);
        let (to, exit) = duplex(1 << 20);
        let carrying = tokio::spawn(carry(from, to, direction.subscribe()));
        Self {
            direction,
            entrance,
            exit,
            carrying,
        }
    }

    /// Nothing comes out, however long one waits.
    async fn carries_nothing(&mut self) {
        let read = timeout(Duration::from_secs(3600), self.exit.read_u8()).await;
        assert!(read.is_err(), "a byte came out: {read:?}");
    }

    async fn comes_out(&mut self, expected: &[u8]) {
        let mut got = vec![0; expected.len()];
        let read = timeout(Duration::from_secs(3600), self.exit.read_exact(&mut got));
        read.await.unwrap().unwrap();
        assert!(got == expected, "{} bytes are others", got.len());
    }

    async fn ends(mut self) {
        drop(self.entrance);
        assert_eq!(self.exit.read(&mut [0; 1]).await.unwrap(), 0);
        self.carrying.await.unwrap().unwrap();
    }
}

/// Whether a span is the expected one, but for what timers round up and chunks make coarse.
#[track_caller]
fn assert_near(span: Duration, expected: Duration) {
    let most = expected + expected / 50 + Duration::from_millis(10);
    assert!(
        (expected..most).contains(&span),
        "{span:?}, not {expected:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn bytes_stay_as_they_are_while_conditions_change() {
    let mut way = Way::new();
    let sent = pattern(3_000_000);
    let expected = sent.clone();
    let mut entrance = std::mem::replace(&mut way.entrance, duplex(1).0);
    let sending = tokio::spawn(async move {
        entrance.write_all(&sent).await.unwrap();
        entrance
    });
    for (piece, chunk) in expected.chunks(100_000).enumerate() {
        match piece % 6 {
            0 => way.direction.delay(Duration::from_millis(200)),
            1 => way.direction.throttle(1 << 20),
            2 => way.direction.delay(Duration::ZERO),
            3 => way.direction.throttle(100_000),
            4 => way.direction.throttle(30 << 20),
            _ => {
                way.direction.freeze();
                tokio::time::sleep(Duration::from_secs(1)).await;
                way.direction.thaw();
            }
        }
        way.comes_out(chunk).await;
    }
    way.entrance = sending.await.unwrap();
    way.ends().await;
}

#[tokio::test(start_paused = true)]
async fn a_frozen_direction_carries_nothing_and_a_thawed_one_all() {
    let mut way = Way::new();
    way.entrance.write_all(b"before").await.unwrap();
    way.comes_out(b"before").await;
    way.direction.freeze();
    way.entrance.write_all(b"meanwhile").await.unwrap();
    way.entrance.shutdown().await.unwrap();
    way.carries_nothing().await;
    way.direction.thaw();
    way.comes_out(b"meanwhile").await;
    way.ends().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_when_a_direction_freezes_waits_too() {
    let mut way = Way::new();
    way.direction.delay(Duration::from_secs(2));
    way.entrance.write_all(b"under way").await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    way.direction.freeze();
    way.carries_nothing().await;
    way.direction.thaw();
    way.comes_out(b"under way").await;
    way.ends().await;
}

#[tokio::test(start_paused = true)]
async fn a_delay_is_the_same_for_every_byte_and_for_the_end() {
    let mut way = Way::new();
    way.direction.delay(Duration::from_millis(100));
    let start = Instant::now();
    for at in [0, 30, 60] {
        tokio::time::sleep_until(start + Duration::from_millis(at)).await;
        way.entrance.write_all(&[7]).await.unwrap();
    }
    way.entrance.shutdown().await.unwrap();
    for at in [100, 130, 160] {
        way.comes_out(&[7]).await;
        assert_near(start.elapsed(), Duration::from_millis(at));
    }
    way.ends().await;
    assert_near(start.elapsed(), Duration::from_millis(160));
}

#[tokio::test(start_paused = true)]
async fn a_throttled_direction_has_its_rate() {
    for rate in [1_000, 100_000, 30 << 20] {
        let mut way = Way::new();
        way.direction.throttle(rate);
        let start = Instant::now();
        let bytes = pattern(usize::try_from(rate).unwrap());
        let sent = bytes.clone();
        let mut entrance = std::mem::replace(&mut way.entrance, duplex(1).0);
        let sending = tokio::spawn(async move {
            entrance.write_all(&sent).await.unwrap();
            entrance
        });
        way.comes_out(&bytes).await;
        assert_near(start.elapsed(), Duration::from_secs(1));
        way.entrance = sending.await.unwrap();
        way.ends().await;
    }
}

/// A sender is paused by what the path holds, not by an endless queue.
#[tokio::test(start_paused = true)]
async fn what_waits_is_bounded_by_rate_and_latency() {
    let mut way = Way::new();
    way.direction.throttle(1 << 20);
    way.direction.delay(Duration::from_millis(500));
    let mut taken = 0;
    let start = Instant::now();
    // Until the path is full, with what waits at its ends.
    let chunk = vec![0; 1024];
    while start.elapsed() < Duration::from_millis(499) {
        if let Ok(written) = timeout(Duration::from_millis(1), way.entrance.write(&chunk)).await {
            taken += written.unwrap();
        }
    }
    let (ends, path, chunks) = (1 << 20, 1 << 19, 128 * 1024);
    assert!(
        (ends + path / 2..=ends + path + chunks).contains(&taken),
        "{taken}"
    );
    way.carrying.abort();
}
