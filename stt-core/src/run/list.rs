//! Asks every test binary for its tests, all at once as far as there are cores, and only those that
//! have changed since they were asked last.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::sync::mpsc::RecvTimeoutError;
use std::thread;
use std::time::Duration;

use camino::Utf8Path;

use crate::checkpoint::BinaryRecord;
use crate::checkpoint::ContentHash;
use crate::checkpoint::Fingerprint;
use crate::clock::Moment;
use crate::command::CommandLine;
use crate::discovery::Cache;
use crate::discovery::CacheKey;
use crate::discovery::ListAnswer;
use crate::discovery::ListError;
use crate::discovery::Listing;
use crate::discovery::TestBinary;
use crate::discovery::hash_file;
use crate::discovery::list_commands;
use crate::discovery::read_listing;
use crate::id::BinaryId;
use crate::process::Collected;
use crate::process::Stdio;
use crate::run::RunError;
use crate::run::Session;
use crate::run::alarm::Alarm;
use crate::run::child::ChildEnd;
use crate::run::child::setup;

/// After this time it is told that a binary has not answered.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is known of one binary.
#[derive(Debug)]
pub struct Listed {
    /// Its tests.
    pub listing: Listing,
    /// Its fingerprint.
    pub record: BinaryRecord,
}

/// What asking one binary came to. The key is from before it was asked.
type Answer = Result<Result<(CacheKey, Listing, u128), ListError>, RunError>;

/// How binaries are asked.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// Where answers are kept; nothing is lost but time when that can't be read or written.
    pub cache: &'a Utf8Path,
    /// How long a binary may take for one answer.
    pub timeout: Duration,
    /// How many are asked at once.
    pub threads: usize,
}

impl Session {
    /// Lists the tests of the binaries, in their order. Which one takes long is told to `slow`, once.
    ///
    /// # Errors
    /// One or more of them gave no listing: all of these are named. Or a binary can't be read or
    /// started, or the runner was interrupted.
    pub fn list(
        &self,
        binaries: &[TestBinary],
        asking: Asking<'_>,
        slow: &dyn Fn(&BinaryId),
    ) -> Result<Vec<Listed>, RunError> {
        let mut cache = Cache::read(asking.cache);
        let answers = self.ask_all(binaries, &cache, asking, slow)?;
        let mut listed = Vec::with_capacity(binaries.len());
        let mut faults = Vec::new();
        for (binary, answer) in binaries.iter().zip(answers) {
            match answer? {
                Err(fault) => faults.push(fault),
                Ok((key, listing, hash)) => {
                    if binary.list_wrapper.is_none() {
                        cache.keep_listing(&key, binary, &listing);
                    }
                    cache.keep_hash(&key, hash);
                    listed.push(Listed {
                        listing,
                        record: record(binary, &key, hash),
                    });
                }
            }
        }
        // The next run asks again; that is all it costs.
        drop(cache.write(asking.cache));
        if faults.is_empty() {
            Ok(listed)
        } else {
            Err(RunError::List(faults))
        }
    }

    fn ask_all(
        &self,
        binaries: &[TestBinary],
        cache: &Cache,
        asking: Asking<'_>,
        slow: &dyn Fn(&BinaryId),
    ) -> Result<Vec<Answer>, RunError> {
        let alarm = Alarm::start(self.clock).map_err(|source| setup("a thread", source))?;
        let next = AtomicUsize::new(0);
        let asked = Mutex::new(BTreeMap::new());
        let (sender, received) = mpsc::channel();
        let work = |sender: mpsc::Sender<_>| {
            while let Some((index, binary)) = take(&next, binaries) {
                lock(&asked).insert(index, self.clock.now());
                let answer = self.ask_one(binary, cache, &alarm, asking.timeout);
                lock(&asked).remove(&index);
                // It is received until all senders are gone.
                drop(sender.send((index, answer)));
            }
        };
        let mut answers: Vec<(usize, Answer)> = thread::scope(|scope| {
            for _ in 0..asking.threads.clamp(1, binaries.len().max(1)) {
                let sender = sender.clone();
                scope.spawn(|| work(sender));
            }
            drop(sender);
            let mut told = BTreeSet::new();
            let mut answers = Vec::with_capacity(binaries.len());
            loop {
                match received.recv_timeout(PATIENCE / 5) {
                    Ok(answer) => answers.push(answer),
                    Err(RecvTimeoutError::Disconnected) => return answers,
                    Err(RecvTimeoutError::Timeout) => {}
                }
                for index in overdue(&lock(&asked), self.clock.now()) {
                    if told.insert(index) {
                        slow(&binaries[index].id);
                    }
                }
            }
        });
        answers.sort_by_key(|&(index, _)| index);
        Ok(answers.into_iter().map(|(_, answer)| answer).collect())
    }

    fn ask_one(
        &self,
        binary: &TestBinary,
        cache: &Cache,
        alarm: &Alarm,
        timeout: Duration,
    ) -> Answer {
        self.check_interrupt()?;
        let read = |source| RunError::Read {
            path: binary.path.clone(),
            source,
        };
        let key = CacheKey::of(&binary.path).map_err(read)?;
        let hash = match cache.hash(&key) {
            Some(hash) => hash,
            None => hash_file(&binary.path).map_err(read)?,
        };
        // A wrapper may have another answer each time.
        let known = cache.listing(&key, binary);
        if let Some(listing) = known.filter(|_| binary.list_wrapper.is_none()) {
            return Ok(Ok((key, listing.clone(), hash)));
        }
        let [plain, ignored] = list_commands(binary);
        let answer = |command| self.ask_for_list(command, alarm, timeout);
        let listing = read_listing(binary, &answer(&plain)?, &answer(&ignored)?);
        Ok(listing.map(|listing| (key, listing, hash)))
    }

    /// What a command says that lists tests.
    ///
    /// # Errors
    /// As [`Session::run_child`].
    pub(super) fn ask_for_list(
        &self,
        command: &CommandLine,
        alarm: &Alarm,
        timeout: Duration,
    ) -> Result<ListAnswer, RunError> {
        let mut said = Collected::default();
        let end = self.run_child(command, Stdio::Capture, &mut said, Some((alarm, timeout)))?;
        Ok(match end {
            ChildEnd::Exited(exit) => ListAnswer::Ended {
                exit,
                stdout: said.stdout,
                stderr: said.stderr,
            },
            ChildEnd::TimedOut => ListAnswer::TimedOut { after: timeout },
        })
    }
}

/// Who was asked so long ago that somebody may wonder.
fn overdue(asked: &BTreeMap<usize, Moment>, now: Moment) -> Vec<usize> {
    let waited = asked
        .iter()
        .filter(|(_, since)| now.saturating_sub(**since) >= PATIENCE);
    waited.map(|(index, _)| *index).collect()
}

/// What is behind the lock is whole at every moment.
fn lock(asked: &Mutex<BTreeMap<usize, Moment>>) -> MutexGuard<'_, BTreeMap<usize, Moment>> {
    asked.lock().unwrap_or_else(PoisonError::into_inner)
}

fn take<'a>(next: &AtomicUsize, binaries: &'a [TestBinary]) -> Option<(usize, &'a TestBinary)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    Some((index, binaries.get(index)?))
}

fn record(binary: &TestBinary, key: &CacheKey, hash: u128) -> BinaryRecord {
    BinaryRecord {
        id: binary.id.clone(),
        fingerprint: Fingerprint {
            size: key.size(),
            mtime_ns: key.mtime_ns(),
            hash: ContentHash::new(hash),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_was_asked_long_ago_is_overdue() {
        let asked = BTreeMap::from([(3, Moment::ZERO), (4, Duration::from_secs(1))]);
        assert_eq!(overdue(&asked, PATIENCE / 2), [0; 0]);
        assert_eq!(overdue(&asked, PATIENCE), [3]);
        assert_eq!(overdue(&asked, PATIENCE + Duration::from_secs(1)), [3, 4]);
    }
}
