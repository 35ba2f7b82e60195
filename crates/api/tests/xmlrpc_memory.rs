//! Requests and callers made to exhaust memory. One test, in a process of its own, since it measures the process.

mod support;

use std::time::Duration;

use plerion_api::xmlrpc::Limits;
use support::{Server, call, echo, post};

/// The most that the process may grow over what it needed before, in kilobytes.
const GROWTH_KB: u64 = 24 * 1024;

fn peak_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .expect("a peak");
    line.split_whitespace()
        .nth(1)
        .and_then(|word| word.parse().ok())
        .expect("a number")
}

/// Sends a body of that size in small pieces, as one that is announced or in chunks.
async fn oversized(server: &Server, size: usize, announced: bool) -> String {
    let mut wire = server.connect().await;
    let framing = if announced {
        format!("Content-Length: {size}")
    } else {
        "Transfer-Encoding: chunked".into()
    };
    wire.send(format!("POST /RPC2 HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n").as_bytes())
        .await;
    let piece = vec![b'a'; 64 * 1024];
    for _ in 0..size / piece.len() {
        if announced {
            wire.send(&piece).await;
        } else {
            wire.send(format!("{:x}\r\n", piece.len()).as_bytes()).await;
            wire.send(&piece).await;
            wire.send(b"\r\n").await;
        }
    }
    if !announced {
        wire.send(b"0\r\n\r\n").await;
    }
    let refusal = wire.reply().await.expect("a refusal").text().to_owned();
    assert_eq!(
        wire.call(&echo("next")).await.status,
        200,
        "the connection is still good"
    );
    refusal
}

#[tokio::test]
async fn memory_stays_bounded() {
    let limit = 1 << 20;
    let server = Server::start(Limits {
        body_bytes: limit,
        write_stall: Duration::from_millis(300),
        ..Limits::default()
    })
    .await;
    server.assert_answers().await;
    let before = peak_kb();

    for announced in [true, false] {
        let refusal = oversized(&server, 40 << 20, announced).await;
        assert!(
            refusal.contains("<i4>-509</i4>") && refusal.contains("1048576 bytes"),
            "{refusal}"
        );
    }

    let mut asking = server.connect().await;
    asking
        .send(b"POST /RPC2 HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n")
        .await;
    assert!(
        asking
            .reply()
            .await
            .expect("a refusal at once")
            .text()
            .contains("<i4>-509</i4>")
    );

    let mut waiting = Vec::new();
    for _ in 0..40 {
        let mut wire = server.connect().await;
        wire.send(format!("POST /RPC2 HTTP/1.1\r\nHost: a\r\nContent-Length: {limit}\r\n\r\n").as_bytes())
            .await;
        wire.send(&[b'a'; 100_000]).await;
        waiting.push(wire);
    }
    server.assert_answers().await;
    drop(waiting);

    let mut stalled = Vec::new();
    for _ in 0..16 {
        let mut wire = server.connect().await;
        wire.send(&post(&call("stream", &["<value><int>1000000</int></value>"])))
            .await;
        stalled.push(wire);
    }
    server.service.streams_dropped(16).await;
    server.assert_answers().await;

    let deep = "<value><array><data>".repeat(50_000);
    let reply = server.connect().await.call(&call("echo", &[&deep])).await;
    assert!(reply.text().contains("<i4>-509</i4>"), "{}", reply.text());
    let entities = format!(
        "<!DOCTYPE a [<!ENTITY a \"{}\">]>{}",
        "ha".repeat(1000),
        echo("&a;&a;")
    );
    let reply = server.connect().await.call(&entities).await;
    assert!(reply.text().contains("<i4>-503</i4>"), "{}", reply.text());

    let grown = peak_kb() - before;
    assert!(grown < GROWTH_KB, "the process grew by {grown} kB");
    server.assert_answers().await;
}
