//! The thread that knows the other runs of this user: it tells them how this run stands, sees how they stand, and
//! takes and gives back shares of the cores. What follows from that is decided by `coordinator::share`.

use std::io;
use std::sync::Arc;
use std::thread;

use camino::Utf8PathBuf;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;

use crate::clock::Clock;
use crate::clock::Moment;
use crate::coordinator::Counters;
use crate::coordinator::Live;
use crate::coordinator::Registration;
use crate::coordinator::Shares;
use crate::coordinator::State;
use crate::coordinator::share;
use crate::coordinator::share::Appetite;
use crate::coordinator::share::Claim;
use crate::coordinator::turn::Others;
use crate::guard::Company;
use crate::process::boot;
use crate::run::board::Board;
use crate::run::event::Event;
use crate::run::event::Standing;
use crate::run::eye::BEAT;
use crate::run::eye::Seen;
use crate::run::eye::Watch;
use crate::run::jobserver::Tokens;
use crate::run::queue::Queue;
use crate::units::Bytes;

/// What other runs use is told to the run in such steps: less is no news.
const GRAIN: u64 = 16 << 20;

/// How often a run that waits for a share tries to get one, in milliseconds.
const TRY: u64 = 2;

/// The same for one that has a share, and could have more.
const TRY_MORE: u64 = 10;

/// Where the numbers of the spare shares begin.
const SPARE: u64 = 1 << 20;

/// A run among others. Dropped, it is none of them any more.
#[derive(Debug)]
pub struct Membership {
    board: Arc<Board>,
    registration: Arc<Registration>,
    thread: Option<thread::JoinHandle<()>>,
    /// Whether the run has to wait for its part of the cores.
    shares: bool,
    age: (u64, i32),
}

impl Membership {
    /// Starts the thread for a run that tells this of itself, on a machine of so many cores.
    ///
    /// # Errors
    /// The system refuses a thread or a descriptor.
    pub(crate) fn start(
        registration: Registration,
        live: Live,
        cores: usize,
        clock: Clock,
    ) -> io::Result<Self> {
        let registration = Arc::new(registration);
        let board = Arc::new(Board::new()?);
        let shares = (!live.nested).then(|| registration.shares().ok()).flatten();
        let has_shares = shares.is_some();
        let age = live.age();
        let neighbours = Neighbours {
            watch: Watch::on(registration.place()),
            registration: Arc::clone(&registration),
            board: Arc::clone(&board),
            told: live.clone(),
            live,
            clock,
            cores: cores as u64,
            shares,
            tokens: Tokens::default(),
            others: Vec::new(),
            yielded: None,
            left: None,
            counted: 0,
            looked: None,
            queued: None,
            holds_since: None,
            target: u64::MAX,
            standing: None,
            queue: None,
        };
        let thread = thread::Builder::new()
            .name("stt-neighbours".to_owned())
            .spawn(move || neighbours.live())?;
        Ok(Self {
            board,
            registration,
            thread: Some(thread),
            shares: has_shares,
            age,
        })
    }

    /// The file whose lock says that the run lives.
    pub fn lock_path(&self) -> Utf8PathBuf {
        self.registration.lock_path()
    }

    pub(crate) fn registration(&self) -> &Arc<Registration> {
        &self.registration
    }

    /// Where the run says how it stands.
    pub(crate) fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// Counts what was done, for whoever wants to know.
    pub(crate) fn count(&self, more: Counters) {
        if let Some(boot) = boot() {
            self.registration.count(&boot, more);
        }
    }

    /// What runs are ordered by.
    pub(crate) fn age(&self) -> (u64, i32) {
        self.age
    }

    /// Whether the run has to wait for its part of the cores.
    pub(crate) fn has_shares(&self) -> bool {
        self.shares
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.board.end();
        if let Some(thread) = self.thread.take() {
            // A panic in there was reported by the panic hook; there is nothing to add.
            drop(thread.join());
        }
    }
}

struct Neighbours {
    registration: Arc<Registration>,
    board: Arc<Board>,
    clock: Clock,
    /// What is to be told.
    live: Live,
    /// What was told last.
    told: Live,
    cores: u64,
    watch: Watch,
    /// `None` where there can be none, or the run is part of another: then it takes what it wants.
    shares: Option<Shares>,
    /// What is held of the jobserver of a `make` around us.
    tokens: Tokens,
    others: Vec<Live>,
    /// When a younger one was last seen to yield.
    yielded: Option<(u64, Moment)>,
    /// What is left of the memory until nothing more should start.
    left: Option<Bytes>,
    /// How many tests ran when that was so.
    counted: u64,
    /// When all were looked at.
    looked: Option<u64>,
    queued: Option<u64>,
    holds_since: Option<u64>,
    /// How many shares the run may hold.
    target: u64,
    /// What the run was told last.
    standing: Option<Standing>,
    /// Where it is told.
    queue: Option<Arc<Queue>>,
}

impl Neighbours {
    fn live(mut self) {
        loop {
            let now = Clock::since_boot();
            self.look(now);
            let Some(running) = self.take_in(now) else {
                return;
            };
            self.settle(running, now);
            self.tell(now);
            self.inform(now);
            self.wait(now);
        }
    }

    /// Looks at those who have something new to tell, and at all from time to time.
    fn look(&mut self, now: u64) {
        let beat = self.watch.beat();
        let mut all = self.looked.is_none_or(|at| now >= at + beat);
        match self.watch.look() {
            Seen::Nothing => {}
            Seen::Something => all = true,
            Seen::Files(files) => {
                for file in files {
                    if let Some(stem) = file.strip_suffix(".live") {
                        self.look_at(stem);
                    }
                    // Whose lock was closed is dead, or somebody has looked whether he is.
                    all |= file.strip_suffix(".lock").is_some();
                }
            }
        }
        if all {
            self.looked = Some(now);
            // Whom we can't see we don't wait for; the shares are held by the kernel.
            self.others = self.registration.others().unwrap_or_default();
            if !self.others.is_empty() && self.watch.open() {
                self.others = self.registration.others().unwrap_or_default();
            }
            if let Some(shares) = &self.shares
                && !self.registration.sees(shares)
            {
                self.shares = self.registration.shares().ok();
            }
        }
    }

    fn look_at(&mut self, stem: &str) {
        let Some(live) = self.registration.told_by(stem) else {
            // It has just gone: all are looked at when its lock has.
            return;
        };
        self.others.retain(|other| other.runner != live.runner);
        if live.runner != self.live.runner {
            self.others.push(live);
            self.others.sort_by_key(Live::age);
        }
    }

    /// Takes in what the run has written. Returns how many tests run, or nothing once it has ended.
    fn take_in(&mut self, now: u64) -> Option<u64> {
        self.board.take_wake();
        let written = self.board.lock();
        let (outline, details) = (written.outline, &written.details);
        let live = &mut self.live;
        if live.state != outline.state {
            live.state = outline.state;
            live.state_since = now;
        }
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        live.wanted = count(outline.wanted);
        live.done = count(outline.done);
        live.total = count(outline.total);
        live.failed = count(outline.failed);
        live.memory = outline.memory;
        live.limit = outline.limit;
        live.expected = details.expected;
        live.promised = details.promised;
        self.left = details.left;
        self.counted = details.count as u64;
        live.running.clone_from(&details.running);
        live.script.clone_from(&details.script);
        live.waits.clone_from(&written.waits);
        live.running_now = count(outline.running);
        if outline.running == 0 {
            live.running.clear();
            live.script = None;
        }
        self.queue.clone_from(&written.queue);
        (!written.ended).then_some(outline.running as u64)
    }

    /// Takes and gives back shares.
    fn settle(&mut self, running: u64, now: u64) {
        let Some(mut shares) = self.shares.take() else {
            // Who takes what he wants waits for nothing.
            self.queued = None;
            self.target = u64::MAX;
            return;
        };
        let had = shares.held();
        let (claims, me) = self.claims(had, now);
        // What stands still uses no core.
        let stands = self.live.state == State::Suspended;
        let running = if stands { 0 } else { running };
        let part = share::part(self.cores, &claims, me, now);
        let capacity = share::capacity(self.cores, &claims);
        let Ok(target) = adjust(&mut shares, &mut self.tokens, part, capacity, running) else {
            // The file system knows no such locks: from now on there are none.
            self.target = u64::MAX;
            return;
        };
        self.target = target;
        let held = shares.held();
        self.shares = Some(shares);
        match (had, held) {
            (_, 0) => self.holds_since = None,
            (0, _) => self.holds_since = Some(now),
            (_, _) => {}
        }
        self.queued = self.queued.filter(|_| held == 0);
        self.live.held = u32::try_from(held).unwrap_or(u32::MAX);
        self.live.queued = self.queued;
        self.board.lock().shrinking = held > self.target;
    }

    /// What all runs want, from the oldest to the youngest, and which of them is ours.
    fn claims(&mut self, held: u64, now: u64) -> (Vec<Claim>, usize) {
        let wanted = u64::from(self.live.wanted);
        self.queued = (wanted > 0 && held == 0).then(|| self.queued.unwrap_or(now));
        let own = Claim {
            wanted,
            held,
            queued: self.queued,
            holds_since: self.holds_since,
        };
        let age = self.live.age();
        let me = self.others.partition_point(|other| other.age() < age);
        let mut claims: Vec<_> = self.others.iter().map(|other| claim(other, now)).collect();
        claims.insert(me, own);
        (claims, me)
    }

    /// Tells the others what is new, and from time to time that we live.
    fn tell(&mut self, now: u64) {
        let waits = self.waits();
        self.live.waits = self.live.waits.take().or(waits);
        let news = self.live.matters() != self.told.matters();
        if !news && now < self.told.told + BEAT && self.told.told != 0 {
            return;
        }
        self.live.told = now;
        // What can't be told is told the next time; who is silent is not waited for.
        drop(self.registration.tell(&self.live));
        self.told = self.live.clone();
        self.board.has_told();
    }

    fn waits(&self) -> Option<String> {
        self.queued.map(|_| "a share of the cores".to_owned())
    }

    /// Tells the run what has changed for it.
    fn inform(&mut self, now: u64) {
        let seen = Others::seen_by(&self.live, &self.others, now);
        if seen.yielded > self.yielded.map(|(at, _)| at) {
            self.yielded = seen.yielded.map(|at| (at, self.moment(at, now)));
        }
        let held = self.live.held;
        let may = if self.shares.is_some() {
            let may = self.target.min(u64::from(held)).min(self.room(now));
            usize::try_from(may).unwrap_or(usize::MAX)
        } else {
            usize::MAX
        };
        let counted = |other: &&Live| other.wanted > 0 && other.is_fresh(now) && !other.nested;
        let standing = Standing {
            may,
            runs: 1 + self.others.iter().filter(counted).count(),
            company: Company {
                older: seen.older,
                younger: seen.younger,
                doubtful: seen.doubtful,
                yielded: self.yielded.map(|(_, at)| at),
                memory: Bytes(seen.memory.0 / GRAIN * GRAIN),
            },
        };
        let Some(queue) = &self.queue else { return };
        if self.standing != Some(standing) {
            queue.push(Event::Standing(standing));
            self.standing = Some(standing);
        }
    }

    /// How many tests may run at once beside those of the others, by the memory that is left. One always may.
    fn room(&self, now: u64) -> u64 {
        let Some(left) = self.left.filter(|_| !self.others.is_empty()) else {
            return u64::MAX;
        };
        let appetite = |live: &Live| Appetite {
            more: u64::from(live.wanted.saturating_sub(live.running_now)),
            expected: live.expected.0,
            promised: live.promised.0,
        };
        let same = |other: &&Live| other.is_fresh(now) && other.limit == self.live.limit;
        let mut appetites: Vec<_> = self.others.iter().filter(same).map(appetite).collect();
        appetites.push(appetite(&self.live));
        let own = appetites.len() - 1;
        if appetites[own].expected == 0 {
            return u64::MAX;
        }
        let more = share::room(left.0, &appetites, own);
        self.counted.saturating_add(more).max(1)
    }

    fn moment(&self, at: u64, now: u64) -> Moment {
        let ago = std::time::Duration::from_millis(now.saturating_sub(at));
        self.clock.now().saturating_sub(ago)
    }

    /// Waits until there is something to do.
    fn wait(&self, now: u64) {
        let held = u64::from(self.live.held);
        let mut wait = self.watch.sleep();
        if let Some(since) = self.queued {
            wait = wait.min((since + share::PATIENCE).saturating_sub(now).max(TRY));
        }
        if self.shares.is_some() && held < self.target {
            // Who has one already is not in a hurry.
            wait = if held == 0 { TRY } else { TRY_MORE };
        } else if let Some(since) = self.holds_since
            && now < since + share::TURN
        {
            wait = wait.min(since + share::TURN - now);
        }
        let mut fds = vec![PollFd::new(self.board.woken(), PollFlags::POLLIN)];
        if let Some(eye) = self.watch.fd() {
            fds.push(PollFd::new(eye, PollFlags::POLLIN));
        }
        let wait = PollTimeout::try_from(wait).unwrap_or(PollTimeout::MAX);
        // Cut short by a signal, it only looks too early.
        let _ = nix::poll::poll(&mut fds, wait);
    }
}

impl Drop for Neighbours {
    /// Whatever happens to this thread, the run goes on.
    fn drop(&mut self) {
        if let Some(queue) = &self.queue {
            queue.push(Event::Standing(Standing::default()));
        }
    }
}

/// Comes as near to the part as can be. Returns how many may be held.
fn adjust(
    shares: &mut Shares,
    tokens: &mut Tokens,
    part: share::Part,
    capacity: u64,
    running: u64,
) -> io::Result<u64> {
    let mut target = part.target;
    while shares.held() < target
        && tokens.suffice_for(shares.held() + 1)
        && shares.take(0..capacity)?
    {}
    if shares.held() == 0 && part.spare && shares.take(SPARE..SPARE + share::SPARE)? {
        target = target.max(1);
    }
    // What tests use is given back when they end.
    shares.keep(target.max(running))?;
    tokens.keep_for(shares.held());
    Ok(target)
}

fn claim(other: &Live, now: u64) -> Claim {
    let counts = other.is_fresh(now) && !other.nested && other.state != State::Suspended;
    if !counts {
        return Claim::default();
    }
    Claim {
        wanted: u64::from(other.wanted),
        held: u64::from(other.held),
        queued: other.queued,
        holds_since: None,
    }
}
