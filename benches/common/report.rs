//! Results: tables and remarks, for people or as JSON.

use serde_json::{Value, json};

/// What stands in a place of a table.
#[derive(Clone, Debug)]
pub(crate) enum Cell {
    /// Words.
    Text(String),
    /// A number and how many decimals people get to see.
    Number(f64, usize),
    /// A number with its sign.
    Signed(f64, usize),
    /// Nothing.
    Empty,
}

impl Cell {
    /// Words.
    pub(crate) fn text(text: impl Into<String>) -> Cell {
        Cell::Text(text.into())
    }

    /// A whole number.
    pub(crate) fn count(number: u64) -> Cell {
        Cell::Number(number as f64, 0)
    }

    fn shown(&self) -> String {
        match self {
            Cell::Text(text) => text.clone(),
            Cell::Number(number, decimals) => format!("{number:.decimals$}"),
            Cell::Signed(number, decimals) => format!("{number:+.decimals$}"),
            Cell::Empty => String::new(),
        }
    }

    fn value(&self) -> Value {
        match self {
            Cell::Text(text) => json!(text),
            Cell::Number(number, _) | Cell::Signed(number, _) => json!(number),
            Cell::Empty => Value::Null,
        }
    }
}

/// A table with a title and names of columns.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    title: String,
    columns: Vec<String>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// An empty one.
    pub(crate) fn new(title: &str, columns: &[&str]) -> Table {
        let columns = columns.iter().map(|&c| c.to_owned()).collect();
        Table { title: title.to_owned(), columns, rows: Vec::new() }
    }

    /// Adds a row, shown on standard error at once for those who wait.
    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        let shown: Vec<String> = cells.iter().map(Cell::shown).collect();
        eprintln!("  {}: {}", self.title, shown.join(" | "));
        self.rows.push(cells);
    }

    fn print(&self) {
        let rows: Vec<Vec<String>> =
            self.rows.iter().map(|row| row.iter().map(Cell::shown).collect()).collect();
        let width = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column)).map(String::len);
            cells.max().unwrap_or(0).max(self.columns[column].len())
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        println!("\n{}\n", self.title);
        print_row(&self.columns, &widths);
        let rule: Vec<String> = widths.iter().map(|&w| "-".repeat(w)).collect();
        print_row(&rule, &widths);
        rows.iter().for_each(|row| print_row(row, &widths));
    }

    fn value(&self) -> Value {
        let row = |cells: &Vec<Cell>| {
            let pairs = self.columns.iter().cloned().zip(cells.iter().map(Cell::value));
            Value::Object(pairs.collect())
        };
        json!({ "title": self.title, "rows": self.rows.iter().map(row).collect::<Vec<_>>() })
    }
}

/// A row of a Markdown table, so that it can be copied into documents.
fn print_row(cells: &[String], widths: &[usize]) {
    let padded: Vec<String> = cells.iter().zip(widths).map(|(c, &w)| format!("{c:>w$}")).collect();
    println!("| {} |", padded.join(" | "));
}

/// All that a benchmark found.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    name: &'static str,
    tables: Vec<Table>,
    remarks: Vec<String>,
}

impl Report {
    /// An empty one.
    pub(crate) fn new(name: &'static str) -> Report {
        Report { name, tables: Vec::new(), remarks: Vec::new() }
    }

    /// Adds a table.
    pub(crate) fn table(&mut self, table: Table) {
        self.tables.push(table);
    }

    /// Adds a sentence.
    pub(crate) fn remark(&mut self, text: impl Into<String>) {
        self.remarks.push(text.into());
    }

    /// Prints it on standard output.
    pub(crate) fn print(&self, as_json: bool) {
        if as_json {
            let tables: Vec<Value> = self.tables.iter().map(Table::value).collect();
            let whole = json!({ "bench": self.name, "tables": tables, "remarks": self.remarks });
            println!("{whole:#}");
            return;
        }
        self.tables.iter().for_each(Table::print);
        println!();
        self.remarks.iter().for_each(|remark| println!("{remark}"));
    }
}
