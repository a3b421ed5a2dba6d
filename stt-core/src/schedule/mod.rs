//! Which test runs next, and where. All of it is pure.

mod descriptors;
mod order;
mod rights;
mod slots;

pub use descriptors::FEWEST_DESCRIPTORS;
pub use descriptors::affordable;
pub use descriptors::affordable_clients;
pub use order::Next;
pub use order::Order;
pub use rights::Rights;
pub use slots::Slots;
