//! The dead among the orphans, while no test ends.
//!
//! A slot reaps the orphans that are dead when its test ends. Until then they stay, and take numbers from the
//! machine (`pid_max`): a test whose processes fork and exit leaves some thousand a second. So the guard's thread
//! buries them where they are many, before it walks through families and after each sample.
//!
//! That gives their numbers away while tests run, and is safe for these reasons. Only the children of our main
//! thread are buried, and only under the lock under which all others look at orphans, signal and reap them: what
//! was listed under it is not another's number before it is let go. A leader is a child of its slot's thread, and
//! that of an open account is left alone wherever it was started, so that its slot gets its status and its
//! group's number stays its own. Whoever else is remembered is remembered with his start, and signalled through
//! a descriptor after that was compared.

use std::sync::MutexGuard;
use std::sync::TryLockError;

use super::Family;
use super::proc::Proc;
use crate::process::kernel;

/// Fewer orphans than this may wait for the end of a test.
const MANY: usize = 256;

/// How many are buried at a time, some 10 µs each: slots wait for that, and the guard does not look.
const AT_ONCE: usize = 2048;

impl Family {
    /// Buries the orphans that are dead, if there are many, and enters what they had used for their tests. Says
    /// whether it has left some of them. Costs one system call when there are none.
    ///
    /// Waits for nobody: who has the lock ends a test, and reaps the dead himself.
    pub fn bury(&self) -> bool {
        let Some(mut proc) = self.lock_now() else {
            return false;
        };
        let listed = self.listed();
        if listed.len() < MANY {
            return false;
        }
        let exclusive = self.ledger().exclusive();
        let alone = exclusive.and_then(|leader| Some((leader, proc.stat(leader)?.start)));
        let mut left = AT_ONCE;
        for orphan in listed {
            if !kernel::has_exited(orphan) || self.ledger().is_leader(orphan) {
                continue;
            }
            if left == 0 {
                return true;
            }
            left -= 1;
            let Some(stat) = proc.stat(orphan) else {
                continue;
            };
            let account = self.ledger().account_of(stat.identity(), stat.group, alone);
            self.reap_into(orphan, account);
        }
        false
    }

    /// The lock on orphans, if nobody has it.
    fn lock_now(&self) -> Option<MutexGuard<'_, Proc>> {
        match self.proc.try_lock() {
            Ok(proc) => Some(proc),
            // As in `lock`.
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}
