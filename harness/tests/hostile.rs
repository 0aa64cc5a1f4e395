//! Random inputs to each machine alone.

use dialback_harness::hostile::{check_agent_link, check_proxy_stream, check_server_link};
use quickcheck::{Gen, QuickCheck, Testable};

fn check(property: impl Testable) {
    QuickCheck::new()
        .rng(Gen::new(600))
        .tests(10_000)
        .quickcheck(property);
}

#[test]
fn the_servers_link_survives_any_agent() {
    check((|bytes| check_server_link(&bytes)) as fn(Vec<u8>));
}

#[test]
fn the_agents_link_survives_any_server() {
    check((|bytes| check_agent_link(&bytes)) as fn(Vec<u8>));
}

#[test]
fn a_proxy_stream_survives_any_client() {
    check((|bytes| check_proxy_stream(&bytes)) as fn(Vec<u8>));
}
