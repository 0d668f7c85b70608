//! Many objects at a time: pipelines, in chunks.

use std::future::Future;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use proxystore_core::{Bytes, Connector, Key, Payload, PutOptions, Result, Transfer};
use redis::{Cmd, Pipeline, Value};
use tokio::time::timeout;

use crate::RedisConnector;
use crate::connector::{START, admit, bytes, check_size, effect_of, integer, stored};
use crate::error::{self, Effect};
use crate::request::Request;

/// Commands in one pipeline, at most.
const CHUNK_COUNT: usize = 1024;
/// Bytes in one pipeline, at most, unless a single object is larger.
const CHUNK_BYTES: u64 = 8 * 1024 * 1024;
/// Up to this many bytes an object is fetched before its size is known: a chunk of them is no larger than any other.
const TINY: usize = CHUNK_BYTES as usize / CHUNK_COUNT;
/// Bytes of a command that takes a name alone, and its answer, roughly.
const NAME: u64 = 64;
/// Keys of a cluster lie on several nodes, so that each has a command of its own; so many at once.
pub(crate) const SINGLES: usize = 64;

/// How long clearing may take in all: more than many millions of objects need.
const CLEAR: Duration = Duration::from_secs(600);

/// What is sent together, and which items of the batch it is for.
#[derive(Default)]
struct Chunk<C> {
    items: Vec<usize>,
    content: C,
    bytes: u64,
}

impl<C> Chunk<C> {
    fn is_full_for(&self, bytes: u64) -> bool {
        self.items.len() == CHUNK_COUNT || (!self.items.is_empty() && self.bytes + bytes > CHUNK_BYTES)
    }

    fn push(&mut self, item: usize, bytes: u64) -> &mut C {
        self.items.push(item);
        self.bytes += bytes;
        &mut self.content
    }
}

impl RedisConnector {
    pub(crate) async fn write_many(
        &self,
        items: Vec<(Key, Payload)>,
        options: &PutOptions,
    ) -> Vec<Result<()>> {
        if self.lanes.endpoint().is_cluster() {
            return singly(
                items.into_iter().map(|(key, value)| async move { self.put(&key, value, options).await }),
            )
            .await;
        }
        let mut results = blank(items.len());
        let mut keys = Vec::with_capacity(items.len());
        let mut chunk = Chunk::<Vec<_>>::default();
        let sets = |sets| Request::Sets(sets, options.clone());
        for (i, (key, value)) in items.into_iter().enumerate() {
            if let Err(error) = check_size(&value) {
                results[i] = Err(error);
            } else {
                let bytes = value.len() as u64;
                if chunk.is_full_for(bytes) {
                    self.run(&mut chunk, sets, effect_of(options), &mut results, stored).await;
                }
                chunk.push(i, bytes).push((self.name(&key), value));
            }
            keys.push(key);
        }
        self.run(&mut chunk, sets, effect_of(options), &mut results, stored).await;
        self.explained(results, "put_many", &keys)
    }

    /// First the tiny objects, which are all there is of most batches; then the others.
    pub(crate) async fn read_many(&self, keys: &[Key]) -> Vec<Result<Option<Payload>>> {
        if self.lanes.endpoint().is_cluster() {
            return singly(keys.iter().map(|key| self.get(key))).await;
        }
        let mut starts = self.each(keys, (START, &[0, TINY]), TINY as u64, Effect::Read, bytes).await;
        // What ends before the range does is all of it; an empty range does not tell whether there is an object.
        let is_whole = |start: &Option<Bytes>| start.as_ref().is_some_and(|s| (1..=TINY).contains(&s.len()));
        let open: Vec<_> =
            (0..keys.len()).filter(|i| starts[*i].as_ref().is_ok_and(|s| !is_whole(s))).collect();
        if !open.is_empty() {
            let rest: Vec<_> = open.iter().map(|i| keys[*i].clone()).collect();
            let read = self.read_others(&rest).await;
            open.into_iter().zip(read).for_each(|(i, read)| starts[i] = read);
        }
        let results = starts.into_iter().map(|object| Ok(object?.map(Payload::from))).collect();
        self.explained(results, "get_many", keys)
    }

    /// First all sizes, which bound the chunks; then the objects.
    async fn read_others(&self, keys: &[Key]) -> Vec<Result<Option<Bytes>>> {
        let sizes = self.each(keys, ("STRLEN", &[]), NAME, Effect::Read, integer).await;
        let sizes: Vec<_> = sizes.into_iter().map(|size| size.and_then(admit)).collect();
        let mut results = blank(keys.len());
        if let Err(error) = Transfer::current().expect(sizes.iter().flatten().sum()).await {
            results.fill(Err(error));
            return results;
        }
        let mut chunk = Chunk::<Vec<_>>::default();
        let get = |names| Request::Each("GET", names, &[]);
        for (i, (key, size)) in keys.iter().zip(sizes).enumerate() {
            match size {
                Err(error) => results[i] = Err(error),
                Ok(size) => {
                    if chunk.is_full_for(size) {
                        self.run(&mut chunk, get, Effect::Read, &mut results, bytes).await;
                    }
                    chunk.push(i, size).push(self.name(key));
                }
            }
        }
        self.run(&mut chunk, get, Effect::Read, &mut results, bytes).await;
        results
    }

    pub(crate) async fn unlink_many(&self, keys: &[Key]) -> Vec<Result<()>> {
        if self.lanes.endpoint().is_cluster() {
            return singly(keys.iter().map(|key| self.evict(key))).await;
        }
        let gone = |answer| integer(answer).map(drop);
        let results = self.each(keys, ("UNLINK", &[]), NAME, Effect::Idempotent, gone).await;
        self.explained(results, "evict_many", keys)
    }

    /// The same command for each key, and the numbers that follow it. Each takes so many bytes at most.
    async fn each<T: Clone>(
        &self,
        keys: &[Key],
        (command, numbers): (&'static str, &'static [usize]),
        bytes: u64,
        effect: Effect,
        read: impl Fn(Value) -> Result<T>,
    ) -> Vec<Result<T>> {
        let mut results = blank(keys.len());
        let mut chunk = Chunk::<Vec<_>>::default();
        let each = |names| Request::Each(command, names, numbers);
        for (i, key) in keys.iter().enumerate() {
            if chunk.is_full_for(bytes) {
                self.run(&mut chunk, each, effect, &mut results, &read).await;
            }
            chunk.push(i, bytes).push(self.name(key));
        }
        self.run(&mut chunk, each, effect, &mut results, &read).await;
        results
    }

    /// Runs the chunk, notes the results, and leaves it empty.
    async fn run<C: Default, T: Clone>(
        &self,
        chunk: &mut Chunk<C>,
        request: impl Fn(C) -> Request,
        effect: Effect,
        results: &mut [Result<T>],
        read: impl Fn(Value) -> Result<T>,
    ) {
        let Chunk { items, content, bytes } = std::mem::take(chunk);
        if items.is_empty() {
            return;
        }
        match self.lanes.call(&request(content), bytes, effect).await {
            Ok(answers) => items.into_iter().zip(answers).for_each(|(i, answer)| results[i] = read(answer)),
            Err(error) => items.into_iter().for_each(|i| results[i] = Err(error.clone())),
        }
    }

    fn explained<T>(&self, results: Vec<Result<T>>, operation: &'static str, keys: &[Key]) -> Vec<Result<T>> {
        let explain =
            |(result, key): (Result<T>, _)| result.map_err(|e| self.explain(e, operation, Some(key)));
        results.into_iter().zip(keys).map(explain).collect()
    }

    /// Removes the names below the prefix. What is put meanwhile may stay or go.
    pub(crate) async fn clear_prefix(&self) -> Result<()> {
        let late = |_| error::late(Effect::Idempotent, true, CLEAR);
        timeout(CLEAR, self.clear_all()).await.map_err(late)?
    }

    async fn clear_all(&self) -> Result<()> {
        #[cfg(feature = "cluster")]
        if let Some(conn) = self.lanes.cluster().await? {
            return self.clear_cluster(conn).await;
        }
        let mut cursor = 0;
        loop {
            let mut scan = Pipeline::with_capacity(1);
            scan.add_command(self.scan(cursor));
            let answer = self.lanes.call(&scan.into(), 0, Effect::Read).await?.pop();
            let (next, names) = scanned(answer.ok_or_else(error::strange)?)?;
            if !names.is_empty() {
                let mut unlink = Pipeline::with_capacity(1);
                unlink.cmd("UNLINK").arg(names);
                let answer = self.lanes.call(&unlink.into(), 0, Effect::Idempotent).await?.pop();
                integer(answer.ok_or_else(error::strange)?)?;
            }
            if next == 0 {
                return Ok(());
            }
            cursor = next;
        }
    }

    /// A prefix has none of the characters that mean something in a pattern.
    pub(crate) fn scan(&self, cursor: u64) -> Cmd {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(format!("{}:*", self.prefix())).arg("COUNT").arg(CHUNK_COUNT / 2);
        scan
    }
}

/// The next cursor, and names.
pub(crate) fn scanned(answer: Value) -> Result<(u64, Vec<Vec<u8>>)> {
    match answer {
        Value::ServerError(error) => Err(error::refused(&error)),
        answer => redis::from_redis_value(answer).map_err(|_| error::strange()),
    }
}

/// Results that are all replaced: an answer that does not come is no answer.
fn blank<T>(len: usize) -> Vec<Result<T>> {
    (0..len).map(|_| Err(error::strange())).collect()
}

async fn singly<T>(operations: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let operations: Vec<_> = operations.collect();
    stream::iter(operations).buffered(SINGLES).collect().await
}
