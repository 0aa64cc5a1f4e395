//! The agent's end of a tunnel: its link and the tasks of its endpoint connections.

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::{Buf, Bytes};
use dialback_core::Negotiated;
use dialback_core::StreamId;
use dialback_core::agent::{EndpointOutput, Link, LinkConfig, LinkEvent};

use crate::endpoint::{DialOutcome, Endpoints};
use crate::pipe::{Piece, PipeEnd};
use crate::task::Interest;

/// One link at the agent, driven by its rules.
#[derive(Debug)]
pub struct AgentEnd {
    /// The machine, to be looked at; inputs go through the triad.
    pub link: Link,
    /// All that the link told since the beginning.
    pub events: Vec<LinkEvent>,
    tasks: BTreeMap<StreamId, EndpointTask>,
    dials: Vec<(StreamId, String)>,
}

#[derive(Debug)]
struct EndpointTask {
    state: TaskState,
    interest: Interest,
}

#[derive(Debug)]
enum TaskState {
    Dialling {
        address: String,
        answer: Option<(Instant, Result<(), String>)>,
    },
    Connected(Connected),
}

#[derive(Debug)]
struct Connected {
    endpoint: usize,
    chunk: Bytes,
    reading: bool,
    writing: bool,
    closing: bool,
}

/// How an endpoint's task ended its connection.
enum TaskEnd {
    Closed,
    Aborted,
}

impl AgentEnd {
    pub(crate) fn new(config: LinkConfig, negotiated: Negotiated) -> Self {
        Self {
            link: Link::new(config, negotiated),
            events: Vec::new(),
            tasks: BTreeMap::new(),
            dials: Vec::new(),
        }
    }

    /// One input, then everything that it produced.
    pub(crate) fn input<T>(&mut self, input: impl FnOnce(&mut Link) -> T) -> T {
        let result = input(&mut self.link);
        while let Some(stream) = self.link.poll_wake() {
            if let Some(task) = self.tasks.get_mut(&stream) {
                task.interest.woken = true;
            }
        }
        while let Some(event) = self.link.poll_event() {
            match &event {
                LinkEvent::Dial {
                    stream, address, ..
                } => self.dials.push((*stream, address.clone())),
                LinkEvent::DialAbandoned { stream } => {
                    if let Some(task) = self.tasks.get_mut(stream) {
                        task.interest.woken = true;
                    }
                    self.dials.retain(|(dialled, _)| dialled != stream);
                }
                LinkEvent::Opened { .. }
                | LinkEvent::Closed { .. }
                | LinkEvent::ServerDraining
                | LinkEvent::Suspended
                | LinkEvent::Resumed
                | LinkEvent::Silent
                | LinkEvent::Broken(_)
                | LinkEvent::Down => {}
            }
            self.events.push(event);
        }
        result
    }

    /// Endpoint connections and dials that have a task.
    #[must_use]
    pub fn task_count(&self) -> usize {
        self.tasks.len()
    }

    /// Runs every task that was woken; true when something moved.
    pub(crate) fn run(&mut self, now: Instant, endpoints: &mut Endpoints) -> bool {
        let mut moved = false;
        for (stream, address) in std::mem::take(&mut self.dials) {
            moved = true;
            let answer = match endpoints.behaviour(&address).dial {
                DialOutcome::Accept => Some((now, Ok(()))),
                DialOutcome::AcceptAfter(wait) => Some((now + wait, Ok(()))),
                DialOutcome::Refuse(error) => Some((now, Err(error))),
                DialOutcome::Ignore => None,
            };
            let task = EndpointTask {
                state: TaskState::Dialling { address, answer },
                interest: Interest::FIRST,
            };
            self.tasks.insert(stream, task);
        }
        let streams: Vec<StreamId> = self.tasks.keys().copied().collect();
        for stream in streams {
            if !self.tasks[&stream].is_due(now, endpoints) {
                continue;
            }
            moved = true;
            if let Some(mut task) = self.tasks.remove(&stream)
                && self.run_task(now, stream, &mut task, endpoints)
            {
                self.tasks.insert(stream, task);
            }
        }
        moved
    }

    /// Runs a task as far as it gets; false when it has ended.
    fn run_task(
        &mut self,
        now: Instant,
        stream: StreamId,
        task: &mut EndpointTask,
        endpoints: &mut Endpoints,
    ) -> bool {
        task.interest.clear();
        if let TaskState::Dialling { address, answer } = &mut task.state {
            if self.link.is_aborted(stream) {
                self.input(|link| link.handle_endpoint_gone(now, stream));
                return false;
            }
            let Some((_, dialled)) = answer.take_if(|(at, _)| *at <= now) else {
                return true;
            };
            let connected = dialled.is_ok();
            let dialled = dialled.map(|()| address.parse().ok());
            let wanted = self.input(|link| link.handle_dialled(now, stream, dialled));
            if !(connected && wanted) {
                self.input(|link| link.handle_endpoint_gone(now, stream));
                return false;
            }
            task.state = TaskState::Connected(Connected {
                endpoint: endpoints.connect(address),
                chunk: Bytes::new(),
                reading: true,
                writing: true,
                closing: false,
            });
        }
        let TaskState::Connected(connected) = &mut task.state else {
            return true;
        };
        let end = loop {
            match self.write(now, stream, connected, &mut task.interest, endpoints) {
                Step::Moved => continue,
                Step::Ended(end) => break end,
                Step::Waiting => {}
            }
            match self.read(now, stream, connected, &mut task.interest, endpoints) {
                Step::Moved => {}
                Step::Ended(end) => break end,
                Step::Waiting => return true,
            }
        };
        let endpoint = endpoints.get(connected.endpoint);
        match end {
            TaskEnd::Closed => endpoint.inbox.finish(now),
            TaskEnd::Aborted => endpoint.inbox.reset(now),
        }
        endpoint.outbox.break_off();
        self.input(|link| link.handle_endpoint_gone(now, stream));
        false
    }

    fn write(
        &mut self,
        now: Instant,
        stream: StreamId,
        task: &mut Connected,
        interest: &mut Interest,
        endpoints: &mut Endpoints,
    ) -> Step {
        if task.chunk.is_empty() && !task.closing {
            match self.input(|link| link.poll_endpoint(now, stream)) {
                Some(EndpointOutput::Write(data)) if task.writing => task.chunk = data,
                Some(EndpointOutput::Write(_)) => return Step::Moved,
                Some(EndpointOutput::Shutdown) => {
                    endpoints.get(task.endpoint).inbox.finish(now);
                    return Step::Moved;
                }
                Some(EndpointOutput::Close) => task.closing = true,
                Some(EndpointOutput::Abort) | None => {}
            }
        }
        if task.chunk.is_empty() && task.closing {
            return Step::Ended(TaskEnd::Closed);
        }
        if self.link.is_aborted(stream) {
            return Step::Ended(TaskEnd::Aborted);
        }
        if task.chunk.is_empty() {
            return Step::Waiting;
        }
        let inbox = &mut endpoints.get(task.endpoint).inbox;
        if inbox.is_broken() {
            task.chunk.clear();
            task.writing = false;
            let error = "write: broken pipe".to_owned();
            self.input(|link| link.handle_endpoint_write_failed(now, stream, error));
            return Step::Moved;
        }
        let length = task.chunk.len().min(inbox.room());
        if length == 0 {
            interest.writing = true;
            return Step::Waiting;
        }
        inbox.write(now, task.chunk.copy_to_bytes(length));
        Step::Moved
    }

    fn read(
        &mut self,
        now: Instant,
        stream: StreamId,
        task: &mut Connected,
        interest: &mut Interest,
        endpoints: &mut Endpoints,
    ) -> Step {
        if !task.reading || !self.link.wants_endpoint_data(stream) {
            return Step::Waiting;
        }
        let outbox = &mut endpoints.get(task.endpoint).outbox;
        let end = match outbox.read(now, READ_BYTES) {
            Some(Piece::Data(data)) => {
                self.input(|link| link.handle_endpoint_data(stream, data));
                return Step::Moved;
            }
            Some(Piece::End(end)) => end,
            None => {
                interest.reading = true;
                return Step::Waiting;
            }
        };
        task.reading = false;
        let end = match end {
            PipeEnd::Finished => Ok(()),
            PipeEnd::Reset => Err("read: connection reset by peer".to_owned()),
        };
        self.input(|link| link.handle_endpoint_end(now, stream, end));
        Step::Moved
    }

    /// The deadlines of dials under way.
    pub(crate) fn next_answer(&self) -> Option<Instant> {
        self.tasks
            .values()
            .filter_map(|task| match &task.state {
                TaskState::Dialling { answer, .. } => answer.as_ref().map(|(at, _)| *at),
                TaskState::Connected(_) => None,
            })
            .min()
    }
}

enum Step {
    Moved,
    Waiting,
    Ended(TaskEnd),
}

/// What a task reads of a socket at a time.
const READ_BYTES: usize = 16 * 1024;

impl EndpointTask {
    fn is_due(&self, now: Instant, endpoints: &mut Endpoints) -> bool {
        if self.interest.woken {
            return true;
        }
        match &self.state {
            TaskState::Dialling { answer, .. } => answer.as_ref().is_some_and(|(at, _)| *at <= now),
            TaskState::Connected(connected) => {
                let endpoint = endpoints.get(connected.endpoint);
                self.interest.reading && endpoint.outbox.readable(now)
                    || self.interest.writing && endpoint.inbox.room() > 0
            }
        }
    }
}
