//! The attribute that records a function's calls as spans of [spanring](https://docs.rs/spanring), which has it in its prelude.
//!
//! ```
//! use spanring::prelude::*;
//!
//! #[span(kind = tool, args, err)]
//! async fn search(query: &str) -> Result<Vec<String>, std::io::Error> {
//!     Ok(vec![format!("a page about {query}")])
//! }
//!
//! #[span(kind = llm, fields(gen_ai.request.model = model), err, as = call)]
//! async fn ask(model: &str, question: &str) -> Result<String, std::io::Error> {
//!     let pages = search(question).await?; // under this call, which fails if the search does
//!     call.tokens(Tokens::new(812, 94)).event("first token");
//!     Ok(pages.concat())
//! }
//! ```
//!
//! See [`span`](macro@span) for all that can be said. Programs depend on `spanring` and not on this crate.

mod body;
mod expand;
mod kind;
mod nearest;
mod options;

use proc_macro::TokenStream;
use quote::quote;
use syn::{Error, Item, ItemFn, Result, TraitItemFn};

use crate::options::Options;

/// Records each call of a function as a span.
///
/// ```
/// use spanring::prelude::*;
///
/// #[span]
/// fn load(path: &str) -> String {
///     format!("the content of {path}")
/// }
///
/// struct Client;
///
/// #[span(name = "rerank", kind = llm, fields(model, n = docs.len()), err, ret, parent = run, as = call)]
/// async fn rerank(run: Context, client: &Client, model: &str, docs: Vec<String>) -> Result<Vec<String>, std::io::Error> {
///     let _connection = client;
///     call.event("sent");
///     Ok(docs)
/// }
/// # fn main() { load("a"); }
/// ```
///
/// The body runs within the span: what starts meanwhile is under it, on this thread, and for `async` functions on whichever thread polls
/// them. Where nothing is recorded, or a filter disables the function, the body runs and that is all: two loads.
///
/// # What is recorded
///
/// Of the arguments and of what is returned nothing, unless it is asked for: they may be confidential.
///
/// | option | |
/// |---|---|
/// | `name = "…"` | The name, a literal. Otherwise it is the function's. |
/// | `kind = tool` | What the span stands for: a `spanring::Kind` in lower case. Otherwise `custom`. |
/// | `fields(…)` | Attributes, see below. |
/// | `args` | All arguments, by `serde::Serialize`, as one map from names to values: as `arguments` of a tool, as `input` of other kinds. `self` is none of them. |
/// | `skip(a, b)` | With `args`: all but these. |
/// | `ret` | What is returned, by `serde::Serialize`: as `result` of a tool, as `output` of other kinds. With `err` it is what is within `Ok`. `ret = debug` and `ret = display` record it as text. |
/// | `err` | `Err` fails the span, with all that is known of the error, and `Ok` completes it, as `Span::finish` does. `err = display` is for errors that can only be displayed. |
/// | `parent = run` | Under this `Context` or span, and not under the current one. |
/// | `root` | Under none. |
/// | `as = call` | The span under this name in the body. |
/// | `crate = path` | Where spanring is, if it is not at `::spanring`. |
///
/// The functions of an agent, tool or guardrail are called as it is, so the name is recorded as its name too, and the span is called as
/// that of `spanring::tool(name)` and its like is: `execute_tool search`. What calls a model is not called as the model is: of that and
/// the other kinds the name is only the span's.
///
/// ```
/// # use spanring::prelude::*;
/// # #[derive(Debug)] struct Query { text: String }
/// # #[derive(serde::Serialize)] struct Page;
/// #[span(fields(
///     model,                              // what an attribute can be: text, a number, a boolean, bytes, an option of these
///     count = pages.len(),
///     gen_ai.request.top_k = 3,           // any key, quoted where it is no path
///     text = %query.text,                 // by Display
///     ?query,                             // by Debug
///     #pages,                             // by serde::Serialize
/// ))]
/// fn rank(model: &str, query: Query, pages: &[Page]) {}
/// # fn main() { rank("m", Query { text: String::new() }, &[]); }
/// ```
///
/// Fields are looked at and not taken, so the body still has them; they are evaluated only where the span is recorded. The keys of
/// `spanring::names` come to the same as the methods of their names.
///
/// # How it ends
///
/// With `err` as the function does, by `?` or `return` too. Without, a span that ends is complete. By a panic it has failed. A future that
/// is dropped before it was done is cancelled, unless the body said otherwise; one that was never polled records nothing.
///
/// # The span in the body
///
/// There is no way to the current span but by name: `as = call` binds it. In a function it is a `&Span`. In an `async` one it is a
/// `&mut Span`, which can be sent between threads as a `&Span` cannot. So `call.tokens(…)` stands between two `.await`s as one likes, but
/// an `.await` within its arguments holds a `&Span` meanwhile, and makes a future that cannot be spawned on several threads: await first.
///
/// # Where it can be
///
/// On functions and methods, generic or not, `async` or not, in traits and their implementations, under `#[async_trait]` too. On functions
/// that return a future if they end with it, as `async move { … }`, or `Box::pin` or `.boxed()` of one: then the future is recorded, and what comes before
/// it is not. Not on a `const fn`. A function with `#[track_caller]` sees as its caller what the attribute made.
///
/// The span of an `async` function starts with the first poll, under what is current then: for a task that is spawned, give it a parent,
/// or spawn `future.in_context(run.context())`.
///
/// `span!` and `spanring::span` are others of the same name. They can be imported beside the prelude, as Rust can tell them apart; without
/// an import it is `#[spanring::prelude::span]`.
#[proc_macro_attribute]
pub fn span(options: TokenStream, item: TokenStream) -> TokenStream {
    let expanded = function(item.clone())
        .and_then(|function| expand::expand(&syn::parse::<Options>(options)?, function));
    match expanded {
        Ok(expanded) => expanded.into(),
        // The function is kept, so that what calls it is not found wrong too.
        Err(error) => {
            let (item, error) = (proc_macro2::TokenStream::from(item), error.into_compile_error());
            quote!(#item #error).into()
        }
    }
}

/// The function that the attribute is on.
fn function(item: TokenStream) -> Result<ItemFn> {
    syn::parse::<ItemFn>(item.clone()).map_err(|error| {
        if let Ok(declared) = syn::parse::<TraitItemFn>(item.clone())
            && declared.default.is_none()
        {
            let message = "there is nothing to record: `#[span]` belongs to the implementations";
            Error::new_spanned(declared.sig.ident, message)
        } else if syn::parse::<Item>(item).is_ok() {
            Error::new(error.span(), "`#[span]` records functions, and this is none")
        } else {
            error
        }
    })
}
