//! Names for validators and selectors, which cannot be written down themselves.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ptr;

use crate::network::{Network, Selector, Validator};

/// The validators and selectors that a saved state may speak of, by name.
///
/// A kept answer is the answer to a question, and part of the question is who judged its items. That is a
/// closure in this process, and means nothing in the next. So an application names those that all its
/// queries share, when it saves and when it restores; answers that others judged are left out. A name
/// stands for what the judge accepts: when that changes, it needs another name, or answers come back that
/// it would refuse now.
///
/// ```
/// # use std::sync::Arc;
/// # use dragnet_core::{Invalid, Validator, doc::{Book, Library}, state::Judges};
/// let titled: Arc<dyn Validator<Library>> = Arc::new(|_: &String, book: &Book| {
///     if book.title.is_empty() { Err(Invalid::new("a book without a title")) } else { Ok(()) }
/// });
/// let judges = Judges::new().validator("titled, 1", titled.clone());
/// // Every query with this validator can have its answer saved:
/// // Query::new(..).shared_validator(titled.clone())
/// ```
pub struct Judges<N: Network> {
    validators: Vec<(String, Arc<dyn Validator<N>>)>,
    selectors: Vec<(String, Arc<dyn Selector<N>>)>,
}

impl<N: Network> Judges<N> {
    /// No names: only the answers that nobody judged are saved, and restored.
    pub const fn new() -> Self {
        Self { validators: Vec::new(), selectors: Vec::new() }
    }

    /// Names a validator; of two with one name the first.
    #[must_use]
    pub fn validator(mut self, name: impl Into<String>, validator: Arc<dyn Validator<N>>) -> Self {
        self.validators.push((name.into(), validator));
        self
    }

    /// Names a selector; of two with one name the first.
    #[must_use]
    pub fn selector(mut self, name: impl Into<String>, selector: Arc<dyn Selector<N>>) -> Self {
        self.selectors.push((name.into(), selector));
        self
    }

    pub(super) fn name_of_validator(&self, validator: &Arc<dyn Validator<N>>) -> Option<&str> {
        name_of(&self.validators, validator)
    }

    pub(super) fn name_of_selector(&self, selector: &Arc<dyn Selector<N>>) -> Option<&str> {
        name_of(&self.selectors, selector)
    }

    pub(super) fn validator_named(&self, name: &str) -> Option<Arc<dyn Validator<N>>> {
        named(&self.validators, name)
    }

    pub(super) fn selector_named(&self, name: &str) -> Option<Arc<dyn Selector<N>>> {
        named(&self.selectors, name)
    }
}

fn name_of<'a, T: ?Sized>(judges: &'a [(String, Arc<T>)], wanted: &Arc<T>) -> Option<&'a str> {
    let is_it = |judge: &Arc<T>| ptr::addr_eq(Arc::as_ptr(judge), Arc::as_ptr(wanted));
    judges.iter().find(|(_, judge)| is_it(judge)).map(|(name, _)| name.as_str())
}

fn named<T: ?Sized>(judges: &[(String, Arc<T>)], wanted: &str) -> Option<Arc<T>> {
    judges.iter().find(|(name, _)| name == wanted).map(|(_, judge)| Arc::clone(judge))
}

impl<N: Network> Default for Judges<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<N: Network> Clone for Judges<N> {
    fn clone(&self) -> Self {
        Self { validators: self.validators.clone(), selectors: self.selectors.clone() }
    }
}

impl<N: Network> core::fmt::Debug for Judges<N> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let validators: Vec<&str> = self.validators.iter().map(|(name, _)| name.as_str()).collect();
        let selectors: Vec<&str> = self.selectors.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Judges").field("validators", &validators).field("selectors", &selectors).finish()
    }
}
