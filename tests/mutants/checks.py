"""Finds the checks in a file of Rust and writes the file so that each one can be switched off by its number.

A check is one of these:
- a statement that may refuse: `require(…)?;`
- a refusal: `return Err(…)`, `return false`; `Err(…)` at the end of a function that gives nothing else
- such a function's end in another one: `ide_check(…)`
- a right asked for besides others: `rights.push((Operation::…, …))`, an element of `[(Operation::…, …), …]`
- in files on quotas, what is counted: `charge.places.push(…)`, `used.add(…)`
"""

from dataclasses import dataclass
from pathlib import Path

import tree_sitter_rust
from tree_sitter import Language, Parser

RUST = Language(tree_sitter_rust.language())
TEXT_MAX = 110
SWITCHES = Path(__file__).with_name("switches.rs")


@dataclass(frozen=True)
class Check:
    """A check; `text` is one line, the first words of it."""

    file: str
    function: str
    text: str
    # Whether coming to it does not yet mean that it refuses.
    looks: bool

    def row(self):
        """Its name in the table: no line number, so that it outlives changes elsewhere in the file."""
        return self.file, self.function, self.text


class Switched:
    """A file whose checks get the numbers from `first` on; those in `without` get one, but no switch."""

    def __init__(self, path, source, first, without):
        self.path = path
        self.source = source
        self.first = first
        self.without = without
        self.checks = []
        self.edits = []
        tree = Parser(RUST).parse(source)
        assert not tree.root_node.has_error, f"{path} cannot be parsed"
        self._walk(tree.root_node, "", False)

    def text(self):
        """The new text, and where each check is in it: [(its number in a set, first byte, last byte)]."""
        # At one place: ends before beginnings, inner ends and outer beginnings first.
        points = []
        for order, (start, end, number, before, after) in enumerate(self.edits):
            points.append((start, 1, -end, order, number, before))
            points.append((end, 0, -start, -order, number, after))
        points.sort(key=lambda point: point[:4])
        parts, done, size, begun, places = [], 0, 0, {}, []
        for place, opens, _, _, number, words in points:
            size += place - done
            if opens:
                begun.setdefault(number, size)
            parts += [self.source[done:place], words.encode()]
            size += len(parts[-1])
            done = place
            if not opens:
                places.append(({number}, begun[number], size))
        parts.append(self.source[done:])
        return b"".join(parts), places

    def _walk(self, node, function, gives_nothing):
        if node.type == "mod_item" and _is_test(node):
            return
        if node.type == "function_item":
            if any(child.type == "function_modifiers" for child in node.children):
                return  # const functions call no others
            function = node.child_by_field_name("name").text.decode()
            gives = node.child_by_field_name("return_type")
            gives_nothing = gives is not None and gives.text.startswith(b"Result<(),")
        elif node.type == "closure_expression":
            gives_nothing = False
        elif node.type == "expression_statement":
            self._statement(node, function)
        elif node.type == "return_expression":
            if node.text.startswith((b"return Err(", b"return refused(", b"return false")):
                self._switch(node, function, "if {kept} {{ ", "; }}")
        elif node.type == "call_expression" and gives_nothing and _is_last(node):
            if node.child_by_field_name("function").text != b"Ok":
                number = self.first + len(self.checks)
                look = f"crate::mutant::looked_at({number}, "
                self._switch(node, function, f"if {{kept}} {{{{ {look}", ") }} else {{ Ok(()) }}", True)
        elif node.type == "array_expression":
            self._rights(node, function)
        for child in node.named_children:
            # Without the end of a `let … else` there would be no value.
            if not (node.type == "let_declaration" and child.type == "block"):
                self._walk(child, function, gives_nothing)

    def _statement(self, node, function):
        inner = node.named_children[0]
        counted = inner.type == "call_expression" and self._counts(inner)
        if counted:
            self._switch(node, function, "if {kept} {{ ", " }}", True)
        elif inner.type == "try_expression":
            number = self._switch(node, function, "if {kept} {{ ", " }}", True)
            if number is not None:
                tried = inner.named_children[0]
                look = f"crate::mutant::looked_at({number}, "
                self.edits.append((tried.start_byte, tried.end_byte, number, look, ")"))

    def _counts(self, call):
        called = call.child_by_field_name("function").text
        if not called.endswith((b"push", b"extend", b"add")):
            return False
        return b"Operation::" in call.text or b"rights" in called or self.path.stem.startswith("quota")

    def _rights(self, node, function):
        elements = node.named_children
        if len(elements) < 2 or not all(element.text.startswith(b"(Operation::") for element in elements):
            return
        numbers = [self._number(element, function, True) for element in elements]
        before = f"crate::mutant::each({numbers}, "
        self.edits.append((node.start_byte, node.end_byte, numbers[0], before, ")"))

    def _switch(self, node, function, before, after, looks=False):
        number = self._number(node, function, looks)
        if number in self.without:
            return None
        kept = f"crate::mutant::kept({number})"
        self.edits.append((node.start_byte, node.end_byte, number, before.format(kept=kept), after.format()))
        return number

    def _number(self, node, function, looks):
        text = " ".join(node.text.decode().split())
        if len(text) > TEXT_MAX:
            text = text[: TEXT_MAX - 1] + "…"
        same = sum((check.function, check.text.split(" #")[0]) == (function, text) for check in self.checks)
        self.checks.append(Check(self.path.name, function, f"{text} #{same + 1}" if same else text, looks))
        return self.first + len(self.checks) - 1


def _is_last(node):
    parent = node.parent
    if parent.type == "match_arm":
        return parent.child_by_field_name("value") == node
    return parent.type == "block" and parent.named_children[-1] == node


def _is_test(node):
    before = node.prev_named_sibling
    return before is not None and before.type == "attribute_item" and b"cfg(test)" in before.text
