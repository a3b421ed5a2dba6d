//! The run: the only room that sees the others.
