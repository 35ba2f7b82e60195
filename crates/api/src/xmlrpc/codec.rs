//! Decoding of requests: from the bytes of a body to a [`Call`], or to the fault that says what is wrong with them.
//!
//! What a document could do to a careless reader is refused or bounded: document type declarations and entities,
//! processing instructions, nesting, and the number of values.

use std::borrow::Cow;
use std::fmt;

use quick_xml::Reader;
use quick_xml::events::{BytesRef, Event};

use super::base64;
use super::fault::{self, Fault, quote};

/// Deepest nesting of elements; one array in another costs three.
pub const DEPTH_MAX: usize = 32;
/// Most parameters of a call.
pub const PARAMS_MAX: usize = 64;
/// Most items of one array, and most members of one structure.
pub const ITEMS_MAX: usize = 65_536;
/// Most values of a call, those inside arrays and structures included.
pub const VALUES_MAX: usize = 131_072;
/// Longest method name, in bytes.
pub const METHOD_BYTES_MAX: usize = 256;
/// How far into a body its XML declaration is looked for, in bytes.
const DECLARATION_BYTES: usize = 256;
/// How UTF-8 text may begin although nothing asks it to.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// A decoded request.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Name of the method, such as `one.vm.info`.
    pub method: String,
    /// The parameters, in order.
    pub params: Vec<Value>,
}

/// One XML-RPC value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `int` or `i4`.
    Int(i32),
    /// `i8` (or `ex:i8`).
    Long(i64),
    /// `boolean`.
    Bool(bool),
    /// `double`; always finite.
    Double(f64),
    /// `string`, or text without a type.
    String(String),
    /// `base64`, decoded.
    Base64(Vec<u8>),
    /// `dateTime.iso8601`, as it was sent.
    DateTime(String),
    /// `array`.
    Array(Vec<Value>),
    /// `struct`, members in the order they were sent.
    Struct(Vec<(String, Value)>),
    /// `nil` (or `ex:nil`).
    Nil,
}

/// Decodes the body of a request.
pub fn decode(body: &[u8]) -> Result<Call, Fault> {
    let text = text_of(body)?;
    let mut decoder = Decoder::new(text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&text));
    let call = decoder.call()?;
    decoder.end()?;
    Ok(call)
}

/// The body as text: UTF-8, or Latin-1 if its XML declaration says so.
fn text_of(body: &[u8]) -> Result<Cow<'_, str>, Fault> {
    if let Some(at) = body
        .iter()
        .position(|&byte| byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r'))
    {
        return Err(Fault::parse(
            at as u64,
            "a control character, which XML does not allow",
        ));
    }
    let ascii = body.is_ascii();
    if !ascii && latin1_declared(body) {
        return Ok(Cow::Owned(body.iter().map(|&byte| char::from(byte)).collect()));
    }
    let text = std::str::from_utf8(body).map_err(|error| {
        let at = error.valid_up_to();
        Fault::new(
            fault::INVALID_UTF8,
            format!("Call is not valid UTF-8, at byte {at}: send it as UTF-8"),
        )
    })?;
    let forbidden = if ascii {
        None
    } else {
        text.find(['\u{fffe}', '\u{ffff}'])
    };
    match forbidden {
        Some(at) => Err(Fault::parse(at as u64, "a character that XML does not allow")),
        None => Ok(Cow::Borrowed(text)),
    }
}

fn latin1_declared(body: &[u8]) -> bool {
    let head = body.get(..DECLARATION_BYTES).unwrap_or(body);
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let declaration = head.split("?>").next().unwrap_or_default();
    declaration.starts_with("<?xml")
        && ["iso-8859-1", "latin1", "iso_8859-1"]
            .iter()
            .any(|name| declaration.contains(name))
}

/// Whether XML 1.0 allows the character, written directly or as a reference.
fn char_allowed(char: char) -> bool {
    matches!(char, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

/// The elements of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tag {
    MethodCall,
    MethodName,
    Params,
    Param,
    Value,
    Int,
    Long,
    Boolean,
    Double,
    String,
    Base64,
    DateTime,
    Array,
    Data,
    Struct,
    Member,
    Name,
    Nil,
}

impl Tag {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "value" => Self::Value,
            "param" => Self::Param,
            "string" => Self::String,
            "int" | "i4" => Self::Int,
            "boolean" => Self::Boolean,
            "methodCall" => Self::MethodCall,
            "methodName" => Self::MethodName,
            "params" => Self::Params,
            "i8" | "ex:i8" => Self::Long,
            "double" => Self::Double,
            "base64" => Self::Base64,
            "dateTime.iso8601" => Self::DateTime,
            "array" => Self::Array,
            "data" => Self::Data,
            "struct" => Self::Struct,
            "member" => Self::Member,
            "name" => Self::Name,
            "nil" | "ex:nil" => Self::Nil,
            _ => return None,
        })
    }
}

/// What the document consists of, once comments and the XML declaration are gone.
enum Node<'a> {
    Open(Tag),
    Close,
    Text(Cow<'a, str>),
    End,
}

struct Decoder<'a> {
    reader: Reader<&'a [u8]>,
    /// Elements open now.
    depth: usize,
    /// Values met so far.
    values: usize,
    /// Whether anything but an XML declaration may still come first.
    fresh: bool,
}

impl<'a> Decoder<'a> {
    fn new(text: &'a str) -> Self {
        let mut reader = Reader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        Self {
            reader,
            depth: 0,
            values: 0,
            fresh: true,
        }
    }

    fn call(&mut self) -> Result<Call, Fault> {
        self.open(Tag::MethodCall)?;
        self.open(Tag::MethodName)?;
        let method = self.text()?.trim().to_owned();
        if method.is_empty() || method.len() > METHOD_BYTES_MAX {
            return Err(self.fault(format_args!("a method name has 1 to {METHOD_BYTES_MAX} bytes")));
        }
        let mut params = Vec::new();
        if self.child(Tag::Params)? {
            while self.child(Tag::Param)? {
                if params.len() == PARAMS_MAX {
                    return Err(Fault::limit(format_args!("more than {PARAMS_MAX} parameters")));
                }
                self.open(Tag::Value)?;
                params.push(self.value()?);
                self.close()?;
            }
            self.close()?;
        }
        Ok(Call { method, params })
    }

    /// Nothing but white space and comments after the call.
    fn end(&mut self) -> Result<(), Fault> {
        match self.node_structural()? {
            Node::End => Ok(()),
            _ => Err(self.fault("something follows the call")),
        }
    }

    /// The value whose `<value>` has been opened, up to and with its end.
    fn value(&mut self) -> Result<Value, Fault> {
        self.values += 1;
        if self.values > VALUES_MAX {
            return Err(Fault::limit(format_args!("more than {VALUES_MAX} values")));
        }
        let mut untyped = Cow::Borrowed("");
        let tag = loop {
            match self.node()? {
                Node::Text(text) => join(&mut untyped, text),
                Node::Close => return Ok(Value::String(untyped.into_owned())),
                Node::Open(tag) => break tag,
                Node::End => return Err(self.fault("the document ends inside a value")),
            }
        };
        if !blank(&untyped) {
            return Err(self.fault("text beside the type of a value"));
        }
        let value = match tag {
            Tag::Array => self.array()?,
            Tag::Struct => self.structure()?,
            scalar => self.scalar(scalar)?,
        };
        self.close()?;
        Ok(value)
    }

    fn scalar(&mut self, tag: Tag) -> Result<Value, Fault> {
        let text = self.text()?;
        let value = match tag {
            Tag::String => return Ok(Value::String(text.into_owned())),
            Tag::DateTime => return Ok(Value::DateTime(text.trim().to_owned())),
            Tag::Int => text.trim().parse().ok().map(Value::Int),
            Tag::Long => text.trim().parse().ok().map(Value::Long),
            Tag::Boolean => match text.trim() {
                "0" => Some(Value::Bool(false)),
                "1" => Some(Value::Bool(true)),
                _ => None,
            },
            Tag::Double => text
                .trim()
                .parse()
                .ok()
                .filter(|number: &f64| number.is_finite())
                .map(Value::Double),
            Tag::Base64 => base64::decode(&text).map(Value::Base64),
            Tag::Nil if blank(&text) => Some(Value::Nil),
            _ => None,
        };
        value.ok_or_else(|| self.fault(format_args!("{tag:?} cannot hold '{}'", quote(&text))))
    }

    fn array(&mut self) -> Result<Value, Fault> {
        self.open(Tag::Data)?;
        let mut items = Vec::new();
        while self.child(Tag::Value)? {
            self.items_check(items.len())?;
            items.push(self.value()?);
        }
        self.close()?;
        Ok(Value::Array(items))
    }

    fn structure(&mut self) -> Result<Value, Fault> {
        let mut members = Vec::new();
        while self.child(Tag::Member)? {
            self.items_check(members.len())?;
            self.open(Tag::Name)?;
            let name = self.text()?.into_owned();
            self.open(Tag::Value)?;
            let value = self.value()?;
            members.push((name, value));
            self.close()?;
        }
        Ok(Value::Struct(members))
    }

    fn items_check(&self, items: usize) -> Result<(), Fault> {
        if items < ITEMS_MAX {
            return Ok(());
        }
        Err(Fault::limit(format_args!(
            "more than {ITEMS_MAX} items in one array or structure"
        )))
    }

    /// The text of an element that has been opened, up to and with its end.
    fn text(&mut self) -> Result<Cow<'a, str>, Fault> {
        let mut whole = Cow::Borrowed("");
        loop {
            match self.node()? {
                Node::Text(text) => join(&mut whole, text),
                Node::Close => return Ok(whole),
                Node::Open(tag) => return Err(self.fault(format_args!("{tag:?} where only text may stand"))),
                Node::End => return Err(self.fault("the document ends inside an element")),
            }
        }
    }

    /// The next thing must be this element.
    fn open(&mut self, tag: Tag) -> Result<(), Fault> {
        match self.node_structural()? {
            Node::Open(found) if found == tag => Ok(()),
            _ => Err(self.fault(format_args!("{tag:?} is missing"))),
        }
    }

    /// The next thing must be the end of the open element.
    fn close(&mut self) -> Result<(), Fault> {
        match self.node_structural()? {
            Node::Close => Ok(()),
            _ => Err(self.fault("an element has more content than it may have")),
        }
    }

    /// Whether this element comes next; if not, the end of the open element was read.
    fn child(&mut self, tag: Tag) -> Result<bool, Fault> {
        match self.node_structural()? {
            Node::Open(found) if found == tag => Ok(true),
            Node::Close => Ok(false),
            Node::Open(found) => Err(self.fault(format_args!("{found:?} where {tag:?} should stand"))),
            _ => Err(self.fault(format_args!(
                "{tag:?} or the end of the element around it is missing"
            ))),
        }
    }

    /// The next node where only elements may stand: white space is passed over.
    fn node_structural(&mut self) -> Result<Node<'a>, Fault> {
        loop {
            match self.node()? {
                Node::Text(text) if blank(&text) => {}
                Node::Text(text) => {
                    return Err(self.fault(format_args!("text '{}' between elements", quote(&text))));
                }
                node => return Ok(node),
            }
        }
    }

    fn node(&mut self) -> Result<Node<'a>, Fault> {
        loop {
            let event = self.reader.read_event();
            let fresh = std::mem::take(&mut self.fresh);
            let node = match event {
                Err(error) => return Err(Fault::parse(self.reader.error_position(), error)),
                Ok(Event::Start(start)) => return self.element(start.name().as_ref()),
                Ok(Event::End(_)) => {
                    self.depth = self.depth.saturating_sub(1);
                    Node::Close
                }
                Ok(Event::Text(text)) => Node::Text(text.xml10_content()),
                Ok(Event::CData(text)) => Node::Text(text.xml10_content()),
                Ok(Event::GeneralRef(reference)) => Node::Text(self.reference(&reference)?),
                Ok(Event::Eof) => Node::End,
                Ok(Event::Comment(_)) => continue,
                Ok(Event::Decl(_)) if fresh => continue,
                Ok(Event::Decl(_)) => return Err(self.fault("an XML declaration that is not the beginning")),
                Ok(Event::PI(_)) => return Err(self.fault("processing instructions are refused")),
                Ok(Event::DocType(_)) => return Err(self.fault("document types are refused")),
                Ok(Event::Empty(_)) => return Err(self.fault("an element that is no start and no end")),
            };
            return Ok(node);
        }
    }

    fn element(&mut self, name: &str) -> Result<Node<'a>, Fault> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Fault::limit(format_args!(
                "elements nested deeper than {DEPTH_MAX}"
            )));
        }
        match Tag::of(name) {
            Some(tag) => Ok(Node::Open(tag)),
            None => Err(self.fault(format_args!("no element '{}' exists in XML-RPC", quote(name)))),
        }
    }

    /// What `&…;` stands for: a character by number, or one of the five that XML itself defines.
    fn reference(&self, reference: &BytesRef<'_>) -> Result<Cow<'a, str>, Fault> {
        match reference.resolve_char_ref() {
            Ok(Some(char)) if char_allowed(char) => return Ok(Cow::Owned(char.into())),
            Ok(None) => {}
            Ok(Some(_)) => return Err(self.fault("a reference to a character that XML does not allow")),
            Err(error) => return Err(self.fault(error)),
        }
        let name = reference.xml10_content();
        let text = match name.as_ref() {
            "lt" => "<",
            "gt" => ">",
            "amp" => "&",
            "quot" => "\"",
            "apos" => "'",
            _ => return Err(self.fault(format_args!("entity '{}' is not defined", quote(&name)))),
        };
        Ok(Cow::Borrowed(text))
    }

    fn fault(&self, why: impl fmt::Display) -> Fault {
        Fault::parse(self.reader.buffer_position(), why)
    }
}

fn blank(text: &str) -> bool {
    text.bytes()
        .all(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
}

/// Appends without a copy while there is nothing to append to.
fn join<'a>(whole: &mut Cow<'a, str>, part: Cow<'a, str>) {
    if whole.is_empty() {
        *whole = part;
    } else {
        whole.to_mut().push_str(&part);
    }
}
