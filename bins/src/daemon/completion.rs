//! `completion <shell>`: a script that teaches a shell the daemon's flags.

use std::fmt::Write as _;

use super::Daemon;

/// The script for `shell`: bash, zsh or fish.
pub(super) fn script<F: Default>(daemon: &Daemon<F>, shell: &str) -> Option<String> {
    let name = daemon.name;
    let flags = daemon.flags.descriptions();
    let mut script = String::new();
    match shell {
        "bash" => {
            let words: Vec<String> = flags.iter().map(|(flag, _)| format!("--{flag}")).collect();
            // Values of flags are mostly files.
            writeln!(
                script,
                "complete -o default -W '{}' {name}",
                words.join(" ")
            )
        }
        "zsh" => {
            let specs: Vec<String> = flags
                .iter()
                .map(|(flag, usage)| {
                    let usage = usage.replace(['[', ']', ':', '\''], "");
                    format!(" '--{flag}[{usage}]:value:_files'")
                })
                .collect();
            let specs = specs.join(" \\\n ");
            writeln!(script, "#compdef {name}\n_arguments \\\n {specs}")
        }
        "fish" => flags.iter().try_for_each(|(flag, usage)| {
            let usage = usage.replace('\'', "");
            writeln!(script, "complete -c {name} -l {flag} -d '{usage}'")
        }),
        _ => return None,
    }
    .expect("writing to a string can't fail");
    Some(script)
}
