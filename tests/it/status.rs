//! What a server and an agent say they are at.

use dialback_runtime::Runtime;
use dialback_runtime::agent::Agent;
use dialback_runtime::server::Server;
use dialback_runtime::status::{LinkState, LinkStatus, Program, Status, StatusPage};
use dialback_tests::agent::AgentOptions;
use dialback_tests::endpoint::Endpoint;
use dialback_tests::frontend::{connect, exchange};
use dialback_tests::path::Path;
use dialback_tests::run::run;
use dialback_tests::server::ServerOptions;
use dialback_tests::wait::eventually;

fn of_server<R: Runtime>(server: &Server<R>) -> Status {
    server.status(&StatusPage::default())
}

fn of_agent<R: Runtime>(agent: &Agent<R>) -> Status {
    agent.status(&StatusPage::default())
}

/// The only link of the only peer.
fn link(status: &Status) -> Option<&LinkStatus> {
    match status.peers.as_slice() {
        [peer] => match peer.links.as_slice() {
            [link] => Some(link),
            _ => None,
        },
        _ => None,
    }
}

fn is(status: &Status, state: LinkState, resumptions: u64) -> bool {
    link(status).is_some_and(|link| (link.state, link.resumptions) == (state, resumptions))
}

#[test]
fn a_link_is_followed_through_its_life() {
    run(async |_| {
        let agent = AgentOptions {
            identifiers: "host=node-1&default-route=true".to_owned(),
            ..AgentOptions::default()
        };
        let path = Path::start(ServerOptions::default(), agent).await;
        let (server, agent) = (&path.server.server, &path.agent.agent);
        let echo = Endpoint::echo().await;
        let mut stream = connect(&path.server.socket(), &echo.address.to_string())
            .await
            .unwrap();
        exchange(&mut stream, b"hello").await;

        let status = of_server(server);
        assert_eq!(
            (status.program, status.id.as_str()),
            (Program::Server, "server-1")
        );
        assert!(status.ready && !status.draining && !status.truncated);
        let peer = &status.peers[0];
        assert_eq!(peer.id, "agent-0");
        assert_eq!(peer.identifiers, ["host=node-1", "default-route=true"]);
        assert!(is(&status, LinkState::Connected, 0));
        let before = link(&status).unwrap().clone();
        assert_eq!((before.streams, before.pending_dials), (1, 0));
        assert!(before.address.is_some());
        assert_eq!(status.totals.bytes_to_agent, 5);

        path.relay.retarget(Vec::new());
        path.relay.cut();
        eventually("both wait for another transport", || {
            is(&of_server(server), LinkState::Suspended, 0)
                && is(&of_agent(agent), LinkState::Suspended, 0)
        })
        .await;
        assert_eq!(link(&of_agent(agent)).unwrap().address, None);
        path.relay.retarget(vec![path.server.agent_address]);
        eventually("both go on", || {
            is(&of_server(server), LinkState::Connected, 1)
                && is(&of_agent(agent), LinkState::Connected, 1)
        })
        .await;
        exchange(&mut stream, b"again").await;
        let status = of_server(server);
        let after = link(&status).unwrap();
        assert_eq!((after.link, after.streams), (before.link, 1));
        assert!(after.age_seconds > before.age_seconds);
        assert_ne!(after.address, before.address, "it comes from another port");
        assert_eq!(status.totals.resumptions, 1);
        let status = of_agent(agent);
        assert_eq!(
            (status.program, status.id.as_str()),
            (Program::Agent, "agent-0")
        );
        assert_eq!(status.peers[0].id, "server-1");
        let relay = path.relay.address.to_string();
        assert_eq!(link(&status).unwrap().address, Some(relay));

        agent.drain();
        eventually("the server knows that the agent drains", || {
            is(&of_server(server), LinkState::Draining, 1)
        })
        .await;
        assert!(of_agent(agent).draining);
        drop(stream);
        eventually("the stream has ended", || {
            let status = of_server(server);
            status.totals.streams == 0 && status.totals.streams_closed == 1
        })
        .await;
        path.end().await;
    });
}

#[test]
fn a_dial_that_waits_is_told_apart_from_a_stream() {
    run(async |_| {
        let path = Path::start(ServerOptions::default(), AgentOptions::default()).await;
        let (server, echo) = (&path.server.server, Endpoint::echo().await);
        path.relay.freeze();
        let socket = path.server.socket();
        let address = echo.address.to_string();
        let dialling = connect(&socket, &address);
        let pending = eventually("the dial waits", || {
            let totals = of_server(server).totals;
            (totals.streams, totals.pending_dials) == (1, 1)
        });
        let stream = async {
            pending.await;
            path.relay.thaw();
        };
        let (stream, ()) = tokio::join!(dialling, stream);
        let totals = of_server(server).totals;
        assert_eq!((totals.streams, totals.pending_dials), (1, 0));
        assert_eq!(totals.streams_opened, 1);
        drop(stream);
        path.end().await;
    });
}
