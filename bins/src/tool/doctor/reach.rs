//! Names and sockets: whether packets get there at all.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use dialback_runtime::Runtime as _;
use dialback_tokio::TokioRuntime;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout};

use super::report::{Finding, Report};

/// Addresses of one name that are tried.
const MOST_ADDRESSES: usize = 16;

/// The addresses of a name, and what there is to say of it.
pub(super) async fn look_up(
    runtime: &TokioRuntime,
    host: &str,
    port: u16,
    limit: Duration,
) -> (Vec<SocketAddr>, Finding) {
    const HOP: &str = "name";
    if let Ok(ip) = host.parse::<IpAddr>() {
        let told = format!("{host} is an address, no name to look up");
        return (vec![SocketAddr::new(ip, port)], Finding::ok(HOP, told));
    }
    let found = timeout(limit, runtime.look_up(host, port)).await;
    let failed = |why: String, advice: &str| {
        let told = format!("{host} can't be resolved: {why}");
        (Vec::new(), Finding::fail(HOP, told, advice))
    };
    let mut addresses = match found {
        Err(_) => {
            return failed(
                format!("no answer within {limit:?}"),
                "the name server does not answer: look at /etc/resolv.conf, and at what lies between here and the name \
                 server; in a pod, at its dnsPolicy",
            );
        }
        Ok(Err(error)) => {
            return failed(
                error.to_string(),
                "look for a misspelt name, and at /etc/resolv.conf; in a pod with hostNetwork names of the cluster need \
                 dnsPolicy ClusterFirstWithHostNet",
            );
        }
        Ok(Ok(addresses)) => addresses,
    };
    // Resolvers repeat an address for each kind of socket.
    let mut seen = Vec::new();
    addresses.retain(|address| {
        let is_new = !seen.contains(address);
        seen.push(*address);
        is_new
    });
    if addresses.is_empty() {
        return failed(
            "it has no address".to_owned(),
            "give the name an A or AAAA record, or take another name",
        );
    }
    let all = addresses.len();
    addresses.truncate(MOST_ADDRESSES);
    let ips: Vec<_> = addresses
        .iter()
        .map(|found| found.ip().to_string())
        .collect();
    let mut told = format!("{host} is {}", ips.join(", "));
    if all > ips.len() {
        told.push_str(&format!(
            " and {} more, which are not tried",
            all - ips.len()
        ));
    }
    let finding = Finding::ok(HOP, told).with_fact("addresses", ips);
    (addresses, finding)
}

/// Connects to each of the addresses. As long as one answers, those that do not are worth a warning.
pub(super) async fn connect_each<W: io::Write>(
    addresses: &[SocketAddr],
    limit: Duration,
    report: &mut Report<W>,
) -> Vec<(SocketAddr, TcpStream)> {
    const HOP: &str = "tcp";
    // All at once: packets to some of them may get lost.
    let attempts: Vec<_> = addresses
        .iter()
        .map(|address| tokio::spawn(connect(*address, limit)))
        .collect();
    let mut connected = Vec::new();
    let mut failures = Vec::new();
    for (address, attempt) in addresses.iter().zip(attempts) {
        let attempt = attempt.await.map_err(io::Error::other);
        match attempt.unwrap_or_else(|error| Ok(Err(error))) {
            Ok(Ok((stream, took))) => {
                let told = format!("{address}: connected in {}", milliseconds(took));
                report.add(Finding::ok(HOP, told).with_fact("took_ms", took.as_secs_f64() * 1e3));
                connected.push((*address, stream));
            }
            Ok(Err(error)) => failures.push((*address, Some(error))),
            Err(_) => failures.push((*address, None)),
        }
    }
    for (address, error) in failures {
        let (why, advice) = match error {
            Some(error) => (error.to_string(), connect_advice(&error)),
            None => (format!("no answer within {limit:?}"), SILENCE),
        };
        let told = format!("{address}: {why}");
        report.add(if connected.is_empty() {
            Finding::fail(HOP, told, advice)
        } else {
            let advice = format!("the other addresses are used instead; {advice}");
            Finding::warn(HOP, told, advice)
        });
    }
    connected
}

/// A connection and how long it took.
async fn connect(
    address: SocketAddr,
    limit: Duration,
) -> Result<io::Result<(TcpStream, Duration)>, Elapsed> {
    let start = Instant::now();
    let stream = timeout(limit, TcpStream::connect(address)).await?;
    Ok(stream.map(|stream| (stream, start.elapsed())))
}

const SILENCE: &str = "packets get lost on the way: look for a firewall, a security group, a NetworkPolicy or a missing \
                       route, and whether the address is right";

fn connect_advice(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::ConnectionRefused {
        "nothing listens there: look whether the proxy server runs and whether the port is right (its --agent-port is for \
         agents, its --server-port for frontends)"
    } else if error.kind() == io::ErrorKind::TimedOut {
        SILENCE
    } else if matches!(
        error.kind(),
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable
    ) {
        "this machine has no route there: look at its network and at the address"
    } else {
        "look at what the system says, and whether the address is right"
    }
}

/// Connects to a Unix socket.
pub(super) async fn connect_unix<W: io::Write>(
    path: &Path,
    limit: Duration,
    report: &mut Report<W>,
) -> Option<UnixStream> {
    const HOP: &str = "socket";
    let shown = path.display();
    let failed = match timeout(limit, UnixStream::connect(path)).await {
        Ok(Ok(stream)) => {
            report.add(Finding::ok(HOP, format!("{shown}: connected")));
            return Some(stream);
        }
        Ok(Err(error)) => Finding::fail(HOP, format!("{shown}: {error}"), socket_advice(&error)),
        Err(_) => Finding::fail(
            HOP,
            format!("{shown}: no answer within {limit:?}"),
            "the proxy server does not accept connections: it hangs, or has as many frontends as it takes",
        ),
    };
    report.add(failed);
    None
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "errors without advice of their own get the same"
)]
fn socket_advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => {
            "look whether the proxy server runs, whether --uds is its --uds-name, and, in a pod, whether the folder of \
             the socket is mounted"
        }
        io::ErrorKind::PermissionDenied => {
            "run as a user who may write to the socket and enter its folder, as kube-apiserver has to"
        }
        io::ErrorKind::ConnectionRefused => {
            "the socket was left behind by a proxy server that is gone: start it anew, with --delete-existing-uds-file"
        }
        _ => "look at what the system says, and whether this is the socket of a proxy server",
    }
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::tool::doctor::report::Verdict;

    const LIMIT: Duration = Duration::from_secs(15);

    #[tokio::test]
    async fn names_lead_to_addresses_or_to_advice() {
        let runtime = TokioRuntime::current().unwrap();
        let (addresses, finding) = look_up(&runtime, "::1", 7, LIMIT).await;
        assert_eq!(addresses, ["[::1]:7".parse().unwrap()]);
        assert_eq!(finding.verdict, Verdict::Ok);
        let (addresses, finding) = look_up(&runtime, "no name", 7, LIMIT).await;
        assert!(addresses.is_empty());
        assert_eq!(finding.verdict, Verdict::Fail);
        assert!(
            finding.told.starts_with("no name can't be resolved: "),
            "{}",
            finding.told
        );
    }

    #[tokio::test]
    async fn an_address_that_fails_beside_one_that_works_is_a_warning() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let open = listener.local_addr().unwrap();
        // Nobody else gets it while it is bound, and nobody listens.
        let bound = socket_without_listener();
        let closed = bound.1;
        let mut report = Report::new(Vec::new(), true, "test");
        let connected = connect_each(&[closed, open], LIMIT, &mut report).await;
        assert_eq!(connected.len(), 1);
        assert_eq!(report.verdict(), Verdict::Warn);
        let mut report = Report::new(Vec::new(), true, "test");
        assert!(connect_each(&[closed], LIMIT, &mut report).await.is_empty());
        assert_eq!(report.verdict(), Verdict::Fail);
    }

    fn socket_without_listener() -> (tokio::net::TcpSocket, SocketAddr) {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap();
        (socket, address)
    }

    #[test]
    fn what_to_do_depends_on_what_the_system_says() {
        let advice = |kind| connect_advice(&io::Error::from(kind));
        assert!(advice(io::ErrorKind::ConnectionRefused).starts_with("nothing listens there"));
        assert_eq!(advice(io::ErrorKind::TimedOut), SILENCE);
        let socket = |kind| socket_advice(&io::Error::from(kind));
        assert!(socket(io::ErrorKind::NotFound).contains("--uds-name"));
        assert!(socket(io::ErrorKind::ConnectionRefused).contains("--delete-existing-uds-file"));
    }
}
