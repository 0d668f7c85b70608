//! Managers, proxies and what happens to both.

mod breaks;
mod calls;
mod common;
mod lifetimes;
mod processes;
