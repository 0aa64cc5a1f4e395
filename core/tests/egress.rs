//! Egress selector configurations: the verdict on each is that of kube-apiserver's own loader, which
//! `tests/interop/go` asks about the same files.
//!
//! The first line of a file is the verdict: `accepted`, `refused by the decoder`, or `invalid:` and the text of
//! kube-apiserver's validation.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::path::Path;

use dialback_core::connectivity::{ConfigError, ConnectivityConfig, EgressSelectorConfiguration};

const FILES: [&str; 3] = ["ca.crt", "client.crt", "client.key"];

fn exists(file: &str) -> bool {
    FILES.contains(&file)
}

fn verdict(text: &str) -> String {
    let Ok(config) = EgressSelectorConfiguration::parse(text) else {
        return "refused by the decoder".to_owned();
    };
    match config.validate(exists) {
        Ok(()) => "accepted".to_owned(),
        Err(errors) => format!("invalid: {errors}"),
    }
}

#[test]
fn every_file_is_judged_as_kube_apiserver_does() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/egress");
    let mut judged = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let expected = text.lines().next().unwrap().strip_prefix("# ").unwrap();
        assert_eq!(verdict(&text), expected, "{}", path.display());
        // What serves both formats judges alike.
        let both = ConnectivityConfig::parse(&text, exists);
        match expected {
            "accepted" => assert_eq!(both.err(), None, "{}", path.display()),
            "refused by the decoder" => assert!(
                !matches!(both, Ok(_) | Err(ConfigError::Invalid(_))),
                "{}",
                path.display()
            ),
            invalid => assert_eq!(
                both.unwrap_err().to_string(),
                invalid.replacen(
                    "invalid",
                    "failed to validate egress selector configuration",
                    1
                )
            ),
        }
        judged += 1;
    }
    assert!(judged >= 50, "only {judged} files were found");
}
