//! The flags about what the Kubernetes API is asked.

use super::{refused, taken, unix};
use crate::flags::{KubernetesOptions, TokenAuthentication};

#[test]
fn token_authentication_takes_all_its_flags_and_no_certificates() {
    refused(
        unix(&["--agent-namespace=n"]),
        &[
            "--cluster-ca-cert can not be used when agent authentication is enabled",
            "--agent-service-account cannot be empty when agent authentication is enabled",
            "--authentication-audience cannot be empty when agent authentication is enabled",
        ],
    );
    refused(
        unix(&["--cluster-ca-cert=", "--authentication-audience=a"]),
        &[
            "--agent-namespace cannot be empty when agent authentication is enabled",
            "--agent-service-account cannot be empty when agent authentication is enabled",
        ],
    );
    let options = taken(unix(&[
        "--cluster-ca-cert=",
        "--agent-namespace=n",
        "--agent-service-account=s",
        "--authentication-audience=a",
    ]));
    let wanted = TokenAuthentication {
        namespace: "n".to_owned(),
        service_account: "s".to_owned(),
        audience: "a".to_owned(),
    };
    assert_eq!(options.authentication, Some(wanted));
    assert_eq!(taken(unix(&[])).authentication, None);
}

#[test]
fn a_rate_of_requests_has_a_burst() {
    let kubernetes = |flags: &[&str]| {
        let answer = unix(flags).expect("taken");
        let KubernetesOptions { qps, burst, .. } = answer.options.kubernetes;
        (qps.to_string(), burst, answer.warnings.len())
    };
    let (qps, _, quiet) = kubernetes(&[]);
    assert_eq!(qps, "0");
    assert_eq!(
        kubernetes(&["--kubeconfig-qps=2.5"]),
        ("2.5".to_owned(), 5, quiet + 1)
    );
    assert_eq!(
        kubernetes(&["--kubeconfig-qps=0.1"]),
        ("0.1".to_owned(), 1, quiet + 1)
    );
    assert_eq!(
        kubernetes(&["--kubeconfig-qps=5", "--kubeconfig-burst=7"]),
        ("5".to_owned(), 7, quiet)
    );
    assert_eq!(
        kubernetes(&["--kubeconfig-qps=-1"]),
        ("-1".to_owned(), 0, quiet)
    );
}

#[test]
fn lease_labels_count_only_with_leases() {
    assert_eq!(taken(unix(&["--lease-label="])).leases, None);
    let on = |flag: &str| unix(&["--enable-lease-controller", "--server-id=one", flag]);
    refused(on("--lease-label="), &["empty string provided"]);
    refused(
        on("--lease-label=a= b ,c,d=e=f"),
        &["invalid label format: c", "invalid label format: d=e=f"],
    );
    let labels = |flag| taken(on(flag)).leases.expect("asked for").labels;
    let pairs = |pairs: &[(&str, &str)]| {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    };
    assert_eq!(
        labels("--lease-label= a/b = c ,d="),
        pairs(&[("a/b", "c"), ("d", "")])
    );
    assert_eq!(
        labels("--enable-lease-controller"),
        pairs(&[("k8s-app", "konnectivity-server")])
    );
}

#[test]
fn a_lease_that_could_never_be_made_is_refused() {
    let problems = |flags: &[&str]| {
        let mut all = vec!["--enable-lease-controller", "--server-id=one"];
        all.extend(flags);
        unix(&all).expect_err("refused")
    };
    for (flag, text) in [
        (
            "--server-id=Not_A_Name",
            "--server-id \"Not_A_Name\" can't be part of a Lease's name: a lowercase RFC 1123",
        ),
        ("--lease-namespace=", "--lease-namespace cannot be empty"),
        (
            "--lease-label=-a=b",
            "lease label \"-a=b\": name part must consist of",
        ),
        (
            "--lease-label=a=b c",
            "lease label \"a=b c\": a valid label must be",
        ),
    ] {
        let problems = problems(&[flag]);
        let [problem] = &problems[..] else {
            panic!("{flag}: {problems:?}");
        };
        assert!(problem.starts_with(text), "{problem}");
    }
}

#[cfg(feature = "smol")]
#[test]
fn the_kubernetes_api_is_only_asked_on_tokio() {
    refused(
        unix(&[
            "--runtime=smol",
            "--cluster-ca-cert=",
            "--agent-namespace=n",
            "--agent-service-account=s",
            "--authentication-audience=a",
            "--enable-lease-controller",
        ]),
        &[
            "--agent-namespace needs --runtime=tokio, which the Kubernetes API is asked on",
            "--enable-lease-controller needs --runtime=tokio, which the Kubernetes API is asked on",
        ],
    );
    taken(unix(&["--runtime=smol"]));
}
