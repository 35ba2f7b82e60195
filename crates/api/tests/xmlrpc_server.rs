//! The server over real sockets: the shape of answers, and callers that are slow, broken or hostile, each followed
//! by a caller that gets its answer.

mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use plerion_api::xmlrpc::Limits;
use support::{CHUNK_BYTES, PATIENCE, Server, call, echo, post};
use tokio::net::TcpStream;
use tokio::time::timeout;

const SHORT: Duration = Duration::from_millis(200);

async fn server() -> Server {
    Server::start(Limits::default()).await
}

#[tokio::test]
async fn answers_have_the_recorded_form() {
    let server = server().await;
    let mut wire = server.connect().await;
    let head = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<methodResponse>\r\n";
    let array = |values: &str| {
        format!(
            "{head}<params>\r\n<param><value><array><data>\r\n{values}</data></array></value></param>\r\n\
            </params>\r\n</methodResponse>\r\n"
        )
    };
    let success = |value: &str| {
        array(&format!(
            "<value><boolean>1</boolean></value>\r\n<value>{value}</value>\r\n<value><i4>0</i4></value>\r\n"
        ))
    };
    let escaped = "&lt;A/&gt;".repeat(10_000);
    let fault = |code: i32, text: &str| {
        format!(
            "{head}<fault>\r\n<value><struct>\r\n<member><name>faultCode</name>\r\n<value><i4>{code}</i4></value>\
            </member>\r\n<member><name>faultString</name>\r\n<value><string>{text}</string></value></member>\r\n\
            </struct></value>\r\n</fault>\r\n</methodResponse>\r\n"
        )
    };
    for (request, expected) in [
        (
            echo("a&lt;b&gt;&amp;&#13;中"),
            success("<string>a&lt;b&gt;&amp;&#x0d;中</string>"),
        ),
        (
            call("int", &["<value><int>-3</int></value>"]),
            success("<i4>-3</i4>"),
        ),
        (call("long", &[]), success("<i8>1099511627776</i8>")),
        (call("bool", &[]), success("<boolean>1</boolean>")),
        (
            call("escaped", &[]),
            success(&format!("<string>{escaped}</string>")),
        ),
        (
            call("failure", &[]),
            array(
                "<value><boolean>0</boolean></value>\r\n<value><string>[failure] Error getting &lt;A&gt; [7].\
                </string></value>\r\n<value><i4>1024</i4></value>\r\n<value><i4>7</i4></value>\r\n\
                <value><i8>-1</i8></value>\r\n",
            ),
        ),
        (call("int", &[]), fault(-501, "Not enough parameters")),
        (
            call("int", &["<value>a</value>"]),
            fault(-501, "Parameter that is supposed to be integer is not"),
        ),
        (
            call("nowhere", &[]),
            fault(-506, "Method 'nowhere' is not defined"),
        ),
    ] {
        let reply = wire.call(&request).await;
        assert_eq!(
            (reply.status, reply.text()),
            (200, expected.as_str()),
            "{request}"
        );
        assert_eq!(reply.header("content-type"), Some("text/xml; charset=utf-8"));
        assert_eq!(
            reply.header("content-length"),
            Some(expected.len().to_string().as_str())
        );
        assert_eq!(reply.header("connection"), None);
    }
    let broken = wire.call("<methodCall>").await;
    assert!(broken.text().contains("<i4>-503</i4>"), "{}", broken.text());
}

#[tokio::test]
async fn paths_and_methods() {
    let server = server().await;
    let mut wire = server.connect().await;
    wire.send(b"GET /RPC2 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let reply = wire.reply().await.expect("an answer");
    assert_eq!((reply.status, reply.header("allow")), (405, Some("POST")));
    wire.send(b"POST /elsewhere HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab")
        .await;
    assert_eq!(wire.reply().await.expect("an answer").status, 404);
    let at_root = String::from_utf8(post(&echo("root")))
        .expect("UTF-8")
        .replace("/RPC2", "/");
    wire.send(at_root.as_bytes()).await;
    assert!(wire.reply().await.expect("an answer").text().contains("root"));
}

#[tokio::test]
async fn pipelined_calls_are_answered_in_order() {
    let server = server().await;
    let mut wire = server.connect().await;
    let requests: Vec<u8> = (0..50)
        .flat_map(|number| post(&echo(&format!("<![CDATA[no {number}]]>"))))
        .collect();
    wire.send(&requests).await;
    for number in 0..50 {
        let reply = wire.reply().await.expect("an answer");
        assert!(
            reply.text().contains(&format!("<string>no {number}</string>")),
            "{}",
            reply.text()
        );
    }
}

#[tokio::test]
async fn old_and_closing_clients() {
    let server = server().await;
    let body = echo("old");
    for version in ["HTTP/1.0\r\n", "HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"] {
        let mut wire = server.connect().await;
        let length = body.len();
        wire.send(format!("POST /RPC2 {version}Content-Length: {length}\r\n\r\n{body}").as_bytes())
            .await;
        let reply = wire.reply().await.expect("an answer");
        assert!(reply.text().contains("<string>old</string>"));
        wire.closed().await;
    }
    let mut wire = server.connect().await;
    let stream = call("stream", &["<value><int>40</int></value>"]);
    wire.send(
        format!(
            "POST /RPC2 HTTP/1.0\r\nContent-Length: {}\r\n\r\n{stream}",
            stream.len()
        )
        .as_bytes(),
    )
    .await;
    let reply = wire.reply().await.expect("an answer");
    assert!(reply.body.len() > 40 * CHUNK_BYTES && reply.text().ends_with("</methodResponse>\r\n"));
}

#[tokio::test]
async fn a_chunked_request() {
    let server = server().await;
    let mut wire = server.connect().await;
    let body = echo(&"long ".repeat(100_000));
    wire.send(b"POST /RPC2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    for piece in body.as_bytes().chunks(7001) {
        wire.send(format!("{:x}\r\n", piece.len()).as_bytes()).await;
        wire.send(piece).await;
        wire.send(b"\r\n").await;
    }
    wire.send(b"0\r\n\r\n").await;
    assert!(wire.reply().await.expect("an answer").body.len() > 500_000);
}

#[tokio::test]
async fn a_half_closed_caller_gets_its_answer() {
    let server = server().await;
    let mut wire = server.connect().await;
    wire.send(&post(&call("wait", &[]))).await;
    tokio::io::AsyncWriteExt::shutdown(&mut wire.stream)
        .await
        .expect("half closed");
    server.service.waiting.notified().await;
    server.service.proceed.notify_one();
    assert_eq!(wire.reply().await.expect("an answer").status, 200);
    wire.closed().await;
}

#[tokio::test]
async fn a_panic_stays_in_its_call() {
    let server = server().await;
    let mut wire = server.connect().await;
    for method in ["panic", "stream-panics-early"] {
        let reply = wire.call(&call(method, &[])).await;
        assert!(reply.text().contains("<boolean>0</boolean>") && reply.text().contains("<i4>8192</i4>"));
        assert!(reply.text().contains(&format!("[{method}] ")), "{}", reply.text());
    }
    assert!(
        wire.call(&echo("same connection"))
            .await
            .text()
            .contains("same connection")
    );
    for method in ["stream-panics-late", "stream-fails-late"] {
        let mut wire = server.connect().await;
        wire.send(&post(&call(method, &[]))).await;
        assert!(
            wire.reply().await.is_none(),
            "{method}: half an answer must not look like a whole one"
        );
    }
    server.assert_answers().await;
}

#[tokio::test]
async fn streams_arrive_whole() {
    let server = server().await;
    let mut wire = server.connect().await;
    for pieces in [0, 1, 3, 4, 5, 300] {
        let reply = wire
            .call(&call("stream", &[&format!("<value><int>{pieces}</int></value>")]))
            .await;
        let known = reply.header("content-length").is_some();
        assert_eq!(known, pieces < 4, "{pieces}");
        let text = reply.text();
        let payload = text
            .split("<string>")
            .nth(1)
            .and_then(|rest| rest.split("</string>").next());
        assert_eq!(payload.map(str::len), Some(pieces * CHUNK_BYTES));
        assert!(text.ends_with("</methodResponse>\r\n"));
    }
}

#[tokio::test]
async fn rendering_waits_for_a_slow_reader_and_ends_with_it() {
    let server = Server::start(Limits {
        write_stall: SHORT,
        ..Limits::default()
    })
    .await;
    let pieces = 1_000_000;
    let mut wire = server.connect().await;
    wire.send(&post(&call(
        "stream",
        &[&format!("<value><int>{pieces}</int></value>")],
    )))
    .await;
    server.service.streams_dropped(1).await;
    let rendered = server.service.rendered.load(Ordering::SeqCst) * CHUNK_BYTES;
    assert!(
        rendered > 0 && rendered < 64 << 20,
        "{rendered} bytes were rendered for a caller that reads nothing"
    );
    assert!(wire.reply().await.is_none());
    server.assert_answers().await;
}

#[tokio::test]
async fn stalled_readers_do_not_keep_others_from_rendering() {
    let server = Server::start(Limits {
        renderers: 1,
        ..Limits::default()
    })
    .await;
    let endless = post(&call("stream", &["<value><int>1000000</int></value>"]));
    let mut stalled = Vec::new();
    for _ in 0..8 {
        let mut wire = server.connect().await;
        wire.send(&endless).await;
        stalled.push(wire);
    }
    let reply = server
        .connect()
        .await
        .call(&call("stream", &["<value><int>100</int></value>"]))
        .await;
    assert!(reply.body.len() > 100 * CHUNK_BYTES);
    drop(stalled);
    server.service.streams_dropped(9).await;
}

#[tokio::test]
async fn slow_senders_are_cut_off() {
    let limits = Limits {
        idle: SHORT,
        head: SHORT,
        body: SHORT,
        ..Limits::default()
    };
    let server = Server::start(limits).await;
    let request = post(&echo("slow"));
    let body_at = request.len() - 40;
    for sent in [&b""[..], b"POST /RP", &request[..60], &request[..body_at]] {
        let mut wire = server.connect().await;
        wire.send(sent).await;
        wire.closed().await;
    }
    let mut served = server.connect().await;
    assert_eq!(served.call(&echo("then idle")).await.status, 200);
    served.closed().await;
    let mut busy = server.connect().await;
    busy.send(&post(&call("wait", &[]))).await;
    server.service.waiting.notified().await;
    tokio::time::sleep(SHORT * 3).await; // Longer than any limit but that of a call, which has none.
    server.service.proceed.notify_one();
    assert_eq!(
        busy.reply()
            .await
            .expect("a long call is not a slow sender")
            .status,
        200
    );
    server.assert_answers().await;
}

#[tokio::test]
async fn requests_that_break_off_anywhere_harm_nobody() {
    let server = server().await;
    let request = post(&echo("broken"));
    for length in 0..request.len() {
        let mut wire = server.connect().await;
        wire.send(&request[..length]).await;
    }
    for _ in 0..50 {
        let mut wire = server.connect().await;
        wire.send(&request.repeat(20)).await;
        let mut first = [0];
        wire.stream.peek(&mut first).await.expect("answers have come");
        drop(wire.stream); // Unread answers make this a reset.
    }
    server.assert_answers().await;
}

#[tokio::test]
async fn evil_heads_are_refused() {
    let server = server().await;
    let long = format!("POST /RPC2 HTTP/1.1\r\nA: {}\r\n\r\n", "a".repeat(1 << 20));
    let many = format!("POST /RPC2 HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(5000));
    let twice = "POST /RPC2 HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab".to_owned();
    let negative = "POST /RPC2 HTTP/1.1\r\nContent-Length: -1\r\n\r\n".to_owned();
    let tls = "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}".to_owned();
    for head in [long, many, twice, negative, tls] {
        let mut wire = server.connect().await;
        // The server may hang up before it has taken all of it.
        let _sent = tokio::io::AsyncWriteExt::write_all(&mut wire.stream, head.as_bytes()).await;
        if let Some(reply) = wire.reply().await {
            assert!((400..500).contains(&reply.status), "{}", reply.head);
        }
    }
    server.assert_answers().await;
}

#[tokio::test]
async fn idle_connections_make_room() {
    let server = Server::start(Limits {
        connections: 3,
        ..Limits::default()
    })
    .await;
    let mut busy = server.connect().await;
    busy.send(&post(&call("wait", &[]))).await;
    server.service.waiting.notified().await;
    let mut idle = server.connect().await;
    assert_eq!(idle.call(&echo("first")).await.status, 200);
    let _silent = TcpStream::connect(server.address).await.expect("a connection");
    server.assert_answers().await;
    idle.closed().await;
    server.service.proceed.notify_one();
    assert_eq!(busy.reply().await.expect("a busy connection stays").status, 200);
}

#[tokio::test]
async fn shutdown_lets_calls_finish() {
    let server = server().await;
    let mut busy = server.connect().await;
    let mut idle = server.connect().await;
    assert_eq!(idle.call(&echo("before")).await.status, 200);
    busy.send(&post(&call("wait", &[]))).await;
    server.service.waiting.notified().await;
    server.stop.send(()).expect("the server runs");
    idle.closed().await;
    assert!(
        TcpStream::connect(server.address).await.is_err(),
        "the port is closed"
    );
    server.service.proceed.notify_one();
    assert_eq!(busy.reply().await.expect("the call in hand").status, 200);
    busy.closed().await;
    timeout(PATIENCE, server.task)
        .await
        .expect("in time")
        .expect("no panic");
}

#[tokio::test]
async fn shutdown_is_bounded() {
    let server = Server::start(Limits {
        drain: SHORT,
        ..Limits::default()
    })
    .await;
    let mut busy = server.connect().await;
    busy.send(&post(&call("wait", &[]))).await;
    server.service.waiting.notified().await;
    server.stop.send(()).expect("the server runs");
    timeout(PATIENCE, server.task)
        .await
        .expect("in time")
        .expect("no panic");
    assert!(busy.reply().await.is_none());
}
