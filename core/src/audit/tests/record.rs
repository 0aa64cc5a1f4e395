use super::*;
use crate::close::Initiator;

fn json(event: &Event, omitted: FieldSet) -> String {
    let record = Record {
        time: time(),
        sequence: 42,
        server: "server-1",
        event,
        omitted,
    };
    serde_json::to_string(&record).expect("texts and numbers are JSON")
}

#[test]
fn a_closed_stream_says_who_reached_what_and_how_it_ended() {
    assert_eq!(
        json(&closed(CloseReason::EndpointClosed), FieldSet::EMPTY),
        concat!(
            r#"{"schema":"dialback.audit/v1","time":"2026-11-24T01:30:00.000000Z","sequence":42,"#,
            r#""event":"stream.closed","server":"server-1","stream":7,"#,
            r#""frontend":{"name":"kube-apiserver","address":"127.0.0.1:50000","mode":"grpc","#,
            r#""commonName":"kube-apiserver","organizations":["system:masters"]},"#,
            r#""tenant":"blue","destination":"web.blue.svc:443","addressDialled":"10.96.0.1:443","#,
            r#""dial":{"id":"12","frontendId":"-9007199254740993","connectId":"5"},"#,
            r#""trace":{"id":"0af7651916cd43dd8448eb211c80319c","parentId":"b7ad6b7169203331"},"#,
            r#""agent":{"id":"agent-1","name":"agent","address":"10.0.0.9:4711","#,
            r#""commonName":"agent","organizations":["blue"],"tunnel":3},"#,
            r#""endedBy":"endpoint","reason":"endpoint_closed","message":"closed by the endpoint","#,
            r#""durationSeconds":61.5,"bytes":{"toEndpoint":17,"toFrontend":4096}}"#,
        )
    );
}

#[test]
fn a_dial_that_fails_says_whose_word_it_was() {
    let throttled = DialError::Throttled {
        limit: "dials per second in total".to_owned(),
        retry_after: Duration::from_millis(1500),
    };
    for (error, event, end) in [
        (
            Some(throttled),
            "stream.throttled",
            r#""endedBy":"server","reason":"throttled","message":"dial throttled: over dials per second in total, try again in 2 s","retryAfterSeconds":2,"dialSeconds":1.0}"#,
        ),
        (
            Some(DialError::Denied {
                reason: "rule \"a\" denies it".to_owned(),
            }),
            "stream.denied",
            r#""endedBy":"server","reason":"denied","message":"dial denied: rule \"a\" denies it","dialSeconds":1.0}"#,
        ),
        (
            Some(DialError::Refused("no route".to_owned())),
            "stream.failed",
            r#""endedBy":"agent","reason":"error_response","message":"no route","dialSeconds":1.0}"#,
        ),
        (
            None,
            "stream.failed",
            r#""endedBy":"frontend","reason":"frontend_close","message":"the frontend gave the dial up","dialSeconds":1.0}"#,
        ),
    ] {
        let line = json(&failed(error), FieldSet::EMPTY);
        assert!(line.contains(&format!(r#""event":"{event}""#)), "{line}");
        assert!(line.ends_with(end), "{line}");
    }
}

#[test]
fn what_a_policy_leaves_out_is_not_there() {
    let omitted: FieldSet = Field::ALL
        .iter()
        .copied()
        .filter(|field| field.group().0 == Some("frontend") || *field == Field::Schema)
        .collect();
    let line = json(&opened(), omitted);
    assert!(!line.contains("frontend\":{"), "{line}");
    assert!(
        line.starts_with(r#"{"schema":"dialback.audit/v1""#),
        "{line}"
    );
}

#[test]
fn what_a_peer_writes_stays_within_its_bounds_and_its_line() {
    let words = format!("a\n\"{}", "\u{1f600}".repeat(1000));
    let mut queue = AuditQueue::new(AuditMode::BestEffort, 1, AuditPolicy::default());
    queue.offer(time(), closed(CloseReason::Other(Initiator::Agent, words)));
    let [queued] = &queue.take(time(), 9)[..] else {
        panic!("it was taken");
    };
    let line = json(&queued.event, FieldSet::EMPTY);
    assert!(line.contains(r#"reset by the agent: a\n\""#), "{line}");
    assert!(line.contains('…') && line.len() < 2500, "{}", line.len());
    assert!(!line.contains('\n'));
}

#[test]
fn each_text_of_a_stream_is_cut_and_whoever_shares_it_keeps_it_whole() {
    let long = "\u{1f600}".repeat(1000);
    let lengthen: [fn(&mut AuditedStream, &str); 3] = [
        |stream, text| stream.destination = text.to_owned(),
        |stream, text| stream.selector = Some(text.to_owned()),
        |stream, text| stream.agent.id = Some(text.into()),
    ];
    for lengthen in lengthen {
        let Event::Stream(mut event) = opened() else {
            panic!("it is about a stream");
        };
        lengthen(Arc::make_mut(&mut event.stream), &long);
        let kept = Arc::clone(&event.stream);
        let mut queue = AuditQueue::new(AuditMode::BestEffort, 1, AuditPolicy::default());
        queue.offer(time(), Event::Stream(event.clone()));
        let [queued] = &queue.take(time(), 9)[..] else {
            panic!("it was taken");
        };
        let line = json(&queued.event, FieldSet::EMPTY);
        assert!(line.contains('…') && line.len() < 2500, "{}", line.len());
        let shared = json(&Event::Stream(event), FieldSet::EMPTY);
        assert!(shared.contains(&long), "{}", shared.len());
        assert_eq!(Arc::strong_count(&kept), 1, "the record has one of its own");
    }
}

#[test]
fn an_agent_is_known_by_what_it_says_and_by_what_it_has_proved() {
    let refused = AgentChange::Refused {
        reason: "policy",
        message: "no".to_owned(),
    };
    assert!(json(&agent(refused), FieldSet::EMPTY).ends_with(concat!(
        r#""event":"agent.refused","server":"server-1","#,
        r#""agent":{"id":"agent-1","identifiers":["host=a.example","label=zone:a"]},"#,
        r#""endedBy":"server","reason":"policy","message":"no"}"#
    )));
    let lost = AgentChange::Lost(CloseReason::NotResumed);
    assert!(json(&agent(lost), FieldSet::EMPTY).contains(r#""reason":"not_resumed""#));
}

#[test]
fn every_field_has_a_name_of_its_own() {
    let mut paths: Vec<_> = Field::ALL.iter().map(|field| field.path()).collect();
    paths.sort_unstable();
    paths.dedup();
    assert_eq!(paths.len(), Field::ALL.len());
    for (at, field) in Field::ALL.iter().enumerate() {
        assert_eq!(*field as usize, at);
        assert!(FieldSet::from_iter([*field]).contains(*field));
    }
    for (at, kind) in EventKind::ALL.iter().enumerate() {
        assert_eq!(*kind as usize, at);
    }
}
