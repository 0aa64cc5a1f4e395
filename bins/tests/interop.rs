//! Other people's software against our daemons: the suites of `tests/interop/`.
//!
//! A suite whose tools are not there is skipped, which `DIALBACK_REQUIRE_INTEROP=1` turns into a failure.

use std::env;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a suite may take before it counts as hung; the longest takes a small part of it.
const SUITE_LIMIT: Duration = Duration::from_secs(900);

#[test]
fn go() {
    run_or_skip("go", |suite| {
        suite.needs(Command::new("go").arg("version"))?;
        for modules in ["go.mod", "reusable.mod"] {
            suite.needs(&mut suite.go(&["mod", "download", &format!("-modfile={modules}")]))?;
        }
        suite.run(&mut suite.go(&["test", "-count=1", "-timeout=14m", "./..."]));
        suite.run(&mut suite.go(&[
            "test",
            "-count=1",
            "-timeout=14m",
            "-modfile=reusable.mod",
            "-tags=reusable",
            "-run=Reusable",
            "./...",
        ]));
        Ok(())
    });
}

/// Either daemon on the other runtime: the connections of clients and their ends, which is what depends on it.
#[cfg(feature = "smol")]
#[test]
fn go_on_two_runtimes() {
    run_or_skip("go-on-two-runtimes", |suite| {
        suite.needs(Command::new("go").arg("version"))?;
        suite.needs(&mut suite.go(&["mod", "download", "-modfile=go.mod"]))?;
        for (server, agent) in [("smol", "tokio"), ("tokio", "smol")] {
            suite.run(
                suite
                    .go(&[
                        "test",
                        "-count=1",
                        "-timeout=14m",
                        "-run=Contract|HTTP",
                        "./...",
                    ])
                    .env("DIALBACK_PROXY_SERVER_RUNTIME", server)
                    .env("DIALBACK_PROXY_AGENT_RUNTIME", agent),
            );
        }
        Ok(())
    });
}

#[test]
fn python() {
    run_or_skip("python", |suite| {
        let version = "import sys, grpc; assert sys.version_info >= (3, 10), sys.version";
        suite.needs(suite.python().args(["-c", version]))?;
        suite.needs(Command::new("openssl").arg("version"))?;
        suite.run(&mut suite.unittest());
        Ok(())
    });
}

#[test]
fn curl() {
    run_or_skip("curl", |suite| {
        let version = "import sys; assert sys.version_info >= (3, 10), sys.version";
        suite.needs(suite.python().args(["-c", version]))?;
        suite.needs(Command::new("openssl").arg("version"))?;
        suite.needs(Command::new("curl").arg("--version"))?;
        suite.run(&mut suite.unittest());
        Ok(())
    });
}

#[test]
fn ssh() {
    run_or_skip("ssh", |suite| {
        let version = "import sys, asyncssh; assert sys.version_info >= (3, 10), sys.version";
        suite.needs(suite.python().args(["-c", version]))?;
        suite.needs(Command::new("openssl").arg("version"))?;
        suite.needs(Command::new("ssh").arg("-V"))?;
        suite.run(&mut suite.unittest());
        Ok(())
    });
}

/// What is missing, in words.
struct Missing(String);

/// One folder of `tests/interop/`.
struct Suite {
    name: &'static str,
    folder: PathBuf,
}

fn run_or_skip(name: &'static str, run: impl FnOnce(&Suite) -> Result<(), Missing>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/interop");
    let Err(Missing(reason)) = run(&Suite { name, folder }) else {
        return;
    };
    assert!(
        env::var_os("DIALBACK_REQUIRE_INTEROP").is_none_or(|value| value != "1"),
        "the interoperability suite {name} cannot run: {reason}"
    );
    tell(format_args!(
        "interoperability suite {name} skipped: {reason}"
    ));
}

impl Suite {
    fn go(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("go");
        command
            .args(arguments)
            .current_dir(self.folder.join("go"))
            // Another toolchain is not ours to download.
            .env("GOTOOLCHAIN", "local");
        command
    }

    fn python(&self) -> Command {
        let interpreter = env::var_os("DIALBACK_INTEROP_PYTHON").unwrap_or("python3".into());
        let mut command = Command::new(interpreter);
        command
            .current_dir(&self.folder)
            .env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    fn unittest(&self) -> Command {
        let mut command = self.python();
        command.args([
            "-m",
            "unittest",
            "discover",
            "--verbose",
            "-t",
            ".",
            "-s",
            self.name,
        ]);
        command
    }

    /// Runs a command that succeeds only where the suite can run.
    fn needs(&self, command: &mut Command) -> Result<(), Missing> {
        match command.stdin(Stdio::null()).output() {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                // The line that tells the reason, below Python's traces and Go's downloads.
                let reason = said.trim().lines().last().unwrap_or_default();
                Err(Missing(format!("{command:?} failed: {reason}")))
            }
            Err(error) => Err(Missing(format!("{command:?} does not start: {error}"))),
        }
    }

    /// Runs the suite against the binaries of this build; its output is shown when it fails.
    fn run(&self, command: &mut Command) {
        let server = Path::new(env!("CARGO_BIN_EXE_proxy-server"));
        let binaries = server.parent().expect("a program lies in a folder");
        let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("interop-{}.log", self.name));
        let began = Instant::now();
        let status = File::create(&log)
            .and_then(|output| {
                command
                    .env("DIALBACK_BIN_DIR", binaries)
                    .stdin(Stdio::null())
                    .stdout(output.try_clone()?)
                    .stderr(output);
                run_within(SUITE_LIMIT, command)
            })
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let seconds = began.elapsed().as_secs_f64();
        assert!(
            status.success(),
            "{command:?} ended with {status} after {seconds:.1} s:\n{}",
            fs::read_to_string(&log).unwrap_or_else(|error| error.to_string())
        );
        tell(format_args!(
            "interoperability suite {} passed in {seconds:.1} s",
            self.name
        ));
    }
}

/// Runs a command in a process group of its own, all of which is killed at the limit: the daemons that a
/// hung suite has started go with it.
fn run_within(limit: Duration, command: &mut Command) -> io::Result<ExitStatus> {
    let mut child = command.process_group(0).spawn()?;
    let group = format!("-{}", child.id());
    let (finished, watched) = mpsc::channel::<()>();
    let watch = thread::spawn(move || {
        if watched.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            // Should it fail the wait below says so by never ending.
            let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        }
    });
    let status = child.wait();
    drop(finished);
    watch.join().expect("the watch does not panic");
    status
}

/// Writes past the test runner's capture: what was skipped has to be seen.
fn tell(line: fmt::Arguments<'_>) {
    // A test does not fail for want of a terminal.
    let _ = writeln!(io::stderr(), "{line}");
}
