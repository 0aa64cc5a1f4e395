//! One server, one agent, and somebody at either end.

use std::time::Duration;

use dialback_runtime::connectivity::{DialbackStream, Dialer};
use dialback_simulation::cast::{
    AgentOptions, SERVER_NAME, ServerOptions, SimulatedAgent, SimulatedServer, Way, dialer, serve,
};
use dialback_simulation::{Host, Simulation};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A server and an agent, connected.
pub(crate) struct World<'a> {
    pub(crate) simulation: &'a Simulation,
    pub(crate) frontend: Host,
    pub(crate) endpoint: Host,
    pub(crate) server: SimulatedServer,
    pub(crate) agent: SimulatedAgent,
}

impl<'a> World<'a> {
    pub(crate) async fn new(simulation: &'a Simulation) -> Self {
        Self::with(
            simulation,
            ServerOptions::default(),
            AgentOptions::default(),
        )
        .await
    }

    pub(crate) async fn with(
        simulation: &'a Simulation,
        server: ServerOptions,
        agent: AgentOptions,
    ) -> Self {
        let host = simulation.host("server");
        simulation.set_name(SERVER_NAME, vec![host.address(0).ip()]);
        let server = SimulatedServer::start(&host, "server-1", server);
        let agent = SimulatedAgent::start(&simulation.host("agent"), "agent-1", agent);
        let world = Self {
            simulation,
            frontend: simulation.host("frontend"),
            endpoint: simulation.host("endpoint"),
            server,
            agent,
        };
        world.connected().await;
        world
    }

    pub(crate) async fn connected(&self) {
        let connected = || self.agent.agent.connected() == 1 && self.server.server.is_ready();
        self.simulation
            .eventually("the agent is connected", connected)
            .await;
    }

    pub(crate) fn dialer(&self, way: Way) -> Dialer<Host> {
        dialer(&self.frontend, &self.server.host, way)
    }

    /// Sends everything back on this port.
    pub(crate) fn echo(&self, port: u16) -> String {
        echo(&self.endpoint, port);
        self.endpoint.address(port).to_string()
    }

    /// Ends everybody in order, and sees to it that nothing is left.
    pub(crate) async fn end(self) {
        let (server, agent) = (&self.server.server, &self.agent.agent);
        let no_streams = || server.stream_count() == 0 && agent.stream_count() == 0;
        self.simulation
            .eventually("no streams are left", no_streams)
            .await;
        agent.stop();
        let stopped = self.server.stop(Duration::from_secs(5)).await;
        assert!(stopped.is_some());
        self.simulation.kill(&self.endpoint);
        for host in [&self.server.host, &self.agent.host] {
            nothing_left(self.simulation, host).await;
        }
    }
}

/// Waits until every task of a host has ended and every socket is closed.
pub(crate) async fn nothing_left(simulation: &Simulation, host: &Host) {
    simulation
        .eventually(&format!("nothing is left on {host:?}"), || {
            host.task_count() == 0 && host.socket_count() == 0
        })
        .await;
}

pub(crate) fn echo(host: &Host, port: u16) {
    serve(host, port, |mut socket| async move {
        let mut buffer = vec![0; 4096];
        while let Ok(bytes @ 1..) = socket.read(&mut buffer).await {
            if socket.write_all(&buffer[..bytes]).await.is_err() {
                return;
            }
        }
    });
}

/// Sends and expects the same back.
pub(crate) async fn exchange(stream: &mut DialbackStream<Host>, bytes: &[u8]) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut received = vec![0; bytes.len()];
    let (written, read) = tokio::join!(
        async {
            writer.write_all(bytes).await?;
            writer.flush().await
        },
        reader.read_exact(&mut received)
    );
    written.unwrap();
    read.unwrap();
    assert!(received == bytes);
}

/// Bytes that repeat with a period no buffer size divides, so that a lost or swapped piece shows.
pub(crate) fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at % 251) as u8).collect()
}
