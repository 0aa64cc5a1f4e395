//! What is in `deploy/`: Kubernetes, Helm, Docker and systemd know it, our programs take it, and what it looks at exists.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod chart;
mod files;
mod image;
mod kubernetes;
mod observability;
#[path = "../scratch/mod.rs"]
mod scratch;
#[path = "../support/mod.rs"]
mod support;
mod tools;
mod units;
mod values;
mod workloads;
