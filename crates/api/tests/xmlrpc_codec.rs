//! Decoding of requests: what clients send, what they should not, and that nothing else happens than a fault.

use plerion_api::xmlrpc::codec::{DEPTH_MAX, ITEMS_MAX, PARAMS_MAX, VALUES_MAX, decode};
use plerion_api::xmlrpc::{Call, Params, Value, escape_into, fault};
use proptest::prelude::*;

fn call_of(values: &str) -> String {
    format!("<methodCall><methodName>one.vm.info</methodName><params>{values}</params></methodCall>")
}

fn param_of(value: &str) -> String {
    call_of(&format!("<param>{value}</param>"))
}

fn text(text: &str) -> Value {
    Value::String(text.into())
}

#[test]
fn requests_of_clients() {
    let python = "<?xml version='1.0'?>\n<methodCall>\n<methodName>one.vm.info</methodName>\n<params>\n<param>\n\
        <value><string>a:b</string></value>\n</param>\n<param>\n<value><int>-7</int></value>\n</param>\n<param>\n\
        <value><boolean>1</boolean></value>\n</param>\n<param>\n<value><array><data>\n<value><int>1</int></value>\n\
        <value><int>2</int></value>\n</data></array></value>\n</param>\n</params>\n</methodCall>\n";
    let ruby = "<?xml version=\"1.0\" ?><methodCall><methodName>one.vm.info</methodName><params><param><value>\
        <string>a:b</string></value></param><param><value><i4>-7</i4></value></param><param><value><boolean>1\
        </boolean></value></param><param><value><array><data><value><i4>1</i4></value><value><i4>2</i4></value>\
        </data></array></value></param></params></methodCall>\n";
    let go = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><methodCall><methodName>one.vm.info</methodName><params>\
        <param><value><string>a:b</string></value></param><param><value><int>-7</int></value></param><param><value>\
        <boolean>1</boolean></value></param><param><value><array><data><value><int>1</int></value><value><int>2\
        </int></value></data></array></value></param></params></methodCall>";
    let c = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<methodCall>\r\n<methodName>one.vm.info</methodName>\r\n\
        <params>\r\n<param><value><string>a:b</string></value></param>\r\n<param><value><i4>-7</i4></value></param>\
        \r\n<param><value><boolean>1</boolean></value></param>\r\n<param><value><array><data>\r\n<value><i4>1</i4>\
        </value>\r\n<value><i4>2</i4></value>\r\n</data></array></value></param>\r\n</params>\r\n</methodCall>\r\n";
    let by_hand = "\u{feff}<?xml version='1.0'?><!-- a --><methodCall><methodName> one.vm.info\n</methodName>\
        <params><!-- b --><param><value>a:<!-- c -->b</value></param><param ><value><int> -7 </int></value></param>\
        <param><value>\n<boolean>1</boolean>\n</value></param><param><value><array><data><value><i8>1</i8></value>\
        <value><ex:i8>2</ex:i8></value></data></array></value></param></params></methodCall><!-- d -->\n";
    for request in [python, ruby, go, c, by_hand] {
        let call = decode(request.as_bytes()).expect(request);
        assert_eq!(call.method, "one.vm.info");
        let mut params = Params::new(call.params);
        assert_eq!(params.string().as_deref(), Ok("a:b"), "{request}");
        assert_eq!(params.int(), Ok(-7));
        assert_eq!(params.bool(), Ok(true));
        assert_eq!(params.ints(), Ok(vec![1, 2]));
        assert_eq!(params.finish(), Ok(()));
    }
    let bare = decode(b"<methodCall><methodName>a</methodName></methodCall>");
    assert_eq!(
        bare,
        Ok(Call {
            method: "a".into(),
            params: vec![]
        })
    );
    let empty = decode(b"<methodCall><methodName>a</methodName><params/></methodCall>");
    assert_eq!(
        empty,
        Ok(Call {
            method: "a".into(),
            params: vec![]
        })
    );
}

#[test]
fn values() {
    for (wire, value) in [
        ("<value>plain</value>", text("plain")),
        ("<value> two  blanks </value>", text(" two  blanks ")),
        ("<value/>", text("")),
        ("<value></value>", text("")),
        ("<value><string/></value>", text("")),
        ("<value><string> a\r\nb\rc </string></value>", text(" a\nb\nc ")),
        (
            "<value><string>&#13;&#x41;&lt;&gt;&amp;&quot;&apos;</string></value>",
            text("\rA<>&\"'"),
        ),
        (
            "<value><string><![CDATA[<A>&lt;]]>中文&#x4e2d;</string></value>",
            text("<A>&lt;中文中"),
        ),
        ("<value><i4>2147483647</i4></value>", Value::Int(i32::MAX)),
        ("<value><int>-2147483648</int></value>", Value::Int(i32::MIN)),
        (
            "<value><i8>-9223372036854775808</i8></value>",
            Value::Long(i64::MIN),
        ),
        ("<value><boolean>0</boolean></value>", Value::Bool(false)),
        ("<value><double>-1.5e3</double></value>", Value::Double(-1500.0)),
        (
            "<value><base64>\nAP8=\n</base64></value>",
            Value::Base64(vec![0, 255]),
        ),
        (
            "<value><dateTime.iso8601>20260101T00:00:00</dateTime.iso8601></value>",
            Value::DateTime("20260101T00:00:00".into()),
        ),
        ("<value><nil/></value>", Value::Nil),
        ("<value><ex:nil/></value>", Value::Nil),
        ("<value><array><data/></array></value>", Value::Array(vec![])),
        ("<value><struct/></value>", Value::Struct(vec![])),
        (
            "<value><struct> <member> <name>a b</name> <value>c</value> </member> </struct></value>",
            Value::Struct(vec![("a b".into(), text("c"))]),
        ),
    ] {
        let call = decode(param_of(wire).as_bytes()).expect(wire);
        assert_eq!(call.params, [value], "{wire}");
    }
}

#[test]
fn latin1_where_it_is_declared() {
    let request = |encoding: &str| {
        let mut bytes = format!("<?xml version=\"1.0\" encoding=\"{encoding}\"?>").into_bytes();
        bytes.extend_from_slice(
            b"<methodCall><methodName>a</methodName><params><param><value>caf\xe9</value>",
        );
        bytes.extend_from_slice(b"</param></params></methodCall>");
        bytes
    };
    assert_eq!(
        decode(&request("ISO-8859-1")).expect("Latin-1").params,
        [text("café")]
    );
    assert_eq!(
        decode(&request("UTF-8")).expect_err("not UTF-8").code,
        fault::INVALID_UTF8
    );
}

#[test]
fn refusals() {
    let laughs = "<!DOCTYPE lolz [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;\">]>".to_owned();
    let outside = "<!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/passwd\">]>".to_owned();
    for request in [
        String::new(),
        "   ".into(),
        "text".into(),
        "<methodResponse/>".into(),
        "<methodCall/>".into(),
        "<methodCall><methodName/></methodCall>".into(),
        format!(
            "<methodCall><methodName>{}</methodName></methodCall>",
            "a".repeat(300)
        ),
        "<methodCall><methodName>a</methodName><params>x</params></methodCall>".into(),
        "<methodCall><methodName>a</methodName></methodCall><methodCall/>".into(),
        "<methodCall><methodName>a</methodName></methodCall>x".into(),
        "<methodCall><methodName>a</methodName><params/><params/></methodCall>x".into(),
        "<methodCall><methodName>a</wrong></methodCall>".into(),
        format!("\n<?xml version='1.0'?>{}", param_of("<value/>")),
        format!("{laughs}{}", param_of("<value>&b;</value>")),
        format!("{outside}{}", param_of("<value>&e;</value>")),
        format!("<?xml-stylesheet href='a'?>{}", param_of("<value/>")),
        param_of("<value><?a b?></value>"),
        param_of("<value>&unknown;</value>"),
        param_of("<value>a & b</value>"),
        param_of("<value>&#0;</value>"),
        param_of("<value>&#xffff;</value>"),
        param_of("<value>&#xd800;</value>"),
        param_of("<value>&#99999999999999999999;</value>"),
        param_of("<value>a\0b</value>"),
        param_of("<value>a\u{1b}b</value>"),
        param_of("<value>a\u{fffe}b</value>"),
        param_of("<value>a<string>b</string></value>"),
        param_of("<value><string>b</string>a</value>"),
        param_of("<value><string>a<string>b</string></string></value>"),
        param_of("<value><string>a</string><string>b</string></value>"),
        param_of("<value><int>99999999999</int></value>"),
        param_of("<value><int></int></value>"),
        param_of("<value><int>1.5</int></value>"),
        param_of("<value><int>0x10</int></value>"),
        param_of("<value><i8>99999999999999999999</i8></value>"),
        param_of("<value><boolean>2</boolean></value>"),
        param_of("<value><boolean>true</boolean></value>"),
        param_of("<value><double>nan</double></value>"),
        param_of("<value><double>1e999</double></value>"),
        param_of("<value><base64>?</base64></value>"),
        param_of("<value><nil>a</nil></value>"),
        param_of("<value><array><value/></array></value>"),
        param_of("<value><array><data/><data/></array></value>"),
        param_of("<value><struct><member><value/><name>a</name></member></struct></value>"),
        param_of("<value><struct><member><name>a</name></member></struct></value>"),
        param_of("<value><float>1</float></value>"),
        param_of("<value/><value/>"),
        param_of(""),
        call_of("<value/>"),
    ] {
        let refused = decode(request.as_bytes()).expect_err(&request);
        assert_eq!(refused.code, fault::PARSE, "{request}: {refused}");
    }
}

#[test]
fn bounds() {
    let nested = |arrays: usize| {
        let (open, close) = ("<value><array><data>", "</data></array></value>");
        param_of(&format!("{}{}", open.repeat(arrays), close.repeat(arrays)))
    };
    assert!(decode(nested((DEPTH_MAX - 3) / 3).as_bytes()).is_ok());
    let array = |items: usize| {
        format!(
            "<value><array><data>{}</data></array></value>",
            "<value><i4>1</i4></value>".repeat(items)
        )
    };
    assert!(decode(param_of(&array(ITEMS_MAX)).as_bytes()).is_ok());
    assert!(decode(call_of(&"<param><value/></param>".repeat(PARAMS_MAX)).as_bytes()).is_ok());
    let members = "<member><name>a</name><value/></member>".repeat(ITEMS_MAX + 1);
    let three = format!("<param>{}</param>", array(VALUES_MAX / 3 + 1)).repeat(3);
    for request in [
        nested(DEPTH_MAX / 3 + 1),
        nested(1_000_000),
        param_of(&array(ITEMS_MAX + 1)),
        param_of(&format!("<value><struct>{members}</struct></value>")),
        call_of(&three),
        call_of(&"<param><value/></param>".repeat(PARAMS_MAX + 1)),
    ] {
        assert_eq!(
            decode(request.as_bytes()).expect_err("a bound").code,
            fault::LIMIT_EXCEEDED
        );
    }
}

#[test]
fn truncated_at_each_byte() {
    let request = "<?xml version='1.0'?><methodCall><methodName>a</methodName><params><param><value><struct><member>\
        <name>é</name><value><array><data><value><i4>1</i4></value><value>&lt;&#65;<![CDATA[<]]></value><value><nil/>\
        </value></data></array></value></member></struct></value></param></params></methodCall>";
    assert!(decode(request.as_bytes()).is_ok());
    for length in 0..request.len() {
        let refused = decode(&request.as_bytes()[..length]).expect_err("a part is no request");
        assert!(
            [fault::PARSE, fault::INVALID_UTF8].contains(&refused.code),
            "{length}: {refused}"
        );
    }
}

#[test]
fn parameters() {
    let with = |values: Vec<Value>| Params::new(values);
    let integer = "Parameter that is supposed to be integer is not";
    let missing = with(vec![]).int().expect_err("missing");
    assert_eq!(
        (missing.code, missing.text.as_str()),
        (-501, "Not enough parameters")
    );
    for value in [
        text("7"),
        Value::Bool(true),
        Value::Nil,
        Value::Long(1 << 31),
        Value::Double(1.0),
    ] {
        let wrong = with(vec![value]).int().expect_err("wrong");
        assert_eq!((wrong.code, wrong.text.as_str()), (-501, integer));
    }
    assert_eq!(with(vec![Value::Bool(true)]).int_or_bool(), Ok(1));
    assert_eq!(with(vec![Value::Int(-2)]).int_or_bool(), Ok(-2));
    assert_eq!(with(vec![Value::Int(2)]).bool_or_int(), Ok(true));
    assert_eq!(with(vec![Value::Bool(false)]).bool_or_int(), Ok(false));
    assert!(with(vec![Value::Int(1)]).bool().is_err());
    assert_eq!(with(vec![Value::Int(1)]).long(), Ok(1));
    assert_eq!(with(vec![Value::Long(-1)]).int(), Ok(-1));
    assert_eq!(with(vec![]).string_or("x").as_deref(), Ok("x"));
    assert_eq!(with(vec![Value::Nil]).int_or(-2), Ok(-2));
    assert_eq!(with(vec![]).bool_or(true), Ok(true));
    assert!(with(vec![text("1")]).int_or(-2).is_err());
    assert_eq!(with(vec![]).ints_or_empty(), Ok(vec![]));
    assert!(with(vec![Value::Array(vec![text("1")])]).ints().is_err());
    assert_eq!(
        with(vec![Value::Array(vec![text("1")])]).strings(),
        Ok(vec!["1".to_owned()])
    );
    let mut more = with(vec![Value::Int(1), Value::Int(2), Value::Int(3)]);
    assert_eq!(more.int(), Ok(1));
    let surplus = more.finish().expect_err("two are left");
    assert!(surplus.code == -501 && surplus.text.contains('2'), "{surplus}");
}

fn encode(call: &Call) -> Vec<u8> {
    let mut out = b"<methodCall><methodName>".to_vec();
    escape_into(&call.method, &mut out);
    out.extend_from_slice(b"</methodName><params>");
    for value in &call.params {
        out.extend_from_slice(b"<param>");
        value_encode(value, &mut out);
        out.extend_from_slice(b"</param>");
    }
    out.extend_from_slice(b"</params></methodCall>");
    out
}

fn value_encode(value: &Value, out: &mut Vec<u8>) {
    let mut element = |name: &str, text: &str| {
        out.extend_from_slice(format!("<value><{name}>").as_bytes());
        escape_into(text, out);
        out.extend_from_slice(format!("</{name}></value>").as_bytes());
    };
    match value {
        Value::Int(value) => element("i4", &value.to_string()),
        Value::Long(value) => element("i8", &value.to_string()),
        Value::Bool(value) => element("boolean", if *value { "1" } else { "0" }),
        Value::Double(value) => element("double", &format!("{value:?}")),
        Value::String(text) => element("string", text),
        Value::DateTime(text) => element("dateTime.iso8601", text),
        Value::Base64(bytes) => element("base64", &base64_encode(bytes)),
        Value::Nil => out.extend_from_slice(b"<value><nil/></value>"),
        Value::Array(items) => {
            out.extend_from_slice(b"<value><array><data>");
            items.iter().for_each(|item| value_encode(item, out));
            out.extend_from_slice(b"</data></array></value>");
        }
        Value::Struct(members) => {
            out.extend_from_slice(b"<value><struct>");
            for (name, value) in members {
                out.extend_from_slice(b"<member><name>");
                escape_into(name, out);
                out.extend_from_slice(b"</name>");
                value_encode(value, out);
                out.extend_from_slice(b"</member>");
            }
            out.extend_from_slice(b"</struct></value>");
        }
    }
}

fn base64_encode(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let all = group
            .iter()
            .chain([0, 0].iter())
            .take(3)
            .fold(0u32, |all, &byte| all << 8 | u32::from(byte));
        for digit in 0..4 {
            let index = (all >> (18 - 6 * digit)) as usize & 63;
            text.push(if digit <= group.len() {
                char::from(DIGITS[index])
            } else {
                '='
            });
        }
    }
    text
}

fn xml_text() -> impl Strategy<Value = String> {
    proptest::collection::vec(any::<char>(), 0..20).prop_map(|chars| {
        let allowed = |char: &char| matches!(char, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..);
        chars.into_iter().filter(allowed).collect()
    })
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<i32>().prop_map(Value::Int),
        any::<i64>().prop_map(Value::Long),
        any::<bool>().prop_map(Value::Bool),
        proptest::num::f64::NORMAL.prop_map(Value::Double),
        xml_text().prop_map(Value::String),
        "[0-9T:]{0,20}".prop_map(Value::DateTime),
        proptest::collection::vec(any::<u8>(), 0..20).prop_map(Value::Base64),
        Just(Value::Nil),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            proptest::collection::vec((xml_text(), inner), 0..5).prop_map(Value::Struct),
        ]
    })
}

fn any_call() -> impl Strategy<Value = Call> {
    ("[a-z.]{1,40}", proptest::collection::vec(any_value(), 0..6))
        .prop_map(|(method, params)| Call { method, params })
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(call in any_call()) {
        prop_assert_eq!(decode(&encode(&call)), Ok(call));
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Err(refused) = decode(&bytes) {
            prop_assert!(refused.code < 0 && !refused.text.is_empty());
        }
    }

    #[test]
    fn a_damaged_call_is_decoded_or_refused(call in any_call(), at in any::<prop::sample::Index>(), byte: u8) {
        let mut bytes = encode(&call);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Err(refused) = decode(&bytes) {
            prop_assert!(refused.code < 0 && !refused.text.is_empty());
        }
    }
}
