//! Daemons that are restarted or killed: streams end with a reason, the other half recovers, nothing leaks.

mod support;

use std::io::Read;

use support::pair::{Front, Pair};
use support::stream::Stream;

/// Whether no more comes: the connection was ended or cut, and did not just stay silent.
fn is_over(read: std::io::Result<usize>) -> bool {
    match read {
        Ok(bytes) => bytes == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

/// Stops or kills the server, starts another in its place, and checks what becomes of the streams.
fn restart_server(kill: bool) {
    const STREAMS: usize = 20;
    let mut pair = Pair::start(Front::ConnectUnix, &[]);
    let mut streams: Vec<_> = (0..STREAMS).map(|_| Stream::open(&pair.site)).collect();
    if kill {
        pair.server.kill();
        // A killed process leaves its socket behind, which the next one is to replace.
        assert!(pair.site.socket().exists());
    } else {
        pair.server.terminate();
        assert!(pair.server.until_ended().success());
    }
    pair.server = pair
        .site
        .start_server(Front::ConnectUnix, &["--delete-existing-uds-file"]);
    for stream in &mut streams {
        assert!(is_over(stream.frontend.read(&mut [0])));
        assert!(is_over(stream.endpoint.read(&mut [0])));
    }
    drop(streams);
    pair.agent.until("/readyz", 200);
    pair.server.until("/readyz", 200);
    drop(Stream::open(&pair.site));
    // Who was told goodbye knows at once; who was not learns it from the successor.
    let reason = if kill {
        "session_unknown"
    } else {
        "tunnel_ended"
    };
    let series =
        format!(r#"dialback_streams_closed_total{{initiator="server",reason="{reason}"}}"#);
    pair.agent.reaches(&series, STREAMS as f64);
    pair.finish();
}

#[test]
fn a_server_that_is_restarted_ends_its_streams_and_gets_its_agent_back() {
    restart_server(false);
}

#[test]
fn a_server_that_was_killed_ends_its_streams_and_gets_its_agent_back() {
    restart_server(true);
}

/// An agent of the same name that starts anew holds no session: its predecessor's streams need not be waited for.
#[test]
fn an_agent_that_was_killed_and_comes_back_frees_what_its_predecessor_held() {
    let mut pair = Pair::start_with(Front::ConnectUnix, &[], &["--agent-id=node-1"]);
    let mut streams: Vec<_> = (0..20).map(|_| Stream::open(&pair.site)).collect();
    pair.agent.kill();
    for stream in &mut streams {
        assert!(is_over(stream.endpoint.read(&mut [0])));
    }
    pair.agent = pair.site.start_agent(&["--agent-id=node-1"]);
    for stream in &mut streams {
        assert!(is_over(stream.frontend.read(&mut [0])));
    }
    pair.agent.until("/readyz", 200);
    drop(streams);
    drop(Stream::open(&pair.site));
    pair.finish();
}

/// Either half dies again and again while streams come and go; what is left at the end is nothing.
#[test]
fn nothing_adds_up_over_many_kills() {
    let mut pair = Pair::start_with(Front::ConnectUnix, &[], &["--agent-id=node-1"]);
    for round in 0..6 {
        let mut held = Stream::open(&pair.site);
        if round % 2 == 0 {
            pair.agent.kill();
            pair.agent = pair.site.start_agent(&["--agent-id=node-1"]);
        } else {
            pair.server.kill();
            pair.server = pair
                .site
                .start_server(Front::ConnectUnix, &["--delete-existing-uds-file"]);
        }
        assert!(is_over(held.frontend.read(&mut [0])));
        assert!(is_over(held.endpoint.read(&mut [0])));
        pair.agent.until("/readyz", 200);
        pair.server.until("/readyz", 200);
    }
    pair.finish();
}
