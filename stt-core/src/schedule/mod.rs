//! Which test runs next, and how many at once. All of it is pure.

mod admission;
mod order;
mod slots;

pub use admission::Admission;
pub use order::Next;
pub use order::Order;
pub use slots::Slots;
