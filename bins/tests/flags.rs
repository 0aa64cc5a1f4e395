//! The command lines of proxy-server and proxy-agent: what comes out of them, where, and with which exit code.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

const SERVER: &str = env!("CARGO_BIN_EXE_proxy-server");
const AGENT: &str = env!("CARGO_BIN_EXE_proxy-agent");

/// A program that has ended.
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn run(program: &str, arguments: &[&str]) -> Ended {
    run_with(program, arguments, &[])
}

fn run_with(program: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Ended {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(program)
        .args(arguments)
        .env_remove("PROXY_SERVER_ID")
        .env_remove("PROXY_AGENT_ID")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("output is text");
    Ended {
        code: status.code(),
        stdout: text(stdout),
        stderr: text(stderr),
    }
}

/// A file of a test's own, gone with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let name = format!("dialback-flags-{}-{name}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn text(&self) -> &str {
        self.0.to_str().expect("a path of ours is text")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn help_is_printed_on_standard_output() {
    for (program, name) in [(SERVER, "proxy-server"), (AGENT, "proxy-agent")] {
        for flag in ["--help", "-h"] {
            let ended = run(program, &["--logtostderr=false", flag]);
            assert_eq!(ended.code, Some(0));
            assert_eq!(ended.stderr, "");
            let usage = format!("\n\nUsage:\n  {name} [flags]\n\nFlags:\n      --add-dir-header ");
            assert!(ended.stdout.contains(&usage), "{}", ended.stdout);
            assert!(!ended.stdout.contains("--lease-label selector"));
            assert!(!ended.stdout.contains("(default false)"));
        }
    }
}

#[test]
fn help_shows_the_id_that_would_be_used() {
    let ended = run_with(SERVER, &["--help"], &[("PROXY_SERVER_ID", "node-1")]);
    assert!(
        ended.stdout.contains("(default \"node-1\")"),
        "{}",
        ended.stdout
    );
    let ended = run_with(AGENT, &["--help"], &[("PROXY_AGENT_ID", "node-2")]);
    assert!(
        ended.stdout.contains("(default \"node-2\")"),
        "{}",
        ended.stdout
    );
    // An empty variable counts as none.
    let ended = run_with(AGENT, &["--help"], &[("PROXY_AGENT_ID", "")]);
    let line = ended
        .stdout
        .lines()
        .find(|l| l.contains("--agent-id string"));
    let line = line.expect("the flag is listed");
    assert!(line.contains("-4"), "a random UUID: {line}");
}

#[test]
fn the_version_is_printed_on_standard_output() {
    for (program, name) in [(SERVER, "proxy-server"), (AGENT, "proxy-agent")] {
        let ended = run(program, &["--version"]);
        assert_eq!(ended.code, Some(0));
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(ended.stdout, format!("{name} version {version}\n"));
        assert_eq!(ended.stderr, "");
    }
}

#[test]
fn completion_is_printed_for_known_shells() {
    for (shell, part) in [
        ("bash", "--proxy-strategies "),
        ("zsh", "--proxy-strategies["),
        ("fish", "-l proxy-strategies "),
    ] {
        let ended = run(SERVER, &["completion", shell]);
        assert_eq!(ended.code, Some(0));
        assert!(ended.stdout.contains(part), "{}", ended.stdout);
    }
}

#[test]
fn a_wrong_flag_is_told_with_the_usage_text_and_in_the_log() {
    for (arguments, message) in [
        (&["--nosuch"][..], "unknown flag: --nosuch"),
        (&["-x"], "unknown shorthand flag: 'x' in -x"),
        (
            &["--xfr-channel-size"],
            "flag needs an argument: --xfr-channel-size",
        ),
        (
            &["--xfr-channel-size=08090"],
            "invalid argument \"08090\" for \"--xfr-channel-size\" flag: strconv.ParseInt: parsing \"08090\": invalid \
             syntax",
        ),
        (
            &["--keepalive-time=5"],
            "invalid argument \"5\" for \"--keepalive-time\" flag: time: missing unit in duration \"5\"",
        ),
        (
            &["-v=x"],
            "invalid argument \"x\" for \"-v, --v\" flag: strconv.ParseInt: parsing \"x\": invalid syntax",
        ),
        (
            &["--logging-format=xml"],
            "invalid argument \"xml\" for \"--logging-format\" flag: must be 'text' or 'json'",
        ),
    ] {
        for program in [SERVER, AGENT] {
            let ended = run(program, arguments);
            assert_eq!(ended.code, Some(1));
            assert_eq!(ended.stdout, "");
            let beginning = format!("Error: {message}\nUsage:\n  proxy-");
            assert!(ended.stderr.starts_with(&beginning), "{}", ended.stderr);
            let last = ended.stderr.lines().last().expect("a log line");
            assert!(last.starts_with('E'), "{last}");
            assert!(last.ends_with(&format!("] error: {message}")), "{last}");
        }
    }
}

#[test]
fn options_that_make_no_sense_are_told_without_the_usage_text() {
    let ended = run(
        AGENT,
        &[
            "--ca-cert=/dev/null",
            "--proxy-server-port=0",
            "--agent-key=/no/key",
        ],
    );
    assert_eq!(ended.code, Some(1));
    let lines: Vec<&str> = ended.stderr.lines().collect();
    let prefix = "Error: failed to validate agent options with ";
    assert_eq!(
        lines[0],
        format!(
            "{prefix}error checking agent key /no/key, got stat /no/key: no such file or directory"
        )
    );
    assert!(lines[1].starts_with('E'), "{}", ended.stderr);
    assert!(
        lines[1].ends_with("] error: failed to validate agent options with error checking agent key /no/key, got stat /no/key: no such file or directory"),
        "{}",
        lines[1]
    );
    let errors: Vec<&&str> = lines.iter().filter(|l| l.starts_with("Error: ")).collect();
    assert_eq!(errors.len(), 3, "{}", ended.stderr);
    assert!(!ended.stderr.contains("Usage:"), "{}", ended.stderr);
}

#[test]
fn deprecated_flags_and_stray_words_are_told_of() {
    let ended = run(
        AGENT,
        &[
            "--lease-label=a=b",
            "stray",
            "--sync-forever",
            "false",
            "--ca-cert=",
        ],
    );
    assert_eq!(ended.code, Some(1));
    let lines: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!(
        lines[0],
        "Flag --lease-label has been deprecated, Use --lease-label-selector instead"
    );
    assert!(lines[1].starts_with('W'), "{}", lines[1]);
    assert!(
        lines[1].ends_with("arguments=\"stray false\""),
        "{}",
        lines[1]
    );
}

#[test]
fn a_log_file_takes_the_log_and_standard_error_only_what_is_grave() {
    let log = Scratch::new("log");
    let ended = run(
        SERVER,
        &[
            "--logtostderr=false",
            &format!("--log-file={}", log.text()),
            "-v5",
            "--stderrthreshold=FATAL",
        ],
    );
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.lines().all(|l| l.starts_with("Error: ")),
        "{}",
        ended.stderr
    );
    let text = fs::read_to_string(&log.0).expect("the log is written");
    assert!(text.starts_with("Log file created at: "), "{text}");
    assert!(
        text.contains("\"flag set\" flag=\"v\" value=\"5\"\n"),
        "{text}"
    );
    assert!(
        text.contains("] error: failed to validate server options with "),
        "{text}"
    );
}

#[test]
fn a_log_file_that_can_not_be_opened_ends_with_2() {
    let ended = run(
        SERVER,
        &["--logtostderr=false", "--log-file=/nonexistent/log"],
    );
    assert_eq!(ended.code, Some(2));
    assert_eq!(
        ended.stderr,
        "log: exiting because of error: log: unable to create log: open /nonexistent/log: no such file or directory\n"
    );
}

#[test]
fn json_lines_are_objects() {
    let ended = run(AGENT, &["--logging-format=json", "--ca-cert="]);
    let last = ended.stderr.lines().last().expect("a log line");
    let object: serde_json::Value = serde_json::from_str(last).expect("an object");
    assert_eq!(object["severity"], "ERROR");
    let message = object["msg"].as_str().expect("a message");
    assert!(
        message.starts_with("error: failed to validate agent options"),
        "{message}"
    );
}
