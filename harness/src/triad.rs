//! Frontends, the server, agents and endpoints under one clock.

use std::ops::{Index, IndexMut};
use std::time::{Duration, Instant};

use dialback_core::server::{
    DialError, LinkEvent, ResumeRefused, Router, Sessions, Strategies, StreamRef,
};
use dialback_core::wire::{AgentMetadata, Identifiers, ResumeOffer, SessionId, SessionToken};
use dialback_core::{CloseReason, LinkId, MuxConfig, Negotiated, Packet, SessionError};

use crate::agent::AgentEnd;
use crate::endpoint::Endpoints;
use crate::frontend::{ConnectFrontend, Dialler, GrpcFrontend};
use crate::resumption::{Answer, Resumption};
use crate::server::ServerEnd;
use crate::setup::Setup;
use crate::transport::Cut;
use crate::tunnel::{Tunnel, Tunnels};

/// Turns without an end at one moment, or moments without an end, that make a run a livelock.
const MAX_STEPS: usize = 1_000_000;

/// Sessions that the server keeps.
const MAX_SESSIONS: usize = 1000;
/// How long a run whose tunnels probe each other for ever goes on.
const QUIET_TIME: Duration = Duration::from_secs(1200);

/// Names a gRPC frontend of a triad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grpc(usize);

/// Names an HTTP-CONNECT frontend of a triad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connect(usize);

/// One server with everyone around it.
///
/// Nothing happens until one of the `run` methods is called; time passes only there.
#[derive(Debug)]
pub struct Triad {
    /// The services that agents dial.
    pub endpoints: Endpoints,
    setup: Setup,
    router: Router,
    sessions: Sessions,
    /// Stands for randomness: every token is another one.
    tokens: u128,
    routes: u64,
    tunnels: Tunnels,
    grpc: Vec<GrpcFrontend>,
    connect: Vec<ConnectFrontend>,
    epoch: Instant,
    now: Instant,
}

impl Triad {
    pub(crate) fn new(setup: Setup) -> Self {
        let epoch = Instant::now();
        let strategies: Strategies = "destHost,default"
            .parse()
            .expect("these are strategies of the reference");
        Self {
            endpoints: Endpoints::default(),
            setup,
            router: Router::new(strategies),
            sessions: Sessions::new(MAX_SESSIONS),
            tokens: 0,
            routes: 0,
            tunnels: Tunnels::default(),
            grpc: Vec::new(),
            connect: Vec::new(),
            epoch,
            now: epoch,
        }
    }

    // ---- agents ----

    /// An agent opens a Connect stream; several may share an id.
    pub fn connect_agent(&mut self, agent_id: &str) -> LinkId {
        self.connect_agent_for(agent_id, "")
    }

    /// As [`Triad::connect_agent`], with identifiers, such as `ipv4=10.0.0.1`.
    ///
    /// # Panics
    ///
    /// When the identifiers do not parse.
    pub fn connect_agent_for(&mut self, agent_id: &str, identifiers: &str) -> LinkId {
        let metadata = AgentMetadata {
            agent_id: agent_id.to_owned(),
            identifiers: Identifiers::parse(identifiers.as_bytes())
                .expect("a test's identifiers parse"),
        };
        let Setup { server, agent, .. } = &self.setup;
        let (to_server, to_agent) = (self.negotiated(&agent.mux), self.negotiated(&server.mux));
        let mut server = ServerEnd::new(server.clone(), to_server, 1000);
        let mut agent = AgentEnd::new(agent.clone(), to_agent);
        let now = self.now;
        server.input(|link| link.handle_established(now));
        agent.input(|link| link.handle_established(now));
        let (pipes, agreed) = (self.setup.tunnel.clone(), self.setup.agreed());
        let resumption = agreed.resume.then(|| {
            let token = self.next_token();
            // Ids differ as tokens do.
            Resumption::new(SessionId::new(self.tokens.to_be_bytes()), token)
        });
        let session = resumption.as_ref().map(|r| (r.id, r.token));
        let mut tunnel = Tunnel::new(server, agent, pipes, agreed, resumption);
        tunnel.agent_id = agent_id.to_owned();
        tunnel.identifiers = identifiers.to_owned();
        let link = self.tunnels.add(tunnel);
        if let Some((id, token)) = session {
            let identity = agent_id.as_bytes().to_vec();
            self.sessions.begin(link, identity, id, token);
        }
        self.router.agent_connected(link, &metadata);
        link
    }

    fn next_token(&mut self) -> SessionToken {
        self.tokens += 1;
        let mut token = [0; 32];
        token[..16].copy_from_slice(&self.tokens.to_be_bytes());
        SessionToken::new(token)
    }

    /// Every link there ever was, oldest first.
    #[must_use]
    pub fn links(&self) -> Vec<LinkId> {
        self.tunnels.iter().map(|(link, _)| link).collect()
    }

    fn negotiated(&self, peer: &MuxConfig) -> Negotiated {
        let window = peer.receive_window_bytes;
        Negotiated {
            peer_window_bytes: self.setup.flow_control.then_some(window),
            dialled_address: self.setup.dialled_address,
            drain: self.setup.drain,
            half_close: self.setup.half_close,
            reset: self.setup.reset,
            resume: self.setup.resume,
        }
    }

    /// The tunnel of a link, lost ones included.
    pub fn tunnel(&mut self, link: LinkId) -> &mut Tunnel {
        self.tunnels.get(link)
    }

    /// The one link there ever was.
    ///
    /// # Panics
    ///
    /// When there was none or more than one.
    #[must_use]
    pub fn only_link(&self) -> LinkId {
        let mut links = self.tunnels.iter().map(|(link, _)| link);
        match (links.next(), links.next()) {
            (Some(link), None) => link,
            (None, _) => panic!("no agent has connected"),
            (Some(_), Some(_)) => panic!("several agents have connected"),
        }
    }

    /// A packet from an agent that its link knows nothing of, delivered to the server at once.
    pub fn send_as_agent(&mut self, link: LinkId, packet: Packet) {
        let now = self.now;
        let server = &mut self.tunnels.get(link).server;
        server.input(|link| link.handle_packet(now, packet));
    }

    /// The agent announces its end.
    pub fn drain_agent(&mut self, link: LinkId) {
        self.tunnels.get(link).agent.input(|link| link.drain());
    }

    /// The connection under a tunnel is lost; both ends notice at once.
    pub fn lose_tunnel(&mut self, link: LinkId) {
        self.lose_tunnel_unevenly(link, Duration::ZERO);
    }

    /// The connection under a tunnel is lost; the agent notices some time after the server.
    pub fn lose_tunnel_unevenly(&mut self, link: LinkId, agent_notices_after: Duration) {
        let cut = Cut {
            agent_notices: Some(agent_notices_after),
            ..Cut::CLEAN
        };
        self.cut_tunnel(link, &cut);
    }

    /// The connection under a tunnel is lost, and any that the agent is about to replace it with.
    pub fn cut_tunnel(&mut self, link: LinkId, cut: &Cut) {
        self.tunnels.get(link).cut(self.now, cut);
    }

    /// An offer to resume, made now and on a connection of its own, comes to the server late, when nobody waits for
    /// the answer.
    pub fn offer_in_vain(&mut self, link: LinkId, late: Duration) {
        self.tunnels.get(link).offer(self.now, late, None);
    }

    /// The agent's process ends without a word, and another one takes its place.
    pub fn restart_agent(&mut self, link: LinkId) -> LinkId {
        let now = self.now;
        let tunnel = self.tunnels.get(link);
        tunnel.agent.input(|link| link.handle_down(now));
        self.reconnect_anew(link)
    }

    /// The server forgets a session, as one that was restarted has.
    pub fn forget_session(&mut self, link: LinkId) {
        let now = self.now;
        let server = &mut self.tunnels.get(link).server;
        server.input(|link| link.handle_ended(now, CloseReason::TunnelLost));
        self.heed_links();
    }

    fn reconnect_anew(&mut self, link: LinkId) -> LinkId {
        let tunnel = self.tunnels.get(link);
        let (agent_id, identifiers) = (tunnel.agent_id.clone(), tunnel.identifiers.clone());
        self.connect_agent_for(&agent_id, &identifiers)
    }

    // ---- frontends ----

    /// A gRPC client opens a Proxy stream.
    pub fn open_grpc(&mut self) -> Grpc {
        let config = self.setup.proxy_stream.clone();
        let frontend = GrpcFrontend::new(self.now, config, &self.setup.frontend);
        self.grpc.push(frontend);
        Grpc(self.grpc.len() - 1)
    }

    /// An HTTP-CONNECT client asks for a tunnel to `address`.
    pub fn open_connect(&mut self, address: &str) -> Connect {
        self.connect.push(ConnectFrontend::new(
            address,
            &self.setup.frontend,
            self.setup.half_close,
        ));
        Connect(self.connect.len() - 1)
    }

    /// A gRPC client resets its Proxy stream.
    pub fn reset_grpc(&mut self, frontend: Grpc) {
        let now = self.now;
        self[frontend].reset(now);
    }

    /// An HTTP-CONNECT client resets its connection.
    pub fn reset_connect(&mut self, frontend: Connect) {
        let now = self.now;
        self[frontend].reset(now);
    }

    /// The latest endpoint connection to `address` resets.
    pub fn reset_endpoint(&mut self, address: &str) {
        let now = self.now;
        self.endpoints.at(address).reset(now);
    }

    // ---- time ----

    /// Simulated time since the beginning.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.now - self.epoch
    }

    /// Lets everything happen that will happen on its own, however long it takes. Where tunnels can be resumed,
    /// their ends ask each other now and then for ever, so that is twenty minutes.
    ///
    /// # Panics
    ///
    /// When it never ends, or a queue outgrows its bound.
    pub fn run_until_idle(&mut self) {
        if self.setup.resume {
            return self.run_for(QUIET_TIME);
        }
        for _ in 0..MAX_STEPS {
            self.run_now();
            let Some(next) = self.next_event() else {
                return;
            };
            self.now = next;
        }
        panic!("not idle after {MAX_STEPS} moments");
    }

    /// Lets time pass, and what happens in it.
    ///
    /// # Panics
    ///
    /// As [`Triad::run_until_idle`].
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..MAX_STEPS {
            self.run_now();
            match self.next_event().filter(|at| *at <= end) {
                Some(next) => self.now = next,
                None if self.now < end => self.now = end,
                None => return,
            }
        }
        panic!("no end after {MAX_STEPS} moments");
    }

    /// Lets everything happen that needs no time.
    ///
    /// # Panics
    ///
    /// As [`Triad::run_until_idle`].
    pub fn run_now(&mut self) {
        for _ in 0..MAX_STEPS {
            let moved = self.turn();
            self.assert_bounded();
            if !moved {
                return;
            }
        }
        panic!("{MAX_STEPS} turns at one moment");
    }

    fn turn(&mut self) -> bool {
        let now = self.now;
        let mut moved = false;
        for (_, tunnel) in self.tunnels.iter_mut() {
            moved |= tunnel.run(now, &mut self.endpoints);
        }
        self.heed_links();
        moved |= self.answer_offers();
        self.heed_links();
        let mut dialler = RoutedDials {
            router: &self.router,
            routes: &mut self.routes,
            now,
        };
        for frontend in &mut self.grpc {
            moved |= frontend.run(now, &mut self.tunnels, &mut dialler);
        }
        for frontend in &mut self.connect {
            moved |= frontend.run(now, &mut self.tunnels, &mut dialler);
        }
        for endpoint in self.endpoints.iter_mut() {
            moved |= endpoint.run(now);
        }
        self.heed_links();
        moved
    }

    /// Answers the agents that would resume a session, and lets those connect anew that were refused.
    fn answer_offers(&mut self) -> bool {
        let now = self.now;
        let mut moved = false;
        for link in self.links() {
            let tunnel = self.tunnels.get(link);
            let arrived = tunnel.resumption.as_mut().and_then(|r| r.arrived(now));
            if let Some((transport, offer)) = arrived {
                let answer = self.resume(link, &offer);
                self.tunnels.get(link).answer(now, transport, answer);
                moved = true;
            }
            if std::mem::take(&mut self.tunnels.get(link).starts_anew) {
                self.reconnect_anew(link);
                moved = true;
            }
        }
        moved
    }

    fn resume(&mut self, from: LinkId, offer: &ResumeOffer) -> Answer {
        let now = self.now;
        let identity = self.tunnels.get(from).agent_id.clone();
        let link = self.sessions.check(offer, identity.as_bytes())?;
        let server = &mut self.tunnels.get(link).server;
        let received = server
            .input(|link| link.handle_resumed(now, offer.received))
            .map_err(|error| match error {
                SessionError::Count { .. } => ResumeRefused::WrongCount,
                SessionError::Ended => ResumeRefused::Unknown,
            })?;
        let fresh = self.next_token();
        let token = self.sessions.renew(offer, fresh);
        Ok((received, token))
    }

    /// Does what the links' events ask of the server.
    fn heed_links(&mut self) {
        let mut retired = Vec::new();
        for (link, tunnel) in self.tunnels.iter_mut() {
            for event in tunnel.server.take_events() {
                match event {
                    LinkEvent::Draining => self.router.agent_draining(link),
                    LinkEvent::Retired => retired.push(link),
                    LinkEvent::DialStarted
                    | LinkEvent::DialEnded
                    | LinkEvent::DialFailed(_)
                    | LinkEvent::Opened { .. }
                    | LinkEvent::Closed { .. }
                    | LinkEvent::Silent => {}
                    LinkEvent::Suspended => self.router.agent_suspended(link),
                    LinkEvent::Resumed => self.router.agent_resumed(link),
                    LinkEvent::ResumptionConfirmed { resumption } => {
                        self.sessions.confirm(link, resumption);
                    }
                    LinkEvent::Broken(error) => panic!("{link}: an honest agent, but {error}"),
                    LinkEvent::Down(_) => {
                        self.router.agent_disconnected(link);
                        self.sessions.end(link);
                    }
                }
            }
        }
        for link in retired {
            self.router.agent_disconnected(link);
            self.lose_tunnel(link);
        }
    }

    fn next_event(&self) -> Option<Instant> {
        let tunnels = self.tunnels.iter().map(|(_, tunnel)| tunnel);
        let next = tunnels
            .filter_map(|tunnel| tunnel.next_event(self.now))
            .chain(self.grpc.iter().filter_map(|f| f.next_event(self.now)))
            .chain(self.connect.iter().filter_map(|f| f.next_event(self.now)))
            .chain(
                self.endpoints
                    .iter()
                    .filter_map(|endpoint| endpoint.next_arrival(self.now)),
            )
            .min();
        assert!(
            next.is_none_or(|at| at > self.now),
            "a deadline that has passed is still asked for"
        );
        next
    }

    // ---- what must hold ----

    /// Every stream holds at most its bounds, and what one read or one packet adds to a queue just below.
    fn assert_bounded(&self) {
        let Setup { server, agent, .. } = &self.setup;
        let largest_write = self
            .grpc
            .iter()
            .map(|frontend| frontend.up.largest_data_bytes())
            .fold(LARGEST_READ_BYTES, usize::max);
        for (link, tunnel) in self.tunnels.iter() {
            for (retained, own) in [
                (
                    tunnel.server.link.retained_bytes(),
                    (&server.session, &server.mux),
                ),
                (
                    tunnel.agent.link.retained_bytes(),
                    (&agent.session, &agent.mux),
                ),
            ] {
                let (session, mux) = own;
                let bound = session.retained_bytes + mux.max_data_bytes + LARGEST_WORDS_BYTES;
                assert!(retained <= bound, "{link} retains {retained} bytes");
            }
            for queued in tunnel.server.link.queued_bytes() {
                let incoming = self.receive_bound(&server.mux);
                assert!(queued.incoming <= incoming, "{link}, server: {queued:?}");
                let outgoing = server.mux.send_buffer_bytes + largest_write;
                assert!(queued.outgoing <= outgoing, "{link}, server: {queued:?}");
            }
            for queued in tunnel.agent.link.queued_bytes() {
                let incoming = self.receive_bound(&agent.mux);
                assert!(queued.incoming <= incoming, "{link}, agent: {queued:?}");
                let outgoing = agent.mux.send_buffer_bytes + LARGEST_READ_BYTES;
                assert!(queued.outgoing <= outgoing, "{link}, agent: {queued:?}");
            }
        }
    }

    fn receive_bound(&self, mux: &MuxConfig) -> usize {
        if self.setup.flow_control {
            let largest = mux.receive_window_bytes.max(mux.max_receive_window_bytes);
            usize::try_from(largest).unwrap_or(usize::MAX)
        } else {
            mux.receive_buffer_bytes + mux.max_data_bytes
        }
    }

    /// Nothing is left anywhere: no stream, timer, task or queued byte.
    ///
    /// # Panics
    ///
    /// When something is.
    pub fn assert_nothing_left(&self) {
        for (link, tunnel) in self.tunnels.iter() {
            let (server, agent) = (&tunnel.server, &tunnel.agent);
            assert!(server.link.is_empty(), "{link}: {:#?}", tunnel);
            assert!(agent.link.is_empty(), "{link}: {:#?}", agent.link);
            assert_eq!(agent.task_count(), 0, "{link} has endpoint tasks left");
            for wire in tunnel.wires().filter(|_| !self.setup.resume) {
                assert_eq!(wire.pipe.unread_bytes(), 0, "{link} has unread bytes");
            }
        }
        let Setup { server, agent, .. } = &self.setup;
        let retained = |of: &dyn Fn(&Tunnel) -> usize| -> usize {
            self.tunnels.iter().map(|(_, tunnel)| of(tunnel)).sum()
        };
        let at_server = retained(&|tunnel| tunnel.server.link.retained_bytes());
        let at_agent = retained(&|tunnel| tunnel.agent.link.retained_bytes());
        assert_eq!(server.mux.memory.used_bytes(), at_server, "at the server");
        assert_eq!(agent.mux.memory.used_bytes(), at_agent, "at the agents");
        // All but a question whether the other end is there still.
        let tunnels = self.tunnels.iter().count();
        assert!(at_server + at_agent <= tunnels * 2 * 128);
        for (index, frontend) in self.grpc.iter().enumerate() {
            assert!(
                frontend.is_served(),
                "gRPC frontend {index}: {:#?}",
                frontend.proxy
            );
        }
        for (index, frontend) in self.connect.iter().enumerate() {
            assert!(frontend.is_served(), "CONNECT frontend {index} is open");
        }
    }
}

/// What a packet has beside its payload: its cost, an address or an error in words.
const LARGEST_WORDS_BYTES: usize = 1024;
/// What a socket gives at a time, at most.
const LARGEST_READ_BYTES: usize = 32 * 1024;

/// Dials through the server's router.
struct RoutedDials<'a> {
    router: &'a Router,
    routes: &'a mut u64,
    now: Instant,
}

impl Dialler for RoutedDials<'_> {
    fn dial(
        &mut self,
        tunnels: &mut Tunnels,
        protocol: String,
        address: String,
    ) -> Result<StreamRef, DialError> {
        *self.routes += 1;
        let link = self
            .router
            .route(&address, *self.routes)
            .ok_or(DialError::NoAgent)?;
        let server = &mut tunnels.get(link).server;
        let stream = server.input(|link| link.dial(self.now, protocol, address))?;
        Ok(StreamRef { link, stream })
    }
}

impl Index<Grpc> for Triad {
    type Output = GrpcFrontend;

    fn index(&self, frontend: Grpc) -> &GrpcFrontend {
        &self.grpc[frontend.0]
    }
}

impl IndexMut<Grpc> for Triad {
    fn index_mut(&mut self, frontend: Grpc) -> &mut GrpcFrontend {
        &mut self.grpc[frontend.0]
    }
}

impl Index<Connect> for Triad {
    type Output = ConnectFrontend;

    fn index(&self, frontend: Connect) -> &ConnectFrontend {
        &self.connect[frontend.0]
    }
}

impl IndexMut<Connect> for Triad {
    fn index_mut(&mut self, frontend: Connect) -> &mut ConnectFrontend {
        &mut self.connect[frontend.0]
    }
}
