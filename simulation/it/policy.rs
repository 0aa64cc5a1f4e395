//! Any sequence of agents, dials, claims and changed policies: nobody is served by whom he may not be, nor where.

use std::time::Duration;

use dialback_core::policy::Policy;
use dialback_runtime::connectivity::DialbackStream;
use dialback_simulation::cast::{
    AgentOptions, SERVER_NAME, ServerOptions, SimulatedAgent, SimulatedServer, Way, dialer,
};
use dialback_simulation::{Host, Seeds, Simulation, for_each_seed};
use fastrand::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::world::echo;

const STEPS: usize = 30;
const MOST_AGENTS: usize = 5;
const ENDPOINTS: usize = 2;
/// More than a round trip through everything.
const SETTLED: Duration = Duration::from_secs(1);

/// What the policy in force says, in the words of the test.
#[derive(Clone, Copy, Debug, Default)]
struct Model {
    denied: [bool; ENDPOINTS],
    /// Agents of this organisation belong to a tenant, and frontends don't.
    fenced: Option<&'static str>,
    /// Agents that claim something are refused.
    refuses_claims: bool,
    audits: bool,
}

impl Model {
    fn random(rng: &mut Rng) -> Self {
        Self {
            denied: [rng.bool(), rng.u8(..4) == 0],
            fenced: [None, Some("blue"), Some("red")][rng.usize(..3)],
            refuses_claims: rng.bool(),
            audits: rng.u8(..5) == 0,
        }
    }

    fn policy(&self, endpoints: &[Host]) -> Policy {
        use std::fmt::Write as _;
        let mode = if self.audits { "audit" } else { "enforce" };
        let mut text = format!("apiVersion: dialback/v1\nkind: Policy\nmode: {mode}\n");
        if let Some(organization) = self.fenced {
            let agents = format!("agents: [{{organization: {organization}}}]");
            writeln!(text, "tenants: [{{name: fenced, {agents}}}]").unwrap();
        }
        if self.refuses_claims {
            text.push_str("claims: [{name: nothing, otherwise: refuse}]\n");
        }
        text.push_str("rules:\n- {name: other, action: deny, to: [{ports: [9]}]}\n");
        for (index, endpoint) in endpoints.iter().enumerate() {
            if self.denied[index] {
                let to = format!("[{{cidr: {}}}]", endpoint.address(7).ip());
                writeln!(text, "- {{name: no-{index}, action: deny, to: {to}}}").unwrap();
            }
        }
        Policy::parse(&text).unwrap()
    }

    fn allows(&self, endpoint: usize) -> bool {
        self.audits || !self.denied[endpoint]
    }

    fn admits(&self, agent: &Placed) -> bool {
        self.audits || !(self.refuses_claims && agent.claims)
    }

    fn may_serve(&self, agent: &Placed) -> bool {
        let fenced = self.fenced.is_some() && self.fenced == agent.organization;
        self.audits || (self.admits(agent) && !fenced)
    }
}

struct Placed {
    agent: SimulatedAgent,
    organization: Option<&'static str>,
    claims: bool,
}

struct World<'a> {
    simulation: &'a Simulation,
    rng: Rng,
    model: Model,
    server: SimulatedServer,
    frontend: Host,
    endpoints: Vec<Host>,
    agents: Vec<Placed>,
    streams: Vec<(usize, DialbackStream<Host>)>,
}

impl World<'_> {
    fn add_agent(&mut self) {
        let id = format!("agent-{}", self.agents.len());
        let organization = [None, Some("blue"), Some("red")][self.rng.usize(..3)];
        let claims = self.rng.bool();
        let claimed = self.endpoints[0].address(7).ip();
        let key = if claimed.is_ipv4() { "ipv4" } else { "ipv6" };
        let options = AgentOptions {
            organization,
            identifiers: if claims {
                format!("{key}={claimed}")
            } else {
                String::new()
            },
            ..AgentOptions::default()
        };
        let agent = SimulatedAgent::start(&self.simulation.host(&id), &id, options);
        self.agents.push(Placed {
            agent,
            organization,
            claims,
        });
    }

    fn change_policy(&mut self) {
        self.model = Model::random(&mut self.rng);
        let policy = self.model.policy(&self.endpoints);
        self.server.server.set_policy(policy.into());
    }

    /// A byte there and back, or nothing of it.
    async fn carries(&self, stream: &mut DialbackStream<Host>) -> bool {
        let exchange = async {
            stream.write_all(b"x").await?;
            stream.flush().await?;
            let mut byte = [0];
            stream.read_exact(&mut byte).await
        };
        let within = self.simulation.within(10 * SETTLED, exchange).await;
        within.expect("an answer or an end").is_ok()
    }

    async fn dial(&mut self) {
        let endpoint = self.rng.usize(..ENDPOINTS);
        let mut address = self.endpoints[endpoint].address(7).to_string();
        if self.endpoints[endpoint].address(7).is_ipv4() && self.rng.bool() {
            let ip = self.endpoints[endpoint].address(7).ip();
            address = format!("[::ffff:{ip}]:7");
        }
        let way = Way::ALL[self.rng.usize(..2)];
        let dialler = dialer(&self.frontend, &self.server.host, way);
        let dialled = dialler.dial(&address).await;
        let served = self.agents.iter().any(|agent| self.model.may_serve(agent));
        let expected = served && self.model.allows(endpoint);
        assert_eq!(dialled.is_ok(), expected, "{address} {:?}", self.model);
        if let Ok(mut stream) = dialled {
            assert!(self.carries(&mut stream).await, "{:?}", self.model);
            self.streams.push((endpoint, stream));
        }
    }

    /// What the policy denies carries nothing, and all else does.
    async fn check(&mut self) {
        let model = self.model;
        let admitted = || {
            let mut agents = self.agents.iter();
            agents.all(|placed| !model.admits(placed) || placed.agent.agent.connected() == 1)
        };
        let simulation = self.simulation;
        simulation
            .eventually("who may has connected", admitted)
            .await;
        simulation.sleep(SETTLED).await;
        for (endpoint, mut stream) in std::mem::take(&mut self.streams) {
            if self.carries(&mut stream).await {
                assert!(model.allows(endpoint), "a byte to {endpoint}: {model:?}");
                self.streams.push((endpoint, stream));
            }
        }
        simulation.sleep(SETTLED).await;
        let mut carried = 0;
        for placed in &self.agents {
            let streams = placed.agent.agent.stream_count();
            assert!(streams == 0 || model.may_serve(placed), "{model:?}");
            carried += streams;
        }
        assert_eq!(carried, self.streams.len(), "{model:?}");
    }
}

async fn scenario(simulation: &Simulation) {
    let host = simulation.host("server");
    simulation.set_name(SERVER_NAME, vec![host.address(0).ip()]);
    let mut options = ServerOptions {
        strategies: "destHost,default",
        ..ServerOptions::default()
    };
    let mut rng = Rng::with_seed(simulation.seed());
    options.config.dial_hedging = rng.bool();
    let endpoints: Vec<_> = (0..ENDPOINTS)
        .map(|index| simulation.host(&format!("endpoint-{index}")))
        .collect();
    for endpoint in &endpoints {
        echo(endpoint, 7);
    }
    let server = SimulatedServer::start(&host, "server-1", options);
    let frontend = simulation.host("frontend");
    let mut world = World {
        simulation,
        rng,
        model: Model::default(),
        server,
        frontend,
        endpoints,
        agents: Vec::new(),
        streams: Vec::new(),
    };
    world.change_policy();
    for _ in 0..STEPS {
        match world.rng.u8(..8) {
            0 | 1 if world.agents.len() < MOST_AGENTS => world.add_agent(),
            2 | 3 => world.change_policy(),
            _ => world.dial().await,
        }
        world.check().await;
    }
    world.streams.clear();
    let server = &world.server.server;
    simulation
        .eventually("no streams are left", || server.stream_count() == 0)
        .await;
    for placed in &world.agents {
        placed.agent.agent.stop();
    }
}

#[test]
fn no_byte_crosses_tenants_or_reaches_what_is_denied() {
    let seeds = Seeds {
        fixed: 0..40,
        once_failed: &[],
        fresh: 5,
    };
    let test = "policy::no_byte_crosses_tenants_or_reaches_what_is_denied";
    for_each_seed(test, seeds, scenario);
}
