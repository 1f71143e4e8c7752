//! What validators and selectors say: an engine asks them in the middle of an input, and so their verdicts
//! belong to it.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::cmp::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::wire::{Malformed, Take, Taken, put_len};
use crate::network::{Invalid, Network, Selector, Validator};
use crate::query::Query;

/// So many addresses, two for each judge, are kept without a look at who still has them.
const IDLE_MAX: usize = 128;

/// Two bits a verdict.
type Verdict = u8;

const REFUSED: Verdict = 0;
const ACCEPTED: Verdict = 1;

const fn of_ordering(ordering: Ordering) -> Verdict {
    match ordering {
        Ordering::Less => 0,
        Ordering::Equal => 1,
        Ordering::Greater => 2,
    }
}

/// Verdicts in the order in which they were given; `None` while nobody listens.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Option<VecDeque<Verdict>>>>);

impl Said {
    fn add(&self, verdict: Verdict) {
        if let Some(said) = &mut *self.lock() {
            said.push_back(verdict);
        }
    }

    /// Whoever panicked while it was locked has left it whole.
    fn lock(&self) -> MutexGuard<'_, Option<VecDeque<Verdict>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The judges of the queries that are recorded, each wrapped in one that takes down what it says.
///
/// Queries share work only if they have one validator and one selector, the same objects: so what wraps a
/// judge is one object as well, for as long as any query has it.
pub(super) struct Judges<N: Network> {
    said: Said,
    validators: Wrapped<dyn Validator<N>>,
    selectors: Wrapped<dyn Selector<N>>,
}

impl<N: Network> Default for Judges<N> {
    fn default() -> Self {
        Self { said: Said::default(), validators: Wrapped::new(), selectors: Wrapped::new() }
    }
}

impl<N: Network> Judges<N> {
    /// Puts judges that are taken down in the place of a query's own. Their numbers; 0 is none.
    pub(super) fn wrap(&mut self, query: &mut Query<N>) -> (u64, u64) {
        let Self { said, validators, selectors } = self;
        let validator = query.validator.as_mut().map_or(0, |validator| {
            validators.wrap(validator, |inner| Arc::new(Heard { inner, said: said.clone() }))
        });
        let selector = query.selector.as_mut().map_or(0, |selector| {
            selectors.wrap(selector, |inner| Arc::new(Heard { inner, said: said.clone() }))
        });
        (validator, selector)
    }

    /// Puts a query's own judges back in their places.
    pub(super) fn unwrap(&self, query: &mut Query<N>) {
        let Self { validators, selectors, .. } = self;
        query.validator.iter_mut().for_each(|validator| validators.unwrap(validator));
        query.selector.iter_mut().for_each(|selector| selectors.unwrap(selector));
    }

    /// Begins or ceases to listen.
    pub(super) fn listen(&self, listens: bool) {
        *self.said.lock() = listens.then(VecDeque::new);
    }

    /// Writes what was said since the last time; false if nothing was.
    pub(super) fn put_verdicts(&self, out: &mut Vec<u8>) -> bool {
        let mut said = self.said.lock();
        let Some(said) = said.as_mut().filter(|said| !said.is_empty()) else { return false };
        put_len(out, said.len());
        let mut verdicts = said.drain(..);
        while let Some(first) = verdicts.next() {
            let rest = verdicts.by_ref().take(3).zip([2, 4, 6]);
            out.push(rest.fold(first, |byte, (verdict, shift)| byte | verdict << shift));
        }
        true
    }
}

/// Judges, each with its number, by the address of their own and by that of what wraps them: one of a kept
/// answer comes back wrapped.
struct Wrapped<J: ?Sized> {
    all: BTreeMap<usize, Arc<Entry<J>>>,
    given: u64,
    /// With so many it is time to look which of them nobody has any more.
    sweep_at: usize,
}

struct Entry<J: ?Sized> {
    number: u64,
    /// Kept, so that no other judge comes to be at its address.
    inner: Arc<J>,
    outer: Arc<J>,
}

impl<J: ?Sized> Wrapped<J> {
    const fn new() -> Self {
        Self { all: BTreeMap::new(), given: 0, sweep_at: IDLE_MAX }
    }

    fn wrap(&mut self, judge: &mut Arc<J>, make: impl FnOnce(Arc<J>) -> Arc<J>) -> u64 {
        let address = address_of(judge);
        if let Some(entry) = self.all.get(&address) {
            *judge = Arc::clone(&entry.outer);
            return entry.number;
        }
        if self.all.len() >= self.sweep_at {
            self.all.retain(|_, entry| Arc::strong_count(&entry.outer) > 1);
            self.sweep_at = IDLE_MAX.max(2 * self.all.len());
        }
        self.given += 1;
        let inner = Arc::clone(judge);
        let outer = make(Arc::clone(&inner));
        let entry = Arc::new(Entry { number: self.given, inner, outer: Arc::clone(&outer) });
        self.all.insert(address_of(&outer), Arc::clone(&entry));
        self.all.insert(address, entry);
        *judge = outer;
        self.given
    }

    fn unwrap(&self, judge: &mut Arc<J>) {
        if let Some(entry) = self.all.get(&address_of(judge)) {
            *judge = Arc::clone(&entry.inner);
        }
    }
}

/// The address alone: one type may have several tables of methods.
fn address_of<J: ?Sized>(judge: &Arc<J>) -> usize {
    Arc::as_ptr(judge).cast::<()>().addr()
}

/// A judge that is heard.
struct Heard<J: ?Sized> {
    inner: Arc<J>,
    said: Said,
}

impl<N: Network> Validator<N> for Heard<dyn Validator<N>> {
    fn validate(&self, request: &N::Request, item: &N::Item) -> Result<(), Invalid> {
        let verdict = self.inner.validate(request, item);
        self.said.add(if verdict.is_ok() { ACCEPTED } else { REFUSED });
        verdict
    }
}

impl<N: Network> Selector<N> for Heard<dyn Selector<N>> {
    fn compare(&self, request: &N::Request, one: &N::Item, other: &N::Item) -> Ordering {
        let ordering = self.inner.compare(request, one, other);
        self.said.add(of_ordering(ordering));
        ordering
    }
}

/// Says again what was said.
#[derive(Clone, Default)]
pub(super) struct Repeater {
    said: Said,
}

impl Repeater {
    /// Takes what judges said during one input.
    pub(super) fn load(&self, verdicts: Vec<u8>) {
        *self.said.lock() = Some(verdicts.into());
    }

    fn next(&self) -> Option<Verdict> {
        self.said.lock().as_mut()?.pop_front()
    }
}

impl<N: Network> Validator<N> for Repeater {
    fn validate(&self, _request: &N::Request, _item: &N::Item) -> Result<(), Invalid> {
        match self.next() {
            Some(REFUSED) => Err(Invalid::new("as recorded")),
            _ => Ok(()),
        }
    }
}

impl<N: Network> Selector<N> for Repeater {
    fn compare(&self, _request: &N::Request, _one: &N::Item, _other: &N::Item) -> Ordering {
        match self.next() {
            Some(0) => Ordering::Less,
            Some(2) => Ordering::Greater,
            _ => Ordering::Equal,
        }
    }
}

/// Reads what [`Judges::put_verdicts`] wrote.
pub(super) fn take_verdicts(from: &mut Take<'_>) -> Taken<Vec<u8>> {
    let count: usize = from.narrow()?;
    let mut verdicts = Vec::new();
    while verdicts.len() < count {
        let byte = from.byte()?;
        let left = (count - verdicts.len()).min(4);
        verdicts.extend([0, 2, 4, 6].into_iter().take(left).map(|shift| byte >> shift & 3));
    }
    if verdicts.contains(&3) {
        return Err(Malformed("a verdict that is none"));
    }
    Ok(verdicts)
}
