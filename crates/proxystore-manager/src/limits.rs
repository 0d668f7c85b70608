//! What a manager allows.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a manager allows. All of it is the server's word; clients are told of the lease and the frames.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Limits {
    /// A client that is not heard of for so long is gone, and all it held is given back. 30 seconds.
    pub lease: Duration,
    /// How long calls may go on once the manager shuts down. 1 second.
    pub grace: Duration,
    /// The longest that a reference outside of calls keeps its object without a holder. 1 hour.
    pub max_pin: Duration,
    /// Objects. 1,000,000.
    pub max_objects: usize,
    /// Published names. 100,000.
    pub max_names: usize,
    /// Clients. 1,024.
    pub max_sessions: usize,
    /// Connections that have not yet shown that they know the key. 64.
    pub max_handshakes: usize,
    /// Calls of one session that run or whose results have not arrived. 8,192.
    pub max_calls: usize,
    /// Bytes of arguments of one session whose calls run or wait for their turn. 256 MiB.
    pub max_argument_bytes: usize,
    /// Bytes of results of one session that have not arrived. 256 MiB.
    pub max_result_bytes: usize,
    /// Bytes of one message. 16 MiB.
    pub max_frame: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(30),
            grace: Duration::from_secs(1),
            max_pin: Duration::from_secs(3600),
            max_objects: 1_000_000,
            max_names: 100_000,
            max_sessions: 1_024,
            max_handshakes: 64,
            max_calls: 8_192,
            max_argument_bytes: 256 << 20,
            max_result_bytes: 256 << 20,
            max_frame: 16 << 20,
        }
    }
}
