//! The core stays what it is: protocol, and nothing that touches the world.

/// Names, or starts of names followed by `-` or `_`, of crates that would bring in a runtime, sockets, TLS, HTTP/2,
/// randomness or logging.
const FORBIDDEN: [&str; 40] = [
    "async",
    "aws-lc",
    "calloop",
    "crossbeam",
    "embassy",
    "fastrand",
    "futures",
    "getrandom",
    "glommio",
    "h2",
    "h3",
    "http",
    "hyper",
    "kube",
    "libc",
    "log",
    "mio",
    "monoio",
    "native-tls",
    "nix",
    "openssl",
    "parking_lot",
    "polling",
    "quinn",
    "rand",
    "reqwest",
    "ring",
    "rustix",
    "rustls",
    "schannel",
    "smol",
    "socket2",
    "tokio",
    "tonic",
    "tower",
    "tracing",
    "uuid",
    "wasi",
    "windows",
    "winapi",
];

#[test]
#[expect(clippy::disallowed_types, reason = "only cargo knows the dependencies")]
fn no_dependency_touches_the_world() {
    let output = std::process::Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--locked",
            "--package",
            "dialback-core",
        ])
        .args(["--edges", "normal", "--target", "all", "--prefix", "none"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo, which built this test, runs");
    assert!(
        output.status.success(),
        "cargo tree failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let tree = String::from_utf8_lossy(&output.stdout);
    let crates: Vec<&str> = tree
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(
        crates.contains(&"dialback-core") && crates.contains(&"bytes"),
        "cargo tree lists the core and what it stands on"
    );
    let found: Vec<&str> = crates
        .into_iter()
        .filter(|name| is_forbidden(name))
        .collect();
    assert!(found.is_empty(), "the core may not depend on {found:?}");
}

fn is_forbidden(name: &str) -> bool {
    FORBIDDEN.iter().any(|forbidden| {
        name.strip_prefix(forbidden)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_']))
    })
}

#[test]
fn names_are_told_apart() {
    for forbidden in [
        "tokio",
        "tokio-util",
        "async-io",
        "http",
        "http-body",
        "rand_core",
    ] {
        assert!(is_forbidden(forbidden), "{forbidden}");
    }
    for allowed in ["httparse", "bytes", "prost", "logos", "randomize"] {
        assert!(!is_forbidden(allowed), "{allowed}");
    }
}
