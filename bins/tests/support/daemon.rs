//! A daemon as a child process: started until it answers, watched, ended on drop.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Everything awaited takes milliseconds; the limit only says when to give up.
pub(crate) const PROMPTLY: Duration = Duration::from_secs(15);

/// Asks until `check` is content and panics with its last complaint when it never is.
pub(crate) fn eventually<T>(mut check: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + PROMPTLY;
    // Nothing is ever sent: waiting on it is the pause between two questions.
    let (_held, pause) = mpsc::channel::<()>();
    loop {
        match check() {
            Ok(answer) => return answer,
            Err(complaint) => assert!(
                Instant::now() < deadline,
                "not within {PROMPTLY:?}: {complaint}"
            ),
        }
        let _ = pause.recv_timeout(Duration::from_millis(20));
    }
}

/// A running proxy-server or proxy-agent; dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Daemon {
    name: &'static str,
    health: SocketAddrV4,
    log: PathBuf,
    process: Child,
}

impl Daemon {
    /// Starts `program` and waits until its health listener answers.
    pub(crate) fn start<I, A>(
        name: &'static str,
        program: &str,
        health: SocketAddrV4,
        log: PathBuf,
        environment: &[(&str, String)],
        arguments: I,
    ) -> Self
    where
        I: IntoIterator<Item = A>,
        A: AsRef<std::ffi::OsStr>,
    {
        let output = File::create(&log).unwrap();
        let process = Command::new(program)
            .args(arguments)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let mut daemon = Self {
            name,
            health,
            log,
            process,
        };
        daemon.until("/healthz", 200);
        daemon
    }

    /// Waits until a page of the health listener answers with a status.
    pub(crate) fn until(&mut self, page: &str, status: u16) {
        eventually(|| self.expect(page, status));
    }

    /// The body of a page that must answer with a status.
    pub(crate) fn expect(&mut self, page: &str, status: u16) -> Result<String, String> {
        if let Some(ended) = self.try_end() {
            panic!("{} has ended with {ended}:\n{}", self.name, self.logged());
        }
        let (have, body) = fetch(self.health, page).map_err(|error| error.to_string())?;
        if have == status {
            Ok(body)
        } else {
            Err(format!("{} answers {page} with {have}: {body}", self.name))
        }
    }

    /// A series of /metrics, name and labels as printed there; 0 when absent.
    pub(crate) fn value(&mut self, series: &str) -> Result<f64, String> {
        let text = self.expect("/metrics", 200)?;
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map_or(Ok(0.0), |value| {
            value
                .parse()
                .map_err(|_| format!("{series} is no number: {value}"))
        })
    }

    /// Waits until a series of /metrics has a value.
    pub(crate) fn reaches(&mut self, series: &str, want: f64) {
        eventually(|| {
            let have = self.value(series)?;
            // Counts are exact in a float.
            if (have - want).abs() < 0.5 {
                Ok(())
            } else {
                Err(format!("{}: {series} is {have}, not {want}", self.name))
            }
        });
    }

    /// How many descriptors the process has open.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.process.id()))
            .unwrap()
            .count()
    }

    /// Waits until at most so many descriptors are open.
    pub(crate) fn until_descriptors(&self, at_most: usize) {
        eventually(|| {
            let open = self.descriptors();
            if open <= at_most {
                Ok(())
            } else {
                Err(format!(
                    "{} has {open} descriptors open, {at_most} at the start",
                    self.name
                ))
            }
        });
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Sends SIGHUP, at which files are read again.
    pub(crate) fn hang_up(&self) {
        self.signal("-HUP");
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args([signal, &self.process.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success(), "{signal} to {}: {sent}", self.name);
    }

    /// Ends the process as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// How the process has ended; `None` while it runs.
    pub(crate) fn try_end(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().unwrap()
    }

    /// Waits for the end of the process.
    pub(crate) fn until_ended(&mut self) -> ExitStatus {
        eventually(|| {
            self.try_end()
                .ok_or_else(|| format!("{} still runs", self.name))
        })
    }

    /// Everything logged so far.
    pub(crate) fn logged(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap()).into_owned()
    }

    /// Panics when a line of severity error or fatal was logged, or a panic.
    pub(crate) fn assert_no_errors(&self) {
        let logged = self.logged();
        let complaint = logged
            .lines()
            .find(|line| is_error(line) || line.contains("panicked at"));
        assert!(
            complaint.is_none(),
            "{} logged an error: {complaint:?}",
            self.name
        );
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Both fail only for a process that has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            let _ = writeln!(io::stderr(), "{} logged:\n{}", self.name, self.logged());
        }
    }
}

/// klog's header: severity, month and day, a blank.
fn is_error(line: &str) -> bool {
    let line = line.as_bytes();
    matches!(line.first(), Some(b'E' | b'F'))
        && line
            .get(1..5)
            .is_some_and(|date| date.iter().all(u8::is_ascii_digit))
        && line.get(5) == Some(&b' ')
}

/// Status and body of a page.
pub(crate) fn fetch(from: SocketAddrV4, page: &str) -> io::Result<(u16, String)> {
    let mut connection = TcpStream::connect_timeout(&from.into(), PROMPTLY)?;
    connection.set_read_timeout(Some(PROMPTLY))?;
    write!(
        connection,
        "GET {page} HTTP/1.1\r\nHost: {from}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    let status = answer.get(9..12).and_then(|status| status.parse().ok());
    let (status, (_, body)) = status
        .zip(answer.split_once("\r\n\r\n"))
        .ok_or_else(|| io::Error::other(format!("no HTTP answer: {answer:?}")))?;
    Ok((status, body.to_owned()))
}

/// A folder that is removed on drop.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        // Short, and not in the build's folder: the path of a Unix socket has to fit in 107 bytes.
        let name = format!("dialback-{}-{:08x}", std::process::id(), fastrand::u32(..));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nobody waits for it: what remains is in the system's folder for such things.
        let _ = fs::remove_dir_all(&self.0);
    }
}
