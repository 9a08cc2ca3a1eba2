//! From a function to one that records its calls.
//!
//! What is written into the function is little: a callsite, how the span is started, and the body as a closure or an `async` block that
//! is handed to `spanring::expansion`. All of it has the hygiene of a macro, so that it and the body do not see each other's names, and is
//! located where the user wrote what it stands for.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::visit_mut::{self, VisitMut};
use syn::{Error, FnArg, ItemFn, PatIdent, Result, ReturnType, Signature, Stmt, parse_quote_spanned};

use crate::body::{self, Work};
use crate::options::{By, Field, Options};

/// The function, recorded.
pub(crate) fn expand(options: &Options, mut function: ItemFn) -> Result<TokenStream> {
    if let Some(token) = function.sig.constness {
        return Err(Error::new(token.span, "a `const fn` cannot be recorded: it may run in the compiler"));
    }
    let variables = variables(function.sig.clone());
    if let Some(unknown) = options.skip.iter().find(|skipped| !variables.contains(skipped)) {
        return Err(Error::new(unknown.span(), format!("there is no argument `{unknown}`")));
    }
    if let Some(first) = options.skip.first().filter(|_| options.args.is_none()) {
        return Err(Error::new(
            first.span(),
            "`skip` says what `args` leaves out: without `args`, no argument is recorded",
        ));
    }
    let signature = function.sig.clone();
    let parts = Parts { options, signature: &signature, variables };
    let work = body::work(&mut function)?;
    if let Some(err) = &options.err
        && !matches!(work, Work::Future(_))
        && body::is_no_result(&signature.output)
    {
        return Err(Error::new(err.span, "`err` needs a function that returns a `Result`"));
    }
    match work {
        Work::Call => function.block.stmts = parts.call(&function.block.stmts),
        Work::Async => function.block.stmts = parts.future(&function.block.stmts, true),
        Work::Future(block) => {
            // It leaves the function, so it may own what it uses; what is within it does.
            block.capture.get_or_insert_default();
            block.block.stmts = parts.future(&block.block.stmts, false);
        }
    }
    Ok(function.into_token_stream())
}

/// The variables that a call's arguments are bound to.
fn variables(mut signature: Signature) -> Vec<Ident> {
    struct Bindings(Vec<Ident>);
    impl VisitMut for Bindings {
        fn visit_pat_ident_mut(&mut self, pattern: &mut PatIdent) {
            self.0.push(pattern.ident.clone());
            visit_mut::visit_pat_ident_mut(self, pattern);
        }
    }
    let mut bindings = Bindings(Vec::new());
    for argument in &mut signature.inputs {
        if let FnArg::Typed(argument) = argument {
            bindings.visit_pat_mut(&mut argument.pat);
        }
    }
    bindings.0
}

struct Parts<'a> {
    options: &'a Options,
    signature: &'a Signature,
    variables: Vec<Ident>,
}

/// What is written by the macro, located where the user wrote something.
fn at(user: Span) -> Span {
    Span::mixed_site().located_at(user)
}

impl Parts<'_> {
    /// The statements of a function that is called.
    fn call(&self, body: &[Stmt]) -> Vec<Stmt> {
        let here = self.at_output();
        let expansion = self.expansion();
        let output =
            body::output(&self.signature.output, here).map(|output| quote_spanned!(here=> -> #output));
        // Passed on at once, a closure may give away what it captures, or lend it for longer; and the braces are the macro's, so that no
        // lint has an opinion on them.
        let work = match output {
            Some(output) => quote_spanned!(here=> #expansion::within(context, move || #output { #(#body)* })),
            None => quote_spanned!(here=> #expansion::within(context, move || { #(#body)* })),
        };
        // Shared, and so to be used in as many closures as the body has.
        self.around(&quote_spanned!(here=> &), &work)
    }

    /// The statements of what is polled. Where they are those of a function, its output is known.
    fn future(&self, body: &[Stmt], is_function: bool) -> Vec<Stmt> {
        let here = self.at_output();
        let expansion = self.expansion();
        // An `async` block cannot say what it comes to, but `return` and `?` must know.
        let output = body::output(&self.signature.output, here).filter(|_| is_function).map(|output| {
            quote_spanned! {here=>
                if let ::core::option::Option::Some(output) = ::core::option::Option::None::<#output> {
                    return output;
                }
            }
        });
        let work =
            quote_spanned!(here=> #expansion::Body::new(context, async move { #output #(#body)* }).await);
        // Exclusive, and so to be sent to other threads, as the future is.
        self.around(&quote_spanned!(here=> &mut), &work)
    }

    /// The work, with what comes before and after it.
    fn around(&self, reference: &TokenStream, work: &TokenStream) -> Vec<Stmt> {
        let here = self.at_output();
        let krate = self.krate();
        let start = self.start();
        let binding = self.options.binding.as_ref().map(
            |name| quote_spanned!(at(name.span())=> let #name: #reference #krate::Span = call.span_mut();),
        );
        if body::never_returns(&self.signature.output) {
            return parse_quote_spanned!(here=> #start #binding #work);
        }
        let outcome = self.outcome();
        parse_quote_spanned! {here=>
            #start
            #binding
            let result = #work;
            #outcome
            call.end();
            result
        }
    }

    /// Where it says what the function returns.
    fn at_output(&self) -> Span {
        at(match &self.signature.output {
            ReturnType::Default => self.signature.ident.span(),
            ReturnType::Type(_, output) => output.span(),
        })
    }

    /// Starts the span, if anybody wants it, as `call`.
    fn start(&self) -> TokenStream {
        let here = Span::mixed_site();
        let (krate, expansion) = (self.krate(), self.expansion());
        let name = self.options.name.clone().unwrap_or_else(|| {
            let function = &self.signature.ident;
            syn::LitStr::new(&function.unraw().to_string(), at(function.span()))
        });
        let kind = self.kind();
        let span_name = syn::LitStr::new(&kind.span_name(&name.value()), name.span());
        let variant = Ident::new(kind.variant, here);
        // The line of the function, and not of the attribute.
        let line = quote_spanned!(self.signature.ident.span()=> ::core::line!());

        let mut builder = quote_spanned!(here=> #krate::span(callsite.name()).kind(#krate::Kind::#variant));
        if let Some(parent) = &self.options.parent {
            builder.extend(quote_spanned!(at(parent.span())=> .parent(#expansion::context_of(&(#parent)))));
        } else if self.options.root.is_some() {
            builder.extend(quote_spanned!(here=> .root()));
        }
        if let Some(setter) = kind.setter {
            let setter = Ident::new(setter, here);
            builder.extend(quote_spanned!(here=> .#setter(#name)));
        }
        let sets = self.sets();
        let start = if sets.is_empty() {
            quote_spanned!(here=> start())
        } else {
            quote_spanned!(here=> start_with(|span| { #(#sets)* }))
        };
        let is_mut = self.options.binding.as_ref().map(|_| quote_spanned!(here=> mut));
        quote_spanned! {here=>
            let callsite: &'static #krate::Callsite = {
                static CALLSITE: #krate::Callsite = #krate::Callsite::new(
                    #span_name, #krate::Kind::#variant, ::core::module_path!(), ::core::file!(), #line,
                );
                &CALLSITE
            };
            let #is_mut call = if callsite.is_enabled() {
                #expansion::Call::of(#builder.#start)
            } else {
                #expansion::Call::unrecorded()
            };
            let context = call.context();
        }
    }

    /// What is set on the span when it starts.
    fn sets(&self) -> Vec<TokenStream> {
        let expansion = self.expansion();
        let fields = self.options.fields.iter().map(|Field { key, value, by }| {
            let here = at(value.span());
            match by {
                By::Itself => quote_spanned!(here=> #expansion::set(span, #key, &(#value));),
                By::Display => quote_spanned!(here=> span.set_display(#key, &(#value));),
                By::Debug => {
                    quote_spanned!(here=> span.set_display(#key, &::core::format_args!("{:?}", &(#value)));)
                }
                By::Serialize => quote_spanned!(here=> span.set_value(#key, &(#value));),
            }
        });
        let arguments = self.options.args.map(|here| {
            let here = at(here);
            let name = if self.kind().is_tool() { "TOOL_CALL_ARGUMENTS" } else { "INPUT" };
            let (krate, name) = (self.krate(), Ident::new(name, here));
            let recorded = self.variables.iter().filter(|name| !self.options.skip.contains(name));
            let arguments = recorded.rev().fold(quote_spanned!(here=> ()), |rest, name| {
                let here = at(name.span());
                let key = name.unraw().to_string();
                quote_spanned!(here=> #expansion::argument(#key, &#name, #rest))
            });
            quote_spanned!(here=> span.set_value(#krate::names::#name, &#expansion::Arguments(#arguments));)
        });
        fields.chain(arguments).collect()
    }

    /// Says how it went, of what is in `result`.
    fn outcome(&self) -> Option<TokenStream> {
        let (err, ret) = (&self.options.err, &self.options.ret);
        if err.is_none() && ret.is_none() {
            return None;
        }
        let here = self.at_output();
        let expansion = self.expansion();
        let output = ret.as_ref().map(|ret| {
            let name = if self.kind().is_tool() { "TOOL_CALL_RESULT" } else { "OUTPUT" };
            let (krate, name) = (self.krate(), Ident::new(name, here));
            let name = quote_spanned!(here=> #krate::names::#name);
            match ret.value {
                By::Display => quote_spanned!(here=> span.set_display(#name, value);),
                By::Debug => {
                    quote_spanned!(here=> span.set_display(#name, &::core::format_args!("{:?}", value));)
                }
                By::Itself | By::Serialize => quote_spanned!(here=> span.set_value(#name, value);),
            }
        });
        let recorded = match err {
            None => quote_spanned!(here=> let value = &result; #output),
            Some(err) => {
                let fail = if err.value == By::Display { "fail_display" } else { "fail" };
                let fail = Ident::new(fail, here);
                let value =
                    if ret.is_some() { quote_spanned!(here=> value) } else { quote_spanned!(here=> _) };
                quote_spanned! {here=>
                    match #expansion::outcome(&result) {
                        ::core::result::Result::Ok(#value) => {
                            #output
                            #expansion::succeed(span);
                        }
                        ::core::result::Result::Err(error) => #expansion::#fail(span, error),
                    }
                }
            }
        };
        Some(quote_spanned!(here=> if let ::core::option::Option::Some(span) = call.span() { #recorded }))
    }

    fn kind(&self) -> crate::kind::Kind {
        self.options.kind.unwrap_or(crate::kind::Kind::CUSTOM)
    }

    /// The path of spanring.
    fn krate(&self) -> TokenStream {
        let here = Span::mixed_site();
        match &self.options.krate {
            Some(path) => path.to_token_stream(),
            None => quote_spanned!(here=> ::spanring),
        }
    }

    fn expansion(&self) -> TokenStream {
        let krate = self.krate();
        quote!(#krate::expansion)
    }
}
