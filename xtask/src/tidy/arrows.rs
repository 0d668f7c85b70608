//! Which of our crates needs which: as in the table of `docs/architecture.md`.

use std::collections::{BTreeMap, BTreeSet};

use crate::metadata;
use crate::sh::{Result, read};

const PAGE: &str = "docs/architecture.md";
const HEADING: &str = "## Crates";

type Arrows = BTreeMap<String, BTreeSet<String>>;

/// Where the manifests and the table differ. Dependencies of tests alone are free.
pub(crate) fn problems() -> Result<Vec<String>> {
    let real = metadata::crates()?.into_iter().map(|(name, krate)| (name, krate.arrows)).collect();
    Ok(match read(PAGE) {
        Ok(page) => compare(&table(&page), &real),
        Err(error) => vec![error],
    })
}

/// The table below the heading: a crate in the first column, what it needs of ours in the second; names in
/// backticks, and anything else in those cells is prose. Further columns are free.
fn table(page: &str) -> Arrows {
    let section = page.lines().skip_while(|line| line.trim_end() != HEADING).skip(1);
    let rows = section.take_while(|line| !line.starts_with("## ")).filter(|line| line.starts_with("| `"));
    rows.flat_map(|row| {
        let cells: Vec<_> = row.split('|').collect();
        let needs = quoted(cells.get(2).unwrap_or(&""));
        quoted(cells[1]).into_iter().map(move |name| (name, needs.clone()))
    })
    .collect()
}

/// The words in backticks.
fn quoted(cell: &str) -> BTreeSet<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn compare(table: &Arrows, real: &Arrows) -> Vec<String> {
    if table.is_empty() {
        return vec![format!("{PAGE}: no table under `{HEADING}`, columns: crate | depends on (ours)")];
    }
    let mut problems = Vec::new();
    for (name, needs) in real {
        let Some(listed) = table.get(name) else {
            problems.push(format!("{PAGE}: `{name}` is not in the table of crates"));
            continue;
        };
        for other in needs.difference(listed) {
            problems.push(format!("{name} depends on {other}, and the table in {PAGE} does not allow it"));
        }
        for other in listed.difference(needs) {
            problems.push(format!("{PAGE}: the table says that `{name}` needs `{other}`, and it does not"));
        }
    }
    for name in table.keys().filter(|name| !real.contains_key(*name)) {
        problems.push(format!("{PAGE}: there is no crate `{name}`"));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# A\n| `no` | `x` |\n## Crates\n\n| crate | depends on (ours) | more |\n| --- | --- | --- |\n\
        | `a` | – | `x` |\n| `b` | `a` | |\n| `c` | `a`, `b` | |\n\n## Next\n| `d` | `a` |\n";

    fn real(c: &[&str]) -> Arrows {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        [("a", set(&[])), ("b", set(&["a"])), ("c", set(c))]
            .map(|(name, needs)| (name.to_owned(), needs))
            .into()
    }

    #[test]
    fn the_table_is_read() {
        assert_eq!(table(PAGE), real(&["a", "b"]));
        assert_eq!(compare(&table(PAGE), &real(&["a", "b"])), Vec::<String>::new());
    }

    #[test]
    fn every_difference_is_named() {
        assert_eq!(compare(&table(PAGE), &real(&["a"])).len(), 1);
        assert_eq!(compare(&table(PAGE), &real(&["a", "b", "d"])).len(), 1);
        let mut fewer = real(&["a", "b"]);
        fewer.remove("b");
        assert_eq!(compare(&table(PAGE), &fewer).len(), 1);
        assert_eq!(compare(&fewer, &table(PAGE)).len(), 1);
        assert_eq!(compare(&table("no table"), &fewer).len(), 1);
    }
}
