//! How the peers of the demo answer others' questions.

use std::sync::Arc;

use bytes::Bytes;
use dragnet_libp2p::exchange::FetchItem;
use dragnet_libp2p::{Question, Questions};

use super::plan::Role;
use crate::catalogue::Catalogue;

/// What the liar gives instead of a package.
const LIE: &[u8] = &[0xff; 48];

/// Answers as the role has it, until the node is gone.
pub(super) async fn serve(role: Role, questions: Questions, catalogue: Arc<Catalogue>) {
    match role {
        Role::Asker | Role::Honest | Role::Stopped => {
            questions.serve(|question, items_max| catalogue.answer(question, items_max)).await;
        }
        Role::Liar => {
            let lie = || FetchItem { id: Bytes::from_static(b"lie@1.0.0"), body: Bytes::from_static(LIE) };
            questions.serve(|_, _| [lie()]).await;
        }
        Role::Silent => keep_silent(questions).await,
    }
}

/// Holds every question for as long as its asker waits: dropping it would be an answer of a kind.
async fn keep_silent(mut questions: Questions) {
    let mut held: Vec<Question> = Vec::new();
    while let Some(question) = questions.next().await {
        held.retain(|question| !question.is_gone());
        held.push(question);
    }
}
