//! The Dockerfile, as far as that can be told without building it.

use std::collections::BTreeSet;
use std::path::Path;

use dialback_bins::flags::{agent_flags, server_flags};

use crate::files::{read, root};

/// Instructions with their arguments, lines that go on joined.
fn instructions() -> Vec<(String, String)> {
    let text = read("Dockerfile").replace("\\\n", " ");
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (word, rest) = line.split_once(' ').unwrap();
            let rest: Vec<&str> = rest.split_whitespace().collect();
            (word.to_owned(), rest.join(" "))
        })
        .collect()
}

fn the(wanted: &str) -> Vec<String> {
    let found = instructions().into_iter();
    let found = found.filter(|(word, _)| word == wanted);
    found.map(|(_, rest)| rest).collect()
}

/// The file names of the programs that this package builds.
fn programs() -> BTreeSet<String> {
    let paths = [
        env!("CARGO_BIN_EXE_proxy-server"),
        env!("CARGO_BIN_EXE_proxy-agent"),
        env!("CARGO_BIN_EXE_dialback"),
    ];
    paths
        .map(|path| {
            let name = Path::new(path).file_name().unwrap();
            name.to_str().unwrap().to_owned()
        })
        .into()
}

#[test]
fn the_image_has_the_programs_of_this_package_at_its_root() {
    let build = the("RUN").pop().unwrap();
    let words: Vec<&str> = build.split(' ').collect();
    let after = |flag: &str| {
        let at = words.iter().position(|word| *word == flag).unwrap();
        words[at + 1]
    };
    assert_eq!(after("--package"), env!("CARGO_PKG_NAME"));
    assert!(words.contains(&"--locked") && words.contains(&"--bins"));
    let folder = "target/release/";
    let installed = words.iter().filter_map(|word| word.strip_prefix(folder));
    let installed: BTreeSet<String> = installed.map(Into::into).collect();
    assert_eq!(installed, programs());
    // From where they were put to the root, where manifests look for them.
    let target = words
        .iter()
        .find_map(|word| word.strip_prefix("--target-directory="))
        .unwrap();
    assert_eq!(the("COPY"), [". .", &format!("--from=build {target}/ /")]);
    assert_eq!(the("ENTRYPOINT"), ["[\"/proxy-agent\"]"]);
}

#[test]
fn the_image_is_of_one_distribution_and_has_neither_root_nor_shell() {
    let stages = the("FROM");
    let [build, last] = &stages[..] else {
        panic!("{stages:?}");
    };
    // Their glibc is the same.
    assert_eq!(build, "rust:1-bookworm AS build");
    assert_eq!(last, "gcr.io/distroless/cc-debian12:nonroot");
    // The user that manifests name, by number: Kubernetes can't tell whether a name is root.
    assert_eq!(the("USER"), ["65532:65532"]);
}

#[test]
fn the_image_exposes_the_ports_that_the_programs_take_by_default() {
    let none = std::iter::empty;
    let (server, _) = server_flags().parse(none()).unwrap();
    let (agent, _) = agent_flags().parse(none()).unwrap();
    let ports = [
        server.daemon.server_port,
        server.daemon.agent_port,
        server.daemon.health_port,
        agent.daemon.health_server_port,
    ];
    assert_eq!(
        the("EXPOSE"),
        [ports.map(|port| port.to_string()).join(" ")]
    );
}

/// Sources that are left out of the build's context would be missed only by a build of the image.
#[test]
fn the_context_has_every_crate_of_the_workspace() {
    let ignored = read("Dockerfile.dockerignore");
    let ignored: Vec<&str> = ignored
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    assert_eq!(ignored, ["**/target", ".git", "fuzz/corpus"]);
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let members = manifest.split("members = [").nth(1).unwrap();
    let members = members.split(']').next().unwrap();
    for member in members.split(',') {
        let member = member.trim().trim_matches('"');
        assert!(!ignored.contains(&member), "{member}");
    }
}
