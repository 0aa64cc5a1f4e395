//! A proxy-server, and proxy-agents connected to it.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::address::Address;
use super::daemon::{Daemon, Folder};

const FRONTEND_PORT: u16 = 8090;
const AGENT_PORT: u16 = 8091;

/// Series of the server's /metrics that are 0 when nothing goes on.
const SERVER_GAUGES: [&str; 4] = [
    "konnectivity_network_proxy_server_pending_backend_dials",
    "konnectivity_network_proxy_server_established_connections",
    "konnectivity_network_proxy_server_http_connections",
    "konnectivity_network_proxy_server_grpc_connections{service_method=\"Proxy\"}",
];
/// The agent's.
const AGENT_GAUGES: [&str; 1] = ["konnectivity_network_proxy_agent_open_endpoint_connections"];

/// How frontends reach the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Front {
    GrpcUnix,
    GrpcTcp,
    ConnectUnix,
    ConnectTcp,
}

impl Front {
    fn is_unix(self) -> bool {
        matches!(self, Self::GrpcUnix | Self::ConnectUnix)
    }

    fn mode(self) -> &'static str {
        match self {
            Self::GrpcUnix | Self::GrpcTcp => "grpc",
            Self::ConnectUnix | Self::ConnectTcp => "http-connect",
        }
    }
}

/// Where daemons of one test live: an address, certificates, a folder.
#[derive(Debug)]
pub(crate) struct Site {
    // Dropped last: the daemons that are told apart by the address are gone by then.
    folder: Folder,
    address: Address,
    /// Variables of the daemons' environment, beside those of the test.
    pub(crate) environment: Vec<(&'static str, String)>,
}

impl Site {
    pub(crate) fn new() -> Self {
        let site = Self {
            folder: Folder::new(),
            address: Address::claim(),
            environment: Vec::new(),
        };
        site.issue(site.folder.path(), &[]);
        site
    }

    /// Writes another set of certificates for the same address, and more, under other CAs.
    pub(crate) fn issue(&self, folder: &Path, more: &[Ipv4Addr]) {
        let issued = Command::new(env!("CARGO_BIN_EXE_dialback"))
            .args(["certs", "--force", "--out"])
            .arg(folder)
            .arg(format!("--server-name={}", self.ip()))
            .args(more.iter().map(|ip| format!("--server-name={ip}")))
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(issued.success(), "dialback certs: {issued}");
    }

    /// The flags of servers at this site and at others, under one CA, which agents of this site trust.
    pub(crate) fn share_certificates(&self, others: &[&Self]) -> Vec<String> {
        let more: Vec<_> = others.iter().map(|site| site.ip()).collect();
        self.issue(self.folder.path(), &more);
        vec![
            self.flag("cluster-cert", "cluster.crt"),
            self.flag("cluster-key", "cluster.key"),
            self.flag("cluster-ca-cert", "cluster-ca.crt"),
        ]
    }

    pub(crate) fn ip(&self) -> Ipv4Addr {
        self.address.ip()
    }

    /// The Unix socket of a server on one.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("server.sock")
    }

    /// A file of the folder, such as the certificates of `dialback certs`.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn flag(&self, flag: &str, file: &str) -> String {
        format!("--{flag}={}", self.file(file).display())
    }

    /// Where a listener of the daemons is.
    pub(crate) fn at(&self, port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(self.ip(), port)
    }

    /// The frontend listener of a server on TCP.
    pub(crate) fn frontends(&self) -> SocketAddrV4 {
        self.at(FRONTEND_PORT)
    }

    /// The agent listener.
    pub(crate) fn agents(&self) -> SocketAddrV4 {
        self.at(AGENT_PORT)
    }

    pub(crate) fn start_server(&self, front: Front, more: &[&str]) -> Daemon {
        let ip = self.ip();
        let mut flags = vec![
            format!("--mode={}", front.mode()),
            self.flag("cluster-cert", "cluster.crt"),
            self.flag("cluster-key", "cluster.key"),
            self.flag("cluster-ca-cert", "cluster-ca.crt"),
            format!("--agent-bind-address={ip}"),
            format!("--agent-port={AGENT_PORT}"),
            format!("--health-bind-address={ip}"),
            "--health-port=8092".to_owned(),
            format!("--admin-bind-address={ip}"),
            "--admin-port=8095".to_owned(),
        ];
        if front.is_unix() {
            flags.push(format!("--uds-name={}", self.socket().display()));
            flags.push("--server-port=0".to_owned());
        } else {
            flags.push(self.flag("server-cert", "server.crt"));
            flags.push(self.flag("server-key", "server.key"));
            flags.push(self.flag("server-ca-cert", "server-ca.crt"));
            flags.push(format!("--server-bind-address={ip}"));
            flags.push(format!("--server-port={FRONTEND_PORT}"));
        }
        flags.extend(more.iter().map(ToString::to_string));
        let program = env!("CARGO_BIN_EXE_proxy-server");
        Daemon::start(
            "proxy-server",
            program,
            self.at(8092),
            self.file("proxy-server.log"),
            &self.environment,
            flags,
        )
    }

    /// What a server in HTTP-CONNECT mode with these flags says that can't start. It has its listeners at the address of the
    /// site.
    pub(crate) fn refused_server(&self, flags: &[String]) -> Output {
        let ip = self.ip();
        Command::new(env!("CARGO_BIN_EXE_proxy-server"))
            .args(["--server-port=0", "--mode=http-connect"])
            .arg(format!("--uds-name={}", self.socket().display()))
            .args([
                self.flag("cluster-cert", "cluster.crt"),
                self.flag("cluster-key", "cluster.key"),
                self.flag("cluster-ca-cert", "cluster-ca.crt"),
            ])
            .args(
                ["agent", "admin", "health"]
                    .map(|listener| format!("--{listener}-bind-address={ip}")),
            )
            .args(flags)
            .output()
            .unwrap()
    }

    /// An agent; it is connected once its /readyz answers 200.
    pub(crate) fn start_agent(&self, more: &[&str]) -> Daemon {
        self.start_agent_at(8093, more)
    }

    /// As [`Site::start_agent`], beside another one: its health listener is at `port`, its admin listener at the next.
    pub(crate) fn start_agent_at(&self, port: u16, more: &[&str]) -> Daemon {
        let ip = self.ip();
        let mut flags = vec![
            format!("--proxy-server-host={ip}"),
            format!("--proxy-server-port={AGENT_PORT}"),
            self.flag("ca-cert", "cluster-ca.crt"),
            self.flag("agent-cert", "agent.crt"),
            self.flag("agent-key", "agent.key"),
            format!("--health-server-host={ip}"),
            format!("--health-server-port={port}"),
            format!("--admin-bind-address={ip}"),
            format!("--admin-server-port={}", port + 1),
            "--sync-interval=100ms".to_owned(),
            "--sync-interval-cap=1s".to_owned(),
            "--probe-interval=100ms".to_owned(),
        ];
        flags.extend(more.iter().map(ToString::to_string));
        let program = env!("CARGO_BIN_EXE_proxy-agent");
        Daemon::start(
            "proxy-agent",
            program,
            self.at(port),
            self.file(&format!("proxy-agent-{port}.log")),
            &self.environment,
            flags,
        )
    }
}

/// A server with one agent.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) agent: Daemon,
    pub(crate) server: Daemon,
    descriptors: (usize, usize),
    // After the daemons, which use it.
    pub(crate) site: Site,
}

impl Pair {
    /// Starts both and waits until they are ready.
    pub(crate) fn start(front: Front, server_flags: &[&str]) -> Self {
        Self::start_with(front, server_flags, &[])
    }

    /// As [`Pair::start`], the agent with flags of its own too.
    pub(crate) fn start_with(front: Front, server_flags: &[&str], agent_flags: &[&str]) -> Self {
        let site = Site::new();
        let mut server = site.start_server(front, server_flags);
        let mut agent = site.start_agent(agent_flags);
        agent.until("/readyz", 200);
        server.until("/readyz", 200);
        let descriptors = (server.descriptors(), agent.descriptors());
        Self {
            agent,
            server,
            descriptors,
            site,
        }
    }

    /// Waits until nothing goes on and no more descriptors are open than at the start.
    pub(crate) fn until_at_rest(&mut self) {
        for gauge in SERVER_GAUGES {
            self.server.reaches(gauge, 0.0);
        }
        for gauge in AGENT_GAUGES {
            self.agent.reaches(gauge, 0.0);
        }
        let (server, agent) = self.descriptors;
        self.server.until_descriptors(server);
        self.agent.until_descriptors(agent);
    }

    /// Waits for rest, ends both with SIGTERM, and checks that they end cleanly, have logged no error and
    /// leave no socket behind.
    pub(crate) fn finish(mut self) {
        self.until_at_rest();
        self.agent.terminate();
        // The first signal drains an agent, the second one ends it, unless it has ended by then.
        super::daemon::eventually(|| match self.agent.try_end() {
            Some(status) => {
                assert!(status.success(), "proxy-agent ended with {status}");
                Ok(())
            }
            None => {
                self.agent.terminate();
                Err("proxy-agent still runs".to_owned())
            }
        });
        self.server.terminate();
        let status = self.server.until_ended();
        assert!(status.success(), "proxy-server ended with {status}");
        self.server.assert_no_errors();
        self.agent.assert_no_errors();
        assert!(!self.site.socket().exists(), "the socket is left behind");
    }
}
