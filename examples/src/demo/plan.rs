//! Who has what, who is bad, and what is searched for: all drawn from the seed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use fastrand::Rng;
use libp2p::identity::Keypair;

use crate::catalogue::Catalogue;
use crate::cli::DemoArgs;
use crate::error::Error;
use crate::package::Package;
use crate::question::Question;

/// On so many peers is each package.
const COPIES: std::ops::RangeInclusive<usize> = 2..=4;
/// Searches that are shown when no terms are given.
const SHOWN: usize = 3;
/// A term that is worth showing has so many packages: enough to stream, but not so many that the search
/// ends before all peers have been asked.
const SHOWN_PACKAGES: std::ops::RangeInclusive<usize> = 4..=9;
/// Of the packages of a term that is worth showing, the asker itself has at most this part.
const OWN_PERCENT: usize = 25;
/// Of so many terms it is counted how many descriptions they are in, which takes a search each.
const SHOWN_AMONG: usize = 50;

/// What a peer does with others' questions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    /// Answers, and asks all the searches.
    Asker,
    /// Answers.
    Honest,
    /// Answers with bytes that nobody can decode.
    Liar,
    /// Takes questions and never answers. In the DHT it does its part.
    Silent,
    /// Answers, until it is stopped in the middle of the load.
    Stopped,
}

impl Role {
    pub(super) const fn what_it_does(self) -> Option<&'static str> {
        match self {
            Self::Asker => Some("asks all the searches"),
            Self::Honest => None,
            Self::Liar => Some("lies: its answers cannot be decoded"),
            Self::Silent => Some("is silent: it takes questions and never answers"),
            Self::Stopped => Some("will be stopped in the middle"),
        }
    }

    const fn is_reliable(self) -> bool {
        matches!(self, Self::Asker | Self::Honest)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Asker => "asker",
            Self::Honest => "honest",
            Self::Liar => "liar",
            Self::Silent => "silent",
            Self::Stopped => "stopped",
        })
    }
}

/// What a peer is called.
pub(super) fn name(index: usize) -> String {
    format!("node-{:02}", index + 1)
}

/// A demo, before anything runs.
pub(super) struct Plan {
    /// What each peer is; the first is the asker.
    pub(super) roles: Vec<Role>,
    /// Who each peer is. Drawn from the seed, which nobody should do with a key that matters.
    pub(super) keypairs: Vec<Keypair>,
    /// What each peer has.
    pub(super) catalogues: Vec<Arc<Catalogue>>,
    /// Distinct packages.
    pub(super) packages: usize,
    /// Searches at once.
    pub(super) concurrency: usize,
    /// The searches that are shown.
    pub(super) shown: Vec<Question>,
    /// The others.
    pub(super) load: Vec<Question>,
}

impl Plan {
    /// Draws a demo of these packages.
    pub(super) fn new(packages: Vec<Package>, args: &DemoArgs) -> Result<Self, Error> {
        let mut rng = Rng::with_seed(args.seed);
        let all: Catalogue = packages.into_iter().collect();
        let roles = draw_roles(&mut rng, args.nodes.into());
        let keypairs = roles.iter().map(|_| draw_keypair(&mut rng)).collect();
        let catalogues = spread(&mut rng, &all, &roles);
        let queries = args.queries as usize;
        let shown = shown_terms(&all, &catalogues[0], &args.terms);
        let shown = shown.iter().take(queries).map(|term| Question::new(&[term], None, None));
        let shown: Vec<Question> = shown.collect::<Result<_, _>>()?;
        let load = (shown.len()..queries).map(|_| draw_question(&mut rng, &all));
        let load = load.collect::<Result<_, _>>()?;
        let concurrency = args.concurrency.into();
        Ok(Self { roles, keypairs, catalogues, packages: all.len(), concurrency, shown, load })
    }
}

fn draw_roles(rng: &mut Rng, nodes: usize) -> Vec<Role> {
    let mut roles = vec![Role::Liar, Role::Silent, Role::Stopped];
    roles.resize(nodes - 1, Role::Honest);
    rng.shuffle(&mut roles);
    roles.insert(0, Role::Asker);
    roles
}

fn draw_keypair(rng: &mut Rng) -> Keypair {
    let mut secret = [0; 32];
    rng.fill(&mut secret);
    Keypair::ed25519_from_bytes(secret).expect("any 32 bytes are a key of Ed25519")
}

/// Gives each package to some peers, one of which neither is bad nor will go: so every package is
/// found by whoever asks all.
fn spread(rng: &mut Rng, all: &Catalogue, roles: &[Role]) -> Vec<Arc<Catalogue>> {
    let mut shares: Vec<Vec<Package>> = vec![Vec::new(); roles.len()];
    let reliable: Vec<usize> = (0..roles.len()).filter(|&peer| roles[peer].is_reliable()).collect();
    for package in all.packages() {
        let first = reliable[rng.usize(..reliable.len())];
        let mut others: Vec<usize> = (0..roles.len()).filter(|&peer| peer != first).collect();
        rng.shuffle(&mut others);
        others.truncate(rng.usize(COPIES) - 1);
        for peer in others.into_iter().chain([first]) {
            shares[peer].push(package.clone());
        }
    }
    shares.into_iter().map(|share| Arc::new(share.into_iter().collect())).collect()
}

/// The terms that were asked for; if there are none, those with the most packages that still fit the
/// screen and come from others: what the asker has itself, no peer is seen to send.
fn shown_terms(all: &Catalogue, own: &Catalogue, terms: &[String]) -> Vec<String> {
    if !terms.is_empty() {
        return terms.to_vec();
    }
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for term in all.packages().flat_map(Package::terms) {
        *counts.entry(term).or_default() += 1;
    }
    let mut counts: Vec<(String, usize)> = counts.into_iter().collect();
    // The short ones of a count first. Stable: the others stay in the order of the alphabet.
    counts.sort_by_key(|(term, count)| {
        (!SHOWN_PACKAGES.contains(count), std::cmp::Reverse(*count), term.len())
    });
    let mut terms: Vec<String> = counts.into_iter().map(|(term, _)| term).take(SHOWN_AMONG).collect();
    let found = |term: &str, catalogue: &Catalogue| -> BTreeSet<String> {
        let question = Question::new(&[term], None, None);
        question.map_or_else(
            |_| BTreeSet::new(),
            |question| catalogue.search(&question, usize::MAX).into_iter().map(Package::id).collect(),
        )
    };
    // Stable once more.
    terms.sort_by_cached_key(|term| {
        let count = found(term, all).len();
        let own_percent = found(term, own).len() * 100 / count.max(1);
        (!SHOWN_PACKAGES.contains(&count), own_percent.max(OWN_PERCENT))
    });
    // Of terms that find much the same, the first.
    let mut seen = BTreeSet::new();
    let (new, known): (Vec<String>, Vec<String>) = terms.into_iter().partition(|term| {
        let ids = found(term, all);
        let is_new = ids.intersection(&seen).count() * 2 < ids.len();
        seen.extend(ids);
        is_new
    });
    new.into_iter().chain(known).take(SHOWN).collect()
}

/// What somebody looking for a package might type: one of its terms. So terms of many packages are
/// asked for more often.
fn draw_question(rng: &mut Rng, all: &Catalogue) -> Result<Question, Error> {
    let package = all.packages().nth(rng.usize(..all.len())).expect("a place within the catalogue");
    let terms: Vec<String> = package.terms().into_iter().collect();
    Ok(Question::new(&[&terms[rng.usize(..terms.len())]], None, None)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::tests::package;

    fn args(seed: u64) -> DemoArgs {
        DemoArgs { nodes: 8, queries: 20, concurrency: 4, seed, packages: None, terms: Vec::new() }
    }

    fn packages() -> Vec<Package> {
        (0..40).map(|n| package(&format!("pack-{n}"), &["thing", ["red", "blue"][n % 2]], &[])).collect()
    }

    fn held(plan: &Plan) -> Vec<Vec<String>> {
        plan.catalogues.iter().map(|share| share.packages().map(Package::id).collect()).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_demo_and_another_another() {
        let [a, b, c] = [7, 7, 8].map(|seed| Plan::new(packages(), &args(seed)).unwrap());
        assert_eq!((&a.roles, held(&a), &a.shown, &a.load), (&b.roles, held(&b), &b.shown, &b.load));
        assert_eq!(a.keypairs[3].public(), b.keypairs[3].public());
        assert_ne!(held(&a), held(&c));
        assert_ne!(a.load, c.load);
    }

    #[test]
    fn each_package_is_on_two_to_four_peers_and_one_of_them_is_reliable() {
        let plan = Plan::new(packages(), &args(3)).unwrap();
        for package in packages() {
            let holders = (0..8).filter(|&peer| plan.catalogues[peer].contains(&package.id()));
            let holders: Vec<usize> = holders.collect();
            assert!(COPIES.contains(&holders.len()), "{holders:?}");
            assert!(holders.iter().any(|&peer| plan.roles[peer].is_reliable()));
        }
    }

    #[test]
    fn one_asks_one_lies_one_is_silent_and_one_is_stopped() {
        let plan = Plan::new(packages(), &args(5)).unwrap();
        assert_eq!(plan.roles[0], Role::Asker);
        for role in [Role::Asker, Role::Liar, Role::Silent, Role::Stopped] {
            assert_eq!(plan.roles.iter().filter(|other| **other == role).count(), 1, "{role}");
        }
    }

    #[test]
    fn most_of_what_is_shown_comes_from_others() {
        // Seven or eight packages of each colour.
        let colours =
            ["red", "blue", "green", "grey", "pink", "teal", "gold", "lime", "plum", "rust", "sand", "navy"];
        let packages: Vec<Package> =
            (0..90).map(|n| package(&format!("pack{n}"), &[colours[n % colours.len()]], &[])).collect();
        for seed in 0..50 {
            let plan = Plan::new(packages.clone(), &args(seed)).unwrap();
            for question in &plan.shown {
                let own = plan.catalogues[0].search(question, usize::MAX).len();
                assert!(own <= 3, "seed {seed}: {own} of {}", question.key_term());
            }
        }
    }

    #[test]
    fn no_two_searches_shown_find_the_same() {
        let colours = [["red", "rouge"], ["blue", "bleu"], ["green", "vert"], ["grey", "gris"]];
        let packages: Vec<Package> =
            (0..32).map(|n| package(&format!("pack{n}"), &colours[n % colours.len()], &[])).collect();
        for seed in 0..20 {
            let plan = Plan::new(packages.clone(), &args(seed)).unwrap();
            for pair in colours {
                let shown = plan.shown.iter().filter(|question| pair.contains(&question.key_term()));
                assert!(shown.count() <= 1, "seed {seed}: {:?}", plan.shown);
            }
        }
    }

    #[test]
    fn what_is_shown_counts_among_the_searches() {
        let plan = Plan::new(packages(), &args(5)).unwrap();
        assert_eq!((plan.shown.len(), plan.load.len()), (SHOWN, 20 - SHOWN));
        let mut few = args(5);
        (few.queries, few.terms) = (2, ["red", "blue", "thing"].map(String::from).to_vec());
        let plan = Plan::new(packages(), &few).unwrap();
        assert_eq!((plan.shown.len(), plan.load.len()), (2, 0));
        assert_eq!(plan.shown[0].key_term(), "red");
    }
}
