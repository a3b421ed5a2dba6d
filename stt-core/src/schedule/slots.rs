//! The places in which tests run, numbered from zero.

/// A fixed number of places. The lowest free one is taken first, so that the numbers that tests see
/// stay compact.
#[derive(Clone, Debug)]
pub struct Slots<T> {
    places: Vec<Option<T>>,
    taken: usize,
}

impl<T> Slots<T> {
    /// So many free places.
    pub fn new(count: usize) -> Self {
        Self {
            places: (0..count).map(|_| None).collect(),
            taken: 0,
        }
    }

    /// How many places are taken.
    pub fn taken(&self) -> usize {
        self.taken
    }

    /// Takes the lowest free place and returns its number; `None` when all are taken.
    pub fn take(&mut self, guest: T) -> Option<usize> {
        let slot = self.places.iter().position(Option::is_none)?;
        self.places[slot] = Some(guest);
        self.taken += 1;
        Some(slot)
    }

    /// Frees a place; `None` when nobody was there.
    pub fn free(&mut self, slot: usize) -> Option<T> {
        let guest = self.places.get_mut(slot)?.take()?;
        self.taken -= 1;
        Some(guest)
    }

    /// Who is in a place.
    pub fn get_mut(&mut self, slot: usize) -> Option<&mut T> {
        self.places.get_mut(slot)?.as_mut()
    }

    /// The taken places with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.places
            .iter()
            .enumerate()
            .filter_map(|(slot, guest)| Some((slot, guest.as_ref()?)))
    }

    /// The taken places with their numbers.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut T)> {
        self.places
            .iter_mut()
            .enumerate()
            .filter_map(|(slot, guest)| Some((slot, guest.as_mut()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_place_is_taken() {
        let mut slots = Slots::new(2);
        assert_eq!(slots.take('a'), Some(0));
        assert_eq!(slots.take('b'), Some(1));
        assert_eq!(slots.take('c'), None);
        assert_eq!(slots.free(0), Some('a'));
        assert_eq!(slots.free(0), None);
        assert_eq!(slots.free(7), None);
        assert_eq!(slots.taken(), 1);
        assert_eq!(slots.take('d'), Some(0));
        assert_eq!(slots.iter().collect::<Vec<_>>(), [(0, &'d'), (1, &'b')]);
    }
}
