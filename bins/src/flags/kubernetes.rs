//! What daemons are told about Kubernetes.

use std::path::PathBuf;

use super::listen::path_from_flag;
use super::problem::Check;

/// How to reach the Kubernetes API, where anything needs it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KubernetesOptions {
    /// `--kubeconfig`; without it the daemon is in a pod of the cluster.
    pub kubeconfig: Option<PathBuf>,
    /// `--kubeconfig-qps`: requests a second; 0 for our default, below that for no limit.
    pub qps: f32,
    /// `--kubeconfig-burst`: requests at once after a pause, at least 1 where `qps` is a limit.
    pub burst: u32,
}

/// Whose tokens let agents in: `--agent-namespace`, `--agent-service-account`, `--authentication-audience`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenAuthentication {
    /// The service account's namespace.
    pub namespace: String,
    /// The service account's name.
    pub service_account: String,
    /// Whom the tokens have to be made for.
    pub audience: String,
}

impl KubernetesOptions {
    /// From `--kubeconfig`, `--kubeconfig-qps` and `--kubeconfig-burst`.
    pub(super) fn from_flags(check: &mut Check, kubeconfig: &str, qps: f32, burst: i64) -> Self {
        // client-go refuses a rate without a burst; who has set a rate means this.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rate above 2^31 is no rate"
        )]
        let twice = (qps * 2.0).ceil() as u32;
        let burst = u32::try_from(burst).unwrap_or(0);
        let derive = qps > 0.0 && burst == 0;
        check.warn_if(derive, || {
            format!("--kubeconfig-qps={qps} without --kubeconfig-burst: {twice} requests at once are allowed")
        });
        Self {
            kubeconfig: path_from_flag(kubeconfig),
            qps: if qps.is_nan() { 0.0 } else { qps },
            burst: if derive { twice.max(1) } else { burst },
        }
    }
}
