//! Which test runs next, and how many at once.
