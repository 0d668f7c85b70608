//! Any value as JSON.

use serde_json::{Map, Number, Value};

use crate::builtin::Plain;
use crate::error::RemoteError;
use crate::value::Encoded;

/// The deepest that capsules are in each other.
const MAX_DEPTH: usize = 16;

/// JSON of a value: bytes become an array of numbers, keys texts, proxies their references, and what is no finite
/// number of 64 bits null. Values that their manager keeps encoded are opened.
pub(super) fn shown(value: &Encoded) -> Result<Value, RemoteError> {
    Ok(json(&value.decode()?, 0))
}

fn json(plain: &Plain, depth: usize) -> Value {
    match plain {
        Plain::Nil => Value::Null,
        Plain::Bool(bool) => (*bool).into(),
        Plain::Int(int) => Number::from_i128(*int).map_or(Value::Null, Value::Number),
        Plain::Float32(float) => f64::from(*float).into(),
        Plain::Float(float) => (*float).into(),
        Plain::Text(text) => text.as_str().into(),
        Plain::Bytes(bytes) => bytes.as_slice().into(),
        Plain::List(items) => match inside(items) {
            Some(plain) if depth < MAX_DEPTH => json(&plain, depth + 1),
            _ => items.iter().map(|item| json(item, depth)).collect(),
        },
        Plain::Map(entries) => {
            let entries = entries.iter().map(|(key, value)| (text(json(key, depth)), json(value, depth)));
            Value::Object(entries.collect::<Map<_, _>>())
        }
        Plain::Proxy(proxy) => serde_json::to_value(proxy).unwrap_or_default(),
    }
}

/// What is in a capsule: bytes with a value in them, and its proxies.
fn inside(items: &[Plain]) -> Option<Plain> {
    let [Plain::Bytes(bytes), Plain::List(proxies)] = items else { return None };
    let proxy = |plain: &Plain| match plain {
        Plain::Proxy(proxy) => Some(proxy.clone()),
        _ => None,
    };
    let proxies = proxies.iter().map(proxy).collect::<Option<_>>()?;
    Encoded { bytes: bytes.clone().into(), proxies }.decode().ok()
}

fn text(key: Value) -> String {
    match key {
        Value::String(text) => text,
        other => other.to_string(),
    }
}
