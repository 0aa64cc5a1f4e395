//! Who sent what, and where it arrived: seen at both ends, whatever the server believes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dialback_runtime::{Listener as _, PeerAddr, Runtime as _};
use dialback_simulation::{Host, Simulation};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::model::{AgentFacts, FrontendFacts, Model};

/// How long after a change of the policy something may arrive that had passed the server before: from there to the
/// agent, and on to the endpoint.
const FLIGHT: Duration = Duration::from_millis(20);

/// The bytes of a message: its number.
pub(super) type Message = [u8; 4];

/// Clones are the same ledger.
#[derive(Clone)]
pub(super) struct Ledger {
    simulation: Simulation,
    entries: Arc<Mutex<Entries>>,
}

#[derive(Default)]
struct Entries {
    model: Model,
    /// When it was put in force.
    changed: Duration,
    agents: BTreeMap<IpAddr, AgentFacts>,
    sent: Vec<Sent>,
}

struct Sent {
    frontend: FrontendFacts,
    /// The policy in force when it was sent.
    model: Model,
    arrived: Option<Arrived>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Arrived {
    endpoint: usize,
    agent: IpAddr,
}

impl Ledger {
    pub(super) fn new(simulation: &Simulation) -> Self {
        Self {
            simulation: simulation.clone(),
            entries: Arc::default(),
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an agent, by where it connects from.
    pub(super) fn agent(&self, from: IpAddr, facts: AgentFacts) {
        self.entries().agents.insert(from, facts);
    }

    /// Notes that the policy is another one from now on.
    pub(super) fn changed(&self, model: Model) {
        let mut entries = self.entries();
        entries.model = model;
        entries.changed = self.simulation.elapsed();
    }

    /// A message that a frontend is about to send.
    pub(super) fn message(&self, frontend: FrontendFacts) -> Message {
        let mut entries = self.entries();
        let number = u32::try_from(entries.sent.len()).unwrap();
        let model = entries.model;
        entries.sent.push(Sent {
            frontend,
            model,
            arrived: None,
        });
        number.to_be_bytes()
    }

    /// The agent that a message came by; it has come back to the frontend.
    pub(super) fn returned(&self, message: Message) -> IpAddr {
        let number = u32::from_be_bytes(message) as usize;
        let arrived = self.entries().sent[number].arrived.unwrap();
        self.may_pass(number, arrived);
        arrived.agent
    }

    /// Looks at a message where it arrived.
    fn arrived(&self, message: Message, arrived: Arrived) {
        let number = u32::from_be_bytes(message) as usize;
        let before = {
            let mut entries = self.entries();
            entries.sent[number].arrived.replace(arrived)
        };
        assert_eq!(before, None, "message {number} has arrived twice");
        self.may_pass(number, arrived);
    }

    /// The policy allows it now, or has until a moment ago; and it did when the message was sent.
    fn may_pass(&self, number: usize, arrived: Arrived) {
        let entries = self.entries();
        let Sent {
            frontend, model, ..
        } = &entries.sent[number];
        let agent = &entries.agents[&arrived.agent];
        let allows = |model: &Model| {
            model.joins(*frontend, agent) && model.allows(*frontend, arrived.endpoint)
        };
        assert!(
            allows(model),
            "message {number} of {frontend:?} went by {agent:?} to {arrived:?}, against {model:?}"
        );
        let since = self.simulation.elapsed() - entries.changed;
        let now = &entries.model;
        assert!(
            allows(now) || since <= FLIGHT,
            "message {number} of {frontend:?} went by {agent:?} to {arrived:?}, {since:?} after {now:?}"
        );
    }

    /// Serves an endpoint that notes each message and sends it back.
    pub(super) fn serve(&self, host: &Host, port: u16, endpoint: usize) {
        let listener = host.listen_tcp(host.address(port)).unwrap();
        let (host, ledger) = (host.clone(), self.clone());
        host.clone().spawn(async move {
            while let Ok((mut socket, peer)) = listener.accept().await {
                let PeerAddr::Tcp(peer) = peer else {
                    panic!("a simulated agent comes over TCP");
                };
                let ledger = ledger.clone();
                host.spawn(async move {
                    let mut message = Message::default();
                    while socket.read_exact(&mut message).await.is_ok() {
                        let agent = peer.ip();
                        ledger.arrived(message, Arrived { endpoint, agent });
                        if socket.write_all(&message).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
    }
}
