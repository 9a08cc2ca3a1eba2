//! `span!` and `event!`.

/// Starts a span and sets attributes on it. It does not become current: see [`Span::in_scope`](crate::Span::in_scope) and
/// [`InSpan`](crate::InSpan).
///
/// ```
/// let items = vec!["book"];
/// let span = spanring::span!("checkout", items = items.len(), user = "u7");
/// span.set("total_cents", 1999);
/// ```
///
/// The place in the code is a [`Callsite`](crate::Callsite), which a filter can disable. Where it is disabled, or nothing is
/// recorded, the values are not evaluated. The name is a constant; for others there is [`span_named`](crate::span_named).
#[macro_export]
macro_rules! span {
    ($name:expr $(,)?) => {{
        static CALLSITE: $crate::Callsite =
            $crate::Callsite::new($name, $crate::Kind::Custom, module_path!(), file!(), line!());
        if CALLSITE.is_enabled() { $crate::span(CALLSITE.name()).start() } else { $crate::Span::disabled() }
    }};
    ($name:expr, $($key:ident $(. $more:ident)* = $value:expr),+ $(,)?) => {{
        static CALLSITE: $crate::Callsite =
            $crate::Callsite::new($name, $crate::Kind::Custom, module_path!(), file!(), line!());
        if CALLSITE.is_enabled() {
            $crate::span(CALLSITE.name()).start_with(|span| {
                $(span.set(concat!(stringify!($key) $(, ".", stringify!($more))*), $value);)+
            })
        } else {
            $crate::Span::disabled()
        }
    }};
}

/// Records on a span that something happened now.
///
/// ```
/// use spanring::event;
///
/// let call = spanring::llm("mistral-small").start();
/// event!(call, "first token");
/// event!(call, "retry", attempt = 2, reason = "rate limit");
/// ```
///
/// Where the span is not recorded, the values are not evaluated.
#[macro_export]
macro_rules! event {
    ($span:expr, $name:expr $(,)?) => {
        $span.event($name)
    };
    ($span:expr, $name:expr, $($key:ident $(. $more:ident)* = $value:expr),+ $(,)?) => {
        $span.event_with($name, |event| {
            $(event.set(concat!(stringify!($key) $(, ".", stringify!($more))*), $value);)+
        })
    };
}
