//! What can happen in a scenario, and how bytes become it.

use std::time::Duration;

use dialback_core::server::ProxyStreamConfig;
use dialback_core::{MemoryBudget, MuxConfig, SessionConfig};

use crate::endpoint::DialOutcome;
use crate::pipe::PipeConfig;
use crate::resumption::Reconnect;
use crate::setup::Setup;
use crate::transport::Cut;

/// Operations of one scenario; the bytes behind them are not looked at.
const MAX_OPERATIONS: usize = 256;

/// One thing that happens. Connections, tunnels and frontends are chosen modulo how many there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A frontend comes and dials.
    Dial {
        /// By HTTP-CONNECT, else by gRPC.
        connect: bool,
        /// What the endpoint does with it.
        endpoint: DialOutcome,
        /// Bytes the endpoint sends at once.
        greeting_bytes: usize,
    },
    /// The gRPC frontend of a connection dials once more on its stream.
    DialAgain(u8),
    /// The client of a connection writes.
    ClientWrites(u8, usize),
    /// The endpoint of a connection writes.
    EndpointWrites(u8, usize),
    /// The client closes in order.
    ClientCloses(u8),
    /// The client gives the dial up, or ends its Proxy stream; by CONNECT it closes.
    ClientGivesUp(u8),
    /// The client resets.
    ClientResets(u8),
    /// The endpoint ends its side in order.
    EndpointCloses(u8),
    /// The endpoint resets.
    EndpointResets(u8),
    /// The client starts or stops reading.
    ClientReads(u8, bool),
    /// The endpoint starts or stops reading.
    EndpointReads(u8, bool),
    /// A gRPC client sends packets for a connection id that may be anyone's.
    ClientTampers(u8, i64),
    /// One more agent connects, under the id of the others.
    AgentConnects,
    /// An agent announces its end.
    AgentDrains(u8),
    /// A tunnel is lost; the agent notices later.
    TunnelLost(u8, Duration),
    /// The connection under a tunnel goes.
    TunnelCut(u8, Cut),
    /// From now on an agent reconnects in another way.
    Reconnects(u8, Reconnect),
    /// An offer to resume comes late, when nobody waits for the answer.
    OfferInVain(u8, Duration),
    /// An agent's process is restarted.
    AgentRestarts(u8),
    /// The server forgets a tunnel's session.
    SessionForgotten(u8),
    /// Nothing arrives on a tunnel for a while, in one direction.
    TunnelStalls {
        /// Which tunnel.
        tunnel: u8,
        /// From the server to the agent.
        down: bool,
        /// Begins or ends.
        stalled: bool,
    },
    /// Time passes.
    Wait(Duration),
}

/// The least that a socket takes; a gRPC stream takes one message at least.
pub(super) const SOCKET_ROOM_BYTES: usize = 700;

/// Reads bytes; zeros behind the last.
#[derive(Debug)]
pub(super) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    fn choice<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::from(self.byte()) % choices.len()]
    }

    /// Small numbers often, large ones too.
    fn size(&mut self) -> usize {
        let scale = self.choice(&[1, 20, 100, 400]);
        usize::from(self.byte()) * scale
    }

    pub(super) fn setup(&mut self) -> Setup {
        let mux = MuxConfig {
            send_buffer_bytes: self.choice(&[1, 1000, 16_000, 256 * 1024]),
            receive_buffer_bytes: self.choice(&[1000, 6000, 4 * 1024 * 1024]),
            receive_window_bytes: self.choice(&[100, 900, 30_000, 1024 * 1024]),
            max_data_bytes: self.choice(&[64 * 1024, 100, 5000]),
            max_streams: self.choice(&[1000, 3, 6]),
            max_unknown_replies: self.choice(&[1024, 64]),
            max_receive_window_bytes: self.choice(&[8 * 1024 * 1024, 100, 40_000]),
            memory: MemoryBudget::new(self.choice(&[usize::MAX / 4, 1, 20_000, 300_000])),
            ..MuxConfig::default()
        };
        let extensions = self.byte();
        let flow_control = extensions & 1 == 1;
        let mut setup = Setup {
            flow_control,
            dialled_address: extensions & 32 != 0,
            drain: extensions & 16 != 0,
            half_close: extensions & 2 != 0,
            reset: extensions & 4 != 0,
            resume: flow_control && extensions & 8 != 0,
            proxy_stream: ProxyStreamConfig {
                first_data_hold: Duration::from_millis(self.choice(&[10, 0])),
                ..ProxyStreamConfig::default()
            },
            tunnel: self.pipe(1),
            frontend: self.pipe(SOCKET_ROOM_BYTES),
            ..Setup::default()
        }
        .with_mux(&mux)
        .with_session(&self.session());
        setup.server.dial_timeout = self.flag().then_some(Duration::from_secs(3));
        setup
    }

    pub(super) fn pipe(&mut self, least_room_bytes: usize) -> PipeConfig {
        PipeConfig {
            delay: Duration::from_millis(self.choice(&[0, 1, 25])),
            bytes_per_second: self.choice(&[None, None, Some(1_000_000), Some(20_000)]),
            room_bytes: self.choice(&[64 * 1024, least_room_bytes, 3000]),
            cuts: match self.byte() % 4 {
                0 => Vec::new(),
                count => (0..count)
                    .map(|_| usize::from(self.byte()) * 8 + 1)
                    .collect(),
            },
        }
    }

    pub(super) fn operations(&mut self) -> Vec<Operation> {
        let mut operations = Vec::new();
        while !self.0.is_empty() && operations.len() < MAX_OPERATIONS {
            operations.push(self.operation());
        }
        operations
    }

    fn operation(&mut self) -> Operation {
        let (kind, which) = (self.byte() % 50, self.byte());
        match kind {
            0..=4 => Operation::Dial {
                connect: which & 1 == 1,
                endpoint: self.dial_outcome(),
                greeting_bytes: self.size(),
            },
            5 => Operation::DialAgain(which),
            6..=11 => Operation::ClientWrites(which, self.size()),
            12..=17 => Operation::EndpointWrites(which, self.size()),
            18 | 19 => Operation::ClientCloses(which),
            20 => Operation::ClientGivesUp(which),
            21 => Operation::ClientResets(which),
            22 | 23 => Operation::EndpointCloses(which),
            24 => Operation::EndpointResets(which),
            25 | 26 => Operation::ClientReads(which, self.flag()),
            27 | 28 => Operation::EndpointReads(which, self.flag()),
            29 => Operation::ClientTampers(which, i64::from(self.byte() % 6)),
            30 => Operation::AgentConnects,
            31 => match self.byte() % 3 {
                0 => Operation::AgentDrains(which),
                1 => Operation::TunnelLost(which, Duration::ZERO),
                _ => Operation::TunnelLost(which, Duration::from_secs(5)),
            },
            32 => Operation::TunnelStalls {
                tunnel: which,
                down: self.flag(),
                stalled: self.flag(),
            },
            40..=43 => Operation::TunnelCut(which, self.cut()),
            44 | 45 => Operation::Reconnects(which, self.reconnect()),
            46 | 47 => Operation::OfferInVain(which, self.moment()),
            48 => Operation::AgentRestarts(which),
            49 => Operation::SessionForgotten(which),
            _ => Operation::Wait(Duration::from_millis(
                self.choice(&[0, 1, 10, 100, 1000, 9_999, 10_000, 29_999, 60_000]),
            )),
        }
    }

    fn cut(&mut self) -> Cut {
        Cut {
            kept_down: self.size(),
            kept_up: self.size(),
            server_notices: self.notice(),
            agent_notices: self.notice(),
        }
    }

    fn notice(&mut self) -> Option<Duration> {
        let moments = [
            Some(0),
            Some(0),
            Some(1),
            Some(10),
            Some(1000),
            Some(20_000),
            None,
        ];
        self.choice(&moments).map(Duration::from_millis)
    }

    fn reconnect(&mut self) -> Reconnect {
        Reconnect {
            after: self
                .choice(&[Some(0), Some(1), Some(100), Some(5000), None])
                .map(Duration::from_millis),
            offer_takes: self.moment(),
            patience: Duration::from_millis(self.choice(&[5000, 1000, 60])),
        }
    }

    fn moment(&mut self) -> Duration {
        Duration::from_millis(self.choice(&[0, 1, 10, 50, 100, 999, 1000, 6000]))
    }

    fn session(&mut self) -> SessionConfig {
        SessionConfig {
            timeout: Duration::from_secs(self.choice(&[30, 3])),
            retained_bytes: self.choice(&[16 * 1024 * 1024, 400, 3000, 100_000]),
            acknowledge_bytes: self.choice(&[256 * 1024, 1, 10_000]),
            acknowledge_packets: self.choice(&[256, 1, 3]),
            acknowledge_delay: Duration::from_millis(self.choice(&[100, 1, 20])),
            ..SessionConfig::default()
        }
    }

    fn dial_outcome(&mut self) -> DialOutcome {
        match self.byte() % 12 {
            0 => DialOutcome::Refuse("connection refused".to_owned()),
            1 => DialOutcome::Ignore,
            2 => DialOutcome::AcceptAfter(Duration::from_millis(20)),
            3 => DialOutcome::AcceptAfter(Duration::from_secs(40)),
            _ => DialOutcome::Accept,
        }
    }
}
