//! Whatever the server and the owner do, in whatever order.

use quickcheck::quickcheck;

use super::*;

/// Any packet: ids are drawn from a few, so that some of them fit.
fn packet(kind: u8, id: u8, payload: &mut impl FnMut() -> Bytes) -> Packet {
    let dial = if id & 4 == 0 { DIAL } else { DialId(1) };
    let connect_id = [CONN, CONN, OTHER, None][usize::from(id & 3)];
    let error = if id & 0x30 == 0 { "error" } else { "" }.to_owned();
    match kind % 10 {
        0 => answer(dial, connect_id.and(CONN), &error),
        1 => Packet::CloseResponse { connect_id, error },
        2 if id & 0x30 == 0 => Packet::CloseDial { dial },
        3 => Packet::CloseRequest { connect_id },
        4 => Packet::Drain,
        5 => dial_request(),
        6 => Packet::WindowUpdate {
            connect_id,
            bytes: u64::MAX,
        },
        _ => Packet::Data {
            connect_id,
            data: payload(),
        },
    }
}

/// A stretch of an endless sequence, so that loss, repetition and disorder show.
fn stretch(from: &mut usize, length: usize) -> Bytes {
    let start = *from;
    *from += length;
    (start..*from)
        .map(|position| (position % 251) as u8)
        .collect()
}

fn in_order(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .enumerate()
        .all(|(position, byte)| *byte == (position % 251) as u8)
}

quickcheck! {
    fn any_sequence_keeps_order_and_answers_once(prelude: u8, operations: Vec<(u8, u8, u8)>) -> bool {
        let config = TunnelConfig {
            max_data_bytes: 100,
            read_buffer_bytes: 300,
            write_buffer_bytes: 300,
            ..TunnelConfig::default()
        };
        // Most runs start with an open connection, since random packets seldom get that far.
        let opened = !prelude.is_multiple_of(4);
        let mut world = if opened { World::open_with(config) } else { World::new(config) };
        let mut established = opened;
        let (mut sent_to_us, mut written) = (0, 0);
        let (mut read, mut transmitted) = (Vec::new(), Vec::new());
        let (mut dials_answered, mut ends) = (usize::from(opened), 0);
        let (mut closing, mut discarding) = (false, false);
        for (operation, id, length) in operations {
            let length = usize::from(length) * 4;
            match operation % 16 {
                0..=5 => {
                    let ours = established && id & 3 < 2 && world.tunnel.ended().is_none();
                    let mut stray = 0;
                    let counter = if ours { &mut sent_to_us } else { &mut stray };
                    let packet = packet(operation / 16, id, &mut || stretch(counter, length));
                    world.tunnel.handle_packet(packet);
                }
                6..=8 => {
                    let mut offered = written;
                    let mut data = stretch(&mut offered, length);
                    let room = world.tunnel.write_room();
                    if let Ok(taken) = world.tunnel.write(&mut data) {
                        assert_eq!(taken, length.min(room));
                        written += taken;
                    }
                }
                9 | 10 => match world.tunnel.poll_read(length) {
                    Some(ReadOutput::Data(data)) => {
                        assert!(!data.is_empty() && data.len() <= length && !discarding);
                        read.extend_from_slice(&data);
                    }
                    Some(ReadOutput::Eof | ReadOutput::Failed(_)) => {
                        assert!(world.tunnel.ended().is_some());
                        assert!(discarding || read.len() == sent_to_us, "the end before the data");
                    }
                    None => {}
                },
                11 | 12 => match world.tunnel.poll_transmit(world.now) {
                    Some(Packet::Data { connect_id, data }) => {
                        assert!(!data.is_empty() && data.len() <= 100 && connect_id == CONN);
                        transmitted.extend_from_slice(&data);
                    }
                    Some(Packet::CloseRequest { connect_id: CONN }) => {
                        assert_eq!(transmitted.len(), written, "closed before all was sent");
                    }
                    _ => {}
                },
                13 => world.pass(Duration::from_secs(u64::from(id % 12))),
                14 if id < 64 => {
                    world.tunnel.stop_reading();
                    discarding = true;
                }
                14 if id < 128 => {
                    world.tunnel.close(world.now);
                    closing = true;
                }
                15 if id < 16 => world.tunnel.cancel(world.now),
                15 if id < 32 => world.tunnel.handle_stream_end(Ok(())),
                _ => {}
            }
            for event in world.events() {
                match event {
                    TunnelEvent::Dialled(dialled) => {
                        dials_answered += 1;
                        assert_eq!(ends, 0);
                        established = dialled.is_ok();
                    }
                    TunnelEvent::Ended(_) => {
                        ends += 1;
                        assert!(established);
                    }
                }
            }
            assert!(dials_answered <= 1 && ends <= 1);
            assert!(world.tunnel.write_room() <= 300);
            assert!(!closing || !world.tunnel.wants_write());
        }
        assert!(in_order(&transmitted) && transmitted.len() <= written);
        assert!(discarding || (in_order(&read) && read.len() <= sent_to_us));

        // Whatever came before: a close and enough time finish every tunnel.
        world.tunnel.close(world.now);
        for _ in 0..2 {
            world.pass(30 * SECOND);
        }
        dials_answered += world
            .events()
            .iter()
            .filter(|event| matches!(event, TunnelEvent::Dialled(_)))
            .count();
        assert_eq!(dials_answered, 1);
        world.tunnel.is_finished() && world.tunnel.poll_timeout().is_none()
    }
}
