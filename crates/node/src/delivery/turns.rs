//! The order of the parcels of one channel. They are opened side by side, and taken in one after the other.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use mufakat_record::AgencyId;
use tokio::sync::Notify;

/// Sender, epoch, first position, and a number that no two have.
type Place = (AgencyId, u64, u64, u64);

/// The parcels that are being opened and taken in.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    places: Mutex<BTreeSet<Place>>,
    entered: AtomicU64,
    left: Notify,
}

/// A parcel's place among them, until this is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    turns: &'a Turns,
    place: Place,
}

impl Turns {
    /// A parcel has arrived whole.
    pub(crate) fn enter(&self, sender: &AgencyId, epoch: u64, first: u64) -> Turn<'_> {
        let place = (sender.clone(), epoch, first, self.entered.fetch_add(1, Ordering::Relaxed));
        self.places().insert(place.clone());
        Turn { turns: self, place }
    }

    fn places(&self) -> MutexGuard<'_, BTreeSet<Place>> {
        // A set of places is sound whoever panicked while holding it.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// Resolves when every parcel at hand that comes before this one on the channel has been taken in or refused.
    pub(crate) async fn come(&self) {
        let (sender, epoch, ..) = &self.place;
        let beginning = (sender.clone(), *epoch, 0, 0);
        loop {
            let mut left = pin!(self.turns.left.notified());
            // From here on no notice is missed.
            left.as_mut().enable();
            if self.turns.places().range(&beginning..&self.place).next().is_none() {
                return;
            }
            left.await;
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.places().remove(&self.place);
        self.turns.left.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn each_waits_for_those_before_it_on_its_channel() {
        let turns = Turns::default();
        let (aa, bb): (AgencyId, AgencyId) = ("aa".parse().unwrap(), "bb".parse().unwrap());
        let third = turns.enter(&aa, 1, 513);
        let first = turns.enter(&aa, 1, 1);
        let second = turns.enter(&aa, 1, 257);
        let again = turns.enter(&aa, 1, 257);
        let others = [turns.enter(&bb, 1, 900), turns.enter(&aa, 2, 900)];
        let come = |turn: &Turn<'_>| turn.come().now_or_never().is_some();
        assert!(others.iter().all(come), "channels and epochs do not wait for each other");
        assert!(come(&first) && !come(&second) && !come(&third));
        let mut waiting = Box::pin(second.come());
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(first);
        assert!(waiting.now_or_never().is_some(), "a waiting one is told");
        assert!(!come(&again) && !come(&third));
        drop((second, again));
        assert!(come(&third));
        drop((third, others));
        assert!(turns.places().is_empty());
    }
}
