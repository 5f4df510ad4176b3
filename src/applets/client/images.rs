//! `tug images`: the list of images.

use super::list::{self, Columns, Row};
use super::options::{Options, Verb, flag};
use super::ps::{FILTER, FORMAT, filters_with, shown_id};
use super::remote::{Engine, parse};
use super::{human, print};
use crate::error::{Error, Result};
use crate::json::node::Node;
use crate::sys::terminal;

pub const VERB: Verb = Verb {
    names: &["images", "image ls", "image list"],
    usage: "[OPTIONS] [REPOSITORY[:TAG]]",
    about: "List images",
    flags: &[&[
        flag(
            "-a, --all",
            "Show all images (default hides intermediate images)",
        ),
        flag("--digests", "Show digests"),
        flag("-f, --filter filter", FILTER),
        flag("--format string", FORMAT),
        flag("--no-trunc", "Don't truncate output"),
        flag("-q, --quiet", "Only show image IDs"),
        flag(
            "--tree",
            "List the platforms of each image below it, with their sizes",
        ),
    ]],
    args: (0, 1),
    has_command: false,
    main,
};

pub const FIELDS: [&str; 11] = [
    "Containers",
    "CreatedAt",
    "CreatedSince",
    "Digest",
    "ID",
    "Repository",
    "SharedSize",
    "Size",
    "Tag",
    "UniqueSize",
    "VirtualSize",
];

const RAW: &str = "repository: {{.Repository}}\n{{if .Tag}}tag: {{.Tag}}\n{{end}}DIGEST\
    image_id: {{.ID}}\ncreated_at: {{.CreatedAt}}\nvirtual_size: {{.Size}}\n";

fn main(engine: &Engine, options: &Options) -> Result<u8> {
    let is_tree = options.is("tree");
    if is_tree {
        check_tree(options)?;
    }
    let mut path = String::from("/images/json?");
    if options.is("all") {
        path.push_str("all=1&");
    }
    if is_tree {
        path.push_str("manifests=1&");
    }
    let name = options.args.first();
    let reference = name.map(|name| ("reference", name.as_str()));
    path.push_str(&filters_with(options, reference)?);
    let answer = engine.text(path.trim_end_matches(['&', '?']))?;
    if is_tree {
        return tree(&parse(&answer)?.items(), options.is("all"));
    }
    let format = match options.get("format") {
        None if options.is("quiet") => "{{.ID}}",
        format => format.unwrap_or("table"),
    };
    let has_digests = options.is("digests") || format.contains("{{.Digest}}");
    let mut rows: Vec<Row> = Vec::new();
    for image in parse(&answer)?.items() {
        add_rows(&mut rows, image, options.is("no-trunc"), has_digests);
    }
    let raw = match (options.is("quiet"), options.is("digests")) {
        (true, _) => "image_id: {{.ID}}".to_string(),
        (false, is_on) => RAW.replace("DIGEST", if is_on { "digest: {{.Digest}}\n" } else { "" }),
    };
    let format = if format == "raw" { &raw } else { format };
    let digest = if options.is("digests") {
        "\t{{.Digest}}"
    } else {
        ""
    };
    let columns = Columns {
        fields: &FIELDS,
        id: "IMAGE ID",
        table: &format!(
            "{{{{.Repository}}}}\t{{{{.Tag}}}}{digest}\t{{{{.ID}}}}\t{{{{.CreatedSince}}}}\t{{{{.Size}}}}"
        ),
    };
    list::list(format, &columns, &rows)?;
    Ok(0)
}

const NONE: &str = "<none>";

/// A line per name that the image has; `has_digests`: and per digest of that name.
pub fn add_rows(rows: &mut Vec<Row>, image: Node<'_>, is_whole: bool, has_digests: bool) {
    let created = image.at("Created").integer();
    let size = image.at("Size").integer();
    let unknown = || "N/A".to_string();
    for (repository, tag, digest) in names(image, has_digests) {
        // -1 where the engine has not counted.
        let containers = match image.at("Containers").integer() {
            -1 => unknown(),
            count => count.to_string(),
        };
        rows.push(vec![
            ("Containers", containers),
            ("CreatedAt", human::date(created)),
            ("CreatedSince", human::ago(created)),
            ("Digest", digest),
            ("ID", shown_id(image.at("Id"), is_whole)),
            ("Repository", repository),
            ("SharedSize", unknown()),
            ("Size", human::size(size)),
            ("Tag", tag),
            ("UniqueSize", unknown()),
            ("VirtualSize", human::size_in_four(size)),
        ]);
    }
}

/// Repositories, tags and digests as Docker's client pairs them: digests stand beside the tags of
/// their repository, those of others have lines of their own.
fn names(image: Node<'_>, has_digests: bool) -> Vec<(String, String, String)> {
    let pairs = |member: &str, separator: char| -> Vec<(String, String)> {
        let names = image.at(member).items().into_iter();
        let names = names.filter_map(|name| {
            let name = name.text();
            let (repository, rest) = name.rsplit_once(separator)?;
            (repository != NONE).then(|| (repository.to_string(), rest.to_string()))
        });
        names.collect()
    };
    let tags = pairs("RepoTags", ':');
    let mut digests = pairs("RepoDigests", '@');
    let mut names = Vec::new();
    for (repository, tag) in &tags {
        let own = digests.iter().filter(|(other, _)| other == repository);
        let before = names.len();
        for (_, digest) in own.filter(|_| has_digests) {
            names.push((repository.clone(), tag.clone(), digest.clone()));
        }
        if names.len() == before {
            names.push((repository.clone(), tag.clone(), NONE.to_string()));
        }
    }
    digests.retain(|(repository, _)| !tags.iter().any(|(other, _)| other == repository));
    if !has_digests {
        digests.dedup_by(|one, other| one.0 == other.0);
    }
    for (repository, digest) in digests {
        let digest = if has_digests {
            digest
        } else {
            NONE.to_string()
        };
        names.push((repository, NONE.to_string(), digest));
    }
    if names.is_empty() {
        names.push((NONE.to_string(), NONE.to_string(), NONE.to_string()));
    }
    names
}

fn check_tree(options: &Options) -> Result<()> {
    for (name, word) in [
        ("quiet", "quiet"),
        ("no-trunc", "no-trunc"),
        ("digests", "show-digest"),
        ("format", "format"),
    ] {
        if options.get(name).is_some_and(|value| value != "false") {
            let sentence = format!("--{word} is not yet supported with --tree");
            return Err(Error::invalid(sentence));
        }
    }
    Ok(())
}

/// What the columns behind the first one take, with the blanks between them.
const BEHIND: usize = 51;

/// As Docker's client shows it: the names of an image, what it takes beside the last of them, and
/// below what that is for each platform.
fn tree(images: &[Node<'_>], is_all: bool) -> Result<u8> {
    let width = terminal::size(std::io::stdout()).map_or(80, |(_, columns)| columns.into());
    let mut text = format!(
        "WARNING: This is an experimental feature. The output may change and shouldn't be depended on.\n\
         {:>before$} \n\n",
        "Info ->  U In Use",
        before = width - 1
    );
    let mut lines: Vec<[String; 5]> = Vec::new();
    let titles = ["IMAGE", "ID", "DISK USAGE", "CONTENT SIZE", "EXTRA"];
    lines.push(titles.map(str::to_string));
    let has_parts = |image: &Node<'_>| !image.at("Manifests").items().is_empty();
    let is_spaced = images.iter().any(has_parts);
    for image in images {
        let mut names: Vec<String> = Vec::new();
        for name in image.at("RepoTags").items() {
            names.push(name.text());
        }
        if names.is_empty() && is_all {
            names.push("<untagged>".to_string());
        }
        // Without a name it is shown to those who ask for all.
        let Some(last) = names.pop() else { continue };
        for name in names {
            lines.push([
                name,
                String::new(),
                String::new(),
                String::new(),
                String::new(),
            ]);
        }
        add_branch(&mut lines, image, last);
        if is_spaced {
            lines.push(Default::default());
        }
    }
    let longest = lines.iter().map(|line| line[0].chars().count()).max();
    let first = longest.unwrap_or(0).min(width.saturating_sub(BEHIND));
    for [name, id, size, content, extra] in lines {
        let line = match id.as_str() {
            "" => name,
            "ID" => format!("{name:first$}   {id:12}   {size:>10}   {content:>12}   {extra}"),
            _ => format!("{name:first$}   {id:12}   {size:>10}   {content:>12}   {extra:5}"),
        };
        text.push_str(&line);
        text.push('\n');
    }
    print::out(text)?;
    Ok(0)
}

fn add_branch(lines: &mut Vec<[String; 5]>, image: &Node<'_>, name: String) {
    let manifests = image.at("Manifests").items();
    let is_used = |node: &Node<'_>| !node.at("ImageData.Containers").items().is_empty();
    let has_users = image.at("Containers").integer() > 0 || manifests.iter().any(is_used);
    let contents = manifests
        .iter()
        .map(|part| part.at("Size.Content").integer());
    let line = |name: String, id: Node<'_>, size: i64, content: i64, is_used: bool| {
        let used = if is_used { "U" } else { "" };
        let (size, content) = (human::size(size), human::size(content));
        [name, shown_id(id, false), size, content, used.to_string()]
    };
    let size = image.at("Size").integer();
    lines.push(line(name, image.at("Id"), size, contents.sum(), has_users));
    for (n, part) in manifests.iter().enumerate() {
        let corner = if n + 1 == manifests.len() {
            "└─"
        } else {
            "├─"
        };
        let word = |name: &str| part.at("ImageData.Platform").at(name).text();
        let platform = ["os", "architecture", "variant"].map(word).join("/");
        let name = format!("{corner} {}", platform.trim_end_matches('/'));
        let (size, content) = (part.at("Size.Total"), part.at("Size.Content"));
        let (size, content) = (size.integer(), content.integer());
        lines.push(line(name, part.at("ID"), size, content, is_used(part)));
    }
}
