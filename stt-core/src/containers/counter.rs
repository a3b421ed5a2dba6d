//! Counts what the containers of the running tests use, by the control groups that their engine has given them.
//!
//! A container's processes are the engine's children, so no walk through the family of a test meets them. Without a
//! container this costs one look at a number.

use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Duration;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use fs_err as fs;

use super::figures::Said;
use super::group;
use super::roster::Made;
use super::roster::Roster;
use crate::cgroup;
use crate::clock::Moment;
use crate::container::Census;
use crate::container::InUse;
use crate::container::Thing;
use crate::units::Bytes;

/// The shortest and the longest time after which a group that was not there is looked for again. In between it is a
/// quarter of the time for which it has been missing: most containers run soon after they are made, or never again.
const AGAIN: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// After so long it is looked for in all places, and then after twice as long each time.
const EVERYWHERE: Duration = Duration::from_millis(500);

/// How many directories are looked through at once, and how deep.
const MOST: (usize, usize) = (4096, 10);

/// When the engine is asked of a container that was never seen, and then after twice as long each time.
const DOUBT: Duration = Duration::from_secs(2);

/// How often the engine is asked what is used by a container whose group can't be seen. Each time costs it some
/// milliseconds.
const ENGINE: Duration = Duration::from_millis(500);

/// Who knows more of containers than their control groups tell. Neither may take long.
pub trait Beyond: fmt::Debug + Send {
    /// Has the engine asked about it: the answer is left with it.
    fn ask(&self, container: &Arc<Made>);
    /// It runs, is in no group that can be seen, and the engine does not tell what it uses. Told once.
    fn is_out_of_sight(&self, container: &Thing);
}

/// Counts what containers use.
#[derive(Debug)]
pub struct Counter {
    roster: Arc<Roster>,
    beyond: Box<dyn Beyond>,
    /// Whether somebody was told that there is one who can't be counted.
    told: bool,
    version: u64,
    known: Vec<Known>,
    past: Duration,
    hierarchies: Option<Hierarchies>,
    /// The root of all paths.
    root: Utf8PathBuf,
    user: u32,
}

/// Where the controllers are mounted.
#[derive(Debug, Default)]
struct Hierarchies {
    memory: Option<Utf8PathBuf>,
    /// The directory, and the file in a group.
    cpu: Option<(Utf8PathBuf, &'static str)>,
}

#[derive(Debug)]
struct Known {
    made: Arc<Made>,
    group: Group,
    /// `None` once it was seen.
    doubt: Option<Doubt>,
    memory: Bytes,
    /// CPU time in groups that are gone: whoever is started again gets a new one.
    before: Duration,
    /// CPU time in the group that is there.
    cpu: Duration,
}

/// Whether it runs where nobody sees it.
#[derive(Debug)]
struct Doubt {
    since: Moment,
    /// When the engine is asked.
    next: Moment,
}

#[derive(Debug)]
enum Group {
    Missing {
        /// Since when.
        since: Moment,
        /// When it is looked for again.
        next: Moment,
        /// When it is looked for everywhere.
        everywhere: Moment,
    },
    There {
        stat: File,
        cpu: Option<File>,
    },
    /// It can't be seen, and the engine tells.
    Told {
        /// When that is asked again.
        next: Moment,
    },
}

impl Group {
    fn missing(now: Moment) -> Self {
        Self::Missing {
            since: now,
            next: now,
            everywhere: now + EVERYWHERE,
        }
    }
}

impl Counter {
    /// A counter of the containers in this list.
    pub fn new(roster: Arc<Roster>, beyond: Box<dyn Beyond>) -> Self {
        Self::below(roster, beyond, "/".into())
    }

    fn below(roster: Arc<Roster>, beyond: Box<dyn Beyond>, root: Utf8PathBuf) -> Self {
        Self {
            roster,
            beyond,
            told: false,
            version: 0,
            known: Vec::new(),
            past: Duration::ZERO,
            hierarchies: None,
            root,
            user: nix::unistd::geteuid().as_raw(),
        }
    }

    /// What they use now. A container whose group can't be found counts as none.
    pub fn read(&mut self, now: Moment) -> Census {
        if let Some((made, version)) = self.roster.news(self.version) {
            self.version = version;
            self.take_over(made, now);
        }
        if !self.known.is_empty() {
            self.open(now);
            self.settle_doubts(now);
        }
        let containers = self.known.iter_mut().map(|known| {
            known.read(now);
            InUse {
                slot: known.made.slot,
                container: Arc::clone(&known.made.container),
                memory: known.memory,
                cpu: known.used(),
            }
        });
        Census {
            containers: containers.collect(),
            past: self.past,
        }
    }

    /// Drops those whose tests are over, and takes in those that are new.
    fn take_over(&mut self, made: Vec<Arc<Made>>, now: Moment) {
        let past = &mut self.past;
        self.known.retain(|known| {
            let stays = made.iter().any(|made| Arc::ptr_eq(made, &known.made));
            if !stays {
                *past += known.used();
            }
            stays
        });
        for made in made {
            if !self
                .known
                .iter()
                .any(|known| Arc::ptr_eq(&known.made, &made))
            {
                self.known.push(Known {
                    made,
                    group: Group::missing(now),
                    doubt: Some(Doubt {
                        since: now,
                        next: now + DOUBT,
                    }),
                    memory: Bytes(0),
                    before: Duration::ZERO,
                    cpu: Duration::ZERO,
                });
            }
        }
    }

    /// Looks for the groups that are missing.
    fn open(&mut self, now: Moment) {
        let root = &self.root;
        let hierarchies = self
            .hierarchies
            .get_or_insert_with(|| Hierarchies::find(root));
        let mut everywhere = false;
        for known in &mut self.known {
            let Group::Missing {
                since,
                next,
                everywhere: due,
            } = &mut known.group
            else {
                continue;
            };
            // Whoever is said to run has a group by now, if ever.
            let runs = known.doubt.is_some() && matches!(known.made.said(), Said::Runs(_));
            everywhere |= runs;
            if *next > now && !runs {
                continue;
            }
            let missed = now.saturating_sub(*since);
            *next = now + (missed / 4).clamp(AGAIN.0, AGAIN.1);
            let id = &known.made.container.id;
            let mut usual = group::usual(id, self.user).into_iter().flatten();
            let found = usual.find_map(|path| hierarchies.open(Utf8Path::new(&path)));
            if let Some(found) = found {
                known.group = found;
            } else if *due <= now {
                *due = now + missed * 2;
                everywhere = true;
            }
        }
        if everywhere {
            self.look_everywhere();
        }
    }

    /// Where a container was never seen, finds out whether there is something to be seen, and has the engine tell of it
    /// then.
    fn settle_doubts(&mut self, now: Moment) {
        for known in &mut self.known {
            if let Group::Told { next } = &mut known.group
                && *next <= now
            {
                *next = now + ENGINE;
                self.beyond.ask(&known.made);
            }
            let Some(doubt) = &mut known.doubt else {
                continue;
            };
            match (&known.group, known.made.said()) {
                (Group::There { .. } | Group::Told { .. }, _) => known.doubt = None,
                (Group::Missing { .. }, Said::Runs(Some(_))) => {
                    known.group = Group::Told { next: now + ENGINE };
                    known.doubt = None;
                }
                (Group::Missing { .. }, Said::Runs(None)) => {
                    known.doubt = None;
                    if !self.told {
                        self.told = true;
                        self.beyond.is_out_of_sight(known.made.container());
                    }
                }
                (Group::Missing { .. }, Said::Nothing | Said::Rests) => {
                    if doubt.next <= now {
                        doubt.next = now + now.saturating_sub(doubt.since) * 2;
                        self.beyond.ask(&known.made);
                    }
                }
            }
        }
    }

    /// Looks for those that nobody has seen yet in every place there is: a client may have named one.
    fn look_everywhere(&mut self) {
        let Some(hierarchies) = &self.hierarchies else {
            return;
        };
        let Some(memory) = &hierarchies.memory else {
            return;
        };
        let mut wanted: Vec<_> = self
            .known
            .iter_mut()
            .filter(|known| matches!(known.group, Group::Missing { .. }))
            .collect();
        let mut dirs = vec![(Utf8PathBuf::new(), 0)];
        let mut seen = 0;
        while let Some((dir, depth)) = dirs.pop()
            && seen < MOST.0
            && !wanted.is_empty()
        {
            seen += 1;
            for name in directories(&memory.join(&dir)) {
                let path = dir.join(&name);
                let id = group::id_of(&name);
                let whose = id.and_then(|id| {
                    wanted
                        .iter()
                        .position(|known| known.made.container.id == id)
                });
                if let Some(index) = whose
                    && let Some(found) = hierarchies.open(&path)
                {
                    wanted.swap_remove(index).group = found;
                } else if depth < MOST.1 {
                    dirs.push((path, depth + 1));
                }
            }
        }
    }
}

impl Hierarchies {
    fn find(root: &Utf8Path) -> Self {
        let below = |path: &str| root.join(path.trim_start_matches('/'));
        let mounts = fs::read_to_string(below("proc/self/mountinfo")).unwrap_or_default();
        let mounts = cgroup::mounts(&mounts);
        let memory = cgroup::hierarchy(&mounts, "memory").map(|mount| below(&mount.point));
        let cpu = cgroup::hierarchy(&mounts, "cpuacct");
        let cpu = cpu.map(|mount| (below(&mount.point), group::cpu_file(mount)));
        Self { memory, cpu }
    }

    /// A group at this path, if there is one whose memory can be read.
    fn open(&self, path: &Utf8Path) -> Option<Group> {
        let stat = self.memory.as_ref()?.join(path).join("memory.stat");
        let stat = File::open(stat).ok()?;
        let cpu = self.cpu.as_ref();
        let cpu = cpu.and_then(|(dir, name)| File::open(dir.join(path).join(name)).ok());
        Some(Group::There { stat, cpu })
    }
}

impl Known {
    /// Its CPU time, but for what others had of it before.
    fn used(&self) -> Duration {
        (self.before + self.cpu).saturating_sub(self.made.cpu_before)
    }

    /// Reads the group, if it is there, or what the engine has said.
    fn read(&mut self, now: Moment) {
        let (stat, cpu) = match &self.group {
            Group::Missing { .. } => return,
            Group::Told { .. } => return self.hear(),
            Group::There { stat, cpu } => (stat, cpu),
        };
        let mut buffer = [0; 8192];
        if let Some(memory) = text(stat, &mut buffer).and_then(group::memory) {
            self.memory = memory;
            let cpu = cpu.as_ref().and_then(|cpu| text(cpu, &mut buffer));
            self.cpu = cpu.and_then(group::cpu).unwrap_or(self.cpu);
        } else {
            // The container has ended.
            self.memory = Bytes(0);
            self.before += std::mem::take(&mut self.cpu);
            self.group = Group::missing(now);
        }
    }

    fn hear(&mut self) {
        match self.made.said() {
            Said::Runs(Some(figures)) => {
                self.memory = figures.memory;
                // Whoever is started again begins at nothing.
                if figures.cpu < self.cpu {
                    self.before += self.cpu;
                }
                self.cpu = figures.cpu;
            }
            Said::Rests => self.memory = Bytes(0),
            Said::Runs(None) | Said::Nothing => {}
        }
    }
}

fn text<'a>(file: &File, buffer: &'a mut [u8]) -> Option<&'a str> {
    let count = file.read_at(buffer, 0).ok()?;
    std::str::from_utf8(&buffer[..count]).ok()
}

/// The names of the directories in this one.
fn directories(dir: &Utf8Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let dirs = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    dirs.filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    use crate::container::Kind;
    use crate::containers::figures::Figures;

    /// What the counter has asked and told. The engine says that the container with the number 9 runs.
    #[derive(Clone, Debug, Default)]
    struct Heard(Arc<Mutex<Vec<String>>>);

    impl Heard {
        fn hear(&self, what: &str, container: &Thing) {
            let number = container.id.trim_start_matches('0');
            self.0.lock().unwrap().push(format!("{what} {number}"));
        }

        fn take(&self) -> Vec<String> {
            std::mem::take(&mut self.0.lock().unwrap())
        }
    }

    impl Beyond for Heard {
        fn ask(&self, container: &Arc<Made>) {
            self.hear("ask", container.container());
            if container.container().id == id(9) {
                container.say(Said::Runs(None));
            }
        }

        fn is_out_of_sight(&self, container: &Thing) {
            self.hear("tell", container);
        }
    }

    /// A file system with one hierarchy of version 2, and containers that are made in it.
    struct Tree {
        dir: tempfile::TempDir,
        roster: Arc<Roster>,
        heard: Heard,
        counter: Counter,
    }

    fn id(number: usize) -> String {
        format!("{number:064x}")
    }

    impl Tree {
        fn new(mounts: &str) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let root = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
            let roster = Arc::<Roster>::default();
            let heard = Heard::default();
            let beyond = Box::new(heard.clone());
            let tree = Self {
                counter: Counter::below(Arc::clone(&roster), beyond, root),
                heard,
                dir,
                roster,
            };
            tree.file("proc/self/mountinfo", mounts);
            tree
        }

        /// Writes a file in place, so that whoever has it open sees the new text.
        fn file(&self, path: &str, text: &str) {
            let path = self.dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let mut file = fs::File::create(&path).unwrap();
            std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        }

        fn group(&self, path: &str, memory: u64, micros: u64) {
            self.file(
                &format!("cg/{path}/memory.stat"),
                &format!("anon {memory}\n"),
            );
            self.file(
                &format!("cg/{path}/cpu.stat"),
                &format!("usage_usec {micros}\n"),
            );
        }

        fn made(&self, slot: usize, number: usize) {
            self.roster.add(
                slot,
                Thing {
                    kind: Kind::Container,
                    id: id(number),
                    name: String::new(),
                    image: String::new(),
                },
            );
        }

        /// Slot, memory and microseconds of each container, and those of the past.
        fn read(&mut self, millis: u64) -> (Vec<(usize, u64, u128)>, u128) {
            let census = self.counter.read(Moment::from_millis(millis));
            let used = census.containers.iter();
            let used = used.map(|one| (one.slot, one.memory.0, one.cpu.as_micros()));
            (used.collect(), census.past.as_micros())
        }
    }

    const V2: &str = "41 31 0:38 / /cg rw - cgroup2 cgroup2 rw\n";

    #[test]
    fn containers_are_counted_while_they_run_and_their_cpu_time_after_it() {
        let mut tree = Tree::new(V2);
        assert_eq!(tree.read(0), (vec![], 0));
        tree.made(1, 7);
        assert_eq!(tree.read(0), (vec![(1, 0, 0)], 0), "it does not run yet");
        let group = format!("system.slice/docker-{}.scope", id(7));
        tree.group(&group, 500, 10);
        assert_eq!(tree.read(5), (vec![(1, 500, 10)], 0));
        tree.group(&group, 900, 30);
        assert_eq!(tree.read(6), (vec![(1, 900, 30)], 0));
        tree.file(&format!("cg/{group}/memory.stat"), "");
        assert_eq!(tree.read(7), (vec![(1, 0, 30)], 0), "it has ended");
        tree.group(&group, 20, 4);
        assert_eq!(tree.read(100), (vec![(1, 20, 34)], 0), "and began anew");
        tree.roster.forget(0);
        assert_eq!(tree.read(101).0.len(), 1, "another slot's");
        tree.roster.forget(1);
        assert_eq!(tree.read(102), (vec![], 34));
    }

    #[test]
    fn a_group_in_a_place_of_its_own_is_found_and_a_watcher_is_none() {
        let mut tree = Tree::new(V2);
        tree.made(0, 1);
        tree.made(0, 2);
        tree.group(&format!("a/b/libpod-conmon-{}.scope", id(1)), 9, 9);
        tree.group(&format!("a/c/libpod-{}.scope", id(1)), 5, 1);
        tree.group(&format!("mine/{}", id(2)), 7, 2);
        assert_eq!(tree.read(499), (vec![(0, 0, 0), (0, 0, 0)], 0));
        assert_eq!(tree.read(1000).0, [(0, 5, 1), (0, 7, 2)]);
    }

    #[test]
    fn who_never_runs_is_looked_for_ever_more_rarely() {
        let mut tree = Tree::new(V2);
        tree.made(0, 1);
        let mut looks = 0;
        for millis in 0..20_000 {
            let due = match tree.counter.known.first().map(|known| &known.group) {
                Some(Group::Missing { next, .. }) => *next <= Moment::from_millis(millis),
                Some(Group::There { .. } | Group::Told { .. }) => panic!("nobody is there"),
                None => true,
            };
            looks += u32::from(due);
            tree.read(millis);
        }
        assert!(looks < 60, "{looks}");
    }

    #[test]
    fn who_runs_where_nobody_sees_it_is_told_once() {
        let mut tree = Tree::new(V2);
        for number in [7, 8, 9] {
            tree.made(0, number);
        }
        tree.group(&format!("docker/{}", id(7)), 1, 1);
        for (millis, heard) in [
            (0, &[][..]),
            (1999, &[]),
            (2000, &["ask 8", "ask 9"]),
            (2001, &["tell 9"]),
            (5000, &[]),
            (9000, &["ask 8"]),
        ] {
            tree.read(millis);
            assert_eq!(tree.heard.take(), heard, "at {millis}");
        }
    }

    #[test]
    fn who_runs_where_nobody_sees_it_is_counted_by_the_engine_if_that_tells() {
        let said = |memory: u64, micros: u64| {
            Said::Runs(Some(Figures {
                memory: Bytes(memory),
                cpu: Duration::from_micros(micros),
            }))
        };
        let mut tree = Tree::new(V2);
        tree.made(0, 7);
        tree.read(0);
        tree.read(2000);
        assert_eq!(tree.heard.take(), ["ask 7"]);
        let made = Arc::clone(&tree.counter.known[0].made);
        for (millis, answer, used, heard) in [
            (2001, said(500, 10), (0, 500, 10), &[][..]),
            (2500, said(900, 30), (0, 900, 30), &[]),
            (2501, Said::Nothing, (0, 900, 30), &["ask 7"]),
            (2999, Said::Rests, (0, 0, 30), &[]),
            (3001, said(20, 4), (0, 20, 34), &["ask 7"]),
            (3002, Said::Runs(None), (0, 20, 34), &[]),
        ] {
            made.say(answer);
            assert_eq!(tree.read(millis).0, [used], "at {millis}");
            assert_eq!(tree.heard.take(), heard, "at {millis}");
        }
        tree.roster.forget(0);
        assert_eq!(tree.read(9000), (vec![], 34));
        assert_eq!(tree.heard.take(), [""; 0]);
    }

    #[test]
    fn who_is_asked_for_is_looked_for_once_more() {
        let mut tree = Tree::new(V2);
        tree.made(0, 9);
        tree.read(0);
        tree.read(2000);
        assert_eq!(tree.heard.take(), ["ask 9"]);
        tree.group(&format!("a/b/{}", id(9)), 5, 1);
        assert_eq!(tree.read(2001).0, [(0, 5, 1)]);
        assert_eq!(tree.heard.take(), [""; 0]);
    }

    #[test]
    fn version_1_has_a_hierarchy_for_each() {
        let mut tree = Tree::new(
            "33 31 0:30 / /cg/memory rw - cgroup cgroup rw,memory\n\
             34 31 0:31 / /cg/cpu rw - cgroup cgroup rw,cpu,cpuacct\n\
             41 31 0:38 / /cg/unified rw - cgroup2 cgroup2 rw\n",
        );
        tree.made(3, 1);
        let group = format!("docker/{}", id(1));
        tree.file(
            &format!("cg/memory/{group}/memory.stat"),
            "rss 1\ntotal_rss 6\n",
        );
        tree.file(&format!("cg/cpu/{group}/cpuacct.usage"), "7000\n");
        assert_eq!(tree.read(0), (vec![(3, 6, 7)], 0));
    }

    #[test]
    fn without_control_groups_nothing_is_counted() {
        let mut tree = Tree::new("");
        tree.made(0, 1);
        for millis in [0, 10, 1000, 3000] {
            assert_eq!(tree.read(millis), (vec![(0, 0, 0)], 0));
        }
    }
}
