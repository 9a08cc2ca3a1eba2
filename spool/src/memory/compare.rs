//! Compares an outline that is expected with what was recorded: whether they agree, and if not, by which lines they differ least.
//!
//! Spans are paired from the roots down: of two lists of siblings each span is paired with one of the other list, or with none, and no pairs
//! cross. What that costs is a number for all that is written and not recorded, recorded and not written, or not the same; the cheapest
//! way costs nothing if they agree.

use std::collections::HashMap;

use super::outline::{
    ANY, Detail, Expected, ExpectedNode, INDENT, Node, Outline, attribute_line, event_lines, has_attribute,
};

/// Of a span that is missing or too many. Two spans of different names are paired for less than both, so that what stands under them
/// is compared.
const ALONE: usize = 4;
const OTHER_NAME: usize = 6;
const SAME_NAME: usize = 2;
const DETAIL: usize = 1;

/// `None` if what was recorded is as expected; else a line for each that agrees, and one marked `-` or `+` for each that is only expected or
/// only recorded.
pub(super) fn difference(expected: &Expected, recorded: &Outline<'_>) -> Option<String> {
    let mut comparison = Comparison { expected, recorded, costs: HashMap::new(), text: String::new() };
    if comparison.cost_of_siblings(&expected.roots, &recorded.roots) == 0 {
        return None;
    }
    comparison.write_siblings(&expected.roots, &recorded.roots, 0);
    Some(comparison.text)
}

struct Comparison<'c> {
    expected: &'c Expected,
    recorded: &'c Outline<'c>,
    /// Of pairs that were looked at.
    costs: HashMap<(usize, usize), usize>,
    text: String,
}

/// What to do with the first of the siblings that remain.
enum Step {
    Pair,
    /// Goes on behind an expected one that pairs with none; behind [`ANY`] for nothing.
    Missing,
    /// Goes on behind a recorded one that pairs with none, or with [`ANY`].
    Extra,
}

impl<'c> Comparison<'c> {
    fn expected(&self, at: usize) -> &'c ExpectedNode {
        &self.expected.nodes[at]
    }

    fn recorded(&self, at: usize) -> &'c Node<'c> {
        &self.recorded.nodes[at]
    }

    /// How many of the first and of the last siblings pair one by one for nothing: such pairs are always right, and most lists are
    /// nothing but them.
    fn agreeing(&mut self, expected: &[usize], recorded: &[usize]) -> (usize, usize) {
        let most = expected.len().min(recorded.len());
        let agree =
            |this: &mut Self, e: usize, r: usize| this.expected(e).line != ANY && this.cost(e, r) == 0;
        let first = (0..most).take_while(|&at| agree(self, expected[at], recorded[at])).count();
        let from_end = (1..=most - first)
            .take_while(|&at| agree(self, expected[expected.len() - at], recorded[recorded.len() - at]));
        (first, from_end.count())
    }

    fn cost_of_siblings(&mut self, expected: &[usize], recorded: &[usize]) -> usize {
        let (first, last) = self.agreeing(expected, recorded);
        let (expected, recorded) =
            (&expected[first..expected.len() - last], &recorded[first..recorded.len() - last]);
        self.costs_from(expected, recorded)[0][0]
    }

    /// The least cost of the siblings from each two places on.
    fn costs_from(&mut self, expected: &[usize], recorded: &[usize]) -> Vec<Vec<usize>> {
        let mut costs = vec![vec![0; recorded.len() + 1]; expected.len() + 1];
        for e in (0..=expected.len()).rev() {
            for r in (0..=recorded.len()).rev() {
                costs[e][r] = self.choose(expected, recorded, &costs, e, r).map_or(0, |(_, cost)| cost);
            }
        }
        costs
    }

    /// The cheapest step from two places on; `None` at the end of both.
    fn choose(
        &mut self,
        expected: &[usize],
        recorded: &[usize],
        costs: &[Vec<usize>],
        e: usize,
        r: usize,
    ) -> Option<(Step, usize)> {
        let (this, other) = (expected.get(e).copied(), recorded.get(r).copied());
        let is_any = this.is_some_and(|this| self.expected(this).line == ANY);
        let mut steps = Vec::with_capacity(3);
        if let (Some(this), Some(other), false) = (this, other, is_any) {
            steps.push((Step::Pair, self.cost(this, other) + costs[e + 1][r + 1]));
        }
        if let Some(this) = this {
            steps.push((Step::Missing, ALONE * self.expected(this).spans + costs[e + 1][r]));
        }
        if let Some(other) = other {
            let alone = if is_any { 0 } else { ALONE * self.recorded(other).spans };
            steps.push((Step::Extra, alone + costs[e][r + 1]));
        }
        steps.into_iter().min_by_key(|(_, cost)| *cost)
    }

    /// What it costs to pair these two, with all that stands under them.
    fn cost(&mut self, e: usize, r: usize) -> usize {
        if let Some(&cost) = self.costs.get(&(e, r)) {
            return cost;
        }
        let (expected, recorded) = (self.expected(e), self.recorded(r));
        let line = match accepts(recorded, expected) {
            true => 0,
            false if has_name(recorded, expected) => SAME_NAME,
            false => OTHER_NAME,
        };
        let missing = if expected.details.is_empty() { 0 } else { Details::of(expected, recorded).missing() };
        let cost = line + DETAIL * missing + self.cost_of_siblings(&expected.children, &recorded.children);
        self.costs.insert((e, r), cost);
        cost
    }

    fn write_siblings(&mut self, expected: &[usize], recorded: &[usize], depth: usize) {
        let (first, last) = self.agreeing(expected, recorded);
        let middle = (first..expected.len() - last, first..recorded.len() - last);
        let costs = self.costs_from(&expected[middle.0.clone()], &recorded[middle.1.clone()]);
        for at in 0..first {
            self.write_pair(expected[at], recorded[at], depth);
        }
        let (expected_middle, recorded_middle) = (&expected[middle.0.clone()], &recorded[middle.1.clone()]);
        let (mut e, mut r) = (0, 0);
        while let Some((step, _)) = self.choose(expected_middle, recorded_middle, &costs, e, r) {
            match step {
                Step::Pair => {
                    self.write_pair(expected_middle[e], recorded_middle[r], depth);
                    (e, r) = (e + 1, r + 1);
                }
                Step::Missing => {
                    self.write_missing(expected_middle[e], depth);
                    e += 1;
                }
                Step::Extra => {
                    let is_any = expected_middle.get(e).is_some_and(|&e| self.expected(e).line == ANY);
                    if !is_any {
                        self.write_extra(recorded_middle[r], depth);
                    }
                    r += 1;
                }
            }
        }
        for (&e, &r) in expected[middle.0.end..].iter().zip(&recorded[middle.1.end..]) {
            self.write_pair(e, r, depth);
        }
    }

    fn write_pair(&mut self, e: usize, r: usize, depth: usize) {
        let (expected, recorded) = (self.expected(e), self.recorded(r));
        if accepts(recorded, expected) {
            self.put(' ', depth, &expected.line);
        } else {
            self.put('-', depth, &expected.line);
            self.put('+', depth, &recorded.line);
        }
        let details = Details::of(expected, recorded);
        let is_event_missing =
            details.expected.iter().any(|(detail, is_there)| !is_there && matches!(detail, Detail::Event(_)));
        for (detail, is_there) in details.expected {
            self.put(if is_there { ' ' } else { '-' }, depth + 1, detail.line());
            if let (Detail::Attribute(_, key), false) = (detail, is_there) {
                let actual = attribute_line(recorded.span, key);
                actual.into_iter().for_each(|line| self.put('+', depth + 1, &line));
            }
        }
        if is_event_missing {
            details.other_events.iter().for_each(|line| self.put('+', depth + 1, line));
        }
        self.write_siblings(&expected.children, &recorded.children, depth + 1);
    }

    fn write_missing(&mut self, e: usize, depth: usize) {
        let expected = self.expected(e);
        self.put(if expected.line == ANY { ' ' } else { '-' }, depth, &expected.line);
        expected.details.iter().for_each(|detail| self.put('-', depth + 1, detail.line()));
        expected.children.iter().for_each(|&child| self.write_missing(child, depth + 1));
    }

    fn write_extra(&mut self, r: usize, depth: usize) {
        let mut rest = vec![(r, depth)];
        while let Some((r, depth)) = rest.pop() {
            let recorded = self.recorded(r);
            self.put('+', depth, &recorded.line);
            event_lines(recorded.span).for_each(|line| self.put('+', depth + 1, &line));
            rest.extend(recorded.children.iter().rev().map(|&child| (child, depth + 1)));
        }
    }

    fn put(&mut self, mark: char, depth: usize, line: &str) {
        let blanks = " ".repeat(depth * INDENT);
        self.text.push_str(format!("{mark} {blanks}{line}").trim_end());
        self.text.push('\n');
    }
}

fn accepts(recorded: &Node<'_>, expected: &ExpectedNode) -> bool {
    recorded.accepted.contains(&expected.line)
}

/// Whether at least the name is the same.
fn has_name(recorded: &Node<'_>, expected: &ExpectedNode) -> bool {
    let rest = expected.line.strip_prefix(&recorded.name);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

/// What is expected of a span beside its line, and whether it is so.
struct Details<'e> {
    expected: Vec<(&'e Detail, bool)>,
    /// The events that were not looked for.
    other_events: Vec<String>,
}

impl<'e> Details<'e> {
    /// Each event is looked for behind those that were found before.
    fn of(expected: &'e ExpectedNode, recorded: &Node<'_>) -> Self {
        let mut events = event_lines(recorded.span).collect::<Vec<_>>();
        let mut from = 0;
        let mut look = |detail: &Detail| match detail {
            Detail::Event(line) => {
                let at = events[from..].iter().position(|event| event == line);
                if let Some(at) = at {
                    from += at;
                    events.remove(from);
                }
                at.is_some()
            }
            Detail::Attribute(line, _) => has_attribute(recorded.span, line),
        };
        let expected = expected.details.iter().map(|detail| (detail, look(detail))).collect();
        Details { expected, other_events: events }
    }

    fn missing(&self) -> usize {
        self.expected.iter().filter(|(_, is_there)| !is_there).count()
    }
}
