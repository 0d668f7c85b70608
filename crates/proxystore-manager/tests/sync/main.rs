//! Locks and what else processes wait at.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is what a test reports")]

mod barrier;
mod common;
mod condition;
mod event;
mod lock;
mod pool;
mod processes;
mod rlock;
mod rwlock;
mod semaphore;
mod storm;
