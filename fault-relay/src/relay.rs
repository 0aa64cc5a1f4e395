//! The relay and what can be done to it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use crate::direction::pass;
use crate::{Conditions, Direction};

/// The pause after a connection could not be accepted, as when descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// Passes connections on to its targets in turn, as a load balancer would; dropping it ends them all.
#[derive(Debug)]
pub struct Relay {
    /// Where it listens: a loopback port of the system's choice.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    targets: Vec<SocketAddr>,
    accepted: AtomicUsize,
    refusing: AtomicBool,
    cut: Notify,
    /// What holds for connections, those to come included, until they are abandoned.
    path: Mutex<[watch::Sender<Conditions>; 2]>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Relay {
    /// Starts to listen on a loopback port, within the tokio runtime that it is called in.
    ///
    /// # Errors
    ///
    /// When no port is to be had.
    ///
    /// # Panics
    ///
    /// Without targets.
    pub async fn start(targets: Vec<SocketAddr>) -> io::Result<Self> {
        assert!(!targets.is_empty(), "a relay leads somewhere");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            targets,
            accepted: AtomicUsize::new(0),
            refusing: AtomicBool::new(false),
            cut: Notify::new(),
            path: Mutex::new([(); 2].map(|()| watch::Sender::new(Conditions::default()))),
        });
        let task = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Ok(Self {
            address,
            shared,
            task,
        })
    }

    /// Cuts every connection; new ones are passed on as before.
    pub fn cut(&self) {
        self.shared.cut.notify_one();
    }

    /// Closes every connection that comes from now on.
    pub fn refuse(&self) {
        self.shared.refusing.store(true, Ordering::Relaxed);
    }

    /// What a direction is like from now on; what is under way keeps its time of arrival.
    pub fn set(&self, direction: Direction, conditions: Conditions) {
        self.shared.path()[index(direction)].send_replace(conditions);
    }

    /// Both directions stop carrying anything, connections to come included.
    pub fn freeze(&self) {
        self.set_frozen(true);
    }

    /// Both directions go on, with all that waited.
    pub fn thaw(&self) {
        self.set_frozen(false);
    }

    /// The connections that there are stay open and carry nothing ever again, as those through a router that has
    /// failed; new ones take another way.
    pub fn strand(&self) {
        for direction in [Direction::Forth, Direction::Back] {
            self.strand_one_way(direction);
        }
    }

    /// As [`Relay::strand`], one direction only: the other carries on.
    pub fn strand_one_way(&self, direction: Direction) {
        let mut path = self.shared.path();
        let present = &mut path[index(direction)];
        let conditions = *present.borrow();
        present.send_modify(|conditions| conditions.frozen = true);
        // Nobody can tell the present connections anything any more: they stay frozen.
        *present = watch::Sender::new(conditions);
    }

    /// Connections so far.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    fn set_frozen(&self, frozen: bool) {
        for sender in &*self.shared.path() {
            sender.send_modify(|conditions| conditions.frozen = frozen);
        }
    }
}

impl Shared {
    fn path(&self) -> MutexGuard<'_, [watch::Sender<Conditions>; 2]> {
        self.path.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn index(direction: Direction) -> usize {
    match direction {
        Direction::Forth => 0,
        Direction::Back => 1,
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((near, _)) = accepted else {
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                };
                if shared.refusing.load(Ordering::Relaxed) {
                    continue;
                }
                let turn = shared.accepted.fetch_add(1, Ordering::Relaxed);
                let target = shared.targets[turn % shared.targets.len()];
                let conditions = [0, 1].map(|index| shared.path()[index].subscribe());
                connections.spawn(connect(near, target, conditions));
            }
            () = shared.cut.notified() => connections.abort_all(),
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Passes on both directions until both have ended, or one has failed, which ends both at once.
async fn connect(
    near: TcpStream,
    target: SocketAddr,
    [forth, back]: [watch::Receiver<Conditions>; 2],
) -> io::Result<()> {
    let far = TcpStream::connect(target).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let (near_reader, near_writer) = near.into_split();
    let (far_reader, far_writer) = far.into_split();
    tokio::try_join!(
        pass(near_reader, far_writer, forth),
        pass(far_reader, near_writer, back),
    )?;
    Ok(())
}
