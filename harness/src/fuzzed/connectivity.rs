//! Connectivity configurations: any text is read or refused, in bounded time and without a panic.
//!
//! What is read must name each service once, and validation must agree with the decoder on what there is.

use std::collections::BTreeSet;

use dialback_core::connectivity::{ConnectivityConfig, EgressSelectorConfiguration};

pub(super) fn check(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    if let Ok(config) = ConnectivityConfig::parse(text, |file| file.len() % 2 == 0) {
        let names: BTreeSet<_> = config.services().iter().map(|s| &s.name).collect();
        assert_eq!(
            names.len(),
            config.services().len(),
            "a name is there twice"
        );
        for service in config.services() {
            assert_eq!(config.route(&service.name), Some(&service.route));
        }
    }
    if let Ok(config) = EgressSelectorConfiguration::parse(text) {
        let is_valid = config.validate(|file| file.len() % 2 == 0).is_ok();
        let is_used = ConnectivityConfig::parse(text, |file| file.len() % 2 == 0).is_ok();
        assert!(is_valid || !is_used, "what is invalid is used");
    }
}
