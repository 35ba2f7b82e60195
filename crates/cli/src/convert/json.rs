//! JSON, two blanks a level.

use super::value::Value;

/// The text of a value, ending with a newline.
pub fn json_render(value: &Value) -> String {
    let mut text = String::new();
    value_write(&mut text, value, 0);
    text.push('\n');
    text
}

fn value_write(text: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Text(string) => text.push_str(&quoted(string)),
        Value::List(items) => block_write(text, ('[', ']'), items, depth, |text, item| {
            value_write(text, item, depth + 1);
        }),
        Value::Record(members) => block_write(text, ('{', '}'), members, depth, |text, (name, member)| {
            text.push_str(&quoted(name));
            text.push_str(": ");
            value_write(text, member, depth + 1);
        }),
    }
}

fn block_write<T>(
    text: &mut String,
    brackets: (char, char),
    items: &[T],
    depth: usize,
    mut item_write: impl FnMut(&mut String, &T),
) {
    text.push(brackets.0);
    for (index, item) in items.iter().enumerate() {
        text.push_str(if index == 0 { "\n" } else { ",\n" });
        text.push_str(&"  ".repeat(depth + 1));
        item_write(text, item);
    }
    text.push('\n');
    text.push_str(&"  ".repeat(depth));
    text.push(brackets.1);
}

fn quoted(string: &str) -> String {
    serde_json::Value::from(string).to_string()
}
