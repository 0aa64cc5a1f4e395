use dialback_harness::*;
use std::time::Duration;
#[test]
fn z() {
    let mut s = Setup::extended();
    s.tunnel.delay = Duration::from_millis(1);
    let mut t = s.start_with_agent();
    t.endpoints.behave(
        "a:1",
        Behaviour {
            dial: DialOutcome::AcceptAfter(Duration::from_secs(40)),
            ..Behaviour::default()
        },
    );
    let link = t.only_link();
    let g = t.open_grpc();
    t[g].dial("a:1");
    t.run_now();
    t.cut_tunnel(link, &Cut::CLEAN);
    t.run_now();
    t.reset_grpc(g);
    t.run_for(Duration::from_secs(1));
    let l = t.tunnel(link);
    println!("{:?} {:?}", l.server.events, l.agent.events);
    t.offer_in_vain(link, Duration::ZERO);
    for _ in 0..8 {
        t.run_for(Duration::from_millis(1));
        let l = t.tunnel(link);
        println!("{:?} {:?} {:?}", l.server.events, l.agent.events, l.refused);
    }
}
