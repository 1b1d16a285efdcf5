//! How does it look in the log?
//!
//! | module | the question it answers |
//! |---|---|
//! | [`mod@write`] | which line is written? |
//! | [`budget`] | how many lines of a flood are written? |
//! | [`count`] | how is a number of things written? |
//! | [`read`] | what did a line of the log say? |

pub mod budget;
pub mod count;
pub mod read;
pub mod write;

pub use budget::{LeftOut, LogBudget};
pub use count::Count;
pub use write::{Acceptance, Line, Often, Origin, Span};
