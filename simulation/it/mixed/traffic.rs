//! Servers, agents and streams of a plan.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use dialback_core::SessionConfig;
use dialback_runtime::server::ServerConfig;
use dialback_simulation::cast::{
    AgentOptions, Job, SERVER_NAME, ServerOptions, SimulatedAgent, SimulatedServer, Way, dialer,
    start,
};
use dialback_simulation::{Host, Simulation};

use super::fault::Fault;
use super::plan::{Ending, Kind, Plan, StreamPlan};
use super::stream::{End, EndpointLog, Seen, endpoint, frontend};
use crate::world::{echo, exchange, nothing_left};

/// The port of the first stream's endpoint; the others follow.
const FIRST_PORT: u16 = 1000;
const ECHO_PORT: u16 = 7;
/// Longer than all faults of a plan together.
const LONG: Duration = Duration::from_secs(3600);

pub(super) struct Traffic<'a> {
    simulation: &'a Simulation,
    plan: &'a Plan,
    frontend: Host,
    endpoint: Host,
    servers: Vec<SimulatedServer>,
    agents: Vec<SimulatedAgent>,
    streams: Vec<(Job<Seen>, EndpointLog)>,
    /// What is still to come of faults, in order of its time.
    later: BTreeMap<(Duration, usize), Later>,
    /// Servers and agents that were started so far; each has an identity of its own.
    started: usize,
    killed: bool,
}

/// What follows a fault.
#[derive(Clone, Copy, Debug)]
enum Later {
    Heal(usize, usize),
    StartServer(usize),
    StartAgent(usize),
    StopAgent(usize),
    PowerOn(usize),
}

impl<'a> Traffic<'a> {
    /// Starts everybody, and the streams once every agent is connected to every server.
    pub(super) async fn start(simulation: &'a Simulation, plan: &'a Plan) -> Self {
        let balancer: SocketAddr = "10.255.0.1:8091".parse().unwrap();
        simulation.set_name(SERVER_NAME, vec![balancer.ip()]);
        let mut traffic = Self {
            simulation,
            plan,
            frontend: simulation.host("frontend"),
            endpoint: simulation.host("endpoint"),
            servers: Vec::new(),
            agents: Vec::new(),
            streams: Vec::new(),
            later: BTreeMap::new(),
            started: 0,
            killed: false,
        };
        for index in 0..plan.servers {
            let host = simulation.host(&format!("server-{index}"));
            let server = traffic.new_server(&host);
            traffic.servers.push(server);
        }
        let targets = traffic.servers.iter().map(SimulatedServer::agent_address);
        simulation.balance(balancer, targets.collect());
        for index in 0..plan.agents {
            let host = simulation.host(&format!("agent-{index}"));
            for server in &traffic.servers {
                simulation.set_path(&host, &server.host, plan.path);
            }
            let agent = traffic.new_agent(&host);
            traffic.agents.push(agent);
        }
        echo(&traffic.endpoint, ECHO_PORT);
        traffic.connected().await;
        for stream in &plan.streams {
            let stream = traffic.new_stream(stream);
            traffic.streams.push(stream);
        }
        if plan.kind == Kind::Resumed {
            simulation.sleep(Duration::from_secs(10)).await;
        }
        traffic
    }

    fn session(&self) -> SessionConfig {
        let mut session = SessionConfig::default();
        if self.plan.kind == Kind::Resumed {
            session.timeout = LONG;
        }
        session
    }

    fn new_server(&mut self, host: &Host) -> SimulatedServer {
        self.started += 1;
        let mut config = ServerConfig {
            server_count: i64::try_from(self.plan.servers).unwrap(),
            ..ServerConfig::default()
        };
        config.link.mux.receive_window_bytes = self.plan.window_bytes;
        config.link.session = self.session();
        if self.plan.kind == Kind::Resumed {
            config.link.mux.close_timeout = LONG;
        }
        let options = ServerOptions {
            config,
            ..ServerOptions::default()
        };
        SimulatedServer::start(host, &format!("server-{}", self.started), options)
    }

    fn new_agent(&mut self, host: &Host) -> SimulatedAgent {
        self.started += 1;
        let mut options = AgentOptions {
            plain: self.plan.plain,
            ..AgentOptions::default()
        };
        options.link.mux.receive_window_bytes = self.plan.window_bytes;
        options.link.session = self.session();
        if self.plan.kind == Kind::Resumed {
            options.link.mux.close_timeout = LONG;
        }
        SimulatedAgent::start(host, &format!("agent-{}", self.started), options)
    }

    fn new_stream(&self, plan: &StreamPlan) -> (Job<Seen>, EndpointLog) {
        let port = FIRST_PORT + u16::try_from(plan.index).unwrap();
        let log = endpoint(&self.endpoint, port, plan);
        let address = self.endpoint.address(port).to_string();
        let host = self.frontend.clone();
        let dialer = dialer(&host, &self.servers[plan.server].host, plan.way);
        let job = start(&host.clone(), frontend(host, dialer, address, plan.clone()));
        (job, log)
    }

    async fn connected(&self) {
        let connected = || {
            let mut agents = self.agents.iter();
            agents.all(|agent| agent.agent.connected() == self.servers.len())
        };
        let what = "every agent is connected to every server";
        self.simulation.eventually(what, connected).await;
    }

    /// Has something go wrong.
    pub(super) fn suffer(&mut self, fault: &Fault) {
        self.simulation.note(format!("{fault:?}"));
        self.killed |= fault.kills();
        let simulation = self.simulation;
        match *fault {
            Fault::TunnelCut(agent, server, told) => {
                let (agent, server) = (&self.agents[agent].host, &self.servers[server].host);
                simulation.cut(agent, server, told);
            }
            Fault::Parted(agent, server, time) => {
                simulation.partition(&self.agents[agent].host, &self.servers[server].host);
                self.later(time, Later::Heal(agent, server));
            }
            Fault::AgentUnheard(agent, server, time) => {
                simulation.block(&self.agents[agent].host, &self.servers[server].host);
                self.later(time, Later::Heal(agent, server));
            }
            Fault::ServerUnheard(agent, server, time) => {
                simulation.block(&self.servers[server].host, &self.agents[agent].host);
                self.later(time, Later::Heal(agent, server));
            }
            Fault::FrontendsCut(server, told) => {
                simulation.cut(&self.frontend, &self.servers[server].host, told);
            }
            Fault::EndpointsCut(agent, told) => {
                simulation.cut(&self.endpoint, &self.agents[agent].host, told);
            }
            Fault::ServerKilled(server, time) => {
                simulation.kill(&self.servers[server].host);
                self.later(time, Later::StartServer(server));
            }
            Fault::ServerStopped(server, time) => {
                drop(self.servers[server].stop(time));
                self.later(time + Duration::from_secs(3), Later::StartServer(server));
            }
            Fault::AgentKilled(agent, time) => {
                simulation.kill(&self.agents[agent].host);
                self.later(time, Later::StartAgent(agent));
            }
            Fault::AgentRolled(agent, time) => {
                self.agents[agent].agent.drain();
                self.later(time, Later::StopAgent(agent));
            }
            Fault::AgentPowerless(agent, time) => {
                simulation.power_off(&self.agents[agent].host);
                self.later(time, Later::PowerOn(agent));
            }
        }
    }

    fn later(&mut self, wait: Duration, later: Later) {
        let at = self.simulation.elapsed() + wait;
        self.later.insert((at, self.later.len()), later);
    }

    /// Lets time pass, and what comes of faults happen.
    pub(super) async fn pass(&mut self, time: Duration) {
        let until = self.simulation.elapsed() + time;
        while let Some(next) = self.later.first_entry()
            && next.key().0 <= until
        {
            let ((at, _), later) = next.remove_entry();
            let wait = at.saturating_sub(self.simulation.elapsed());
            self.simulation.sleep(wait).await;
            self.follow(later);
        }
        let rest = until.saturating_sub(self.simulation.elapsed());
        self.simulation.sleep(rest).await;
    }

    fn follow(&mut self, later: Later) {
        let simulation = self.simulation;
        simulation.note(format!("{later:?}"));
        match later {
            Later::Heal(agent, server) => {
                simulation.heal(&self.agents[agent].host, &self.servers[server].host);
            }
            Later::StartServer(server) => {
                let host = self.servers[server].host.clone();
                self.make_room(&host);
                self.servers[server] = self.new_server(&host);
            }
            Later::StartAgent(agent) => {
                let host = self.agents[agent].host.clone();
                self.make_room(&host);
                self.agents[agent] = self.new_agent(&host);
            }
            Later::StopAgent(agent) => {
                self.agents[agent].agent.stop();
                self.later(Duration::from_secs(2), Later::StartAgent(agent));
            }
            Later::PowerOn(agent) => {
                simulation.power_on(&self.agents[agent].host);
                self.follow(Later::StartAgent(agent));
            }
        }
    }

    /// Only one process of a kind runs on a host.
    fn make_room(&mut self, host: &Host) {
        if host.task_count() > 0 {
            self.killed = true;
            self.simulation.kill(host);
        }
    }

    /// Waits until every stream has ended, and looks at what its ends have seen. Returns the number of those that both ends found in order.
    pub(super) async fn end_streams(&mut self, limit: Duration) -> usize {
        let mut orderly = 0;
        while !self.later.is_empty() {
            self.pass(Duration::from_secs(1)).await;
        }
        let streams = std::mem::take(&mut self.streams);
        for ((job, log), plan) in streams.into_iter().zip(&self.plan.streams) {
            let frontend = self.simulation.within(limit, job).await;
            let Some(frontend) = frontend else {
                panic!("the frontend of stream {} hears of no end", plan.index);
            };
            let frontend = frontend.expect("nobody kills frontends");
            let endpoint = self.end_of_endpoint(plan, &log, limit).await;
            self.simulation.note(format!(
                "stream {}: frontend {frontend:?}, endpoint {endpoint:?}",
                plan.index
            ));
            self.check(plan, &frontend, endpoint.as_ref());
            let ends = endpoint.iter().chain([&frontend]);
            orderly += usize::from(ends.filter(|seen| seen.end == End::Orderly).count() == 2);
        }
        orderly
    }

    async fn end_of_endpoint(
        &self,
        plan: &StreamPlan,
        log: &EndpointLog,
        limit: Duration,
    ) -> Option<Seen> {
        let until = self.simulation.elapsed() + limit;
        loop {
            let seen = log.lock().unwrap().clone();
            match &seen[..] {
                [] => return None,
                [Some(seen)] => return Some(seen.clone()),
                [None] => {}
                several => panic!("stream {} was dialled twice: {several:?}", plan.index),
            }
            let in_time = self.simulation.elapsed() < until;
            assert!(
                in_time,
                "the endpoint of stream {} hears of no end",
                plan.index
            );
            self.simulation.sleep(Duration::from_millis(100)).await;
        }
    }

    fn check(&self, plan: &StreamPlan, frontend: &Seen, endpoint: Option<&Seen>) {
        let sound = self.plan.faults.is_empty() || self.plan.kind == Kind::Resumed;
        let Some(endpoint) = endpoint else {
            let dialled = !matches!(frontend.end, End::NotDialled(_));
            assert!(!(dialled || sound), "{plan:?} met nobody: {frontend:?}");
            return;
        };
        let seen = format!("{plan:?}: frontend {frontend:?}, endpoint {endpoint:?}");
        assert!(frontend.received <= endpoint.sent, "{seen}");
        assert!(endpoint.received <= frontend.sent, "{seen}");
        let has_all_of_download = frontend.received == plan.download.bytes;
        let has_all_of_upload = endpoint.received == plan.upload.bytes;
        // Of a killed process the system says the same as of one that is done.
        if frontend.end == End::Orderly && !self.killed {
            assert!(has_all_of_download, "{seen}");
            assert!(!matches!(endpoint.end, End::Broken(_)), "{seen}");
        }
        let frontend_ended = frontend.end == End::Orderly && plan.ending == Ending::FrontendFirst;
        if frontend_ended && endpoint.end == End::Orderly && !self.killed {
            assert!(has_all_of_upload, "{seen}");
        }
        let is_left_alone = matches!(plan.ending, Ending::FrontendFirst | Ending::EndpointFirst);
        if sound && is_left_alone {
            let ends = (&frontend.end, &endpoint.end);
            assert_eq!(ends, (&End::Orderly, &End::Orderly), "{seen}");
            assert!(has_all_of_download && has_all_of_upload, "{seen}");
        }
    }

    /// Everybody finds everybody again.
    pub(super) async fn recover(&self) {
        // As long as it takes to notice peers that are gone without a word.
        self.simulation.sleep(Duration::from_secs(60)).await;
        self.connected().await;
        let address = self.endpoint.address(ECHO_PORT).to_string();
        for server in &self.servers {
            for way in Way::ALL {
                let dialer = dialer(&self.frontend, &server.host, way);
                let probe = async {
                    let mut stream = dialer.dial(&address).await.expect("a dial that succeeds");
                    exchange(&mut stream, b"ping").await;
                };
                let probed = self.simulation.within(Duration::from_secs(5), probe).await;
                assert!(
                    probed.is_some(),
                    "the probe through {:?} hangs",
                    server.host
                );
            }
        }
    }

    /// Ends everybody in order: nothing is left.
    pub(super) async fn end(self) {
        let no_streams = || {
            let servers = self.servers.iter().map(|it| it.server.stream_count());
            let agents = self.agents.iter().map(|it| it.agent.stream_count());
            servers.chain(agents).sum::<usize>() == 0
        };
        self.simulation
            .eventually("no streams are left", no_streams)
            .await;
        for agent in &self.agents {
            agent.agent.stop();
        }
        for server in &self.servers {
            let stopped = server.stop(Duration::from_secs(5)).await;
            assert!(stopped.is_some());
        }
        for server in &self.servers {
            assert_eq!(server.server.tunnel_count(), 0);
            nothing_left(self.simulation, &server.host).await;
        }
        for agent in &self.agents {
            nothing_left(self.simulation, &agent.host).await;
        }
        nothing_left(self.simulation, &self.frontend).await;
    }
}
