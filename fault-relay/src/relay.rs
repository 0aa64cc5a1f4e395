//! The relay and what can be done to it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use crate::Direction;
use crate::carry::carry;
use crate::direction::{Conditions, thawed};

/// The pause after a connection could not be accepted, as when descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// Passes connections on to its targets in turn, as a load balancer would; dropping it ends them all.
#[derive(Debug)]
pub struct Relay {
    /// Where it listens: a loopback port of the system's choice.
    pub address: SocketAddr,
    /// What befalls the bytes of who connects.
    pub towards_target: Direction,
    /// What befalls the answers.
    pub back: Direction,
    targets: Arc<Mutex<Vec<SocketAddr>>>,
    accepted: Arc<AtomicUsize>,
    refusing: Arc<AtomicBool>,
    cuts: watch::Sender<u64>,
    task: JoinHandle<()>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Relay {
    /// Starts to listen, within the tokio runtime that it is called in.
    ///
    /// # Errors
    ///
    /// When no port is to be had.
    pub async fn start(targets: Vec<SocketAddr>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (towards_target, back) = (Direction::default(), Direction::default());
        let conditions = (towards_target.subscribe(), back.subscribe());
        let accepted = Arc::new(AtomicUsize::new(0));
        let refusing = Arc::new(AtomicBool::new(false));
        let (cuts, mut cut) = watch::channel(0);
        let targets = Arc::new(Mutex::new(targets));
        let (counter, refuses) = (Arc::clone(&accepted), Arc::clone(&refusing));
        let present = Arc::clone(&targets);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    connected = listener.accept() => {
                        let Ok((near, _)) = connected else {
                            sleep(ACCEPT_PAUSE).await;
                            continue;
                        };
                        if refuses.load(Ordering::Relaxed) {
                            continue;
                        }
                        let turn = counter.fetch_add(1, Ordering::Relaxed);
                        let target = {
                            let targets = present.lock().unwrap_or_else(PoisonError::into_inner);
                            turn.checked_rem(targets.len()).map(|next| targets[next])
                        };
                        let Some(target) = target else { continue };
                        connections.spawn(join(near, target, conditions.clone()));
                    }
                    Ok(()) = cut.changed() => connections.abort_all(),
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Ok(Self {
            address,
            towards_target,
            back,
            targets,
            accepted,
            refusing,
            cuts,
            task,
        })
    }

    /// Leads to these from now on, in turn; without any, new connections are closed. Old ones stay.
    pub fn retarget(&self, targets: Vec<SocketAddr>) {
        *self.targets.lock().unwrap_or_else(PoisonError::into_inner) = targets;
    }

    /// Cuts every connection; new ones are passed on as before.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Closes every connection that comes from now on.
    pub fn refuse(&self) {
        self.refusing.store(true, Ordering::Relaxed);
    }

    /// Nothing passes either way and connections stay, as when a firewall drops every packet. New ones are
    /// taken, and reach the target once bytes flow again.
    pub fn freeze(&self) {
        self.towards_target.freeze();
        self.back.freeze();
    }

    /// Undoes [`Relay::freeze`].
    pub fn thaw(&self) {
        self.towards_target.thaw();
        self.back.thaw();
    }

    /// Connections so far.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}

/// Carries one connection until both its directions have ended or one has failed.
async fn join(
    near: TcpStream,
    target: SocketAddr,
    (mut towards_target, mut back): (watch::Receiver<Conditions>, watch::Receiver<Conditions>),
) {
    // A handshake takes both directions.
    thawed(&mut towards_target).await;
    thawed(&mut back).await;
    let Ok(far) = TcpStream::connect(target).await else {
        return;
    };
    for socket in [&near, &far] {
        let _ = socket.set_nodelay(true);
    }
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    let _ = tokio::try_join!(
        carry(near_read, far_write, towards_target.clone()),
        carry(far_read, near_write, back.clone()),
    );
    // The news of a failure doesn't pass a frozen direction either.
    thawed(&mut towards_target).await;
    thawed(&mut back).await;
}
