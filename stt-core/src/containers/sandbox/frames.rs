//! Takes apart the stream in which an engine sends both streams of a program: each piece has a header of eight bytes, its
//! stream first and its length last (Docker's API, `ContainerAttach`). Pure.

/// One of the two streams of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Stdout,
    Stderr,
}

/// Where in the stream we are.
#[derive(Debug, Default)]
pub(super) struct Frames {
    header: [u8; 8],
    /// How much of the header is there.
    have: usize,
    /// How much of the piece is to come.
    left: usize,
}

impl Frames {
    /// Takes the next piece off what has come; `None` when all of that is taken.
    pub(super) fn next<'a>(&mut self, come: &mut &'a [u8]) -> Option<(Which, &'a [u8])> {
        while self.left == 0 {
            let (&byte, rest) = come.split_first()?;
            *come = rest;
            self.header[self.have] = byte;
            self.have += 1;
            if self.have == self.header.len() {
                let [_, _, _, _, length @ ..] = self.header;
                self.left = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
                self.have = 0;
            }
        }
        if come.is_empty() {
            return None;
        }
        let (piece, rest) = come.split_at(self.left.min(come.len()));
        *come = rest;
        self.left -= piece.len();
        let which = if self.header[0] == 2 {
            Which::Stderr
        } else {
            Which::Stdout
        };
        Some((which, piece))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn both_streams_come_out_however_the_bytes_come(
            pieces in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..20)), 0..9),
            cut in 1_usize..40,
        ) {
            let (mut sent, mut expected) = (Vec::new(), [Vec::<u8>::new(), Vec::new()]);
            for (err, piece) in &pieces {
                let length = u32::try_from(piece.len()).unwrap();
                sent.extend([1 + u8::from(*err), 0, 0, 0]);
                sent.extend(length.to_be_bytes());
                sent.extend(piece);
                expected[usize::from(*err)].extend(piece);
            }
            let (mut frames, mut got) = (Frames::default(), [Vec::<u8>::new(), Vec::new()]);
            for mut come in sent.chunks(cut) {
                while let Some((which, piece)) = frames.next(&mut come) {
                    prop_assert!(!piece.is_empty());
                    got[usize::from(which == Which::Stderr)].extend(piece);
                }
                prop_assert!(come.is_empty());
            }
            prop_assert_eq!(got, expected);
        }
    }
}
