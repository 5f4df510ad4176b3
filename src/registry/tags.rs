//! The tags of a repository.

use crate::error::{Error, Result};
use crate::json::node::Node;
use crate::registry::{Repository, checked, refusal};

const PAGE_BYTES_MAX: usize = 4 << 20;
const PAGES_MAX: usize = 1000;
/// All of them together: more than anybody reads, less than hurts.
const BYTES_MAX: usize = 8 << 20;

impl Repository {
    /// All tags, page by page. A list that has no end is an error in the end.
    pub fn tags(&self) -> Result<Vec<String>> {
        let mut tags: Vec<String> = Vec::new();
        let mut bytes = 0;
        let mut target = "tags/list?n=1000".to_string();
        for _ in 0..PAGES_MAX {
            let answer = self.0.ask(&self.0.get("GET", &target, ""))?;
            if answer.status >= 400 {
                return Err(refusal::read(answer).about(&self.0.name, ""));
            }
            let answer = checked(answer)?;
            let next = answer.headers.get("link").and_then(next_query);
            let page = answer.bytes(PAGE_BYTES_MAX, "the list of tags")?;
            let count = tags.len();
            for tag in Node::new(&String::from_utf8_lossy(&page), "tags")?
                .at("tags")
                .items()
            {
                let tag = tag.text();
                bytes += tag.len() + size_of::<String>();
                tags.push(tag);
            }
            match next {
                None => return Ok(tags),
                Some(_) if bytes > BYTES_MAX || tags.len() == count => break,
                Some(query) => target = format!("tags/list?{query}"),
            }
        }
        Err(Error::invalid(format!(
            "{} has more tags than anybody can read",
            self.0.name
        )))
    }
}

/// The query of `</v2/x/tags/list?last=y&n=100>; rel="next"`: where the rest is asked for is ours to
/// say.
fn next_query(link: &str) -> Option<String> {
    let (address, rest) = link.strip_prefix('<')?.split_once('>')?;
    let (_, query) = address.split_once('?')?;
    let is_next = rest.contains("rel=\"next\"") || rest.contains("rel=next");
    (is_next && query.bytes().all(|b| b.is_ascii_graphic())).then(|| query.to_string())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_next_page_is_the_links_query() {
        let next = |link| super::next_query(link);
        assert_eq!(
            next("</v2/x/tags/list?last=y&n=1>; rel=\"next\"").unwrap(),
            "last=y&n=1"
        );
        assert_eq!(next("<https://evil/?a>; rel=next").unwrap(), "a");
        for link in [
            "",
            "<",
            "</v2>; rel=\"next\"",
            "</v2?a>; rel=\"prev\"",
            "</v2?a b>; rel=next",
        ] {
            assert_eq!(next(link), None, "{link}");
        }
    }
}
