//! Gets for this run the rights to ports of which the machine has one, on a thread of its own: other runs may have
//! them for long.

use std::collections::HashMap;
use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::sync::mpsc;
use std::sync::mpsc::RecvTimeoutError;
use std::thread;
use std::time::Duration;

use crate::clock::Clock;
use crate::coordinator::Registration;
use crate::coordinator::RightClaim;
use crate::coordinator::RightHolder;
use crate::id::RunId;
use crate::report::Warning;
use crate::run::board::Board;
use crate::run::event::Event;
use crate::run::queue::Queue;
use crate::run::suite::Suite;

/// How often a port is tried that another run has.
const TRY: Duration = Duration::from_millis(5);

/// What the thread is made of.
pub(crate) struct Claimer {
    /// The run among others.
    pub(crate) registration: Arc<Registration>,
    /// The run.
    pub(crate) run: RunId,
    /// The tests.
    pub(crate) suite: Arc<Suite>,
    /// Where answers go.
    pub(crate) queue: Arc<Queue>,
    /// Where others read what the run waits for.
    pub(crate) board: Arc<Board>,
}

/// The thread.
#[derive(Debug)]
pub(crate) struct Claims {
    orders: Option<mpsc::Sender<Order>>,
    thread: Option<thread::JoinHandle<()>>,
}

#[derive(Debug)]
enum Order {
    Claim { test: usize, ports: Arc<[u16]> },
    GiveBack { test: usize },
}

impl Claims {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system refuses one.
    pub(crate) fn start(claimer: Claimer) -> io::Result<Self> {
        let (orders, received) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("stt-ports".to_owned())
            .stack_size(256 * 1024)
            .spawn(move || claimer.work(&received))?;
        Ok(Self {
            orders: Some(orders),
            thread: Some(thread),
        })
    }

    /// Has these ports asked for; the answer is [`Event::Claimed`].
    pub(crate) fn claim(&self, test: usize, ports: Arc<[u16]>) {
        self.send(Order::Claim { test, ports });
    }

    /// Has the ports of a test given back, or asked for no longer.
    pub(crate) fn give_back(&self, test: usize) {
        self.send(Order::GiveBack { test });
    }

    fn send(&self, order: Order) {
        if let Some(orders) = &self.orders {
            // The receiver lives as long as this does, unless its thread has panicked, which was reported.
            drop(orders.send(order));
        }
    }
}

impl Drop for Claims {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// The claims of one test, in rising order of their ports: each is asked for when those before it are held, so that
/// no two runs wait for each other.
type OfTest = Vec<RightClaim>;

impl Claimer {
    fn work(self, orders: &mpsc::Receiver<Order>) {
        let mut claims: HashMap<usize, OfTest> = HashMap::new();
        let mut waiting: Vec<usize> = Vec::new();
        let mut told = HashSet::new();
        let mut numbers = 0..;
        loop {
            let order = if waiting.is_empty() {
                orders.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                orders.recv_timeout(TRY)
            };
            match order {
                Ok(Order::Claim { test, ports }) => {
                    let each = ports.iter().zip(&mut numbers);
                    let of_test = each.map(|(&port, number)| self.claim(test, port, number));
                    claims.insert(test, of_test.collect());
                    waiting.push(test);
                }
                Ok(Order::GiveBack { test }) => {
                    waiting.retain(|&other| other != test);
                    told.remove(&test);
                    if let Some(of_test) = claims.remove(&test) {
                        self.give_back(of_test);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            waiting.retain(|test| {
                let of_test = claims.get_mut(test);
                of_test.is_some_and(|of_test| self.attempt(*test, of_test, &mut told))
            });
            if waiting.is_empty() {
                self.board.wait_for(None);
            }
        }
        for of_test in claims.into_values() {
            self.give_back(of_test);
        }
    }

    fn claim(&self, test: usize, port: u16, number: u64) -> RightClaim {
        let who = RightHolder {
            port,
            run: Some(self.run.to_string()),
            pid: std::process::id().cast_signed(),
            what: self.suite.id(test).to_string(),
        };
        RightClaim::new(who, Clock::since_boot(), number)
    }

    fn give_back(&self, of_test: OfTest) {
        for claim in of_test {
            claim.give_back(&self.registration);
        }
    }

    /// Tries to get what is missing. Returns whether something still is.
    fn attempt(&self, test: usize, claims: &mut OfTest, told: &mut HashSet<usize>) -> bool {
        for claim in claims.iter_mut() {
            match claim.attempt(&self.registration) {
                Ok(true) => {}
                Ok(false) => {
                    if told.insert(test) {
                        self.tell(test, claim.port());
                    }
                    return true;
                }
                Err(error) => {
                    let message = format!(
                        "port {} is kept from other tests of this run only: {error}",
                        claim.port()
                    );
                    let hint = None;
                    self.queue.push(Event::Warning(Warning { message, hint }));
                }
            }
        }
        self.queue.push(Event::Claimed { test });
        false
    }

    /// Tells that a test waits, and for whom.
    fn tell(&self, test: usize, port: u16) {
        let holder = self.registration.right_holder(port);
        let holder = holder.map_or_else(
            || "another run".to_owned(),
            |holder| format!("pid {} {}", holder.pid, holder.what.escape_debug()),
        );
        self.board
            .wait_for(Some(format!("port {port}, which {holder} has")));
        let event = Event::PortTaken { test, port, holder };
        self.queue.push(event);
    }
}
