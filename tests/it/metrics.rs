//! What both halves count of the same traffic.

use dialback_runtime::metrics::render;
use dialback_tests::endpoint::{Endpoint, pattern};
use dialback_tests::frontend::connect;
use dialback_tests::pair::{Pair, PairOptions};
use dialback_tests::run::run;
use dialback_tests::wait::{eventually, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const BYTES: usize = 1_000_000;

/// Of the first series that begins like this.
fn value(text: &str, series: &str) -> Option<f64> {
    let mut values = text.lines().filter_map(|line| {
        let (found, value) = line.rsplit_once(' ')?;
        found.starts_with(series).then(|| value.parse().unwrap())
    });
    values.next()
}

#[test]
fn bytes_streams_and_tunnels_are_told_by_both_halves() {
    run(async |_| {
        let pair = Pair::start(PairOptions::default()).await;
        let endpoint = Endpoint::start(|mut socket| async move {
            let mut bytes = Vec::new();
            socket.read_to_end(&mut bytes).await.unwrap();
            socket.write_all(b"thanks").await.unwrap();
        })
        .await;
        let address = endpoint.address.to_string();
        let mut stream = connect(&pair.socket(), &address).await.unwrap();
        let server = || render::<&str>(pair.server.server.metrics().registry(), &[]);
        let agent = || render::<&str>(pair.agents[0].agent.metrics().registry(), &[]);
        let scrapes: [&dyn Fn() -> String; 2] = [&server, &agent];
        for scrape in scrapes {
            let text = scrape();
            assert_eq!(value(&text, "dialback_tunnels"), Some(1.0));
            assert_eq!(value(&text, "dialback_tunnel_streams{"), Some(1.0));
            assert!(value(&text, "dialback_tunnel_age_seconds{").is_some());
        }
        assert!(pair.agents[0].agent.complaints().is_empty());
        assert!(pair.server.server.complaints().is_empty());
        stream.write_all(&pattern(BYTES)).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        within("the answer", stream.read_to_string(&mut answer))
            .await
            .unwrap();
        assert_eq!(answer, "thanks");
        pair.server.streams(0).await;
        for scrape in scrapes {
            eventually("the stream has ended", || {
                value(&scrape(), "dialback_tunnel_streams{") == Some(0.0)
            })
            .await;
            for (series, expected) in [
                ("dialback_stream_bytes_total{segment=\"to_agent\"}", BYTES),
                ("dialback_stream_bytes_total{segment=\"from_agent\"}", 6),
                ("dialback_streams_opened_total", 1),
                ("dialback_streams_closed_total", 1),
                ("dialback_queued_bytes{direction=\"incoming\"}", 0),
                ("dialback_queued_bytes{direction=\"outgoing\"}", 0),
                ("dialback_stalled_streams", 0),
            ] {
                let found = value(&scrape(), series);
                assert_eq!(found, Some(expected as f64), "{series}");
            }
            eventually("a round trip", || {
                value(&scrape(), "dialback_tunnel_round_trip_seconds{").is_some()
            })
            .await;
        }
        pair.end().await;
    });
}
