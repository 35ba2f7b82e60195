//! Tests of requirements and rank: their rules, their bounds.

use expect_test::{Expect, expect};

use super::*;
use crate::Attribute;

pub(super) fn attributes(pairs: &[(&str, &str)]) -> Template {
    pairs
        .iter()
        .map(|(name, value)| Attribute {
            name: (*name).to_owned(),
            value: Value::Single((*value).to_owned()),
        })
        .collect()
}

fn host() -> Template {
    attributes(&[
        ("HYPERVISOR", "kvm"),
        ("NAME", "node-01"),
        ("FREE_CPU", "350"),
        ("LOAD", "1.5"),
        ("SIZE", "12abc"),
        ("TAG", "red"),
        ("TAG", "blue"),
        ("RACK", "7"),
        ("RACK", "8"),
        ("ZERO", "0"),
        ("EMPTY", ""),
    ])
}

fn matches(text: &str) -> bool {
    let requirements = Requirements::parse(text).expect(text);
    let result = requirements.matches(&host());
    assert_eq!(
        requirements.matches(&PackedTemplate::new(&host())),
        result,
        "{text}: packed"
    );
    assert_eq!(
        requirements.explain(&host()).is_none(),
        result,
        "{text}: explanation"
    );
    result
}

#[test]
fn comparisons_that_hold() {
    for text in [
        "",
        " \t ",
        "\n",
        r#"HYPERVISOR = "kvm""#,
        "HYPERVISOR = kvm",
        "HYPERVISOR = 'kvm'",
        "HYPERVISOR = \"kvm",
        r#""HYPERVISOR"="k*""#,
        r#"NAME = "node-[0-9][0-9]""#,
        r#"NAME != "node-02""#,
        r#"NAME ! = "x*""#,
        "FREE_CPU > 349",
        "FREE_CPU < 351",
        "FREE_CPU = 350",
        "FREE_CPU = 350.0",
        "FREE_CPU != 0",
        "FREE_CPU > -1",
        "LOAD = 1",
        "LOAD = 1.5",
        "LOAD > 1.4",
        "LOAD < 1.6",
        "SIZE = 12",
        r#"TAG = "red""#,
        r#"TAG @> "blue""#,
        r#"TAG @> "b*""#,
        "RACK @> 8",
        "RACK @ > 8.0",
        "RACK = 7",
        r#"EMPTY != "x""#,
        r#"EMPTY = "*""#,
        "!(RACK = 8)",
        "!!RACK = 7",
        "! RACK = 8",
    ] {
        assert!(matches(text), "{text}");
    }
}

#[test]
fn comparisons_that_do_not_hold() {
    for text in [
        r#"HYPERVISOR = "KVM""#,
        r#"NAME = "node""#,
        "FREE_CPU > 350",
        "FREE_CPU < 350",
        "LOAD > 1",
        "RACK = 8",
        "RACK != 7",
        r#"TAG = "blue""#,
        r#"TAG @> "green""#,
        "RACK @> 9",
        // A missing variable, and one that is no number where a number is due, make all of them false.
        "NONE = 1",
        "NONE != 1",
        "NONE < 1",
        r#"NONE = "*""#,
        r#"NONE != "x""#,
        r#"NONE @> "*""#,
        "HYPERVISOR = 0",
        "HYPERVISOR != 0",
        "EMPTY != 1.0",
        "TAG @> 1",
        // The empty constant makes all of them false.
        r#"NAME = """#,
        r#"NAME != """#,
        r#"EMPTY = """#,
        r#"TAG @> """#,
        r#""" = 1"#,
        "hypervisor = kvm",
    ] {
        assert!(!matches(text), "{text}");
    }
}

#[test]
fn signs_share_one_precedence_from_left_to_right() {
    let (t, f) = ("RACK = 7", "RACK = 8");
    for (text, expected) in [
        (format!("{t} | {t} & {f}"), false),
        (format!("{t} | ({t} & {f})"), true),
        (format!("{f} & {f} | {t}"), true),
        (format!("{f} & ({f} | {t})"), false),
        (format!("!{t} | {t}"), true),
        (format!("!({t} | {t})"), false),
        (format!("!{f} & {f}"), false),
        (format!("{f} | !{f} & {t}"), true),
        (format!("{t} & !{t} | {f}"), false),
    ] {
        assert_eq!(matches(&text), expected, "{text}");
    }
}

#[test]
#[rustfmt::skip] // one case a line
fn requirements_that_are_none() {
    let check = |text: &str, expected: Expect| {
        expected.assert_eq(&Requirements::parse(text).expect_err(text).to_string());
    };
    check("A", expect!["syntax error, unexpected end of expression, expecting one of = != > < @> at line 1, columns 1:2"]);
    check("A = ", expect!["syntax error, unexpected end of expression, expecting a text or a number at line 1, columns 4:5"]);
    check("A >= 1", expect![[r#"syntax error, unexpected "=", expecting a number (there is no ">=": write > and the number before it) at line 1, columns 4:5"#]]);
    check("A <= 1", expect![[r#"syntax error, unexpected "=", expecting a number (there is no "<=": write < and the number behind it) at line 1, columns 4:5"#]]);
    check("A == 1", expect![[r#"syntax error, unexpected "=", expecting a text or a number at line 1, columns 4:5"#]]);
    check("A > \"x\"", expect![[r#"syntax error, unexpected "x", expecting a number (texts have no order) at line 1, columns 5:8"#]]);
    check("A < x", expect![[r#"syntax error, unexpected "x", expecting a number (texts have no order) at line 1, columns 5:6"#]]);
    check("1 = A", expect![[r#"syntax error, unexpected the number 1, expecting a name, "!" or "(" at line 1, columns 1:2"#]]);
    check("A = B = C", expect![[r#"syntax error, unexpected "=", expecting "&", "|" or end of expression at line 1, columns 7:8"#]]);
    check("A = 1 B = 2", expect![[r#"syntax error, unexpected "B", expecting "&", "|" or end of expression at line 1, columns 7:8"#]]);
    check("A = 1 &", expect![[r#"syntax error, unexpected end of expression, expecting a name, "!" or "(" at line 1, columns 7:8"#]]);
    check("& A = 1", expect![[r#"syntax error, unexpected "&", expecting a name, "!" or "(" at line 1, columns 1:2"#]]);
    check("A = 1 && B = 2", expect![[r#"syntax error, unexpected "&", expecting a name, "!" or "(" at line 1, columns 8:9"#]]);
    check("(A = 1", expect![[r#"syntax error, unexpected end of expression, expecting "&", "|" or ")" at line 1, columns 6:7"#]]);
    check("A = 1)", expect![[r#"syntax error, unexpected ")", expecting "&", "|" or end of expression at line 1, columns 6:7"#]]);
    check("()", expect![[r#"syntax error, unexpected ")", expecting a name, "!" or "(" at line 1, columns 2:3"#]]);
    check("!", expect![[r#"syntax error, unexpected end of expression, expecting a name, "!" or "(" at line 1, columns 1:2"#]]);
    check("A @ 1", expect!["syntax error, unexpected the number 1, expecting one of = != > < @> at line 1, columns 5:6"]);
    check("A + 1 = 2", expect![[r#"syntax error, unexpected "+", expecting one of = != > < @> at line 1, columns 3:4"#]]);
    check("A-1 = 2", expect!["syntax error, unexpected the number -1, expecting one of = != > < @> at line 1, columns 2:4"]);
    check("A.B = 2", expect![[r#"syntax error, unexpected "B", expecting one of = != > < @> (ignored '.' before it) at line 1, columns 3:4"#]]);
    check("A = 1\n& B ~ 2", expect!["syntax error, unexpected the number 2, expecting one of = != > < @> (ignored '~' before it) at line 2, columns 7:8"]);
    check("A = “x”", expect![[r#"typographic quote: use the plain quote " instead of “ at line 1, columns 5:6"#]]);
    check("A = 99999999999999999999", expect!["the number 99999999999999999999 is too large: it must fit into 64 bits at line 1, columns 5:25"]);
}

#[test]
#[rustfmt::skip] // one case a line
fn explanations() {
    let check = |text: &str, expected: Expect| {
        let explained = Requirements::parse(text).expect(text).explain(&host());
        expected.assert_eq(&explained.unwrap_or_else(|| "matches".to_owned()));
    };
    check(r#"HYPERVISOR = "kvm""#, expect!["matches"]);
    check(r#"HYPERVISOR = "qemu""#, expect![[r#"HYPERVISOR = "qemu" but the host has HYPERVISOR "kvm""#]]);
    check(r#"HYPERVISOR = "kvm" & FREE_CPU > 400"#, expect![[r#"FREE_CPU > 400 but the host has FREE_CPU "350""#]]);
    check("ARCH = x86_64", expect!["ARCH = x86_64 but the host has no ARCH"]);
    check("HYPERVISOR > 1", expect![[r#"HYPERVISOR > 1 but the host has HYPERVISOR "kvm", which is not a number"#]]);
    check("RACK = 1 | RACK = 2", expect![[r#"RACK = 1 but the host has RACK "7"; and RACK = 2 but the host has RACK "7""#]]);
    check("RACK = 1 | RACK = 2 & RACK = 7", expect![[r#"RACK = 1 but the host has RACK "7"; and RACK = 2 but the host has RACK "7""#]]);
    check("(RACK = 1 | RACK = 7) & (LOAD < 1.0)", expect![[r#"LOAD < 1.0 but the host has LOAD "1.5""#]]);
    check("!HYPERVISOR = kvm", expect![[r#"!(HYPERVISOR = kvm) but the host has HYPERVISOR "kvm""#]]);
    check("!(RACK = 7 & HYPERVISOR = kvm)", expect!["!(RACK = 7 & HYPERVISOR = kvm) but for the host (RACK = 7 & HYPERVISOR = kvm) holds"]);
    check("!(NONE = 1)", expect!["matches"]);
    check("TAG @> green", expect![[r#"TAG @> green but the host has TAG "red", "blue""#]]);
    check("RACK @> 1", expect![[r#"RACK @> 1 but the host has RACK "7", "8""#]]);
    check("NAME = \"\"", expect![[r#"NAME = "" never holds: a comparison with "" is false"#]]);
    check("R = 1 | R = 2 | R = 3 | R = 4 | R = 5 | R = 6", expect!["R = 1 but the host has no R; and R = 2 but the host has no R; and R = 3 but the host has no R; and R = 4 but the host has no R; and 2 more alternatives failed"]);
    let requirements = Requirements::parse("FREE_MB > 10").expect("parses");
    expect!["FREE_MB > 10 but the datastore has no FREE_MB"].assert_eq(
        &requirements
            .explain_for(&host(), "the datastore")
            .expect("no match"),
    );
    let long = format!("NAME = \"{}\"", "x".repeat(10_000));
    let explained = Requirements::parse(&long)
        .expect("parses")
        .explain(&host())
        .expect("no match");
    assert!(explained.chars().count() < 200, "{explained}");
}

fn rank(text: &str) -> i64 {
    Rank::parse(text).expect(text).value(&host())
}

#[test]
fn ranks() {
    for (text, value) in [
        ("", 0),
        (" ", 0),
        ("FREE_CPU", 350),
        ("-FREE_CPU", -350),
        ("- FREE_CPU + 1", -349),
        ("NONE", 0),
        ("HYPERVISOR", 0),
        ("\"FREE_CPU\"", 350),
        ("7", 7),
        ("-7", -7),
        ("--7", 7),
        ("- -7", 7),
        ("---7", -7),
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("10 - 3 - 2", 5),
        ("10 - -3", 13),
        ("100 / 10 / 5", 2),
        ("100 / (10 / 5)", 50),
        ("2 * -3", -6),
        // A sign takes in the whole product behind it, 12 / -(2 * 3); that of a number is part of the number.
        ("12 / -2 * 3", -18),
        ("12 / - 2 * 3", -2),
        ("12 / - RACK * 2", 0),
        ("-RACK * 2 + 1", -13),
        ("7 / 2", 3),
        ("-7 / 2", -3),
        ("LOAD * 2", 3),
        ("LOAD * 100 + FREE_CPU", 500),
        ("0.1 * 10", 1),
        ("SIZE", 12),
        ("RACK", 7),
        // 32-bit floats: above 2^24 the units are lost.
        ("16777216 + 1", 16_777_216),
        ("3000000000", 3_000_000_000),
        ("1 / ZERO", i64::from(i32::MIN)),
        ("1 / NONE", i64::from(i32::MIN)),
        ("0 / 0", i64::from(i32::MIN)),
    ] {
        assert_eq!(rank(text), value, "{text}");
    }
}

#[test]
#[rustfmt::skip] // one case a line
fn ranks_that_are_none() {
    let check = |text: &str, expected: Expect| {
        expected.assert_eq(&Rank::parse(text).expect_err(text).to_string());
    };
    check("A-1", expect!["syntax error, unexpected the number -1, expecting an operator (a minus needs a blank behind it: A - 1) at line 1, columns 2:4"]);
    check("A -3", expect!["syntax error, unexpected the number -3, expecting an operator (a minus needs a blank behind it: A - 1) at line 1, columns 3:5"]);
    check("A B", expect![[r#"syntax error, unexpected "B", expecting one of + - * / or end of expression at line 1, columns 3:4"#]]);
    check("A +", expect![[r#"syntax error, unexpected end of expression, expecting a name, a number or "(" at line 1, columns 3:4"#]]);
    check("* A", expect![[r#"syntax error, unexpected "*", expecting a name, a number or "(" at line 1, columns 1:2"#]]);
    check("+A", expect![[r#"syntax error, unexpected "+", expecting a name, a number or "(" at line 1, columns 1:2"#]]);
    check("(A", expect![[r#"syntax error, unexpected end of expression, expecting one of + - * / or ")" at line 1, columns 2:3"#]]);
    check("A)", expect![[r#"syntax error, unexpected ")", expecting one of + - * / or end of expression at line 1, columns 2:3"#]]);
    check("()", expect![[r#"syntax error, unexpected ")", expecting a name, a number or "(" at line 1, columns 2:3"#]]);
    check("-", expect![[r#"syntax error, unexpected end of expression, expecting a name, a number or "(" at line 1, columns 1:2"#]]);
    check("A ^ 2", expect![[r#"syntax error, unexpected "^", expecting one of + - * / or end of expression at line 1, columns 3:4"#]]);
    check("A = 2", expect![[r#"syntax error, unexpected "=", expecting one of + - * / or end of expression at line 1, columns 3:4"#]]);
    check("A % 2", expect!["syntax error, unexpected the number 2, expecting one of + - * / or end of expression (ignored '%' before it) at line 1, columns 5:6"]);
}

#[test]
fn size_and_depth_are_bounded() {
    let megabyte = 1 << 20;
    for text in ["(", "!", "-", "A = 1 & ", "A * - ", "A + (", "\""] {
        let text = text.repeat(megabyte / text.len());
        assert!(
            Requirements::parse(&text).is_err_and(|error| error.message.contains("bytes")),
            "{}",
            &text[..8]
        );
        assert!(
            Rank::parse(&text).is_err_and(|error| error.message.contains("bytes")),
            "{}",
            &text[..8]
        );
    }
    let nested = |open: &str, inner: &str, close: &str, times: usize| {
        format!("{}{inner}{}", open.repeat(times), close.repeat(times))
    };
    for (times, is_fine) in [
        (100, true),
        (MAX_EXPRESSION_DEPTH, true),
        (MAX_EXPRESSION_DEPTH + 1, false),
        (50_000, false),
    ] {
        assert_eq!(
            Requirements::parse(&nested("(", "RACK = 7", ")", times)).is_ok(),
            is_fine,
            "{times}"
        );
        assert_eq!(
            Requirements::parse(&nested("!(", "RACK = 7", ")", times)).is_ok(),
            is_fine,
            "{times}"
        );
        assert_eq!(
            Rank::parse(&nested("(", "RACK", ")", times)).is_ok(),
            is_fine,
            "{times}"
        );
        assert_eq!(
            Rank::parse(&nested("2 * - ", "1", "", times)).is_ok(),
            is_fine,
            "{times}"
        );
    }
    // What does not nest may be long.
    assert!(matches(&nested("!", "RACK = 7", "", 100_000)));
    assert!(matches(&format!("{}RACK = 7", "RACK = 1 | ".repeat(20_000))));
    assert_eq!(rank(&format!("{}1", "1 + ".repeat(50_000))), 50_001);
    assert_eq!(rank(&nested("-", "1", "", 100_001)), -1);
}
