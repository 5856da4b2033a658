//! The picture: two charts in one SVG, on a ground of its own, so that it can be read on any page.

use super::read::{Run, Slice};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::FontStyle;

/// The picture's width, and the height of a chart.
const WIDTH: u32 = 960;
const CHART: u32 = 390;
/// A line of the legend, and what is above the first.
const LINE: i32 = 20;
const ABOVE: i32 = 14;
/// What the axes take.
const LEFT: i32 = 90;
const BELOW: u32 = 48;
/// The medians of each run; what is slower is fainter.
const COLOURS: [RGBColor; 6] = [
    RGBColor(0x2b, 0x56, 0x72),
    RGBColor(0xb8, 0x4a, 0x0c),
    RGBColor(0x1f, 0x7a, 0x3d),
    RGBColor(0x7b, 0x3f, 0xa0),
    RGBColor(0x8a, 0x6d, 0x00),
    RGBColor(0xb3, 0x26, 0x1e),
];
const INK: RGBColor = RGBColor(0x1d, 0x27, 0x33);
const FAINT: f64 = 0.45;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A chart: where a slice lies on its horizontal axis, and what is written there.
struct Chart {
    title: &'static str,
    below: &'static str,
    place: fn(&Slice) -> Option<f64>,
    /// Whether slices that follow each other are joined.
    joined: bool,
}

const OVER_TIME: Chart = Chart {
    title: "Latency over time",
    below: "when the request was to be made, s",
    place: |slice| Some(seconds(slice.from_ms)),
    joined: true,
};

const AGAINST_DIRTY: Chart = Chart {
    title: "Latency against what was dirty",
    below: "dirty memory of a checkpoint, MiB",
    place: |slice| slice.dirty_pages.map(mebibytes),
    joined: false,
};

/// Draws runs, of which each has something to draw.
pub(super) fn svg(runs: &[Run]) -> Result<String, String> {
    let knows_dirty = runs.iter().flat_map(|run| &run.slices).any(|slice| slice.dirty_pages.is_some());
    let charts = if knows_dirty { &[OVER_TIME, AGAINST_DIRTY][..] } else { &[OVER_TIME] };
    let legend = ABOVE + LINE * i32::try_from(runs.len()).map_err(undrawable)?;
    let count = if knows_dirty { 2 } else { 1 };
    let mut drawn = String::new();
    {
        let height = legend.unsigned_abs() + CHART * count;
        let area = SVGBackend::with_string(&mut drawn, (WIDTH, height)).into_drawing_area();
        area.fill(&WHITE).map_err(undrawable)?;
        let (above, below) = area.split_vertically(legend);
        name(&above, runs)?;
        for (part, chart) in below.split_evenly((charts.len(), 1)).iter().zip(charts) {
            draw(part, chart, runs)?;
        }
        area.present().map_err(undrawable)?;
    }
    Ok(drawn)
}

/// Which colour is whose.
fn name(area: &Area<'_>, runs: &[Run]) -> Result<(), String> {
    for ((run, colour), y) in
        runs.iter().zip(COLOURS.iter().cycle()).zip((0..).map(|line| ABOVE + LINE * line))
    {
        for (left, style) in [(LEFT, colour.filled()), (LEFT + 64, colour.mix(FAINT).filled())] {
            let mark = Rectangle::new([(left, y + 3), (left + 18, y + 13)], style);
            area.draw(&mark).map_err(undrawable)?;
        }
        for (left, words) in [(LEFT + 24, "p50"), (LEFT + 88, "p99"), (LEFT + 128, run.name.as_str())] {
            area.draw(&Text::new(words.to_owned(), (left, y + 2), text(14.0))).map_err(undrawable)?;
        }
    }
    Ok(())
}

fn draw(area: &Area<'_>, chart: &Chart, runs: &[Run]) -> Result<(), String> {
    let slices = || runs.iter().flat_map(|run| &run.slices).filter(|slice| (chart.place)(slice).is_some());
    let end = slices().filter_map(chart.place).fold(0.0, f64::max).max(0.1) * 1.03;
    let lowest = slices().map(|slice| millis(slice.p50_us)).fold(f64::MAX, f64::min) / 1.5;
    let highest = slices().map(|slice| millis(slice.p99_us)).fold(0.0, f64::max) * 1.5;
    let mut context = ChartBuilder::on(area)
        .caption(chart.title, text(19.0))
        .margin(14)
        .x_label_area_size(BELOW)
        .y_label_area_size(LEFT)
        .build_cartesian_2d(0.0..end, (lowest..highest).log_scale().with_key_points(marks(lowest, highest)))
        .map_err(undrawable)?;
    context
        .configure_mesh()
        .axis_style(INK)
        .bold_line_style(INK.mix(0.18))
        .light_line_style(INK.mix(0.05))
        .label_style(text(13.0))
        .axis_desc_style(text(14.0))
        .x_desc(chart.below)
        .y_desc("ms")
        .y_label_formatter(&|value| plain(*value))
        .draw()
        .map_err(undrawable)?;
    for (run, colour) in runs.iter().zip(COLOURS.iter().cycle()) {
        for (percentile, style) in [("p50", colour.filled()), ("p99", colour.mix(FAINT).filled())] {
            let points: Vec<_> =
                run.slices.iter().filter_map(|slice| point(chart, slice, percentile)).collect();
            if chart.joined {
                context.draw_series(LineSeries::new(points, style.stroke_width(2))).map_err(undrawable)?;
            } else {
                let points = points.into_iter().map(|point| Circle::new(point, 3, style));
                context.draw_series(points).map_err(undrawable)?;
            }
        }
    }
    Ok(())
}

/// The numbers on an axis: 1, 2, 5, and ten times as much again and again.
fn marks(lowest: f64, highest: f64) -> Vec<f64> {
    let decades = (-3..=9).map(|power| 10_f64.powi(power));
    let all = decades.flat_map(|decade| [1.0, 2.0, 5.0].map(|digit| digit * decade));
    all.filter(|mark| (lowest..=highest).contains(mark)).collect()
}

fn point(chart: &Chart, slice: &Slice, percentile: &str) -> Option<(f64, f64)> {
    let latency = if percentile == "p50" { slice.p50_us } else { slice.p99_us };
    Some(((chart.place)(slice)?, millis(latency)))
}

fn text(size: f64) -> TextStyle<'static> {
    FontDesc::new(FontFamily::SansSerif, size, FontStyle::Normal).color(&INK)
}

/// A number without digits that say nothing.
fn plain(value: f64) -> String {
    if value >= 1.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

/// Microseconds in milliseconds; 0 has no place on the axis.
fn millis(micros: u64) -> f64 {
    to_float(micros.max(1)) / 1_000.0
}

fn seconds(millis: u64) -> f64 {
    to_float(millis) / 1_000.0
}

fn mebibytes(pages: u64) -> f64 {
    to_float(pages) * 4_096.0 / 1_048_576.0
}

/// Beyond 2^32 a picture does not tell numbers apart.
fn to_float(number: u64) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

fn undrawable(error: impl std::fmt::Display) -> String {
    format!("the picture cannot be drawn: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(name: &str, dirty_pages: Option<u64>) -> Run {
        let slice =
            |place: u64| Slice { from_ms: place * 100, p50_us: 10_000 + place, p99_us: 20_000, dirty_pages };
        Run { name: name.to_owned(), slices: (0..20).map(slice).collect() }
    }

    #[test]
    fn a_picture_needs_nothing_from_elsewhere_and_text_in_it_is_text() {
        let drawn = svg(&[run("one", Some(7)), run("</text><script>", None)]).unwrap();
        assert!(drawn.contains("\none\n") && drawn.contains("Latency against what was dirty"), "{drawn}");
        for foreign in ["<script", "href", "url(", "<style", "@import"] {
            assert!(!drawn.contains(foreign), "{foreign}");
        }
        // A ground of its own: it is read on a dark page as on a white one.
        assert!(drawn.contains("fill=\"#FFFFFF\""), "{drawn}");
    }

    #[test]
    fn what_is_dirty_is_drawn_where_it_is_known() {
        let drawn = svg(&[run("one", None)]).unwrap();
        assert!(drawn.contains("Latency over time") && !drawn.contains("dirty"), "{drawn}");
    }
}
