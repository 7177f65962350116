//! Aligned columns: each as wide as its widest cell, the last as long as it is.

use super::{Palette, Tone, harmless};

/// Rows of cells, all harmless.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: Vec<Vec<Cell>>,
}

/// One cell.
#[derive(Clone, Debug)]
pub struct Cell {
    text: String,
    tone: Option<Tone>,
    right: bool,
}

impl Cell {
    /// Text from anywhere.
    pub fn new(text: &str) -> Self {
        Self { text: harmless(text).replace('\t', " "), tone: None, right: false }
    }

    /// A number, to the right.
    pub fn number(text: &str) -> Self {
        Self { right: true, ..Self::new(text) }
    }

    /// In a tone.
    #[must_use]
    pub const fn tone(mut self, tone: Tone) -> Self {
        self.tone = Some(tone);
        self
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

impl Table {
    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The lines, without trailing blanks.
    pub fn render(&self, palette: Palette) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.text.chars().count()).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut out = String::new();
        for row in &self.rows {
            let cells: Vec<String> =
                row.iter().zip(&widths).map(|(cell, width)| cell.padded(*width, palette)).collect();
            out.push_str(cells.join("  ").trim_end());
            out.push('\n');
        }
        out
    }
}

impl Cell {
    fn padded(&self, width: usize, palette: Palette) -> String {
        let blanks = " ".repeat(width.saturating_sub(self.text.chars().count()));
        let text = self.tone.map_or_else(|| self.text.clone(), |tone| palette.paint(tone, &self.text));
        if self.right { format!("{blanks}{text}") } else { format!("{text}{blanks}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_cells_do_not_steer() {
        let mut table = Table::default();
        table.row([Cell::number("1,204"), "finance/payments".into(), "a\u{200b}b".into()]);
        table.row([Cell::number("3"), "hr".into(), "long last cell".into()]);
        assert_eq!(
            table.render(Palette::plain()),
            "1,204  finance/payments  a\u{fffd}b\n    3  hr                long last cell\n"
        );
    }
}
