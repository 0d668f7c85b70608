//! The server side.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// After so long without a command the next answer goes out unasked: the last one may have been half of one.
const PAUSE: Duration = Duration::from_millis(3);
/// The name that the connector asks for when it connects.
const PROBE: &str = "proxystore:";

/// The answers, for all connections in turn. A handle.
#[derive(Clone)]
pub(super) struct Script {
    answers: Arc<[Vec<u8>]>,
    next: Arc<Mutex<usize>>,
    /// Commands that set up a connection get a proper answer.
    greets: bool,
    /// After the last answer the server is silent; otherwise it hangs up.
    hangs: bool,
}

impl Script {
    pub(super) fn new(mut bytes: &[u8], greets: bool, hangs: bool) -> Self {
        let mut answers = Vec::new();
        while let Some((length, rest)) = bytes.split_first_chunk() {
            let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
            let (answer, rest) = rest.split_at(length);
            answers.push(answer.to_vec());
            bytes = rest;
        }
        Self { answers: answers.into(), next: Arc::default(), greets, hangs }
    }

    /// All that may have been sent.
    pub(super) fn sent(&self) -> Vec<u8> {
        self.answers.concat()
    }

    /// Whether a number in it may be the size of a large object.
    pub(super) fn promises_much(&self) -> bool {
        let digits = |window: &[u8]| window.iter().all(u8::is_ascii_digit);
        self.sent().windows(5).any(digits)
    }

    fn next(&self) -> Option<&Vec<u8>> {
        let mut next = self.next.lock().unwrap();
        *next += 1;
        self.answers.get(*next - 1)
    }

    fn greeting(&self, command: &[String]) -> Option<&'static str> {
        let known = match command.first()?.as_str() {
            "HELLO" => "%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n$5\r\nproto\r\n:3\r\n",
            "CLIENT" | "SELECT" => "+OK\r\n",
            "INFO" => "-ERR no\r\n",
            "EXISTS" if command.get(1).is_some_and(|name| name == PROBE) => ":0\r\n",
            _ => return None,
        };
        self.greets.then_some(known)
    }
}

/// Serves until the runtime ends. Gives the port.
pub(super) async fn serve(script: Script) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(talk(stream, script.clone()));
        }
    });
    port
}

/// One connection, to its end.
async fn talk(stream: TcpStream, script: Script) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        // What was read of a command that is not there yet in full may be lost: then the answers come sooner.
        let command = timeout(PAUSE, command(&mut stream)).await;
        let answer = match command {
            Ok(command) => {
                let command = command?;
                match script.greeting(&command) {
                    Some(known) => Some(known.as_bytes()),
                    None => script.next().map(Vec::as_slice),
                }
            }
            Err(_) if script.greets && *script.next.lock().unwrap() == 0 => continue,
            Err(_) => script.next().map(Vec::as_slice),
        };
        match answer {
            Some(answer) => stream.write_all(answer).await.ok()?,
            None if script.hangs => std::future::pending().await,
            None => return None,
        }
    }
}

/// The words of a command. `None` at the end, or if it is none.
async fn command(stream: &mut BufReader<TcpStream>) -> Option<Vec<String>> {
    let count = number(stream, "*").await?;
    let mut words = Vec::new();
    for _ in 0..count {
        let mut word = vec![0; number(stream, "$").await? + 2];
        stream.read_exact(&mut word).await.ok()?;
        words.push(String::from_utf8_lossy(&word).trim_end().to_owned());
    }
    Some(words)
}

async fn number(stream: &mut BufReader<TcpStream>, sign: &str) -> Option<usize> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    line.trim_end().strip_prefix(sign)?.parse().ok()
}
