//! How much room tests need beside others: places, and a place in their group.

use std::collections::VecDeque;

use super::order::Next;

/// What a test needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// How many places it takes; at least one.
    pub places: usize,
    /// The number of its group.
    pub group: Option<usize>,
}

impl Need {
    /// One place, and no group.
    pub const ONE: Self = Self {
        places: 1,
        group: None,
    };
}

/// A place in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupPlace {
    /// The number of the group.
    pub group: usize,
    /// The lowest number that no other running test of the group has.
    pub slot: usize,
}

/// What the tests need, and who waits for it.
#[derive(Clone, Debug, Default)]
pub struct Room {
    /// By the numbers of the tests; empty when each needs one place.
    needs: Vec<Option<Need>>,
    groups: Vec<State>,
}

#[derive(Clone, Debug)]
struct State {
    /// How many places its tests may take together; at least one.
    most: usize,
    /// Which test has which slot of the group.
    slots: Vec<Option<usize>>,
    waiting: VecDeque<Next>,
}

impl Room {
    /// Nobody has a place yet. A test without a need takes one place. `groups` are how many places the tests of each may
    /// take together.
    pub fn new(needs: Vec<Option<Need>>, groups: &[usize]) -> Self {
        let state = |&most: &usize| State {
            most,
            slots: Vec::new(),
            waiting: VecDeque::new(),
        };
        Self {
            needs,
            groups: groups.iter().map(state).collect(),
        }
    }

    /// How many places a test takes, of so many that there are.
    pub fn places(&self, test: usize, of: usize) -> usize {
        self.need(test).places.clamp(1, of.max(1))
    }

    /// How many tests wait for their groups.
    pub fn len(&self) -> usize {
        self.groups.iter().map(|state| state.waiting.len()).sum()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes the next test whose group has room by now; it is in its group then.
    pub fn readmit(&mut self) -> Option<Next> {
        let at = self.groups.iter().position(|state| {
            let next = state.waiting.front();
            next.is_some_and(|next| self.fits(next.test))
        })?;
        let next = self.groups[at].waiting.pop_front()?;
        self.enter(next.test);
        Some(next)
    }

    /// Lets a test into its group. Where that is full it waits there, and `None` comes back.
    pub fn admit(&mut self, next: Next) -> Option<Next> {
        let Some(group) = self.need(next.test).group else {
            return Some(next);
        };
        let state = &mut self.groups[group];
        if state.waiting.is_empty() && self.fits(next.test) {
            self.enter(next.test);
            return Some(next);
        }
        self.groups[group].waiting.push_back(next);
        None
    }

    /// The place of a test in its group.
    pub fn place(&self, test: usize) -> Option<GroupPlace> {
        let group = self.need(test).group?;
        let mut slots = self.groups[group].slots.iter();
        let slot = slots.position(|taken| *taken == Some(test))?;
        Some(GroupPlace { group, slot })
    }

    /// A test has ended, or does not start after all.
    pub fn leave(&mut self, test: usize) {
        if let Some(group) = self.need(test).group {
            let slots = &mut self.groups[group].slots;
            for slot in slots.iter_mut().filter(|slot| **slot == Some(test)) {
                *slot = None;
            }
        }
    }

    fn need(&self, test: usize) -> Need {
        self.needs.get(test).copied().flatten().unwrap_or(Need::ONE)
    }

    /// Whether the group of a test has room for it. An empty one has room for every test.
    fn fits(&self, test: usize) -> bool {
        let need = self.need(test);
        let Some(group) = need.group else {
            return true;
        };
        let state = &self.groups[group];
        let inside = state.slots.iter().flatten();
        let taken: usize = inside.map(|&test| self.need(test).places).sum();
        taken == 0 || taken.saturating_add(need.places) <= state.most
    }

    fn enter(&mut self, test: usize) {
        if let Some(group) = self.need(test).group {
            let slots = &mut self.groups[group].slots;
            match slots.iter_mut().find(|slot| slot.is_none()) {
                Some(slot) => *slot = Some(test),
                None => slots.push(Some(test)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(test: usize) -> Next {
        Next {
            test,
            breaches: None,
        }
    }

    fn in_group(places: usize) -> Need {
        let group = Some(0);
        Need { places, group }
    }

    fn room(needs: &[Need], most: usize) -> Room {
        Room::new(needs.iter().copied().map(Some).collect(), &[most])
    }

    #[test]
    fn a_full_group_has_its_tests_wait_in_their_order_and_holds_up_nobody_else() {
        let one = in_group(1);
        let mut room = room(&[one, one, Need::ONE, one], 1);
        assert_eq!(room.admit(next(0)), Some(next(0)));
        assert_eq!(room.admit(next(1)), None);
        assert_eq!(room.admit(next(2)), Some(next(2)));
        assert_eq!(room.admit(next(3)), None);
        assert_eq!((room.len(), room.readmit()), (2, None));
        room.leave(2);
        assert_eq!(room.readmit(), None);
        room.leave(0);
        assert_eq!(room.readmit(), Some(next(1)));
        assert_eq!(room.readmit(), None);
        room.leave(1);
        assert_eq!(room.readmit(), Some(next(3)));
        assert!(room.is_empty());
    }

    #[test]
    fn each_test_of_a_group_has_a_slot_of_its_own_in_it() {
        let mut room = room(&[in_group(1); 3], 2);
        let slot = |room: &Room, test| room.place(test).map(|place| place.slot);
        assert!(room.admit(next(0)).is_some() && room.admit(next(1)).is_some());
        assert_eq!((slot(&room, 0), slot(&room, 1)), (Some(0), Some(1)));
        room.leave(0);
        assert!(room.admit(next(2)).is_some());
        assert_eq!((slot(&room, 2), slot(&room, 0)), (Some(0), None));
    }

    #[test]
    fn places_count_in_a_group_and_who_is_too_large_for_it_has_it_alone() {
        let mut room = room(&[in_group(2), in_group(2), in_group(9)], 3);
        assert_eq!(room.admit(next(0)), Some(next(0)));
        assert_eq!(room.admit(next(1)), None);
        room.leave(0);
        assert_eq!(room.readmit(), Some(next(1)));
        assert_eq!(room.admit(next(2)), None);
        room.leave(1);
        assert_eq!(room.readmit(), Some(next(2)));
        assert_eq!(room.places(2, 4), 4);
        assert_eq!(room.places(0, 4), 2);
        assert_eq!(room.places(7, 4), 1);
    }
}
