//! Packets towards the tunnel.

use super::*;

#[test]
fn a_chunk_of_the_packet_limit_leaves_whole() {
    let mut t = Fixture::plain(config());
    let id = t.open(1);
    t.push(id, 100);
    assert_eq!(t.transmit_all(), [(1, 100)]);
}

#[test]
fn a_chunk_above_the_packet_limit_is_split() {
    let mut t = Fixture::plain(config());
    let id = t.open(1);
    t.push(id, 201);
    assert_eq!(t.transmit_all(), [(1, 100), (1, 100), (1, 1)]);
}

#[test]
fn small_writes_that_wait_leave_in_one_packet() {
    let mut t = Fixture::plain(config());
    let id = t.open(1);
    for _ in 0..30 {
        t.push(id, 3);
    }
    assert_eq!(t.transmit_all(), [(1, 90)]);
}

#[test]
fn bytes_leave_in_order_whatever_their_chunks() {
    let mut t = Fixture::plain(config());
    let id = t.open(1);
    let sent: Vec<u8> = (0..=255).cycle().take(5000).collect();
    for chunk in sent.chunks(617) {
        t.mux.push(id, Bytes::copy_from_slice(chunk));
    }
    let left: Vec<u8> = std::iter::from_fn(|| t.transmit())
        .flat_map(|packet| {
            let Packet::Data { data, .. } = packet else {
                panic!("only DATA was expected, not {packet:?}");
            };
            data.to_vec()
        })
        .collect();
    assert_eq!(left, sent);
}

#[test]
fn empty_writes_never_leave() {
    let mut t = Fixture::plain(config());
    let id = t.open(1);
    t.push(id, 0);
    assert!(!t.mux.has_transmit(true));
    assert_eq!(t.transmit(), None);
}

#[test]
fn streams_take_turns_by_bytes_however_large_their_packets() {
    let mut t = Fixture::plain(MuxConfig {
        max_data_bytes: 2000,
        send_buffer_bytes: MEBIBYTE,
        ..config()
    });
    let (large, small) = (t.open(1), t.open(2));
    let turn = |t: &mut Fixture| {
        let mut sent = [0, 0];
        for _ in 0..600 {
            // The sources of both have always more.
            if t.mux.stream(large).unwrap().send.queued_bytes() == 0 {
                t.push(large, 2000);
            }
            if t.mux.stream(small).unwrap().send.queued_bytes() == 0 {
                t.push(small, 1100);
                t.push(small, 1100);
            }
            let Some(Packet::Data { connect_id, data }) = t.transmit() else {
                panic!("both have something to send");
            };
            sent[usize::from(connect_id == ConnectId::new(2))] += data.len();
        }
        sent
    };
    let [large, small] = turn(&mut t);
    assert!(large.abs_diff(small) <= 8000, "{large} and {small}");
}

#[test]
fn the_first_bytes_of_a_quiet_stream_overtake_bulk_but_not_for_ever() {
    let mut t = Fixture::plain(MuxConfig {
        send_buffer_bytes: MEBIBYTE,
        ..config()
    });
    let bulk = [t.open(1), t.open(2)];
    for id in bulk {
        t.push(id, 10_000);
    }
    for _ in 0..10 {
        t.transmit();
    }
    let quiet = t.open(3);
    t.push(quiet, 500);
    let next: Vec<_> = (0..40).map(|_| t.transmit()).collect();
    let ids = next.iter().map(|packet| match packet {
        Some(Packet::Data { connect_id, .. }) => ConnectId::wire(*connect_id),
        other => panic!("{other:?}"),
    });
    let ids: Vec<_> = ids.collect();
    assert_eq!(ids[0], 3, "its first bytes come at once");
    assert!(
        ids[..8].iter().any(|id| *id != 3),
        "the others still move: {ids:?}"
    );
}

#[test]
fn packets_without_bytes_take_no_turns_for_nothing() {
    let mut t = Fixture::plain(config());
    let id = t.open(1);
    for _ in 0..100 {
        t.push(id, 1);
        assert_eq!(t.transmit_all(), [(1, 1)]);
        assert!(!t.mux.has_transmit(true));
    }
}

#[test]
fn packets_about_streams_overtake_data() {
    let mut t = Fixture::plain(config());
    let id = t.open(1);
    t.push(id, 10);
    t.mux.reply_to_unknown(close(9));
    t.mux.send_control(Packet::Drain);
    assert_eq!(t.transmit(), Some(Packet::Drain));
    assert_eq!(t.transmit(), Some(close(9)));
    assert_eq!(t.transmit_all(), [(1, 10)]);
}

#[test]
fn the_end_leaves_behind_all_data_and_names_its_stream() {
    let mut t = Fixture::plain(config());
    let id = t.open(1);
    t.push(id, 150);
    t.mux.finish(id, close(1));
    for length in [100, 50] {
        let outgoing = t.mux.poll_transmit(t.epoch, true).unwrap();
        assert_eq!(outgoing.ended, None);
        assert!(matches!(outgoing.packet, Packet::Data { data, .. } if data.len() == length));
    }
    let outgoing = t.mux.poll_transmit(t.epoch, true).unwrap();
    assert_eq!(
        (outgoing.packet, outgoing.ended),
        (close(1), Some(Ended::Stream(id)))
    );
    assert!(t.mux.stream(id).unwrap().send.is_closed());
    assert_eq!(t.transmit(), None);
}

#[test]
fn nothing_is_accepted_behind_the_end_and_the_first_end_wins() {
    let mut t = Fixture::plain(config());
    let id = t.open(1);
    t.mux.finish(id, close(1));
    t.push(id, 10);
    t.mux.finish(id, Packet::Drain);
    assert!(!t.mux.wants_push(id));
    assert_eq!(t.transmit(), Some(close(1)));
    assert_eq!(t.transmit(), None);
}

#[test]
fn the_end_of_the_bytes_may_be_followed_by_the_end_of_the_stream() {
    let mut t = Fixture::plain(config());
    let id = t.open(1);
    let end = Packet::CloseWrite {
        connect_id: ConnectId::new(1),
    };
    t.push(id, 10);
    t.mux.finish_writing(id, end.clone());
    t.push(id, 10);
    assert_eq!(t.transmit_all_until_end(), (10, Ended::Writing(id)));
    t.mux.finish(id, close(1));
    let last = t.mux.poll_transmit(t.epoch, true).unwrap();
    assert_eq!(
        (last.packet, last.ended),
        (close(1), Some(Ended::Stream(id)))
    );

    // One that has not left gives way to the end of the stream, or becomes it.
    let (second, third) = (t.open(2), t.open(3));
    t.mux.finish_writing(second, end.clone());
    t.mux.finish(second, close(2));
    assert_eq!(t.transmit(), Some(close(2)));
    t.mux.finish_writing(third, end.clone());
    t.mux.seal(third);
    let last = t.mux.poll_transmit(t.epoch, true).unwrap();
    assert_eq!((last.packet, last.ended), (end, Some(Ended::Stream(third))));
    assert_eq!(t.transmit(), None);
}

#[test]
fn a_half_closed_without_a_word_sends_nothing_more() {
    let mut t = Fixture::plain(config());
    let id = t.open(1);
    t.push(id, 10);
    t.mux.finish(id, close(1));
    t.mux.close_outgoing(id);
    assert_eq!(t.transmit(), None);
    assert_eq!(t.held_bytes(), 0);
}

#[test]
fn a_source_is_paused_at_the_bound_and_woken_at_half_of_it() {
    let mut t = Fixture::plain(config());
    let id = t.open(1);
    t.push(id, 999);
    assert!(t.mux.wants_push(id));
    t.push(id, 1);
    assert!(!t.mux.wants_push(id));

    for _ in 0..4 {
        t.transmit();
    }
    assert!(!t.mux.wants_push(id), "600 bytes wait");
    assert_eq!(t.wakes(), []);
    t.transmit();
    assert!(t.mux.wants_push(id), "500 bytes wait");
    assert_eq!(t.wakes(), [id]);
}

#[test]
fn a_flood_of_tiny_writes_costs_hardly_more_than_its_bytes() {
    let mut t = Fixture::plain(MuxConfig {
        send_buffer_bytes: MEBIBYTE,
        max_data_bytes: MEBIBYTE,
        ..config()
    });
    let id = t.open(1);
    while t.mux.wants_push(id) {
        t.push(id, 1);
    }
    // Joined chunks, not a million of them.
    let packets = t.transmit_all();
    assert_eq!(
        packets.iter().map(|(_, length)| length).sum::<usize>(),
        MEBIBYTE
    );
    assert!(packets.len() <= 64, "{} packets", packets.len());
}

#[test]
fn a_packet_retracted_in_time_never_leaves() {
    let mut t = Fixture::plain(config());
    t.mux.send_control(close(1));
    t.mux.send_control(close(2));
    assert!(t.mux.retract_control(|packet| *packet == close(1)));
    assert!(!t.mux.retract_control(|packet| *packet == close(1)));
    assert_eq!(t.transmit(), Some(close(2)));
    assert_eq!(t.transmit(), None);
}

#[test]
fn replies_to_unknown_ids_are_bounded_until_they_leave() {
    let mut t = Fixture::plain(config());
    t.mux.send_control(Packet::Drain);
    for id in 1..=5 {
        t.mux.reply_to_unknown(close(id));
    }
    assert_eq!(t.transmit(), Some(Packet::Drain));
    assert_eq!(t.transmit(), Some(close(1)));
    t.mux.reply_to_unknown(close(6));
    for id in [2, 3, 6] {
        assert_eq!(t.transmit(), Some(close(id)));
    }
    assert_eq!(t.transmit(), None);
}
