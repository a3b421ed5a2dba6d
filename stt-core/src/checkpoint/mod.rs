//! The record of a run, and what is still to be done after it.
