//! Which part of a function is its work, and what that work comes to.

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit_mut::{self, VisitMut};
use syn::{
    Error, Expr, ExprAsync, GenericArgument, ItemFn, PathArguments, Result, ReturnType, Stmt, Type,
    TypeParamBound, parse_quote_spanned,
};

/// What is done when the function is called.
pub(crate) enum Work<'a> {
    /// The body.
    Call,
    /// The body, when it is polled.
    Async,
    /// The `async` block at the end of the body: what `#[async_trait]` makes, or somebody wrote who returns a future.
    Future(&'a mut ExprAsync),
}

/// Finds the work of a function.
pub(crate) fn work(function: &mut ItemFn) -> Result<Work<'_>> {
    if function.sig.asyncness.is_some() {
        return Ok(Work::Async);
    }
    let returns_future = matches!(&function.sig.output, ReturnType::Type(_, output) if is_future(output));
    let span = match &function.sig.output {
        ReturnType::Default => function.sig.ident.span(),
        ReturnType::Type(_, output) => output.span(),
    };
    let last = match function.block.stmts.last_mut() {
        Some(Stmt::Expr(last, None)) => async_block(last),
        _ => None,
    };
    match last {
        Some(block) => Ok(Work::Future(block)),
        None if returns_future => Err(Error::new(
            span,
            "the work of the future that is returned is not seen: make this an `async fn`, or end it with `async move { … }` or \
             `Box::pin(async move { … })`",
        )),
        None => Ok(Work::Call),
    }
}

/// The `async` block that an expression is, boxes, or pins.
fn async_block(expr: &mut Expr) -> Option<&mut ExprAsync> {
    match expr {
        Expr::Async(block) => Some(block),
        Expr::Paren(paren) => async_block(&mut paren.expr),
        Expr::Group(group) => async_block(&mut group.expr),
        Expr::MethodCall(call) if call.method == "boxed" || call.method == "boxed_local" => {
            async_block(&mut call.receiver)
        }
        Expr::Call(call) if call.args.len() == 1 && is_box_pin(&call.func) => async_block(&mut call.args[0]),
        _ => None,
    }
}

fn is_box_pin(function: &Expr) -> bool {
    let Expr::Path(function) = function else { return false };
    let mut names = function.path.segments.iter().rev().map(|segment| &segment.ident);
    names.next().is_some_and(|name| name == "pin") && names.next().is_some_and(|name| name == "Box")
}

/// Whether a type says that it is a future: `impl Future`, `Pin<Box<dyn Future>>`, `BoxFuture`.
fn is_future(output: &Type) -> bool {
    match output {
        Type::ImplTrait(output) => output.bounds.iter().any(is_future_bound),
        Type::TraitObject(output) => output.bounds.iter().any(is_future_bound),
        Type::Paren(output) => is_future(&output.elem),
        Type::Group(output) => is_future(&output.elem),
        Type::Path(output) => output.path.segments.last().is_some_and(|last| {
            last.ident == "BoxFuture"
                || last.ident == "LocalBoxFuture"
                || (last.ident == "Pin" || last.ident == "Box")
                    && matches!(&last.arguments, PathArguments::AngleBracketed(of)
                        if of.args.iter().any(|arg| matches!(arg, GenericArgument::Type(of) if is_future(of))))
        }),
        _ => false,
    }
}

fn is_future_bound(bound: &TypeParamBound) -> bool {
    matches!(bound, TypeParamBound::Trait(bound)
        if bound.path.segments.last().is_some_and(|last| last.ident == "Future"))
}

/// The type that a closure with the function's body returns, as far as it can be written there; `None` for `!`.
pub(crate) fn output(output: &ReturnType, here: Span) -> Option<Type> {
    match output {
        _ if never_returns(output) => None,
        ReturnType::Default => Some(parse_quote_spanned!(here=> ())),
        ReturnType::Type(_, output) => {
            let mut output = (**output).clone();
            ImplToInferred.visit_type_mut(&mut output);
            Some(output)
        }
    }
}

/// Whether there is nothing that is done after a call.
pub(crate) fn never_returns(output: &ReturnType) -> bool {
    matches!(output, ReturnType::Type(_, output) if matches!(**output, Type::Never(_)))
}

/// `impl Trait` cannot be written within a body; the compiler finds the type.
struct ImplToInferred;

impl VisitMut for ImplToInferred {
    fn visit_type_mut(&mut self, of: &mut Type) {
        match of {
            Type::ImplTrait(_) => *of = parse_quote_spanned!(of.span()=> _),
            _ => visit_mut::visit_type_mut(self, of),
        }
    }
}

/// Whether a type that was written out cannot be a `Result`.
pub(crate) fn is_no_result(output: &ReturnType) -> bool {
    match output {
        ReturnType::Default => true,
        ReturnType::Type(_, output) => {
            matches!(
                **output,
                Type::Tuple(_) | Type::Array(_) | Type::Slice(_) | Type::Never(_) | Type::Ptr(_)
            )
        }
    }
}
