//! A slot's control group, for one test after the other.
//!
//! Where there are controllers, each test gets a group of its own: what they count begins at zero in
//! a new one. Elsewhere one group serves all tests of the slot, as long as they leave it empty.

use std::sync::Arc;

use super::parse;
use super::pen;
use super::pen::Pen;
use super::place::RunGroup;
use super::place::write;
use crate::limits::Limits;
use crate::process::family::member::GroupError;
use crate::process::family::member::Held;

/// Where the tests of one slot run.
#[derive(Debug)]
pub struct SlotGroup {
    run: Arc<RunGroup>,
    number: usize,
    /// How many directories it has made.
    made: u32,
    /// The group of the last test, and how often the run's was killed before.
    pen: Option<(Arc<Pen>, u32)>,
}

impl SlotGroup {
    /// A slot's group below the run's, made when the first test begins.
    pub(in crate::process) fn new(run: Arc<RunGroup>, number: usize) -> Self {
        Self {
            run,
            number,
            made: 0,
            pen: None,
        }
    }

    /// Makes the group ready for the next test, and has the kernel hold what of the limits it can.
    ///
    /// # Errors
    /// There is no group for this test: it runs without.
    pub(in crate::process) fn begin(
        &mut self,
        limits: Option<&Limits>,
    ) -> Result<(Arc<Pen>, Held), GroupError> {
        let (fresh, kills) = (self.run.controllers.any(), self.run.pen.kills());
        let pen = match self.pen.take() {
            Some((pen, before))
                if !fresh && before == kills && pen.kills() == 0 && !pen.is_populated() =>
            {
                pen
            }
            last => {
                if let Some((last, _)) = last {
                    // Whoever can't be killed keeps it, and the sweep finds him.
                    drop(pen::remove(last.path()));
                }
                Arc::new(self.make()?)
            }
        };
        let held = limits.map_or(Held::default(), |limits| self.hold(&pen, limits));
        if !self.run.births {
            pen.allow_no_births();
        }
        pen.start_counting();
        self.pen = Some((Arc::clone(&pen), kills));
        Ok((pen, held))
    }

    fn make(&mut self) -> Result<Pen, GroupError> {
        let name = if self.made == 0 {
            format!("slot-{}", self.number)
        } else {
            format!("slot-{}.{}", self.number, self.made)
        };
        self.made = self.made.wrapping_add(1);
        let path = self.run.path().join(&name);
        std::fs::create_dir(&path).map_err(|source| GroupError::Make {
            path: path.clone(),
            source,
        })?;
        let full = [&self.run.name, b"/".as_slice(), name.as_bytes()].concat();
        Pen::open(path.clone(), full, self.run.controllers)
            .map_err(|source| GroupError::Unusable { path, source })
    }

    /// Writes the limits down. What can't be written is not held.
    fn hold(&self, pen: &Pen, limits: &Limits) -> Held {
        let can = self.run.controllers;
        let set = |there: bool, file: &str, value: Option<String>| {
            there && value.is_some_and(|value| write(pen.path(), file, &value).is_ok())
        };
        let memory = limits.memory.map(|limit| limit.0.to_string());
        let held = Held {
            memory: set(can.memory, "memory.max", memory),
            processes: set(can.pids, "pids.max", limits.processes.map(parse::pids_max)),
            cpu: set(can.cpu, "cpu.max", limits.cpu.map(parse::cpu_max)),
        };
        if held.memory {
            // Where there is no swap these files may be missing, which is as good.
            set(true, "memory.swap.max", Some("0".to_owned()));
            set(true, "memory.oom.group", Some("1".to_owned()));
        }
        held
    }
}

impl Drop for SlotGroup {
    fn drop(&mut self) {
        if let Some((pen, _)) = self.pen.take() {
            // Whoever lives in it keeps it, and the sweep finds him.
            drop(pen::remove(pen.path()));
        }
    }
}
