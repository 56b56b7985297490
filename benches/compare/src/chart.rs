//! The results as a picture: one panel for each workload, a bar for each engine. Colours that are read on light and on
//! dark: no background, grey letters.

use std::fmt::Write;

use crate::engines::{LIMITS, OURS};
use crate::measure::FIGURE;
use crate::report::{Run, number};
use crate::rounds::{Row, Table};
use crate::workload::{Unit, Workload};

const PANELS: [Workload; 8] = [
    Workload::Append1,
    Workload::Append100,
    Workload::Durable1,
    Workload::Durable8,
    Workload::Transaction,
    Workload::TransactionDurable,
    Workload::Scan,
    Workload::AppendMemory,
];
const WIDTH: usize = 860;
const PANEL: usize = WIDTH / 2;
const NAME: usize = 118;
const BAR: usize = 17;
const LETTERS: &str = "#7d8590";
const OURS_COLOUR: &str = "#2f81f7";
const LIMIT_COLOUR: &str = "#b6bdc5";
const OTHER_COLOUR: &str = "#8b949e";

/// The picture.
pub fn chart(run: &Run, tables: &[Table]) -> String {
    let mut panels = String::new();
    let mut bottoms = [46, 46];
    for workload in PANELS {
        let Some(table) = tables.iter().find(|table| table.workload == workload) else { continue };
        let mut bars: Vec<(&Row, f64)> =
            table.rows.iter().filter_map(|row| row.median(FIGURE).map(|(figure, ..)| (row, figure))).collect();
        bars.sort_by(|a, b| b.1.total_cmp(&a.1));
        // The shorter column takes it.
        let column = usize::from(bottoms[1] < bottoms[0]);
        let (x, y) = (column * PANEL, bottoms[column]);
        let _ = panel(&mut panels, table, &bars, x, y);
        bottoms[column] += (bars.len() + 2) * BAR + 10;
    }
    let height = bottoms[0].max(bottoms[1]) + 6;
    let machine = &run.machine;
    let under = format!(
        "{}, {} cores, {}, {}; 100-byte records; more is better; medians of {} rounds",
        machine.date, machine.cores, machine.kernel, machine.file_system, run.sizes.rounds
    );
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"-16 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"12\" fill=\"{LETTERS}\">\n\
         <title>oncelog beside other engines</title>\n\
         <text x=\"8\" y=\"16\" font-size=\"15\" font-weight=\"600\">oncelog beside the engines a user would pick \
         instead</text>\n\
         <text x=\"8\" y=\"33\" font-size=\"11\">{}</text>\n{panels}</svg>\n",
        escaped(&under)
    )
}

fn panel(text: &mut String, table: &Table, bars: &[(&Row, f64)], x: usize, y: usize) -> std::fmt::Result {
    let what = match table.workload.unit() {
        Unit::PerSecond(what) => what,
        _ => "",
    };
    let title = format!("{}: {what} a second", table.workload.title());
    writeln!(text, "<text x=\"{}\" y=\"{}\" font-weight=\"600\">{}</text>", x + 8, y + 14, escaped(&title))?;
    let most = bars.first().map_or(1.0, |(_, figure)| *figure);
    let room = (PANEL - NAME - 64) as f64;
    for (turn, (row, figure)) in bars.iter().enumerate() {
        let top = y + 22 + turn * BAR;
        let name = row.engine.name;
        let (colour, weight) = match name {
            OURS => (OURS_COLOUR, " font-weight=\"700\""),
            limit if LIMITS.contains(&limit) => (LIMIT_COLOUR, " font-style=\"italic\""),
            _ => (OTHER_COLOUR, ""),
        };
        let length = (figure / most * room).max(1.0);
        writeln!(
            text,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\"{weight}>{}</text>\
             <rect x=\"{}\" y=\"{}\" width=\"{length:.1}\" height=\"{}\" rx=\"2\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{}\" font-size=\"11\"{weight}>{}</text>",
            x + NAME - 6,
            top + 12,
            escaped(name),
            x + NAME,
            top + 2,
            BAR - 4,
            (x + NAME) as f64 + length + 5.0,
            top + 12,
            number(*figure)
        )?;
    }
    Ok(())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
