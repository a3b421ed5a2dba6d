//! From a workspace to the list of its tests.
//!
//! This room plans and parses, and starts nothing: it makes [`CommandLine`](crate::command::CommandLine)s
//! as data, and reads what came back. The order of a discovery:
//!
//! 1. [`CargoConfig::read`]; then, side by side, [`metadata_command`] → [`Workspace::parse`],
//!    [`rustc_command`] → [`Rustc::parse`], and [`build_command`] → [`Messages::line`];
//! 2. [`test_binaries`]: what was built, each with its complete environment;
//! 3. for each binary the [`Cache`], or [`list_commands`] → [`read_listing`];
//! 4. [`TestRules`]: what each test may use and which ports it has; [`Chosen`] and [`verdict`]: which of the
//!    tests run; [`test_command`] and [`per_test`]: how.

mod archive;
mod binary;
mod cache;
mod cargo;
mod cargo_config;
mod choice;
mod compilers;
mod doc_filter;
mod doctests;
mod environment;
mod expressions;
mod filter;
mod filterset;
mod inventory;
mod kept;
mod layout;
mod list;
mod manifest;
mod messages;
mod metadata;
mod run_command;
mod rustc;
pub mod variables;

pub use archive::ARCHIVE_FORMAT;
pub use archive::Answers;
pub use archive::BUILD;
pub use archive::LIBDIR;
pub use archive::Moved;
pub use archive::TARGET;
pub use archive::below_sysroot;
pub use binary::BinaryError;
pub use binary::BinaryKind;
pub use binary::Setting;
pub use binary::TestBinary;
pub use binary::test_binaries;
pub use cache::Cache;
pub use cache::CacheKey;
pub use cache::hash_file;
pub use cargo::build_command;
pub use cargo::doc_command;
pub use cargo::graph_command;
pub use cargo::metadata_command;
pub use cargo::rustc_command;
pub use cargo_config::CargoConfig;
pub use cargo_config::CargoConfigError;
pub use compilers::Compilers;
pub use compilers::Question;
pub use doctests::DOCTEST_RUNNER;
pub use doctests::DocTool;
pub use doctests::Doctests;
pub use doctests::RustdocCall;
pub use doctests::doc_binary;
pub use doctests::doc_list_commands;
pub use doctests::doc_sources;
pub use doctests::finds_nothing;
pub use doctests::has_runtool;
pub use doctests::read_doc_listing;
pub use environment::PerTest;
pub use environment::of_ports;
pub use environment::per_test;
pub use environment::script_environment;
pub use environment::tells_of_ports;
pub use expressions::BinaryChosen;
pub use expressions::Chosen;
pub use filter::Verdict;
pub use filter::has_wanted_limits;
pub use filter::verdict;
pub use filterset::FiltersetError;
pub use filterset::Needs;
pub use filterset::TestRules;
pub use inventory::Fate;
pub use inventory::build_summary;
pub use inventory::case_summary;
pub use inventory::suite_summary;
pub use list::ListAnswer;
pub use list::ListError;
pub use list::ListedTest;
pub use list::Listing;
pub use list::Protocol;
pub use list::list_commands;
pub use list::read_listing;
pub use manifest::Harness;
pub use manifest::ManifestError;
pub use messages::Built;
pub use messages::MessageError;
pub use messages::MessageEvent;
pub use messages::Messages;
pub use metadata::MetadataError;
pub use metadata::Package;
pub use metadata::Workspace;
pub use run_command::test_command;
pub use run_command::with_sockets;
pub use rustc::Rustc;
pub use rustc::RustcError;
pub use rustc::Toolchain;
