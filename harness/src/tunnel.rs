//! One agent's tunnel: both ends, the transport under them, and its successors.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dialback_core::server::{ResumeRefused, StreamRef};
use dialback_core::wire::ResumeOffer;
use dialback_core::{CloseReason, LinkId};

use crate::agent::AgentEnd;
use crate::endpoint::Endpoints;
use crate::pipe::PipeConfig;
use crate::resumption::{Answer, Attempt, Reconnect, Resumption};
use crate::server::ServerEnd;
use crate::setup::Agreed;
use crate::transport::{Cut, Transport, Turn, turn};
use crate::wire::PacketWire;

/// A link at either end, and the Connect streams that carry it one after the other.
#[derive(Debug)]
pub struct Tunnel {
    /// The server's end.
    pub server: ServerEnd,
    /// The agent's end.
    pub agent: AgentEnd,
    /// What the agent does when the transport is lost; only with `resume/1`.
    pub reconnect: Reconnect,
    /// Why offers to resume were refused.
    pub refused: Vec<ResumeRefused>,
    /// The session is lost: the agent begins another one.
    pub(crate) starts_anew: bool,
    pub(crate) resumption: Option<Resumption>,
    pub(crate) agent_id: String,
    pub(crate) identifiers: String,
    pipes: PipeConfig,
    agreed: Agreed,
    transports: BTreeMap<u64, Transport>,
    next_transport: u64,
    /// The one that the agent uses, or used last.
    current: u64,
    /// The one that the server uses; the two differ while a new one is being established.
    server_on: Option<u64>,
    agent_on: Option<u64>,
}

impl Tunnel {
    pub(crate) fn new(
        server: ServerEnd,
        agent: AgentEnd,
        pipes: PipeConfig,
        agreed: Agreed,
        resumption: Option<Resumption>,
    ) -> Self {
        let mut tunnel = Self {
            server,
            agent,
            reconnect: Reconnect::default(),
            refused: Vec::new(),
            starts_anew: false,
            resumption,
            agent_id: String::new(),
            identifiers: String::new(),
            pipes,
            agreed,
            transports: BTreeMap::new(),
            next_transport: 0,
            current: 0,
            server_on: Some(0),
            agent_on: Some(0),
        };
        tunnel.add_transport();
        tunnel
    }

    fn add_transport(&mut self) -> u64 {
        let id = self.next_transport;
        self.next_transport += 1;
        let transport = Transport::new(&self.pipes, self.agreed);
        self.transports.insert(id, transport);
        id
    }

    fn transport(&mut self, id: u64) -> &mut Transport {
        self.transports
            .get_mut(&id)
            .expect("a transport in use is in the table")
    }

    /// From the server to the agent, on the transport that the agent used last.
    pub fn down(&mut self) -> &mut PacketWire {
        &mut self.transport(self.current).down
    }

    /// From the agent to the server, on the transport that the agent used last.
    pub fn up(&mut self) -> &mut PacketWire {
        &mut self.transport(self.current).up
    }

    pub(crate) fn wires(&self) -> impl Iterator<Item = &PacketWire> {
        let transports = self.transports.values();
        transports.flat_map(|transport| [&transport.down, &transport.up])
    }

    /// Every transport of the tunnel is lost, those that are being established too.
    pub(crate) fn cut(&mut self, now: Instant, cut: &Cut) {
        for transport in self.transports.values_mut() {
            transport.cut(now, cut);
        }
        if let Some(resumption) = &mut self.resumption {
            resumption.cut();
        }
    }

    // ---- running ----

    /// Moves packets as far as both ends and both wires let them; true when something moved.
    pub(crate) fn run(&mut self, now: Instant, endpoints: &mut Endpoints) -> bool {
        let mut moved = self.expire(now);
        if let Some(transport) = self.server_on.and_then(|id| self.transports.get_mut(&id)) {
            let turned = turn(
                now,
                &mut self.server,
                &mut transport.up,
                &mut transport.down,
            );
            moved |= turned != Turn::Idle;
            self.server_on = self.server_on.filter(|_| turned != Turn::Left);
        }
        if let Some(transport) = self.agent_on.and_then(|id| self.transports.get_mut(&id)) {
            let turned = turn(now, &mut self.agent, &mut transport.down, &mut transport.up);
            moved |= turned != Turn::Idle;
            self.agent_on = self.agent_on.filter(|_| turned != Turn::Left);
        }
        moved |= self.reconnect(now);
        moved | self.agent.run(now, endpoints)
    }

    fn expire(&mut self, now: Instant) -> bool {
        let mut moved = false;
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if due(self.server.link.poll_timeout()) {
            self.server.input(|link| link.handle_timeout(now));
            moved = true;
        }
        if due(self.agent.link.poll_timeout()) {
            self.agent.input(|link| link.handle_timeout(now));
            moved = true;
        }
        moved
    }

    pub(crate) fn next_event(&self, now: Instant) -> Option<Instant> {
        let ends = [
            self.server.link.poll_timeout(),
            self.agent.link.poll_timeout(),
            self.agent.next_answer(),
            self.resumption.as_ref().and_then(Resumption::next_event),
        ];
        let used = self.server_on.into_iter().chain(self.agent_on);
        let arrivals = used.filter_map(|id| self.transports.get(&id)?.next_arrival(now));
        ends.into_iter().flatten().chain(arrivals).min()
    }

    // ---- another transport ----

    /// The agent's attempts to get another transport; true when something happened.
    fn reconnect(&mut self, now: Instant) -> bool {
        let suspended = self.agent.link.is_suspended();
        let Some(resumption) = &mut self.resumption else {
            return false;
        };
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let wanted = resumption.live().is_none() && suspended;
        match (wanted, resumption.attempt_at) {
            (true, None) => {
                resumption.attempt_at = self.reconnect.after.map(|after| now + after);
                resumption.attempt_at.is_some()
            }
            (true, at) if due(at) => {
                resumption.attempt_at = None;
                self.offer(
                    now,
                    self.reconnect.offer_takes,
                    Some(self.reconnect.patience),
                );
                true
            }
            (true, Some(_)) => false,
            (false, _) => {
                resumption.attempt_at = None;
                self.await_answer(now, suspended)
            }
        }
    }

    /// Offers a resumption on a new transport; without patience, one that nobody waits for.
    pub(crate) fn offer(&mut self, now: Instant, takes: Duration, patience: Option<Duration>) {
        let transport = self.add_transport();
        let arrives = now + self.pipes.delay + takes;
        let received = self.agent.link.received_packets();
        let Some(resumption) = &mut self.resumption else {
            return;
        };
        let offer = ResumeOffer {
            id: resumption.id,
            token: resumption.token,
            received,
        };
        resumption.attempts.push(Attempt {
            transport,
            offer: Some((arrives, offer)),
            answer: None,
            given_up_at: patience.map(|patience| now + patience),
        });
        if patience.is_none() {
            self.transport(transport).agent_leaves(now);
        }
    }

    fn await_answer(&mut self, now: Instant, suspended: bool) -> bool {
        let Some(attempt) = self.resumption.as_mut().and_then(Resumption::live) else {
            return false;
        };
        let id = attempt.transport;
        let answer = attempt.answer.take_if(|(at, _)| *at <= now);
        match answer {
            Some((_, answer)) if suspended => self.resumed(now, id, answer),
            None if suspended && attempt.given_up_at.is_some_and(|at| at > now) => return false,
            Some(_) | None => self.transport(id).agent_leaves(now),
        }
        let resumption = self.resumption.as_mut();
        if let Some(attempt) = resumption.and_then(Resumption::live) {
            attempt.given_up_at = None;
        }
        self.tidy();
        true
    }

    fn resumed(&mut self, now: Instant, transport: u64, answer: Answer) {
        match answer {
            Ok((received, token)) => {
                self.agent
                    .input(|link| link.handle_resumed(now, received))
                    .expect("an honest server's count fits");
                self.agent_on = Some(transport);
                self.current = transport;
                if let Some(resumption) = &mut self.resumption {
                    resumption.token = token;
                }
            }
            Err(refused) => {
                self.refused.push(refused);
                self.starts_anew = true;
                self.agent
                    .input(|link| link.handle_ended(now, CloseReason::SessionUnknown));
                self.transport(transport).agent_leaves(now);
            }
        }
    }

    /// Answers the offer that came on `transport`; with a good answer the server moves there.
    pub(crate) fn answer(&mut self, now: Instant, transport: u64, answer: Answer) {
        if answer.is_ok() {
            if let Some(old) = self.server_on.replace(transport) {
                self.transport(old).server_leaves(now);
            }
        } else {
            self.transport(transport).server_leaves(now);
        }
        let arrives = now + self.pipes.delay;
        let attempts = self.resumption.iter_mut().flat_map(|r| &mut r.attempts);
        for attempt in attempts {
            if attempt.transport == transport {
                attempt.answer = Some((arrives, answer));
            }
        }
        self.tidy();
    }

    /// Forgets attempts and transports that nobody uses.
    fn tidy(&mut self) {
        let Some(resumption) = &mut self.resumption else {
            return;
        };
        resumption.tidy();
        let used = [Some(self.current), self.server_on, self.agent_on];
        self.transports.retain(|id, _| {
            used.contains(&Some(*id)) || resumption.attempts.iter().any(|a| a.transport == *id)
        });
    }
}

/// All tunnels of the server, the lost ones too.
#[derive(Debug, Default)]
pub(crate) struct Tunnels(Vec<Tunnel>);

impl Tunnels {
    pub(crate) fn add(&mut self, tunnel: Tunnel) -> LinkId {
        self.0.push(tunnel);
        LinkId(self.0.len() as u64 - 1)
    }

    pub(crate) fn get(&mut self, link: LinkId) -> &mut Tunnel {
        &mut self.0[usize::try_from(link.0).expect("links are numbered from zero")]
    }

    /// The server's end of the tunnel that carries a stream.
    pub(crate) fn server(&mut self, at: StreamRef) -> &mut ServerEnd {
        &mut self.get(at.link).server
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (LinkId, &Tunnel)> {
        (0..).map(LinkId).zip(&self.0)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (LinkId, &mut Tunnel)> {
        (0..).map(LinkId).zip(&mut self.0)
    }
}
