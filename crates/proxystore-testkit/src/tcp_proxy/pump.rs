//! One connection through the proxy.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::sleep;

use super::{Direction, Setting, Shared};

/// The largest piece that is passed on at once.
const PIECE: usize = 64 * 1024;

/// How a connection ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum End {
    /// With FIN.
    #[default]
    Close,
    /// With RST.
    Reset,
}

/// Counts an open connection for as long as it lives.
struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Passes bytes between `client` and the upstream until both are done or the proxy ends it.
pub(super) async fn connection(mut client: TcpStream, number: u64, shared: Arc<Shared>) {
    shared.open.fetch_add(1, Ordering::SeqCst);
    let _open = Open(shared.clone());
    let mut faults = shared.faults.subscribe();
    let ended = async {
        match faults.wait_for(|setting| number < setting.first_alive).await {
            Ok(setting) => setting.end,
            Err(_) => End::Close,
        }
    };
    let mut server = None;
    let passed = async {
        let server = server.insert(TcpStream::connect(shared.upstream).await.map_err(|_| End::Reset)?);
        // Without this, slices would be put together again. It fails only on a connection that is gone.
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let up = Pump::new(&shared, number, Direction::Up).run(from_client, to_server);
        let down = Pump::new(&shared, number, Direction::Down).run(from_server, to_client);
        tokio::try_join!(up, down)
    };
    let end = tokio::select! {
        end = ended => end,
        passed = passed => passed.err().unwrap_or_default(),
    };
    for mut stream in [Some(client), server].into_iter().flatten() {
        // Errors mean that the stream has ended already.
        let _ = match end {
            End::Close => stream.shutdown().await,
            End::Reset => stream.set_zero_linger(),
        };
    }
}

/// One direction of a connection.
struct Pump<'a> {
    shared: &'a Shared,
    connection: u64,
    direction: Direction,
    settings: watch::Receiver<Setting>,
    setting: Setting,
    /// Bytes passed since the setting.
    passed: u64,
}

impl<'a> Pump<'a> {
    fn new(shared: &'a Shared, connection: u64, direction: Direction) -> Self {
        let settings = shared.faults.subscribe();
        let setting = settings.borrow().clone();
        Self { shared, connection, direction, settings, setting, passed: 0 }
    }

    /// Takes over the setting, and ends when it leaves nothing to pass.
    fn take_over(&mut self) -> Result<(), End> {
        let now = self.settings.borrow_and_update().clone();
        if now.number != self.setting.number {
            self.setting = now;
            self.passed = 0;
        }
        if self.left() == Some(0) {
            self.shared.fire("reset_after");
            return Err(End::Reset);
        }
        Ok(())
    }

    /// Waits until the setting lets pass what is in hand.
    async fn free(&mut self) -> Result<(), End> {
        loop {
            self.take_over()?;
            if !self.setting.holds(self.connection, self.direction) {
                return Ok(());
            }
            self.shared.fire("black_hole");
            self.settings.changed().await.map_err(|_| End::Close)?;
        }
    }

    /// How many bytes may pass before the reset.
    fn left(&self) -> Option<u64> {
        let (direction, after) = self.setting.faults.reset_after?;
        (direction == self.direction).then(|| after.saturating_sub(self.passed))
    }

    /// The largest piece that may be passed on now.
    fn piece(&self) -> usize {
        let faults = &self.setting.faults;
        let rate = faults.rate.map(|rate| rate / 20);
        let limit = [faults.slice.map(|slice| slice as u64), rate, self.left()].into_iter().flatten().min();
        limit.map_or(PIECE, |limit| limit.clamp(1, PIECE as u64) as usize)
    }

    async fn run(mut self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> Result<(), End> {
        let mut buffer = vec![0; PIECE];
        loop {
            self.take_over()?;
            let read = tokio::select! {
                biased;
                _ = self.settings.changed() => continue,
                read = from.read(&mut buffer) => read,
            };
            self.free().await?;
            match read {
                Err(_) => return Err(End::Reset),
                Ok(0) => return to.shutdown().await.map_err(|_| End::Reset),
                Ok(read) => self.pass(&mut buffer[..read], &mut to).await?,
            }
        }
    }

    async fn pass(&mut self, mut data: &mut [u8], to: &mut WriteHalf<'_>) -> Result<(), End> {
        while !data.is_empty() {
            if !self.setting.faults.delay.is_zero() {
                self.shared.fire("delay");
                sleep(self.setting.faults.delay).await;
            }
            self.free().await?;
            let piece = self.piece().min(data.len());
            if self.setting.faults.slice.is_some_and(|slice| slice < data.len()) {
                self.shared.fire("slice");
            }
            let (piece, rest) = std::mem::take(&mut data).split_at_mut(piece);
            data = rest;
            let len = piece.len() as u64;
            if let Some((direction, at)) = self.setting.faults.flip
                && direction == self.direction
                && (self.passed..self.passed + len).contains(&at)
            {
                self.shared.fire("flip");
                piece[(at - self.passed) as usize] ^= 1;
            }
            to.write_all(piece).await.map_err(|_| End::Reset)?;
            self.passed += len;
            self.shared.passed(self.direction).fetch_add(len, Ordering::SeqCst);
            if let Some(rate) = self.setting.faults.rate {
                self.shared.fire("rate");
                sleep(Duration::from_secs_f64(len as f64 / rate.max(1) as f64)).await;
            }
        }
        Ok(())
    }
}
