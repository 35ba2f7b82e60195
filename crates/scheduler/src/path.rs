//! [`Tree`] and [`Path`]: the XML form of an object as a tree, and the paths by which an expression may name values in
//! it. Child steps, `*`, `//`, `[KEY=value]` (the value may be in single quotes) are understood; any other path finds nothing.

use plerion_template::Markup;

/// Most steps of a path.
const STEPS_MAX: usize = 16;

/// An element.
#[derive(Debug)]
pub(crate) struct Node {
    name: Box<str>,
    parent: Option<usize>,
    text: String,
}

/// The elements of an object in document order.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    open: Vec<usize>,
}

impl Tree {
    /// Goes on writing within the first element.
    pub(crate) fn reopen(&mut self) {
        self.open = vec![0];
    }

    /// The text of an element.
    pub(crate) fn text_of(&self, node: usize) -> &str {
        self.nodes.get(node).map_or("", |node| &node.text)
    }

    /// The name of a child of the root.
    pub(crate) fn child_of_root(&self, node: usize) -> Option<&str> {
        self.nodes
            .get(node)
            .filter(|node| node.parent == Some(0))
            .map(|node| &*node.name)
    }

    /// Names of the elements without children beneath a path.
    #[cfg(test)]
    pub(crate) fn leaves_of(&self, path: &str) -> Vec<String> {
        Path::find(&Path::of_name(path, &[]), self)
            .into_iter()
            .flat_map(|node| self.children(Some(node)))
            .filter(|(index, _)| self.children(Some(*index)).next().is_none())
            .filter(|(_, node)| !matches!(&*node.name, "VMS" | "PCI_DEVICES" | "NUMA_NODES"))
            .map(|(_, node)| node.name.to_string())
            .collect()
    }

    fn children(&self, parent: Option<usize>) -> impl Iterator<Item = (usize, &Node)> {
        self.nodes
            .iter()
            .enumerate()
            .filter(move |(_, node)| node.parent == parent)
    }

    fn is_below(&self, node: usize, ancestor: Option<usize>) -> bool {
        let Some(ancestor) = ancestor else { return true };
        let mut at = self.nodes.get(node).and_then(|node| node.parent);
        while let Some(parent) = at {
            if parent == ancestor {
                return true;
            }
            at = self.nodes.get(parent).and_then(|node| node.parent);
        }
        false
    }
}

impl Markup for Tree {
    fn open(&mut self, name: &str) {
        self.nodes.push(Node {
            name: name.into(),
            parent: self.open.last().copied(),
            text: String::new(),
        });
        self.open.push(self.nodes.len().saturating_sub(1));
    }

    fn close(&mut self, _name: &str) {
        self.open.pop();
    }

    fn empty(&mut self, name: &str) {
        self.open(name);
        self.close(name);
    }

    fn text(&mut self, text: &str) {
        if let Some(node) = self.open.last().and_then(|at| self.nodes.get_mut(*at)) {
            node.text.push_str(text);
        }
    }

    fn cdata(&mut self, text: &str) {
        self.text(text);
    }
}

/// A path from the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    /// `*` takes any name.
    name: Box<str>,
    /// Whether it may lie at any depth (`//`).
    anywhere: bool,
    /// Children that the element must have, with their text.
    conditions: Vec<(Box<str>, Box<str>)>,
}

impl Path {
    /// The paths that a name stands for: itself if it begins with `/`, else it goes on from each of the bases.
    pub(crate) fn of_name(name: &str, bases: &[&str]) -> Vec<Self> {
        if name.starts_with('/') {
            return Self::parse(name).into_iter().collect();
        }
        bases
            .iter()
            .filter_map(|base| Self::parse(&format!("/{base}/{name}")))
            .collect()
    }

    fn parse(text: &str) -> Option<Self> {
        let mut steps = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            rest = rest.strip_prefix('/')?;
            let anywhere = rest.starts_with('/');
            rest = rest.strip_prefix('/').unwrap_or(rest);
            let end = step_end(rest)?;
            let (step, after) = rest.split_at_checked(end)?;
            steps.push(Step::parse(step, anywhere)?);
            rest = after;
            if steps.len() > STEPS_MAX {
                return None;
            }
        }
        (!steps.is_empty()).then_some(Self { steps })
    }

    /// The elements it leads to.
    fn nodes(&self, tree: &Tree) -> Vec<usize> {
        let mut at: Vec<Option<usize>> = vec![None];
        for step in &self.steps {
            let mut next: Vec<usize> = Vec::new();
            for from in &at {
                if step.anywhere {
                    next.extend(
                        tree.nodes
                            .iter()
                            .enumerate()
                            .filter(|(index, node)| {
                                step.takes(tree, *index, node) && tree.is_below(*index, *from)
                            })
                            .map(|(index, _)| index),
                    );
                } else {
                    next.extend(
                        tree.children(*from)
                            .filter(|(index, node)| step.takes(tree, *index, node))
                            .map(|(index, _)| index),
                    );
                }
            }
            next.sort_unstable();
            next.dedup();
            at = next.into_iter().map(Some).collect();
        }
        at.into_iter().flatten().collect()
    }

    /// The elements that any of the paths leads to, in document order.
    pub(crate) fn find(paths: &[Self], tree: &Tree) -> Vec<usize> {
        let mut found: Vec<usize> = paths.iter().flat_map(|path| path.nodes(tree)).collect();
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// Where a step ends: at the next `/` outside brackets.
fn step_end(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    for (at, c) in text.char_indices() {
        match c {
            '[' => depth = depth.saturating_add(1),
            ']' => depth = depth.checked_sub(1)?,
            '/' if depth == 0 => return Some(at),
            _ => {}
        }
    }
    (depth == 0).then_some(text.len())
}

impl Step {
    fn parse(text: &str, anywhere: bool) -> Option<Self> {
        let mut parts = text.split('[');
        let name = parts.next().filter(|name| is_step_name(name))?;
        let mut conditions = Vec::new();
        for part in parts {
            let (key, value) = part.strip_suffix(']')?.split_once('=')?;
            let key = key.trim();
            let value = value.trim();
            let bare = value
                .strip_prefix('\'')
                .and_then(|text| text.strip_suffix('\''))
                .unwrap_or(value);
            if !is_step_name(key) || key == "*" {
                return None;
            }
            conditions.push((key.into(), bare.into()));
        }
        Some(Self {
            name: name.into(),
            anywhere,
            conditions,
        })
    }

    fn takes(&self, tree: &Tree, index: usize, node: &Node) -> bool {
        (&*self.name == "*" || self.name == node.name)
            && self.conditions.iter().all(|(key, value)| {
                tree.children(Some(index))
                    .any(|(_, child)| child.name == *key && child.text == **value)
            })
    }
}

fn is_step_name(name: &str) -> bool {
    name == "*"
        || (!name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Tree {
        let mut tree = Tree::default();
        tree.open("HOST");
        tree.number("ID", 7);
        tree.open("HOST_SHARE");
        tree.open("DATASTORES");
        for (id, free) in [(0, 10), (100, 20)] {
            tree.open("DS");
            tree.number("ID", id);
            tree.number("FREE_MB", free);
            tree.close("DS");
        }
        tree.close("DATASTORES");
        tree.close("HOST_SHARE");
        tree.empty("VMS");
        tree.close("HOST");
        tree
    }

    #[test]
    fn paths_lead_to_elements() {
        let bases = ["HOST/HOST_SHARE", "HOST"];
        for (name, expect) in [
            ("ID", vec!["7"]),
            ("/HOST/ID", vec!["7"]),
            ("DATASTORES/DS/FREE_MB", vec!["10", "20"]),
            ("DATASTORES/DS[ID=100]/FREE_MB", vec!["20"]),
            ("DATASTORES/DS[ID='0']/FREE_MB", vec!["10"]),
            ("/HOST//FREE_MB", vec!["10", "20"]),
            ("//DS/ID", vec!["0", "100"]),
            ("//ID", vec!["7", "0", "100"]),
            ("/HOST/HOST_SHARE/*/DS/ID", vec!["0", "100"]),
            ("/OTHER/ID", vec![]),
            ("/", vec![]),
            ("a b", vec![]),
            ("DS[", vec![]),
            ("DS]", vec![]),
            ("DS[ID]", vec![]),
            ("DS[*=1]", vec![]),
            ("VMS/ID", vec![]),
        ] {
            let tree = tree();
            let found: Vec<&str> = Path::find(&Path::of_name(name, &bases), &tree)
                .into_iter()
                .map(|node| tree.text_of(node))
                .collect();
            assert_eq!(found, expect, "{name}");
        }
    }

    #[test]
    fn paths_are_bounded() {
        assert_eq!(Path::of_name(&"/A".repeat(STEPS_MAX + 1), &[]), []);
        assert_eq!(Path::of_name(&"/A".repeat(STEPS_MAX), &[]).len(), 1);
    }

    #[test]
    fn writing_goes_on_in_the_first_element() {
        let mut tree = tree();
        tree.reopen();
        tree.element("LATE", "x");
        let found = Path::find(&Path::of_name("/HOST/LATE", &[]), &tree);
        assert_eq!(
            found.iter().map(|node| tree.text_of(*node)).collect::<Vec<_>>(),
            ["x"]
        );
        assert_eq!(tree.child_of_root(found[0]), Some("LATE"));
    }
}
