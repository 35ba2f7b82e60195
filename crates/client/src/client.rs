//! The client: a session, an endpoint and the connection to it.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::ClientConfig;

use crate::codec;
use crate::error::ClientError;
use crate::http::{Address, Connection, ExchangeError, Outgoing, Response};
use crate::settings::Settings;
use crate::trust::tls_config;
use crate::value::{Answer, Param};

/// How long connecting may take, unless said otherwise.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// How long one call may take, unless said otherwise; large pools and waiting drivers need minutes.
const CALL_TIME: Duration = Duration::from_secs(300);
/// How large an answer may be, unless said otherwise. An extended pool of 10,000 VMs has 120 MB.
const ANSWER_BYTES_MAX: usize = 1 << 30;

/// Bounds of a client.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long connecting may take.
    pub connect_time: Duration,
    /// How long one call may take from the first byte sent to the last received.
    pub call_time: Duration,
    /// The largest answer accepted, in bytes.
    pub answer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_time: CONNECT_TIME,
            call_time: CALL_TIME,
            answer_bytes: ANSWER_BYTES_MAX,
        }
    }
}

/// A caller of the interface. The connection is opened at the first call and kept.
#[derive(Debug)]
pub struct Client {
    address: Address,
    tls: Option<Arc<ClientConfig>>,
    session: String,
    limits: Limits,
    page_size: i32,
    connection: Option<Connection>,
}

impl Client {
    /// A client with default bounds. Fails when the endpoint cannot be used; nothing is sent yet.
    pub fn new(settings: &Settings) -> Result<Self, ClientError> {
        Self::with_limits(settings, Limits::default())
    }

    /// A client with bounds of its own.
    pub fn with_limits(settings: &Settings, limits: Limits) -> Result<Self, ClientError> {
        let address = Address::parse(&settings.endpoint)?;
        Ok(Self {
            tls: address.tls.then(tls_config).transpose()?,
            address,
            session: settings.session.clone(),
            limits,
            page_size: settings.page_size,
            connection: None,
        })
    }

    /// How many objects a pool is asked for at once.
    pub fn page_size(&self) -> i32 {
        self.page_size
    }

    /// The name of the user who calls: the session up to its first colon.
    pub fn user_name(&self) -> &str {
        self.session.split(':').next().unwrap_or_default()
    }

    /// Calls `method` (with its `one.` prefix) and waits for the answer.
    ///
    /// A kept connection that the server closed meanwhile is replaced before sending. When it breaks after
    /// that, only reading calls are repeated (once): any other may have been carried out.
    pub fn call(&mut self, method: &str, params: &[Param]) -> Result<Answer, ClientError> {
        let request = codec::call_write(method, &self.session, params);
        let kept = self.connection.take().filter(Connection::is_usable);
        let reused = kept.is_some();
        let connection = match kept {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let path = self.address.path.clone();
        let outgoing = Outgoing {
            path: &path,
            kind: "text/xml; charset=utf-8",
            lines: "",
            body: &request,
        };
        let response = match self.exchange(connection, outgoing) {
            Err(ExchangeError::Io(error, false)) if reused && is_read(method) && !is_timeout(&error) => {
                let fresh = self.connect()?;
                self.exchange(fresh, outgoing)
            }
            other => other,
        };
        let response = response.map_err(|error| self.error_of(error, method))?;
        if response.status != 200 {
            return Err(ClientError::Http {
                status: response.status,
                reason: response.reason,
            });
        }
        let text = String::from_utf8(response.body)
            .map_err(|_| ClientError::Malformed("it is not UTF-8".to_owned()))?;
        codec::answer_read(&text)
    }

    /// Sends a form to a path of the server beside the interface, as the user who calls (HTTP Basic authentication). Gives
    /// the status, which may be that of a refusal, and the text.
    pub fn form_post(&mut self, path: &str, form: &str) -> Result<(u16, String), ClientError> {
        let connection = self.connect()?;
        let lines = format!("Authorization: Basic {}\r\n", STANDARD.encode(&self.session));
        let outgoing = Outgoing {
            path,
            kind: "application/x-www-form-urlencoded",
            lines: &lines,
            body: form,
        };
        let response = self.exchange(connection, outgoing);
        let response = response.map_err(|error| self.error_of(error, path))?;
        let text = String::from_utf8(response.body)
            .map_err(|_| ClientError::Malformed("it is not UTF-8".to_owned()))?;
        Ok((response.status, text))
    }

    /// The server's address without a path, as `http://host:port`.
    pub fn base(&self) -> String {
        let scheme = if self.address.tls { "https" } else { "http" };
        format!("{scheme}://{}", self.address.authority())
    }

    fn connect(&self) -> Result<Connection, ClientError> {
        Connection::open(&self.address, self.tls.clone(), self.limits.connect_time).map_err(|source| {
            let address = self.address.authority();
            match tls_reason(&source) {
                Some(reason) => ClientError::Tls { address, reason },
                None => ClientError::Connect { address, source },
            }
        })
    }

    fn exchange(
        &mut self,
        mut connection: Connection,
        outgoing: Outgoing<'_>,
    ) -> Result<Response, ExchangeError> {
        let result = connection.exchange(
            &self.address,
            outgoing,
            self.limits.call_time,
            self.limits.answer_bytes,
        );
        // After an error nobody knows where in the stream the next answer would begin.
        if result.is_ok() {
            self.connection = Some(connection);
        }
        result
    }

    fn error_of(&self, error: ExchangeError, method: &str) -> ClientError {
        let (address, method) = (self.address.authority(), method.to_owned());
        match error {
            ExchangeError::Io(source, _) if is_timeout(&source) => ClientError::Timeout {
                address,
                method,
                limit: self.limits.call_time,
            },
            ExchangeError::Io(source, _) => ClientError::Broken {
                address,
                method,
                source,
            },
            ExchangeError::TooLarge => ClientError::TooLarge {
                limit: self.limits.answer_bytes,
            },
            ExchangeError::Malformed(reason) => ClientError::Malformed(reason.to_owned()),
        }
    }
}

/// Whether repeating the call changes nothing.
fn is_read(method: &str) -> bool {
    matches!(
        method.rsplit('.').next(),
        Some("info" | "infoextended" | "infoset" | "monitoring" | "accounting" | "showback" | "version")
    )
}

/// Why there was no agreement on TLS, where that was it.
fn tls_reason(error: &std::io::Error) -> Option<String> {
    let reason = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    Some(reason.to_string())
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::TimedOut | std::io::ErrorKind::WouldBlock
    )
}
