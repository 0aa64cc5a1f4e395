//! One stream: what its ends do, and what they see.

use std::sync::{Arc, Mutex};

use dialback_runtime::connectivity::Dialer;
use dialback_runtime::{Runtime as _, Socket as _, TcpOptions, timeout_at};
use dialback_simulation::cast::serve;
use dialback_simulation::{Host, SimulatedStream};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::plan::{Ending, Load, Pace, StreamPlan};

/// What one end did and saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// Bytes that were taken.
    pub(super) sent: usize,
    pub(super) received: usize,
    pub(super) end: End,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// There was no connection: why.
    NotDialled(String),
    /// All that was to come came, or the other end said that this is all.
    Orderly,
    /// It broke.
    Broken(String),
    /// It went away by itself.
    Left,
}

/// What the endpoint saw of each connection that was made to it; `None` while it is open.
pub(super) type EndpointLog = Arc<Mutex<Vec<Option<Seen>>>>;

#[derive(Clone, Copy, Debug)]
enum Direction {
    Up,
    Down,
}

/// The frontend's part, from the dial to the end.
pub(super) async fn frontend(
    host: Host,
    dialer: Dialer<Host>,
    address: String,
    plan: StreamPlan,
) -> Seen {
    host.sleep_until(host.now() + plan.starts).await;
    let mut stream = match dialer.dial(&address).await {
        Ok(stream) => stream,
        Err(error) => {
            return Seen {
                sent: 0,
                received: 0,
                end: End::NotDialled(error.to_string()),
            };
        }
    };
    let (mut sent, mut received) = (0, 0);
    let (reader, mut writer) = tokio::io::split(&mut stream);
    let both = async {
        let sending = async {
            send(&host, &mut writer, &plan, Direction::Up, &mut sent).await?;
            if plan.ending == Ending::FrontendFirst {
                writer.shutdown().await?;
            }
            Ok(())
        };
        let all = usize::MAX;
        let receiving = receive(&host, reader, &plan, Direction::Down, &mut received, all);
        tokio::join!(sending, receiving)
    };
    let end = match plan.ending {
        Ending::FrontendLeaves(after) => {
            let result = timeout_at(&host, host.now() + after, both).await;
            result.map_or(End::Left, |(sending, receiving)| end_of(sending, receiving))
        }
        Ending::FrontendFirst | Ending::EndpointFirst | Ending::EndpointResets(_) => {
            let (sending, receiving) = both.await;
            end_of(sending, receiving)
        }
    };
    Seen {
        sent,
        received,
        end,
    }
}

/// The endpoint's part, on a port that no other stream goes to.
pub(super) fn endpoint(host: &Host, port: u16, plan: &StreamPlan) -> EndpointLog {
    let log = EndpointLog::default();
    let (plan, writing, runtime) = (plan.clone(), Arc::clone(&log), host.clone());
    serve(host, port, move |mut socket| {
        let at = {
            let mut log = writing.lock().unwrap();
            log.push(None);
            log.len() - 1
        };
        let (plan, log, runtime) = (plan.clone(), Arc::clone(&writing), runtime.clone());
        async move {
            let seen = accept(&runtime, &mut socket, &plan).await;
            log.lock().unwrap()[at] = Some(seen);
        }
    });
    log
}

async fn accept(host: &Host, socket: &mut SimulatedStream, plan: &StreamPlan) -> Seen {
    socket.set_tcp_options(&TcpOptions::default()).unwrap();
    let (mut sent, mut received) = (0, 0);
    let (reader, mut writer) = tokio::io::split(&mut *socket);
    let all = match plan.ending {
        Ending::EndpointFirst => plan.upload.bytes,
        Ending::FrontendFirst | Ending::FrontendLeaves(_) | Ending::EndpointResets(_) => usize::MAX,
    };
    let both = async {
        let sending = send(host, &mut writer, plan, Direction::Down, &mut sent);
        let receiving = receive(host, reader, plan, Direction::Up, &mut received, all);
        tokio::join!(sending, receiving)
    };
    let end = match plan.ending {
        Ending::EndpointResets(after) => {
            let result = timeout_at(host, host.now() + after, both).await;
            result.map_or(End::Left, |(sending, receiving)| end_of(sending, receiving))
        }
        Ending::FrontendFirst | Ending::EndpointFirst | Ending::FrontendLeaves(_) => {
            let (sending, receiving) = both.await;
            end_of(sending, receiving)
        }
    };
    if end != End::Orderly {
        // As a server does that can't finish its response.
        socket.reset_on_close().unwrap();
    }
    Seen {
        sent,
        received,
        end,
    }
}

fn end_of(sending: std::io::Result<()>, receiving: std::io::Result<()>) -> End {
    match receiving.and(sending) {
        Ok(()) => End::Orderly,
        Err(error) => End::Broken(error.to_string()),
    }
}

impl StreamPlan {
    fn load(&self, direction: Direction) -> &Load {
        match direction {
            Direction::Up => &self.upload,
            Direction::Down => &self.download,
        }
    }
}

async fn rest(host: &Host, pace: &Pace, before: usize) {
    let pause = if before == 0 { pace.freeze } else { pace.pause };
    if !pause.is_zero() {
        host.sleep_until(host.now() + pause).await;
    }
}

async fn send(
    host: &Host,
    writer: &mut (impl AsyncWrite + Unpin),
    plan: &StreamPlan,
    direction: Direction,
    sent: &mut usize,
) -> std::io::Result<()> {
    let Load {
        bytes,
        writer: pace,
        ..
    } = plan.load(direction);
    while *sent < *bytes {
        let before = *sent;
        let chunk = pace.chunk_bytes.min(bytes - before);
        let chunk = pattern(plan.index, direction, before, chunk);
        let mut rest_of_chunk = &chunk[..];
        while !rest_of_chunk.is_empty() {
            let written = writer.write(rest_of_chunk).await?;
            *sent += written;
            rest_of_chunk = &rest_of_chunk[written..];
        }
        writer.flush().await?;
        rest(host, pace, before).await;
    }
    Ok(())
}

/// Reads to the end, or until `all` bytes have come.
async fn receive(
    host: &Host,
    mut reader: impl AsyncRead + Unpin,
    plan: &StreamPlan,
    direction: Direction,
    received: &mut usize,
    all: usize,
) -> std::io::Result<()> {
    let pace = &plan.load(direction).reader;
    let mut buffer = vec![0; pace.chunk_bytes];
    while *received < all {
        let before = *received;
        let read = reader.read(&mut buffer).await?;
        if read == 0 {
            break;
        }
        let expected = pattern(plan.index, direction, before, read);
        assert!(
            buffer[..read] == expected,
            "{direction:?} of stream {} is other than sent",
            plan.index
        );
        *received += read;
        // However small the pieces are that it comes in.
        let is_chunk = *received / pace.chunk_bytes > before / pace.chunk_bytes;
        if before == 0 || is_chunk {
            rest(host, pace, before).await;
        }
    }
    Ok(())
}

/// Bytes that tell stream, direction and place, so that none can pass for another.
fn pattern(index: usize, direction: Direction, from: usize, bytes: usize) -> Vec<u8> {
    let seed = 2 * index as u64 + u64::from(matches!(direction, Direction::Up));
    (from..from + bytes)
        .map(|at| {
            let mixed = (at as u64 ^ (seed << 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            mixed.to_be_bytes()[0]
        })
        .collect()
}
