"""Finds what can be changed in a file of Rust and writes the file so that each change can be switched on by its number.

The kinds of changes are those of cargo-mutants:
- a function's body gives a value of its type at once (values.py)
- an operator is another one: `==` is `!=`, `<` is `==`, `>` or `<=`, `&&` is `||`, `+` is `-` or `*`, and so on
- `!` or `-` before a value is left out
- an arm of a `match` that has an arm `_` is left out; a guard of an arm is always true, or always false
- a field that is given besides `..base` is left out

Constants and constant functions stay as they are: no switch can be asked there.
"""

import re
from collections import Counter
from dataclasses import dataclass

import tree_sitter_rust
import values
from tree_sitter import Language, Parser

RUST = Language(tree_sitter_rust.language())
TEXT_MAX = 100
OPERATORS = {
    "==": ["!="],
    "!=": ["=="],
    "&&": ["||"],
    "||": ["&&"],
    "<": ["==", ">", "<="],
    ">": ["==", "<", ">="],
    "<=": [">"],
    ">=": ["<"],
    "+": ["-", "*"],
    "-": ["+", "/"],
    "*": ["+", "/"],
    "/": ["%", "*"],
    "%": ["/", "+"],
    "<<": [">>"],
    ">>": ["<<"],
    "&": ["|", "^"],
    "|": ["&", "^"],
    "^": ["|", "&"],
    "+=": ["-=", "*="],
    "-=": ["+=", "/="],
    "*=": ["+=", "/="],
    "/=": ["%=", "*="],
    "%=": ["/=", "+="],
    "<<=": [">>="],
    ">>=": ["<<="],
    "&=": ["|="],
    "|=": ["&="],
    "^=": ["|=", "&="],
}
# The other one is true exactly when this one is not.
OPPOSITES = {"==", "!=", "<=", ">="}
# In these there is nothing, or nothing that can be switched.
LEFT_ALONE = {
    "attribute_item",
    "inner_attribute_item",
    "const_item",
    "static_item",
    "const_block",
    "enum_item",
    "array_type",
    "type_arguments",
    "macro_invocation",
    "macro_definition",
}
MARK = re.compile(rb"/\*<([\d,]+)\*/|/\*([\d,]+)>\*/")
# Its type is that of all its values, so one value more is no iterator of another type.
ITERATES = re.compile(rb"impl Iterator<Item = (.*)>( \+ (use<.*>|'\w+))*", re.DOTALL)


@dataclass(frozen=True)
class Change:
    """A change; `text` is what is put for what, with the first words of the place. `site` is the first change there."""

    file: str
    function: str
    text: str
    kind: str
    site: int
    looks: bool = False

    def row(self):
        """Its name in the table: no line number, so that it outlives changes elsewhere in the file."""
        return self.file, self.function, self.text


class Changed:
    """A file whose changes get the numbers from `first` on; those in `without` get one, but no switch."""

    def __init__(self, path, source, first, without):
        self.path = path
        self.source = source
        self.first = first
        self.without = without
        self.checks = []
        self.function = ""
        self.has_rest = []
        self.same = Counter()
        tree = Parser(RUST).parse(source)
        assert not tree.root_node.has_error, f"{path} cannot be parsed"
        self.written = self._render(tree.root_node)

    def text(self):
        """The new text, and where which changes are in it: [(numbers, first byte, last byte)]."""
        begun, places = [], []
        for mark in MARK.finditer(self.written):
            if mark[1]:
                begun.append(mark.start())
            else:
                places.append(({int(number) for number in mark[2].split(b",")}, begun.pop(), mark.end()))
        return self.written, places

    def _render(self, node):
        """The text of a node with its switches."""
        if node.type in LEFT_ALONE or _is_test(node):
            return node.text
        special = getattr(self, f"_{node.type}", self._children)
        return special(node)

    def _children(self, node):
        parts, done = [], node.start_byte
        for child in node.children:
            parts += [self.source[done : child.start_byte], self._render(child)]
            done = child.end_byte
        parts.append(self.source[done : node.end_byte])
        return b"".join(parts)

    def _function_item(self, node):
        modifiers = b" ".join(one.text for one in node.children if one.type == "function_modifiers")
        name = node.child_by_field_name("name").text.decode()
        if b"const" in modifiers or b"unsafe" in modifiers or name == "new":
            return node.text
        before, self.function = self.function, name
        body = node.child_by_field_name("body")
        found = [] if name == "default" else values.of_function(node)
        given = {value: f"body is {value}" for value in found if body.text != f"{{ {value} }}".encode()}
        if iterates := ITERATES.fullmatch(_returned(node)):
            given = {"0": f"body is empty, of {iterates[1].decode()}"}
        arms = self._arms("body", given, "{}" if iterates else "return {}")
        rest = self._children(body)
        if arms and iterates:
            rest = _site(arms, b"{ (" + rest + b").take(" + _match(arms, b"usize::MAX") + b") }")
        elif arms:
            # What the compiler says of other places in the function is because of the types of these values.
            rest = _site(arms, b"{ " + _match(arms, b"{}") + rest[1:])
        self.function = before
        return self.source[node.start_byte : body.start_byte] + rest + self.source[body.end_byte : node.end_byte]

    def _binary_expression(self, node):
        operator = node.child_by_field_name("operator").text.decode()
        left = node.child_by_field_name("left")
        right = node.child_by_field_name("right")
        given = {other: f"{other} for {operator} in {_short(node)}" for other in OPERATORS[operator]}
        if operator in ("&&", "||"):
            pattern = "match {on} {{ m => crate::mutant::xor(crate::mutant::xor({left}, m) {op} crate::mutant::xor({right}, m), m) }}"
            return self._one("logic", node, given, pattern, left=left, op=operator, right=right)
        if operator in OPPOSITES:
            pattern = "crate::mutant::xor({left} {op} {right}, {on})"
            return self._one("comparison", node, given, pattern, left=left, op=operator, right=right)
        compares = operator in ("<", ">")
        pattern = "*l {} *r" if compares else "l {} r"
        arms = self._arms("comparison" if compares else "arithmetic", given, pattern)
        one, two = self._render(left), self._render(right)
        if not arms:
            return one + b" " + operator.encode() + b" " + two
        operands = b"&(%b), &(%b)" if compares else b"(%b), (%b)"
        inner = _match(arms, pattern.format(operator).encode())
        return _site(arms, b"(match (" + operands % (one, two) + b") { (l, r) => " + inner + b" })")

    def _compound_assignment_expr(self, node):
        operator = node.child_by_field_name("operator").text.decode()
        left = node.child_by_field_name("left").text.decode()
        given = {other: f"{other} for {operator} in {_short(node)}" for other in OPERATORS[operator]}
        arms = self._arms("arithmetic", given, f"{left.replace('{', '{{').replace('}', '}}')} {{}} r")
        right = self._render(node.child_by_field_name("right"))
        plain = f"{left} {operator} ".encode()
        if not arms:
            return plain + right
        return _site(arms, b"(match " + right + b" { r => " + _match(arms, plain + b"r") + b" })")

    def _unary_expression(self, node):
        operator = node.children[0].text.decode()
        if operator not in ("!", "-"):
            return self._children(node)
        arms = self._arms("sign", {"l": f"without {operator} in {_short(node)}"}, "{}")
        inner = self._render(node.children[1])
        if not arms:
            return operator.encode() + inner
        return _site(arms, b"(match " + inner + b" { l => " + _match(arms, operator.encode() + b"l") + b" })")

    def _match_block(self, node):
        arms = [one.child_by_field_name("pattern") for one in node.named_children if one.type == "match_arm"]
        self.has_rest.append(any(arm.text == b"_" for arm in arms))
        text = self._children(node)
        self.has_rest.pop()
        return text

    def _match_pattern(self, node):
        """The pattern of an arm with its guard."""
        guard = node.child_by_field_name("condition")
        if guard is not None:
            before = self.source[node.start_byte : guard.start_byte]
            given = {word: f"guard is {word}: {_short(guard)}" for word in ("true", "false")}
            arms = self._arms("guard", given, "{}")
            inner = self._render(guard)
            return before + (_site(arms, _match(arms, inner)) if arms else inner)
        if node.text == b"_" or not self.has_rest[-1]:
            return node.text
        arms = self._arms("arm", {"": f"without arm {_short(node)}"}, "{}")
        return node.text + (_site(arms, b" if crate::mutant::kept(%d)" % arms[0][0]) if arms else b"")

    def _struct_expression(self, node):
        name = node.child_by_field_name("name").text
        fields = node.child_by_field_name("body").named_children
        base = next((one for one in fields if one.type == "base_field_initializer"), None)
        if base is None:
            return self._children(node)
        value = base.named_children[0]
        is_place = value.type in ("identifier", "self", "field_expression")
        given = self._render(value)
        parts = [self._field(one, given if is_place else b"base") for one in fields if one != base]
        shown = name + b" { " + b", ".join([*parts, b".." + (given if is_place else b"base")]) + b" }"
        return shown if is_place else b"(match crate::mutant::of::<" + name + b">(" + given + b") { base => " + shown + b" })"

    def _field(self, node, base):
        if node.type == "shorthand_field_initializer":
            name = value = node.text
        elif node.type == "field_initializer":
            name = node.child_by_field_name("field").text
            value = self._render(node.child_by_field_name("value"))
        else:
            return node.text
        given = {f"{base.decode()}.{name.decode()}": f"without field {_short(node)}"}
        arms = self._arms("field", given, "{}")
        return name + b": " + (_site(arms, _match(arms, value)) if arms else value)

    def _one(self, kind, node, given, pattern, **parts):
        """A site of one change that is asked for as a value."""
        arms = self._arms(kind, given, "")
        shown = {name: part if isinstance(part, str) else self._render(part).decode() for name, part in parts.items()}
        if not arms:
            return " ".join(shown.values()).encode()
        return _site(arms, f"({pattern.format(on=f'crate::mutant::on({arms[0][0]})', **shown)})".encode())

    def _arms(self, kind, given, pattern):
        """Numbers the changes of a site: [(number, place among them, what stands in their arm, of how many)]."""
        site = self.first + len(self.checks)
        arms = []
        for place, (value, text) in enumerate(given.items()):
            self.same[self.function, text] += 1
            same = self.same[self.function, text]
            text = f"{text} #{same}" if same > 1 else text
            self.checks.append(Change(self.path.name, self.function, text, kind, site))
            if site + place not in self.without:
                arms.append((site + place, place, pattern.format(value).encode(), len(given)))
        return arms


def _returned(function):
    gives = function.child_by_field_name("return_type")
    return b"" if gives is None else gives.text


def _match(arms, plain):
    number, place, _, count = arms[0]
    shown = b"".join(b"%d => /*<%d*/ %b /*%d>*/, " % (at, one, text, one) for one, at, text, _ in arms)
    return b"match crate::mutant::which(%d, %d) { %b_ => %b }" % (number - place, count, shown, plain)


def _site(arms, text):
    """Marks around a site: what the compiler refuses of it, but not of one change, counts against all of them."""
    numbers = b",".join(b"%d" % number for number, *_ in arms)
    return b"/*<%b*/%b/*%b>*/" % (numbers, text, numbers)


def _short(node):
    text = " ".join(node.text.decode().split())
    return text if len(text) <= TEXT_MAX else text[: TEXT_MAX - 1] + "…"


def _is_test(node):
    if node.type not in ("mod_item", "function_item"):
        return False
    before = node.prev_named_sibling
    while before is not None and before.type in ("attribute_item", "line_comment"):
        if before.type == "attribute_item" and (b"cfg(test)" in before.text or b"test]" in before.text):
            return True
        before = before.prev_named_sibling
    return False
