//! What is asked of a peer, and which packages answer it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::package::Package;

/// The longest encoded question that is read from a peer, in bytes.
pub const QUESTION_BYTES_MAX: usize = 2 << 10;
/// The most words of a question.
const TERMS_MAX: usize = 16;
/// The longest word, in bytes.
const TERM_BYTES_MAX: usize = 128;

/// A search: every word must be found, and category and tag must be among the package's.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Question {
    terms: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
}

#[derive(Deserialize)]
struct Unchecked {
    #[serde(default)]
    terms: Vec<String>,
    #[serde(default)]
    category: Option<String>,
    #[serde(default)]
    tag: Option<String>,
}

/// Why something is no question.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QuestionError {
    /// Nothing to look for.
    #[error("nothing to search for: give a word, a category or a tag")]
    Empty,
    /// Too many words.
    #[error("the search has {count} words, and may have {TERMS_MAX}")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// A word that is too long.
    #[error("a word of the search has {bytes} bytes, and may have {TERM_BYTES_MAX}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Too many bytes.
    #[error("the question has {bytes} bytes, and may have {QUESTION_BYTES_MAX}")]
    TooLarge {
        /// How many.
        bytes: usize,
    },
    /// Not JSON, or not a question's.
    #[error("not a question: {0}")]
    Json(#[from] serde_json::Error),
}

impl Question {
    /// A question of these words; case does not matter, and a text of several words is as many words.
    ///
    /// # Errors
    ///
    /// When there is nothing to look for, or more than is allowed.
    pub fn new(
        terms: &[impl AsRef<str>],
        category: Option<&str>,
        tag: Option<&str>,
    ) -> Result<Self, QuestionError> {
        let words = terms.iter().flat_map(|term| term.as_ref().split_whitespace());
        let terms: Vec<String> = words.map(str::to_lowercase).collect();
        let label = |text: &str| Some(text.trim().to_lowercase()).filter(|text| !text.is_empty());
        let question = Self { terms, category: category.and_then(label), tag: tag.and_then(label) };
        question.check()?;
        Ok(question)
    }

    fn check(&self) -> Result<(), QuestionError> {
        let count = self.terms.len();
        if count > TERMS_MAX {
            return Err(QuestionError::TooMany { count });
        }
        let labels = self.category.iter().chain(&self.tag);
        match self.terms.iter().chain(labels).map(String::len).max() {
            None => Err(QuestionError::Empty),
            Some(bytes) if bytes > TERM_BYTES_MAX => Err(QuestionError::TooLong { bytes }),
            Some(_) => Ok(()),
        }
    }

    /// The words, in lower case.
    pub fn terms(&self) -> &[String] {
        &self.terms
    }

    /// The category, in lower case.
    pub fn category(&self) -> Option<&str> {
        self.category.as_deref()
    }

    /// The tag, in lower case.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The term whose providers are asked: the first word, or else the tag, or else the category.
    pub fn key_term(&self) -> &str {
        let first = self.terms.first().or(self.tag.as_ref()).or(self.category.as_ref());
        first.expect("a question without anything is refused")
    }

    /// Its bytes on the wire.
    pub fn encode(&self) -> Bytes {
        serde_json::to_vec(self).expect("text and lists of text are always JSON").into()
    }

    /// Reads a stranger's bytes.
    ///
    /// # Errors
    ///
    /// When there are too many, or they are no question.
    pub fn decode(bytes: &[u8]) -> Result<Self, QuestionError> {
        if bytes.len() > QUESTION_BYTES_MAX {
            return Err(QuestionError::TooLarge { bytes: bytes.len() });
        }
        Ok(serde_json::from_slice(bytes)?)
    }

    /// Whether a package answers it.
    pub fn matches(&self, package: &Package) -> bool {
        self.rank(package).is_some()
    }

    /// How well a package answers it, 0 the best; `None` if it does not.
    pub fn rank(&self, package: &Package) -> Option<u32> {
        let is_filed = self.category.as_ref().is_none_or(|category| {
            package.categories.iter().any(|filed| is_within(&filed.to_lowercase(), category))
        });
        let is_tagged = self
            .tag
            .as_ref()
            .is_none_or(|tag| package.keywords.iter().any(|word| word.to_lowercase() == *tag));
        if !is_filed || !is_tagged {
            return None;
        }
        let subject = Subject::new(package);
        self.terms.iter().map(|term| subject.rank(term)).try_fold(0, |sum, rank| Some(sum + rank?))
    }
}

/// Whether a category is the one asked for or a part of it (`development-tools::testing`).
fn is_within(category: &str, asked: &str) -> bool {
    category.strip_prefix(asked).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// A package's text in lower case.
struct Subject<'a> {
    package: &'a Package,
    name: String,
    description: String,
}

impl<'a> Subject<'a> {
    fn new(package: &'a Package) -> Self {
        let description = package.description.as_deref().unwrap_or_default().to_lowercase();
        Self { package, name: package.name.to_lowercase(), description }
    }

    fn rank(&self, term: &str) -> Option<u32> {
        let is_labelled = |labels: &[String]| labels.iter().any(|label| label.to_lowercase() == term);
        if self.name == term {
            Some(0)
        } else if self.name.split(['-', '_']).any(|part| part == term) {
            Some(1)
        } else if is_labelled(&self.package.keywords) {
            Some(2)
        } else if is_labelled(&self.package.categories) {
            Some(3)
        } else if begins(&self.name, term) {
            Some(4)
        } else {
            begins(&self.description, term).then_some(5)
        }
    }
}

/// Whether a word of the text begins with the term.
fn begins(text: &str, term: &str) -> bool {
    text.split(|letter: char| !letter.is_alphanumeric()).any(|word| word.starts_with(term))
}

impl TryFrom<Unchecked> for Question {
    type Error = QuestionError;

    fn try_from(Unchecked { terms, category, tag }: Unchecked) -> Result<Self, QuestionError> {
        Self::new(&terms, category.as_deref(), tag.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::tests::package;

    fn question(terms: &[&str]) -> Question {
        Question::new(terms, None, None).unwrap()
    }

    #[test]
    fn the_name_ranks_before_keywords_and_these_before_the_description() {
        let ranks = [
            ("futures", package("futures", &[], &[])),
            ("futures", package("futures-lite", &[], &[])),
            ("futures", package("smol", &["futures"], &[])),
            ("futures", package("smol", &[], &["futures"])),
            ("futures", package("my-futuresque", &[], &[])),
            ("about", package("smol", &[], &[])),
        ];
        for (expected, (term, package)) in (0..).zip(&ranks) {
            assert_eq!(question(&[term]).rank(package), Some(expected), "{package:?}");
        }
        assert_eq!(question(&["tokio"]).rank(&ranks[0].1), None);
        assert_eq!(question(&["out"]).rank(&ranks[0].1), None, "`about` does not begin with it");
    }

    #[test]
    fn every_word_the_category_and_the_tag_must_fit() {
        let subject = package("serde_json", &["Serialization"], &["encoding::json"]);
        assert!(question(&["Serde JSON"]).matches(&subject));
        assert!(!question(&["serde", "xml"]).matches(&subject));
        let filed = |category, tag| Question::new(&["json"], category, tag).unwrap().matches(&subject);
        assert!(filed(Some("encoding"), Some("serialization")));
        assert!(!filed(Some("enc"), None));
        assert!(!filed(None, Some("parser")));
    }

    #[test]
    fn a_question_survives_the_wire_and_names_the_term_to_look_up() {
        let asked = Question::new(&["Async IO"], Some("Asynchronous"), None).unwrap();
        assert_eq!(Question::decode(&asked.encode()).unwrap(), asked);
        assert_eq!(asked.key_term(), "async");
        assert_eq!(Question::new(&[""; 0], Some("os"), Some("linux")).unwrap().key_term(), "linux");
    }

    #[test]
    fn what_is_no_question_is_refused_with_the_reason() {
        let wrong = |bytes: &[u8]| Question::decode(bytes).unwrap_err().to_string();
        assert!(wrong(b"{}").contains("nothing to search for"));
        assert!(wrong(b"[").starts_with("not a question"));
        assert!(wrong(&vec![b' '; 3000]).contains("and may have 2048"));
        let long = "x".repeat(200);
        assert!(matches!(Question::new(&[&long], None, None), Err(QuestionError::TooLong { bytes: 200 })));
        let many = ["a"; 17];
        assert!(matches!(Question::new(&many, None, None), Err(QuestionError::TooMany { count: 17 })));
    }
}
