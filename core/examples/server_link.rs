//! A server with nothing but std: `server_link AGENTS FRONTENDS DESTINATION` waits at AGENTS for one `agent_link`, and
//! carries every connection to FRONTENDS over its tunnel to DESTINATION.
//! Driven as the agent is: one lock for the machine, one condition variable for all threads.
#![expect(clippy::disallowed_types, reason = "a driver has sockets and locks")]
#![expect(
    clippy::disallowed_methods,
    reason = "a driver has threads and a clock"
)]

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use dialback_core::server::{Link, LinkConfig, StreamOutput};
use dialback_core::wire::{Decoded, Extensions, Frame, FrameDecoder, decode};
use dialback_core::{CloseReason, Negotiated, StreamId};

/// Larger packets than this one come from no agent of ours.
const MAX_PACKET_BYTES: usize = 1 << 20;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [agents, frontends, destination] = &arguments[..] else {
        return Err(io::Error::other(
            "usage: server_link AGENTS FRONTENDS DESTINATION",
        ));
    };
    let (tunnel, _) = TcpListener::bind(agents)?.accept()?;
    serve(tunnel, TcpListener::bind(frontends)?, destination.clone())
}

/// Carries what is accepted over `tunnel`, until that ends. The thread that accepts runs on. Errors are the tunnel's.
pub(crate) fn serve(
    tunnel: TcpStream,
    frontends: TcpListener,
    destination: String,
) -> io::Result<()> {
    // Over gRPC each side states this in metadata; both count on it here. The window is the default one.
    let agreed = Extensions::parse(["flow-control/1;window=262144"]);
    let link = Link::new(LinkConfig::default(), Negotiated::new(agreed, agreed), 1);
    let server = Arc::new(Server {
        state: Mutex::new(State { link, up: true }),
        changed: Condvar::new(),
    });
    let (sending, accepting) = (Arc::clone(&server), Arc::clone(&server));
    let out = tunnel.try_clone()?;
    let writer = thread::spawn(move || sending.send_packets(out));
    thread::spawn(move || {
        for frontend in frontends.incoming().map_while(Result::ok) {
            let (server, destination) = (Arc::clone(&accepting), destination.clone());
            thread::spawn(move || server.carry(&frontend, destination));
        }
    });
    let received = server.receive_packets(&tunnel);
    server.input(|state, now| {
        state.up = false;
        state.link.handle_down(now);
    });
    let _ = tunnel.shutdown(Shutdown::Both);
    let _ = writer.join();
    received
}

struct Server {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    link: Link,
    up: bool,
}

impl Server {
    /// One input, and all the outputs that it leads to.
    fn input<T>(&self, input: impl FnOnce(&mut State, Instant) -> T) -> T {
        let mut state = self.lock();
        let output = input(&mut state, Instant::now());
        self.drain(&mut state);
        output
    }

    /// Waits until `ready` has something, which may be an input too. Every thread that waits keeps the deadlines.
    fn until<T>(&self, mut ready: impl FnMut(&mut State, Instant) -> Option<T>) -> T {
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

    fn drain(&self, state: &mut State) {
        let mut changed = state.link.has_transmit() || !state.up;
        while state.link.poll_wake().is_some() {
            changed = true;
        }
        // For logs; an agent that drains or is retired would be chosen no more, if there were others.
        while state.link.poll_event().is_some() {}
        if changed {
            self.changed.notify_all();
        }
    }

    fn send_packets(&self, mut tunnel: TcpStream) {
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

    fn receive_packets(&self, mut tunnel: &TcpStream) -> io::Result<()> {
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

    /// One frontend, from its dial to its end. Whatever fails, it sees its connection close.
    fn carry(&self, socket: &TcpStream, destination: String) {
        let Ok(id) = self.input(|state, now| state.link.dial(now, "tcp".into(), destination))
        else {
            return;
        };
        let ended = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| self.read_frontend(id, socket, &ended));
            loop {
                match self.until(|state, now| state.link.poll_stream(now, id)) {
                    // Half-close was not agreed on.
                    StreamOutput::Dialled(_) | StreamOutput::EndOfData => {}
                    StreamOutput::Data(data) => {
                        if (&mut &*socket).write_all(&data).is_err() {
                            let lost = CloseReason::FrontendLost;
                            self.input(|state, now| state.link.handle_frontend_gone(now, id, lost));
                            break;
                        }
                    }
                    StreamOutput::DialFailed(_) | StreamOutput::Closed(_) => break,
                }
            }
            let _ = socket.shutdown(Shutdown::Both);
            self.input(|_, _| ended.store(true, Ordering::Relaxed));
            self.changed.notify_all();
        });
    }

    fn read_frontend(&self, id: StreamId, mut socket: &TcpStream, ended: &AtomicBool) {
        let mut buffer = vec![0; 64 * 1024];
        while self.until(|state, _| {
            let over = ended.load(Ordering::Relaxed);
            (over || state.link.wants_frontend_data(id)).then_some(!over)
        }) {
            let reason = match socket.read(&mut buffer) {
                Ok(read @ 1..) => {
                    let data = Bytes::copy_from_slice(&buffer[..read]);
                    self.input(|state, _| state.link.handle_frontend_data(id, data));
                    continue;
                }
                Ok(_) => CloseReason::FrontendClosed,
                Err(_) => CloseReason::FrontendLost,
            };
            return self.input(|state, now| state.link.handle_frontend_close(now, id, reason));
        }
    }
}
