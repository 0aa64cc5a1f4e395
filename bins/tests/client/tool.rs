//! The tools as processes, and connections to those that listen.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use crate::support::daemon::PROMPTLY;
use crate::support::pair::{Front, Pair};

pub(crate) const DIALBACK: &str = env!("CARGO_BIN_EXE_dialback");

/// Where nobody listens: only the daemons of `pair` use its address, and not this port.
pub(crate) fn closed(pair: &Pair) -> SocketAddr {
    pair.site.at(9).into()
}

/// The flags that lead through `pair`.
pub(crate) fn through(pair: &Pair, front: Front) -> Vec<String> {
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

/// Starts a tool whose input, output and errors are pipes.
pub(crate) fn start(tool: &str, flags: &[String], arguments: &[&str]) -> Child {
    Command::new(DIALBACK)
        .arg(tool)
        .args(flags)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Runs a tool to its end.
pub(crate) fn run(tool: &str, flags: &[String], arguments: &[&str], input: &[u8]) -> Output {
    let mut process = start(tool, flags, arguments);
    // It may be gone already, when it refuses its flags.
    let _ = process.stdin.take().unwrap().write_all(input);
    process.wait_with_output().unwrap()
}

pub(crate) fn told(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A tool that listens, and the lines with which it says where.
pub(crate) struct Listening {
    process: Child,
    lines: io::Lines<BufReader<ChildStdout>>,
}

impl Listening {
    pub(crate) fn start(tool: &str, flags: &[String], arguments: &[&str]) -> Self {
        Self::start_with(tool, flags, arguments, Stdio::inherit())
    }

    /// As [`Listening::start`], with errors going elsewhere.
    pub(crate) fn start_with(
        tool: &str,
        flags: &[String],
        arguments: &[&str],
        errors: Stdio,
    ) -> Self {
        let mut process = Command::new(DIALBACK)
            .arg(tool)
            .args(flags)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    /// The address in the next line.
    pub(crate) fn address(&mut self) -> SocketAddr {
        let line = self.lines.next().unwrap().unwrap();
        let address = line.split(' ').find_map(|word| word.parse().ok());
        address.unwrap_or_else(|| panic!("no address in {line:?}"))
    }

    pub(crate) fn finish(mut self) {
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

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PROMPTLY)).unwrap();
    stream
}

/// Says a line and returns what comes until the end.
pub(crate) fn converse(mut stream: impl Read + Write, said: &[u8]) -> io::Result<String> {
    stream.write_all(said)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
