//! One page that needs nothing else: diagrams by size, the goals, and every figure.

use std::fmt::Write;

use crate::bench::data::{Figure, Report, Unit};
use crate::bench::goals;
use crate::bench::plot::{Plot, escape};

const STYLE: &str = "body { font: 14px/1.4 system-ui, sans-serif; margin: 2em; color: #222 }
svg { font: 11px system-ui, sans-serif; margin: 0 1em 1em 0 } .title { font-size: 14px; font-weight: 600 }
.grid { stroke: #e4e4e4 } .mark { stroke: #888; stroke-dasharray: 4 3 }
table { border-collapse: collapse } td, th { padding: 2px 10px; text-align: left; border-bottom: 1px solid #eee }
.missed { color: #b00020 } .met { color: #1b7a34 }";

/// The page.
pub(crate) fn html(report: &Report) -> String {
    let mut page = format!(
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>proxystore: performance</title>\
         <style>{STYLE}</style><h1>proxystore: performance</h1><p>{}</p>\n",
        escape(&report.about())
    );
    page += "<h2>Latency by size</h2>\n";
    let latency = |figure: &Figure| Some(figure.ours.median);
    page += &by_shape(report, "", &|amount| Unit::Ns.show(amount), &latency);
    page += "<h2>Throughput by size</h2>\n";
    let throughput = |figure: &Figure| Some(figure.bytes? as f64 / figure.ours.median * 1e3);
    page += &by_shape(report, " MB/s", &|amount| format!("{amount} MB/s"), &throughput);
    page += "<h2>Ratio to the bare client, by connector</h2><p>Below the dashed line, ours is faster.</p>\n";
    page += &by_place(report);
    page += &goal_table(report);
    page + &figure_table(report) + "</html>\n"
}

/// Those with at least two sizes.
fn sized(report: &Report) -> impl Iterator<Item = &Figure> {
    let sizes = |figure: &Figure| {
        let alike = |other: &&Figure| other.place == figure.place && other.shape == figure.shape;
        report.figures.iter().filter(alike).filter(|other| other.bytes.is_some()).count()
    };
    report.figures.iter().filter(move |figure| figure.unit == Unit::Ns && sizes(figure) > 1)
}

/// The distinct names, in order of appearance.
fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut all = Vec::new();
    names.for_each(|name| {
        if !all.contains(&name) {
            all.push(name);
        }
    });
    all
}

/// A diagram for each shape, with a line for each place.
fn by_shape(
    report: &Report,
    what: &str,
    show: &dyn Fn(f64) -> String,
    amount: &dyn Fn(&Figure) -> Option<f64>,
) -> String {
    let shapes = distinct(sized(report).map(|figure| figure.shape.as_str()));
    let plot = |shape: &&str| {
        let of = || sized(report).filter(|figure| figure.shape == *shape);
        let line = |place: &str| {
            let points = of().filter(|figure| figure.place == place);
            let points = points.filter_map(|figure| Some((figure.bytes? as f64, amount(figure)?)));
            (place.to_owned(), points.collect())
        };
        let lines = distinct(of().map(|figure| figure.place.as_str())).into_iter().map(line).collect();
        Plot { title: format!("{shape}{what}"), lines, show, mark: None }.svg()
    };
    shapes.iter().map(plot).collect()
}

/// A diagram for each place, with a line for each shape and peer.
fn by_place(report: &Report) -> String {
    let places = distinct(sized(report).map(|figure| figure.place.as_str()));
    let plot = |place: &&str| {
        let of = || sized(report).filter(|figure| figure.place == *place);
        let line = |shape: &str| {
            let points = of().filter(|figure| figure.shape == shape);
            let ratio = |figure: &Figure| Some((figure.bytes? as f64, figure.peers.first()?.ratio.median));
            (shape.to_owned(), points.filter_map(ratio).collect::<Vec<_>>())
        };
        let lines: Vec<_> =
            distinct(of().map(|figure| figure.shape.as_str())).into_iter().map(line).collect();
        let peer = of().find_map(|figure| Some(figure.peers.first()?.name.as_str())).unwrap_or_default();
        let title = format!("{place}, multiples of {peer}");
        Plot { title, lines, show: &|amount| format!("{amount}x"), mark: Some(1.0) }.svg()
    };
    places.iter().map(plot).collect()
}

fn goal_table(report: &Report) -> String {
    let mut table = String::from("<h2>Goals</h2><table><tr><th>goal<th>figure<th>measured<th></tr>\n");
    for (id, what) in goals::all() {
        let _ = writeln!(table, "<tr><th>{id}<th colspan='3'>{}</tr>", escape(what));
        for (figure, verdict) in goals::verdicts(report, id) {
            let class = if verdict.met { "met" } else { "missed" };
            let (name, said) = (escape(&figure.name()), escape(&goals::said(verdict)));
            let _ = writeln!(table, "<tr class='{class}'><td><td>{name}<td>{said}<td>{class}</tr>");
        }
    }
    table + "</table>\n"
}

fn figure_table(report: &Report) -> String {
    let mut table = String::from(
        "<h2>Figures</h2><p>Medians, with the middle half of the turns; peers with ours as their multiple.</p>\
         <table><tr><th>figure<th>ours<th>middle half<th>peers</tr>\n",
    );
    for figure in &report.figures {
        let show = |amount| figure.unit.show(amount);
        let peer = |peer: &crate::bench::data::Peer| {
            format!(
                "{} {} ({})",
                Unit::Ratio.show(peer.ratio.median),
                escape(&peer.name),
                show(peer.took.median)
            )
        };
        let peers: Vec<String> = figure.peers.iter().map(peer).collect();
        let _ = writeln!(
            table,
            "<tr><td>{}<td>{}<td>{} – {}<td>{}</tr>",
            escape(&figure.name()),
            show(figure.ours.median),
            show(figure.ours.low),
            show(figure.ours.high),
            peers.join(", ")
        );
    }
    table + "</table>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_a_diagram_where_there_are_sizes() {
        let figure = |bytes: u64, median: u64| {
            let spread = format!(r#"{{"low": {median}, "median": {median}, "high": {median}}}"#);
            format!(
                r#"{{"place": "redis", "shape": "get", "bytes": {bytes}, "unit": "ns", "ours": {spread},
                "peers": [{{"name": "redis <crate>", "took": {spread}, "ratio": {spread}}}], "goals": []}}"#
            )
        };
        let figures = [figure(10, 50_000), figure(1 << 20, 300_000)].join(",");
        let report = format!(r#"{{"machine": {{"threads": "2"}}, "figures": [{figures}]}}"#);
        let page = html(&serde_json::from_str(&report).unwrap());
        assert_eq!(page.matches("<svg").count(), 3, "latency, throughput, ratio");
        assert!(page.contains("redis &lt;crate&gt;") && page.contains("redis/get/1 MiB"), "{page}");
        assert!(page.contains("threads: 2"));
    }
}
