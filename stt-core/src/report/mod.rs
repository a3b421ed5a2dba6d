//! What a run tells whoever shows it.

mod event;

pub use event::Captured;
pub use event::Counts;
pub use event::Event;
pub use event::FamilyUse;
pub use event::GuardNotice;
pub use event::Leak;
pub use event::LeakedProcess;
pub use event::Progress;
pub use event::Running;
pub use event::StopReport;
pub use event::Stream;
pub use event::Summary;
pub use event::TestFinished;
pub use event::Warning;
