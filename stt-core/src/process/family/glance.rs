//! A glance at processes that a walk has found: their resident sets alone, through files that stay open.
//!
//! A walk opens four files for each process; this reads one, which costs a microsecond. It sees no process
//! that was started since.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use nix::unistd::SysconfVar;

use super::member::Usage;
use super::proc::parse_resident;
use super::usage::constant;
use crate::units::Bytes;

/// More processes than this are not glanced at: their files would all be open.
const MOST: usize = 16;

/// Longer than any `/proc/<pid>/statm`: seven numbers.
const LINE: usize = 160;

/// The files of the processes of a walk.
#[derive(Debug)]
pub struct Glance {
    members: Vec<(Option<usize>, File)>,
    /// What nobody had mapped at the walk, in all and by slot: whoever adds to it takes it from the machine, and
    /// a glance does not explain that.
    unmapped: (Bytes, Vec<(usize, Bytes)>),
    page: u64,
}

impl Glance {
    /// Opens the files of the processes that were found; `None` when they are too many, or one has gone.
    pub fn at(usage: &Usage) -> Option<Self> {
        if usage.members.len() > MOST {
            return None;
        }
        let members = usage.members.iter().map(|member| {
            let file = File::open(format!("/proc/{}/statm", member.pid)).ok()?;
            Some((member.slot, file))
        });
        Some(Self {
            members: members.collect::<Option<_>>()?,
            unmapped: (
                usage.unmapped,
                usage
                    .slots
                    .iter()
                    .map(|used| (used.slot, used.unmapped))
                    .collect(),
            ),
            page: constant(SysconfVar::PAGE_SIZE)?,
        })
    }

    /// What these processes take now, together and by slot. `None` when one can't be read any more: it has
    /// gone, and the number of its process may be another's by now, but its file is not.
    pub fn read(&self) -> Option<(Bytes, Vec<(usize, Bytes)>)> {
        let (mut sum, mut slots) = self.unmapped.clone();
        let mut line = [0; LINE];
        for (slot, file) in &self.members {
            let length = file.read_at(&mut line, 0).ok()?;
            let pages = parse_resident(&line[..length])?;
            let memory = Bytes(pages.saturating_mul(self.page));
            sum.0 = sum.0.saturating_add(memory.0);
            let Some(slot) = *slot else { continue };
            match slots.iter_mut().find(|(known, _)| *known == slot) {
                Some((_, used)) => used.0 = used.0.saturating_add(memory.0),
                None => slots.push((slot, memory)),
            }
        }
        Some((sum, slots))
    }
}
