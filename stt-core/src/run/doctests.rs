//! Finds the documentation tests of a workspace: has cargo tell how it would call `rustdoc`, and asks that for its
//! tests. Sources are read anew each time, so no listing is kept.

use std::ffi::OsStr;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt as _;
use nix::unistd::dup2_stderr;
use nix::unistd::dup2_stdout;
use twox_hash::XxHash3_128;

use crate::checkpoint::BinaryRecord;
use crate::checkpoint::ContentHash;
use crate::checkpoint::Fingerprint;
use crate::command::CommandLine;
use crate::discovery::DocTool;
use crate::discovery::ListError;
use crate::discovery::Listing;
use crate::discovery::RustdocCall;
use crate::discovery::TestBinary;
use crate::discovery::doc_command;
use crate::discovery::doc_list_commands;
use crate::discovery::doc_sources;
use crate::discovery::has_runtool;
use crate::discovery::hash_file;
use crate::discovery::read_doc_listing;
use crate::discovery::variables;
use crate::outcome::Exit;
use crate::process::Collected;
use crate::process::Stdio;
use crate::run::RunError;
use crate::run::Session;
use crate::run::alarm::Alarm;
use crate::run::child::ChildEnd;
use crate::run::child::setup;
use crate::run::list::Listed;
use crate::run::prepare::Site;
use crate::run::prepare::Wanted;

/// What cargo says where no selected package has a library.
const NO_LIBRARY: &str = "no library targets found";

impl Session {
    /// How cargo would call `rustdoc` for each selected package. Where documentation tests are not all that is wanted,
    /// everything has been built before, and there may be no library.
    ///
    /// # Errors
    /// The build failed, or what cargo told can't be read.
    pub(crate) fn rustdoc_calls(
        &self,
        site: &Site<'_>,
        wanted: &Wanted<'_>,
    ) -> Result<Vec<RustdocCall>, RunError> {
        // They are compiled when they run, and an archive is for machines that compile nothing.
        let Some(recorder) = wanted.recorder.filter(|_| site.archive.is_none()) else {
            return Ok(Vec::new());
        };
        let dir = CallsDir::create(&wanted.workspace.target_dir, wanted.run.as_str())
            .map_err(|source| setup("a directory for documentation tests", source))?;
        let alone = wanted.build.doc;
        let (env, colour) = (wanted.env, wanted.colour);
        let command = doc_command(site.cargo, wanted.build, site.place, site.cwd, env, colour)
            .env(variables::RUSTDOC, recorder)
            .env(variables::STT_DOCTEST_CALLS, dir.0.as_str());
        let mut said = Collected::default();
        let stdio = if alone {
            Stdio::CaptureStdout
        } else {
            Stdio::Capture
        };
        let end = self.run_child(&command, stdio, &mut said, None)?;
        match end {
            ChildEnd::Exited(Exit::Code(0)) => dir.read(),
            ChildEnd::Exited(_) if !alone && said_no_library(&said.stderr) => Ok(Vec::new()),
            ChildEnd::Exited(exit) if alone => Err(RunError::BuildFailed { exit }),
            ChildEnd::Exited(_) | ChildEnd::TimedOut => Err(RunError::DocFailed {
                stderr: String::from_utf8_lossy(&said.stderr).into_owned(),
            }),
        }
    }

    /// What `rustdoc` can do, asked where it is called first.
    ///
    /// # Errors
    /// We can't have it asked.
    pub(crate) fn doc_tool(
        &self,
        rustdoc: OsString,
        first: &RustdocCall,
        wanted: &Wanted<'_>,
    ) -> Result<DocTool, RunError> {
        let env = first.env.iter().cloned().collect();
        let command = CommandLine::new(&rustdoc, first.cwd.clone(), env).arg("--version");
        let (_, answer) = self.ask(&command)?;
        let version = String::from_utf8_lossy(&answer.stdout);
        let runner = wanted.recorder.filter(|_| has_runtool(&version));
        let runner = runner.map(OsStr::to_owned);
        Ok(DocTool { rustdoc, runner })
    }

    /// Lists the tests of these documentations, in their order.
    ///
    /// # Errors
    /// As for other binaries.
    pub(crate) fn list_docs(
        &self,
        binaries: &[TestBinary],
        wanted: &Wanted<'_>,
    ) -> Result<Vec<Listed>, RunError> {
        let alarm = Alarm::start(self.clock).map_err(|source| setup("a thread", source))?;
        let mut faults = Vec::new();
        let mut listed = Vec::new();
        for binary in binaries {
            match self.ask_rustdoc(binary, &alarm, wanted)? {
                Ok(listing) => listed.push(Listed {
                    record: record(binary, &listing)?,
                    listing,
                }),
                Err(fault) => faults.push(fault),
            }
        }
        if faults.is_empty() {
            Ok(listed)
        } else {
            Err(RunError::List(faults))
        }
    }

    fn ask_rustdoc(
        &self,
        binary: &TestBinary,
        alarm: &Alarm,
        wanted: &Wanted<'_>,
    ) -> Result<Result<Listing, ListError>, RunError> {
        let timeout = wanted.asking.timeout;
        let [plain, ignored] = doc_list_commands(binary);
        let answer = |command| self.ask_for_list(command, alarm, timeout);
        Ok(read_doc_listing(
            binary,
            &answer(&plain)?,
            &answer(&ignored)?,
        ))
    }
}

fn said_no_library(stderr: &[u8]) -> bool {
    String::from_utf8_lossy(stderr).contains(NO_LIBRARY)
}

/// What the results of a documentation were obtained with: its libraries, its sources, and how `rustdoc` is called.
fn record(binary: &TestBinary, listing: &Listing) -> Result<BinaryRecord, RunError> {
    let mut hash = XxHash3_128::new();
    let args = binary.doctests.iter().flat_map(|doc| doc.args());
    let words = args.map(|arg| arg.to_string_lossy().into_owned());
    for word in words.chain(listing.tests.iter().map(|test| test.name.to_string())) {
        hash.write(word.as_bytes());
        hash.write(&[0]);
    }
    for path in doc_sources(binary, listing) {
        match hash_file(&path) {
            Ok(content) => hash.write(&content.to_le_bytes()),
            // A name that is no path, or a README that is not there.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(RunError::Read { path, source }),
        }
    }
    Ok(BinaryRecord {
        id: binary.id.clone(),
        fingerprint: Fingerprint {
            size: 0,
            mtime_ns: 0,
            hash: ContentHash::new(hash.finish_128()),
        },
    })
}

/// The directory into which calls are written, removed when it is dropped.
struct CallsDir(Utf8PathBuf);

impl CallsDir {
    fn create(target_dir: &Utf8Path, run: &str) -> io::Result<Self> {
        let dir = target_dir.join("stt/doctests").join(run);
        fs::create_dir_all(&dir)?;
        Ok(Self(dir))
    }

    /// The calls, in their order.
    fn read(&self) -> Result<Vec<RustdocCall>, RunError> {
        let read = |path: Utf8PathBuf| {
            let read = fs::read(&path).map(|bytes| RustdocCall::from_bytes(&bytes));
            let call = read.and_then(|call| {
                call.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it is cut off"))
            });
            call.map_err(|source| RunError::Read { path, source })
        };
        let numbered = (0..).map(|number| self.0.join(file_name(number)));
        numbered
            .take_while(|path| path.exists())
            .map(read)
            .collect()
    }
}

impl Drop for CallsDir {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn file_name(number: usize) -> String {
    format!("{number}.call")
}

/// Writes down how we were called, as the documentation tool of cargo, into `dir`.
///
/// # Errors
/// That can't be written.
pub fn write_rustdoc_call(dir: &Utf8Path, call: &RustdocCall) -> io::Result<()> {
    // Cargo calls one after the other.
    let numbered = (0..).map(|number| dir.join(file_name(number)));
    let mut free = numbered.skip_while(|path| path.exists());
    let path = free.next().unwrap_or_else(|| dir.join(file_name(0)));
    fs::write(path, call.to_bytes())
}

/// Becomes the program of a documentation test, as whose runner `rustdoc` has called us, with these arguments.
///
/// It writes to where `rustdoc` itself does. Else `rustdoc` would pass its output on, and would wait for as long as
/// anybody holds that open whom the test has started. Where the one can't be had the other is left as it is.
#[must_use]
pub fn become_doctest(program: &OsStr, args: &[OsString]) -> io::Error {
    let parent = std::os::unix::process::parent_id();
    let theirs = |number: i32| {
        let mut options = fs::OpenOptions::new();
        options.append(true).custom_flags(libc::O_NOCTTY);
        options.open(format!("/proc/{parent}/fd/{number}"))
    };
    if let (Ok(out), Ok(err)) = (theirs(1), theirs(2)) {
        let _ = dup2_stdout(out);
        let _ = dup2_stderr(err);
    }
    Command::new(program).args(args).exec()
}

/// The documentation tool: the one that is set, or the one beside the compiler's library directory
/// `SYSROOT/lib/rustlib/TRIPLE/lib`.
pub(crate) fn rustdoc(config: Option<OsString>, libdir: &Utf8Path) -> OsString {
    let beside = || {
        let sysroot = libdir.ancestors().nth(4)?;
        let tool = sysroot.join("bin/rustdoc");
        tool.exists().then(|| tool.into_os_string())
    };
    config.or_else(beside).unwrap_or_else(|| "rustdoc".into())
}
