//! What is known of a process: which instance it is at the server, and which of its spans are there under which identities.
//!
//! All of it is noted, so that it is known after a restart too. What is known is what the last [`NOTES_MAX`] notes say, whoever has written them, and what was
//! learned since: so a restart changes nothing of what is sent. What is used and was noted long ago is noted again, so that a root stays known while
//! spans come under it, however many.
//!
//! # The notes
//!
//! | key | value |
//! |---|---|
//! | `i`, the instance's digest | the server's identity of it, which was started |
//! | `o`, the instance's digest | nothing: its schemas are refused, and it is another with open ones |
//! | `t`, the instance's digest, two bytes of a number | one byte, 1 where a later version of the schemas declares it, and the name of a type that turned up |
//! | `v`, the instance's digest, two bytes of a number | the server's identity of another instance that it made of a later version |
//! | `s`, the instance's digest, the trace, the span | one byte of bits, and the server's identity: 1 it has ended there, 2 its records of quality are there, 4 it was created as it was announced |
//!
//! Numbers count from 0 on, little-endian. Others are none of this version's, and are passed over.

use std::collections::HashMap;

use spanring::{SpanId, TraceId};
use spanring_spool::{NOTES_MAX, Note};

use super::super::prefactor_answer::ID_LEN_MAX;
use super::latest::Latest;
use super::told::There;

/// How long a note's key is at most: that of a span.
const KEY_LEN_MAX: usize = 1 + 16 + 16 + 8;

/// What something is known of.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Key {
    /// An instance, by its digest.
    Instance(TraceId),
    /// An instance whose schemas are refused.
    Refused(TraceId),
    /// A type that turned up, by its number.
    Type(TraceId, u16),
    /// Another instance that the server made, by its number.
    Later(TraceId, u16),
    /// A span, by its instance's digest.
    Span(TraceId, TraceId, SpanId),
}

/// What is known of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fact<'a> {
    Instance(&'a str),
    Refused,
    Type { name: &'a str, is_declared: bool },
    There(There<'a>),
}

/// A type that turned up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct TurnedUp {
    pub(super) name: Box<str>,
    /// Whether the server took a version of the schemas that declares it.
    pub(super) is_declared: bool,
}

/// What is known of one process.
pub(super) struct Book {
    /// What was noted.
    noted: Latest,
    /// What is to be noted: the values of notes.
    changed: HashMap<Key, Box<[u8]>>,
    /// The keys of those, in the order in which they were learned, and of some that were forgotten since.
    order: Vec<Key>,
    /// The types that an earlier delivery had declared of instances, of what is delivered again.
    past_types: Vec<(TraceId, Box<str>)>,
}

impl Default for Book {
    fn default() -> Self {
        Book::with_room_for(NOTES_MAX as u64)
    }
}

impl Book {
    fn with_room_for(max: u64) -> Self {
        let (noted, changed) = (Latest::new(max), HashMap::new());
        Book { noted, changed, order: Vec::new(), past_types: Vec::new() }
    }

    /// The server's identity of an instance that was started.
    pub(super) fn instance(&mut self, digest: TraceId) -> Option<&str> {
        let key = Key::Instance(digest);
        self.keep(&key);
        match self.fact(&key)? {
            Fact::Instance(id) => Some(id),
            _ => None,
        }
    }

    pub(super) fn set_instance(&mut self, digest: TraceId, id: &str) {
        self.learn(Key::Instance(digest), Fact::Instance(id));
    }

    /// Whether an instance's schemas are refused.
    pub(super) fn is_refused(&mut self, digest: TraceId) -> bool {
        let key = Key::Refused(digest);
        self.keep(&key);
        self.fact(&key).is_some()
    }

    pub(super) fn refuse(&mut self, digest: TraceId) {
        self.learn(Key::Refused(digest), Fact::Refused);
    }

    /// The types that turned up in an instance, in that order.
    pub(super) fn types(&mut self, digest: TraceId) -> Vec<TurnedUp> {
        let mut types = Vec::new();
        for key in (0..).map(|number| Key::Type(digest, number)) {
            self.keep(&key);
            match self.fact(&key) {
                Some(Fact::Type { name, is_declared }) => {
                    types.push(TurnedUp { name: name.into(), is_declared });
                }
                _ => break,
            }
        }
        types
    }

    /// Those of them that a version of the schemas declares.
    pub(super) fn declared(&self, digest: TraceId) -> Vec<&str> {
        let known = (0..).map_while(|number| self.fact(&Key::Type(digest, number)));
        let types = known.filter_map(|fact| match fact {
            Fact::Type { name, is_declared: true } => Some(name),
            _ => None,
        });
        types.collect()
    }

    pub(super) fn add_type(&mut self, digest: TraceId, of: &TurnedUp) {
        let number = self.types(digest).len();
        if let Ok(number) = u16::try_from(number) {
            let fact = Fact::Type { name: &of.name, is_declared: of.is_declared };
            self.learn(Key::Type(digest, number), fact);
        }
    }

    /// The server's identities of other instances that it made of later versions of an instance's schemas, in that order.
    pub(super) fn later(&mut self, digest: TraceId) -> Vec<String> {
        let mut later = Vec::new();
        for key in (0..).map(|number| Key::Later(digest, number)) {
            self.keep(&key);
            match self.fact(&key) {
                Some(Fact::Instance(id)) => later.push(id.to_owned()),
                _ => break,
            }
        }
        later
    }

    pub(super) fn add_later(&mut self, digest: TraceId, id: &str) {
        let number = self.later(digest).len();
        if let Ok(number) = u16::try_from(number) {
            self.learn(Key::Later(digest, number), Fact::Instance(id));
        }
    }

    /// The server's identities of all instances that were noted, the oldest note first.
    pub(super) fn noted_instances(&self) -> impl Iterator<Item = &str> {
        self.noted.iter().filter_map(|(key, value)| match Fact::decode(*key.first()?, value)? {
            Fact::Instance(id) => Some(id),
            _ => None,
        })
    }

    /// What is there of a span.
    pub(super) fn span(&self, key: &Key) -> Option<There<'_>> {
        match self.fact(key)? {
            Fact::There(there) => Some(there),
            _ => None,
        }
    }

    /// The same of one that others are under, which stays known.
    pub(super) fn parent(&mut self, key: &Key) -> Option<There<'_>> {
        self.keep(key);
        self.span(key)
    }

    pub(super) fn set_span(&mut self, key: Key, there: There<'_>) {
        self.learn(key, Fact::There(there));
    }

    /// Changes what is there of a span that is known.
    pub(super) fn change_span(&mut self, key: &Key, change: impl FnOnce(&mut There<'_>)) {
        if let Some(mut there) = self.span(key) {
            change(&mut there);
            let value = Fact::There(there).encode();
            self.change(key.clone(), value);
        }
    }

    /// Forgets a span that the server has forgotten.
    pub(super) fn forget_span(&mut self, key: &Key) {
        self.changed.remove(key);
        self.noted.forget(key.bytes().as_slice());
    }

    fn fact(&self, key: &Key) -> Option<Fact<'_>> {
        let key_bytes = key.bytes();
        let value = match self.changed.get(key) {
            Some(value) => value,
            None => self.noted.get(key_bytes.as_slice())?,
        };
        Fact::decode(key_bytes.sort(), value)
    }

    /// Has something noted again that is used, if that was long ago.
    fn keep(&mut self, key: &Key) {
        let bytes = key.bytes();
        if self.noted.is_old(bytes.as_slice())
            && !self.changed.contains_key(key)
            && let Some(value) = self.noted.get(bytes.as_slice())
        {
            let value = value.into();
            self.change(key.clone(), value);
        }
    }

    fn learn(&mut self, key: Key, fact: Fact<'_>) {
        if self.fact(&key) != Some(fact) {
            self.change(key, fact.encode());
        }
    }

    fn change(&mut self, key: Key, value: Box<[u8]>) {
        if self.changed.insert(key.clone(), value).is_none() {
            self.order.push(key);
        }
    }

    /// Takes what is to be noted, and forgets what no note that is kept says any more.
    pub(super) fn take(&mut self) -> Vec<Note> {
        let mut notes = Vec::new();
        for key in std::mem::take(&mut self.order) {
            // What was forgotten meanwhile is not noted, nor twice what was learned anew after that.
            if let Some(value) = self.changed.remove(&key) {
                let key = key.bytes();
                self.noted.push(key.as_slice(), &value);
                notes.push(Note { key: key.as_slice().to_vec(), value: value.into_vec() });
            }
        }
        notes
    }

    /// Knows what was noted, oldest first.
    pub(super) fn recall(&mut self, notes: Vec<Note>) {
        for note in notes {
            match decode(&note) {
                Some(_) => self.noted.push(&note.key, &note.value),
                None => self.noted.push(&[], &[]),
            }
        }
    }

    /// Knows how what was noted was registered, and not that any of it is there.
    pub(super) fn recall_past(&mut self, notes: Vec<Note>) {
        for (key, fact) in notes.iter().filter_map(decode) {
            match (key, fact) {
                (key @ Key::Refused(_), fact) => self.learn(key, fact),
                (Key::Type(digest, _), Fact::Type { name, is_declared: true }) => {
                    self.past_types.push((digest, name.into()));
                }
                _ => {}
            }
        }
    }

    /// Takes the types that an earlier delivery had declared of an instance.
    pub(super) fn take_past_types(&mut self, digest: TraceId) -> Vec<Box<str>> {
        let (of, others) =
            std::mem::take(&mut self.past_types).into_iter().partition(|(of, _)| *of == digest);
        self.past_types = others;
        let of: Vec<_> = of;
        of.into_iter().map(|(_, name)| name).collect()
    }
}

/// A key as it stands in a note.
struct KeyBytes {
    bytes: [u8; KEY_LEN_MAX],
    len: usize,
}

impl KeyBytes {
    fn of<const N: usize>(sort: u8, parts: [&[u8]; N]) -> Self {
        let mut key = KeyBytes { bytes: [0; KEY_LEN_MAX], len: 1 };
        key.bytes[0] = sort;
        for part in parts {
            key.bytes[key.len..key.len + part.len()].copy_from_slice(part);
            key.len += part.len();
        }
        key
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Of what sort it is.
    fn sort(&self) -> u8 {
        self.bytes[0]
    }
}

impl Key {
    fn bytes(&self) -> KeyBytes {
        match self {
            Key::Instance(digest) => KeyBytes::of(b'i', [&digest.to_bytes()]),
            Key::Refused(digest) => KeyBytes::of(b'o', [&digest.to_bytes()]),
            Key::Type(digest, number) => KeyBytes::of(b't', [&digest.to_bytes(), &number.to_le_bytes()]),
            Key::Later(digest, number) => KeyBytes::of(b'v', [&digest.to_bytes(), &number.to_le_bytes()]),
            Key::Span(digest, trace_id, span_id) => {
                KeyBytes::of(b's', [&digest.to_bytes(), &trace_id.to_bytes(), &span_id.to_bytes()])
            }
        }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (&sort, rest) = bytes.split_first()?;
        let (digest, rest) = rest.split_first_chunk::<16>()?;
        let digest = TraceId::from_bytes(*digest);
        let number = || Some(u16::from_le_bytes(rest.try_into().ok()?));
        match sort {
            b'i' if rest.is_empty() => Some(Key::Instance(digest)),
            b'o' if rest.is_empty() => Some(Key::Refused(digest)),
            b't' => Some(Key::Type(digest, number()?)),
            b'v' => Some(Key::Later(digest, number()?)),
            b's' => {
                let (trace_id, span_id) = rest.split_first_chunk::<16>()?;
                let span_id = SpanId::from_bytes(span_id.try_into().ok()?);
                Some(Key::Span(digest, TraceId::from_bytes(*trace_id), span_id))
            }
            _ => None,
        }
    }
}

impl<'a> Fact<'a> {
    /// The value of the note that says so.
    fn encode(&self) -> Box<[u8]> {
        match self {
            Fact::Instance(id) => id.as_bytes().into(),
            Fact::Refused => Box::default(),
            Fact::Type { name, is_declared } => [&[u8::from(*is_declared)], name.as_bytes()].concat().into(),
            Fact::There(There { id, is_finished, is_recorded, is_announced }) => {
                let bits =
                    u8::from(*is_finished) | u8::from(*is_recorded) << 1 | u8::from(*is_announced) << 2;
                [&[bits], id.as_bytes()].concat().into()
            }
        }
    }

    /// What this value says under a key of this sort, if it is one that [`encode`](Self::encode) makes.
    fn decode(sort: u8, value: &'a [u8]) -> Option<Self> {
        let id = |bytes: &'a [u8]| {
            let id = std::str::from_utf8(bytes).ok()?;
            (1..=ID_LEN_MAX).contains(&id.len()).then_some(id)
        };
        match sort {
            b'i' | b'v' => Some(Fact::Instance(id(value)?)),
            b'o' => value.is_empty().then_some(Fact::Refused),
            b't' => {
                let (&bit, name) = value.split_first().filter(|(bit, _)| **bit < 2)?;
                let name = std::str::from_utf8(name).ok().filter(|name| !name.is_empty())?;
                Some(Fact::Type { name, is_declared: bit == 1 })
            }
            b's' => {
                let (&bits, name) = value.split_first().filter(|(bits, _)| **bits < 8)?;
                let [is_finished, is_recorded, is_announced] = [1, 2, 4].map(|bit| bits & bit != 0);
                Some(Fact::There(There { id: id(name)?, is_finished, is_recorded, is_announced }))
            }
            _ => None,
        }
    }
}

/// What a note says, if it is one of ours.
fn decode(note: &Note) -> Option<(Key, Fact<'_>)> {
    let key = Key::decode(&note.key)?;
    let fact = Fact::decode(*note.key.first()?, &note.value)?;
    Some((key, fact))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn key(number: u8) -> Key {
        Key::Span(TraceId::from_bytes([1; 16]), TraceId::from_bytes([2; 16]), SpanId::from_bytes([number; 8]))
    }

    fn there(number: u8) -> There<'static> {
        let [is_finished, is_recorded, is_announced] = [1, 2, 4].map(|bit| number & bit != 0);
        let id = ["id 0", "id 1", "id 2", "id 3", "id 4", "id 5", "id 6", "id 7"][usize::from(number % 8)];
        There { id, is_finished, is_recorded, is_announced }
    }

    fn note(key: &Key, fact: &Fact<'_>) -> Note {
        Note { key: key.bytes().as_slice().to_vec(), value: fact.encode().into_vec() }
    }

    fn known(book: &Book) -> BTreeSet<u8> {
        (0..=255).filter(|&number| book.span(&key(number)).is_some()).collect()
    }

    #[test]
    fn what_was_noted_is_known_again() {
        let digest = TraceId::from_bytes([9; 16]);
        let mut book = Book::default();
        book.set_instance(digest, "instance 1");
        book.refuse(digest);
        let types = [("a:b", true), ("c", false)]
            .map(|(name, is_declared)| TurnedUp { name: name.into(), is_declared });
        types.iter().for_each(|of| book.add_type(digest, of));
        ["instance 2", "instance 3"].iter().for_each(|id| book.add_later(digest, id));
        (0..8).for_each(|number| book.set_span(key(number), there(number)));
        book.change_span(&key(0), |there| there.is_finished = true);
        let notes = book.take();
        assert_eq!((notes.len(), book.take().len()), (14, 0));
        let mut again = Book::default();
        again.recall(notes);
        assert!(again.instance(digest) == Some("instance 1") && again.is_refused(digest));
        assert_eq!(
            (again.types(digest), again.later(digest)),
            (types.to_vec(), vec!["instance 2".to_owned(), "instance 3".to_owned()])
        );
        assert!(again.span(&key(0)).unwrap().is_finished);
        assert!((1..8).all(|number| again.span(&key(number)) == Some(there(number))));
        assert!(again.take().is_empty());
        let none = TraceId::from_bytes([8; 16]);
        assert!(again.instance(none).is_none() && !again.is_refused(none));
    }

    #[test]
    fn what_is_learned_again_is_not_noted_again_and_what_was_forgotten_is_noted_anew() {
        let mut book = Book::default();
        book.set_span(key(1), there(1));
        assert_eq!(book.take().len(), 1);
        book.set_span(key(1), there(1));
        assert_eq!(book.take().len(), 0);
        book.forget_span(&key(1));
        assert!(book.take().is_empty() && book.span(&key(1)).is_none());
        book.set_span(key(1), there(1));
        book.forget_span(&key(1));
        book.set_span(key(1), there(2));
        let notes = book.take();
        assert_eq!(notes.iter().map(decode).collect::<Vec<_>>(), [Some((key(1), Fact::There(there(2))))]);
    }

    #[test]
    fn a_root_stays_known_while_spans_come_under_it_however_many() {
        let mut book = Book::with_room_for(10);
        book.set_span(key(0), there(0));
        let mut notes = book.take();
        for number in 1..200 {
            assert!(book.parent(&key(0)).is_some(), "{number}");
            book.set_span(key(number), there(number));
            notes.extend(book.take());
            let mut again = Book::with_room_for(10);
            again.recall(notes.clone());
            assert!(again.parent(&key(0)).is_some() && known(&again) == known(&book));
        }
        assert!((199..245).contains(&notes.len()), "it is noted again now and then: {}", notes.len());
        assert!(book.noted.iter().count() <= 10);
    }

    #[test]
    fn what_is_no_note_of_ours_is_passed_over() {
        let whole = note(&key(1), &Fact::There(there(1)));
        let with = |change: fn(&mut Note)| {
            let mut note = whole.clone();
            change(&mut note);
            note
        };
        for wrong in [
            with(|note| note.key[0] = b'x'),
            with(|note| note.key.clear()),
            with(|note| note.key.truncate(20)),
            with(|note| note.key.push(1)),
            with(|note| note.value.clear()),
            with(|note| note.value.truncate(1)),
            with(|note| note.value[0] = 8),
            with(|note| note.value[1] = 0xff),
            with(|note| note.value.extend([b'x'; ID_LEN_MAX])),
            with(|note| note.key = [&b"o"[..], &[1; 16]].concat()),
            with(|note| note.key = [&b"i"[..], &[1; 17]].concat()),
            with(|note| note.key = [&b"v"[..], &[1; 17]].concat()),
            with(|note| (note.key, note.value) = ([&b"t"[..], &[1; 18]].concat(), vec![1])),
            with(|note| (note.key, note.value) = ([&b"t"[..], &[1; 18]].concat(), vec![2, b'x'])),
        ] {
            assert_eq!(decode(&wrong), None, "{wrong:?}");
        }
        assert_eq!(decode(&whole), Some((key(1), Fact::There(there(1)))));
    }

    #[derive(Clone, Debug)]
    enum Op {
        Set(u8, u8),
        Use(u8),
        Forget(u8),
        Take,
        Restart,
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            4 => (0..40_u8, 0..8_u8).prop_map(|(number, of)| Op::Set(number, of)),
            2 => (0..40_u8).prop_map(Op::Use),
            1 => (0..40_u8).prop_map(Op::Forget),
            2 => Just(Op::Take),
            1 => Just(Op::Restart),
        ]
    }

    proptest! {
        /// Against all that was ever learned, and a list of the notes.
        #[test]
        fn what_is_known_is_true_and_a_restart_behind_what_was_taken_changes_nothing(
            ops in prop::collection::vec(op(), 0..200),
        ) {
            let (mut book, mut notes) = (Book::with_room_for(16), Vec::new());
            let mut learned = HashMap::new();
            for op in ops {
                match op {
                    Op::Set(number, of) => {
                        book.set_span(key(number), there(of));
                        learned.insert(number, there(of));
                        prop_assert!(book.span(&key(number)).is_some());
                    }
                    Op::Use(number) => _ = book.parent(&key(number)),
                    Op::Forget(number) => book.forget_span(&key(number)),
                    Op::Take => notes.extend(book.take()),
                    Op::Restart => {
                        notes.extend(book.take());
                        let mut again = Book::with_room_for(16);
                        again.recall(notes[notes.len().saturating_sub(16)..].to_vec());
                        // What the server has forgotten, and is not there again, is known again; nobody relies on that.
                        prop_assert!(known(&again).is_superset(&known(&book)));
                        book = again;
                    }
                }
                prop_assert!(book.noted.iter().count() <= 16);
                for number in known(&book) {
                    let is_old = || notes.iter().map(decode).any(|note| note == Some((key(number), Fact::There(book.span(&key(number)).unwrap()))));
                    prop_assert!(learned.get(&number).copied() == book.span(&key(number)) || is_old());
                }
            }
        }
    }
}
