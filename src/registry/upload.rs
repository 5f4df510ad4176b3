//! Blobs on their way to a registry.

use crate::error::{Error, Kind, Result};
use crate::id;
use crate::registry::transport::{Answer, Body};
use crate::registry::url::Url;
use crate::registry::{Ask, Repository, checked};
use sha2::{Digest, Sha256};
use std::io::{self, Read};

const OCTETS: &str = "Content-Type: application/octet-stream\r\n";

impl Repository {
    /// Send all of `content` as it is read. Answers the digest that it turned out to have, and its size.
    pub fn upload(&self, content: &mut dyn Read) -> Result<(String, u64)> {
        let begun = self.0.ask(&self.0.get("POST", "blobs/uploads/", ""))?;
        let location = self.location(begun)?;
        let mut content = Hashed {
            inner: content,
            hash: Sha256::new(),
            count: 0,
        };
        let lines = format!(
            "{OCTETS}{}",
            self.0.line(self.0.endpoint()?, &location, &self.0.scope)
        );
        let sent = self
            .0
            .transport
            .send("PATCH", &location, &lines, Body::Stream(&mut content))?;
        let mut location = self.location(sent)?;

        let digest = format!("sha256:{}", id::hex(&content.hash.finalize()));
        let separator = if location.target.contains('?') {
            '&'
        } else {
            '?'
        };
        location
            .target
            .push_str(&format!("{separator}digest={digest}"));
        let answer = self.at("PUT", &location, OCTETS)?;
        let status = answer.status;
        checked(answer)?.finish();
        match status {
            201 => Ok((digest, content.count)),
            _ => Err(Error::new(
                Kind::System,
                format!("blob {digest} was sent and not taken: status {status}"),
            )),
        }
    }

    /// Let the registry take a blob from its repository `from`. False: it must be sent.
    pub fn mount_blob(&self, digest: &str, from: &str) -> Result<bool> {
        id::digest_hex(digest)?;
        let target = format!("blobs/uploads/?mount={digest}&from={from}");
        let scope = format!("{} repository:{from}:pull", self.0.scope);
        let answer = self.0.ask(&Ask {
            scope: &scope,
            ..self.0.get("POST", &target, "")
        })?;
        match answer.status {
            201 => {
                answer.finish();
                Ok(true)
            }
            // It has begun an upload instead.
            202 => {
                let location = self.location(answer)?;
                let _ = self.at("DELETE", &location, "").map(Answer::finish);
                Ok(false)
            }
            // Who may not read there, or finds nothing there, sends it.
            401 | 403 | 404 | 405 => {
                answer.finish();
                Ok(false)
            }
            _ => checked(answer).map(|_| false),
        }
    }

    /// Where an upload goes on. Not by a way that anybody can read, if this one is not.
    fn location(&self, answer: Answer) -> Result<Url> {
        let answer = checked(answer)?;
        let told = answer.headers.get("location").unwrap_or_default();
        let here = &self.0.endpoint()?.url;
        let location = here.join(told)?;
        here.check_way_to(&location)?;
        answer.finish();
        Ok(location)
    }

    fn at(&self, method: &str, location: &Url, headers: &str) -> Result<Answer> {
        let ask = self.0.get(method, "", headers);
        self.0.ask_at(self.0.endpoint()?, location, &ask)
    }
}

/// A stream, with its digest on the way.
struct Hashed<'a> {
    inner: &'a mut dyn Read,
    hash: Sha256,
    count: u64,
}

impl Read for Hashed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hash.update(buffer.get(..count).unwrap_or_default());
        self.count += count as u64;
        Ok(count)
    }
}
