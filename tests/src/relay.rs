//! The network between agents and servers, which can be cut.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

/// Passes connections on to its targets in turn, as a load balancer would.
pub struct Relay {
    pub address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    refusing: Arc<AtomicBool>,
    cut: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Relay {
    pub async fn start(targets: Vec<SocketAddr>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let cut = Arc::new(Notify::new());
        let refusing = Arc::new(AtomicBool::new(false));
        let refuses = Arc::clone(&refusing);
        let (counter, cutting) = (Arc::clone(&accepted), Arc::clone(&cut));
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    Ok((mut near, _)) = listener.accept() => {
                        if refuses.load(Ordering::Relaxed) {
                            continue;
                        }
                        let turn = counter.fetch_add(1, Ordering::Relaxed);
                        let target = targets[turn % targets.len()];
                        connections.spawn(async move {
                            if let Ok(mut far) = TcpStream::connect(target).await {
                                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                            }
                        });
                    }
                    () = cutting.notified() => connections.abort_all(),
                }
            }
        });
        Self {
            address,
            accepted,
            refusing,
            cut,
            task,
        }
    }

    /// Cuts every connection; new ones are passed on as before.
    pub fn cut(&self) {
        self.cut.notify_one();
    }

    /// Closes every connection that comes from now on.
    pub fn refuse(&self) {
        self.refusing.store(true, Ordering::Relaxed);
    }

    /// Connections so far.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}
