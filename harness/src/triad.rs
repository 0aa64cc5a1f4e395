//! Frontends, the server, agents and endpoints under one clock.

use std::ops::{Index, IndexMut};
use std::time::{Duration, Instant};

use dialback_core::server::{DialError, LinkEvent, Router, Strategies, StreamRef};
use dialback_core::wire::{AgentMetadata, Identifiers};
use dialback_core::{LinkId, MuxConfig, Negotiated, Packet};

use crate::agent::AgentEnd;
use crate::endpoint::Endpoints;
use crate::frontend::{ConnectFrontend, Dialler, GrpcFrontend};
use crate::server::ServerEnd;
use crate::setup::Setup;
use crate::tunnel::{Tunnel, Tunnels};
use crate::wire::PacketWire;

/// Turns without an end at one moment, or moments without an end, that make a run a livelock.
const MAX_STEPS: usize = 1_000_000;

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
        let link = self.tunnels.add(Tunnel {
            server: ServerEnd::new(server.clone(), to_server, 1000),
            agent: AgentEnd::new(agent.clone(), to_agent),
            down: PacketWire::new(self.setup.tunnel.clone()),
            up: PacketWire::new(self.setup.tunnel.clone()),
            agent_notices: None,
        });
        self.router.agent_connected(link, &metadata);
        link
    }

    fn negotiated(&self, peer: &MuxConfig) -> Negotiated {
        let window = peer.receive_window_bytes;
        Negotiated {
            peer_window_bytes: self.setup.flow_control.then_some(window),
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
        let now = self.now;
        self.router.agent_disconnected(link);
        let tunnel = self.tunnels.get(link);
        if std::mem::replace(&mut tunnel.server.down, true) {
            return;
        }
        tunnel.up.lose(now);
        tunnel.down.lose(now);
        tunnel.server.input(|link| link.handle_down(now));
        tunnel.agent_notices = Some(now + agent_notices_after);
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

    /// Lets everything happen that will happen on its own, however long it takes.
    ///
    /// # Panics
    ///
    /// When it never ends, or a queue outgrows its bound.
    pub fn run_until_idle(&mut self) {
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
                    | LinkEvent::Suspended
                    | LinkEvent::Resumed
                    | LinkEvent::ResumptionConfirmed
                    | LinkEvent::Silent
                    | LinkEvent::Broken(_)
                    | LinkEvent::Down => {}
                }
            }
        }
        for link in retired {
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
            for queued in tunnel.server.link.queued_bytes() {
                let incoming = self.receive_bound(&server.mux, &tunnel.up);
                assert!(queued.incoming <= incoming, "{link}, server: {queued:?}");
                let outgoing = server.mux.send_buffer_bytes + largest_write;
                assert!(queued.outgoing <= outgoing, "{link}, server: {queued:?}");
            }
            for queued in tunnel.agent.link.queued_bytes() {
                let incoming = self.receive_bound(&agent.mux, &tunnel.down);
                assert!(queued.incoming <= incoming, "{link}, agent: {queued:?}");
                let outgoing = agent.mux.send_buffer_bytes + LARGEST_READ_BYTES;
                assert!(queued.outgoing <= outgoing, "{link}, agent: {queued:?}");
            }
        }
    }

    fn receive_bound(&self, mux: &MuxConfig, wire: &PacketWire) -> usize {
        if self.setup.flow_control {
            let largest = mux.receive_window_bytes.max(mux.max_receive_window_bytes);
            usize::try_from(largest).unwrap_or(usize::MAX)
        } else {
            mux.receive_buffer_bytes + wire.largest_data_bytes()
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
            assert!(server.link.is_empty(), "{link}: {:#?}", server.link);
            assert!(agent.link.is_empty(), "{link}: {:#?}", agent.link);
            assert_eq!(agent.task_count(), 0, "{link} has endpoint tasks left");
            for wire in [&tunnel.up, &tunnel.down] {
                assert_eq!(wire.pipe.unread_bytes(), 0, "{link} has unread bytes");
            }
        }
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
