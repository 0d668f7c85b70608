//! What is sent: commands, of which those that store values are packed without copying large ones.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::{ErrorKind, IoSlice, Result, Write};
use std::time::Duration;

use proxystore_core::{Bytes, Mode, Payload, PutOptions, Transfer};
use redis::{Cmd, Pipeline, RedisWrite};
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// From this length on a value is not copied.
const APART: usize = 16 * 1024;
/// Pieces that are written at once, at most.
const PIECES: usize = 64;
/// The longest time to live in milliseconds, about 30,000 years: the server adds it to the clock.
const MAX_TTL: u128 = 1_000_000_000_000_000;

/// Commands that are sent together.
pub(crate) enum Request {
    Commands(Pipeline),
    /// The same command for each of these names, and the numbers that follow a name.
    Each(&'static str, Vec<String>, &'static [usize]),
    /// Values to store under these names.
    Sets(Vec<(String, Payload)>, PutOptions),
}

impl Request {
    /// One command with one argument.
    pub(crate) fn of(command: &'static str, name: &str) -> Self {
        Self::Each(command, vec![name.to_owned()], &[])
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Commands(commands) => commands.len(),
            Self::Each(_, names, _) => names.len(),
            Self::Sets(sets, _) => sets.len(),
        }
    }

    /// For a connection of the `redis` crate. Values are copied into it.
    pub(crate) fn pipeline(&self) -> Cow<'_, Pipeline> {
        match self {
            Self::Commands(commands) => Cow::Borrowed(commands),
            Self::Each(command, names, numbers) => {
                let mut commands = Pipeline::with_capacity(names.len());
                for name in names {
                    commands.cmd(command).arg(name).arg(*numbers);
                }
                Cow::Owned(commands)
            }
            Self::Sets(sets, options) => {
                let mut commands = Pipeline::with_capacity(sets.len());
                for (name, value) in sets {
                    commands.add_command(set(name, value, options));
                }
                Cow::Owned(commands)
            }
        }
    }

    /// For a connection of our own. Values from `apart` bytes on are not copied.
    fn packing(&self, apart: usize) -> Packing {
        match self {
            Self::Commands(commands) => {
                Packing { done: VecDeque::new(), open: commands.get_packed_pipeline(), apart }
            }
            Self::Each(command, names, numbers) => {
                let len = |name: &String| name.len() + 64;
                let open = Vec::with_capacity(names.iter().map(len).sum());
                let mut packing = Packing { done: VecDeque::new(), open, apart };
                names.iter().for_each(|name| packing.command(command, name, numbers));
                packing
            }
            Self::Sets(sets, options) => {
                let len = |(name, value): &(String, Payload)| {
                    name.len() + 64 + if value.len() < apart { value.len() } else { 0 }
                };
                let open = Vec::with_capacity(sets.iter().map(len).sum());
                let mut packing = Packing { done: VecDeque::new(), open, apart };
                sets.iter().for_each(|(name, value)| packing.set(name, value, options));
                packing
            }
        }
    }

    /// In pieces. Large values are not copied.
    pub(crate) fn pack(&self) -> Packed {
        let mut packing = self.packing(APART);
        packing.close();
        Packed(packing.done)
    }

    /// In one piece.
    pub(crate) fn packed(&self) -> Vec<u8> {
        self.packing(usize::MAX).open
    }
}

impl From<Pipeline> for Request {
    fn from(commands: Pipeline) -> Self {
        Self::Commands(commands)
    }
}

/// A time to live as the server wants it. Zero is over at once, which to the server is 1.
pub(crate) fn millis(ttl: Duration) -> u64 {
    ttl.as_millis().clamp(1, MAX_TTL) as u64
}

/// What follows the value.
fn conditions(options: &PutOptions) -> Vec<Cow<'static, str>> {
    let create = (options.mode == Mode::Create).then(|| ["NX".into()]);
    let ttl = options.ttl.map(|ttl| match ttl {
        // Over at once: a moment that has passed.
        Duration::ZERO => ["PXAT".into(), "1".into()],
        ttl => ["PX".into(), millis(ttl).to_string().into()],
    });
    create.into_iter().flatten().chain(ttl.into_iter().flatten()).collect()
}

fn set(name: &str, value: &Payload, options: &PutOptions) -> Cmd {
    let mut cmd = Cmd::with_capacity(6, name.len() + value.len() + 32);
    cmd.arg("SET").arg(name);
    let mut writer = cmd.writer_for_next_arg();
    for segment in value.segments() {
        // Writing to memory does not fail.
        let _ = writer.write_all(segment);
    }
    drop(writer);
    for word in conditions(options) {
        cmd.arg(&*word);
    }
    cmd
}

/// Packed commands in pieces.
pub(crate) struct Packed(VecDeque<Bytes>);

struct Packing {
    done: VecDeque<Bytes>,
    open: Vec<u8>,
    apart: usize,
}

impl Packing {
    fn command(&mut self, command: &str, name: &str, numbers: &[usize]) {
        self.line(b'*', 2 + numbers.len());
        self.word(command.as_bytes());
        self.word(name.as_bytes());
        let mut room = [0; DIGITS];
        numbers.iter().for_each(|number| self.word(digits(*number, &mut room)));
    }

    fn set(&mut self, name: &str, value: &Payload, options: &PutOptions) {
        let conditions = conditions(options);
        self.line(b'*', 3 + conditions.len());
        self.word(b"SET");
        self.word(name.as_bytes());
        self.line(b'$', value.len());
        for segment in value.segments() {
            if segment.len() >= self.apart {
                self.close();
                self.done.push_back(segment.clone());
            } else {
                self.open.extend_from_slice(segment);
            }
        }
        self.open.extend_from_slice(b"\r\n");
        conditions.iter().for_each(|word| self.word(word.as_bytes()));
    }

    fn word(&mut self, word: &[u8]) {
        self.line(b'$', word.len());
        self.open.extend_from_slice(word);
        self.open.extend_from_slice(b"\r\n");
    }

    fn line(&mut self, mark: u8, number: usize) {
        self.open.push(mark);
        self.open.extend_from_slice(digits(number, &mut [0; DIGITS]));
        self.open.extend_from_slice(b"\r\n");
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.done.push_back(std::mem::take(&mut self.open).into());
        }
    }
}

/// Room for a number.
const DIGITS: usize = 20;

/// The number as text: a command has several, and formatting takes longer than all else of its packing.
fn digits(mut number: usize, room: &mut [u8; DIGITS]) -> &[u8] {
    let mut at = room.len();
    loop {
        at -= 1;
        room[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &room[at..];
        }
    }
}

impl Packed {
    /// Writes all of it. Tells `transfer` of what went.
    pub(crate) async fn write(
        mut self,
        to: &mut (impl AsyncWrite + Unpin),
        transfer: &Transfer,
    ) -> Result<()> {
        while !self.0.is_empty() {
            let pieces: Vec<_> = self.0.iter().take(PIECES).map(|piece| IoSlice::new(piece)).collect();
            let written = to.write_vectored(&pieces).await?;
            if written == 0 {
                return Err(ErrorKind::WriteZero.into());
            }
            transfer.moved(written as u64);
            self.advance(written);
        }
        to.flush().await
    }

    fn advance(&mut self, mut bytes: usize) {
        while let Some(front) = self.0.front_mut() {
            if bytes < front.len() {
                drop(front.split_to(bytes));
                return;
            }
            bytes -= front.len();
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests;
