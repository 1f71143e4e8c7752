//! How a client asks a registry.

use dragnet_core::{Invalid, Item};
use dragnet_registry::{Api, RegistryUrl};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::RESULTS_MAX;
use crate::package::Package;
use crate::question::Question;

/// The search endpoint of a registry of packages, for a [`RegistryTransport`](dragnet_registry::RegistryTransport).
///
/// What a registry sends is checked against the question, as what peers send is: it is a stranger too.
#[derive(Clone, Copy, Debug, Default)]
pub struct PackageApi;

/// The body of an answer.
#[derive(Deserialize, Debug)]
pub struct Found {
    /// Read one by one, so that one that is wrong does not spoil the others.
    packages: Vec<Value>,
}

impl Api for PackageApi {
    type Request = Question;
    type Item = Package;
    type Body = Found;

    fn url(&self, registry: &RegistryUrl, question: &Question) -> Url {
        let (words, limit) = (question.terms().join(" "), RESULTS_MAX.to_string());
        let labels = [("category", question.category()), ("tag", question.tag())];
        let labels = labels.into_iter().filter_map(|(name, label)| Some((name, label?)));
        let words = Some(("q", words.as_str())).filter(|(_, words)| !words.is_empty());
        registry.endpoint("search", words.into_iter().chain(labels).chain([("limit", limit.as_str())]))
    }

    fn items(&self, question: &Question, found: Found) -> Vec<Result<Package, Invalid>> {
        let read = |value: Value| {
            let package: Package =
                serde_json::from_value(value).map_err(|error| Invalid::new(error.to_string()))?;
            if question.matches(&package) {
                Ok(package)
            } else {
                Err(Invalid::new("a package not asked for"))
            }
        };
        found.packages.into_iter().take(RESULTS_MAX).map(read).collect()
    }
}

impl Item for Package {
    type Id = String;

    fn id(&self) -> String {
        self.id()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(terms: &[&str], category: Option<&str>, tag: Option<&str>) -> String {
        let question = Question::new(terms, category, tag).unwrap();
        let registry = RegistryUrl::parse("http://registry.example/api").unwrap();
        PackageApi.url(&registry, &question).to_string()
    }

    #[test]
    fn a_question_becomes_a_url() {
        let start = "http://registry.example/api/search?";
        assert_eq!(url(&["Async", "i&o"], None, None), format!("{start}q=async+i%26o&limit=100"));
        assert_eq!(
            url(&["x"], Some("a::b"), Some("y")),
            format!("{start}q=x&category=a%3A%3Ab&tag=y&limit=100")
        );
        assert_eq!(url(&[], None, Some("y")), format!("{start}tag=y&limit=100"));
    }

    #[test]
    fn what_was_not_asked_for_is_refused_and_the_rest_is_read() {
        let question = Question::new(&["async"], None, None).unwrap();
        let body = r#"{"packages": [{"name": "async-io", "version": "1"}, {"name": "serde", "version": "1"}, 7,
            {"name": "async\u001b", "version": "1"}, {"name": "async", "version": "2"}], "more": true}"#;
        let items = PackageApi.items(&question, serde_json::from_str(body).unwrap());
        let names: Vec<_> =
            items.iter().map(|item| item.as_ref().map(|package| package.name.as_str()).ok()).collect();
        assert_eq!(names, [Some("async-io"), None, None, None, Some("async")]);
    }
}
