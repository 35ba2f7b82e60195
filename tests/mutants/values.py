"""Which values a function's body is replaced with: guessed from the words of its return type.

The same values as cargo-mutants takes; those that are of another type are refused by the compiler and left out.
"""

from itertools import product

UNSIGNED = {"u8", "u16", "u32", "u64", "u128", "usize"}
SIGNED = {"i8", "i16", "i32", "i64", "i128", "isize"}
HOLDERS = {"Box", "Cell", "RefCell", "Arc", "Rc", "Mutex"}
SETS = {"BinaryHeap", "BTreeSet", "HashSet", "LinkedList", "VecDeque"}
MAPS = {"BTreeMap", "HashMap"}
SIMPLE = {
    "bool": ["true", "false"],
    "String": ["String::new()", '"xyzzy".into()'],
    "str": ['""', '"xyzzy"'],
    "f32": ["0.0", "1.0", "-1.0"],
    "f64": ["0.0", "1.0", "-1.0"],
    **{name: ["0", "1"] for name in UNSIGNED},
    **{name: ["0", "1", "-1"] for name in SIGNED},
}
OTHER = ["Default::default()"]


def of_function(node):
    """The values for a function's body."""
    gives = node.child_by_field_name("return_type")
    return ["()"] if gives is None else of_type(gives)


def of_type(node):
    """The values for a node of a type."""
    by_kind = {
        "unit_type": lambda _: ["()"],
        "never_type": lambda _: [],
        "generic_type": _generic,
        "reference_type": _reference,
        "tuple_type": _tuple,
        "array_type": _array,
        # changes.py has something for iterators; nothing is known of other traits.
        "abstract_type": lambda _: [],
        "bounded_type": lambda _: [],
    }
    if node.type in by_kind:
        return by_kind[node.type](node)
    text = _text(node)
    if text.split("::")[-1] == "Result":
        return ["Ok(Default::default())"]
    return SIMPLE.get(text, OTHER)


def _text(node):
    return node.text.decode()


def _generic(node):
    name = _text(node.child_by_field_name("type")).split("::")[-1]
    arguments = [
        one for one in node.child_by_field_name("type_arguments").named_children if one.type != "lifetime"
    ]
    if not arguments:
        return OTHER
    inner = of_type(arguments[0])
    if name == "Result":
        return [f"Ok({value})" for value in inner]
    if name == "Option":
        return ["None", *(f"Some({value})" for value in inner)]
    if name == "Vec":
        return ["vec![]", *(f"vec![{value}]" for value in inner)]
    if name == "Cow":
        return [text for value in inner for text in (f"Cow::Borrowed({value})", f"Cow::Owned({value}.to_owned())")]
    if name in HOLDERS:
        return [f"{name}::new({value})" for value in inner]
    if name in SETS:
        return [f"{name}::new()", *(f"{name}::from_iter([{value}])" for value in inner)]
    if name in MAPS and len(arguments) == 2:
        pairs = product(inner, of_type(arguments[1]))
        return [f"{name}::new()", *(f"{name}::from_iter([({key}, {value})])" for key, value in pairs)]
    if len(arguments) != 1:
        return OTHER
    makers = ("from_iter([{}])", "new({})", "from({})")
    return [f"{name}::new()", *(f"{name}::{maker.format(value)}" for value in inner for maker in makers)]


def _reference(node):
    inner = node.child_by_field_name("type")
    if inner.type == "array_type" and inner.child_by_field_name("length") is None:
        values = of_type(inner.child_by_field_name("element"))
        return ["Vec::leak(Vec::new())", *(f"Vec::leak(vec![{value}])" for value in values)]
    if _text(inner) == "str":
        return SIMPLE["str"]
    return [f"Box::leak(Box::new({value}))" for value in of_type(inner)]


def _tuple(node):
    parts = product(*(of_type(one) for one in node.named_children))
    return [f"({', '.join(values)},)" for values in parts]


def _array(node):
    length = node.child_by_field_name("length")
    values = of_type(node.child_by_field_name("element"))
    return [f"[{value}; {_text(length)}]" for value in values] if length is not None else OTHER
