//! D12 to D14: dials that have not been answered.

use std::time::Duration;

use dialback_core::Packet;
use dialback_core::server::{DialError, DialFailure, LinkConfig, LinkEvent};
use dialback_harness::{Behaviour, DialOutcome, PipeEnd, Setup, Triad};

use crate::A_SECOND;

const SLOW: &str = "10.0.0.1:80";
const LATER: Duration = Duration::from_secs(5);

/// A triad whose endpoint accepts, but only [`LATER`].
fn with_slow_endpoint(setup: Setup) -> Triad {
    let mut t = setup.start_with_agent();
    t.endpoints.behave(
        SLOW,
        Behaviour {
            dial: DialOutcome::AcceptAfter(LATER),
            ..Behaviour::default()
        },
    );
    t
}

fn with_silent_endpoint(setup: Setup) -> Triad {
    let mut t = setup.start_with_agent();
    t.endpoints.behave(
        SLOW,
        Behaviour {
            dial: DialOutcome::Ignore,
            ..Behaviour::default()
        },
    );
    t
}

#[test]
fn d12_pending_dials_fail_at_once_when_the_agent_is_lost() {
    let mut t = with_slow_endpoint(Setup::flow_controlled());
    let (grpc, connect) = (t.open_grpc(), t.open_connect(SLOW));
    let dial = t[grpc].dial(SLOW);
    t.run_for(A_SECOND);
    let link = t.only_link();
    t.lose_tunnel(link);
    t.run_now();

    assert_eq!(
        t[grpc].answers(dial),
        [Err(
            "rpc error: code = Canceled desc = context canceled".to_owned()
        )]
    );
    assert_eq!(t[connect].answers(), [Err(DialError::AgentLost)]);
    t.run_until_idle();
    assert_eq!(t.endpoints.count(SLOW), 0, "the agent gave the dials up");
    t.assert_nothing_left();
}

#[test]
fn d12_a_dial_that_the_frontend_gives_up_stops_at_the_agent() {
    let mut t = with_slow_endpoint(Setup::flow_controlled());
    let frontend = t.open_grpc();
    let dial = t[frontend].dial(SLOW);
    t.run_for(A_SECOND);
    t[frontend].cancel(dial);
    t.run_for(A_SECOND);
    let link = t.only_link();
    assert_eq!(t.tunnel(link).agent.task_count(), 0);
    t.run_until_idle();
    assert_eq!(t.endpoints.count(SLOW), 0);
    assert_eq!(t[frontend].answers(dial), []);
    t.assert_nothing_left();
}

#[test]
fn d12_a_dial_whose_stream_ends_stops_at_the_agent() {
    let mut t = with_slow_endpoint(Setup::flow_controlled());
    let (reset, finished) = (t.open_grpc(), t.open_grpc());
    t[reset].dial(SLOW);
    t[finished].dial(SLOW);
    t.run_for(A_SECOND);
    t.reset_grpc(reset);
    t[finished].finish();
    t.run_until_idle();
    assert_eq!(t.endpoints.count(SLOW), 0);
    t.assert_nothing_left();
}

#[test]
fn d12_an_http_client_that_hangs_up_stops_its_dial() {
    let mut t = with_slow_endpoint(Setup::flow_controlled());
    let frontend = t.open_connect(SLOW);
    t.run_for(A_SECOND);
    t[frontend].close();
    t.run_until_idle();
    assert_eq!(t.endpoints.count(SLOW), 0);
    t.assert_nothing_left();
}

#[test]
fn d13_a_dial_nobody_answers_times_out_once() {
    let mut t = with_silent_endpoint(Setup::default());
    let frontend = t.open_connect(SLOW);
    t.run_until_idle();
    assert_eq!(t.elapsed(), Duration::from_secs(30));
    assert_eq!(t[frontend].answers(), [Err(DialError::TimedOut)]);
    assert_eq!(t[frontend].ended(), Some(PipeEnd::Finished));
    t.assert_nothing_left();
}

#[test]
fn d13_the_operators_dial_timeout_is_kept() {
    let mut t = with_silent_endpoint(Setup {
        server: LinkConfig {
            dial_timeout: Some(Duration::from_secs(3)),
            ..LinkConfig::default()
        },
        ..Setup::default()
    });
    let frontend = t.open_grpc();
    let dial = t[frontend].dial(SLOW);
    t.run_for(Duration::from_secs(3));
    assert_eq!(
        t[frontend].answers(dial),
        [Err("timed out waiting for backend dial".to_owned())]
    );
}

#[test]
fn a_tunnel_that_takes_no_dial_is_retired_when_the_operator_says_so() {
    let mut t = with_silent_endpoint(Setup {
        server: LinkConfig {
            dial_timeout: Some(Duration::from_secs(3)),
            ..LinkConfig::default()
        },
        ..Setup::default()
    });
    let link = t.only_link();
    let stalled = t.open_grpc();
    let bulk = t[stalled].dial("10.0.0.9:80");
    t.run_for(A_SECOND);
    // The tunnel is full and nothing of it arrives any more.
    t.tunnel(link).down().pipe.stall(true);
    t[stalled].write(bulk, &vec![0; 1024 * 1024]);
    t.run_for(A_SECOND);

    let (grpc, connect) = (t.open_grpc(), t.open_connect(SLOW));
    let dial = t[grpc].dial(SLOW);
    t.run_for(Duration::from_secs(3));
    assert_eq!(
        t[grpc].answers(dial),
        [Err("timed out waiting for backend dial".to_owned())]
    );
    assert_eq!(t[connect].answers(), [Err(DialError::SendTimedOut)]);
    assert!(t.tunnel(link).server.events.contains(&LinkEvent::Retired));
    assert_eq!(t[stalled].closes(bulk), ["tunnel lost"]);

    // Nobody is sent there any more.
    let next = t.open_grpc();
    let dial = t[next].dial(SLOW);
    t.run_now();
    assert_eq!(
        t[next].answers(dial),
        [Err("No agent available".to_owned())]
    );
    t.run_until_idle();
    t.assert_nothing_left();
}

#[test]
fn d14_a_dial_given_up_while_its_answer_is_under_way_leaves_nothing() {
    let mut setup = Setup::flow_controlled();
    setup.tunnel.delay = Duration::from_millis(100);
    setup.frontend.delay = Duration::from_millis(100);
    // The endpoint answers at 200 ms; its answer is at the server at 300 ms and at the client at 400 ms.
    for give_up_at in (0..=500).step_by(20) {
        let mut t = setup.clone().start_with_agent();
        let frontend = t.open_grpc();
        let dial = t[frontend].dial(SLOW);
        t.run_for(Duration::from_millis(give_up_at));
        t[frontend].cancel(dial);
        t.run_for(Duration::from_millis(100));
        t.reset_grpc(frontend);
        t.run_until_idle();
        t.assert_nothing_left();
        if t.endpoints.count(SLOW) > 0 {
            assert!(t.endpoints.at(SLOW).saw_end().is_some());
        }
    }
}

#[test]
fn d14_a_stream_that_ends_while_its_answer_is_under_way_leaves_nothing() {
    let mut setup = Setup::default();
    setup.tunnel.delay = Duration::from_millis(100);
    setup.frontend.delay = Duration::from_millis(100);
    for give_up_at in (0..=500).step_by(20) {
        let mut t = setup.clone().start_with_agent();
        let frontend = t.open_grpc();
        t[frontend].dial(SLOW);
        t.run_for(Duration::from_millis(give_up_at));
        t[frontend].finish();
        t.run_until_idle();
        t.assert_nothing_left();
    }
}

#[test]
fn an_answer_that_comes_too_late_closes_the_connection_it_brought() {
    // Longer than the server waits.
    let mut t = Setup::default().start_with_agent();
    t.endpoints.behave(
        SLOW,
        Behaviour {
            dial: DialOutcome::Accept,
            ..Behaviour::default()
        },
    );
    let link = t.only_link();
    let frontend = t.open_grpc();
    let dial = t[frontend].dial(SLOW);
    t.tunnel(link).up().pipe.stall(true);
    t.run_for(Duration::from_secs(31));
    assert_eq!(
        t[frontend].answers(dial),
        [Err("timed out waiting for backend dial".to_owned())]
    );
    t.tunnel(link).up().pipe.stall(false);
    t.run_until_idle();
    assert_eq!(t.endpoints.at(SLOW).saw_end(), Some(PipeEnd::Finished));
    let unrecognized = LinkEvent::DialFailed(DialFailure::UnrecognizedResponse);
    assert!(t.tunnel(link).server.events.contains(&unrecognized));
    t.assert_nothing_left();
}

#[test]
fn a_frontend_without_an_agent_is_told_at_once() {
    let mut t = Setup::default().start();
    let (grpc, connect) = (t.open_grpc(), t.open_connect(SLOW));
    let dial = t[grpc].dial(SLOW);
    t.run_now();
    assert_eq!(
        t[grpc].answers(dial),
        [Err("No agent available".to_owned())]
    );
    assert_eq!(t[connect].answers(), [Err(DialError::NoAgent)]);
    assert!(matches!(
        t[grpc].received(),
        [Packet::DialResponse {
            connect_id: None,
            ..
        }]
    ));
}

#[test]
fn a_refusal_keeps_the_agents_words() {
    let words = "dial tcp 10.0.0.1:80: connect: connection refused";
    let mut t = Setup::default().start_with_agent();
    t.endpoints.behave(
        SLOW,
        Behaviour {
            dial: DialOutcome::Refuse(words.to_owned()),
            ..Behaviour::default()
        },
    );
    let (grpc, connect) = (t.open_grpc(), t.open_connect(SLOW));
    let dial = t[grpc].dial(SLOW);
    t.run_until_idle();
    assert_eq!(t[grpc].answers(dial), [Err(words.to_owned())]);
    let refused = DialError::Refused(words.to_owned());
    assert_eq!(t[connect].answers(), [Err(refused)]);
    t.assert_nothing_left();
}
