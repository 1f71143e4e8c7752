//! The packages of one peer.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use dragnet_libp2p::exchange::FetchItem;

use crate::package::Package;
use crate::question::Question;

/// The packages that a peer shares, each once.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    packages: BTreeMap<String, Package>,
}

impl Catalogue {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.packages.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.packages.is_empty()
    }

    /// Whether the package of this id is here.
    pub fn contains(&self, id: &str) -> bool {
        self.packages.contains_key(id)
    }

    /// The packages, by id.
    pub fn packages(&self) -> impl Iterator<Item = &Package> {
        self.packages.values()
    }

    /// All terms under which they are published.
    pub fn terms(&self) -> BTreeSet<String> {
        self.packages.values().flat_map(Package::terms).collect()
    }

    /// The best answers to a question, the best first.
    pub fn search(&self, question: &Question, limit: usize) -> Vec<&Package> {
        let ranked = self.packages.values().filter_map(|package| Some((question.rank(package)?, package)));
        let mut found: Vec<(u32, &Package)> = ranked.collect();
        // Stable: equals stay in the order of their ids.
        found.sort_by_key(|(rank, _)| *rank);
        found.into_iter().take(limit).map(|(_, package)| package).collect()
    }

    /// Answers a stranger's question; one that cannot be read has no answers.
    pub fn answer(&self, question: &[u8], limit: usize) -> Vec<FetchItem> {
        let Ok(question) = Question::decode(question) else { return Vec::new() };
        let item = |package: &Package| FetchItem { id: package.id().into(), body: package.encode() };
        self.search(&question, limit).into_iter().map(item).collect()
    }
}

impl FromIterator<Package> for Catalogue {
    fn from_iter<I: IntoIterator<Item = Package>>(packages: I) -> Self {
        Self { packages: packages.into_iter().map(|package| (package.id(), package)).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::tests::package;

    #[test]
    fn answers_are_bounded_and_the_best_come_first() {
        let catalogue: Catalogue = [
            package("tracing", &["async"], &[]),
            package("async-io", &[], &[]),
            package("async", &[], &[]),
            package("serde", &[], &[]),
            package("serde", &[], &[]),
        ]
        .into_iter()
        .collect();
        assert_eq!(catalogue.len(), 4);
        let question = Question::new(&["async"], None, None).unwrap().encode();
        let ids = |limit| -> Vec<String> {
            let items = catalogue.answer(&question, limit);
            items.iter().map(|item| String::from_utf8_lossy(&item.id).into_owned()).collect()
        };
        assert_eq!(ids(9), ["async@1.2.3", "async-io@1.2.3", "tracing@1.2.3"]);
        assert_eq!(ids(1), ["async@1.2.3"]);
        assert!(catalogue.answer(b"\x00\xff", 9).is_empty());
    }
}
