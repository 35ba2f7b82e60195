//! Answers, and their form on the wire: line breaks, element names and order as recorded from a 7.4.0 server.

use std::fmt;
use std::io::Write as _;

use bytes::Bytes;

use super::escape::escape_into;
use super::fault::Fault;

const SUCCESS_HEAD: &[u8] = b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<methodResponse>\r\n<params>\r\n\
    <param><value><array><data>\r\n<value><boolean>1</boolean></value>\r\n";
const SUCCESS_TAIL: &[u8] = b"<value><i4>0</i4></value>\r\n\
    </data></array></value></param>\r\n</params>\r\n</methodResponse>\r\n";
const FAILURE_HEAD: &[u8] = b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<methodResponse>\r\n<params>\r\n\
    <param><value><array><data>\r\n<value><boolean>0</boolean></value>\r\n";
const FAILURE_TAIL: &[u8] = b"<value><i8>-1</i8></value>\r\n\
    </data></array></value></param>\r\n</params>\r\n</methodResponse>\r\n";
const FAULT_HEAD: &[u8] = b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<methodResponse>\r\n<fault>\r\n\
    <value><struct>\r\n<member><name>faultCode</name>\r\n";
const FAULT_TAIL: &[u8] = b"</struct></value>\r\n</fault>\r\n</methodResponse>\r\n";
const STRING_HEAD: &[u8] = b"<value><string>";
const STRING_TAIL: &[u8] = b"</string></value>\r\n";
/// Room for everything in a body that is not the payload, in bytes.
const ENVELOPE_BYTES: usize = 512;
/// Up to this size a payload is copied into one buffer with its envelope; a larger one is sent from where it is.
const COPY_BYTES_MAX: usize = 16 * 1024;

/// Pieces of an escaped text, made one after the other while they are sent; or why there will be no more, for the log.
pub type Chunks = Box<dyn Iterator<Item = Result<Vec<u8>, String>> + Send>;

/// What a method returns when it succeeds.
pub enum Payload {
    /// `i4`, mostly the id of an object.
    Int(i32),
    /// `i8`.
    Long(i64),
    /// `boolean`.
    Bool(bool),
    /// `string`; escaped on the way out.
    Text(String),
    /// `string`, already escaped (see [`escape_into`]); cached bodies need no copy.
    Escaped(Bytes),
    /// `string`, already escaped, rendered on a blocking thread while the caller reads. The iterator is asked for
    /// more only as fast as the caller takes it. If it fails (or panics) after the first pieces are out, the connection breaks.
    Stream(Chunks),
}

/// The outcome of a call.
#[derive(Debug)]
pub enum Answer {
    /// The method did what was asked.
    Success(Payload),
    /// The method refused or failed.
    Failure {
        /// Code of the error, a power of two from 0x100 to 0x10000.
        code: i32,
        /// Text of the error, beginning with `[<method>] `.
        text: String,
        /// Id of the object concerned, -1 for none.
        object: i32,
    },
    /// The request could not be understood as a call of a method.
    Fault {
        /// One of the codes of [`super::fault`].
        code: i32,
        /// What is wrong with the request.
        text: String,
    },
}

/// A body ready to be sent, or to be begun.
pub(super) enum Encoded {
    Whole(Bytes),
    Parts([Bytes; 3]),
    Stream {
        head: Vec<u8>,
        chunks: Chunks,
        tail: Vec<u8>,
    },
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(value) => f.debug_tuple("Int").field(value).finish(),
            Self::Long(value) => f.debug_tuple("Long").field(value).finish(),
            Self::Bool(value) => f.debug_tuple("Bool").field(value).finish(),
            Self::Text(text) => f.debug_tuple("Text").field(text).finish(),
            Self::Escaped(text) => f.debug_tuple("Escaped").field(text).finish(),
            Self::Stream(_) => f.write_str("Stream(..)"),
        }
    }
}

impl From<Fault> for Answer {
    fn from(Fault { code, text }: Fault) -> Self {
        Self::Fault { code, text }
    }
}

impl Answer {
    pub(super) fn encode(self) -> Encoded {
        match self {
            Self::Success(payload) => payload.encode(),
            Self::Failure { code, text, object } => {
                let mut out = Vec::with_capacity(ENVELOPE_BYTES + text.len());
                out.extend_from_slice(FAILURE_HEAD);
                string_into(&text, &mut out);
                scalar_into("i4", code, &mut out);
                scalar_into("i4", object, &mut out);
                out.extend_from_slice(FAILURE_TAIL);
                Encoded::Whole(out.into())
            }
            Self::Fault { code, text } => {
                let mut out = Vec::with_capacity(ENVELOPE_BYTES + text.len());
                out.extend_from_slice(FAULT_HEAD);
                number_into(
                    format_args!("<value><i4>{code}</i4></value></member>\r\n"),
                    &mut out,
                );
                out.extend_from_slice(b"<member><name>faultString</name>\r\n");
                out.extend_from_slice(STRING_HEAD);
                escape_into(&text, &mut out);
                out.extend_from_slice(b"</string></value></member>\r\n");
                out.extend_from_slice(FAULT_TAIL);
                Encoded::Whole(out.into())
            }
        }
    }
}

impl Payload {
    fn encode(self) -> Encoded {
        let mut out = Vec::with_capacity(ENVELOPE_BYTES + self.size_hint());
        out.extend_from_slice(SUCCESS_HEAD);
        match self {
            Self::Int(value) => scalar_into("i4", value, &mut out),
            Self::Long(value) => scalar_into("i8", value, &mut out),
            Self::Bool(value) => scalar_into("boolean", i32::from(value), &mut out),
            Self::Text(text) => string_into(&text, &mut out),
            Self::Escaped(text) if text.len() <= COPY_BYTES_MAX => {
                out.extend_from_slice(STRING_HEAD);
                out.extend_from_slice(&text);
                out.extend_from_slice(STRING_TAIL);
            }
            Self::Escaped(text) => {
                out.extend_from_slice(STRING_HEAD);
                return Encoded::Parts([out.into(), text, string_end().into()]);
            }
            Self::Stream(chunks) => {
                out.extend_from_slice(STRING_HEAD);
                return Encoded::Stream {
                    head: out,
                    chunks,
                    tail: string_end(),
                };
            }
        }
        out.extend_from_slice(SUCCESS_TAIL);
        Encoded::Whole(out.into())
    }

    fn size_hint(&self) -> usize {
        match self {
            Self::Text(text) => text.len() + text.len() / 2,
            Self::Escaped(text) if text.len() <= COPY_BYTES_MAX => text.len(),
            _ => 0,
        }
    }
}

fn string_end() -> Vec<u8> {
    [STRING_TAIL, SUCCESS_TAIL].concat()
}

fn string_into(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(STRING_HEAD);
    escape_into(text, out);
    out.extend_from_slice(STRING_TAIL);
}

fn scalar_into(kind: &str, value: impl fmt::Display, out: &mut Vec<u8>) {
    number_into(format_args!("<value><{kind}>{value}</{kind}></value>\r\n"), out);
}

fn number_into(text: fmt::Arguments<'_>, out: &mut Vec<u8>) {
    out.write_fmt(text).expect("a vector takes any number of bytes");
}
