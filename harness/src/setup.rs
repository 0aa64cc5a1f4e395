//! What a triad is made of.

use dialback_core::server::{LinkConfig, ProxyStreamConfig};
use dialback_core::{MemoryBudget, MuxConfig, PacketKind, SessionConfig, agent};

use crate::pipe::PipeConfig;
use crate::triad::Triad;

/// The extensions that two peers agreed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Agreed {
    pub(crate) flow_control: bool,
    pub(crate) half_close: bool,
    pub(crate) reset: bool,
    pub(crate) resume: bool,
}

impl Agreed {
    /// Whether a packet of this kind may be sent; plain Konnectivity knows those up to DRAIN.
    pub(crate) const fn allows(self, kind: PacketKind) -> bool {
        match kind {
            PacketKind::DialRequest
            | PacketKind::DialResponse
            | PacketKind::CloseRequest
            | PacketKind::CloseResponse
            | PacketKind::Data
            | PacketKind::CloseDial
            | PacketKind::Drain => true,
            PacketKind::WindowUpdate => self.flow_control,
            PacketKind::CloseWrite => self.half_close,
            PacketKind::Ack => self.resume,
            PacketKind::Reset => self.reset,
        }
    }
}

/// The bounds and wires of a triad; its agents connect later.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// Of every link at the server.
    pub server: LinkConfig,
    /// Of every link at an agent.
    pub agent: agent::LinkConfig,
    /// Of every Proxy stream.
    pub proxy_stream: ProxyStreamConfig,
    /// Both ends agree on `flow-control/1`; else each takes the other for plain Konnectivity.
    pub flow_control: bool,
    /// Both ends agree on `half-close/1`, and CONNECT frontends use it.
    pub half_close: bool,
    /// Both ends agree on `dialled-address/1`.
    pub dialled_address: bool,
    /// Both ends agree on `drain/1`.
    pub drain: bool,
    /// Both ends agree on `reset/1`.
    pub reset: bool,
    /// Both ends agree on `resume/1`, which stands on flow control.
    pub resume: bool,
    /// Of every tunnel, each way.
    pub tunnel: PipeConfig,
    /// Of every frontend, each way.
    pub frontend: PipeConfig,
}

impl Setup {
    /// The defaults with flow control.
    #[must_use]
    pub fn flow_controlled() -> Self {
        Self {
            flow_control: true,
            ..Self::default()
        }
    }

    /// The defaults with every extension.
    #[must_use]
    pub fn extended() -> Self {
        Self {
            flow_control: true,
            dialled_address: true,
            drain: true,
            half_close: true,
            reset: true,
            resume: true,
            ..Self::default()
        }
    }

    /// Both ends that differ from the defaults in the same way, each with a memory budget of its own.
    #[must_use]
    pub fn with_mux(mut self, mux: &MuxConfig) -> Self {
        for own in [&mut self.server.mux, &mut self.agent.mux] {
            *own = mux.clone();
            // Each process has a budget of its own.
            own.memory = MemoryBudget::new(mux.memory.limit_bytes());
        }
        self
    }

    /// Both ends with the same bounds of their sessions.
    #[must_use]
    pub fn with_session(mut self, session: &SessionConfig) -> Self {
        self.server.session = session.clone();
        self.agent.session = session.clone();
        self
    }

    pub(crate) const fn agreed(&self) -> Agreed {
        Agreed {
            flow_control: self.flow_control,
            half_close: self.half_close,
            reset: self.reset,
            resume: self.resume,
        }
    }

    /// A triad without agents.
    #[must_use]
    pub fn start(self) -> Triad {
        Triad::new(self)
    }

    /// A triad with one agent.
    #[must_use]
    pub fn start_with_agent(self) -> Triad {
        let mut triad = self.start();
        triad.connect_agent("agent");
        triad
    }
}
