//! Tables kept in Markdown files, renewed by the commands that make them.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

/// Puts a block of text between `<!-- name -->` and `<!-- /name -->`.
pub(crate) fn replace(file: &Path, name: &str, block: &str) -> Result<()> {
    let page = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let Some(page) = replaced(&page, name, block) else {
        bail!(
            "{} has no lines `<!-- {name} -->` and `<!-- /{name} -->` to put the table between",
            file.display()
        );
    };
    std::fs::write(file, page).with_context(|| format!("cannot write {}", file.display()))
}

fn replaced(page: &str, name: &str, block: &str) -> Option<String> {
    let (before, rest) = page.split_once(&format!("<!-- {name} -->\n"))?;
    let (_, after) = rest.split_once(&format!("<!-- /{name} -->"))?;
    Some(format!("{before}<!-- {name} -->\n```text\n{}\n```\n<!-- /{name} -->{after}", block.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_is_replaced() {
        let page = "a\n<!-- x -->\nold\n<!-- /x -->\nb\n";
        let once = replaced(page, "x", "new\n").expect("the marks are there");
        assert_eq!(once, "a\n<!-- x -->\n```text\nnew\n```\n<!-- /x -->\nb\n");
        assert_eq!(replaced(&once, "x", "new\n").as_ref(), Some(&once));
        assert_eq!(replaced(page, "y", "new"), None);
    }
}
