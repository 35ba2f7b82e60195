//! XML that users write themselves (`RAW`, `HYPERV_OPTIONS`, …): checked before it may enter a description.

use roxmltree::{Document, Node, ParsingOptions};

use crate::error::DomainError;

/// Namespace of libvirt's pass-through to QEMU; the prefix `qemu` is declared on every domain.
pub(crate) const QEMU_NAMESPACE: &str = "http://libvirt.org/schemas/domain/qemu/1.0";

/// Longest fragment in bytes. libvirt itself refuses messages above 16 MiB.
const MAX_FRAGMENT_BYTES: usize = 1024 * 1024;
/// Most nodes in a fragment.
const MAX_FRAGMENT_NODES: u32 = 100_000;
/// Deepest nesting in a fragment; libxml2, which libvirt reads with, stops at 256.
const MAX_FRAGMENT_DEPTH: usize = 200;

/// XML text that is well-formed inside one element and cannot end that element.
///
/// Only this file makes one: the private field is the proof that the check was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fragment(String);

impl Fragment {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Checks `text`, and its elements with `check`, which is given the element around them.
///
/// An empty text gives `None`.
pub(crate) fn fragment_parse(
    attribute: &str,
    text: &str,
    check: impl FnOnce(Node<'_, '_>) -> Result<(), DomainError>,
) -> Result<Option<Fragment>, DomainError> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    if text.len() > MAX_FRAGMENT_BYTES {
        return Err(refused(
            attribute,
            format!("it is longer than {MAX_FRAGMENT_BYTES} bytes"),
        ));
    }
    // The wrapper's tags stand on the text's own lines: positions in parse errors are then those in the text.
    let opening = format!("<domain xmlns:qemu='{QEMU_NAMESPACE}'>");
    let wrapped = format!("{opening}{text}\n</domain>");
    let options = ParsingOptions {
        allow_dtd: false,
        nodes_limit: MAX_FRAGMENT_NODES,
        ..Default::default()
    };
    let document = Document::parse_with_options(&wrapped, options)
        .map_err(|error| refused(attribute, format!("it is not well-formed XML ({error})")))?;
    // The parser does not recurse: depth is a matter of what libvirt accepts, not of this stack.
    if document
        .descendants()
        .any(|node| node.ancestors().take(MAX_FRAGMENT_DEPTH + 1).count() > MAX_FRAGMENT_DEPTH)
    {
        return Err(refused(
            attribute,
            format!("its elements are nested deeper than {MAX_FRAGMENT_DEPTH}"),
        ));
    }
    check(document.root_element())?;
    Ok(Some(Fragment(text.to_owned())))
}

pub(crate) fn refused(attribute: &str, why: String) -> DomainError {
    DomainError::Fragment {
        attribute: attribute.to_owned(),
        why,
        remedy: "correct the XML, or remove the attribute",
    }
}

/// Refuses text between the elements: where libvirt expects elements it would be ignored without a word.
pub(crate) fn elements_only(attribute: &str, parent: Node<'_, '_>) -> Result<(), DomainError> {
    let stray = parent
        .children()
        .find(|child| child.is_text() && !child.text().unwrap_or("").trim().is_empty());
    match stray {
        Some(text) => Err(refused(
            attribute,
            format!(
                "it has text outside of elements (\"{}\")",
                crate::error::shown(text.text().unwrap_or(""))
            ),
        )),
        None => Ok(()),
    }
}
