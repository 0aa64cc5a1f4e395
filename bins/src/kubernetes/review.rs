//! TokenReviews: whose token an agent shows.

use std::sync::Arc;

use dialback_core::ServiceAccount;
use dialback_runtime::metrics::ServerMetrics;
use dialback_runtime::server::{AgentIdentity, AgentRefused};
use k8s_openapi::api::authentication::v1::{
    TokenReview, TokenReviewSpec, TokenReviewStatus, UserInfo,
};
use kube::Api;
use kube::api::PostParams;
use thiserror::Error;
use tokio::time::Instant;

use super::authenticator::Reviewer;
use super::client::{ApiServer, RequestError};
use crate::flags::{TokenAuthentication, quote};

/// Where Kubernetes says which pod a token was made for.
const POD: &str = "authentication.kubernetes.io/pod-uid";

/// Asks the API server about each token: `POST /apis/authentication.k8s.io/v1/tokenreviews`.
///
/// The checks and their texts are the reference's (Konnectivity server, `pkg/server/server.go`, `validateAuthToken`),
/// and one more: where the API server says for which audiences it found the token good, ours has to be among them.
#[derive(Debug)]
pub(crate) struct TokenReviews {
    api: ApiServer,
    wanted: TokenAuthentication,
    metrics: Arc<ServerMetrics>,
}

impl TokenReviews {
    pub(crate) const fn new(
        api: ApiServer,
        wanted: TokenAuthentication,
        metrics: Arc<ServerMetrics>,
    ) -> Self {
        Self {
            api,
            wanted,
            metrics,
        }
    }
}

impl Reviewer for TokenReviews {
    async fn review(&self, token: &str) -> Result<AgentIdentity, AgentRefused> {
        let review = TokenReview {
            spec: TokenReviewSpec {
                audiences: Some(vec![self.wanted.audience.clone()]),
                token: token.to_owned(),
            },
            ..TokenReview::default()
        };
        let reviews: Api<TokenReview> = Api::all(self.api.client());
        let start = Instant::now();
        let answer = self
            .api
            .ask(reviews.create(&PostParams::default(), &review))
            .await;
        let result = match answer {
            Ok(review) => judge(review.status.unwrap_or_default(), &self.wanted)
                .map_err(|refusal| AgentRefused::Rejected(Arc::new(refusal))),
            Err(error) => Err(AgentRefused::Unavailable(Arc::new(Unreviewed(error)))),
        };
        let label = match &result {
            Ok(_) => "accepted",
            Err(refused) => refused.label(),
        };
        self.metrics.token_reviewed(label, start.elapsed());
        result
    }
}

/// Whether the answer is about one of our agents.
fn judge(
    status: TokenReviewStatus,
    wanted: &TokenAuthentication,
) -> Result<AgentIdentity, Refusal> {
    if let Some(error) = status.error.filter(|error| !error.is_empty()) {
        return Err(Refusal::Error(error));
    }
    if status.authenticated != Some(true) {
        return Err(Refusal::NotAuthenticated);
    }
    let user = status.user.unwrap_or_default();
    let name = user.username.as_deref().unwrap_or_default();
    let parts: Vec<&str> = name.split(':').collect();
    let [system, kind, namespace, account] = parts[..] else {
        return Err(Refusal::NameFormat);
    };
    if (system, kind) != ("system", "serviceaccount") {
        return Err(Refusal::NoServiceAccount);
    }
    if namespace != wanted.namespace {
        return Err(Refusal::Namespace {
            found: namespace.to_owned(),
            wanted: wanted.namespace.clone(),
        });
    }
    if account != wanted.service_account {
        return Err(Refusal::Account {
            found: account.to_owned(),
            wanted: wanted.service_account.clone(),
        });
    }
    // An authenticator that knows nothing of audiences names none; the reference never looks.
    let audiences = status.audiences.unwrap_or_default();
    if !audiences.is_empty() && !audiences.contains(&wanted.audience) {
        return Err(Refusal::Audience(wanted.audience.clone()));
    }
    let account = ServiceAccount {
        namespace: namespace.to_owned(),
        name: account.to_owned(),
    };
    Ok(identity(&user).with_service_account(account))
}

/// The account, and the pod that the token was made for where Kubernetes names it: what stays the same when the token
/// is renewed.
fn identity(user: &UserInfo) -> AgentIdentity {
    let pod = user.extra.as_ref().and_then(|extra| extra.get(POD));
    let parts = [user.username.as_deref(), user.uid.as_deref()]
        .into_iter()
        .flatten()
        .chain(pod.into_iter().flatten().map(String::as_str));
    AgentIdentity::new(parts.collect::<Vec<_>>().join(" "))
}

/// Nobody looked at the token.
#[derive(Debug, Error)]
#[error("Failed to authenticate request. err:{0}")]
struct Unreviewed(#[source] RequestError);

/// Why a token lets no agent in.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
enum Refusal {
    #[error("lookup failed: {0}")]
    Error(String),
    #[error("lookup failed: service account jwt not valid")]
    NotAuthenticated,
    #[error("lookup failed: unexpected username format")]
    NameFormat,
    #[error("lookup failed: username returned is not a service account")]
    NoServiceAccount,
    #[error(
        "lookup failed: incoming request from {} namespace. Expected {}",
        quote(found),
        quote(wanted)
    )]
    Namespace { found: String, wanted: String },
    #[error(
        "lookup failed: incoming request from {} service account. Expected {}",
        quote(found),
        quote(wanted)
    )]
    Account { found: String, wanted: String },
    #[error("lookup failed: token is not for audience {}", quote(.0))]
    Audience(String),
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn wanted() -> TokenAuthentication {
        TokenAuthentication {
            namespace: "kube-system".to_owned(),
            service_account: "konnectivity-agent".to_owned(),
            audience: "system:konnectivity-server".to_owned(),
        }
    }

    fn judged(status: &str) -> Result<String, String> {
        let status = serde_json::from_str(status).unwrap();
        judge(status, &wanted())
            .map(|identity| identity.to_string())
            .map_err(|refusal| refusal.to_string())
    }

    fn of(user: &str) -> Result<String, String> {
        judged(&format!(
            r#"{{"authenticated": true, "user": {{"username": "{user}"}}}}"#
        ))
    }

    #[test]
    fn our_agents_are_let_in() {
        let name = "system:serviceaccount:kube-system:konnectivity-agent";
        assert_eq!(of(name), Ok(name.to_owned()));
        let whole = judged(
            r#"{"authenticated": true, "audiences": ["other", "system:konnectivity-server"], "user": {
                "username": "system:serviceaccount:kube-system:konnectivity-agent", "uid": "u1",
                "groups": ["system:serviceaccounts"],
                "extra": {"authentication.kubernetes.io/pod-uid": ["p1"], "other": ["x"]}}}"#,
        );
        assert_eq!(whole, Ok(format!("{name} u1 p1")));
    }

    #[test]
    fn others_are_refused_in_the_references_words() {
        let refused = |text: &str| Err(format!("lookup failed: {text}"));
        assert_eq!(
            judged(r#"{"authenticated": true, "error": "token has expired"}"#),
            refused("token has expired")
        );
        let invalid = refused("service account jwt not valid");
        assert_eq!(judged("{}"), invalid);
        assert_eq!(judged(r#"{"authenticated": false, "error": ""}"#), invalid);
        let format = refused("unexpected username format");
        assert_eq!(judged(r#"{"authenticated": true}"#), format);
        assert_eq!(of("admin"), format);
        assert_eq!(of("a:b:c:d:e"), format);
        assert_eq!(
            of("system:node:kube-system:konnectivity-agent"),
            refused("username returned is not a service account")
        );
        assert_eq!(
            of("system:serviceaccount:default:konnectivity-agent"),
            refused(r#"incoming request from "default" namespace. Expected "kube-system""#)
        );
        assert_eq!(
            of("system:serviceaccount:kube-system:default"),
            refused(
                r#"incoming request from "default" service account. Expected "konnectivity-agent""#
            )
        );
    }

    #[test]
    fn a_token_for_others_is_no_token_for_us() {
        let refused = judged(
            r#"{"authenticated": true, "audiences": ["https://kubernetes.default.svc"],
                "user": {"username": "system:serviceaccount:kube-system:konnectivity-agent"}}"#,
        );
        let text = r#"lookup failed: token is not for audience "system:konnectivity-server""#;
        assert_eq!(refused, Err(text.to_owned()));
    }
}
