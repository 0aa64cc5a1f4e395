//! A host of the simulated network: the runtime of what runs on it.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use dialback_runtime::{NoRandomness, Runtime};

use crate::clock::SimulatedSleep;
use crate::event_log::Event;
use crate::executor::SimulatedTask;
use crate::network::{HostId, Place, SimulatedListener, SimulatedStream};
use crate::simulation::Shared;

/// A host of the simulated network; clones are the same host.
#[derive(Clone)]
pub struct Host {
    shared: Arc<Shared>,
    id: HostId,
    ip: IpAddr,
}

impl Host {
    pub(crate) fn new(shared: Arc<Shared>, id: HostId, ip: IpAddr) -> Self {
        Self { shared, id, ip }
    }

    pub(crate) fn id(&self) -> HostId {
        self.id
    }

    /// Where a listener of this host is reached.
    #[must_use]
    pub fn address(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.ip, port)
    }

    /// Tasks of this host that have not ended.
    #[must_use]
    pub fn task_count(&self) -> usize {
        self.shared.executor.tasks_of(self.id).len()
    }

    /// Sockets of this host that somebody holds.
    #[must_use]
    pub fn socket_count(&self) -> usize {
        self.shared.world().socket_count(self.id)
    }

    /// Listens on `address`, with room for `backlog` connections that nobody has accepted yet; further ones are
    /// ignored, and tried again by those who want them.
    ///
    /// # Errors
    /// The address is taken, or another host's.
    pub fn listen_with_backlog(
        &self,
        address: SocketAddr,
        backlog: usize,
    ) -> io::Result<SimulatedListener> {
        let place = self.shared.world().listen_tcp(self.id, address, backlog)?;
        Ok(SimulatedListener::new(&self.shared, place))
    }

    /// Listens on a Unix socket.
    ///
    /// # Errors
    /// The path is taken.
    pub fn listen_unix(&self, path: &Path) -> io::Result<SimulatedListener> {
        let place = Place::Unix(self.id, path.to_owned());
        self.shared.world().listen(place.clone(), BACKLOG)?;
        Ok(SimulatedListener::new(&self.shared, place))
    }

    async fn connect(&self, place: Place) -> io::Result<SimulatedStream> {
        let connection = self.shared.world().connect(self.id, place);
        SimulatedStream::connect(&self.shared, connection).await
    }
}

/// Connections that wait to be accepted: Linux' `somaxconn` of old.
const BACKLOG: usize = 128;

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.id)
    }
}

impl Runtime for Host {
    type Task = SimulatedTask;
    type Sleep = SimulatedSleep;
    type TcpStream = SimulatedStream;
    type UnixStream = SimulatedStream;
    type TcpListener = SimulatedListener;
    type UnixListener = SimulatedListener;

    fn spawn<F>(&self, future: F) -> SimulatedTask
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let task = self.shared.executor.spawn(self.id, Box::pin(future));
        self.shared.world().log(Event::Spawned(task, self.id));
        SimulatedTask::new(&self.shared, task)
    }

    fn now(&self) -> Instant {
        self.shared.now()
    }

    fn sleep_until(&self, deadline: Instant) -> SimulatedSleep {
        SimulatedSleep::new(&self.shared, deadline)
    }

    async fn connect_tcp(&self, address: SocketAddr) -> io::Result<SimulatedStream> {
        self.connect(Place::Tcp(address)).await
    }

    async fn connect_unix(&self, path: &Path) -> io::Result<SimulatedStream> {
        self.connect(Place::Unix(self.id, path.to_owned())).await
    }

    fn listen_tcp(&self, address: SocketAddr) -> io::Result<SimulatedListener> {
        self.listen_with_backlog(address, BACKLOG)
    }

    fn tcp_listener(&self, _: std::net::TcpListener) -> io::Result<SimulatedListener> {
        Err(real_socket())
    }

    fn unix_listener(&self, _: std::os::unix::net::UnixListener) -> io::Result<SimulatedListener> {
        Err(real_socket())
    }

    async fn look_up(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        let world = self.shared.world();
        let found = world.names.get(host).ok_or_else(|| {
            let text = "failed to lookup address information: Name or service not known";
            io::Error::new(io::ErrorKind::NotFound, text)
        })?;
        Ok(found.iter().map(|ip| SocketAddr::new(*ip, port)).collect())
    }

    fn fill_random(&self, bytes: &mut [u8]) -> Result<(), NoRandomness> {
        self.shared.world().secrets.fill(bytes);
        Ok(())
    }
}

fn real_socket() -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        "a simulated host has no sockets of the system",
    )
}
