//! The units of `deploy/systemd/`.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::files::{read, root};
use crate::scratch::Scratch;
use crate::tools::{run, tool};

const PROGRAMS: [&str; 2] = ["proxy-server", "proxy-agent"];

/// What `systemd-analyze security` has to stay below, in tenths; deploy/README.md tells it.
const MOST_EXPOSURE: u32 = 15;

fn unit(program: &str) -> String {
    read(&format!("systemd/dialback-{program}.service"))
}

/// The flags of a unit are the operator's; its program, reload and notification are ours.
#[test]
fn units_start_our_programs() {
    for program in PROGRAMS {
        let unit = unit(program);
        for line in [
            "Type=notify".to_owned(),
            format!("EnvironmentFile=/etc/dialback/{program}.env"),
            format!("ExecStart=/usr/local/bin/{program} $FLAGS"),
            "ExecReload=/bin/kill -HUP $MAINPID".to_owned(),
        ] {
            assert!(
                unit.lines().any(|present| present == line),
                "{program}: {line}"
            );
        }
    }
}

/// Verified with the programs of this build, which are where the unit's are not.
#[test]
fn systemd_knows_every_setting_of_the_units() {
    let Some(analyze) = tool("systemd-analyze") else {
        return;
    };
    let folder = Scratch::new();
    let programs = Path::new(env!("CARGO_BIN_EXE_proxy-agent"))
        .parent()
        .unwrap();
    for program in PROGRAMS {
        let name = format!("dialback-{program}.service");
        let path = folder.path().join(&name);
        let started = format!("ExecStart={}/", programs.display());
        fs::write(
            &path,
            unit(program).replace("ExecStart=/usr/local/bin/", &started),
        )
        .unwrap();
        let output = Command::new(&analyze)
            .args(["verify", "--man=no", "--recursive-errors=no"])
            .arg(&path)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        // What it does not know it only tells; other units of this machine are none of ours.
        let ours: Vec<&str> = said.lines().filter(|line| line.contains(&name)).collect();
        assert!(output.status.success() && ours.is_empty(), "{said}");
    }
}

#[test]
fn the_units_are_hardened() {
    let Some(analyze) = tool("systemd-analyze") else {
        return;
    };
    let told = read("README.md");
    let most = format!("below {}.{}", MOST_EXPOSURE / 10, MOST_EXPOSURE % 10);
    assert!(told.contains(&most), "deploy/README.md does not say {most}");
    for program in PROGRAMS {
        let file = format!("deploy/systemd/dialback-{program}.service");
        let threshold = format!("--threshold={}", MOST_EXPOSURE - 1);
        run(Command::new(&analyze)
            .args(["security", "--offline=true", "--no-pager", &threshold])
            .arg(root().join(file)))
        .unwrap_or_else(|said| panic!("{program}: {said}"));
    }
}
