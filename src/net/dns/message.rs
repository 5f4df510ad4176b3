//! DNS messages (RFC 1035, section 4): a query taken apart, an answer put together.
//!
//! What comes in is not trusted: each read is bounded by the message, a question's name has no
//! pointers (there is nothing before it to point at), and those of other records are passed over, not
//! followed.

/// Id, flags, and four counts.
const HEADER: usize = 12;

/// What every client takes over UDP (RFC 1035, 4.2.1), and the most that we send there whatever a client
/// allows (RFC 6891, 6.2.5).
const ROOM_MIN: usize = 512;
pub const ROOM_MAX: usize = 4096;

/// A message over TCP has its length in two bytes before it.
pub const TCP_MAX: usize = 65_535;

/// Longer queries are nobody's: a name has at most 255 bytes, and what an option adds is short.
pub const QUERY_MAX: usize = 512;

/// What Docker gives for the names of containers, in seconds.
const TTL: u32 = 600;

pub const FORMAT_ERROR: u8 = 1;
pub const SERVER_FAILURE: u8 = 2;
pub const NOT_IMPLEMENTED: u8 = 4;
pub const REFUSED: u8 = 5;

pub const A: u16 = 1;
pub const PTR: u16 = 12;
pub const AAAA: u16 = 28;
const OPT: u16 = 41;

/// The class of the Internet.
pub const IN: u16 = 1;

/// It is a response; RD: recursion is wanted; TC: there is more over TCP. In the first byte of the flags.
const RESPONSE: u8 = 0x80;
const OPCODE: u8 = 0x78;
const TRUNCATED: u8 = 0x02;
const WANTED: u8 = 0x01;
/// RA: recursion is offered. In the second byte.
const OFFERED: u8 = 0x80;

/// A name that a record shares with the question: a pointer to where that begins.
const NAME_OF_QUESTION: [u8; 2] = [0xc0, HEADER as u8];

/// One question, as we answer it.
pub struct Query<'a> {
    bytes: &'a [u8],
    /// With dots between its labels and none behind. Empty for the root, and for a name that no
    /// container can have.
    pub name: String,
    pub labels: usize,
    pub kind: u16,
    pub class: u16,
    /// Where the question ends.
    end: usize,
    /// What the client takes over UDP.
    pub room: usize,
}

impl<'a> Query<'a> {
    /// The refusal is an error code to answer with; to what is no query nothing is said.
    pub fn parse(bytes: &'a [u8]) -> Result<Query<'a>, Option<u8>> {
        let flags = *bytes.get(2).ok_or(None)?;
        if bytes.len() < HEADER || flags & RESPONSE != 0 {
            return Err(None);
        }
        if flags & OPCODE != 0 {
            return Err(Some(NOT_IMPLEMENTED));
        }
        if bytes.len() > QUERY_MAX || number(bytes, 4) != Some(1) {
            return Err(Some(FORMAT_ERROR));
        }
        let mut query = Query::question(bytes).ok_or(Some(FORMAT_ERROR))?;
        // Only an OPT record may follow what we look at.
        if number(bytes, 6) == Some(0) && number(bytes, 8) == Some(0) {
            let allowed = allowed(bytes, query.end).unwrap_or(ROOM_MIN);
            query.room = allowed.clamp(ROOM_MIN, ROOM_MAX);
        }
        Ok(query)
    }

    fn question(bytes: &[u8]) -> Option<Query<'_>> {
        let mut name = Vec::new();
        let mut labels = 0;
        let mut is_strange = false;
        let mut at = HEADER;
        loop {
            let length = usize::from(*bytes.get(at)?);
            at += 1;
            if length == 0 {
                break;
            }
            // The two bits above are for pointers (4.1.4).
            if length > 63 {
                return None;
            }
            let label = bytes.get(at..at + length)?;
            at += length;
            if !name.is_empty() {
                name.push(b'.');
            }
            // No container is called so, and with it `a.b` would be one label and two.
            is_strange |= label.contains(&b'.');
            name.extend(label);
            labels += 1;
        }
        // With the bytes that say lengths.
        if at - HEADER > 255 {
            return None;
        }
        let name = String::from_utf8(name).ok().filter(|_| !is_strange);
        Some(Query {
            bytes,
            name: name.unwrap_or_default(),
            labels,
            kind: number(bytes, at)?,
            class: number(bytes, at + 2)?,
            end: at + 4,
            room: ROOM_MIN,
        })
    }
}

/// The size of an OPT record's sender's buffer (RFC 6891, 6.1.2): where other records have their class.
fn allowed(bytes: &[u8], mut at: usize) -> Option<usize> {
    for _ in 0..number(bytes, 10)? {
        let is_root = bytes.get(at) == Some(&0);
        while let length @ 1.. = *bytes.get(at)? {
            at += 1 + usize::from(length);
            if length > 63 {
                // A pointer of two bytes ends a name.
                at = at.checked_sub(usize::from(length))?;
                break;
            }
        }
        at += 1;
        if is_root && number(bytes, at) == Some(OPT) {
            return number(bytes, at + 2).map(usize::from);
        }
        at += 10 + usize::from(number(bytes, at + 8)?);
    }
    None
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    let two = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_be_bytes(two.try_into().ok()?))
}

/// An answer without a record as yet.
pub struct Answer {
    bytes: Vec<u8>,
    room: usize,
}

impl Answer {
    /// `room` is how long it may become.
    pub fn to(query: &Query<'_>, room: usize) -> Answer {
        let mut bytes = query.bytes.get(..query.end).unwrap_or_default().to_vec();
        head(&mut bytes, 0);
        Answer { bytes, room }
    }

    /// Add a record of the question's name; once one does not fit, the answer says that it is cut.
    pub fn add(&mut self, kind: u16, data: &[u8]) {
        if self.bytes.len() + 12 + data.len() > self.room {
            return set_truncated(&mut self.bytes);
        }
        self.bytes.extend(NAME_OF_QUESTION);
        self.bytes.extend(kind.to_be_bytes());
        self.bytes.extend(IN.to_be_bytes());
        self.bytes.extend(TTL.to_be_bytes());
        self.bytes.extend((data.len() as u16).to_be_bytes());
        self.bytes.extend(data);
        let count = number(&self.bytes, 6).unwrap_or(0) + 1;
        put(&mut self.bytes, 6, count);
    }

    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// An answer without records, to whatever can be seen of `query`: its question, if it is sound.
pub fn failure(query: &[u8], code: u8) -> Vec<u8> {
    let question = Query::question(query).filter(|_| number(query, 4) == Some(1));
    let end = question.as_ref().map_or(HEADER, |question| question.end);
    let mut bytes = query.get(..end).unwrap_or_default().to_vec();
    head(&mut bytes, code);
    put(&mut bytes, 4, u16::from(question.is_some()));
    bytes
}

/// The same, of a server's answer that does not fit: its client asks again over TCP.
pub fn cut(query: &[u8]) -> Vec<u8> {
    let mut bytes = failure(query, 0);
    set_truncated(&mut bytes);
    bytes
}

/// Make a query's header an answer's, whose question follows and nothing else.
fn head(bytes: &mut [u8], code: u8) {
    if let Some([first, second]) = bytes.get_mut(2..4) {
        *first = RESPONSE | (*first & (OPCODE | WANTED));
        *second = OFFERED | code;
    }
    for count in [6, 8, 10] {
        put(bytes, count, 0);
    }
}

fn set_truncated(bytes: &mut [u8]) {
    if let Some(flags) = bytes.get_mut(2) {
        *flags |= TRUNCATED;
    }
}

fn put(bytes: &mut [u8], at: usize, number: u16) {
    if let Some(two) = bytes.get_mut(at..at + 2) {
        two.copy_from_slice(&number.to_be_bytes());
    }
}

/// A message's id.
pub fn id(bytes: &[u8]) -> u16 {
    number(bytes, 0).unwrap_or(0)
}

pub fn set_id(bytes: &mut [u8], id: u16) {
    put(bytes, 0, id);
}

/// What a server says to `query`, which we sent it.
#[derive(Debug, PartialEq, Eq)]
pub enum Said {
    Answer,
    /// It cannot or will not answer: somebody else may.
    Failure,
    /// It is no answer to this query: late, broken, or from somebody who guesses.
    Nonsense,
}

pub fn judge(query: &[u8], reply: &[u8]) -> Said {
    let Some(end) = Query::question(query).map(|question| question.end) else {
        return Said::Nonsense;
    };
    let (Some(&[first, second]), true) = (reply.get(2..4), reply.len() >= HEADER) else {
        return Said::Nonsense;
    };
    let is_reply = first & (RESPONSE | OPCODE) == RESPONSE && id(reply) == id(query);
    let code = second & 0x0f;
    let is_failure = code == SERVER_FAILURE || code == REFUSED;
    // Some servers leave the question out when they refuse.
    if is_reply && number(reply, 4) == Some(0) && code != 0 {
        return Said::Failure;
    }
    let question = |bytes: &'_ [u8]| bytes.get(HEADER..end).map(<[u8]>::to_ascii_lowercase);
    if !is_reply || number(reply, 4) != Some(1) || question(reply) != question(query) {
        return Said::Nonsense;
    }
    match is_failure {
        true => Said::Failure,
        false => Said::Answer,
    }
}

/// A name as a record holds it; `None` if it is none that DNS can carry.
pub fn encode(name: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(name.len() + 2);
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok()?;
        if !(1..=63).contains(&length) {
            return None;
        }
        bytes.push(length);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    (bytes.len() <= 255).then_some(bytes)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// What a client sends: a question, recursion wanted.
    pub fn question(id: u16, name: &str, kind: u16) -> Vec<u8> {
        let mut bytes = id.to_be_bytes().to_vec();
        bytes.extend([WANTED, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        bytes.extend(encode(name).unwrap());
        bytes.extend(kind.to_be_bytes());
        bytes.extend(IN.to_be_bytes());
        bytes
    }

    fn with_option(mut bytes: Vec<u8>, size: u16) -> Vec<u8> {
        bytes[11] = 1;
        bytes.extend([0, 0, OPT as u8]);
        bytes.extend(size.to_be_bytes());
        bytes.extend([0; 6]);
        bytes
    }

    fn refusal(bytes: &[u8]) -> Option<u8> {
        Query::parse(bytes).err().unwrap()
    }

    #[test]
    fn a_query_is_taken_apart() {
        let bytes = question(7, "Web.lab", A);
        let query = Query::parse(&bytes).unwrap();
        assert_eq!((query.name.as_str(), query.labels), ("Web.lab", 2));
        assert_eq!((query.kind, query.class, query.room), (A, IN, 512));
        for (size, room) in [(100, 512), (1232, 1232), (65_535, ROOM_MAX)] {
            let bytes = with_option(question(7, "web", AAAA), size);
            assert_eq!(Query::parse(&bytes).unwrap().room, room);
        }
    }

    #[test]
    fn what_is_no_query_gets_no_answer_and_what_is_wrong_an_error() {
        let good = question(7, "web", A);
        for end in 0..HEADER {
            assert_eq!(refusal(&good[..end]), None, "{end}");
        }
        for end in HEADER..good.len() {
            assert_eq!(refusal(&good[..end]), Some(FORMAT_ERROR), "{end}");
        }
        let changed = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            refusal(&bytes)
        };
        assert_eq!(changed(2, RESPONSE), None);
        // A status request, a notification, an update.
        assert_eq!(changed(2, 2 << 3), Some(NOT_IMPLEMENTED));
        assert_eq!(changed(2, 5 << 3), Some(NOT_IMPLEMENTED));
        assert_eq!(changed(5, 0), Some(FORMAT_ERROR));
        assert_eq!(changed(5, 2), Some(FORMAT_ERROR));
        // A label's length that is too long, and a pointer: to itself, and to somewhere.
        for byte in [64, 0xc0, 0xff] {
            assert_eq!(changed(HEADER, byte), Some(FORMAT_ERROR));
        }
        let mut long = good.clone();
        long.resize(QUERY_MAX + 1, 0);
        assert_eq!(refusal(&long), Some(FORMAT_ERROR));
    }

    #[test]
    fn names_end_where_dns_ends_them() {
        let label = "x".repeat(63);
        let name = [label.as_str(); 4].join(".");
        assert_eq!(encode(&name), None);
        assert_eq!(encode("a..b"), None);
        assert_eq!(encode(&"x".repeat(64)), None);
        let longest = format!("{0}.{0}.{0}.{1}", label, "x".repeat(61));
        assert_eq!(encode(&longest).unwrap().len(), 255);
        assert!(Query::parse(&question(1, &longest, A)).is_ok());
        // A dot within a label, and bytes that are no text, are nobody's name.
        for odd in [&b"a.b"[..], &[0xff, 0xfe]] {
            let mut bytes = question(1, "x", A);
            let mut label = vec![odd.len() as u8];
            label.extend(odd);
            bytes.splice(HEADER..HEADER + 2, label);
            let query = Query::parse(&bytes).unwrap();
            assert_eq!((query.name.as_str(), query.labels), ("", 1));
        }
    }

    #[test]
    fn an_answer_has_the_question_and_as_many_records_as_fit() {
        let bytes = with_option(question(0x1234, "web", A), 1232);
        let query = Query::parse(&bytes).unwrap();
        let mut answer = Answer::to(&query, 512);
        answer.add(A, &[10, 0, 0, 2]);
        assert_eq!(
            answer.finish(),
            [
                &[0x12, 0x34, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0][..],
                b"\x03web\0\0\x01\0\x01",
                &[0xc0, 12, 0, 1, 0, 1, 0, 0, 2, 88, 0, 4, 10, 0, 0, 2],
            ]
            .concat()
        );
        let mut answer = Answer::to(&query, 512);
        for _ in 0..100 {
            answer.add(A, &[10, 0, 0, 2]);
        }
        let answer = answer.finish();
        assert_eq!(answer[2], RESPONSE | WANTED | TRUNCATED);
        assert_eq!(number(&answer, 6), Some(30));
        assert_eq!(answer.len(), 21 + 30 * 16);
    }

    #[test]
    fn failures_repeat_the_question_if_there_is_one() {
        let bytes = with_option(question(9, "web", A), 1232);
        let said = failure(&bytes, SERVER_FAILURE);
        assert_eq!(said[..12], [0, 9, 0x81, 0x82, 0, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(said[12..], bytes[12..21]);
        assert_eq!(cut(&bytes)[2], 0x83);
        let said = failure(&bytes[..15], FORMAT_ERROR);
        assert_eq!(said, [0, 9, 0x81, 0x81, 0, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn only_an_answer_to_this_very_question_is_one() {
        let asked = question(9, "example.org", A);
        let said = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut reply = question(9, "EXAMPLE.org", A);
            reply[2] |= RESPONSE;
            change(&mut reply);
            judge(&asked, &reply)
        };
        assert_eq!(said(&|_| {}), Said::Answer);
        // Nothing of that name is an answer too.
        assert_eq!(said(&|reply| reply[3] = 3), Said::Answer);
        assert_eq!(said(&|reply| reply[3] = SERVER_FAILURE), Said::Failure);
        assert_eq!(said(&|reply| reply[3] = REFUSED), Said::Failure);
        assert_eq!(
            said(&|reply| {
                reply[3] = REFUSED;
                reply[5] = 0;
                reply.truncate(HEADER);
            }),
            Said::Failure
        );
        assert_eq!(said(&|reply| reply[1] = 8), Said::Nonsense);
        assert_eq!(said(&|reply| reply[2] = 0), Said::Nonsense);
        assert_eq!(said(&|reply| reply[5] = 0), Said::Nonsense);
        assert_eq!(said(&|reply| reply[14] = b'!'), Said::Nonsense);
        assert_eq!(said(&|reply| reply[26] = 28), Said::Nonsense);
        for end in 0..asked.len() {
            assert_eq!(said(&|reply| reply.truncate(end)), Said::Nonsense, "{end}");
        }
    }

    #[test]
    fn no_bytes_make_it_stumble() {
        // The same ones each time (Numerical Recipes' generator).
        let mut seed = 1u32;
        let mut next = move || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 16) as u8
        };
        let good = with_option(question(9, "web.lab.example.org", A), 4096);
        for _ in 0..200_000 {
            let mut bytes = good.clone();
            for _ in 0..next() % 8 {
                let at = usize::from(next()) % bytes.len();
                bytes[at] = next();
            }
            bytes.truncate(usize::from(next()) % (bytes.len() * 2));
            let _ = judge(&good, &bytes);
            let _ = judge(&bytes, &good);
            let answer = match Query::parse(&bytes) {
                Ok(query) => {
                    let mut answer = Answer::to(&query, query.room);
                    answer.add(A, &[1; 4]);
                    answer.finish()
                }
                Err(Some(code)) => failure(&bytes, code),
                Err(None) => continue,
            };
            assert!((HEADER..=ROOM_MIN).contains(&answer.len()));
            assert_eq!(id(&answer), id(&bytes));
        }
    }
}
