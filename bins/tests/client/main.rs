//! The client tools of `dialback`, each a process, through a pair of daemons.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod dial;
mod doctor;
mod endpoints;
mod listeners;
mod manual;
mod ping;
mod proxies;
mod requests;
#[path = "../support/mod.rs"]
mod support;
mod terminal;
mod tool;
