//! A trace as indented text.

use std::io::{self, Write};

use spanring::{Lifecycle, Status};

use super::colour::{Colour, GREEN, Paint, RED, YELLOW};
use super::figures::Figures;
use super::shown::{Count, Duration, Money, Shown};
use super::tree::{Node, Place, Tree};
use super::{Trace, never_started};
use crate::SpanData;

/// How many characters of a span's name are shown.
const NAME_CHARS_MAX: usize = 100;
/// How many characters of a model's name are shown.
const MODEL_CHARS_MAX: usize = 40;
/// How many characters of what was said about a failure are shown.
const MESSAGE_CHARS_MAX: usize = 40;
/// Deeper spans are indented no further, and say how deep they are: a line must not grow with the trace.
const INDENT_MAX: usize = 32;

impl Trace {
    /// Writes the trace as indented text: a line a span, and one more for each that has others under it with tokens or cost, which
    /// tells the total.
    ///
    /// ```text
    /// Trace 0af7651916cd43dd8448eb211c80319c  2.1 s  4 spans
    /// └─ research  ok  2.1 s
    ///    │  Total (with children): in=812 out=94 tok  $0.0008
    ///    ├─ chat gpt-4o [gpt-4o]  ok  1.1 s  in=812 out=94 tok  $0.0008  [1 event]
    ///    │  └─ execute_tool search  error  20.3 ms  no such host
    ///    └─ chat gpt-4o [gpt-4o]  error (interrupted)  900.0 ms
    /// ```
    ///
    /// Behind the events stands how many values were cut, `[2 cut]`. What was said about a status that is no failure stands
    /// in parentheses. A span that never started has no duration, and neither has one that is open; of that `(process died)` says
    /// that its end may be in what its process left, and is known once that is recovered.
    ///
    /// What terminals obey in names and messages is shown escaped.
    ///
    /// # Errors
    ///
    /// The writer's.
    pub fn print_tree(&self, to: &mut impl Write, colour: Colour) -> io::Result<()> {
        let tree = self.tree();
        let paint = Paint::of(colour);
        let duration = Duration(self.end_unix_ns().saturating_sub(self.start_unix_ns()));
        let count = Count { count: self.spans().len() as u64, one: "span", many: "spans" };
        writeln!(to, "{}Trace {}{}  {duration}  {count}", paint.bold(), self.trace_id(), paint.off())?;
        Printer { tree: &tree, paint, more: Vec::new() }.print(to)
    }
}

struct Printer<'t, 'a> {
    tree: &'t Tree<'a>,
    paint: Paint,
    /// For each level down to the current node's whether it has a later sibling there.
    more: Vec<bool>,
}

impl Printer<'_, '_> {
    fn print(&mut self, to: &mut impl Write) -> io::Result<()> {
        // Behind the last node under each ancestor of the current one.
        let mut ends = vec![self.tree.nodes().len()];
        for node in self.tree.nodes() {
            ends.truncate(node.depth + 1);
            self.more.truncate(node.depth);
            let end = node.at() + 1 + node.descendants;
            self.more.push(ends.last().is_some_and(|&end_of_siblings| end < end_of_siblings));
            ends.push(end);
            self.line(to, node)?;
            self.total(to, node)?;
        }
        Ok(())
    }

    fn line(&self, to: &mut impl Write, node: &Node<'_>) -> io::Result<()> {
        let span = node.span;
        self.indent(to, node.depth)?;
        if node.depth < INDENT_MAX {
            to.write_all(if self.more[node.depth] { "├─ " } else { "└─ " }.as_bytes())?;
        } else {
            write!(to, "({} deep) ", node.depth)?;
        }
        write!(to, "{}", Shown { text: &span.name, chars_max: NAME_CHARS_MAX })?;
        if let Some(model) = span.model().filter(|model| !model.is_empty()) {
            write!(to, " [{}]", Shown { text: model, chars_max: MODEL_CHARS_MAX })?;
        }
        let (status, colour) = status(span);
        write!(to, "  {}{status}{}", self.paint.colour(colour), self.paint.off())?;
        for (is_so, mark) in [
            (span.interrupted && !span.is_open && !never_started(span), "interrupted"),
            (never_started(span), "never started"),
            (span.is_open && span.status != Status::Unset, "open"),
            (span.is_open && span.interrupted, "process died"),
            (node.place == Place::Orphan, "its parent is missing"),
            (node.place == Place::Cycle, "it is its own ancestor"),
        ] {
            if is_so {
                write!(to, " ({mark})")?;
            }
        }
        if !span.is_open && !never_started(span) {
            write!(to, "  {}", Duration(span.duration_ns()))?;
        }
        figures(to, &node.own)?;
        if !span.events.is_empty() {
            write!(to, "  [{}]", Count { count: span.events.len() as u64, one: "event", many: "events" })?;
        }
        if span.cut > 0 {
            write!(to, "  [{} cut]", span.cut)?;
        }
        if let Some(text) = message(span) {
            let shown = Shown { text, chars_max: MESSAGE_CHARS_MAX };
            match span.status {
                Status::Ok | Status::Unset => {
                    write!(to, "  {}({shown}){}", self.paint.dim(), self.paint.off())?
                }
                _ => write!(to, "  {shown}")?,
            }
        }
        writeln!(to)
    }

    /// A line of its own for what the span and those under it come to, if those have figures.
    fn total(&self, to: &mut impl Write, node: &Node<'_>) -> io::Result<()> {
        if self.tree.children(node).all(|child| child.total.is_empty()) {
            return Ok(());
        }
        self.indent(to, node.depth + 1)?;
        let bar = if node.depth + 1 < INDENT_MAX { "│  " } else { "" };
        write!(to, "{bar}{}Total (with children):{}", self.paint.bold(), self.paint.off())?;
        let mut line = Vec::new();
        figures(&mut line, &node.total)?;
        to.write_all(line.get(1..).unwrap_or_default())?;
        writeln!(to)
    }

    /// What stands before the branch of a span at this depth.
    fn indent(&self, to: &mut impl Write, depth: usize) -> io::Result<()> {
        for &more in self.more.iter().take(depth.min(INDENT_MAX)) {
            to.write_all(if more { "│  " } else { "   " }.as_bytes())?;
        }
        Ok(())
    }
}

/// Each figure after two spaces.
fn figures(to: &mut impl Write, figures: &Figures<'_>) -> io::Result<()> {
    if let Some(tokens) = &figures.tokens {
        let parts = match (tokens.input, tokens.output) {
            (None, None) => [("total", tokens.total), ("", None)],
            (input, output) => [("in", input), ("out", output)],
        };
        let mut separator = "  ";
        for (name, number) in parts {
            if let Some(number) = number {
                write!(to, "{separator}{name}={number}")?;
                separator = " ";
            }
        }
        if separator == " " {
            write!(to, " tok")?;
        }
    }
    for &(currency, amount) in &figures.cost {
        write!(to, "  {}", Money { amount, currency })?;
    }
    match figures.costs_left_out {
        0 => Ok(()),
        count => write!(to, "  and {count} more costs"),
    }
}

/// How it stands with a span, in a word, and how that is coloured.
fn status(span: &SpanData) -> (&'static str, &'static str) {
    match (span.status, span.lifecycle()) {
        (Status::Ok, _) => ("ok", GREEN),
        (Status::Unset, Lifecycle::Pending) => ("pending", YELLOW),
        (Status::Unset, Lifecycle::Active) => ("open", YELLOW),
        (Status::Unset, _) if span.is_open => ("open", YELLOW),
        (Status::Unset, _) => ("complete", GREEN),
        (Status::Error, _) if span.interrupted && never_started(span) => ("interrupted", YELLOW),
        (Status::Cancelled, _) => ("cancelled", YELLOW),
        (Status::TimedOut, _) => ("timed out", YELLOW),
        _ => ("error", RED),
    }
}

/// What was said about how it ended.
fn message(span: &SpanData) -> Option<&str> {
    let is_failure = matches!(span.status, Status::Error | Status::TimedOut) && !never_started(span);
    match span.status_message.as_str() {
        "" if is_failure => span.error_type(),
        "" => None,
        message => Some(message),
    }
}

#[cfg(test)]
mod tests {
    use spanring::{Kind, names};

    use super::super::tests::{Made, trace};
    use super::*;

    fn printed(spans: Vec<SpanData>, colour: Colour) -> String {
        let mut text = Vec::new();
        trace(spans).print_tree(&mut text, colour).unwrap();
        String::from_utf8(text).unwrap()
    }

    const MS: u64 = 1_000_000;

    #[test]
    fn a_run_is_shown_with_what_each_span_used_and_cost_and_the_totals() {
        let chat = |number: u64, from: u64, until: u64| {
            let made = Made::new(number).under(1).named("chat gpt-4o").kind(Kind::Llm);
            made.with(names::REQUEST_MODEL, "gpt-4o").time(from * MS, until * MS)
        };
        let tool = |number: u64, parent: u64, name: &str, from: u64, until: u64| {
            Made::new(number)
                .under(parent)
                .named(&format!("execute_tool {name}"))
                .kind(Kind::Tool)
                .time(from * MS, until * MS)
        };
        let spans = vec![
            Made::new(1).named("research").kind(Kind::Agent).time(0, 2100 * MS).tokens(924, 107).span(),
            chat(2, 1, 1101).tokens(812, 94).cost(0.0008).status(Status::Ok, "").event("first token").span(),
            tool(3, 2, "search", 20, 30).status(Status::Error, &"no such host ".repeat(5)).span(),
            tool(4, 1, "read", 1200, 1254)
                .status(Status::TimedOut, "")
                .with(names::ERROR_TYPE, "deadline")
                .span(),
            Made::new(5)
                .under(1)
                .named("invoke_agent writer")
                .kind(Kind::Agent)
                .time(1300 * MS, 2000 * MS)
                .span(),
            chat(6, 1300, 1500).under(5).tokens(100, 10).cost(0.25).event("a").event("b").span(),
            chat(7, 1600, 1900).under(5).tokens(12, 3).cost(1.0).currency("EUR").interrupted().span(),
            tool(8, 1, "late", 2050, 2050).open().span(),
            tool(9, 1, "never", 2060, 2060).status(Status::Cancelled, "not needed").never_started().span(),
        ];
        let expected = "\
Trace 30313233343536373839616263646566  2.1 s  9 spans
└─ research  complete  2.1 s  in=924 out=107 tok
   │  Total (with children): in=924 out=107 tok  1.00 EUR  $0.2508
   ├─ chat gpt-4o [gpt-4o]  ok  1.1 s  in=812 out=94 tok  $0.0008  [1 event]
   │  └─ execute_tool search  error  10.0 ms  no such host no such host no such host n…
   ├─ execute_tool read  timed out  54.0 ms  deadline
   ├─ invoke_agent writer  complete  700.0 ms
   │  │  Total (with children): in=112 out=13 tok  1.00 EUR  $0.25
   │  ├─ chat gpt-4o [gpt-4o]  complete  200.0 ms  in=100 out=10 tok  $0.25  [2 events]
   │  └─ chat gpt-4o [gpt-4o]  error (interrupted)  300.0 ms  in=12 out=3 tok  1.00 EUR
   ├─ execute_tool late  open
   └─ execute_tool never  cancelled (never started)  not needed
";
        assert_eq!(printed(spans, Colour::Never), expected);
    }

    #[test]
    fn what_a_span_did_not_do_or_lost_is_said() {
        let mut cut = Made::new(1).with(names::REQUEST_MODEL, "").status(Status::Ok, "all good").span();
        cut.cut = 2;
        let mut died = Made::new(3).open().span();
        died.interrupted = true;
        let spans = || {
            vec![
                cut.clone(),
                Made::new(2)
                    .time(2000, 9000)
                    .never_started()
                    .interrupted()
                    .with(names::ERROR_TYPE, "process_exit")
                    .span(),
                died.clone(),
            ]
        };
        let expected = "\
Trace 30313233343536373839616263646566  3.0 µs  3 spans
├─ span 1  ok  1.0 µs  [2 cut]  (all good)
├─ span 2  interrupted (never started)
└─ span 3  open (process died)
";
        assert_eq!(printed(spans(), Colour::Never), expected);
        let coloured = printed(spans(), Colour::Always);
        assert!(coloured.contains("[2 cut]  \u{1b}[2m(all good)\u{1b}[0m\n"), "{coloured}");
    }

    #[test]
    fn spans_whose_place_is_odd_are_shown_and_say_so() {
        let spans = vec![
            Made::new(1).span(),
            Made::new(2).under(99).span(),
            Made::new(3).under(4).span(),
            Made::new(4).under(3).span(),
            Made::new(1).named("the same again").under(1).status(Status::TimedOut, "").open().span(),
            Made::new(5).under(1).all_tokens(spanring::Tokens::default().total(9)).span(),
        ];
        let expected = "\
Trace 30313233343536373839616263646566  5.0 µs  5 spans
├─ span 1  complete  1.0 µs
│  │  Total (with children): total=9 tok
│  └─ span 5  complete  1.0 µs  total=9 tok
├─ span 2  complete (its parent is missing)  1.0 µs
└─ span 3  complete (it is its own ancestor)  1.0 µs
   └─ span 4  complete  1.0 µs
";
        assert_eq!(printed(spans, Colour::Never), expected);
    }

    #[test]
    fn colours_are_those_of_the_status() {
        let spans = || {
            vec![
                Made::new(1).status(Status::Ok, "").span(),
                Made::new(2).status(Status::Error, "").span(),
                Made::new(3).status(Status::TimedOut, "").open().span(),
            ]
        };
        let coloured = printed(spans(), Colour::Always);
        let expected = "\
\u{1b}[1mTrace 30313233343536373839616263646566\u{1b}[0m  3.0 µs  3 spans
├─ span 1  \u{1b}[32mok\u{1b}[0m  1.0 µs
├─ span 2  \u{1b}[31merror\u{1b}[0m  1.0 µs
└─ span 3  \u{1b}[33mtimed out\u{1b}[0m (open)
";
        assert_eq!(coloured, expected);
        let plain = [GREEN, YELLOW, RED, "\u{1b}[1m", "\u{1b}[0m"]
            .iter()
            .fold(coloured, |text, sequence| text.replace(sequence, ""));
        assert_eq!(printed(spans(), Colour::Never), plain);
    }

    #[test]
    fn hostile_names_stay_on_their_line_and_do_nothing_to_the_terminal() {
        let hostile = "\u{1b}]0;owned\u{7}\r\n└─ fake  ok\u{202e}";
        let spans = vec![
            Made::new(1)
                .named(&hostile.repeat(100))
                .with(names::REQUEST_MODEL, hostile)
                .status(Status::Error, hostile)
                .cost(1.0)
                .currency(hostile)
                .span(),
            Made::new(2).under(1).status(Status::Error, "").with(names::ERROR_TYPE, hostile).span(),
        ];
        let text = printed(spans, Colour::Never);
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.chars().all(|character| character == '\n' || !character.is_control()), "{text}");
        assert!(!text.contains('\u{202e}'), "{text}");
        assert!(text.contains("\\u{1b}]0;owned\\u{7}\\r\\n└─ fake"), "{text}");
        assert!(text.lines().all(|line| line.len() < 2000), "{text}");
    }

    #[test]
    fn lines_do_not_grow_with_the_depth_beyond_a_limit() {
        let spans = (1..=50).map(|number| Made::new(number).under(number - 1).cost(1.0).span());
        let text = printed(spans.collect(), Colour::Never);
        let indented = format!("{}└─ span 32  complete", "   ".repeat(31));
        assert!(text.contains(&indented), "{text}");
        let deep = format!("{}(49 deep) span 50  complete", "   ".repeat(32));
        assert!(text.contains(&deep), "{text}");
        assert_eq!(text.matches("Total (with children)").count(), 49);
        assert!(text.lines().all(|line| line.chars().count() < 200), "{text}");
    }
}
