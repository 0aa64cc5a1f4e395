//! A dial, from who asks for it to the stream on an agent's tunnel.

use std::sync::Arc;

use dialback_core::server::DialError;

use super::Server;
use super::frontend::{Frontend, FrontendStream};
use crate::metrics::Limit;
use crate::runtime::Runtime;

/// How many links a dial may meet that went down since they were chosen.
const ROUTE_TRIES: usize = 3;

/// What a frontend asks for.
#[derive(Clone, Debug)]
pub(super) struct DialRequest<'a> {
    /// Who asks.
    pub(super) frontend: &'a Arc<Frontend>,
    /// `tcp`, or whatever a gRPC frontend says.
    pub(super) protocol: String,
    /// `host:port`, as the frontend wrote it.
    pub(super) address: String,
}

impl<R: Runtime> Server<R> {
    /// Chooses an agent and starts a dial on its tunnel. What fails before that is counted and told here.
    pub(super) fn dial(&self, request: DialRequest<'_>) -> Result<FrontendStream<R>, DialError> {
        let result = self.start_dial(&request);
        if let Err(error) = &result {
            match error {
                DialError::TooManyStreams { .. } => {
                    self.metrics.limit_reached(Limit::StreamsPerAgent)
                }
                DialError::TooManyDials { .. } => self.metrics.limit_reached(Limit::PendingDials),
                DialError::NoAgent
                | DialError::SendTimedOut
                | DialError::TimedOut
                | DialError::AgentLost
                | DialError::Refused(_)
                | DialError::ClosedByAgent
                | DialError::InvalidAnswer
                | DialError::Denied { .. }
                | DialError::Throttled { .. } => {}
            }
            self.metrics.dial_failed(error.failure());
            let (peer, address) = (request.frontend.peer, &request.address);
            tracing::info!(%peer, frontend = %request.frontend.identity, address, %error, "dial failed");
        }
        result
    }

    fn start_dial(&self, request: &DialRequest<'_>) -> Result<FrontendStream<R>, DialError> {
        for _ in 0..ROUTE_TRIES {
            let chosen = {
                let agents = self.agents();
                let link = agents.router.route(&request.address, fastrand::u64(..));
                link.and_then(|link| agents.tunnels.get(&link).cloned())
            };
            let Some(agent) = chosen else { break };
            let (now, tunnel) = (self.runtime.now(), agent.tunnel);
            let (protocol, address) = (request.protocol.clone(), request.address.clone());
            match tunnel.with(|link| link.dial(now, protocol, address)) {
                Ok(stream) => {
                    tracing::debug!(
                        peer = %request.frontend.peer, frontend = %request.frontend.identity,
                        address = request.address, link = %tunnel.id(), %stream,
                        agent = %agent.identity, "dial given to an agent"
                    );
                    return Ok(FrontendStream::new(self, tunnel, stream));
                }
                Err(DialError::AgentLost) => self.disconnected(tunnel.id()),
                Err(error) => return Err(error),
            }
        }
        Err(DialError::NoAgent)
    }
}
