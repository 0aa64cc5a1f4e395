//! `dialback ping`.

use crate::endpoints::echo;
use crate::support::pair::{Front, Pair};
use crate::tool::{run, through};

#[test]
fn ping_tells_of_each_dial_and_of_all() {
    let pair = Pair::start(Front::GrpcUnix, &[]);
    let flags = through(&pair, Front::GrpcUnix);
    let echo = echo().to_string();
    let output = run("ping", &flags, &["--count=3", "--interval=1ms", &echo], b"");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(
        lines[2].starts_with(&format!("3: {echo} through unix:")),
        "{text}"
    );
    assert!(lines[3].starts_with("3 dials, 3 succeeded; min "), "{text}");
    pair.finish();
}

/// The server says which agent serves each dial, if asked; the default strategy takes any of them.
#[test]
fn ping_tells_agents_apart() {
    for front in [Front::GrpcUnix, Front::ConnectUnix] {
        let mut pair = Pair::start_with(front, &[], &["--agent-id=node-1"]);
        let second = pair.site.start_agent_at(8096, &["--agent-id=node-2"]);
        pair.server.reaches(
            "konnectivity_network_proxy_server_ready_backend_connections",
            2.0,
        );
        let flags = through(&pair, front);
        let address = echo().to_string();
        let arguments = ["--count=60", "--interval=1ms", &address];
        let output = run("ping", &flags, &arguments, b"");
        let text = String::from_utf8(output.stdout).unwrap();
        for id in ["node-1", "node-2"] {
            // 60 dials miss one of two agents once in 2^60 runs.
            assert!(text.contains(&format!(", agent {id}, in ")), "{text}");
            assert!(text.contains(&format!("\nagent {id}: ")), "{text}");
        }
        drop(second);
    }
}
