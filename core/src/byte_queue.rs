//! Bytes that wait, in order.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Chunks up to this size are copied together. A slice would keep a whole transport buffer alive, and a
/// packet for each would cost more than the copy.
const JOIN_UP_TO_BYTES: usize = 1024;
/// Joined chunks grow to about this size.
const JOINED_BYTES: usize = 16 * 1024;

/// A queue of bytes that keeps large chunks as they are and joins small ones.
#[derive(Debug, Default)]
pub(crate) struct ByteQueue {
    chunks: VecDeque<Bytes>,
    /// Small chunks joined, behind all of `chunks`.
    tail: BytesMut,
    bytes: usize,
}

impl ByteQueue {
    /// Bytes in the queue.
    pub(crate) const fn len(&self) -> usize {
        self.bytes
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    pub(crate) fn push(&mut self, data: Bytes) {
        self.bytes += data.len();
        if data.len() > JOIN_UP_TO_BYTES {
            self.flush_tail();
            self.chunks.push_back(data);
        } else {
            self.tail.extend_from_slice(&data);
            if self.tail.len() >= JOINED_BYTES {
                self.flush_tail();
            }
        }
    }

    /// The next bytes, at most `max_bytes` and never none; `None` when there are none to give.
    pub(crate) fn take(&mut self, max_bytes: usize) -> Option<Bytes> {
        if max_bytes == 0 {
            return None;
        }
        if self.chunks.is_empty() {
            self.flush_tail();
        }
        let first = self.chunks.front_mut()?;
        let data = if first.len() > max_bytes {
            first.split_to(max_bytes)
        } else {
            self.chunks.pop_front()?
        };
        self.bytes -= data.len();
        Some(data)
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    fn flush_tail(&mut self) {
        if !self.tail.is_empty() {
            self.chunks.push_back(self.tail.split().freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;

    use super::*;

    #[test]
    fn small_chunks_come_out_joined_and_large_ones_as_they_went_in() {
        let mut queue = ByteQueue::default();
        let large = Bytes::from(vec![7; JOIN_UP_TO_BYTES + 1]);
        for chunk in [
            Bytes::from_static(b"ab"),
            Bytes::from_static(b"c"),
            large.clone(),
            Bytes::from_static(b"d"),
        ] {
            queue.push(chunk);
        }
        assert_eq!(queue.take(usize::MAX).as_deref(), Some(&b"abc"[..]));
        let out = queue.take(usize::MAX);
        assert_eq!(out.as_ref().map(|out| out.as_ptr()), Some(large.as_ptr()));
        assert_eq!(queue.take(usize::MAX).as_deref(), Some(&b"d"[..]));
        assert_eq!(queue.take(usize::MAX), None);
        assert!(queue.is_empty());
    }

    quickcheck! {
        fn bytes_come_out_in_order_and_counted(chunks: Vec<(u16, u16)>) -> bool {
            let mut queue = ByteQueue::default();
            let (mut entered, mut left, mut next) = (Vec::new(), Vec::new(), 0_u8);
            for (push, take) in chunks {
                let data: Vec<u8> = (0..push % 4096)
                    .map(|_| {
                        next = next.wrapping_add(1);
                        next
                    })
                    .collect();
                entered.extend_from_slice(&data);
                queue.push(data.into());
                let max = usize::from(take % 4096);
                if let Some(data) = queue.take(max) {
                    assert!(!data.is_empty() && data.len() <= max);
                    left.extend_from_slice(&data);
                }
                assert_eq!(queue.len(), entered.len() - left.len());
            }
            while let Some(data) = queue.take(1000) {
                left.extend_from_slice(&data);
            }
            entered == left && queue.is_empty()
        }
    }
}
