//! What a client asks.

use futures_util::StreamExt;
use proxystore_core::{Error, ErrorKind, Result};
use serde_json::{Value, json};

use super::json::shown;
use super::{Connect, print};
use crate::id::ObjectId;
use crate::manager::Manager;
use crate::object::Answer;
use crate::proxy::ProxyBase;
use crate::server::Inspected;
use crate::value::Encoded;

pub(super) async fn ls(connect: Connect) -> Result<()> {
    connect
        .with(async |manager| {
            let mut after = None;
            loop {
                let page = manager.page(after).await?;
                let Some(last) = page.last() else { return Ok(()) };
                after = Some(last.object);
                page.iter().try_for_each(print)?;
            }
        })
        .await
}

pub(super) async fn inspect(connect: Connect, target: &str) -> Result<()> {
    connect
        .with(async |manager| {
            let number = match target.parse() {
                Ok(number) => ObjectId(number),
                Err(_) => find(manager, target).await?.object(),
            };
            let Inspected { info, methods, object } = manager.inspect(number).await?;
            print(&json!({ "info": info, "methods": methods, "text": object.display().await }))
        })
        .await
}

pub(super) async fn call(connect: Connect, target: &str, method: &str, args: &str) -> Result<()> {
    let args: Vec<Value> = serde_json::from_str(args).map_err(|error| {
        Error::new(ErrorKind::Config, format!("the arguments are no JSON array: {error}"))
            .hint("write '[1, \"two\"]', also for one argument")
    })?;
    // No arguments are an empty tuple, which is no empty array.
    let args = if args.is_empty() { Encoded::new(&())? } else { Encoded::new(&args)? };
    connect
        .with(async |manager| match find(manager, target).await?.call_encoded(method, args).await? {
            Answer::Value(value) => print(&shown(&value)?),
            Answer::App(error) => {
                Err(Error::new(ErrorKind::Failed, format!("the method says {}", shown(&error)?)))
            }
            Answer::Stream(mut items) => {
                while let Some(item) = items.next().await {
                    print(&shown(&item?)?)?;
                }
                Ok(())
            }
        })
        .await
}

pub(super) async fn stats(connect: Connect) -> Result<()> {
    connect.with(async |manager| print(&manager.stats().await?)).await
}

pub(super) async fn shutdown(connect: Connect) -> Result<()> {
    // The session ends with it.
    Ok(connect.connect().await?.shutdown().await?)
}

/// The object of this name, number or reference.
async fn find(manager: &Manager, target: &str) -> Result<ProxyBase> {
    if let Ok(number) = target.parse() {
        return Ok(manager.inspect(ObjectId(number)).await?.object);
    }
    if target.starts_with("psm://") {
        return Ok(ProxyBase::at(target.parse()?));
    }
    Ok(manager.lookup(target).await?)
}
