//! What a terminal shows.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::ffi::OsStrExt;
use std::process::{Child, Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::endpoints::echo;
use crate::support::pair::{Front, Pair};
use crate::tool::{DIALBACK, Listening, connect, through};

/// A terminal, seen from the side of who sits at it.
struct Terminal {
    screen: File,
    line: File,
    seen: String,
}

impl Terminal {
    fn open() -> Self {
        let screen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&screen).unwrap();
        unlockpt(&screen).unwrap();
        let name = ptsname(&screen, Vec::new()).unwrap();
        let name = std::ffi::OsStr::from_bytes(name.as_bytes());
        let line = OpenOptions::new().read(true).write(true).open(name);
        Self {
            screen: File::from(screen),
            line: line.unwrap(),
            seen: String::new(),
        }
    }

    fn stdio(&self) -> Stdio {
        self.line.try_clone().unwrap().into()
    }

    /// Reads until `text` is on the screen.
    fn until(&mut self, text: &str) {
        let mut bytes = [0; 1024];
        while !self.seen.contains(text) {
            let read = self.screen.read(&mut bytes).unwrap();
            self.seen
                .push_str(std::str::from_utf8(&bytes[..read]).unwrap());
        }
    }
}

fn echoed(dial: &mut Child, bytes: usize) {
    let sent = vec![b'x'; bytes];
    let mut got = vec![0; bytes];
    let (input, output) = (&mut dial.stdin, &mut dial.stdout);
    std::thread::scope(|scope| {
        let input = input.as_mut().unwrap();
        scope.spawn(|| input.write_all(&sent).unwrap());
        output.as_mut().unwrap().read_exact(&mut got).unwrap();
    });
}

#[test]
fn a_long_transfer_shows_how_far_it_is() {
    let pair = Pair::start(Front::GrpcUnix, &[]);
    let mut terminal = Terminal::open();
    let mut dial = Command::new(DIALBACK)
        .arg("dial")
        .args(through(&pair, Front::GrpcUnix))
        .arg(echo().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(terminal.stdio())
        .spawn()
        .unwrap();
    echoed(&mut dial, 3 << 20);
    terminal.until("3.0 MiB sent, 3.0 MiB received");
    drop(dial.stdin.take());
    assert!(dial.wait().unwrap().success());
    // What the shell writes next is in a line of its own.
    terminal.until("\n");
    pair.finish();
}

#[test]
fn listeners_show_what_passes_and_complain_in_lines_of_their_own() {
    let mut pair = Pair::start(Front::ConnectUnix, &[]);
    let mut terminal = Terminal::open();
    let rule = format!("0:{}", echo());
    let flags = through(&pair, Front::ConnectUnix);
    let mut forward = Listening::start_with("forward", &flags, &[&rule], terminal.stdio());
    let address = forward.address();
    let mut stream = connect(address);
    stream.write_all(&vec![b'x'; 1 << 20]).unwrap();
    stream.read_exact(&mut vec![0; 1 << 20]).unwrap();
    terminal.until("1.0 MiB sent, 1.0 MiB received");
    stream.shutdown(Shutdown::Both).unwrap();
    pair.server.kill();
    let mut refused = connect(address);
    // Closed at once, or reset.
    let _ = refused.read(&mut [0]);
    terminal.until("\r\u{1b}[Kdialback: proxy server unix:");
    forward.finish();
}
