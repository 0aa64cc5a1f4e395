//! What the daemons tell a service manager.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::os::unix::net::UnixDatagram;

use support::daemon::PROMPTLY;
use support::pair::{Front, Site};

fn told(manager: &UnixDatagram) -> String {
    let mut message = [0; 4096];
    let bytes = manager.recv(&mut message).unwrap();
    String::from_utf8(message[..bytes].to_vec()).unwrap()
}

#[test]
fn a_service_manager_is_told_of_readiness_and_of_the_end() {
    let mut site = Site::new();
    let socket = site.file("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(PROMPTLY)).unwrap();
    site.environment
        .push(("NOTIFY_SOCKET", socket.display().to_string()));

    let mut server = site.start_server(Front::ConnectUnix, &[]);
    let agents = site.agents();
    let ready = format!("READY=1\nSTATUS=serving agents on {agents}\n");
    assert_eq!(told(&manager), ready);
    let mut agent = site.start_agent(&[]);
    let ready = format!("READY=1\nSTATUS=looking for servers at {}\n", site.ip());
    assert_eq!(told(&manager), ready);

    agent.terminate();
    assert_eq!(told(&manager), "STOPPING=1\nSTATUS=draining 0 streams\n");
    assert!(agent.until_ended().success());
    server.terminate();
    assert_eq!(told(&manager), "STOPPING=1\nSTATUS=stopping within 0ns\n");
    assert!(server.until_ended().success());
}
