//! Which spans a trace had to wait for.

use super::never_started;
use super::tree::{Node, Tree};

/// The nodes on the [critical path](super::Summary::critical_path), in depth-first order, each with how many nanoseconds are its own.
pub(super) fn critical_path(tree: &Tree<'_>) -> Vec<(usize, u64)> {
    let nodes = tree.nodes();
    let started = nodes.iter().filter(|node| !never_started(node.span));
    let now = started.map(|node| node.span.end_unix_ns).max().unwrap_or(0);
    let end = |at: usize| match nodes[at].span.is_open {
        true => now,
        false => nodes[at].span.end_unix_ns,
    };
    let mut path = Vec::new();
    // Spans on the path, and from when until when.
    let roots = started_among(tree, tree.roots()).into_iter();
    let mut waiting: Vec<(usize, u64, u64)> =
        roots.map(|root| (root, nodes[root].span.start_unix_ns, end(root))).collect();
    while let Some((at, from, until)) = waiting.pop() {
        let mut own = 0;
        let mut point = until;
        let mut children = started_among(tree, tree.children(&nodes[at]));
        children.sort_by_key(|&child| end(child));
        for child in children.into_iter().rev() {
            let child_from = nodes[child].span.start_unix_ns.max(from);
            let child_until = end(child);
            if child_until <= point && child_from < child_until {
                own += point - child_until;
                waiting.push((child, child_from, child_until));
                point = child_from;
            }
        }
        path.push((at, own + point.saturating_sub(from)));
    }
    path.sort_unstable();
    path
}

/// The places of these nodes, in their order. What stands under one that never started stands in its place.
fn started_among<'t, 'a: 't>(tree: &'t Tree<'a>, siblings: impl Iterator<Item = &'t Node<'a>>) -> Vec<usize> {
    let mut started = Vec::new();
    // The first on top.
    let mut waiting: Vec<&Node<'a>> = siblings.collect();
    waiting.reverse();
    while let Some(node) = waiting.pop() {
        if never_started(node.span) {
            let above = waiting.len();
            waiting.extend(tree.children(node));
            waiting[above..].reverse();
        } else {
            started.push(node.at());
        }
    }
    started
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Made, arbitrary, trace};
    use super::*;
    use crate::SpanData;

    fn path(spans: Vec<SpanData>) -> Vec<(String, u64)> {
        let trace = trace(spans);
        let tree = trace.tree();
        let path = critical_path(&tree);
        path.into_iter().map(|(at, own)| (tree.nodes()[at].span.name.clone(), own)).collect()
    }

    fn named<const N: usize>(path: [(&str, u64); N]) -> Vec<(String, u64)> {
        path.map(|(name, own)| (name.to_owned(), own)).into()
    }

    #[test]
    fn it_goes_back_over_the_child_that_ended_last() {
        let spans = vec![
            Made::new(1).named("root").time(0, 100).span(),
            Made::new(2).named("first").under(1).time(10, 40).span(),
            Made::new(3).named("beside it").under(1).time(15, 35).span(),
            Made::new(4).named("over its end").under(1).time(30, 60).span(),
            Made::new(5).named("last").under(1).time(50, 90).span(),
            Made::new(6).named("within").under(5).time(60, 90).span(),
            Made::new(7).named("outlives").under(1).time(70, 101).span(),
        ];
        // 90 to 100 root; 60 to 90 within; 50 to 60 last; 40 to 50 root; 10 to 40 first; 0 to 10 root.
        assert_eq!(path(spans), named([("root", 30), ("first", 30), ("last", 10), ("within", 30)]));
    }

    #[test]
    fn a_span_without_children_is_its_own_path() {
        assert_eq!(path(vec![Made::new(1).named("alone").time(5, 12).span()]), named([("alone", 7)]));
        assert_eq!(path(vec![Made::new(1).named("short").time(5, 5).span()]), named([("short", 0)]));
    }

    #[test]
    fn what_starts_before_its_parent_counts_from_there() {
        let spans = vec![
            Made::new(1).named("root").time(50, 100).span(),
            Made::new(2).named("early").under(1).time(10, 80).span(),
        ];
        assert_eq!(path(spans), named([("root", 20), ("early", 30)]));
    }

    #[test]
    fn an_open_span_is_under_way_until_the_last_known_moment() {
        let spans = vec![
            Made::new(1).named("open").time(0, 0).open().span(),
            Made::new(2).named("done").under(1).time(10, 40).span(),
            Made::new(3).named("open too").under(1).time(35, 35).open().span(),
        ];
        assert_eq!(path(spans), named([("open", 35), ("open too", 5)]));
    }

    #[test]
    fn a_span_that_never_started_is_not_on_it_and_leaves_its_place_to_those_under_it() {
        let spans = vec![
            Made::new(1).named("root").time(0, 100).span(),
            Made::new(2).named("first").under(1).time(0, 30).span(),
            Made::new(3).named("never").under(1).time(20, 90).never_started().span(),
            Made::new(4).named("nor this").under(3).time(20, 90).never_started().span(),
            Made::new(5).named("under them").under(4).time(40, 80).span(),
            Made::new(6).named("no root").time(0, 500).never_started().span(),
            Made::new(7).named("open").under(1).time(95, 95).open().span(),
        ];
        let expected = [("root", 25), ("first", 30), ("under them", 40), ("open", 5)];
        assert_eq!(path(spans), named(expected));
        assert_eq!(path(vec![Made::new(1).time(3, 9).never_started().span()]), []);
    }

    proptest::proptest! {
        #[test]
        fn its_parts_add_up_to_what_the_roots_took(spans in arbitrary::spans()) {
            let trace = trace(spans);
            let tree = trace.tree();
            let path = critical_path(&tree);
            let sum: u64 = path.iter().map(|&(_, own)| own).sum();
            let now = trace.end_unix_ns();
            let end = |span: &SpanData| if span.is_open { now } else { span.end_unix_ns };
            let roots: u64 = tree.roots().map(|root| end(root.span) - root.span.start_unix_ns).sum();
            proptest::prop_assert_eq!(sum, roots);
            proptest::prop_assert!(path.is_sorted_by(|one, next| one.0 < next.0), "each span once");
        }
    }
}
