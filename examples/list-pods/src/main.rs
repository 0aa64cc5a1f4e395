//! Lists the pods of the default namespace, then follows what becomes of them.
//!
//! `list-pods FILE SERVICE URL`, such as `list-pods egress.yaml cluster http://10.0.0.1:8080`.
#![expect(clippy::print_stdout, reason = "that is what it is for")]

use std::env;
use std::error::Error;

use dialback_tokio::TokioRuntime;
use dialback_tokio::connectivity::{Connectivity, NetworkContext};
use futures_lite::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, ResourceExt as _};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(file), Some(service), Some(url)) =
        (arguments.next(), arguments.next(), arguments.next())
    else {
        return Err("usage: list-pods FILE SERVICE URL".into());
    };
    let connectivity = Connectivity::from_file(TokioRuntime::current()?, file)?;
    let dialer = connectivity.lookup(&NetworkContext::new(service))?;
    let pods: Api<Pod> = Api::default_namespaced(list_pods::client(dialer, url.parse()?));

    let list = pods.list(&ListParams::default()).await?;
    for pod in &list {
        println!("{}", pod.name_any());
    }
    let version = list.metadata.resource_version.unwrap_or_default();
    let mut events = Box::pin(pods.watch(&WatchParams::default(), &version).await?);
    while let Some(event) = events.try_next().await? {
        match event {
            WatchEvent::Added(pod) => println!("{} was added", pod.name_any()),
            WatchEvent::Modified(pod) => println!("{} has changed", pod.name_any()),
            WatchEvent::Deleted(pod) => println!("{} was deleted", pod.name_any()),
            WatchEvent::Bookmark(_) => {}
            WatchEvent::Error(error) => return Err(error.into()),
        }
    }
    Ok(())
}
