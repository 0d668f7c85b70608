//! What a cluster has to be asked node by node.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use proxystore_core::Result;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr};
use redis::{Cmd, Value, cmd};
use tokio::time::timeout;

use crate::RedisConnector;
use crate::batch::{SINGLES, scanned};
use crate::connector::integer;
use crate::error::{self, Effect};

impl RedisConnector {
    /// Removes the names below the prefix, on every master.
    pub(crate) async fn clear_cluster(&self, mut conn: ClusterConnection) -> Result<()> {
        let limit = self.lanes.timeout();
        let mut slots = cmd("CLUSTER");
        slots.arg("SLOTS");
        let anywhere = RoutingInfo::SingleNode(SingleNodeRoutingInfo::Random);
        for slot in masters(&ask(&mut conn, slots, anywhere, limit).await?) {
            let mut cursor = 0;
            loop {
                let to = SingleNodeRoutingInfo::SpecificNode(Route::new(slot, SlotAddr::Master));
                let answer = ask(&mut conn, self.scan(cursor), RoutingInfo::SingleNode(to), limit).await?;
                let (next, names) = scanned(answer)?;
                // The names of one node lie in many slots, and a command takes names of one slot only.
                let unlinks = names.into_iter().map(|name| async move {
                    let mut unlink = redis::pipe();
                    unlink.cmd("UNLINK").arg(name);
                    let answer = self.lanes.call(&unlink.into(), 0, Effect::Idempotent).await?.pop();
                    integer(answer.ok_or_else(error::strange)?)
                });
                stream::iter(unlinks).buffer_unordered(SINGLES).try_for_each(async |_| Ok(())).await?;
                if next == 0 {
                    break;
                }
                cursor = next;
            }
        }
        Ok(())
    }
}

async fn ask(conn: &mut ClusterConnection, command: Cmd, to: RoutingInfo, limit: Duration) -> Result<Value> {
    match timeout(limit, conn.route_command(command, to)).await {
        Ok(answer) => answer.map_err(|error| error::unreachable(&error)),
        Err(_) => Err(error::late(Effect::Read, true, limit)),
    }
}

/// One slot of each master: `CLUSTER SLOTS` lists ranges as first slot, last slot, master, replicas.
fn masters(ranges: &Value) -> Vec<u16> {
    let mut masters = BTreeMap::new();
    if let Value::Array(ranges) = ranges {
        for range in ranges {
            if let Value::Array(range) = range
                && let [Value::Int(first), _, Value::Array(master), ..] = &range[..]
                && let [host, port, ..] = &master[..]
                && let Ok(first) = u16::try_from(*first)
            {
                masters.entry(format!("{host:?} {port:?}")).or_insert(first);
            }
        }
    }
    masters.into_values().collect()
}
