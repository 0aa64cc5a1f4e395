//! Leases by which servers tell agents that they are there.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

/// How long a server counts after it last renewed its Lease, in seconds (Konnectivity server, `pkg/server/leases`).
pub(super) const LEASE_SECONDS: i32 = 30;

/// The pause between two renewals, and between two collections of expired Leases.
pub(super) const RENEW_EVERY: Duration = Duration::from_secs(15);

/// The name of a server's Lease.
pub(crate) fn lease_name(server_id: &str) -> String {
    format!("konnectivity-proxy-server-{server_id}")
}

/// Until when a Lease is valid, by the clock of whoever wrote it; `None` for one that never is.
///
/// It lasts from its renewal, or else its acquisition (Konnectivity, `pkg/util/leases.go`, `IsLeaseValid`). Without a
/// duration it is invalid, where the reference ends.
pub(super) fn valid_until(lease: &Lease) -> Option<Timestamp> {
    let spec = lease.spec.as_ref()?;
    let since = spec.renew_time.as_ref().or(spec.acquire_time.as_ref())?;
    let seconds = spec.lease_duration_seconds?;
    since
        .0
        .checked_add(SignedDuration::from_secs(seconds.into()))
        .ok()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn until(spec: &str) -> Option<String> {
        let lease = format!(
            r#"{{"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {{}}, "spec": {spec}}}"#
        );
        let lease: Lease = serde_json::from_str(&lease).unwrap();
        valid_until(&lease).map(|at| at.to_string())
    }

    #[test]
    fn a_lease_lasts_from_its_renewal_or_else_its_acquisition() {
        let at = |time: &str| Some(time.to_owned());
        assert_eq!(
            until(
                r#"{"renewTime": "2026-11-23T10:00:00.250000Z", "acquireTime": "2026-11-23T09:00:00.000000Z", "leaseDurationSeconds": 30}"#
            ),
            at("2026-11-23T10:00:30.25Z")
        );
        assert_eq!(
            until(r#"{"acquireTime": "2026-11-23T09:00:00.000000Z", "leaseDurationSeconds": 30}"#),
            at("2026-11-23T09:00:30Z")
        );
    }

    #[test]
    fn a_lease_without_time_or_duration_is_never_valid() {
        assert_eq!(until(r#"{"leaseDurationSeconds": 30}"#), None);
        assert_eq!(
            until(r#"{"renewTime": "2026-11-23T10:00:00.000000Z"}"#),
            None
        );
        assert_eq!(until("{}"), None);
        assert_eq!(valid_until(&Lease::default()), None);
        assert_eq!(
            until(
                r#"{"renewTime": "9999-12-30T22:00:00.999999Z", "leaseDurationSeconds": 2147483647}"#
            ),
            None,
            "beyond what a time can be"
        );
    }
}
