//! Programs that not every machine has.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};
use std::process::{Command, Output, Stdio};

/// A program that is there; `None` after having said that it is not.
pub(crate) fn tool(name: &str) -> Option<OsString> {
    find(name)
        .map_err(|reason| tell(format_args!("not checked with {name}: {reason}")))
        .ok()
}

/// The same for a program that `tests/interop/setup` makes: under `DIALBACK_REQUIRE_INTEROP=1` it has to be there.
pub(crate) fn interop_tool(name: &str) -> Option<OsString> {
    let required = env::var_os("DIALBACK_REQUIRE_INTEROP").is_some_and(|value| value == "1");
    let found = tool(name);
    assert!(
        found.is_some() || !required,
        "{name} is missing: tests/interop/setup makes it"
    );
    found
}

/// `DIALBACK_NAME` of the environment, or the name on the path.
fn find(name: &str) -> Result<OsString, String> {
    let variable = format!("DIALBACK_{}", name.to_uppercase().replace('-', "_"));
    let program = env::var_os(variable).unwrap_or_else(|| name.into());
    let mut tried = Command::new(&program);
    match tried.arg("--help").stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => Ok(program),
        Ok(output) => Err(output.status.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// What a command wrote to its standard output, if it succeeded, or to its standard error.
pub(crate) fn run(command: &mut Command) -> Result<String, String> {
    let Output {
        status,
        stdout,
        stderr,
    } = command.stdin(Stdio::null()).output().unwrap();
    let written = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    if status.success() {
        Ok(written(stdout))
    } else {
        Err(format!("{}{}", written(stdout), written(stderr)))
    }
}

/// Writes past the test runner's capture: what was left out has to be seen.
fn tell(line: fmt::Arguments<'_>) {
    // A test does not fail for want of a terminal.
    let _ = writeln!(io::stderr(), "{line}");
}
