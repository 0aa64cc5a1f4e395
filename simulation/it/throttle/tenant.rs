//! Bytes per second for all frontends of a tenant together.

use std::time::Duration;

use dialback_core::policy::Policy;
use dialback_core::throttle::{Limit, LimitSubject, Rate};
use dialback_runtime::connectivity::Dialer;
use dialback_simulation::cast::{
    AgentOptions, Job, Names, SERVER_NAME, ServerOptions, SimulatedAgent, SimulatedServer, Way,
    certified_dialer, start,
};
use dialback_simulation::{Host, Simulation};

use super::{MEBIBYTE, bulk, late_echo, options, tell};
use crate::world::echo;

const SECONDS: u64 = 10;
const TIME: Duration = Duration::from_secs(SECONDS);
/// Bytes per second of `blue`, each way.
const LIMIT: u64 = 20 * MEBIBYTE;

const POLICY: &str = "
apiVersion: dialback/v1
kind: Policy
tenants:
- {name: blue, frontends: [{organization: blue}], agents: [{organization: blue}]}
- {name: red, frontends: [{organization: red}], agents: [{organization: red}]}
";

struct World<'a> {
    simulation: &'a Simulation,
    server: SimulatedServer,
    agents: Vec<SimulatedAgent>,
    /// Where everything is sent back.
    address: String,
}

impl<'a> World<'a> {
    async fn new(simulation: &'a Simulation, limits: Vec<Limit>) -> Self {
        let host = simulation.host("server");
        simulation.set_name(SERVER_NAME, vec![host.address(0).ip()]);
        let options = ServerOptions {
            certified_frontends: true,
            ..options(limits)
        };
        let server = SimulatedServer::start(&host, "server-1", options);
        server
            .server
            .set_policy(Policy::parse(POLICY).unwrap().into());
        let agents = ["blue", "red"].map(|organization| {
            let options = AgentOptions {
                names: Some(Names {
                    organization,
                    name: "agent",
                }),
                ..AgentOptions::default()
            };
            let id = format!("agent-{organization}");
            SimulatedAgent::start(&simulation.host(&id), &id, options)
        });
        let endpoint = simulation.host("endpoint");
        echo(&endpoint, 7);
        let connected = || agents.iter().all(|agent| agent.agent.connected() == 1);
        simulation
            .eventually("both agents are connected", connected)
            .await;
        Self {
            simulation,
            server,
            agents: agents.into(),
            address: endpoint.address(7).to_string(),
        }
    }

    /// A frontend on a host of its own.
    fn frontend(
        &self,
        organization: &'static str,
        name: &'static str,
        way: Way,
    ) -> (Host, Dialer<Host>) {
        let host = self.simulation.host(&format!("{organization}-{name}"));
        let names = Names { organization, name };
        let dialer = certified_dialer(&host, &self.server.host, way, names);
        (host, dialer)
    }

    /// Two frontends of `blue`, one of each protocol, with two streams each that send as fast as they may.
    async fn busy(&self) -> Vec<Job<u64>> {
        let mut jobs = Vec::new();
        for (name, way) in ["api", "web"].into_iter().zip(Way::ALL) {
            let (host, dialer) = self.frontend("blue", name, way);
            for _ in 0..2 {
                let stream = dialer.dial(&self.address).await.unwrap();
                jobs.push(start(&host, bulk(host.clone(), stream, TIME)));
            }
        }
        jobs
    }

    /// The 99th percentiles that frontends of `red` see, one of each protocol.
    async fn quiet(&self, names: [&'static str; 2]) -> Vec<Duration> {
        let mut jobs = Vec::new();
        for (name, way) in names.into_iter().zip(Way::ALL) {
            let (host, dialer) = self.frontend("red", name, way);
            let stream = dialer.dial(&self.address).await.unwrap();
            jobs.push(start(&host, late_echo(host.clone(), stream, TIME)));
        }
        let mut late = Vec::new();
        for job in jobs {
            late.push(job.await.unwrap());
        }
        late
    }
}

async fn all(jobs: Vec<Job<u64>>) -> Vec<u64> {
    let mut bytes = Vec::new();
    for job in jobs {
        bytes.push(job.await.unwrap());
    }
    bytes
}

#[test]
fn a_limit_of_a_tenant_holds_for_its_frontends_together_and_other_tenants_notice_little() {
    Simulation::run(1, async |simulation| {
        let rate = Some(Rate {
            per_second: LIMIT as f64,
            burst: 65536.0,
        });
        let limits = vec![Limit {
            matches: Some("blue".parse().unwrap()),
            bytes_to_endpoints: rate,
            bytes_to_frontends: rate,
            ..Limit::new("busy", LimitSubject::Tenant)
        }];
        let world = World::new(simulation, limits).await;
        let alone = world.quiet(["api-1", "web-1"]).await;
        let busy = world.busy().await;
        let beside = world.quiet(["api-2", "web-2"]).await;
        let bytes = all(busy).await;
        let sum: u64 = bytes.iter().sum();
        tell(&format!(
            "tenant: {:.2} MiB/s, shares {bytes:?}, other tenant's echo p99 {alone:?} alone, {beside:?} beside",
            sum as f64 / (SECONDS * MEBIBYTE) as f64
        ));
        let wanted = LIMIT * SECONDS;
        assert!(sum.abs_diff(wanted) * 20 <= wanted, "{sum} of {wanted}");
        // They take turns, and what passes at a turn is not as much in the one protocol as in the other.
        for shares in bytes.chunks(2) {
            assert!(shares[0].abs_diff(shares[1]) * 20 <= sum, "{bytes:?}");
        }
        assert!(bytes.iter().all(|share| *share >= sum / 4 / 2), "{bytes:?}");
        for (alone, beside) in alone.iter().zip(&beside) {
            assert!(*beside <= 2 * *alone, "{alone:?}, {beside:?}");
        }
        for agent in &world.agents {
            agent.agent.stop();
        }
    });
}

/// Else the test above might show how fast the simulated network is.
#[test]
fn without_the_limit_the_tenant_takes_more() {
    Simulation::run(1, async |simulation| {
        let world = World::new(simulation, Vec::new()).await;
        let (host, dialer) = world.frontend("blue", "api", Way::Connect);
        let stream = dialer.dial(&world.address).await.unwrap();
        let bytes = start(&host, bulk(host.clone(), stream, Duration::from_secs(1)));
        assert!(bytes.await.unwrap() > LIMIT * 11 / 10);
    });
}
