//! What a triad is made of.

use dialback_core::server::{LinkConfig, ProxyStreamConfig};
use dialback_core::{MuxConfig, agent};

use crate::pipe::PipeConfig;
use crate::triad::Triad;

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
    /// Both ends agree on `reset/1`.
    pub reset: bool,
    /// Both ends agree on `resume/1`.
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
            half_close: true,
            reset: true,
            resume: true,
            ..Self::default()
        }
    }

    /// Both ends that differ from the defaults in the same way.
    #[must_use]
    pub fn with_mux(mut self, mux: &MuxConfig) -> Self {
        self.server.mux = mux.clone();
        self.agent.mux = mux.clone();
        self
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
