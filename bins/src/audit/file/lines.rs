//! Whole lines into what may take a part of one and then nothing.

use std::io::{self, Write};

/// What lines are written to.
pub(super) trait Sink: Write {
    /// Takes back the last so many bytes that were written, all or none.
    fn cut_back(&mut self, bytes: usize) -> io::Result<()>;
}

/// Writes lines whole: what was written of one that failed is taken back, or is finished later.
#[derive(Debug)]
pub(super) struct Lines<S> {
    sink: S,
    /// Whether it ends within somebody else's line.
    is_torn: bool,
    unfinished: Option<Unfinished>,
}

/// A line that counts as taken and of which the sink has a part that can't be taken back.
#[derive(Debug)]
struct Unfinished {
    line: Vec<u8>,
    written: usize,
}

impl<S: Sink> Lines<S> {
    /// Lines go into `sink`, which may end within somebody else's line.
    pub(super) fn new(sink: S, is_torn: bool) -> Self {
        Self {
            sink,
            is_torn,
            unfinished: None,
        }
    }

    pub(super) fn sink(&self) -> &S {
        &self.sink
    }

    pub(super) fn sink_mut(&mut self) -> &mut S {
        &mut self.sink
    }

    /// Lines go into another sink from now on. A line that the former has half is written there from its beginning.
    pub(super) fn go_on_with(&mut self, sink: S, is_torn: bool) {
        self.sink = sink;
        self.is_torn = is_torn;
        if let Some(unfinished) = &mut self.unfinished {
            unfinished.written = 0;
        }
    }

    /// Ends what was left in the midst of a line.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        if self.is_torn {
            write_some(&mut self.sink, b"\n")?;
            self.is_torn = false;
        }
        while let Some(Unfinished { line, written }) = &mut self.unfinished {
            match line.get(*written..) {
                None | Some([]) => self.unfinished = None,
                Some(rest) => *written += write_some(&mut self.sink, rest)?,
            }
        }
        Ok(())
    }

    /// Writes lines, each with its end, to a sink that is [settled](Self::settle), and says how many bytes of them were
    /// taken: all, or beside the error those of some whole lines.
    pub(super) fn write(&mut self, lines: &[u8]) -> Result<usize, (usize, io::Error)> {
        let mut written = 0;
        let error = loop {
            let (begun, rest) = lines.split_at(written);
            if rest.is_empty() {
                return Ok(begun.len());
            }
            match write_some(&mut self.sink, rest) {
                Ok(bytes) => written += bytes,
                Err(error) => break error,
            }
        };
        let (begun, rest) = lines.split_at(written);
        let whole = begun.iter().rposition(|byte| *byte == b'\n');
        let whole = whole.map_or(0, |end| end + 1);
        let torn = written - whole;
        if torn == 0 || self.sink.cut_back(torn).is_ok() {
            return Err((whole, error));
        }
        let end = rest.iter().position(|byte| *byte == b'\n');
        let end = written + end.map_or(rest.len(), |end| end + 1);
        self.unfinished = Some(Unfinished {
            line: lines[whole..end].to_vec(),
            written: torn,
        });
        Err((end, error))
    }
}

/// Writes at least one byte.
fn write_some(sink: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match sink.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => return Ok(written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
