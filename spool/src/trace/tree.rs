//! The spans of a trace as a tree, with what each used and cost.

use spanring::SpanId;

use super::figures::Figures;
use super::forest::plant;
use crate::SpanData;

/// The spans of a trace in depth-first order: each is followed by all that stands under it. Siblings, and roots, are in the order
/// in which they started.
#[derive(Clone, Debug)]
pub struct Tree<'a> {
    nodes: Vec<Node<'a>>,
}

/// A span in a [`Tree`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Node<'a> {
    /// The span.
    pub span: &'a SpanData,
    /// How many ancestors it has in the tree.
    pub depth: usize,
    /// What made it a root, if it is one.
    pub place: Place,
    /// What it used and cost itself, as it says.
    pub own: Figures<'a>,
    /// What it used and cost with all that stands under it.
    pub total: Figures<'a>,
    /// How many spans stand under it, at any depth.
    pub descendants: usize,
    /// Its place among the nodes.
    at: usize,
    /// Its parent's place.
    parent: Option<usize>,
}

/// Where a span stands in a [`Tree`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// It is a root: it has no parent.
    Root,
    /// It is a root since its parent is not among the spans.
    Orphan,
    /// It is a root since it is its own ancestor. Of such a circle the span that started first becomes the root.
    Cycle,
    /// It stands under its parent.
    Child,
}

impl<'a> Tree<'a> {
    pub(super) fn new(spans: &'a [SpanData]) -> Self {
        let planted = plant(spans);
        let mut nodes: Vec<Node<'a>> = (0..)
            .zip(planted)
            .map(|(at, planted)| Node {
                span: &spans[planted.span],
                depth: planted.depth,
                place: planted.place,
                own: Figures::of(&spans[planted.span]),
                total: Figures::default(),
                descendants: planted.descendants,
                at,
                parent: planted.parent,
            })
            .collect();
        // From the back, so that a node's total is that of its children when it is its turn.
        for at in (0..nodes.len()).rev() {
            let node = &mut nodes[at];
            let total = std::mem::take(&mut node.total).and_of_parent(node.span.kind, &node.own);
            if let Some(parent) = node.parent {
                nodes[parent].total.add(&total);
            }
            nodes[at].total = total;
        }
        Tree { nodes }
    }

    /// All spans, in depth-first order.
    pub fn nodes(&self) -> &[Node<'a>] {
        &self.nodes
    }

    /// The spans that stand under no other.
    pub fn roots(&self) -> impl Iterator<Item = &Node<'a>> {
        self.siblings(0, self.nodes.len())
    }

    /// The spans that stand directly under this one.
    pub fn children(&self, node: &Node<'_>) -> impl Iterator<Item = &Node<'a>> {
        self.siblings(node.at + 1, node.at + 1 + node.descendants)
    }

    /// The span that this one stands directly under.
    pub fn parent(&self, node: &Node<'_>) -> Option<&Node<'a>> {
        self.nodes.get(node.parent?)
    }

    /// The first span with this identity.
    pub fn find(&self, span_id: SpanId) -> Option<&Node<'a>> {
        self.nodes.iter().find(|node| node.span.span_id == span_id)
    }

    /// What all used and cost: the sum over the roots.
    pub fn total(&self) -> Figures<'a> {
        let mut total = Figures::default();
        self.roots().for_each(|root| total.add(&root.total));
        total
    }

    fn siblings(&self, first: usize, end: usize) -> impl Iterator<Item = &Node<'a>> {
        let nodes = self.nodes.get(first..end).unwrap_or_default();
        let next = move |node: &&Node<'a>| nodes.get(node.at + 1 + node.descendants - first);
        std::iter::successors(nodes.first(), next)
    }
}

impl Node<'_> {
    /// Its place among the [`nodes`](Tree::nodes).
    pub(super) fn at(&self) -> usize {
        self.at
    }
}
