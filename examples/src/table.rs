//! Aligned tables of text.

use console::{Alignment, Style, measure_text_width, pad_str, truncate_str};

/// Between two columns.
const GAP: &str = "  ";

/// Rows under headings, each column as wide as its widest cell.
///
/// ```
/// use dragnet_examples::table::{Align, Table};
///
/// let mut table = Table::new([("peer", Align::Left), ("asked", Align::Right)]);
/// table.row(["alice", "7"]);
/// assert_eq!(console::strip_ansi_codes(&table.render(80)), "peer   asked\nalice      7\n");
/// ```
#[derive(Debug)]
pub struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

/// On which side of its column a cell stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

impl Table {
    /// A table of these columns, without rows.
    pub fn new<'a>(columns: impl IntoIterator<Item = (&'a str, Align)>) -> Self {
        let columns = columns.into_iter().map(|(heading, align)| (heading.to_string(), align)).collect();
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row. Missing cells are empty, and surplus ones are left out. Cells may be coloured.
    pub fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        let mut row: Vec<String> = cells.into_iter().map(Into::into).collect();
        row.resize(self.columns.len(), String::new());
        self.rows.push(row);
    }

    /// The lines, each at most `width` wide: the last column is cut to fit. Headings that are all empty
    /// have no line.
    pub fn render(&self, width: usize) -> String {
        let widths = self.widths(width);
        let heading = Style::new().bold();
        let headings: Vec<String> =
            self.columns.iter().map(|(text, _)| heading.apply_to(text).to_string()).collect();
        let has_headings = self.columns.iter().any(|(text, _)| !text.is_empty());
        let mut text = if has_headings { self.line(&headings, &widths) } else { String::new() };
        for row in &self.rows {
            text.push_str(&self.line(row, &widths));
        }
        text
    }

    fn widths(&self, width: usize) -> Vec<usize> {
        let widest = |(index, (heading, _)): (usize, &(String, Align))| {
            let cells = self.rows.iter().map(|row| measure_text_width(&row[index]));
            cells.max().unwrap_or(0).max(measure_text_width(heading))
        };
        let mut widths: Vec<usize> = self.columns.iter().enumerate().map(widest).collect();
        if let Some((last, before)) = widths.split_last_mut() {
            let taken: usize = before.iter().map(|column| column + GAP.len()).sum();
            *last = (*last).min(width.saturating_sub(taken).max(1));
        }
        widths
    }

    fn line(&self, cells: &[String], widths: &[usize]) -> String {
        let mut line = String::new();
        for ((cell, &width), (_, align)) in cells.iter().zip(widths).zip(&self.columns) {
            let alignment = match align {
                Align::Left => Alignment::Left,
                Align::Right => Alignment::Right,
            };
            let cell = truncate_str(cell, width, "…");
            line.push_str(&pad_str(&cell, width, alignment, None));
            line.push_str(GAP);
        }
        line.truncate(line.trim_end().len());
        line.push('\n');
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_the_last_is_cut_to_the_width() {
        let mut table = Table::new([("n", Align::Right), ("name", Align::Left), ("about", Align::Left)]);
        table.row(["1", "a", "short"]);
        table.row(["100", "naïve", "a rather long description"]);
        let text = console::strip_ansi_codes(&table.render(20)).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines, ["  n  name   about", "  1  a      short", "100  naïve  a rathe…"]);
    }

    #[test]
    fn a_table_without_rows_is_its_headings() {
        let table = Table::new([("peer", Align::Left)]);
        assert_eq!(console::strip_ansi_codes(&table.render(80)), "peer\n");
        assert_eq!(Table::new([("", Align::Left)]).render(80), "");
    }
}
