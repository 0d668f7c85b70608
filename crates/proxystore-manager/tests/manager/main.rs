//! Managers, proxies and what happens to both.

mod breaks;
mod calls;
mod common;
mod hostile;
mod interfaces;
mod lifetimes;
mod processes;
mod streams;
