//! An HTTP-CONNECT frontend after its request: a socket on the server's link.

use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use dialback_core::CloseReason;
use dialback_core::server::{DialError, StreamOutput, StreamRef};

use super::Dialler;
use crate::pipe::{Piece, Pipe, PipeConfig, PipeEnd};
use crate::task::Interest;
use crate::tunnel::Tunnels;

/// What the server reads of a socket at a time.
const READ_BYTES: usize = 32 * 1024;

/// One tunnelled socket, seen from both of its ends.
#[derive(Debug)]
pub struct ConnectFrontend {
    state: State,
    chunk: Bytes,
    interest: Interest,
    half_close: bool,
    /// The client sends no more, and the stream goes on.
    client_ended: bool,
    answers: Vec<Result<(), DialError>>,
    /// From the client.
    pub up: Pipe,
    /// To the client.
    pub down: Pipe,
    client: Client,
}

#[derive(Debug)]
enum State {
    Accepted { address: String },
    Dialling(StreamRef),
    Open(StreamRef),
    Served,
}

#[derive(Debug, Default)]
struct Client {
    to_send: BytesMut,
    sent: usize,
    received: Vec<u8>,
    not_reading: bool,
    finishing: bool,
    finished: bool,
    ended: Option<PipeEnd>,
}

enum Step {
    Moved,
    Waiting,
    Ended,
}

impl ConnectFrontend {
    pub(crate) fn new(address: &str, pipes: &PipeConfig, half_close: bool) -> Self {
        Self {
            state: State::Accepted {
                address: address.to_owned(),
            },
            chunk: Bytes::new(),
            interest: Interest::FIRST,
            half_close,
            client_ended: false,
            answers: Vec::new(),
            up: Pipe::new(pipes.clone()),
            down: Pipe::new(pipes.clone()),
            client: Client::default(),
        }
    }

    // ---- what the client does ----

    /// Sends bytes as soon as there is room.
    pub fn write(&mut self, data: &[u8]) {
        if !self.client.finishing {
            self.client.to_send.extend_from_slice(data);
        }
    }

    /// Ends the client's side behind all that was written. To a server without half-close that is a full close;
    /// otherwise the client reads on to the endpoint's end.
    pub fn close(&mut self) {
        self.client.finishing = true;
    }

    /// Resets the connection.
    pub fn reset(&mut self, now: Instant) {
        self.client.finishing = true;
        self.client.finished = true;
        self.client.to_send.clear();
        self.client.ended.get_or_insert(PipeEnd::Reset);
        self.up.reset(now);
        self.down.break_off();
    }

    /// Starts or stops reading.
    pub fn read(&mut self, reading: bool) {
        self.client.not_reading = !reading;
    }

    // ---- what the client has seen ----

    /// The answers to the dial.
    pub fn answers(&self) -> &[Result<(), DialError>] {
        &self.answers
    }

    /// The bytes read.
    #[must_use]
    pub fn received(&self) -> &[u8] {
        &self.client.received
    }

    /// How the connection ended for the client, if it has.
    #[must_use]
    pub fn ended(&self) -> Option<PipeEnd> {
        self.client.ended
    }

    /// Everything the client wanted to send was taken by its socket.
    #[must_use]
    pub fn is_flushed(&self) -> bool {
        self.client.to_send.is_empty()
    }

    /// Nothing is left of the connection at the server.
    #[must_use]
    pub fn is_served(&self) -> bool {
        matches!(self.state, State::Served)
    }

    /// The stream that carries the connection.
    #[must_use]
    pub fn stream(&self) -> Option<StreamRef> {
        match self.state {
            State::Dialling(at) | State::Open(at) => Some(at),
            State::Accepted { .. } | State::Served => None,
        }
    }

    // ---- running ----

    pub(crate) fn run(
        &mut self,
        now: Instant,
        tunnels: &mut Tunnels,
        dialler: &mut impl Dialler,
    ) -> bool {
        let mut moved = self.client.run(now, &mut self.up, &mut self.down);
        if self.is_due(now, tunnels) {
            self.serve(now, tunnels, dialler);
            moved = true;
        }
        moved
    }

    fn is_due(&self, now: Instant, tunnels: &mut Tunnels) -> bool {
        if self.is_served() {
            return false;
        }
        self.interest.woken
            || self.interest.reading && self.up.readable(now)
            || self.interest.writing && self.down.room() > 0
            || self
                .stream()
                .is_some_and(|at| tunnels.server(at).is_woken(at.stream))
    }

    fn serve(&mut self, now: Instant, tunnels: &mut Tunnels, dialler: &mut impl Dialler) {
        self.interest.clear();
        if let State::Accepted { address } = &self.state {
            match dialler.dial(tunnels, "tcp".to_owned(), address.clone()) {
                Ok(at) => {
                    self.state = State::Dialling(at);
                    if self.half_close {
                        let server = tunnels.server(at);
                        server.input(|link| link.allow_half_close(at.stream));
                    }
                }
                Err(error) => return self.refuse(now, error),
            }
        }
        if let Some(at) = self.stream() {
            tunnels.server(at).take_wake(at.stream);
        }
        if let State::Dialling(at) = self.state
            && !self.await_answer(now, at, tunnels)
        {
            return;
        }
        let State::Open(at) = self.state else { return };
        loop {
            let step = match self.write_down(now, at, tunnels) {
                Step::Waiting => self.read_up(now, at, tunnels),
                step @ (Step::Moved | Step::Ended) => step,
            };
            match step {
                Step::Moved => {}
                Step::Waiting => return,
                Step::Ended => break,
            }
        }
        self.up.break_off();
        self.state = State::Served;
        // As a task that ends lets its stream go, whatever the state of that.
        let gone = CloseReason::FrontendLost;
        let server = tunnels.server(at);
        server.input(|link| link.handle_frontend_gone(now, at.stream, gone));
    }

    /// False when the connection is not open yet, or never will be.
    fn await_answer(&mut self, now: Instant, at: StreamRef, tunnels: &mut Tunnels) -> bool {
        let server = tunnels.server(at);
        match server.input(|link| link.poll_stream(now, at.stream)) {
            Some(StreamOutput::Dialled(_)) => {
                self.answers.push(Ok(()));
                self.state = State::Open(at);
                true
            }
            Some(StreamOutput::DialFailed(error)) => {
                self.refuse(now, error);
                false
            }
            Some(
                output
                @ (StreamOutput::Data(_) | StreamOutput::EndOfData | StreamOutput::Closed(_)),
            ) => {
                panic!("{output:?} came before the answer to the dial")
            }
            // A client that hangs up while its dial is pending is noticed.
            None if self.up.unread_bytes() == 0 && self.up.readable(now) => {
                let gone = CloseReason::FrontendLost;
                server.input(|link| link.handle_frontend_gone(now, at.stream, gone));
                self.up.break_off();
                self.down.finish(now);
                self.state = State::Served;
                false
            }
            None => {
                self.interest.reading = self.up.unread_bytes() == 0;
                false
            }
        }
    }

    fn refuse(&mut self, now: Instant, error: DialError) {
        self.answers.push(Err(error));
        self.down.finish(now);
        self.up.break_off();
        self.state = State::Served;
    }

    fn write_down(&mut self, now: Instant, at: StreamRef, tunnels: &mut Tunnels) -> Step {
        let server = tunnels.server(at);
        if self.chunk.is_empty() {
            match server.input(|link| link.poll_stream(now, at.stream)) {
                Some(StreamOutput::Data(data)) => self.chunk = data,
                Some(StreamOutput::EndOfData) => {
                    self.down.finish(now);
                    return Step::Moved;
                }
                Some(StreamOutput::Closed(reason)) => {
                    if reason.is_orderly() {
                        self.down.finish(now);
                    } else {
                        self.down.reset(now);
                    }
                    return Step::Ended;
                }
                Some(output @ (StreamOutput::Dialled(_) | StreamOutput::DialFailed(_))) => {
                    panic!("{output:?} came after the answer to the dial")
                }
                None => return Step::Waiting,
            }
        }
        if self.down.is_broken() {
            let gone = CloseReason::FrontendLost;
            server.input(|link| link.handle_frontend_gone(now, at.stream, gone));
            return Step::Ended;
        }
        let length = self.chunk.len().min(self.down.room());
        if length == 0 {
            self.interest.writing = true;
            return Step::Waiting;
        }
        self.down.write(now, self.chunk.copy_to_bytes(length));
        Step::Moved
    }

    fn read_up(&mut self, now: Instant, at: StreamRef, tunnels: &mut Tunnels) -> Step {
        let server = tunnels.server(at);
        if self.client_ended || !server.link.wants_frontend_data(at.stream) {
            return Step::Waiting;
        }
        match self.up.read(now, READ_BYTES) {
            Some(Piece::Data(data)) => {
                server.input(|link| link.handle_frontend_data(at.stream, data));
                Step::Moved
            }
            Some(Piece::End(end)) => {
                let reason = match end {
                    PipeEnd::Finished => CloseReason::FrontendClosed,
                    PipeEnd::Reset => CloseReason::FrontendLost,
                };
                if self.half_close
                    && end == PipeEnd::Finished
                    && server.input(|link| link.handle_frontend_end(now, at.stream))
                {
                    self.client_ended = true;
                    return Step::Moved;
                }
                server.input(|link| link.handle_frontend_gone(now, at.stream, reason));
                self.down.finish(now);
                Step::Ended
            }
            None => {
                self.interest.reading = true;
                Step::Waiting
            }
        }
    }

    pub(crate) fn next_event(&self, now: Instant) -> Option<Instant> {
        let arrival = if self.client.not_reading {
            None
        } else {
            self.down.next_arrival(now)
        };
        [self.up.next_arrival(now), arrival]
            .into_iter()
            .flatten()
            .min()
    }
}

impl Client {
    fn run(&mut self, now: Instant, up: &mut Pipe, down: &mut Pipe) -> bool {
        let mut moved = false;
        while !self.not_reading
            && self.ended.is_none()
            && let Some(piece) = down.read(now, usize::MAX)
        {
            moved = true;
            match piece {
                Piece::Data(data) => self.received.extend_from_slice(&data),
                Piece::End(end) => self.ended = Some(end),
            }
        }
        if up.is_broken() {
            self.to_send.clear();
        }
        while !self.to_send.is_empty() && up.room() > 0 {
            let length = self.to_send.len().min(up.room());
            self.sent += length;
            up.write(now, self.to_send.split_to(length).freeze());
            moved = true;
        }
        if self.finishing && !self.finished && self.to_send.is_empty() {
            self.finished = true;
            up.finish(now);
            moved = true;
        }
        moved
    }
}
