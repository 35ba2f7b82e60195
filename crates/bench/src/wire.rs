//! Requests as bytes, ready to be sent again and again.

use std::fmt::Write as _;

/// Where a server listens and who calls it.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    /// TCP port on this machine.
    pub(crate) port: u16,
    /// `user:password`.
    pub(crate) session: String,
}

/// A parameter of a call; only what the measured calls need.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'a> {
    /// A 32 bit number.
    Int(i32),
    /// Text.
    Text(&'a str),
    /// A truth value.
    Flag(bool),
    /// A list of numbers.
    Ints(&'a [i32]),
}

/// Appends a whole HTTP request that calls `method`. `out` must be empty.
pub(crate) fn request_write(out: &mut Vec<u8>, endpoint: &Endpoint, method: &str, values: &[Value<'_>]) {
    let mut body = String::with_capacity(512);
    body.push_str("<?xml version=\"1.0\"?><methodCall><methodName>");
    body.push_str(method);
    body.push_str("</methodName><params>");
    value_write(&mut body, Value::Text(&endpoint.session));
    for value in values {
        value_write(&mut body, *value);
    }
    body.push_str("</params></methodCall>");
    let head = format!(
        "POST /RPC2 HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n\r\n",
        endpoint.port,
        body.len()
    );
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(body.as_bytes());
}

/// A whole HTTP request that calls `method`.
pub(crate) fn request(endpoint: &Endpoint, method: &str, values: &[Value<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    request_write(&mut out, endpoint, method, values);
    out
}

fn value_write(out: &mut String, value: Value<'_>) {
    out.push_str("<param><value>");
    let written = match value {
        Value::Int(number) => write!(out, "<int>{number}</int>"),
        Value::Flag(flag) => write!(out, "<boolean>{}</boolean>", u8::from(flag)),
        Value::Ints(numbers) => {
            out.push_str("<array><data>");
            let written = numbers
                .iter()
                .try_for_each(|number| write!(out, "<value><int>{number}</int></value>"));
            out.push_str("</data></array>");
            written
        }
        Value::Text(text) => {
            out.push_str("<string>");
            for character in text.chars() {
                match character {
                    '<' => out.push_str("&lt;"),
                    '>' => out.push_str("&gt;"),
                    '&' => out.push_str("&amp;"),
                    plain => out.push(plain),
                }
            }
            out.push_str("</string>");
            Ok(())
        }
    };
    written.expect("a string takes any text");
    out.push_str("</value></param>");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_whole() {
        let endpoint = Endpoint {
            port: 1,
            session: "a:b&c".into(),
        };
        let values = [Value::Int(-2), Value::Text("<x>"), Value::Flag(true)];
        let text = String::from_utf8(request(&endpoint, "one.m", &values)).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(
            head.contains(&format!("Content-Length: {}", body.len())),
            "{head}"
        );
        assert!(body.contains("<string>a:b&amp;c</string>"), "{body}");
        assert!(
            body.contains("<int>-2</int></value></param><param><value><string>&lt;x&gt;</string>"),
            "{body}"
        );
        assert!(body.contains("<boolean>1</boolean>"), "{body}");
    }
}
