//! `marketplace top`: a node on a screen.

mod rates;
mod screen;
mod view;

pub use rates::{History, Rates, Times};
pub use screen::show;
pub use view::{View, draw, plain};

impl View {
    /// A view of this node, of which nothing is known yet.
    pub fn of(source: String) -> Self {
        Self { source, ..Self::default() }
    }

    /// Takes in what was told, or why nothing was: then what was told last stays.
    pub fn update(&mut self, history: &mut History, told: Result<crate::monitor::Status, String>) {
        match told {
            Ok(status) => {
                history.push(&status);
                self.rates = history.rates();
                self.line = history.line();
                self.status = Some(status);
                self.problem = None;
            }
            Err(problem) => self.problem = Some(problem),
        }
    }
}
