//! An agent of servers that are reached by different addresses.

mod support;

use support::pair::{Front, Site};
use support::stream::Stream;

#[test]
fn an_agent_is_connected_to_servers_at_two_addresses_and_finds_each_again() {
    let (one, other) = (Site::new(), Site::new());
    let mut shared = one.share_certificates(&[&other]);
    shared.push("--server-count=2".to_owned());
    let mut flags: Vec<&str> = shared.iter().map(String::as_str).collect();
    let mut first = one.start_server(Front::ConnectUnix, &flags);
    flags.push("--delete-existing-uds-file");
    let mut second = other.start_server(Front::ConnectUnix, &flags);

    let more = format!("--proxy-server-host={}", other.ip());
    let mut agent = one.start_agent(&[&more]);
    let connected = "konnectivity_network_proxy_agent_open_server_connections";
    agent.reaches(connected, 2.0);
    for server in [&mut first, &mut second] {
        server.until("/readyz", 200);
    }
    let mut stream = Stream::open(&one);
    drop(Stream::open(&other));

    second.kill();
    agent.reaches(connected, 1.0);
    let mut second = other.start_server(Front::ConnectUnix, &flags);
    agent.reaches(connected, 2.0);
    second.until("/readyz", 200);
    drop(Stream::open(&other));
    stream.exchange();
}
