//! Functions of every form compile as they did, without warnings of any kind, and do what they did.

#![deny(warnings, clippy::all, clippy::pedantic)]

use std::fmt::{self, Debug, Display};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as PollContext, Poll, Waker};

use spanring::prelude::*;

use crate::flight::{Flight, Plan};
use crate::tree;

struct Shelf {
    books: Vec<String>,
}

impl Shelf {
    /// With documentation, and other attributes.
    #[span]
    #[must_use]
    #[inline]
    pub(crate) fn by_reference(&self) -> &str {
        &self.books[0]
    }

    #[span]
    fn by_exclusive_reference(&mut self) -> &mut String {
        &mut self.books[0]
    }

    #[span(err)]
    fn by_exclusive_reference_or_not(&mut self, index: usize) -> Result<&mut String, fmt::Error> {
        let count = &mut self.books;
        count.get_mut(index).ok_or(fmt::Error)
    }

    #[span]
    fn by_value(self) -> Vec<String> {
        self.books
    }

    #[span]
    fn by_mutable_value(mut self) -> Self {
        self.books.push("another".to_owned());
        self
    }

    #[span]
    fn boxed(self: Box<Self>) -> String {
        self.books.into_iter().next().unwrap_or_default()
    }

    #[span]
    fn counted(self: Rc<Self>) -> usize {
        Rc::strong_count(&self)
    }

    #[span]
    fn shared(self: Arc<Self>) -> usize {
        self.books.len()
    }

    #[span]
    fn pinned(self: Pin<&mut Self>) -> usize {
        self.get_mut().books.len()
    }

    #[span]
    fn iterate(&self) -> impl Iterator<Item = &String> + '_ {
        self.books.iter()
    }

    #[span(err)]
    fn iterate_or_not(&self) -> Result<impl Iterator<Item = &String>, fmt::Error> {
        if self.books.is_empty() {
            return Err(fmt::Error);
        }
        Ok(self.books.iter())
    }

    #[span]
    async fn first(&self) -> &str {
        &self.books[0]
    }

    #[span(err)]
    async fn last(&mut self) -> Result<&mut String, fmt::Error> {
        self.books.last_mut().ok_or(fmt::Error)
    }

    #[span]
    async fn consumed(mut self) -> Vec<String> {
        self.books.sort();
        self.books
    }
}

#[span(fields(?value, N))]
fn generic<'a, T, const N: usize>(value: &'a T, rest: [u8; N], _: ()) -> (&'a T, impl Debug)
where
    T: Debug + ?Sized,
{
    (value, rest)
}

#[span]
fn takes_impl(value: impl Display, f: impl FnOnce(&str) -> usize) -> usize {
    f(&value.to_string())
}

#[span]
fn takes_dyn(value: &dyn Display, f: &mut dyn FnMut(String)) {
    f(value.to_string());
}

#[span]
fn returns_dyn(boxed: bool) -> Box<dyn Debug> {
    if boxed {
        return Box::new("boxed");
    }
    Box::new(1)
}

#[span]
async fn returns_dyn_later(boxed: bool) -> Box<dyn Debug + Send> {
    if boxed {
        return Box::new("boxed");
    }
    Box::new(1)
}

#[span]
fn longest<'a>(one: &'a str, other: &'a str) -> &'a str {
    if one.len() > other.len() { one } else { other }
}

#[span]
fn patterns((a, mut b): (u32, u32), [first, .., last]: [u32; 3], _: &str) -> u32 {
    b += 1;
    a + b + first + last
}

#[span]
fn mutable(mut count: u32) -> u32 {
    count += 1;
    count
}

#[span]
async fn mutable_later(mut text: String) -> String {
    text.push('!');
    text
}

#[span]
fn consumes(text: String) -> Vec<u8> {
    text.into_bytes()
}

#[span]
fn leaves(code: u32) -> ! {
    panic!("{code}")
}

#[span]
async fn leaves_later(code: u32) -> ! {
    panic!("{code}")
}

#[span(err)]
fn always_fails() -> Result<(), fmt::Error> {
    Err(fmt::Error)
}

#[span]
fn empty() {}

#[span]
async fn empty_later() {}

#[span]
fn literal() -> u32 {
    7
}

#[span]
async fn literal_later() -> u32 {
    7
}

#[span]
async fn only_returns() -> u32 {
    return 7;
}

#[span]
fn r#type(r#fn: u32) -> u32 {
    r#fn
}

/// # Safety
///
/// `number` is where a number is.
#[span(ret)]
#[expect(unsafe_code, reason = "an unsafe function is recorded too")]
unsafe fn reads(number: *const u32) -> u32 {
    // SAFETY: as the caller promised.
    unsafe { *number }
}

#[span]
extern "C" fn called_from_c(number: u32) -> u32 {
    number
}

#[span]
async fn recurs(depth: u32) -> u32 {
    if depth == 0 { 0 } else { Box::pin(recurs(depth - 1)).await + 1 }
}

mod renamed {
    pub(super) mod its {
        pub(crate) use ::spanring as name;
    }
}

#[spanring::prelude::span(crate = renamed::its::name, fields(n), args, err, ret, as = call)]
fn with_another_name(n: u32) -> Result<u32, String> {
    call.event("here");
    Ok(n)
}

trait Greets {
    fn name(&self) -> String;

    #[span]
    fn greets(&self) -> String {
        format!("hello {}", self.name())
    }
}

impl<T: Debug> Greets for Option<T> {
    #[span]
    fn name(&self) -> String {
        format!("{self:?}")
    }
}

fn at_once<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut PollContext::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it is not done"),
    }
}

fn shelf() -> Shelf {
    Shelf { books: vec!["one".to_owned(), "two".to_owned()] }
}

#[test]
fn methods_take_their_self_in_every_form() {
    let mut flight = Flight::start(Plan::default());
    let mut books = shelf();
    books.by_exclusive_reference().push('!');
    books.by_exclusive_reference_or_not(1).unwrap().push('?');
    books.by_exclusive_reference_or_not(2).unwrap_err();
    assert_eq!((books.by_reference(), books.iterate().count()), ("one!", 2));
    assert_eq!(books.iterate_or_not().unwrap().last().unwrap(), "two?");
    assert_eq!(Pin::new(&mut books).pinned(), 2);
    assert_eq!(at_once(books.first()), "one!");
    assert_eq!(at_once(books.last()).unwrap(), "two?");
    assert_eq!(books.by_mutable_value().by_value(), ["one!", "two?", "another"]);
    assert_eq!(Box::new(shelf()).boxed(), "one");
    assert_eq!((Rc::new(shelf()).counted(), Arc::new(shelf()).shared()), (1, 2));
    assert_eq!(at_once(shelf().consumed()), ["one", "two"]);
    assert_eq!(flight.take().len(), 15);
}

#[test]
fn functions_of_every_form_do_what_they_did() {
    let mut flight = Flight::start(Plan::default());
    let (value, rest) = generic("value", [1, 2], ());
    assert_eq!(format!("{value} {rest:?}"), "value [1, 2]");
    assert_eq!(takes_impl(12, str::len), 2);
    let mut taken = String::new();
    takes_dyn(&1, &mut |text| taken = text);
    assert_eq!(taken, "1");
    assert_eq!(format!("{:?} {:?}", returns_dyn(true), returns_dyn(false)), "\"boxed\" 1");
    assert_eq!(
        format!("{:?} {:?}", at_once(returns_dyn_later(true)), at_once(returns_dyn_later(false))),
        "\"boxed\" 1"
    );
    assert_eq!(longest("a", "bc"), "bc");
    assert_eq!(patterns((1, 2), [3, 0, 4], ""), 11);
    assert_eq!((mutable(1), at_once(mutable_later("a".to_owned()))), (2, "a!".to_owned()));
    assert_eq!(consumes("a".to_owned()), b"a");
    assert!(std::panic::catch_unwind(|| leaves(1)).is_err());
    assert!(std::panic::catch_unwind(|| at_once(leaves_later(1))).is_err());
    always_fails().unwrap_err();
    empty();
    at_once(empty_later());
    assert_eq!((literal(), at_once(literal_later()), at_once(only_returns()), r#type(7)), (7, 7, 7, 7));
    let number = 7;
    #[expect(unsafe_code, reason = "an unsafe function is recorded too")]
    // SAFETY: the number is there.
    let read = unsafe { reads(&raw const number) };
    assert_eq!((read, called_from_c(7), with_another_name(7)), (7, 7, Ok(7)));
    assert_eq!(at_once(recurs(3)), 3);
    assert_eq!(Some(1).greets(), "hello Some(1)");
    let tree = tree(&flight.take());
    assert!(
        tree.contains("\ntype\nreads\ncalled_from_c\nwith_another_name\nrecurs\n  recurs\n    recurs\n"),
        "{tree}"
    );
    assert!(tree.ends_with("greets\n  name\n"), "{tree}");
}
