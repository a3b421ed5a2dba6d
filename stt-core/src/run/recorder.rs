//! The thread that writes what need not be written at once: which tests are long, which were ended
//! without a result, and once a second the command to the disk to keep it all.
//!
//! Results don't come this way. The slot's thread writes them itself before it reports, so that a
//! result is in the checkpoint before anybody can see it and the dispatcher never waits for a disk.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::checkpoint::CheckpointError;
use crate::checkpoint::Record;
use crate::checkpoint::Writer;
use crate::report::Warning;
use crate::run::error::chain;
use crate::run::event::Event;
use crate::run::queue::Queue;

/// The longest time that a result may exist only in the page cache.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// The thread, as its users see it.
#[derive(Debug)]
pub(crate) struct Recorder {
    records: mpsc::Sender<Record>,
    thread: thread::JoinHandle<()>,
}

impl Recorder {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub(crate) fn start(writer: Arc<Writer>, queue: Arc<Queue>) -> std::io::Result<Self> {
        let (records, received) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("stt-recorder".to_owned())
            .spawn(move || write_all(&received, &writer, &queue))?;
        Ok(Self { records, thread })
    }

    /// Has a record written soon.
    pub(crate) fn record(&self, record: Record) {
        // The receiver lives as long as this does, unless its thread has panicked, which was reported.
        drop(self.records.send(record));
    }

    /// Writes what is left, and waits for the disk.
    pub(crate) fn finish(self) {
        drop(self.records);
        drop(self.thread.join());
    }
}

fn write_all(records: &mpsc::Receiver<Record>, writer: &Writer, queue: &Queue) {
    loop {
        match records.recv_timeout(SYNC_EVERY) {
            Ok(record) => warn(queue, writer.append(&record).err()),
            Err(mpsc::RecvTimeoutError::Timeout) => warn(queue, writer.sync().err()),
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                return warn(queue, writer.sync().err());
            }
        }
    }
}

/// Reports a checkpoint that can't be written: the tests go on without it.
pub(crate) fn warn(queue: &Queue, error: Option<CheckpointError>) {
    if let Some(error) = error {
        queue.push(Event::Warning(Warning {
            message: format!("the checkpoint is incomplete: {}", chain(&error)),
            hint: Some(hint(&error).to_owned()),
        }));
    }
}

/// What a person can do about it.
fn hint(error: &CheckpointError) -> &'static str {
    match error {
        CheckpointError::Replaced { .. } => {
            "of two runs at once in one workspace, give one its own place with --checkpoint"
        }
        CheckpointError::TooLong { .. } => "that test is run again after a --resume",
        CheckpointError::Header { .. } | CheckpointError::NotAFile { .. } => {
            "choose another place with --checkpoint"
        }
        CheckpointError::Create { .. }
        | CheckpointError::Write { .. }
        | CheckpointError::Lost { .. }
        | CheckpointError::Sync { .. } => {
            "free the disk, or choose another place with --checkpoint"
        }
    }
}
