//! The jobserver of a `make` that has started us: for each test beside the first one of its tokens is held (GNU make
//! manual, "POSIX Jobserver Interaction").

use std::sync::OnceLock;

use jobserver::Acquired;
use jobserver::Client;

/// What we have inherited.
static CLIENT: OnceLock<Option<Client>> = OnceLock::new();

/// Takes part in the jobserver that the environment names, if there is one. To be called before the program opens
/// anything: a number in `MAKEFLAGS` that `make` has not passed on would be that of a file of ours.
pub fn inherit_jobserver() {
    CLIENT.get_or_init(|| {
        #[expect(
            unsafe_code,
            reason = "file descriptors are inherited by their numbers"
        )]
        // SAFETY: nothing has been opened by us, so that an open descriptor of this number, which is looked at
        // whether it is a pipe, was passed on to us.
        let inherited = unsafe { Client::from_env_ext(true) };
        inherited.client.ok()
    });
}

/// The tokens that are held.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    held: Vec<Acquired>,
}

impl Tokens {
    /// Comes to hold what so many tests at once need. Says whether that was possible.
    pub(super) fn suffice_for(&mut self, tests: u64) -> bool {
        let Some(client) = CLIENT.get().and_then(Option::as_ref) else {
            return true;
        };
        // The first needs none: it has the one with which we were started.
        while (self.held.len() as u64).saturating_add(1) < tests {
            match client.try_acquire() {
                Ok(Some(token)) => self.held.push(token),
                // A jobserver that can't be asked has gone with its `make`, and nobody waits for it.
                Err(error) if error.kind() != std::io::ErrorKind::Unsupported => return false,
                Ok(None) => return false,
                Err(_) => return true,
            }
        }
        true
    }

    /// Gives back what so many tests at once don't need.
    pub(super) fn keep_for(&mut self, tests: u64) {
        let needed = usize::try_from(tests.saturating_sub(1)).unwrap_or(usize::MAX);
        self.held.truncate(needed);
    }
}
