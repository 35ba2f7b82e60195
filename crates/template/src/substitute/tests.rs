//! Tests of variable substitution.

use expect_test::{Expect, expect};

use super::{Resolver, file_references, substitute};

/// Answers with what it was asked.
struct Echo;

impl Resolver for Echo {
    fn single(&self, name: &str) -> Option<String> {
        (name != "UNKNOWN").then(|| format!("<{name}>"))
    }

    fn vector(&self, name: &str, key: &str, selector: Option<(&str, &str)>) -> Option<String> {
        Some(match selector {
            Some((selector, value)) => format!("<{name}.{key} of {selector}={value}>"),
            None => format!("<{name}.{key}>"),
        })
    }
}

fn check(text: &str, expected: Expect) {
    let result = substitute(text, &Echo).unwrap_or_else(|error| format!("error: {error}"));
    expected.assert_eq(&result);
}

#[test]
#[rustfmt::skip] // one case a line
fn single_variables_end_at_any_character_which_is_kept() {
    check("plain", expect!["plain"]);
    check("", expect![""]);
    check("$NAME", expect!["<NAME>"]);
    check("a $name-b", expect!["a <NAME>-b"]);
    check("$A$B", expect!["<A><B>"]);
    check("$A é $B\n$C", expect!["<A> é <B>\n<C>"]);
    check("$5", expect!["<5>"]);
    check("[$UNKNOWN]", expect!["[]"]);
}

#[test]
#[rustfmt::skip] // one case a line
fn a_backslash_keeps_the_dollar_sign() {
    check(r"\$A", expect![[r"\$A"]]);
    check(r"\\$A", expect![[r"\\<A>"]]);
    check(r"a\nb", expect![[r"a\nb"]]);
    check("end\\", expect![[r"end\"]]);
    // Behind a variable the backslash is the character that ends it, and nothing more.
    check(r"$A\$B", expect![[r"<A>\<B>"]]);
}

#[test]
#[rustfmt::skip] // one case a line
fn vector_variables_with_and_without_selector() {
    check("$NIC[IP]", expect!["<NIC.IP>"]);
    check("$nic[ ip ].", expect!["<NIC.IP>."]);
    check(r#"$NETWORK[GATEWAY, NETWORK="my net"]!"#, expect!["<NETWORK.GATEWAY of NETWORK=my net>!"]);
    check("$NIC[IP,NIC_ID=0]$A", expect!["<NIC.IP of NIC_ID=0><A>"]);
    check("$NIC[IP, nic_id = \"\"]", expect!["<NIC.IP of NIC_ID=>"]);
    check("$A [x]", expect!["<A> [x]"]);
}

#[test]
#[rustfmt::skip] // one case a line
fn errors_say_where_and_what() {
    check("a $ b", expect![[r#"error: "$" without the name of a variable: write \$ to keep it at line 1, columns 4:5"#]]);
    check("a\n$(date)", expect![[r#"error: "$" without the name of a variable: write \$ to keep it at line 2, columns 2:3"#]]);
    check("$", expect![[r#"error: "$" without the name of a variable: write \$ to keep it at line 1, columns 2:3"#]]);
    check("$A[", expect!["error: variable: unexpected end of text, expecting a name at line 1, columns 4:5"]);
    check("$A[B", expect![[r#"error: variable: unexpected end of text, expecting "]" (values other than letters and digits need quotes) at line 1, columns 5:6"#]]);
    check("$A[B,C]", expect![[r#"error: variable: unexpected "]", expecting "=" at line 1, columns 7:8"#]]);
    check("$A[B,C=]", expect![[r#"error: variable: unexpected "]", expecting a value: put it in quotes if it is not of letters and digits only at line 1, columns 8:9"#]]);
    check("$A[B,C=my_d]", expect![[r#"error: variable: unexpected "_", expecting "]" (values other than letters and digits need quotes) at line 1, columns 10:11"#]]);
}

#[test]
fn the_result_is_bounded() {
    struct Large;
    impl Resolver for Large {
        fn single(&self, _: &str) -> Option<String> {
            Some("x".repeat(1_000_000))
        }
        fn vector(&self, _: &str, _: &str, _: Option<(&str, &str)>) -> Option<String> {
            None
        }
    }
    let error = substitute(&"$A ".repeat(100_000), &Large).expect_err("bounded");
    assert_eq!(
        error.column_first, 16,
        "stops right behind the variable that exceeds the bound"
    );
}

#[test]
#[rustfmt::skip] // one case a line
fn file_references_by_name_and_number() {
    let check = |text: &str, expected: Expect| match file_references(text) {
        Ok(references) => expected.assert_eq(&format!("{references:?}")),
        Err(error) => expected.assert_eq(&format!("error: {error}")),
    };
    check(r#"$FILE[IMAGE="a b"]"#, expect![[r#"[FileReference { image: Name("a b"), owner: None }]"#]]);
    check(r#"$FILE[IMAGE_ID=3] $file[image="n", image_uname="u"]"#, expect![[r#"[FileReference { image: Id(3), owner: None }, FileReference { image: Name("n"), owner: Some(Name("u")) }]"#]]);
    check("$FILE[IMAGE=n,IMAGE_UID=7],$FILE[IMAGE_ID=1]\n", expect![[r#"[FileReference { image: Name("n"), owner: Some(Id(7)) }, FileReference { image: Id(1), owner: None }]"#]]);
    check("", expect![[r#"error: variable: unexpected end of text, expecting $FILE[IMAGE="name"] or $FILE[IMAGE_ID=number] at line 1, columns 1:2"#]]);
    check("$FILES[IMAGE=n]", expect![[r#"error: variable: unexpected "[", expecting the variable FILE: $FILE[IMAGE="name"] or $FILE[IMAGE_ID=number] at line 1, columns 7:8"#]]);
    check("$FILE[NAME=n]", expect!["error: the file is told by IMAGE or IMAGE_ID, not by NAME at line 1, columns 13:14"]);
    check("$FILE[IMAGE=n,UID=1]", expect!["error: the owner is told by IMAGE_UNAME or IMAGE_UID, not by UID at line 1, columns 20:21"]);
    check("$FILE[IMAGE_ID=x]", expect![[r#"error: "x" is not the number of an object at line 1, columns 17:18"#]]);
    check("$FILE[IMAGE_ID=1]  x", expect![[r#"error: variable: unexpected "x", expecting $FILE[IMAGE="name"] or $FILE[IMAGE_ID=number] at line 1, columns 20:21"#]]);
}
