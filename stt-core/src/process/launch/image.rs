//! What `execve(2)` takes, made ready before the child exists: between its birth and its `exec` a
//! child that shares our memory may not allocate.
//!
//! The environment that the tests of a binary share is made ready once for each thread, as long as
//! the thread starts tests of the same binary.

use std::cell::RefCell;
use std::ffi::CString;
use std::ffi::OsStr;
use std::ffi::c_char;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::rc::Rc;
use std::sync::Arc;

use crate::command::CommandLine;
use crate::command::Environment;

/// A program with its arguments, its environment and its directory, as the kernel takes them.
#[derive(Debug)]
pub(super) struct Image {
    program: CString,
    cwd: CString,
    /// Null-terminated, into `program` and `_args`.
    argv: Vec<*const c_char>,
    /// Null-terminated, into `_shared` and `_own`.
    envp: Vec<*const c_char>,
    _args: Vec<CString>,
    _shared: Rc<Shared>,
    _own: Vec<CString>,
}

/// The entries of a shared environment, in the order of their names, each name once.
#[derive(Debug)]
struct Shared {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    text: CString,
    /// The length of the name in `text`.
    name: usize,
}

impl Entry {
    fn name(&self) -> &[u8] {
        self.text.as_bytes().get(..self.name).unwrap_or_default()
    }
}

thread_local! {
    /// The environment that was used last. It is kept alive, so its address is nobody else's.
    static LAST: RefCell<Option<(Environment, Rc<Shared>)>> = const { RefCell::new(None) };
}

impl Image {
    /// Makes a command ready.
    ///
    /// # Errors
    /// A zero byte in any part of it.
    pub(super) fn of(command: &CommandLine) -> io::Result<Self> {
        let program = c_string(command.program.as_bytes())?;
        let args: Vec<_> = command
            .args
            .iter()
            .map(|arg| c_string(arg.as_bytes()))
            .collect::<io::Result<_>>()?;
        let shared = shared(&command.env)?;
        let own: Vec<_> = command
            .extra_env
            .iter()
            .map(|(name, value)| entry(name, value))
            .collect::<io::Result<_>>()?;
        let argv = [&program]
            .into_iter()
            .chain(&args)
            .map(|arg| arg.as_ptr())
            .chain([std::ptr::null()])
            .collect();
        let envp = shared
            .without(&own)
            .chain(last_of_each(&own))
            .map(|entry| entry.text.as_ptr())
            .chain([std::ptr::null()])
            .collect();
        Ok(Self {
            cwd: c_string(command.cwd.as_str().as_bytes())?,
            argv,
            envp,
            program,
            _args: args,
            _shared: shared,
            _own: own.into_iter().map(|entry| entry.text).collect(),
        })
    }

    /// The program's path.
    pub(super) fn program(&self) -> *const c_char {
        self.program.as_ptr()
    }

    /// The directory to start in.
    pub(super) fn cwd(&self) -> *const c_char {
        self.cwd.as_ptr()
    }

    /// The arguments, with the program first and a null pointer at the end.
    pub(super) fn argv(&self) -> *const *const c_char {
        self.argv.as_ptr()
    }

    /// The environment, with a null pointer at the end.
    pub(super) fn envp(&self) -> *const *const c_char {
        self.envp.as_ptr()
    }
}

impl Shared {
    fn of(environment: &Environment) -> io::Result<Self> {
        let mut entries: Vec<_> = environment
            .iter()
            .map(|(name, value)| entry(name, value))
            .collect::<io::Result<_>>()?;
        // Of equal names the last one counts: it comes first here, and the others go.
        entries.reverse();
        entries.sort_by(|one, other| one.name().cmp(other.name()));
        entries.dedup_by(|later, first| later.name() == first.name());
        Ok(Self { entries })
    }

    /// The entries, but for those that have a name of `own`.
    fn without(&self, own: &[Entry]) -> impl Iterator<Item = &Entry> {
        let find = |entry: &Entry| {
            self.entries
                .binary_search_by(|shared| shared.name().cmp(entry.name()))
                .ok()
        };
        let hidden: Vec<_> = own.iter().filter_map(find).collect();
        let kept = move |index: &usize| !hidden.contains(index);
        let entries = self.entries.iter().enumerate();
        entries
            .filter(move |(index, _)| kept(index))
            .map(|(_, entry)| entry)
    }
}

fn last_of_each(entries: &[Entry]) -> impl Iterator<Item = &Entry> {
    entries.iter().enumerate().filter_map(|(index, entry)| {
        let mut later = entries.iter().skip(index + 1);
        later
            .all(|later| later.name() != entry.name())
            .then_some(entry)
    })
}

fn shared(environment: &Environment) -> io::Result<Rc<Shared>> {
    LAST.with_borrow_mut(|last| {
        if let Some((known, shared)) = last
            && Arc::ptr_eq(known, environment)
        {
            return Ok(Rc::clone(shared));
        }
        let shared = Rc::new(Shared::of(environment)?);
        *last = Some((Arc::clone(environment), Rc::clone(&shared)));
        Ok(shared)
    })
}

fn entry(name: &OsStr, value: &OsStr) -> io::Result<Entry> {
    let (name, value) = (name.as_bytes(), value.as_bytes());
    let mut text = Vec::with_capacity(name.len() + value.len() + 2);
    text.extend_from_slice(name);
    text.push(b'=');
    text.extend_from_slice(value);
    Ok(Entry {
        text: c_string(text)?,
        name: name.len(),
    })
}

/// The same refusal as std's.
fn c_string(bytes: impl Into<Vec<u8>>) -> io::Result<CString> {
    CString::new(bytes).map_err(|_| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "nul byte found in provided data",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(entries: impl Iterator<Item = *const c_char>) -> Vec<String> {
        #[expect(unsafe_code, reason = "they are read back as the kernel reads them")]
        let text = |pointer| {
            // SAFETY: each points to a C string that the image owns.
            let text = unsafe { std::ffi::CStr::from_ptr(pointer) };
            text.to_str().unwrap().to_owned()
        };
        entries.map(text).collect()
    }

    fn environment_of(image: &Image) -> Vec<String> {
        let (last, entries) = image.envp.split_last().unwrap();
        assert!(last.is_null());
        let mut entries = texts(entries.iter().copied());
        entries.sort();
        entries
    }

    fn pair(name: &str, value: &str) -> (std::ffi::OsString, std::ffi::OsString) {
        (name.into(), value.into())
    }

    #[test]
    fn of_equal_names_the_last_and_the_commands_own_count() {
        let shared = Environment::from([
            pair("B", "old"),
            pair("A", "1"),
            pair("B", "2"),
            pair("AB", "3=4"),
            pair("C", ""),
        ]);
        let mut command = CommandLine::new("/bin/x", "/".into(), shared)
            .env("A", "old")
            .env("A", "own")
            .env("D", "5");
        let image = Image::of(&command).unwrap();
        assert_eq!(
            environment_of(&image),
            ["A=own", "AB=3=4", "B=2", "C=", "D=5"]
        );
        // The shared part is used again, and what the first command hid is back.
        command.extra_env.clear();
        let again = Image::of(&command.arg("a b")).unwrap();
        assert!(
            again.envp[..3]
                .iter()
                .any(|entry| image.envp.contains(entry))
        );
        assert_eq!(environment_of(&again), ["A=1", "AB=3=4", "B=2", "C="]);
        let (last, args) = again.argv.split_last().unwrap();
        assert!(last.is_null());
        assert_eq!(texts(args.iter().copied()), ["/bin/x", "a b"]);
    }

    #[test]
    fn a_zero_byte_is_refused_wherever_it_is() {
        let command = || CommandLine::new("/bin/x", "/".into(), Environment::default());
        let broken = [
            command().arg("a\0b"),
            command().env("A", "\0"),
            command().env("\0", "a"),
            CommandLine::new("/bin\0/x", "/".into(), Environment::default()),
        ];
        for command in broken {
            let error = Image::of(&command).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{command:?}");
        }
        assert!(Image::of(&command()).is_ok());
    }
}
