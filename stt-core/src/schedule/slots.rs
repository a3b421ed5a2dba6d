//! The places in which tests run, numbered from zero.

/// A fixed number of places. The lowest free one is taken first, so that the numbers that tests see
/// stay compact. One can be kept for somebody who comes back.
#[derive(Clone, Debug)]
pub struct Slots<T> {
    places: Vec<Place<T>>,
    taken: usize,
}

#[derive(Clone, Debug)]
enum Place<T> {
    Free,
    Kept,
    Taken(T),
}

impl<T> Place<T> {
    fn guest(&self) -> Option<&T> {
        match self {
            Self::Taken(guest) => Some(guest),
            Self::Free | Self::Kept => None,
        }
    }

    fn guest_mut(&mut self) -> Option<&mut T> {
        match self {
            Self::Taken(guest) => Some(guest),
            Self::Free | Self::Kept => None,
        }
    }
}

impl<T> Slots<T> {
    /// So many free places.
    pub fn new(count: usize) -> Self {
        Self {
            places: (0..count).map(|_| Place::Free).collect(),
            taken: 0,
        }
    }

    /// How many places are taken.
    pub fn taken(&self) -> usize {
        self.taken
    }

    /// Takes the place that was kept, else the lowest free one, and returns its number; `None` when it is not to be had.
    pub fn take(&mut self, kept: Option<usize>, guest: T) -> Option<usize> {
        let slot = if let Some(slot) = kept {
            matches!(self.places.get(slot)?, Place::Kept).then_some(slot)?
        } else {
            let mut places = self.places.iter();
            places.position(|place| matches!(place, Place::Free))?
        };
        self.places[slot] = Place::Taken(guest);
        self.taken += 1;
        Some(slot)
    }

    /// Frees a place; `None` when nobody was there.
    pub fn free(&mut self, slot: usize) -> Option<T> {
        let place = self.places.get_mut(slot)?;
        place.guest()?;
        self.taken -= 1;
        match std::mem::replace(place, Place::Free) {
            Place::Taken(guest) => Some(guest),
            Place::Free | Place::Kept => None,
        }
    }

    /// Keeps a free place for who comes back to it.
    pub fn keep(&mut self, slot: usize) {
        if let Some(place @ Place::Free) = self.places.get_mut(slot) {
            *place = Place::Kept;
        }
    }

    /// Who is in a place.
    pub fn get_mut(&mut self, slot: usize) -> Option<&mut T> {
        self.places.get_mut(slot)?.guest_mut()
    }

    /// The taken places with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.places
            .iter()
            .enumerate()
            .filter_map(|(slot, place)| Some((slot, place.guest()?)))
    }

    /// The taken places with their numbers.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut T)> {
        self.places
            .iter_mut()
            .enumerate()
            .filter_map(|(slot, place)| Some((slot, place.guest_mut()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_place_is_taken() {
        let mut slots = Slots::new(2);
        assert_eq!(slots.take(None, 'a'), Some(0));
        assert_eq!(slots.take(None, 'b'), Some(1));
        assert_eq!(slots.take(None, 'c'), None);
        assert_eq!(slots.free(0), Some('a'));
        assert_eq!(slots.free(0), None);
        assert_eq!(slots.free(7), None);
        assert_eq!(slots.taken(), 1);
        assert_eq!(slots.take(None, 'd'), Some(0));
        assert_eq!(slots.iter().collect::<Vec<_>>(), [(0, &'d'), (1, &'b')]);
    }

    #[test]
    fn a_place_is_kept_for_who_comes_back() {
        let mut slots = Slots::new(2);
        assert_eq!(slots.take(None, 'a'), Some(0));
        slots.keep(0);
        assert_eq!(
            slots.free(0),
            Some('a'),
            "a place that is taken is nobody else's"
        );
        slots.keep(0);
        slots.keep(7);
        assert_eq!(slots.free(0), None);
        assert_eq!((slots.taken(), slots.iter().count()), (0, 0));
        assert_eq!(slots.take(None, 'b'), Some(1));
        assert_eq!(slots.take(None, 'c'), None);
        assert_eq!(slots.take(Some(1), 'c'), None);
        assert_eq!(slots.take(Some(0), 'a'), Some(0));
        assert_eq!(slots.take(Some(0), 'c'), None);
        assert_eq!(slots.free(0), Some('a'));
        assert_eq!(slots.take(None, 'c'), Some(0));
    }
}
