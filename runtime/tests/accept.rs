//! The loop around `accept`: bounded, and patient when the system is short of something.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dialback_runtime::listen::{accept_loop, bind_tcp};
use dialback_runtime::{Listener, PeerAddr, Runtime};
use dialback_tokio::{TokioRuntime, TokioTcpListener, TokioTcpStream};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// Fails as told, then accepts; notes when it was asked.
#[derive(Debug)]
struct Scripted {
    runtime: TokioRuntime,
    inner: TokioTcpListener,
    errors: Mutex<VecDeque<i32>>,
    asked: Mutex<Vec<Instant>>,
}

impl Listener for Scripted {
    type Stream = TokioTcpStream;

    async fn accept(&self) -> io::Result<(TokioTcpStream, PeerAddr)> {
        self.asked.lock().unwrap().push(self.runtime.now());
        let error = self.errors.lock().unwrap().pop_front();
        match error {
            Some(number) => Err(io::Error::from_raw_os_error(number)),
            None => self.inner.accept().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

fn listener() -> (TokioRuntime, TokioTcpListener) {
    let runtime = TokioRuntime::current().unwrap();
    let listener = runtime
        .tcp_listener(bind_tcp("127.0.0.1", 0).unwrap())
        .unwrap();
    (runtime, listener)
}

#[tokio::test(start_paused = true)]
async fn shortages_are_waited_out_and_lost_connections_are_not() {
    const EMFILE: i32 = 24;
    const ECONNABORTED: i32 = 103;
    let (runtime, inner) = listener();
    let address = inner.local_addr().unwrap();
    let listener = Scripted {
        runtime: runtime.clone(),
        inner,
        errors: Mutex::new([ECONNABORTED, EMFILE, EMFILE, EMFILE].into()),
        asked: Mutex::new(Vec::new()),
    };
    let (sender, mut accepted) = mpsc::channel(1);
    let client = TcpStream::connect(address).await.unwrap();
    let serve = |_, peer| {
        let sender = sender.clone();
        async move { sender.send(peer).await.unwrap() }
    };
    tokio::select! {
        () = accept_loop(&runtime, &listener, 8, || (), serve) => {}
        peer = accepted.recv() => {
            assert_eq!(peer, Some(PeerAddr::Tcp(client.local_addr().unwrap())));
        }
    }
    let asked = listener.asked.lock().unwrap();
    let waits: Vec<_> = asked[..5]
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .collect();
    // Tokio's timers have a granularity of a millisecond.
    for (wait, expected) in waits.iter().zip([0, 5, 10, 20]) {
        let expected = Duration::from_millis(expected);
        assert!(
            (expected..=expected + Duration::from_millis(1)).contains(wait),
            "{waits:?}"
        );
    }
}

#[tokio::test]
async fn no_more_connections_than_the_limit_are_served_at_a_time() {
    static SERVED: AtomicUsize = AtomicUsize::new(0);
    static PEAK: AtomicUsize = AtomicUsize::new(0);
    static FULL: AtomicBool = AtomicBool::new(false);
    const LIMIT: usize = 2;
    const CONNECTIONS: usize = 9;
    let (runtime, listener) = listener();
    let address = listener.local_addr().unwrap();
    let (sender, mut done) = mpsc::channel(CONNECTIONS);
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(TcpStream::connect(address).await.unwrap());
    }
    let serve = |_, _| {
        let sender = sender.clone();
        async move {
            let served = SERVED.fetch_add(1, Ordering::SeqCst) + 1;
            PEAK.fetch_max(served, Ordering::SeqCst);
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }
            SERVED.fetch_sub(1, Ordering::SeqCst);
            sender.send(()).await.unwrap();
        }
    };
    let all = async {
        for _ in 0..CONNECTIONS {
            done.recv().await.unwrap();
        }
    };
    tokio::select! {
        () = accept_loop(&runtime, &listener, LIMIT, || FULL.store(true, Ordering::SeqCst), serve) => {}
        () = all => {}
    }
    assert_eq!(PEAK.load(Ordering::SeqCst), LIMIT);
    assert!(FULL.load(Ordering::SeqCst));
}
