//! What can be said in `#[span(…)]`.

use proc_macro2::{Ident, Span};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, Expr, LitStr, Path, Result, Token, parenthesized};

use crate::kind::Kind;
use crate::nearest::nearest;

const OPTIONS: [&str; 11] =
    ["name", "kind", "fields", "args", "skip", "err", "ret", "parent", "root", "as", "crate"];

#[derive(Default)]
pub(crate) struct Options {
    pub(crate) name: Option<LitStr>,
    pub(crate) kind: Option<Kind>,
    pub(crate) fields: Vec<Field>,
    pub(crate) args: Option<Span>,
    pub(crate) skip: Vec<Ident>,
    pub(crate) err: Option<Said<By>>,
    pub(crate) ret: Option<Said<By>>,
    pub(crate) parent: Option<Expr>,
    pub(crate) root: Option<Span>,
    pub(crate) binding: Option<Ident>,
    pub(crate) krate: Option<Path>,
}

/// What was said, and where.
pub(crate) struct Said<T> {
    pub(crate) value: T,
    pub(crate) span: Span,
}

/// The way in which a value is recorded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// As it is: of an error all that is known, of a field what an attribute can be.
    Itself,
    Display,
    Debug,
    Serialize,
}

/// `key = value`.
pub(crate) struct Field {
    pub(crate) key: LitStr,
    pub(crate) value: Expr,
    pub(crate) by: By,
}

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut options = Options::default();
        let mut given: Vec<String> = Vec::new();
        while !input.is_empty() {
            let option = Ident::parse_any(input)?;
            let name = option.to_string();
            if !OPTIONS.contains(&name.as_str()) {
                let message = format!("there is no option `{name}`{}", nearest(&name, &OPTIONS));
                return Err(Error::new(option.span(), message));
            }
            if given.contains(&name) {
                return Err(Error::new(option.span(), format!("`{name}` is given twice")));
            }
            options.parse_option(&option, input)?;
            given.push(name);
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        match (&options.parent, options.root) {
            (Some(_), Some(root)) => Err(Error::new(root, "a root has no parent: give `parent` or `root`")),
            _ => Ok(options),
        }
    }
}

impl Options {
    fn parse_option(&mut self, option: &Ident, input: ParseStream<'_>) -> Result<()> {
        match option.to_string().as_str() {
            "args" => self.args = Some(option.span()),
            "root" => self.root = Some(option.span()),
            "skip" => self.skip = parse_list(input, Ident::parse_any)?,
            "fields" => self.fields = parse_list(input, Field::parse)?,
            "err" => {
                let value = parse_by(input, &[("display", By::Display)])?.unwrap_or(By::Itself);
                self.err = Some(Said { value, span: option.span() });
            }
            "ret" => {
                let ways = [("display", By::Display), ("debug", By::Debug)];
                let value = parse_by(input, &ways)?.unwrap_or(By::Serialize);
                self.ret = Some(Said { value, span: option.span() });
            }
            _ => {
                input.parse::<Token![=]>()?;
                return self.parse_value(option, input);
            }
        }
        Ok(())
    }

    fn parse_value(&mut self, option: &Ident, input: ParseStream<'_>) -> Result<()> {
        match option.to_string().as_str() {
            "name" => {
                let name: LitStr = input.parse()?;
                if name.value().is_empty() {
                    return Err(Error::new(name.span(), "a span needs a name"));
                }
                self.name = Some(name);
            }
            "kind" => self.kind = Some(Kind::parse(&Ident::parse_any(input)?)?),
            "parent" => self.parent = Some(input.parse()?),
            "as" => self.binding = Some(input.parse()?),
            "crate" => self.krate = Some(Path::parse_mod_style(input)?),
            _ => unreachable!("the name was looked up in the list of options"),
        }
        Ok(())
    }
}

/// What is between parentheses.
fn parse_list<T>(input: ParseStream<'_>, parse: fn(ParseStream<'_>) -> Result<T>) -> Result<Vec<T>> {
    let list;
    parenthesized!(list in input);
    let items = Punctuated::<T, Token![,]>::parse_terminated_with(&list, parse)?;
    Ok(items.into_iter().collect())
}

/// What is after the `=`, if there is one.
fn parse_by(input: ParseStream<'_>, ways: &[(&str, By)]) -> Result<Option<By>> {
    if input.parse::<Option<Token![=]>>()?.is_none() {
        return Ok(None);
    }
    let ident = Ident::parse_any(input)?;
    let name = ident.to_string();
    match ways.iter().find(|(way, _)| *way == name) {
        Some(&(_, by)) => Ok(Some(by)),
        None => {
            let names: Vec<&str> = ways.iter().map(|(way, _)| *way).collect();
            let message = format!("there is no way `{name}` to record this{}", nearest(&name, &names));
            Err(Error::new(ident.span(), message))
        }
    }
}

impl Field {
    /// `key = value`, or a variable that is the key and the value.
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let by = By::parse(input)?;
        if by != By::Itself || input.peek(syn::Ident) && (input.peek2(Token![,]) || is_last(input)) {
            let variable: Ident = input.parse()?;
            let key = LitStr::new(&variable.unraw().to_string(), variable.span());
            let value = Expr::Path(syn::ExprPath { attrs: Vec::new(), qself: None, path: variable.into() });
            return Ok(Field { key, value, by });
        }
        let key = if input.peek(LitStr) { input.parse()? } else { parse_key(input)? };
        input.parse::<Token![=]>()?;
        let by = By::parse(input)?;
        Ok(Field { key, value: input.parse()?, by })
    }
}

fn is_last(input: ParseStream<'_>) -> bool {
    let ahead = input.fork();
    ahead.parse::<Ident>().is_ok() && ahead.is_empty()
}

/// `gen_ai.request.model`.
fn parse_key(input: ParseStream<'_>) -> Result<LitStr> {
    let first = Ident::parse_any(input)?;
    let mut key = first.unraw().to_string();
    while input.parse::<Option<Token![.]>>()?.is_some() {
        key.push('.');
        key.push_str(&Ident::parse_any(input)?.unraw().to_string());
    }
    Ok(LitStr::new(&key, first.span()))
}

impl By {
    /// The sign before a field's value.
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        Ok(if input.parse::<Option<Token![%]>>()?.is_some() {
            By::Display
        } else if input.parse::<Option<Token![?]>>()?.is_some() {
            By::Debug
        } else if input.parse::<Option<Token![#]>>()?.is_some() {
            By::Serialize
        } else {
            By::Itself
        })
    }
}
