//! Dialling endpoints and the proxy server: over loopback, and in a network where names and silence are made up.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::collections::HashMap;
use std::future::{Future, pending};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dialback_runtime::Runtime;
use dialback_runtime::dial::{
    DialFailure, ProxyDialError, ProxyEnvironment, dial_endpoint, dial_server,
};
use dialback_tokio::{
    TokioRuntime, TokioSleep, TokioTask, TokioTcpListener, TokioTcpStream, TokioUnixListener,
    TokioUnixStream,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const LIMIT: Duration = Duration::from_secs(5);
const MILLISECOND: Duration = Duration::from_millis(1);

/// Tokio's runtime, in a network of its own for what is listed.
#[derive(Clone, Debug)]
struct Network {
    inner: TokioRuntime,
    world: Arc<World>,
}

#[derive(Debug, Default)]
struct World {
    names: HashMap<&'static str, Vec<IpAddr>>,
    /// Addresses that never answer.
    silent: Vec<IpAddr>,
    /// Addresses where all ports are open, at a listener of the test.
    open: HashMap<IpAddr, SocketAddr>,
    connects: Mutex<Vec<(IpAddr, Instant)>>,
}

impl Network {
    fn new(world: World) -> Self {
        Self {
            inner: TokioRuntime::current().unwrap(),
            world: Arc::new(world),
        }
    }

    /// What was connected to, and how long after `start`.
    fn connects(&self, start: Instant) -> Vec<(String, u128)> {
        let connects = self.world.connects.lock().unwrap();
        connects
            .iter()
            .map(|(ip, at)| (ip.to_string(), (*at - start).as_millis()))
            .collect()
    }
}

impl Runtime for Network {
    type Task = TokioTask;
    type Sleep = TokioSleep;
    type TcpStream = TokioTcpStream;
    type UnixStream = TokioUnixStream;
    type TcpListener = TokioTcpListener;
    type UnixListener = TokioUnixListener;

    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, future: F) -> TokioTask {
        self.inner.spawn(future)
    }

    fn now(&self) -> Instant {
        self.inner.now()
    }

    fn sleep_until(&self, deadline: Instant) -> TokioSleep {
        self.inner.sleep_until(deadline)
    }

    async fn connect_tcp(&self, address: SocketAddr) -> io::Result<TokioTcpStream> {
        let connect = (address.ip(), self.now());
        self.world.connects.lock().unwrap().push(connect);
        if self.world.silent.contains(&address.ip()) {
            pending::<()>().await;
        }
        let address = self.world.open.get(&address.ip()).unwrap_or(&address);
        self.inner.connect_tcp(*address).await
    }

    async fn connect_unix(&self, path: &Path) -> io::Result<TokioUnixStream> {
        self.inner.connect_unix(path).await
    }

    fn listen_tcp(&self, address: SocketAddr) -> io::Result<TokioTcpListener> {
        self.inner.listen_tcp(address)
    }

    fn tcp_listener(&self, listener: std::net::TcpListener) -> io::Result<TokioTcpListener> {
        self.inner.tcp_listener(listener)
    }

    fn unix_listener(
        &self,
        listener: std::os::unix::net::UnixListener,
    ) -> io::Result<TokioUnixListener> {
        self.inner.unix_listener(listener)
    }

    async fn look_up(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        match self.world.names.get(host) {
            Some(ips) if ips.is_empty() => pending().await,
            Some(ips) => Ok(ips.iter().map(|ip| SocketAddr::new(*ip, port)).collect()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

async fn failure(runtime: &impl Runtime, network: &str, address: &str) -> DialFailure {
    dial_endpoint(runtime, network, address, LIMIT)
        .await
        .map(drop)
        .unwrap_err()
}

/// A port of the loopback address where nobody listens: bound, so that nobody else gets it either.
fn closed_port() -> (socket2::Socket, u16) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    socket.bind(&any.into()).unwrap();
    let port = socket.local_addr().unwrap().as_socket().unwrap().port();
    (socket, port)
}

#[tokio::test]
async fn failures_read_as_in_go() {
    let runtime = TokioRuntime::current().unwrap();
    let (_bound, port) = closed_port();
    let cases = [
        (
            "tcp",
            format!("127.0.0.1:{port}"),
            format!("dial tcp 127.0.0.1:{port}: connect: connection refused"),
        ),
        (
            "tcp4",
            format!("[::ffff:127.0.0.1]:{port}"),
            format!("dial tcp4 127.0.0.1:{port}: connect: connection refused"),
        ),
        (
            "tcp",
            format!(":{port}"),
            format!("dial tcp :{port}: connect: connection refused"),
        ),
    ];
    let fixed = [
        (
            "tcp",
            "foo",
            "dial tcp: address foo: missing port in address",
        ),
        ("tcp", "", "dial tcp: missing address"),
        (
            "tcp",
            "a:b:c",
            "dial tcp: address a:b:c: too many colons in address",
        ),
        (
            "tcp",
            "127.0.0.1:nope",
            "dial tcp: lookup tcp/nope: unknown port",
        ),
        (
            "tcp",
            "127.0.0.1:99999",
            "dial tcp: address 99999: invalid port",
        ),
        (
            "tcp4",
            "[::1]:1",
            "dial tcp4: address ::1: no suitable address found",
        ),
        (
            "tcp6",
            "127.0.0.1:1",
            "dial tcp6: address 127.0.0.1: no suitable address found",
        ),
    ];
    let fixed =
        fixed.map(|(network, address, text)| (network, address.to_owned(), text.to_owned()));
    for (network, address, text) in cases.into_iter().chain(fixed) {
        let failure = failure(&runtime, network, &address).await;
        assert_eq!(failure.to_string(), text);
        assert!(!failure.is_timeout());
    }
}

#[tokio::test]
async fn d31_only_tcp_is_dialled() {
    let runtime = TokioRuntime::current().unwrap();
    for (network, address, text) in [
        ("udp", "127.0.0.1:1", "dial udp: unknown network udp"),
        ("unix", "/run/x.sock", "dial unix: unknown network unix"),
        ("", "127.0.0.1:1", "dial: unknown network "),
    ] {
        let failure = failure(&runtime, network, address).await;
        assert_eq!(failure.to_string(), text);
        assert!(!failure.is_timeout());
    }
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_reported_with_the_name_server() {
    let network = Network::new(World::default());
    let text = failure(&network, "tcp", "nosuch.invalid:80")
        .await
        .to_string();
    let words = text
        .strip_prefix("dial tcp: lookup nosuch.invalid")
        .and_then(|rest| rest.strip_suffix(": no such host"))
        .unwrap();
    // Which one, if any, is a matter of the machine.
    assert!(
        words.is_empty() || (words.starts_with(" on ") && words.ends_with(":53")),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn silence_ends_at_the_limit() {
    let network = Network::new(World {
        names: HashMap::from([("slow.test", vec![])]),
        silent: vec![ip("198.18.0.254")],
        ..World::default()
    });
    for (address, text) in [
        (
            "198.18.0.254:1234",
            "dial tcp 198.18.0.254:1234: i/o timeout",
        ),
        ("slow.test:1234", "dial tcp: lookup slow.test: i/o timeout"),
    ] {
        let start = network.now();
        let failure = failure(&network, "tcp", address).await;
        assert_eq!(failure.to_string(), text);
        assert!(failure.is_timeout());
        let took = network.now() - start;
        assert!((LIMIT..=LIMIT + MILLISECOND).contains(&took), "{took:?}");
    }
}

#[tokio::test]
async fn an_endpoint_is_connected_with_gos_options() {
    let runtime = TokioRuntime::current().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut socket = dial_endpoint(&runtime, "tcp", &address, LIMIT)
        .await
        .unwrap();
    let options = socket2::SockRef::from(socket.inner());
    assert!(options.tcp_nodelay().unwrap());
    assert!(options.keepalive().unwrap());
    assert_eq!(
        options.tcp_keepalive_time().unwrap(),
        Duration::from_secs(15)
    );
    let (mut accepted, _) = listener.accept().await.unwrap();
    socket.write_all(b"ping").await.unwrap();
    let mut received = [0; 4];
    accepted.read_exact(&mut received).await.unwrap();
    assert_eq!(&received, b"ping");
}

#[tokio::test(start_paused = true)]
async fn addresses_of_one_family_share_the_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let network = Network::new(World {
        names: HashMap::from([(
            "name.test",
            vec![ip("198.18.0.1"), ip("198.18.0.2"), ip("198.18.0.3")],
        )]),
        silent: vec![ip("198.18.0.1"), ip("198.18.0.2")],
        open: HashMap::from([(ip("198.18.0.3"), listener.local_addr().unwrap())]),
        ..World::default()
    });
    let start = network.now();
    dial_endpoint(&network, "tcp", "name.test:80", Duration::from_secs(9))
        .await
        .unwrap();
    let connects = network.connects(start);
    let expected = [
        ("198.18.0.1", 0),
        ("198.18.0.2", 3000),
        ("198.18.0.3", 6000),
    ];
    for ((address, at), (expected_address, expected_at)) in connects.iter().zip(expected) {
        assert_eq!(address, expected_address);
        // The clock of the tests ticks in milliseconds.
        assert!((expected_at..=expected_at + 2).contains(at), "{connects:?}");
    }
    assert_eq!(connects.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn the_other_family_joins_in_after_a_moment() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let network = Network::new(World {
        names: HashMap::from([("name.test", vec![ip("2001:db8::1"), ip("198.18.0.1")])]),
        silent: vec![ip("2001:db8::1")],
        open: HashMap::from([(ip("198.18.0.1"), listener.local_addr().unwrap())]),
        ..World::default()
    });
    let start = network.now();
    dial_endpoint(&network, "tcp", "name.test:80", LIMIT)
        .await
        .unwrap();
    let connects = network.connects(start);
    assert_eq!(connects[0], ("2001:db8::1".to_owned(), 0));
    assert_eq!(connects[1].0, "198.18.0.1");
    assert!((300..=302).contains(&connects[1].1), "{connects:?}");

    // With one family allowed there is no other.
    let failure = failure(&network, "tcp6", "name.test:80").await;
    assert_eq!(
        failure.to_string(),
        "dial tcp6 [2001:db8::1]:80: i/o timeout"
    );
}

#[tokio::test]
async fn the_first_familys_error_is_told_and_the_other_starts_at_once() {
    let (_bound, port) = closed_port();
    let network = Network::new(World {
        names: HashMap::from([("name.test", vec![ip("127.0.0.1"), ip("::1")])]),
        open: HashMap::from([(ip("::1"), ([127, 0, 0, 1], port).into())]),
        ..World::default()
    });
    let start = network.now();
    let failure = failure(&network, "tcp", &format!("name.test:{port}")).await;
    assert_eq!(
        failure.to_string(),
        format!("dial tcp 127.0.0.1:{port}: connect: connection refused")
    );
    assert_eq!(network.connects(start).len(), 2);
}

/// Accepts one connection, takes a request's header and answers.
async fn proxy(listener: TcpListener, answer: &str) -> String {
    let (mut socket, _) = listener.accept().await.unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        assert_ne!(socket.read_buf(&mut request).await.unwrap(), 0);
    }
    // Byte by byte: a response may come in any pieces.
    for byte in answer.as_bytes() {
        socket.write_all(&[*byte]).await.unwrap();
        socket.flush().await.unwrap();
    }
    if answer.starts_with("HTTP/1.1 200") {
        let mut received = [0; 4];
        socket.read_exact(&mut received).await.unwrap();
        assert_eq!(&received, b"ping");
    }
    String::from_utf8(request).unwrap()
}

async fn through_proxy(answer: &str) -> (String, String, Result<(), ProxyDialError>) {
    let runtime = TokioRuntime::current().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let environment = ProxyEnvironment::new(&format!("http://me:s%20ecret@{address}"), "").unwrap();
    let dialling = async {
        let unordered = |_: &mut [SocketAddr]| ();
        let dialled = dial_server(&runtime, &environment, "server.test", 8091, unordered);
        let (address, mut socket) = dialled.await?;
        assert_eq!(address, None, "the proxy knows it");
        socket.write_all(b"ping").await.unwrap();
        // Not dropped before the proxy has read: it would see a reset.
        Ok(socket)
    };
    let (request, dialled) = tokio::join!(proxy(listener, answer), dialling);
    (address, request, dialled.map(drop))
}

#[tokio::test]
async fn the_proxy_server_is_reached_through_an_http_proxy() {
    let (_, request, dialled) =
        through_proxy("HTTP/1.1 200 Connection established\r\nVia: 1.1 proxy\r\n\r\n").await;
    dialled.unwrap();
    let mut lines = request.split("\r\n");
    assert_eq!(lines.next(), Some("CONNECT server.test:8091 HTTP/1.1"));
    let headers: Vec<_> = lines.collect();
    assert!(headers.contains(&"Host: server.test:8091"));
    assert!(headers.contains(&"Proxy-Authorization: Basic bWU6cyBlY3JldA=="));
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named_with_its_reason() {
    let answer = "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
    let (address, _, dialled) = through_proxy(answer).await;
    assert_eq!(
        dialled.unwrap_err().to_string(),
        format!(
            "HTTP proxy {address} refused a tunnel to server.test:8091: 407 Proxy Authentication Required"
        )
    );
}

#[tokio::test]
async fn a_proxy_that_makes_no_sense_is_not_believed() {
    for answer in ["SSH-2.0-OpenSSH\r\n", "HTTP/1.1 abc\r\n\r\n"] {
        let (_, _, dialled) = through_proxy(answer).await;
        assert!(
            matches!(dialled, Err(ProxyDialError::Malformed { .. })),
            "{dialled:?}"
        );
    }
}

#[tokio::test]
async fn a_proxys_response_has_a_bound() {
    let runtime = TokioRuntime::current().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let environment = ProxyEnvironment::new(&url, "").unwrap();
    let endless = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(b"HTTP/1.1 200 OK\r\nX: ").await.unwrap();
        while socket.write_all(&[b'a'; 1024]).await.is_ok() {}
    };
    let (dialled, ()) = tokio::join!(
        async {
            dial_server(&runtime, &environment, "server.test", 8091, |_| ())
                .await
                .map(drop)
        },
        endless
    );
    assert!(
        matches!(dialled, Err(ProxyDialError::Malformed { .. })),
        "{dialled:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_is_silent_is_waited_for_up_to_the_limit() {
    let runtime = TokioRuntime::current().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let environment = ProxyEnvironment::new(&format!("http://{address}"), "").unwrap();
    let dialled = dial_server(&runtime, &environment, "server.test", 8091, |_| ()).await;
    assert_eq!(
        dialled.map(drop).unwrap_err().to_string(),
        format!("HTTP proxy {address}: i/o timeout")
    );
}

#[tokio::test]
async fn loopback_and_exempt_servers_are_reached_directly() {
    let runtime = TokioRuntime::current().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (_bound, closed) = closed_port();
    let environment = ProxyEnvironment::new(&format!("http://127.0.0.1:{closed}"), "").unwrap();
    dial_server(&runtime, &environment, "127.0.0.1", port, |_| ())
        .await
        .unwrap();
    dial_server(&runtime, &environment, "localhost", port, |_| ())
        .await
        .unwrap();
    let refused = dial_server(&runtime, &environment, "server.test", port, |_| ()).await;
    assert_eq!(
        refused.map(drop).unwrap_err().to_string(),
        format!(
            "HTTP proxy 127.0.0.1:{closed}: dial tcp 127.0.0.1:{closed}: connect: connection refused"
        )
    );
}

#[tokio::test]
async fn of_a_servers_addresses_the_one_that_is_put_first_is_reached() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let local = listener.local_addr().unwrap();
    let ips = ["10.0.0.1", "10.0.0.2"].map(|ip| ip.parse::<IpAddr>().unwrap());
    let network = Network::new(World {
        names: HashMap::from([("server.test", ips.to_vec())]),
        open: HashMap::from(ips.map(|ip| (ip, local))),
        ..World::default()
    });
    let direct = ProxyEnvironment::default();
    let (address, _socket) = dial_server(&network, &direct, "server.test", 8091, |addresses| {
        addresses.reverse();
    })
    .await
    .unwrap();
    assert_eq!(address, Some(SocketAddr::new(ips[1], 8091)));
}
