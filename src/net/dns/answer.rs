//! What is said to a query: of containers we know all, the rest is for other servers.

use super::message::{self, A, AAAA, Answer, IN, PTR, Query};
use super::names::Table;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub enum Verdict {
    Say(Vec<u8>),
    /// To be asked elsewhere; the answer may be so long.
    Ask {
        room: usize,
    },
    /// It is no query.
    Ignore,
}

/// `has_ndots`: the user wants names without a dot completed by his search domains. Then they are not
/// asked for outside, as with Docker.
pub fn judge(bytes: &[u8], table: &mut Table, has_ndots: bool, is_tcp: bool) -> Verdict {
    let query = match Query::parse(bytes) {
        Ok(query) => query,
        Err(None) => return Verdict::Ignore,
        Err(Some(code)) => return Verdict::Say(message::failure(bytes, code)),
    };
    let room = if is_tcp { message::TCP_MAX } else { query.room };
    if let Some(records) = records(&query, table).filter(|_| query.class == IN) {
        let mut answer = Answer::to(&query, room);
        for data in records {
            answer.add(query.kind, &data);
        }
        return Verdict::Say(answer.finish());
    }
    if has_ndots && query.labels < 2 && matches!(query.kind, A | AAAA) {
        return Verdict::Say(message::failure(bytes, 0));
    }
    Verdict::Ask { room }
}

/// What we have of the kind that is asked for. None of it is an answer too: the name is ours. Docker
/// asks outside for kinds other than addresses and mail servers; who there says that there is no such
/// name (as for HTTPS records) would be believed.
fn records(query: &Query<'_>, table: &mut Table) -> Option<Vec<Vec<u8>>> {
    if query.name.is_empty() {
        return None;
    }
    if query.kind == PTR
        && let Some(address) = reversed(&query.name)
    {
        let name = message::encode(&table.name_of(address)?)?;
        return Some(vec![name]);
    }
    let found = table.find(&query.name)?;
    let data = |address: IpAddr| match (address, query.kind) {
        (IpAddr::V4(v4), A) => Some(v4.octets().to_vec()),
        (IpAddr::V6(v6), AAAA) => Some(v6.octets().to_vec()),
        _ => None,
    };
    Some(found.into_iter().filter_map(data).collect())
}

/// The address that such a name stands for: `2.0.1.10.in-addr.arpa` (RFC 1035, 3.5), and 32 digits
/// before `ip6.arpa` (RFC 3596, 2.5).
fn reversed(name: &str) -> Option<IpAddr> {
    let name = name.to_ascii_lowercase();
    if let Some(parts) = name.strip_suffix(".in-addr.arpa") {
        let mut octets = [0u8; 4];
        let mut parts = parts.rsplit('.');
        for octet in &mut octets {
            *octet = parts.next()?.parse().ok()?;
        }
        return parts
            .next()
            .is_none()
            .then(|| Ipv4Addr::from(octets).into());
    }
    let parts = name.strip_suffix(".ip6.arpa")?;
    let mut bits = 0u128;
    let mut count = 0;
    for part in parts.rsplit('.') {
        let digit = u128::from_str_radix(part, 16)
            .ok()
            .filter(|_| part.len() == 1);
        bits = bits << 4 | digit?;
        count += 1;
    }
    (count == 32).then(|| Ipv6Addr::from(bits).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reversed_addresses_are_read() {
        let read = |name: &str| reversed(name).map(|address| address.to_string());
        assert_eq!(read("2.0.1.10.IN-ADDR.arpa").unwrap(), "10.1.0.2");
        let zeros = "0.".repeat(27);
        assert_eq!(
            read(&format!("2.0.0.{zeros}D.f.ip6.arpa")).unwrap(),
            "fd00::2"
        );
        for bad in [
            "0.1.10.in-addr.arpa",
            "1.2.0.1.10.in-addr.arpa",
            "256.0.1.10.in-addr.arpa",
            "x.0.1.10.in-addr.arpa",
            "in-addr.arpa",
            "2.0.1.10.in-addr.arpa.lab",
            "2.0.d.f.ip6.arpa",
            &format!("2.+.0.{zeros}d.f.ip6.arpa"),
            &format!("2.00.0.{zeros}d.f.ip6.arpa"),
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
