//! A plot of latencies by percentile, as an SVG that can be read in the light and in the dark.

use std::fmt::Write;

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 500.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 60.0;
/// By how many nines they have.
const PERCENTILES: [&str; 9] =
    ["0", "90", "99", "99.9", "99.99", "99.999", "99.9999", "99.99999", "99.999999"];
const COLOURS: [&str; 3] = ["#d9480f", "#868e96", "#1c7ed6"];

const STYLE: &str = "\
text { font: 14px sans-serif; fill: #222 } line { stroke: #222; stroke-opacity: 0.15 } \
polyline { fill: none; stroke-width: 2 } .back { fill: #fff } \
@media (prefers-color-scheme: dark) { text { fill: #ddd } line { stroke: #ddd } .back { fill: #16181c } }";

/// A curve for each name: points of how many nines a percentile has, and the latency there in nanoseconds. Both axes are
/// logarithmic: 0 nines are the minimum, 2 are the 99th percentile.
pub(crate) fn svg(curves: &[(&str, Vec<(f64, f64)>); 3]) -> String {
    let points = || curves.iter().flat_map(|(_, curve)| curve);
    let nines_max = points().map(|&(nines, _)| nines.ceil()).fold(1.0, f64::max);
    let first = points().map(|&(_, ns)| ns.max(1.0).log10().floor()).fold(f64::INFINITY, f64::min).min(8.0);
    let last = points().map(|&(_, ns)| ns.max(1.0).log10().ceil()).fold(first + 1.0, f64::max);
    let x = |nines: f64| LEFT + (WIDTH - LEFT - RIGHT) * nines / nines_max;
    let y = |ns: f64| {
        let part = (ns.max(1.0).log10() - first) / (last - first);
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * part
    };

    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\">\n<style>{STYLE}</style>\n\
         <rect class=\"back\" width=\"{WIDTH}\" height=\"{HEIGHT}\"/>\n"
    );
    for (nines, percentile) in steps(0.0, nines_max).zip(PERCENTILES) {
        let at = x(nines);
        line(&mut svg, (at, TOP), (at, HEIGHT - BOTTOM));
        text(&mut svg, (at, HEIGHT - BOTTOM + 22.0), "middle", percentile);
    }
    for exponent in steps(first, last) {
        let ns = 10_f64.powf(exponent);
        line(&mut svg, (LEFT, y(ns)), (WIDTH - RIGHT, y(ns)));
        text(&mut svg, (LEFT - 8.0, y(ns) + 5.0), "end", &duration(ns));
    }
    text(&mut svg, (x(nines_max / 2.0), HEIGHT - 12.0), "middle", "percentile of the calls");
    text(&mut svg, (LEFT, 24.0), "start", "latency of a call, a million a second");
    for (at, ((name, curve), colour)) in (0_u8..).zip(curves.iter().zip(COLOURS)) {
        let points: String =
            curve.iter().map(|&(nines, ns)| format!("{:.1},{:.1} ", x(nines), y(ns))).collect();
        let key = LEFT + 290.0 + 180.0 * f64::from(at);
        put(&mut svg, format_args!("<polyline stroke=\"{colour}\" points=\"{}\"/>", points.trim_end()));
        put(&mut svg, format_args!("<polyline stroke=\"{colour}\" points=\"{key},19 {},19\"/>", key + 30.0));
        text(&mut svg, (key + 38.0, 24.0), "start", name);
    }
    svg + "</svg>\n"
}

/// The whole numbers of a range, both ends included.
fn steps(from: f64, to: f64) -> impl Iterator<Item = f64> {
    (0_u8..).map(move |step| from + f64::from(step)).take_while(move |at| *at <= to)
}

fn duration(ns: f64) -> String {
    match ns {
        1e9.. => format!("{} s", ns / 1e9),
        1e6.. => format!("{} ms", ns / 1e6),
        1e3.. => format!("{} µs", ns / 1e3),
        _ => format!("{ns} ns"),
    }
}

fn line(svg: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
    put(svg, format_args!("<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"));
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, text: &str) {
    put(svg, format_args!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"));
}

fn put(svg: &mut String, element: std::fmt::Arguments<'_>) {
    writeln!(svg, "{element}").expect("a string takes what is written");
}
