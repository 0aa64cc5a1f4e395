//! `dialback dial`: standard input and output as a connection.

use std::io::{self, IsTerminal as _};

use dialback_tokio::TokioRuntime;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, copy_buf};
use tokio::io::{BufReader, split};

use super::error::ClientError;
use super::progress::Passed;
use super::through::Through;

const BUFFER: usize = 64 * 1024;

const EXAMPLES: &str = "\
Examples:
  ssh -o 'ProxyCommand=dialback dial --uds /run/konnectivity.sock %h:%p' node-1
  echo QUIT | dialback dial --config egress-selector.yaml --service cluster 10.0.0.5:25";

/// What `dialback dial` takes.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", super::EXIT_CODES))]
pub(crate) struct Options {
    #[command(flatten)]
    through: Through,

    /// The endpoint; its name is resolved where the agent is
    #[arg(value_name = "HOST:PORT")]
    address: String,
}

pub(super) async fn run(runtime: TokioRuntime, options: Options) -> Result<(), ClientError> {
    let dialer = options.through.dialer(&runtime)?;
    let stream = dialer.dial(&options.address).await.map_err(Box::new)?;
    let passed = Passed::default();
    let stream = passed.count(stream);
    // A terminal that somebody types into, or reads, is left alone.
    let is_free = !io::stdin().is_terminal() && !io::stdout().is_terminal();
    tokio::select! {
        ended = connect(stream, tokio::io::stdin(), tokio::io::stdout()) => {
            ended.map_err(ClientError::Broken)
        }
        () = passed.tell(is_free) => Ok(()),
    }
}

/// Copies both ways. The end of the input is passed on, and the answer to it still awaited; the end of the
/// connection is the end, whether or not there is more input.
async fn connect(
    stream: impl AsyncRead + AsyncWrite,
    input: impl AsyncRead + Unpin,
    mut output: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    let (reader, mut writer) = split(stream);
    let mut reader = BufReader::with_capacity(BUFFER, reader);
    let receiving = async {
        copy_buf(&mut reader, &mut output).await?;
        output.flush().await
    };
    let sending = async {
        let mut input = BufReader::with_capacity(BUFFER, input);
        copy_buf(&mut input, &mut writer).await?;
        writer.shutdown().await
    };
    tokio::pin!(receiving, sending);
    tokio::select! {
        biased;
        received = &mut receiving => received,
        sent = &mut sending => match sent {
            Ok(()) => receiving.await,
            // Whoever closed has said all before.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => receiving.await,
            Err(error) => Err(error),
        },
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use tokio::io::{AsyncReadExt as _, duplex, empty};

    use super::*;

    #[tokio::test]
    async fn the_end_of_the_input_is_passed_on_and_the_answer_awaited() {
        let (ours, mut theirs) = duplex(1024);
        let endpoint = async {
            let mut question = String::new();
            theirs.read_to_string(&mut question).await.unwrap();
            theirs.write_all(question.as_bytes()).await.unwrap();
            drop(theirs);
        };
        let mut output = Vec::new();
        let (ended, ()) = tokio::join!(connect(ours, &b"hello"[..], &mut output), endpoint);
        ended.unwrap();
        assert_eq!(output, b"hello");
    }

    #[tokio::test]
    async fn the_end_of_the_connection_is_the_end() {
        let (ours, mut theirs) = duplex(1024);
        theirs.write_all(b"bye").await.unwrap();
        drop(theirs);
        let (endless, _held) = duplex(1);
        let mut output = Vec::new();
        connect(ours, endless, &mut output).await.unwrap();
        assert_eq!(output, b"bye");
        let (ours, theirs) = duplex(1024);
        drop(theirs);
        connect(ours, empty(), &mut output).await.unwrap();
    }
}
