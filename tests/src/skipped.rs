//! What can't be tested everywhere says so where it isn't.

/// Says that a test is skipped, and why. Where everything is there (`STT_REQUIRE_ENGINES=1`) that is a failure.
///
/// # Panics
/// There.
#[expect(
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "the harness shows it with the test, and this is asked of the tests"
)]
pub fn skipped(what: &str, why: &dyn std::fmt::Display) {
    let required = std::env::var_os("STT_REQUIRE_ENGINES").is_some_and(|value| value == "1");
    assert!(!required, "{what} is required here: {why}");
    eprintln!("SKIPPED: {what}: {why}");
}
