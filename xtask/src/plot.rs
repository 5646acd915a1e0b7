//! `cargo xtask plot`: measured times as a picture and a table.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail};
use plotters::prelude::*;

use crate::measurements::{Measurements, Row};
use crate::workspace::write_whole;

/// Options of `plot`.
#[derive(clap::Args)]
#[command(after_help = "\
Reads what `bench --json` and `peers.py --json` wrote on one machine. The floor is the larger of two
times: the 4-bit weights' bytes at the copy bandwidth that peers.py measured, and the arithmetic at
990 TFLOP/s. One picture shows one N and K: the time of a call, and the floor as a fraction of it.

Example:
  cargo xtask plot ours.json peers.json --date 2026-11-21 --out docs/hopper.svg")]
pub struct Options {
    /// Measurements, all of one machine.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The SVG file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// When this was measured: stands in the picture.
    #[arg(long, value_name = "DATE")]
    date: String,
    /// N,K of the picture.
    #[arg(long, value_name = "N,K", default_value = "4096,7168")]
    layer: String,
}

/// Dense f16 operations a second of an H200's or H100's tensor cores, by the datasheet.
const F16_RATE: f64 = 990e12;
const SIZE: (u32, u32) = (900, 1000);

/// Runs the command.
pub fn run(options: &Options) -> Result<()> {
    let all: Vec<Measurements> =
        options.files.iter().map(|path| Measurements::read(path)).collect::<Result<_>>()?;
    let copy_tb_s = all
        .iter()
        .find_map(|measured| measured.copy_tb_s)
        .context("no file has `copy_tb_s`: add the one that peers.py wrote in the same run")?;
    let layer = options.layer.split_once(',').and_then(|(n, k)| {
        Some((n.trim().parse::<usize>().ok()?, k.trim().parse::<usize>().ok()?))
    });
    let (n, k) = layer.with_context(|| format!("--layer {}: not N,K", options.layer))?;
    let rows: Vec<&Row> = all.iter().flat_map(|measured| &measured.rows).collect();
    print!("{}", table(&rows, copy_tb_s));
    let rows: Vec<&Row> = rows.into_iter().filter(|row| (row.n, row.k) == (n, k)).collect();
    if rows.is_empty() {
        bail!("no measurement has N,K = {n},{k}: name another layer with --layer");
    }
    let title = format!("N {n}, K {k}: {}, {}", all[0].device, options.date);
    let svg = draw(&rows, copy_tb_s, &title)?;
    write_whole(&options.out, svg.as_bytes())
}

/// Microseconds below which no kernel can be: weights read once, and every product computed.
fn floor(row: &Row, copy_tb_s: f64) -> f64 {
    let (m, n, k) = (row.m as f64, row.n as f64, row.k as f64);
    let weights = 2.0 * n * k * (0.5 + 1.0 / 16.0) / (copy_tb_s * 1e12);
    let arithmetic = 4.0 * m * n * k / F16_RATE;
    weights.max(arithmetic) * 1e6
}

/// The contestants, in the order in which they first come.
fn contestants<'a>(rows: &[&'a Row]) -> Vec<&'a str> {
    let mut seen = BTreeSet::new();
    rows.iter().map(|row| row.who.as_str()).filter(|who| seen.insert(*who)).collect()
}

/// A Markdown table: shapes down, contestants across, and the floor.
fn table(rows: &[&Row], copy_tb_s: f64) -> String {
    let who = contestants(rows);
    let mut text = format!("| M | N, K | {} | floor |\n", who.join(" | "));
    text += &format!("|{}\n", "---|".repeat(who.len() + 3));
    let mut seen = BTreeSet::new();
    for row in rows.iter().filter(|row| seen.insert((row.n, row.k, row.m))) {
        let same = |other: &&&Row| (other.m, other.n, other.k) == (row.m, row.n, row.k);
        let cells = who.iter().map(|who| {
            let found = rows.iter().filter(same).find(|other| other.who == *who);
            found.map_or("–".to_owned(), |row| format!("{:.1}", row.median_us))
        });
        let cells: Vec<String> = cells.collect();
        let floor = floor(row, copy_tb_s);
        text +=
            &format!("| {} | {}, {} | {} | {floor:.1} |\n", row.m, row.n, row.k, cells.join(" | "));
    }
    text
}

/// The two panels.
fn draw(rows: &[&Row], copy_tb_s: f64, title: &str) -> Result<String> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        root.fill(&WHITE).map_err(failed)?;
        let root = root.titled(title, ("sans-serif", 20)).map_err(failed)?;
        let (upper, lower) = root.split_vertically(500);
        let mut floors: Vec<Row> = vec![];
        for row in rows {
            if !floors.iter().any(|floor| floor.m == row.m) {
                let us = floor(row, copy_tb_s);
                floors.push(Row {
                    who: "floor".into(),
                    median_us: us,
                    low_us: us,
                    high_us: us,
                    ..(*row).clone()
                });
            }
        }
        let with_floor: Vec<&Row> = rows.iter().copied().chain(&floors).collect();
        let times = |row: &Row| [row.low_us, row.median_us, row.high_us];
        panel(&upper, &with_floor, times, "microseconds per call", true)?;
        let fractions = |row: &Row| {
            let floor = floor(row, copy_tb_s);
            [floor / row.high_us, floor / row.median_us, floor / row.low_us]
        };
        panel(&lower, rows, fractions, "floor / time (1 is the best there can be)", false)?;
        root.present().map_err(failed)?;
    }
    Ok(svg)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// One panel: M across, a value with its spread up, a line per contestant.
fn panel(
    area: &Area<'_>,
    rows: &[&Row],
    value: impl Fn(&Row) -> [f64; 3],
    label: &str,
    logarithmic: bool,
) -> Result<()> {
    let ms = rows.iter().map(|row| row.m as f64);
    let (first, last) = (ms.clone().fold(f64::MAX, f64::min), ms.fold(0.0, f64::max));
    let values = rows.iter().flat_map(|row| value(row));
    let (low, high) = (values.clone().fold(f64::MAX, f64::min), values.fold(0.0, f64::max));
    let x = (first * 0.9..last * 1.1).log_scale().base(2.0);
    let mut builder = ChartBuilder::on(area);
    builder.margin(12).x_label_area_size(40).y_label_area_size(60);
    if logarithmic {
        let y = (low * 0.8..high * 1.2).log_scale();
        lines(builder.build_cartesian_2d(x, y).map_err(failed)?, rows, value, label)
    } else {
        let y = 0.0..high.max(1.0) * 1.05;
        lines(builder.build_cartesian_2d(x, y).map_err(failed)?, rows, value, label)
    }
}

type Chart<'a, 'b, Y> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<LogCoord<f64>, Y>>;

fn lines<'a, 'b: 'a, Y>(
    mut chart: Chart<'a, 'b, Y>,
    rows: &[&Row],
    value: impl Fn(&Row) -> [f64; 3],
    label: &str,
) -> Result<()>
where
    Y: Ranged<ValueType = f64> + plotters::coord::ranged1d::ValueFormatter<f64>,
{
    chart
        .configure_mesh()
        .x_desc("M (tokens)")
        .y_desc(label)
        .x_label_formatter(&|m| format!("{m:.0}"))
        .light_line_style(WHITE.mix(0.0))
        .draw()
        .map_err(failed)?;
    for (i, who) in contestants(rows).into_iter().enumerate() {
        let color = if who == "floor" { BLACK.to_rgba() } else { Palette99::pick(i).to_rgba() };
        let mut points: Vec<(f64, [f64; 3])> = rows
            .iter()
            .filter(|row| row.who == who)
            .map(|row| (row.m as f64, value(row)))
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let medians: Vec<(f64, f64)> =
            points.iter().map(|&(m, [_, median, _])| (m, median)).collect();
        chart
            .draw_series(LineSeries::new(medians.clone(), color.stroke_width(2)))
            .map_err(failed)?
            .label(who)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], color.stroke_width(2)));
        chart
            .draw_series(medians.into_iter().map(|at| Circle::new(at, 3, color.filled())))
            .map_err(failed)?;
        let spreads = points
            .iter()
            .map(|&(m, [low, _, high])| PathElement::new([(m, low), (m, high)], color));
        chart.draw_series(spreads).map_err(failed)?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()
        .map_err(failed)?;
    Ok(())
}

fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("drawing: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(who: &str, m: usize, us: f64) -> Row {
        let who = who.to_owned();
        Row {
            who,
            m,
            n: 4096,
            k: 7168,
            low_us: us * 0.9,
            median_us: us,
            high_us: us * 1.2,
            plan: None,
        }
    }

    #[test]
    fn the_floor_is_weights_for_few_tokens_and_arithmetic_for_many() {
        // 33,030,144 bytes at 4.24 TB/s; 4·4096·4096·7168 operations at 990 TFLOP/s.
        approx::assert_relative_eq!(floor(&row("", 1, 1.0), 4.24), 7.790, max_relative = 1e-3);
        approx::assert_relative_eq!(floor(&row("", 4096, 1.0), 4.24), 485.9, max_relative = 1e-3);
    }

    #[test]
    fn every_contestant_is_in_the_table_and_in_the_picture() {
        let rows = [row("ours", 1, 10.0), row("ours", 64, 12.0), row("theirs", 1, 30.0)];
        let rows: Vec<&Row> = rows.iter().collect();
        let text = table(&rows, 4.24);
        assert!(text.contains("| 1 | 4096, 7168 | 10.0 | 30.0 | 7.8 |"), "{text}");
        assert!(text.contains("| 64 | 4096, 7168 | 12.0 | – | 7.8 |"), "{text}");
        let svg = draw(&rows, 4.24, "a device").unwrap();
        for part in ["ours", "theirs", "floor", "a device", "microseconds per call"] {
            assert!(svg.contains(part), "no {part}");
        }
    }
}
