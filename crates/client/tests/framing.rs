//! The client against a small TCP server that answers in all the ways HTTP allows.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use plerion_client::{Answer, Client, ClientError, Limits, PoolQuery, Settings};

/// Reads one request and gives its body.
fn request_read(stream: &mut TcpStream) -> Option<String> {
    let mut text = Vec::new();
    let mut byte = [0; 1];
    while !text.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        text.push(byte[0]);
    }
    let head = String::from_utf8(text).ok()?;
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "))?
        .parse()
        .ok()?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    String::from_utf8(body).ok()
}

/// Serves connections in turn; each entry is the list of raw answers given on one connection, each in pieces.
fn server(connections: Vec<Vec<Vec<Vec<u8>>>>) -> (Settings, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let endpoint = format!("http://{}/RPC2", listener.local_addr().expect("address"));
    let handle = thread::spawn(move || {
        let mut bodies = Vec::new();
        for answers in connections {
            let (mut stream, _) = listener.accept().expect("a connection");
            stream.set_nodelay(true).expect("nodelay");
            for pieces in answers {
                let Some(body) = request_read(&mut stream) else {
                    break;
                };
                bodies.push(body);
                for piece in pieces {
                    // The client may have given up on purpose.
                    if stream.write_all(&piece).is_err() {
                        break;
                    }
                    stream.flush().expect("flush");
                }
            }
        }
        bodies
    });
    (
        Settings {
            endpoint,
            session: "oneadmin:secret".into(),
            page_size: 2,
        },
        handle,
    )
}

fn response(value: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><methodResponse><params><param><value><array><data>\
         <value><boolean>1</boolean></value><value>{value}</value><value><i4>0</i4></value>\
         </data></array></value></param></params></methodResponse>"
    )
}

fn sized(body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn bytewise(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes.iter().map(|byte| vec![*byte]).collect()
}

#[test]
fn one_connection_serves_split_chunked_and_sized_answers() {
    let body = response("<string>中文 &lt;VM/&gt;</string>");
    let (left, right) = body.as_bytes().split_at(150);
    let mut chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for part in [left, right] {
        chunked.extend(format!("{:x};x=y\r\n", part.len()).as_bytes());
        chunked.extend(part);
        chunked.extend(b"\r\n");
    }
    chunked.extend(b"0\r\nTrailer: x\r\n\r\n");
    let (settings, handle) = server(vec![vec![
        bytewise(&sized(&body)),
        vec![chunked.clone()],
        bytewise(&chunked),
        vec![
            b"HTTP/1.1 100 Continue\r\n\r\n".to_vec(),
            sized(&response("<i4>7</i4>")),
        ],
    ]]);
    let mut client = Client::new(&settings).expect("good");
    for _ in 0..3 {
        let answer = client
            .call("one.vm.info", &[1.into(), false.into()])
            .expect("good");
        assert_eq!(answer, Answer::Text("中文 <VM/>".into()));
    }
    assert_eq!(
        client
            .call("one.vm.allocate", &["A=\"<b>\"".into()])
            .expect("good")
            .number()
            .expect("number"),
        7
    );
    drop(client);
    let bodies = handle.join().expect("server");
    assert_eq!(bodies.len(), 4, "all over one connection");
    assert!(
        bodies[0].contains("<string>oneadmin:secret</string>"),
        "{}",
        bodies[0]
    );
    assert!(bodies[3].contains("A=&quot;&lt;b&gt;&quot;"), "{}", bodies[3]);
}

#[test]
fn closed_connections_are_replaced() {
    let body = response("<i4>1</i4>");
    let until_close = format!("HTTP/1.0 200 OK\r\n\r\n{body}").into_bytes();
    let close = format!(
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let (settings, handle) = server(vec![
        vec![vec![until_close]],
        vec![vec![close.into_bytes()]],
        vec![vec![sized(&body)]],
    ]);
    let mut client = Client::new(&settings).expect("good");
    for _ in 0..3 {
        assert_eq!(
            client.call("one.vm.allocate", &[]).expect("good"),
            Answer::Number(1)
        );
    }
    drop(client);
    assert_eq!(handle.join().expect("server").len(), 3);
}

#[test]
fn answer_cut_off_is_an_error_and_not_repeated() {
    let (settings, handle) = server(vec![vec![vec![
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n<x".to_vec(),
    ]]]);
    let mut client = Client::new(&settings).expect("good");
    let error = client.call("one.vm.allocate", &[]).expect_err("cut off");
    assert!(matches!(error, ClientError::Broken { .. }), "{error}");
    assert_eq!(handle.join().expect("server").len(), 1);
}

#[test]
fn huge_answers_are_refused() {
    let announced = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n".to_vec();
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n".to_vec();
    let endless = [b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'x'; 5000]].concat();
    for answer in [announced, chunked, endless] {
        let (settings, handle) = server(vec![vec![vec![answer]]]);
        let limits = Limits {
            answer_bytes: 1000,
            ..Limits::default()
        };
        let mut client = Client::with_limits(&settings, limits).expect("good");
        let error = client.call("one.vm.info", &[]).expect_err("too large");
        assert!(matches!(error, ClientError::TooLarge { limit: 1000 }), "{error}");
        drop(client);
        handle.join().expect("server");
    }
}

#[test]
fn silence_is_a_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let endpoint = format!("http://{}/RPC2", listener.local_addr().expect("address"));
    let settings = Settings {
        endpoint,
        session: "a:b".into(),
        page_size: 2,
    };
    let limits = Limits {
        call_time: Duration::from_millis(50),
        ..Limits::default()
    };
    let mut client = Client::with_limits(&settings, limits).expect("good");
    let error = client.call("one.vm.info", &[]).expect_err("nobody answers");
    assert!(matches!(error, ClientError::Timeout { .. }), "{error}");
}

#[test]
fn refused_connections_say_what_to_do() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let endpoint = format!("http://{}/RPC2", listener.local_addr().expect("address"));
    drop(listener);
    let settings = Settings {
        endpoint,
        session: "a:b".into(),
        page_size: 2,
    };
    let error = Client::new(&settings)
        .expect("good")
        .call("one.vm.info", &[])
        .expect_err("refused");
    assert!(matches!(error, ClientError::Connect { .. }), "{error}");
    assert!(error.to_string().contains("ONE_XMLRPC"), "{error}");
}

#[test]
fn other_status_and_nonsense_are_errors() {
    let (settings, handle) = server(vec![vec![
        vec![b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec()],
        vec![b"SSH-2.0-x\r\n\r\n".to_vec()],
    ]]);
    let mut client = Client::new(&settings).expect("good");
    let error = client.call("one.vm.info", &[]).expect_err("404");
    assert!(matches!(error, ClientError::Http { status: 404, .. }), "{error}");
    let error = client.call("one.vm.info", &[]).expect_err("not HTTP");
    assert!(matches!(error, ClientError::Malformed(_)), "{error}");
    drop(client);
    handle.join().expect("server");
}

#[test]
fn pools_are_read_in_pages() {
    let page = |text: &str| {
        vec![sized(&response(&format!(
            "<string>{}</string>",
            text.replace('<', "&lt;")
        )))]
    };
    let (settings, handle) = server(vec![vec![
        page("<VM_POOL><VM><ID>3</ID></VM><VM><ID>2</ID></VM></VM_POOL>"),
        page("<VM_POOL><VM><ID>1</ID></VM></VM_POOL>"),
        page("<VM_POOL/>"),
    ]]);
    let mut client = Client::new(&settings).expect("good");
    let query = PoolQuery {
        method: "one.vmpool.info",
        filter: -2,
        extra: vec![(-1).into()],
    };
    assert_eq!(
        client.pool(&query).expect("good"),
        "<VM_POOL><VM><ID>3</ID></VM><VM><ID>2</ID></VM><VM><ID>1</ID></VM></VM_POOL>"
    );
    assert_eq!(client.pool(&query).expect("good"), "<VM_POOL/>");
    drop(client);
    let bodies = handle.join().expect("server");
    assert!(
        bodies[0].contains("<int>0</int></value></param><param><value><int>-2</int>"),
        "{}",
        bodies[0]
    );
    assert!(
        bodies[1].contains("<int>2</int></value></param><param><value><int>-2</int>"),
        "{}",
        bodies[1]
    );
}
