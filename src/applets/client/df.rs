//! `tug system df`: what takes the space.

use super::list::{self, Columns, Row};
use super::options::{Options, Verb, flag};
use super::ps::{self, FORMAT};
use super::remote::{Engine, parse};
use super::{format, human, images, print, volume};
use crate::error::Result;
use crate::json::node::Node;

pub const VERB: Verb = Verb {
    names: &["system df"],
    usage: "[OPTIONS]",
    about: "Show disk usage of the engine",
    flags: &[&[
        flag("--format string", FORMAT),
        flag("-v, --verbose", "Show detailed information on space usage"),
    ]],
    args: (0, 0),
    has_command: false,
    main,
};

const FIELDS: [&str; 5] = ["Active", "Reclaimable", "Size", "TotalCount", "Type"];

fn main(engine: &Engine, options: &Options) -> Result<u8> {
    let answer = engine.text("/system/df")?;
    let usage = parse(&answer)?;
    let format = options.get("format");
    if options.is("verbose") {
        return verbose(usage, format);
    }
    let columns = Columns {
        fields: &FIELDS,
        id: "",
        table: "{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}",
    };
    let rows = [
        of_images(usage),
        of_containers(usage),
        of_volumes(usage),
        of_cache(usage),
    ];
    list::list(format.unwrap_or("table"), &columns, &rows)?;
    Ok(0)
}

/// Counts and bytes of one kind of things.
#[derive(Default)]
struct Sum {
    count: usize,
    active: usize,
    size: i64,
    idle_size: i64,
}

impl Sum {
    fn add(&mut self, size: i64, is_active: bool) {
        self.count += 1;
        self.size += size;
        match is_active {
            true => self.active += 1,
            false => self.idle_size += size,
        }
    }

    fn row(self, kind: &str) -> Row {
        let mut reclaimable = human::size_in_four(self.idle_size);
        // Docker leaves the share out where it is of nothing.
        if self.size > 0 {
            let percent = self.idle_size * 100 / self.size;
            reclaimable.push_str(&format!(" ({percent}%)"));
        }
        vec![
            ("Active", self.active.to_string()),
            ("Reclaimable", reclaimable),
            ("Size", human::size_in_four(self.size)),
            ("TotalCount", self.count.to_string()),
            ("Type", kind.to_string()),
        ]
    }
}

/// What images share counts once, and is not free as long as one of them is in use.
fn of_images(usage: Node<'_>) -> Row {
    let mut sum = Sum::default();
    let mut used = 0;
    for image in usage.at("Images").items() {
        let is_active = image.at("Containers").integer() > 0;
        sum.add(0, is_active);
        if is_active {
            used += image.at("Size").integer() - image.at("SharedSize").integer();
        }
    }
    sum.size = usage.at("LayersSize").integer();
    sum.idle_size = (sum.size - used).max(0);
    sum.row("Images")
}

fn of_containers(usage: Node<'_>) -> Row {
    let mut sum = Sum::default();
    for container in usage.at("Containers").items() {
        let state = container.at("State").text();
        let is_active = matches!(state.as_str(), "running" | "paused" | "restarting");
        sum.add(container.at("SizeRw").integer(), is_active);
    }
    sum.row("Containers")
}

fn of_volumes(usage: Node<'_>) -> Row {
    let mut sum = Sum::default();
    for volume in usage.at("Volumes").items() {
        let data = volume.at("UsageData");
        sum.add(data.at("Size").integer(), data.at("RefCount").integer() > 0);
    }
    sum.row("Local Volumes")
}

fn of_cache(usage: Node<'_>) -> Row {
    let mut sum = Sum::default();
    for record in usage.at("BuildCache").items() {
        sum.add(record.at("Size").integer(), record.at("InUse").is_true());
    }
    sum.row("Build Cache")
}

const IMAGES: Columns<'_> = Columns {
    fields: &images::FIELDS,
    id: "IMAGE ID",
    table: "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}\t{{.SharedSize}}\t{{.UniqueSize}}\t{{.Containers}}",
};

const CONTAINERS: Columns<'_> = Columns {
    fields: &ps::FIELDS,
    id: "CONTAINER ID",
    table: "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t{{.RunningFor}}\t{{.Status}}\t{{.Names}}",
};

fn verbose(usage: Node<'_>, format: Option<&str>) -> Result<u8> {
    let is_table = format.is_none_or(|format| format == "table");
    let mut images = Vec::new();
    for image in usage.at("Images").items() {
        images.extend(image_row(image, !is_table));
    }
    let mut containers = Vec::new();
    for container in usage.at("Containers").items() {
        let mut row = ps::row(container, !is_table);
        // What it has written, without its image.
        for (name, value) in &mut row {
            if *name == "Size" {
                *value = human::size(container.at("SizeRw").integer());
            }
        }
        containers.push(row);
    }
    if let Some(format) = format.filter(|_| !is_table) {
        let document = format!(
            "{{\"Images\":{},\"Containers\":{},\"Volumes\":{},\"BuildCache\":[]}}",
            list::json(&images),
            list::json(&containers),
            list::json(&volume::rows(usage))
        );
        return print::line(&format::document(format, &document)?).map(|()| 0);
    }
    let cache = of_cache(usage);
    let cache = cache.iter().find(|(name, _)| *name == "Size");
    print::out(format!(
        "Images space usage:\n\n{}\nContainers space usage:\n\n{}\n\
         Local Volumes space usage:\n\n{}\nBuild cache usage: {}\n\n{}",
        list::render("table", &IMAGES, &images)?,
        list::render("table", &CONTAINERS, &containers)?,
        list::render("table", &volume::USAGE, &volume::rows(usage))?,
        cache.map_or("0B", |(_, size)| size),
        print::table("CACHE ID\tCACHE TYPE\tSIZE\tCREATED\tLAST USED\tUSAGE\tSHARED"),
    ))?;
    Ok(0)
}

/// An image by the first of its names.
fn image_row(image: Node<'_>, is_whole: bool) -> Option<Row> {
    let mut rows = Vec::new();
    images::add_rows(&mut rows, image, is_whole, false);
    let mut row = rows.into_iter().next()?;
    let (size, shared) = (image.at("Size").integer(), image.at("SharedSize").integer());
    for (name, value) in &mut row {
        match *name {
            "SharedSize" => *value = human::size_in_four(shared),
            "UniqueSize" => *value = human::size_in_four(size - shared),
            "Containers" => *value = image.at("Containers").integer().to_string(),
            "Digest" => value.clear(),
            _ => {}
        }
    }
    Some(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_free_is_counted_as_docker_counts_it() {
        let text = r#"{"LayersSize":1000,"Images":[{"Size":600,"SharedSize":100,"Containers":1},
            {"Size":500,"SharedSize":100,"Containers":0}],"Volumes":[],"BuildCache":[],
            "Containers":[{"SizeRw":30,"State":"running"},{"SizeRw":10,"State":"exited"}]}"#;
        let usage = parse(text).unwrap();
        let shown = |row: Row| {
            let cells: Vec<String> = row.into_iter().map(|(_, text)| text).collect();
            cells.join(" | ")
        };
        assert_eq!(shown(of_images(usage)), "1 | 500B (50%) | 1kB | 2 | Images");
        assert_eq!(
            shown(of_containers(usage)),
            "1 | 10B (25%) | 40B | 2 | Containers"
        );
        assert_eq!(shown(of_volumes(usage)), "0 | 0B | 0B | 0 | Local Volumes");
    }
}
