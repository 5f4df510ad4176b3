//! Ours alone, not Docker's: whether the store is sound, and its repair. Answers are lines of JSON.
//!
//! ```text
//! POST /system/check[?quick=1]      {"image":…,"layer":…,"problem":…} for each problem, then
//!                                   {"images":…,"layers":…,"problems":…}
//! POST /system/repair[?archive=1|?from=IMAGE]
//!                                   the body is an archive, as for load; or the image is pulled.
//!                                   {"image"|"layer":…,"outcome":"repaired"|"damaged"|"removed"},
//!                                   {"error":…} for what went wrong on the way
//! ```

use crate::api::{Call, JSON, Reply};
use crate::engine::check::Origin;
use crate::engine::pull::Wanted;
use crate::error::{Error, Result};
use crate::json::object::Object;
use std::io::Write;

pub fn check(call: &mut Call<'_>) -> Result<Reply> {
    let is_quick = call.flag("quick");
    let mut stream = call.connection.stream(200, JSON)?;
    let mut say = |line: &mut Object| {
        let line = line.finish() + "\n";
        let sent = stream.write_all(line.as_bytes());
        sent.map_err(|e| Error::io("send", &e))
    };
    let checked = call.engine.check(is_quick, &mut |problem| {
        let mut line = Object::new();
        line.text("image", &problem.image);
        if let Some(layer) = &problem.layer {
            line.text("layer", &format!("sha256:{layer}"));
        }
        say(line.text("problem", &problem.what))
    });
    match checked {
        Ok(checked) => say(Object::new()
            .number("images", checked.images as u64)
            .number("layers", checked.layers as u64)
            .number("problems", checked.problems as u64))?,
        Err(error) => say(Object::new().text("error", &error.message))?,
    }
    stream.finish()?;
    Ok(Reply::Done)
}

pub fn repair(call: &mut Call<'_>) -> Result<Reply> {
    let wanted = Wanted {
        image: call.query("from").unwrap_or_default().to_string(),
        credentials: call.credentials()?,
        ..Wanted::default()
    };
    let with_archive = call.flag("archive");
    let mut body = call.connection.body();
    let mut from = match wanted.image.is_empty() {
        _ if with_archive => Origin::Archive(&mut body),
        true => Origin::Known,
        false => Origin::Image(&wanted),
    };
    let repair = call.engine.repair(&mut from)?;
    let mut text = String::new();
    let mut say = |kind: &str, list: &[String], outcome: &str| {
        for digits in list {
            let mut line = Object::new();
            line.text(kind, &format!("sha256:{digits}"));
            text += &line.text("outcome", outcome).finish();
            text.push('\n');
        }
    };
    say("image", &repair.repaired.images, "repaired");
    say("layer", &repair.repaired.layers, "repaired");
    say("image", &repair.left.images, "damaged");
    say("layer", &repair.left.layers, "damaged");
    say("image", &repair.dropped, "removed");
    for error in &repair.failures {
        text += &Object::new().text("error", &error.message).finish();
        text.push('\n');
    }
    call.connection.respond(200, JSON, text.as_bytes())?;
    Ok(Reply::Done)
}
