//! Who may reach what, with real agents, frontends and endpoints.

use std::sync::Arc;

use dialback_core::policy::{DestinationRules, Policy};
use dialback_tests::agent::{AgentOptions, RunningAgent};
use dialback_tests::endpoint::Endpoint;
use dialback_tests::frontend::{GrpcFrontend, connect, dial, exchange};
use dialback_tests::pair::{Pair, PairOptions};
use dialback_tests::pki::Pki;
use dialback_tests::run::run;
use dialback_tests::server::{RunningServer, ServerOptions};
use dialback_tests::wait::{eventually, within};
use rustls::pki_types::ServerName;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

fn policy(rest: &str) -> Arc<Policy> {
    Arc::new(Policy::parse(&format!("apiVersion: dialback/v1\nkind: Policy\n{rest}")).unwrap())
}

fn metric(pair: &Pair, series: &str) -> String {
    let registry = pair.server.server.metrics().registry();
    let scrape = dialback_runtime::metrics::render::<&str>(registry, &[]);
    let value = scrape.lines().find_map(|line| line.strip_prefix(series));
    value.unwrap_or_default().trim().to_owned()
}

#[test]
fn a_denied_dial_is_told_which_rule_denies_it() {
    run(async |_| {
        let pair = Pair::start(PairOptions::default()).await;
        let echo = Endpoint::echo().await;
        let address = echo.address.to_string();
        pair.server.server.set_policy(policy(
            "rules: [{name: no-loopback, action: deny, to: [{cidr: 127.0.0.0/8}]}]",
        ));
        for to in [
            address.clone(),
            format!("[::ffff:127.0.0.1]:{}", echo.address.port()),
            format!("0.0.0.0:{}", echo.address.port()),
            format!("localhost:{}", echo.address.port()),
            format!("127.1:{}", echo.address.port()),
            format!(":{}", echo.address.port()),
        ] {
            let refused = connect(&pair.socket(), &to).await.unwrap_err().to_string();
            assert!(refused.contains("403"), "{to}: {refused}");
        }
        let denied = metric(&pair, "dialback_policy_decisions_total{action=\"deny\"}");
        assert_eq!(denied, "6");

        pair.server.server.set_policy(policy(
            "rules: [{name: echo, action: allow, to: [{cidr: 127.0.0.1}]}]\ndefault: deny",
        ));
        let mut stream = connect(&pair.socket(), &address).await.unwrap();
        exchange(&mut stream, b"allowed").await;
        drop(stream);
        pair.end().await;
    });
}

#[test]
fn grpc_frontends_are_told_too() {
    run(async |_| {
        let pair = Pair::start(PairOptions::default().grpc()).await;
        pair.server.server.set_policy(policy("default: deny"));
        let mut frontend = GrpcFrontend::start(&pair.socket()).await;
        let refused = frontend.dial("127.0.0.1:1").await.unwrap_err();
        assert_eq!(refused, "dial denied: no rule allows it");
        drop(frontend);
        pair.end().await;
    });
}

#[test]
fn a_changed_policy_cuts_what_it_denies_and_nothing_else() {
    run(async |_| {
        for plain in [false, true] {
            let pair = Pair::start(PairOptions::default().plain(plain)).await;
            let (cut, kept) = (Endpoint::echo().await, Endpoint::echo().await);
            pair.server.server.set_policy(policy(""));
            let mut one = connect(&pair.socket(), &cut.address.to_string())
                .await
                .unwrap();
            let mut other = connect(&pair.socket(), &kept.address.to_string())
                .await
                .unwrap();
            exchange(&mut one, b"before").await;
            exchange(&mut other, b"before").await;

            let deny = format!(
                "rules: [{{name: cut, action: deny, to: [{{ports: [{}]}}]}}]",
                cut.address.port()
            );
            pair.server
                .server
                .set_policy(policy(&deny.replace("rules", "mode: audit\nrules")));
            exchange(&mut one, b"audited").await;
            pair.server.server.set_policy(policy(&deny));
            let mut rest = Vec::new();
            let _ = within("the stream is cut", one.read_to_end(&mut rest)).await;
            assert!(rest.is_empty());
            exchange(&mut other, b"after").await;
            assert_eq!(metric(&pair, "dialback_policy_streams_cut_total"), "1");
            drop((one, other));
            pair.end().await;
        }
    });
}

#[test]
fn mode_audit_lets_everything_pass_and_counts_it() {
    run(async |_| {
        let pair = Pair::start(PairOptions::default()).await;
        let echo = Endpoint::echo().await;
        pair.server
            .server
            .set_policy(policy("mode: audit\ndefault: deny"));
        let mut stream = connect(&pair.socket(), &echo.address.to_string())
            .await
            .unwrap();
        exchange(&mut stream, b"audited").await;
        let counted = metric(
            &pair,
            "dialback_policy_decisions_total{action=\"audit_deny\"}",
        );
        assert_eq!(counted, "1");
        drop(stream);
        pair.end().await;
    });
}

const TENANTS: &str = "
tenants:
- {name: blue, frontends: [{organization: blue}], agents: [{organization: blue}]}
- {name: red, frontends: [{organization: red}], agents: [{organization: red}]}
claims:
- {name: tenants, agents: [{organization: '*'}], otherwise: refuse, hosts: ['*.example']}
";

#[test]
fn tenants_are_served_by_their_own_agents_or_nobody() {
    run(async |_| {
        let pki = Pki::new();
        let options = ServerOptions {
            strategies: "destHost,default",
            ..ServerOptions::default()
        };
        let server = RunningServer::start(&pki, options);
        server.server.set_policy(policy(TENANTS));
        let echo = Endpoint::echo().await;
        let start = |id: &str, organization, identifiers: &str| {
            let options = AgentOptions {
                id: id.to_owned(),
                organization,
                identifiers: identifiers.to_owned(),
                ..AgentOptions::default()
            };
            RunningAgent::start(&pki, server.agent_address, options)
        };
        let blue = start("blue", Some("blue"), "");
        server.agents(1).await;
        // It would have all dials to the address, whoever asks.
        let liar = start("liar", Some("red"), "ipv4=127.0.0.1");
        let refused = "dialback_policy_agents_refused_total";
        eventually("the liar is refused", || {
            let registry = server.server.metrics().registry();
            let scrape = dialback_runtime::metrics::render::<&str>(registry, &[]);
            scrape
                .lines()
                .any(|line| line.starts_with(refused) && !line.ends_with(" 0"))
        })
        .await;
        let address = echo.address.to_string();
        let ask = async |organization: &str| {
            let connector = TlsConnector::from(pki.client_in(organization, &["http/1.1"]));
            let socket = TcpStream::connect(server.tls).await.unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            dial(connector.connect(name, socket).await.unwrap(), &address).await
        };
        let mut stream = ask("blue").await.unwrap();
        exchange(&mut stream, b"blue").await;
        for stranger in ["red", "green"] {
            let refused = ask(stranger).await.unwrap_err().to_string();
            assert!(refused.contains("403"), "{stranger}: {refused}");
        }
        let red = start("red", Some("red"), "");
        server.agents(2).await;
        let mut other = ask("red").await.unwrap();
        exchange(&mut other, b"red").await;
        assert_eq!(
            (blue.agent.stream_count(), red.agent.stream_count()),
            (1, 1)
        );
        drop((stream, other));
        server.streams(0).await;
        for agent in [blue, liar, red] {
            agent.stop().await;
        }
    });
}

#[test]
fn an_agent_goes_nowhere_that_it_was_told_not_to_whatever_the_server_says() {
    run(async |_| {
        let echo = Endpoint::echo().await;
        let port = echo.address.port();
        let options = |allow: &[&str], deny: &[&str]| PairOptions {
            agent: AgentOptions {
                destinations: DestinationRules::parse(allow, deny).unwrap(),
                ..AgentOptions::default()
            },
            ..PairOptions::default()
        };
        let pair = Pair::start(options(&[], &["127.0.0.0/8", "::1"])).await;
        for host in [
            "127.0.0.1",
            "[::ffff:127.0.0.1]",
            "0.0.0.0",
            "localhost",
            "127.1",
            "",
            "[::]",
        ] {
            let to = format!("{host}:{port}");
            let refused = connect(&pair.socket(), &to).await.unwrap_err().to_string();
            assert!(
                refused.contains("does not connect there"),
                "{to}: {refused}"
            );
        }
        pair.end().await;

        let allowed = format!("127.0.0.0/8:{port}");
        let pair = Pair::start(options(&[&allowed], &["@metadata"])).await;
        for host in ["127.0.0.1", "localhost"] {
            let mut stream = connect(&pair.socket(), &format!("{host}:{port}"))
                .await
                .unwrap();
            exchange(&mut stream, b"allowed").await;
        }
        let refused = connect(&pair.socket(), "127.0.0.1:1").await.unwrap_err();
        assert!(
            refused.to_string().contains("--allow-destination"),
            "{refused}"
        );
        pair.end().await;
    });
}
