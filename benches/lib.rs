//! The instrument of the measurements: what we do and what does the same work without us, in turns of one run, so
//! that a ratio holds whatever else the machine does.

mod figure;
mod race;

pub use figure::{Figure, Goal, Spread, Unit, Verdict, folder, write};
pub use race::{Race, Run, Suite, now, once, reported, timed};
