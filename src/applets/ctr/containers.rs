//! `tug ctr containers`: the records.

use super::{Ctr, print_list};
use crate::applets::client::options::Options;
use crate::applets::client::print;
use crate::engine::record;
use crate::engine::remove::Removal;
use crate::error::Result;
use crate::json;
use crate::json::node;

pub fn list(ctr: &Ctr, options: &mut Options) -> Result<u8> {
    let mut rows = String::from("CONTAINER\tIMAGE\tRUNTIME\tNAME\n");
    for id in ctr.recorded()? {
        let name = ctr.name(&id);
        let Some(asked) = ctr.asked(&id) else {
            rows.push_str(&format!("{id}\t(unreadable)\t\t{name}\n"));
            continue;
        };
        let runtime = asked.host_config.and_then(|host| host.runtime);
        let runtime = runtime.unwrap_or_default();
        let image = asked.image.unwrap_or_default();
        rows.push_str(&format!("{id}\t{image}\t{runtime}\t{name}\n"));
    }
    print_list(&rows, options)
}

/// Both records, as they lie on the disk.
pub fn info(ctr: &Ctr, options: &mut Options) -> Result<u8> {
    let id = ctr.find(&options.args[0])?;
    let dir = ctr.data_dir(&id);
    let read = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap_or("null".to_string());
    let text = format!(
        "{{\"Asked\":{},\"Happened\":{}}}",
        read(record::CONFIG),
        read(record::STATE)
    );
    // Whatever is wrong with it, the record is what was asked for.
    json::node::Node::new(&text, &dir.display().to_string())?;
    print::line(&node::pretty(&text))?;
    Ok(0)
}

pub fn remove(ctr: &Ctr, options: &mut Options) -> Result<u8> {
    ctr.as_engine("rm", |engine| {
        for name in &options.args {
            engine.remove(&engine.find(name)?, Removal::default())?;
            print::line(name)?;
        }
        Ok(0)
    })
}
