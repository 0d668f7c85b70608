//! The contract over several connectors.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, TryFutureExt, join, join_all};
use futures_util::stream::{self, StreamExt};
use proxystore_core::{
    Connector, ConnectorInfo, Draft, Error, ErrorKind, FileSource, FileTarget, Key, KeyHint, Mode, Opener,
    Origin, Payload, PutOptions, Result, Watch, async_trait,
};
use tokio::time::timeout;

use crate::MultiConfig;
use crate::copies::Copies;
use crate::members::{Members, Place};

/// How many operations on single objects of a batch run at once.
const IN_FLIGHT: usize = 16;
/// How long closing waits for copies that are under way.
const CLOSING: Duration = Duration::from_secs(10);

/// Objects in several connectors. See the documentation of the crate.
#[derive(Debug)]
pub struct MultiConnector {
    info: ConnectorInfo,
    members: Members,
    copies: Copies,
    closed: AtomicBool,
}

impl MultiConnector {
    pub(crate) async fn open(config: MultiConfig, origin: Origin, opener: &dyn Opener) -> Result<Self> {
        let (members, info) = Members::open(config, origin, opener).await?;
        Ok(Self { info, members, copies: Copies::default(), closed: AtomicBool::new(false) })
    }

    /// Waits until what is near is far, too. An error says how many copies could not be made, since this was asked
    /// last, and why the last one could not. Dropping the future stops no copy.
    pub async fn flush(&self) -> Result<()> {
        self.copies.flush(false).await
    }

    fn at(&self, place: &Place) -> Result<&dyn Connector> {
        self.members.get(place.child).connector().map(|connector| &**connector)
    }

    /// Says which child an error is of.
    fn named<T>(&self, place: &Place, result: Result<T>) -> Result<T> {
        result.map_err(|error| error.with("child", &self.members.get(place.child).name))
    }

    fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(
                Error::new(ErrorKind::Closed, "the connector is closed").with("connector", &self.info.uri)
            );
        }
        Ok(())
    }

    /// Puts a batch into the child that all of it belongs to.
    async fn put_group(&self, items: Vec<(Place, Payload)>, options: &PutOptions) -> Vec<Result<()>> {
        let Some((first, _)) = items.first() else { return Vec::new() };
        let sent = items.iter().map(|(home, value)| (home.key.clone(), value.clone())).collect();
        let put = match self.at(first) {
            Ok(connector) => connector.put_many(sent, options).await,
            Err(error) => vec![Err(error); items.len()],
        };
        let settle = |((home, value), put): ((Place, Payload), Result<()>)| async move {
            match self.named(&home, put) {
                Err(error) => self.put_elsewhere(&home, Content::Bytes(value), options, error).await,
                Ok(()) => Ok(()),
            }
        };
        let settle = items.into_iter().zip(put).map(settle).collect::<Vec<_>>();
        stream::iter(settle).buffered(IN_FLIGHT).collect().await
    }

    /// Puts what its own child did not take, because of `error`, into the next one that does.
    async fn put_elsewhere(
        &self,
        home: &Place,
        content: Content<'_>,
        options: &PutOptions,
        error: Error,
    ) -> Result<()> {
        // Nothing has happened there. What may have, or is to be decided in one place, stays the caller's.
        let refused = matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Full);
        if !refused || options.mode == Mode::Create {
            return Err(error);
        }
        for place in self.members.fallbacks(home) {
            let takes = self.members.get(place.child).route.takes(Some(content.size()), &options.tags);
            let (true, Ok(connector)) = (takes, self.at(&place)) else { continue };
            match self.named(&place, content.put(connector, &place.key, options).await) {
                Ok(()) => return Ok(()),
                Err(other) if matches!(other.kind(), ErrorKind::Ambiguous | ErrorKind::Timeout) => {
                    return Err(other);
                }
                Err(_) => {}
            }
        }
        Err(error)
    }

    async fn put_at(&self, home: &Place, content: Content<'_>, options: &PutOptions) -> Result<()> {
        if let Some(tier) = self.members.tier(home)? {
            let put = match content {
                Content::Bytes(value) => self.copies.put(tier, value, options).await,
                Content::File(source) => self.copies.put_file(tier, source, options).await,
            };
            return self.named(home, put);
        }
        match self.named(home, content.put(self.at(home)?, &home.key, options).await) {
            Err(error) => self.put_elsewhere(home, content, options, error).await,
            Ok(()) => Ok(()),
        }
    }

    /// What the first child has that has any. An error if none has, and one could not tell.
    async fn first<T>(
        &self,
        key: &Key,
        get: impl for<'a> Fn(&'a dyn Connector, &'a Key) -> BoxFuture<'a, Result<Option<T>>>,
    ) -> Result<Option<T>> {
        let mut failed = None;
        for place in self.members.places(key)? {
            let found = match self.at(&place) {
                Ok(connector) => get(connector, &place.key).await,
                Err(error) => Err(error),
            };
            match self.named(&place, found) {
                Ok(Some(found)) => return Ok(Some(found)),
                Ok(None) => {}
                Err(error) => failed = worse(failed, error),
            }
        }
        failed.map_or(Ok(None), Err)
    }

    /// Waits for a copy of it that is under way, which is not wanted any more, and evicts it everywhere.
    async fn evict_tier(&self, key: &Key) -> Result<()> {
        let home = self.members.home(key)?;
        let near = self.members.near(&home);
        let _turn = match &near {
            Some(near) => Some(self.copies.turn(&near.key, true).await?),
            None => None,
        };
        let mut failed = None;
        // The near one once more: a create in another process of this host may have put it there meanwhile.
        for place in self.members.places(key)?.into_iter().chain(near) {
            let evicted = match self.at(&place) {
                Ok(connector) => connector.evict(&place.key).await,
                Err(error) => Err(error),
            };
            if let Err(error) = self.named(&place, evicted) {
                failed = worse(failed, error);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Asks each child once, for what it may have of the items of a batch, all children at the same time.
    async fn ask<T: Send>(&self, asked: Vec<(usize, Place)>, call: Call<T>) -> Vec<(usize, Result<T>)> {
        let mut groups: BTreeMap<usize, (Vec<usize>, Vec<Key>)> = BTreeMap::new();
        for (item, place) in asked {
            let (items, keys) = groups.entry(place.child).or_default();
            items.push(item);
            keys.push(place.key);
        }
        let answers = groups.into_iter().map(|(child, (items, keys))| async move {
            let member = self.members.get(child);
            let answers = match member.connector() {
                Ok(connector) => call(&**connector, &keys).await,
                Err(error) => keys.iter().map(|_| Err(error.clone())).collect(),
            };
            let answers = answers.into_iter().map(|answer| answer.map_err(|e| e.with("child", &member.name)));
            items.into_iter().zip(answers.chain(std::iter::repeat_with(unanswered))).collect::<Vec<_>>()
        });
        join_all(answers).await.into_iter().flatten().collect()
    }

    /// Asks for each key where it may be, one place after the other, until `is_found`.
    async fn ask_all<T: Send>(
        &self,
        places: Vec<Result<Vec<Place>>>,
        nothing: impl Fn() -> T,
        is_found: fn(&T) -> bool,
        call: Call<T>,
    ) -> Vec<Result<T>> {
        let mut results: Vec<Result<T>> =
            places.iter().map(|places| places.as_ref().map(|_| nothing()).map_err(Error::clone)).collect();
        for turn in 0.. {
            let open = |i: &usize| !results[*i].as_ref().is_ok_and(is_found);
            let place = |i: usize| Some((i, places[i].as_ref().ok()?.get(turn)?.clone()));
            let asked: Vec<_> = (0..places.len()).filter(open).filter_map(place).collect();
            if asked.is_empty() {
                break;
            }
            for (i, answer) in self.ask(asked, call).await {
                match answer {
                    Ok(answer) if is_found(&answer) || results[i].is_ok() => results[i] = Ok(answer),
                    Ok(_) => {}
                    Err(error) => {
                        let before = std::mem::replace(&mut results[i], Ok(nothing())).err();
                        results[i] = worse(before, error).map_or_else(|| Ok(nothing()), Err);
                    }
                }
            }
        }
        results
    }
}

/// What is put.
enum Content<'a> {
    Bytes(Payload),
    File(&'a FileSource),
}

impl Content<'_> {
    fn size(&self) -> u64 {
        match self {
            Self::Bytes(value) => value.len() as u64,
            Self::File(source) => source.size(),
        }
    }

    async fn put(&self, connector: &dyn Connector, key: &Key, options: &PutOptions) -> Result<()> {
        match self {
            Self::Bytes(value) => connector.put(key, value.clone(), options).await,
            Self::File(source) => connector.put_file(key, source, options).await,
        }
    }
}

/// A batch on one child.
type Call<T> = for<'a> fn(&'a dyn Connector, &'a [Key]) -> BoxFuture<'a, Vec<Result<T>>>;

/// Which of two failures to report: one that may pass, as trying again may help.
fn worse(before: Option<Error>, error: Error) -> Option<Error> {
    before.filter(|before| before.is_transient() || !error.is_transient()).or(Some(error))
}

fn unanswered<T>() -> Result<T> {
    Err(Error::new(ErrorKind::Unexpected, "the child gave no answer for this item"))
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Connector for MultiConnector {
    fn info(&self) -> &ConnectorInfo {
        &self.info
    }

    fn new_key(&self, hint: KeyHint<'_>) -> Result<Key> {
        self.members.new_key(hint)
    }

    async fn put(&self, key: &Key, value: Payload, options: &PutOptions) -> Result<()> {
        self.check_open()?;
        self.put_at(&self.members.home(key)?, Content::Bytes(value), options).await
    }

    /// Of a child that has another near, the file goes far first, and then near: nothing of it stays in memory.
    async fn put_file(&self, key: &Key, source: &FileSource, options: &PutOptions) -> Result<()> {
        self.check_open()?;
        self.put_at(&self.members.home(key)?, Content::File(source), options).await
    }

    async fn get(&self, key: &Key) -> Result<Option<Payload>> {
        self.first(key, |connector, key| connector.get(key)).await
    }

    async fn get_file(&self, key: &Key, target: &FileTarget) -> Result<Option<Draft>> {
        self.first(key, |connector, key| {
            let target = target.clone();
            async move { connector.get_file(key, &target).await }.boxed()
        })
        .await
    }

    async fn exists(&self, key: &Key) -> Result<bool> {
        let exists = self
            .first(key, |connector, key| connector.exists(key).map_ok(|exists| exists.then_some(())).boxed());
        Ok(exists.await?.is_some())
    }

    async fn evict(&self, key: &Key) -> Result<()> {
        self.evict_tier(key).await
    }

    async fn put_many(&self, items: Vec<(Key, Payload)>, options: &PutOptions) -> Vec<Result<()>> {
        if let Err(error) = self.check_open() {
            return vec![Err(error); items.len()];
        }
        let homes: Vec<_> = items.iter().map(|(key, _)| self.members.home(key)).collect();
        let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        let mut single = Vec::new();
        for (i, home) in homes.iter().enumerate() {
            match home {
                Ok(home) if self.members.near(home).is_none() => {
                    groups.entry(home.child).or_default().push(i)
                }
                _ => single.push(i),
            }
        }
        let put = |i: usize| {
            let (home, value) = (homes[i].clone(), items[i].1.clone());
            async move {
                match home {
                    Ok(home) => (i, self.put_at(&home, Content::Bytes(value), options).await),
                    Err(error) => (i, Err(error)),
                }
            }
        };
        let put_all = |of_child: Vec<usize>| {
            let one = |i: &usize| Some((homes[*i].as_ref().ok()?.clone(), items[*i].1.clone()));
            let sent: Vec<_> = of_child.iter().filter_map(one).collect();
            async move { of_child.into_iter().zip(self.put_group(sent, options).await).collect::<Vec<_>>() }
        };
        let single = stream::iter(single.into_iter().map(put).collect::<Vec<_>>()).buffered(IN_FLIGHT);
        let groups = join_all(groups.into_values().map(put_all).collect::<Vec<_>>());
        let (single, groups) = join(single.collect::<Vec<_>>(), groups).await;
        let mut results: Vec<Result<()>> = items.iter().map(|_| unanswered()).collect();
        for (i, result) in groups.into_iter().flatten().chain(single) {
            results[i] = result;
        }
        results
    }

    async fn get_many(&self, keys: &[Key]) -> Vec<Result<Option<Payload>>> {
        let places = keys.iter().map(|key| self.members.places(key)).collect();
        self.ask_all(places, || None, Option::is_some, |connector, keys| connector.get_many(keys)).await
    }

    async fn evict_many(&self, keys: &[Key]) -> Vec<Result<()>> {
        // Those that have a copy near wait for their turn.
        let waits = |key: &Key| self.members.home(key).is_ok_and(|home| self.members.near(&home).is_some());
        let waits: Vec<bool> = keys.iter().map(waits).collect();
        let places =
            |(key, waits): (&Key, &bool)| if *waits { Ok(Vec::new()) } else { self.members.places(key) };
        let places = keys.iter().zip(&waits).map(places).collect();
        let evict_all = self.ask_all(places, || (), |()| false, |connector, keys| connector.evict_many(keys));
        let single: Vec<_> = (0..keys.len()).filter(|i| waits[*i]).collect();
        let evict = |i: usize| async move { (i, self.evict_tier(&keys[i]).await) };
        let single = stream::iter(single.into_iter().map(evict).collect::<Vec<_>>()).buffered(IN_FLIGHT);
        let (mut results, single) = join(evict_all, single.collect::<Vec<_>>()).await;
        for (i, result) in single {
            results[i] = result;
        }
        results
    }

    async fn touch(&self, key: &Key, ttl: Duration) -> Result<bool> {
        let home = self.members.home(key)?;
        let tier = self.members.tier(&home)?;
        let _turn = match &tier {
            Some(tier) => Some(self.copies.turn(&tier.near_key, false).await?),
            None => None,
        };
        let (mut touched, mut failed) = (false, None);
        for place in std::iter::once(home.clone()).chain(self.members.fallbacks(&home)) {
            let result = match self.at(&place) {
                Ok(connector) => connector.touch(&place.key, ttl).await,
                Err(error) => Err(error),
            };
            match self.named(&place, result) {
                Ok(there) => touched |= there,
                Err(error) => failed = worse(failed, error),
            }
        }
        if let Some(tier) = &tier {
            // What is not far may be on its way, by another process; or it was evicted elsewhere, and is to end here.
            if touched || failed.is_some() {
                let _ = tier.near.touch(&tier.near_key, tier.kept(Some(ttl))).await;
            } else {
                touched = tier.near.exists(&tier.near_key).await?;
            }
        }
        match failed {
            Some(error) if !touched => Err(error),
            _ => Ok(touched),
        }
    }

    async fn take(&self, key: &Key) -> Result<Option<Payload>> {
        if !self.info.capabilities.take {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "an object that may be with several children cannot be taken from all of them in one step",
            )
            .with("connector", &self.info.uri));
        }
        let home = self.members.home(key)?;
        self.named(&home, self.at(&home)?.take(&home.key).await)
    }

    async fn watch(&self, key: &Key) -> Result<Watch> {
        let home = self.members.home(key)?;
        let mut watches = vec![self.named(&home, self.at(&home)?.watch(&home.key).await)?];
        for place in self.members.near(&home).into_iter().chain(self.members.fallbacks(&home)) {
            // A hint less, where it cannot be watched.
            if let Ok(connector) = self.at(&place)
                && let Ok(watch) = connector.watch(&place.key).await
            {
                watches.push(watch);
            }
        }
        let wakes = |mut watch: Watch| async move {
            watch.wake().await;
            Some(((), watch))
        };
        let wakes = watches.into_iter().map(|watch| stream::unfold(watch, wakes).boxed());
        Ok(Watch::new(stream::select_all(wakes)))
    }

    /// Waits up to ten seconds for copies that are under way, and closes all children. An error says what could not be
    /// copied or closed; everything is closed then, too.
    async fn close(&self) -> Result<()> {
        self.closed.store(true, Ordering::Release);
        let flushed = timeout(CLOSING, self.copies.flush(false)).await.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Timeout, "copies are still under way, and will not be made")
                .with("connector", &self.info.uri))
        });
        let closed = join_all(self.members.open_ones().map(|connector| connector.close())).await;
        std::iter::once(flushed).chain(closed).collect()
    }

    /// Clears all children that are open on this host, and so all of their places.
    async fn clear(&self) -> Result<()> {
        self.check_open()?;
        let _ = self.copies.flush(true).await;
        let cleared = join_all(self.members.open_ones().map(|connector| connector.clear())).await;
        cleared.into_iter().collect()
    }
}
