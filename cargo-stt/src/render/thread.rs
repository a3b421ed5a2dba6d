//! The renderer's own thread, behind a queue.
//!
//! Nobody who sends an event ever waits for a terminal. Results are never dropped; progress is,
//! while an older one still waits. What has gathered is written at once, and at most every
//! [`PACE`], so that two thousand quick results cost a few dozen writes.

use std::io;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::thread;
use std::time::Duration;

use stt_core::clock::Clock;
use stt_core::clock::Moment;
use stt_core::report::Event;

use crate::render::screen::Renderer;

/// The shortest time between the starts of two writes: fifty a second look immediate to a person.
const PACE: Duration = Duration::from_millis(20);

/// How often somebody is asked who may have had enough.
const LOOK: Duration = Duration::from_millis(50);

/// Shows events in the order in which they were sent.
pub(crate) struct RenderThread {
    shared: Arc<Shared>,
}

/// What became of the events that were sent.
#[derive(Debug)]
pub(crate) enum Drained {
    /// All of them are written.
    All,
    /// Some are not: the screen did not take them in time.
    TimedOut,
    /// Some are not: writing failed with this error, for instance because nobody reads any more.
    Failed(io::Error),
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// The renderer waits here, for events or for the end.
    to_renderer: Condvar,
    /// [`RenderThread::finish`] waits here.
    to_finish: Condvar,
}

#[derive(Default)]
struct Queue {
    events: Vec<Event>,
    /// An [`Event::Progress`] is among them.
    progress_waits: bool,
    /// The renderer has nothing to do and waits to be woken. A wake-up costs a system call, so it is
    /// made only for somebody who sleeps.
    idle: bool,
    /// No more events come.
    closed: bool,
    /// The renderer has ended, with this result.
    ended: Option<io::Result<()>>,
}

impl RenderThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub(crate) fn start(renderer: Box<dyn Renderer>) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        // The thread is never joined: a terminal that hangs for ever would hang the join as well.
        thread::Builder::new()
            .name("renderer".to_owned())
            .spawn(move || {
                let ended = End(&theirs);
                ended.set(render(&theirs, renderer));
            })?;
        Ok(Self { shared })
    }

    /// Hands an event over; never waits.
    pub(crate) fn send(&self, event: Event) {
        let mut queue = self.shared.lock();
        if matches!(event, Event::Progress(_)) {
            if queue.progress_waits {
                return;
            }
            queue.progress_waits = true;
        }
        queue.events.push(event);
        let wake = std::mem::take(&mut queue.idle);
        drop(queue);
        if wake {
            self.shared.to_renderer.notify_one();
        }
    }

    /// Waits until everything sent is written, for as long as `deadline` if there is one, or until somebody has had
    /// enough of that.
    pub(crate) fn finish(self, deadline: Option<Duration>, gives_up: impl Fn() -> bool) -> Drained {
        self.close();
        let clock = Clock::start();
        let begun = clock.now();
        let mut queue = self.shared.lock();
        while queue.ended.is_none() && !gives_up() {
            let left = deadline.map(|deadline| (begun + deadline).saturating_sub(clock.now()));
            if left.is_some_and(|left| left.is_zero()) {
                break;
            }
            let pause = left.map_or(LOOK, |left| left.min(LOOK));
            let waited = self.shared.to_finish.wait_timeout(queue, pause);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        match queue.ended.take() {
            Some(Ok(())) => Drained::All,
            Some(Err(error)) => Drained::Failed(error),
            None => Drained::TimedOut,
        }
    }

    fn close(&self) {
        self.shared.lock().closed = true;
        self.shared.to_renderer.notify_one();
    }
}

impl Drop for RenderThread {
    /// Lets the thread end when nobody asked it to.
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for events, then until `pause` is over, and takes what there is. `false` when no more
    /// will come.
    fn take(&self, batch: &mut Vec<Event>, pause: impl FnOnce() -> Duration) -> bool {
        let mut queue = self.lock();
        queue.idle = queue.events.is_empty() && !queue.closed;
        queue = self
            .to_renderer
            .wait_while(queue, |queue| queue.events.is_empty() && !queue.closed)
            .unwrap_or_else(PoisonError::into_inner);
        queue.idle = false;
        let pause = pause();
        if !pause.is_zero() {
            queue = self
                .to_renderer
                .wait_timeout_while(queue, pause, |queue| !queue.closed)
                .map_or_else(|poisoned| poisoned.into_inner().0, |(queue, _)| queue);
        }
        std::mem::swap(&mut queue.events, batch);
        queue.progress_waits = false;
        !queue.closed
    }
}

/// The thread's work. After an error events are still taken, and forgotten.
fn render(shared: &Shared, mut renderer: Box<dyn Renderer>) -> io::Result<()> {
    let clock = Clock::start();
    let mut written = None;
    let mut result = Ok(());
    let mut batch = Vec::new();
    loop {
        let open = shared.take(&mut batch, || {
            written.map_or(Duration::ZERO, |at: Moment| {
                (at + PACE).saturating_sub(clock.now())
            })
        });
        written = Some(clock.now());
        for event in batch.drain(..) {
            if result.is_ok() {
                renderer.event(&event);
            }
        }
        if result.is_ok() {
            result = renderer.flush();
        }
        if !open {
            return result.and_then(|()| renderer.finish());
        }
    }
}

/// Tells [`RenderThread::finish`] that the thread has ended, also when it panicked.
struct End<'a>(&'a Shared);

impl End<'_> {
    fn set(&self, result: io::Result<()>) {
        self.0.lock().ended.get_or_insert(result);
    }
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.set(Err(io::Error::other("the renderer panicked")));
        self.0.to_finish.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::sync::mpsc;

    use stt_core::report::Progress;

    use crate::render::script::test;

    /// Passes each event on, and waits for permission before each flush if it is told to.
    struct Recorder {
        seen: mpsc::Sender<Event>,
        flushed: mpsc::Sender<()>,
        gate: Option<mpsc::Receiver<()>>,
        error: Option<io::Error>,
    }

    impl Renderer for Recorder {
        fn event(&mut self, event: &Event) {
            self.seen.send(event.clone()).unwrap();
        }

        fn flush(&mut self) -> io::Result<()> {
            // A closed channel means that the test is over.
            let _ = self.flushed.send(());
            if let Some(gate) = &self.gate {
                let _ = gate.recv();
            }
            self.error.take().map_or(Ok(()), Err)
        }

        fn finish(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Rig {
        thread: RenderThread,
        seen: mpsc::Receiver<Event>,
        flushed: mpsc::Receiver<()>,
    }

    fn rig(gate: Option<mpsc::Receiver<()>>, error: Option<io::Error>) -> Rig {
        let (to_seen, seen) = mpsc::channel();
        let (to_flushed, flushed) = mpsc::channel();
        let recorder = Recorder {
            seen: to_seen,
            flushed: to_flushed,
            gate,
            error,
        };
        Rig {
            thread: RenderThread::start(Box::new(recorder)).unwrap(),
            seen,
            flushed,
        }
    }

    fn started(number: usize) -> Event {
        Event::TestStarted {
            test: test("app", &number.to_string()),
        }
    }

    fn names(seen: &mpsc::Receiver<Event>) -> Vec<String> {
        seen.try_iter()
            .map(|event| {
                if let Event::TestStarted { test } = &event {
                    test.name.to_string()
                } else if let Event::Progress(progress) = &event {
                    format!("progress {}", progress.total)
                } else {
                    panic!("unexpected {event:?}");
                }
            })
            .collect()
    }

    fn progress(total: usize) -> Event {
        Event::Progress(Box::new(Progress {
            total,
            ..Progress::default()
        }))
    }

    #[test]
    fn nothing_is_lost_the_order_is_kept_and_writes_are_few() {
        let rig = rig(None, None);
        let clock = Clock::start();
        for number in 0..5000 {
            rig.thread.send(started(number));
        }
        assert!(matches!(rig.thread.finish(None, || false), Drained::All));
        let most = clock.now().as_millis() / PACE.as_millis() + 3;
        let expected: Vec<_> = (0..5000).map(|number| number.to_string()).collect();
        assert_eq!(names(&rig.seen), expected);
        let flushes = rig.flushed.try_iter().count() as u128;
        assert!((1..=most).contains(&flushes), "{flushes} of at most {most}");
    }

    #[test]
    fn progress_is_dropped_while_an_older_one_waits_and_results_are_not() {
        let (permit, gate) = mpsc::channel();
        let rig = rig(Some(gate), None);
        rig.thread.send(started(0));
        rig.flushed.recv().unwrap();
        // The renderer is stuck in its first write: everything from here on waits.
        rig.thread.send(progress(1));
        rig.thread.send(started(1));
        rig.thread.send(progress(2));
        rig.thread.send(started(2));
        permit.send(()).unwrap();
        rig.flushed.recv().unwrap();
        // That batch is gone, so that progress may wait again.
        rig.thread.send(progress(3));
        drop(permit);
        assert!(matches!(rig.thread.finish(None, || false), Drained::All));
        assert_eq!(
            names(&rig.seen),
            ["0", "progress 1", "1", "2", "progress 3"]
        );
    }

    #[test]
    fn a_stuck_screen_holds_up_neither_the_sender_nor_the_end() {
        let (permit, gate) = mpsc::channel();
        let rig = rig(Some(gate), None);
        rig.thread.send(started(0));
        rig.flushed.recv().unwrap();
        for number in 1..1000 {
            rig.thread.send(started(number));
        }
        let drained = rig.thread.finish(Some(Duration::from_millis(50)), || false);
        assert!(matches!(drained, Drained::TimedOut), "{drained:?}");
        drop(permit);
    }

    #[test]
    fn a_stuck_screen_is_left_when_somebody_has_had_enough() {
        let (permit, gate) = mpsc::channel();
        let rig = rig(Some(gate), None);
        rig.thread.send(started(0));
        rig.flushed.recv().unwrap();
        let asked = std::cell::Cell::new(0);
        let drained = rig
            .thread
            .finish(None, || asked.replace(asked.get() + 1) == 3);
        assert!(matches!(drained, Drained::TimedOut), "{drained:?}");
        drop(permit);
    }

    #[test]
    fn after_an_error_events_are_taken_and_forgotten() {
        let rig = rig(None, Some(io::ErrorKind::BrokenPipe.into()));
        rig.thread.send(started(0));
        rig.flushed.recv().unwrap();
        rig.thread.send(started(1));
        let drained = rig.thread.finish(None, || false);
        let broken = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
        assert!(
            matches!(&drained, Drained::Failed(error) if broken(error)),
            "{drained:?}"
        );
        assert_eq!(names(&rig.seen), ["0"]);
    }

    #[test]
    fn a_panic_of_the_renderer_is_an_error_and_no_hang() {
        struct Panics;
        impl Renderer for Panics {
            fn event(&mut self, _: &Event) {
                panic!("on purpose");
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
            fn finish(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let thread = RenderThread::start(Box::new(Panics)).unwrap();
        thread.send(started(0));
        let drained = thread.finish(None, || false);
        assert!(matches!(drained, Drained::Failed(_)), "{drained:?}");
    }

    #[test]
    fn without_events_it_ends_at_once() {
        let rig = rig(None, None);
        assert!(matches!(rig.thread.finish(None, || false), Drained::All));
    }
}
