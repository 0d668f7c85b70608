//! Where two shapes part, in words.

/// A type in a canonical text: what stands before its bracket, and what in it.
struct Tree<'a> {
    label: &'a str,
    head: &'a str,
    text: &'a str,
    children: Vec<Tree<'a>>,
}

/// More than any text of ours nests. Texts may come from anybody.
const MAX_NESTING: usize = 300;

/// Reads one type from the front of `rest`.
fn parse<'a>(rest: &mut &'a str, depth: usize) -> Option<Tree<'a>> {
    if depth > MAX_NESTING {
        return None;
    }
    let mut label = "";
    let mut start = *rest;
    let mut head = take_head(rest)?;
    if let Some(after) = rest.strip_prefix(':') {
        (label, start, *rest) = (head, after, after);
        head = take_head(rest)?;
    }
    let mut children = Vec::new();
    if let Some(mut inside) = rest.strip_prefix(['{', '(', '<', '[']) {
        while !inside.starts_with(['}', ')', '>', ']']) {
            children.push(parse(&mut inside, depth + 1)?);
            inside = inside.strip_prefix([',', ';']).unwrap_or(inside);
        }
        *rest = &inside[1..];
    }
    let text = &start[..start.len() - rest.len()];
    Some(Tree { label, head, text, children })
}

/// Takes what stands before the next delimiter; a quoted name may contain some.
fn take_head<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let (mut quoted, mut escaped) = (false, false);
    let end = rest.find(|c| {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => return !quoted && "{}()<>[],;:".contains(c),
        }
        false
    });
    let end = end.unwrap_or(rest.len());
    if quoted || (end == 0 && !rest.starts_with(['(', '['])) {
        return None;
    }
    let (head, after) = rest.split_at(end);
    *rest = after;
    Some(head)
}

/// Reads a canonical text, also that of a part.
fn whole(text: &str) -> Option<Tree<'_>> {
    let mut text = text.strip_prefix("only ").unwrap_or(text);
    parse(&mut text, 0).filter(|_| text.is_empty())
}

/// The first place where the shape that was `expected` and the one that was `stored` differ, in words, such as
/// ``field `Frame.id`: u32, stored as u64``. `None` if they do not, or if one of them is no canonical text.
pub fn first_difference(expected: &str, stored: &str) -> Option<String> {
    compare("", &whole(expected)?, &whole(stored)?)
}

fn compare(path: &str, expected: &Tree<'_>, stored: &Tree<'_>) -> Option<String> {
    if expected.text == stored.text {
        return None;
    }
    let place = |path: &str| if path.is_empty() { "type".into() } else { format!("field `{path}`") };
    let bracket = |tree: &Tree<'_>| tree.text[tree.head.len()..].chars().next();
    let is_array = expected.text.starts_with('[');
    if expected.head != stored.head || bracket(expected) != bracket(stored) || is_array {
        return Some(format!("{}: {}, stored as {}", place(path), brief(expected.text), brief(stored.text)));
    }
    for (i, child) in expected.children.iter().enumerate() {
        let path = step(path, expected, i);
        let Some(other) = stored.children.get(i) else {
            return Some(format!("{}: not in the stored type", place(&path)));
        };
        if is_named(expected, child, other) {
            return Some(format!("{}: stored as `{}`", place(&path), step("", stored, i)));
        }
        if let Some(difference) = compare(&path, child, other) {
            return Some(difference);
        }
    }
    let extra = expected.children.len();
    Some(format!("{}: only in the stored type", place(&step(path, stored, extra))))
}

/// Whether two parts have different names.
fn is_named(parent: &Tree<'_>, expected: &Tree<'_>, stored: &Tree<'_>) -> bool {
    let variants = parent.head.starts_with("enum ");
    expected.label != stored.label || (variants && expected.head != stored.head)
}

/// The path of a child, which begins anew at every type with a name.
fn step(path: &str, parent: &Tree<'_>, index: usize) -> String {
    let child = parent.children.get(index);
    let (label, head) = child.map_or(("?", "?"), |child| (child.label, child.head));
    if let Some(name) = parent.head.strip_prefix("enum ") {
        return format!("{name}::{head}");
    }
    let path = parent.head.strip_prefix("struct ").unwrap_or(path);
    match parent.head {
        "option" => path.into(),
        "seq" | "map" => format!("{path}[]"),
        _ if label.is_empty() => format!("{path}.{index}"),
        _ => format!("{path}.{label}"),
    }
}

/// The beginning of a long text.
fn brief(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}..", &text[..end]),
        None => text.into(),
    }
}
