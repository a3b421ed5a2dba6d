//! The names of the environment variables that a test finds, beside those it inherits.
//!
//! The `CARGO_*` ones are cargo's (The Cargo Book, "Environment variables"), the `NEXTEST*` ones are
//! nextest's (its book, "Environment variables"): libraries key on both.

/// The `cargo` that runs the tests.
pub const CARGO: &str = "CARGO";
/// The folder of the test's package.
pub const CARGO_MANIFEST_DIR: &str = "CARGO_MANIFEST_DIR";
/// The `Cargo.toml` of the test's package.
pub const CARGO_MANIFEST_PATH: &str = "CARGO_MANIFEST_PATH";
/// The folder into which the package's build script wrote; only where there is a build script.
pub const OUT_DIR: &str = "OUT_DIR";
/// Before the name of a binary target of the package: the path of that executable.
pub const CARGO_BIN_EXE_PREFIX: &str = "CARGO_BIN_EXE_";
/// The same under nextest's name.
pub const NEXTEST_BIN_EXE_PREFIX: &str = "NEXTEST_BIN_EXE_";

/// Where the dynamic loader looks for libraries (`ld.so(8)`; macOS `dyld(1)`).
pub const LIBRARY_PATH: &str = if cfg!(target_os = "macos") {
    "DYLD_FALLBACK_LIBRARY_PATH"
} else {
    "LD_LIBRARY_PATH"
};

/// How all of nextest's names begin; before a variable of the dynamic loader: its value.
pub const NEXTEST_PREFIX: &str = "NEXTEST_";
/// `1`: a runner of nextest's kind.
pub const NEXTEST: &str = "NEXTEST";
/// `process-per-test`.
pub const NEXTEST_EXECUTION_MODE: &str = "NEXTEST_EXECUTION_MODE";
/// The run.
pub const NEXTEST_RUN_ID: &str = "NEXTEST_RUN_ID";
/// The test's binary.
pub const NEXTEST_BINARY_ID: &str = "NEXTEST_BINARY_ID";
/// The root of the workspace.
pub const NEXTEST_WORKSPACE_ROOT: &str = "NEXTEST_WORKSPACE_ROOT";
/// The version of nextest that tests may take this runner for.
pub const NEXTEST_VERSION: &str = "NEXTEST_VERSION";
/// `none`: no configuration here asks for a version of nextest.
pub const NEXTEST_REQUIRED_VERSION: &str = "NEXTEST_REQUIRED_VERSION";
/// The same.
pub const NEXTEST_RECOMMENDED_VERSION: &str = "NEXTEST_RECOMMENDED_VERSION";
/// `test`.
pub const NEXTEST_RUN_MODE: &str = "NEXTEST_RUN_MODE";
/// `list` while a binary is asked for its tests, else `run`.
pub const NEXTEST_TEST_PHASE: &str = "NEXTEST_TEST_PHASE";
/// The profile that was chosen.
pub const NEXTEST_PROFILE: &str = "NEXTEST_PROFILE";
/// The test's name inside its binary.
pub const NEXTEST_TEST_NAME: &str = "NEXTEST_TEST_NAME";
/// Which attempt this is, from 1 on.
pub const NEXTEST_ATTEMPT: &str = "NEXTEST_ATTEMPT";
/// How many attempts there are at most.
pub const NEXTEST_TOTAL_ATTEMPTS: &str = "NEXTEST_TOTAL_ATTEMPTS";
/// `RUN:BINARY$TEST`, and from the second attempt on `#NUMBER`.
pub const NEXTEST_ATTEMPT_ID: &str = "NEXTEST_ATTEMPT_ID";
/// `none`: no test is run again and again.
pub const NEXTEST_STRESS_CURRENT: &str = "NEXTEST_STRESS_CURRENT";
/// The same.
pub const NEXTEST_STRESS_TOTAL: &str = "NEXTEST_STRESS_TOTAL";
/// The test's slot: from 0 on, compact, and unique among the running tests.
pub const NEXTEST_TEST_GLOBAL_SLOT: &str = "NEXTEST_TEST_GLOBAL_SLOT";
/// `@global`: the test is in no group.
pub const NEXTEST_TEST_GROUP: &str = "NEXTEST_TEST_GROUP";
/// `none`: the test is in no group.
pub const NEXTEST_TEST_GROUP_SLOT: &str = "NEXTEST_TEST_GROUP_SLOT";
/// How many tests may run at once.
pub const NEXTEST_TEST_THREADS: &str = "NEXTEST_TEST_THREADS";

/// `1`: the test runs under cargo-stt.
pub const STT: &str = "STT";
/// The run. It also marks every process of the run's family.
pub const STT_RUN_ID: &str = "STT_RUN_ID";
/// The test, as binary id and name with a space between.
pub const STT_TEST_ID: &str = "STT_TEST_ID";
/// Which attempt this is, from 1 on.
pub const STT_ATTEMPT: &str = "STT_ATTEMPT";
/// Of a script: its kind and its name, such as `setup:db`.
pub const STT_SCRIPT: &str = "STT_SCRIPT";
/// Of a setup script: the file into which it writes variables for its tests, `KEY=VALUE` a line.
pub const STT_ENV: &str = "STT_ENV";
/// The same file under nextest's name.
pub const NEXTEST_ENV: &str = "NEXTEST_ENV";
/// The ports of the test, with commas between; only where it has some.
pub const STT_PORTS: &str = "STT_PORTS";
/// Before a number from 0 on: that one of the test's ports.
pub const STT_PORT_PREFIX: &str = "STT_PORT_";

/// Read, and set to ourselves when cargo is to tell how it would call `rustdoc --test`: the documentation tool.
pub const RUSTDOC: &str = "RUSTDOC";
/// Read: the documentation tool, as cargo's setting `build.rustdoc`.
pub const CARGO_BUILD_RUSTDOC: &str = "CARGO_BUILD_RUSTDOC";
/// Set for that: the directory into which each such call is written.
pub const STT_DOCTEST_CALLS: &str = "STT_DOCTEST_CALLS";

/// Read, and set for `cargo metadata`: where cargo builds.
pub const CARGO_TARGET_DIR: &str = "CARGO_TARGET_DIR";
/// Read: cargo's home, with the last of its configuration files.
pub const CARGO_HOME: &str = "CARGO_HOME";
/// Read: the user's home.
pub const HOME: &str = "HOME";
/// Read: the compiler.
pub const RUSTC: &str = "RUSTC";
/// Read: the compiler, as cargo's setting `build.rustc`.
pub const CARGO_BUILD_RUSTC: &str = "CARGO_BUILD_RUSTC";
/// Read: the target, as cargo's setting `build.target`.
pub const CARGO_BUILD_TARGET: &str = "CARGO_BUILD_TARGET";
