//! Alert rules and the dashboard.

use serde_json::Value;

use crate::files::{read, yaml};
use crate::support::pair::{Front, Pair};
use crate::support::stream::Stream;

/// The words of an expression that are names of our metrics, without the suffixes of histograms.
fn metrics(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let ours = ["konnectivity_network_proxy_", "dialback_", "process_"];
    words
        .filter(move |word| ours.iter().any(|prefix| word.starts_with(prefix)))
        .map(|word| word.trim_end_matches("_bucket").trim_end_matches("_count"))
}

#[test]
fn alerts_and_the_dashboard_look_at_metrics_that_exist() {
    let alerts: Value = yaml(&read("prometheus/alerts.yaml"));
    let dashboard: Value = serde_json::from_str(&read("grafana/dialback.json")).unwrap();
    let mut expressions = Vec::new();
    for rule in alerts["groups"][0]["rules"].as_array().unwrap() {
        assert!(rule["annotations"]["summary"].is_string(), "{rule}");
        expressions.push(rule["expr"].as_str().unwrap());
    }
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            expressions.push(target["expr"].as_str().unwrap());
        }
    }
    assert!(expressions.len() > 20);

    let mut pair = Pair::start(Front::ConnectUnix, &["--audit-log-path=/dev/null"]);
    drop(Stream::open(&pair.site));
    pair.until_at_rest();
    let texts = [&mut pair.server, &mut pair.agent]
        .map(|daemon| daemon.expect("/metrics", 200).unwrap())
        .concat();
    // What appears only when it goes wrong.
    let seldom = [
        "konnectivity_network_proxy_server_dial_failure",
        "konnectivity_network_proxy_server_full_receive_channels",
    ];
    for name in expressions.into_iter().flat_map(metrics) {
        let shown = texts.contains(&format!("# TYPE {name} "))
            || texts.contains(&format!("# TYPE {name}_count "));
        assert!(shown || seldom.contains(&name), "{name} does not exist");
    }
    pair.finish();
}
