//! Agents' tokens, looked at by an API server.

use std::sync::Arc;
use std::time::Duration;

use dialback_runtime::metrics::{ServerMetrics, render};
use dialback_runtime::server::{AgentAuthenticator as _, BearerToken};
use tokio::runtime::Handle;

use super::anonymous;
use super::api_server::FakeApiServer;
use crate::flags::TokenAuthentication;
use crate::kubernetes::{CachingAuthenticator, TokenReviews};

const AGENT: &str = "system:serviceaccount:kube-system:konnectivity-agent";
const AUDIENCE: &str = "system:konnectivity-server";

struct Server {
    api: FakeApiServer,
    authenticator: Arc<CachingAuthenticator<TokenReviews>>,
    metrics: Arc<ServerMetrics>,
}

async fn server() -> Server {
    let api = FakeApiServer::start();
    let wanted = TokenAuthentication {
        namespace: "kube-system".to_owned(),
        service_account: "konnectivity-agent".to_owned(),
        audience: AUDIENCE.to_owned(),
    };
    let metrics = Arc::new(ServerMetrics::new());
    let reviews = TokenReviews::new(anonymous(&api).await, wanted, Arc::clone(&metrics));
    let authenticator = CachingAuthenticator::new(reviews, Handle::current());
    Server {
        api,
        authenticator: Arc::new(authenticator),
        metrics,
    }
}

impl Server {
    async fn shown(&self, token: &str) -> Result<String, String> {
        let answer = self.authenticator.authenticate(&BearerToken::from(token));
        answer
            .await
            .map(|identity| identity.to_string())
            .map_err(|refused| refused.to_string())
    }

    fn reviewed(&self, result: &str) -> Option<String> {
        let text = render::<&str>(self.metrics.registry(), &[]);
        let series =
            format!("dialback_token_review_duration_seconds_count{{result=\"{result}\"}} ");
        text.lines()
            .find_map(|line| Some(line.strip_prefix(&series)?.to_owned()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_agents_are_let_in_and_others_refused_in_the_references_words() {
    let server = server().await;
    let issue = |token: &str, user: &str| server.api.issue(token, user, AUDIENCE);
    issue("good", AGENT);
    issue(
        "namespace",
        "system:serviceaccount:default:konnectivity-agent",
    );
    issue("account", "system:serviceaccount:kube-system:default");
    issue("person", "admin");
    server.api.issue("audience", AGENT, "someone-else");
    assert_eq!(server.shown("good").await, Ok(AGENT.to_owned()));
    for (token, text) in [
        (
            "namespace",
            r#"incoming request from "default" namespace. Expected "kube-system""#,
        ),
        (
            "account",
            r#"incoming request from "default" service account. Expected "konnectivity-agent""#,
        ),
        ("person", "unexpected username format"),
        (
            "audience",
            r#"[invalid bearer token, token audiences ["someone-else"] is invalid for the target audiences ["system:konnectivity-server"]]"#,
        ),
        ("expired", "invalid bearer token"),
    ] {
        let text = format!("Failed to validate authentication token, err:lookup failed: {text}");
        assert_eq!(server.shown(token).await, Err(text), "{token}");
    }
    assert_eq!(server.reviewed("accepted").as_deref(), Some("1"));
    assert_eq!(server.reviewed("rejected").as_deref(), Some("5"));
    let request = server.api.look(|api| api.requests[0].clone());
    assert_eq!(request.method, "POST");
    assert_eq!(request.path, "/apis/authentication.k8s.io/v1/tokenreviews?");
    assert_eq!(request.body["apiVersion"], "authentication.k8s.io/v1");
    assert_eq!(request.body["kind"], "TokenReview");
    assert_eq!(request.body["spec"]["token"], "good");
    assert_eq!(request.body["spec"]["audiences"][0], AUDIENCE);
    let agent = &request.headers["user-agent"];
    assert!(agent.starts_with("proxy-server/v"), "{agent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_api_server_is_away_agents_are_told_so_and_then_let_in_again() {
    let server = server().await;
    server.api.issue("good", AGENT, AUDIENCE);
    server.api.go_away();
    let error = server.shown("good").await.unwrap_err();
    let start = "Failed to validate authentication token, err:Failed to authenticate request. err:";
    assert!(error.starts_with(start), "{error}");
    server.api.come_back();
    // What could not be asked is remembered for a moment.
    let back = async {
        while server.shown("good").await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(15), back)
        .await
        .unwrap();
    assert_eq!(server.reviewed("accepted").as_deref(), Some("1"));
    assert!(server.reviewed("unavailable").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_agents_with_one_token_is_one_review() {
    let server = server().await;
    server.api.issue("good", AGENT, AUDIENCE);
    for (token, let_in) in [("good", true), ("bad", false)] {
        let before = server.api.look(|api| api.reviews());
        let storm: Vec<_> = (0..1000)
            .map(|_| {
                let answer = server.authenticator.authenticate(&BearerToken::from(token));
                tokio::spawn(answer)
            })
            .collect();
        for agent in storm {
            assert_eq!(agent.await.unwrap().is_ok(), let_in);
        }
        assert_eq!(server.api.look(|api| api.reviews()), before + 1, "{token}");
    }
}
