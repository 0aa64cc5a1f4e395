//! What the daemons ask of a Kubernetes API server: whose tokens agents show, and which servers there are.
//!
//! Everything here runs on tokio, whatever the connections run on, since kube does. Requests are JSON:
//! `--kube-api-content-type` is accepted, and changes nothing that anyone could see but the encoding.
//!
//! The API server may be away at any time, the more so as it is behind this very proxy. Then new agents can't be
//! authenticated and are told so, Leases are renewed as soon as it is back, and the last good number of servers stands.

mod authenticator;
mod client;
mod collect;
mod config;
mod count;
mod lease;
mod limiter;
mod publish;
mod review;
mod token_file;

pub(crate) use authenticator::CachingAuthenticator;
pub(crate) use client::ApiServer;
pub(crate) use config::{ClientError, Program};
pub(crate) use count::LeaseCounter;
pub(crate) use lease::lease_name;
pub(crate) use publish::LeaseController;
pub(crate) use review::TokenReviews;

#[cfg(test)]
mod tests;
