//! The manual: what it quotes is what the programs say, and what it links to is there.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every file with this extension below a folder, generated ones aside.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            if !path.ends_with("target") {
                found.extend(files(&path, extension));
            }
        } else if path.extension().is_some_and(|of| of == extension) {
            found.push(path);
        }
    }
    found
}

/// A Rust file with its string literals as they read when printed: continued on one line, quotes without backslash.
fn literals(path: &Path) -> String {
    let source = fs::read_to_string(path).expect("sources are text");
    let mut text = String::with_capacity(source.len());
    let mut continued = false;
    for line in source.lines() {
        let line = if continued { line.trim_start() } else { line };
        continued = line.ends_with('\\');
        text.push_str(line.strip_suffix('\\').unwrap_or(line));
        if !continued {
            text.push('\n');
        }
    }
    text.replace("\\\"", "\"")
}

/// The texts that a page of tables quotes as ours.
fn quoted_as_ours(page: &str) -> Vec<&str> {
    page.lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|row| row.split_once("` | "))
        .filter(|(_, rest)| rest.starts_with("Dialback |"))
        .map(|(text, _)| text)
        .collect()
}

/// A text is found where all that it has between the `…` stands in one file.
#[test]
fn every_text_that_is_quoted_as_ours_is_printed_somewhere() {
    let page = fs::read_to_string(root().join("docs/troubleshooting.md")).expect("the page exists");
    let sources: Vec<String> = ["core/src", "runtime/src", "bins/src"]
        .iter()
        .flat_map(|folder| files(&root().join(folder), "rs"))
        .map(|path| literals(&path))
        .collect();
    let texts = quoted_as_ours(&page);
    assert!(texts.len() > 50, "only {} texts were found", texts.len());
    let missing: Vec<&&str> = texts
        .iter()
        .filter(|text| {
            let parts = || text.split('…').filter(|part| part.trim().len() > 2);
            assert!(parts().next().is_some(), "{text}: nothing to look for");
            !sources
                .iter()
                .any(|source| parts().all(|part| source.contains(part)))
        })
        .collect();
    assert!(missing.is_empty(), "nothing prints {missing:#?}");
}

/// Flags of other programs, and examples, in pages about the daemons.
const OTHER_FLAGS: &[&str] = &[
    // kube-apiserver
    "egress-selector-config-file",
    // dialback
    "keep",
    "out",
    "server-name",
    "uds",
    // cargo
    "locked",
    "release",
    // any
    "flag",
];

#[test]
fn flags_that_pages_name_are_flags_of_a_daemon() {
    let docs = root().join("docs");
    let read = |page: &str| fs::read_to_string(docs.join(page)).expect("the page exists");
    let flags = read("flags.md");
    let mut checked = 0;
    for page in [
        "concept.md",
        "differences.md",
        "high-availability.md",
        "install.md",
        "kubernetes.md",
        "migration.md",
        "troubleshooting.md",
    ] {
        for after in read(page).split(['`', ' ', '\n']) {
            let Some(name) = after.strip_prefix("--") else {
                continue;
            };
            let end = name.find(|c: char| !(c.is_ascii_lowercase() || c == '-'));
            let (name, rest) = name.split_at(end.unwrap_or(name.len()));
            // `--…`, the ruler of a table, and a spelling that the text warns of.
            if name.is_empty() || name.starts_with('-') || rest.starts_with('_') {
                continue;
            }
            let known = flags.contains(&format!("| `--{name}`")) || OTHER_FLAGS.contains(&name);
            assert!(known, "{page}: --{name} is no flag");
            checked += 1;
        }
    }
    assert!(checked > 100, "only {checked} flags were found");
}

/// Files and headings that pages name in links.
#[test]
fn links_lead_somewhere() {
    let mut pages = files(&root().join("docs"), "md");
    pages.extend(["README.md", "deploy/README.md"].map(|page| root().join(page)));
    let mut checked = 0;
    for page in &pages {
        let text = fs::read_to_string(page).expect("pages are text");
        for link in text.split("](").skip(1) {
            let link = link.split(')').next().unwrap_or_default();
            if link.contains("://") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => page.clone(),
                _ => page.with_file_name(file),
            };
            let there = fs::metadata(&target).is_ok();
            assert!(there, "{}: {link} is not there", page.display());
            if !heading.is_empty() {
                let text = fs::read_to_string(&target).expect("pages are text");
                let there = text
                    .lines()
                    .any(|line| anchor(line) == Some(heading.into()));
                assert!(there, "{}: {link} is no heading", page.display());
            }
            checked += 1;
        }
    }
    assert!(checked > 10, "only {checked} links were found");
}

/// How a link names the heading that a line is.
fn anchor(line: &str) -> Option<String> {
    let title = line.strip_prefix('#')?.trim_start_matches('#').trim();
    let kept = title
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .collect::<String>();
    Some(kept.replace(' ', "-"))
}
