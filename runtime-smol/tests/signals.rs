//! Signals, in a process of their own. Tasks, timers and sockets: the contract of every runtime, in `tests/`.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use dialback_smol::{Signal, TerminationSignals};

#[test]
fn termination_signals_arrive() {
    async_io::block_on(async {
        let mut signals = TerminationSignals::listen().unwrap();
        for (name, expected) in [("TERM", Signal::Terminate), ("INT", Signal::Interrupt)] {
            let status = std::process::Command::new("kill")
                .args(["-s", name, &std::process::id().to_string()])
                .status()
                .unwrap();
            assert!(status.success());
            assert_eq!(signals.recv().await, expected);
        }
    });
}
