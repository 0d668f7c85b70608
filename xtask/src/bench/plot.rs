//! Lines over the sizes of objects, as SVG.

use std::fmt::Write;

use crate::bench::data::size;

const WIDTH: f64 = 520.0;
const HEIGHT: f64 = 300.0;
/// Left, right, top, bottom: for the labels.
const MARGINS: [f64; 4] = [70.0, 130.0, 30.0, 40.0];
const COLOURS: &[&str] =
    &["#1b6ca8", "#d1495b", "#2e933c", "#8f5db7", "#c77700", "#00897b", "#6d4c41", "#546e7a"];

/// A diagram: names with points, sizes to the right, amounts upwards, both by powers of ten.
pub(crate) struct Plot<'a> {
    pub(crate) title: String,
    pub(crate) lines: Vec<(String, Vec<(f64, f64)>)>,
    /// How an amount is written.
    pub(crate) show: &'a dyn Fn(f64) -> String,
    /// An amount that is marked across the diagram.
    pub(crate) mark: Option<f64>,
}

/// From the least to the most, as powers of ten.
struct Axis {
    from: f64,
    to: f64,
}

impl Axis {
    fn of(amounts: impl Iterator<Item = f64>) -> Option<Self> {
        let logs: Vec<f64> = amounts.filter(|amount| *amount > 0.0).map(f64::log10).collect();
        let from = logs.iter().copied().reduce(f64::min)?;
        let to = logs.iter().copied().reduce(f64::max)?;
        Some(Self { from: from - 0.1, to: to + 0.1 })
    }

    /// Where an amount is, from 0 to 1.
    fn at(&self, amount: f64) -> f64 {
        (amount.log10() - self.from) / (self.to - self.from)
    }

    /// The amounts that get a label: powers of ten, or 1, 2 and 5 times those where there is room.
    fn ticks(&self) -> Vec<f64> {
        let steps: &[f64] = if self.to - self.from > 2.5 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let powers = self.from.floor() as i32..=self.to.ceil() as i32;
        let all = powers.flat_map(|power| steps.iter().map(move |step| step * 10f64.powi(power)));
        all.filter(|tick| (0.0..=1.0).contains(&self.at(*tick))).collect()
    }
}

impl Plot<'_> {
    /// The picture; nothing if there is nothing in it.
    pub(crate) fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|(_, points)| points);
        let sizes = Axis::of(points().map(|point| point.0));
        let amounts = Axis::of(points().map(|point| point.1).chain(self.mark));
        let (Some(sizes), Some(amounts)) = (sizes, amounts) else { return String::new() };
        let [left, right, top, bottom] = MARGINS;
        let (width, height) = (WIDTH - left - right, HEIGHT - top - bottom);
        let x = |size: f64| left + width * sizes.at(size);
        let y = |amount: f64| top + height * (1.0 - amounts.at(amount));
        let mut svg = format!(
            "<svg viewBox='0 0 {WIDTH} {HEIGHT}' width='{WIDTH}' height='{HEIGHT}' role='img'>\
             <text x='{left}' y='18' class='title'>{}</text>\n",
            escape(&self.title)
        );
        for tick in amounts.ticks() {
            let (at, label, end) = (y(tick), (self.show)(tick), left + width);
            let _ = writeln!(
                svg,
                "<line x1='{left}' x2='{end}' y1='{at:.1}' y2='{at:.1}' class='grid'/>\
                 <text x='{}' y='{:.1}' text-anchor='end'>{label}</text>",
                left - 6.0,
                at + 4.0
            );
        }
        let mut labels: Vec<f64> = points().map(|point| point.0).collect();
        labels.sort_by(f64::total_cmp);
        labels.dedup();
        for label in labels {
            let (at, below) = (x(label), HEIGHT - bottom + 16.0);
            let _ =
                writeln!(svg, "<text x='{at:.1}' y='{below}' text-anchor='middle'>{}</text>", size(label));
        }
        if let Some(mark) = self.mark {
            let (at, end) = (y(mark), left + width);
            let _ = writeln!(svg, "<line x1='{left}' x2='{end}' y1='{at:.1}' y2='{at:.1}' class='mark'/>");
        }
        for (number, (name, points)) in self.lines.iter().enumerate() {
            let colour = COLOURS[number % COLOURS.len()];
            let path: Vec<String> =
                points.iter().map(|(s, a)| format!("{:.1},{:.1}", x(*s), y(*a))).collect();
            let _ = writeln!(
                svg,
                "<polyline points='{}' fill='none' stroke='{colour}' stroke-width='2'/>",
                path.join(" ")
            );
            for (size, amount) in points {
                let tip = format!("{}: {}", escape(name), (self.show)(*amount));
                let (x, y) = (x(*size), y(*amount));
                let _ = writeln!(
                    svg,
                    "<circle cx='{x:.1}' cy='{y:.1}' r='3' fill='{colour}'><title>{tip}</title></circle>"
                );
            }
            let (beside, at) = (WIDTH - right + 10.0, top + 14.0 * (number as f64 + 1.0));
            let _ = writeln!(svg, "<text x='{beside}' y='{at}' fill='{colour}'>{}</text>", escape(name));
        }
        svg + "</svg>\n"
    }
}

/// Text as it may stand in HTML.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn larger_objects_are_further_right_and_slower_ones_further_up() {
        let axis = Axis::of([10.0, 1e6].into_iter()).unwrap();
        assert!(axis.at(10.0) > 0.0 && axis.at(10.0) < axis.at(1e3) && axis.at(1e6) < 1.0);
        assert_eq!(axis.ticks(), [10.0, 100.0, 1e3, 1e4, 1e5, 1e6]);
        let plot = Plot {
            title: "get < put".into(),
            lines: vec![("redis".into(), vec![(10.0, 1.0), (1e6, 100.0)])],
            show: &|amount| format!("{amount}"),
            mark: None,
        };
        let svg = plot.svg();
        assert!(svg.contains("get &lt; put") && svg.contains("977 KiB"), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 2);
    }

    #[test]
    fn nothing_gives_no_picture() {
        let plot = Plot { title: "get".into(), lines: vec![], show: &|_| String::new(), mark: None };
        assert_eq!(plot.svg(), "");
    }
}
