//! Looking into the XML of answers.

use roxmltree::{Document, Node, ParsingOptions};

use crate::error::CliError;

/// How many nodes a document may have: a pool of 100,000 VMs in full stays below it.
const NODES_MAX: u32 = 200_000_000;

/// Parses an answer's document.
pub fn document_parse(text: &str) -> Result<Document<'_>, CliError> {
    let options = ParsingOptions {
        allow_dtd: false,
        nodes_limit: NODES_MAX,
        ..ParsingOptions::default()
    };
    Ok(Document::parse_with_options(text, options)?)
}

/// The text of an element, CDATA sections and split texts joined.
pub fn text_of(node: Node<'_, '_>) -> String {
    node.children()
        .filter(Node::is_text)
        .filter_map(|child| child.text())
        .collect()
}

/// The first child element of that name.
pub fn child<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    node.children().find(|child| child.has_tag_name(name))
}

/// All child elements of that name.
pub fn children<'a, 'i: 'a>(node: Node<'a, 'i>, name: &'static str) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children().filter(move |child| child.has_tag_name(name))
}

/// The element at a path of names separated by slashes.
pub fn at<'a, 'i>(node: Node<'a, 'i>, path: &str) -> Option<Node<'a, 'i>> {
    path.split('/').try_fold(node, |node, name| child(node, name))
}

/// The text at a path; empty when there is no such element.
pub fn text(node: Node<'_, '_>, path: &str) -> String {
    at(node, path).map(text_of).unwrap_or_default()
}

/// The text at a path, or a dash when it is empty or absent.
pub fn text_or_dash(node: Node<'_, '_>, path: &str) -> String {
    let text = text(node, path);
    if text.is_empty() { "-".to_owned() } else { text }
}

/// The number at a path; zero when there is none.
pub fn number(node: Node<'_, '_>, path: &str) -> i64 {
    text(node, path).trim().parse().unwrap_or(0)
}

/// The number at a path, if there is one.
pub fn number_at(node: Node<'_, '_>, path: &str) -> Option<i64> {
    text(node, path).trim().parse().ok()
}

/// The texts of the `ID` elements at a path.
pub fn ids(node: Node<'_, '_>, path: &str) -> Vec<String> {
    at(node, path)
        .map(|list| children(list, "ID").map(text_of).collect())
        .unwrap_or_default()
}

/// The child elements of a node.
pub fn elements<'a, 'i: 'a>(node: Node<'a, 'i>) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children().filter(Node::is_element)
}

/// Whether an element holds other elements.
pub fn is_branch(node: Node<'_, '_>) -> bool {
    node.children().any(|child| child.is_element())
}

/// The source between the tags of an element, untouched.
pub fn inner_source<'a>(document: &'a Document<'_>, node: Node<'_, '_>) -> &'a str {
    let source = &document.input_text()[node.range()];
    match (source.find('>'), source.rfind("</")) {
        (Some(start), Some(end)) if start < end => &source[start + 1..end],
        _ => "",
    }
}
