//! Whose a process is: which ones a dead run has left behind, and which are strangers. Pure.
//!
//! A process whose parent dies becomes the child of the run's *adopter*: process 1, or the nearest one
//! above the runner that has asked for orphans. So what a dead run has left hangs, over parents that
//! are the run's as well, below its adopter. The topmost of such a chain must carry the run's marker, or
//! be in the group or the session of one for whom that holds. Whoever carries a forged marker below a
//! living stranger, a shell or an editor, is a stranger too.

use std::collections::HashSet;

use crate::coordinator::Record;
use crate::id::ProcessId;

/// More steps than any chain of parents has: a table that is read while it changes may hold a circle.
const STEPS: usize = 10_000;

/// The processes of the machine, as they are at the moment of each question.
pub trait Processes {
    /// A process that is alive, and its parent.
    fn find(&mut self, pid: i32) -> Option<(ProcessId, i32)>;
    /// Who leads its process group, and who its session; they need not be alive.
    fn leaders(&mut self, pid: i32) -> Option<[i32; 2]>;
    /// Its real user.
    fn user(&mut self, pid: i32) -> Option<u32>;
    /// Whether it was started with the run's marker in its environment.
    fn is_marked(&mut self, pid: i32) -> bool;
}

/// Whose a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The dead run's, with the parent by which it was recognised.
    Left {
        /// The process.
        id: ProcessId,
        /// Its parent.
        parent: i32,
    },
    /// Started by the dead run, but it, or one above it, has become another user's: it is told, and not
    /// touched.
    OtherUser(ProcessId),
    /// Somebody else's.
    Stranger,
}

/// What tells a dead run's processes from all others.
#[derive(Clone, Debug)]
pub struct Heirloom {
    uid: u32,
    /// None of them is older, in ticks since the boot.
    since: u64,
    /// A living leg of the same run has what was started from here on.
    until: Option<u64>,
    /// Who has taken the run's orphans over.
    adopters: Vec<ProcessId>,
    /// Ourselves and all above us, who are nobody's to end.
    spared: HashSet<i32>,
}

impl Heirloom {
    /// What the run of this record may have left. `living` are the records of runs that are alive,
    /// `spared` ourselves and our ancestors.
    pub fn new(
        record: &Record,
        living: &[Record],
        spared: HashSet<i32>,
        processes: &mut impl Processes,
    ) -> Self {
        let legs = living.iter().filter(|other| other.run == record.run);
        Self {
            uid: record.owner.uid,
            since: record.owner.process.start,
            until: legs.map(|leg| leg.owner.process.start).min(),
            adopters: adopters(record, processes),
            spared,
        }
    }

    /// Whose the process is.
    pub fn judge(&self, pid: i32, processes: &mut impl Processes) -> Verdict {
        if self.spared.contains(&pid) {
            return Verdict::Stranger;
        }
        self.judge_anybody(pid, &self.spared, processes)
    }

    /// Whether the process, one of the spared, was itself started by the dead run: a runner inside a
    /// test. Then the dead run is not its to clear up, for it would leave itself out.
    pub fn holds(&self, pid: i32, processes: &mut impl Processes) -> bool {
        let nobody = HashSet::new();
        self.judge_anybody(pid, &nobody, processes) != Verdict::Stranger
    }

    fn judge_anybody(
        &self,
        pid: i32,
        spared: &HashSet<i32>,
        processes: &mut impl Processes,
    ) -> Verdict {
        let Some((id, parent)) = processes.find(pid) else {
            return Verdict::Stranger;
        };
        let Some(top) = self.topmost(id, parent, spared, processes) else {
            return Verdict::Stranger;
        };
        if self.is_sure(top, processes) || self.is_led(top, spared, processes) {
            if processes.user(pid) == Some(self.uid) {
                Verdict::Left { id, parent }
            } else {
                Verdict::OtherUser(id)
            }
        } else if processes.is_marked(top.pid) {
            // It has become another user's on its way.
            Verdict::OtherUser(id)
        } else {
            Verdict::Stranger
        }
    }

    /// Whether a process of the run leads the group or the session of this one.
    fn is_led(
        &self,
        member: ProcessId,
        spared: &HashSet<i32>,
        processes: &mut impl Processes,
    ) -> bool {
        let Some(leaders) = processes.leaders(member.pid) else {
            return false;
        };
        leaders
            .into_iter()
            .any(|leader| self.leads(leader, member, spared, processes))
    }

    /// Whether a process without the marker was in a group, or a session, that a process of the run
    /// leads: nobody else can have got there. As long as its leader lives a group has the leader's number.
    fn leads(
        &self,
        leader: i32,
        member: ProcessId,
        spared: &HashSet<i32>,
        processes: &mut impl Processes,
    ) -> bool {
        if leader == member.pid || processes.user(member.pid) != Some(self.uid) {
            return false;
        }
        let Some((id, parent)) = processes.find(leader) else {
            return false;
        };
        id.start <= member.start
            && self
                .topmost(id, parent, spared, processes)
                .is_some_and(|top| self.is_sure(top, processes))
    }

    /// Whether one that hangs directly below an adopter is the run's beyond doubt.
    fn is_sure(&self, top: ProcessId, processes: &mut impl Processes) -> bool {
        processes.user(top.pid) == Some(self.uid) && processes.is_marked(top.pid)
    }

    /// Follows the parents up to the one directly below an adopter.
    fn topmost(
        &self,
        from: ProcessId,
        parent: i32,
        spared: &HashSet<i32>,
        processes: &mut impl Processes,
    ) -> Option<ProcessId> {
        let (mut id, mut parent) = (from, parent);
        for _ in 0..STEPS {
            if spared.contains(&id.pid) || !self.is_of_its_time(id) {
                return None;
            }
            let (above, next) = processes.find(parent)?;
            // A parent that is younger than its child has only got the number of the real one.
            if above.start > id.start {
                return None;
            }
            if self.adopters.contains(&above) {
                return Some(id);
            }
            (id, parent) = (above, next);
        }
        None
    }

    fn is_of_its_time(&self, id: ProcessId) -> bool {
        id.pid > 1 && id.start >= self.since && self.until.is_none_or(|until| id.start < until)
    }
}

/// Who has the orphans of a dead run: its adopter; where that has died too, or was never known, those
/// above it.
fn adopters(record: &Record, processes: &mut impl Processes) -> Vec<ProcessId> {
    let Some(adopter) = record.adopter else {
        return record.ancestors.clone();
    };
    let lives = processes
        .find(adopter.pid)
        .is_some_and(|(now, _)| now == adopter);
    if lives {
        return vec![adopter];
    }
    let mut above = record.ancestors.iter();
    let _ = above.find(|ancestor| **ancestor == adopter);
    above.copied().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::coordinator::Owner;
    use crate::id::RunId;

    const USER: u32 = 1000;
    const SHELL: i32 = 20;
    const RUNNER: i32 = 30;
    const MANAGER: i32 = 2;
    /// Strangers who are older than the runner.
    const OLD: [i32; 2] = [10, 11];

    #[derive(Clone, Debug)]
    struct Process {
        start: u64,
        parent: i32,
        group: i32,
        session: i32,
        uid: u32,
        marked: bool,
        /// Whether it carries a marker that nobody of the run gave it.
        forged: bool,
        /// Whether it is descended from the runner.
        ours: bool,
        /// Whether it, or one above it up to the runner, has cleared its environment.
        cleared: bool,
    }

    /// A machine on which processes fork and exit as Linux has them do.
    #[derive(Clone, Debug)]
    struct World {
        processes: BTreeMap<i32, Process>,
        now: u64,
        next: i32,
    }

    impl World {
        /// Process 1, a manager that takes orphans over, a shell, and a runner in it.
        fn new() -> Self {
            let mut world = Self {
                processes: BTreeMap::new(),
                now: 100,
                next: 40,
            };
            for (pid, parent, uid) in [
                (1, 0, 0),
                (MANAGER, 1, USER),
                (OLD[0], MANAGER, USER),
                (OLD[1], MANAGER, USER),
                (SHELL, MANAGER, USER),
                (RUNNER, SHELL, USER),
            ] {
                world.now += 1;
                let process = Process {
                    start: world.now,
                    parent,
                    group: pid,
                    session: 1,
                    uid,
                    marked: false,
                    forged: false,
                    ours: pid == RUNNER,
                    cleared: false,
                };
                world.processes.insert(pid, process);
            }
            world
        }

        fn pick(&self, number: usize) -> i32 {
            let pids: Vec<i32> = self.processes.keys().copied().collect();
            pids[number % pids.len()]
        }

        /// This process and all above it.
        fn up_from(&self, pid: i32) -> HashSet<i32> {
            let mut found = HashSet::new();
            let mut next = Some(pid);
            while let Some(pid) = next.filter(|pid| found.insert(*pid)) {
                next = self.processes.get(&pid).map(|process| process.parent);
            }
            found
        }

        /// A child of this process; the runner's lead a group and carry the marker.
        fn fork(&mut self, parent: i32) -> i32 {
            // Some numbers come again, those of the dead.
            self.next = if self.next > 60 { 40 } else { self.next + 1 };
            while self.processes.contains_key(&self.next) {
                self.next += 1;
            }
            self.now += 1;
            let of_runner = parent == RUNNER;
            let mut child = Process {
                start: self.now,
                parent,
                ..self.processes[&parent].clone()
            };
            if of_runner {
                (child.marked, child.group) = (true, self.next);
            }
            self.processes.insert(self.next, child);
            self.next
        }

        /// Its children become the manager's; those of the manager's elders process 1's. While the
        /// runner lives it takes its own orphans over.
        fn exit(&mut self, pid: i32) {
            if pid <= MANAGER {
                return;
            }
            let process = self.processes.remove(&pid);
            let ours = process.is_some_and(|process| process.ours);
            let runner = ours && self.processes.contains_key(&RUNNER);
            let adopter = if runner { RUNNER } else { MANAGER };
            for child in self.processes.values_mut() {
                if child.parent == pid {
                    child.parent = adopter;
                }
            }
        }

        fn step(&mut self, step: (u8, usize)) {
            let pid = self.pick(step.1);
            match step.0 {
                0..=4 => drop(self.fork(RUNNER)),
                5..=9 => drop(self.fork(pid)),
                10..=12 if pid != RUNNER && pid != SHELL => self.exit(pid),
                other => {
                    let Some(process) = self.processes.get_mut(&pid) else {
                        return;
                    };
                    if pid <= RUNNER && !OLD.contains(&pid) {
                        return;
                    }
                    match other {
                        13 => (process.marked, process.cleared) = (false, true),
                        14 => (process.group, process.session) = (pid, pid),
                        15 => process.uid = 0,
                        16 if !process.ours => (process.marked, process.forged) = (true, true),
                        _ => {}
                    }
                }
            }
        }

        fn record(&self) -> Record {
            let id = |pid: i32| ProcessId {
                pid,
                start: self.processes[&pid].start,
            };
            Record {
                run: RunId::from_random([1; 16]),
                owner: Owner {
                    process: id(RUNNER),
                    uid: USER,
                    boot: "b".to_owned(),
                    pid_namespace: "n".to_owned(),
                },
                workspace: "/w".into(),
                since: 0,
                cgroup: None,
                tmpdir: None,
                checkpoint: None,
                output: None,
                engine: None,
                podman: false,
                adopter: Some(id(MANAGER)),
                ancestors: vec![id(SHELL), id(MANAGER), id(1)],
            }
        }

        /// Whether a marker that nobody can tell from a true one makes it, or one above it, the run's.
        fn is_fooled(&self, pid: i32) -> bool {
            let process = &self.processes[&pid];
            let leaders = [process.group, process.session];
            let above = [process.parent].into_iter().chain(leaders);
            (process.forged && process.parent == MANAGER)
                || above
                    .filter(|other| *other != pid && *other > MANAGER)
                    .any(|other| self.processes.contains_key(&other) && self.is_fooled(other))
        }
    }

    impl Processes for World {
        fn find(&mut self, pid: i32) -> Option<(ProcessId, i32)> {
            let process = self.processes.get(&pid)?;
            let start = process.start;
            Some((ProcessId { pid, start }, process.parent))
        }

        fn leaders(&mut self, pid: i32) -> Option<[i32; 2]> {
            let process = self.processes.get(&pid)?;
            Some([process.group, process.session])
        }

        fn user(&mut self, pid: i32) -> Option<u32> {
            Some(self.processes.get(&pid)?.uid)
        }

        fn is_marked(&mut self, pid: i32) -> bool {
            self.processes
                .get(&pid)
                .is_some_and(|process| process.marked)
        }
    }

    fn world(steps: &[(u8, usize)]) -> (World, Record) {
        let mut world = World::new();
        let record = world.record();
        for &step in steps {
            world.step(step);
        }
        world.exit(RUNNER);
        (world, record)
    }

    fn steps() -> impl Strategy<Value = Vec<(u8, usize)>> {
        proptest::collection::vec((0_u8..17, any::<usize>()), 0..60)
    }

    fn left(verdict: Verdict) -> bool {
        matches!(verdict, Verdict::Left { .. })
    }

    /// Whether the record says of somebody that he has the orphans: those above the adopter have them only when
    /// that is not there any more.
    fn is_adopter(record: &Record, id: ProcessId, world: &World) -> bool {
        let gone = record.adopter.is_none_or(|adopter| {
            let now = world.processes.get(&adopter.pid);
            now.is_none_or(|now| now.start != adopter.start)
        });
        record.adopter == Some(id) || (gone && record.ancestors.contains(&id))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn no_stranger_is_ever_taken_for_a_dead_runs(steps in steps(), us in any::<usize>()) {
            let (mut world, record) = world(&steps);
            let us = world.pick(us);
            let spared = world.up_from(us);
            let heirloom = Heirloom::new(&record, &[], spared.clone(), &mut world);
            for (pid, process) in world.clone().processes {
                let verdict = heirloom.judge(pid, &mut world);
                if verdict == Verdict::Stranger {
                    continue;
                }
                let context = format!("{pid} is {verdict:?}: {process:?}");
                prop_assert!(pid > 1 && !spared.contains(&pid), "{}", context);
                let below_us = us > MANAGER && world.up_from(pid).contains(&us);
                prop_assert!(!below_us, "{}", context);
                prop_assert!(process.start >= record.owner.process.start, "{}", context);
                prop_assert!(!left(verdict) || process.uid == USER, "{}", context);
                prop_assert!(process.ours || world.is_fooled(pid), "{}", context);
            }
        }

        #[test]
        fn whoever_kept_his_environment_is_found(steps in steps()) {
            let (mut world, record) = world(&steps);
            let heirloom = Heirloom::new(&record, &[], HashSet::new(), &mut world);
            for (pid, process) in world.clone().processes {
                let mut chain = vec![process.clone()];
                while let Some(above) = world.processes.get(&chain[chain.len() - 1].parent)
                    && above.ours
                {
                    chain.push(above.clone());
                }
                let plain = |one: &Process| one.ours && !one.cleared && one.uid == USER;
                if chain.iter().all(plain) {
                    prop_assert!(left(heirloom.judge(pid, &mut world)), "{pid} {process:?}");
                }
            }
        }

        #[test]
        fn whatever_record_and_machine_say_nobody_is_taken_without_every_proof(
            table in proptest::collection::vec(
                ((1_i32..16, 0_i32..16, 0_u64..30), (0_i32..16, 0_i32..16), (0_u32..2, 0_u8..3)),
                0..14,
            ),
            owner in (0_i32..16, 0_u64..20),
            adopter in proptest::option::of((0_i32..16, 0_u64..30)),
            above in proptest::collection::vec((0_i32..16, 0_u64..30), 0..4),
            spared in proptest::collection::hash_set(0_i32..16, 0..4),
            leg in proptest::option::of(0_u64..30),
        ) {
            let mut world = World::new();
            let mut record = world.record();
            world.processes.clear();
            let process = |start, parent, (group, session), (uid, marks)| Process {
                start, parent, group, session, uid,
                marked: marks > 0, forged: false, ours: false, cleared: false,
            };
            world.processes.insert(1, process(0, 0, (1, 1), (0, 0)));
            for ((pid, parent, start), leaders, user) in table {
                world.processes.insert(pid, process(start, parent, leaders, user));
            }
            let numbers = |(pid, start)| ProcessId { pid, start };
            // As often as not it names somebody who is there.
            let there = |id: ProcessId, world: &World| {
                let now = world.processes.get(&id.pid).filter(|_| id.start.is_multiple_of(2));
                now.map_or(id, |now| ProcessId { start: now.start, ..id })
            };
            record.owner.process = numbers(owner);
            record.owner.uid = 1;
            record.adopter = adopter.map(|id| there(numbers(id), &world));
            record.ancestors = above.into_iter().map(|id| there(numbers(id), &world)).collect();
            let mut living = record.clone();
            living.owner.process.start = leg.unwrap_or(0);
            let living: Vec<_> = leg.map(|_| living).into_iter().collect();
            let heirloom = Heirloom::new(&record, &living, spared.clone(), &mut world);
            for pid in -1..18 {
                let verdict = heirloom.judge(pid, &mut world);
                let (Verdict::Left { id, .. } | Verdict::OtherUser(id)) = verdict else {
                    continue;
                };
                let context = format!("{pid} is {verdict:?} in {:?}", world.processes);
                prop_assert!(id.pid == pid && pid > 1 && !spared.contains(&pid), "{}", context);
                prop_assert!(id.start == world.processes[&pid].start, "{}", context);
                // All on the way up are of the run's time, younger than their parents, and none of them is one
                // of us; it ends at one of whom the record tells, with the very start.
                let (mut top, mut steps) = (pid, 0);
                let adopter = loop {
                    steps += 1;
                    prop_assert!(steps < 100, "a circle: {}", context);
                    let now = &world.processes[&top];
                    prop_assert!(now.start >= owner.1, "{}", context);
                    prop_assert!(leg.is_none_or(|leg| now.start < leg), "{}", context);
                    prop_assert!(!spared.contains(&top) && top > 1, "{}", context);
                    let parent = world.processes.get(&now.parent);
                    prop_assert!(parent.is_some_and(|one| one.start <= now.start), "{}", context);
                    let above = numbers((now.parent, parent.map_or(0, |parent| parent.start)));
                    if is_adopter(&record, above, &world) {
                        break above;
                    }
                    top = now.parent;
                };
                prop_assert!(world.processes.contains_key(&adopter.pid), "{}", context);
                let now = &world.processes[&top];
                let marked = |pid: &i32| world.processes.get(pid).is_some_and(|one| one.marked);
                // A leader's own top is marked; that of a chain of one is he.
                let led = [now.group, now.session].iter().any(|leader| {
                    *leader != top && world.processes.contains_key(leader)
                });
                prop_assert!(marked(&top) || led, "{}", context);
                if left(verdict) {
                    prop_assert!(world.processes[&pid].uid == 1 && now.uid == 1, "{}", context);
                }
            }
        }

        #[test]
        fn nonsense_is_survived(
            table in proptest::collection::vec((0_i32..12, 0_i32..12, 0_u64..4, any::<bool>()), 0..12),
        ) {
            let mut world = World::new();
            let record = world.record();
            for (pid, parent, start, marked) in table {
                let process = Process { start, parent, marked, ..world.processes[&SHELL].clone() };
                world.processes.insert(pid, process);
            }
            let heirloom = Heirloom::new(&record, &[], HashSet::new(), &mut world);
            for pid in -1..12 {
                prop_assert_eq!(heirloom.judge(pid, &mut world), Verdict::Stranger);
            }
        }
    }

    #[test]
    fn a_forged_marker_below_a_living_stranger_is_a_strangers() {
        let mut world = World::new();
        let record = world.record();
        let test = world.fork(RUNNER);
        let decoy = world.fork(SHELL);
        let below = world.fork(decoy);
        for pid in [decoy, below] {
            world.processes.get_mut(&pid).unwrap().marked = true;
        }
        world.exit(RUNNER);
        let heirloom = Heirloom::new(&record, &[], HashSet::new(), &mut world);
        assert!(left(heirloom.judge(test, &mut world)));
        for pid in [decoy, below, SHELL, MANAGER, 1, 0, -1] {
            assert_eq!(heirloom.judge(pid, &mut world), Verdict::Stranger, "{pid}");
        }
    }

    #[test]
    fn who_has_cleared_his_environment_is_known_by_his_groups_leader() {
        let mut world = World::new();
        let record = world.record();
        let test = world.fork(RUNNER);
        let between = world.fork(test);
        let orphan = world.fork(between);
        for pid in [between, orphan] {
            world.processes.get_mut(&pid).unwrap().marked = false;
        }
        world.exit(between);
        world.exit(RUNNER);
        let heirloom = Heirloom::new(&record, &[], HashSet::new(), &mut world);
        assert_eq!(world.processes[&orphan].parent, MANAGER);
        assert!(left(heirloom.judge(orphan, &mut world)));
        world.exit(test);
        assert_eq!(heirloom.judge(orphan, &mut world), Verdict::Stranger);
    }

    #[test]
    fn when_the_adopter_died_too_those_above_it_have_the_orphans() {
        let mut world = World::new();
        let record = world.record();
        let test = world.fork(RUNNER);
        world.exit(RUNNER);
        world.processes.remove(&MANAGER);
        for process in world.processes.values_mut() {
            if process.parent == MANAGER {
                process.parent = 1;
            }
        }
        let heirloom = Heirloom::new(&record, &[], HashSet::new(), &mut world);
        assert!(left(heirloom.judge(test, &mut world)));
        let unknown = Record {
            engine: None,
            podman: false,
            adopter: None,
            ..record
        };
        let heirloom = Heirloom::new(&unknown, &[], HashSet::new(), &mut world);
        assert!(left(heirloom.judge(test, &mut world)));
        let shell = world.fork(SHELL);
        assert_eq!(heirloom.judge(shell, &mut world), Verdict::Stranger);
    }

    #[test]
    fn what_a_living_leg_has_started_is_not_the_dead_ones() {
        let mut world = World::new();
        let record = world.record();
        let old = world.fork(RUNNER);
        world.exit(RUNNER);
        let mut leg = record.clone();
        world.now += 1;
        leg.owner.process.start = world.now;
        let new = world.fork(old);
        world.exit(old);
        assert_eq!(world.processes[&new].parent, MANAGER);
        let heirloom = Heirloom::new(&record, &[leg], HashSet::new(), &mut world);
        assert_eq!(heirloom.judge(new, &mut world), Verdict::Stranger);
        let heirloom = Heirloom::new(&record, &[], HashSet::new(), &mut world);
        assert!(left(heirloom.judge(new, &mut world)));
        assert!(heirloom.holds(new, &mut world), "a runner inside a test");
    }
}
