//! The files in which Podman writes down what it makes for each slot, and those that make it do so.

use std::io;
use std::io::Read as _;
use std::io::Seek as _;
use std::io::SeekFrom;
use std::io::Write as _;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use fs_err as fs;

use super::ledger::Ledger;
use super::setup::Setup;
use crate::containers::label::key;
use crate::id::RunId;

/// How the names of all of them begin.
const NAME: &str = ".stt-podman-";
/// How the names of those end in which things are written down.
const EVENTS: &str = ".events";

/// The files of a run, in its temporary directory.
#[derive(Clone, Debug)]
pub struct Books {
    dir: Utf8PathBuf,
}

impl Books {
    /// Those in this directory.
    pub fn of(dir: &Utf8Path) -> Self {
        let dir = dir.to_owned();
        Self { dir }
    }

    /// Writes the configurations of so many slots. `false` where the user's own can't be continued.
    ///
    /// # Errors
    /// A file can't be written.
    pub fn open(&self, setup: &Setup, run: &RunId, slots: usize) -> io::Result<bool> {
        let key = key(run);
        for slot in 0..slots {
            // As that of what is there for tests in containers, which no test is called either.
            let Some(conf) = setup.conf((&key, &slot.to_string()), &self.events(slot)) else {
                return Ok(false);
            };
            fs::File::create(self.conf(slot))?.write_all(conf.as_bytes())?;
        }
        Ok(true)
    }

    /// The configuration of a slot.
    pub fn conf(&self, slot: usize) -> Utf8PathBuf {
        self.dir.join(format!("{NAME}{slot}.conf"))
    }

    fn events(&self, slot: usize) -> Utf8PathBuf {
        self.dir.join(format!("{NAME}{slot}{EVENTS}"))
    }

    /// What was written down for a slot from there on, in whole lines; with where it ends. Where Podman has not been
    /// called that costs one look.
    pub fn news(&self, slot: usize, from: u64) -> (Ledger, u64) {
        let text = rest_of(&self.events(slot), from).unwrap_or_default();
        let mut ledger = Ledger::default();
        ledger.read(&text);
        (ledger, from + text.len() as u64)
    }

    /// What is there of all slots; `None` where nothing was ever written down.
    pub fn whole(&self) -> Option<Ledger> {
        let files = self.dir.read_dir_utf8().into_iter().flatten().flatten();
        let files = files.filter(|file| {
            let name = file.file_name();
            name.starts_with(NAME) && name.ends_with(EVENTS)
        });
        let mut whole = None;
        for file in files {
            let text = rest_of(file.path(), 0).unwrap_or_default();
            whole.get_or_insert_with(Ledger::default).read(&text);
        }
        whole
    }
}

/// The whole lines of a file from there on.
fn rest_of(path: &Utf8Path, from: u64) -> io::Result<String> {
    // Without fs-err, whose error would be made for nothing after each test.
    if std::fs::metadata(path)?.len() <= from {
        return Ok(String::new());
    }
    let mut file = fs::File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let end = bytes.iter().rposition(|&byte| byte == b'\n');
    bytes.truncate(end.map_or(0, |end| end + 1));
    // What is no text says nothing, and is as long as it was.
    Ok(String::from_utf8(bytes).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containers::discovery::tests::World;
    use crate::containers::podman::setup::setup;

    fn line(kind: &str, status: &str, name: &str) -> String {
        format!(
            "{{\"Name\":\"{name}\",\"Status\":\"{status}\",\"Time\":\"1970-01-01T00:00:01Z\",\"Type\":\"{kind}\"}}\n"
        )
    }

    fn names(ledger: Ledger) -> Vec<String> {
        let things = ledger.into_things().into_iter();
        things.map(|thing| thing.id).collect()
    }

    fn append(path: &Utf8Path, text: &str) {
        let mut options = fs::OpenOptions::new();
        let mut file = options.create(true).append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn each_slot_has_news_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let books = Books::of(Utf8Path::from_path(dir.path()).unwrap());
        assert_eq!(books.news(0, 0), (Ledger::default(), 0));
        assert_eq!(books.whole(), None);
        let first = line("volume", "create", "a");
        append(&books.events(0), &format!("{first}{{\"Name\":\"b\","));
        append(&books.events(1), &line("volume", "create", "c"));
        let (ledger, end) = books.news(0, 0);
        assert_eq!(
            (names(ledger), end),
            (vec!["a".to_owned()], first.len() as u64)
        );
        append(
            &books.events(0),
            "\"Status\":\"create\",\"Time\":\"1970-01-01T00:00:01Z\",\"Type\":\"volume\"}\n",
        );
        let (ledger, end) = books.news(0, end);
        assert_eq!(names(ledger), ["b"]);
        assert_eq!(books.news(0, end), (Ledger::default(), end));
        assert_eq!(names(books.whole().unwrap()), ["a", "b", "c"]);
    }

    #[test]
    fn each_slot_has_a_configuration_that_says_where() {
        let dir = tempfile::tempdir().unwrap();
        let books = Books::of(Utf8Path::from_path(dir.path()).unwrap());
        let mut world = World {
            vars: vec![("PATH", "/bin")],
            programs: vec!["/bin/podman"],
            ..World::default()
        };
        let run = RunId::from_random([7; 16]);
        let open = |world: &World| books.open(&setup(world).unwrap(), &run, 2).unwrap();
        assert!(open(&world));
        let conf = fs::read_to_string(books.conf(1)).unwrap();
        assert!(conf.contains(books.events(1).as_str()), "{conf}");
        assert!(conf.contains(&format!("{}=1", key(&run))), "{conf}");
        world.files = vec![("/etc/containers/containers.conf", "engine = 1")];
        assert!(!open(&world));
    }
}
