//! The children as they are on this host, and which of them has what.

use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use proxystore_core::{
    Capabilities, Connector, ConnectorConfig, ConnectorInfo, Error, ErrorKind, Key, KeyHint, Opener, Origin,
    Reach, Result, Tags, Uri,
};

use crate::config::{Child, MultiConfig};
use crate::route::{self, Route};
use crate::{copies::Tier, key};

/// A child on this host.
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) route: Route,
    keep: Duration,
    /// Which other one has copies near.
    near: Option<usize>,
    /// It has the copies of others, and no objects of its own.
    is_near: bool,
    state: State,
}

enum State {
    Open(Arc<dyn Connector>),
    /// It is for other hosts.
    Dormant,
    /// It cannot be opened here, or may not.
    Shut(Error),
}

impl Member {
    /// The connector; an error that says why there is none on this host.
    pub(crate) fn connector(&self) -> Result<&Arc<dyn Connector>> {
        let error = match &self.state {
            State::Open(connector) => return Ok(connector),
            State::Shut(error) => error.clone(),
            State::Dormant => {
                let hosts = self.route.hosts.join(" ");
                Error::new(
                    ErrorKind::Unsupported,
                    format!("the child `{}` is dormant on this host", self.name),
                )
                .with("host", route::host())
                .with("hosts", hosts)
                .hint("use its objects on a host whose name matches")
            }
        };
        Err(error.with("child", &self.name))
    }

    fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.state {
            State::Open(connector) => write!(f, "{}: {connector:?}", self.name),
            State::Dormant => write!(f, "{}: dormant", self.name),
            State::Shut(error) => write!(f, "{}: {error}", self.name),
        }
    }
}

/// All children, in the order of routing.
#[derive(Debug)]
pub(crate) struct Members {
    all: Vec<Member>,
    /// The one that has the keys that name none.
    default: Option<usize>,
    fallback: bool,
}

/// Where an object may be.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The number of the child.
    pub(crate) child: usize,
    /// Its key there.
    pub(crate) key: Key,
}

impl Members {
    /// Opens what is for this host, and gives the identity and capabilities of the whole.
    pub(crate) async fn open(
        mut config: MultiConfig,
        origin: Origin,
        opener: &dyn Opener,
    ) -> Result<(Self, ConnectorInfo)> {
        let host = route::host();
        let nears: Vec<String> = config.near().into_iter().map(str::to_owned).collect();
        let open = |child: &Child| {
            let (child, is_near) = (child.clone(), nears.contains(&child.name));
            let host = &host;
            async move {
                let opened = open(&child, is_near, host, origin, opener).await;
                opened.map_err(|error| error.with("child", &child.name))
            }
        };
        let opened = try_join_all(config.children.iter().map(open)).await?;
        let (places, states): (Vec<Uri>, Vec<State>) = opened.into_iter().unzip();
        if !states.iter().any(|state| matches!(state, State::Open(_)))
            && let Some(error) = states.iter().find_map(|state| match state {
                State::Shut(error) => Some(error.clone()),
                _ => None,
            })
        {
            return Err(error);
        }
        for (place, child) in places.into_iter().zip(config.children()) {
            *child = place;
        }
        // The places that were opened may have longer names than those that were given.
        config.check()?;
        let uri = config.identity();
        let mut children: Vec<_> = config.children.into_iter().zip(states).collect();
        children.sort_by_key(|(child, _)| Reverse(child.route.priority));
        let order: Vec<String> = children.iter().map(|(child, _)| child.name.clone()).collect();
        let all = children.into_iter().map(|(child, state)| Member {
            near: child.near.and_then(|near| order.iter().position(|name| *name == near)),
            is_near: nears.contains(&child.name),
            name: child.name,
            route: child.route,
            keep: child.keep,
            state,
        });
        let all: Vec<_> = all.collect();
        let default = all.iter().position(|member| !member.is_near && member.route.takes_all());
        let members = Self { all, default, fallback: config.fallback };
        let capabilities = members.capabilities();
        Ok((members, ConnectorInfo::new(uri, capabilities)))
    }

    /// What all that take objects here can do, and the largest object that one of them takes.
    fn capabilities(&self) -> Capabilities {
        let each =
            || self.all.iter().filter(|m| !m.is_near).filter_map(|m| m.connector().ok()).map(|c| c.info());
        let all = |can: fn(&Capabilities) -> bool| each().all(|info| can(&info.capabilities));
        // What may be in several places cannot be taken from all of them in one step.
        let one_place = !self.fallback && self.all.iter().all(|member| member.near.is_none());
        Capabilities {
            reach: each().map(|info| info.capabilities.reach).min().unwrap_or(Reach::Process),
            create: all(|can| can.create),
            watch: all(|can| can.watch),
            ttl: all(|can| can.ttl),
            take: one_place && all(|can| can.take),
            max_value: each().map(|info| info.capabilities.max_value).max().unwrap_or(u64::MAX),
        }
    }

    /// The child of this number.
    pub(crate) fn get(&self, child: usize) -> &Member {
        &self.all[child]
    }

    /// All that are open on this host.
    pub(crate) fn open_ones(&self) -> impl Iterator<Item = &Arc<dyn Connector>> {
        self.all.iter().filter_map(|member| member.connector().ok())
    }

    /// A fresh key in the child that takes an object of which this is known.
    pub(crate) fn new_key(&self, hint: KeyHint<'_>) -> Result<Key> {
        let none = Tags::new();
        let tags = hint.tags.unwrap_or(&none);
        let takes = |member: &&Member| !member.is_near && member.route.takes(hint.size, tags);
        let open = || self.all.iter().enumerate().filter(|(_, m)| m.is_open() && takes(m));
        // What is not there yet may turn out to be large.
        let roomy = if hint.size.is_none() { open().find(|(_, m)| m.route.is_open()) } else { None };
        let Some((child, member)) = roomy.or_else(|| open().next()) else {
            let others: Vec<_> = self.all.iter().filter(takes).map(|member| &*member.name).collect();
            return Err(untaken(hint.size, tags, &others));
        };
        let inner = member.connector()?.new_key(hint)?;
        if self.default == Some(child) { Ok(inner) } else { key::join(&member.name, &inner) }
    }

    /// Where the object under `key` belongs. `Config` if it names a child that does not exist, or none where it must.
    pub(crate) fn home(&self, key: &Key) -> Result<Place> {
        let Some((name, inner)) = key::parts(key) else { return self.unnamed(key) };
        match self.all.iter().position(|member| member.name == name && !member.is_near) {
            // Its keys do not name it, so that each object has one key.
            Some(child) if self.default == Some(child) => self.unnamed(key),
            // That is where an object of the other lies when it has fallen back, and that has a key already.
            Some(_)
                if key::parts(&inner).is_some_and(|(other, _)| self.all.iter().any(|m| m.name == other)) =>
            {
                Err(Error::new(ErrorKind::Config, "the key names two children"))
            }
            Some(child) => Ok(Place { child, key: inner }),
            None => {
                let names: Vec<_> = self.all.iter().filter(|m| !m.is_near).map(|m| &*m.name).collect();
                Err(Error::new(
                    ErrorKind::Config,
                    format!("the child `{name}` that the key names does not exist"),
                )
                .hint(format!("children: {}", names.join(", "))))
            }
        }
    }

    fn unnamed(&self, key: &Key) -> Result<Place> {
        let child = self.default.ok_or_else(|| {
            Error::new(ErrorKind::Config, "the key names no child, and no child takes every object")
                .hint("use keys that this store has made, or add a child without bounds, tags and hosts")
        })?;
        Ok(Place { child, key: key.clone() })
    }

    /// The key of an object that lies with another child than its own. `None` if that is too long for a key.
    fn away(&self, home: &Place) -> Option<Key> {
        key::join(&self.all[home.child].name, &home.key).ok()
    }

    /// The child that has a copy near. Only of what is put once: what the store keeps beside an object, and what has a
    /// name of the program's own, may be changed from several hosts.
    pub(crate) fn near(&self, home: &Place) -> Option<Place> {
        let child = self.all[home.child].near.filter(|near| self.all[*near].is_open())?;
        let key = home.key.as_id().and_then(|_| self.away(home))?;
        Some(Place { child, key })
    }

    /// An object that has a copy near.
    pub(crate) fn tier(&self, home: &Place) -> Result<Option<Tier>> {
        let Some(near) = self.near(home) else { return Ok(None) };
        Ok(Some(Tier {
            near: self.all[near.child].connector()?.clone(),
            near_key: near.key,
            far: self.all[home.child].connector()?.clone(),
            far_key: home.key.clone(),
            keep: self.all[home.child].keep,
        }))
    }

    /// Who may have got it when its own child failed: those that come after it, on all hosts.
    pub(crate) fn fallbacks(&self, home: &Place) -> impl Iterator<Item = Place> {
        let from =
            if self.fallback && self.all[home.child].near.is_none() { home.child + 1 } else { usize::MAX };
        let candidates = self.all.iter().enumerate().skip(from);
        let candidates = candidates.filter(|(_, member)| !member.is_near && member.route.hosts.is_empty());
        let key = self.away(home);
        candidates.filter_map(move |(child, _)| key.clone().map(|key| Place { child, key }))
    }

    /// Where to look for the object under `key`, in this order.
    pub(crate) fn places(&self, key: &Key) -> Result<Vec<Place>> {
        let home = self.home(key)?;
        let mut places: Vec<_> = self.near(&home).into_iter().collect();
        places.push(home.clone());
        places.extend(self.fallbacks(&home));
        Ok(places)
    }
}

async fn open(
    child: &Child,
    is_near: bool,
    host: &str,
    origin: Origin,
    opener: &dyn Opener,
) -> Result<(Uri, State)> {
    let place = match opener.identity(&child.uri) {
        // Kinds that are not known here are for other hosts.
        Err(error) if error.kind() == ErrorKind::Unsupported => child.uri.public(),
        identity => identity?,
    };
    if !child.route.is_valid_on_host(host)? {
        return Ok((place, State::Dormant));
    }
    let opened = opener.open(&child.uri).await.and_then(|connector| {
        if is_near && !connector.info().capabilities.ttl {
            return Err(Error::new(ErrorKind::Config, "a child that is near others needs expiry"));
        }
        Ok(connector)
    });
    match opened {
        Ok(connector) => Ok((connector.info().uri.clone(), State::Open(connector))),
        Err(error) if origin == Origin::Program || (!is_near && is_passing(&error)) => Err(error),
        Err(error) => Ok((place, State::Shut(error))),
    }
}

/// Whether it may be otherwise a little later.
fn is_passing(error: &Error) -> bool {
    error.is_transient() || matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout)
}

fn untaken(size: Option<u64>, tags: &Tags, others: &[&str]) -> Error {
    let mut error = Error::new(ErrorKind::Unsupported, "no child takes an object with these constraints");
    if let Some(size) = size {
        error = error.with("size", size);
    }
    if !tags.is_empty() {
        error = error.with("tags", Vec::from_iter(tags.iter().map(String::as_str)).join(","));
    }
    if !others.is_empty() {
        error = error.with("not_on_this_host", others.join(","));
    }
    error.hint("give a child wider bounds of size, or other tags")
}
