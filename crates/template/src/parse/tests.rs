//! Tests of the native syntax, rule by rule, and of the XML form.

use expect_test::{Expect, expect};

use crate::{MAX_TEMPLATE_BYTES, MAX_TEMPLATE_VALUES, Template};

fn shown(result: Result<Template, super::ParseError>) -> String {
    match result {
        Ok(template) => template.to_json(),
        Err(error) => match &error.detail {
            Some(detail) => format!("{error} [{detail}]"),
            None => error.to_string(),
        },
    }
}

fn check(text: &str, expected: Expect) {
    expected.assert_eq(&shown(Template::parse(text)));
}

#[test]
#[rustfmt::skip] // one case a line
fn names_and_values() {
    check("NAME=vm", expect![[r#"[["NAME","vm"]]"#]]);
    check("name = \"a vm\"\ncpu=1\n", expect![[r#"[["CPU","1"],["NAME","a vm"]]"#]]);
    check("A\t=\t 1", expect![[r#"[["A","1"]]"#]]);
    check("_A1=x", expect![[r#"[["_A1","x"]]"#]]);
    check("A=x\"y", expect![[r#"[["A","x\"y"]]"#]]);
    check("A=é日本", expect![[r#"[["A","é日本"]]"#]]);
}

#[test]
#[rustfmt::skip] // one case a line
fn attributes_are_sorted_and_repeated_names_keep_their_order() {
    check("B=1\nA=2\nb=3\nB=0", expect![[r#"[["A","2"],["B","1"],["B","3"],["B","0"]]"#]]);
}

#[test]
#[rustfmt::skip] // one case a line
fn empty_values() {
    check("A=\nB=1", expect![[r#"[["A",""],["B","1"]]"#]]);
    check("A= \t\nB=1", expect![[r#"[["A",""],["B","1"]]"#]]);
    check("A=\"\"", expect![[r#"[["A",""]]"#]]);
    check("A=\"", expect![[r#"[["A","\""]]"#]]);
    check("A=", expect![[r#"Parse error: syntax error, unexpected end of text, expecting a value or "[" at line 1, columns 2:3"#]]);
    check("A= ", expect![[r#"Parse error: syntax error, unexpected end of text, expecting a value or "[" at line 1, columns 2:4"#]]);
}

#[test]
#[rustfmt::skip] // one case a line
fn the_only_escape_is_the_quote() {
    check(r#"A="say \"hi\"""#, expect![[r#"[["A","say \"hi\""]]"#]]);
    check(r#"A="C:\dir\new""#, expect![[r#"[["A","C:\\dir\\new"]]"#]]);
    check(r#"A="a\\"b""#, expect![[r#"[["A","a\\\"b"]]"#]]);
    check("A=\"two\nlines\"", expect![[r#"[["A","two\nlines"]]"#]]);
}

#[test]
#[rustfmt::skip] // one case a line
fn the_longest_match_wins() {
    check(r#"A="a\" B="b""#, expect![[r#"Parse error: syntax error, unexpected end of text, expecting "=" (ignored '"' at line 1, column 12: put values that contain it in quotes) at line 1, columns 12:13"#]]);
    check("A=\"a\\\"\nB=b", expect![[r#"[["A","a\\"],["B","b"]]"#]]);
    check(r#"A="a"b"#, expect![[r#"[["A","\"a\"b"]]"#]]);
    check(r#"A="x"#, expect![[r#"[["A","\"x"]]"#]]);
    check(r#"A="a b"c=1"#, expect![[r#"[["A","a b"],["C","1"]]"#]]);
}

#[test]
#[rustfmt::skip] // one case a line
fn comments() {
    check("# first\nA=1 # behind\n  # alone\nB=2#close\n", expect![[r#"[["A","1"],["B","2"]]"#]]);
    check("A=[ # one\n X=1, # two\n Y=2 # three\n]", expect![[r#"[["A",[["X","1"],["Y","2"]]]]"#]]);
    check("A=\"# no comment\"", expect![[r##"[["A","# no comment"]]"##]]);
    check("A=1 # B=2", expect![[r#"[["A","1"],["B","2"]]"#]]);
    check("A=1 # no line end", expect![[r#"Parse error: syntax error, unexpected "line", expecting "=" (ignored '#' at line 1, column 5: a comment needs a line end behind it, and none begins directly behind "=") at line 1, columns 10:14"#]]);
    check("A=1 #", expect![[r#"[["A","1"]]"#]]);
    check("COLOR=#ff0000", expect![[r#"[["COLOR","ff0000"]]"#]]);
}

#[test]
#[rustfmt::skip] // one case a line
fn line_ends_do_not_end_attributes() {
    check("A=1 B=2", expect![[r#"[["A","1"],["B","2"]]"#]]);
    check("A=1 2", expect![[r#"Parse error: syntax error, unexpected end of text, expecting "=" at line 1, columns 5:6"#]]);
    check("A\n=\n1", expect![[r#"Parse error: syntax error, unexpected end of text, expecting "=" at line 3, columns 1:2"#]]);
    check("A=1\r\nB=\"2\"\r\nC=\r\nD=[\r\n  X=1,\r\n  Y=\"2\"\r\n]\r\n", expect![[r#"[["A","1"],["B","2"],["C",""],["D",[["X","1"],["Y","2"]]]]"#]]);
}

#[test]
#[rustfmt::skip] // one case a line
fn vectors() {
    check("A=[X=1,Y=\"2\"]", expect![[r#"[["A",[["X","1"],["Y","2"]]]]"#]]);
    check("a = [\n x = 1 ,\n\n y = 2\n]\nb=1", expect![[r#"[["A",[["X","1"],["Y","2"]]],["B","1"]]"#]]);
    check("A=[]", expect![[r#"[["A",[]]]"#]]);
    check("A=[ \n ]B=1", expect![[r#"[["A",[]],["B","1"]]"#]]);
    check("A=[Z=1,X=2,x=3,Z=4]", expect![[r#"[["A",[["X","2"],["Z","1"]]]]"#]]);
    check("A=[X=\"]\",Y=\"a,b\"]", expect![[r#"[["A",[["X","]"],["Y","a,b"]]]]"#]]);
    check("A=[X=1]\nA=[X=2]", expect![[r#"[["A",[["X","1"]]],["A",[["X","2"]]]]"#]]);
}

#[test]
#[rustfmt::skip] // one case a line
fn vectors_that_are_none() {
    check("A=\n[X=1]", expect![[r#"Parse error: syntax error, unexpected "]", expecting a name (the "[" of a vector stands on the line of its "=") at line 2, columns 5:6"#]]);
    check("A=[X=1", expect![[r#"Parse error: syntax error, unexpected end of text, expecting "," or "]" at line 1, columns 6:7"#]]);
    check("A=[X=1,]", expect![[r#"Parse error: syntax error, unexpected "]", expecting a name at line 1, columns 8:9"#]]);
    check("A=[,X=1]", expect![[r#"Parse error: syntax error, unexpected ",", expecting "]" or a name at line 1, columns 4:5"#]]);
    check("A=[X=1 Y=2]", expect![[r#"Parse error: syntax error, unexpected "Y", expecting "," or "]" at line 1, columns 8:9"#]]);
    check("A=[X=\n,Y=2]", expect![[r#"Parse error: syntax error, no value for X: write X="" for an empty one at line 1, columns 5:6"#]]);
    check("A=[X=,Y=2]", expect![[r#"Parse error: syntax error, unexpected "=", expecting "," or "]" (ignored ',' at line 1, column 6: a value was due there, an empty one is written "") at line 1, columns 8:9"#]]);
    check("A=[X=]\nB=1", expect![[r#"Parse error: syntax error, unexpected "=", expecting "," or "]" (ignored ']' at line 1, column 6: a value was due there, an empty one is written "") at line 2, columns 2:3"#]]);
    check("A=[X=[Y=1]]", expect![[r#"Parse error: syntax error, unexpected "[", expecting a value (vectors do not nest) at line 1, columns 6:7"#]]);
    check("A=[X]", expect![[r#"Parse error: syntax error, unexpected "]", expecting "=" at line 1, columns 5:6"#]]);
    check("A=]", expect![[r#"Parse error: syntax error, unexpected end of text, expecting a value or "[" (ignored ']' at line 1, column 3: a value was due there, an empty one is written "") at line 1, columns 2:3"#]]);
}

#[test]
#[rustfmt::skip] // one case a line
fn recorded_errors_have_the_recorded_places() {
    check("NAME=[\"", expect![[r#"Parse error: syntax error, unexpected end of text, expecting "]" or a name (ignored '"' at line 1, column 7: put values that contain it in quotes) at line 1, columns 7:8"#]]);
    check("NAME=\"x\nCPU=[", expect![[r#"Parse error: syntax error, unexpected end of text, expecting "]" or a name at line 2, columns 5:6"#]]);
    check("garbage (\n", expect![[r#"Parse error: syntax error, unexpected end of text, expecting "=" (ignored '(' at line 1, column 9: put values that contain it in quotes) at line 1, columns 10:11"#]]);
    check("", expect!["Parse error: syntax error, unexpected end of text, expecting a name (the template is empty) at line 1, columns 1:2"]);
    check(" \n# nothing\n", expect!["Parse error: syntax error, unexpected end of text, expecting a name (the template is empty) at line 1, columns 1:2"]);
}

#[test]
#[rustfmt::skip] // one case a line
fn a_section_end_ends_the_parse() {
    check("A=\"x]]>\"", expect![[r#"Parse error: "]]>" cannot stand on the line of a value: put a line break before it, inside the quotes at line 1, columns 5:8"#]]);
    check("A=1 B=\"]]>\"", expect![[r#"Parse error: "]]>" cannot stand on the line of a value: put a line break before it, inside the quotes at line 1, columns 8:11"#]]);
    check("A=[X=\"]]>\"]", expect![[r#"Parse error: "]]>" cannot stand on the line of a value: put a line break before it, inside the quotes at line 1, columns 7:10"#]]);
    check("A=]]>", expect![[r#"Parse error: "]]>" cannot stand on the line of a value: put a line break before it, inside the quotes at line 1, columns 3:6"#]]);
    check("A= ]\n]]> x", expect![[r#"Parse error: "]]>" cannot stand on the line of a value: put a line break before it, inside the quotes at line 2, columns 1:4"#]]);
    check("A=]\nx", expect![[r#"[["A","x"]]"#]]);
    check("A=\"one]]>\ntwo\"", expect![[r#"[["A","one]]>\ntwo"]]"#]]);
    check("A=\"one\ntwo]]>\"", expect![[r#"[["A","one\ntwo]]>"]]"#]]);
    check("A=1\n]]>", expect![[r#"Parse error: syntax error, unexpected "]", expecting a name (the "[" of a vector stands on the line of its "=") at line 2, columns 1:2"#]]);
}

#[test]
#[rustfmt::skip] // one case a line
fn unknown_characters_are_dropped_and_told_when_that_breaks_something() {
    check("A-B=1", expect![[r#"Parse error: syntax error, unexpected "B", expecting "=" (ignored '-' at line 1, column 2: put values that contain it in quotes) at line 1, columns 3:4"#]]);
    check("A;=1;\nB=2", expect![[r#"[["A","1;"],["B","2"]]"#]]);
    check("A=1;", expect![[r#"[["A","1;"]]"#]]);
    check("A=[X=1，Y=2]", expect![[r#"Parse error: syntax error, unexpected "=", expecting "," or "]" at line 1, columns 9:10"#]]);
    check(" <A>1</A>", expect![[r#"Parse error: syntax error, unexpected "1", expecting "=" (ignored '<' at line 1, column 2: XML begins with it as the very first character) at line 1, columns 5:6"#]]);
    check("A==1", expect![[r#"[["A","1"]]"#]]);
}

#[test]
#[rustfmt::skip] // one case a line
fn values_lose_white_space_at_their_ends() {
    check("A=\" \n x y\t \"", expect![[r#"[["A","x y"]]"#]]);
    check("A=[X=\" \"]", expect![[r#"[["A",[["X",""]]]]"#]]);
    check("<T><A> x <![CDATA[ y ]]> </A></T>", expect![[r#"[["A","x  y"]]"#]]);
}

#[test]
#[rustfmt::skip] // one case a line
fn typographic_quotes_are_refused_where_a_value_or_a_name_is_due() {
    check("NAME=“vm”", expect![[r#"Parse error: typographic quote: use the plain quote " instead of “ at line 1, columns 6:7"#]]);
    check("A=1\nB=[X=„1‟]", expect![[r#"Parse error: typographic quote: use the plain quote " instead of „ at line 2, columns 6:7"#]]);
    check("A=’x’", expect![[r#"Parse error: typographic quote: use the plain quote " instead of ’ at line 1, columns 3:4"#]]);
    check("A=[“X”=1]", expect![[r#"Parse error: typographic quote: use the plain quote " instead of “ at line 1, columns 4:5"#]]);
    check("A=[X=\"1\"”]", expect![[r#"Parse error: typographic quote: use the plain quote " instead of ” at line 1, columns 9:10"#]]);
    check("A=\"“quoted” – it’s fine\"", expect![[r#"[["A","“quoted” – it’s fine"]]"#]]);
    check("A=[X=\"1”]", expect![[r#"Parse error: typographic quote: use the plain quote " instead of ” at line 1, columns 8:9"#]]);
    check("A=it’s", expect![[r#"[["A","it’s"]]"#]]);
    check("# “comment”\nA=1", expect![[r#"[["A","1"]]"#]]);
    check("<T><A>“x”</A></T>", expect![[r#"[["A","“x”"]]"#]]);
}

#[test]
#[rustfmt::skip] // one case a line
fn names_that_begin_with_a_digit_are_refused() {
    check("1A=2", expect![[r#"Parse error: the name "1A" begins with a digit: begin it with a letter or "_" at line 1, columns 1:3"#]]);
    check("A=[9P=\"x\"]", expect![[r#"Parse error: the name "9P" begins with a digit: begin it with a letter or "_" at line 1, columns 4:6"#]]);
    check("<T><_9>x</_9></T>", expect![[r#"[["_9","x"]]"#]]);
}

#[test]
#[rustfmt::skip] // one case a line
fn control_characters_are_refused_in_values() {
    check("A=1\nB=\"x\u{1}y\"", expect!["Parse error: the control character U+0001 cannot be part of a value: remove it, or pass the value in base64 at line 2, columns 5:6"]);
    check("A=\u{ffff}", expect!["Parse error: the control character U+FFFF cannot be part of a value: remove it, or pass the value in base64 at line 1, columns 3:4"]);
    check("A=\"tab\tcr\rlf\nend\"", expect![[r#"[["A","tab\tcr\rlf\nend"]]"#]]);
    check("<T><A>\u{8}</A></T>", expect!["Parse error: XML Template malformed. [the character U+0008 is not allowed in XML (line 1, column 8)]"]);
    check("<T><A>&#8;</A></T>", expect!["Parse error: XML Template malformed. [the character U+0008 is not allowed in XML (line 1, column 11)]"]);
}

#[test]
#[rustfmt::skip] // one case a line
fn xml() {
    check("<T><b>1</b><A>x</A><B>2</B></T>", expect![[r#"[["A","x"],["B","1"],["B","2"]]"#]]);
    check("<?xml version=\"1.0\"?>\n<T>\n <A k=\"v\"><X>1</X>\n  <y><![CDATA[<&]]></y><X>3</X></A>\n</T>\n", expect![[r#"[["A",[["X","1"],["Y","<&"]]]]"#]]);
    check("<T><A/><B></B><C><D/></C></T>", expect![[r#"[["A",""],["B",""],["C",[["D",""]]]]"#]]);
    check("<T><A>&lt;&gt;&amp;&apos;&quot;&#65;&#x42;</A></T>", expect![[r#"[["A","<>&'\"AB"]]"#]]);
    check("<T><A><![CDATA[a]]]]><![CDATA[>b]]>c</A></T>", expect![[r#"[["A","a]]>bc"]]"#]]);
    check("<T><!-- c --><A>x<!-- c -->y</A><?pi?></T>", expect![[r#"[["A","xy"]]"#]]);
    check("<T/>", expect!["[]"]);
    check("\u{feff}<T><A>1</A></T>", expect![[r#"[["A","1"]]"#]]);
    check("<T><A>1\r\n2</A></T>", expect![[r#"[["A","1\r\n2"]]"#]]);
}

#[test]
#[rustfmt::skip] // one case a line
fn xml_that_is_malformed() {
    check("<", expect!["Parse error: XML Template malformed. [syntax error: tag not closed: `>` not found before end of input (line 1, column 1)]"]);
    check("<T>", expect!["Parse error: XML Template malformed. [the root element is not closed (line 1, column 4)]"]);
    check("<T><A>1</T>", expect!["Parse error: XML Template malformed. [ill-formed document: expected `</A>`, but `</T>` was found (line 1, column 8)]"]);
    check("<T><A>1</A>", expect!["Parse error: XML Template malformed. [the root element is not closed (line 1, column 12)]"]);
    check("<T></T><T></T>", expect!["Parse error: XML Template malformed. [<T> stands behind the end of the root element (line 1, column 11)]"]);
    check("<T></T>x", expect!["Parse error: XML Template malformed. [text stands outside of the root element (line 1, column 9)]"]);
    check("<T>x</T>", expect!["Parse error: XML Template malformed. [text stands between the attributes (line 1, column 5)]"]);
    check("<T><A>x<B>1</B></A></T>", expect!["Parse error: XML Template malformed. [<A> holds both text and elements (line 1, column 11)]"]);
    check("<T><A><B>1</B>x</A></T>", expect!["Parse error: XML Template malformed. [<A> holds both text and elements (line 1, column 16)]"]);
    check("<T>\n<A><B><C/></B></A></T>", expect!["Parse error: XML Template malformed. [<C> is nested too deep: vectors hold values only (line 2, column 11)]"]);
    check("<T><A-B>1</A-B></T>", expect![[r#"Parse error: XML Template malformed. [the element name "A-B" is not made of letters, digits and "_" only (line 1, column 9)]"#]]);
    check("<T><A>&x;</A></T>", expect!["Parse error: XML Template malformed. [the entity &x; is not known: only lt, gt, amp, apos, quot and numbers are (line 1, column 10)]"]);
    check("<T><A>a & b</A></T>", expect!["Parse error: XML Template malformed. [ill-formed document: entity or character reference not closed: `;` not found before end of input (line 1, column 9)]"]);
    check("<!DOCTYPE T [<!ENTITY x \"y\">]><T><A>&x;</A></T>", expect!["Parse error: XML Template malformed. [a DOCTYPE is not accepted: remove it (line 1, column 31)]"]);
    check("<?xml version=\"1.0\"?>", expect!["Parse error: XML Template malformed. [there is no root element (line 1, column 22)]"]);
}

#[test]
#[rustfmt::skip] // one case a line
fn large_values_are_taken_and_larger_texts_refused() {
    let value = "v".repeat(1024 * 1024);
    let template = Template::parse(&format!("A=\"{value}\"")).expect("1 MiB is fine");
    assert_eq!(template.get("A"), Some(value.as_str()));
    check(&format!("A=\"{}\"", "v".repeat(MAX_TEMPLATE_BYTES)), expect!["Parse error: the template has 4194308 bytes, more than the 4194304 allowed: put large content into a file or an image at line 1, columns 1:2"]);
    for text in [
        "A=1 ".repeat(MAX_TEMPLATE_VALUES + 1),
        format!("A=[{}B=1]", "B=1,".repeat(MAX_TEMPLATE_VALUES)),
    ] {
        let error = Template::parse(&text).expect_err("too many values");
        assert_eq!(
            error.message,
            "the template holds more than the 100000 values allowed"
        );
    }
    let xml = format!("<T>{}</T>", "<A/>".repeat(MAX_TEMPLATE_VALUES + 1));
    let error = Template::parse(&xml).expect_err("too many values");
    assert!(
        error
            .detail
            .expect("XML")
            .contains("more than the 100000 values allowed")
    );
}

#[test]
#[rustfmt::skip] // one case a line
fn deep_nesting_and_hostile_shapes_are_answered() {
    for (text, attributes) in [
        ("A=[".repeat(100_000), None),
        ("<A>".repeat(100_000), None),
        ("\"".repeat(100_000), None),
        ("[".repeat(100_000), None),
        ("#".repeat(100_000), None),
        ("A=\"\\".repeat(100_000), Some(50_000)),
        (format!("A={}", "\"\\".repeat(100_000)), Some(1)),
        (format!("{}\n# ]]>\n", "A=1 ".repeat(90_000)), Some(90_000)),
        (format!("A=1{}", " \n".repeat(1_000_000)), Some(1)),
    ] {
        let parsed = Template::parse(&text).ok().map(|template| template.len());
        assert_eq!(parsed, attributes, "{}…", &text[..20]);
    }
    check(&"<A>".repeat(100), expect!["Parse error: XML Template malformed. [<A> is nested too deep: vectors hold values only (line 1, column 13)]"]);
}

#[test]
fn an_empty_template_is_for_callers_that_allow_it() {
    for text in ["", " \n", "# only\n\n#comments\n", "<T/>"] {
        assert_eq!(Template::parse_or_empty(text), Ok(Template::new()), "{text:?}");
    }
    assert!(Template::parse_or_empty("A").is_err());
    for (text, ignored) in [
        ("[", "'['"),
        ("-", "'-'"),
        ("\"", "'\"'"),
        (" \n -[", "'-'"),
        ("#", "'#'"),
    ] {
        let error = Template::parse_or_empty(text).expect_err(text).to_string();
        assert!(
            error.contains(&format!("ignored {ignored} at line")),
            "{text:?}: {error}"
        );
    }
}

#[test]
#[rustfmt::skip] // one case a line
fn configuration_files_keep_the_last_of_a_name_and_all_of_a_list() {
    let text = r#"
        PORT = 2633
        DB = [ BACKEND = "sqlite", TIMEOUT = 2500 ]
        VM_MAD = [ NAME = "kvm" ]
        VM_MAD = [ NAME = "qemu" ]
        TM_MAD_CONF = [ NAME = "shared" ]
        TM_MAD_CONF = [ NAME = "ssh" ]
        VM_RESTRICTED_ATTR = "CONTEXT/FILES"
        VM_RESTRICTED_ATTR = "NIC/MAC"
        USER_ENCRYPTED_ATTR = "A"
        USER_ENCRYPTED_ATTR = "B"
        INHERIT_VNET_ATTR = "MTU"
        INHERIT_VNET_ATTR = "DNS"
        DB = [ BACKEND = "mysql" ]
        PORT = 2700
    "#;
    expect![[r#"[["DB",[["BACKEND","mysql"]]],["INHERIT_VNET_ATTR","MTU"],["INHERIT_VNET_ATTR","DNS"],["PORT","2700"],["TM_MAD_CONF",[["NAME","shared"]]],["TM_MAD_CONF",[["NAME","ssh"]]],["USER_ENCRYPTED_ATTR","A"],["USER_ENCRYPTED_ATTR","B"],["VM_MAD",[["NAME","kvm"]]],["VM_MAD",[["NAME","qemu"]]],["VM_RESTRICTED_ATTR","CONTEXT/FILES"],["VM_RESTRICTED_ATTR","NIC/MAC"]]"#]].assert_eq(&shown(Template::parse_config(text)));
    assert_eq!(Template::parse_config("# nothing set\n"), Ok(Template::new()));
}
