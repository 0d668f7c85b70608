//! Managers, proxies and what happens to both.

mod calls;
mod common;
