//! An agent with nothing but std: `agent_link SERVER`, the address of the `server_link` example.
//!
//! One lock holds the machine, and one condition variable tells every thread that it may go differently now. A
//! driver with many streams would wake the one that `poll_wake` names instead of all. The tunnel is plain TCP: no
//! TLS, no HTTP/2, only packets with their length in front.
#![expect(clippy::disallowed_types, reason = "a driver has sockets and locks")]
#![expect(
    clippy::disallowed_methods,
    reason = "a driver has threads and a clock"
)]

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use dialback_core::agent::{EndpointOutput, Link, LinkConfig, LinkEvent};
use dialback_core::wire::{Decoded, Extensions, Frame, FrameDecoder, decode};
use dialback_core::{Negotiated, StreamId};

/// Larger packets than this one come from no server of ours.
const MAX_PACKET_BYTES: usize = 1 << 20;

fn main() -> io::Result<()> {
    let server = std::env::args().nth(1);
    let server = server.ok_or_else(|| io::Error::other("usage: agent_link SERVER"))?;
    serve(TcpStream::connect(server)?)
}

/// Dials what the server behind `tunnel` asks for, until the tunnel ends.
/// Errors are the tunnel's.
pub(crate) fn serve(tunnel: TcpStream) -> io::Result<()> {
    // Over gRPC each side states this in metadata; both count on it here. The window is the default one.
    let agreed = Extensions::parse(["flow-control/1;window=262144"]);
    let link = Link::new(LinkConfig::default(), Negotiated::new(agreed, agreed));
    let agent = Arc::new(Agent {
        state: Mutex::new(State { link, up: true }),
        changed: Condvar::new(),
    });
    let (sending, out) = (Arc::clone(&agent), tunnel.try_clone()?);
    let writer = thread::spawn(move || sending.send_packets(out));
    let received = agent.receive_packets(&tunnel);
    agent.input(|state, now| {
        state.up = false;
        state.link.handle_down(now);
    });
    let _ = tunnel.shutdown(Shutdown::Both);
    let _ = writer.join();
    received
}

struct Agent {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    link: Link,
    up: bool,
}

impl Agent {
    /// One input, and all the outputs that it leads to.
    fn input<T>(self: &Arc<Self>, input: impl FnOnce(&mut State, Instant) -> T) -> T {
        let mut state = self.lock();
        let output = input(&mut state, Instant::now());
        self.drain(&mut state);
        output
    }

    /// Waits until `ready` has something, which may be an input too. Every thread that waits keeps the deadlines.
    fn until<T>(self: &Arc<Self>, mut ready: impl FnMut(&mut State, Instant) -> Option<T>) -> T {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            state.link.handle_timeout(now);
            let found = ready(&mut state, now);
            self.drain(&mut state);
            if let Some(found) = found {
                return found;
            }
            let deadline = state.link.poll_timeout();
            let longest = deadline.map_or(Duration::MAX, |at| at.saturating_duration_since(now));
            let waited = self.changed.wait_timeout(state, longest);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn drain(self: &Arc<Self>, state: &mut State) {
        let mut changed = state.link.has_transmit() || !state.up;
        while state.link.poll_wake().is_some() {
            changed = true;
        }
        while let Some(event) = state.link.poll_event() {
            // Of an abandoned dial `handle_dialled` tells the dialling thread; the others are for logs.
            if let LinkEvent::Dial {
                stream, address, ..
            } = event
            {
                let agent = Arc::clone(self);
                thread::spawn(move || agent.dial(stream, &address));
            }
        }
        if changed {
            self.changed.notify_all();
        }
    }

    fn send_packets(self: &Arc<Self>, mut tunnel: TcpStream) {
        // A packet is taken when the socket has taken the one before: the machine's queue is the fair one.
        while let Some(packet) = self.until(|state, now| match state.link.poll_transmit(now) {
            None if state.up => None,
            packet => Some(packet),
        }) {
            if io::copy(&mut Frame::from(packet).reader(), &mut tunnel).is_err() {
                break;
            }
        }
        let _ = tunnel.shutdown(Shutdown::Both);
    }

    fn receive_packets(self: &Arc<Self>, mut tunnel: &TcpStream) -> io::Result<()> {
        let mut decoder = FrameDecoder::new(MAX_PACKET_BYTES);
        let mut buffer = vec![0; 64 * 1024];
        loop {
            self.until(|state, _| state.link.wants_read().then_some(()));
            let read = tunnel.read(&mut buffer)?;
            if read == 0 {
                return Ok(());
            }
            decoder.push(Bytes::copy_from_slice(&buffer[..read]));
            while let Some(message) = decoder.next_message().map_err(io::Error::other)? {
                if let Decoded::Packet(packet) = decode(message).map_err(io::Error::other)? {
                    self.input(|state, now| state.link.handle_packet(now, packet));
                }
            }
        }
    }

    /// One endpoint, from its dial to its end.
    fn dial(self: &Arc<Self>, id: StreamId, address: &str) {
        let dialled = TcpStream::connect(address);
        let told = dialled.as_ref().map(|socket| socket.peer_addr().ok());
        let told = told.map_err(ToString::to_string);
        let wanted = self.input(|state, now| state.link.handle_dialled(now, id, told));
        let Some(socket) = dialled.ok().filter(|_| wanted) else {
            return;
        };
        let ended = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| self.read_endpoint(id, &socket, &ended));
            while let EndpointOutput::Write(data) =
                self.until(|state, now| state.link.poll_endpoint(now, id))
            {
                if let Err(error) = (&socket).write_all(&data) {
                    let words = error.to_string();
                    self.input(|state, now| {
                        state.link.handle_endpoint_write_failed(now, id, words);
                    });
                }
            }
            // For an abort a reset would be better, which std can't send.
            let _ = socket.shutdown(Shutdown::Both);
            self.input(|state, now| {
                ended.store(true, Ordering::Relaxed);
                state.link.handle_endpoint_gone(now, id);
            });
            self.changed.notify_all();
        });
    }

    fn read_endpoint(self: &Arc<Self>, id: StreamId, mut socket: &TcpStream, ended: &AtomicBool) {
        let mut buffer = vec![0; 64 * 1024];
        while self.until(|state, _| {
            let over = ended.load(Ordering::Relaxed) || state.link.is_aborted(id);
            (over || state.link.wants_endpoint_data(id)).then_some(!over)
        }) {
            let end = match socket.read(&mut buffer) {
                Ok(read @ 1..) => {
                    let data = Bytes::copy_from_slice(&buffer[..read]);
                    self.input(|state, _| state.link.handle_endpoint_data(id, data));
                    continue;
                }
                end => end.map(drop).map_err(|error| error.to_string()),
            };
            return self.input(|state, now| state.link.handle_endpoint_end(now, id, end));
        }
        // Ends a write in the middle too.
        let _ = socket.shutdown(Shutdown::Both);
    }
}
