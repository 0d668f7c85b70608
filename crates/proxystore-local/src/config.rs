//! Settings of `local://`.

use proxystore_core::{ConnectorConfig, Error, ErrorKind, Origin, Result, Uri};
use serde::{Deserialize, Serialize};

use crate::LocalConnector;
use crate::space::{self, process_id};

/// `local:///name`, or `local://process/name` as references spell it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalConfig {
    /// The name of the map within the process; all connectors of a name share it.
    pub name: String,
    /// The process that has it, by its random id; none: this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
}

impl ConnectorConfig for LocalConfig {
    const SCHEMES: &'static [&'static str] = &["local"];
    type Connector = LocalConnector;

    fn from_uri(uri: &Uri) -> Result<Self> {
        uri.options(&[])?;
        let bad = |why| Err(Error::new(ErrorKind::Config, why).with("uri", uri).hint("write local:///name"));
        if uri.has_credentials() {
            return bad("a local store has no user and no password");
        }
        let mut segments = uri.segments();
        let (Some(name), None) = (segments.next(), segments.next()) else {
            return bad("a local store has a name of one segment");
        };
        let process = match uri.hosts().collect::<Vec<_>>()[..] {
            [] => None,
            [(process, None)] => Some(process.to_owned()),
            _ => return bad("a local store has no port and no list of hosts"),
        };
        Ok(Self { name: name.into(), process })
    }

    fn identity(&self) -> Uri {
        let process = self.process.as_deref().unwrap_or(process_id());
        Uri::new("local").with_host(process, None).with_path(&format!("/{}", self.name))
    }

    async fn connect(self, origin: Origin) -> Result<LocalConnector> {
        if self.process.as_deref().is_some_and(|process| process != process_id()) {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "a `local://` object lives in the process that put it, and this is another one",
            )
            .with("store", &self.name)
            .hint("use file:// or redis:// to reach other processes"));
        }
        let space = match origin {
            Origin::Program => space::named(&self.name),
            Origin::Reference => space::existing(&self.name).ok_or_else(|| {
                Error::new(ErrorKind::Unregistered, "no such local store is open in this process")
                    .with("store", &self.name)
            })?,
        };
        Ok(LocalConnector::of(space))
    }
}
