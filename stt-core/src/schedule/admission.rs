//! How many tests may run at once now.

/// What the guard allows, and what the user asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// How many tests were asked to run at once.
    pub threads: usize,
    /// How many of these the guard allows.
    pub allowed: usize,
    /// Whether the guard holds: nothing starts beside a running test.
    pub held: bool,
    /// Whether nothing starts at all, because memory has to be freed first.
    pub blocked: bool,
}

impl Admission {
    /// Everything that was asked for.
    pub fn open(threads: usize) -> Self {
        Self {
            threads,
            allowed: threads,
            held: false,
            blocked: false,
        }
    }

    /// Whether one more test may start beside `running` others. Unless all is blocked for now, one may:
    /// a run that never goes on is worth less than a slow one.
    pub fn admits(&self, running: usize) -> bool {
        let beside = !self.held && running < self.threads.min(self.allowed);
        !self.blocked && (running == 0 || beside)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_test_may_always_run_and_more_only_while_nothing_holds() {
        let open = Admission::open(2);
        let table = [
            (open, 0, true),
            (open, 1, true),
            (open, 2, false),
            (Admission { held: true, ..open }, 0, true),
            (Admission { held: true, ..open }, 1, false),
            (Admission { allowed: 1, ..open }, 1, false),
            (Admission { allowed: 9, ..open }, 2, false),
            (
                Admission {
                    blocked: true,
                    ..open
                },
                0,
                false,
            ),
        ];
        for (admission, running, admitted) in table {
            assert_eq!(
                admission.admits(running),
                admitted,
                "{admission:?}, {running} running"
            );
        }
    }
}
