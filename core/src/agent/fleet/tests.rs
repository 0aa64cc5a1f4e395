#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

mod any_sequence;
mod draining;
mod leases;
mod resume;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Always the same bits: zero draws the shortest of every range.
struct Fixed(u64);

impl Entropy for Fixed {
    fn next_u64(&mut self) -> u64 {
        self.0
    }
}

/// A fleet under virtual time.
struct World {
    fleet: Fleet,
    epoch: Instant,
    now: Instant,
    entropy: Fixed,
    links: u64,
}

impl World {
    #[expect(
        clippy::disallowed_methods,
        reason = "the epoch of a test; all else is an offset"
    )]
    fn new(config: FleetConfig) -> Self {
        let now = Instant::now();
        Self {
            fleet: Fleet::new(config, now).unwrap(),
            epoch: now,
            now,
            entropy: Fixed(0),
            links: 0,
        }
    }

    fn elapsed(&self) -> Duration {
        self.now - self.epoch
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.fleet.handle_timeout(self.now, &mut self.entropy);
    }

    /// The wait in milliseconds, where the longest of its range is drawn: the range's end, which is never reached.
    fn longest_wait(&self) -> u128 {
        self.wait().unwrap().as_nanos().div_ceil(1_000_000)
    }

    fn actions(&mut self) -> Vec<FleetAction> {
        std::iter::from_fn(|| self.fleet.poll_action()).collect()
    }

    fn events(&mut self) -> Vec<FleetEvent> {
        std::iter::from_fn(|| self.fleet.poll_event()).collect()
    }

    /// Goes on to the next deadline, at which an attempt has to start.
    fn next_attempt(&mut self) -> AttemptId {
        assert_eq!(self.actions(), [], "an action is left over");
        let at = self.fleet.poll_timeout().expect("an attempt is due");
        self.now = self.now.max(at);
        self.fleet.handle_timeout(self.now, &mut self.entropy);
        match self.actions().as_slice() {
            [FleetAction::StartAttempt { attempt }] => *attempt,
            other => panic!("expected an attempt, got {other:?}"),
        }
    }

    /// Answers an attempt; returns the link and what the fleet does about it.
    fn connect(
        &mut self,
        attempt: AttemptId,
        server: &str,
        count: i64,
    ) -> (LinkId, Vec<FleetAction>) {
        self.links += 1;
        let link = LinkId(self.links);
        let hello = ServerHello {
            server_id: server.to_owned(),
            server_count: count,
        };
        self.fleet
            .handle_connected(self.now, attempt, link, hello, &mut self.entropy);
        (link, self.actions())
    }

    /// Waits for the next attempt and lets it reach `server`, which has to be taken.
    fn join(&mut self, server: &str, count: i64) -> LinkId {
        let attempt = self.next_attempt();
        let (link, actions) = self.connect(attempt, server, count);
        assert_eq!(actions, [FleetAction::AcceptLink { link }]);
        link
    }

    fn fail(&mut self, attempt: AttemptId) {
        self.fleet
            .handle_attempt_failed(self.now, attempt, &mut self.entropy);
    }

    fn lose(&mut self, link: LinkId) {
        self.fleet
            .handle_link_down(self.now, link, &mut self.entropy);
    }

    fn go_away(&mut self, link: LinkId) {
        self.fleet.handle_go_away(self.now, link, &mut self.entropy);
    }

    fn drain_server(&mut self, link: LinkId) {
        self.fleet
            .handle_server_draining(self.now, link, &mut self.entropy);
    }

    fn count_leases(&mut self, leases: u64) {
        let leases = ServerLeases::new((0..leases).map(|_| None));
        self.fleet
            .handle_leases(self.now, Some(leases), &mut self.entropy);
    }

    /// How long until the next deadline.
    fn wait(&self) -> Option<Duration> {
        self.fleet
            .poll_timeout()
            .map(|at| at.saturating_duration_since(self.now))
    }
}

#[test]
fn the_first_attempt_is_due_at_once_and_one_server_is_enough() {
    let mut world = World::new(FleetConfig::default());
    world.join("a", 1);
    assert_eq!(world.elapsed(), Duration::ZERO);
    assert_eq!(world.fleet.connected(), 1);
    assert_eq!(world.fleet.server_id(LinkId(1)), Some("a"));
    assert_eq!(world.wait(), None);
    world.pass(60 * SECOND);
    assert_eq!(world.actions(), []);
}

#[test]
fn finds_as_many_servers_as_there_are_said_to_be() {
    let mut world = World::new(FleetConfig::default());
    for (seconds, server) in [(0, "a"), (1, "b"), (2, "c")] {
        world.join(server, 3);
        assert_eq!(world.elapsed(), seconds * SECOND);
    }
    assert_eq!(world.fleet.connected(), 3);
    assert_eq!(world.wait(), None);
}

#[test]
fn a_second_link_to_a_server_is_closed_and_the_search_goes_on_at_its_pace() {
    let mut world = World::new(FleetConfig::default());
    world.join("a", 2);
    for _ in 0..5 {
        let attempt = world.next_attempt();
        let (link, actions) = world.connect(attempt, "a", 2);
        let [
            FleetAction::CloseLink {
                link: closed,
                reason,
            },
        ] = actions.as_slice()
        else {
            panic!("expected the link to be closed, got {actions:?}");
        };
        assert_eq!(*closed, link);
        assert_eq!(reason.to_string(), "duplicate server: a");
        assert_eq!(world.wait(), Some(SECOND));
        // The end of the refused link means nothing.
        world.lose(link);
        assert_eq!(world.wait(), Some(SECOND));
    }
    assert_eq!(world.fleet.connected(), 1);
}

#[test]
fn the_count_of_a_duplicate_is_not_taken() {
    let mut world = World::new(FleetConfig::default());
    world.join("a", 2);
    let attempt = world.next_attempt();
    world.connect(attempt, "a", 7);
    assert_eq!(world.fleet.known_servers(), 2);
}

#[test]
fn failures_back_off_and_a_success_starts_over() {
    let mut world = World::new(FleetConfig::default());
    world.entropy = Fixed(u64::MAX);
    let mut waits = Vec::new();
    for _ in 0..8 {
        let attempt = world.next_attempt();
        world.fail(attempt);
        waits.push(world.longest_wait());
    }
    assert_eq!(waits, [1100, 1500, 2250, 3375, 5063, 7594, 10_000, 10_000]);
    world.join("a", 2);
    let attempt = world.next_attempt();
    world.fail(attempt);
    assert_eq!(world.longest_wait(), 1100);
}

#[test]
fn a_duplicate_resets_the_back_off() {
    let mut world = World::new(FleetConfig::default());
    world.join("a", 2);
    for _ in 0..3 {
        let attempt = world.next_attempt();
        world.fail(attempt);
    }
    let attempt = world.next_attempt();
    world.connect(attempt, "a", 2);
    assert_eq!(world.wait(), Some(SECOND));
    let attempt = world.next_attempt();
    world.fail(attempt);
    assert_eq!(world.wait(), Some(SECOND));
}

#[test]
fn waits_are_drawn_from_a_tenth_and_after_failures_from_all_there_is() {
    let mut world = World::new(FleetConfig::default());
    world.entropy = Fixed(u64::MAX);
    world.join("a", 2);
    let wait = world.wait().unwrap();
    assert!(wait > SECOND && wait < SECOND.mul_f64(1.1), "{wait:?}");
    let attempt = world.next_attempt();
    world.fail(attempt);
    let attempt = world.next_attempt();
    world.fail(attempt);
    let wait = world.wait().unwrap();
    assert!(
        wait > SECOND.mul_f64(1.49) && wait < SECOND.mul_f64(1.5),
        "{wait:?}"
    );
}

#[test]
fn d26_a_silent_server_costs_the_attempt_timeout_and_no_more() {
    let mut world = World::new(FleetConfig::default());
    let attempt = world.next_attempt();
    world.events();
    assert_eq!(world.wait(), Some(20 * SECOND));
    world.pass(20 * SECOND - Duration::from_nanos(1));
    assert_eq!(world.actions(), []);
    world.pass(Duration::from_nanos(1));
    assert_eq!(world.actions(), [FleetAction::CancelAttempt { attempt }]);
    assert_eq!(
        world.events(),
        [
            FleetEvent::AttemptTimedOut {
                attempt,
                timeout: 20 * SECOND
            },
            FleetEvent::Waiting {
                attempt,
                wait: SECOND
            },
        ]
    );
    // It counts as a failure: the next one is followed by a longer wait.
    world.entropy = Fixed(u64::MAX);
    let attempt = world.next_attempt();
    world.fail(attempt);
    assert_eq!(world.longest_wait(), 1500);
}

#[test]
fn an_answer_that_comes_after_the_timeout_changes_nothing() {
    let mut world = World::new(FleetConfig::default());
    let late = world.next_attempt();
    world.pass(20 * SECOND);
    world.actions();
    let current = world.next_attempt();
    let (link, actions) = world.connect(late, "a", 1);
    let reason = LinkRefused::AttemptOver {
        attempt: late,
        link,
    };
    assert_eq!(actions, [FleetAction::CloseLink { link, reason }]);
    world.fail(late);
    // The attempt under way is still the one that counts.
    let (link, actions) = world.connect(current, "a", 1);
    assert_eq!(actions, [FleetAction::AcceptLink { link }]);
}

#[test]
fn a_lost_link_is_replaced_at_once() {
    let mut world = World::new(FleetConfig::default());
    let link = world.join("a", 1);
    world.pass(60 * SECOND);
    world.lose(link);
    assert_eq!(world.fleet.connected(), 0);
    assert_eq!(world.wait(), Some(Duration::ZERO));
    world.join("a", 1);
    assert_eq!(world.elapsed(), 60 * SECOND);
}

#[test]
fn agents_that_lose_a_server_together_spread_over_a_tenth_of_the_interval() {
    let mut world = World::new(FleetConfig::default());
    world.entropy = Fixed(u64::MAX);
    let link = world.join("a", 1);
    world.pass(60 * SECOND);
    world.lose(link);
    let wait = world.wait().unwrap();
    assert!(wait > Duration::ZERO && wait < SECOND / 10, "{wait:?}");
}

#[test]
fn a_server_that_takes_and_drops_every_link_is_tried_at_the_usual_pace() {
    let mut world = World::new(FleetConfig::default());
    for attempts in 1..=10 {
        let link = world.join("a", 1);
        world.lose(link);
        assert_eq!(world.elapsed(), (attempts - 1) * SECOND);
    }
}

#[test]
fn losing_a_link_cuts_a_long_wait_short() {
    let mut world = World::new(FleetConfig::default());
    let link = world.join("a", 2);
    world.entropy = Fixed(u64::MAX);
    for _ in 0..7 {
        let attempt = world.next_attempt();
        world.fail(attempt);
    }
    assert_eq!(world.longest_wait(), 10_000);
    world.pass(SECOND / 2);
    world.lose(link);
    // Not before the interval has passed since the last attempt.
    assert_eq!(world.longest_wait(), 500);
    // The next failure goes on where the waits were.
    let attempt = world.next_attempt();
    world.fail(attempt);
    assert_eq!(world.longest_wait(), 10_000);
}

#[test]
fn the_late_end_of_an_old_link_leaves_its_successor_alone() {
    let mut world = World::new(FleetConfig::default());
    let old = world.join("a", 1);
    world.go_away(old);
    let new = world.join("a", 1);
    world.lose(old);
    assert_eq!(world.fleet.server_id(new), Some("a"));
    assert_eq!(world.fleet.connected(), 1);
    assert_eq!(world.wait(), None);
    world.lose(old);
    assert_eq!(world.fleet.connected(), 1);
}

#[test]
fn d28_after_go_away_a_new_link_is_made_while_the_old_one_goes_on() {
    let mut world = World::new(FleetConfig::default());
    let old = world.join("a", 1);
    world.pass(60 * SECOND);
    world.events();
    world.go_away(old);
    assert_eq!((world.fleet.connected(), world.fleet.leaving()), (0, 1));
    assert_eq!(world.wait(), Some(Duration::ZERO));
    // The same server answers: not a duplicate of the link that is leaving.
    world.join("a", 1);
    assert_eq!((world.fleet.connected(), world.fleet.leaving()), (1, 1));
    assert_eq!(
        world.events(),
        [
            FleetEvent::Links {
                connected: 0,
                leaving: 1
            },
            FleetEvent::Links {
                connected: 1,
                leaving: 1
            },
        ]
    );
    // Told again, it changes nothing.
    world.go_away(old);
    assert_eq!(world.events(), []);
    assert_eq!(world.wait(), None);
}

#[test]
fn a_server_that_always_says_go_away_is_tried_at_the_usual_pace() {
    let mut world = World::new(FleetConfig::default());
    for attempts in 1..=10 {
        let link = world.join("a", 1);
        world.go_away(link);
        assert_eq!(world.elapsed(), (attempts - 1) * SECOND);
    }
}

#[test]
fn no_attempt_starts_at_the_link_limit() {
    let config = FleetConfig {
        max_links: 2,
        ..FleetConfig::default()
    };
    let mut world = World::new(config);
    let first = world.join("a", i64::MAX);
    world.go_away(first);
    world.events();
    let second = world.join("b", i64::MAX);
    assert!(
        world
            .events()
            .contains(&FleetEvent::LinkLimitReached { limit: 2 })
    );
    assert_eq!(world.wait(), None);
    world.go_away(second);
    assert_eq!(world.wait(), None);
    // A link that has left makes room.
    world.lose(first);
    assert!(world.wait().is_some());
}

#[test]
fn a_draining_agent_connects_no_more_and_keeps_what_it_has() {
    let mut world = World::new(FleetConfig::default());
    let first = world.join("a", 3);
    let second = world.join("b", 3);
    let attempt = world.next_attempt();
    world.fleet.handle_drain();
    assert_eq!(world.actions(), [FleetAction::CancelAttempt { attempt }]);
    assert!(world.fleet.is_draining());
    assert_eq!(world.fleet.connected(), 2);

    // An answer that was on its way.
    let (link, actions) = world.connect(attempt, "c", 3);
    let reason = LinkRefused::AttemptOver { attempt, link };
    assert_eq!(actions, [FleetAction::CloseLink { link, reason }]);

    world.lose(first);
    world.go_away(second);
    world.count_leases(9);
    world.pass(60 * SECOND);
    assert_eq!(world.actions(), []);
    assert_eq!(world.wait(), None);
    assert_eq!((world.fleet.connected(), world.fleet.leaving()), (0, 1));
}

#[test]
fn a_drain_during_a_wait_ends_it() {
    let mut world = World::new(FleetConfig::default());
    world.join("a", 2);
    assert!(world.wait().is_some());
    world.fleet.handle_drain();
    assert_eq!(world.wait(), None);
}

#[test]
fn sync_forever_goes_on_at_the_interval() {
    let config = FleetConfig {
        sync_forever: true,
        ..FleetConfig::default()
    };
    let mut world = World::new(config);
    world.join("a", 1);
    for _ in 0..5 {
        assert_eq!(world.wait(), Some(SECOND));
        let attempt = world.next_attempt();
        world.connect(attempt, "a", 1);
    }
    // A server beyond the known number is taken.
    world.join("b", 1);
    assert_eq!(world.fleet.connected(), 2);
}

#[test]
fn counts_and_links_are_told_when_they_change() {
    let mut world = World::new(FleetConfig::default());
    assert_eq!(world.events(), [FleetEvent::KnownServers { count: 1 }]);
    let link = world.join("a", 2);
    let connected = |connected| FleetEvent::Links {
        connected,
        leaving: 0,
    };
    assert_eq!(
        world.events(),
        [FleetEvent::KnownServers { count: 2 }, connected(1)]
    );
    world.join("b", 2);
    assert_eq!(world.events(), [connected(2)]);
    world.lose(link);
    assert_eq!(world.events(), [connected(1)]);
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the epoch of a test; nothing follows it"
)]
fn configurations_that_cannot_work_are_refused() {
    let refusal = |change: fn(&mut FleetConfig)| {
        let mut config = FleetConfig::default();
        change(&mut config);
        Fleet::new(config, Instant::now()).err()
    };
    assert_eq!(
        refusal(|config| config.sync_interval = Duration::ZERO),
        Some(FleetConfigError::NoSyncInterval)
    );
    assert_eq!(
        refusal(|config| config.sync_interval = 11 * SECOND),
        Some(FleetConfigError::SyncIntervalAboveCap {
            interval: 11 * SECOND,
            cap: 10 * SECOND
        })
    );
    assert_eq!(refusal(|config| config.sync_interval = 10 * SECOND), None);
    assert_eq!(
        refusal(|config| config.attempt_timeout = Duration::ZERO),
        Some(FleetConfigError::NoAttemptTimeout)
    );
    assert_eq!(
        refusal(|config| config.max_links = 0),
        Some(FleetConfigError::NoLinks)
    );
}

#[test]
fn spans_beyond_time_itself_mean_never() {
    let config = FleetConfig {
        sync_interval: Duration::MAX,
        sync_interval_cap: Duration::MAX,
        attempt_timeout: Duration::MAX,
        ..FleetConfig::default()
    };
    let mut world = World::new(config);
    let attempt = world.next_attempt();
    assert_eq!(world.wait(), None);
    world.fail(attempt);
    assert_eq!(world.wait(), None);
    world.count_leases(3);
    assert_eq!(world.wait(), None);
}
