//! From a workspace to the list of its tests.
