//! What the rules say of one setting, the strongest first. Pure.

use std::sync::Arc;

use nextest_filtering::CompiledExpr;
use nextest_filtering::EvalContext;

use super::filterset::Names;

/// What the rules say of one setting, for the tests of one binary.
#[derive(Debug)]
pub(super) struct Choice<'a, T> {
    /// Filters that hold for some of the tests, each with what these get.
    open: Vec<(&'a CompiledExpr, Option<&'a Arc<T>>)>,
    /// What all others get.
    rest: Option<&'a Arc<T>>,
    /// Whether no later rule can hold for a test of this binary.
    closed: bool,
}

impl<'a, T> Choice<'a, T> {
    pub(super) fn new() -> Self {
        Self {
            open: Vec::new(),
            rest: None,
            closed: false,
        }
    }

    /// Adds what a weaker rule says than those before. Without a filter it holds for every test.
    pub(super) fn add(&mut self, filter: Option<&'a CompiledExpr>, value: Option<&'a Arc<T>>) {
        match filter {
            _ if self.closed => {}
            Some(filter) => self.open.push((filter, value)),
            None => {
                self.rest = value;
                self.closed = true;
            }
        }
    }

    pub(super) fn of(
        &self,
        names: &Names,
        context: EvalContext<'a>,
        test: &str,
    ) -> Option<&'a Arc<T>> {
        let mut open = self.open.iter();
        let first = open.find(|(filter, _)| names.is_in(filter, context, test));
        first.map_or(self.rest, |(_, value)| *value)
    }
}
