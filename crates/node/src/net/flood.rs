//! Protection against a caller that asks too much: each agency has its own measure, so that others are unharmed.
//!
//! A caller may make so many requests a second (a token bucket, with a burst), and have so many unfinished. Beyond either
//! it is told to come back: 503 with Retry-After. All strangers share one measure, for their names cost them nothing.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use http::{HeaderValue, Response, StatusCode, header};

use super::held::hold;
use super::tls::Caller;

/// What one caller may ask.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Requests a second, sustained. Above zero.
    pub per_second: f64,
    /// Requests at once after a rest. At least one.
    pub burst: f64,
    /// Requests that are unfinished at the same time; one counts until its answer has been sent.
    pub in_flight_max: usize,
}

impl Default for Limits {
    /// A parcel holds many records, so that 500 parcels a second are more than two cores can verify.
    fn default() -> Self {
        Self { per_second: 500.0, burst: 1_000.0, in_flight_max: 128 }
    }
}

/// How many callers' measures are kept before those that are at rest are forgotten.
const CALLERS_KEPT: usize = 1_024;
/// The share of all strangers together.
const STRANGERS: &str = "";

struct Measure {
    tokens: f64,
    counted: Instant,
    in_flight: usize,
}

impl Measure {
    fn refill(&mut self, limits: &Limits, now: Instant) {
        let elapsed_s = now.saturating_duration_since(self.counted).as_secs_f64();
        self.tokens = (self.tokens + elapsed_s * limits.per_second).min(limits.burst);
        self.counted = self.counted.max(now);
    }
}

struct Shared {
    limits: Limits,
    measures: Mutex<HashMap<String, Measure>>,
    refused: AtomicU64,
    tell: Box<dyn Fn(&Caller) + Send + Sync>,
}

impl Shared {
    fn measures(&self) -> MutexGuard<'_, HashMap<String, Measure>> {
        // Each change is a few plain assignments, so that a panic elsewhere cannot leave the map half changed.
        self.measures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The measures of all callers. Clones share them.
#[derive(Clone)]
pub struct Flood(Arc<Shared>);

/// A place among the requests in flight; given back when dropped.
pub struct Place {
    shared: Arc<Shared>,
    caller: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(measure) = self.shared.measures().get_mut(&self.caller) {
            measure.in_flight -= 1;
        }
    }
}

/// The caller is over its measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("overloaded, come back in {retry_after_s} s")]
pub struct Overloaded {
    /// When to come back, in whole seconds, at least one.
    pub retry_after_s: u64,
}

impl Flood {
    /// Measures with these limits.
    pub fn new(limits: Limits) -> Self {
        Self::telling(limits, |_| {})
    }

    /// The same, with somebody who is told of each caller that is refused.
    pub fn telling(limits: Limits, tell: impl Fn(&Caller) + Send + Sync + 'static) -> Self {
        let (measures, refused) = (Mutex::default(), AtomicU64::new(0));
        Self(Arc::new(Shared { limits, measures, refused, tell: Box::new(tell) }))
    }

    /// How many requests have been refused since the start.
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }

    /// Counts one request of this caller, or refuses it.
    pub fn admit(&self, caller: &Caller, now: Instant) -> Result<Place, Overloaded> {
        let name = match caller {
            Caller::Agency(agency) => agency.as_str(),
            Caller::Stranger { .. } => STRANGERS,
        };
        let admitted = self.count(name, now);
        if admitted.is_err() {
            self.0.refused.fetch_add(1, Ordering::Relaxed);
            (self.0.tell)(caller);
        }
        admitted.map(|_| Place { shared: self.0.clone(), caller: name.to_owned() })
    }

    /// Counts one request of an officer of our own, or refuses it. Gives how many may follow at once.
    pub(crate) fn admit_officer(&self, officer: &str, now: Instant) -> Result<(Place, u64), Overloaded> {
        let admitted = self.count(officer, now);
        if admitted.is_err() {
            self.0.refused.fetch_add(1, Ordering::Relaxed);
        }
        let left = admitted?;
        Ok((Place { shared: self.0.clone(), caller: officer.to_owned() }, left))
    }

    /// What one caller may ask.
    pub(crate) fn limits(&self) -> Limits {
        self.0.limits
    }

    /// Gives how many requests may follow at once.
    fn count(&self, name: &str, now: Instant) -> Result<u64, Overloaded> {
        let limits = &self.0.limits;
        let mut measures = self.0.measures();
        if !measures.contains_key(name) {
            if measures.len() >= CALLERS_KEPT {
                measures.retain(|_, measure| {
                    measure.refill(limits, now);
                    measure.in_flight > 0 || measure.tokens < limits.burst
                });
            }
            measures.insert(name.to_owned(), Measure { tokens: limits.burst, counted: now, in_flight: 0 });
        }
        let Some(measure) = measures.get_mut(name) else { return Err(Overloaded { retry_after_s: 1 }) };
        measure.refill(limits, now);
        if measure.in_flight >= limits.in_flight_max {
            return Err(Overloaded { retry_after_s: 1 });
        }
        if measure.tokens < 1.0 {
            let wait_s = ((1.0 - measure.tokens) / limits.per_second).ceil();
            return Err(Overloaded { retry_after_s: (wait_s as u64).max(1) });
        }
        measure.tokens -= 1.0;
        measure.in_flight += 1;
        // A number of tokens is small and not negative.
        Ok(measure.tokens as u64)
    }

    /// The router behind these measures.
    pub fn guard(&self, router: Router) -> Router {
        router.layer(from_fn_with_state(self.clone(), measured))
    }
}

/// Requests without a [`Caller`] come from the agency's own listeners, which are not measured.
async fn measured(State(flood): State<Flood>, request: Request, next: Next) -> Response<Body> {
    let Some(caller) = request.extensions().get::<Caller>() else { return next.run(request).await };
    match flood.admit(caller, Instant::now()) {
        Ok(place) => hold(next.run(request).await, place),
        Err(overloaded) => refusal(overloaded),
    }
}

fn refusal(overloaded: Overloaded) -> Response<Body> {
    let mut response = Response::new(Body::from("overloaded"));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let headers = response.headers_mut();
    headers.insert(header::RETRY_AFTER, HeaderValue::from(overloaded.retry_after_s));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn agency(name: &str) -> Caller {
        Caller::Agency(name.to_owned())
    }

    fn flood(per_second: f64, burst: f64, in_flight_max: usize) -> Flood {
        Flood::new(Limits { per_second, burst, in_flight_max })
    }

    #[test]
    fn a_burst_then_the_rate_and_others_unharmed() {
        let (flood, start) = (flood(0.5, 3.0, 100), Instant::now());
        for _ in 0..3 {
            assert!(flood.admit(&agency("alpha"), start).is_ok());
        }
        assert_eq!(flood.admit(&agency("alpha"), start).err(), Some(Overloaded { retry_after_s: 2 }));
        assert!(flood.admit(&agency("beta"), start).is_ok());
        let later = start + Duration::from_secs(2);
        assert!(flood.admit(&agency("alpha"), later).is_ok());
        assert!(flood.admit(&agency("alpha"), later).is_err());
        assert_eq!(flood.refused(), 2);
        // A rest gives back the burst and no more than that.
        let rested = start + Duration::from_secs(1_000);
        let admitted = (0..10).filter(|_| flood.admit(&agency("alpha"), rested).is_ok()).count();
        assert_eq!(admitted, 3);
    }

    #[test]
    fn a_place_is_given_back_when_the_answer_is_gone() {
        let (flood, now) = (flood(1e6, 1e6, 2), Instant::now());
        let (first, second) =
            (flood.admit(&agency("alpha"), now).unwrap(), flood.admit(&agency("alpha"), now).unwrap());
        assert_eq!(flood.admit(&agency("alpha"), now).err(), Some(Overloaded { retry_after_s: 1 }));
        drop(first);
        let third = flood.admit(&agency("alpha"), now).unwrap();
        assert!(flood.admit(&agency("alpha"), now).is_err());
        drop((second, third));
        assert_eq!(flood.0.measures()["alpha"].in_flight, 0);
    }

    #[test]
    fn strangers_share_one_measure_under_any_name() {
        let (flood, now) = (flood(0.001, 2.0, 100), Instant::now());
        let stranger = |n: u8| Caller::Stranger { agency: format!("x{n}"), key: [n; 32] };
        assert!(flood.admit(&stranger(1), now).is_ok());
        assert!(flood.admit(&stranger(2), now).is_ok());
        assert!(flood.admit(&stranger(3), now).is_err());
    }

    #[test]
    fn measures_at_rest_are_forgotten() {
        let (flood, start) = (flood(1.0, 2.0, 100), Instant::now());
        for n in 0..CALLERS_KEPT {
            drop(flood.admit(&agency(&format!("a{n}")), start));
        }
        drop(flood.admit(&agency("late"), start + Duration::from_secs(10)));
        assert_eq!(flood.0.measures().len(), 1);
    }
}
