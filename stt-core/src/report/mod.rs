//! What a run tells whoever shows it.

mod event;
mod junit;
mod scripts;
mod shown;

pub use event::Awaited;
pub use event::Captured;
pub use event::Counts;
pub use event::Event;
pub use event::FamilyUse;
pub use event::GuardNotice;
pub use event::Leak;
pub use event::LeakedProcess;
pub use event::Progress;
pub use event::Reaped;
pub use event::Running;
pub use event::StopReport;
pub use event::Stream;
pub use event::Summary;
pub use event::TestFinished;
pub use event::Waiting;
pub use event::WaitingNext;
pub use event::Warning;
pub use junit::Done;
pub use junit::Junit;
pub use junit::excerpt;
pub use scripts::ScriptFinished;
pub use scripts::ScriptPlace;
