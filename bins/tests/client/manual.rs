//! Help, completions, man pages, and the manual.

use crate::tool::run;

#[test]
fn completions_and_man_pages_know_the_tools() {
    for shell in ["bash", "zsh", "fish"] {
        let output = run("completions", &[], &[shell], b"");
        assert!(output.status.success());
        let script = String::from_utf8(output.stdout).unwrap();
        for tool in ["forward", "http-proxy", "dial-timeout", "doctor"] {
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
    assert!(folder.join("dialback-doctor-agent.1").exists());
    std::fs::remove_dir_all(folder).unwrap();
}

/// Every command line of the manual, by the tool and its flags.
#[test]
fn the_manual_names_flags_that_there_are() {
    let manual = include_str!("../../../docs/client.md");
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
        let role = (tool == "doctor").then(|| words.next().unwrap().to_owned());
        let help = run(tool, role.as_slice(), &["--help"], b"");
        assert_eq!(help.status.code(), Some(0), "{line}");
        let help = String::from_utf8(help.stdout).unwrap();
        for flag in words.filter(|word| word.starts_with("--")) {
            let flag = flag.split('=').next().unwrap();
            assert!(
                help.contains(&format!(" {flag} ")),
                "{line}: {flag}\n{help}"
            );
        }
        checked += 1;
    }
    assert!(checked >= 9, "only {checked} command lines were found");
}
