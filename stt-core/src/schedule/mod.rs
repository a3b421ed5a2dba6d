//! Which test runs next, and where. All of it is pure.

mod descriptors;
mod order;
mod rights;
mod room;
mod slots;

pub use descriptors::FEWEST_DESCRIPTORS;
pub use descriptors::affordable;
pub use descriptors::affordable_clients;
pub use order::Next;
pub use order::Order;
pub use rights::Rights;
pub use room::GroupPlace;
pub use room::Need;
pub use room::Room;
pub use slots::Slots;
