//! `tug images`: the list of images.

use super::human;
use super::list::{self, Columns, Row};
use super::options::{Options, Verb, flag};
use super::ps::{FILTER, FORMAT, filters_with, shown_id};
use super::remote::{Engine, parse};
use crate::error::Result;
use crate::json::node::Node;

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
    ]],
    args: (0, 1),
    has_command: false,
    main,
};

pub const FIELDS: [&str; 10] = [
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
];

const RAW: &str = "repository: {{.Repository}}\n{{if .Tag}}tag: {{.Tag}}\n{{end}}DIGEST\
    image_id: {{.ID}}\ncreated_at: {{.CreatedAt}}\nvirtual_size: {{.Size}}\n";

fn main(engine: &Engine, options: &Options) -> Result<u8> {
    let mut path = String::from("/images/json?");
    if options.is("all") {
        path.push_str("all=1&");
    }
    let name = options.args.first();
    let reference = name.map(|name| ("reference", name.as_str()));
    path.push_str(&filters_with(options, reference)?);
    let answer = engine.text(path.trim_end_matches(['&', '?']))?;
    let mut rows: Vec<Row> = Vec::new();
    for image in parse(&answer)?.items() {
        add_rows(&mut rows, image, options.is("no-trunc"));
    }
    let format = match options.get("format") {
        None if options.is("quiet") => "{{.ID}}",
        format => format.unwrap_or("table"),
    };
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

/// A line per name that the image has.
pub fn add_rows(rows: &mut Vec<Row>, image: Node<'_>, is_whole: bool) {
    const NONE: &str = "<none>";
    let created = image.at("Created").integer();
    let mut digest = NONE.to_string();
    if let Some(name) = image.at("RepoDigests").items().first() {
        digest = name.text().rsplit('@').next().unwrap_or(NONE).to_string();
    }
    let mut names = Vec::new();
    for name in image.at("RepoTags").items() {
        names.push(name.text());
    }
    if names.is_empty() {
        names.push(format!("{NONE}:{NONE}"));
    }
    for name in names {
        let (repository, tag) = name.rsplit_once(':').unwrap_or((&name, NONE));
        let unknown = || "N/A".to_string();
        // -1 where the engine has not counted.
        let containers = match image.at("Containers").integer() {
            -1 => unknown(),
            count => count.to_string(),
        };
        rows.push(vec![
            ("Containers", containers.clone()),
            ("CreatedAt", human::date(created)),
            ("CreatedSince", human::ago(created)),
            ("Digest", digest.clone()),
            ("ID", shown_id(image.at("Id"), is_whole)),
            ("Repository", repository.to_string()),
            ("SharedSize", unknown()),
            ("Size", human::size(image.at("Size").integer())),
            ("Tag", tag.to_string()),
            ("UniqueSize", unknown()),
        ]);
    }
}
