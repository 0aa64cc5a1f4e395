//! One stream fills a long, fast path, and whoever echoes beside it waits little longer than the path takes.

use std::time::Duration;

use dialback_harness::{Behaviour, Connect, PipeConfig, Setup, Triad};

const BULK: &str = "10.0.0.1:80";
const ECHO: &str = "10.0.0.3:80";

/// A round trip of 200 ms at 30 MiB/s, and sockets that take more than that.
const ONE_WAY: Duration = Duration::from_millis(100);
const BYTES_PER_SECOND: usize = 30 << 20;
const ROOM_BYTES: usize = 32 << 20;
/// After so many seconds the path is full; the next one is looked at.
const WARM_UP_SECONDS: usize = 3;

fn long_path() -> Triad {
    let mut setup = Setup::extended();
    setup.tunnel = PipeConfig {
        delay: ONE_WAY,
        bytes_per_second: Some(BYTES_PER_SECOND as u64),
        room_bytes: ROOM_BYTES,
        ..PipeConfig::default()
    };
    let mut t = setup.start_with_agent();
    let echo = Behaviour {
        echo: true,
        ..Behaviour::default()
    };
    t.endpoints.behave(ECHO, echo);
    t
}

/// How long echoes take at most while a second passes.
fn longest_echo(t: &mut Triad, bystander: Connect) -> Duration {
    let end = t.elapsed() + Duration::from_secs(1);
    let mut longest = Duration::ZERO;
    while t.elapsed() < end {
        let (began, answered) = (t.elapsed(), t[bystander].received().len());
        t[bystander].write(&[7]);
        while t[bystander].received().len() == answered {
            t.run_for(Duration::from_millis(1));
        }
        longest = longest.max(t.elapsed() - began);
    }
    longest
}

#[test]
fn an_upload_fills_the_path() {
    let mut t = long_path();
    let (bulk, bystander) = (t.open_connect(BULK), t.open_connect(ECHO));
    t.run_for(Duration::from_secs(1));
    t[bulk].write(&vec![0; (WARM_UP_SECONDS + 2) * BYTES_PER_SECOND]);
    t.run_for(Duration::from_secs(WARM_UP_SECONDS as u64));
    let (began, before) = (t.elapsed(), t.endpoints.at(BULK).received().len());
    let longest = longest_echo(&mut t, bystander);
    let moved = t.endpoints.at(BULK).received().len() - before;
    assert_filled(moved, t.elapsed() - began);
    assert_short(longest);
}

#[test]
fn a_download_fills_the_path() {
    let mut t = long_path();
    let (bulk, bystander) = (t.open_connect(BULK), t.open_connect(ECHO));
    t.run_for(Duration::from_secs(1));
    let bytes = vec![0; (WARM_UP_SECONDS + 2) * BYTES_PER_SECOND];
    t.endpoints.at(BULK).send(&bytes);
    t.run_for(Duration::from_secs(WARM_UP_SECONDS as u64));
    let (began, before) = (t.elapsed(), t[bulk].received().len());
    let longest = longest_echo(&mut t, bystander);
    let moved = t[bulk].received().len() - before;
    assert_filled(moved, t.elapsed() - began);
    assert_short(longest);
}

/// At least 95% of what the path carries in that time.
fn assert_filled(bytes: usize, time: Duration) {
    let most = time.as_secs_f64() * BYTES_PER_SECOND as f64;
    assert!(bytes as f64 >= 0.95 * most, "{bytes} of {most:.0} bytes");
}

/// No more than 75 ms longer than the round trip.
fn assert_short(echo: Duration) {
    assert!(echo <= 2 * ONE_WAY + Duration::from_millis(75), "{echo:?}");
}
