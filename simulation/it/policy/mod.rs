//! Any sequence of agents, dials, claims and changed policies: nobody is served by whom he may not be, nor where.

mod dial;
mod ledger;
mod model;

use std::net::IpAddr;
use std::time::Duration;

use dialback_runtime::connectivity::Dialer;
use dialback_simulation::cast::{
    AgentOptions, Job, Names, SERVER_NAME, ServerOptions, SimulatedAgent, SimulatedServer, Way,
    certified_dialer, dialer, start,
};
use dialback_simulation::{Host, Seeds, Simulation, Told, for_each_seed};
use fastrand::Rng;

use self::dial::{Dial, Stream, Talk};
use self::ledger::Ledger;
use self::model::{AgentFacts, ENDPOINTS, FrontendFacts, Model, ORGANIZATIONS};

const STEPS: usize = 40;
const FIRST_AGENTS: usize = 4;
const MOST_AGENTS: usize = 9;
/// Dials one after the other, and dials that are under way while the policy changes.
const DIALS: usize = 3;
const RACERS: usize = 4;
/// More than a round trip through everything.
const SETTLED: Duration = Duration::from_secs(1);
/// By then both ends of a tunnel know that its connection is gone, and have another one, or none.
const NOTICED: Duration = Duration::from_secs(120);
/// About as long as a dial with its first message takes, TLS included.
const RACE: Duration = Duration::from_millis(15);

struct Frontend {
    host: Host,
    facts: FrontendFacts,
    /// By [`Way::ALL`].
    dialers: [Dialer<Host>; 2],
}

struct Placed {
    agent: SimulatedAgent,
    facts: AgentFacts,
}

impl Placed {
    fn ip(&self) -> IpAddr {
        self.agent.host.address(0).ip()
    }
}

struct World<'a> {
    simulation: &'a Simulation,
    rng: Rng,
    model: Model,
    ledger: Ledger,
    server: SimulatedServer,
    frontends: Vec<Frontend>,
    endpoints: Vec<Host>,
    agents: Vec<Placed>,
    started_agents: usize,
    streams: Vec<Stream>,
}

impl World<'_> {
    fn add_agent(&mut self) {
        let number = self.started_agents;
        self.started_agents += 1;
        let organization = [None, Some("blue"), Some("red")][self.rng.usize(..3)];
        let mut id = format!("{}-{number}", organization.unwrap_or("nobody"));
        // Somebody else's.
        if !self.agents.is_empty() && self.rng.u8(..5) == 0 {
            let of = self.rng.usize(..self.agents.len());
            id.clone_from(&self.agents[of].facts.id);
        }
        let facts = AgentFacts {
            names: organization.map(|organization| Names {
                organization,
                name: "agent",
            }),
            id,
            claims: self.rng.bool(),
        };
        let claimed = self.endpoints[0].address(0).ip();
        let key = if claimed.is_ipv4() { "ipv4" } else { "ipv6" };
        let options = AgentOptions {
            names: facts.names,
            identifiers: if facts.claims {
                format!("{key}={claimed}")
            } else {
                String::new()
            },
            ..AgentOptions::default()
        };
        let host = self.simulation.host(&format!("agent-{number}"));
        self.ledger.agent(host.address(0).ip(), facts.clone());
        let agent = SimulatedAgent::start(&host, &facts.id, options);
        self.agents.push(Placed { agent, facts });
    }

    fn remove_agent(&mut self) {
        let gone = self.agents.swap_remove(self.rng.usize(..self.agents.len()));
        gone.agent.agent.stop();
        self.streams.retain(|stream| stream.agent != gone.ip());
    }

    fn change_policy(&mut self) {
        self.model = Model::random(&mut self.rng);
        let endpoints = [0, 1].map(|index| self.endpoints[index].address(0).ip());
        let policy = self.model.policy(endpoints);
        self.ledger.changed(self.model);
        self.server.server.set_policy(policy.into());
    }

    fn may_carry(&self, stream: &Stream) -> bool {
        let facts = self.frontends[stream.frontend].facts;
        let mut agents = self.agents.iter();
        let joined =
            agents.any(|agent| agent.ip() == stream.agent && self.model.joins(facts, &agent.facts));
        joined && self.model.allows(facts, stream.endpoint)
    }

    /// Somebody who dials somewhere, in either protocol, by one of the endpoint's addresses.
    fn dial(&mut self) -> Dial {
        let endpoint = self.rng.usize(..ENDPOINTS);
        let plain = self.endpoints[endpoint].address(7);
        let is_plain = !(plain.is_ipv4() && self.rng.u8(..4) == 0);
        let address = if is_plain {
            plain.to_string()
        } else {
            format!("[::ffff:{}]:7", plain.ip())
        };
        let frontend = self.rng.usize(..self.frontends.len());
        let who = &self.frontends[frontend];
        Dial {
            frontend,
            endpoint,
            is_plain,
            address,
            dialer: who.dialers[self.rng.usize(..Way::ALL.len())].clone(),
            talk: self.talk(who.facts),
        }
    }

    fn talk(&self, frontend: FrontendFacts) -> Talk {
        Talk {
            simulation: self.simulation.clone(),
            ledger: self.ledger.clone(),
            frontend,
        }
    }

    /// One dial while nothing else happens: it succeeds if, and only if, somebody may serve it.
    async fn dial_and_look(&mut self) {
        let dial = self.dial();
        let facts = self.frontends[dial.frontend].facts;
        let (endpoint, is_plain) = (dial.endpoint, dial.is_plain);
        let model = self.model;
        let candidates = || {
            let agents = self.agents.iter();
            agents.filter(|agent| model.joins(facts, &agent.facts))
        };
        let expected = model.allows(facts, endpoint) && candidates().next().is_some();
        let what = format!("{} by {facts:?}: {model:?}", dial.address);
        let Ok(dialled) = dial.run().await else {
            assert!(!expected, "nobody serves {what}");
            return;
        };
        assert!(expected, "somebody serves {what}");
        let stream = dialled.expect("a new stream that carries its message");
        let preferred = || candidates().filter(|agent| model.prefers(&agent.facts));
        if endpoint == 0 && is_plain && preferred().next().is_some() {
            let served = preferred().any(|agent| agent.ip() == stream.agent);
            assert!(served, "not by one of its own: {what}");
        }
        self.streams.push(stream);
    }

    /// The policy changes while all streams are in use, others begin, and perhaps an agent is cut off.
    async fn race(&mut self) {
        let begun = self.simulation.elapsed();
        let mut moment = || RACE.mul_f64(self.rng.f64());
        let change = moment();
        let pauses: Vec<_> = std::iter::repeat_with(&mut moment)
            .take(self.streams.len() + RACERS)
            .collect();
        let mut pauses = pauses.into_iter();
        let mut jobs: Vec<Job<Option<Stream>>> = Vec::new();
        for mut stream in std::mem::take(&mut self.streams) {
            let frontend = &self.frontends[stream.frontend];
            let (talk, pause) = (self.talk(frontend.facts), pauses.next().unwrap());
            jobs.push(start(&frontend.host, async move {
                talk.simulation.sleep(pause).await;
                let carried = talk.exchange(&mut stream.stream).await;
                carried.map(|agent| {
                    assert_eq!(agent, stream.agent, "a stream changes its agent");
                    stream
                })
            }));
        }
        let held = jobs.len();
        for pause in pauses {
            let dial = self.dial();
            let host = &self.frontends[dial.frontend].host;
            jobs.push(start(host, async move {
                dial.talk.simulation.sleep(pause).await;
                dial.run().await.ok().flatten()
            }));
        }
        self.simulation.sleep(change / 2).await;
        let mut noticed = Duration::ZERO;
        if !self.agents.is_empty() && self.rng.u8(..3) == 0 {
            let agent = &self.agents[self.rng.usize(..self.agents.len())].agent;
            let told = [Told::Both, Told::Neither][self.rng.usize(..2)];
            self.simulation.cut(&agent.host, &self.server.host, told);
            if told == Told::Neither {
                noticed = NOTICED;
            }
        }
        self.simulation.sleep(change / 2).await;
        self.change_policy();
        let mut ended = 0;
        for (number, job) in jobs.into_iter().enumerate() {
            match job.await.unwrap() {
                Some(stream) => self.streams.push(stream),
                None => ended += usize::from(number < held),
            }
        }
        self.simulation.sleep(noticed).await;
        self.simulation.note(format!(
            "the policy has changed after {change:?} from {begun:?}, {ended} of {held} streams are over"
        ));
    }

    /// What the policy denies carries nothing, and all else does.
    async fn check(&mut self) {
        let model = self.model;
        let (agents, server) = (&self.agents, &self.server.server);
        let settled = || {
            let mut admitted = agents.iter().filter(|agent| model.admits(&agent.facts));
            let connected = agents.iter().map(|placed| placed.agent.agent.connected());
            admitted.all(|placed| placed.agent.agent.connected() == 1)
                && server.tunnel_count() == connected.sum::<usize>()
        };
        let simulation = self.simulation;
        simulation
            .eventually("who may has connected", settled)
            .await;
        simulation.sleep(SETTLED).await;
        for mut stream in std::mem::take(&mut self.streams) {
            let talk = self.talk(self.frontends[stream.frontend].facts);
            let carried = talk.exchange(&mut stream.stream).await;
            let expected = self.may_carry(&stream).then_some(stream.agent);
            assert_eq!(carried, expected, "{model:?}");
            if carried.is_some() {
                self.streams.push(stream);
            }
        }
        // An agent that was cut off may not know for a while that the server has given its streams up.
        let (agents, streams) = (&self.agents, &self.streams);
        let agreed = || {
            agents.iter().all(|placed| {
                let known = streams.iter().filter(|stream| stream.agent == placed.ip());
                placed.agent.agent.stream_count() == known.count()
            })
        };
        simulation
            .eventually("agents hold the streams that carry, and no others", agreed)
            .await;
    }
}

fn frontends(simulation: &Simulation, server: &Host) -> Vec<Frontend> {
    let names = ORGANIZATIONS.into_iter().flat_map(|organization| {
        let names = |name| Names { organization, name };
        [Some(names("api")), Some(names("web"))]
    });
    [None]
        .into_iter()
        .chain(names)
        .enumerate()
        .map(|(number, facts)| {
            let host = simulation.host(&format!("frontend-{number}"));
            Frontend {
                dialers: Way::ALL.map(|way| match facts {
                    Some(names) => certified_dialer(&host, server, way, names),
                    None => dialer(&host, server, way),
                }),
                host,
                facts,
            }
        })
        .collect()
}

async fn scenario(simulation: &Simulation) {
    let host = simulation.host("server");
    simulation.set_name(SERVER_NAME, vec![host.address(0).ip()]);
    let mut options = ServerOptions {
        strategies: "destHost,default",
        certified_frontends: true,
        ..ServerOptions::default()
    };
    let mut rng = Rng::with_seed(simulation.seed());
    options.config.dial_hedging = rng.bool();
    let ledger = Ledger::new(simulation);
    let endpoints: Vec<_> = (0..ENDPOINTS)
        .map(|index| {
            let host = simulation.host(&format!("endpoint-{index}"));
            ledger.serve(&host, 7, index);
            host
        })
        .collect();
    let mut world = World {
        simulation,
        rng,
        model: Model::default(),
        ledger,
        server: SimulatedServer::start(&host, "server-1", options),
        frontends: frontends(simulation, &host),
        endpoints,
        agents: Vec::new(),
        started_agents: 0,
        streams: Vec::new(),
    };
    world.change_policy();
    for _ in 0..FIRST_AGENTS {
        world.add_agent();
    }
    world.check().await;
    for _ in 0..STEPS {
        match world.rng.u8(..12) {
            0..3 if world.agents.len() < MOST_AGENTS => world.add_agent(),
            3 if !world.agents.is_empty() => world.remove_agent(),
            4 | 5 => world.change_policy(),
            6 | 7 => world.race().await,
            _ => {
                for _ in 0..DIALS {
                    world.dial_and_look().await;
                }
            }
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

/// Other keys each time, and TLS with all of them.
#[test]
fn a_seed_gives_the_same_run_again() {
    for seed in 0..3 {
        let [first, second] = [0, 1].map(|_| Simulation::run(seed, scenario));
        assert_eq!(first.difference(&second), None, "seed {seed}");
    }
}
