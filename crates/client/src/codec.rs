//! XML-RPC text: writing calls, reading answers.

use std::fmt::Write;

use quick_xml::Reader;
use quick_xml::escape::escape;
use quick_xml::events::Event;

use crate::error::{ApiError, ClientError};
use crate::value::{Answer, Param};

/// How deep values may nest; the interface itself needs two levels.
const DEPTH_MAX: usize = 16;

/// The text of a call. `session` becomes the first parameter.
pub fn call_write(method: &str, session: &str, params: &[Param]) -> String {
    let mut text = String::with_capacity(256);
    text.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<methodCall><methodName>");
    text.push_str(&escape(method));
    text.push_str("</methodName><params><param><value><string>");
    text.push_str(&escape(session));
    text.push_str("</string></value></param>");
    for param in params {
        text.push_str("<param>");
        param_write(&mut text, param);
        text.push_str("</param>");
    }
    text.push_str("</params></methodCall>\n");
    text
}

fn param_write(text: &mut String, param: &Param) {
    text.push_str("<value>");
    match param {
        Param::Text(value) => {
            let _ = write!(text, "<string>{}</string>", escape(value.as_str()));
        }
        Param::Int(value) => {
            let _ = write!(text, "<int>{value}</int>");
        }
        Param::Long(value) => {
            let _ = write!(text, "<i8>{value}</i8>");
        }
        Param::Flag(value) => {
            let _ = write!(text, "<boolean>{}</boolean>", u8::from(*value));
        }
        Param::Double(value) => {
            let _ = write!(text, "<double>{value}</double>");
        }
        Param::List(values) => {
            text.push_str("<array><data>");
            for value in values {
                param_write(text, value);
            }
            text.push_str("</data></array>");
        }
    }
    text.push_str("</value>");
}

/// Reads the text of an answer: the value on success, the server's refusal or fault otherwise.
pub fn answer_read(text: &str) -> Result<Answer, ClientError> {
    let mut reader = Reader::from_str(text);
    let mut fault = false;
    loop {
        match event_next(&mut reader)? {
            Event::Start(tag) => match tag.local_name().as_ref() {
                "fault" => fault = true,
                "value" => {
                    let value = value_read(&mut reader, 0)?;
                    return if fault {
                        Err(fault_of(&value))
                    } else {
                        outcome_of(value)
                    };
                }
                _ => {}
            },
            Event::Eof => return Err(malformed("it holds no value")),
            _ => {}
        }
    }
}

/// The array every method answers with: success flag, value, code (and more on failure).
fn outcome_of(value: Answer) -> Result<Answer, ClientError> {
    let Answer::List(items) = value else {
        return Err(malformed("it is no list"));
    };
    let mut items = items.into_iter();
    let good = match items.next() {
        Some(Answer::Flag(flag)) => flag,
        _ => return Err(malformed("the success flag is missing")),
    };
    let result = items
        .next()
        .ok_or_else(|| malformed("the value behind the success flag is missing"))?;
    if good {
        return Ok(result);
    }
    let code = match items.next() {
        Some(Answer::Number(code)) => code,
        _ => return Err(malformed("the error code is missing")),
    };
    let object = match items.next() {
        Some(Answer::Number(id)) if id >= 0 => Some(id),
        _ => None,
    };
    Err(ClientError::Api(ApiError {
        code,
        text: result.into_text()?,
        object,
    }))
}

fn fault_of(value: &Answer) -> ClientError {
    let Answer::Record(members) = value else {
        return malformed("the fault is no record");
    };
    let mut code = 0;
    let mut text = String::new();
    for (name, member) in members {
        match (name.as_str(), member) {
            ("faultCode", Answer::Number(number)) => code = *number,
            ("faultString", Answer::Text(string)) => text.clone_from(string),
            _ => {}
        }
    }
    ClientError::Fault { code, text }
}

/// Reads up to and including the end of the `value` element whose start has been read.
fn value_read(reader: &mut Reader<&[u8]>, depth: usize) -> Result<Answer, ClientError> {
    if depth > DEPTH_MAX {
        return Err(malformed("its values nest too deep"));
    }
    let mut bare = String::new();
    let mut value = None;
    loop {
        match event_next(reader)? {
            Event::Start(tag) => {
                let kind = tag.local_name().as_ref().to_owned();
                value = Some(match kind.as_str() {
                    "array" => Answer::List(list_read(reader, depth)?),
                    "struct" => Answer::Record(record_read(reader, depth)?),
                    _ => scalar_parse(&kind, leaf_read(reader, &tag)?)?,
                });
            }
            Event::Empty(tag) => value = Some(scalar_parse(tag.local_name().as_ref(), String::new())?),
            Event::Text(text) => bare.push_str(&text),
            Event::CData(text) => bare.push_str(&text),
            Event::GeneralRef(entity) => bare.push_str(&text_unescape(&format!("&{};", &*entity))?),
            // A value without a type is text.
            Event::End(_) => return Ok(value.unwrap_or(Answer::Text(bare))),
            Event::Eof => return Err(malformed("it ends in the middle")),
            _ => {}
        }
    }
}

fn list_read(reader: &mut Reader<&[u8]>, depth: usize) -> Result<Vec<Answer>, ClientError> {
    let mut values = Vec::new();
    loop {
        match event_next(reader)? {
            Event::Start(tag) if tag.local_name().as_ref() == "value" => {
                values.push(value_read(reader, depth + 1)?);
            }
            Event::Empty(tag) if tag.local_name().as_ref() == "value" => {
                values.push(Answer::Text(String::new()));
            }
            Event::End(tag) if tag.local_name().as_ref() == "array" => return Ok(values),
            Event::Eof => return Err(malformed("it ends in the middle of a list")),
            _ => {}
        }
    }
}

fn record_read(reader: &mut Reader<&[u8]>, depth: usize) -> Result<Vec<(String, Answer)>, ClientError> {
    let mut members = Vec::new();
    let mut name = String::new();
    loop {
        match event_next(reader)? {
            Event::Start(tag) => match tag.local_name().as_ref() {
                "name" => name = leaf_read(reader, &tag)?,
                "value" => members.push((std::mem::take(&mut name), value_read(reader, depth + 1)?)),
                _ => {}
            },
            Event::End(tag) if tag.local_name().as_ref() == "struct" => return Ok(members),
            Event::Eof => return Err(malformed("it ends in the middle of a record")),
            _ => {}
        }
    }
}

/// The unescaped text up to the end of the element whose start is `tag`.
fn leaf_read(
    reader: &mut Reader<&[u8]>,
    tag: &quick_xml::events::BytesStart<'_>,
) -> Result<String, ClientError> {
    let raw = reader
        .read_text(tag.name())
        .map_err(|error| malformed(&error.to_string()))?;
    text_unescape(&raw)
}

fn scalar_parse(kind: &str, text: String) -> Result<Answer, ClientError> {
    let trimmed = text.trim();
    match kind {
        "string" | "base64" | "dateTime.iso8601" => Ok(Answer::Text(text)),
        "int" | "i4" | "i8" => trimmed
            .parse()
            .map(Answer::Number)
            .map_err(|_| malformed(&format!("'{trimmed}' is no whole number"))),
        "boolean" => match trimmed {
            "1" | "true" => Ok(Answer::Flag(true)),
            "0" | "false" => Ok(Answer::Flag(false)),
            _ => Err(malformed(&format!("'{trimmed}' is no truth value"))),
        },
        "double" => trimmed
            .parse()
            .map(Answer::Double)
            .map_err(|_| malformed(&format!("'{trimmed}' is no number"))),
        "nil" => Ok(Answer::Text(String::new())),
        _ => Err(malformed(&format!(
            "it holds a value of the unknown type '{kind}'"
        ))),
    }
}

/// Resolves the five named and all numeric character references in one pass; CDATA is taken as it is.
fn text_unescape(raw: &str) -> Result<String, ClientError> {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find(['&', '<']) {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(data) = rest.strip_prefix("<![CDATA[") {
            let end = data
                .find("]]>")
                .ok_or_else(|| malformed("a CDATA section has no end"))?;
            text.push_str(&data[..end]);
            rest = &data[end + 3..];
        } else if rest.starts_with('<') {
            return Err(malformed("markup stands where text belongs"));
        } else {
            let end = rest
                .find(';')
                .ok_or_else(|| malformed("a character reference has no end"))?;
            text.push(reference_resolve(&rest[1..end])?);
            rest = &rest[end + 1..];
        }
    }
    text.push_str(rest);
    Ok(text)
}

fn reference_resolve(name: &str) -> Result<char, ClientError> {
    let number = match name {
        "lt" => return Ok('<'),
        "gt" => return Ok('>'),
        "amp" => return Ok('&'),
        "quot" => return Ok('"'),
        "apos" => return Ok('\''),
        _ => match (name.strip_prefix("#x"), name.strip_prefix('#')) {
            (Some(digits), _) => u32::from_str_radix(digits, 16).ok(),
            (None, Some(digits)) => digits.parse().ok(),
            (None, None) => None,
        },
    };
    number
        .and_then(char::from_u32)
        .ok_or_else(|| malformed(&format!("the reference '&{name};' is unknown")))
}

fn event_next<'a>(reader: &mut Reader<&'a [u8]>) -> Result<Event<'a>, ClientError> {
    reader.read_event().map_err(|error| malformed(&error.to_string()))
}

fn malformed(reason: &str) -> ClientError {
    ClientError::Malformed(reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn call_is_escaped_and_typed() {
        let text = call_write(
            "one.x",
            "a:<b>",
            &[
                Param::Int(-2),
                Param::Long(5_000_000_000),
                Param::Flag(true),
                Param::List(vec![1.into()]),
                "é&".into(),
            ],
        );
        assert!(
            text.contains("<param><value><string>a:&lt;b&gt;</string></value></param>"),
            "{text}"
        );
        assert!(text.contains("<value><int>-2</int></value>"), "{text}");
        assert!(text.contains("<value><i8>5000000000</i8></value>"), "{text}");
        assert!(text.contains("<value><boolean>1</boolean></value>"), "{text}");
        assert!(
            text.contains("<array><data><value><int>1</int></value></data></array>"),
            "{text}"
        );
        assert!(text.contains("<string>é&amp;</string>"), "{text}");
    }

    fn response(values: &str) -> String {
        format!(
            "<?xml version=\"1.0\"?>\n<methodResponse><params><param><value><array><data>{values}\
             </data></array></value></param></params></methodResponse>"
        )
    }

    #[test]
    fn success_gives_the_value() {
        let text = response(
            "<value><boolean>1</boolean></value>\n<value><string>&lt;A&gt;&#x4e2d;&amp;&#65;</string></value>\
             <value><i4>0</i4></value>",
        );
        assert_eq!(answer_read(&text).expect("good"), Answer::Text("<A>中&A".into()));
    }

    #[test]
    fn untyped_value_is_text() {
        let text =
            response("<value><boolean>1</boolean></value><value>a &lt; b</value><value><i4>0</i4></value>");
        assert_eq!(answer_read(&text).expect("good"), Answer::Text("a < b".into()));
    }

    #[test]
    fn refusal_is_typed() {
        let text = response(
            "<value><boolean>0</boolean></value><value><string>[one.vm.info] no</string></value>\
             <value><i4>1024</i4></value><value><i4>7</i4></value><value><i8>-1</i8></value>",
        );
        match answer_read(&text) {
            Err(ClientError::Api(error)) => {
                assert_eq!(
                    (error.code, error.object, error.text.as_str()),
                    (1024, Some(7), "[one.vm.info] no")
                );
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn fault_is_typed() {
        let text = "<methodResponse><fault><value><struct><member><name>faultCode</name><value><i4>-501</i4>\
                    </value></member><member><name>faultString</name><value><string>Not enough</string></value>\
                    </member></struct></value></fault></methodResponse>";
        match answer_read(text) {
            Err(ClientError::Fault { code, text }) => assert_eq!((code, text.as_str()), (-501, "Not enough")),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "<html>no</html>",
            "<methodResponse><params><param><value><array><data>",
            "&&&",
        ] {
            assert!(
                matches!(answer_read(text), Err(ClientError::Malformed(_))),
                "{text}"
            );
        }
        let deep = "<value><array><data>".repeat(100);
        assert!(matches!(answer_read(&deep), Err(ClientError::Malformed(_))));
    }
}
