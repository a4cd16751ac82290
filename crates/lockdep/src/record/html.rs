//! One page with everything in it: findings, graph, sites and stacks. It loads nothing from anywhere.

use super::Record;

/// The page; the data goes where the mark is.
const PAGE: &str = include_str!("page.html");
const MARK: &str = "/*RECORD*/";

impl Record {
    /// The record as one self-contained HTML page.
    #[must_use]
    pub fn to_html(&self) -> String {
        // Within a script element only its end tag and comments mean anything to the parser; JSON can spell them otherwise.
        let json = self.to_json().replace('<', "\\u003c");
        PAGE.replacen(MARK, &json, 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_one_mark_and_no_address() {
        assert_eq!(PAGE.matches(MARK).count(), 1);
        let addresses = PAGE.matches("://").count();
        let namespaces = PAGE.matches("http://www.w3.org/2000/svg").count();
        assert_eq!(addresses, namespaces, "the page loads nothing");
    }

    #[test]
    fn a_name_cannot_end_the_script() {
        let record = Record {
            classes: vec![crate::record::RecordClass {
                name: "</script><b>".into(),
                ..Default::default()
            }],
            ..Record::default()
        };
        assert!(!record.to_html().contains("</script><b>"));
    }
}
