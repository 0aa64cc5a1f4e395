//! The client tools of `dialback`, each a process, through a pair of daemons.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::Arc;
use std::thread;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use support::daemon::{PROMPTLY, eventually};
use support::pair::{Front, Pair};

const DIALBACK: &str = env!("CARGO_BIN_EXE_dialback");

/// An endpoint that serves until the test process ends; one thread a connection.
fn endpoint(serve: impl Fn(TcpStream) -> io::Result<()> + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let serve = serve.clone();
            thread::spawn(move || serve(connection));
        }
    });
    address
}

/// Sends everything back.
fn echo() -> SocketAddr {
    endpoint(|mut connection| {
        let mut back = connection.try_clone()?;
        io::copy(&mut connection, &mut back)?;
        connection.shutdown(Shutdown::Write)
    })
}

/// Reads to the end of what it is told, and only then says how much that was and what its bytes add up to.
fn sum() -> SocketAddr {
    endpoint(|mut connection| {
        let mut bytes = Vec::new();
        connection.read_to_end(&mut bytes)?;
        connection.write_all(summary(&bytes).as_bytes())
    })
}

/// The length and a sum that tells the order of bytes.
fn summary(bytes: &[u8]) -> String {
    let sum = bytes
        .iter()
        .fold(0_u64, |sum, byte| sum.rotate_left(7) ^ u64::from(*byte));
    format!("{} bytes, {sum:x}", bytes.len())
}

/// Sends back one line and closes: what it says arrives however the way there treats half-closed connections.
fn line() -> SocketAddr {
    endpoint(|mut connection| {
        let mut line = String::new();
        BufReader::new(connection.try_clone()?).read_line(&mut line)?;
        write!(connection, "you said {line}")
    })
}

/// A web server with one page.
fn web() -> SocketAddr {
    endpoint(|mut connection| {
        let mut request = BufReader::new(connection.try_clone()?).lines();
        let first = request.next().unwrap_or_else(|| Ok(String::new()))?;
        for line in request {
            if line?.is_empty() {
                break;
            }
        }
        let length = first.len() + 1;
        write!(
            connection,
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{first}\n"
        )
    })
}

/// As [`web`], over TLS with the server's certificate of `pair`.
fn secure_web(pair: &Pair) -> SocketAddr {
    let chain = CertificateDer::pem_file_iter(pair.site.file("server.crt"))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let key = PrivateKeyDer::from_pem_file(pair.site.file("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let config = Arc::new(config);
    endpoint(move |connection| {
        let session = rustls::ServerConnection::new(Arc::clone(&config));
        let mut stream = rustls::StreamOwned::new(session.map_err(io::Error::other)?, connection);
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            head.extend(byte);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nsecret")?;
        stream.conn.send_close_notify();
        stream.flush()
    })
}

/// Where nobody listens: only the daemons of `pair` use its address, and not this port.
fn closed(pair: &Pair) -> SocketAddr {
    pair.site.at(9).into()
}

/// The flags that lead through `pair`.
fn through(pair: &Pair, front: Front) -> Vec<String> {
    let mode = match front {
        Front::GrpcUnix | Front::GrpcTcp => "grpc",
        Front::ConnectUnix | Front::ConnectTcp => "http-connect",
    };
    let mut flags = vec![format!("--mode={mode}")];
    match front {
        Front::GrpcUnix | Front::ConnectUnix => {
            flags.push(format!("--uds={}", pair.site.socket().display()));
        }
        Front::GrpcTcp | Front::ConnectTcp => {
            flags.push(format!("--url=https://{}", pair.site.frontends()));
            for (flag, file) in [
                ("ca-cert", "server-ca.crt"),
                ("client-cert", "client.crt"),
                ("client-key", "client.key"),
            ] {
                flags.push(format!("--{flag}={}", pair.site.file(file).display()));
            }
        }
    }
    flags
}

/// Runs a tool to its end.
fn run(tool: &str, flags: &[String], arguments: &[&str], input: &[u8]) -> Output {
    let mut process = Command::new(DIALBACK)
        .arg(tool)
        .args(flags)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may be gone already, when it refuses its flags.
    let _ = process.stdin.take().unwrap().write_all(input);
    process.wait_with_output().unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A tool that listens, and the lines with which it says where.
struct Listening {
    process: Child,
    lines: io::Lines<BufReader<ChildStdout>>,
}

impl Listening {
    fn start(tool: &str, flags: &[String], arguments: &[&str]) -> Self {
        let mut process = Command::new(DIALBACK)
            .arg(tool)
            .args(flags)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    /// The address in the next line.
    fn address(&mut self) -> SocketAddr {
        let line = self.lines.next().unwrap().unwrap();
        let address = line.split(' ').find_map(|word| word.parse().ok());
        address.unwrap_or_else(|| panic!("no address in {line:?}"))
    }

    fn finish(mut self) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").arg(&pid).status().unwrap().success());
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        // Gone already, if the test went well.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PROMPTLY)).unwrap();
    stream
}

/// Says a line and returns what comes until the end.
fn converse(mut stream: impl Read + Write, said: &[u8]) -> io::Result<String> {
    stream.write_all(said)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn dial_connects_its_input_and_output() {
    for front in [
        Front::GrpcUnix,
        Front::GrpcTcp,
        Front::ConnectUnix,
        Front::ConnectTcp,
    ] {
        let pair = Pair::start(front, &[]);
        let flags = through(&pair, front);
        // The echo ends when its input does.
        let output = run("dial", &flags, &[&echo().to_string()], b"hello\n");
        assert_eq!(told(&output), "");
        assert_eq!(output.stdout, b"hello\n");
        assert_eq!(output.status.code(), Some(0));
        pair.finish();
    }
}

/// The end of the input reaches the endpoint, and its answer still comes back.
#[test]
fn an_endpoint_may_answer_at_the_end_of_what_is_piped_into_dial() {
    let input: Vec<u8> = (0..50_000_000_u32)
        .map(|index| (index % 251).to_le_bytes()[0])
        .collect();
    for front in [Front::ConnectUnix, Front::ConnectTcp] {
        let pair = Pair::start(front, &[]);
        let flags = through(&pair, front);
        for input in [&input[..], b""] {
            let output = run("dial", &flags, &[&sum().to_string()], input);
            assert_eq!(told(&output), "");
            let answer = String::from_utf8(output.stdout).unwrap();
            assert_eq!(answer, summary(input));
            assert_eq!(output.status.code(), Some(0));
        }
        pair.finish();
    }
}

#[test]
fn dial_says_by_its_exit_code_whose_fault_it_was() {
    let pair = Pair::start(Front::GrpcUnix, &[]);
    let flags = through(&pair, Front::GrpcUnix);
    let address = closed(&pair).to_string();
    let refused = run("dial", &flags, &[&address], b"");
    assert_eq!(refused.status.code(), Some(3), "{}", told(&refused));
    assert!(told(&refused).contains("connect: connection refused"));
    let usage = run("dial", &flags, &[], b"");
    assert_eq!(usage.status.code(), Some(1));
    let odd = run("dial", &flags, &["no-port"], b"");
    assert_eq!(odd.status.code(), Some(1), "{}", told(&odd));
    let nobody = ["--uds=/nonexistent/socket".to_owned()];
    let nobody = run("dial", &nobody, &[&address], b"");
    assert_eq!(nobody.status.code(), Some(2), "{}", told(&nobody));
    assert!(told(&nobody).starts_with("dialback: proxy server unix:/nonexistent/socket can't be"));
    let half = ["--url=http://127.0.0.1:1", "--ca-cert=x"].map(str::to_owned);
    let half = run("dial", &half, &[&address], b"");
    assert_eq!(half.status.code(), Some(1), "{}", told(&half));
    pair.finish();
}

#[test]
fn a_configuration_leads_through_its_services() {
    let pair = Pair::start(Front::ConnectUnix, &[]);
    let file = pair.site.file("egress.yaml");
    let text = format!(
        "apiVersion: apiserver.k8s.io/v1beta1\nkind: EgressSelectorConfiguration\negressSelections:\n\
         - name: cluster\n  connection:\n    proxyProtocol: HTTPConnect\n    transport:\n      \
         uds: {{udsName: {}}}\n",
        pair.site.socket().display()
    );
    std::fs::write(&file, &text).unwrap();
    let flags = [format!("--config={}", file.display())];
    let output = run("dial", &flags, &[&line().to_string()], b"hello\n");
    assert_eq!(output.stdout, b"you said hello\n", "{}", told(&output));
    let other = run("dial", &flags, &["--service=etcd", "a:1"], b"");
    assert_eq!(other.status.code(), Some(1));
    assert!(told(&other).contains("configured are cluster"));
    std::fs::write(&file, text.replace("transport", "transports")).unwrap();
    let strict = run("dial", &flags, &["a:1"], b"");
    assert!(told(&strict).contains("connection.transports\" (line 7)"));
    pair.finish();
}

#[test]
fn twenty_four_forwards_serve_at_once() {
    let pair = Pair::start(Front::GrpcUnix, &[]);
    let line = line();
    let socket = pair.site.file("forward.sock");
    let mut rules = vec![format!("0:{line}"); 23];
    rules.push(format!("{}:{line}", socket.display()));
    let rules: Vec<_> = rules.iter().map(String::as_str).collect();
    let mut forward = Listening::start("forward", &through(&pair, Front::GrpcUnix), &rules);
    let addresses: Vec<_> = (0..23).map(|_| forward.address()).collect();
    let conversations: Vec<_> = addresses
        .into_iter()
        .map(|address| thread::spawn(move || converse(connect(address), b"hello\n").unwrap()))
        .collect();
    for conversation in conversations {
        assert_eq!(conversation.join().unwrap(), "you said hello\n");
    }
    eventually(|| socket.exists().then_some(()).ok_or("no socket".to_owned()));
    let unix = UnixStream::connect(&socket).unwrap();
    unix.set_read_timeout(Some(PROMPTLY)).unwrap();
    assert_eq!(converse(unix, b"bye\n").unwrap(), "you said bye\n");
    forward.finish();
    assert!(!socket.exists());
    pair.finish();
}

/// Whether an endpoint answers through each of three listeners.
fn answers(listeners: &[(&str, SocketAddr); 3], endpoint: SocketAddr) -> [bool; 3] {
    listeners.map(|(tool, address)| {
        let mut stream = match tool {
            "socks5" => match socks5(address, endpoint) {
                (stream, 0) => stream,
                (_, _) => return false,
            },
            _ => connect(address),
        };
        if tool == "http-proxy" {
            write!(stream, "CONNECT {endpoint} HTTP/1.1\r\n\r\n").unwrap();
        }
        let said = converse(stream, b"a\n");
        said.is_ok_and(|said| said.ends_with("you said a\n"))
    })
}

#[test]
fn listeners_survive_a_restart_of_the_proxy_server() {
    let mut pair = Pair::start(Front::GrpcUnix, &[]);
    let flags = through(&pair, Front::GrpcUnix);
    let endpoint = line();
    let rule = format!("0:{endpoint}");
    let mut tools = [
        ("forward", Listening::start("forward", &flags, &[&rule])),
        (
            "socks5",
            Listening::start("socks5", &flags, &["--listen=0"]),
        ),
        (
            "http-proxy",
            Listening::start("http-proxy", &flags, &["--listen=0"]),
        ),
    ];
    let listeners = tools
        .each_mut()
        .map(|(tool, listening)| (*tool, listening.address()));
    assert_eq!(answers(&listeners, endpoint), [true; 3]);
    pair.server.terminate();
    pair.server.until_ended();
    assert_eq!(answers(&listeners, endpoint), [false; 3]);
    pair.server = pair.site.start_server(Front::GrpcUnix, &[]);
    pair.server.until("/readyz", 200);
    assert_eq!(answers(&listeners, endpoint), [true; 3]);
    for (_, listening) in tools {
        listening.finish();
    }
}

/// Greets, asks for `host:port` by name, and hands over the connection.
fn socks5(server: SocketAddr, endpoint: SocketAddr) -> (TcpStream, u8) {
    let mut stream = connect(server);
    stream.write_all(b"\x05\x01\x00").unwrap();
    let mut method = [0; 2];
    stream.read_exact(&mut method).unwrap();
    assert_eq!(method, [5, 0]);
    let host = endpoint.ip().to_string();
    let mut request = vec![5, 1, 0, 3, u8::try_from(host.len()).unwrap()];
    request.extend_from_slice(host.as_bytes());
    request.extend_from_slice(&endpoint.port().to_be_bytes());
    stream.write_all(&request).unwrap();
    let mut reply = [0; 10];
    stream.read_exact(&mut reply).unwrap();
    (stream, reply[1])
}

#[test]
fn socks5_clients_are_served() {
    let pair = Pair::start(Front::GrpcUnix, &[]);
    let flags = through(&pair, Front::GrpcUnix);
    let mut server = Listening::start("socks5", &flags, &["--listen=0"]);
    let address = server.address();
    let (stream, reply) = socks5(address, line());
    assert_eq!(reply, 0);
    assert_eq!(converse(stream, b"hello\n").unwrap(), "you said hello\n");
    assert_eq!(socks5(address, closed(&pair)).1, 5);
    curl(&["-x", &format!("socks5h://{address}")]);
    server.finish();
    let open = run("socks5", &flags, &["--listen=0.0.0.0:0"], b"");
    assert_eq!(open.status.code(), Some(1));
    assert!(told(&open).contains("--user and --password-file are needed"));
    pair.finish();
}

#[test]
fn http_clients_are_served() {
    let pair = Pair::start(Front::ConnectUnix, &[]);
    let flags = through(&pair, Front::ConnectUnix);
    let mut server = Listening::start("http-proxy", &flags, &["--listen=0"]);
    let address = server.address();
    let line = line();
    let mut tunnel = connect(address);
    write!(
        tunnel,
        "CONNECT {line} HTTP/1.1\r\nHost: {line}\r\n\r\nhello\n"
    )
    .unwrap();
    assert_eq!(
        converse(tunnel, b"").unwrap(),
        "HTTP/1.1 200 Connection Established\r\n\r\nyou said hello\n"
    );
    let web = web();
    let request = format!("GET http://{web}/page HTTP/1.1\r\nHost: {web}\r\n\r\n");
    let answer = converse(connect(address), request.as_bytes()).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nGET /page HTTP/1.1\n"), "{answer}");
    let answer = converse(connect(address), b"GET /page HTTP/1.1\r\n\r\n").unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 400 Bad Request\r\n"),
        "{answer}"
    );
    curl(&["-x", &format!("http://{address}")]);
    curl(&["--proxytunnel", "-x", &format!("http://{address}")]);
    server.finish();

    let secret = pair.site.file("password");
    std::fs::write(&secret, "secret\n").unwrap();
    let file = format!("--password-file={}", secret.display());
    let arguments = ["--listen=0", "--user=me", &file];
    let mut server = Listening::start("http-proxy", &flags, &arguments);
    let address = server.address();
    let answer = converse(connect(address), request.as_bytes()).unwrap();
    assert!(answer.starts_with("HTTP/1.1 407 "), "{answer}");
    curl(&["-x", &format!("http://me:secret@{address}")]);
    server.finish();
    pair.finish();
}

/// Fetches a page with curl, where there is one.
fn curl(proxy: &[&str]) {
    let url = format!("http://{}/curl", web());
    let fetched = Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--max-time",
            "15",
            "--noproxy",
            "",
        ])
        .args(proxy)
        .arg(&url)
        .output();
    match fetched {
        Ok(fetched) => assert_eq!(
            String::from_utf8_lossy(&fetched.stdout),
            "GET /curl HTTP/1.1\n",
            "{proxy:?}: {}",
            told(&fetched)
        ),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            assert!(
                std::env::var_os("DIALBACK_REQUIRE_INTEROP").is_none(),
                "curl is missing"
            );
            eprintln!("skipped, for there is no curl");
        }
        Err(error) => panic!("curl: {error}"),
    }
}

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

#[test]
fn requests_are_sent_and_counted() {
    let pair = Pair::start(Front::GrpcUnix, &[]);
    let flags = through(&pair, Front::GrpcUnix);
    let url = format!("http://{}/a?b", web());
    let arguments = ["--count=20", "--method=PUT", "--body", &url];
    let output = run("request", &flags, &arguments, b"");
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.matches("PUT /a?b HTTP/1.1\n").count(), 20, "{text}");
    assert_eq!(text.matches(": 200, 18 bytes, ").count(), 20, "{text}");
    let url = format!("http://{}/", closed(&pair));
    let failed = run("request", &flags, &["--count=2", &url], b"");
    assert_eq!(failed.status.code(), Some(3));
    assert!(told(&failed).ends_with("dialback: 2 of 2 failed\n"));
    pair.finish();
}

#[test]
fn requests_go_to_https_targets_too() {
    let pair = Pair::start(Front::ConnectUnix, &[]);
    let flags = through(&pair, Front::ConnectUnix);
    let url = format!("https://{}/", secure_web(&pair));
    let ca = |name: &str| format!("--target-ca={}", pair.site.file(name).display());
    let output = run(
        "request",
        &flags,
        &["--body", &ca("server-ca.crt"), &url],
        b"",
    );
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("secret1: 200, 6 bytes, "), "{text}");
    for (flag, code, words) in [
        (ca("cluster-ca.crt"), 5, "UnknownIssuer"),
        (ca("none"), 1, "--target-ca: cannot read"),
    ] {
        let refused = run("request", &flags, &[&flag, &url], b"");
        assert_eq!(refused.status.code(), Some(code), "{}", told(&refused));
        assert!(told(&refused).contains(words), "{}", told(&refused));
    }
    pair.finish();
}

#[test]
fn completions_and_man_pages_know_the_tools() {
    for shell in ["bash", "zsh", "fish"] {
        let output = run("completions", &[], &[shell], b"");
        assert!(output.status.success());
        let script = String::from_utf8(output.stdout).unwrap();
        for tool in ["forward", "http-proxy", "dial-timeout"] {
            assert!(script.contains(tool), "{shell}: {tool}");
        }
    }
    let page = run("man", &[], &[], b"").stdout;
    assert!(String::from_utf8(page).unwrap().contains(".TH dialback 1"));
    let folder = std::env::temp_dir().join(format!("dialback-man-{}", std::process::id()));
    let out = format!("--out={}", folder.display());
    assert!(run("man", &[], &[&out], b"").status.success());
    let page = std::fs::read_to_string(folder.join("dialback-forward.1")).unwrap();
    assert!(page.contains("Unix sockets"), "{page}");
    std::fs::remove_dir_all(folder).unwrap();
}

/// Every command line of the manual, by the tool and its flags.
#[test]
fn the_manual_names_flags_that_there_are() {
    let manual = include_str!("../../docs/client.md");
    let mut checked = 0;
    for line in manual.lines() {
        let Some((_, line)) = line.split_once("dialback ") else {
            continue;
        };
        if !manual.contains(&format!("$ dialback {line}")) {
            continue;
        }
        let mut words = line.split_whitespace();
        let tool = words.next().unwrap();
        let help = run(tool, &[], &["--help"], b"");
        assert_eq!(help.status.code(), Some(0), "{line}");
        let help = String::from_utf8(help.stdout).unwrap();
        for flag in words.filter(|word| word.starts_with("--")) {
            assert!(
                help.contains(&format!(" {flag} ")),
                "{line}: {flag}\n{help}"
            );
        }
        checked += 1;
    }
    assert!(checked >= 9, "only {checked} command lines were found");
}
