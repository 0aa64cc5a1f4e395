//! A frontend's dials, and what it says on their streams.

use std::net::IpAddr;
use std::time::Duration;

use dialback_runtime::connectivity::{DialbackStream, Dialer};
use dialback_simulation::{Host, Simulation};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::ledger::{Ledger, Message};
use super::model::FrontendFacts;

/// More than an agent that is cut off takes to be there again, or to be given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A stream that has carried something.
pub(super) struct Stream {
    pub(super) frontend: usize,
    pub(super) endpoint: usize,
    /// Where it is dialled from, seen at the endpoint.
    pub(super) agent: IpAddr,
    pub(super) stream: DialbackStream<Host>,
}

/// A dial, and the first message.
pub(super) struct Dial {
    pub(super) frontend: usize,
    pub(super) endpoint: usize,
    /// The address is written as usual.
    pub(super) is_plain: bool,
    pub(super) address: String,
    pub(super) dialer: Dialer<Host>,
    pub(super) talk: Talk,
}

/// The dial was not answered, or was denied.
#[derive(Debug)]
pub(super) struct NotDialled;

impl Dial {
    /// The stream, or `None` if it ended before it carried anything.
    pub(super) async fn run(self) -> Result<Option<Stream>, NotDialled> {
        let dialled = self.dialer.dial(&self.address).await;
        let mut stream = dialled.map_err(|_| NotDialled)?;
        let agent = self.talk.exchange(&mut stream).await;
        Ok(agent.map(|agent| Stream {
            frontend: self.frontend,
            endpoint: self.endpoint,
            agent,
            stream,
        }))
    }
}

/// What a frontend says on its streams.
pub(super) struct Talk {
    pub(super) simulation: Simulation,
    pub(super) ledger: Ledger,
    pub(super) frontend: FrontendFacts,
}

impl Talk {
    /// A message there and back, by which agent; `None` if the stream has ended.
    pub(super) async fn exchange(&self, stream: &mut DialbackStream<Host>) -> Option<IpAddr> {
        let message = self.ledger.message(self.frontend);
        let exchange = async {
            stream.write_all(&message).await?;
            stream.flush().await?;
            let mut back = Message::default();
            stream.read_exact(&mut back).await?;
            std::io::Result::Ok(back)
        };
        let within = self.simulation.within(PATIENCE, exchange).await;
        let back = within.expect("an answer or an end").ok()?;
        assert_eq!(back, message, "somebody else's message");
        Some(self.ledger.returned(message))
    }
}
