//! What has been seen of a type: a graph of nodes, one per kind of value, and its canonical text.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;

use super::samples::LENGTHS;

pub(super) type NodeId = usize;

/// A child of a node: where a value stands.
pub(super) type Place = (NodeId, usize);

/// Where the type itself stands.
pub(super) const ROOT: Place = (0, 0);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Root,
    Leaf(&'static str),
    Option,
    Seq,
    Map,
    Tuple,
    UnitStruct,
    Newtype,
    TupleStruct,
    Struct,
    Enum,
    UnitVariant,
    NewtypeVariant,
    TupleVariant,
    StructVariant,
}

/// What tells one node from another. The visitor's type tells instances of a generic apart, and types of the same
/// name in two modules; it is compared in this process only and never hashed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) kind: Kind,
    pub(super) visitor: (&'static str, &'static str),
    pub(super) name: &'static str,
    pub(super) labels: &'static [&'static str],
    /// The place, for variants.
    pub(super) variant: Option<Place>,
}

impl Key {
    pub(super) const fn plain(kind: Kind) -> Self {
        Self { kind, visitor: ("", ""), name: "", labels: &[], variant: None }
    }
}

pub(super) struct Node {
    pub(super) key: Key,
    /// Fields, the element, key and value, or variants; `None` if nothing was read there, or not yet.
    pub(super) children: Vec<Option<NodeId>>,
    /// Whether one value has been read to its end.
    pub(super) read: bool,
    /// Whether nothing is left to see from here.
    closed: bool,
    /// How many values of it are being read.
    pub(super) active: usize,
    /// Of an enum: how many variants it has, which are being read, which lead too deep, and which is known to end.
    pub(super) variants: usize,
    pub(super) entered: Vec<usize>,
    pub(super) deep: HashSet<usize>,
    pub(super) ends: Option<usize>,
}

impl Node {
    fn new(key: Key) -> Self {
        Self {
            key,
            children: Vec::new(),
            read: false,
            closed: false,
            active: 0,
            variants: key.labels.len(),
            entered: Vec::new(),
            deep: HashSet::new(),
            ends: None,
        }
    }

    /// Whether everything at the node itself has been seen.
    fn is_complete(&self) -> bool {
        match self.key.kind {
            Kind::Root | Kind::Option | Kind::Seq => !self.children.is_empty(),
            Kind::Map => self.children.len() == 2,
            Kind::Enum => (0..self.variants).all(|i| self.child(i).is_some()),
            _ => self.read,
        }
    }

    pub(super) fn child(&self, index: usize) -> Option<NodeId> {
        self.children.get(index).copied().flatten()
    }

    /// The names of the children. Serde lists aliases too, without telling which they are: then there are none.
    fn labels(&self) -> Option<&'static [&'static str]> {
        let count = if self.key.kind == Kind::Enum { self.variants } else { self.children.len() };
        Some(self.key.labels).filter(|labels| labels.len() == count)
    }

    fn label(&self, index: usize) -> String {
        match self.labels() {
            Some(labels) if plain(labels[index]) => labels[index].into(),
            Some(labels) => format!("{:?}", labels[index]),
            None => index.to_string(),
        }
    }

    fn name(&self) -> String {
        if plain(self.key.name) { self.key.name.into() } else { format!("{:?}", self.key.name) }
    }

    fn is_named(&self) -> bool {
        matches!(self.key.kind, Kind::Newtype | Kind::TupleStruct | Kind::Struct | Kind::Enum)
    }
}

/// Whether a name can stand in the text as it is.
fn plain(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "_-.$".contains(c))
}

pub(super) struct Graph {
    pub(super) nodes: Vec<Node>,
    ids: HashMap<Key, NodeId>,
    /// Grows with everything that is seen for the first time.
    pub(super) progress: usize,
}

/// Two different things stood at one place.
pub(super) struct Conflict;

impl Graph {
    pub(super) fn new() -> Self {
        Self { nodes: vec![Node::new(Key::plain(Kind::Root))], ids: HashMap::new(), progress: 0 }
    }

    /// Notes that `place` was looked at.
    pub(super) fn touch(&mut self, (parent, index): Place) {
        let children = &mut self.nodes[parent].children;
        if children.len() <= index {
            children.resize(index + 1, None);
            self.progress += 1;
        }
    }

    /// Notes that a value of `key` stands at `place`.
    pub(super) fn attach(&mut self, place: Place, key: Key) -> Result<NodeId, Conflict> {
        let nodes = &mut self.nodes;
        let id = *self.ids.entry(key).or_insert_with(|| {
            nodes.push(Node::new(key));
            nodes.len() - 1
        });
        self.touch(place);
        let child = &mut self.nodes[place.0].children[place.1];
        match *child {
            Some(known) if known == id => return Ok(id),
            Some(_) => return Err(Conflict),
            None => *child = Some(id),
        }
        self.progress += 1;
        Ok(id)
    }

    /// Whether anything is left to see from `start`, on a way around the values that are being read: inside them there
    /// is no room for more of their kind.
    pub(super) fn is_open(&mut self, start: NodeId) -> bool {
        let mut seen = HashSet::from([start]);
        let mut todo = vec![start];
        let mut all = true;
        while let Some(id) = todo.pop() {
            let node = &self.nodes[id];
            if node.closed {
                continue;
            }
            if node.active > 0 && id != start {
                all = false;
                continue;
            }
            if !node.is_complete() {
                return true;
            }
            todo.extend(node.children.iter().flatten().filter(|child| seen.insert(**child)));
        }
        for id in seen.into_iter().filter(|_| all) {
            self.nodes[id].closed = true;
        }
        false
    }

    /// The variant to try at an enum. Where there is room, one with something left to see; otherwise one that ends.
    pub(super) fn pick(&mut self, id: NodeId, room: bool) -> Option<usize> {
        let variants = 0..self.nodes[id].variants;
        let left = |graph: &mut Self, i| graph.nodes[id].child(i).is_none_or(|child| graph.is_open(child));
        if room && let Some(open) = variants.clone().find(|i| left(self, *i)) {
            return Some(open);
        }
        let node = &self.nodes[id];
        node.ends.or_else(|| variants.clone().find(|i| !node.entered.contains(i) && !node.deep.contains(i)))
    }

    /// The place `(parent, index)` as one step of a path.
    fn step(&self, (parent, index): Place) -> String {
        let node = &self.nodes[parent];
        match node.key.kind {
            Kind::Struct | Kind::StructVariant if index < node.key.labels.len() => {
                format!(".{}", node.key.labels[index])
            }
            Kind::Tuple | Kind::TupleStruct | Kind::TupleVariant => format!(".{index}"),
            Kind::Enum => format!("::{}", node.key.labels.get(index).unwrap_or(&"?")),
            Kind::Seq => "[]".into(),
            Kind::Map if index == 1 => "[]".into(),
            _ => String::new(),
        }
    }

    /// A path for messages: the innermost type with a name, and the way from there.
    pub(super) fn path(&self, places: &[Place], root: &str) -> String {
        let start = places.iter().rposition(|(parent, _)| self.nodes[*parent].is_named());
        let name = start.map_or(root, |i| self.nodes[places[i].0].key.name);
        let steps = places[start.unwrap_or(0)..].iter().map(|place| self.step(*place));
        // What nests endlessly has endless paths.
        steps.take(8).fold(name.into(), |path, step| path + &step)
    }

    /// For each node the number of its class; nodes of one class cannot be told apart from outside. So the text does
    /// not depend on which Rust types stand behind the same shape.
    fn classes(&self) -> Vec<usize> {
        let mut classes = vec![0; self.nodes.len()];
        let mut count = 0;
        loop {
            let mut known = HashMap::new();
            let next = self.nodes.iter().map(|node| {
                let children: Vec<_> =
                    node.children.iter().map(|child| child.map(|id| classes[id])).collect();
                let fresh = known.len();
                *known.entry((node.key.kind, node.key.name, node.labels(), children)).or_insert(fresh)
            });
            let next = next.collect();
            let settled = known.len() == count;
            (classes, count) = (next, known.len());
            if settled {
                return classes;
            }
        }
    }

    /// The canonical text, and the paths of the sequences of bytes. `None` if it is out of all proportion.
    pub(super) fn text(&self, root: &str) -> Option<(String, Vec<String>)> {
        let mut writer = Writer {
            graph: self,
            classes: self.classes(),
            numbers: HashMap::new(),
            names: 0,
            places: Vec::new(),
            root,
            out: String::new(),
            byte_seqs: Vec::new(),
        };
        writer.place(ROOT)?;
        Some((writer.out, writer.byte_seqs))
    }
}

struct Writer<'a> {
    graph: &'a Graph,
    classes: Vec<usize>,
    /// The classes written so far, in order, and while one is being written, how many names it stands in.
    numbers: HashMap<usize, (usize, Option<usize>)>,
    /// How many types with a name are being written.
    names: usize,
    places: Vec<Place>,
    root: &'a str,
    out: String,
    byte_seqs: Vec<String>,
}

const MAX_TEXT: usize = 1 << 20;
const MAX_NESTING: usize = 256;

impl Writer<'_> {
    fn place(&mut self, place: Place) -> Option<()> {
        self.places.push(place);
        match self.graph.nodes[place.0].child(place.1) {
            Some(id) => self.node(id)?,
            None => self.out.push_str("nothing"),
        }
        self.places.pop();
        (self.out.len() <= MAX_TEXT && self.places.len() <= MAX_NESTING).then_some(())
    }

    fn node(&mut self, id: NodeId) -> Option<()> {
        let node = &self.graph.nodes[id];
        if let Kind::Leaf(name) = node.key.kind {
            self.out.push_str(name);
            return Some(());
        }
        // What has a name is written once. What has none is written again, unless it contains itself as it is.
        let class = self.classes[id];
        let fresh = (self.numbers.len(), None);
        let (number, open) = *self.numbers.entry(class).or_insert(fresh);
        if open == Some(self.names) || (node.is_named() && number != fresh.0) {
            let name = if node.is_named() { node.name() } else { String::new() };
            let _ = write!(self.out, "{name}^{number}");
            return Some(());
        }
        self.names += usize::from(node.is_named());
        self.numbers.insert(class, (number, Some(self.names)));
        self.body(id)?;
        self.numbers.insert(class, (number, open));
        self.names -= usize::from(node.is_named());
        Some(())
    }

    fn body(&mut self, id: NodeId) -> Option<()> {
        let node = &self.graph.nodes[id];
        let name = node.name();
        match node.key.kind {
            Kind::Root | Kind::Leaf(_) | Kind::UnitVariant => {}
            Kind::Option => self.list(id, "option<", ">", false)?,
            Kind::Seq => {
                if self.is_byte(node.child(0)) {
                    self.byte_seqs.push(self.graph.path(&self.places, self.root));
                }
                self.list(id, "seq<", ">", false)?;
            }
            Kind::Map => self.list(id, "map<", ">", false)?,
            Kind::Tuple if self.is_uniform(node) => {
                self.out.push('[');
                self.place((id, 0))?;
                let _ = write!(self.out, ";{}]", node.children.len());
            }
            Kind::Tuple | Kind::NewtypeVariant | Kind::TupleVariant => self.list(id, "(", ")", false)?,
            Kind::StructVariant => self.list(id, "{", "}", true)?,
            Kind::UnitStruct => {
                let _ = write!(self.out, "struct {name}");
            }
            Kind::Newtype | Kind::TupleStruct => self.list(id, &format!("struct {name}("), ")", false)?,
            Kind::Struct => self.list(id, &format!("struct {name}{{"), "}", true)?,
            Kind::Enum => {
                let _ = write!(self.out, "enum {name}{{");
                for i in 0..node.variants {
                    self.out.push_str(if i > 0 { "," } else { "" });
                    self.out.push_str(&node.label(i));
                    self.place((id, i))?;
                }
                self.out.push('}');
            }
        }
        Some(())
    }

    fn list(&mut self, id: NodeId, before: &str, after: &str, labelled: bool) -> Option<()> {
        self.out.push_str(before);
        let node = &self.graph.nodes[id];
        for i in 0..node.children.len() {
            self.out.push_str(if i > 0 { "," } else { "" });
            if labelled {
                let _ = write!(self.out, "{}:", node.label(i));
            }
            self.place((id, i))?;
        }
        self.out.push_str(after);
        Some(())
    }

    fn is_byte(&self, id: Option<NodeId>) -> bool {
        id.is_some_and(|id| self.graph.nodes[id].key.kind == Kind::Leaf("u8"))
    }

    /// A tuple of two or more equal members, which is also what arrays are.
    fn is_uniform(&self, node: &Node) -> bool {
        let mut classes = node.children.iter().map(|child| child.map(|id| self.classes[id]));
        let first = classes.next();
        node.children.len() > 1 && classes.all(|class| Some(class) == first)
    }
}

/// How many elements to hand out at the `attempt`: some if there is something to see, otherwise best none.
pub(super) fn length(attempt: usize, wanted: bool) -> usize {
    match attempt {
        0 | 1 if !wanted => attempt,
        _ => LENGTHS[attempt],
    }
}
