#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use quickcheck::quickcheck;

use super::*;

fn framed(messages: &[Vec<u8>]) -> Vec<u8> {
    let mut stream = Vec::new();
    for message in messages {
        stream.push(0);
        stream.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
        stream.extend(message);
    }
    stream
}

fn drain(decoder: &mut FrameDecoder, out: &mut Vec<Bytes>) {
    while let Some(message) = decoder.next_message().unwrap() {
        out.push(message);
    }
}

#[test]
fn a_message_within_one_chunk_is_not_copied() {
    let chunk = Bytes::from(framed(&[vec![7; 100], vec![8; 200]]));
    let mut decoder = FrameDecoder::new(1000);
    decoder.push(chunk.clone());

    let first = decoder.next_message().unwrap().unwrap();
    let second = decoder.next_message().unwrap().unwrap();
    assert_eq!(first.as_ptr(), chunk[5..].as_ptr());
    assert_eq!(second.as_ptr(), chunk[110..].as_ptr());
    assert_eq!(decoder.next_message(), Ok(None));
    assert_eq!(decoder.buffered_bytes(), 0);
    assert!(!decoder.is_mid_message());
}

#[test]
fn a_body_in_its_own_chunk_is_not_copied() {
    let body = Bytes::from(vec![1; 10_000]);
    let mut decoder = FrameDecoder::new(10_000);
    decoder.push(Bytes::from_static(&[0, 0, 0, 0x27, 0x10]));
    assert_eq!(decoder.next_message(), Ok(None));
    assert!(decoder.is_mid_message());
    decoder.push(body.clone());

    let message = decoder.next_message().unwrap().unwrap();
    assert_eq!(message.as_ptr(), body.as_ptr());
}

#[test]
fn every_split_gives_the_same_messages() {
    let messages = [vec![], vec![1, 2, 3], vec![], vec![4; 9]];
    let stream = framed(&messages);
    for first in 0..=stream.len() {
        for second in first..=stream.len() {
            let mut decoder = FrameDecoder::new(9);
            let mut out = Vec::new();
            for part in [&stream[..first], &stream[first..second], &stream[second..]] {
                decoder.push(Bytes::copy_from_slice(part));
                drain(&mut decoder, &mut out);
            }
            assert_eq!(out, messages, "split at {first} and {second}");
        }
    }
}

#[test]
fn the_size_limit_is_inclusive_and_met_at_the_prefix() {
    let mut decoder = FrameDecoder::new(3);
    decoder.push(Bytes::from_static(&[0, 0, 0, 0, 3, 1, 2, 3]));
    assert_eq!(decoder.next_message().unwrap().unwrap().len(), 3);

    decoder.push(Bytes::from_static(&[0, 0, 0, 0, 4]));
    let error = decoder.next_message().unwrap_err();
    assert_eq!(
        error.status().to_string(),
        "rpc error: code = ResourceExhausted desc = grpc: received message larger than max (4 vs. 3)"
    );
    assert_eq!(decoder.next_message(), Err(error), "the error stays");
}

#[test]
fn compressed_messages_are_refused() {
    let mut decoder = FrameDecoder::new(MAX_MESSAGE_BYTES);
    decoder.push(Bytes::from_static(&[1, 0, 0, 0, 0]));
    let error = decoder.next_message().unwrap_err();
    assert_eq!(
        error.status(),
        Status::new(
            Code::Internal,
            "grpc: compressed flag set with identity or empty encoding"
        )
    );

    let mut decoder = FrameDecoder::new(MAX_MESSAGE_BYTES);
    decoder.push(Bytes::from_static(&[9, 0, 0, 0, 0]));
    assert_eq!(decoder.next_message(), Err(FrameError::UnknownFormat(9)));
}

#[test]
fn tiny_chunks_do_not_pile_up() {
    let length = 1_000_000;
    let stream = framed(&[vec![5; length]]);
    let mut decoder = FrameDecoder::new(length);
    for byte in &stream[..stream.len() - 1] {
        decoder.push(Bytes::copy_from_slice(&[*byte]));
        assert_eq!(decoder.next_message(), Ok(None));
    }
    assert!(decoder.chunks.len() <= length / JOINED_BYTES + 1);
    decoder.push(Bytes::from_static(&[5]));
    assert_eq!(decoder.next_message().unwrap().unwrap(), vec![5; length]);
}

#[test]
fn joining_leaves_shared_chunks_alone() {
    let shared = Bytes::from(vec![0, 0, 0, 0, 4, 1, 2]);
    let mut decoder = FrameDecoder::new(4);
    decoder.push(shared.clone());
    decoder.push(Bytes::from_static(&[3, 4]));
    assert_eq!(decoder.next_message().unwrap().unwrap(), [1, 2, 3, 4][..]);
    assert_eq!(shared, [0, 0, 0, 0, 4, 1, 2][..]);
}

quickcheck! {
    fn messages_survive_any_split(messages: Vec<Vec<u8>>, cuts: Vec<u8>) -> bool {
        let stream = Bytes::from(framed(&messages));
        let mut decoder = FrameDecoder::new(MAX_MESSAGE_BYTES);
        let mut out = Vec::new();
        let mut rest = stream.clone();
        for cut in cuts {
            decoder.push(rest.split_to(usize::from(cut).min(rest.len())));
            if cut % 2 == 0 {
                drain(&mut decoder, &mut out);
            }
        }
        decoder.push(rest);
        drain(&mut decoder, &mut out);
        out == messages && decoder.buffered_bytes() == 0 && !decoder.is_mid_message()
    }

    fn any_bytes_are_cut_or_refused(chunks: Vec<Vec<u8>>) -> bool {
        let mut decoder = FrameDecoder::new(64);
        let total: usize = chunks.iter().map(Vec::len).sum();
        let mut taken = 0;
        for chunk in chunks {
            decoder.push(Bytes::from(chunk));
            while let Ok(Some(message)) = decoder.next_message() {
                taken += message.len() + PREFIX_BYTES;
            }
        }
        let prefix = if decoder.announced.is_some() { PREFIX_BYTES } else { 0 };
        taken + prefix + decoder.buffered_bytes() == total
    }
}
